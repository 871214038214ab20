"""Writes docs/exports.md: the columns and keys of what leaves the training store."""

from collections.abc import Iterable
from dataclasses import fields

from docs_pages import filled
from fr_training.exports.csv_rows import COLUMNS
from fr_training.exports.values import HOME
from fr_training.exports.xapi import EXTENSIONS
from fr_training.grading.figures import CohortFigures, TraineeFigures


def page() -> str:
    """Return the page."""
    return filled(
        "exports",
        columns="".join(f"| `{one.name}` | {one.meaning} |\n" for one in COLUMNS),
        trainee=_listed(one.name for one in fields(TraineeFigures)),
        cohort=_listed(one.name for one in fields(CohortFigures)),
        base=f"{HOME}/xapi/",
        extensions=_listed(EXTENSIONS),
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
