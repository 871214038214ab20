"""`fr serve`: turns options into a configuration and starts the server. Imports heavy modules only when it runs."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer


def serve(
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Configuration file in TOML.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (server.host).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 for any free port (server.port).")] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Gallery folder (gallery.folder).")] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE", help="Source of the gallery key: file:PATH, env:NAME or command:CMD (gallery.key)."
        ),
    ] = None,
    pack: Annotated[str | None, typer.Option(help="Model pack (model.pack).")] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, openvino, cuda[:N], tensorrt[:N], cuda:0,1 (model.device).")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="auto, f32, bf16 or fp16 (model.precision).")] = None,
    detection: Annotated[str | None, typer.Option(help="thorough or fast (model.detection).")] = None,
    flip: Annotated[
        bool | None, typer.Option(help="Fuse each embedding with that of the mirrored face (model.flip).")
    ] = None,
    frontends: Annotated[
        int | None, typer.Option(help="Additional processes that answer calls (server.frontends).")
    ] = None,
    web: Annotated[
        int | None, typer.Option(metavar="PORT", help="Also serve HTTP on this port: the console, and JSON (web.port).")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any other setting. Can be repeated.")
    ] = None,
    show: Annotated[bool, typer.Option("--print-config", help="Print the configuration as TOML and exit.")] = False,
    ready_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write HOST:PORT to this file when the server is ready.")
    ] = None,
) -> None:
    """Run the server over gRPC until SIGTERM or Ctrl-C."""
    # Until the server serves, SIGHUP stays pending in the kernel, which keeps only one; `run` unblocks it. The start
    # therefore needs no handler of its own. Child processes, such as the command of a key, also survive a SIGHUP to
    # the whole process group.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))
    from fr_datasets.exit_status import opencv_to_status

    with opencv_to_status(1):
        from fr_core.errors import FrError
        from fr_server.config import load_config, print_config
        from fr_server.config.loading import require_safe
        from fr_server.config.started import Started
        from fr_server.memory import share_heaps, uncollected
        from fr_server.storage.seal import require_sealed, unsealed
        from fr_server.telemetry.logs import configure_logging

    named = {
        "server.host": host,
        "server.port": port,
        "server.frontends": frontends,
        "web.port": web,
        "gallery.folder": None if data is None else str(data),
        "gallery.key": key,
        "model.pack": pack,
        "model.device": device,
        "model.precision": precision,
        "model.detection": detection,
        "model.flip": flip,
    }
    values = {key: value for key, value in named.items() if value is not None}
    try:
        tree = load_config(config, settings or [], values, os.environ)
        if show:
            typer.echo(print_config(tree), nl=False)
            return
        require_safe(tree)
        started = Started.of(config, require_sealed(config, tree))
        configure_logging(tree.telemetry.log_format)
        if config is not None and tree.tls.certificate and not started.sealed:
            logging.getLogger("fr_server").warning(unsealed(config))
        logging.getLogger("fr_server").info("Starting: loading the libraries")
        share_heaps()
        # Until the server handles signals itself, a signal raises an exception, which undoes unfinished work.
        give_up = _GiveUp()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, give_up)
        with uncollected():
            from fr_server.main import build, run

        asyncio.run(run(build(tree), ready_file, give_up.require_none, started))
    except FrError as error:
        typer.echo(f"{error.reason}: {error.message}", err=True)
        raise typer.Exit(1) from error
    except _GivenUp as given_up:
        sys.stderr.write("Stopped before the server was ready.\n")  # imports nothing
        logging.shutdown()
        # Skip the interpreter's shutdown: it would stop threads while their library loads models, and the library
        # aborts.
        os._exit(128 + given_up.signal_number)


class _GivenUp(BaseException):
    """A signal ended the start."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number


class _GiveUp:
    """Handles a signal during the start: raises `_GivenUp`, and remembers the signal.

    Python discards the exception in some places, such as the callback of a weak reference. There it may also leave an
    import lock held.
    """

    def __init__(self) -> None:
        self._told: _GivenUp | None = None

    def __call__(self, signal_number: int, frame: object) -> None:
        self._told = _GivenUp(signal_number)
        raise self._told

    def require_none(self) -> None:
        if self._told is not None:
            raise self._told
