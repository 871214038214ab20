"""Exercises by property: nothing right is shown before an answer is locked, and what `check` lets pass has a worth."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_core.errors import InvalidField, MissingField
from fr_locales.messages import message
from fr_locales.rendering import render
from fr_training.answers import (
    RATINGS,
    Answer,
    Compared,
    Conclusion,
    Degraded,
    FileHash,
    Given,
    ListChoice,
    ListDecision,
    Notes,
    Observation,
    Observations,
    OddOneOut,
    OptionChosen,
    PairRating,
    Prediction,
    ProbeSent,
    Read,
    Triage,
    Usability,
)
from fr_training.errors import InvalidRating, WrongStep
from fr_training.exercises import EXERCISES, exercise_of
from fr_training.exercises.checks import COMPONENTS
from fr_training.exercises.exercise import Exercise
from fr_training.keys import AnswerKey, EvidenceKey, LabKey, LessonKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.plan import PAIRS
from fr_training.prompts import Advice, ExerciseKind, LabKind, Reveal, Step
from fr_training.trials import Locked, Trial
from support.counts import examples

KINDS = sorted(EXERCISES)
cosines = st.floats(-1.0, 1.0)
ratings = st.sampled_from(RATINGS)

pair_keys = st.builds(PairKey, st.booleans(), cosines, st.none() | st.floats(-9.0, 9.0), st.booleans())
triad_keys = st.builds(TriadKey, st.integers(0, 2), st.integers(0, 2), st.floats(-2.0, 2.0))
triage_keys = st.builds(
    TriageKey, st.sampled_from(Usability), st.none() | st.sampled_from(Degraded), st.floats(0.0, 9.0)
)

percents = st.floats(0.0, 100.0)
hashes = st.sampled_from(["0" * 64, "f" * 64])
evidence_keys = st.builds(EvidenceKey, hashes, hashes, st.integers(0, 6))
lab_keys = st.builds(LabKey, st.sampled_from(LabKind), st.integers(0, 12), percents, percents, percents)


def list_keys(size: int) -> st.SearchStrategy[ListKey]:
    mates = st.none() | st.integers(0, size - 1) if size else st.none()
    scores = st.lists(cosines, min_size=size, max_size=size).map(tuple)
    return st.builds(ListKey, mates, scores, st.booleans())


def keys(kind: ExerciseKind, photos: int) -> st.SearchStrategy[AnswerKey]:
    if kind in PAIRS:
        return pair_keys
    if kind == ExerciseKind.TRIAD:
        return triad_keys
    if kind == ExerciseKind.TRIAGE:
        return triage_keys
    if kind == ExerciseKind.LAB:
        return lab_keys
    if kind == ExerciseKind.EVIDENCE:
        return evidence_keys
    if kind == ExerciseKind.LESSON:
        reasons = st.tuples(*[st.text(max_size=9)] * photos)
        return st.builds(LessonKey, st.just("a"), st.just("b"), st.integers(0, photos - 1), reasons)
    return list_keys(photos - (kind == ExerciseKind.CANDIDATES))


def sizes(kind: ExerciseKind) -> st.SearchStrategy[int]:
    of_lists = {ExerciseKind.OWN_PROBE: st.integers(0, 8), ExerciseKind.CANDIDATES: st.integers(2, 8)}
    of_lists[ExerciseKind.LESSON] = st.integers(3, 5)  # options
    of_one_size = {ExerciseKind.TRIAD: 3, ExerciseKind.TRIAGE: 1, ExerciseKind.LAB: 0, ExerciseKind.EVIDENCE: 1}
    return of_lists[kind] if kind in of_lists else st.just(of_one_size.get(kind, 2))


def names(photos: int) -> tuple[str, ...]:
    return tuple(f"{number:016x}" for number in range(photos))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_is_shown_does_not_depend_on_the_key(kind: ExerciseKind, data: st.DataObject) -> None:
    exercise = exercise_of(kind)
    photos = data.draw(sizes(kind))
    one, other = data.draw(keys(kind, photos)), data.draw(keys(kind, photos))
    for step in exercise.steps:
        shown = [exercise.prompt(step, names(photos), key) for key in (one, other)]
        if step == Step.RATE_AGAIN:
            advices = [prompt.advice for prompt in shown]
            for key, advice in zip((one, other), advices, strict=True):
                assert isinstance(key, PairKey)
                assert advice is not None
                assert advice.same == key.advice_same
            assert len({len(render(advice.text).encode()) for advice in advices if advice}) == 1
            shown = [replace(prompt, advice=Advice(True, message("trial.advice_same"))) for prompt in shown]
        else:
            assert shown[0].advice is None
            assert exercise.prompt(step, names(photos), None) == shown[0]
        assert shown[0] == shown[1]
        assert repr(shown[0]) == repr(shown[1])  # with what equality might leave out


@given(pair_keys, pair_keys)
def test_equal_advice_is_told_in_equal_words(one: PairKey, other: PairKey) -> None:
    other = replace(other, advice_same=one.advice_same)
    aided = exercise_of(ExerciseKind.AIDED)
    shown = [aided.prompt(Step.RATE_AGAIN, names(2), key) for key in (one, other)]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_the_order_is_a_permutation_that_the_seed_decides(kind: ExerciseKind, data: st.DataObject, seed: int) -> None:
    photos = data.draw(sizes(kind))
    order = exercise_of(kind).order(photos, np.random.default_rng(seed))
    assert sorted(order) == list(range(photos))
    assert all(type(index) is int for index in order)
    assert order == exercise_of(kind).order(photos, np.random.default_rng(seed))
    assert kind != ExerciseKind.CANDIDATES or order[0] == 0


def good(step: Step, data: st.DataObject, shown: Sequence[str]) -> Given:
    if step in (Step.RATE, Step.RATE_AGAIN):
        return data.draw(st.builds(PairRating, ratings, st.none() | st.floats(0.0, 1.0)))
    if step == Step.CHOOSE:
        return OddOneOut(data.draw(st.sampled_from(shown)))
    if step == Step.NOTE:
        return Notes("a scar")
    if step == Step.SEND_PROBE:
        return ProbeSent("0" * 64)
    if step == Step.OBSERVE:
        return Observations(tuple(Observation(one.component_id, Compared.DIFFERENT, 0) for one in COMPONENTS))
    if step == Step.TRIAGE:
        return data.draw(st.sampled_from([Triage(Usability.USABLE), Triage(Usability.REJECT, frozenset(Degraded))]))
    if step in (Step.HASH, Step.DERIVE):
        return FileHash(data.draw(hashes))
    if step == Step.PREDICT:
        return Prediction(data.draw(percents))
    if step == Step.READ:
        return Read()
    if step == Step.ANSWER:
        return OptionChosen(data.draw(st.sampled_from(shown)))
    if step == Step.CONCLUDE:
        return Conclusion(data.draw(st.integers(0, 12)))
    choice = data.draw(st.sampled_from(ListChoice)) if shown else ListChoice.NONE
    picked = data.draw(st.sampled_from(shown)) if choice == ListChoice.CANDIDATE else None
    return ListDecision(choice, picked, {picture_id: data.draw(ratings) for picture_id in shown})


def answered(exercise: Exercise, data: st.DataObject, ids: Sequence[str]) -> Trial:
    choices = ids[1:] if exercise.kind == ExerciseKind.CANDIDATES else ids
    answers = tuple(Locked(step, Answer(good(step, data, choices)), 0, 1) for step in exercise.steps)
    for one in answers:
        exercise.check(one.step, one.answer, ids)
    return Trial("t", 0, "block", "form", "item", tuple(range(len(ids))), 0, locked=answers, done=True)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=examples(50))
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_answers_are_worth_the_same_in_every_order(kind: ExerciseKind, data: st.DataObject, seed: int) -> None:
    exercise = exercise_of(kind)
    photos = data.draw(sizes(kind))
    key, ids = data.draw(keys(kind, photos)), names(photos)
    order = exercise.order(photos, np.random.default_rng(seed))
    trial = answered(exercise, data, ids)
    moved = replace(trial, order=order)
    plain = tuple(ids[index] for index in order)  # each photo keeps its id, and is shown elsewhere
    straight = exercise.grade(key, trial, ids)
    assert exercise.grade(key, moved, plain) == straight
    told, again = exercise.reveal(key, trial, ids), exercise.reveal(key, moved, plain)
    assert (told.correct, told.similarities, told.picture_id) == (again.correct, again.similarities, again.picture_id)
    assert straight.correct == told.correct
    require_told_well(exercise, key, told, ids)


def require_told_well(exercise: Exercise, key: AnswerKey, told: Reveal, ids: Sequence[str]) -> None:
    if isinstance(key, ListKey):
        candidates = ids[1:] if exercise.kind == ExerciseKind.CANDIDATES else ids
        assert told.similarities == dict(zip(candidates, key.similarities, strict=True))
        assert told.picture_id == (candidates[key.mate] if key.scored and key.mate is not None else "")
        assert told.text is not None
        number = key.mate + 1 if key.mate is not None else 0
        assert (told.picture_id == "") or f"candidate {number} " in render(told.text)
    elif exercise.kind == ExerciseKind.FOOTAGE:
        assert isinstance(key, PairKey)
        assert told.similarities == {ids[0]: key.similarity}
    else:
        assert told.similarities == {}
        assert told.picture_id == (ids[key.odd] if isinstance(key, TriadKey) else "")


texts = st.text(max_size=20) | st.sampled_from(["", "a\0", "\n", "x" * 2_001])
pictures = st.sampled_from([*names(9), "", "nobody"])
numbers = st.integers(-5, 12)
probabilities = st.none() | st.floats()
sent = st.one_of(
    st.builds(PairRating, numbers, probabilities),
    st.builds(OddOneOut, pictures),
    st.builds(Notes, texts),
    st.lists(
        st.builds(
            Observation,
            st.sampled_from([*(one.component_id for one in COMPONENTS), "tail"]),
            st.sampled_from(Compared),
            st.none() | numbers,
        ),
        max_size=14,
    ).map(lambda found: Observations(tuple(found))),
    st.builds(
        ListDecision, st.sampled_from(ListChoice), st.none() | pictures, st.dictionaries(pictures, numbers, max_size=9)
    ),
    st.builds(Triage, st.sampled_from(Usability), st.frozensets(st.sampled_from(Degraded))),
    st.builds(ProbeSent, texts | st.just("0" * 64)),
    st.builds(Prediction, st.floats()),
    st.builds(Conclusion, numbers),
    st.builds(FileHash, texts | hashes),
    st.just(Read()),
    st.builds(OptionChosen, pictures),
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=examples(150))
@given(data=st.data())
def test_an_answer_is_refused_for_a_reason_or_has_a_worth(kind: ExerciseKind, data: st.DataObject) -> None:
    exercise = exercise_of(kind)
    photos = data.draw(sizes(kind))
    key, ids, step = data.draw(keys(kind, photos)), names(photos), data.draw(st.sampled_from(exercise.steps))
    answer = Answer(data.draw(sent), data.draw(st.none() | st.integers(0, 6)))
    try:
        exercise.check(step, answer, ids)
    except (WrongStep, InvalidRating, MissingField, InvalidField):
        return
    assert answer.difficulty in (None, 1, 2, 3, 4, 5)
    trial = answered(exercise, data, ids)
    answers = tuple(replace(one, answer=answer) if one.step == step else one for one in trial.locked)
    graded = exercise.grade(key, replace(trial, locked=answers), ids)
    assert graded.answer != ""
    assert exercise.reveal(key, replace(trial, locked=answers), ids).correct == graded.correct
