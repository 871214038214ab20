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
    return report.n >= _BARS_FROM and not all(bar.met(getattr(report, name)) for name, bar in _BARS.items())


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
        ("start: from NOT_SERVING to SERVING", f"{report.start_s:.1f} s"),
        ("start: from the process to the ready file", f"{report.whole_start_s:.1f} s"),
        ("answers NOT_SERVING before SERVING", str(report.not_serving)),
        ("memory of the server", f"{report.resident_mib:,.0f} MiB"),
        ("data folder", f"{report.disk_mib:,.0f} MiB"),
    ]


def _held(report: LifeReport) -> list[str]:
    bars = _BARS if report.n >= _BARS_FROM else {}
    return [_told(name, getattr(report, name), bar) for name, bar in bars.items()]


def _told(name: str, value: float, bar: Bar) -> str:
    sign = ">=" if bar.at_least else "<="
    return f"{name} {value:,.1f}, bar {sign} {bar.limit:,.0f}: {'ok' if bar.met(value) else 'MISSED'}"
