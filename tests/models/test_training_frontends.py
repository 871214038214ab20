"""A course on a server with front-ends: real processes and models, each call on another connection."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import grpc
import pytest

from fr_api.v1 import training_pb2, training_pb2_grpc
from fr_core.packs.cache import ModelCache, cache_folder
from fr_datasets.links import Link, datasets_folder, write_link
from support.commands import serving
from support.courses import Chance, Stub, answer, enrol, next_trial, start

PLAN = """
format = 1
title = "Faces"
[[sittings]]
name = "all"
[[sittings.blocks]]
id = "pairs"
exercise = "verification"
same = 3
different = 3
feedback = true
[[sittings.blocks]]
id = "lists"
exercise = "candidates"
size = 4
present = 1
absent = 1
"""
CHANNELS = 6


@pytest.fixture
def stubs(tmp_path: Path, pack_cache: ModelCache, testdata: Path) -> Iterator[list[Stub]]:
    """Stubs on several connections, which the kernel deals to the front-ends of one server."""
    home = tmp_path / "home"
    people = tmp_path / "people"
    for folder in sorted((testdata / "london").iterdir())[:40]:
        if folder.is_dir():
            (people / folder.name).mkdir(parents=True)
            for photo in folder.glob("*.jpg"):
                shutil.copy(photo, people / folder.name)
    home.mkdir()
    (home / "models").symlink_to(cache_folder().absolute())
    write_link("people_folder", Link(people), datasets_folder({"FR_HOME": str(home)}))
    options = ("--port", "0", "--data", tmp_path / "data", "--set", "server.frontends=2")
    with serving(tmp_path, *options, environment={"FR_HOME": str(home)}) as server, ExitStack() as stack:
        own = (("grpc.use_local_subchannel_pool", 1),)
        channels = [stack.enter_context(grpc.insecure_channel(server.address, options=own)) for _ in range(CHANNELS)]
        yield [training_pb2_grpc.TrainingServiceStub(channel) for channel in channels]


@pytest.mark.models
def test_each_call_may_come_to_another_process(stubs: list[Stub]) -> None:
    turn = cycle(stubs)
    source = training_pb2.PlanSource(toml=PLAN)
    request = training_pb2.CreateCourseRequest(plan=source, datasets=["people_folder"])
    course = list(next(turn).CreateCourse(request))[-1].course
    made = enrol(next(turn), course.course_id, 2)
    answered = 0
    for number, one in enumerate(made.enrolled):
        session = start(next(turn), one.code)
        assert start(next(turn), one.code) == session
        how = Chance(random.Random(number))
        while (trial := next_trial(next(turn), session)) is not None:
            assert next_trial(next(turn), session) == trial
            step: training_pb2.Trial | None = trial
            while step is not None:
                _, step = answer(next(turn), session, step, how)
                answered += 1
    assert answered == 2 * (6 + 2 * 2)
    for stub in stubs:
        found = stub.GetCohort(training_pb2.GetCohortRequest(cohort_id=made.cohort.cohort_id))
        assert [(one.state, one.answered) for one in found.progress] == [(training_pb2.SESSION_STATE_FINISHED, 8)] * 2
    whom = training_pb2.GetTrainingReportRequest(cohort_id=made.cohort.cohort_id)
    assert b"".join(part.content for part in next(turn).GetTrainingReport(whom)).startswith(b"{")
    next(turn).DeleteCourse(training_pb2.DeleteCourseRequest(course_id=course.course_id))
    for stub in stubs:
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetCourse(training_pb2.GetCourseRequest(course_id=course.course_id))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
