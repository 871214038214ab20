"""`fr train run` in a process of its own: killed, told to end, its terminal closed, its server away."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest

from fr_client.cli.train_signals import Stopped, stopped_by_signals
from scripted_training import ScriptedTraining, picture, serving_training, trial

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
    told += told_until(running, "Ctrl-C leaves; what was not sent")
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
    assert "the same command goes on" in told
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


def test_a_terminal_that_is_closed_tells_the_command(tmp_path: Path) -> None:
    service = ScriptedTraining([trial("RATE", PAIR)])
    ours, theirs = pty.openpty()
    with serving_training(service) as target:
        running = started(target, tmp_path, ON_TERMINAL, (theirs, theirs, theirs))
        os.close(theirs)
        os.write(ours, b"y\n\n")
        told = b""
        while b"One person or two?" not in told:
            told += os.read(ours, 4_096)
        os.close(ours)
        assert running.wait(20) == 128 + signal.SIGHUP
    assert list(tmp_path.iterdir()) == []
    assert names(service)[-1] == "PauseSession"


def test_on_a_terminal_the_wait_is_told_in_one_line(tmp_path: Path) -> None:
    service = ScriptedTraining([trial("RATE", PAIR)])
    ours, theirs = pty.openpty()
    with serving_training(service) as target:
        running = started(target, tmp_path, ON_TERMINAL, (theirs, theirs, theirs))
        os.close(theirs)
        os.write(ours, b"y\n\n")
        told = b""
        while b"One person or two?" not in told:
            told += os.read(ours, 4_096)
    os.write(ours, b"2\n")
    while b"\rWaiting for the server, 0:01." not in told:
        told += os.read(ours, 4_096)
    assert told.count(b"The server does not answer.") == 1
    os.write(ours, b"\x03")
    while b"the same command goes on" not in told:
        told += os.read(ours, 4_096)
    assert running.wait(20) == 130
    os.close(ours)
    assert list(tmp_path.iterdir()) == []


def test_a_second_signal_does_not_cut_the_tidying_short_and_nohup_is_respected() -> None:
    tidied = []
    before = signal.getsignal(signal.SIGTERM)

    def told_twice() -> None:
        with stopped_by_signals():
            try:
                signal.raise_signal(signal.SIGTERM)
            except Stopped as stopped:
                signal.raise_signal(signal.SIGHUP)
                signal.raise_signal(signal.SIGTERM)
                tidied.append(stopped.status)

    told_twice()
    assert tidied == [143]
    assert signal.getsignal(signal.SIGTERM) == before
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, hangup)
