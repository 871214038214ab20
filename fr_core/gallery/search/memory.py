"""Keeps in memory what searches of a gallery need: its index and the subject of each template, at one version.

A search that sees version v of the store must search version v of the memory. A reader therefore enters with the
version of its snapshot: it waits while the memory is behind, which lasts only as long as a finished commit takes to be
copied here, and takes a new snapshot where the memory has moved on. Readers that come after a commit wait for its copy,
so the writer waits for the searches that ran at its commit, for a piece of the index's upkeep, and for nothing else.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from fr_core.errors import InternalError, ReplicaBehind, message
from fr_core.gallery.effects import AddedVector
from fr_core.gallery.index.growing import GrowingArray
from fr_core.gallery.index.protocol import Upkeep, VectorIndex, rows_of
from fr_core.gallery.query import ScoreFusion
from fr_core.gallery.search.ranking import RankedSubjects, by_best_template, fused
from fr_core.gallery.search.sharing import Nearest, SharedSearch
from fr_core.gallery.store.values import StoredVectors
from fr_core.types import F32, I64

_log = logging.getLogger(__name__)

# Templates whose subjects are candidates where similarities are fused.
_POOL = 1000
_REMOVED = -1
# Beyond every version: a search that waits for one takes a new snapshot.
_RETIRED = 2**63 - 1
# Rows of removed templates are dropped when they are more than the others, and more than this.
_FEW_ROWS = 1024


class GalleryMemory:
    """The index of one gallery, and the subject of each template."""

    def __init__(self, index: VectorIndex, version: int) -> None:
        self._index = index
        self._shared = SharedSearch(index.search, index.together)
        self._template_ids = GrowingArray(np.int64)
        self._subject_nos = GrowingArray(np.int64)  # _REMOVED where the template is gone
        self._version = version
        self._broken = False
        self._readers = 0
        self._claimed = False
        self._turn = threading.Condition()

    @property
    def index(self) -> VectorIndex:
        """Return where the vectors are searched."""
        return self._index

    @property
    def broken(self) -> bool:
        """Return whether it refuses to be searched, for it may lack somebody."""
        return self._broken

    @property
    def version(self) -> int:
        """Return the version of the gallery that it has."""
        return self._version

    def load(self, stored: StoredVectors) -> None:
        """Add vectors of the store before anybody searches; their ids ascend from call to call."""
        self._index.add(stored.template_ids, stored.vectors)
        self._template_ids.append(stored.template_ids)
        self._subject_nos.append(stored.subject_nos)

    @contextmanager
    def at(self, version: int, longest_s: float | None = None) -> Iterator[bool]:
        """Hold the memory still within the block; yields whether it is at `version`, and not beyond.

        Raises `InternalError`: a change could not be copied to the memory, which is of no use any more;
        `ReplicaBehind`: it has not got as far within `longest_s`.
        """
        with self._turn:
            there = self._turn.wait_for(
                lambda: (self._version >= version and not self._claimed) or self._broken, longest_s
            )
            if self._broken:
                raise InternalError(message("error.gallery.index_gallery_incomplete_until"))
            if not there:
                raise ReplicaBehind(message("error.gallery.replica_behind"))
            exact = self._version == version
            self._readers += exact
        try:
            yield exact
        finally:
            if exact:
                self._leave()

    def change(self, version: int, added: Sequence[AddedVector], removed: Sequence[int]) -> None:
        """Bring the memory to `version` as soon as nobody reads it."""
        with self._turn:
            # Who comes now with a snapshot from before the commit need not wait: there are ever fewer of them.
            self._turn.wait_for(lambda: not self._readers and not self._claimed)
            try:
                self._remove(np.array(sorted(removed), dtype=np.int64))
                self._add(added)
            # The change is durable whatever happens here, and the thread that writes must live on. The gallery refuses
            # to be searched from now on, rather than answer from a memory that lacks somebody.
            except Exception as error:  # noqa: BLE001
                self._broken = True
                _log.error("a change could not be copied to the index: %s", type(error).__name__)
            finally:
                self._version = version
                self._turn.notify_all()

    def keep_up(self) -> bool:
        """Do one piece of the index's upkeep while it is searched and changed; False where there was none to do.

        Called by one thread at a time.
        """
        with self._turn:
            if self._broken:
                return False
            self._readers += 1
        try:
            work = self._index.upkeep()
        finally:
            self._leave()
        if work is None:
            return False
        work.prepare()
        self._finish(work)
        return True

    def abandon(self) -> None:
        """Let nobody wait for a change any more, nor search what may lack one."""
        with self._turn:
            self._broken = True
            self._turn.notify_all()

    def retire(self) -> None:
        """Send later searches to a new snapshot, and wait for those that read."""
        with self._turn:
            self._turn.wait_for(lambda: not self._readers and not self._claimed)
            self._version = _RETIRED
            self._turn.notify_all()

    def best_subjects(self, probe: F32, k: int, among: I64 | None = None) -> RankedSubjects:
        """Return the k subjects whose best templates are most similar to a probe; call within `at`.

        Args:
            probe: f32[D], length 1.
            k: at least 1; all subjects where there are fewer.
            among: ascending ids of the templates that are searched; None = all.
        """
        # Subjects have several templates: some more at first saves a second scan of everything.
        wanted = k + min(3 * k, 64)
        while True:
            found = self._best(probe, wanted, among)
            ranked = by_best_template(self._subjects_of(found.ids), found)
            if len(ranked.subject_nos) >= k or len(found.ids) < wanted:
                return ranked.first(k)
            wanted *= 4

    def best_fused(
        self, fusion: ScoreFusion, probe: F32, k: int, templates_of: Callable[[I64], I64], among: I64 | None = None
    ) -> RankedSubjects:
        """Return the k subjects of the highest fused similarity; call within `at`.

        Args:
            fusion: how the templates of a subject are fused.
            probe: f32[D], length 1.
            k: at least 1.
            templates_of: from ascending numbers of subjects to the ascending ids of all their templates.
            among: as in `best_subjects`; of a subject, all templates or none.
        """
        pool = max(_POOL, 4 * k)
        near = self._best(probe, pool, among)
        template_ids = templates_of(np.unique(self._subjects_of(near.ids)))
        subject_nos, vectors = self._subjects_of(template_ids), self._index.vectors(template_ids)
        everybody = near.exhaustive and len(near.ids) < pool
        return fused(fusion, probe, subject_nos, template_ids, vectors, everybody).first(k)

    def live(self, after: int, until: int, limit: int) -> tuple[I64, int]:
        """Return the first ids i64[n <= limit] of templates, ascending, that are beyond `after` and not beyond `until`.

        Call within `at`. The number is that of all such templates, those beyond the limit among them.
        """
        ids = self._template_ids.rows
        between = slice(*np.searchsorted(ids, (after, until), side="right"))
        rows = np.flatnonzero(self._subject_nos.rows[between] != _REMOVED)
        return ids[between][rows[:limit]], len(rows)

    def subjects_of(self, template_ids: I64) -> I64:
        """Return the numbers of the subjects of templates i64[n], -1 where one is gone; call within `at`."""
        ids = self._template_ids.rows
        if not len(ids):
            return np.full(len(template_ids), _REMOVED, dtype=np.int64)
        rows = np.minimum(np.searchsorted(ids, template_ids), len(ids) - 1)
        return np.where(ids[rows] == template_ids, self._subject_nos.rows[rows], _REMOVED)

    def holds(self, template_ids: I64) -> npt.NDArray[np.bool_]:
        """Return which of templates i64[n] are there, bool[n]; call within `at`, or as the one who changes it."""
        there: npt.NDArray[np.bool_] = self.subjects_of(template_ids) != _REMOVED
        return there

    def _subjects_of(self, template_ids: I64) -> I64:
        return self._subject_nos.rows[rows_of(template_ids, self._template_ids.rows)]

    def _best(self, probe: F32, k: int, among: I64 | None) -> Nearest:
        if among is None:
            return self._shared.best(probe, k)
        return Nearest.of(self._index.search(probe[None, :], k, among), 0, k)

    def _finish(self, work: Upkeep) -> None:
        with self._turn:
            self._claimed = True  # who comes waits, for there is no end of them
            try:
                self._turn.wait_for(lambda: not self._readers)
                work.finish()
            except BaseException:
                self._broken = True  # what is left may be half of the index
                raise
            finally:
                self._claimed = False
                self._turn.notify_all()

    def _leave(self) -> None:
        with self._turn:
            self._readers -= 1
            if not self._readers:
                self._turn.notify_all()

    def _remove(self, ids: I64) -> None:
        if len(ids):
            self._index.remove(ids)
            self._subject_nos.rows[rows_of(ids, self._template_ids.rows)] = _REMOVED
            removed = len(self._template_ids) - self._index.size
            if removed > max(_FEW_ROWS, self._index.size):
                kept = self._subject_nos.rows != _REMOVED
                self._template_ids.keep(kept)
                self._subject_nos.keep(kept)

    def _add(self, added: Sequence[AddedVector]) -> None:
        if added:
            ids = np.array([item.template_id for item in added], dtype=np.int64)
            self._index.add(ids, np.stack([item.vector for item in added]))
            self._template_ids.append(ids)
            self._subject_nos.append(np.array([item.subject_no for item in added], dtype=np.int64))
