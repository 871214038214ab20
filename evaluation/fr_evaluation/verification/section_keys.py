"""Calibration, groups and quality of a verification report, for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fr_core.scoring.bootstrap import Bootstrap
from fr_core.scoring.calibration import Calibration
from fr_core.scoring.differentials import GroupRate, WithoutDifference
from fr_core.scoring.intervals import Interval, Rate
from fr_evaluation.json_values import bootstrap_keys, interval_keys, rate_keys
from fr_evaluation.verification.calibrate import HeldOut, method_of
from fr_evaluation.verification.groups import GroupedRate, LabelFigures
from fr_evaluation.verification.quality import QualityFigures

# False match rates whose thresholds are shown, where they are supported; calibration.json has all rows.
SHOWN = (1e-1, 1e-2, 1e-3, 1e-4)


def calibration_keys(calibration: Calibration | None) -> dict[str, Any] | None:
    """Return what calibration.json holds, in short."""
    if calibration is None:
        return None
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


def held_out_keys(tried: Sequence[HeldOut]) -> list[dict[str, Any]]:
    """Each fold, tried by a calibration of the others."""
    return [
        {
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


def _at(calibration: Calibration, target: float) -> dict[str, Any]:
    threshold = calibration.threshold_at_fmr(target)
    limits = calibration.fmr_interval_at(threshold)
    return {"threshold": threshold, "fmr": _limited(calibration.fmr_at(threshold), *limits)}


def _limited(rate: Rate, interval: Interval, by_people: bool) -> dict[str, Any]:
    return {**rate_keys(rate), **interval_keys(interval), "by_people": by_people}


def _grouped(grouped: GroupedRate) -> dict[str, Any]:
    spread, ratios = grouped.spread, grouped.ratios()
    groups = {group.group: _group(group, ratios, grouped.by_people) for group in grouped.groups}
    widest, concentration = (None, None) if spread is None else (spread.max_to_min, spread.gini)
    return {
        "groups": groups,
        "max_to_min": None
        if widest is None
        else {**_by_people(widest, grouped.max_to_min), **_by_chance(grouped.max_to_min_by_chance)},
        "gini": None if concentration is None else {"value": concentration, **_by_chance(grouped.gini_by_chance)},
        "beyond_chance": grouped.beyond_chance(),
        "notes": list(grouped.notes),
    }


def _group(group: GroupRate, ratios: Mapping[str, float], sure: Mapping[str, Bootstrap]) -> dict[str, Any]:
    if group.rate is None:
        return {"people": group.people, "rate": None, "note": group.note}
    ratio = ratios.get(group.group)
    return {
        "people": group.people,
        "trials": group.trials,
        "rate": rate_keys(group.rate),
        "to_geometric_mean": None if ratio is None else _by_people(ratio, sure.get(group.group)),
    }


def _by_people(value: float, sure: Bootstrap | None) -> dict[str, Any]:
    return {"value": value, "by_people": None if sure is None else bootstrap_keys(sure)}


def _by_chance(chance: WithoutDifference | None) -> dict[str, Any]:
    found = None
    if chance is not None:
        found = {"median": chance.median, "percentile_95": chance.high, "permutations": chance.permutations}
    return {"expected_without_difference": found}
