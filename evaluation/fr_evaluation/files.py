"""The files of a report that need no pictures, as bytes by name; `write` adds those that do."""

from __future__ import annotations

import io
import json

from fr_core.scoring.calibration_json import to_json
from fr_evaluation.keys import report_keys
from fr_evaluation.report import Report
from fr_evaluation.verification import as_json
from fr_evaluation.verification.report import VerificationReport


def data_files(report: Report) -> dict[str, bytes]:
    """report.json, and of a verification calibration.json, where it has one, and scores.csv, which names photos."""
    files: dict[str, bytes] = {}
    if isinstance(report, VerificationReport):
        scores = io.StringIO(newline="")
        as_json.write_scores(report, scores)
        files["scores.csv"] = scores.getvalue().encode()
        if report.calibration is not None:
            files["calibration.json"] = f"{to_json(report.calibration)}\n".encode()
    files["report.json"] = (json.dumps(report_keys(report), indent=2, ensure_ascii=False) + "\n").encode()
    return files
