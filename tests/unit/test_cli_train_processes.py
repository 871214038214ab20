"""`fr train run` in a process of its own: killed, told to end, its terminal closed, its server away."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Queue
from subprocess import PIPE, STDOUT
from typing import Any

import pytest

from fr_api.v1 import training_pb2
from support.scripted_training import ScriptedTraining, picture, serving_training, trial

PAIR = [picture("x"), picture("y")]
# Of a shell: takes the terminal that is its standard input, so that it is told when that is closed.
ON_TERMINAL = "import os; os.login_tty(0); "


def names(service: ScriptedTraining) -> list[str]:
    return [name for name, _ in service.requests]


def test_a_server_that_comes_back_is_found_by_a_new_connection(tmp_path: Path) -> None:
    """A server that was started anew, at the same address, while the command waits for it."""
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
    """The command in a process of its own, with consent given and the block begun, in the midst of its first trial."""
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
        begun(ours)
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
        """Type while a call is on its way; then see the question, and that nothing has answered it."""
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
    """What a terminal shows until some words are there; fails where they do not come."""
    told = b""
    while words not in told:
        assert select.select([ours], [], [], 20)[0], told
        told += os.read(ours, 1)
    return told


def begun(ours: int) -> None:
    """Agree and begin the block at a terminal, each when it is asked for; the first trial is shown then."""
    shown_until(ours, b"Do you agree? [y/N]:")
    os.write(ours, b"y\n")
    shown_until(ours, b"Enter begins:")
    os.write(ours, b"\n")
    shown_until(ours, b"One person or two?")


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
