"""What the store of training writes is read as what it was: answers, trials, sessions and courses of every kind."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.errors import StoreCorrupt
from fr_core.types import ModelId
from fr_training.answers import (
    DIFFICULTIES,
    RATINGS,
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
from fr_training.courses import Course, Form, Item
from fr_training.keys import ListKey, PairKey, TriadKey, TriageKey
from fr_training.plan import BlockPlan, CoursePlan, SittingPlan
from fr_training.prompts import ExerciseKind, Step
from fr_training.store.codec import pack_session, pack_trial, unpack_session, unpack_trial
from fr_training.store.course_codec import pack_course, unpack_course
from fr_training.trials import Locked, OwnList, Session, Trial
from support.training_stores import small_course

texts = st.text(max_size=20)  # surrogates excepted: what cannot be UTF-8 cannot come through the API
whole = st.integers(-(2**53), 2**53)
shares = st.floats(0, 1)
similarities = st.floats(-1, 1)

given_answers = st.one_of(
    st.builds(PairRating, st.sampled_from(RATINGS), st.none() | shares),
    st.builds(OddOneOut, texts),
    st.builds(Notes, texts),
    st.builds(
        Observations,
        st.lists(
            st.builds(Observation, texts, st.sampled_from(Compared), st.none() | st.integers(0, 10)), max_size=3
        ).map(tuple),
    ),
    st.builds(
        ListDecision,
        st.sampled_from(ListChoice),
        st.none() | texts,
        st.dictionaries(texts, st.sampled_from(RATINGS), max_size=3),
    ),
    st.builds(Triage, st.sampled_from(Usability), st.frozensets(st.sampled_from(Degraded))),
    st.builds(ProbeSent, texts),
)
answers = st.builds(Answer, given_answers, st.none() | st.sampled_from(DIFFICULTIES), st.booleans())
list_keys = st.builds(
    ListKey, st.none() | st.integers(0, 9), st.lists(similarities, max_size=3).map(tuple), st.booleans()
)
locked = st.builds(Locked, st.sampled_from(Step), answers, whole, whole, st.booleans())
numbers = st.lists(st.integers(0, 10_000), max_size=4).map(tuple)
trials = st.builds(
    Trial,
    texts,
    st.integers(0, 1_000),
    texts,
    texts,
    texts,
    numbers,
    whole,
    whole,
    st.lists(locked, max_size=2).map(tuple),
    st.booleans(),
    st.none() | st.builds(OwnList, numbers, list_keys),
)
sessions = st.builds(
    Session,
    texts,
    texts,
    texts,
    texts,
    st.integers(0, 1),
    st.binary(min_size=32, max_size=32),
    whole,
    st.integers(0, 64),
    st.none() | whole,
    whole,
    st.none() | whole,
    st.none() | whole,
    st.lists(trials, max_size=2).map(tuple),
)
keys = st.one_of(
    st.builds(PairKey, st.booleans(), similarities, st.none() | st.floats(-9, 9), st.none() | st.booleans()),
    st.builds(TriadKey, st.integers(0, 2), st.integers(0, 2), st.floats(-2, 2)),
    list_keys,
    st.builds(TriageKey, st.sampled_from(Usability), st.none() | st.sampled_from(Degraded), st.floats(0, 99)),
)
items = st.builds(
    Item,
    texts,
    numbers,
    st.none() | keys,
    st.none() | st.floats(-5, 5),
    numbers,
    st.dictionaries(texts, texts, max_size=2),
)
blocks = st.builds(
    BlockPlan,
    texts,
    st.sampled_from(ExerciseKind),
    texts,
    instructions=texts,
    minutes=st.none() | st.integers(1, 240),
    feedback=st.booleans(),
    same=st.integers(0, 99),
    target=shares,
    equated=texts,
    occasion=st.sampled_from(["", "pre", "post", "retention"]),
    forms=st.tuples(texts, texts),
)
plans = st.builds(
    CoursePlan,
    texts,
    st.lists(st.builds(SittingPlan, texts, texts, st.lists(blocks, max_size=2).map(tuple)), max_size=2).map(tuple),
    seed=st.integers(0, 2**32 - 1),
    mask=st.sampled_from(["oval", "none"]),
    colour=st.booleans(),
    retention_days=st.integers(1, 3_650),
    notice=texts,
    toml=texts,
)
courses = st.builds(
    Course,
    texts,
    plans,
    st.lists(texts, max_size=2).map(tuple),
    st.lists(texts, max_size=2).map(tuple),
    st.builds(ModelId, texts, texts, texts),
    st.integers(0, 2**32 - 1),
    st.lists(st.builds(Form, texts, st.lists(items, max_size=3).map(tuple), texts), max_size=3).map(
        lambda forms: {form.name: form for form in forms}
    ),
    texts,
    whole,
    texts,
    st.dictionaries(texts, st.integers(0, 99), max_size=2),
)


@given(trials)
def test_a_trial_comes_back(trial: Trial) -> None:
    again = unpack_trial(pack_trial(trial))
    assert again == trial
    assert hash(again) == hash(trial)  # lists in place of tuples would have none


@given(sessions)
def test_a_session_comes_back(session: Session) -> None:
    again = unpack_session(pack_session(session), session.trials)
    assert again == session
    assert hash(again) == hash(session)


@given(courses)
def test_a_course_comes_back(course: Course) -> None:
    again = unpack_course(course.course_id, pack_course(course))
    assert again == course
    assert type(again.plan.blocks) is tuple
    assert all(type(block.exercise) is ExerciseKind for block in again.plan.blocks)


def test_a_whole_course_comes_back() -> None:
    course = small_course()
    assert unpack_course(course.course_id, pack_course(course)) == course


@given(st.binary(max_size=40) | st.recursive(st.none() | whole | texts, st.lists).map(lambda v: json.dumps(v).encode()))
def test_what_is_no_trial_is_damage(data: bytes) -> None:
    for unpack in (unpack_trial, lambda raw: unpack_session(raw, ()), lambda raw: unpack_course("", raw)):
        with pytest.raises(StoreCorrupt):
            unpack(data)


@given(trials, st.integers(2, 99))
def test_a_layout_that_there_is_not_yet_is_damage(trial: Trial, layout: int) -> None:
    _, *fields = json.loads(pack_trial(trial))
    with pytest.raises(StoreCorrupt):
        unpack_trial(json.dumps([layout, *fields]).encode())


def test_a_form_under_another_name_is_a_defect() -> None:
    course = small_course()
    wrong = replace(course, forms={"other": next(iter(course.forms.values()))})
    with pytest.raises(ValueError, match="another name"):
        pack_course(wrong)
