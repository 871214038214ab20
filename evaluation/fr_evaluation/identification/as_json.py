"""An identification report for programs: one JSON document, and every search as CSV."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from fr_core.scoring.identification import IdentificationPoint
from fr_evaluation.identification.figures import FpirRow, IdentificationReport, SizeFigures
from fr_evaluation.identification.searches import Search
from fr_evaluation.json_values import head, plain

COLUMNS = ("search", "photo", "enrolled", "rank", "mate_similarity", "other_similarity", "failure")
# The failure of a search whose person gave no template to enrol.
NOT_ENROLLED = "NOT_ENROLLED"


def report_keys(report: IdentificationReport) -> dict[str, Any]:
    """The report as one document; docs/evaluation.md describes its keys."""
    searches = report.searches
    mated, nonmated = searches.mated[0], searches.nonmated[0]
    keys = {
        **head(report, "identification"),
        "enrolled": {"people": searches.people, "failures_to_enrol": searches.not_enrolled},
        "searches": {
            "mated": mated.total,
            "mated_failures": mated.failures,
            "nonmated": len(nonmated.top_similarities) + nonmated.failures,
            "nonmated_failures": nonmated.failures,
        },
        "strangers": {"drawn": searches.mated[-1].gallery_size - searches.people, "likeness": searches.likeness},
        "galleries": [_size(size) for size in report.figures.sizes],
        "undefined": report.figures.undefined,
    }
    document: dict[str, Any] = plain(keys)
    return document


def write_scores(report: IdentificationReport, file: TextIO) -> None:
    """Write a row for each search of the gallery of real people, in their order; what there is none of is empty."""
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)
    for number, one in enumerate(report.searches.made, start=1):
        name, enrolled = one.photo.relative_to(report.dataset.root).as_posix(), int(one.mate is not None)
        rank, similarities = "" if one.rank is None else one.rank, (one.similarity, one.other)
        exact = ("" if similarity is None else repr(similarity) for similarity in similarities)
        rows.writerow([number, name, enrolled, rank, *exact, _failure(one, report.failures)])


def _failure(one: Search, failures: Mapping[Path, str]) -> str:
    """Return why a search could not be done; empty where it was."""
    reasons = [failures[one.photo]] if one.photo in failures else []
    if one.mate in failures:
        reasons.append(NOT_ENROLLED)
    return "+".join(reasons)


def _size(size: SizeFigures) -> dict[str, Any]:
    return {
        "gallery_size": size.gallery_size,
        "cmc": size.cmc,
        "first_by_people": size.first_by_people,
        "fnir_at_fpir": {f"{row.target:g}": _row(row) for row in size.at_fpir},
        "at_default_threshold": _point(size.default),
    }


def _row(row: FpirRow) -> dict[str, Any]:
    if row.point is None:
        return {"supported": False, "note": row.note}
    keys = {"supported": True, **_point(row.point), "note": row.note}
    if row.by_people is not None:
        keys["by_people"] = {"fpir": row.by_people.fpir, "fnir": row.by_people.fnir}
    return keys


def _point(point: IdentificationPoint) -> dict[str, Any]:
    return {"threshold": point.threshold, "rank": point.rank, "fpir": point.fpir, "fnir": point.fnir}
