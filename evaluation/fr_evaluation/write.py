"""A report as files in a folder: report.json, report.html, the pictures, scores.csv, and what else the report has."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from fr_core.storage.durable import sync, write_private
from fr_evaluation import plots
from fr_evaluation.files import NAMES, AnyReport, data_files
from fr_evaluation.identification import page as identification_page
from fr_evaluation.verification import page as verification_page
from fr_evaluation.verification.report import VerificationReport


def write_report(report: AnyReport, folder: Path, thumbnails: bool | None = None) -> tuple[Path, ...]:
    """Write the files, each whole or not at all, for their owner alone, in place of those of an earlier report there.

    Scores name the photos of people: the files are for people who may see the data set. `thumbnails` says whether
    report.html shows photos; None = as the manifest of the set says. Raises `OSError` if the folder cannot be written
    to.
    """
    pictures = {f"{name}.png": plots.as_png(figure) for name, figure in _figures(report).items()}
    files = data_files(report) | pictures | {"report.html": report_page(report, thumbnails)}
    private_folder(folder)
    for name, content in files.items():
        write_private(folder / name, content)
    for name in NAMES - files.keys():
        (folder / name).unlink(missing_ok=True)
    sync(folder)
    return tuple(folder / name for name in files)


def private_folder(folder: Path) -> None:
    """Make a folder for its owner alone; one that is there stays as it is. Raises `OSError`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def report_page(report: AnyReport, thumbnails: bool | None = None) -> bytes:
    """report.html, pictures included; `thumbnails` as in `write_report`."""
    if isinstance(report, VerificationReport):
        return verification_page.page(report, thumbnails).encode()
    return identification_page.page(report, thumbnails).encode()


def _figures(report: AnyReport) -> Mapping[str, Figure]:
    if isinstance(report, VerificationReport):
        return verification_page.figures(report)
    return identification_page.figures(report)
