"""Prints the progress and the report of a measurement, and writes the results."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from fr_bench.cli import MISSED, PIPE_WIDTH
from fr_evaluation.cli_parts import NOT_MADE

if TYPE_CHECKING:
    from fr_bench.speed.page import Page
    from fr_bench.speed.values import Round

# Where results are kept in a clone of the repository.
_RESULTS = Path("benchmarks/results")


def results_folder(out: Path | None) -> Path | None:
    """Return where results are written: `--out`, else the clone's own folder, else nowhere."""
    return out or (_RESULTS if _RESULTS.is_dir() else None)


def command_line() -> str:
    """Return the command that runs, as it could be typed."""
    return shlex.join(["fr", *sys.argv[1:]])


def tell_round(turn: int, repeat: int, done: Round) -> None:
    """Print a finished round on standard error."""
    typer.echo(f"round {turn} of {repeat}: {done.subject} {done.photos_per_s:.1f} photos/s", err=True)


def tell_step(told: str) -> None:
    """Print a finished step on standard error."""
    typer.echo(told, err=True)


def tell(page: Page, as_json: bool, out: Path | None) -> None:
    """Print and write a report, and end with the status of its bars."""
    from fr_bench.speed.page import can_plot

    if as_json:
        typer.echo(page.json, nl=False)
    else:
        console = Console()
        (console if console.is_terminal else Console(width=PIPE_WIDTH)).print(page.render())
    folder = results_folder(out)
    if folder is not None:
        if page.plots is not None and not can_plot():
            typer.echo("No plots are made, since Matplotlib is missing: pip install '.[bench]' in a clone.", err=True)
        try:
            for path in page.write(folder, command_line()):
                typer.echo(f"written: {path}", err=True)
        except OSError as error:
            typer.echo(f"The results cannot be written to {folder}: {error.strerror}.", err=True)
            raise typer.Exit(NOT_MADE) from error
    if page.missed:
        raise typer.Exit(MISSED)
