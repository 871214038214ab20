"""How far a long run has come: a bar where standard error is a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars

from fr_client.cli.show import console

# Over how long the pace is taken, and how often it is looked at.
_WINDOW_S = 60.0
_SAMPLE_S = 0.5
# Between two lines where there is no terminal.
_LINE_S = 10.0

# Is told how many are done, and how many of those were refused.
Advance = Callable[[int, int], None]


class Pace:
    """How fast a run goes on, by its last minute.

    Args:
        total: how many there are to do.
        clock: gives seconds.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._clock = clock
        self._samples = deque([(clock(), 0)])
        self._done = 0

    def note(self, done: int) -> None:
        """Take note of how many are done."""
        now = self._clock()
        self._done = done
        if now - self._samples[-1][0] >= _SAMPLE_S:
            self._samples.append((now, done))
        while len(self._samples) > 1 and now - self._samples[0][0] > _WINDOW_S:
            self._samples.popleft()

    @property
    def rate(self) -> float:
        """How many are done in a second; 0 where none is yet."""
        begun, done = self._samples[0]
        passed = self._clock() - begun
        return (self._done - done) / passed if passed > 0 else 0.0

    def words(self) -> str:
        """The pace, and the time that is left, for people."""
        rate = self.rate
        if not rate:
            return "waiting for answers"
        return f"{rate:,.{0 if rate >= 100 else 1}f}/s, {_duration((self._total - self._done) / rate)} left"


@contextmanager
def progress(verb: str, noun: str, total: int, clock: Callable[[], float] = time.monotonic) -> Iterator[Advance]:
    """Tell how far a run has come for as long as the block lasts.

    Args:
        verb: what is done, such as "Enrolling".
        noun: what is counted, such as "photos".
        total: how many there are to do.
        clock: gives seconds.
    """
    pace, out = Pace(total, clock), console(stderr=True)
    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Bars(*columns, console=out, disable=not out.is_terminal) as bars:
        bar = bars.add_task("", total=total)
        told = clock()

        def advance(done: int, refused: int) -> None:
            nonlocal told
            pace.note(done)
            if not out.is_terminal and clock() - told < _LINE_S:
                return
            words = pace.words() + (f", {refused:,} refused" if refused else "")
            if out.is_terminal:
                bars.update(bar, completed=done, description=words)
            else:
                told = clock()
                typer.echo(f"{verb}: {done:,} of {total:,} {noun}, {words}", err=True)

        yield advance


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
