"""The evaluation: the real pipeline over the sets of labelled photos, to a report that carries its own conditions."""

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

import fr_core
from fr_bench.bench_commands.options import SetName
from fr_bench.values import Bar, Machine, Measure, Outcome, Report, SetReport
from fr_core.engine import Engine
from fr_core.errors import InputRefused
from fr_core.imaging import KNOWN_FORMATS, ImageLimits, decode
from fr_core.scoring.intervals import rate
from fr_core.scoring.verification import (
    best_threshold_accuracy,
    false_match_rate,
    kfold_accuracy,
    operating_point,
    threshold_at_fmr,
)
from fr_core.types import Embedding
from fr_datasets import celeba_wild, deepface, groups, lfw, nonface, odd_formats
from fr_datasets.values import CountedPhoto, CountedSet, PairSet, PeopleSet
from fr_evaluation.photos import CountedFaces, Photos, Pick, largest, most_central
from fr_evaluation.verification.compare import ComparedPairs, compare

# The set holds one file of 29 million pixels, and formats that a server does not accept unless it is told to.
WIDE_LIMITS = ImageLimits(max_bytes=64 * 1024 * 1024, max_pixels=40_000_000, formats=tuple(sorted(KNOWN_FORMATS)))


def count_nonface(parts: Iterable[CountedSet], photos: Photos) -> tuple[Outcome, ...]:
    """Count the photos without a face in which the default limits detect one."""
    return tuple(_nonface(part, _count(part, photos)) for part in parts)


def count_groups(group: CountedSet, photos: Photos) -> tuple[Outcome, ...]:
    """Count the group photos in which the default limits find every face and no other."""
    counted = _count(group, photos)
    wrong = [_note(photo, found) for photo, found in counted if not as_expected(photo, found)]
    right = len(counted) - len(wrong)
    label = "photos with exactly the right count"
    measure = Measure("photos_counted_right", label, right, rate(right, len(counted)))
    return (Outcome(group.name, (measure,), tuple(wrong)),)


def count_odd_formats(odd: CountedSet, photos: Photos) -> tuple[Outcome, ...]:
    """Count the odd files with a wrong answer in `WIDE_LIMITS`, and what the default limits refuse."""
    counted = _count(odd, photos, WIDE_LIMITS)
    wrong = [_note(photo, found) for photo, found in counted if not as_expected(photo, found)]
    refused = Counter(_refusal(photo, ImageLimits()) for photo in odd.photos)
    del refused[""]
    n, total = len(counted), refused.total()
    measures = (
        Measure("files_not_as_expected", "files with another answer than expected", len(wrong), rate(len(wrong), n)),
        Measure("refused_by_default", "files that the default limits refuse", total, rate(total, n)),
    )
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(refused.items()))
    notes = (
        f"Limits widened to {WIDE_LIMITS.max_pixels / 1e6:.0f} MP, {WIDE_LIMITS.max_bytes >> 20} MiB "
        f"and the formats {', '.join(WIDE_LIMITS.formats)}.",
        f"Refused by the default limits: {reasons}.",
        *wrong,
    )
    return (Outcome(odd.name, measures, notes),)


def as_expected(photo: CountedPhoto, found: CountedFaces) -> bool:
    """Return whether a photo was counted as one of its right counts, or refused where it must be."""
    if photo.must_be_refused:
        return bool(found.refusal)
    return not found.refusal and found.found in photo.counts


def _count(
    counted: CountedSet, photos: Photos, limits: ImageLimits | None = None
) -> list[tuple[CountedPhoto, CountedFaces]]:
    found = photos.count([photo.path for photo in counted.photos], limits or ImageLimits())
    return list(zip(counted.photos, found, strict=True))


def _nonface(part: CountedSet, counted: Sequence[tuple[CountedPhoto, CountedFaces]]) -> Outcome:
    detected = [_note(photo, found) for photo, found in counted if found.found]
    refused = [_note(photo, found) for photo, found in counted if found.refusal]
    n = len(counted)
    measures = (
        Measure("photos_with_detections", "photos with a detection", len(detected), rate(len(detected), n)),
        Measure("photos_refused", "photos refused", len(refused), rate(len(refused), n)),
    )
    return Outcome(part.name, measures, (*detected, *refused))


def _note(photo: CountedPhoto, found: CountedFaces) -> str:
    expected = "a refusal" if photo.must_be_refused else " or ".join(str(count) for count in photo.counts)
    return f"{photo.path.name}: expected {expected}, got {found.refusal or found.found}."


def _refusal(photo: CountedPhoto, limits: ImageLimits) -> str:
    """The reason why a file is refused within `limits`; empty where it is not."""
    try:
        decode(photo.path.read_bytes(), limits)
    except InputRefused as refusal:
        return refusal.reason
    return ""


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


Counted = TypeVar("Counted")

# The pack that the bars were set for. Another pack prints the same figures without bars.
PACK = "buffalo_s"

# By (part of a set, key of a measure). For comparison, InsightFace's own pipeline with the same weights, at its default
# input of 640 px: lfw .9925 and 2 photos without a face, celeba_wild .9750, deepface 1.000, nonface 0 easy and 6 hard.
BARS: Mapping[tuple[str, str], Bar] = {
    ("lfw", "best_threshold_accuracy"): Bar(0.9980, at_least=True),
    ("lfw", "photos_without_face"): Bar(0, at_least=False),
    ("celeba_wild", "best_threshold_accuracy"): Bar(0.9780, at_least=True),
    ("deepface", "best_threshold_accuracy"): Bar(1.0, at_least=True),
    ("nonface/easy", "photos_with_detections"): Bar(0, at_least=False),
    ("nonface/hard", "photos_with_detections"): Bar(4, at_least=False),
    ("groups", "photos_counted_right"): Bar(9, at_least=True),
    ("odd_formats", "files_not_as_expected"): Bar(0, at_least=False),
}


# Called with the set, and the numbers of its photos that are done and that there are.
OnSetProgress = Callable[[SetName, int, int], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A set whose lists were read and checked; `run` measures it, given the pack's default similarity."""

    terms: str
    run: Callable[[Photos, float], tuple[Outcome, ...]]


def of_pairs(pairs: PairSet, pick: Pick, people: PeopleSet | None = None) -> Evaluation:
    """Verification on a set of pairs, and on every two people of a set."""
    return Evaluation(pairs.terms, partial(compare_pairs, pairs, pick, people))


def of_counts(counted: Counted, count: Callable[[Counted, Photos], tuple[Outcome, ...]], terms: str) -> Evaluation:
    """Detection on photos with known numbers of faces; no similarity is involved."""
    return Evaluation(terms, lambda photos, threshold: count(counted, photos))


def _load_nonface(root: Path) -> Evaluation:
    parts = tuple(nonface.parts(root).values())
    return of_counts(parts, count_nonface, parts[0].terms)


def _load_groups(root: Path) -> Evaluation:
    found = groups.photos(root)
    return of_counts(found, count_groups, found.terms)


def _load_odd_formats(root: Path) -> Evaluation:
    found = odd_formats.photos(root)
    return of_counts(found, count_odd_formats, found.terms)


LOADERS: Mapping[SetName, Callable[[Path], Evaluation]] = {
    SetName.LFW: lambda root: of_pairs(lfw.view2(root), most_central, lfw.people(root)),
    SetName.CELEBA_WILD: lambda root: of_pairs(celeba_wild.pairs(root), most_central),
    SetName.DEEPFACE: lambda root: of_pairs(deepface.pairs(root), largest),
    SetName.NONFACE: _load_nonface,
    SetName.GROUPS: _load_groups,
    SetName.ODD_FORMATS: _load_odd_formats,
}


def load_sets(testdata: Path, names: Iterable[SetName]) -> dict[SetName, Evaluation]:
    """Read and check the lists of the sets first, so that a broken one stops the run; raises `DatasetError`."""
    wanted = set(names)
    return {name: load(testdata / name) for name, load in LOADERS.items() if name in wanted}


def run(opened: Engine, sets: Mapping[SetName, Evaluation], workers: int, on_progress: OnSetProgress) -> Report:
    """Measure every set of `load_sets`, and hold the figures of the pack `PACK` against its bars.

    The sessions of `opened` should use one thread each, as photos are analysed side by side, `workers` at a time, at
    least 1. Calls `on_progress` before the first photo of each part, and after each photo.
    """
    held = BARS if opened.pack.name == PACK else {}
    reports = []
    for name, evaluation in sets.items():
        counter = _Counter(name, on_progress)
        start = time.perf_counter()
        outcomes = evaluation.run(Photos(opened.pipeline, workers, counter), opened.pack.thresholds.similarity)
        seconds = time.perf_counter() - start
        with_bars = tuple(_with_bars(outcome, held) for outcome in outcomes)
        reports.append(SetReport(str(name), evaluation.terms, with_bars, counter.photos, seconds))
    return Report(
        opened.pack,
        opened.pipeline.model,
        opened.device,
        opened.detection,
        machine(),
        workers,
        fr_core.__version__,
        tuple(reports),
    )


def machine() -> Machine:
    """Return what this process runs on."""
    return Machine(available_cpus(), _processor(), platform.machine(), platform.system(), platform.python_version())


def available_cpus() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def _processor() -> str:
    """The model of the processor; Linux tells it in a file, other systems through `platform`."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8", errors="replace").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names[0] if names else platform.processor()) or "unknown"


class _Counter:
    """Tells the progress of one set, and counts its photos over all its parts."""

    def __init__(self, name: SetName, on_progress: OnSetProgress) -> None:
        self._name = name
        self._on_progress = on_progress
        self.photos = 0

    def __call__(self, done: int, total: int) -> None:
        self.photos += done > 0
        self._on_progress(self._name, done, total)


def _with_bars(outcome: Outcome, held: Mapping[tuple[str, str], Bar]) -> Outcome:
    measures = (replace(measure, bar=held.get((outcome.name, measure.key))) for measure in outcome.measures)
    return replace(outcome, measures=tuple(measures))
