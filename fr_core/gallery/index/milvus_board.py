"""Tells the servers of one database what Milvus holds: one of them writes to Milvus, all of them search it.

The board is two values in the database. The *state* is written by the server with the lease alone: of each gallery the
collection, and up to which id it holds every template. A server that has lost the lease can write nothing, since each
change names the version that it replaces. The *requests* are written by every server that wants a collection compared
with the truth. Without the board, everything is compared anew: it needs no backup.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fr_core.gallery.index.protocol import IndexPeers

_log = logging.getLogger(__name__)

# The board is no cache: it lasts until an administrator drops it.
_LASTS_S = 3.0e8
_MAC_BYTES = 32


class LeaseLost(Exception):
    """Another server writes to Milvus by now."""


@dataclass(frozen=True, slots=True)
class Held:
    """The state of a gallery's collection."""

    name: str
    reach: int  # it holds every template of the gallery with an id up to this one, as of `seq` and later
    complete: bool  # False: it is known to lack some, and must not be searched
    compared: int  # the last request that was fulfilled
    seq: int  # in the log of changes; a server that is not as far must not go by this state


@dataclass(frozen=True, slots=True)
class Request:
    """A request to compare a collection with the truth."""

    number: int = 0  # the last one
    wipe: int = 0  # the last one of a server that found a vector in it that is not the gallery's


class Board:
    """The board of a store, as one thread of a server sees it.

    Args:
        key: secret, the same for all servers.

    Attributes:
        lead: the number of the lease under which this server writes; 0 = another one does.
        held: the state of each gallery, by its number.
        requests: the requests of each gallery, by its number.
    """

    def __init__(self, peers: IndexPeers, key: bytes) -> None:
        self.peers = peers
        self.lead = 0
        self.held: dict[int, Held] = {}
        self.requests: dict[int, Request] = {}
        self._key = key
        self._versions = {"state": 0, "requests": 0}
        self._leader = 0  # the number of the lease under which the state was written

    def refresh(self) -> None:
        """Read the board, and take the lease where no server has it; raises `StoreFailed`, `LeaseLost`."""
        number = self.peers.lead()
        self._read_state()
        self.requests = {int(no): Request(*values) for no, values in self._read("requests", {}).items()}
        self.lead = 0
        if number and number != self._leader:
            self._write_state(number, self.held)
        if number:
            self.lead = number

    def ask(self, wanted: Mapping[int, bool]) -> dict[int, int]:
        """Request comparisons; return the number of each request by its gallery, nothing where that must be repeated.

        `wanted`: whether a gallery's collection must be made anew, by the number of the gallery. Raises `StoreFailed`.
        """
        if not wanted:
            return {}
        requests = dict(self.requests)
        for gallery_no, wipe in wanted.items():
            before = requests.get(gallery_no, Request())
            fulfilled = self.held[gallery_no].compared if gallery_no in self.held else 0
            number = max(before.number, fulfilled) + 1
            requests[gallery_no] = Request(number, number if wipe else before.wipe)
        if not self._write("requests", {no: [one.number, one.wipe] for no, one in requests.items()}):
            return {}
        self.requests = requests
        return {gallery_no: requests[gallery_no].number for gallery_no in wanted}

    def publish(self, lead: int, changed: Mapping[int, Held | None]) -> None:
        """Replace the state of some galleries; None = there is no such gallery any more.

        `lead`: the lease under which the work was begun. Raises `LeaseLost`, `StoreFailed`.
        """
        if not lead or lead != self.lead or self.peers.lead() != lead:
            self.lead = 0
            raise LeaseLost
        held = {**self.held, **changed}
        self._write_state(lead, {no: one for no, one in held.items() if one is not None})

    def let_go(self) -> None:
        """Let another server write, which may reach Milvus; raises `StoreFailed`."""
        self.lead = 0
        self.peers.let_go()

    def _read_state(self) -> None:
        state = self._read("state", {"lead": 0, "held": {}})
        self._leader = int(state["lead"])
        self.held = {int(no): Held(*values) for no, values in state["held"].items()}

    def _write_state(self, lead: int, held: Mapping[int, Held]) -> None:
        rows = {no: [one.name, one.reach, one.complete, one.compared, one.seq] for no, one in held.items()}
        if lead < self._leader or not self._write("state", {"lead": lead, "held": rows}):
            self.lead = 0
            raise LeaseLost
        self._leader, self.held = lead, dict(held)

    def _read(self, name: str, empty: dict[str, Any]) -> dict[str, Any]:
        found = self.peers.get(name)
        if found is None:
            self._versions[name] = 0
            return empty
        value, self._versions[name] = found
        text = value[_MAC_BYTES:]
        if not hmac.compare_digest(self._mac(name, text), value[:_MAC_BYTES]):
            _log.error("what servers tell one another of Milvus was altered in the database: everything is compared")
            return empty
        read: dict[str, Any] = json.loads(text)
        return read

    def _write(self, name: str, value: Mapping[Any, Any]) -> bool:
        text = json.dumps(value, separators=(",", ":")).encode()
        done: bool = self.peers.put(name, self._mac(name, text) + text, self._versions[name], _LASTS_S)
        self._versions[name] += done
        return done

    def _mac(self, name: str, text: bytes) -> bytes:
        return hmac.digest(self._key, name.encode() + b"\0" + text, "sha256")
