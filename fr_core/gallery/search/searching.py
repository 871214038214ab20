"""A 1:N search, from its question to its candidate list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from fr_core.gallery import checks
from fr_core.gallery.query import ScoreFusion, SubjectFilter
from fr_core.gallery.search.filters import names_many, require_filter, templates_among
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.gallery.search.ranking import RankedSubjects
from fr_core.gallery.search.views import Views
from fr_core.gallery.store.protocol import GalleryRow, Snapshot
from fr_core.gallery.values import Found, GalleryRef
from fr_core.types import Candidate, Decision, Embedding, Identification


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is asked of a gallery; the arguments of `Galleries.search`.

    Raises:
        InvalidTopK, InvalidThreshold, InvalidFilter: out of range.
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
    def in_turn(self) -> bool:
        """Whether it takes turns with others of its kind; see `Views.at_one_version`."""
        return self.among is not None and names_many(self.among)

    def prepared(self, snapshot: Snapshot, row: GalleryRow) -> Callable[[GalleryMemory], _Answer]:
        """Check the probe and read whom the filter lets through; see `views.Prepare`."""
        vector = checks.unit_vector(self.probe, row.info.model, row.info.embedding_size)
        among = None if self.among is None else templates_among(snapshot, row.gallery_no, self.among)
        templates_of = partial(snapshot.template_ids_of, row.gallery_no)

        def search(memory: GalleryMemory) -> _Answer:
            if self.fusion is ScoreFusion.MAX:
                ranked = memory.best_subjects(vector, self.k, among)
            else:
                ranked = memory.best_fused(self.fusion, vector, self.k, templates_of, among)
            return _Answer(ranked, memory.index.size if among is None else len(among))

        return search


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """What a memory says, among how many templates."""

    ranked: RankedSubjects
    searched: int


def search(views: Views, gallery: GalleryRef, question: Question) -> Found:
    """Answer a question; raises what `Galleries.search` raises."""
    with views.at_one_version(gallery, question.prepared, question.in_turn) as (snapshot, row, answer):
        best, threshold = answer.ranked, question.threshold
        shown = best.similarities >= threshold if question.only_above_threshold else slice(None)
        subject_nos = [int(no) for no in best.subject_nos[shown]]
        subjects = snapshot.subjects_by_no(subject_nos)
        scored = zip(subject_nos, best.template_ids[shown], best.similarities[shown], strict=True)
        candidates = tuple(
            Candidate(subjects[no].subject_id, int(template_id), float(score), rank, bool(score >= threshold))
            for rank, (no, template_id, score) in enumerate(scored, start=1)
        )
    leads = bool(candidates) and candidates[0].above_threshold
    decision = Decision.POTENTIAL_CANDIDATES if leads else Decision.NO_CANDIDATE
    return Found(
        Identification(candidates, threshold, decision, row.info.version, row.info.model),
        MappingProxyType({subject.subject_id: subject for subject in subjects.values()}),
        question.fusion,
        answer.searched,
        answer.ranked.exhaustive,
    )
