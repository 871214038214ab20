"""Calibration, groups and quality of a verification report, for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.calibration import Calibration
from fr_core.scoring.differentials import GroupRate
from fr_core.scoring.intervals import Interval, Rate
from fr_evaluation.json_values import bootstrap_keys, interval_keys, rate_keys
from fr_evaluation.verification.calibrate import HeldOut, method_of
from fr_evaluation.verification.groups import GroupedRate, LabelFigures
from fr_evaluation.verification.quality import QualityFigures


def calibration_keys(calibration: Calibration | None) -> dict[str, Any] | None:
    """What calibration.json holds, in short."""
    if calibration is None:
        return None
    rates, likelihood = calibration.rates, calibration.likelihood
    return {
        "method": method_of(calibration),
        "people": calibration.provenance.people,
        "mated": rates.mated,
        "nonmated": rates.nonmated,
        "mated_failures": rates.mated_failures,
        "nonmated_failures": rates.nonmated_failures,
        "lowest_fmr": 1 / rates.nonmated,
        "log10_lr": {"weakest": likelihood.weakest, "strongest": likelihood.strongest},
        "similarity": {"lowest": likelihood.lowest, "highest": likelihood.highest},
        "by_people": [
            {"threshold": threshold, "fmr": rate_keys(calibration.fmr_at(threshold)), **interval_keys(interval)}
            for threshold, interval in rates.bootstrap
        ],
    }


def held_out_keys(tried: Sequence[HeldOut]) -> list[dict[str, Any]]:
    """Each fold, tried by a calibration of the others."""
    return [
        {
            "fold": one.fold,
            "target_fmr": one.target,
            "threshold": one.threshold,
            "by_people": one.by_people,
            "stated": _limited(one.stated, one.interval),
            "observed": _limited(one.observed, one.observed_interval),
            "inside": one.inside,
            "method": one.method,
            "log10_lr": {"weakest": one.weakest, "strongest": one.strongest},
            "cllr": one.cllr,
            "expected_calibration_error": one.calibration_error,
        }
        for one in tried
    ]


def group_keys(kinds: Sequence[LabelFigures]) -> list[dict[str, Any]] | None:
    """Both error rates by group, for each kind of label; None where there are no groups."""
    if not kinds:
        return None
    return [
        {
            "label": kind.kind,
            "ages_in_bands": kind.banded,
            "people": dict(kind.people),
            "unlabelled": kind.unlabelled,
            "at": [
                {"why": at.at, "threshold": at.threshold, "fnmr": _grouped(at.fnmr), "fmr": _grouped(at.fmr)}
                for at in kind.at
            ],
        }
        for kind in kinds
    ]


def quality_keys(quality: QualityFigures | None) -> dict[str, Any] | None:
    """Misses by the share that is discarded, and both error rates by quality."""
    if quality is None:
        return None
    return {
        "threshold": quality.threshold,
        "pairs_without_quality": quality.without,
        "discard": [
            {
                "share": point.share,
                "discarded": point.discarded,
                "lowest_quality": point.lowest_quality,
                "fnmr": rate_keys(point.fnmr),
                "ideal_fnmr": point.ideal,
            }
            for point in quality.discard
        ],
        "bins": [
            {
                "low": one.low,
                "high": one.high,
                "fnmr": None if one.fnmr is None else rate_keys(one.fnmr),
                "fmr": None if one.fmr is None else rate_keys(one.fmr),
            }
            for one in quality.bins
        ],
    }


def _limited(rate: Rate, interval: Interval) -> dict[str, Any]:
    return {**rate_keys(rate), **interval_keys(interval)}


def _grouped(grouped: GroupedRate) -> dict[str, Any]:
    spread = grouped.spread
    ratios = grouped.ratios()
    return {
        "groups": {group.group: _group(group, ratios.get(group.group)) for group in grouped.groups},
        "max_to_min": None if spread is None else _spread(spread.max_to_min, grouped.max_to_min),
        "gini": None if spread is None else _spread(spread.gini, grouped.gini),
        "notes": list(grouped.notes),
    }


def _group(group: GroupRate, ratio: float | None) -> dict[str, Any]:
    if group.rate is None:
        return {"rate": None, "note": group.note}
    return {"trials": group.trials, "rate": rate_keys(group.rate), "to_geometric_mean": ratio}


def _spread(value: float | None, by_people: Bootstrap | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {"value": value, "by_people": None if by_people is None else bootstrap_keys(by_people)}
