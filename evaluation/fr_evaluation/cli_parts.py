"""Parts that the commands of `fr evaluate` share: options, the engine, progress, files, errors.

Heavy imports wait until a command runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from fr_datasets.exit_status import errors_to_status, printable
from fr_datasets.progress import waiting

if TYPE_CHECKING:
    from fr_core.engine import Engine, EngineOptions
    from fr_core.imaging import ImageLimits
    from fr_core.quality.limits import QualityLimits
    from fr_evaluation.files import AnyReport
    from fr_evaluation.photos import OnProgress
    from fr_evaluation.words import Section, Text

NOT_MADE = 2

Root = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Its folder; else the one that `fr dataset link` remembers.")
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write report.html, report.json and the pictures here, for their owner alone."),
]
Pack = Annotated[str, typer.Option(help="Model pack.")]
Device = Annotated[str, typer.Option(help="auto, cpu, openvino, cuda[:N] or tensorrt[:N].")]
Precision = Annotated[
    str, typer.Option(help="auto, f32, bf16 or fp16; auto is fp16 on a GPU, bf16 if the processor has it, else f32.")
]
Detection = Annotated[str, typer.Option(help="thorough or fast.")]
Flip = Annotated[bool, typer.Option("--flip/--no-flip", help="Fuse with the mirrored face.")]
Threads = Annotated[int, typer.Option(min=0, help="Photos analysed at a time; 0 = as many as there are processors.")]
Thumbnails = Annotated[
    bool | None,
    typer.Option(help="Show the photos of the hardest cases in report.html; else where the set's terms allow it."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def require_writable(out: Path | None) -> None:
    """End the command before the photos, rather than after them, where a report cannot be written."""
    if out is None:
        return
    from fr_evaluation.write import private_folder  # needs what may not be installed

    try:
        private_folder(out)
    except OSError as error:
        raise _unwritable(out, error) from error


def _unwritable(out: Path, error: OSError) -> typer.Exit:
    typer.echo(f"The report cannot be written to {printable(str(out))}: {error.strerror}.", err=True)
    return typer.Exit(NOT_MADE)


def write_files(report: AnyReport, out: Path, thumbnails: bool | None = None) -> None:
    """Write the files of a report, and say so; `thumbnails` as in `write_report`."""
    from fr_evaluation.write import write_report

    try:
        files = write_report(report, out, thumbnails)
    except OSError as error:
        raise _unwritable(out, error) from error
    typer.echo(f"Wrote {', '.join(file.name for file in files)} to {printable(str(out))}", err=True)


def root_of(dataset: str, root: Path | None) -> Path:
    """The folder of a data set: as given, else as linked."""
    from fr_datasets.links import datasets_folder, find_link

    return find_link(dataset, datasets_folder()).root if root is None else root


@contextmanager
def opened(
    pack: str, options: EngineOptions, images: ImageLimits | None = None, quality: QualityLimits | None = None
) -> Iterator[Engine]:
    """An engine, closed at the end."""
    from fr_core.engine import open_engine
    from fr_core.packs.cache import ModelCache, cache_folder
    from fr_core.packs.manifest import load_pack

    with waiting(f"Loading the models of {pack}"):
        engine = open_engine(load_pack(pack), ModelCache(cache_folder()), options, images, quality)
    try:
        yield engine
    finally:
        engine.close()


def workers_of(threads: int, engine: Engine) -> int:
    """Photos at a time: as given, else as many as keep the device busy."""
    from fr_core.engine import photos_at_once

    return threads or photos_at_once(engine.device)


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def plain(text: Text) -> str:
    """Rich's markup for the text as it is: a label may be "[/b]", or hold what commands a terminal."""
    from fr_evaluation.words import in_words

    return escape(printable(in_words(text)))


def print_words(summary: Text, sections: Sequence[Section], notice: Text) -> None:
    """Print a report in words; its labels and names are whatever the data set says."""
    console = Console()
    console.print(plain(summary), highlight=False)
    for section in sections:
        console.print(f"\n[bold]{plain(section.heading)}[/bold]", highlight=False)
        if section.text:
            console.print(plain(section.text), highlight=False)
        for one in section.tables:
            table = Table(
                *(Column(plain(name), overflow="fold") for name in one.header), title=plain(one.title) or None
            )
            for row in one.rows:
                table.add_row(*map(plain, row))
            console.print(table)
    console.print(plain(notice), highlight=False)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Bars on standard error, where that is a terminal: yields what shows how many of how many are done, by name."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name)
            bars.update(tasks[name], completed=done, total=total)

        yield show


@contextmanager
def photo_progress() -> Iterator[OnProgress]:
    """A bar on standard error, where that is a terminal."""
    with progress_bars() as show:
        yield partial(show, "photos")


@contextmanager
def errors_to_stderr() -> Iterator[None]:
    """Turn an error of the core, of a data set or of a report, or a part that is not installed, into a message."""
    with errors_to_status(NOT_MADE):
        from fr_core.scoring.intervals import UndefinedRate

        try:
            yield
        except UndefinedRate as error:
            typer.echo(f"A figure is undefined on these photos: {error}", err=True)
            raise typer.Exit(NOT_MADE) from error
