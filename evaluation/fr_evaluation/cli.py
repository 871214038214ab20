"""`fr evaluate verification` and `identification`: a data set of your own, to a report.

Heavy imports wait until a command runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from fr_core.engine import Engine
    from fr_evaluation.photos import OnProgress
    from fr_evaluation.report import Report

NOT_MADE = 2

Root = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Its folder; else the one that `fr dataset link` remembers.")
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Write report.html, report.json and the pictures here.")]
Pack = Annotated[str, typer.Option(help="Model pack.")]
Device = Annotated[str, typer.Option(help="auto, cpu, openvino, cuda[:N] or tensorrt[:N].")]
Precision = Annotated[str, typer.Option(help="f32, bf16 or fp16.")]
Detection = Annotated[str, typer.Option(help="thorough or fast.")]
Flip = Annotated[bool, typer.Option("--flip/--no-flip", help="Fuse with the mirrored face.")]
Threads = Annotated[int, typer.Option(min=0, help="Photos analysed at a time; 0 = as many as there are processors.")]
# A table: its head, and its rows.
Rows = tuple[Sequence[str], Sequence[Sequence[str]]]

AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def verification(
    dataset: Annotated[str, typer.Option(help="Data set with a list of pairs; `fr dataset list` shows the names.")],
    root: Root = None,
    out: Out = None,
    pack: Pack = "buffalo_s",
    device: Device = "auto",
    precision: Precision = "f32",
    detection: Detection = "thorough",
    flip: Flip = False,
    threads: Threads = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws behind the intervals by people.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Measure how a model errs on pairs of photos with known answers: accuracy, error rates and thresholds.

    Exit status 2 if it cannot be measured.
    """
    with errors_to_stderr():
        from fr_evaluation.verification import words
        from fr_evaluation.verification.run import read_pairs, run_verification

        _require_writable(out)
        pairs = read_pairs(dataset, _root(dataset, root))
        with _engine(pack, device, precision, detection, flip) as engine, _progress() as on_progress:
            report = run_verification(
                engine,
                pairs,
                flip=flip,
                seed=seed,
                workers=_workers(threads, engine),
                clock=_now,
                on_progress=on_progress,
            )
        _tell(
            report,
            out,
            as_json,
            lambda: (
                words.summary(report),
                (words.HEADER, words.rows(report)),
                (words.THRESHOLD_HEADER, words.threshold_rows(report)),
            ),
        )


def identification(
    dataset: Annotated[str, typer.Option(help="Data set of people; `fr dataset list` shows the names.")],
    root: Root = None,
    out: Out = None,
    sizes: Annotated[
        str, typer.Option(metavar="N,N,...", help="Galleries to fill up with drawn strangers, such as 10000,1000000.")
    ] = "",
    pack: Pack = "buffalo_s",
    device: Device = "auto",
    precision: Precision = "f32",
    detection: Detection = "thorough",
    flip: Flip = False,
    threads: Threads = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of who is enrolled, and of the strangers.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Enrol half of a set's people and search for the photos of all others: hits, false alarms and misses.

    Exit status 2 if it cannot be measured.
    """
    galleries = _sizes(sizes)
    with errors_to_stderr():
        from fr_evaluation.identification import words
        from fr_evaluation.identification.run import read_people, run_identification

        _require_writable(out)
        people = read_people(dataset, _root(dataset, root))
        with _engine(pack, device, precision, detection, flip) as engine, _progress() as on_progress:
            report = run_identification(
                engine,
                people,
                sizes=galleries,
                flip=flip,
                seed=seed,
                workers=_workers(threads, engine),
                clock=_now,
                on_progress=on_progress,
            )
        _tell(report, out, as_json, lambda: (words.summary(report), (words.HEADER, words.rows(report))))


def _require_writable(out: Path | None) -> None:
    """End the command before the photos, rather than after them, where a report cannot be written."""
    if out is None:
        return
    import fr_evaluation.write  # noqa: F401 - needs what may not be installed

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error


def _unwritable(out: Path, error: OSError) -> typer.Exit:
    typer.echo(f"The report cannot be written to {out}: {error.strerror}.", err=True)
    return typer.Exit(NOT_MADE)


def _root(dataset: str, root: Path | None) -> Path:
    from fr_datasets.links import datasets_folder, find_link

    return find_link(dataset, datasets_folder()).root if root is None else root


def _sizes(text: str) -> list[int]:
    """The sizes of galleries, ascending; ends the command where one is no number from 1 to ten million."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= 10_000_000 for part in parts):
        what = "Sizes are whole numbers from 1 to 10000000, such as 10000,1000000."
        raise typer.BadParameter(what, param_hint="--sizes")
    return sorted({int(part) for part in parts})


@contextmanager
def _engine(pack: str, device: str, precision: str, detection: str, flip: bool) -> Iterator[Engine]:
    from fr_core.engine import EngineOptions, open_engine
    from fr_core.packs.cache import ModelCache, cache_folder
    from fr_core.packs.manifest import load_pack

    options = EngineOptions(device=device, precision=precision, detection=detection, flip=flip)
    engine = open_engine(load_pack(pack), ModelCache(cache_folder()), options)
    try:
        yield engine
    finally:
        engine.close()


def _workers(threads: int, engine: Engine) -> int:
    from fr_core.engine import photos_at_once

    return threads or photos_at_once(engine.device)


def _now() -> datetime:
    return datetime.now(UTC)


def _tell(
    report: Report, out: Path | None, as_json: bool, in_words: Callable[[], tuple[str, *tuple[Rows, ...]]]
) -> None:
    """Write the files where they are wanted, and print the report."""
    from fr_evaluation.keys import report_keys
    from fr_evaluation.report import NOTICE

    if out is not None:
        from fr_evaluation.write import write_report

        try:
            files = write_report(report, out)
        except OSError as error:
            raise _unwritable(out, error) from error
        typer.echo(f"Wrote {', '.join(file.name for file in files)} to {out}", err=True)
    if as_json:
        typer.echo(json.dumps(report_keys(report), indent=2, ensure_ascii=False))
        return
    console = Console()
    summary, *tables = in_words()
    console.print(summary, highlight=False)
    for header, rows in tables:
        table = Table(*header)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(NOTICE, highlight=False)


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """A bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("photos", total=None)

        def show(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        yield show


@contextmanager
def errors_to_stderr() -> Iterator[None]:
    """Turn an error of the core or of a data set, or a part that is not installed, into a message and a status."""
    try:
        from fr_core.errors import FrError
        from fr_core.scoring.intervals import UndefinedRate
        from fr_datasets.errors import DatasetError
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    try:
        yield
    except DatasetError as error:
        typer.echo(f"{error.code}: {error.message}", err=True)
        raise typer.Exit(NOT_MADE) from error
    except FrError as error:
        typer.echo(f"{error.reason}: {error.message}", err=True)
        raise typer.Exit(NOT_MADE) from error
    except UndefinedRate as error:
        typer.echo(f"A figure is undefined on these photos: {error}", err=True)
        raise typer.Exit(NOT_MADE) from error
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error


def _not_installed(error: ModuleNotFoundError) -> typer.Exit:
    missing = error.name or ""
    if missing.partition(".")[0] == "matplotlib":
        typer.echo("Reports need matplotlib: pip install 'fr-core[report]'.", err=True)
    else:
        typer.echo(f"This command needs the server (`{missing}` is missing): pip install 'fr-core[cpu]'.", err=True)
    return typer.Exit(NOT_MADE)
