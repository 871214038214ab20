"""The items of a stream on their way through a service: who asked for each, and what is known of it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from fr_api.v1 import error_reason_pb2
from fr_core.audit.attribution import Attribution
from fr_core.errors import FrError
from fr_server.access.recording import OK, CallRecord
from fr_server.convert.common import MAX_ITEM_ID

_REASON = "ERROR_REASON_"


class RefusedItem:
    """Stands in the place of an item that was refused: whoever asks what it holds is told why.

    So the service answers it like any other item that it refuses, in its turn.

    Args:
        item_id: of the item.
        error: why.
    """

    def __init__(self, item_id: str, error: FrError) -> None:
        self.item_id = item_id
        self._error = error

    def __getattr__(self, name: str) -> NoReturn:
        raise self._error


@dataclass(slots=True)
class Item:
    """An item that is not answered yet.

    Attributes:
        attribution: who asked for it, and why.
        record: what is known of it.
        only_above: whether candidates below the threshold are taken from its answer.
    """

    attribution: Attribution
    record: CallRecord
    only_above: bool = False


class Items:
    """Those of one stream."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Item]] = defaultdict(deque)

    def add(self, item_id: str, item: Item) -> None:
        """Take one to wait for its answer. Of several with one id the first that is answered is taken for the first."""
        self._waiting[item_id[:MAX_ITEM_ID]].append(item)

    def answered(self, response: Any) -> Item:
        """Return the one that a response answers."""
        waiting = self._waiting[response.item_id]
        item = waiting.popleft()
        if not waiting:
            del self._waiting[response.item_id]
        return item

    def __iter__(self) -> Iterator[Item]:
        """Those that were not answered."""
        for waiting in self._waiting.values():
            yield from waiting


def outcome_of(response: Any) -> str:
    """Return "OK", or the reason for which the item of a response was refused."""
    if response.WhichOneof("result") != "refusal":
        return OK
    return error_reason_pb2.ErrorReason.Name(response.refusal.reason).removeprefix(_REASON)
