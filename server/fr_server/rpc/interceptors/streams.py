"""Carries the answers of streams: checks them while they run, keeps their context, and tells their items apart."""

import asyncio
import contextlib
import itertools
import logging
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from fr_api.v1 import error_reason_pb2
from fr_core.errors import Failure, FrError, ReaderTooSlow, message
from fr_core.storage.audit.attribution import Attribution, attributed
from fr_core.storage.terms import Answering, Term, answering
from fr_server.authz.callers import Valid, calling
from fr_server.authz.record import OK, CallRecord, noting
from fr_server.authz.rules import Rule
from fr_server.rpc.convert.common import MAX_ITEM_ID
from fr_server.rpc.interceptors.wrapping import Context, Handler, Stream
from fr_server.telemetry.logs import describe
from fr_trust.access.principal import Principal
from fr_trust.errors import CredentialInvalid

log = logging.getLogger("fr_server.authz")

RECHECK_S = 5.0  # seconds between two checks of a stream: is its credential still valid, and does its reader read?
_REASON = "ERROR_REASON_"
# Of a stream: as many answers wait at most while the records of those before them are kept.
_MOST_WAIT = 16
_telling: set[asyncio.Future[None]] = set()


class Sending:
    """Notes whether gRPC holds an answer of the stream: hand the answer over within `with`."""

    def __init__(self) -> None:
        self._since_s: float | None = None

    def __enter__(self) -> None:
        self._since_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._since_s = None

    @property
    def under_way_s(self) -> float | None:
        """Seconds since it got the answer; None if it has none."""
        return None if self._since_s is None else time.monotonic() - self._since_s


class Streams:
    """Ends streams whose credential ended, those whose readers leave an answer unread for `stall_s`, and stale ones.

    `present_term` returns the present term of the server; it raises `ReplicaBehind` outside of one.
    """

    def __init__(self, stall_s: float = math.inf, present_term: Callable[[], Awaitable[Term]] | None = None) -> None:
        self._stall_s = stall_s
        self._present_term = present_term

    async def require_term(self, made: Answering) -> None:
        """Raise `ReplicaBehind` unless answers may still leave: they may wait for a reader while the term goes on."""
        if made.is_over and self._present_term is not None:
            made.made_in(await self._present_term())
        made.require()

    @contextlib.asynccontextmanager
    async def one(
        self, require_still_valid: Callable[[], Awaitable[None]], tell: Callable[[FrError], Awaitable[None]]
    ) -> AsyncIterator[Sending]:
        """Let the block be a stream of a caller; the stream can end while the block waits.

        `require_still_valid` raises `CredentialInvalid` if the credential is not valid. `tell` gives the call its
        status if an answer is on its way, because the block cannot. Raises `CredentialInvalid` if the credential ended,
        at most `RECHECK_S` ago, and `ReaderTooSlow` if the reader has left an answer unread for too long.
        """
        sending = Sending()
        why: list[FrError] = []

        async def watch(limit: asyncio.Timeout) -> None:
            while not why:
                await asyncio.sleep(min(RECHECK_S, self._stall_s))
                error = await self._fault(require_still_valid, sending)
                if error is None:
                    continue
                why.append(error)
                if sending.under_way_s is not None:  # the code below ends the call, and then gRPC sends no error
                    _telling.add(telling := asyncio.ensure_future(tell(error)))
                    telling.add_done_callback(_telling.discard)
                limit.reschedule(asyncio.get_running_loop().time())

        try:
            async with asyncio.timeout(None) as limit:
                watching = asyncio.ensure_future(watch(limit))
                try:
                    yield sending
                finally:
                    watching.cancel()
        except TimeoutError:
            if not why:
                raise
            raise why[0] from None

    async def _fault(self, require_still_valid: Callable[[], Awaitable[None]], sending: Sending) -> FrError | None:
        """Return why a stream must end now; None if it may go on."""
        try:
            await require_still_valid()
        except CredentialInvalid as error:
            return error
        except Exception as error:  # noqa: BLE001 - unknown now, as without the issuer's keys; checked again
            if not isinstance(error, Failure):
                log.error("The validity of a stream could not be checked: %s", describe(error))
        under_way_s = sending.under_way_s
        if under_way_s is not None and under_way_s >= self._stall_s:
            return ReaderTooSlow(message("error.rpc.not_read", stall_s=self._stall_s), limit_s=f"{self._stall_s:g}")
        return None


class RefusedItem:
    """Stands for a refused item, with the id on its way through the service: reading any field raises the refusal.

    So the service answers it in its turn, like any other item that it refuses.
    """

    def __init__(self, item_id: str, error: FrError) -> None:
        self.item_id = item_id
        self._error = error

    def __getattr__(self, name: str) -> NoReturn:
        raise self._error


@dataclass(slots=True)
class Item:
    """An item without an answer, by its caller's id; `only_above` removes candidates below the threshold."""

    item_id: str
    attribution: Attribution
    record: CallRecord
    only_above: bool = False


class Items:
    """The unanswered items of one stream, each under its own number: two items may have one id."""

    def __init__(self) -> None:
        self._waiting: dict[str, Item] = {}
        self._numbers = itertools.count(1)

    def add(self, item: Item) -> str:
        """Add an item; return the id that it has on its way through the service."""
        number = str(next(self._numbers))
        self._waiting[number] = item
        return number

    def answered(self, response: Any) -> Item:
        """Remove and return the item that a response answers; the response gets the id that the caller knows."""
        item = self._waiting.pop(response.item_id)
        response.item_id = item.item_id[:MAX_ITEM_ID]
        return item

    def __iter__(self) -> Iterator[Item]:
        """Yield the items without an answer."""
        yield from self._waiting.values()


def outcome_of(response: Any) -> str:
    """Return "OK", or the reason of the refusal in a response."""
    if response.WhichOneof("result") != "refusal":
        return OK
    return error_reason_pb2.ErrorReason.Name(response.refusal.reason).removeprefix(_REASON)


async def only(request: Any) -> AsyncIterator[Any]:
    """Yield one request."""
    yield request


async def stepping(
    answers: AsyncIterator[Any],
    principal: Principal,
    rule: Rule,
    valid: Valid,
    attribution: Attribution,
    record: CallRecord,
    made: Answering,
) -> AsyncGenerator[Any]:
    """Yield answers, each made within the context of its call: the task that closes a generator has another context."""
    try:
        while True:
            with calling(principal, rule, valid), attributed(attribution), noting(record), answering(made):
                try:
                    answer = await anext(answers)
                except StopAsyncIteration:
                    return
            yield answer
            del answer  # so that an idle stream does not keep its last answer
    finally:
        await answers.aclose()  # type: ignore[attr-defined] # a generator, as every behaviour of a stream here


async def in_groups(
    answers: AsyncGenerator[Any], keep: Callable[[Sequence[Any]], Awaitable[None]]
) -> AsyncGenerator[Any]:
    """Yield answers in their order, each once `keep` has returned for the group that it is in.

    A group is what has come by the time that the group before has left: no answer waits for others to join it. Raises
    what `keep` and `answers` raise; an answer that came before is kept and yielded first.
    """
    came: asyncio.Queue[Any] = asyncio.Queue()
    room = asyncio.Semaphore(_MOST_WAIT)

    async def read() -> None:
        try:
            async with contextlib.aclosing(answers):
                while await room.acquire():
                    came.put_nowait(await anext(answers))
        except StopAsyncIteration:
            pass
        finally:
            came.put_nowait(None)

    reading = asyncio.create_task(read())
    try:
        while group := await _all_of(came):
            await keep(group)
            while group:
                room.release()
                yield group.popleft()
        await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _all_of(came: asyncio.Queue[Any]) -> deque[Any]:
    """Wait for an answer and return it with those behind it; nothing at the end, which is None."""
    found: deque[Any] = deque()
    answer = await came.get()
    while answer is not None:
        found.append(answer)
        if came.empty():
            return found
        answer = came.get_nowait()
    came.put_nowait(None)
    return found


def as_stream(handler: Handler) -> Stream:
    """Return the behaviour of a handler as one that takes and returns streams."""
    if handler.stream_stream is not None:
        return handler.stream_stream  # type: ignore[return-value]  # stubs know the behaviours of threads alone

    async def call(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        async for request in requests:
            if handler.unary_unary is not None:
                yield await handler.unary_unary(request, context)  # type: ignore[arg-type]  # likewise
            else:
                answers: Any = handler.unary_stream
                async for response in answers(request, context):
                    yield response

    return call
