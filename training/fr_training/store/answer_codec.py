"""Answers as JSON, and back: an array that begins with a letter for the kind of answer, its fields in their order.

Arrays, because each row of a trial is written while a trainee waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fr_training.answers import (
    Answer,
    Compared,
    Degraded,
    ListChoice,
    ListDecision,
    Notes,
    Observation,
    Observations,
    OddOneOut,
    PairRating,
    ProbeSent,
    Triage,
    Usability,
)

_PACKING: Mapping[type, Callable[[Any], list[Any]]] = {
    PairRating: lambda given: ["r", given.rating, given.p_same],
    OddOneOut: lambda given: ["o", given.picture_id],
    Notes: lambda given: ["n", given.text],
    Observations: lambda given: [
        "b",
        [[one.component_id, one.compared.value, one.similarity] for one in given.observations],
    ],
    ListDecision: lambda given: ["d", given.choice.value, given.picture_id, dict(given.ratings)],
    Triage: lambda given: ["t", given.usability.value, sorted(reason.value for reason in given.reasons)],
    ProbeSent: lambda given: ["p", given.image_sha256],
}
_UNPACKING: Mapping[str, Callable[..., Any]] = {
    "r": PairRating,
    "o": OddOneOut,
    "n": Notes,
    "b": lambda rows: Observations(tuple(Observation(part, Compared(how), degree) for part, how, degree in rows)),
    "d": lambda choice, picture_id, ratings: ListDecision(ListChoice(choice), picture_id, ratings),
    "t": lambda usability, reasons: Triage(Usability(usability), frozenset(map(Degraded, reasons))),
    "p": ProbeSent,
}


def pack_answer(answer: Answer) -> list[Any]:
    """Return an answer as what JSON has."""
    return [answer.difficulty, answer.known_to_me, *_PACKING[type(answer.given)](answer.given)]


def unpack_answer(packed: list[Any]) -> Answer:
    """Return the answer that was packed; raises ValueError, KeyError or TypeError for anything else."""
    difficulty, known_to_me, kind, *fields = packed
    return Answer(_UNPACKING[kind](*fields), difficulty, known_to_me)
