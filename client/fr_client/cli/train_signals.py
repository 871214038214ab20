"""A terminal that is closed, and a command that is told to end: both as Ctrl-C, so that nothing is left behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

_NAMES = ("SIGHUP", "SIGTERM")


class Stopped(KeyboardInterrupt):
    """A signal has ended the command.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number  # as shells have it


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise `Stopped` in the block at the first SIGHUP or SIGTERM; where nothing catches it, the command ends.

    Later ones are ignored until the block ends: a closed terminal sends several, and none may cut the tidying short. A
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
