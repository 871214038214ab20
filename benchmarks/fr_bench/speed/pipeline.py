"""`fr bench pipeline`: the pipeline in this process, by threads that call it as the server's do."""

import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from statistics import median

import numpy as np

from fr_bench.speed.conditions import conditions
from fr_bench.speed.engine import opened_embedder, opened_engine, workers_for
from fr_bench.speed.peer import FoundFaces, agreement, opened_peer, peer_rate, rate_of
from fr_bench.speed.report import BenchReport
from fr_bench.speed.rounds import OnRound, OtherLoad, alternate, other_loads, require_quiet
from fr_bench.speed.stats import latency, rates
from fr_bench.speed.values import (
    PIPELINE,
    Batches,
    EmbeddingOverhead,
    EngineSettings,
    Held,
    PipelineDetail,
    Round,
    Stages,
    round_of,
)
from fr_bench.speed.workload import PhotoList
from fr_bench.values import Bar
from fr_core.align import align
from fr_core.imaging import ImageLimits, decode
from fr_core.pipeline import Pipeline
from fr_core.runtime.observe import STAGES, ModelRole, NullObserver, Stage
from fr_core.types import AlignedFace


class Recorder(NullObserver):
    """Adds up seconds by step, and counts batches by model and size; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._batches: Counter[tuple[str, int]] = Counter()

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """As `Observer.stage`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - start
            with self._lock:
                self._seconds[name] += took

    def batch(self, model: ModelRole, waits_s: list[float], run_s: float) -> None:
        """As `Observer.batch`."""
        with self._lock:
            self._batches[model, len(waits_s)] += 1

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._seconds.clear()
            self._batches.clear()

    def seconds(self, name: Stage) -> float:
        """Of a step, over all photos since the start or `clear`."""
        with self._lock:
            return self._seconds[name]

    def batches(self) -> tuple[Batches, ...]:
        """The batches since the start or `clear`, by model and size."""
        with self._lock:
            counted = dict(self._batches)
        models = sorted({model for model, _ in counted})
        return tuple(
            Batches(
                model, tuple((float(size), counted[model, size]) for name, size in sorted(counted) if name == model)
            )
            for model in models
        )


# One face, and as many as a group photo has.
BATCHES = (1, 8)

# Calls of each kind, one of ours after one of the runtime's, for each repeat.
_CALLS = 12


def embedding_overheads(
    settings: EngineSettings, crops: Sequence[AlignedFace], repeat: int
) -> tuple[EmbeddingOverhead, ...]:
    """Measure for each size of batch, more steadily with more repeats; empty where there is no face.

    Both sides run the same session, with the same threads, so what differs is what our code does around it. Crops are
    taken again from the start where they are fewer than a batch.
    """
    if not crops:
        return ()
    with opened_embedder(settings) as (embedder, session):
        largest = session.input_shape[0] or BATCHES[-1]
        found = []
        for batch in (size for size in BATCHES if size <= largest):
            faces = [crops[i % len(crops)] for i in range(batch)]
            pixels = np.stack([face.pixels for face in faces])
            ours, bare = _timed_in_turn(partial(embedder.embed, faces), partial(session.run, pixels), repeat * _CALLS)
            found.append(EmbeddingOverhead(batch, ours / batch * 1e3, bare / batch * 1e3, ours / bare))
    return tuple(found)


def _timed_in_turn(a: Callable[[], object], b: Callable[[], object], calls: int) -> tuple[float, float]:
    """Median seconds of a call of each, called in turn after one call to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(calls + 1):
        for work, kept in zip((a, b), times, strict=True):
            start = time.perf_counter()
            work()
            if turn:
                kept.append(time.perf_counter() - start)
    return median(times[0]), median(times[1])


# Of the time of the bare call of the runtime: what our embedder may add to it.
OVERHEAD_BAR = Bar(1.25, at_least=False)

# Photos whose stages are timed one by one, at most.
_STAGE_PHOTOS = 50


class PipelineSubject:
    """The pipeline of this process, called by `workers` threads."""

    def __init__(self, pipeline: Pipeline, listed: PhotoList, workers: int) -> None:
        self._pipeline = pipeline
        self._listed = listed
        self._workers = workers
        self.latencies: list[float] = []

    @property
    def pid(self) -> int:
        """As `Subject.pid`."""
        return os.getpid()

    def warm_up(self) -> tuple[FoundFaces, ...]:
        """Analyse each distinct photo once, as in a round; what was found."""
        with ThreadPoolExecutor(self._workers) as pool:
            return tuple(pool.map(self._found, self._listed.photos))

    def run(self, turn: int) -> Round:
        """As `Subject.run`."""
        with ThreadPoolExecutor(self._workers) as pool:
            start = time.perf_counter()
            answers = list(pool.map(self._one, self._listed.order))
            seconds = time.perf_counter() - start
        self.latencies += [took for _, took in answers]
        return round_of(PIPELINE, len(answers), sum(faces for faces, _ in answers), seconds)

    def _one(self, place: int) -> tuple[int, float]:
        start = time.perf_counter()
        faces = len(self._pipeline.analyze(self._listed.photos[place]).faces)
        return faces, time.perf_counter() - start

    def _found(self, photo: bytes) -> FoundFaces:
        faces = self._pipeline.analyze(photo).faces
        boxes = np.array([face.face.detection.box for face in faces], np.float32).reshape(-1, 4)
        return FoundFaces(boxes, np.array([face.embedding.vector for face in faces], np.float32) if faces else None)


def bench_pipeline(
    settings: EngineSettings,
    listed: PhotoList,
    repeat: int,
    peer: str | None,
    bar: Bar | None,
    on_round: OnRound,
    *,
    allow_busy: bool = False,
) -> BenchReport:
    """Measure `repeat` rounds of each subject with `workers`, 0 for as many as the server takes.

    Raises `FrError`, also where other processes are busy, unless that is allowed.
    """
    before = conditions()
    recorder = Recorder()
    with opened_engine(settings, recorder) as opened:
        settings = replace(settings, workers=workers_for(settings, opened.device))
        subject = PipelineSubject(opened.pipeline, listed, settings.workers)
        with opened_peer(peer, settings, listed) as other:
            found = subject.warm_up()
            recorder.clear()
            rounds = alternate((subject, *(other.subjects if other else ())), repeat, on_round)
            batches = recorder.batches()
        require_quiet(other_loads(rounds), allow_busy=allow_busy)
        stages = measure_stages(opened.pipeline, recorder, listed.photos[:_STAGE_PHOTOS])
        crops = _crops(opened.pipeline, listed.photos[:_STAGE_PHOTOS])
        device = opened.device
    load = OtherLoad()
    embedding = embedding_overheads(settings, crops, repeat)
    require_quiet([("the embedder", load.share())], allow_busy=allow_busy)
    ours, theirs = rate_of(rounds, PIPELINE), peer_rate(rounds)
    overhead = max((item.ratio for item in embedding), default=None)
    held = [] if overhead is None else [Held("overhead_ratio", overhead, OVERHEAD_BAR)]
    if bar is not None:
        held.insert(0, Held("photos_per_s", ours.photos_per_s, bar, decides=True))
    detail = PipelineDetail(
        listed.workload,
        latency(subject.latencies),
        batches,
        stages,
        embedding,
        overhead,
        theirs.subject if theirs else None,
        agreement(found, other.faces) if other else None,
    )
    return BenchReport(
        "pipeline",
        ours.photos_per_s,
        ours.faces_per_s,
        theirs.photos_per_s if theirs else None,
        ours.photos_per_s / theirs.photos_per_s if theirs else None,
        before,
        settings,
        device,
        rounds,
        rates(rounds),
        tuple(held),
        detail,
    )


def measure_stages(pipeline: Pipeline, recorder: Recorder, photos: Sequence[bytes]) -> Stages:
    """Time the steps of single photos, one photo at a time; `recorder` is told of them by the pipeline."""
    recorder.clear()
    start = time.perf_counter()
    for photo in photos:
        pipeline.analyze(photo)
    total = time.perf_counter() - start
    steps = {f"{stage}_ms": recorder.seconds(stage) / len(photos) * 1e3 for stage in STAGES}
    return Stages(**steps, total_ms=total / len(photos) * 1e3)


def _crops(pipeline: Pipeline, photos: Sequence[bytes]) -> list[AlignedFace]:
    """The aligned faces of photos."""
    images = [decode(photo, ImageLimits()) for photo in photos]
    return [
        align(image.pixels, face.detection.landmarks) for image in images for face in pipeline.detect_image(image).faces
    ]
