"""Measures the quality score: the misses that remain as the worst pairs are discarded, and error rates by quality.

The quality of a pair is that of the worse of its two faces.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.rejection import (
    DiscardPoint,
    QualityBin,
    discard_curve,
    pair_qualities,
    quality_edges,
    rates_by_quality,
)
from fr_evaluation.verification.compare import F64, AcrossPeople, ComparedPairs
from fr_locales.messages import message

BINS = 5


@dataclass(frozen=True, slots=True)
class QualityFigures:
    """The figures of the quality score at one threshold."""

    threshold: float
    discard: tuple[DiscardPoint, ...]  # misses that are left at each share of the mated pairs that is discarded
    # Both error rates in fifths of the mated pairs, lowest quality first; empty where qualities are alike.
    bins: tuple[QualityBin, ...]
    without: int  # pairs with a photo without a template: mated ones are misses in `discard`, and none is in a bin


def quality_figures(
    compared: ComparedPairs, across: AcrossPeople | None, scores: Mapping[Path, float], threshold: float
) -> QualityFigures:
    """Both figures; non-mated comparisons are those of every two people where these are named, else of the list.

    `scores` has the quality in [0, 1] of the face that was taken of each photo that gave a template; `threshold` is the
    pack's. Raises `UndefinedRate` if no mated pair was compared, or faces were given rather than found, so that none
    has a quality.
    """
    if len(compared.pairs) and not scores:
        raise UndefinedRate(message("undefined.core.faces_set_given_not"))
    mated = _of_pairs(compared, scores, mated=True)
    if across is None:
        others, nonmated = compared.nonmated_similarities, _of_pairs(compared, scores, mated=False)
    else:
        first, second = across.places()
        one_each = np.array([scores[photo] for photo in across.photos], dtype=np.float64)
        others, nonmated = across.similarities, pair_qualities(one_each[first], one_each[second])
    discard = discard_curve(compared.mated_similarities, mated, threshold, failures=compared.mated_failures)
    bins: tuple[QualityBin, ...] = ()
    with suppress(UndefinedRate):  # all qualities are alike: one bin would be the whole
        edges = _widened(quality_edges(mated, BINS), nonmated)
        bins = rates_by_quality(compared.mated_similarities, mated, others, nonmated, threshold, edges)
    return QualityFigures(threshold, discard, bins, len(compared.failed))


def _of_pairs(compared: ComparedPairs, scores: Mapping[Path, float], *, mated: bool) -> F64:
    pairs = [pair for pair in compared.pairs if pair.mated is mated]
    return pair_qualities(_scores((pair.a for pair in pairs), scores), _scores((pair.b for pair in pairs), scores))


def _scores(photos: Iterable[Path], scores: Mapping[Path, float]) -> F64:
    return np.array([scores[photo] for photo in photos], dtype=np.float64)


def _widened(edges: F64, qualities: F64) -> F64:
    """The same with outer ends that hold all qualities."""
    every = np.concatenate([edges, qualities])
    return np.array([every.min(), *edges[1:-1], every.max()])
