"""Which answers the exercises take, and which they refuse, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from fr_core.errors import InputRefused, InvalidField, MissingField
from fr_training.answers import (
    MAX_NOTES,
    RATINGS,
    Answer,
    Compared,
    Degraded,
    Given,
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
from fr_training.errors import InvalidRating, WrongStep
from fr_training.exercises import EXERCISES, exercise_of
from fr_training.exercises.checks import COMPONENTS
from fr_training.prompts import ExerciseKind, Step

PAIR = ("pa", "pb")
LIST = ("probe", "ca", "cb", "cc")
RATED = {"ca": -3, "cb": 0, "cc": 3}
SEEN = tuple(Observation(one.component_id, Compared.SIMILAR, 10) for one in COMPONENTS)
HIDDEN = Observation(COMPONENTS[0].component_id, Compared.NOT_VISIBLE, None)
SHA = "0123456789abcdef" * 4

# A good answer to each step, and the pictures of its trial.
GOOD: Mapping[Step, tuple[Given, tuple[str, ...]]] = {
    Step.RATE: (PairRating(3, 1.0), PAIR),
    Step.RATE_AGAIN: (PairRating(-3, 0.0), PAIR),
    Step.CHOOSE: (OddOneOut("pc"), ("pa", "pb", "pc")),
    Step.NOTE: (Notes("a\tb\nc"), LIST),
    Step.OBSERVE: (Observations((HIDDEN, *SEEN[1:])), PAIR),
    Step.DECIDE: (ListDecision(ListChoice.CANDIDATE, "cb", RATED), LIST),
    Step.TRIAGE: (Triage(Usability.USABLE), ("pa",)),
    Step.SEND_PROBE: (ProbeSent(SHA), ()),
}
STEPS = [(kind, step) for kind, exercise in EXERCISES.items() for step in exercise.steps]


def good(kind: ExerciseKind, step: Step) -> tuple[Given, tuple[str, ...]]:
    given, pictures = GOOD[step]
    return given, pictures[1:] if kind == ExerciseKind.OWN_PROBE and step != Step.SEND_PROBE else pictures


def check(kind: ExerciseKind, step: Step, given: Given, difficulty: int | None = None) -> None:
    exercise_of(kind).check(step, Answer(given, difficulty), good(kind, step)[1])


def refused(kind: ExerciseKind, step: Step, given: Given, difficulty: int | None = None) -> InputRefused:
    """The refusal, exactly of one of the four classes that the protocol names."""
    with pytest.raises((WrongStep, InvalidRating, MissingField, InvalidField)) as caught:
        check(kind, step, given, difficulty)
    return caught.value


@pytest.mark.parametrize(("kind", "step"), STEPS)
def test_each_step_takes_its_answer(kind: ExerciseKind, step: Step) -> None:
    given, _ = good(kind, step)
    for difficulty in (None, 1, 5):
        check(kind, step, given, difficulty)


@pytest.mark.parametrize("kind", EXERCISES)
def test_an_exercise_refuses_answers_to_other_steps(kind: ExerciseKind) -> None:
    exercise = exercise_of(kind)
    for step in Step:
        for given, pictures in GOOD.values():
            if step not in exercise.steps or type(given) is not type(GOOD[step][0]):
                with pytest.raises(WrongStep):
                    exercise.check(step, Answer(given), pictures)


@pytest.mark.parametrize(("kind", "step"), STEPS)
@pytest.mark.parametrize("difficulty", [0, 6, -1, math.nan])
def test_a_difficulty_is_from_1_to_5(kind: ExerciseKind, step: Step, difficulty: int) -> None:
    error = refused(kind, step, good(kind, step)[0], difficulty)
    assert (type(error), error.metadata) == (InvalidRating, {"field": "difficulty"})


RATED_STEPS = [(kind, step) for kind, step in STEPS if step in (Step.RATE, Step.RATE_AGAIN)]


@pytest.mark.parametrize(("kind", "step"), RATED_STEPS)
def test_ratings_of_pairs(kind: ExerciseKind, step: Step) -> None:
    for rating in RATINGS:
        check(kind, step, PairRating(rating))
    for rating in (4, -4, 100):
        error = refused(kind, step, PairRating(rating))
        assert (type(error), error.metadata) == (InvalidRating, {"field": "rating"})
    for p_same in (math.nan, 1.5, -0.01, math.inf, math.nextafter(1.0, 2.0)):
        error = refused(kind, step, PairRating(1, p_same))
        assert (type(error), error.metadata) == (InvalidRating, {"field": "p_same"})


FIRST = COMPONENTS[0].component_id
CHOSEN, NOBODY, OPEN = ListChoice.CANDIDATE, ListChoice.NONE, ListChoice.INCONCLUSIVE


@pytest.mark.parametrize(
    ("step", "given"),
    [
        *((Step.CHOOSE, OddOneOut(picture)) for picture in ("pa", "pb", "pc")),
        *(
            (Step.NOTE, Notes(text))
            for text in ("x", "x" * MAX_NOTES, "Narbe über dem Auge\n\t- links", "😀" * MAX_NOTES)
        ),
        (Step.OBSERVE, Observations((*SEEN[1:], Observation(FIRST, Compared.DIFFERENT, 0)))),
        (Step.DECIDE, ListDecision(CHOSEN, "ca", RATED)),  # a decision may contradict its ratings
        (Step.DECIDE, ListDecision(NOBODY, None, RATED)),
        (Step.DECIDE, ListDecision(OPEN, None, RATED)),
        (Step.TRIAGE, Triage(Usability.LIMITED, frozenset(Degraded))),
        (Step.TRIAGE, Triage(Usability.REJECT, frozenset(Degraded))),
    ],
)
def test_an_answer_is_taken(step: Step, given: Given) -> None:
    for kind in (kind for kind, one in STEPS if one == step):
        check(kind, step, given)


@pytest.mark.parametrize(
    ("step", "given", "error"),
    [
        *((Step.CHOOSE, OddOneOut(picture), InvalidRating) for picture in ("", "pd", "PA", "p")),
        *((Step.NOTE, Notes(text), MissingField) for text in ("", " \n\t ")),
        (Step.NOTE, Notes("x" * (MAX_NOTES + 1)), InvalidField),
        *((Step.NOTE, Notes(f"a{one}b"), InvalidField) for one in "\0\r\x1b\x7f\x85\ud800"),
        *((Step.OBSERVE, Observations(some), MissingField) for some in ((), SEEN[1:], SEEN[:-1])),
        (Step.OBSERVE, Observations((*SEEN, SEEN[0])), InvalidField),
        (Step.OBSERVE, Observations((*SEEN[:-1], SEEN[0])), InvalidField),
        (Step.OBSERVE, Observations((*SEEN, Observation("tail", Compared.SIMILAR, 1))), InvalidField),
        (Step.OBSERVE, Observations((Observation("", Compared.SIMILAR, 1), *SEEN[1:])), InvalidField),
        (Step.OBSERVE, Observations((Observation(FIRST, Compared.SIMILAR, None), *SEEN[1:])), MissingField),
        (Step.OBSERVE, Observations((Observation(FIRST, Compared.DIFFERENT, None), *SEEN[1:])), MissingField),
        (Step.OBSERVE, Observations((Observation(FIRST, Compared.SIMILAR, 11), *SEEN[1:])), InvalidRating),
        (Step.OBSERVE, Observations((Observation(FIRST, Compared.DIFFERENT, -1), *SEEN[1:])), InvalidRating),
        (Step.OBSERVE, Observations((Observation(FIRST, Compared.NOT_VISIBLE, 0), *SEEN[1:])), InvalidField),
        (Step.DECIDE, ListDecision(CHOSEN, None, RATED), MissingField),
        *((Step.DECIDE, ListDecision(CHOSEN, picture, RATED), InvalidRating) for picture in ("", "probe", "cd")),
        (Step.DECIDE, ListDecision(NOBODY, "ca", RATED), InvalidField),
        (Step.DECIDE, ListDecision(OPEN, "ca", RATED), InvalidField),
        (Step.DECIDE, ListDecision(NOBODY, None, {}), MissingField),
        (Step.DECIDE, ListDecision(NOBODY, None, {"ca": 1, "cb": 1}), MissingField),
        *(
            (Step.DECIDE, ListDecision(NOBODY, None, {**RATED, **more}), InvalidRating)
            for more in ({"cd": 1}, {"probe": 1}, {"ca": 4}, {"ca": -4})
        ),
        (Step.TRIAGE, Triage(Usability.USABLE, frozenset({Degraded.BLUR})), InvalidField),
        (Step.TRIAGE, Triage(Usability.LIMITED), MissingField),
        (Step.TRIAGE, Triage(Usability.REJECT), MissingField),
        *(
            (Step.SEND_PROBE, ProbeSent(sha), InvalidField)
            for sha in ("", SHA[:-1], SHA + "0", SHA.upper(), SHA[:-1] + "g", SHA + "\n")
        ),
    ],
)
def test_an_answer_that_cannot_be_is_refused(step: Step, given: Given, error: type[InputRefused]) -> None:
    for kind in (kind for kind, one in STEPS if one == step):
        assert type(refused(kind, step, given)) is error


def test_a_search_that_found_nobody_takes_a_decision() -> None:
    own = exercise_of(ExerciseKind.OWN_PROBE)
    own.check(Step.DECIDE, Answer(ListDecision(NOBODY, None, {})), ())
    with pytest.raises(InvalidRating):
        own.check(Step.DECIDE, Answer(ListDecision(CHOSEN, "ca", {})), ())


@pytest.mark.parametrize(
    ("kind", "step", "given"),
    [
        (ExerciseKind.CANDIDATES, Step.NOTE, Notes("Jane Roe\0")),
        (ExerciseKind.FEATURES, Step.OBSERVE, Observations((Observation("Jane Roe", Compared.SIMILAR, 1),))),
        (ExerciseKind.TRIAD, Step.CHOOSE, OddOneOut("Jane Roe")),
        (ExerciseKind.CANDIDATES, Step.DECIDE, ListDecision(CHOSEN, "Jane Roe", {})),
        (ExerciseKind.CANDIDATES, Step.DECIDE, ListDecision(NOBODY, None, {"Jane Roe": 1})),
        (ExerciseKind.OWN_PROBE, Step.SEND_PROBE, ProbeSent("Jane Roe")),
    ],
)
def test_a_refusal_repeats_nothing_that_was_sent(kind: ExerciseKind, step: Step, given: Given) -> None:
    error = refused(kind, step, given)
    assert "Jane" not in f"{error.message} {error.metadata}"
