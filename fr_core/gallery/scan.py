"""From one end of a gallery to the other: what is like each template, a block of templates at a time.

Each block sees the gallery at one version and holds it for one pass of the index, so that enrolment and searches go on.
Nothing is kept between blocks but a cursor: whoever asks for no more blocks has ended the scan.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from fr_core.errors import UnknownGallery
from fr_core.gallery.index import F64, VectorIndex
from fr_core.gallery.memory import GalleryMemory
from fr_core.gallery.store import GalleryRow, Snapshot
from fr_core.gallery.views import Views
from fr_core.types import I64

T = TypeVar("T")

# Templates that are searched for in one pass: as many as searches that come together share one.
_AT_ONCE = 64
# Similar templates that are fetched at first of each; four times as many wherever all of them reach the threshold.
_FIRST = 64
# Similar templates that a block fetches at most, but for a single template with more: 16 MiB.
_TOGETHER = 2**20
_MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a scan goes on.

    Attributes:
        gallery_no: the store's number of the gallery.
        after: the last template that was searched for; 0 = none yet.
        until: the newest template that is searched for: of those that came after the beginning, none is.
        searched: how many templates were searched for.
    """

    gallery_no: int
    after: int
    until: int
    searched: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan has come.

    Attributes:
        searched: templates that were searched for.
        total: those that were there at the beginning and have not been deleted since.
        gallery_version: the version of the gallery that the last of them were searched in.
        exhaustive: whether that compared each exactly; else the best of a compact scan were.
    """

    searched: int
    total: int
    gallery_version: int
    exhaustive: bool


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """What is similar to the templates of a block.

    Attributes:
        template_ids: i64[n], ascending: what was searched for.
        rows: i64[m], in [0, n): which of them is meant.
        ids: i64[m]: a template that is similar to it; it itself may be among them.
        similarities: f64[m], all of them at or above the threshold.
    """

    template_ids: I64
    rows: I64
    ids: I64
    similarities: F64


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A block of a scan, in the version that `progress` has.

    Attributes:
        gallery_no: the store's number of the gallery.
        near: what was found.
        owners: i64[n], numbers of the subjects of `near.template_ids`.
        others: i64[m], those of `near.ids`.
        progress: of the scan.
        cursor: where to go on; None after the last block.
    """

    gallery_no: int
    near: Near
    owners: I64
    others: I64
    progress: Progress
    cursor: Cursor | None


Look = Callable[[VectorIndex, I64], Near]


class Scanner:
    """Scans galleries, one pass at a time however many scans there are.

    Args:
        views: of the galleries.
    """

    def __init__(self, views: Views) -> None:
        self._views = views
        self._turn = threading.Lock()

    @contextmanager
    def block(self, gallery_id: str, cursor: Cursor | None, look: Look) -> Iterator[tuple[Snapshot, Block]]:
        """Search for the next templates, and yield the snapshot of the same moment with what was found.

        Args:
            gallery_id: of the gallery.
            cursor: where to go on; None = at the beginning.
            look: from ascending templates to what is similar to the first of them, one or more.

        Raises:
            UnknownGallery: there is no gallery of that id, or it is another than the cursor's.
            GalleryExpired: its time has passed.
        """

        def search(row: GalleryRow, memory: GalleryMemory) -> Block:
            if cursor is not None and cursor.gallery_no != row.gallery_no:
                raise UnknownGallery("The gallery was deleted while it was searched.")
            return _searched(row, memory, cursor, look)

        with self.at_version(gallery_id, search) as found:
            yield found

    @contextmanager
    def at_version(
        self, gallery_id: str, search: Callable[[GalleryRow, GalleryMemory], T]
    ) -> Iterator[tuple[Snapshot, T]]:
        """Call `search` with the memory at the version of a snapshot, and yield both; the memory is held no more."""

        def prepare(snapshot: Snapshot, row: GalleryRow) -> Callable[[GalleryMemory], T]:
            return lambda memory: search(row, memory)

        with self._turn, self._views.at_one_version(gallery_id, prepare) as (snapshot, _, found):
            yield snapshot, found


def everything_near(threshold: float) -> Look:
    """Return what finds all templates at or above a threshold; may take fewer templates than it is given."""

    def look(index: VectorIndex, template_ids: I64) -> Near:
        probes, taken, k = index.vectors(template_ids), len(template_ids), _FIRST
        waiting = np.arange(taken)
        rows, ids, similarities = [], [], []
        while len(waiting):
            hits = index.search(probes[waiting], k)
            reaches = hits.similarities >= threshold
            # The last of k that reaches the threshold may have others behind it.
            full = (reaches[:, -1]) & (reaches.shape[1] == k)
            row, column = np.nonzero(reaches & ~full[:, None])
            rows.append(waiting[row])
            ids.append(hits.ids[row, column])
            similarities.append(hits.similarities[row, column])
            waiting, k = waiting[full], 4 * k
            if len(waiting) > 1 and len(waiting) * k > _TOGETHER:
                # The block ends before the first that waits, or with it alone; the rest is of a later block.
                taken = max(1, int(waiting[0]))
                waiting = waiting[waiting < taken]
        return _first(taken, template_ids, np.concatenate(rows), np.concatenate(ids), np.concatenate(similarities))

    return look


def nearest(threshold: float, k: int) -> Look:
    """Return what finds the k nearest others of each template, as far as they reach a threshold."""

    def look(index: VectorIndex, template_ids: I64) -> Near:
        hits = index.search(index.vectors(template_ids), k + 1)  # each finds itself
        row, column = np.nonzero(hits.similarities >= threshold)
        return Near(template_ids, row, hits.ids[row, column], hits.similarities[row, column])

    return look


def _first(taken: int, template_ids: I64, rows: I64, ids: I64, similarities: F64) -> Near:
    """Return what was found of the first templates alone, those of one template together, the best first."""
    kept = np.flatnonzero(rows < taken)
    order = kept[np.lexsort((ids[kept], -similarities[kept], rows[kept]))]
    return Near(template_ids[:taken], rows[order], ids[order], similarities[order])


def _searched(row: GalleryRow, memory: GalleryMemory, cursor: Cursor | None, look: Look) -> Block:
    if cursor is None:
        everything, _ = memory.live(0, _MAX_ID, memory.index.size)
        cursor = Cursor(row.gallery_no, 0, int(everything[-1]) if len(everything) else 0, 0)
    template_ids, left = memory.live(cursor.after, cursor.until, _AT_ONCE)
    if len(template_ids):
        near = look(memory.index, template_ids)
    else:
        nothing = np.empty(0, dtype=np.int64)
        near = Near(nothing, nothing, nothing, np.empty(0))
    searched = cursor.searched + len(near.template_ids)
    total = cursor.searched + left
    follows = None
    if searched < total:
        follows = Cursor(row.gallery_no, int(near.template_ids[-1]), cursor.until, searched)
    owners, others = memory.subjects_of(near.template_ids), memory.subjects_of(near.ids)
    progress = Progress(searched, total, row.info.version, memory.index.exact)
    return Block(row.gallery_no, near, owners, others, progress, follows)
