"""Defines the messages between a front-end and the engine's process, and the wire; pixels go through the arena."""

from __future__ import annotations

import io
import pickle
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import Any

import numpy as np

from fr_core.detect.protocol import TileFaces
from fr_core.errors import FrError
from fr_core.packs.manifest import Pack
from fr_core.runtime.devices import ActiveDevice
from fr_core.runtime.observe import ModelRole
from fr_core.storage.audit.attribution import Attribution
from fr_core.storage.terms import Term
from fr_core.types import F32
from fr_server.app import Part
from fr_server.config import Config
from fr_server.storage.calls import AuditCalls, GalleryCalls


class Wire:
    """One end. The other is held by a process that this one started, or that started it: nobody else can write."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, message: object) -> None:
        """Send a message; blocks while the other end does not read. Raises `OSError` if that is closed."""
        data = _dumped(message)
        with self._sending:
            self._connection.send_bytes(data)

    def receive(self) -> Any:
        """Wait for the next message, in one thread only; raises `EOFError` if the other process has ended."""
        try:
            return pickle.loads(self._connection.recv_bytes())
        except ConnectionError as error:  # it had not read everything when it ended
            raise EOFError from error

    def close(self) -> None:
        """Close this end, when no thread receives any more."""
        self._connection.close()


class _Pickler(pickle.Pickler):
    """Knows read-only mappings too, which galleries return."""

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, MappingProxyType):
            return _read_only, (dict(value),)
        return NotImplemented


def _read_only(values: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(values)


def _dumped(message: object) -> bytes:
    out = io.BytesIO()
    _Pickler(out, pickle.HIGHEST_PROTOCOL).dump(message)
    return out.getvalue()


def _methods(protocol: type, *local: str) -> frozenset[str]:
    return frozenset(name for name in vars(protocol) if not name.startswith("_") and name not in local)


GALLERY_METHODS = _methods(GalleryCalls, "search_as", "close")
"""The methods of galleries that a front-end may call; the others are done in its own process."""

AUDIT_METHODS = _methods(AuditCalls)  # the methods of their audit that a front-end may call


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """The layout of the memory of a link; `slots` is for each of the two classes of calls, at least 1."""

    slots: int
    slot_bytes: int

    @property
    def total_bytes(self) -> int:
        """Of all slots of both classes."""
        return 2 * self.slots * self.slot_bytes


# --- from the engine's process ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Welcome:
    """The first message: what a front-end is to be, and whether the galleries are read."""

    config: Config
    pack: Pack
    device: ActiveDevice
    part: Part
    arena: ArenaPlan
    loaded: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a numbered request: packed faces, vectors f32[N, D], or what the galleries returned."""

    number: int
    value: Any
    term: Term | None = None  # in which the galleries made it


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no answer; `error` is None for a defect, which the engine's process has logged."""

    number: int
    error: FrError | None


class EngineSays(Enum):
    """Tells a front-end, without any more."""

    GALLERIES_ARE_READ = "calls can be answered"
    RELOAD = "read certificates and their keys again"
    DEVICE_IS_LOST = "a device was lost"
    STOP = "drain, then end"
    PING = "show that the event loop is alive"


# --- from a front-end ---------------------------------------------------------------------------------------


class FrontendSays(Enum):
    """Tells the engine's process, without any more."""

    LISTENING = "calls are refused until the galleries are read"
    READY = "calls are answered"
    PONG = "the event loop is alive"


@dataclass(frozen=True, slots=True)
class Pictures:
    """Run a model on pictures that lie in a slot, one behind the other."""

    number: int
    model: ModelRole
    slot: int  # where they lie; the asker's again with the answer
    shapes: tuple[tuple[int, int], ...]  # (height, width) of each
    deadline: float | None  # as `Ticket.deadline`; the clock is the machine's
    bulk: bool
    caller: str


@dataclass(frozen=True, slots=True)
class GalleryCall:
    """Call one of `GALLERY_METHODS` or `AUDIT_METHODS`; `by` is whom the audit puts it down to."""

    number: int
    method: str
    arguments: tuple[Any, ...]
    bulk: bool
    caller: str
    by: Attribution


@dataclass(frozen=True, slots=True)
class Cancel:
    """The answer to these pictures is not awaited any more."""

    number: int


FromEngine = Welcome | Answer | Refusal | EngineSays


@dataclass(frozen=True, slots=True, eq=False)
class PackedFaces:
    """The faces of several tiles in one array, which travels much quicker than many small ones."""

    counts: tuple[int, ...]  # faces of each tile
    rows: F32  # f32[N, 15]: box, landmarks and score of each face, the tiles one after the other

    @staticmethod
    def of(tiles: Sequence[TileFaces]) -> PackedFaces:
        """Pack the faces of tiles."""
        joined = TileFaces.joined(tiles)
        rows = np.concatenate([joined.boxes, joined.landmarks.reshape(-1, 10), joined.scores[:, None]], axis=1)
        return PackedFaces(tuple(len(tile) for tile in tiles), rows.astype(np.float32, copy=False))

    def unpacked(self) -> list[TileFaces]:
        """The faces of each tile."""
        ends = np.cumsum(self.counts, dtype=np.int64)
        parts = [self.rows[end - count : end] for end, count in zip(ends, self.counts, strict=True)]
        return [TileFaces(part[:, :4], part[:, 4:14].reshape(-1, 5, 2), part[:, 14]) for part in parts]
