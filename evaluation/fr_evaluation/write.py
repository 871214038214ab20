"""A verification report as files in a folder: report.json, scores.csv, report.html and the pictures."""

from __future__ import annotations

import io
import json
from pathlib import Path

from fr_evaluation.page import page
from fr_evaluation.plots import as_png, figures
from fr_evaluation.report import VerificationReport
from fr_evaluation.report_json import report_keys, write_scores


def write_report(report: VerificationReport, folder: Path) -> tuple[Path, ...]:
    """Write the files, each whole or not at all; those of an earlier report there are replaced.

    Scores name the photos of people: the files are for whoever may see the data set.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scores = io.StringIO(newline="")
    write_scores(report, scores)
    files = {
        "scores.csv": scores.getvalue().encode(),
        **{f"{name}.png": as_png(figure) for name, figure in figures(report).items()},
        "report.html": page(report).encode(),
        "report.json": (json.dumps(report_keys(report), indent=2, ensure_ascii=False) + "\n").encode(),
    }
    for name, data in files.items():
        partial = folder / f".{name}.part"
        partial.write_bytes(data)
        partial.replace(folder / name)
    return tuple(folder / name for name in files)
