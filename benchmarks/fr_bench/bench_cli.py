"""`fr bench`: speed of the pipeline, of a server and of searches. Heavy imports wait until a command runs."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fr_bench.cli import MISSED, NOT_MADE, PIPE_WIDTH, errors_to_stderr

if TYPE_CHECKING:
    from fr_bench.speed.values import BenchReport, EngineSettings, Round
    from fr_bench.values import Bar

# Where results are kept in a clone of the repository.
RESULTS = Path("benchmarks/results")

bench = typer.Typer(
    no_args_is_help=True,
    help="Measure speed: of the pipeline in process, of a server under load, of searches. "
    "Exit status 1 if --bar is missed, 2 if it cannot be measured.",
)


class Precision(StrEnum):
    """Numbers that the models compute with."""

    FASTEST = "fastest"
    F32 = "f32"
    BF16 = "bf16"
    FP16 = "fp16"


class Detection(StrEnum):
    """Where faces are looked for."""

    THOROUGH = "thorough"
    FAST = "fast"


class PeerName(StrEnum):
    """What is measured beside FR Core."""

    INSIGHTFACE = "insightface"


class ProbePhotos(StrEnum):
    """Photos whose faces are searched for: those of which it is known who is on them."""

    LFW = "lfw"


class MethodName(StrEnum):
    """What is asked of the server."""

    EMBED = "embed"
    DETECT = "detect"
    SEARCH = "search"


class Mode(StrEnum):
    """How the load is made."""

    CLOSED = "closed"
    OPEN = "open"


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


@bench.command()
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

        settings = _engine(pack, device, precision, detection, threads, lanes, workers)
        listed = read_photos(photos or ["lfw"], number, testdata)
        report = bench_pipeline(settings, listed, repeat, None if peer is None else str(peer), _bar(bar), _tell_round)
        _tell(report, as_json, out)


@bench.command()
def serve(
    photos: PhotosOption = None,
    number: NumberOption = 0,
    testdata: TestdataOption = None,
    server: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A server that runs already [default: start one]")
    ] = None,
    method: Annotated[MethodName, typer.Option(help="What is asked of it.")] = MethodName.EMBED,
    mode: Annotated[
        Mode,
        typer.Option(help="closed: so many calls at once; open: calls arrive at a rate, whatever becomes of them."),
    ] = Mode.CLOSED,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls at once of the closed loop.")] = 8,
    rate: Annotated[
        float | None, typer.Option(metavar="CALLS/S", min=0.001, help="Arrivals of the open loop, a Poisson process.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of an open loop.")] = 30.0,
    deadline: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="An open loop's answer later than this is not good.")
    ] = 2.0,
    sweep: Annotated[
        str | None, typer.Option(metavar="LOAD,LOAD,...", help="Then one point for each load: calls at once, or rates.")
    ] = None,
    overload: Annotated[
        float | None,
        typer.Option(metavar="TIMES", min=0.1, help="Then an open loop at so many times the peak of the closed loop."),
    ] = None,
    ratio_to_pipeline: Annotated[
        bool, typer.Option("--ratio-to-pipeline", help="Measure the same engine in this process too, in turn.")
    ] = False,
    generators: Annotated[int, typer.Option(min=1, help="Processes that send.")] = 1,
    channels: Annotated[
        int, typer.Option(min=0, help="Connections of each; 0 for 2, or 4 for each of --frontends.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the arrivals and of the gallery.")] = 1,
    gallery_size: Annotated[int, typer.Option(min=1, help="Templates of the gallery that is searched.")] = 1000,
    frontends: Annotated[
        int | None, typer.Option(min=0, help="Processes of our server that answer calls (server.frontends).")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Of our server; may be repeated.")
    ] = None,
    batches: Annotated[
        bool, typer.Option("--batches", help="Let our server serve metrics, and read the sizes of its batches.")
    ] = False,
    metrics_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Read them from the metrics of the server named by --server.")
    ] = None,
    pack: PackOption = "buffalo_s",
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.FASTEST,
    detection: DetectionOption = Detection.FAST,
    threads: ThreadsOption = 0,
    lanes: LanesOption = 0,
    workers: Annotated[int, typer.Option(min=0, help="Photos at a time; 0 lets the server choose.")] = 0,
    repeat: RepeatOption = 5,
    peer: PeerOption = None,
    bar: BarOption = None,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Measure a server under load over gRPC: photos per second, latencies, what it refuses, and its memory."""
    if (mode is Mode.OPEN) != (rate is not None):
        raise typer.BadParameter("--rate is for --mode open, which needs it.", param_hint="--rate")
    if overload is not None and mode is Mode.OPEN:
        raise typer.BadParameter("--overload finds its peak with --mode closed.", param_hint="--overload")
    if ratio_to_pipeline and mode is Mode.OPEN:
        raise typer.BadParameter("The peak of a server is found with --mode closed.", param_hint="--ratio-to-pipeline")
    if server is not None and (settings or batches or frontends is not None):
        raise typer.BadParameter(
            "--set, --batches and --frontends are for a server that is started here; --metrics-url is for another.",
            param_hint="--server",
        )
    engine_options = (pack, device, precision, detection, threads, lanes, workers)
    if server is not None and engine_options != ("buffalo_s", "auto", Precision.FASTEST, Detection.FAST, 0, 0, 0):
        raise typer.BadParameter(
            "A server that runs already has its pack, device, precision, detection, threads, lanes and workers.",
            param_hint="--server",
        )
    if ratio_to_pipeline and any(setting.startswith(("model.", "batching.")) for setting in settings or ()):
        raise typer.BadParameter(
            "The pipeline in this process would not have these settings; give --lanes, --workers and the like.",
            param_hint="--ratio-to-pipeline",
        )
    if server is None and metrics_url is not None:
        raise typer.BadParameter(
            "It goes with --server; a server of our own takes --batches.", param_hint="--metrics-url"
        )
    loads = _loads(sweep)
    with errors_to_stderr():
        from fr_bench.speed.serve import ServeOrder, bench_serve
        from fr_bench.speed.values import LoadSettings
        from fr_bench.speed.workload import read_photos

        load = LoadSettings(
            str(method),
            str(mode),
            concurrency,
            rate,
            seconds,
            deadline,
            generators,
            channels or max(2, 4 * (frontends or 0)),
            seed,
            gallery_size if method is MethodName.SEARCH else None,
            frontends,
            tuple(part for setting in settings or () for part in ("--set", setting)),
        )
        order = ServeOrder(
            engine=_engine(pack, device, precision, detection, threads, lanes, workers),
            load=load,
            address=server,
            repeat=repeat,
            peer=None if peer is None else str(peer),
            with_pipeline=ratio_to_pipeline,
            sweep=loads,
            overload=overload,
            with_batches=batches,
            metrics_url=metrics_url,
            bar=_bar(bar),
        )
        report = bench_serve(order, read_photos(photos or ["lfw"], number, testdata), _tell_round)
        _tell(report, as_json, out)


@bench.command()
def search(
    n: Annotated[int, typer.Option("--n", min=1, help="Templates of the gallery: random, seeded.")] = 100_000,
    index: Annotated[str, typer.Option(metavar="NAME", help="As gallery.index has it.")] = "compact",
    peer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME,...",
            help="Measure these too, in turn: flat (FAISS), hnswlib, usearch; the ratio is to the first.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Candidates of a probe.")] = 20,
    probes: Annotated[int, typer.Option(min=1, help="Probes, each searched alone once; then together.")] = 1000,
    repeat: Annotated[int, typer.Option(min=1, help="Rounds that the probes are dealt out to; times are medians.")] = 5,
    concurrency: Annotated[int, typer.Option(min=1, help="Probes of one search together.")] = 64,
    dimension: Annotated[
        int | None,
        typer.Option(min=2, max=4096, help="Values of a template; of photos the pack decides [default: 512]"),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Measure these sizes too; predicts 10,000,000 from the largest."),
    ] = None,
    photos: Annotated[
        ProbePhotos | None,
        typer.Option(help="Search for faces of these photos; another photo of each person is hidden in the gallery."),
    ] = None,
    testdata: TestdataOption = None,
    pack: PackOption = "buffalo_s",
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.FASTEST,
    detection: DetectionOption = Detection.FAST,
    threads: Annotated[int, typer.Option(min=0, help="Threads of each; 0 for as many as there are processors.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of templates and probes.")] = 1,
    bar: Annotated[bool, typer.Option("--bar/--no-bar", help="Exit status 1 if a bar of the index is missed.")] = False,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Measure searches of a gallery without a server: latency, what sharing a scan saves, recall, and memory."""
    if photos is not None and dimension is not None:
        raise typer.BadParameter("With --photos the pack decides.", param_hint="--dimension")
    sizes = _sizes(sweep)
    if max(probes, k) > min((n, *sizes)):
        raise typer.BadParameter("--probes and --k must not exceed a size of the gallery.", param_hint="--n")
    if repeat > probes:
        raise typer.BadParameter("Each round needs a probe.", param_hint="--repeat")
    with errors_to_stderr():
        from fr_bench.evaluate import available_cpus
        from fr_bench.speed.search import SearchOrder, bench_search
        from fr_bench.speed.search_values import SearchSettings

        peers = tuple(name.strip() for name in peer.split(",")) if peer else ()
        settings = SearchSettings(
            index, peers, n, dimension or 512, k, probes, repeat, concurrency, threads or available_cpus(), seed, sizes
        )
        engine = None if photos is None else _engine(pack, device, precision, detection, 0, 0, 0)
        _tell(bench_search(SearchOrder(settings, engine, testdata, bar), _tell_step), as_json, out)


@bench.command()
def gallery(
    n: Annotated[int, typer.Option("--n", min=1, help="Embeddings to enrol: random, seeded.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the embeddings.")] = 1,
    bar: Annotated[bool, typer.Option("--bar/--no-bar", help="Exit status 1 if a bar is missed.")] = False,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Measure a gallery's life on a server: durable enrolment through a stream, and the start with all of it."""
    with errors_to_stderr():
        from fr_bench.speed.life import bench_gallery
        from fr_bench.speed.life_report import life_json, life_text, missed, write_life

        report = bench_gallery(n, seed, _tell_step)
        typer.echo(life_json(report) if as_json else life_text(report), nl=False)
        folder = out or (RESULTS if RESULTS.is_dir() else None)
        if folder is not None:
            for path in write_life(report, folder, shlex.join(["fr", *sys.argv[1:]])):
                typer.echo(f"written: {path}", err=True)
        if bar and missed(report):
            raise typer.Exit(MISSED)


def _engine(
    pack: str, device: str, precision: Precision, detection: Detection, threads: int, lanes: int, workers: int
) -> EngineSettings:
    from fr_bench.speed.engine import fastest_precision
    from fr_bench.speed.values import EngineSettings

    numbers = fastest_precision(device) if precision is Precision.FASTEST else str(precision)
    return EngineSettings(pack, device, numbers, str(detection), threads, lanes, workers)


def _bar(photos_per_s: float | None) -> Bar | None:
    from fr_bench.values import Bar

    return None if photos_per_s is None else Bar(photos_per_s, at_least=True)


def _loads(text: str | None) -> tuple[float, ...]:
    """The loads of a sweep, such as "1,2,4"."""
    try:
        loads = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of loads, such as 1,2,4.", param_hint="--sweep") from error
    if not all(0 < load < float("inf") for load in loads):
        raise typer.BadParameter("Each load must be above 0.", param_hint="--sweep")
    return loads


def _sizes(text: str | None) -> tuple[int, ...]:
    """The sizes of a sweep, such as "1000,10000"."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of sizes, such as 1000,10000.", param_hint="--sweep") from error


def _tell_round(turn: int, repeat: int, done: Round) -> None:
    """On standard error, so that whoever waits sees the rounds."""
    typer.echo(f"round {turn} of {repeat}: {done.subject} {done.photos_per_s:.1f} photos/s", err=True)


def _tell_step(told: str) -> None:
    """As `_tell_round`."""
    typer.echo(told, err=True)


def _tell(report: BenchReport, as_json: bool, out: Path | None) -> None:
    """Print and write a report, and end with the status of its bar."""
    from fr_bench.speed.report import can_plot, dumped, render, write

    if as_json:
        typer.echo(dumped(report), nl=False)
    else:
        console = Console()
        (console if console.is_terminal else Console(width=PIPE_WIDTH)).print(render(report))
    folder = out or (RESULTS if RESULTS.is_dir() else None)
    if folder is not None:
        if not can_plot():
            typer.echo("No plots are made, since Matplotlib is missing: pip install '.[bench]' in a clone.", err=True)
        try:
            for path in write(report, folder, shlex.join(["fr", *sys.argv[1:]])):
                typer.echo(f"written: {path}", err=True)
        except OSError as error:
            typer.echo(f"The results cannot be written to {folder}: {error.strerror}.", err=True)
            raise typer.Exit(NOT_MADE) from error
    if report.missed:
        raise typer.Exit(MISSED)
