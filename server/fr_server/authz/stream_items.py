"""The items of a stream on their way through a service: who asked for each, and what is known of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from fr_api.v1 import error_reason_pb2
from fr_core.errors import FrError
from fr_core.storage.audit.attribution import Attribution
from fr_server.authz.recorder import OK, CallRecord
from fr_server.rpc.convert.common import MAX_ITEM_ID

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
        item_id: as its caller wrote it.
        attribution: who asked for it, and why.
        record: what is known of it.
        only_above: whether candidates below the threshold are taken from its answer.
    """

    item_id: str
    attribution: Attribution
    record: CallRecord
    only_above: bool = False


class Items:
    """Those of one stream, each under a number of its own: two with one id are not taken for each other."""

    def __init__(self) -> None:
        self._waiting: dict[str, Item] = {}
        self._numbers = itertools.count(1)

    def add(self, item: Item) -> str:
        """Take one to wait for its answer; return the id that it has on its way through the service."""
        number = str(next(self._numbers))
        self._waiting[number] = item
        return number

    def answered(self, response: Any) -> Item:
        """Return the one that a response answers, and give the response the id that the caller knows."""
        item = self._waiting.pop(response.item_id)
        response.item_id = item.item_id[:MAX_ITEM_ID]
        return item

    def __iter__(self) -> Iterator[Item]:
        """Those that were not answered."""
        yield from self._waiting.values()


def outcome_of(response: Any) -> str:
    """Return "OK", or the reason for which the item of a response was refused."""
    if response.WhichOneof("result") != "refusal":
        return OK
    return error_reason_pb2.ErrorReason.Name(response.refusal.reason).removeprefix(_REASON)
