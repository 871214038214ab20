"""Shows the progress of a download: a bar on a terminal, one line per file elsewhere; on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from fr_datasets.download import Progress as Shown


@contextmanager
def show_progress() -> Iterator[Shown]:
    """Whoever shows downloads while this is open."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        yield _Bars(bars)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console

    def start(self, name: str, total: int | None) -> None:
        size = "" if total is None else f" ({total / 1e6:.1f} MB)"
        self._console.print(f"Fetching {name}{size}", highlight=False)

    def advance(self, n: int) -> None:
        pass

    def finish(self) -> None:
        pass


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def start(self, name: str, total: int | None) -> None:
        self._task = self._bars.add_task(name, total=total)

    def advance(self, n: int) -> None:
        if self._task is not None:
            self._bars.advance(self._task, n)

    def finish(self) -> None:
        if self._task is not None:
            self._bars.stop_task(self._task)
