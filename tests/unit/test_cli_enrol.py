"""How `fr enrol` tells how far it has come, and what its memory is made of."""

from __future__ import annotations

import io

import pytest
import typer
from rich.console import Console

from fr_client.cli import progress as progress_module
from fr_client.cli.progress import progress
from fr_client.cli.state import INTERRUPTED, SOME_REFUSED, Ending, Unusable


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_a_line_comes_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with progress("Enrolling", "photos", 1000, clock) as advance:
        for done in range(1, 251):
            clock.now += 0.125
            advance(done, done // 80)
    out, error = capsys.readouterr()
    assert out == ""
    assert error.splitlines() == [
        "Enrolling: 80 of 1,000 photos, 8.0/s, 0:01:55 left, 1 refused",
        "Enrolling: 160 of 1,000 photos, 8.0/s, 0:01:45 left, 2 refused",
        "Enrolling: 240 of 1,000 photos, 8.0/s, 0:01:35 left, 3 refused",
    ]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, clock = io.StringIO(), Clock()
    terminal = Console(file=shown, force_terminal=True, width=120)
    monkeypatch.setattr(progress_module, "console", lambda *, stderr: terminal)
    with progress("Enrolling", "photos", 1000, clock) as advance:
        clock.now += 10.0
        advance(500, 0)
    assert "500/1000" in shown.getvalue()
    assert "50.0/s, 0:00:10 left" in shown.getvalue()


@pytest.mark.parametrize(
    ("stop", "some_refused", "status"),
    [
        (None, False, None),
        (None, True, SOME_REFUSED),
        (KeyboardInterrupt(), True, INTERRUPTED),
        (Unusable("NO_PHOTOS", "There is none."), True, 1),
    ],
)
def test_a_run_ends_with_the_status_that_it_has_earned(
    stop: BaseException | None, some_refused: bool, status: int | None
) -> None:
    ending = Ending()
    with ending.noted():
        if stop is not None:
            raise stop
    assert ending.early == (stop is not None)
    if status is None:
        ending.leave(some_refused)
        return
    with pytest.raises(typer.Exit) as caught:
        ending.leave(some_refused)
    assert caught.value.exit_code == status


def test_a_defect_in_a_run_is_not_noted_as_its_end() -> None:
    with pytest.raises(RuntimeError), Ending().noted():
        raise RuntimeError("a defect")
