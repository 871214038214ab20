"""The files of a report: their names, and those that need no pictures, as bytes by name; `write` adds the others."""

import io
import json
from typing import Any, TypeAlias

from fr_core.scoring.calibration_json import to_json
from fr_evaluation.identification import as_json as identification_json
from fr_evaluation.identification.figures import IdentificationReport
from fr_evaluation.verification import as_json as verification_json
from fr_evaluation.verification.report import VerificationReport

AnyReport: TypeAlias = VerificationReport | IdentificationReport

# Those that a report of either kind may have.
_PICTURES = ("histogram", "det", "roc", "quality", "cmc", "sizes")
NAMES = frozenset(
    ("report.json", "report.html", "scores.csv", "calibration.json", *(f"{name}.png" for name in _PICTURES))
)


def report_keys(report: AnyReport) -> dict[str, Any]:
    """The report as one JSON document."""
    if isinstance(report, VerificationReport):
        return verification_json.report_keys(report)
    return identification_json.report_keys(report)


def report_json(report: AnyReport) -> str:
    """The text of report.json, without a line end."""
    return json.dumps(report_keys(report), indent=2, ensure_ascii=False)


def data_files(report: AnyReport) -> dict[str, bytes]:
    """scores.csv, which names photos, of a verification calibration.json, where it has one, and report.json."""
    files = {"scores.csv": scores_csv(report).encode()}
    if isinstance(report, VerificationReport) and report.calibration is not None:
        files["calibration.json"] = f"{to_json(report.calibration)}\n".encode()
    files["report.json"] = f"{report_json(report)}\n".encode()
    return files


def scores_csv(report: AnyReport) -> str:
    """The text of scores.csv: the similarity of every pair, or those of every search."""
    lines = io.StringIO(newline="")
    if isinstance(report, VerificationReport):
        verification_json.write_scores(report, lines)
    else:
        identification_json.write_scores(report, lines)
    return lines.getvalue()
