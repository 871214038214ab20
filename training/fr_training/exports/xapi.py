"""Exports for learning record stores: a JSON array of xAPI 1.0.3 statements, one for each trial that was answered.

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

An item is an activity with the same words in every statement, so that two statements on it never contradict each other.
The activity of an own probe names no photo, no candidate and no right answer, as these differ from trainee to trainee.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fr_locales.messages import Message, message
from fr_locales.rendering import ENGLISH, render
from fr_training.answers import MAX_ROWS, RATINGS, Usability
from fr_training.courses import Course
from fr_training.exports.values import HOME, CohortResults, duration, instant, json_lines, stable_id, urn
from fr_training.grading.class_items import SCALE
from fr_training.lessons import MAX_OPTIONS
from fr_training.plan import PAIRS, BlockPlan, SittingPlan
from fr_training.prompts import ExerciseKind
from fr_training.trials import Result

_INTERACTION: Final = "http://adlnet.gov/expapi/activities/cmi.interaction"
_ASKED: Final = {
    ExerciseKind.TRIAD: (message("item.triad"), message("item.triad_asks")),
    ExerciseKind.CANDIDATES: (message("item.candidates"), message("item.candidates_asks")),
    ExerciseKind.OWN_PROBE: (message("item.own_probe"), message("item.own_probe_asks")),
    ExerciseKind.TRIAGE: (message("item.triage"), message("item.triage_asks")),
    ExerciseKind.LAB: (message("item.lab"), message("item.lab_asks")),
    ExerciseKind.EVIDENCE: (message("item.evidence"), message("item.evidence_asks")),
    ExerciseKind.LESSON: (message("item.lesson"), message("item.lesson_asks")),
    **dict.fromkeys(PAIRS, (message("item.pair"), message("item.pair_asks"))),
    ExerciseKind.FOOTAGE: (message("item.footage"), message("item.footage_asks")),
}
"""The name of an item, and the question about it."""

_PHOTOS: Final = 3  # of a triad


def definition(one: Result) -> dict[str, Any]:
    """The definition of the item of a trial; xAPI 1.0.3, part two, 2.4.4.1.

    Pairs are of the interaction `likert`: each rating on the right side is right. Triads, lists, triages, labs and
    lessons are a `choice` in the words of `Result.answer`, and own probes and evidence are `other`.
    """
    name, question = map(render, _ASKED[one.exercise])
    found: dict[str, Any] = {
        "name": {ENGLISH: f"{name} {one.item_id}"},
        "description": {ENGLISH: question},
        "type": _INTERACTION,
    }
    if one.exercise in (ExerciseKind.OWN_PROBE, ExerciseKind.EVIDENCE):
        return {**found, "interactionType": "other"}
    if one.exercise in PAIRS:
        found["interactionType"] = "likert"
        found["scale"] = [_component(str(rating), SCALE[rating]) for rating in RATINGS]
    else:
        found["interactionType"] = "choice"
        found["choices"] = _choices(one)
    if one.truth:
        found["correctResponsesPattern"] = _right(one)
    return found


def _right(one: Result) -> list[str]:
    """The answers that are right, any of them; of a list, the words of truth and answer differ."""
    if one.exercise in PAIRS:
        return [str(rating) for rating in RATINGS if rating and (rating > 0) == (one.truth == "same")]
    return ["none" if one.truth == "absent" else one.truth.replace("mate:", "candidate:")]


def _choices(one: Result) -> list[dict[str, Any]]:
    if one.exercise == ExerciseKind.TRIAGE:
        return [{"id": str(word), "description": {ENGLISH: str(word)}} for word in Usability]
    if one.exercise == ExerciseKind.LAB:
        none = _component("row:0", message("lab.no_row"))
        return [none, *(_component(f"row:{n}", message("lab.row", row=n)) for n in range(1, MAX_ROWS + 1))]
    if one.exercise == ExerciseKind.LESSON:
        return [_component(f"option:{n}", message("item.option", number=n)) for n in range(1, MAX_OPTIONS + 1)]
    if one.exercise == ExerciseKind.TRIAD:
        return [_component(f"odd:{index}", message("choice.photo", number=index + 1)) for index in range(_PHOTOS)]
    people = [_component(f"candidate:{n}", message("choice.candidate", number=n + 1)) for n in range(one.candidates)]
    return [
        *people,
        _component("none", message("choice.none")),
        _component("inconclusive", message("choice.inconclusive")),
    ]


def _component(component_id: str, description: Message) -> dict[str, Any]:
    return {"id": component_id, "description": {ENGLISH: render(description)}}


_VERB: Final = {"id": "http://adlnet.gov/expapi/verbs/answered", "display": {"en-US": "answered"}}
_ACTIVITIES: Final = "http://adlnet.gov/expapi/activities"
_UNKNOWN_LANGUAGE: Final = "und"  # A plan does not say in which language its titles are (RFC 5646)

EXTENSIONS: Final = (
    *("exercise", "form", "test", "ordinal", "b", "rating", "rating-before", "p-same", "difficulty", "advice"),
    *("machine", "similarity", "log10-lr", "mate-rank", "reasons", "degraded", "known-to-me", "paused", "feedback"),
)
"""Extensions of a context: the last part of their address. `csv_rows.COLUMNS` says what they mean."""


def xapi(of: CohortResults) -> str:
    """A statement for each answer of a cohort; ValueError where a number is not finite."""
    return json_lines(_statements(of))


def _statements(of: CohortResults) -> Iterator[dict[str, Any]]:
    course = of.course
    around = {block.block_id: _around(course, one, block) for one in course.plan.sittings for block in one.blocks}
    for results in of.results.values():
        for one in results:
            if one.answer:
                yield _statement(course, around[one.block_id], one)


def _statement(course: Course, around: Mapping[str, Any], one: Result) -> dict[str, Any]:
    later = (one.truth,) if one.exercise == ExerciseKind.OWN_PROBE else ()
    return {
        "id": stable_id("statement", course.course_id, one.trainee_id, one.sitting, one.ordinal, *later),
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
    """The activities that the items of a block are part of."""
    return {
        "parent": [_activity(urn("block", course.course_id, block.block_id), "assessment", block.title)],
        "grouping": [
            _activity(urn("sitting", course.course_id, sitting.name), "module", sitting.title),
            _activity(urn("course", course.course_id), "course", course.plan.title),
        ],
    }


def _result(one: Result) -> dict[str, Any]:
    response = one.answer if one.rating is None else str(one.rating)  # one of the ids that `definition` lists
    found: dict[str, Any] = {"completion": True, "response": response}
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
