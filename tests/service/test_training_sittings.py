"""A trainer closes a sitting, opens it again and gives more time; nobody answers while it is closed."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from fr_api.v1 import training_pb2 as pb
from support.callers import reason_of
from support.courses import Chance, Clock, Stub, answer, create, enrol, next_trial, start
from support.servers import Running, running

LINKED = 60  # people: few more than the plan needs

PLAN = """
format = 1
title = "Squares"
claims = false
sittings = [
  { name = "first", blocks = [
    { id = "pairs", exercise = "verification", same = 3, different = 3, minutes = 10, equated = "t", occasion = "pre" },
    { id = "odd", exercise = "triad", trials = 1 },
  ] },
  { name = "last", blocks = [
    { id = "post", exercise = "verification", same = 3, different = 3, equated = "t", occasion = "post" },
  ] },
]
"""
MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def server(home: Path, clock: Clock) -> Iterator[Running]:
    with running(home / "data", clock=clock) as server:
        yield server


@pytest.fixture(scope="module")
def stub(server: Running) -> Stub:
    return server.training


@pytest.fixture(scope="module")
def course(stub: Stub) -> pb.Course:
    return create(stub, PLAN)


def turned(stub: Stub, cohort_id: str, closed: bool, sitting: str = "first") -> pb.Cohort:
    request = pb.SetSittingClosedRequest(cohort_id=cohort_id, sitting=sitting, closed=closed)
    return stub.SetSittingClosed(request).cohort


def left_s(stub: Stub, session_id: str) -> int:
    trial = next_trial(stub, session_id)
    assert trial is not None
    return trial.left.ToSeconds()


def test_a_closed_sitting_takes_no_answer_and_its_time_stands_still(
    stub: Stub, course: pb.Course, clock: Clock
) -> None:
    made = enrol(stub, course.course_id, 2)
    cohort_id, (code, other) = made.cohort.cohort_id, [one.code for one in made.enrolled]
    session_id = start(stub, code, "first")
    trial = next_trial(stub, session_id)
    assert trial is not None
    assert list(turned(stub, cohort_id, True).closed_sittings) == ["first"]
    send = Chance().decision(session_id, trial)
    calls: dict[str, Any] = {
        "SESSION_PAUSED": partial(stub.SubmitDecision, send),
        "SITTING_CLOSED": partial(stub.ResumeSession, pb.ResumeSessionRequest(session_id=session_id)),
    }
    assert {reason: reason_of(call) for reason, call in calls.items()} == {reason: reason for reason in calls}
    assert reason_of(lambda: start(stub, other, "first")) == "SITTING_CLOSED"
    assert reason_of(lambda: start(stub, code, "first")) == "OK"  # it is there, and paused
    joined = stub.JoinCourse(pb.JoinCourseRequest(code=other))
    assert [one.closed for one in joined.sittings] == [True, False]
    clock.ahead_ms += 60 * MINUTE_MS
    assert list(turned(stub, cohort_id, False).closed_sittings) == []
    stub.ResumeSession(pb.ResumeSessionRequest(session_id=session_id))
    assert 9 * 60 < left_s(stub, session_id) <= 10 * 60
    assert reason_of(partial(stub.SubmitDecision, send)) == "OK"
    start(stub, other, "first")


def test_a_trainee_can_end_in_a_closed_sitting(stub: Stub, course: pb.Course) -> None:
    made = enrol(stub, course.course_id)
    session_id = start(stub, made.enrolled[0].code, "first")
    turned(stub, made.cohort.cohort_id, True)
    done = stub.FinishSession(pb.FinishSessionRequest(session_id=session_id)).session
    assert done.state == pb.SESSION_STATE_FINISHED
    turned(stub, made.cohort.cohort_id, True)  # with nobody in it any more
    shown = stub.GetCohort(pb.GetCohortRequest(cohort_id=made.cohort.cohort_id))
    assert list(shown.cohort.closed_sittings) == ["first"]


def test_time_is_added_where_a_limited_block_runs(stub: Stub, course: pb.Course, clock: Clock) -> None:
    made = enrol(stub, course.course_id, 3)
    cohort_id, (first, second, _) = made.cohort.cohort_id, made.enrolled

    def more(minutes: int, trainee_id: str = "") -> list[str]:
        whole = Duration(seconds=60 * minutes)
        request = pb.ExtendTimeRequest(cohort_id=cohort_id, trainee_id=trainee_id, more=whole)
        return list(stub.ExtendTime(request).trainee_ids)

    def told(**whom: str) -> tuple[list[tuple[int, float]], int]:
        """The trainees of whom a report says that they got more time, with the minutes, and its closed sittings."""
        request = pb.GetTrainingReportRequest(file=pb.TRAINING_REPORT_FILE_JSON, **whom)
        conduct = json.loads(b"".join(one.content for one in stub.GetTrainingReport(request)))["conduct"]
        assert {one["block_id"] for one in conduct["extended"]} == {"pairs"}
        return [(one["trainees"], one["minutes"]) for one in conduct["extended"]], len(conduct["closed"])

    assert more(5) == []
    one, two = (start(stub, code, "first") for code in (first.code, second.code))
    next_trial(stub, one)
    assert more(5) == [first.trainee_id]  # the other one has not begun the block
    next_trial(stub, two)
    assert more(5, second.trainee_id) == [second.trainee_id]
    assert more(5) == [first.trainee_id, second.trainee_id]
    clock.ahead_ms += 12 * MINUTE_MS
    assert 7 * 60 < left_s(stub, one) <= 8 * 60
    progress = stub.GetCohort(pb.GetCohortRequest(cohort_id=cohort_id)).progress
    assert {one.extended.seconds for one in progress if one.block_id == "pairs" and one.HasField("extended")} == {600}
    for trial in iter(lambda: next_trial(stub, one), None):
        if trial.block_id == "odd":
            break
        answer(stub, one, trial, Chance())
    assert more(5) == [second.trainee_id]  # triads have no limit
    clock.ahead_ms += 14 * MINUTE_MS
    assert more(5) == []
    assert told(trainee_id=first.trainee_id) == ([(1, 10.0)], 0)
    assert told(trainee_id=second.trainee_id) == ([(1, 15.0)], 0)
    turned(stub, cohort_id, True)
    assert told(cohort_id=cohort_id) == ([(2, 15.0)], 1)
    assert reason_of(lambda: more(0)) == reason_of(lambda: more(24 * 60 + 1)) == "INVALID_FIELD"
    assert reason_of(lambda: more(5, enrol(stub, course.course_id).enrolled[0].trainee_id)) == "UNKNOWN_TRAINEE"
    assert reason_of(lambda: turned(stub, cohort_id, True, "none")) == "UNKNOWN_SITTING"
    assert reason_of(lambda: turned(stub, "none", True)) == "UNKNOWN_COHORT"


def test_trainers_alone_hear_which_blocks_are_tests(stub: Stub, course: pb.Course) -> None:
    assert [block.test for sitting in course.sittings for block in sitting.blocks] == [True, False, True]
    joined = stub.JoinCourse(pb.JoinCourseRequest(code=enrol(stub, course.course_id).enrolled[0].code))
    assert not any(block.test for state in joined.sittings for block in state.sitting.blocks)
