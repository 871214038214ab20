"""Builds the JSON that every report has in common."""

from __future__ import annotations

import importlib.metadata
import platform
from collections import Counter
from dataclasses import asdict
from typing import Any

from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.intervals import Interval, Rate
from fr_evaluation.report import NOTICE, Report

# Of each library its distributions, of which one is installed.
PACKAGES = (
    "numpy",
    "pillow",
    "opencv-python",
    "opencv-python-headless",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "faiss-cpu",
    "faiss-gpu",
)


def versions() -> dict[str, str]:
    """Of Python, of the machine ("Linux x86_64"), and of those of `PACKAGES` that are installed, by name."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


# 2: holds everything that a repetition needs.
FORMAT = 2


def head(report: Report, kind: str) -> dict[str, Any]:
    """The keys that every report begins with."""
    dataset = report.dataset
    return {
        "format": FORMAT,
        "kind": kind,
        "notice": NOTICE,
        "measured_at": report.measured_at.isoformat(timespec="seconds"),
        "dataset": {
            "name": dataset.manifest.name,
            "title": dataset.manifest.title,
            "terms": dataset.manifest.terms,
            "citation": dataset.manifest.citation,
            "manifest_sha256": dataset.manifest.sha256,
            "list_sha256": dataset.list_sha256,
            "labels_sha256": dataset.labels_sha256,
            "photos": dataset.photos,
            "people": dataset.people,
            "part": dataset.part,
        },
        "settings": _plain(asdict(report.settings)),
        "versions": versions(),
        "failures_to_acquire": len(report.failures),
        "failure_reasons": dict(sorted(Counter(report.failures.values()).items())),
        "seconds": report.seconds,
    }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """The same with lists for tuples, as JSON has it."""
    return {
        name: _plain(value) if isinstance(value, dict) else list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
    }


def rate_keys(rate: Rate) -> dict[str, Any]:
    """A rate with its counts and its interval."""
    return {"value": rate.value, "count": rate.count, "total": rate.total, **interval_keys(rate.interval)}


def interval_keys(interval: Interval) -> dict[str, float]:
    """The two ends, and how sure they are."""
    return {"low": interval.low, "high": interval.high, "confidence": interval.confidence}


def bootstrap_keys(bootstrap: Bootstrap) -> dict[str, float]:
    """An interval by people."""
    return {
        "low": bootstrap.low,
        "high": bootstrap.high,
        "confidence": bootstrap.confidence,
        "standard_error": bootstrap.standard_error,
        "subjects": bootstrap.subjects,
        "replicates": bootstrap.replicates,
    }
