"""Scans a gallery from end to end: the templates similar to each template, a block at a time.

Each block sees the gallery at one version and holds it for one pass of the index, so that enrolment and searches go on.
Nothing is kept between blocks but a cursor: a caller that asks for no more blocks has ended the scan.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from fr_core.errors import UnknownGallery, message
from fr_core.gallery.index.protocol import F64, Hits, VectorIndex
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.gallery.search.searching import Views
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.values import GalleryRow
from fr_core.gallery.values import GalleryRef
from fr_core.types import F32, I64

T = TypeVar("T")

# Templates that are searched for in one pass: as many as searches that come together share one.
_AT_ONCE = 64
# Similar templates that are fetched at first for each; four times as many wherever all of them reach the threshold.
_FIRST = 64
_WIDER = 4
# Vectors, in bytes, that one pass may be asked for: its memory is some five times that, and its time a fraction of a
# second. Other calls wait for one pass.
_GATHERED_BYTES = 2**26
_MAX_ID = 2**63 - 1


def distinct(vectors: F32) -> tuple[I64, I64]:
    """Return the first row of each different vector of f32[n, D], i64[m], and which of these m each row is, i64[n]."""
    whole_row = np.dtype((np.void, vectors.shape[1] * vectors.itemsize))
    rows = np.ascontiguousarray(vectors).view(whole_row).ravel()
    _, first, kind = np.unique(rows, return_index=True, return_inverse=True)
    return first, kind


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position at which a scan continues."""

    gallery_no: int
    after: int  # the last template that was searched for; 0 = none yet
    until: int  # the newest template that is searched for: of those that came after the beginning, none is
    searched: int  # how many templates were searched for
    width: int = 0  # similar templates that are fetched for each; 0 = as at the beginning
    unfinished: int = 0  # the template that was compared with some of the others only; 0 = none
    compared: int = 0  # it was compared with those up to this one


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a scan."""

    searched: int
    total: int  # those that were there at the beginning and have not been deleted since
    gallery_version: int  # the version of the gallery that the last of them were searched in
    exhaustive: bool  # whether that compared each exactly; else the best of a compact scan were


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """The templates similar to those of a block."""

    template_ids: I64  # i64[n], ascending: what was searched for
    rows: I64  # i64[m], in [0, n): which of them is meant
    ids: I64  # i64[m]: a template that is similar to it; it itself may be among them
    similarities: F64  # f64[m], all of them at or above the threshold


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """The result of one pass over the index, and the state of the next.

    `finished`: of how many of the templates, from the first on, nothing is left to be found.
    """

    near: Near
    finished: int
    width: int = 0
    unfinished: int = 0
    compared: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A block of a scan, in the version that `progress` has."""

    gallery_no: int
    near: Near
    owners: I64  # i64[n], numbers of the subjects of `near.template_ids`
    others: I64  # i64[m], those of `near.ids`
    progress: Progress
    cursor: Cursor | None  # where to go on; None after the last block


Look = Callable[[GalleryMemory, I64, Cursor], Pass]
"""One bounded pass: from ascending templates, one or more, to what is similar to the first of them, or to none yet."""


class Scanner:
    """Scans galleries, one pass at a time however many scans there are."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._turn = threading.Lock()

    @contextmanager
    def block(self, gallery: GalleryRef, cursor: Cursor | None, look: Look) -> Iterator[tuple[Snapshot, Block]]:
        """Search for the next templates, and yield the snapshot of the same moment with what was found.

        `cursor`: where to go on; None = at the beginning.

        Raises `UnknownGallery`: there is no gallery of that id, or it is another than the cursor's; `GalleryExpired`:
        its time has passed.
        """

        def search(row: GalleryRow, memory: GalleryMemory) -> Block:
            if cursor is not None and cursor.gallery_no != row.gallery_no:
                raise UnknownGallery(message("error.gallery.gallery_deleted_while_searched"))
            return _searched(row, memory, cursor, look)

        with self.at_version(gallery, search) as found:
            yield found

    @contextmanager
    def at_version(
        self, gallery: GalleryRef, search: Callable[[GalleryRow, GalleryMemory], T]
    ) -> Iterator[tuple[Snapshot, T]]:
        """Call `search` with the memory at the version of a snapshot, and yield both; the memory is held no more."""

        def prepare(snapshot: Snapshot, row: GalleryRow) -> Callable[[GalleryMemory], T]:
            self._views.require_open(row)
            return lambda memory: search(row, memory)

        with self._turn, self._views.at_one_version(gallery, prepare) as (snapshot, _, found):
            yield snapshot, found


def older_near(threshold: float) -> Look:
    """Return what finds all older templates at or above a threshold, in as many passes as that takes.

    The more are near, the fewer templates a pass searches for. One that has more than a pass may compare is compared
    with all older ones, some in each pass.
    """

    def look(memory: GalleryMemory, template_ids: I64, cursor: Cursor) -> Pass:
        index, width = memory.index, cursor.width or _FIRST
        most = max(1, _GATHERED_BYTES // (np.dtype(np.float32).itemsize * index.dimension))
        if width > most:
            return _compared(memory, int(template_ids[0]), cursor, threshold, most)
        template_ids = template_ids[: most // width]
        hits = _like(index, template_ids, width)
        reaches = hits.similarities >= threshold
        reached = np.count_nonzero(reaches, axis=1)
        # Who has as many as were fetched may have others behind them: the pass ends before the first such template.
        full = np.flatnonzero(reached == width)
        finished = int(full[0]) if len(full) else len(template_ids)
        row, column = np.nonzero(reaches[:finished])
        ids = hits.ids[row, column]
        older = ids < template_ids[row]
        near = Near(template_ids[:finished], row[older], ids[older], hits.similarities[row, column][older])
        if len(full):
            width *= _WIDER
        elif int(reached.max(initial=0)) < width // _WIDER:
            width = max(_FIRST, width // _WIDER)
        return Pass(near, finished, width)

    return look


def nearest(threshold: float, k: int) -> Look:
    """Return what finds the k nearest others of each template, as far as they reach a threshold."""

    def look(memory: GalleryMemory, template_ids: I64, _: Cursor) -> Pass:
        hits = _like(memory.index, template_ids, k + 1)  # each finds itself
        row, column = np.nonzero(hits.similarities >= threshold)
        near = Near(template_ids, row, hits.ids[row, column], hits.similarities[row, column])
        return Pass(near, len(template_ids))

    return look


def _like(index: VectorIndex, template_ids: I64, k: int) -> Hits:
    """Search for the vectors of templates i64[n], for equal ones once: a photo of nobody may be enrolled for thousands.

    That spares most where it counts. An index takes longest for a probe that very many vectors are equally like.
    """
    vectors = index.vectors(template_ids)
    first, kind = distinct(vectors)
    hits = index.search(vectors[first], k)
    return Hits(hits.ids[kind], hits.similarities[kind], hits.exhaustive)


def _compared(memory: GalleryMemory, template_id: int, cursor: Cursor, threshold: float, most: int) -> Pass:
    compared = cursor.compared if cursor.unfinished == template_id else 0
    others, left = memory.live(compared, template_id - 1, most)
    template_ids = np.array([template_id], dtype=np.int64)
    hits = memory.index.search(memory.index.vectors(template_ids), most, others)
    reached = np.flatnonzero(hits.similarities[0] >= threshold)
    near = Near(template_ids, np.zeros_like(reached), hits.ids[0, reached], hits.similarities[0, reached])
    if left > len(others):
        return Pass(near, 0, cursor.width, template_id, int(others[-1]))
    return Pass(near, 1, max(_FIRST, cursor.width // _WIDER))


def _searched(row: GalleryRow, memory: GalleryMemory, cursor: Cursor | None, look: Look) -> Block:
    """Search for the templates behind a cursor, in one pass; see `Scanner.block`."""
    if cursor is None:
        everything, _ = memory.live(0, _MAX_ID, memory.index.size)
        cursor = Cursor(row.gallery_no, 0, int(everything[-1]) if len(everything) else 0, 0)
    template_ids, left = memory.live(cursor.after, cursor.until, _AT_ONCE)
    if len(template_ids):
        seen = look(memory, template_ids, cursor)
    else:
        nothing = np.empty(0, dtype=np.int64)
        seen = Pass(Near(nothing, nothing, nothing, np.empty(0)), 0)
    near, searched, total = seen.near, cursor.searched + seen.finished, cursor.searched + left
    follows = None
    if searched < total:
        after = int(template_ids[seen.finished - 1]) if seen.finished else cursor.after
        going_on = seen.width, seen.unfinished, seen.compared
        follows = Cursor(row.gallery_no, after, cursor.until, searched, *going_on)
    owners, others = memory.subjects_of(near.template_ids), memory.subjects_of(near.ids)
    progress = Progress(searched, total, row.info.version, memory.index.exact)
    return Block(row.gallery_no, near, owners, others, progress, follows)
