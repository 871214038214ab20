"""The files of a report: their names, and those that need no pictures, as bytes by name; `write` adds the others."""

from __future__ import annotations

import io
import json

from fr_core.scoring.calibration_json import to_json
from fr_evaluation.identification import as_json as identification_json
from fr_evaluation.identification.report import IdentificationReport
from fr_evaluation.keys import report_keys
from fr_evaluation.report import Report
from fr_evaluation.verification import as_json as verification_json
from fr_evaluation.verification.report import VerificationReport

# Those that a report of either kind may have.
_PICTURES = ("histogram", "det", "roc", "quality", "cmc", "sizes")
NAMES = frozenset(
    ("report.json", "report.html", "scores.csv", "calibration.json", *(f"{name}.png" for name in _PICTURES))
)


def data_files(report: Report) -> dict[str, bytes]:
    """scores.csv, which names photos, of a verification calibration.json, where it has one, and report.json."""
    files = {"scores.csv": scores_csv(report).encode()}
    if isinstance(report, VerificationReport) and report.calibration is not None:
        files["calibration.json"] = f"{to_json(report.calibration)}\n".encode()
    files["report.json"] = (json.dumps(report_keys(report), indent=2, ensure_ascii=False) + "\n").encode()
    return files


def scores_csv(report: Report) -> str:
    """The text of scores.csv: the similarity of every pair, or those of every search."""
    lines = io.StringIO(newline="")
    match report:
        case VerificationReport():
            verification_json.write_scores(report, lines)
        case IdentificationReport():
            identification_json.write_scores(report, lines)
        case _:
            raise TypeError(f"There are no scores of a {type(report).__name__}.")
    return lines.getvalue()
