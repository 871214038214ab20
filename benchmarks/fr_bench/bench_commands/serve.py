"""`fr bench serve`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fr_bench.bench_commands import options
from fr_bench.bench_commands.options import tell, tell_round
from fr_evaluation.cli_parts import errors_to_stderr


def serve(
    photos: options.Photos = None,
    number: options.Number = 0,
    testdata: options.Testdata = None,
    server: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A server that runs already [default: start one]")
    ] = None,
    server_pid: Annotated[
        int | None,
        typer.Option(min=1, help="The first process of that server, if it runs here: its processor time is told."),
    ] = None,
    method: Annotated[
        Literal["embed", "stream", "batch", "detect", "search"],
        typer.Option(
            help="What is asked of it; stream: embeddings over one stream for each connection; batch: embeddings of 16 "
            "photos a call."
        ),
    ] = "embed",
    mode: Annotated[
        Literal["closed", "open"],
        typer.Option(help="closed: so many calls at once; open: calls arrive at a rate, whatever becomes of them."),
    ] = "closed",
    concurrency: Annotated[
        int, typer.Option(min=1, help="Calls, or photos of streams, at once in the closed loop.")
    ] = 8,
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
    settings: options.Settings = None,
    batches: Annotated[
        bool, typer.Option("--batches", help="Let our server serve metrics, and read the sizes of its batches.")
    ] = False,
    metrics_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Read them from the metrics of the server named by --server.")
    ] = None,
    pack: options.Pack = "buffalo_s",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    detection: options.Detection = "fast",
    threads: options.Threads = 0,
    lanes: options.Lanes = 0,
    workers: Annotated[int, typer.Option(min=0, help="Photos at a time; 0 lets the server choose.")] = 0,
    repeat: options.Repeat = 5,
    peer: options.Peer = None,
    peer_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL|stand-in",
            help="Measure an InsightFace Server too, in turn, with the same photos and calls at once; stand-in starts "
            "its own pipeline behind the same REST.",
        ),
    ] = None,
    peer_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file with the API key of --peer-url, and nothing else.")
    ] = None,
    peer_pid: Annotated[
        int | None, typer.Option(min=1, help="The first process of --peer-url, if it runs here, as --server-pid.")
    ] = None,
    secured: Annotated[
        bool, typer.Option("--secured", help="Start the server with TLS, API keys and audit, as fr server init does.")
    ] = False,
    bar: options.Bar = None,
    allow_busy: options.AllowBusy = False,
    as_json: options.AsJson = False,
    out: options.Out = None,
) -> None:
    """Measure a server under load over gRPC: photos per second, latencies, what it refuses, and its memory."""
    if (mode == "open") != (rate is not None):
        raise typer.BadParameter("--rate is for --mode open, which needs it.", param_hint="--rate")
    if overload is not None and mode == "open":
        raise typer.BadParameter("--overload finds its peak with --mode closed.", param_hint="--overload")
    if ratio_to_pipeline and mode == "open":
        raise typer.BadParameter("The peak of a server is found with --mode closed.", param_hint="--ratio-to-pipeline")
    if server is not None and (settings or batches or frontends is not None):
        raise typer.BadParameter(
            "--set, --batches and --frontends are for a server that is started here; --metrics-url is for another.",
            param_hint="--server",
        )
    if server is None and server_pid is not None:
        raise typer.BadParameter("It goes with --server.", param_hint="--server-pid")
    engine_options = (pack, device, precision, detection, threads, lanes, workers)
    if server is not None and engine_options != ("buffalo_s", "auto", "auto", "fast", 0, 0, 0):
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
    if secured and server is not None:
        raise typer.BadParameter("It is for a server that is started here.", param_hint="--secured")
    if peer_url is None and (peer_key is not None or peer_pid is not None):
        raise typer.BadParameter("--peer-key and --peer-pid go with it.", param_hint="--peer-url")
    if peer_url is not None and (method, mode) != ("embed", "closed"):
        raise typer.BadParameter("It is measured with --method embed and --mode closed.", param_hint="--peer-url")
    if method in ("stream", "batch") and mode != "closed":
        raise typer.BadParameter("Streams and batches are measured with --mode closed.", param_hint="--method")
    loads = _loads(sweep)
    with errors_to_stderr():
        from fr_bench.speed.report import page_of
        from fr_bench.speed.rest_peer import RestOrder, read_key
        from fr_bench.speed.serve import ServeOrder, bench_serve
        from fr_bench.speed.values import LoadSettings
        from fr_bench.speed.workload import read_photos

        load = LoadSettings(
            method,
            mode,
            concurrency,
            rate,
            seconds,
            deadline,
            generators,
            channels or max(2, 4 * (frontends or 0)),
            seed,
            gallery_size if method == "search" else None,
            frontends,
            tuple(part for setting in settings or () for part in ("--set", setting)),
            secured,
        )
        rest = None if peer_url is None else RestOrder(peer_url, read_key(peer_key) if peer_key else "", peer_pid)
        order = ServeOrder(
            engine=options.engine_settings(pack, device, precision, detection, threads, lanes, workers),
            load=load,
            address=server,
            repeat=repeat,
            peer=peer,
            with_pipeline=ratio_to_pipeline,
            sweep=loads,
            overload=overload,
            with_batches=batches,
            metrics_url=metrics_url,
            bar=options.bar_of(bar),
            server_pid=server_pid,
            rest=rest,
            allow_busy=allow_busy,
        )
        report = bench_serve(order, read_photos(photos or ["lfw"], number, testdata), tell_round)
        tell(page_of(report), as_json, out)


def _loads(text: str | None) -> tuple[float, ...]:
    """The loads of a sweep, such as "1,2,4"."""
    try:
        loads = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a list of loads, such as 1,2,4.", param_hint="--sweep") from error
    if not all(0 < load < float("inf") for load in loads):
        raise typer.BadParameter("Each load must be above 0.", param_hint="--sweep")
    return loads
