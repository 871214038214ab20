"""The judge of searches: similarities of everything in float64, and what an index found held against them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fr_bench.speed.search_gallery import Gallery
from fr_bench.speed.search_report import Accuracy
from fr_core.gallery.index.protocol import F64, best_first, exact_similarity
from fr_core.types import F32, I64

# Vectors that are compared at a time: 64 MiB of similarities for 1,000 probes.
_ROWS = 8192

# Two ways of summing D products of float64 differ by less; whatever is as near to a similarity is a tie with it.
TIE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The candidates of an exact search: ids i64[p, k] and similarities f64[p, k] of each probe, the best first."""

    ids: I64
    similarities: F64
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The candidates that a subject returned for the probes at `places`, i64[n]: ids i64[n, k], -1 where fewer."""

    places: I64
    ids: I64
    scores: F64


def exact_search(gallery: Gallery, probes: F32, k: int) -> Truth:
    """Compare every probe f32[p, D] with every vector, in blocks; k must not exceed the size of the gallery."""
    start = time.perf_counter()
    wide = probes.astype(np.float64)
    ids: list[I64] = [np.empty(0, dtype=np.int64) for _ in probes]
    best: list[F64] = [np.empty(0, dtype=np.float64) for _ in probes]
    worst: F64 = np.full(len(probes), -np.inf)
    for first, vectors in gallery.loads():
        for begin in range(0, len(vectors), _ROWS):
            found = wide @ vectors[begin : begin + _ROWS].astype(np.float64).T
            np.clip(found, -1.0, 1.0, out=found)  # as `exact_similarity` does
            better = found > worst[:, None]  # an equal one has a greater id than those before, and comes behind them
            for place in np.flatnonzero(better.any(axis=1)):
                columns = np.flatnonzero(better[place])
                joined = np.concatenate([ids[place], columns + (first + begin)])
                values = np.concatenate([best[place], found[place, columns]])
                ids[place], best[place] = best_first(joined, values, k)
                worst[place] = best[place][-1] if len(best[place]) == k else -np.inf
    return Truth(np.stack(ids), np.stack(best), time.perf_counter() - start)


def judge(
    gallery: Gallery, probes: F32, truth: Truth, answered: Mapping[str, Sequence[Answers]]
) -> dict[str, Accuracy]:
    """Hold the answers of each subject, one at least, against the truth of probes f32[p, D].

    A vector that ties with one of the truth is as right as that one.
    """
    named = [answers.ids for several in answered.values() for answers in several]
    ids = np.unique(np.concatenate([found.ravel() for found in named]))
    ids = ids[ids >= 0]
    vectors = gallery.vectors_of(ids)
    return {
        subject: _accuracy([_judged(one, probes, truth, ids, vectors) for one in several])
        for subject, several in answered.items()
    }


@dataclass(frozen=True, slots=True)
class _Judged:
    probes: int
    first: int
    found: int
    wanted: int
    error: float


def _judged(answers: Answers, probes: F32, truth: Truth, ids: I64, vectors: F32) -> _Judged:
    first, found, error = 0, 0, 0.0
    for place, row, scores in zip(answers.places, answers.ids, answers.scores, strict=True):
        _, kept = np.unique(row, return_index=True)  # whatever an answer names twice counts once
        kept = np.sort(kept[row[kept] >= 0])
        exact = exact_similarity(vectors[np.searchsorted(ids, row[kept])], probes[place])
        wanted = truth.similarities[place]
        first += bool(len(kept)) and bool(kept[0] == 0) and bool(exact[0] >= wanted[0] - TIE)
        found += int((exact >= wanted[-1] - TIE).sum())
        error = max(error, float(np.abs(exact - scores[kept]).max(initial=0.0)))
    return _Judged(len(answers.places), first, found, len(answers.places) * truth.ids.shape[1], error)


def _accuracy(parts: Sequence[_Judged]) -> Accuracy:
    probes = sum(part.probes for part in parts)
    recall = sum(part.found for part in parts) / sum(part.wanted for part in parts)
    return Accuracy(probes, sum(part.first for part in parts) / probes, recall, max(part.error for part in parts))
