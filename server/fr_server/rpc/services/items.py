"""The items of a stream or a batch: each is answered, and a refused or failed one does not end the call."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from fr_api.v1 import common_pb2
from fr_server.pools import Work, answer_each
from fr_server.rpc.convert.common import MAX_ITEM_ID, refusal, require_item_id
from fr_server.rpc.interceptors.boundary import as_item_error, count_refusal

Response = TypeVar("Response", bound=Any)


def answer_items(
    requests: AsyncIterator[Any],
    response_type: Callable[..., Response],
    fill: Callable[[Any, Response], Awaitable[None]],
    window: int,
    work: Work,
) -> AsyncIterator[Response]:
    """Answer each request of a stream by one response with the same `item_id`, in any order, `window` at once.

    `response_type` has an `item_id` and a `refusal`. `fill` puts the answer to a request into its response; what it
    raises becomes the refusal of that item. The stream ends when `work` drains.
    """

    async def answer(request: Any) -> Response:
        response = response_type(item_id=request.item_id[:MAX_ITEM_ID])
        try:
            require_item_id(request.item_id)
            await fill(request, response)
        except Exception as error:  # noqa: BLE001 - the boundary of one item: every item is answered
            response.refusal.CopyFrom(item_refusal(error))
        return response

    return answer_each(requests, answer, window, work.draining)


def item_refusal(error: Exception) -> common_pb2.Refusal:
    """Count the refusal or failure of an item of the current call, and return its message; on the event loop."""
    told = as_item_error(error)
    count_refusal(told)
    return refusal(told)
