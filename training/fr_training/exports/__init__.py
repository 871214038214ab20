"""Exports of results: what other programs take from a cohort.

* `csv_rows` is for statistics and spreadsheets, `xapi` for learning record stores, `ags` for gradebooks, `open_badges`
  for certificates of completion;
* `values` is what they are made of, and how ids, times and JSON are written;
* `signing` signs and verifies credentials, with the key as its own id.

Exports name trainees by pseudonyms, and never the people whose photos are shown. Every number is described in the file
of its form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from fr_training.courses import Course
from fr_training.exports.ags import ags
from fr_training.exports.csv_rows import csv_rows
from fr_training.exports.open_badges import open_badges
from fr_training.exports.signing import SigningKey
from fr_training.exports.values import CohortResults, Finished
from fr_training.exports.xapi import xapi
from fr_training.trials import Result

__all__ = ["Finished", "export"]

FORMS: Final[Mapping[str, Callable[[CohortResults], str]]] = {
    "csv": csv_rows,
    "xapi": xapi,
    "ags": ags,
    "open-badges": open_badges,
}


def export(
    form: str,
    course: Course,
    cohort_name: str,
    results: Mapping[str, Sequence[Result]],
    finished: Sequence[Finished],
    signing_key: SigningKey,
    now_ms: int,
) -> str:
    """Write the results of a cohort as text, to be encoded as UTF-8 with its line ends as they are.

    Args:
        form: "csv", "xapi", "ags" or "open-badges".
        course: that the cohort takes.
        cohort_name: is in the CSV alone.
        results: of each trainee, by pseudonym, in the order in which the trials were shown.
        finished: sittings that were ended, each once for a trainee.
        signing_key: of the server; signs "open-badges".
        now_ms: milliseconds since 1970, UTC; the scores of "ags" are of then.

    Raises:
        ValueError: there is no such form, or a number of a result is not finite.
    """
    if form not in FORMS:
        raise ValueError(f"an export is one of {', '.join(FORMS)}")
    return FORMS[form](CohortResults(course, cohort_name, results, finished, signing_key, now_ms))
