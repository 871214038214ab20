"""Builds the report of `fr bench training`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from fr_bench.speed.page import Page, machine_text
from fr_bench.speed.values import Conditions, Held, Latency, Memory
from fr_bench.values import Bar


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """The settings of a measurement of training; no `dataset` = faces of the photos of the registry."""

    trainees: int
    every_s: float
    seconds: float
    channels: int
    seed: int
    dataset: str | None = None
    settings: tuple[str, ...] = ()
    pages: bool = False  # in browsers, on the pages of the console


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision; times are those of `time.monotonic`."""

    code: int  # place of the trainee's code among all; a code is good for one walk through the course
    ordinal: int  # of the trial in its session, from 0
    rating: int  # -3 to 3
    due: float
    sent: float
    locked: float  # when it was acknowledged
    shown: float  # when the next trial was there, or the end of the walk was told


@dataclass(frozen=True, slots=True)
class Walked:
    """The decisions of a load, in no order."""

    decisions: tuple[Decision, ...]
    begun_s: tuple[float, ...]  # seconds that each beginning of a further walk took
    refusals: Mapping[str, int]  # answers that told to come again, by reason
    start: float  # of `time.monotonic`, as `end`
    end: float
    cpu_s: float  # processor time of the process that sends
    picture_bytes: int
    pictures: int
    pages_s: tuple[float, ...] = ()  # seconds that each request of a browser took


@dataclass(frozen=True, slots=True)
class Kept:
    """The decisions that the server's export has, and those that it lacks."""

    acknowledged: int
    lost: int  # acknowledged ones that are absent or have another rating
    doubled: int  # trials that the export has more than once
    unsent: int  # answers that nobody has sent


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """The figures of a measurement of training."""

    decide: Latency  # from when a decision was due until it was acknowledged, and durable
    decide_and_next: Latency  # likewise, until the next trial was there with its pictures
    begin: Latency | None  # of a further walk: the session and its first trial
    kept: Kept  # includes the decisions before the load
    closed_per_s: float  # as fast as they go before the load
    decisions_per_s: float
    asked_per_s: float
    late_ms: float  # 99th percentile of how late decisions were sent, as their trainee waited for the trial before
    refusals: Mapping[str, int]
    server_cores: float  # processor time / wall time
    generator_cores: float  # likewise; near 1 the process that sends limits what is measured
    memory: Memory | None
    trainees: int
    every_s: float
    seconds: float
    people: int
    trials: int
    picture_kb: float  # a mean, of 1,000 bytes
    channels: int
    settings: tuple[str, ...]
    machine: Conditions
    pages: Latency | None = None  # each request of the browsers
    command: str = "training"


# Of 500 trainees who decide every 2 s on two cores, with the trainees on the same machine.
_BARS = {
    "decide_p99_ms": Bar(150.0, at_least=False),
    "decide_and_next_p99_ms": Bar(150.0, at_least=False),
    "lost": Bar(0.0, at_least=False),
    "doubled": Bar(0.0, at_least=False),
    "unsent": Bar(0.0, at_least=False),
    # Of 60 trainees with browsers, each deciding every 5 s on two cores.
    "page_p95_ms": Bar(300.0, at_least=False),
    "picture_p95_ms": Bar(500.0, at_least=False),
}


def training_page(report: TrainingReport, *, decides: bool = False) -> Page:
    """Return the figures beside their bars, which may decide the exit status."""
    stem, who = ("training", "trainees") if report.pages is None else ("console", "trainees with browsers")
    title = f"fr bench training: {report.trainees:,} {who}, each deciding every {report.every_s:g} s"
    lines, rows = machine_text(report.machine), [("figure", "value"), *_rows(report)]
    return Page(f"{stem}-{report.trainees}", title, lines, [rows], _held(report, decides), asdict(report))


def _rows(report: TrainingReport) -> list[tuple[str, str]]:
    kept = report.kept
    rows = [
        ("trainees at once", f"{report.trainees:,}, each deciding every {report.every_s:g} s"),
        ("course", f"{report.people} people, {report.trials} trials, pictures of {report.picture_kb:.1f} kB"),
        ("length of the load", f"{report.seconds:.1f} s"),
        ("decisions, acknowledged a second", f"{report.decisions_per_s:.1f} of {report.asked_per_s:.1f} due"),
        *([] if report.pages is None else [("a page", _latency(report.pages))]),
        ("a decision", _latency(report.decide)),
        ("a decision and the next trial", _latency(report.decide_and_next)),
        ("a further walk and its first trial", "none" if report.begin is None else _latency(report.begin)),
        ("decisions sent late, p99", f"{report.late_ms:.1f} ms"),
        ("told to come again", ", ".join(f"{n} {reason}" for reason, n in report.refusals.items()) or "nobody"),
        ("as fast as they go, before the load", f"{report.closed_per_s:.0f} decisions a second"),
        ("acknowledged, and lost", f"{kept.acknowledged:,}, and {kept.lost}"),
        ("there twice, or never sent", f"{kept.doubled}, {kept.unsent}"),
        ("processors that the server kept busy", f"{report.server_cores:.2f}"),
        ("processors that the trainees kept busy", f"{report.generator_cores:.2f}"),
    ]
    if report.memory is not None:
        memory = report.memory
        rows.append(
            (
                "memory of the server",
                f"{memory.start_mib:,.0f}, {memory.middle_mib:,.0f}, {memory.end_mib:,.0f} MiB: start, middle, end",
            )
        )
    return rows


def _latency(found: Latency) -> str:
    return f"p50 {found.p50_ms:.1f}, p95 {found.p95_ms:.1f}, p99 {found.p99_ms:.1f}, max {found.max_ms:.1f} ms"


def _held(report: TrainingReport, decides: bool) -> list[Held]:
    if report.pages is None:
        values = {"decide_p99_ms": report.decide.p99_ms, "decide_and_next_p99_ms": report.decide_and_next.p99_ms}
    else:
        values = {"page_p95_ms": report.pages.p95_ms, "picture_p95_ms": report.decide_and_next.p95_ms}
    values |= {
        "lost": float(report.kept.lost),
        "doubled": float(report.kept.doubled),
        "unsent": float(report.kept.unsent),
    }
    return [Held(name, value, _BARS[name], decides) for name, value in values.items()]
