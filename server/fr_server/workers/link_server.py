"""The engine's end of a link: hands what a front-end asks for to the batchers and the galleries, and sends the answers.

Three threads serve a link. One receives, and never waits for anything else. One hands in bulk items, which wait while
their queue is full. One packs and sends the answers, so that neither the threads that run the models nor those of the
galleries wait for a front-end.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any

import numpy as np

from fr_core.align import CROP_SIZE
from fr_core.errors import FrError
from fr_core.runtime.batcher import Batcher
from fr_core.runtime.observe import ModelRole
from fr_core.runtime.ticket import Ticket
from fr_core.storage.audit.attribution import attributed
from fr_core.storage.terms import Answering, answering
from fr_core.types import U8, AlignedFace, frozen_array
from fr_server.pools import StorageThreads
from fr_server.storage.audits import audit_of
from fr_server.storage.calls import GalleryCalls
from fr_server.telemetry.logs import describe
from fr_server.workers.messages import (
    AUDIT_METHODS,
    GALLERY_METHODS,
    Answer,
    Cancel,
    FromEngine,
    FrontendSays,
    GalleryCall,
    PackedFaces,
    Pictures,
    Refusal,
    Wire,
)
from fr_server.workers.shared_memory import Arena

log = logging.getLogger("fr_server.workers")

# What the embedder does not ask for: its faces are cut out already.
_NO_TRANSFORM = frozen_array(np.eye(2, 3, dtype=np.float32))

Batchers = Mapping[ModelRole, Batcher[Any, Any]]


class Answerer:
    """Answers one front-end until its process ends.

    `batchers` are of tiles u8[H, W, 3] and of faces. `storage`, which all front-ends share, runs what waits for the
    disk. The receiving thread calls `on_said` with each word of the front-end, and with None when its process has
    ended, and nothing is kept for it any more.
    """

    def __init__(
        self,
        wire: Wire,
        arena: Arena,
        batchers: Batchers,
        galleries: GalleryCalls,
        storage: StorageThreads,
        on_said: Callable[[FrontendSays | None], None],
    ) -> None:
        self._wire = wire
        self._arena = arena
        self._batchers = batchers
        self._galleries = galleries
        self._audit = audit_of(galleries)
        self._storage = storage
        self._on_said = on_said
        self._lock = threading.Lock()
        self._tickets: dict[int, Ticket] = {}
        self._ended = False
        self._bulk: SimpleQueue[tuple[Pictures, Ticket] | None] = SimpleQueue()
        self._out: SimpleQueue[Callable[[], FromEngine] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=work, name=f"frontend-{name}", daemon=True)
            for name, work in (("receive", self._receive), ("bulk", self._hand_in_bulk), ("send", self._send))
        ]

    @property
    def waiting(self) -> int:
        """Submissions of pictures without an answer yet."""
        with self._lock:
            return len(self._tickets)

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    def tell(self, message: FromEngine) -> None:
        """Send a message, after the answers that are on their way; to a front-end that has ended, nothing."""
        self._put(lambda: message)

    def join(self) -> None:
        """Wait for the threads, which end with the front-end."""
        for thread in self._threads:
            thread.join()

    def _receive(self) -> None:
        try:
            while True:
                self._take(self._wire.receive())
        except EOFError:
            pass
        finally:
            with self._lock:
                self._ended = True
                for ticket in self._tickets.values():
                    ticket.cancel()
            self._bulk.put(None)
            self._out.put(None)
            self._on_said(None)

    def _take(self, message: object) -> None:
        match message:
            case Pictures():
                ticket = Ticket(message.deadline, message.bulk, caller=message.caller)
                with self._lock:
                    self._tickets[message.number] = ticket
                if message.bulk:
                    self._bulk.put((message, ticket))
                else:
                    self._hand_in(message, ticket)
            case Cancel(number):
                with self._lock:
                    if number in self._tickets:  # else its answer is on its way
                        self._tickets[number].cancel()
            case GalleryCall():
                self._storage.of(message.bulk).submit(message.caller, partial(self._ask_galleries, message))
            case FrontendSays():
                self._on_said(message)
            case _:
                raise TypeError(f"a front-end sent a {type(message).__name__}")

    def _hand_in_bulk(self) -> None:
        while waiting := self._bulk.get():
            self._hand_in(*waiting)

    def _hand_in(self, asked: Pictures, ticket: Ticket) -> None:
        try:
            views = self._arena.views(asked.slot, asked.shapes)
            items = views if asked.model == "detector" else [_face(view) for view in views]
            future = self._batchers[asked.model].submit(items, ticket)
        except Exception as error:  # noqa: BLE001 - the boundary of a request: the front-end is told
            self._put(partial(self._refused, asked, error))
        else:
            future.add_done_callback(lambda done: self._put(partial(self._answered, asked, done)))

    def _put(self, made: Callable[[], FromEngine]) -> None:
        if not self._ended:  # else what nobody takes out would keep the arena
            self._out.put(made)

    def _answered(self, asked: Pictures, done: Future[list[Any]]) -> FromEngine:
        # Not raised and caught again: the traceback and the future would hold each other, and the arena with them.
        error = done.exception()
        if error is None:
            try:
                value = PackedFaces.of(done.result()) if asked.model == "detector" else np.stack(done.result())
            except Exception as malformed:  # noqa: BLE001 - the boundary of a request: the front-end is told
                error = malformed
            else:
                self._forget(asked)
                return Answer(asked.number, value)
        return self._refused(asked, error)

    def _refused(self, asked: Pictures, error: BaseException) -> FromEngine:
        self._forget(asked)
        return _refusal(asked.number, error)

    def _forget(self, asked: Pictures) -> None:
        with self._lock:
            del self._tickets[asked.number]

    def _ask_galleries(self, asked: GalleryCall) -> None:
        message: FromEngine
        try:
            made = Answering()
            with attributed(asked.by), answering(made):
                value = self._method(asked.method)(*asked.arguments)
            message = Answer(asked.number, value, made.term)
        except Exception as error:  # noqa: BLE001 - the boundary of a request: the front-end is told
            message = _refusal(asked.number, error)
        self.tell(message)

    def _method(self, name: str) -> Callable[..., Any]:
        owner = self._galleries if name in GALLERY_METHODS else self._audit if name in AUDIT_METHODS else None
        if owner is None:
            raise ValueError("the galleries have no such method")
        found: Callable[..., Any] = getattr(owner, name)
        return found

    def _send(self) -> None:
        while made := self._out.get():
            message = made()
            try:
                self._wire.send(message)
            except OSError:
                # The front-end has ended, as the receiving thread is about to hear; nobody is left to tell.
                log.debug("An answer found its front-end gone")
            except Exception as error:  # noqa: BLE001 - a value that does not travel must not keep others from it
                log.error("An answer to a front-end cannot be sent: %s", describe(error))
                if isinstance(message, Answer):
                    self._out.put(partial(Refusal, message.number, None))


def _refusal(number: int, error: BaseException) -> Refusal:
    if isinstance(error, FrError):
        return Refusal(number, error)
    log.error("A request of a front-end failed: %s", describe(error))
    return Refusal(number, None)


def _face(pixels: U8) -> AlignedFace:
    if pixels.shape != (CROP_SIZE, CROP_SIZE, 3):
        raise ValueError("a face is not of the embedder's size")
    return AlignedFace(pixels, _NO_TRANSFORM)
