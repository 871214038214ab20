"""A report as files in a folder: report.json, report.html, the pictures, scores.csv, and what else the report has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from fr_evaluation import plots
from fr_evaluation.files import data_files
from fr_evaluation.identification import page as identification_page
from fr_evaluation.identification import plots as identification_plots
from fr_evaluation.identification.report import IdentificationReport
from fr_evaluation.report import Report
from fr_evaluation.verification import page as verification_page
from fr_evaluation.verification import plots as verification_plots
from fr_evaluation.verification.report import VerificationReport


def write_report(report: Report, folder: Path, thumbnails: bool | None = None) -> tuple[Path, ...]:
    """Write the files, each whole or not at all; those of an earlier report there are replaced.

    Scores name the photos of people: the files are for whoever may see the data set.

    Args:
        report: to write.
        folder: made where it is absent.
        thumbnails: whether report.html shows photos; None = as the manifest of the set says.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = report_files(report, thumbnails)
    for name, data in files.items():
        partial = folder / f".{name}.part"
        partial.write_bytes(data)
        partial.replace(folder / name)
    return tuple(folder / name for name in files)


def report_files(report: Report, thumbnails: bool | None = None) -> dict[str, bytes]:
    """Every file of a report, as bytes by name; `thumbnails` as in `write_report`."""
    pictures: Mapping[str, Figure]
    match report:
        case VerificationReport():
            pictures, text = verification_plots.figures(report), verification_page.page(report, thumbnails)
        case IdentificationReport():
            pictures, text = identification_plots.figures(report), identification_page.page(report, thumbnails)
        case _:
            raise TypeError(f"There are no files of a {type(report).__name__}.")
    images = {f"{name}.png": plots.as_png(figure) for name, figure in pictures.items()}
    return data_files(report) | images | {"report.html": text.encode()}
