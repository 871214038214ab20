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


@pytest.mark.parametrize(("kind", "step"), STEPS)
def test_a_step_refuses_the_answers_to_others(kind: ExerciseKind, step: Step) -> None:
    own, _ = good(kind, step)
    for other, (given, _) in GOOD.items():
        if type(given) is not type(own):
            assert type(refused(kind, step, given)) is WrongStep, other


@pytest.mark.parametrize("kind", EXERCISES)
def test_an_exercise_refuses_steps_that_it_does_not_have(kind: ExerciseKind) -> None:
    for step in set(Step) - set(exercise_of(kind).steps):
        given, pictures = GOOD[step]
        with pytest.raises(WrongStep):
            exercise_of(kind).check(step, Answer(given), pictures)


@pytest.mark.parametrize(("kind", "step"), STEPS)
@pytest.mark.parametrize("difficulty", [0, 6, -1, math.nan])
def test_a_difficulty_is_from_1_to_5(kind: ExerciseKind, step: Step, difficulty: int) -> None:
    error = refused(kind, step, good(kind, step)[0], difficulty)
    assert type(error) is InvalidRating
    assert error.metadata == {"field": "difficulty"}


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


def test_the_odd_one_out_is_one_of_the_three() -> None:
    for picture in ("pa", "pb", "pc"):
        check(ExerciseKind.TRIAD, Step.CHOOSE, OddOneOut(picture))
    for picture in ("", "pd", "PA", "p"):
        assert type(refused(ExerciseKind.TRIAD, Step.CHOOSE, OddOneOut(picture))) is InvalidRating


LISTS = (ExerciseKind.CANDIDATES, ExerciseKind.OWN_PROBE)


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", MissingField),
        (" \n\t ", MissingField),
        ("x" * (MAX_NOTES + 1), InvalidField),
        ("a\0b", InvalidField),
        ("a\rb", InvalidField),
        ("a\x1b[31m", InvalidField),
        ("a\x7f", InvalidField),
        ("a\x85b", InvalidField),
        ("a\ud800b", InvalidField),
    ],
)
def test_notes_must_not_be(kind: ExerciseKind, text: str, error: type[InputRefused]) -> None:
    assert type(refused(kind, Step.NOTE, Notes(text))) is error


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("text", ["x", "x" * MAX_NOTES, "Narbe über dem Auge\n\t- links", "😀" * MAX_NOTES])
def test_notes_may_be(kind: ExerciseKind, text: str) -> None:
    check(kind, Step.NOTE, Notes(text))


FIRST = COMPONENTS[0].component_id


@pytest.mark.parametrize(
    ("observations", "error"),
    [
        ((), MissingField),
        (SEEN[1:], MissingField),
        (SEEN[:-1], MissingField),
        ((*SEEN, SEEN[0]), InvalidField),
        ((*SEEN[:-1], SEEN[0]), InvalidField),
        ((*SEEN, Observation("tail", Compared.SIMILAR, 1)), InvalidField),
        ((Observation("", Compared.SIMILAR, 1), *SEEN[1:]), InvalidField),
        ((Observation(FIRST, Compared.SIMILAR, None), *SEEN[1:]), MissingField),
        ((Observation(FIRST, Compared.DIFFERENT, None), *SEEN[1:]), MissingField),
        ((Observation(FIRST, Compared.SIMILAR, 11), *SEEN[1:]), InvalidRating),
        ((Observation(FIRST, Compared.DIFFERENT, -1), *SEEN[1:]), InvalidRating),
        ((Observation(FIRST, Compared.NOT_VISIBLE, 0), *SEEN[1:]), InvalidField),
    ],
)
def test_observations_must_not_be(observations: tuple[Observation, ...], error: type[InputRefused]) -> None:
    assert type(refused(ExerciseKind.FEATURES, Step.OBSERVE, Observations(observations))) is error


def test_observations_may_come_in_any_order_and_at_both_ends() -> None:
    ends = (Observation(FIRST, Compared.DIFFERENT, 0), *SEEN[1:])
    check(ExerciseKind.FEATURES, Step.OBSERVE, Observations(tuple(reversed(ends))))


CHOSEN, NOBODY, OPEN = ListChoice.CANDIDATE, ListChoice.NONE, ListChoice.INCONCLUSIVE


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize(
    ("decision", "error"),
    [
        (ListDecision(CHOSEN, None, RATED), MissingField),
        (ListDecision(CHOSEN, "", RATED), InvalidRating),
        (ListDecision(CHOSEN, "probe", RATED), InvalidRating),
        (ListDecision(CHOSEN, "cd", RATED), InvalidRating),
        (ListDecision(NOBODY, "ca", RATED), InvalidField),
        (ListDecision(OPEN, "ca", RATED), InvalidField),
        (ListDecision(NOBODY, None, {}), MissingField),
        (ListDecision(NOBODY, None, {"ca": 1, "cb": 1}), MissingField),
        (ListDecision(NOBODY, None, {**RATED, "cd": 1}), InvalidRating),
        (ListDecision(NOBODY, None, {**RATED, "probe": 1}), InvalidRating),
        (ListDecision(NOBODY, None, {**RATED, "ca": 4}), InvalidRating),
        (ListDecision(NOBODY, None, {**RATED, "ca": -4}), InvalidRating),
    ],
)
def test_decisions_on_lists_must_not_be(kind: ExerciseKind, decision: ListDecision, error: type[InputRefused]) -> None:
    assert type(refused(kind, Step.DECIDE, decision)) is error


@pytest.mark.parametrize("kind", LISTS)
def test_decisions_on_lists_may_contradict_their_ratings(kind: ExerciseKind) -> None:
    for decision in (ListDecision(CHOSEN, "ca", RATED), ListDecision(NOBODY, None, RATED)):
        check(kind, Step.DECIDE, decision)
    check(kind, Step.DECIDE, ListDecision(OPEN, None, RATED))


def test_a_search_that_found_nobody_takes_a_decision() -> None:
    own = exercise_of(ExerciseKind.OWN_PROBE)
    own.check(Step.DECIDE, Answer(ListDecision(NOBODY, None, {})), ())
    with pytest.raises(InvalidRating):
        own.check(Step.DECIDE, Answer(ListDecision(CHOSEN, "ca", {})), ())


@pytest.mark.parametrize(
    ("triage", "error"),
    [
        (Triage(Usability.USABLE, frozenset({Degraded.BLUR})), InvalidField),
        (Triage(Usability.LIMITED), MissingField),
        (Triage(Usability.REJECT), MissingField),
    ],
)
def test_triage_must_not_be(triage: Triage, error: type[InputRefused]) -> None:
    assert type(refused(ExerciseKind.TRIAGE, Step.TRIAGE, triage)) is error


def test_triage_may_have_several_reasons() -> None:
    for usability in (Usability.LIMITED, Usability.REJECT):
        check(ExerciseKind.TRIAGE, Step.TRIAGE, Triage(usability, frozenset(Degraded)))


@pytest.mark.parametrize("sha", ["", SHA[:-1], SHA + "0", SHA.upper(), SHA[:-1] + "g", SHA + "\n"])
def test_the_hash_of_a_probe_is_64_digits(sha: str) -> None:
    assert type(refused(ExerciseKind.OWN_PROBE, Step.SEND_PROBE, ProbeSent(sha))) is InvalidField


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
