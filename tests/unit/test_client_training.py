"""Training of both clients: what is asked, how a making ends, and what comes in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import timedelta
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest

from fr_api.v1 import training_pb2
from fr_client import AsyncClient, Client, FrApiError
from support.scripted import QUICK, Kind, asked, both
from support.scripted_training import LOST, ScriptedTraining, picture, serving_training, trial

Served = tuple[ScriptedTraining, str]


@pytest.fixture
def served() -> Iterator[Served]:
    service = ScriptedTraining([trial("RATE", [picture("x"), picture("y")])])
    with serving_training(service) as target:
        yield service, target


def of_training(kind: Kind, target: str, ask: Callable[[Any], Any], **more: Any) -> Any:
    return asked(kind, target, lambda client: ask(client.training), **more)


@both
def test_a_making_tells_how_far_it_has_come_and_ends_with_its_course(kind: Kind, served: Served) -> None:
    service, target = served
    told: list[tuple[int, int, int]] = []

    def on_progress(now: training_pb2.CourseProgress) -> None:
        told.append((now.stage, now.done, now.total))

    def ask(training: Any) -> Any:
        return training.create_course("taster-90", ["lfw", "slow"], seed=0, on_progress=on_progress)

    # A making may take longer than a call.
    assert of_training(kind, target, ask, timeout_s=0.2).course_id == "c1"
    assert told == [(1, 1, 20), (1, 20, 20), (2, 1, 3), (2, 3, 3), (3, 1, 40), (3, 40, 40)]
    (request,) = service.calls("CreateCourse")
    assert (request.plan.name, list(request.datasets), request.HasField("seed"), request.seed) == (
        "taster-90",
        ["lfw", "slow"],
        True,
        0,
    )
    of_training(kind, target, lambda training: training.create_course("taster-90", ["lfw"]))
    assert not service.calls("CreateCourse")[-1].HasField("seed")


@both
def test_a_making_without_a_course_is_an_error(kind: Kind, served: Served) -> None:
    with pytest.raises(FrApiError, match="ended the making of the course without a course") as caught:
        of_training(kind, served[1], lambda training: training.create_course("taster-90", ["cut"]))
    assert caught.value.reason == "CONNECTION_LOST"


def test_ctrl_c_ends_the_making_on_the_server(served: Served) -> None:
    service, target = served

    def interrupted(now: training_pb2.CourseProgress) -> None:
        raise KeyboardInterrupt

    with Client(target) as client:
        with pytest.raises(KeyboardInterrupt) as caught:
            client.training.create_course("taster-90", ["silent"], on_progress=interrupted)
        assert service.cancelled.wait(5)
        assert caught.tb is not None  # which holds what was open: no collector has ended it


def test_a_task_that_is_cancelled_ends_the_making_on_the_server(served: Served) -> None:
    service, target = served

    async def run() -> None:
        begun = asyncio.Event()
        async with AsyncClient(target) as client:
            making = client.training.create_course("taster-90", ["silent"], on_progress=lambda now: begun.set())
            task = asyncio.create_task(making)
            await begun.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await asyncio.to_thread(service.cancelled.wait, 5)

    asyncio.run(run())


@both
def test_a_plan_is_a_name_or_a_file_or_a_message(kind: Kind, served: Served, tmp_path: Path) -> None:
    service, target = served
    file = tmp_path / "plan.toml"
    file.write_text('title = "Größe"', encoding="utf-8")
    for plan in ("taster-90", file, training_pb2.PlanSource(toml="x = 1")):
        found = of_training(kind, target, methodcaller("check_plan", plan, ["lfw"]))
        assert (found.needs.people, found.missing) == (212, 0)
    sources = [request.plan for request in service.calls("CheckPlan")]
    assert [(one.name, one.toml) for one in sources] == [("taster-90", ""), ("", 'title = "Größe"'), ("", "x = 1")]
    with pytest.raises(FileNotFoundError):
        of_training(kind, target, lambda training: training.check_plan(tmp_path / "none.toml"))


@both
def test_lists_come_page_by_page(kind: Kind, served: Served) -> None:
    service, target = served
    assert [one.course_id for one in of_training(kind, target, lambda training: training.courses())] == [
        "c3",
        "c2",
        "c1",
    ]
    found = of_training(kind, target, lambda training: training.cohorts("c1", page_size=1))
    assert [one.cohort_id for one in found] == ["k2", "k1"]
    assert [(one.course_id, one.page_size, one.page_token) for one in service.calls("ListCohorts")] == [
        ("c1", 1, ""),
        ("c1", 1, "next"),
    ]


@both
def test_courses_and_cohorts_are_asked_for_as_it_is_told(kind: Kind, served: Served) -> None:
    service, target = served
    calls: list[Callable[[Any], Any]] = [
        lambda training: training.set_probe_key("c1", "ab" * 32, "Jane"),
        lambda training: training.set_probe_key("c1", "ab" * 32, None),
        lambda training: training.set_probe_key("c1", "ab" * 32, ""),
        lambda training: training.delete_course("c1"),
        lambda training: training.delete_cohort("k1"),
        lambda training: training.delete_trainee("p1"),
    ]
    for call in calls:
        assert of_training(kind, target, call) is None
    assert service.requests == [
        ("SetProbeKey", training_pb2.SetProbeKeyRequest(course_id="c1", image_sha256="ab" * 32, identity="Jane")),
        ("SetProbeKey", training_pb2.SetProbeKeyRequest(course_id="c1", image_sha256="ab" * 32, absent=True)),
        ("SetProbeKey", training_pb2.SetProbeKeyRequest(course_id="c1", image_sha256="ab" * 32, identity="")),
        ("DeleteCourse", training_pb2.DeleteCourseRequest(course_id="c1")),
        ("DeleteCohort", training_pb2.DeleteCohortRequest(cohort_id="k1")),
        ("DeleteTrainee", training_pb2.DeleteTraineeRequest(trainee_id="p1")),
    ]

    def new(training: Any) -> Any:
        return training.create_cohort("c1", 3, display_name="Autumn", retention=timedelta(days=2))

    assert [one.code for one in of_training(kind, target, new).enrolled] == ["code-1", "code-2", "code-3"]
    (request,) = service.calls("CreateCohort")
    assert (request.display_name, request.retention.seconds) == ("Autumn", 172_800)
    of_training(kind, target, lambda training: training.create_cohort("c1", 1))
    assert not service.calls("CreateCohort")[-1].HasField("retention")
    assert len(of_training(kind, target, lambda training: training.add_trainees("k1", 2))) == 2
    assert of_training(kind, target, lambda training: training.cohort("k1")).cohort.display_name == "Autumn"
    assert of_training(kind, target, lambda training: training.course("c1")).title == "A course"
    assert [one.name for one in of_training(kind, target, lambda training: training.plans())] == ["taster-90"]


@both
def test_a_cohort_is_watched_until_nobody_asks_any_more(kind: Kind, served: Served) -> None:
    service, target = served
    changes = of_training(kind, target, lambda training: training.watch_cohort("k1"))
    assert [[(one.trainee_id, one.answered) for one in change] for change in changes] == [
        [("p1", 3), ("p2", 0)],
        [("p1", 4)],
    ]
    service.cancelled.clear()

    async def first() -> None:
        async with AsyncClient(target, timeout_s=0.2) as client:
            async with aclosing(client.training.watch_cohort("live")) as watched:
                assert len(await anext(watched)) == 2
            assert await asyncio.to_thread(service.cancelled.wait, 5)

    if kind == "async":
        asyncio.run(first())
    else:
        with Client(target, timeout_s=0.2) as client:
            watched = client.training.watch_cohort("live")
            assert len(next(watched)) == 2
            watched.close()
            assert service.cancelled.wait(5)


@both
def test_a_sitting_is_taken(kind: Kind, served: Served) -> None:
    service, target = served
    assert of_training(kind, target, lambda training: training.join("code")).notice == "Your answers are kept."
    session = of_training(kind, target, lambda training: training.start_session("code", "day-1", consent=True))
    assert session.session_id == "secret-session"
    assert service.calls("StartSession")[-1].consent
    block = of_training(kind, target, lambda training: training.next_trial("s"))
    assert block.block.block.block_id == "b1"
    shown = of_training(kind, target, lambda training: training.next_trial("s", "b1")).trial
    rating = training_pb2.PairRating(rating=-2, p_same=0.25)

    def decide(training: Any) -> Any:
        return training.submit_decision("s", shown, rating, difficulty=4, known_to_me=True)

    assert not of_training(kind, target, decide).HasField("trial")
    assert service.calls("SubmitDecision") == [
        training_pb2.SubmitDecisionRequest(
            session_id="s",
            trial_id="t1",
            step=training_pb2.TRIAL_STEP_RATE,
            rating=rating,
            difficulty=4,
            known_to_me=True,
        )
    ]
    assert of_training(kind, target, lambda training: training.next_trial("s")).over.answered == 1
    for name in ("pause_session", "resume_session", "finish_session"):
        assert of_training(kind, target, methodcaller(name, "s")).trials == 1


@both
def test_every_kind_of_answer_goes_where_it_belongs(kind: Kind) -> None:
    steps = [trial(step) for step in ("SEND_PROBE", "NOTE", "OBSERVE", "CHOOSE", "DECIDE", "TRIAGE", "RATE")]
    service = ScriptedTraining(steps)
    observed = training_pb2.Observation(component_id="nose", comparison=training_pb2.COMPARISON_NOT_VISIBLE)
    listed = training_pb2.CandidateDecision(none=True, ratings={"x": -3})
    quality = training_pb2.QualityDecision(usability=training_pb2.USABILITY_USABLE)
    with serving_training(service) as target:
        sent = of_training(kind, target, lambda training: training.submit_probe("s", "t1", b"photo"))
        assert sent.step == training_pb2.TRIAL_STEP_NOTE
        of_training(kind, target, lambda training: training.lock_notes("s", "t1", "a scar"))
        following = of_training(kind, target, lambda training: training.lock_notes("s", "t1", [observed]))
        assert following.step == training_pb2.TRIAL_STEP_CHOOSE
        for answer in ("picture-2", listed, quality):
            of_training(kind, target, methodcaller("submit_decision", "s", steps[3], answer))
        with pytest.raises(TypeError, match="A decision is a PairRating"):
            of_training(kind, target, lambda training: training.submit_decision("s", steps[3], 3))
    assert service.calls("SubmitProbe")[0].image.data == b"photo"
    assert [one.notes for one in service.calls("LockNotes")] == ["a scar", ""]
    assert list(service.calls("LockNotes")[1].observations) == [observed]
    decisions = service.calls("SubmitDecision")
    assert [one.WhichOneof("answer") for one in decisions] == ["odd_picture_id", "candidates", "quality"]
    assert not any(one.HasField("difficulty") or one.known_to_me for one in decisions)


@both
def test_reports_and_exports_come_in_pieces(kind: Kind, served: Served) -> None:
    service, target = served
    assert of_training(kind, target, lambda training: training.report(cohort_id="k1")) == b"{}"
    assert of_training(kind, target, lambda training: training.report_parts(code="c", file="html")) == [
        b"<",
        b"p",
        b">",
    ]
    assert of_training(kind, target, lambda training: training.export("k1", "xapi")) == b"a,b\n"
    first, second = service.calls("GetTrainingReport")
    assert (first.WhichOneof("whom"), first.file) == ("cohort_id", training_pb2.TRAINING_REPORT_FILE_JSON)
    assert (second.code, second.file) == ("c", training_pb2.TRAINING_REPORT_FILE_HTML)
    assert service.calls("ExportResults")[0].format == training_pb2.EXPORT_FORMAT_XAPI


@both
def test_what_cannot_be_asked_for_is_not_sent(kind: Kind, served: Served) -> None:
    service, target = served
    with pytest.raises(ValueError, match="give one of them"):
        of_training(kind, target, lambda training: training.report_parts(code="c", cohort_id="k1"))
    with pytest.raises(ValueError, match="give one of them"):
        of_training(kind, target, lambda training: training.report_parts())
    with pytest.raises(ValueError, match="it can be 'json', 'html'"):
        of_training(kind, target, lambda training: training.report_parts(code="c", file="pdf"))
    with pytest.raises(ValueError, match="it can be 'csv', 'xapi', 'ags', 'open-badges'"):
        of_training(kind, target, lambda training: training.export_parts("k1", "badges"))
    assert service.requests == []


@both
def test_a_server_that_has_no_room_is_called_again_and_a_broken_connection_is_not(kind: Kind, served: Served) -> None:
    service, target = served
    service.refusals["GetCourse"] = ["OVERLOADED", "OVERLOADED"]
    assert of_training(kind, target, lambda training: training.course("c1"), retry=QUICK).course_id == "c1"
    assert len(service.calls("GetCourse")) == 3
    service.refusals["SubmitDecision"] = [LOST]
    with pytest.raises(FrApiError) as caught:
        of_training(kind, target, lambda training: training.submit_decision("s", service.steps[0], "x"), retry=QUICK)
    assert caught.value.reason == "CONNECTION_LOST"
    assert len(service.calls("SubmitDecision")) == 1
