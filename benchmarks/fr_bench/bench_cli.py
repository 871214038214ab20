"""`fr bench`: speed of the pipeline, a server, searches and a course. Heavy imports wait until a command runs."""

from __future__ import annotations

import typer

from fr_bench.bench_commands.gallery import gallery
from fr_bench.bench_commands.pipeline import pipeline
from fr_bench.bench_commands.search import search
from fr_bench.bench_commands.serve import serve
from fr_bench.bench_commands.training import training

bench = typer.Typer(
    no_args_is_help=True,
    help="Measure speed: of the pipeline in process, of a server under load, of searches, of a course. "
    "Exit status 1 if --bar is missed, 2 if it cannot be measured.",
)
for command in (pipeline, serve, search, gallery, training):
    bench.command()(command)
