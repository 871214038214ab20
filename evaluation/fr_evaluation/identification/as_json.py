"""An identification report for programs: one JSON document."""

from __future__ import annotations

from typing import Any

from fr_core.scoring.identification import IdentificationPoint
from fr_evaluation.identification.figures import FpirRow, SizeFigures
from fr_evaluation.identification.report import IdentificationReport
from fr_evaluation.json_values import head, rate_keys


def report_keys(report: IdentificationReport) -> dict[str, Any]:
    """The report as one document; docs/evaluation.md describes its keys."""
    searches = report.searches
    mated, nonmated = searches.mated[0], searches.nonmated[0]
    return {
        **head(report, "identification"),
        "enrolled": {"people": searches.people, "failures_to_enrol": searches.not_enrolled},
        "searches": {
            "mated": mated.total,
            "mated_failures": mated.failures,
            "nonmated": len(nonmated.top_similarities) + nonmated.failures,
            "nonmated_failures": nonmated.failures,
        },
        "galleries": [_size(size) for size in report.figures.sizes],
        "undefined": dict(report.figures.undefined),
    }


def _size(size: SizeFigures) -> dict[str, Any]:
    return {
        "gallery_size": size.gallery_size,
        "cmc": [rate_keys(rate) for rate in size.cmc],
        "fnir_at_fpir": {f"{row.target:g}": _row(row) for row in size.at_fpir},
        "at_default_threshold": _point(size.default),
    }


def _row(row: FpirRow) -> dict[str, Any]:
    if row.point is None:
        return {"supported": False, "note": row.note}
    return {"supported": True, **_point(row.point), "note": row.note}


def _point(point: IdentificationPoint) -> dict[str, Any]:
    return {
        "threshold": point.threshold,
        "rank": point.rank,
        "fpir": rate_keys(point.fpir),
        "fnir": rate_keys(point.fnir),
    }
