"""Keeps the state of a gallery's collection in Milvus: what it holds and lacks, and whether it can be trusted."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fr_core.errors import IndexUnavailable, message
from fr_core.gallery.index.growing import VectorRows
from fr_core.gallery.index.milvus_board import Board, Held, Request
from fr_core.gallery.index.milvus_link import Collection
from fr_core.gallery.index.milvus_settings import MilvusSettings
from fr_core.gallery.index.turning import Turn
from fr_core.types import F32, I64

_log = logging.getLogger(__name__)

# Bytes of vectors that wait in memory for Milvus; with more, the collection is compared with the truth instead.
FRESH_BYTES = 2**26
_TAG_VALUES = 2
# After a failure, work in Milvus begins again so much later.
_AGAIN_S = 1.0


@dataclass(slots=True, eq=False)
class Shared:
    """The state of a collection that several servers search and one of them writes, as one server sees it."""

    board: Board
    gallery_no: int
    base: str  # that the names of its collections begin with
    named: Callable[[str], Collection]
    names: Callable[[str], list[str]]  # of the collections that begin so
    asked: int | None = None  # the request that must be fulfilled before Milvus is searched; None = it must be made
    listed: bool = False  # the index holds everything that the store holds, and can be kept up
    begun: int = 0  # the lease under which this server began to compare the collection
    led: int = 0  # the lease under which it was compared
    # Removed ids that Milvus deletes once every server has the changes up to `due_seq`, -1 = it is not known yet:
    # until then, another server may search a version that has them.
    due: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    due_seq: int = -1

    @property
    def leads(self) -> bool:
        """Return whether this server writes the collection, and has compared it."""
        return self.board.lead > 0 and self.led == self.board.lead

    @property
    def held(self) -> Held | None:
        """Return the state of the collection that is on the board, if it was made for this configuration."""
        held = self.board.held.get(self.gallery_no)
        return held if held is not None and held.name.startswith(self.base) else None

    @property
    def request(self) -> Request:
        """Return the last request to compare the collection."""
        return self.board.requests.get(self.gallery_no, Request())

    @property
    def must_ask(self) -> bool:
        """Return whether this server has to request a comparison."""
        return self.listed and (self.asked is None or self.asked > max(self.request.number, self._compared))

    @property
    def _compared(self) -> int:
        return -1 if self.held is None else self.held.compared


@dataclass(slots=True, eq=False)
class MilvusState:
    """The state of one collection; a change has it for itself, as in `VectorIndex`."""

    dimension: int
    collection: Collection
    turn: Turn
    tag_key: bytes
    truth: Callable[[I64], tuple[I64, F32]]
    settings: MilvusSettings
    clock: Callable[[], float]

    # False while vectors are still read: what the collection holds beyond them may be of those that follow.
    filled: bool = False
    # Milvus holds every live vector up to `reach`, and `fresh` all others. Nothing is searched in Milvus before. A
    # gallery that is new is complete: it has nothing yet.
    complete: bool = False
    opened: bool = False  # the collection is known to be that of the gallery
    wipe: bool = False  # the collection holds other vectors than it should
    reach: int = -1  # the greatest id that Milvus has, or is being given
    last_id: int = -1
    # Beside each id is its tag: the two values of a row hold its 64 bits.
    live: VectorRows = field(default_factory=lambda: VectorRows(_TAG_VALUES))
    fresh: VectorRows = field(init=False)
    doomed: list[int] = field(default_factory=list)  # removed ids that Milvus may hold
    uncompacted: bool = False  # Milvus has deleted entities since a compaction was last asked for
    job: int | None = None  # the compaction that was asked for, and has not ended
    surplus: int = 0  # what Milvus counts beyond what it should hold, as of the last comparison
    next_compaction: float = 0.0
    next_watch: float = 0.0
    again_at: float = 0.0  # when work in Milvus may begin again
    told: bool = False  # the failure was logged
    failures: int = 0  # grows with each that a comparison must follow
    shared: Shared | None = None  # where several servers search the collection

    def __post_init__(self) -> None:
        self.fresh = VectorRows(self.dimension)

    @property
    def clean(self) -> bool:
        """Return whether nothing is left to be deleted and compacted in Milvus."""
        idle = not self.doomed and not self.uncompacted and self.job is None
        return idle and (self.shared is None or (self.shared.leads and not len(self.shared.due)))

    @property
    def pending_deletions(self) -> int:
        """Return how many removed vectors Milvus may still have to delete."""
        return len(self.doomed) + (0 if self.shared is None else len(self.shared.due))

    def tags_of(self, rows: I64) -> I64:
        """Return the tags i64[n] of rows of `live`: each stands for a vector, and shows nothing of it without a key."""
        tags: I64 = np.ascontiguousarray(self.live.vectors[rows]).view(np.int64).ravel()
        return tags

    def require_complete(self) -> None:
        """Raise `IndexUnavailable` unless Milvus holds what it should."""
        if not self.complete:
            raise IndexUnavailable(message("error.gallery.milvus_incomplete"))

    def note_failure(self, error: IndexUnavailable, wipe: bool = False) -> None:
        """Have the collection compared before the next search, unless Milvus was only late, or holds nothing.

        `wipe`: drop it before. Searches may call it side by side.
        """
        if self.opened and not error.metadata.get("late"):
            self.complete = False
            self.wipe = self.wipe or wipe
            self.failures += 1
            if self.shared is not None:
                self.shared.asked = None
        self.again_at = self.clock() + _AGAIN_S
        if not self.told:
            _log.error("a gallery cannot be searched in Milvus, which is tried again: %s", error.what)
        self.told = True

    def note_success(self) -> None:
        """Resume the periodic comparison of counts, after Milvus succeeded."""
        if self.told:
            _log.info("a gallery can be searched in Milvus again")
        self.told = False
        self.next_watch = self.clock() + self.settings.watch_every_s

    def add(self, ids: I64, vectors: F32) -> None:
        """Add vectors f32[n, D] under ids i64[n], which Milvus does not have yet."""
        if not len(ids):
            return
        tags = b"".join(
            hashlib.blake2b(vector.tobytes(), digest_size=8, key=self.tag_key).digest() for vector in vectors
        )
        self.live.append(ids, np.frombuffer(tags, dtype=np.float32).reshape(-1, _TAG_VALUES))
        self.last_id = int(ids[-1])
        if self.filled:
            self.fresh.append(ids, vectors)
        if self.fresh.store_bytes > FRESH_BYTES:
            self.complete, self.reach = False, -1
            self.fresh = VectorRows(self.dimension)

    def remove(self, ids: I64) -> None:
        """Remove vectors; raises `KeyError` where one is not live."""
        self.live.remove(self.live.rows_of(ids))
        waiting = ids[np.isin(ids, self.fresh.ids)]
        self.fresh.remove(self.fresh.rows_of(waiting))
        if self.shared is None:
            self.doomed += ids[ids <= self.reach].tolist()
        elif self.shared.begun:  # the collection may have been given any of them
            self.doomed += ids.tolist()

    @property
    def must_trim(self) -> bool:
        """Return whether the rows of removed ids are many."""
        return len(self.live) > 2 * self.live.size + 1024

    def trim(self) -> None:
        """Drop the rows of removed ids where they are many."""
        if self.must_trim:
            kept, old = self.live.live, self.live
            self.live = VectorRows(_TAG_VALUES)
            self.live.append(old.ids[kept], old.vectors[kept])
