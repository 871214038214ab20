"""Runs `fr train simulate`: simulated trainees take a course, and the product's figures are compared with the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fr_datasets.exit_status import errors_to_status, printable

if TYPE_CHECKING:
    from fr_training.simulation.claims import Claim
    from fr_training.simulation.study import Study

MISSED = 1
NOT_MADE = 2

Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write simulation.html and simulation.json here.")
]


def simulate(
    trainees: Annotated[int, typer.Option(min=10, max=100_000, help="Simulated trainees.")] = 500,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Decides all of it.")] = 1,
    out: Out = None,
    bar: Annotated[bool, typer.Option("--bar", help="Exit status 1 if a bar is missed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let simulated trainees of known ability take a course, and compare the estimates with the truth.

    It needs no server, no photo and no person, and does not show how people answer.
    """
    with errors_to_status(NOT_MADE):
        from fr_training.report.cells import text
        from fr_training.simulation.report import NOTICE, all_claims, all_met, document, sections, summary
        from fr_training.simulation.study import run_study

        _require_writable(out)
        with _progress() as on_progress:
            study = run_study(trainees, seed, on_progress=on_progress)
        claims = all_claims(study)
        keys = document(study, claims)
        if out is not None:
            _write(study, claims, keys, out)
    if as_json:
        typer.echo(keys, nl=False)
    else:
        from fr_evaluation.cli_parts import print_words

        print_words(summary(study, claims), sections(study, claims), text(NOTICE))
    if bar and not all_met(claims):
        raise typer.Exit(MISSED)


def _require_writable(out: Path | None) -> None:
    """End the command before the trainees start if the files cannot be written."""
    if out is None:
        return
    import_module("fr_training.simulation.page")  # needs matplotlib, which may not be installed
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error


def _write(study: Study, claims: tuple[Claim, ...], text: str, out: Path) -> None:
    from fr_core.storage.durable import name_whole
    from fr_training.simulation.page import page

    files = {"simulation.json": text, "simulation.html": page(study, claims)}
    try:
        for name, content in files.items():
            part = out / f"{name}.part"
            part.write_text(content, encoding="utf-8")
            name_whole(part, out / name)
    except OSError as error:
        raise _unwritable(out, error) from error
    typer.echo(f"Wrote {', '.join(files)} to {printable(str(out))}", err=True)


def _unwritable(out: Path, error: OSError) -> typer.Exit:
    typer.echo(f"The files cannot be written to {printable(str(out))}: {error.strerror}.", err=True)
    return typer.Exit(NOT_MADE)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, if that is a terminal."""
    columns = (TextColumn("trainees"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("trainees", total=None)

        def on_progress(done: int, of: int) -> None:
            shown.update(task, completed=done, total=of)

        yield on_progress
