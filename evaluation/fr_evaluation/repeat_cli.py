"""`fr evaluate repeat`: a report measured again, and whether the numbers are the same."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from fr_datasets.exit_status import printable
from fr_evaluation.cli_parts import (
    NOT_MADE,
    Out,
    Root,
    Threads,
    errors_to_stderr,
    now,
    opened,
    photo_progress,
    plain,
    require_writable,
    root_of,
    workers_of,
    write_files,
)

if TYPE_CHECKING:
    from fr_evaluation.repeat import Repetition

DIFFERENT = 1
MOST_ROWS = 50


def repeat(
    report: Annotated[Path, typer.Argument(metavar="REPORT", help="report.json, or the folder that holds it.")],
    root: Root = None,
    groups: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", resolve_path=True, help="The labels of people that the report was made with."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Another device than the report's [default: the one that ran its models]")
    ] = None,
    threads: Threads = 0,
    out: Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure again what a report measured, with its settings, and hold every figure against it.

    Exit status 0: the same numbers; 1: not the same; 2: it cannot be repeated here.
    """
    with errors_to_stderr():
        from fr_evaluation.recorded import find_report, read_recorded
        from fr_evaluation.repeat import RELATIVE, TOLERANCE, hold_against, options_of, read_given, run_again

        recorded = read_recorded(report)
        if out is not None and out.resolve() == find_report(report).parent.resolve():
            typer.echo("The report that is repeated lies there: say another folder with --out.", err=True)
            raise typer.Exit(NOT_MADE)
        require_writable(out)
        given = read_given(recorded, root_of(recorded.dataset, root), groups)
        then, options = recorded.settings, options_of(recorded, device)
        with opened(then.pack, options, then.images, then.quality) as engine, photo_progress() as on_progress:
            measured = run_again(
                recorded, engine, given, workers=workers_of(threads, engine), clock=now, on_progress=on_progress
            )
        repetition = hold_against(recorded, measured)
        if out is not None:
            write_files(measured, out)
    if as_json:
        tolerances = {"tolerance": TOLERANCE, "relative_tolerance": RELATIVE}
        keys = {"same": repetition.same, **tolerances, **asdict(repetition)}
        typer.echo(json.dumps(keys, indent=2, ensure_ascii=False))
    else:
        print_repetition(repetition)
    if not repetition.same:
        raise typer.Exit(DIFFERENT)


def print_repetition(repetition: Repetition) -> None:
    """Print what came of measuring again; of the figures that differ, 50 at most."""
    from fr_evaluation.repeat import RELATIVE, TOLERANCE

    console = Console()
    if repetition.different:
        table = Table(*(Column(name, overflow="fold") for name in ("Figure", "Then", "Now")))
        for one in repetition.different[:MOST_ROWS]:
            table.add_row(plain(one.path), plain(one.then), plain(one.now))
        console.print(table)
        if len(repetition.different) > MOST_ROWS:
            console.print(f"{len(repetition.different) - MOST_ROWS:,} more: --json tells all", highlight=False)
    for note in repetition.notes:
        console.print(f"Not as it was: {printable(note)}", highlight=False, markup=False, soft_wrap=True)
    if repetition.pairs is not None:
        similarities = f"{repetition.pairs:,} similarities compared, the largest difference {repetition.largest:.2g}"
        console.print(similarities, highlight=False, soft_wrap=True)
    verdict = "the same numbers" if repetition.same else f"not the same: {len(repetition.different):,} differ"
    rule = f"counts must be equal, other numbers within {TOLERANCE:g}, and rates within {RELATIVE:g} of themselves"
    console.print(f"{verdict}: {repetition.compared:,} figures compared ({rule})", highlight=False, soft_wrap=True)
