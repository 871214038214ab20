"""`fr bench training`."""

from __future__ import annotations

from typing import Annotated

import typer

from fr_bench.bench_commands.options import JsonOption, OutOption
from fr_bench.bench_commands.output import tell_page, tell_step
from fr_evaluation.cli_parts import errors_to_stderr


def training(
    trainees: Annotated[int, typer.Option(min=1, max=1000, help="Who decide at once.")] = 500,
    every: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.05, help="Between two decisions of each, whatever became of those."),
    ] = 2.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of the load.")] = 60.0,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Make the course of this data set, which is linked [default: faces of photos of the package registry]",
        ),
    ] = None,
    channels: Annotated[int, typer.Option(min=1, help="Connections of the process that sends.")] = 4,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Of our server; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the moments and of the answers.")] = 1,
    bar: Annotated[bool, typer.Option("--bar/--no-bar", help="Exit status 1 if a bar is missed.")] = False,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Measure a course under load: trainees who decide at fixed moments, and whether every decision is kept."""
    with errors_to_stderr():
        from fr_bench.speed.training import bench_training
        from fr_bench.speed.training_report import training_page
        from fr_bench.speed.training_values import TrainingOrder

        options = tuple(part for setting in settings or () for part in ("--set", setting))
        order = TrainingOrder(trainees, every, seconds, channels, seed, dataset, options)
        tell_page(training_page(bench_training(order, tell_step)), as_json, out, bar)
