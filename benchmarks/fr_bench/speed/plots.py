"""Draws plots as SVG: latency against load, sizes of batches, and searches by the size of the gallery."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fr_bench.speed.search_report import Prediction, SearchDetail, SearchPoint, SubjectFigures
from fr_bench.speed.values import Batches, LoadPoint, PipelineDetail, ServeDetail


def plot(detail: PipelineDetail | ServeDetail, folder: Path, stem: str) -> tuple[Path, ...]:
    """Draw what there is to draw: nothing without a sweep and without batches."""
    made = []
    if isinstance(detail, ServeDetail) and len({point.load for point in detail.points}) > 1:
        made.append(save(latency_figure(detail.points), folder / f"{stem}-latency.svg"))
    if detail.batches:
        made.append(save(batches_figure(detail.batches), folder / f"{stem}-batches.svg"))
    return tuple(made)


def latency_figure(points: Sequence[LoadPoint]) -> Figure:
    """Percentiles of the latency, and photos per second, by load; of several points of one load, the last."""
    chosen = sorted({point.load: point for point in points if point.latency is not None}.values(), key=lambda p: p.load)
    loads = [point.load for point in chosen]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        axes.plot(loads, [getattr(point.latency, name) for point in chosen], marker="o", label=name.removesuffix("_ms"))
    axes.set_xlabel("calls at once" if points[0].mode == "closed" else "arrivals per second")
    axes.set_ylabel("latency, ms")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    beside = axes.twinx()
    beside.plot(loads, [point.photos_per_s for point in chosen], color="grey", linestyle="--", label="photos/s")
    beside.set_ylabel("photos answered per second")
    beside.set_ylim(bottom=0)
    figure.legend(loc="outside upper center", ncols=4)
    return figure


def batches_figure(batches: Sequence[Batches]) -> Figure:
    """Batches by size, one panel for each model."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    for place, item in enumerate(batches):
        axes = figure.add_subplot(1, len(batches), place + 1)
        names = ["more" if bound is None else f"{bound:g}" for bound, _ in item.counts]
        axes.bar(names, [count for _, count in item.counts])
        axes.set_title(item.model or "model")
        axes.set_xlabel("items of a batch")
        axes.set_ylabel("batches")
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as SVG."""
    # The same figures give the same bytes, so that a change of a picture is a change of figures.
    with mpl.rc_context({"svg.hashsalt": "fr-bench"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
    return path


def plot_search(detail: SearchDetail, folder: Path, stem: str) -> tuple[Path, ...]:
    """Draw the sweep; nothing without one."""
    if not detail.sweep:
        return ()
    figure = sizes_figure(detail.sweep, detail.predictions, detail.settings.k)
    return (save(figure, folder / f"{stem}-sizes.svg"),)


def sizes_figure(points: Sequence[SearchPoint], predictions: Sequence[Prediction], k: int) -> Figure:
    """The median latency, with what is predicted as hollow marks, and the recall, by size."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    times, recalls = figure.subplots(1, 2)
    _lines(times, points, lambda item: item.p50_ms)
    for item in predictions:
        line = next(line for line in times.lines if line.get_label() == item.subject)
        name = f"{item.subject}, predicted"
        times.plot([item.size], [item.p50_ms], "o", mfc="none", color=line.get_color(), label=name)
    times.set_yscale("log")
    times.set_ylabel("latency of one probe, p50, ms")
    _lines(recalls, points, lambda item: item.accuracy.recall)
    recalls.set_ylim(0, 1.02)
    recalls.set_ylabel(f"recall of the top {k}")
    times.legend(loc="best")
    return figure


def _lines(axes: Axes, points: Sequence[SearchPoint], value: Callable[[SubjectFigures], float]) -> None:
    for place, subject in enumerate(item.subject for item in points[0].figures):
        values = [value(point.figures[place]) for point in points]
        axes.plot([point.size for point in points], values, marker="o", label=subject)
    axes.set_xscale("log")
    axes.set_xlabel("templates")
    axes.grid(alpha=0.3)
