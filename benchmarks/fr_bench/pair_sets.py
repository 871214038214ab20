"""Verification: pairs of photos to similarities, and these to accuracy and error rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fr_bench.values import Measure, Outcome
from fr_core.scoring.intervals import rate
from fr_core.scoring.verification import (
    best_threshold_accuracy,
    false_match_rate,
    kfold_accuracy,
    operating_point,
    threshold_at_fmr,
)
from fr_core.types import Embedding
from fr_datasets.values import PairSet, PeopleSet
from fr_evaluation.photos import Photos
from fr_evaluation.pick import Pick
from fr_evaluation.verification.compare import ComparedPairs, compare

# False match rates whose thresholds are printed, where there are enough pairs of different people to show them.
TARGET_FMRS = (1e-3, 1e-4, 1e-5)


def compare_pairs(
    pairs: PairSet, pick: Pick, people: PeopleSet | None, photos: Photos, threshold: float
) -> tuple[Outcome, ...]:
    """Verify one set of pairs at the pack's threshold, and every two of further people, each by the first photo."""
    firsts = [] if people is None else [person.photos[0] for person in people.people]
    embedded = photos.embed([*pairs.photos, *firsts])
    chosen = {path: pick(photo) for path, photo in embedded.items()}
    embeddings = {path: None if face is None else face.embedding for path, face in chosen.items()}
    compared = compare(pairs.pairs, embeddings)
    measures = [*_accuracy(compared), *_faceless(pairs.photos, embeddings), *_at_default(compared, threshold)]
    notes = [
        f"{path.name}: {photo.refusal or 'no face found'}."
        for path, photo in embedded.items()
        if embeddings[path] is None
    ]
    if firsts:
        measures += _across_people([embeddings[path] for path in firsts], threshold)
        notes.append("Across people each photo is compared many times: the true interval is wider than the one shown.")
    return (Outcome(pairs.name, tuple(measures), tuple(notes)),)


def _accuracy(compared: ComparedPairs) -> list[Measure]:
    best = best_threshold_accuracy(compared.similarities, compared.mated, len(compared.failed))
    label = f"accuracy at the best threshold, {best.threshold:.3f}"
    right = rate(best.n - best.n_wrong, best.n)
    measures = [Measure("best_threshold_accuracy", label, best.accuracy, right, threshold=best.threshold)]
    if compared.folds.any():
        folded = kfold_accuracy(compared.similarities, compared.mated, compared.folds, compared.failed_folds)
        label = f"accuracy over {len(folded.folds)} folds, threshold from the others (s.e. {folded.standard_error:.4f})"
        measures.append(Measure("fold_accuracy", label, folded.mean, folded.pooled))
    return measures


def _faceless(paths: tuple[Path, ...], embeddings: dict[Path, Embedding | None]) -> list[Measure]:
    without = sum(embeddings[path] is None for path in paths)
    return [Measure("photos_without_face", "photos without a face", without, rate(without, len(paths)))]


def _at_default(compared: ComparedPairs, threshold: float) -> list[Measure]:
    point = operating_point(
        compared.similarities,
        compared.mated,
        threshold,
        mated_failures=compared.mated_failures,
        nonmated_failures=compared.nonmated_failures,
    )
    n = len(compared.similarities) + point.failures
    right = rate(n - point.fmr.count - point.fnmr.count - compared.nonmated_failures, n)
    where = f"at the pack's threshold, {threshold:.3f}"
    return [
        Measure("default_accuracy", f"accuracy {where}", right.value, right, threshold=threshold),
        Measure("default_fmr", f"false match rate {where}", point.fmr.value, point.fmr, threshold=threshold),
        Measure("default_fnmr", f"false non-match rate {where}", point.fnmr.value, point.fnmr, threshold=threshold),
    ]


def _across_people(embeddings: list[Embedding | None], threshold: float) -> list[Measure]:
    """The false match rate over every two different people, one photo each; people without a face are left out."""
    vectors = np.array([embedding.vector for embedding in embeddings if embedding is not None], dtype=np.float64)
    similarities = (vectors @ vectors.T)[np.triu_indices(len(vectors), k=1)]
    found = false_match_rate(similarities, threshold)
    across = f"across {len(vectors)} people"
    label = f"false match rate {across} at the pack's threshold, {threshold:.3f}"
    measures = [Measure("across_people_fmr", label, found.value, found, threshold=threshold)]
    for target in TARGET_FMRS:
        if target * len(similarities) >= 1:
            at = threshold_at_fmr(similarities, target)
            key = f"across_people_threshold_at_fmr_{target:.0e}".replace("e-0", "e-")
            label = f"threshold for a false match rate of {target:.0e} {across}".replace("e-0", "e-")
            measures.append(Measure(key, label, at))
    return measures
