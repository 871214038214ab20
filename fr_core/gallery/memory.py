"""What searches need in memory: for each gallery its index and whose each template is, at one version.

A search that sees version v of the store must search version v of the memory. A reader therefore enters with the
version of its snapshot: it waits while the memory is behind, which lasts only as long as a finished commit takes to be
copied here, and takes a new snapshot where the memory has moved on. Readers that come after a commit wait for its copy,
so the writer waits for the searches that ran at its commit and for no others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from fr_core.errors import InternalError
from fr_core.gallery.changes import AddedVector, Effect
from fr_core.gallery.growing import GrowingArray
from fr_core.gallery.index import F64, VectorIndex, rows_of
from fr_core.gallery.indexes import new_index
from fr_core.gallery.store import StoredVectors
from fr_core.types import F32, I64

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class BestTemplates:
    """The most similar subjects, each by the best of its templates, best first.

    Attributes:
        subject_nos: i64[n], all different.
        template_ids: i64[n].
        similarities: f64[n], in [-1, 1], descending; equal ones in ascending order of the template ids.
    """

    subject_nos: I64
    template_ids: I64
    similarities: F64


class GalleryMemory:
    """The index of one gallery, and the subject of each template."""

    def __init__(self, index: VectorIndex, version: int) -> None:
        self._index = index
        self._template_ids = GrowingArray(np.int64)
        self._subject_nos = GrowingArray(np.int64)
        self._version = version
        self._broken = False
        self._readers = 0
        self._turn = threading.Condition()

    @property
    def size(self) -> int:
        """How many templates there are."""
        return self._index.size

    def load(self, stored: StoredVectors) -> None:
        """Add vectors of the store before anybody searches; their ids ascend from call to call."""
        self._index.add(stored.template_ids, stored.vectors)
        self._template_ids.append(stored.template_ids)
        self._subject_nos.append(stored.subject_nos)

    @contextmanager
    def at(self, version: int) -> Iterator[bool]:
        """Hold the memory still within the block; yields whether it is at `version`, and not beyond.

        Raises:
            InternalError: a change could not be copied to the memory, which is of no use any more.
        """
        with self._turn:
            self._turn.wait_for(lambda: self._version >= version or self._broken)
            if self._broken:
                raise InternalError("The index of the gallery is incomplete until the server starts anew.")
            exact = self._version == version
            self._readers += exact
        try:
            yield exact
        finally:
            if exact:
                with self._turn:
                    self._readers -= 1
                    if not self._readers:
                        self._turn.notify_all()

    def change(self, version: int, added: Sequence[AddedVector], removed: Sequence[int]) -> None:
        """Bring the memory to `version` as soon as nobody reads it."""
        with self._turn:
            self._turn.wait_for(lambda: not self._readers)
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

    def abandon(self) -> None:
        """Let nobody wait for a change any more, nor search what may lack one."""
        with self._turn:
            self._broken = True
            self._turn.notify_all()

    def best_subjects(self, probe: F32, k: int) -> BestTemplates:
        """Return the k subjects most similar to a probe f32[D], or all where there are fewer; call within `at`."""
        # Subjects have several templates: some more at first saves a second scan of everything.
        wanted = k + min(3 * k, 64)
        while True:
            hits = self._index.search(probe[None, :], wanted)
            template_ids = hits.ids[0]
            subject_nos = self._subject_nos.rows[rows_of(template_ids, self._template_ids.rows)]
            # The first template of a subject in the ranking is its best.
            _, first = np.unique(subject_nos, return_index=True)
            if len(first) >= k or len(template_ids) == self._index.size:
                first = np.sort(first)[:k]
                return BestTemplates(subject_nos[first], template_ids[first], hits.similarities[0][first])
            wanted *= 4

    def _remove(self, ids: I64) -> None:
        if len(ids):
            self._index.remove(ids)
            kept = np.ones(len(self._template_ids), dtype=bool)
            kept[rows_of(ids, self._template_ids.rows)] = False
            self._template_ids.keep(kept)
            self._subject_nos.keep(kept)

    def _add(self, added: Sequence[AddedVector]) -> None:
        if added:
            ids = np.array([item.template_id for item in added], dtype=np.int64)
            self._index.add(ids, np.stack([item.vector for item in added]))
            self._template_ids.append(ids)
            self._subject_nos.append(np.array([item.subject_no for item in added], dtype=np.int64))


class Memories:
    """The memory of every gallery."""

    def __init__(self, index: str) -> None:
        self._index = index
        new_index(index, 1)  # refuse a wrong name, or FAISS that is not installed, now rather than at the first gallery
        self._galleries: dict[int, GalleryMemory] = {}
        self._changed = threading.Condition()
        self._changes = 0
        self._abandoned = False

    def create(self, gallery_no: int, embedding_size: int, version: int) -> GalleryMemory:
        """Make the empty memory of a gallery."""
        memory = GalleryMemory(new_index(self._index, embedding_size), version)
        self._galleries[gallery_no] = memory
        return memory

    def get(self, gallery_no: int) -> GalleryMemory | None:
        """Return the memory of a gallery, or None where it was deleted, or was created only now."""
        return self._galleries.get(gallery_no)

    @property
    def changes(self) -> int:
        """How many times the memory was changed; for `wait_beyond`."""
        with self._changed:
            return self._changes

    def wait_beyond(self, changes: int) -> None:
        """Wait until the memory was changed more than `changes` times; raises `InternalError` once that is in vain."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes > changes or self._abandoned)
            if self._abandoned:
                raise InternalError("The thread that writes has died.")

    def abandon(self) -> None:
        """Let nobody wait for changes any more."""
        for memory in tuple(self._galleries.values()):
            memory.abandon()
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def apply(self, effects: Iterable[Effect]) -> None:
        """Copy the effects of a commit, in their order; a gallery never shows a part of them."""
        by_gallery: dict[int, list[Effect]] = {}
        for effect in effects:
            by_gallery.setdefault(effect.gallery.gallery_no, []).append(effect)
        for gallery_no, changes in by_gallery.items():
            self._apply(gallery_no, changes)
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def _apply(self, gallery_no: int, effects: Sequence[Effect]) -> None:
        if effects[-1].deleted:
            self._galleries.pop(gallery_no, None)
            return
        memory = self._galleries.get(gallery_no)
        if memory is None:
            memory = self.create(gallery_no, effects[0].gallery.info.embedding_size, 0)
        added: dict[int, AddedVector] = {}
        removed: list[int] = []
        for effect in effects:
            added.update((item.template_id, item) for item in effect.added)
            # What the same commit added and removed again never shows.
            removed.extend(no for no in effect.removed if added.pop(no, None) is None)
        memory.change(effects[-1].version, tuple(added.values()), removed)
