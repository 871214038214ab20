"""Making a course that learns from others, by both clients and by `fr train plan`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fr_api.v1 import training_pb2
from fr_client.cli.main import build
from support.scripted import Kind, both
from support.scripted import asked as asked_of
from support.scripted_training import ScriptedTraining, course, serving_training

A, B = "ab" * 32, "0f" * 32


class Learning(ScriptedTraining):
    """Makes a course that tells what it learned."""

    def CreateCourse(self, request: Any, context: Any) -> Iterator[training_pb2.CreateCourseResponse]:  # noqa: N802
        self.requests.append(("CreateCourse", request))
        made = course("c2")
        made.learned_from.extend(request.learn_from)
        made.learned_items, made.quarantined_items = 2 * len(request.learn_from), len(request.learn_from)
        made.excluded_photos = len(request.exclude_photos)
        yield training_pb2.CreateCourseResponse(course=made)


@pytest.fixture
def service() -> Learning:
    return Learning()


@pytest.fixture
def target(service: Learning) -> Iterator[str]:
    with serving_training(service) as where:
        yield where


def fr(target: str, *words: object) -> tuple[int, str, str]:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(build(), ["--server", target, "train", "plan", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.stdout, result.stderr


def asked(service: Learning) -> tuple[list[str], list[str]]:
    request = service.calls("CreateCourse")[-1]
    return list(request.learn_from), list(request.exclude_photos)


@both
def test_courses_to_learn_from_and_photos_to_leave_out_are_sent(kind: Kind, service: Learning, target: str) -> None:
    def make(**more: Any) -> training_pb2.Course:
        made: training_pb2.Course = asked_of(
            kind, target, lambda client: client.training.create_course("taster-90", ["lfw"], **more)
        )
        return made

    made = make(learn_from=["c0", "c1"], exclude_photos=(A, B))
    assert asked(service) == (["c0", "c1"], [A, B])
    assert (made.learned_items, made.quarantined_items, made.excluded_photos) == (4, 2, 2)
    make()
    assert asked(service) == ([], [])


def test_the_command_sends_and_tells_them(service: Learning, target: str, tmp_path: Path) -> None:
    listed = tmp_path / "wrong.txt"
    listed.write_text(f"# label errors\n{A}  a/1.jpg\n\n{B} *b.jpg\n{A}\n", encoding="utf-8")
    made = ("taster-90", "--dataset", "lfw", "--learn-from", "c0", "--learn-from", "c1", "--exclude", listed)
    code, out, _ = fr(target, *made)
    assert code == 0
    assert asked(service) == (["c0", "c1"], [A, B])
    assert "Learned: answers have moved the difficulty of 4 of 40 items; set aside: 2." in " ".join(out.split())
    assert "Photos left out by the list: 2." in out
    assert "Learned from         c0, c1" in out
    found = json.loads(fr(target, *made, "--json")[1])
    assert (found["learned_from"], found["learned_items"], found["excluded_photos"]) == (["c0", "c1"], 4, 2)
    code, out, _ = fr(target, "taster-90", "--dataset", "lfw")
    assert code == 0
    assert asked(service) == ([], [])
    assert "Learned" not in out


@pytest.mark.parametrize("text", ["a/1.jpg\n", f"{A}\n{A.upper()}\n", f"{A[:-1]}\n"])
def test_a_list_that_is_none_is_not_sent(service: Learning, target: str, tmp_path: Path, text: str) -> None:
    listed = tmp_path / "wrong.txt"
    listed.write_text(text, encoding="utf-8")
    code, _, error = fr(target, "taster-90", "--dataset", "lfw", "--exclude", listed)
    assert (code, error.partition(":")[0]) == (1, "INVALID_FIELD")
    assert not service.calls("CreateCourse")


def test_a_list_that_cannot_be_read_is_told(service: Learning, target: str, tmp_path: Path) -> None:
    code, _, error = fr(target, "taster-90", "--dataset", "lfw", "--exclude", tmp_path / "none.txt")
    assert (code, error.partition(":")[0]) == (1, "FILE_UNREADABLE")
    assert not service.calls("CreateCourse")
