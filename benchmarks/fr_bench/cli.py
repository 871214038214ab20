"""`fr evaluate`: accuracy on labelled photos, held against bars, or of one data set, to a report.

Heavy imports wait until the command runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fr_bench.bench_commands.options import MISSED, PIPE_WIDTH, AsJson, SetName, Testdata
from fr_evaluation.cli import identification, repeat, verification
from fr_evaluation.cli_parts import Detection, Device, Flip, Precision, Threads, errors_to_stderr, opened, progress_bars

if TYPE_CHECKING:
    from fr_bench.values import Report
    from fr_core.engine import EngineOptions

evaluate = typer.Typer(name="evaluate", invoke_without_command=True)
evaluate.command()(verification)
evaluate.command()(identification)
evaluate.command()(repeat)


@evaluate.callback()
def hold_against_bars(
    context: typer.Context,
    testdata: Testdata = None,
    pack: Annotated[str, typer.Option(help="Model pack; the bars are for buffalo_s.")] = "buffalo_s",
    device: Device = "auto",
    precision: Precision = "auto",
    detection: Detection = "thorough",
    flip: Flip = False,
    only: Annotated[list[SetName] | None, typer.Option(help="This set only; may be repeated.")] = None,
    threads: Threads = 0,
    as_json: AsJson = False,
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
    from fr_bench.speed.workload import find_testdata

    sets = load_sets(find_testdata(testdata), only)
    with opened(pack, options) as engine, progress_bars() as show:
        return run(engine, sets, threads or available_cpus(), lambda name, done, total: show(str(name), done, total))
