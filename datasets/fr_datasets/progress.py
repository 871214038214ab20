"""Shows the progress of a download, a bar on a terminal and a line per file elsewhere, and of other long work."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TimeRemainingColumn, TransferSpeedColumn
from rich.status import Status

from fr_core.download import NullProgress
from fr_core.download import Progress as Shown


@contextmanager
def show_progress() -> Iterator[Shown]:
    """Yield the progress that shows downloads while this is open."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    figures = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress("{task.description}", BarColumn(), *figures, console=console) as bars:
        yield _Bars(bars)


def waiting(words: str) -> Status:
    """Return what shows words on standard error, if it is a terminal, during a block, which may print nothing."""
    return Console(stderr=True).status(words)


class _Lines(NullProgress):
    def __init__(self, console: Console) -> None:
        self._console = console

    def start(self, name: str, total: int | None) -> None:
        size = "" if total is None else f" ({total / 1e6:.1f} MB)"
        self._console.print(f"Fetching {name}{size}", highlight=False)


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task = TaskID(0)

    def start(self, name: str, total: int | None) -> None:
        self._task = self._bars.add_task(name, total=total)

    def advance(self, n: int) -> None:
        self._bars.advance(self._task, n)

    def finish(self) -> None:
        self._bars.stop_task(self._task)
