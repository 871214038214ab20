"""Builds the JSON that every report has in common."""

import importlib.metadata
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from typing import Any

from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.intervals import Rate
from fr_evaluation.report import NOTICE, Report
from fr_locales.messages import Message
from fr_locales.rendering import render

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
    "faiss-gpu-cuvs",
)


def versions() -> dict[str, str]:
    """Of Python, of the machine ("Linux x86_64"), and of those of `PACKAGES` that are installed, by name."""
    machine = f"{platform.system()} {platform.machine()}"
    return {"python": platform.python_version(), "machine": machine, **installed(PACKAGES)}


def installed(packages: Iterable[str]) -> dict[str, str]:
    """The versions of the packages that are installed, by name."""
    found = {}
    for name in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


# 2: holds everything that a repetition needs.
FORMAT = 2


def head(report: Report, kind: str) -> dict[str, Any]:
    """The keys that every report begins with."""
    dataset = report.dataset
    return {
        "format": FORMAT,
        "kind": kind,
        "notice": render(NOTICE),
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
        "settings": plain(report.settings),
        "versions": versions(),
        "failures_to_acquire": len(report.failures),
        "failure_reasons": dict(sorted(Counter(report.failures.values()).items())),
        "seconds": report.seconds,
    }


def plain(value: Any) -> Any:
    """Values as JSON has them: of rates and intervals by people the keys that every report has, lists for tuples."""
    match value:
        case Rate():
            return {"value": value.value, "count": value.count, "total": value.total, **asdict(value.interval)}
        case Bootstrap():
            return {name: inner for name, inner in asdict(value).items() if name != "value"}
        case Message():
            return render(value)
        case Mapping():
            return {name: plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
    return plain(asdict(value)) if is_dataclass(value) and not isinstance(value, type) else value
