"""The export for learning record stores: a JSON array of xAPI 1.0.3 statements, one for each trial that was answered.

* The actor is an account whose name is the pseudonym. Nothing else of a person is in a statement.
* `result.score.scaled` is 1 for a right answer and 0 for a wrong one, so that a mean of scores is the share of right
  answers. An answer that is neither, such as undecided or inconclusive, has neither a score nor `success`.
* A trial with somebody whom the trainee knows has an answer, but neither a score nor `success` either: it is in no
  figure. The extension `known-to-me` says so.
* A trial that was shown and not answered makes no statement: nobody has answered.
* `result.duration` is the time of all steps, pauses left out.
* `timestamp` is when the trial was first shown plus that time.
* `context.registration` is one sitting of one trainee; `context.revision` is the manifest of all forms of the course.
* Extensions are listed at `EXTENSIONS`; those that a trial does not have are left out.

Ids follow from course, trainee, sitting and trial: a store that takes the export twice finds the same statements. What
may become known later is not in a statement (who verified whom), or is in its id (whom an own probe shows: the
statement that was made before stays in the store, without a score). The array tells which answers are right: it is for
trainers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fr_training.courses import Course
from fr_training.exports.ids import HOME, stable_id, urn
from fr_training.exports.texts import duration, instant, json_lines
from fr_training.exports.values import CohortResults
from fr_training.exports.xapi_items import definition, response
from fr_training.plan import BlockPlan, SittingPlan
from fr_training.prompts import ExerciseKind
from fr_training.results import Result

_VERB: Final = {"id": "http://adlnet.gov/expapi/verbs/answered", "display": {"en-US": "answered"}}
_ACTIVITIES: Final = "http://adlnet.gov/expapi/activities"
_UNKNOWN_LANGUAGE: Final = "und"
"""A plan does not say in which language its titles are (RFC 5646)."""

EXTENSIONS: Final[Mapping[str, str]] = {
    "exercise": "what was done, its word in a plan",
    "form": "form of items",
    "test": "pre, post or retention",
    "ordinal": "place of the trial in its session, from 0",
    "b": "difficulty: standard deviations from the mean of all items of its kind and truth, + is harder",
    "rating": "of a pair, -3 (surely two people) to 3 (surely one)",
    "rating-before": "the rating before the machine's advice",
    "p-same": "probability that the trainee gave for one person, 0 to 1",
    "difficulty": "as the trainee found it, 1 (easy) to 5 (hard)",
    "advice": "of the machine as it was shown: same or different",
    "machine": "what the machine would answer",
    "similarity": "of the pair by the machine, cosine, -1 to 1",
    "log10-lr": "decimal logarithm of the machine's likelihood ratio, + is for one person",
    "mate-rank": "rank of the mate in the machine's list, from 1",
    "reasons": "of a triage, what the trainee named, joined by +",
    "degraded": "of a triage, what was done to the photo",
    "known-to-me": "whether the trainee knows somebody shown",
    "paused": "whether there was a pause in the trial",
    "feedback": "whether the block told after each answer what was right",
}
"""Extensions of a context: the last part of their address, and what they mean. They are attributes of `Result`."""


def xapi(of: CohortResults) -> str:
    """A statement for each answer of a cohort.

    Raises:
        ValueError: a number is not finite.
    """
    return json_lines(_statements(of))


def _statements(of: CohortResults) -> Iterator[dict[str, Any]]:
    course = of.course
    around = {block.block_id: _around(course, one, block) for one in course.plan.sittings for block in one.blocks}
    for results in of.results.values():
        for one in results:
            if one.answer:
                yield _statement(course, around[one.block_id], one)


def _statement(course: Course, around: Mapping[str, Any], one: Result) -> dict[str, Any]:
    return {
        "id": stable_id("statement", course.course_id, one.trainee_id, one.sitting, one.ordinal, *_told_later(one)),
        "actor": {
            "objectType": "Agent",
            "account": {"homePage": f"{HOME}/courses/{course.course_id}", "name": one.trainee_id},
        },
        "verb": _VERB,
        "object": {
            "objectType": "Activity",
            "id": urn("item", course.course_id, one.item_id),
            "definition": definition(one),
        },
        "result": _result(one),
        "context": {
            "registration": stable_id("registration", course.course_id, one.trainee_id, one.sitting),
            "revision": course.manifest_sha256,
            "platform": "FR Core",
            "contextActivities": around,
            "extensions": dict(_extensions(one)),
        },
        "timestamp": instant(one.shown_ms + (one.took_ms or 0)),
    }


def _around(course: Course, sitting: SittingPlan, block: BlockPlan) -> dict[str, Any]:
    """What the items of a block are part of."""
    return {
        "parent": [_activity(urn("block", course.course_id, block.block_id), "assessment", block.title)],
        "grouping": [
            _activity(urn("sitting", course.course_id, sitting.name), "module", sitting.title),
            _activity(urn("course", course.course_id), "course", course.plan.title),
        ],
    }


def _told_later(one: Result) -> tuple[str, ...]:
    return (one.truth,) if one.exercise == ExerciseKind.OWN_PROBE else ()


def _result(one: Result) -> dict[str, Any]:
    found: dict[str, Any] = {"completion": True, "response": response(one)}
    if one.correct is not None and not one.known_to_me:
        points = int(one.correct)
        found["score"] = {"scaled": points, "raw": points, "min": 0, "max": 1}
        found["success"] = one.correct
    if one.took_ms is not None:
        found["duration"] = duration(one.took_ms)
    return found


def _activity(activity_id: str, kind: str, title: str) -> dict[str, Any]:
    named = {"type": f"{_ACTIVITIES}/{kind}", "name": {_UNKNOWN_LANGUAGE: title}}
    return {"objectType": "Activity", "id": activity_id, "definition": named}


def _extensions(one: Result) -> Iterator[tuple[str, Any]]:
    for name in EXTENSIONS:
        value = getattr(one, name.replace("-", "_"))
        if value is not None and value != "":
            yield f"{HOME}/xapi/{name}", value
