"""What `fr bench gallery` found, as text, JSON and Markdown."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from fr_bench.speed.life import LifeReport
from fr_bench.speed.report import machine_text
from fr_bench.values import Bar

# Of a million templates, or more, on two cores.
_BARS_FROM = 1_000_000
_BARS = {"enrol_per_s": Bar(5000.0, at_least=True), "start_s": Bar(30.0, at_least=False)}


def life_json(report: LifeReport) -> str:
    """The report as one JSON document."""
    return json.dumps(dataclasses.asdict(report), indent=2) + "\n"


def life_text(report: LifeReport) -> str:
    """The report for people."""
    lines = [*machine_text(report.machine), *(f"{name:44} {value}" for name, value in _rows(report)), *_held(report)]
    return "".join(f"{line}\n" for line in lines)


def missed(report: LifeReport) -> bool:
    """Whether a figure misses its bar."""
    return not all(bar.met(value) for _, value, bar in _bars(report))


def write_life(report: LifeReport, folder: Path, command: str) -> tuple[Path, ...]:
    """Write JSON and Markdown into a folder, which is made where it is not there; return what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"gallery-{report.n}"
    table = "".join(f"| {name} | {value} |\n" for name, value in _rows(report))
    machine = "".join(f"- {line}\n" for line in machine_text(report.machine))
    text = (
        f"# fr bench gallery: {report.n:,} embeddings of {report.dimension} values\n\n    {command}\n\n"
        f"{machine}\n| figure | value |\n|---|---|\n{table}\n" + "".join(f"- {line}\n" for line in _held(report))
    )
    json_path, markdown_path = stem.with_suffix(".json"), stem.with_suffix(".md")
    json_path.write_text(life_json(report), encoding="utf-8")
    markdown_path.write_text(text, encoding="utf-8")
    return json_path, markdown_path


def _rows(report: LifeReport) -> list[tuple[str, str]]:
    return [
        ("enrolled, durable, a second", f"{report.enrol_per_s:,.0f}"),
        ("for all of them", f"{report.enrol_s:.1f} s"),
        (
            "start: from NOT_SERVING to SERVING",
            "too short to be seen" if report.start_s is None else f"{report.start_s:.1f} s",
        ),
        ("start: from the process to the ready file", f"{report.whole_start_s:.1f} s"),
        ("answers NOT_SERVING before SERVING", str(report.not_serving)),
        ("memory of the server", f"{report.resident_mib:,.0f} MiB"),
        ("data folder", f"{report.disk_mib:,.0f} MiB"),
    ]


def _held(report: LifeReport) -> list[str]:
    return [_told(name, value, bar) for name, value, bar in _bars(report)]


def _bars(report: LifeReport) -> list[tuple[str, float, Bar]]:
    if report.n < _BARS_FROM:
        return []
    values = {"enrol_per_s": report.enrol_per_s, "start_s": report.start_s}
    return [(name, value, _BARS[name]) for name, value in values.items() if value is not None]


def _told(name: str, value: float, bar: Bar) -> str:
    sign = ">=" if bar.at_least else "<="
    return f"{name} {value:,.1f}, bar {sign} {bar.limit:,.0f}: {'ok' if bar.met(value) else 'MISSED'}"
