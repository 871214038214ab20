"""Exports for statistics and spreadsheets: comma-separated text, a row for each trial that was shown.

The text is UTF-8 without a byte order mark, which R and others take for a part of the first name. Lines end with CR LF,
as RFC 4180 has it and every reader takes it. The first line has the names of `COLUMNS`, in their order, which stays;
further columns come at the end. An empty cell says that there is nothing: no answer, no such number, no label.
Truth values are `true` and `false`. Numbers have a point and as many digits as give the very same number again.

Trials that are in no figure are kept: those with `known_to_me` true, and those with an empty `answer`.

A spreadsheet may run a text that begins with `= + - @`, a tab or a line break. A text that does, at its beginning or
after a character that some spreadsheets take for the end of a cell, has an apostrophe put there. Numbers are never
changed, `-0.5` is one.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from fr_training.exports.values import CohortResults, instant, number
from fr_training.trials import Result

Cell: TypeAlias = str | bool | int | float | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column."""

    name: str  # in the first line
    meaning: str  # what its cells say, with units and ranges
    cell: Callable[[CohortResults, Result], Cell]  # of a trial


def _of_trial(name: str, meaning: str) -> Column:
    return Column(name, meaning, lambda _, one: getattr(one, name))


COLUMNS: tuple[Column, ...] = (
    Column("course_id", "course, 16 hexadecimal digits", lambda of, _: of.course.course_id),
    Column("cohort", "name of the cohort", lambda of, _: of.cohort_name),
    Column("seed", "of the course: decided who is shown where", lambda of, _: of.course.seed),
    Column("manifest_sha256", "of all forms of the course", lambda of, _: of.course.manifest_sha256),
    Column(
        "model",
        "source of difficulties and lists: pack@version",
        lambda of, _: f"{of.course.model.pack}@{of.course.model.version}",
    ),
    Column("model_sha256", "of the file of that model's embedder", lambda of, _: of.course.model.sha256),
    _of_trial("trainee_id", "pseudonym"),
    _of_trial("sitting", "its name in the plan"),
    _of_trial("block_id", "block of the plan"),
    _of_trial("form", "form of items"),
    _of_trial("test", "pre, post or retention; empty outside tests"),
    Column("exercise", "kind of exercise, as a plan names it", lambda _, one: str(one.exercise)),
    _of_trial("ordinal", "place of the trial in its session, from 0"),
    _of_trial("item_id", "item of the form, the same for every trainee"),
    _of_trial("b", "difficulty: standard deviations from the mean of all items of its kind and truth, + is harder"),
    _of_trial(
        "truth",
        "what was right: same, different; odd:1, mate:3 (counted from 0), absent; usable, limited, reject; option:2, "
        "row:2, record:2 (counted from 1; row:0 and record:0 mean none); empty if unknown",
    ),
    _of_trial(
        "answer", "in the same words, candidate:3 for a pick; none, inconclusive, undecided; empty if unanswered"
    ),
    _of_trial("correct", "whether it was right; empty where it is neither right nor wrong"),
    _of_trial("rating", "last rating of a pair, -3 (surely two people) to 3 (surely one)"),
    _of_trial("rating_before", "the rating before the machine's advice"),
    _of_trial("p_same", "probability that the trainee gave for one person, 0 to 1"),
    _of_trial("advice", "of the machine as it was shown: same or different"),
    _of_trial("similarity", "of the pair by the machine, cosine, -1 to 1"),
    _of_trial("log10_lr", "decimal logarithm of the machine's likelihood ratio, + is for one person"),
    _of_trial("machine", "what the machine would answer"),
    _of_trial("mate_rank", "the right person's rank in the machine's list, from 1"),
    _of_trial("candidates", "how many a list has; 0 where there is no list"),
    _of_trial("difficulty", "as the trainee found it, 1 (easy) to 5 (hard)"),
    _of_trial("known_to_me", "whether the trainee knows somebody shown; then no figure counts the trial"),
    _of_trial("feedback", "whether, after each answer, the block showed what was right"),
    Column("shown_at", "when it was first shown, ISO 8601, UTC", lambda _, one: instant(one.shown_ms)),
    _of_trial("took_ms", "milliseconds of all its steps, pauses left out"),
    _of_trial("paused", "whether there was a pause in it"),
    _of_trial("reasons", "of a triage, what the trainee named; of evidence, the parts that were right; joined by +"),
    _of_trial("degraded", "of a triage, what was done to the photo"),
    _of_trial("partner", "the trainee whose trial was blindly verified"),
    Column("groups", "labels of the people shown, a JSON object with sorted keys", lambda _, one: _groups(one)),
    _of_trial("notes", "on a probe, or on the limitations of evidence, as the trainee wrote them"),
    _of_trial("observations", "of facial components, joined by +: component:compared:similarity, 0 to 10"),
    _of_trial("machine_search", "what the machine says of a pair at the threshold of a search"),
    _of_trial("machine_at_fmr", "what it says at the false match rate of the plan"),
    _of_trial("adaptive", "whether the block chose its items by how the trainee did"),
    _of_trial("lab", "of a lab, its question: threshold, gallery, quality or groups"),
    _of_trial("predicted", "of a lab, what the trainee expected, percent"),
    _of_trial("measured", "of a lab, what was measured, percent"),
    _of_trial("near", "of a lab, whether the prediction was near"),
    _of_trial("lesson", "of a lesson, its name and its part, joined by :"),
    _of_trial("read_ms", "milliseconds in which the part of a lesson was read, pauses left out"),
)
"""Every attribute of `Result`, after what the course has; `make docs` writes them into docs/exports.md."""

# Where a cell begins, or where some spreadsheet may begin one: `;` separates cells in half of Europe.
_FORMULA = re.compile(r"(?:^|(?<=[;\t\r\n]))(?=[ \u00a0]*[=+\-@\t\r\n＝＋－＠])")


def csv_rows(of: CohortResults) -> str:
    """All trials of a cohort, by trainee; ValueError where a number is not finite."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(column.name for column in COLUMNS)
    for results in of.results.values():
        writer.writerows([_text(column.cell(of, one)) for column in COLUMNS] for one in results)
    return text.getvalue()


def harmless(text: str) -> str:
    """A text that no spreadsheet runs: see above."""
    return _FORMULA.sub("'", text)


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case int() | float():
            return number(cell)
        case str():
            return harmless(cell)


def _groups(one: Result) -> str:
    return json.dumps(dict(one.groups), ensure_ascii=False, sort_keys=True) if one.groups else ""
