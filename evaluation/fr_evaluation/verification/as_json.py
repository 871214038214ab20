"""A verification report for programs: one JSON document, and the score of every pair as CSV."""

import csv
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.calibration import Calibration
from fr_core.scoring.det import ThresholdRow
from fr_core.scoring.differentials import GroupRate, WithoutDifference
from fr_core.scoring.intervals import Interval, Rate
from fr_core.scoring.verification import OperatingPoint
from fr_datasets.values import VerificationPair
from fr_evaluation.json_values import head, plain
from fr_evaluation.verification.calibrate import HeldOut, method_of
from fr_evaluation.verification.compare import ComparedPairs
from fr_evaluation.verification.figures import RateAtFmr, VerificationFigures
from fr_evaluation.verification.groups import GroupedRate, LabelFigures
from fr_evaluation.verification.quality import QualityFigures
from fr_evaluation.verification.report import VerificationReport

COLUMNS = ("pair", "photo_a", "photo_b", "mated", "fold", "similarity", "failure")
# False match rates whose thresholds are shown, where they are supported; calibration.json has all rows.
SHOWN = (1e-1, 1e-2, 1e-3, 1e-4)


def report_keys(report: VerificationReport) -> dict[str, Any]:
    """The report as one document; docs/evaluation.md describes its keys. An undefined figure is null."""
    figures = report.figures
    best, equal, auc, evidence = figures.best, figures.equal_error_rate, figures.auc, figures.evidence
    keys = {
        **head(report, "verification"),
        "pairs": _pairs(report.compared),
        "accuracy": _accuracy(figures),
        "accuracy_at_best_threshold": best
        and {
            "value": best.accuracy,
            "threshold": best.threshold,
            "wrong": best.n_wrong,
            "pairs": best.n,
            **asdict(best.interval),
        },
        "equal_error_rate": equal and {"value": equal.value, "threshold": equal.threshold},
        "auc": auc and {"value": auc.value, "standard_error": auc.standard_error, **asdict(auc.interval)},
        "at_default_threshold": figures.default and _point(figures.default),
        "fnmr_at_fmr": {f"{one.row.target:g}": _at_fmr(one) for one in figures.at_fmr},
        "across_people": {
            "people": figures.people,
            "left_out": figures.left_out,
            "fnmr_at_fmr": {f"{row.target:g}": _row(row) for row in figures.across_people},
        }
        if figures.people
        else None,
        "likelihood_ratio": evidence
        and {
            "method": evidence.method,
            "cllr": evidence.cllr,
            "min_cllr": evidence.min_cllr,
            "expected_calibration_error": evidence.calibration_error,
        },
        "calibration": report.calibration and _calibration(report.calibration),
        "held_out": [_held_out(one) for one in report.held_out],
        "differentials": [_label(kind) for kind in report.groups] or None,
        "quality": report.quality and _quality(report.quality),
        "undefined": report.undefined,
    }
    document: dict[str, Any] = plain(keys)
    return document


def write_scores(report: VerificationReport, file: TextIO) -> None:
    """Write a row for each pair: those that were compared in the order of the list, then those that were not."""
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)
    compared, root = report.compared, report.dataset.root
    number = 0
    for pair, similarity in zip(compared.pairs, compared.similarities.tolist(), strict=True):
        number += 1
        rows.writerow([number, *_pair(pair, root), repr(similarity), ""])
    for pair in compared.failed:
        number += 1
        reasons = [report.failures[photo] for photo in (pair.a, pair.b) if photo in report.failures]
        rows.writerow([number, *_pair(pair, root), "", "+".join(dict.fromkeys(reasons)) or "NO_TEMPLATE"])


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
        "pooled": figures.accuracy.pooled,
        "folds": [
            {"fold": fold.number, "threshold": fold.threshold, **plain(fold.accuracy)}
            for fold in figures.accuracy.folds
        ],
    }


def _at_fmr(one: RateAtFmr) -> dict[str, Any]:
    return _row(one.row) | ({} if one.row.point is None else {"fnmr_by_subject": one.by_subject})


def _row(row: ThresholdRow) -> dict[str, Any]:
    if row.point is None:
        return {"supported": False, "note": row.note}
    return {"supported": True, **_point(row.point), "note": row.note}


def _point(point: OperatingPoint) -> dict[str, Any]:
    return {"threshold": point.threshold, "fmr": point.fmr, "fnmr": point.fnmr}


def _pair(pair: VerificationPair, root: Path) -> list[str | int]:
    a, b = (photo.relative_to(root).as_posix() for photo in (pair.a, pair.b))
    return [a, b, int(pair.mated), "" if pair.fold is None else pair.fold]


def _calibration(calibration: Calibration) -> dict[str, Any]:
    """A summary of calibration.json."""
    rates, likelihood = calibration.rates, calibration.likelihood
    return {
        "method": method_of(calibration),
        "part": calibration.provenance.part,
        "people": calibration.provenance.people,
        "mated": rates.mated,
        "nonmated": rates.nonmated,
        "mated_failures": rates.mated_failures,
        "nonmated_failures": rates.nonmated_failures,
        "lowest_fmr": 1 / rates.nonmated,
        "log10_lr": {"weakest": likelihood.weakest, "strongest": likelihood.strongest},
        "similarity": {"lowest": likelihood.lowest, "highest": likelihood.highest},
        "at_fmr": {f"{target:g}": _at(calibration, target) for target in SHOWN if 1 / rates.nonmated <= target},
    }


def _at(calibration: Calibration, target: float) -> dict[str, Any]:
    threshold = calibration.threshold_at_fmr(target)
    limits = calibration.fmr_interval_at(threshold)
    return {"threshold": threshold, "fmr": _limited(calibration.fmr_at(threshold), *limits)}


def _limited(rate: Rate, interval: Interval, by_people: bool) -> dict[str, Any]:
    return {**plain(rate), **asdict(interval), "by_people": by_people}


def _held_out(one: HeldOut) -> dict[str, Any]:
    return {
        "fold": one.fold,
        "target_fmr": one.target,
        "threshold": one.threshold,
        "people_disjoint": one.disjoint,
        "stated": _limited(one.stated, one.interval, one.by_people),
        "observed": _limited(one.observed, one.observed_interval, one.observed_by_people),
        "agrees": one.agrees,
        "inside": one.inside,
        "method": one.method,
        "log10_lr": {"weakest": one.weakest, "strongest": one.strongest},
        "cllr": one.cllr,
        "expected_calibration_error": one.calibration_error,
    }


def _quality(quality: QualityFigures) -> dict[str, Any]:
    return {
        "threshold": quality.threshold,
        "pairs_without_quality": quality.without,
        "discard": [
            {
                "share": point.share,
                "discarded": point.discarded,
                "lowest_quality": point.lowest_quality,
                "fnmr": point.fnmr,
                "ideal_fnmr": point.ideal,
            }
            for point in quality.discard
        ],
        "bins": [{"low": one.low, "high": one.high, "fnmr": one.fnmr, "fmr": one.fmr} for one in quality.bins],
    }


def _label(kind: LabelFigures) -> dict[str, Any]:
    """Both error rates by group, for one kind of label."""
    return {
        "label": kind.kind,
        "ages_in_bands": kind.banded,
        "people": kind.people,
        "unlabelled": kind.unlabelled,
        "at": [
            {"why": at.at, "threshold": at.threshold, "fnmr": _grouped(at.fnmr), "fmr": _grouped(at.fmr)}
            for at in kind.at
        ],
    }


def _grouped(grouped: GroupedRate) -> dict[str, Any]:
    spread, ratios = grouped.spread, grouped.ratios()
    groups = {group.group: _group(group, ratios, grouped.by_people) for group in grouped.groups}
    widest, concentration = (None, None) if spread is None else (spread.max_to_min, spread.gini)
    chance = grouped.max_to_min_by_chance
    return {
        "groups": groups,
        "max_to_min": None
        if widest is None
        else {"value": widest, "by_people": grouped.max_to_min, **_by_chance(chance)},
        "gini": None if concentration is None else {"value": concentration, **_by_chance(grouped.gini_by_chance)},
        "beyond_chance": grouped.beyond_chance(),
        "notes": grouped.notes,
    }


def _group(group: GroupRate, ratios: Mapping[str, float], sure: Mapping[str, Bootstrap]) -> dict[str, Any]:
    if group.rate is None:
        return {"people": group.people, "rate": None, "note": group.note}
    ratio = ratios.get(group.group)
    to_mean = None if ratio is None else {"value": ratio, "by_people": sure.get(group.group)}
    return {"people": group.people, "trials": group.trials, "rate": group.rate, "to_geometric_mean": to_mean}


def _by_chance(chance: WithoutDifference | None) -> dict[str, Any]:
    found = None
    if chance is not None:
        found = {"median": chance.median, "percentile_95": chance.high, "permutations": chance.permutations}
    return {"expected_without_difference": found}
