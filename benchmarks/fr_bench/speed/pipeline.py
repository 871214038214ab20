"""`fr bench pipeline`: the pipeline in this process, by threads that call it as the server's do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from fr_bench.speed.conditions import conditions
from fr_bench.speed.engine import opened_engine, workers_for
from fr_bench.speed.overhead import embedding_overheads
from fr_bench.speed.peer import FoundFaces, agreement
from fr_bench.speed.recorder import Recorder
from fr_bench.speed.rounds import OnRound, alternate, opened_peer, peer_rate, rate_of
from fr_bench.speed.stats import latency, rates
from fr_bench.speed.values import PIPELINE, BenchReport, EngineSettings, Held, PipelineDetail, Round, Stages, round_of
from fr_bench.speed.workload import PhotoList
from fr_bench.values import Bar
from fr_core.align import align
from fr_core.imaging import ImageLimits, decode
from fr_core.pipeline import Pipeline
from fr_core.runtime.observe import STAGES
from fr_core.types import AlignedFace

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
    settings: EngineSettings, listed: PhotoList, repeat: int, peer: str | None, bar: Bar | None, on_round: OnRound
) -> BenchReport:
    """Measure.

    Args:
        settings: of the engine; `workers` 0 takes as many as the server does.
        listed: the photos.
        repeat: rounds of each subject, at least 1.
        peer: "insightface", or None.
        bar: of the photos per second; None where nothing is asked for.
        on_round: called after each round.

    Raises:
        FrError: the engine or the peer cannot be had.
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
        stages = measure_stages(opened.pipeline, recorder, listed.photos[:_STAGE_PHOTOS])
        crops = _crops(opened.pipeline, listed.photos[:_STAGE_PHOTOS])
        device = opened.device
    embedding = embedding_overheads(settings, crops, repeat)
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
