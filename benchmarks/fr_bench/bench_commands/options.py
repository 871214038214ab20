"""Options that several commands have, and what they mean to the engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from fr_bench import values
    from fr_bench.speed.values import EngineSettings
from enum import StrEnum


class SetName(StrEnum):
    """A set of labelled photos, by the name of its folder in the test data; evaluated in this order."""

    LFW = "lfw"
    CELEBA_WILD = "celeba_wild"
    DEEPFACE = "deepface"
    NONFACE = "nonface"
    GROUPS = "groups"
    ODD_FORMATS = "odd_formats"


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
Testdata = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the labelled photos [default: FR_TESTDATA, else ../shared/testdata]"),
]
Pack = Annotated[str, typer.Option(help="Model pack.")]
Device = Annotated[str, typer.Option(help="auto, cpu, openvino, cuda[:N], tensorrt[:N], or several: cuda:0,1.")]
Precision = Annotated[
    Literal["fastest", "f32", "bf16", "fp16"],
    typer.Option(
        help="Numbers that the models compute with; fastest is bf16 where the processor has it, fp16 on a named GPU."
    ),
]
Detection = Annotated[
    Literal["thorough", "fast"],
    typer.Option(help="fast looks closer only where it saw no face; thorough is the server's default."),
]
Threads = Annotated[int, typer.Option(min=0, help="Threads of one inference; 0 lets the engine choose.")]
Lanes = Annotated[int, typer.Option(min=0, help="Batches in work at once; 0 lets the engine choose.")]
Repeat = Annotated[int, typer.Option(min=1, help="Rounds of each; figures are medians.")]
Peer = Annotated[
    Literal["insightface"] | None, typer.Option(help="Measure this too, in turn, on the same photos and models.")
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
    """Return what the options ask of an engine; the fastest numbers are those of the device."""
    from fr_bench.speed.engine import fastest_precision
    from fr_bench.speed.values import EngineSettings

    numbers = fastest_precision(device) if precision == "fastest" else precision
    return EngineSettings(pack, device, numbers, detection, threads, lanes, workers)


def bar_of(photos_per_s: float | None) -> values.Bar | None:
    """Return the bar that `--bar` sets, or None without one."""
    from fr_bench import values

    return None if photos_per_s is None else values.Bar(photos_per_s, at_least=True)
