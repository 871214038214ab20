"""Exports of results: what other programs take from a cohort.

* `csv_rows` is for statistics and spreadsheets, `xapi` for learning record stores, `ags` for gradebooks, `open_badges`
  for certificates of completion, as pages to print too;
* `values` is what they are made of, and how ids, times and JSON are written;
* `signing` signs and verifies credentials, with the key as its own id.

Exports name trainees by pseudonyms, and never the people whose photos are shown. Every number is described in the file
of its form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from fr_locales.rendering import ENGLISH, speaking
from fr_training.exports.ags import ags
from fr_training.exports.csv_rows import csv_rows
from fr_training.exports.open_badges import certificate_html, open_badges
from fr_training.exports.values import CohortResults, Finished
from fr_training.exports.xapi import xapi

__all__ = ["CohortResults", "Finished", "certificate_html", "export"]

FORMS: Final[Mapping[str, Callable[[CohortResults], str]]] = {
    "csv": csv_rows,
    "xapi": xapi,
    "ags": ags,
    "open-badges": open_badges,
}


def export(form: str, of: CohortResults) -> str:
    """Write the results of a cohort as text, to be encoded as UTF-8 with its line ends as they are.

    Args:
        form: "csv", "xapi", "ags" or "open-badges".
        of: the results; its key signs "open-badges", its name is in the CSV alone, and the scores of "ags" are of its
            moment.

    Raises:
        ValueError: there is no such form, or a number of a result is not finite.
    """
    if form not in FORMS:
        raise ValueError(f"an export is one of {', '.join(FORMS)}")
    with speaking(ENGLISH):  # programs take it
        return FORMS[form](of)
