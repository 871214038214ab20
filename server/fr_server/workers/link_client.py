"""The front-end's end of a link: it gives a pipeline the models and services the galleries of the engine's process."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np

from fr_core.detect.protocol import TileFaces
from fr_core.errors import Overloaded
from fr_core.gallery.search.searching import Ask
from fr_core.gallery.values import Found, GalleryRef
from fr_core.runtime.observe import ModelRole
from fr_core.runtime.ticket import Ticket, current_ticket
from fr_core.storage.audit.attribution import current_attribution
from fr_core.storage.terms import made_in
from fr_core.types import F32, U8, AlignedFace
from fr_server.storage.calls import AuditCalls, GalleryCalls
from fr_server.workers import messages
from fr_server.workers.shared_memory import PATIENCE_S, Arena, Slots, picture_bytes


class RemoteTileDetector:
    """A `TileDetector` whose tiles, (height, width), wait for their turn with those of all front-ends."""

    def __init__(self, asker: Asker, tile_shapes: tuple[tuple[int, int], ...]) -> None:
        self.tile_shapes = tile_shapes
        self._asker = asker

    def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
        """As `TileDetector.detect_tiles`; raises what `Asker.pictures` raises."""
        parts = self._asker.pictures("detector", tiles, current_ticket())
        return [faces for part in parts for faces in part.unpacked()]


class RemoteRawEmbedder:
    """A `RawEmbedder` whose faces wait for their turn with those of all front-ends."""

    def __init__(self, asker: Asker, size: int) -> None:
        self.size = size
        self._asker = asker

    def vectors(self, faces: Sequence[AlignedFace]) -> F32:
        """As `RawEmbedder.vectors`; raises what `Asker.pictures` raises."""
        parts = self._asker.pictures("embedder", [face.pixels for face in faces], current_ticket())
        return np.concatenate(parts) if parts else np.empty((0, self.size), np.float32)


class RemoteGalleries(GalleryCalls, AuditCalls, Protocol):
    """The galleries of the engine's process, with their audit; see `remote_galleries`."""


def remote_galleries(asker: Asker) -> RemoteGalleries:
    """Return galleries whose methods run in the engine's process.

    The audit names the caller of this process for every change. Methods take positional arguments only.
    """
    return cast("RemoteGalleries", _Remote(asker))


class _Remote:
    def __init__(self, asker: Asker) -> None:
        self.asker = asker

    def search_as(self, gallery: GalleryRef, ask: Ask) -> Found:
        """Let `ask` decide in this process, then search exactly the gallery that it has seen."""
        info = self.asker.gallery("get", gallery)
        asked = ask(info)
        found: Found = self.asker.gallery("search", info, *asked.arguments)
        return found

    def close(self) -> None:
        """Do nothing: the engine's process closes the galleries."""


def _asking(method: str) -> Callable[..., Any]:
    def call(self: _Remote, *arguments: object) -> Any:
        return self.asker.gallery(method, *arguments)

    return call


for _method in messages.GALLERY_METHODS | messages.AUDIT_METHODS:
    setattr(_Remote, _method, _asking(_method))


class EngineDefect(Exception):
    """The engine's process failed on a request, and has logged how."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    number: int
    slot: int | None
    future: Future[messages.Answer] = field(default_factory=Future)


class Asker:
    """Asks the engine's process, from any thread; who receives from the wire hands answers to `answered`."""

    def __init__(self, wire: messages.Wire, memory: int, plan: messages.ArenaPlan) -> None:
        self.slots = Slots(plan)
        self._wire = wire
        self._arena = Arena(memory, plan)
        self._slot_bytes = plan.slot_bytes
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._asked: dict[int, _Asked] = {}

    def pictures(self, model: ModelRole, pictures: Sequence[U8], ticket: Ticket) -> list[Any]:
        """Have a model run on pictures, each u8[H, W, 3], and wait; one answer for each part that fits into a slot.

        Raises `CallEnded` if nobody waits for the answer any more; `Overloaded`, `DeviceLost` or `ShuttingDown` as
        `Batcher.run`; and `EngineDefect` if the model failed.
        """
        asked: list[_Asked] = []
        try:
            return self._answers(model, parted(pictures, self._slot_bytes), ticket, asked)
        except BaseException:
            for one in asked:
                if not one.future.done():
                    self._wire.send(messages.Cancel(one.number))
            raise

    def gallery(self, method: str, *arguments: object) -> Any:
        """Call a method of the galleries, or of their audit, and wait; raises what it raises, and `EngineDefect`.

        What it changes is put down to whom the call is put down to, `current_attribution`.
        """
        asked = self._new(None)
        by, ticket = current_attribution(), current_ticket()
        self._wire.send(messages.GalleryCall(asked.number, method, arguments, ticket.bulk, ticket.caller, by))
        answer = asked.future.result()
        made_in(answer.term)
        return answer.value

    def answered(self, message: messages.Answer | messages.Refusal) -> None:
        """End the request that a message is the answer to; its slot is free again."""
        with self._lock:
            asked = self._asked.pop(message.number)
        if asked.slot is not None:
            self.slots.give_back(asked.slot)
        if isinstance(message, messages.Answer):
            asked.future.set_result(message)
        else:
            asked.future.set_exception(message.error or EngineDefect())

    def _answers(
        self, model: ModelRole, parts: Sequence[Sequence[U8]], ticket: Ticket, asked: list[_Asked]
    ) -> list[Any]:
        """Submit parts, which are noted in `asked`, and wait for their answers."""
        for part in parts:
            asked.append(self._submitted(model, part, ticket))  # noqa: PERF401 - noted before the next may raise
        answers: list[Any] = []
        refused = []
        for place, one in enumerate(tuple(asked)):
            try:
                answers.append(_waited(one.future, ticket))
            except Overloaded:
                if place == 0:
                    raise
                # Its own first parts may fill the queue, and a photo with many tiles could never be served.
                answers.append(None)
                refused.append(place)
        for place in refused:
            asked.append(self._submitted(model, parts[place], ticket))
            answers[place] = _waited(asked[-1].future, ticket)
        return answers

    def _submitted(self, model: ModelRole, pictures: Sequence[U8], ticket: Ticket) -> _Asked:
        shapes = tuple((picture.shape[0], picture.shape[1]) for picture in pictures)
        slot = self.slots.take(ticket)
        for view, picture in zip(self._arena.views(slot, shapes), pictures, strict=True):
            np.copyto(view, picture)
        asked = self._new(slot)
        self._wire.send(
            messages.Pictures(asked.number, model, slot, shapes, ticket.deadline, ticket.bulk, ticket.caller)
        )
        return asked

    def _new(self, slot: int | None) -> _Asked:
        asked = _Asked(next(self._numbers), slot)
        with self._lock:
            self._asked[asked.number] = asked
        return asked


def parted(pictures: Sequence[U8], limit: int) -> list[list[U8]]:
    """Cut a list into the fewest parts of at most `limit` bytes; raises `ValueError` for a larger picture."""
    parts: list[list[U8]] = []
    left = 0
    for picture in pictures:
        size = picture_bytes((picture.shape[0], picture.shape[1]))
        if size > limit:
            raise ValueError("a picture is larger than a slot")
        if size > left:
            parts.append([])
            left = limit
        parts[-1].append(picture)
        left -= size
    return parts


def _waited(future: Future[messages.Answer], ticket: Ticket) -> Any:
    while True:
        try:
            return future.result(PATIENCE_S).value
        except TimeoutError:
            ticket.require_wanted()
