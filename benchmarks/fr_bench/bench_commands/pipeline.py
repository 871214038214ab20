"""`fr bench pipeline`."""

from __future__ import annotations

from typing import Annotated

import typer

from fr_bench.bench_commands.options import (
    BarOption,
    Detection,
    DetectionOption,
    DeviceOption,
    JsonOption,
    LanesOption,
    NumberOption,
    OutOption,
    PackOption,
    PeerOption,
    PhotosOption,
    Precision,
    PrecisionOption,
    RepeatOption,
    TestdataOption,
    ThreadsOption,
    bar_of,
    engine_settings,
)
from fr_bench.bench_commands.output import tell, tell_round
from fr_evaluation.cli_parts import errors_to_stderr


def pipeline(
    photos: PhotosOption = None,
    number: NumberOption = 0,
    testdata: TestdataOption = None,
    pack: PackOption = "buffalo_s",
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.FASTEST,
    detection: DetectionOption = Detection.FAST,
    threads: ThreadsOption = 0,
    lanes: LanesOption = 0,
    workers: Annotated[int, typer.Option(min=0, help="Photos at a time; 0 for as many as the server takes.")] = 0,
    repeat: RepeatOption = 5,
    peer: PeerOption = None,
    bar: BarOption = None,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Measure the pipeline in this process: photos and faces per second, and where the time goes."""
    with errors_to_stderr():
        from fr_bench.speed.pipeline import bench_pipeline
        from fr_bench.speed.workload import read_photos

        settings = engine_settings(pack, device, precision, detection, threads, lanes, workers)
        listed = read_photos(photos or ["lfw"], number, testdata)
        report = bench_pipeline(settings, listed, repeat, None if peer is None else str(peer), bar_of(bar), tell_round)
        tell(report, as_json, out)
