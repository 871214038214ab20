"""Training of both clients: what is asked, how a making ends, and what comes in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest

from fr_api.v1 import training_pb2
from fr_client import AsyncClient, Client
from support.scripted import Kind, asked, both
from support.scripted_training import ScriptedTraining, picture, serving_training, trial

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
    of_training(
        kind,
        target,
        lambda training: training.create_course("taster-90", ["lfw"], learn_from=["c0"], exclude_photos=["ab"]),
    )
    request = service.calls("CreateCourse")[-1]
    assert (request.HasField("seed"), list(request.learn_from), list(request.exclude_photos)) == (False, ["c0"], ["ab"])


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
