"""What reports have in common in plain words."""

from __future__ import annotations

from fr_core.scoring.intervals import Interval, Rate
from fr_evaluation.report import Report


def conditions(report: Report) -> list[tuple[str, str]]:
    """What was measured with what."""
    dataset, settings = report.dataset, report.settings
    return [
        ("data set", dataset.manifest.name),
        ("terms", dataset.manifest.terms),
        ("to cite", dataset.manifest.citation),
        ("sha256 of the list", dataset.list_sha256),
        ("people", "not named by the list" if dataset.people is None else f"{dataset.people:,}"),
        *((name.replace("_", " "), str(getattr(settings, name))) for name in settings.__slots__),
        ("measured at", report.measured_at.isoformat(timespec="seconds")),
        ("photos took", f"{report.seconds:.1f} s"),
    ]


def interval_text(interval: Interval) -> str:
    """The two ends."""
    return f"{interval.low:.4f} to {interval.high:.4f}"


def rate_text(rate: Rate) -> str:
    """A rate with its counts."""
    return f"{rate.value:.4g} ({rate.count:,} of {rate.total:,})"
