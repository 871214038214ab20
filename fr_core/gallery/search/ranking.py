"""From the similarities of templates to a ranking of their subjects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fr_core.gallery.index.protocol import F64, exact_similarity
from fr_core.gallery.query import ScoreFusion
from fr_core.gallery.search.sharing import Nearest
from fr_core.types import F32, I64


@dataclass(frozen=True, slots=True, eq=False)
class RankedSubjects:
    """Subjects by their similarity to a probe, best first."""

    subject_nos: I64  # i64[n], all different
    template_ids: I64  # i64[n], the most similar template of each
    similarities: F64  # f64[n], in [-1, 1], descending; equal ones in ascending order of the template ids
    exhaustive: bool  # whether no other subject could be among them; see `Hits`

    def first(self, k: int) -> RankedSubjects:
        """The k best."""
        return RankedSubjects(self.subject_nos[:k], self.template_ids[:k], self.similarities[:k], self.exhaustive)


def by_best_template(subject_nos: I64, found: Nearest) -> RankedSubjects:
    """Rank subjects by the best of their templates; subject_nos i64[n] are whose what was found is."""
    if len(set(subject_nos.tolist())) == len(subject_nos):  # as a rule; it takes half the time
        return RankedSubjects(subject_nos, found.ids, found.similarities, found.exhaustive)
    _, first = np.unique(subject_nos, return_index=True)
    first.sort()
    return RankedSubjects(subject_nos[first], found.ids[first], found.similarities[first], found.exhaustive)


def fused(
    fusion: ScoreFusion, probe: F32, subject_nos: I64, template_ids: I64, vectors: F32, exhaustive: bool
) -> RankedSubjects:
    """Rank subjects by the fused similarity of all their templates.

    Templates that cancel each other out have no mean direction: with `MEAN_TEMPLATE` their subject is left out.

    Args:
        probe: f32[D], length 1.
        subject_nos: i64[n], whose each template is.
        template_ids: i64[n].
        vectors: f32[n, D], length 1.
        exhaustive: whether these are all subjects that there are.
    """
    similarities = exact_similarity(vectors, probe)
    order = np.lexsort((template_ids, -similarities, subject_nos))  # by subject, its best template first
    starts = np.flatnonzero(np.diff(subject_nos[order], prepend=-1))
    best = order[starts]
    if fusion is ScoreFusion.MAX:
        scores = similarities[best]
    elif fusion is ScoreFusion.MEAN_TOP_2:
        several = np.diff(starts, append=len(order)) > 1
        scores = (similarities[best] + similarities[order[starts + several]]) / 2.0
    else:
        sums = np.add.reduceat(vectors[order].astype(np.float64), starts, axis=0)
        lengths = np.linalg.norm(sums, axis=1)
        found = lengths > 0.0
        best = best[found]
        scores = np.clip(np.vecdot(sums[found] / lengths[found, None], probe.astype(np.float64)), -1.0, 1.0)
    ranking = np.lexsort((template_ids[best], -scores))
    return RankedSubjects(subject_nos[best][ranking], template_ids[best][ranking], scores[ranking], exhaustive)
