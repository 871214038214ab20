"""Frozen values of a measurement of speed and of its conditions; they become the JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fr_bench.speed.search_values import SearchDetail
from fr_bench.values import Bar, Machine
from fr_core.runtime.devices import ActiveDevice

# Subjects of rounds; those of the peer tell their number of callers.
PIPELINE, SERVER, PEER = "pipeline", "server", "peer"


@dataclass(frozen=True, slots=True)
class Latency:
    """Nearest-rank percentiles of durations.

    Attributes:
        count: durations, at least 1.
        p50_ms: milliseconds.
        p95_ms: milliseconds.
        p99_ms: milliseconds.
        max_ms: milliseconds.
    """

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over the photos by one subject.

    Attributes:
        subject: who did it: "pipeline", "server", "peer (1 caller)".
        photos: answered without an error.
        faces: found in them.
        seconds: wall time.
        photos_per_s: photos / seconds.
    """

    subject: str
    photos: int
    faces: int
    seconds: float
    photos_per_s: float


def round_of(subject: str, photos: int, faces: int, seconds: float) -> Round:
    """Build a round; `seconds` must be above 0."""
    return Round(subject, photos, faces, seconds, photos / seconds)


@dataclass(frozen=True, slots=True)
class Rate:
    """The rounds of one subject together.

    Attributes:
        subject: as in `Round`.
        rounds: how many.
        photos_per_s: median.
        faces_per_s: median.
        lowest: photos per second of the slowest round.
        highest: photos per second of the quickest round.
    """

    subject: str
    rounds: int
    photos_per_s: float
    faces_per_s: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Held:
    """A figure beside its bar.

    Attributes:
        name: of the figure, as in the JSON.
        value: the figure.
        bar: what is asked for.
        decides: whether missing it is told by the exit status: it was named on the command line.
    """

    name: str
    value: float
    bar: Bar
    decides: bool = False

    @property
    def met(self) -> bool:
        """Return whether the bar is reached."""
        return self.bar.met(self.value)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Our faces against the peer's on the same photos.

    Attributes:
        photos: compared.
        faces: we found.
        peer_faces: the peer found.
        matched: pairs of boxes with an intersection over union of at least 0.5, each box once, best first.
        cosine_min: lowest cosine similarity of the embeddings of a matched pair; None without embeddings or pairs.
        cosine_median: median of the same; None as above.
    """

    photos: int
    faces: int
    peer_faces: int
    matched: int
    cosine_min: float | None
    cosine_median: float | None


@dataclass(frozen=True, slots=True)
class Conditions:
    """The machine, the versions and the load of a run.

    Attributes:
        machine: what it ran on.
        load_average: of the machine when the run began, over one minute; None where the system has none.
        accelerators: names and drivers of NVIDIA devices, as nvidia-smi tells; empty without.
        versions: of the packages that compute, by name.
    """

    machine: Machine
    load_average: float | None
    accelerators: tuple[str, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The engine that was measured.

    Attributes:
        pack: name of the model pack.
        device: as asked for.
        precision: f32, bf16 or fp16.
        detection: thorough or fast.
        threads: of one inference; 0 = the engine chooses.
        lanes: batches in work at once; 0 = the engine chooses.
        workers: photos in work at once; 0 = the server chooses.
    """

    pack: str = "buffalo_s"
    device: str = "auto"
    precision: str = "f32"
    detection: str = "thorough"
    threads: int = 0
    lanes: int = 0
    workers: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """The photos that were sent.

    Attributes:
        name: of the sets of photos, such as "lfw+t1".
        distinct: photos that differ.
        photos: of one round.
        megapixels: mean of the distinct photos.
        kilobytes: mean of their encoded sizes, 1,000 bytes.
    """

    name: str
    distinct: int
    photos: int
    megapixels: float
    kilobytes: float


@dataclass(frozen=True, slots=True)
class EmbeddingOverhead:
    """Embedding through our embedder against the bare call of the runtime.

    Attributes:
        batch: faces of one call.
        embedder_ms: per face, our embedder: the batcher, the run, normalised output; median of the repeats.
        runtime_ms: per face, the session's run on a prepared batch; median of the repeats.
        ratio: embedder_ms / runtime_ms.
    """

    batch: int
    embedder_ms: float
    runtime_ms: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Stages:
    """The time that each step of one photo takes on an idle engine; means over the distinct photos.

    Attributes:
        decode_ms: bytes to pixels.
        detect_ms: detection, with what it waits for its batches.
        align_ms: crops.
        embed_ms: embedding, with what it waits for its batches.
        assess_ms: quality.
        total_ms: everything, the steps and what lies between them.
    """

    decode_ms: float
    detect_ms: float
    align_ms: float
    embed_ms: float
    assess_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class Batches:
    """Sizes of the batches that a model ran in the rounds.

    Attributes:
        model: "detector" or "embedder".
        counts: (size, or the largest size of a bucket of the server's metrics, batches), ascending; None stands for
            whatever is larger than the last bucket.
    """

    model: str
    counts: tuple[tuple[float | None, int], ...]


@dataclass(frozen=True, slots=True)
class PipelineDetail:
    """The figures of `fr bench pipeline` beside its rates.

    Attributes:
        workload: the photos.
        latency: of single photos within the rounds.
        batches: of the rounds.
        stages: where the time goes.
        embedding: the embedder alone, for each size of batch; empty where no face was found.
        overhead_ratio: the worst ratio of `embedding`; None where it is empty.
        peer: the mode of the peer whose figure is taken, that with one caller; None without a peer.
        agreement: with the peer; None without one.
    """

    workload: Workload
    latency: Latency | None
    batches: tuple[Batches, ...]
    stages: Stages
    embedding: tuple[EmbeddingOverhead, ...]
    overhead_ratio: float | None
    peer: str | None
    agreement: Agreement | None


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """Calls that ended in one way.

    Attributes:
        reason: "OK", the reason of ErrorInfo such as "OVERLOADED", or the name of the status code where there is none.
        calls: how many.
        with_retry_info: how many carried google.rpc.RetryInfo.
        latency: from the scheduled arrival (open loop) or the start of the call (closed loop) to the end.
    """

    reason: str
    calls: int
    with_retry_info: int
    latency: Latency | None


@dataclass(frozen=True, slots=True)
class HealthCount:
    """The number of times that the health service gave an answer, asked once a second.

    Attributes:
        status: "SERVING", "NOT_SERVING", or the name of the status code of a failed call.
        answers: how many.
        latency: of these answers.
    """

    status: str
    answers: int
    latency: Latency | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of the server's process and all its descendants; shared pages count once for each process.

    Attributes:
        start_mib: before the run, MiB.
        middle_mib: at half time, MiB.
        end_mib: after the run, MiB.
    """

    start_mib: float
    middle_mib: float
    end_mib: float


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """The server under one load.

    Attributes:
        mode: closed or open.
        load: calls at once (closed loop), or arrivals per second (open loop).
        seconds: wall time.
        sent: calls.
        photos_per_s: answered OK and, in an open loop, within the deadline: the goodput.
        faces_per_s: found in them.
        latency: of the calls answered OK; in an open loop from the scheduled arrival.
        outcomes: every way in which calls ended.
        lateness_ms: 99th percentile of how late the generator sent; None in a closed loop, which has no schedule.
        generator_cpu: processor time of the busiest generator process / wall time; near 1 it limits what is measured.
        health: what the health service answered meanwhile; empty where it was not asked.
        memory: of the server; None where the server is not ours.
    """

    mode: str
    load: float
    seconds: float
    sent: int
    photos_per_s: float
    faces_per_s: float
    latency: Latency | None
    outcomes: tuple[OutcomeCount, ...]
    lateness_ms: float | None
    generator_cpu: float
    health: tuple[HealthCount, ...] = ()
    memory: Memory | None = None


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """The settings of a load.

    Attributes:
        method: embed, detect or search.
        mode: closed or open.
        concurrency: calls at once of the closed loop.
        rate: arrivals per second of the open loop; None in a closed one.
        seconds: of one round of the open loop, and of the overload.
        deadline_s: of a call, from its scheduled arrival.
        generators: processes that send.
        channels: connections of each of them.
        seed: of the arrivals.
        gallery_size: templates of the gallery that is searched; None for another method.
        frontends: of the server; None = its default, or not ours.
        server: the options of our server; empty where it was running already.
    """

    method: str
    mode: str
    concurrency: int
    rate: float | None
    seconds: float
    deadline_s: float
    generators: int
    channels: int
    seed: int
    gallery_size: int | None
    frontends: int | None
    server: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServeDetail:
    """The figures of `fr bench serve` beside its rates.

    Attributes:
        workload: the photos.
        load: how it was made.
        latency: of all calls answered OK in the rounds of the server.
        points: the rounds of the server, then the sweep.
        pipeline_photos_per_s: the same engine in process, in the same run; None where it was not measured.
        server_to_pipeline: photos_per_s / pipeline_photos_per_s; None as above.
        overload: the open loop above the peak; None where it was not measured.
        goodput_to_peak: goodput of the overload / photos_per_s; None as above.
        peer: as in `PipelineDetail`.
        agreement: as in `PipelineDetail`.
        batches: empty without `--batches` and `--metrics-url`.
    """

    workload: Workload
    load: LoadSettings
    latency: Latency | None
    points: tuple[LoadPoint, ...]
    pipeline_photos_per_s: float | None
    server_to_pipeline: float | None
    overload: LoadPoint | None
    goodput_to_peak: float | None
    peer: str | None
    agreement: Agreement | None
    batches: tuple[Batches, ...]


@dataclass(frozen=True, slots=True)
class BenchReport:
    """A whole measurement.

    Attributes:
        command: pipeline, serve or search.
        photos_per_s: median over the rounds; None where no photo was measured.
        faces_per_s: as above.
        peer_photos_per_s: of the peer with one caller, median over the rounds of the same run; None without a peer.
        ratio: photos_per_s / peer_photos_per_s, or of searches the peer's p50 / ours; None without a peer.
        conditions: machine and versions.
        engine: the engine's settings; None where no model ran.
        device: what ran the models; None as above.
        rounds: in the order in which they were run.
        rates: the medians of each subject.
        held: figures beside their bars.
        detail: what this command finds beside these.
    """

    command: str
    photos_per_s: float | None
    faces_per_s: float | None
    peer_photos_per_s: float | None
    ratio: float | None
    conditions: Conditions
    engine: EngineSettings | None
    device: ActiveDevice | None
    rounds: tuple[Round, ...]
    rates: tuple[Rate, ...]
    held: tuple[Held, ...]
    detail: PipelineDetail | ServeDetail | SearchDetail
