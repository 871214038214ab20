"""The report of a measurement: JSON for programs, a table for people, and the files of a results folder."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from fr_bench.report import STATES, bar_text
from fr_bench.speed.search_report import Rows, search_figures, search_lines, search_parts, search_tables, search_title
from fr_bench.speed.search_values import SearchDetail
from fr_bench.speed.values import (
    PEER,
    SERVER,
    Agreement,
    Batches,
    BenchReport,
    Conditions,
    Latency,
    LoadPoint,
    Memory,
    PipelineDetail,
    ServeDetail,
)

# (measure, value).
Measures = Iterator[tuple[str, str]]


def to_json(report: BenchReport) -> dict[str, Any]:
    """The report as plain values: its main figures first, then conditions, then everything."""
    told = asdict(report.conditions)
    searched = isinstance(report.detail, SearchDetail)
    return {
        **(search_figures(report.detail) if isinstance(report.detail, SearchDetail) else _photo_figures(report)),
        "command": report.command,
        "machine": {**told["machine"], "load_average": told["load_average"], "accelerators": told["accelerators"]},
        "versions": told["versions"],
        "pack": report.engine.pack if report.engine else None,
        "device": asdict(report.device) if report.device else None,
        "precision": report.engine.precision if report.engine else None,
        "settings": asdict(report.engine) if report.engine else None,
        **({} if searched else _rounds(report)),
        "bars": [
            {"name": item.name, "value": item.value, "bar": bar_text(item.bar), "met": item.met} for item in report.held
        ],
        **asdict(report.detail),
    }


def _photo_figures(report: BenchReport) -> dict[str, Any]:
    names = ("photos_per_s", "faces_per_s", "peer_photos_per_s", "ratio")
    return {name: getattr(report, name) for name in names}


def _rounds(report: BenchReport) -> dict[str, Any]:
    return {"rounds": [asdict(item) for item in report.rounds], "rates": [asdict(item) for item in report.rates]}


def dumped(report: BenchReport) -> str:
    """The JSON as text; a number that is not finite would be a defect and is refused."""
    return json.dumps(to_json(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render(report: BenchReport) -> Group:
    """The report for a terminal."""
    shown = [_drawn(table) for table in tables(report)]
    held = [
        Text.assemble(f"{item.name} {held_text(item.value)}, bar {bar_text(item.bar)}: ", STATES[item.met])
        for item in report.held
    ]
    return Group(Text("\n".join(conditions_text(report))), *shown, *held)


def _drawn(rows: Rows) -> Table:
    head, *body = rows
    table = Table(*head, box=box.SIMPLE_HEAD)
    for row in body:
        table.add_row(*row)
    return table


def tables(report: BenchReport) -> list[Rows]:
    """Return what is shown, as tables of text; the first row of each is its head."""
    if isinstance(report.detail, SearchDetail):
        return search_tables(report.detail)
    return [[("measure", "value"), *measures(report)]]


def markdown(report: BenchReport, command: str, pictures: tuple[str, ...]) -> str:
    """The report as a page.

    Args:
        report: of one measurement.
        command: that made it.
        pictures: names of files beside the page.
    """
    lines = [f"# {title(report)}", "", f"    {command}", "", *(f"- {line}" for line in conditions_text(report)), ""]
    for head, *body in tables(report):
        lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in body]
        lines.append("")
    lines.pop()
    if report.held:
        lines += ["", "| figure | value | bar | reached |", "|---|---|---|---|"]
        lines += [
            f"| {item.name} | {held_text(item.value)} | {bar_text(item.bar)} | {'yes' if item.met else 'no'} |"
            for item in report.held
        ]
    lines += ["", *(f"![{picture}]({picture})" for picture in pictures)] if pictures else []
    return "\n".join(lines) + "\n"


def title(report: BenchReport) -> str:
    """A line that tells the measurements apart."""
    detail = report.detail
    if isinstance(detail, SearchDetail):
        return search_title(detail)
    engine, device = report.engine, report.device
    assert engine is not None
    assert device is not None
    what = f"{engine.pack} on {device.active}, {engine.precision}, {engine.detection}, photos {detail.workload.name}"
    method = f" {detail.load.method}, {detail.load.mode} loop:" if isinstance(detail, ServeDetail) else ":"
    return f"fr bench {report.command}{method} {what}"


def file_stem(report: BenchReport) -> str:
    """A name for the files of a report, the same for the same measurement."""
    detail = report.detail
    if isinstance(detail, SearchDetail):
        parts = search_parts(detail)
    else:
        engine, device = report.engine, report.device
        assert engine is not None
        assert device is not None
        load: list[str] = []
        if isinstance(detail, ServeDetail):
            load = [detail.load.method, detail.load.mode]
            load += [f"{detail.load.frontends}-frontends"] if detail.load.frontends else []
            load += [
                setting
                for option, setting in pairwise(detail.load.server)
                if option == "--set" and not setting.startswith(("model.precision=", "model.detection="))
            ]
        parts = [
            report.command,
            *load,
            engine.pack,
            device.active,
            engine.precision,
            engine.detection,
            detail.workload.name,
        ]
    return re.sub(r"[^A-Za-z0-9_.]+", "-", "-".join(part for part in parts if part))


def write(report: BenchReport, folder: Path, command: str) -> tuple[Path, ...]:
    """Write the JSON, the page and the plots of a report; the files of the same measurement are replaced.

    Without Matplotlib there are no plots (`can_plot`).

    Raises:
        OSError: the folder or the disk refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = file_stem(report)
    pictures: tuple[Path, ...] = ()
    if can_plot():
        from fr_bench.speed.plots import plot, plot_search

        detail = report.detail
        pictures = plot_search(detail, folder, stem) if isinstance(detail, SearchDetail) else plot(detail, folder, stem)
    text, page = folder / f"{stem}.json", folder / f"{stem}.md"
    text.write_text(dumped(report), encoding="utf-8")
    page.write_text(markdown(report, command, tuple(path.name for path in pictures)), encoding="utf-8")
    return (text, page, *pictures)


def can_plot() -> bool:
    """Return whether Matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def machine_text(told: Conditions) -> list[str]:
    """Return what the figures were measured on, as lines for people."""
    machine = told.machine
    return [
        f"{machine.cpus} CPUs ({machine.processor}, {machine.architecture}), {machine.system}, Python {machine.python}"
        + (f", load average {told.load_average:.2f} at the start" if told.load_average is not None else ""),
        ", ".join(f"{name} {version}" for name, version in told.versions.items()),
        *(f"Accelerator: {name}" for name in told.accelerators),
    ]


def conditions_text(report: BenchReport) -> list[str]:
    """Return what the figures were measured with, as lines for people."""
    lines = machine_text(report.conditions)
    engine, device = report.engine, report.device
    if engine is not None and device is not None:
        lines.append(
            f"Pack {engine.pack}, device {device.active} (asked for: {device.requested}), {device.runtime}, "
            f"precision {engine.precision}, detection {engine.detection}, threads {engine.threads}, "
            f"lanes {engine.lanes}, workers {engine.workers} (0: chosen by the engine)"
        )
    if isinstance(report.detail, SearchDetail):
        lines += search_lines(report.detail)
    else:
        work = report.detail.workload
        lines.append(
            f"Photos {work.name}: {work.distinct} distinct, {work.photos} a round, "
            f"mean {work.megapixels:.2f} megapixels and {work.kilobytes:.0f} kB"
        )
    if isinstance(report.detail, ServeDetail):
        load = report.detail.load
        how = (
            f"{load.concurrency} calls at once"
            if load.rate is None
            else f"{load.rate:g} arrivals/s, {load.seconds:g} s"
        )
        lines.append(
            f"Load: {load.method}, {load.mode} loop, {how}; "
            f"{load.generators} generators, {load.channels} connections of each"
        )
        lines += [f"Server: fr serve {' '.join(load.server)}"] if load.server else []
    return lines


def measures(report: BenchReport) -> Measures:
    """Measures of photos and their values, for people."""
    for rate in report.rates:
        spread = f"{rate.lowest:.1f} to {rate.highest:.1f} over {rate.rounds} rounds"
        yield f"{rate.subject}, photos/s", f"{rate.photos_per_s:.1f} (median; {spread})"
        yield f"{rate.subject}, faces/s", f"{rate.faces_per_s:.1f}"
    detail = report.detail
    if report.photos_per_s is not None:
        for rate in report.rates:
            if rate.subject.startswith(PEER):
                yield f"ratio to the {rate.subject}", f"{report.photos_per_s / rate.photos_per_s:.2f}"
    if isinstance(detail, PipelineDetail):
        yield from _pipeline_rows(detail)
    elif isinstance(detail, ServeDetail):
        yield from _serve_rows(detail, sum(item.subject == SERVER for item in report.rounds))


def held_text(value: float) -> str:
    """A figure beside its bar: three decimals, or two digits where these would show none."""
    return f"{value:.1e}" if 0 < abs(value) < 5e-4 else f"{value:.3f}"


def latency_text(latency: Latency | None) -> str:
    """Percentiles, such as "p50 12.0 ms, p95 15.0 ms, p99 20.1 ms (200 calls)"."""
    if latency is None:
        return "none"
    return (
        f"p50 {latency.p50_ms:.1f} ms, p95 {latency.p95_ms:.1f} ms, p99 {latency.p99_ms:.1f} ms ({latency.count} calls)"
    )


def _pipeline_rows(detail: PipelineDetail) -> Measures:
    yield "latency of a photo in a round", latency_text(detail.latency)
    stages = detail.stages
    yield "one photo at a time", f"{stages.total_ms:.1f} ms"
    for step in ("decode", "detect", "align", "embed", "assess"):
        took = getattr(stages, f"{step}_ms")
        yield f"one photo at a time: {step}", f"{took:.2f} ms, {took / stages.total_ms:.0%}"
    yield from _batch_rows(detail.batches)
    for item in detail.embedding:
        yield (
            f"embedding a face, batch of {item.batch}",
            f"{item.embedder_ms:.2f} ms, bare runtime {item.runtime_ms:.2f} ms, ratio {item.ratio:.2f}",
        )
    yield from _agreement_rows(detail.agreement)


def _serve_rows(detail: ServeDetail, rounds: int) -> Measures:
    yield "latency of the answers", latency_text(detail.latency)
    if detail.pipeline_photos_per_s is not None and detail.server_to_pipeline is not None:
        yield "server / pipeline", f"{detail.server_to_pipeline:.3f}"
    for turn, point in enumerate(detail.points[:rounds]):
        yield from _refusal_rows(point, f"round {turn + 1}: ")
    for point in detail.points[rounds - 1 :]:  # of the rounds the last: they differ little in what follows
        yield from _point_rows(point)
    if detail.overload is not None and detail.goodput_to_peak is not None:
        yield "overload: goodput / peak", f"{detail.goodput_to_peak:.3f}"
        yield from _point_rows(detail.overload)
    yield from _batch_rows(detail.batches)
    yield from _agreement_rows(detail.agreement)


def _batch_rows(batches: Sequence[Batches]) -> Measures:
    for item in batches:
        told = ", ".join(f"{'more' if size is None else f'{size:g}'}: {count}" for size, count in item.counts)
        yield f"batches of the {item.model}, size: number", told


def _refusal_rows(point: LoadPoint, prefix: str) -> Measures:
    for outcome in point.outcomes:
        if outcome.reason != "OK":
            told = f"{outcome.calls} calls, {outcome.with_retry_info} with RetryInfo; {latency_text(outcome.latency)}"
            yield f"{prefix}{outcome.reason}", told


def _point_rows(point: LoadPoint) -> Measures:
    name = f"{point.load:g} at once" if point.mode == "closed" else f"{point.load:.1f} arrivals/s"
    yield name, f"{point.photos_per_s:.1f} photos/s good; {latency_text(point.latency)}"
    yield from _refusal_rows(point, f"{name}: ")
    if point.lateness_ms is not None:
        yield f"{name}: generator late by (p99)", f"{point.lateness_ms:.1f} ms"
    yield f"{name}: processor share of the generator", f"{point.generator_cpu:.2f}"
    if point.health:
        told = "; ".join(f"{item.answers} {item.status}, {latency_text(item.latency)}" for item in point.health)
        yield f"{name}: health", told
    if point.memory is not None:
        yield f"{name}: memory of the server", _memory_text(point.memory)


def _memory_text(memory: Memory) -> str:
    return f"{memory.start_mib:.0f} MiB, {memory.middle_mib:.0f} MiB half way, {memory.end_mib:.0f} MiB at the end"


def _agreement_rows(agreement: Agreement | None) -> Measures:
    if agreement is None:
        return
    yield (
        "faces found",
        f"{agreement.faces}, by the peer {agreement.peer_faces}, both {agreement.matched}; {agreement.photos} photos",
    )
    if agreement.cosine_min is not None and agreement.cosine_median is not None:
        yield (
            "cosine to the peer's embedding",
            f"median {agreement.cosine_median:.5f}, lowest {agreement.cosine_min:.5f}",
        )
