"""Options that several commands have, and what they mean to the engine."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fr_bench.speed.values import EngineSettings
    from fr_bench.values import Bar


class Precision(StrEnum):
    """Numbers that the models compute with."""

    FASTEST = "fastest"
    F32 = "f32"
    BF16 = "bf16"
    FP16 = "fp16"


class Detection(StrEnum):
    """The places where the detector looks for faces."""

    THOROUGH = "thorough"
    FAST = "fast"


class PeerName(StrEnum):
    """Software that is measured beside FR Core."""

    INSIGHTFACE = "insightface"


PhotosOption = Annotated[
    list[str] | None,
    typer.Option(
        "--photos",
        metavar="DIR|lfw|t1",
        help="A folder, lfw (in the test data) or t1 (InsightFace's sample); may be repeated, they take turns "
        "[default: lfw]",
    ),
]
NumberOption = Annotated[
    int, typer.Option(min=0, help="Photos of a round; 0 for all there are, but 20 at least and 200 at most.")
]
TestdataOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the labelled photos [default: FR_TESTDATA, else ../shared/testdata]"),
]
PackOption = Annotated[str, typer.Option(help="Model pack.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, openvino, cuda[:N], tensorrt[:N], or several: cuda:0,1.")]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        help="Numbers that the models compute with; fastest is bf16 where the processor has it, fp16 on a named GPU."
    ),
]
DetectionOption = Annotated[
    Detection, typer.Option(help="fast looks closer only where it saw no face; thorough is the server's default.")
]
ThreadsOption = Annotated[int, typer.Option(min=0, help="Threads of one inference; 0 lets the engine choose.")]
LanesOption = Annotated[int, typer.Option(min=0, help="Batches in work at once; 0 lets the engine choose.")]
RepeatOption = Annotated[int, typer.Option(min=1, help="Rounds of each; figures are medians.")]
PeerOption = Annotated[PeerName | None, typer.Option(help="Measure this too, in turn, on the same photos and models.")]
BarOption = Annotated[
    float | None, typer.Option(metavar="PHOTOS/S", min=0, help="What must be reached; exit status 1 if it is not.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write JSON, a page and plots here [default: benchmarks/results in a clone, else nothing is written]",
    ),
]


def engine_settings(
    pack: str, device: str, precision: Precision, detection: Detection, threads: int, lanes: int, workers: int
) -> EngineSettings:
    """Return what the options ask of an engine; the fastest numbers are those of the device."""
    from fr_bench.speed.engine import fastest_precision
    from fr_bench.speed.values import EngineSettings

    numbers = fastest_precision(device) if precision is Precision.FASTEST else str(precision)
    return EngineSettings(pack, device, numbers, str(detection), threads, lanes, workers)


def bar_of(photos_per_s: float | None) -> Bar | None:
    """Return the bar that `--bar` sets, or None without one."""
    from fr_bench.values import Bar

    return None if photos_per_s is None else Bar(photos_per_s, at_least=True)
