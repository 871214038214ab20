"""Frozen values of a measurement of speed and of its conditions; they become the JSON."""

from collections.abc import Mapping
from dataclasses import dataclass

from fr_bench.values import Bar, Machine

# Subjects of rounds; those of a peer go on with its number of callers, such as "peer (1 caller)".
PIPELINE, SERVER, PEER = "pipeline", "server", "peer"


@dataclass(frozen=True, slots=True)
class Latency:
    """Nearest-rank percentiles of one or more durations, in milliseconds."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over the photos by "pipeline", "server" or "peer (1 caller)"; it counts photos without an error."""

    subject: str
    photos: int
    faces: int
    seconds: float
    photos_per_s: float
    # Processor time of the subject's processes; of the pipeline, of everything in this process; None where unknown.
    cpu_s: float | None = None
    # Share of the processors' time, in [0, 1], that processes used which were not measured; None where unknown.
    other_load: float | None = None


def round_of(subject: str, photos: int, faces: int, seconds: float) -> Round:
    """Build a round; `seconds` must be above 0."""
    return Round(subject, photos, faces, seconds, photos / seconds)


@dataclass(frozen=True, slots=True)
class Rate:
    """The rounds of one subject together: medians, and photos per second of the slowest and of the quickest round."""

    subject: str
    rounds: int
    photos_per_s: float
    faces_per_s: float
    lowest: float
    highest: float
    cpu_ms_per_photo: float | None  # None where unknown, as the next
    other_load: float | None


@dataclass(frozen=True, slots=True)
class Held:
    """A figure, named as in the JSON, beside its bar; `decides` says whether missing it is told by the exit status."""

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
    """Our faces against the peer's on the same photos; cosines are those of matched faces, None without any."""

    photos: int
    faces: int
    peer_faces: int
    matched: int  # pairs of boxes with an intersection over union of at least 0.5, each box once, best first
    cosine_min: float | None
    cosine_median: float | None


@dataclass(frozen=True, slots=True)
class Conditions:
    """The machine, the versions of the packages that compute, and the load of a run."""

    machine: Machine
    load_average: float | None  # of the machine when the run began, over one minute; None where the system has none
    accelerators: tuple[str, ...]  # names and drivers as nvidia-smi tells them
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The engine that was measured; 0 threads, lanes or workers = the engine or the server chooses."""

    pack: str = "buffalo_s"
    device: str = "auto"
    precision: str = "auto"
    detection: str = "thorough"
    threads: int = 0
    lanes: int = 0
    workers: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """The photos that were sent; sizes are means of the distinct ones, a kilobyte is 1,000 bytes."""

    name: str
    distinct: int
    photos: int
    megapixels: float
    kilobytes: float


@dataclass(frozen=True, slots=True)
class EmbeddingOverhead:
    """Milliseconds per face of our embedder and of the bare run of its session, medians of the repeats."""

    batch: int
    embedder_ms: float
    runtime_ms: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Stages:
    """Milliseconds of each step of one photo on an idle engine, waits for batches included; means over photos."""

    decode_ms: float
    detect_ms: float
    align_ms: float
    embed_ms: float
    assess_ms: float
    total_ms: float  # everything, the steps and what lies between them


@dataclass(frozen=True, slots=True)
class Batches:
    """Sizes of the batches that the "detector" or the "embedder" ran in the rounds."""

    model: str
    # (size or largest of a bucket of the server's metrics, None = larger than all; batches), ascending.
    counts: tuple[tuple[float | None, int], ...]


@dataclass(frozen=True, slots=True)
class PipelineDetail:
    """The figures of `fr bench pipeline` beside its rates."""

    workload: Workload
    latency: Latency | None  # of single photos within the rounds
    batches: tuple[Batches, ...]
    stages: Stages  # of one photo at a time
    embedding: tuple[EmbeddingOverhead, ...]  # empty where no face was found
    overhead_ratio: float | None  # the worst ratio of `embedding`
    peer: str | None  # the mode of the peer whose figure is taken, that with one caller
    agreement: Agreement | None


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """Calls with one end: "OK", the reason of ErrorInfo such as "OVERLOADED", or the name of the status code."""

    reason: str
    calls: int
    with_retry_info: int
    latency: Latency | None  # to the end, from the scheduled arrival (open loop) or the start of the call (closed loop)


@dataclass(frozen=True, slots=True)
class HealthCount:
    """Answers of the health service, asked once a second: "SERVING", "NOT_SERVING", or a status code."""

    status: str
    answers: int
    latency: Latency | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident MiB of the server's process and all its descendants; shared pages count once for each process."""

    start_mib: float
    middle_mib: float
    end_mib: float


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """The server under one load: calls at once (closed loop), or arrivals per second (open loop)."""

    mode: str
    load: float
    seconds: float
    sent: int
    photos_per_s: float  # the goodput: answered OK and, in an open loop, within the deadline
    faces_per_s: float
    latency: Latency | None  # of the calls answered OK, in an open loop from the scheduled arrival
    outcomes: tuple[OutcomeCount, ...]
    lateness_ms: float | None  # the 99th percentile of how late the generator sent; None in a closed loop
    generator_cpu: float  # processor time of the busiest generator / wall time; near 1 it limits what is measured
    health: tuple[HealthCount, ...] = ()
    memory: Memory | None = None  # None where the server is not ours


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """The settings of a load."""

    method: str
    mode: str
    concurrency: int  # of the closed loop
    rate: float | None  # of the open loop, in arrivals per second
    seconds: float  # of one round of the open loop, and of the overload
    deadline_s: float  # counts from the scheduled arrival
    generators: int
    channels: int  # connections of each generator
    seed: int
    gallery_size: int | None  # None for methods that search nothing
    frontends: int | None  # None for the server's default
    server: tuple[str, ...]
    secured: bool = False  # with TLS, access and audit, as `fr server init` makes it


@dataclass(frozen=True, slots=True)
class ServeDetail:
    """The figures of `fr bench serve` beside its rates; None = not measured."""

    workload: Workload
    load: LoadSettings
    latency: Latency | None  # of all calls answered OK in the rounds
    points: tuple[LoadPoint, ...]  # the rounds, then the sweep
    pipeline_photos_per_s: float | None  # the same engine in process
    server_to_pipeline: float | None
    overload: LoadPoint | None  # the open loop above the peak
    goodput_to_peak: float | None
    peer: str | None
    agreement: Agreement | None
    batches: tuple[Batches, ...]
