"""Defines `fr bench video` and its options."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fr_bench.bench_commands import options
from fr_bench.bench_commands.options import tell, tell_step
from fr_evaluation.cli_parts import Root, errors_to_stderr, root_of

_PEOPLE, _SECONDS = 40, 120.0


def video(
    footage: Annotated[
        Literal["made", "youtube_faces", "chokepoint"],
        typer.Option(help="Film people of LFW, or take the videos of a data set."),
    ] = "made",
    root: Root = None,
    people: Annotated[int, typer.Option(min=3, help="Number of people in made footage.")] = _PEOPLE,
    seconds: Annotated[float, typer.Option(min=12.0, help="Length of made footage, for each recorder.")] = _SECONDS,
    height: Annotated[int, typer.Option(min=180, max=2160, help="Height of made footage in pixels, at 16 : 9.")] = 1080,
    strangers: Annotated[int, typer.Option(min=0, help="Number of enrolled people who are not in made footage.")] = 500,
    tuning: Annotated[
        bool, typer.Option("--tuning", help="Film the people who are for tuning, not those for evaluation.")
    ] = False,
    testdata: options.Testdata = None,
    pack: options.Pack = "buffalo_s",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    detection: options.Detection = "fast",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the paths that people take.")] = 1,
    bar: options.Decides = False,
    as_json: options.AsJson = False,
    out: options.Out = None,
) -> None:
    """Measure footage with known people: frames/s per core, tracks found and switched, and tracks against photos.

    `--footage youtube_faces` and `chokepoint` read that data set from the folder that is linked or given as --root.
    """
    if footage == "made" and root is not None:
        raise typer.BadParameter("It is the folder of a data set.", param_hint="--root")
    with errors_to_stderr():
        from fr_bench.footage.made import Filming
        from fr_bench.footage.report import video_page
        from fr_bench.footage.run import MadeOrder, bench_made, bench_set
        from fr_bench.speed.workload import find_testdata

        settings = options.engine_settings(pack, device, precision, detection, 0, 0, 0)
        if footage == "made":
            size = (height * 16 // 9 // 2 * 2, height // 2 * 2)  # encoders take even sides
            folder: Path = find_testdata(testdata) / "lfw" / "images"
            order = MadeOrder(folder, Filming(people, seconds, size, seed), strangers, tuning)
            report = bench_made(order, settings, tell_step)
        else:
            from fr_datasets.catalogue import VIDEO_READERS

            report = bench_set(VIDEO_READERS[footage](root_of(footage, root)), settings, tell_step)
        tell(video_page(report, decides=bar), as_json, out)
