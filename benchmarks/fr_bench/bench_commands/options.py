"""Options that several commands have, and what they mean to the engine."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from fr_evaluation.cli_parts import NOT_MADE

if TYPE_CHECKING:
    from fr_bench import values
    from fr_bench.speed.page import Page
    from fr_bench.speed.values import EngineSettings, Round

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
    told = f"round {turn} of {repeat}: {done.subject} {done.photos_per_s:.1f} photos/s"
    typer.echo(told + ("" if done.other_load is None else f", other load {done.other_load:.0%}"), err=True)


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


class SetName(StrEnum):
    """A set of labelled photos, by the name of its folder in the test data; evaluated in this order."""

    LFW = "lfw"
    CELEBA_WILD = "celeba_wild"
    DEEPFACE = "deepface"
    NONFACE = "nonface"
    GROUPS = "groups"
    ODD_FORMATS = "odd_formats"


# A table that is cut off in a pipe or a file helps nobody.
PIPE_WIDTH = 160

# Exit statuses: 0 all bars reached, 1 a bar missed, 2 (of `errors_to_stderr`) the evaluation could not be made.
MISSED = 1

Photos = Annotated[
    list[str] | None,
    typer.Option(
        "--photos",
        metavar="DIR|lfw|t1",
        help="A folder, lfw (in the test data) or t1 (InsightFace's sample); may be repeated, they take turns "
        "[default: lfw]",
    ),
]
Number = Annotated[
    int, typer.Option(min=0, help="Photos of a round; 0 for all there are, but 20 at least and 200 at most.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Of our server; may be repeated.")
]
AllowBusy = Annotated[
    bool, typer.Option("--allow-busy", help="Print ratios even where other processes are busy and make them worthless.")
]
Decides = Annotated[bool, typer.Option("--bar/--no-bar", help="Exit status 1 if a bar is missed.")]
Testdata = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the labelled photos [default: FR_TESTDATA, else ../shared/testdata]"),
]
Pack = Annotated[str, typer.Option(help="Model pack.")]
Device = Annotated[str, typer.Option(help="auto, cpu, openvino, cuda[:N], tensorrt[:N], or several: cuda:0,1.")]
Precision = Annotated[
    Literal["auto", "f32", "bf16", "fp16"],
    typer.Option(help="Numbers that the models compute with; auto as for the server."),
]
Detection = Annotated[
    Literal["thorough", "fast"],
    typer.Option(help="fast looks closer only where it saw no face; thorough is the server's default."),
]
Threads = Annotated[int, typer.Option(min=0, help="Threads of one inference; 0 lets the engine choose.")]
Lanes = Annotated[int, typer.Option(min=0, help="Batches in work at once; 0 lets the engine choose.")]
Repeat = Annotated[int, typer.Option(min=1, help="Rounds of each; figures are medians.")]
Peer = Annotated[
    Literal["insightface", "insightface-96+512"] | None,
    typer.Option(
        help="Measure this too, in turn, on the same photos and models: FaceAnalysis with photos at 640 px, as in its "
        "examples, or at 96 and 512 px, as in InsightFace Server."
    ),
]
Bar = Annotated[
    float | None, typer.Option(metavar="PHOTOS/S", min=0, help="What must be reached; exit status 1 if it is not.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write JSON, a page and plots here [default: benchmarks/results in a clone, else nothing is written]",
    ),
]


def engine_settings(
    pack: str, device: str, precision: str, detection: str, threads: int, lanes: int, workers: int
) -> EngineSettings:
    """Return what the options ask of an engine."""
    from fr_bench.speed.values import EngineSettings

    return EngineSettings(pack, device, precision, detection, threads, lanes, workers)


def bar_of(photos_per_s: float | None) -> values.Bar | None:
    """Return the bar that `--bar` sets, or None without one."""
    from fr_bench import values

    return None if photos_per_s is None else values.Bar(photos_per_s, at_least=True)
