"""Builds the report of `fr bench training`."""

from __future__ import annotations

from dataclasses import asdict

from fr_bench.speed.page import Page, machine_text
from fr_bench.speed.training_values import TrainingReport
from fr_bench.speed.values import Held, Latency
from fr_bench.values import Bar

# Of 500 trainees who decide every 2 s on two cores, with the trainees on the same machine.
_BARS = {
    "decide_p99_ms": Bar(150.0, at_least=False),
    "decide_and_next_p99_ms": Bar(150.0, at_least=False),
    "lost": Bar(0.0, at_least=False),
    "doubled": Bar(0.0, at_least=False),
    "unsent": Bar(0.0, at_least=False),
}


def training_page(report: TrainingReport, *, decides: bool = False) -> Page:
    """Return the figures beside their bars, which may decide the exit status."""
    title = f"fr bench training: {report.trainees:,} trainees, each deciding every {report.every_s:g} s"
    lines, rows = machine_text(report.machine), [("figure", "value"), *_rows(report)]
    return Page(f"training-{report.trainees}", title, lines, [rows], _held(report, decides), asdict(report))


def _rows(report: TrainingReport) -> list[tuple[str, str]]:
    kept = report.kept
    rows = [
        ("trainees at once", f"{report.trainees:,}, each deciding every {report.every_s:g} s"),
        ("course", f"{report.people} people, {report.trials} trials, pictures of {report.picture_kb:.1f} kB"),
        ("length of the load", f"{report.seconds:.1f} s"),
        ("decisions, acknowledged a second", f"{report.decisions_per_s:.1f} of {report.asked_per_s:.1f} due"),
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
    values = {
        "decide_p99_ms": report.decide.p99_ms,
        "decide_and_next_p99_ms": report.decide_and_next.p99_ms,
        "lost": float(report.kept.lost),
        "doubled": float(report.kept.doubled),
        "unsent": float(report.kept.unsent),
    }
    return [Held(name, value, _BARS[name], decides) for name, value in values.items()]
