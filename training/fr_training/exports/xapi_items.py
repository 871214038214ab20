"""Items as activities of xAPI: what is asked, which answers there are, and which of them are right.

An item is asked in the same words wherever it is shown, so that two statements on it never contradict each other. Of an
own probe the photo, and with it the candidates and what is right, differ from trainee to trainee; the activity tells
none of them.
"""

from __future__ import annotations

from typing import Any, Final

from fr_training.answers import RATINGS, Usability
from fr_training.plan import PAIRS
from fr_training.prompts import ExerciseKind
from fr_training.results import Result

_INTERACTION: Final = "http://adlnet.gov/expapi/activities/cmi.interaction"
_SCALE: Final = {
    -3: "surely two people",
    -2: "probably two people",
    -1: "rather two people",
    0: "undecided",
    1: "rather one person",
    2: "probably one person",
    3: "surely one person",
}
_PHOTOS: Final = 3
"""Of a triad."""


def definition(one: Result) -> dict[str, Any]:
    """The definition of the item of a trial; xAPI 1.0.3, part two, 2.4.4.1.

    Pairs are of the interaction `likert`: each rating on the right side is right. Triads, lists and triages are a
    `choice` in the words of `Result.answer`, and an own probe is `other`.
    """
    name, question = _asked(one.exercise)
    found: dict[str, Any] = {
        "name": {"en": f"{name} {one.item_id}"},
        "description": {"en": question},
        "type": _INTERACTION,
    }
    if one.exercise == ExerciseKind.OWN_PROBE:
        return {**found, "interactionType": "other"}
    if one.exercise in PAIRS:
        found["interactionType"] = "likert"
        found["scale"] = [_component(str(rating), _SCALE[rating]) for rating in RATINGS]
    else:
        found["interactionType"] = "choice"
        found["choices"] = _choices(one)
    if one.truth:
        found["correctResponsesPattern"] = _right(one)
    return found


def response(one: Result) -> str:
    """What was answered, as one of the ids that `definition` lists."""
    return one.answer if one.rating is None else str(one.rating)


def _asked(exercise: ExerciseKind) -> tuple[str, str]:
    match exercise:
        case ExerciseKind.TRIAD:
            return "Three photos", "Which photo shows another person than the two others?"
        case ExerciseKind.CANDIDATES:
            return "Candidate list", "Which candidate, if any, is the person of the probe?"
        case ExerciseKind.OWN_PROBE:
            return "Own probe", "Which candidate, if any, is the person of the photo that the trainee sent?"
        case ExerciseKind.TRIAGE:
            return "Photo", "Can the photo be used for a comparison?"
        case _:
            return "Pair of photos", "Do both photos show one person?"


def _right(one: Result) -> list[str]:
    """The answers that are right, any of them; of a list, the words of truth and answer differ."""
    if one.exercise in PAIRS:
        return [str(rating) for rating in RATINGS if rating and (rating > 0) == (one.truth == "same")]
    return ["none" if one.truth == "absent" else one.truth.replace("mate:", "candidate:")]


def _choices(one: Result) -> list[dict[str, Any]]:
    if one.exercise == ExerciseKind.TRIAGE:
        return [_component(str(word), str(word)) for word in Usability]
    if one.exercise == ExerciseKind.TRIAD:
        return [_component(f"odd:{index}", f"photo {index + 1} of the item") for index in range(_PHOTOS)]
    people = [_component(f"candidate:{n}", f"candidate {n + 1} of the item") for n in range(one.candidates)]
    return [
        *people,
        _component("none", "none of the candidates"),
        _component("inconclusive", "the photos do not allow a decision"),
    ]


def _component(component_id: str, description: str) -> dict[str, Any]:
    return {"id": component_id, "description": {"en": description}}
