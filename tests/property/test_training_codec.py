"""The training store returns what was written: answers, trials, sessions and courses of every kind."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.errors import StoreCorrupt
from fr_core.types import ModelId
from fr_training.answers import (
    Answer,
    Compared,
    Conclusion,
    Degraded,
    Draft,
    FileHash,
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
from fr_training.courses import Course, Forecast, Form, Item, OperatingPoints, Share
from fr_training.keys import EvidenceKey, LabKey, LessonKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.plan import OCCASIONS, BlockPlan, CoursePlan, SittingPlan, SlotKind, SlotPlan
from fr_training.prompts import (
    Evidence,
    ExerciseKind,
    Lab,
    LabKind,
    LabRow,
    LessonFigure,
    LessonPart,
    Measured,
    Step,
)
from fr_training.store.codec import pack_session, pack_trial, unpack_session, unpack_trial
from fr_training.store.course_codec import pack_course, unpack_course
from fr_training.trials import Locked, OwnList, Session, Trial
from support.training_stores import small_course

texts = st.text(max_size=20)  # surrogates excepted: what cannot be UTF-8 cannot come through the API
whole = st.integers(-(2**53), 2**53)

# Values of the fields of the store's classes, by the types that these fields have.
BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "str": texts,
    "int": whole,
    "bool": st.booleans(),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bytes": st.binary(min_size=32, max_size=32),
    "Mask": st.sampled_from(["head", "oval", "none"]),
    "LabKind": st.sampled_from(LabKind),
    "Occasion": st.sampled_from(["", *OCCASIONS]),
    **{
        kind.__name__: st.sampled_from(kind)
        for kind in (Compared, Degraded, ExerciseKind, ListChoice, SlotKind, Step, Usability)
    },
}


def of_type(told: str) -> st.SearchStrategy[Any]:
    if told.endswith(" | None"):
        return st.none() | of_type(told.removesuffix(" | None"))
    outer, _, inner = told.removesuffix("]").partition("[")
    if outer == "tuple" and inner.endswith(", ..."):
        return st.lists(of_type(inner.removesuffix(", ...")), max_size=3).map(tuple)
    if outer == "tuple":
        return st.tuples(*map(of_type, inner.split(", ")))
    if outer == "frozenset":
        return st.frozensets(of_type(inner), max_size=3)
    if outer == "Mapping" and told not in BY_TYPE:
        return st.dictionaries(*map(of_type, inner.split(", ")), max_size=3)
    return BY_TYPE[told]


def known(kind: type) -> st.SearchStrategy[Any]:
    """Values of a class, from now on those of all fields of its type."""
    values = {one.name: of_type(str(one.type)) for one in fields(kind)}
    return BY_TYPE.setdefault(kind.__name__, st.builds(kind, **values))


known(Observation)
GIVEN = (
    *(PairRating, OddOneOut, Notes, Observations, ListDecision, Triage, ProbeSent, Prediction, Conclusion, FileHash),
    *(Read, OptionChosen),
)
BY_TYPE["Given"] = st.one_of(*map(known, GIVEN))
known(Answer), known(Locked), known(ListKey), known(OwnList), known(Draft)
trials, sessions = known(Trial), known(Session)
BY_TYPE["AnswerKey"] = st.one_of(*map(known, (PairKey, TriadKey, ListKey, TriageKey, LabKey, EvidenceKey, LessonKey)))
known(Measured), known(LabRow)
known(LessonFigure)
BY_TYPE["Lab | Evidence | LessonPart"] = known(Lab) | known(Evidence) | known(LessonPart)
BY_TYPE["Mapping[str, Mapping[str, str]]"] = st.dictionaries(texts, of_type("Mapping[str, str]"), max_size=2)
known(Item), known(BlockPlan), known(SlotPlan), known(SittingPlan), known(CoursePlan), known(ModelId)
BY_TYPE["Share"] = st.builds(Share, *[BY_TYPE["float"]] * 3)
BY_TYPE["OperatingPoints"] = st.builds(OperatingPoints, *[st.none() | BY_TYPE["float"]] * 3)
known(Forecast)
forms = st.lists(known(Form), max_size=3).map(lambda found: {form.name: form for form in found})
BY_TYPE["Mapping[str, Form]"] = forms
courses = known(Course)


@given(trials)
def test_a_trial_comes_back(trial: Trial) -> None:
    again = unpack_trial(pack_trial(trial))
    assert again == trial
    assert hash(again) == hash(trial)  # lists in place of tuples would have none


@given(trials)
def test_a_trial_of_the_version_before_has_no_draft(trial: Trial) -> None:
    _, *fields = json.loads(pack_trial(trial))
    before = unpack_trial(json.dumps([1, *fields[:-2]]).encode())
    assert before == replace(trial, draft=None, drafted_ms=None)


@given(sessions)
def test_a_session_of_the_version_before_has_no_time_added(session: Session) -> None:
    _, *fields = json.loads(pack_session(session))
    before = unpack_session(json.dumps([1, *fields[:-1]]).encode(), session.trials)
    assert before == replace(session, extended={})


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


def test_a_course_of_an_earlier_version_does_not_tell_its_plan() -> None:
    raw = json.loads(pack_course(replace(small_course(), source="format = 1", photos_left_out=("0" * 64,))))
    del raw["made_from"]
    assert unpack_course(small_course().course_id, json.dumps(raw).encode()) == small_course()


@given(st.binary(max_size=40) | st.recursive(st.none() | whole | texts, st.lists).map(lambda v: json.dumps(v).encode()))
def test_what_is_no_trial_is_damage(data: bytes) -> None:
    for unpack in (unpack_trial, lambda raw: unpack_session(raw, ()), lambda raw: unpack_course("", raw)):
        with pytest.raises(StoreCorrupt):
            unpack(data)


@given(trials, st.integers(3, 99))
def test_a_layout_that_there_is_not_yet_is_damage(trial: Trial, layout: int) -> None:
    _, *fields = json.loads(pack_trial(trial))
    with pytest.raises(StoreCorrupt):
        unpack_trial(json.dumps([layout, *fields]).encode())


def test_a_form_under_another_name_is_a_defect() -> None:
    course = small_course()
    wrong = replace(course, forms={"other": next(iter(course.forms.values()))})
    with pytest.raises(ValueError, match="another name"):
        pack_course(wrong)
