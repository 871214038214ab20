"""Handles the terminal of a trainee: input typed too early, and signals that end the command."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

if sys.platform == "win32":
    import msvcrt
else:
    import termios


def drop_typed_ahead() -> None:
    """Drop unread input of a terminal: it answers a question that nobody has seen. Keeps the lines of a pipe.

    Raises `OSError` if the terminal is closed.
    """
    if not sys.stdin.isatty():
        return
    if sys.platform == "win32":
        while msvcrt.kbhit():
            msvcrt.getwch()
        return
    try:
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    except termios.error as error:  # which is no OSError
        raise OSError(*error.args) from error


_NAMES = ("SIGHUP", "SIGTERM")


class Stopped(KeyboardInterrupt):
    """A signal ends the command; `status` is its exit status."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number  # as in shells


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise `Stopped` in the block at the first SIGHUP or SIGTERM; if nothing catches it, the command ends.

    It ignores later ones until the block ends: a closed terminal sends several, and none may interrupt the cleaning. A
    signal that is ignored from the beginning, as under nohup, stays so. Only the main thread may enter.
    """
    found = [signal.Signals[name] for name in _NAMES if hasattr(signal, name)]
    before = {one: signal.getsignal(one) for one in found if signal.getsignal(one) != signal.SIG_IGN}

    def stop(number: int, frame: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        raise Stopped(number)

    try:
        for one in before:
            signal.signal(one, stop)
        yield
    except Stopped as stopped:
        raise typer.Exit(stopped.status) from None
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
