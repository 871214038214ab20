"""`fr bench evaluation`."""

from __future__ import annotations

from typing import Annotated

import typer

from fr_bench.bench_commands.options import JsonOption, TestdataOption
from fr_bench.bench_commands.telling import tell_step
from fr_bench.cli import MISSED
from fr_evaluation.cli_parts import errors_to_stderr


def evaluation(
    testdata: TestdataOption = None,
    n: Annotated[int, typer.Option("--n", min=1000, help="Similarities to reduce: random, seeded.")] = 10_000_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the similarities.")] = 1,
    bar: Annotated[bool, typer.Option("--bar/--no-bar", help="Exit status 1 if a bar is missed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure an evaluation: every photo of LFW in the test data through a server, and similarities to error rates."""
    with errors_to_stderr():
        from fr_bench.speed.evaluation import bench_evaluation, evaluation_json, evaluation_text, missed
        from fr_bench.testdata import find_testdata

        report = bench_evaluation(find_testdata(testdata), n, seed, tell_step)
        typer.echo(evaluation_json(report) if as_json else evaluation_text(report), nl=False)
        if bar and missed(report):
            raise typer.Exit(MISSED)
