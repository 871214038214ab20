"""The evaluation: the real pipeline over the sets of labelled photos, to a report that carries its own conditions."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import fr_core
from fr_bench.bench_commands.options import SetName
from fr_bench.count_sets import count_groups, count_nonface, count_odd_formats
from fr_bench.pair_sets import compare_pairs
from fr_bench.values import Bar, Machine, Outcome, Report, SetReport
from fr_core.engine import Engine
from fr_datasets import celeba_wild, deepface, groups, lfw, nonface, odd_formats
from fr_datasets.values import PairSet, PeopleSet
from fr_evaluation.photos import Photos
from fr_evaluation.pick import Pick, largest, most_central

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


def _nonface(root: Path) -> Evaluation:
    parts = tuple(nonface.parts(root).values())
    return of_counts(parts, count_nonface, parts[0].terms)


def _groups(root: Path) -> Evaluation:
    found = groups.photos(root)
    return of_counts(found, count_groups, found.terms)


def _odd_formats(root: Path) -> Evaluation:
    found = odd_formats.photos(root)
    return of_counts(found, count_odd_formats, found.terms)


LOADERS: Mapping[SetName, Callable[[Path], Evaluation]] = {
    SetName.LFW: lambda root: of_pairs(lfw.view2(root), most_central, lfw.people(root)),
    SetName.CELEBA_WILD: lambda root: of_pairs(celeba_wild.pairs(root), most_central),
    SetName.DEEPFACE: lambda root: of_pairs(deepface.pairs(root), largest),
    SetName.NONFACE: _nonface,
    SetName.GROUPS: _groups,
    SetName.ODD_FORMATS: _odd_formats,
}


def load_sets(testdata: Path, names: Iterable[SetName]) -> dict[SetName, Evaluation]:
    """Read and check the lists of the sets, so that a broken one stops the run before it begins.

    Raises:
        DatasetError: a list or a photo of a set is absent, or a list breaks its format.
    """
    wanted = set(names)
    return {name: load(testdata / name) for name, load in LOADERS.items() if name in wanted}


def run(opened: Engine, sets: Mapping[SetName, Evaluation], workers: int, on_progress: OnSetProgress) -> Report:
    """Measure every set, and hold the figures of the pack `PACK` against its bars.

    Args:
        opened: the pipeline; its sessions should use one thread each, as photos are analysed side by side.
        sets: as `load_sets` gives them.
        workers: photos at a time, at least 1.
        on_progress: called before the first photo of each part, and after each photo.
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
