"""`fr evaluate verification`: a data set of your own, to a report. Heavy imports wait until the command runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from fr_evaluation.photos import OnProgress
    from fr_evaluation.report import VerificationReport

NOT_MADE = 2


def verification(
    dataset: Annotated[str, typer.Option(help="Data set with a list of pairs; `fr dataset list` shows the names.")],
    root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Its folder; else the one that `fr dataset link` remembers."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write report.html, report.json, scores.csv and the pictures here."),
    ] = None,
    pack: Annotated[str, typer.Option(help="Model pack.")] = "buffalo_s",
    device: Annotated[str, typer.Option(help="auto, cpu, openvino, cuda[:N] or tensorrt[:N].")] = "auto",
    precision: Annotated[str, typer.Option(help="f32, bf16 or fp16.")] = "f32",
    detection: Annotated[str, typer.Option(help="thorough or fast.")] = "thorough",
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Fuse with the mirrored face.")] = False,
    threads: Annotated[
        int, typer.Option(min=0, help="Photos analysed at a time; 0 = as many as there are processors.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws behind the intervals by people.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure how a model errs on pairs of photos with known answers: accuracy, error rates and thresholds.

    Exit status 2 if it cannot be measured.
    """
    with errors_to_stderr():
        from fr_core.engine import EngineOptions, open_engine, photos_at_once
        from fr_core.packs.cache import ModelCache, cache_folder
        from fr_core.packs.manifest import load_pack
        from fr_datasets.links import datasets_folder, find_link
        from fr_evaluation.verify import read_pairs, run_verification

        pairs = read_pairs(dataset, find_link(dataset, datasets_folder()).root if root is None else root)
        options = EngineOptions(device=device, precision=precision, detection=detection, flip=flip)
        engine = open_engine(load_pack(pack), ModelCache(cache_folder()), options)
        try:
            with _progress() as on_progress:
                report = run_verification(
                    engine,
                    pairs,
                    flip=flip,
                    seed=seed,
                    workers=threads or photos_at_once(engine.device),
                    clock=lambda: datetime.now(UTC),
                    on_progress=on_progress,
                )
        finally:
            engine.close()
        if out is not None:
            _write(report, out)
        if as_json:
            from fr_evaluation.report_json import report_keys

            typer.echo(json.dumps(report_keys(report), indent=2, ensure_ascii=False))
        else:
            _print(report)


def _write(report: VerificationReport, out: Path) -> None:
    from fr_evaluation.write import write_report

    try:
        files = write_report(report, out)
    except OSError as error:
        typer.echo(f"The report cannot be written to {out}: {error.strerror}.", err=True)
        raise typer.Exit(NOT_MADE) from error
    typer.echo(f"Wrote {', '.join(file.name for file in files)} to {out}", err=True)


def _print(report: VerificationReport) -> None:
    from fr_evaluation import words
    from fr_evaluation.report import NOTICE

    console = Console()
    console.print(words.summary(report), highlight=False)
    for header, rows in ((words.HEADER, words.rows(report)), (words.THRESHOLD_HEADER, words.threshold_rows(report))):
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
    typer.echo(f"This command needs the server (`{error.name}` is missing): pip install 'fr-core[cpu]'.", err=True)
    return typer.Exit(NOT_MADE)
