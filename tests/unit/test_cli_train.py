"""`fr train` for trainers: plans, courses, cohorts and reports; `run` in a process that is ended; and `simulate`."""

import hashlib
import io
import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from queue import Queue
from subprocess import PIPE, STDOUT
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from fr_api.v1 import training_pb2
from fr_client.cli.train.cohorts import Board, show_changes
from fr_training.simulation import report
from fr_training.simulation import study as study_room
from fr_training.simulation.claims import Claim
from fr_training.simulation.cli import simulate
from fr_training.simulation.study import Sizes, Study, run_study
from support.cli import fr_at, reason_of
from support.scripted_training import ScriptedTraining, picture, serving_training, trial


@pytest.fixture
def service() -> ScriptedTraining:
    return ScriptedTraining()


@pytest.fixture
def target(service: ScriptedTraining) -> Iterator[str]:
    with serving_training(service) as where:
        yield where


def fr(target: str, *words: object, typed: str = "") -> tuple[int, str, str]:
    return fr_at(target, "train", *words, typed=typed, columns="200")


def test_the_manual_becomes_a_file(target: str, tmp_path: Path) -> None:
    out = tmp_path / "manual.html"
    code, told, _ = fr(target, "manual", "--language", "fr", "--out", out, "--json")
    assert (code, json.loads(told)["title"], out.read_text("utf-8")) == (0, "The manual", "<p>fr</p>")
    code, _, told = fr(target, "manual", "--out", out)
    assert (code != 0, str(out) in told) == (True, True)


def test_a_package_goes_into_a_folder_under_its_name(target: str, service: ScriptedTraining, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    words = ("package", "bias", "law", "--format", "cmi5", "--language", "fr", "--mastery", 0.8, "--out", folder)
    code, told, _ = fr(target, *words, "--json")
    assert (code, json.loads(told)["language"], (folder / "one.zip").read_bytes()) == (0, "fr", b"PK")
    (asked,) = service.calls("GetLessonPackage")
    cmi5 = training_pb2.LESSON_PACKAGE_FORMAT_CMI5
    found = (list(asked.lessons), asked.format, asked.language, asked.mastery_score)
    assert found == (["bias", "law"], cmi5, "fr", 0.8)
    code, _, told = fr(target, *words)
    assert (code != 0, "is there already" in told) == (True, True)
    code, _, told = fr(target, "package", "bias", "--format", "scorm-2004", "--mastery", "2", "--out", tmp_path)
    assert (code, len(service.calls("GetLessonPackage"))) == (2, 2)


def test_a_check_says_what_a_plan_needs_and_whether_it_is_there(target: str, service: ScriptedTraining) -> None:
    for options, status, said, enough in (
        ((), 0, "212 people, 80 of them with two photos", False),
        (("--dataset", "lfw"), 0, "5,749 people, 1,680 of them with two photos", True),
        (("--dataset", "mine", "--dataset", "other"), 1, "no: 110 people are missing", True),
    ):
        code, out, _ = fr(target, "plan", "check", "taster-90", *options)
        assert (code, said in out, "Enough" in out) == (status, True, enough)
    code, out, _ = fr(target, "plan", "check", "taster-90", "--dataset", "mine", "--json")
    assert (code, json.loads(out)["missing"]) == (1, 110)
    assert [list(one.datasets) for one in service.calls("CheckPlan")] == [[], ["lfw"], ["mine", "other"], ["mine"]]
    code, out, _ = fr(target, "plan", "check", "taster-90", "--timetable")
    table = [" ".join(line.split()) for line in out.splitlines()]
    assert {"Day [1]", "9:10 10 Pairs", "9:30 10 Talk: What was hard", "No timetable, as a block has no limit."} < {
        *table
    }


def test_a_check_forecasts_and_warns_and_makes_nothing(target: str, service: ScriptedTraining) -> None:
    words = ("plan", "check", "taster-90", "--difficulty")
    assert fr(target, *words)[0] == 2  # of which photos?
    code, out, _ = fr(target, *words, "--dataset", "lfw", "--seed", "7")
    told = " ".join(out.split())
    assert code == 0
    assert "81% (70% to 90%)" in told
    assert "test-a: Too easy." in told
    assert "Enough" in told
    (sent,) = service.calls("CreateCourse")
    assert (sent.only_forecast, sent.seed, list(sent.datasets)) == (True, 7, ["lfw"])
    assert fr(target, *words, "--dataset", "mine")[0] == 1  # people are missing: nothing is analysed
    assert len(service.calls("CreateCourse")) == 1
    assert json.loads(fr(target, *words, "--dataset", "lfw", "--json")[1])["forecasts"][0]["pixels_auc"] == 0.985


def test_a_contact_sheet_is_a_page_for_each_form(target: str, service: ScriptedTraining, tmp_path: Path) -> None:
    out = tmp_path / "sheets"
    code, printed, _ = fr(target, "course", "sheet", "c1", "--out", out)
    assert (code, "test-a.html (1 item), lists.html (1 item)" in printed) == (0, True)
    assert sorted(path.name for path in out.iterdir()) == ["lists.html", "test-a.html"]
    assert out.stat().st_mode & 0o077 == 0
    page = (out / "test-a.html").read_text("utf-8")
    told = ("ab" * 8, "&lt;same&gt;", "difficulty -0.50", "1 (similarity 0.25)", "data:image/jpeg;base64,YSBqcGVn")
    for words in told:
        assert words in page
    assert "<same>" not in page
    assert reason_of(fr(target, "course", "sheet", "c1", "--out", out)) == "FILE_EXISTS"
    # A server chooses no file of this machine.
    for form in ("../x", str(tmp_path / "x"), "a/b", "a\0", "X" * 300):
        assert (
            reason_of(fr(target, "course", "sheet", "c1", "--out", tmp_path / "other", "--form", form)) == "FORM_NAME"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["sheets"]


def test_only_the_hash_of_a_probe_is_sent(target: str, service: ScriptedTraining, tmp_path: Path) -> None:
    photo = tmp_path / "probe.jpg"
    photo.write_bytes(b"a photo" * 100_000)
    digest = hashlib.sha256(photo.read_bytes()).hexdigest()
    code, out, error = fr(target, "probe", "set", "c1", photo, "--identity", "Jane Doe")
    assert (code, digest in out, "Jane" in out + error) == (0, True, False)
    assert fr(target, "probe", "set", "c1", photo, "--absent", "--json")[0] == 0
    assert [request for _, request in service.requests] == [
        training_pb2.SetProbeKeyRequest(course_id="c1", image_sha256=digest, identity="Jane Doe"),
        training_pb2.SetProbeKeyRequest(course_id="c1", image_sha256=digest, absent=True),
    ]
    assert fr(target, "probe", "set", "c1", tmp_path / "none.jpg", "--absent")[2].startswith("FILE_UNREADABLE")


def test_a_sitting_is_closed_and_opened_and_time_is_added(target: str, service: ScriptedTraining) -> None:
    assert fr(target, "cohort", "close", "k1", "day-1")[0] == 0
    assert fr(target, "cohort", "open", "k1", "day-1")[:2] == (0, "Opened day-1.\n")
    assert fr(target, "cohort", "extend", "k1", "--minutes", "5")[:2] == (0, "2 trainees got 5 more minutes.\n")
    assert fr(target, "cohort", "extend", "k1", "--minutes", "1", "--trainee", "p1", "--json")[0] == 0
    assert fr(target, "cohort", "extend", "k1", "--minutes", "0")[0] == 2
    assert [(one.sitting, one.closed) for one in service.calls("SetSittingClosed")] == [
        ("day-1", True),
        ("day-1", False),
    ]
    assert [(one.trainee_id, one.more.seconds) for one in service.calls("ExtendTime")] == [("", 300), ("p1", 60)]


def test_codes_go_to_a_private_file_and_are_not_printed(target: str, service: ScriptedTraining, tmp_path: Path) -> None:
    file = tmp_path / "codes.csv"
    more = ("--name", "Autumn", "--retention-days", "2", "--codes", file)
    code, out, error = fr(target, "cohort", "create", "c1", "--trainees", "2", *more)
    assert (code, "code-1" in out + error) == (0, False)
    (asked,) = service.calls("CreateCohort")
    assert (asked.trainees, asked.display_name, asked.retention.seconds) == (2, "Autumn", 172_800)
    assert file.read_text().splitlines() == ["trainee_id,code", "p1,code-1", "p2,code-2"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    added = tmp_path / "more.csv"
    code, out, _ = fr(target, "cohort", "add", "k1", "--trainees", "1", "--codes", added, "--json")
    assert (code, json.loads(out)["enrolled"]) == (0, [{"trainee_id": "p1"}])
    assert "code-1" in added.read_text()
    code, out, _ = fr(target, "cohort", "add", "k1", "--trainees", "1", "--codes", "-")
    assert (code, "code-1" in out) == (0, True)


def test_no_cohort_is_left_whose_codes_cannot_be_written(
    target: str, service: ScriptedTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, new = tmp_path / "codes.csv", ("cohort", "create", "c1", "--trainees", "2", "--codes")
    file.write_text("mine")
    assert reason_of(fr(target, *new, file)) == "FILE_EXISTS"
    assert reason_of(fr(target, *new, tmp_path / "none" / "codes.csv")) == "FILE_UNWRITABLE"
    assert (service.requests, file.read_text()) == ([], "mine")
    file.unlink()

    def no_links(source: object, link: object) -> None:  # as of file systems without them
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert reason_of(fr(target, *new, file)) == "FILE_UNWRITABLE"
    assert [request.cohort_id for request in service.calls("DeleteCohort")] == ["k1"]
    fr(target, "cohort", "add", "k1", "--trainees", "2", "--codes", file)
    assert [request.trainee_id for request in service.calls("DeleteTrainee")] == ["p1", "p2"]
    assert list(tmp_path.iterdir()) == []


NOW = datetime(2026, 11, 26, 14, 30, tzinfo=timezone(timedelta(hours=2)))


def test_a_line_that_says_nothing_new_is_not_printed_again(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = (training_pb2.SittingProgress(trainee_id=name, sitting="day", trials=4) for name in ("T-1", "T-2"))
    drafted = training_pb2.SittingProgress(trainee_id="T-1", sitting="day", trials=4)
    drafted.last_time.FromSeconds(5)
    further = training_pb2.SittingProgress(trainee_id="T-1", sitting="day", trials=4, answered=1)
    show_changes([[one, other], [drafted], [further], [further, one]])
    said = [(line[:3], line[line.index("of") - 2]) for line in capsys.readouterr().out.splitlines()]
    assert said == [("T-1", "0"), ("T-2", "0"), ("T-1", "1"), ("T-1", "0")]


def answered(trainee_id: str, sitting: str, state: str, at: datetime | None) -> training_pb2.SittingProgress:
    found = training_pb2.SittingProgress(trainee_id=trainee_id, sitting=sitting, answered=100, trials=383)
    found.state = training_pb2.SessionState.Value(f"SESSION_STATE_{state}")
    found.block_id, found.scored, found.right = "a-block-with-a-long-name-before-the-training", 99, 88
    if at is not None:
        found.last_time.FromDatetime(at)
    return found


def drawn(board: Board, columns: int = 80, lines: int = 24) -> list[str]:
    out = Console(width=columns, height=lines, file=io.StringIO(), force_terminal=True, color_system=None)
    with out.capture() as caught:
        out.print(board.picture(lines, NOW))
    return [line.strip() for line in caught.get().splitlines()]


def test_a_trainee_is_shown_in_the_sitting_under_way_else_in_the_last() -> None:
    def shown(*sittings: tuple[str, str, datetime | None]) -> str:
        board = Board()
        board.note([answered("p1", *one) for one in sittings])
        (found,) = board.trainees()
        return found.sitting

    early, late = NOW - timedelta(days=1), NOW
    assert shown(("a", "FINISHED", early), ("b", "RUNNING", early), ("c", "NOT_STARTED", None)) == "b"
    assert shown(("a", "PAUSED", late), ("b", "RUNNING", early)) == "b"
    assert shown(("a", "FINISHED", early), ("b", "PAUSED", None)) == "b"
    assert shown(("a", "FINISHED", late), ("b", "FINISHED", early), ("c", "NOT_STARTED", None)) == "a"
    assert shown(("a", "NOT_STARTED", None), ("b", "NOT_STARTED", None)) == "a"


def test_a_class_fits_a_terminal_of_80_by_24() -> None:
    board = Board()
    ids = [f"T-7KQ2M9X{number:X}" for number in range(12)]
    for number, one in enumerate(ids):
        first = answered(one, "first-day-of-the-course", "RUNNING", NOW - timedelta(minutes=number))
        board.note([first, answered(one, "second-day", "NOT_STARTED", None)])
    lines = drawn(board)
    assert lines[0] == "12 trainees: 0 not begun, 12 running, 0 paused, 0 finished. Answers: 1,200."
    assert [line.split()[0] for line in lines if line.startswith("T-")] == ids
    assert next(line for line in lines if line.startswith(ids[3])).split()[-3:] == ["100/383", "88/99", "14:27"]
    assert len(lines) < 24
    lines = drawn(board, lines=12)
    assert lines[-1] == "7 more trainees, who answered earlier: `fr train cohort show`."
    assert len(lines) < 12


A, B, ITEM = "ab" * 32, "0f" * 32, "12" * 8


def test_a_course_learns_from_others_and_tells_what(target: str, service: ScriptedTraining, tmp_path: Path) -> None:
    listed = tmp_path / "wrong.txt"
    listed.write_text(f"# label errors\n{A}  a/1.jpg\n\n{B} *b.jpg\n{A}\n{ITEM} a pair\n", encoding="utf-8")
    made = (
        "course",
        "create",
        "taster-90",
        "--dataset",
        "lfw",
        "--learn-from",
        "c0",
        "--learn-from",
        "c1",
        "--exclude",
        listed,
    )
    code, out, _ = fr(target, *made)
    assert code == 0
    assert "Learned: answers have moved the difficulty of 4 of 40 items; set aside: 2." in " ".join(out.split())
    found = json.loads(fr(target, *made, "--json")[1])
    assert (found["learned_from"], found["learned_items"], found["excluded_photos"]) == (["c0", "c1"], 4, 2)
    code, out, _ = fr(target, *made[:5])
    assert (code, "Learned" in out) == (0, False)
    first, _, last = service.calls("CreateCourse")
    assert (list(first.learn_from), list(first.exclude_photos)) == (["c0", "c1"], [A, B])
    assert list(first.exclude_items) == [ITEM]
    assert (list(last.learn_from), list(last.exclude_photos), list(last.exclude_items)) == ([], [], [])


def test_a_list_that_is_none_is_not_sent(target: str, service: ScriptedTraining, tmp_path: Path) -> None:
    listed = tmp_path / "wrong.txt"
    made = ("course", "create", "taster-90", "--dataset", "lfw", "--exclude", listed)
    assert reason_of(fr(target, *made)) == "FILE_UNREADABLE"
    for text in ("a/1.jpg\n", f"{A}\n{A.upper()}\n", f"{A[:-1]}\n"):
        listed.write_text(text, encoding="utf-8")
        assert reason_of(fr(target, *made)) == "INVALID_FIELD"
    assert not service.calls("CreateCourse")


def test_nothing_is_deleted_without_a_yes(target: str, service: ScriptedTraining) -> None:
    for words in (("course", "delete", "c1"), ("cohort", "delete", "k1"), ("trainee", "delete", "p1")):
        assert fr(target, *words)[0] == 1
        assert fr(target, *words, typed="n\n")[0] == 1
    assert not [name for name, _ in service.requests if name.startswith("Delete")]
    assert fr(target, "course", "delete", "c1", typed="y\n")[:2] == (0, "Deleted course c1 with 2 cohorts.\n")
    assert fr(target, "cohort", "delete", "k1", "--yes")[1] == "Deleted cohort k1 with 2 trainees.\n"
    assert fr(target, "trainee", "delete", "p1", "--yes", "--json")[1] == "{}\n"
    deleted = [name for name, _ in service.requests if name.startswith("Delete")]
    assert deleted == ["DeleteCourse", "DeleteCohort", "DeleteTrainee"]


def test_a_report_is_written_for_its_owner_alone(target: str, service: ScriptedTraining, tmp_path: Path) -> None:
    out = tmp_path / "report"
    code, printed, error = fr(target, "report", "get", "k1", "--out", out, "--json")
    assert (code, json.loads(printed)["files"]) == (0, ["report.json", "report.html"]), error
    assert {file.name: file.read_bytes() for file in out.iterdir()} == {"report.json": b"{}", "report.html": b"<p>"}
    assert [stat.S_IMODE(path.stat().st_mode) for path in (out, out / "report.html")] == [0o700, 0o600]
    assert fr(target, "report", "get", "k1", "--out", out)[2].startswith("FILE_EXISTS")
    assert fr(target, "report", "get", "--trainee", "p1", "--out", tmp_path / "one", "--file", "html")[0] == 0
    assert [file.name for file in (tmp_path / "one").iterdir()] == ["report.html"]
    assert service.calls("GetTrainingReport")[-1].trainee_id == "p1"


def test_ones_own_code_is_asked_for_and_never_shown(target: str, service: ScriptedTraining, tmp_path: Path) -> None:
    code, out, error = fr(target, "report", "get", "--code", "-", "--out", tmp_path / "mine", typed="s3cret\n")
    assert (code, "s3cret" in out + error) == (0, False)
    assert service.calls("GetTrainingReport")[0].code == "s3cret"
    assert (
        reason_of(fr(target, "report", "get", "--code", "-", "--out", tmp_path / "none", typed="")) == "MISSING_FIELD"
    )
    service.refusals["GetTrainingReport"] = ["SESSION_UNFINISHED"] * 2
    too_soon = fr(target, "report", "get", "--code", "s3cret", "--out", "x")[2]
    assert "`fr train run --code -` continues it." in too_soon
    assert "Not now." in fr(target, "report", "get", "--trainee", "p1", "--out", "x")[2]


def test_a_server_without_pages_gives_the_figures(target: str, service: ScriptedTraining, tmp_path: Path) -> None:
    del service.files[training_pb2.TRAINING_REPORT_FILE_HTML]
    code, out, error = fr(target, "report", "get", "k1", "--out", tmp_path / "report")
    assert (code, "report.json" in out, error.startswith("No report.html")) == (0, True, True)
    assert [file.name for file in (tmp_path / "report").iterdir()] == ["report.json"]
    assert (
        reason_of(fr(target, "report", "get", "k1", "--out", tmp_path / "page", "--file", "html"))
        == "NOTHING_TO_REPORT"
    )
    service.files.clear()
    assert fr(target, "report", "get", "k1", "--out", tmp_path / "page")[0] == 1
    assert not (tmp_path / "page").exists()


def test_an_export_is_written_whole_or_not_at_all(target: str, service: ScriptedTraining, tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    assert fr(target, "export", "k1", "--format", "csv", "--out", file)[0] == 0
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"a,b\n", 0o600)
    assert fr(target, "export", "k1", "--format", "open-badges", "--out", file)[2].startswith("FILE_EXISTS")
    service.refusals["ExportResults"] = ["NOTHING_TO_REPORT"]
    scores = fr(target, "export", "k1", "--format", "ags", "--out", tmp_path / "scores.json")
    assert reason_of(scores) == "NOTHING_TO_REPORT"
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


PAIR = [picture("x"), picture("y")]
# Of a shell: takes the terminal that is its standard input, so that it is told when that is closed.
ON_TERMINAL = "import os; os.login_tty(0); "


def names(service: ScriptedTraining) -> list[str]:
    return [name for name, _ in service.requests]


def test_a_server_that_comes_back_is_found_by_a_new_connection(tmp_path: Path) -> None:
    first, second = ScriptedTraining([trial("RATE", PAIR)]), ScriptedTraining([trial("RATE", PAIR)])
    second.begun = True
    with serving_training(first) as target:
        running = started(target, tmp_path)
        told = told_until(running, "One person or two?")
    assert running.stdin is not None
    running.stdin.write("2\n")
    running.stdin.flush()
    told += told_until(running, "Ctrl-C leaves; unsent questions")
    with serving_training(second, int(target.rpartition(":")[2])):
        told += running.communicate(timeout=20)[0]
    assert running.returncode == 0, told
    assert "The server answers again." in told
    assert names(second)[:2] == ["StartSession", "SubmitDecision"]
    assert second.calls("SubmitDecision")[0].rating.rating == 2


def started(
    target: str, temporary: Path, first: str = "", ends: tuple[int, int, int] = (PIPE, PIPE, STDOUT)
) -> subprocess.Popen[str]:
    """The command in a process of its own, in its first trial."""
    words = ["--server", target, "train", "run", "--code", "s3cret", "--short", "--no-viewer"]
    running = subprocess.Popen(
        [sys.executable, "-c", f"{first}from fr_client.cli.main import main; main()", *words],
        stdin=ends[0],
        stdout=ends[1],
        stderr=ends[2],
        text=True,
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
    )
    if running.stdin is not None:
        running.stdin.write("y\n\n")
        running.stdin.flush()
    return running


def told_until(running: subprocess.Popen[str], words: str) -> str:
    told = ""
    assert running.stdout is not None
    while words not in told:
        line = running.stdout.readline()
        assert line, told
        told += line
    return told


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_closed_terminal_pauses_the_session_and_leaves_no_picture(tmp_path: Path, number: signal.Signals) -> None:
    service = ScriptedTraining([trial("RATE", PAIR)])
    with serving_training(service) as target:
        running = started(target, tmp_path)
        told = told_until(running, "One person or two?")
        (folder,) = tmp_path.glob("fr-train-*")
        assert (folder / "trial.png").exists()
        running.send_signal(number)
        if number == signal.SIGHUP:
            running.send_signal(number)  # terminals send several
        told += running.communicate(timeout=20)[0]
    assert running.returncode == 128 + number, told
    assert "the same command continues" in told
    assert list(tmp_path.iterdir()) == []
    assert names(service)[-1] == "PauseSession"


def test_a_closed_pipe_pauses_the_session_and_leaves_no_picture(tmp_path: Path) -> None:
    service = ScriptedTraining([trial("RATE", PAIR)])
    with serving_training(service) as target:
        running = started(target, tmp_path)
        told_until(running, "One person or two?")
        assert len(list(tmp_path.glob("fr-train-*/trial.png"))) == 1
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdout.close()
        running.stdin.write("2\n")
        running.stdin.close()
        assert running.wait(20) == 1
    assert list(tmp_path.iterdir()) == []
    assert names(service)[-1] == "PauseSession"


def test_what_a_killed_command_left_is_gone_when_the_next_begins(tmp_path: Path) -> None:
    service = ScriptedTraining([trial("RATE", PAIR)])
    with serving_training(service) as target:
        killed, living = started(target, tmp_path), started(target, tmp_path)
        for one in (killed, living):
            told_until(one, "One person or two?")
        killed.kill()
        killed.communicate(timeout=20)
        assert len(list(tmp_path.glob("fr-train-*/trial.png"))) == 2
        third = started(target, tmp_path)
        told_until(third, "One person or two?")
        assert len(list(tmp_path.glob("fr-train-*/trial.png"))) == 2  # of the two that live
        for one in (living, third):
            one.communicate("q\n", timeout=20)
            assert one.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_the_wait_is_told_in_one_line(tmp_path: Path) -> None:
    service = ScriptedTraining([trial("RATE", PAIR)])
    ours, theirs = pty.openpty()
    with serving_training(service) as target:
        running = started(target, tmp_path, ON_TERMINAL, (theirs, theirs, theirs))
        os.close(theirs)
        for question, keys in ((b"Do you agree? [y/N]:", b"y\n"), (b"Enter begins:", b"\n")):
            shown_until(ours, question)
            os.write(ours, keys)
        shown_until(ours, b"One person or two?")
    os.write(ours, b"2\n")
    told = shown_until(ours, b"\rWaiting for the server, 0:0")
    told += shown_until(ours, b"\rWaiting for the server, 0:0")  # again, in the same line
    assert told.count(b"The server does not answer. Your answer is kept here, and is sent when") == 1
    os.write(ours, b"\x03")
    shown_until(ours, b"the same command continues")
    assert running.wait(20) == 130
    os.close(ours)
    assert list(tmp_path.iterdir()) == []


class Slow(ScriptedTraining):
    """Holds calls of some names, until it is told to go on."""

    def __init__(self, steps: Sequence[training_pb2.Trial], reveal: training_pb2.Reveal) -> None:
        super().__init__(steps, reveal)
        self.held: set[str] = set()
        self.reached: Queue[str] = Queue()
        self.go_on: Queue[None] = Queue()

    def _called(self, name: str, request: Any, context: Any) -> None:
        super()._called(name, request, context)
        if name in self.held:
            self.reached.put(name)
            self.go_on.get(timeout=20)


def test_what_was_typed_before_a_question_was_shown_does_not_answer_it(tmp_path: Path) -> None:
    trials = [trial("RATE", PAIR), trial("RATE", PAIR, trial_id="t2")]
    service = Slow(trials, training_pb2.Reveal(correct=True, text="Right."))
    ours, theirs = pty.openpty()

    def typed_ahead(call: str, keys: bytes, question: bytes) -> None:
        assert service.reached.get(timeout=20) == call
        os.write(ours, keys)
        shown_until(ours, keys.replace(b"\n", b"\r\n"))  # the terminal has taken it
        service.go_on.put(None)
        shown_until(ours, question)
        time.sleep(0.3)
        assert names(service)[-1] == call

    with serving_training(service) as target:
        service.held = {"JoinCourse", "SubmitDecision"}
        running = started(target, tmp_path, ON_TERMINAL, (theirs, theirs, theirs))
        os.close(theirs)
        typed_ahead("JoinCourse", b"y\n", b"Do you agree? [y/N]:")
        os.write(ours, b"y\n")
        shown_until(ours, b"Enter begins:")
        os.write(ours, b"\n")
        shown_until(ours, b"One person or two?")
        os.write(ours, b"2\n")
        typed_ahead("SubmitDecision", b"\n3\n", b"Enter continues:")
        service.held = {"NextTrial"}
        os.write(ours, b"\n")
        typed_ahead("NextTrial", b"-3\n", b"One person or two?")
        service.held = set()
        os.write(ours, b"1\n")
        shown_until(ours, b"Enter continues:")
        os.write(ours, b"\n")
        shown_until(ours, b"The sitting is over")
        assert running.wait(20) == 0
    os.close(ours)
    assert [one.rating.rating for one in service.calls("SubmitDecision")] == [2, 1]


def shown_until(ours: int, words: bytes) -> bytes:
    told = b""
    while words not in told:
        assert select.select([ours], [], [], 20)[0], told
        told += os.read(ours, 1)
    return told


def test_a_second_signal_does_not_cut_the_tidying_short_and_nohup_is_respected() -> None:
    """In a process of its own: pytest has handlers of signals too."""
    script = """
import signal

import typer

from fr_client.cli.train.run import Stopped, stopped_by_signals

before = signal.getsignal(signal.SIGTERM)
with stopped_by_signals():
    try:
        signal.raise_signal(signal.SIGTERM)
    except Stopped as stopped:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        print("tidied", stopped.status)
assert signal.getsignal(signal.SIGTERM) == before
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with stopped_by_signals():
    signal.raise_signal(signal.SIGHUP)
print("unmoved")
try:
    with stopped_by_signals():
        signal.raise_signal(signal.SIGTERM)
except typer.Exit as ended:
    print("ended", ended.exit_code)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["tidied 143", "unmoved", "ended 143"]


SMALL = Sizes(pairs=10, aided=4, form=3, pool=6, adaptive=12, triads=2)


@cache
def study(trainees: int, seed: int) -> Study:
    return run_study(trainees, seed, sizes=SMALL, replicates=2, worlds=(), cohorts=10)


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(simulate)
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same study of fewer trials, each made once; everything else is as it is."""

    def smaller(trainees: int, seed: int, *, on_progress: Callable[[int, int], None]) -> Study:
        on_progress(0, 1)
        return study(trainees, seed)

    monkeypatch.setattr(study_room, "run_study", smaller)
    monkeypatch.setenv("COLUMNS", "250")


def test_it_tells_every_claim_with_its_bar_and_writes_a_page_and_all_numbers(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    found = run("--trainees", "10", "--seed", "4", "--out", str(out))
    assert found.exit_code == 0
    told = (
        "10 simulated trainees, seed 4",
        "Bias of d'",
        "93% to 97%",
        "at most 60%",
        "Simulated trainees, and no person",
    )
    assert all(text in found.stdout for text in told)
    assert "Wrote simulation.json, simulation.html" in found.stderr
    assert sorted(one.name for one in out.iterdir()) == ["simulation.html", "simulation.json"]
    keys = json.loads((out / "simulation.json").read_text())
    assert (keys["seed"], keys["trainees"]) == (4, 10)
    assert (out / "simulation.html").read_text().startswith("<!doctype html>")
    assert stat.S_ISREG((out / "simulation.json").stat().st_mode)
    assert run("--trainees", "10", "--seed", "4", "--json").stdout == (out / "simulation.json").read_text()


@pytest.mark.parametrize(("met", "status"), [(None, 0), (False, 1)])
def test_bar_ends_with_one_where_a_claim_fails(met: bool | None, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "all_claims", lambda study: (Claim("a claim", "a bar", "a find", met),))
    assert run("--trainees", "10", "--seed", "4", "--bar").exit_code == status


def test_wrong_folders_and_numbers_are_told_before_the_study(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = run("--out", str(tmp_path / "file" / "out"))
    assert found.exit_code == 2
    assert "cannot be written" in found.stderr
    assert not found.stdout
    for wrong in (("--trainees", "9"), ("--seed", "-1"), ("--seed", str(2**32))):
        assert run(*wrong).exit_code == 2
