"""`fr bench gallery`."""

from __future__ import annotations

from typing import Annotated

import typer

from fr_bench.bench_commands.options import JsonOption, OutOption
from fr_bench.bench_commands.output import tell_page, tell_step
from fr_evaluation.cli_parts import errors_to_stderr


def gallery(
    n: Annotated[int, typer.Option("--n", min=1, help="Embeddings to enrol: random, seeded.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the embeddings.")] = 1,
    bar: Annotated[bool, typer.Option("--bar/--no-bar", help="Exit status 1 if a bar is missed.")] = False,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Measure a gallery's life on a server: durable enrolment through a stream, and the start with all of it."""
    with errors_to_stderr():
        from fr_bench.speed.life import bench_gallery, life_page

        tell_page(life_page(bench_gallery(n, seed, tell_step)), as_json, out, bar)
