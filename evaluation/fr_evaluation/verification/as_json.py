"""A verification report for programs: one JSON document, and the score of every pair as CSV."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, TextIO

from fr_core.scoring.det import ThresholdRow
from fr_core.scoring.verification import OperatingPoint
from fr_datasets.values import VerificationPair
from fr_evaluation.json_values import bootstrap_keys, head, interval_keys, rate_keys
from fr_evaluation.verification.compare import ComparedPairs
from fr_evaluation.verification.figures import RateAtFmr, VerificationFigures
from fr_evaluation.verification.report import VerificationReport
from fr_evaluation.verification.section_keys import (
    calibration_keys,
    group_keys,
    held_out_keys,
    quality_keys,
)

COLUMNS = ("pair", "photo_a", "photo_b", "mated", "fold", "similarity", "failure")


def report_keys(report: VerificationReport) -> dict[str, Any]:
    """The report as one document; docs/evaluation.md describes its keys. An undefined figure is null."""
    figures = report.figures
    return {
        **head(report, "verification"),
        "pairs": _pairs(report.compared),
        "accuracy": _accuracy(figures),
        "accuracy_at_best_threshold": None
        if figures.best is None
        else {
            "value": figures.best.accuracy,
            "threshold": figures.best.threshold,
            "wrong": figures.best.n_wrong,
            "pairs": figures.best.n,
            **interval_keys(figures.best.interval),
        },
        "equal_error_rate": None
        if figures.equal_error_rate is None
        else {"value": figures.equal_error_rate.value, "threshold": figures.equal_error_rate.threshold},
        "auc": None
        if figures.auc is None
        else {
            "value": figures.auc.value,
            "standard_error": figures.auc.standard_error,
            **interval_keys(figures.auc.interval),
        },
        "at_default_threshold": None if figures.default is None else _point(figures.default),
        "fnmr_at_fmr": {f"{one.row.target:g}": _at_fmr(one) for one in figures.at_fmr},
        "across_people": {
            "people": figures.people,
            "left_out": figures.left_out,
            "fnmr_at_fmr": {f"{row.target:g}": _row(row) for row in figures.across_people},
        }
        if figures.people
        else None,
        "likelihood_ratio": None
        if figures.evidence is None
        else {
            "method": figures.evidence.method,
            "cllr": figures.evidence.cllr,
            "min_cllr": figures.evidence.min_cllr,
            "expected_calibration_error": figures.evidence.calibration_error,
        },
        "calibration": calibration_keys(report.calibration),
        "held_out": held_out_keys(report.held_out),
        "differentials": group_keys(report.groups),
        "quality": quality_keys(report.quality),
        "undefined": dict(report.undefined),
    }


def write_scores(report: VerificationReport, file: TextIO) -> None:
    """Write a row for each pair: those that were compared in the order of the list, then those that were not."""
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)
    compared = report.compared
    number = 0
    for pair, similarity in zip(compared.pairs, compared.similarities.tolist(), strict=True):
        number += 1
        rows.writerow([number, *_pair(pair, report.dataset.root), repr(similarity), ""])
    for pair in compared.failed:
        number += 1
        reasons = [report.failures[photo] for photo in (pair.a, pair.b) if photo in report.failures]
        rows.writerow(
            [number, *_pair(pair, report.dataset.root), "", "+".join(dict.fromkeys(reasons)) or "NO_TEMPLATE"]
        )


def _pairs(compared: ComparedPairs) -> dict[str, int]:
    mated = int(compared.mated.sum()) + compared.mated_failures
    return {
        "mated": mated,
        "nonmated": len(compared.pairs) + len(compared.failed) - mated,
        "mated_failures": compared.mated_failures,
        "nonmated_failures": compared.nonmated_failures,
    }


def _accuracy(figures: VerificationFigures) -> dict[str, Any] | None:
    if figures.accuracy is None:
        return None
    return {
        "mean": figures.accuracy.mean,
        "standard_error": figures.accuracy.standard_error,
        "pooled": rate_keys(figures.accuracy.pooled),
        "folds": [
            {"fold": fold.number, "threshold": fold.threshold, **rate_keys(fold.accuracy)}
            for fold in figures.accuracy.folds
        ],
    }


def _at_fmr(one: RateAtFmr) -> dict[str, Any]:
    keys = _row(one.row)
    if one.row.point is not None:
        keys["fnmr_by_subject"] = None if one.by_subject is None else bootstrap_keys(one.by_subject)
    return keys


def _row(row: ThresholdRow) -> dict[str, Any]:
    if row.point is None:
        return {"supported": False, "note": row.note}
    return {"supported": True, **_point(row.point), "note": row.note}


def _point(point: OperatingPoint) -> dict[str, Any]:
    return {"threshold": point.threshold, "fmr": rate_keys(point.fmr), "fnmr": rate_keys(point.fnmr)}


def _pair(pair: VerificationPair, root: Path) -> list[str | int]:
    a, b = (photo.relative_to(root).as_posix() for photo in (pair.a, pair.b))
    return [a, b, int(pair.mated), "" if pair.fold is None else pair.fold]
