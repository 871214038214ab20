"""Training under concurrency: reports while trainees come and go, watched cohorts, slow searches."""

import csv
import hashlib
import io
import json
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import grpc
import pytest

from fr_api.v1 import training_pb2
from fr_core.storage.database import Database
from fr_core.storage.statements import Reading
from fr_server.rpc.services.training import own_probe
from fr_server.rpc.services.training.course_gallery import search_people
from fr_training.courses import Course
from fr_training.sessions.flow import new_session, show
from fr_training.store.training_store import TrainingStore
from fr_training.trials import Session
from support.courses import Chance, Clock, Stub, answer, create, enrol, link_people, next_trial, start, store_of, take
from support.servers import Running, ended, photo, refusal_of, running

LINKED = 60  # people: few more than the plan needs

PLAN = """
format = 1
title = "Squares in a hurry"
sittings = [
  { name = "all", blocks = [{ id = "pairs", exercise = "verification", same = 1, different = 1 }] },
  { name = "own", blocks = [{ id = "own", exercise = "own_probe", trials = 1, size = 3 }] },
  { name = "hurried", blocks = [{ id = "hurried", exercise = "own_probe", trials = 1, size = 3, minutes = 1 }] },
]
"""
SITTINGS = ("all", "own", "hurried")
MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FR_HOME", str(folder))
        patch.setattr("fr_server.rpc.services.training.cohorts._LOOK_S", 0.02)
        link_people(folder / "people", 30)
        with running(folder / "data", clock=clock) as server:
            yield server


@pytest.fixture(scope="module")
def course(server: Running) -> training_pb2.Course:
    return create(server.training, PLAN)


def reason(call: Callable[[], object]) -> str:
    return str(refusal_of(call).info.reason)


@contextmanager
def after_looks_of_reports(happens: Callable[[int], None]) -> Iterator[list[int]]:
    """Have something happen after each look of a report at the store: it is given how many there were before."""
    looks: list[int] = []
    busy: list[int] = []
    reading = Database.reading

    @contextmanager
    def looking(database: Database) -> Iterator[Reading]:
        with reading(database) as now:
            yield now
        if threading.current_thread().name.startswith("report") and not busy:
            busy.append(1)
            try:
                happens(len(looks))
            finally:
                busy.clear()
            looks.append(len(looks))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "reading", looking)
        yield looks


def answered(server: Running, course: training_pb2.Course, trainees: int) -> training_pb2.CreateCohortResponse:
    made = enrol(server.training, course.course_id, trainees)
    for one in made.enrolled:
        list(take(server.training, start(server.training, one.code), Chance()))
    return made


def report(stub: Stub, **whom: Any) -> Any:
    pieces = stub.GetTrainingReport(training_pb2.GetTrainingReportRequest(**whom))
    return json.loads(b"".join(one.content for one in pieces))


def exported(stub: Stub, cohort_id: str, form: training_pb2.ExportFormat.ValueType) -> str:
    pieces = stub.ExportResults(training_pb2.ExportResultsRequest(cohort_id=cohort_id, format=form))
    return b"".join(one.content for one in pieces).decode()


def joins(server: Running, course: Course, cohort_id: str) -> None:
    """A trainee enrols, begins a sitting and is shown a trial: all in between two looks."""
    store = store_of(server)
    (new,) = store.add_trainees(cohort_id, 1)
    trainee = store.trainee(new.trainee_id)

    def make() -> Session:
        session_id, secret = hashlib.sha256(new.code.encode()).hexdigest()[:32], bytes(32)
        session = new_session(course, trainee.trainee_id, trainee.group, "all", session_id, secret, 1)
        return show(course, session, "pairs", 1)[0]

    assert store.start_session(trainee, "all", make).trials


def test_reports_and_exports_bear_trainees_who_join_meanwhile(server: Running, course: training_pb2.Course) -> None:
    stub, made = server.training, answered(server, course, 2)
    cohort_id = made.cohort.cohort_id
    stored = store_of(server).course(course.course_id)
    calls: list[Callable[[], object]] = [
        lambda: report(stub, cohort_id=cohort_id),
        lambda: report(stub, trainee_id=made.enrolled[0].trainee_id),
        lambda: report(stub, code=made.enrolled[0].code),
        lambda: exported(stub, cohort_id, training_pb2.EXPORT_FORMAT_XAPI),
    ]
    with after_looks_of_reports(lambda _: joins(server, stored, cohort_id)) as looks:
        for call in calls:
            assert call()
        rows = list(csv.DictReader(io.StringIO(exported(stub, cohort_id, training_pb2.EXPORT_FORMAT_CSV))))
    assert len(looks) > len(calls)
    assert len({row["trainee_id"] for row in rows}) >= len(calls)  # who came before is in it, with a row


@pytest.mark.parametrize("whom", ["code", "cohort", "export"])
def test_a_trainee_may_be_deleted_meanwhile(server: Running, course: training_pb2.Course, whom: str) -> None:
    stub, ends = server.training, Counter[str]()
    for at in range(100):
        made = answered(server, course, 2)
        gone = made.enrolled[0]
        calls: dict[str, Callable[[], object]] = {
            "code": lambda gone=gone: report(stub, code=gone.code),  # type: ignore[misc]
            "cohort": lambda made=made: report(stub, cohort_id=made.cohort.cohort_id),  # type: ignore[misc]
            "export": lambda made=made: exported(  # type: ignore[misc]
                stub, made.cohort.cohort_id, training_pb2.EXPORT_FORMAT_CSV
            ),
        }

        def happens(look: int, at: int = at, trainee_id: str = gone.trainee_id) -> None:
            if look == at:
                store_of(server).delete_trainee(trainee_id)

        with after_looks_of_reports(happens) as looks:
            try:
                calls[whom]()
                ends["told"] += 1
            except grpc.RpcError as error:
                ends[ended(error).info.reason] += 1
        if len(looks) <= at:  # it had ended before
            break
    assert at >= (2 if whom == "code" else 1)
    assert ends["told"] >= 1
    assert set(ends) <= {"told", "UNKNOWN_TRAINEE"}
    assert ("UNKNOWN_TRAINEE" in ends) == (whom == "code")


Told = Sequence[training_pb2.SittingProgress]


@contextmanager
def watched(stub: Stub, cohort_id: str) -> Iterator[queue.Queue[Told]]:
    """Watch a cohort; what is told comes as it comes."""
    told: queue.Queue[Told] = queue.Queue()
    call = stub.WatchCohort(training_pb2.WatchCohortRequest(cohort_id=cohort_id))

    def listen() -> None:
        with suppress(grpc.RpcError):  # it is cancelled, below
            for one in call:
                told.put(one.progress)

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield told
    finally:
        call.cancel()
        thread.join(10)


def is_silent(told: queue.Queue[Told]) -> bool:
    """Return True if no message comes for as long as ten looks take."""
    time.sleep(0.3)
    return told.empty()


def states(told: Told) -> dict[tuple[str, str], int]:
    return {(one.trainee_id, one.sitting): one.state for one in told}


NOT_STARTED = training_pb2.SESSION_STATE_NOT_STARTED
RUNNING = training_pb2.SESSION_STATE_RUNNING


def test_who_watches_is_told_of_new_trainees_and_never_nothing(server: Running, course: training_pb2.Course) -> None:
    stub = server.training
    made = enrol(stub, course.course_id, 2)
    cohort_id, (first, second) = made.cohort.cohort_id, made.enrolled
    with watched(stub, cohort_id) as told:
        assert states(told.get(timeout=10)) == {
            (one.trainee_id, sitting): NOT_STARTED for one in (first, second) for sitting in SITTINGS
        }
        start(stub, second.code)
        assert states(told.get(timeout=10)) == {(second.trainee_id, "all"): RUNNING}
        stub.DeleteTrainee(training_pb2.DeleteTraineeRequest(trainee_id=second.trainee_id))
        assert is_silent(told)
        (third,) = stub.AddTrainees(training_pb2.AddTraineesRequest(cohort_id=cohort_id, trainees=1)).enrolled
        assert states(told.get(timeout=10)) == {(third.trainee_id, sitting): NOT_STARTED for sitting in SITTINGS}
        start(stub, first.code, "own")
        assert states(told.get(timeout=10)) == {(first.trainee_id, "own"): RUNNING}
        for one in (first, third):
            stub.DeleteTrainee(training_pb2.DeleteTraineeRequest(trainee_id=one.trainee_id))
        assert is_silent(told)
    with watched(stub, cohort_id) as told:
        assert is_silent(told)  # nobody is left
        stub.AddTrainees(training_pb2.AddTraineesRequest(cohort_id=cohort_id, trainees=1))
        assert set(states(told.get(timeout=10)).values()) == {NOT_STARTED}
    assert not stub.GetCohort(training_pb2.GetCohortRequest(cohort_id=cohort_id)).progress[3:]


def test_who_is_new_is_told_once(server: Running, course: training_pb2.Course, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = server.training
    cohort_id = enrol(stub, course.course_id).cohort.cohort_id
    with watched(stub, cohort_id) as told:
        told.get(timeout=10)
        version = TrainingStore.cohort_version
        waits = threading.Event()

        def later(store: TrainingStore, cohort: str) -> int:
            waits.wait(10)
            return version(store, cohort)

        monkeypatch.setattr(TrainingStore, "cohort_version", later)
        (new,) = stub.AddTrainees(training_pb2.AddTraineesRequest(cohort_id=cohort_id, trainees=1)).enrolled
        start(stub, new.code)
        waits.set()
        found: dict[tuple[str, str], int] = {}
        while found.get((new.trainee_id, "all")) != RUNNING:
            now = told.get(timeout=10)
            assert len(states(now)) == len(now)
            found |= states(now)
        states_of = {"all": RUNNING, "own": NOT_STARTED, "hurried": NOT_STARTED}
        assert found == {(new.trainee_id, sitting): state for sitting, state in states_of.items()}


@contextmanager
def slow_searches(clock: Clock, ms: int) -> Iterator[None]:
    """Have each search for an own probe take so long, by the clock of the courses, which stands still meanwhile."""

    def slow(*given: Any) -> Any:
        clock.ahead_ms += ms
        return search_people(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "stopped_ms", time.time_ns() // 1_000_000)
        patch.setattr(own_probe, "search_people", slow)
        yield


def trial_of(server: Running, session_id: str) -> Any:
    (trial,) = store_of(server).session(session_id).trials
    return trial


def test_a_search_takes_no_time_of_the_next_step(server: Running, course: training_pb2.Course, clock: Clock) -> None:
    stub = server.training
    (one,) = enrol(stub, course.course_id).enrolled
    how = Chance(probe=photo(253))
    with slow_searches(clock, 2 * MINUTE_MS):
        session = start(stub, one.code, "own")
        trial = next_trial(stub, session)
        assert trial is not None
        clock.ahead_ms += 1_000
        _, trial = answer(stub, session, trial, how)
        assert trial is not None
        assert trial_of(server, session).shown_ms == clock()
        clock.ahead_ms += 3_000
        answer(stub, session, trial, how)
        sent, noted = trial_of(server, session).locked
        assert (sent.took_ms, noted.took_ms) == (2 * MINUTE_MS + 1_000, 3_000)


def test_a_photo_in_time_counts_if_searched_late(server: Running, course: training_pb2.Course, clock: Clock) -> None:
    stub = server.training
    enrolled = enrol(stub, course.course_id, 2).enrolled
    how = Chance(probe=photo(253))
    with slow_searches(clock, MINUTE_MS):
        session = start(stub, enrolled[0].code, "hurried")
        trial = next_trial(stub, session)
        assert trial is not None
        begun = clock()
        clock.ahead_ms += MINUTE_MS - 1
        _, after = answer(stub, session, trial, how)
        assert after is not None
        (sent,) = trial_of(server, session).locked
        assert sent.at_ms == begun + MINUTE_MS - 1
        assert reason(lambda: answer(stub, session, after, how)) == "BLOCK_EXPIRED"
        late = start(stub, enrolled[1].code, "hurried")
        waits = next_trial(stub, late)
        assert waits is not None
        clock.ahead_ms += MINUTE_MS
        assert reason(lambda: answer(stub, late, waits, how)) == "BLOCK_EXPIRED"
