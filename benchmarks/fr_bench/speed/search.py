"""`fr bench search`: an index beside its peers on one gallery, how quick, how right and how large each of them is."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from fr_bench.speed.child import BenchFailed
from fr_bench.speed.conditions import PACKAGES, conditions
from fr_bench.speed.engine import opened_engine, workers_for
from fr_bench.speed.report import BenchReport
from fr_bench.speed.rounds import OtherLoad, require_quiet
from fr_bench.speed.search_child import Subject, Turn
from fr_bench.speed.search_gallery import MATED_COSINE, Gallery, drawn_pairs, plant
from fr_bench.speed.search_report import (
    Accuracy,
    Built,
    PhotoProbes,
    Prediction,
    SearchDetail,
    SearchPoint,
    SearchRound,
    SearchSettings,
    SubjectFigures,
    held_figures,
)
from fr_bench.speed.search_subjects import check_peers, require_index
from fr_bench.speed.search_truth import exact_search, judge
from fr_bench.speed.stats import latency
from fr_bench.speed.values import EngineSettings
from fr_bench.speed.workload import find_testdata
from fr_core.runtime.devices import ActiveDevice
from fr_core.types import F32
from fr_datasets import lfw
from fr_datasets.values import VerificationPair
from fr_evaluation.photos import EmbeddedPhoto, Photos, most_central
from fr_locales.messages import message

LFW = "lfw"


@dataclass(frozen=True, slots=True, eq=False)
class RealPairs:
    """Faces of photos: probes and mates f32[n, D] of length 1; row i of both shows one person, on two photos."""

    probes: F32
    mates: F32
    told: PhotoProbes
    device: ActiveDevice


def embedded_pairs(
    settings: EngineSettings, number: int, testdata: Path | None, on_progress: Callable[[str], None]
) -> RealPairs:
    """Embed mated pairs of LFW's View 2: the first pair of each of the first `number` people.

    Fewer come back where there are not as many, or where a photo shows no face. `testdata` is as `find_testdata` takes
    it. Raises `DatasetMissing` if there is no test data, `BenchFailed` if no pair is left, and as `opened_engine`.
    """
    pairs = one_of_each(lfw.view2(find_testdata(testdata) / LFW).pairs)[:number]

    def tell(done: int, total: int) -> None:
        if done % 200 == 0 or done == total:
            on_progress(f"{done} of {total} photos embedded")

    with opened_engine(settings) as engine:
        photos = Photos(engine.pipeline, workers_for(settings, engine.device), tell)
        embedded = photos.embed(path for pair in pairs for path in (pair.a, pair.b))
        device = engine.device
    vectors = {path: _vector(photo) for path, photo in embedded.items()}
    found = [
        (a, b) for a, b in ((vectors[pair.a], vectors[pair.b]) for pair in pairs) if a is not None and b is not None
    ]
    if not found:
        raise BenchFailed(message("error.bench.no_pair_photos_shows"))
    mates, probes = (np.stack(side) for side in zip(*found, strict=True))
    cosines = np.vecdot(mates.astype(np.float64), probes.astype(np.float64))
    told = PhotoProbes(LFW, len(found), len(pairs) - len(found), float(cosines.min()), float(np.median(cosines)))
    return RealPairs(probes, mates, told, device)


def one_of_each(pairs: Iterable[VerificationPair]) -> list[VerificationPair]:
    """The first mated pair of each person, in their order; LFW has a folder for each person.

    A second pair would enrol a further photo of a person who is searched for, or the very photo that is searched for.
    """
    first: dict[Path, VerificationPair] = {}
    for pair in pairs:
        if pair.mated:
            first.setdefault(pair.a.parent, pair)
    return list(first.values())


def _vector(photo: EmbeddedPhoto) -> F32 | None:
    face = most_central(photo)
    return None if face is None else face.embedding.vector


PREDICTED_SIZE = 10_000_000

# Called with a sentence after each step.
OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SearchOrder:
    """The settings of a measurement of searches: `probes` and `k` <= every size, `repeat` <= `probes`."""

    settings: SearchSettings
    photos: EngineSettings | None = None  # embeds the probes from photos; None for drawn probes
    testdata: Path | None = None
    bar: bool = False  # whether a missed bar is told by the exit status
    allow_busy: bool = False  # report even where other processes are busy
    server_pid: int | None = None  # the first process of the Milvus server, if it runs on this machine


def bench_search(order: SearchOrder, on_step: OnStep) -> BenchReport:
    """Measure; raises as `embedded_pairs`, with photos.

    Raises `ConfigInvalid` if there is no such index, or this machine cannot have it, and `BenchFailed` if there is no
    such peer or it is not installed, or a process ended.
    """
    settings = order.settings
    check_peers(settings.peers)
    require_index(settings.index, settings.dimension, settings.threads)  # here, and not in a process far away
    before = conditions((*PACKAGES, "hnswlib", "usearch"))
    real = None
    if order.photos is None:
        probes, mates = drawn_pairs(settings.probes, settings.dimension, settings.seed)
    else:
        real = embedded_pairs(order.photos, settings.probes, order.testdata, on_step)
        probes, mates = real.probes, real.mates
        settings = replace(settings, dimension=probes.shape[1], probes=len(probes))
        if len(probes) < settings.repeat:
            raise BenchFailed(message("error.bench.only_pairs_show_face", probes=len(probes), repeat=settings.repeat))
    sizes = sorted({settings.size, *settings.sweep})
    load = OtherLoad(() if order.server_pid is None else (order.server_pid,))
    points = {size: _point(settings, plant(mates, size, settings.seed), probes, load, on_step) for size in sizes}
    for point in points.values():
        require_quiet([(one.subject, one.other_load) for one in point.rounds], allow_busy=order.allow_busy)
    detail = _detail(settings, real, points)
    engine, device = (order.photos, real.device) if real is not None else (None, None)
    held = held_figures(detail, decides=order.bar)
    return BenchReport("search", None, None, None, detail.ratio, before, engine, device, (), (), held, detail)


def predictions(points: Sequence[SearchPoint]) -> tuple[Prediction, ...]:
    """Return what the two largest sizes promise for `PREDICTED_SIZE`, for each subject that looks at every vector."""
    if len(points) < 2 or points[-1].size >= PREDICTED_SIZE:
        return ()
    small, large = points[-2:]
    found = []
    for low, high in zip(small.figures, large.figures, strict=True):
        slope = (high.p50_ms - low.p50_ms) / (large.size - small.size)
        if high.linear and slope > 0:  # where the smaller one took longer, chance was measured
            p50_ms = high.p50_ms + slope * (PREDICTED_SIZE - large.size)
            each = high.bytes_per_template
            total = None if each is None else each * PREDICTED_SIZE
            found.append(Prediction(high.subject, PREDICTED_SIZE, p50_ms, total, (small.size, large.size)))
    return tuple(found)


def _detail(settings: SearchSettings, real: RealPairs | None, points: dict[int, SearchPoint]) -> SearchDetail:
    swept = tuple(points.values()) if len(points) > 1 else ()
    cosine = MATED_COSINE if real is None else None
    told = None if real is None else real.told
    return SearchDetail(settings, told, cosine, points[settings.size], swept, predictions(swept))


def _point(settings: SearchSettings, gallery: Gallery, probes: F32, load: OtherLoad, on_step: OnStep) -> SearchPoint:
    truth = exact_search(gallery, probes, settings.k)
    on_step(f"{gallery.size:,} templates: the exact search of {len(probes)} probes took {truth.seconds:.1f} s")
    with ExitStack() as stack:
        subjects = [
            stack.enter_context(Subject(name, settings, gallery, probes, ours=place == 0))
            for place, name in enumerate((settings.index, *settings.peers))
        ]
        built = {subject.label: _build(subject, on_step) for subject in subjects}
        turns = _turns(subjects, settings.repeat, len(probes), load, on_step)
    answered = {
        subject.label: [one for turn, told in turns if told.subject == subject.label for one in turn.answers]
        for subject in subjects
    }
    judged = judge(gallery, probes, truth, answered)
    rounds = tuple(told for _, told in turns)
    figures = tuple(_figures(one, built[one.label], rounds, judged[one.label], gallery.size) for one in subjects)
    # Probe i's mate has the i-th of the planted ids.
    mated = float((truth.ids[:, 0] == gallery.planted_ids).mean())
    return SearchPoint(gallery.size, truth.seconds, mated, figures, rounds)


def _build(subject: Subject, on_step: OnStep) -> Built:
    built = subject.build()
    on_step(f"{subject.label}: built in {built.build_s:.1f} s")
    return built


def _turns(
    subjects: Sequence[Subject], repeat: int, probes: int, load: OtherLoad, on_step: OnStep
) -> list[tuple[Turn, SearchRound]]:
    """One turn of each subject, then the next one of each; the probes are dealt out, so that each is asked for once."""
    done = []
    for number, places in enumerate(np.array_split(np.arange(probes, dtype=np.int64), repeat)):
        for subject in subjects:
            load.share()
            turn = subject.turn(places)
            told = _round(subject.label, turn, load.share())
            done.append((turn, told))
            on_step(f"round {number + 1} of {repeat}: {told.subject} p50 {told.p50_ms:.2f} ms")
    return done


def _round(label: str, turn: Turn, other_load: float | None) -> SearchRound:
    took = latency(turn.seconds)
    assert took is not None  # every round has a probe
    alone = len(turn.seconds) / sum(turn.seconds)
    together = turn.together_probes / turn.together_s
    return SearchRound(label, took.count, took.p50_ms, took.p95_ms, alone, together, other_load)


def _figures(
    subject: Subject, built: Built, rounds: Sequence[SearchRound], accuracy: Accuracy, size: int
) -> SubjectFigures:
    own = [item for item in rounds if item.subject == subject.label]
    alone, together = median(item.alone_per_s for item in own), median(item.together_per_s for item in own)
    scanned, total = built.memory.read_bytes, built.memory.total_bytes
    return SubjectFigures(
        subject=subject.label,
        linear=subject.linear,
        settings=built.settings,
        build_s=built.build_s,
        memory=built.memory,
        scan_bytes_per_template=None if scanned is None else scanned / size,
        bytes_per_template=None if total is None else total / size,
        memory_source=built.memory.source,
        p50_ms=median(item.p50_ms for item in own),
        p95_ms=median(item.p95_ms for item in own),
        alone_per_s=alone,
        together_per_s=together,
        shared_ratio=together / alone,
        accuracy=accuracy,
    )
