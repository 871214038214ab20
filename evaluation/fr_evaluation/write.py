"""A report as files in a folder: report.json, report.html, the pictures, and of a verification scores.csv."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from fr_evaluation import plots
from fr_evaluation.identification import page as identification_page
from fr_evaluation.identification import plots as identification_plots
from fr_evaluation.identification.report import IdentificationReport
from fr_evaluation.keys import report_keys
from fr_evaluation.report import Report
from fr_evaluation.verification import as_json
from fr_evaluation.verification import page as verification_page
from fr_evaluation.verification import plots as verification_plots
from fr_evaluation.verification.report import VerificationReport


def write_report(report: Report, folder: Path) -> tuple[Path, ...]:
    """Write the files, each whole or not at all; those of an earlier report there are replaced.

    Scores name the photos of people: the files are for whoever may see the data set.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = _files(report)
    for name, data in files.items():
        partial = folder / f".{name}.part"
        partial.write_bytes(data)
        partial.replace(folder / name)
    return tuple(folder / name for name in files)


def _files(report: Report) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    pictures: Mapping[str, Figure]
    match report:
        case VerificationReport():
            scores = io.StringIO(newline="")
            as_json.write_scores(report, scores)
            files["scores.csv"] = scores.getvalue().encode()
            pictures, text = verification_plots.figures(report), verification_page.page(report)
        case IdentificationReport():
            pictures, text = identification_plots.figures(report), identification_page.page(report)
        case _:
            raise TypeError(f"There are no files of a {type(report).__name__}.")
    files |= {f"{name}.png": plots.as_png(figure) for name, figure in pictures.items()}
    files["report.html"] = text.encode()
    files["report.json"] = (json.dumps(report_keys(report), indent=2, ensure_ascii=False) + "\n").encode()
    return files
