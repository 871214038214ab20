"""`fr bench`: the pipeline, a server, searches, a course and footage. Heavy imports wait until a command runs."""

from typing import Annotated, Literal

import typer

from fr_bench.bench_commands import options
from fr_bench.bench_commands.options import tell, tell_round, tell_step
from fr_bench.bench_commands.serve import serve
from fr_bench.bench_commands.video import video
from fr_evaluation.cli_parts import errors_to_stderr


def search(
    n: Annotated[int, typer.Option("--n", min=1, help="Templates of the gallery: random, seeded.")] = 100_000,
    index: Annotated[
        str, typer.Option(metavar="NAME", help="As gallery.index has it; milvus needs $FR_MILVUS_URI.")
    ] = "compact",
    server_pid: Annotated[
        int | None,
        typer.Option(
            min=1, help="The first process of Milvus, if it runs here, so that it does not count as other work."
        ),
    ] = None,
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
        Literal["lfw"] | None,
        typer.Option(help="Search for faces of these photos; another photo of each person is hidden in the gallery."),
    ] = None,
    testdata: options.Testdata = None,
    pack: options.Pack = "buffalo_s",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    detection: options.Detection = "fast",
    threads: Annotated[int, typer.Option(min=0, help="Threads of each; 0 for as many as there are processors.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of templates and probes.")] = 1,
    bar: Annotated[bool, typer.Option("--bar/--no-bar", help="Exit status 1 if a bar of the index is missed.")] = False,
    allow_busy: options.AllowBusy = False,
    as_json: options.AsJson = False,
    out: options.Out = None,
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
        from fr_bench.speed.report import page_of
        from fr_bench.speed.search import SearchOrder, bench_search
        from fr_bench.speed.search_report import SearchSettings

        peers = tuple(name.strip() for name in peer.split(",")) if peer else ()
        settings = SearchSettings(
            index, peers, n, dimension or 512, k, probes, repeat, concurrency, threads or available_cpus(), seed, sizes
        )
        engine = None if photos is None else options.engine_settings(pack, device, precision, detection, 0, 0, 0)
        order = SearchOrder(settings, engine, testdata, bar, allow_busy, server_pid)
        tell(page_of(bench_search(order, tell_step)), as_json, out)


def _sizes(text: str | None) -> tuple[int, ...]:
    """The sizes of a sweep, such as "1000,10000"."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a list such as 1000,10000.", param_hint="--sweep") from error


def pipeline(
    photos: options.Photos = None,
    number: options.Number = 0,
    testdata: options.Testdata = None,
    pack: options.Pack = "buffalo_s",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    detection: options.Detection = "fast",
    threads: options.Threads = 0,
    lanes: options.Lanes = 0,
    workers: Annotated[int, typer.Option(min=0, help="Photos at a time; 0 for as many as the server takes.")] = 0,
    repeat: options.Repeat = 5,
    peer: options.Peer = None,
    bar: options.Bar = None,
    allow_busy: options.AllowBusy = False,
    as_json: options.AsJson = False,
    out: options.Out = None,
) -> None:
    """Measure the pipeline in this process: photos and faces per second, and where the time goes."""
    with errors_to_stderr():
        from fr_bench.speed.pipeline import bench_pipeline
        from fr_bench.speed.report import page_of
        from fr_bench.speed.workload import read_photos

        settings = options.engine_settings(pack, device, precision, detection, threads, lanes, workers)
        listed = read_photos(photos or ["lfw"], number, testdata)
        report = bench_pipeline(settings, listed, repeat, peer, options.bar_of(bar), tell_round, allow_busy=allow_busy)
        tell(page_of(report), as_json, out)


def gallery(
    n: Annotated[int, typer.Option("--n", min=1, help="Embeddings to enrol: random, seeded.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the embeddings.")] = 1,
    bar: options.Decides = False,
    as_json: options.AsJson = False,
    out: options.Out = None,
) -> None:
    """Measure a gallery's life on a server: durable enrolment through a stream, and the start with all of it."""
    with errors_to_stderr():
        from fr_bench.speed.life import bench_gallery, life_page

        tell(life_page(bench_gallery(n, seed, tell_step), decides=bar), as_json, out)


def storage(
    url: Annotated[str, typer.Option(metavar="URL", help="An empty PostgreSQL database, as storage.url has it.")],
    password: Annotated[
        str | None, typer.Option(envvar="FR_BENCH_PASSWORD", show_envvar=True, help="Password of the database.")
    ] = None,
    n: Annotated[int, typer.Option("--n", min=100, help="Number of random templates in each gallery.")] = 20_000,
    repeat: Annotated[int, typer.Option(min=1, help="Number of rounds; each measures both.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the templates.")] = 1,
    bar: options.Decides = False,
    as_json: options.AsJson = False,
    out: options.Out = None,
) -> None:
    """Compare galleries in PostgreSQL with galleries in a folder: searches, and durable enrolments."""
    with errors_to_stderr():
        from fr_bench.speed.storage import bench_storage, storage_page

        tell(storage_page(bench_storage(url, password, n, repeat, seed, tell_step), decides=bar), as_json, out)


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
    web: Annotated[bool, typer.Option("--web", help="Take it in browsers, on the pages of the console.")] = False,
    channels: Annotated[int, typer.Option(min=1, help="Connections of the process that sends.")] = 4,
    settings: options.Settings = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the moments and of the answers.")] = 1,
    bar: options.Decides = False,
    as_json: options.AsJson = False,
    out: options.Out = None,
) -> None:
    """Measure a course under load: trainees who decide at fixed moments, and whether every decision is kept."""
    with errors_to_stderr():
        from fr_bench.speed.training import bench_training
        from fr_bench.speed.training_report import TrainingOrder, training_page

        options = tuple(part for setting in settings or () for part in ("--set", setting))
        order = TrainingOrder(trainees, every, seconds, channels, seed, dataset, options, web)
        tell(training_page(bench_training(order, tell_step), decides=bar), as_json, out)


bench = typer.Typer(
    no_args_is_help=True,
    help="Measure speed: of the pipeline in process, of a server under load, of searches, of a course, "
    "of footage. "
    "Exit status 1 if --bar is missed, 2 if it cannot be measured, also because other processes are busy.",
)
for command in (pipeline, serve, search, gallery, storage, training, video):
    bench.command()(command)
