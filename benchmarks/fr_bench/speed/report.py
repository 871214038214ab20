"""The report of a measurement of photos or searches: its figures, its lines, its table, and its JSON."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from fr_bench.report import bar_text
from fr_bench.speed import values
from fr_bench.speed.page import Page, machine_text
from fr_bench.speed.search_report import (
    SearchDetail,
    search_figures,
    search_lines,
    search_parts,
    search_tables,
    search_title,
)
from fr_core.runtime.devices import ActiveDevice

# (measure, value).
Measures = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class BenchReport:
    """A whole measurement of photos or searches."""

    command: str
    photos_per_s: float | None  # median over the rounds, as the next two; None where no photo was measured
    faces_per_s: float | None
    peer_photos_per_s: float | None  # of the peer over REST, else of the one in process with one caller
    ratio: float | None  # photos_per_s / peer_photos_per_s, or of searches the peer's p50 / ours
    conditions: values.Conditions
    engine: values.EngineSettings | None  # None where no model ran, as `device`
    device: ActiveDevice | None
    rounds: tuple[values.Round, ...]  # in the order in which they were run
    rates: tuple[values.Rate, ...]
    held: tuple[values.Held, ...]
    detail: values.PipelineDetail | values.ServeDetail | SearchDetail


def page_of(report: BenchReport) -> Page:
    """The report as it is printed and written."""
    detail = report.detail
    if isinstance(detail, SearchDetail):
        figures, tables, stem = search_figures(detail), search_tables(detail), search_parts(detail)
        title = search_title(detail)
    else:
        names = ("photos_per_s", "faces_per_s", "peer_photos_per_s", "ratio")
        figures = {name: getattr(report, name) for name in names}
        tables, stem, title = [[("measure", "value"), *measures(report)]], _stem(report, detail), _title(report, detail)
    stem_text = re.sub(r"[^A-Za-z0-9_.]+", "-", "-".join(part for part in stem if part))
    lines = _conditions_text(report)
    return Page(stem_text, title, lines, tables, report.held, _values(report, figures), partial(_plot, detail))


def _plot(
    detail: values.PipelineDetail | values.ServeDetail | SearchDetail, folder: Path, stem: str
) -> tuple[Path, ...]:
    from fr_bench.speed.plots import plot, plot_search  # needs Matplotlib

    return plot_search(detail, folder, stem) if isinstance(detail, SearchDetail) else plot(detail, folder, stem)


def _values(report: BenchReport, figures: dict[str, Any]) -> dict[str, Any]:
    """The main figures first, then conditions, then everything."""
    told, engine = asdict(report.conditions), report.engine
    rounds = {"rounds": [asdict(item) for item in report.rounds], "rates": [asdict(item) for item in report.rates]}
    return {
        **figures,
        "command": report.command,
        "machine": {**told["machine"], "load_average": told["load_average"], "accelerators": told["accelerators"]},
        "versions": told["versions"],
        "pack": engine.pack if engine else None,
        "device": asdict(report.device) if report.device else None,
        "precision": engine.precision if engine else None,
        "settings": asdict(engine) if engine else None,
        **({} if isinstance(report.detail, SearchDetail) else rounds),
        "bars": [
            {"name": item.name, "value": item.value, "bar": bar_text(item.bar), "met": item.met} for item in report.held
        ],
        **asdict(report.detail),
    }


def _engine_of(report: BenchReport) -> tuple[values.EngineSettings, ActiveDevice]:
    assert report.engine is not None  # photos were measured
    assert report.device is not None
    return report.engine, report.device


def _title(report: BenchReport, detail: values.PipelineDetail | values.ServeDetail) -> str:
    engine, device = _engine_of(report)
    what = f"{engine.pack} on {device.active}, {engine.precision}, {engine.detection}, photos {detail.workload.name}"
    method = f" {detail.load.method}, {detail.load.mode} loop:" if isinstance(detail, values.ServeDetail) else ":"
    return f"fr bench {report.command}{method} {what}"


def _stem(report: BenchReport, detail: values.PipelineDetail | values.ServeDetail) -> list[str]:
    engine, device = _engine_of(report)
    load: list[str] = []
    if isinstance(detail, values.ServeDetail):
        load = [detail.load.method, detail.load.mode, *(["secured"] if detail.load.secured else [])]
        load += [f"{detail.load.frontends}-frontends"] if detail.load.frontends else []
        load += [
            setting
            for option, setting in pairwise(detail.load.server)
            if option == "--set" and not setting.startswith(("model.precision=", "model.detection="))
        ]
    of_engine = [engine.pack, device.active, engine.precision, engine.detection]
    return [report.command, *load, *of_engine, detail.workload.name]


def _conditions_text(report: BenchReport) -> list[str]:
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
    if isinstance(report.detail, values.ServeDetail):
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
        lines += ["TLS, access by key and audit, as made by fr server init"] if load.secured else []
    return lines


def measures(report: BenchReport) -> Measures:
    """Measures of photos and their values, for people."""
    for rate in report.rates:
        spread = f"{rate.lowest:.1f} to {rate.highest:.1f} over {rate.rounds} rounds"
        yield f"{rate.subject}, photos/s", f"{rate.photos_per_s:.1f} (median; {spread})"
        yield f"{rate.subject}, faces/s", f"{rate.faces_per_s:.1f}"
        if rate.cpu_ms_per_photo is not None:
            yield f"{rate.subject}, processor time of a photo", f"{rate.cpu_ms_per_photo:.1f} ms"
        if rate.other_load is not None:
            yield f"{rate.subject}, other load of the processors", f"{rate.other_load:.1%}"
    detail = report.detail
    if report.photos_per_s is not None:
        for rate in report.rates:
            if rate.subject.startswith(values.PEER):
                yield f"ratio to the {rate.subject}", f"{report.photos_per_s / rate.photos_per_s:.2f}"
    if isinstance(detail, values.PipelineDetail):
        yield from _pipeline_rows(detail)
    elif isinstance(detail, values.ServeDetail):
        yield from _serve_rows(detail, sum(item.subject == values.SERVER for item in report.rounds))


def latency_text(latency: values.Latency | None) -> str:
    """Percentiles, such as "p50 12.0 ms, p95 15.0 ms, p99 20.1 ms (200 calls)"."""
    if latency is None:
        return "none"
    return (
        f"p50 {latency.p50_ms:.1f} ms, p95 {latency.p95_ms:.1f} ms, p99 {latency.p99_ms:.1f} ms ({latency.count} calls)"
    )


def _pipeline_rows(detail: values.PipelineDetail) -> Measures:
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


def _serve_rows(detail: values.ServeDetail, rounds: int) -> Measures:
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


def _batch_rows(batches: Sequence[values.Batches]) -> Measures:
    for item in batches:
        told = ", ".join(f"{'more' if size is None else f'{size:g}'}: {count}" for size, count in item.counts)
        yield f"batches of the {item.model}, size: number", told


def _refusal_rows(point: values.LoadPoint, prefix: str) -> Measures:
    for outcome in point.outcomes:
        if outcome.reason != "OK":
            told = f"{outcome.calls} calls, {outcome.with_retry_info} with RetryInfo; {latency_text(outcome.latency)}"
            yield f"{prefix}{outcome.reason}", told


def _point_rows(point: values.LoadPoint) -> Measures:
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


def _memory_text(memory: values.Memory) -> str:
    return f"{memory.start_mib:.0f} MiB, {memory.middle_mib:.0f} MiB half way, {memory.end_mib:.0f} MiB at the end"


def _agreement_rows(agreement: values.Agreement | None) -> Measures:
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
