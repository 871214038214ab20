"""Answers a 1:N search, from the question to the candidates, on store and memory seen together at one version."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import TypeVar

from fr_core.errors import ReplicaBehind, message
from fr_core.gallery import checks
from fr_core.gallery.changes import require_open
from fr_core.gallery.query import ScoreFusion, SubjectFilter
from fr_core.gallery.search.filters import names_many, require_filter, templates_among
from fr_core.gallery.search.memories import Memories
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.gallery.search.ranking import RankedSubjects
from fr_core.gallery.search.truth import Truth
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.store.known import known_gallery
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.values import GalleryRow
from fr_core.gallery.values import Found, GalleryInfo, GalleryRef
from fr_core.storage.terms import made_in
from fr_core.types import Candidate, Decision, Embedding, Identification

T = TypeVar("T")

Prepare = Callable[[Snapshot, GalleryRow], Callable[[GalleryMemory], T]]
"""Reads from a snapshot, and returns the work on the memory of the same version."""


class Views:
    """Gives views of galleries. `now`: gives the time, UTC; `truth`: is read by indexes in the view."""

    def __init__(self, store: GalleryStore, memories: Memories, now: Callable[[], datetime], truth: Truth) -> None:
        self._store = store
        self._memories = memories
        self._now = now
        self._truth = truth
        self._turn = threading.Lock()

    def require_open(self, row: GalleryRow) -> None:
        """Raise `GalleryExpired` if the time of a gallery has passed."""
        require_open(row, self._now())

    @contextmanager
    def at_one_version(
        self, gallery: GalleryRef, prepare: Prepare[T], in_turn: bool = False
    ) -> Iterator[tuple[Snapshot, GalleryRow, T]]:
        """Do something with a snapshot and the memory of its version; yields what came of it, with the snapshot.

        The memory is held still while it is searched, not within the block, and not for `prepare` at first. Where the
        gallery has changed during that, `prepare` runs again while the memory is held, and the writer waits for it:
        otherwise, if preparing takes longer than the time between two changes, the search would never begin.

        Raises `ReplicaBehind`: this server has not got the changes of others in time, or may be taken for dead.

        `in_turn`: one view of this kind at a time, for those that read much; it waits before it holds a snapshot.
        """
        term = self._memories.require_term()
        with self._turn if in_turn else nullcontext():
            overtaken = False
            while True:
                changes = self._memories.changes
                # `GalleryStore.snapshot` would read something at once; here that is the row of the gallery.
                with self._store.database.reading_as(Snapshot) as snapshot:
                    row = known_gallery(snapshot, gallery)
                    search = None if overtaken else prepare(snapshot, row)
                    memory = self._memories.get(row.gallery_no)
                    if memory is None or memory.version < row.info.version:
                        self._memories.hurry()
                    if memory is not None:
                        with (
                            memory.at(row.info.version, self._memories.longest_s) as exact,
                            self._truth.within(snapshot),
                        ):
                            found = (search or prepare(snapshot, row))(memory) if exact else None
                        if exact:
                            assert found is not None
                            yield snapshot, row, found
                            now = self._memories.require_term()
                            if now.number != term.number:
                                raise ReplicaBehind(message("error.gallery.replica_cut_off"))
                            made_in(now)
                            return
                        overtaken = True
                if memory is None:  # created or deleted this very moment: the memory is about to follow
                    self._memories.wait_beyond(changes)


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Holds the arguments of `Galleries.search`.

    Raises `InvalidTopK`, `InvalidThreshold`, `InvalidFilter`: a value is out of range.
    """

    probe: Embedding
    k: int
    threshold: float
    only_above_threshold: bool
    fusion: ScoreFusion
    among: SubjectFilter | None

    def __post_init__(self) -> None:
        checks.require_top_k(self.k)
        checks.require_threshold(self.threshold)
        if self.among is not None:
            require_filter(self.among)

    @property
    def arguments(self) -> tuple[Embedding, int, float, bool, ScoreFusion, SubjectFilter | None]:
        """The arguments of `Galleries.search` after the gallery."""
        return self.probe, self.k, self.threshold, self.only_above_threshold, self.fusion, self.among

    @property
    def in_turn(self) -> bool:
        """Return whether it waits for its turn; see `Views.at_one_version`."""
        return self.among is not None and names_many(self.among)


Ask = Callable[[GalleryInfo], Question]  # returns the question for a gallery, or refuses it. It may run more than once.


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    question: Question
    ranked: RankedSubjects
    searched: int


def search(views: Views, gallery: GalleryRef, ask: Ask, in_turn: bool = False) -> Found:
    """Answer the question that `ask` has for a gallery.

    The gallery is read once: `ask` sees the version that is searched.

    Raises:
        GalleryExpired: its time has passed; `ask` has not refused.
        FrError: what `ask` and `Galleries.search` raise.
    """

    def prepare(snapshot: Snapshot, row: GalleryRow) -> Callable[[GalleryMemory], _Answer]:
        question = ask(row.info)
        views.require_open(row)
        vector = checks.unit_vector(question.probe, row.info.model, row.info.embedding_size)
        among = None if question.among is None else templates_among(snapshot, row.gallery_no, question.among)
        templates_of = partial(snapshot.template_ids_of, row.gallery_no)

        def answer(memory: GalleryMemory) -> _Answer:
            if question.fusion is ScoreFusion.MAX:
                ranked = memory.best_subjects(vector, question.k, among)
            else:
                ranked = memory.best_fused(question.fusion, vector, question.k, templates_of, among)
            return _Answer(question, ranked, memory.index.size if among is None else len(among))

        return answer

    with views.at_one_version(gallery, prepare, in_turn) as (snapshot, row, answer):
        return _found(snapshot, row, answer)


def _found(snapshot: Snapshot, row: GalleryRow, answer: _Answer) -> Found:
    best, question = answer.ranked, answer.question
    threshold = question.threshold
    shown = best.similarities >= threshold if question.only_above_threshold else slice(None)
    names = snapshot.subject_names(best.subject_nos[shown])
    scored = zip(
        best.subject_nos[shown].tolist(),
        best.template_ids[shown].tolist(),
        best.similarities[shown].tolist(),
        strict=True,
    )
    candidates = tuple(
        Candidate(names[no].subject_id, template_id, score, rank, score >= threshold)
        for rank, (no, template_id, score) in enumerate(scored, start=1)
    )
    leads = bool(candidates) and candidates[0].above_threshold
    decision = Decision.POTENTIAL_CANDIDATES if leads else Decision.NO_CANDIDATE
    return Found(
        Identification(candidates, threshold, decision, row.info.version, row.info.model),
        MappingProxyType({name.subject_id: name for name in names.values()}),
        question.fusion,
        answer.searched,
        best.exhaustive,
    )
