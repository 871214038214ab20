"""Shows the progress of a long run: a bar if standard error is a terminal, else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn

from fr_client.cli.show import MOVING, console

# The pace is that of the last minute.
_PACE_S = 60.0
# Between two updates of the bar, and between two lines without a terminal.
_BAR_S, _LINE_S = 0.1, 10.0

# Takes the number done, and the number refused among them.
Advance = Callable[[int, int], None]


@contextmanager
def progress(
    verb: str, noun: str, total: int, clock: Callable[[], float] = time.monotonic, beside_output: bool = False
) -> Iterator[Advance]:
    """Show the progress of a run during the block, in words such as "Enrolling" and "photos"; `clock` gives seconds.

    With `beside_output`, the block prints answers; on a terminal, these show the progress themselves.
    """
    out = console(stderr=True)
    alone = not (beside_output and sys.stdout.isatty())
    every_s = _BAR_S if out.is_terminal else _LINE_S
    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    bars = Progress(
        *columns,
        console=out,
        disable=not (out.is_terminal and alone),
        get_time=clock,
        speed_estimate_period=_PACE_S,
        redirect_stdout=False,  # which may go to a file
    )
    with _moving(), bars:
        bars.advance(bars.add_task("", total=total), 0)
        (task,) = bars.tasks
        last = clock()

        def advance(done: int, refused: int) -> None:
            nonlocal last
            if clock() - last < every_s and not (out.is_terminal and done == total):
                return
            last = clock()
            bars.advance(task.id, done - task.completed)
            text = _pace(task) + (f", {refused:,} refused" if refused else "")
            bars.update(task.id, description=text)
            if not out.is_terminal:
                typer.echo(f"{verb}: {done:,} of {total:,} {noun}, {text}", err=True)

        yield advance


@contextmanager
def _moving() -> Iterator[None]:
    held = MOVING.acquire(blocking=False)
    try:
        yield
    finally:
        if held:
            MOVING.release()


@contextmanager
def staged_progress() -> Iterator[Callable[[str, str, int, int], None]]:
    """Yield a function of verb, noun, number done and total, which shows the progress of the present stage."""
    with ExitStack() as stack:
        present: tuple[str, Advance] | None = None

        def tell(verb: str, noun: str, done: int, total: int) -> None:
            nonlocal present
            if present is None or present[0] != verb:
                stack.close()
                present = verb, stack.enter_context(progress(verb, noun, total))
            present[1](done, 0)

        yield tell


def _pace(task: Task) -> str:
    if not task.speed or task.time_remaining is None:
        return "waiting for answers"
    left = timedelta(seconds=task.time_remaining)
    return f"{task.speed:,.{0 if task.speed >= 100 else 1}f}/s, {left} left"
