"""Plots of searches, as SVG: latency and recall against the size of the gallery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fr_bench.speed.plots import save
from fr_bench.speed.search_values import Prediction, SearchDetail, SearchPoint, SubjectFigures


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
    times.legend()
    return figure


def _lines(axes: Axes, points: Sequence[SearchPoint], value: Callable[[SubjectFigures], float]) -> None:
    for place, subject in enumerate(item.subject for item in points[0].figures):
        values = [value(point.figures[place]) for point in points]
        axes.plot([point.size for point in points], values, marker="o", label=subject)
    axes.set_xscale("log")
    axes.set_xlabel("templates")
    axes.grid(alpha=0.3)
