"""`fr evaluate`: accuracy on labelled photos, held against bars, or of one data set, to a report.

Heavy imports wait until the command runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from fr_bench.names import SetName
from fr_evaluation.cli import identification, verification
from fr_evaluation.cli_parts import errors_to_stderr
from fr_evaluation.repeat_cli import repeat

if TYPE_CHECKING:
    from fr_bench.evaluate import OnSetProgress
    from fr_bench.values import Report
    from fr_core.engine import EngineOptions

# A table that is cut off in a pipe or a file helps nobody.
PIPE_WIDTH = 160

# Exit statuses: 0 all bars reached, 1 a bar missed, 2 (of `errors_to_stderr`) the evaluation could not be made.
MISSED = 1

evaluate = typer.Typer(name="evaluate", invoke_without_command=True)
evaluate.command()(verification)
evaluate.command()(identification)
evaluate.command()(repeat)


@evaluate.callback()
def hold_against_bars(
    context: typer.Context,
    testdata: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of the labelled photos [default: FR_TESTDATA, else ../shared/testdata]"
        ),
    ] = None,
    pack: Annotated[str, typer.Option(help="Model pack; the bars are for buffalo_s.")] = "buffalo_s",
    device: Annotated[str, typer.Option(help="auto, cpu, openvino, cuda[:N] or tensorrt[:N].")] = "auto",
    precision: Annotated[str, typer.Option(help="f32, bf16 or fp16.")] = "f32",
    detection: Annotated[str, typer.Option(help="thorough or fast.")] = "thorough",
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Fuse with the mirrored face.")] = False,
    only: Annotated[list[SetName] | None, typer.Option(help="This set only; may be repeated.")] = None,
    threads: Annotated[
        int, typer.Option(min=0, help="Photos analysed at a time; 0 = as many as there are processors.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure accuracy on labelled photos; exit status 1 if a bar is missed, 2 if it cannot be measured."""
    if context.invoked_subcommand is not None:
        return
    with errors_to_stderr():
        from fr_core.engine import EngineOptions

        options = EngineOptions(device=device, precision=precision, detection=detection, flip=flip)
        report = measure(testdata, pack, options, only=only or list(SetName), threads=threads)
        if as_json:
            from fr_bench.report import to_json

            typer.echo(json.dumps(to_json(report), indent=2, ensure_ascii=False))
        else:
            from fr_bench.report import render

            console = Console()
            (console if console.is_terminal else Console(width=PIPE_WIDTH)).print(render(report))
    if report.missed:
        raise typer.Exit(MISSED)


def measure(testdata: Path | None, pack: str, options: EngineOptions, *, only: list[SetName], threads: int) -> Report:
    """Read the sets, open the pipeline, and measure; shows progress on a terminal."""
    from fr_bench.evaluate import available_cpus, load_sets, run
    from fr_bench.testdata import find_testdata
    from fr_core.engine import open_engine
    from fr_core.packs.cache import ModelCache, cache_folder
    from fr_core.packs.manifest import load_pack

    sets = load_sets(find_testdata(testdata), only)
    engine = open_engine(load_pack(pack), ModelCache(cache_folder()), options)
    with _progress() as on_progress:
        return run(engine, sets, threads or available_cpus(), on_progress)


@contextmanager
def _progress() -> Iterator[OnSetProgress]:
    """A bar for each set, on standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[SetName, TaskID] = {}

        def show(name: SetName, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(str(name))
            bars.update(tasks[name], completed=done, total=total)

        yield show
