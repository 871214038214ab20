"""`fr serve`: options to a configuration, then the server. Heavy imports wait until the command runs."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Annotated

import typer


def serve(
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Configuration in TOML.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (server.host).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for any free one (server.port).")] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the galleries (gallery.folder).")] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE", help="file:PATH, env:NAME or command:CMD, the key of the galleries (gallery.key)."
        ),
    ] = None,
    pack: Annotated[str | None, typer.Option(help="Model pack (model.pack).")] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, openvino, cuda[:N], tensorrt[:N], cuda:0,1 (model.device).")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="f32, bf16 or fp16 (model.precision).")] = None,
    detection: Annotated[str | None, typer.Option(help="thorough or fast (model.detection).")] = None,
    flip: Annotated[bool | None, typer.Option(help="Fuse with the mirrored face (model.flip).")] = None,
    frontends: Annotated[
        int | None, typer.Option(help="Processes beside this one that answer calls (server.frontends).")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any other setting; may be repeated.")
    ] = None,
    show: Annotated[bool, typer.Option("--print-config", help="Print the configuration as TOML and stop.")] = False,
    ready_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write HOST:PORT here when calls are answered.")
    ] = None,
) -> None:
    """Serve matching over gRPC until SIGTERM or Ctrl-C."""
    # Until the server serves, SIGHUP waits in the kernel, which keeps one of many, and `run` lets it in. So there is no
    # handler that the start, a failed start or Python's end could miss; and what is started meanwhile, such as the
    # command of a key, is not killed by one to the whole group of processes.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))
    from fr_datasets.telling import opencv_to_status

    with opencv_to_status(1):
        from fr_core.errors import FrError
        from fr_server.allocator import share_one_heap
        from fr_server.config import load_config, print_config
        from fr_server.config.safety import require_safe
        from fr_server.config.seal import require_sealed
        from fr_server.config.started import Started
        from fr_server.config.warnings import unsealed
        from fr_server.telemetry.logs import configure_logging

    named = {
        "server.host": host,
        "server.port": port,
        "server.frontends": frontends,
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
        share_one_heap()
        # Until the server minds signals itself: what was begun is undone on the way out.
        give_up = _GiveUp()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, give_up)
        from fr_server.main import build, run

        asyncio.run(run(build(tree), ready_file, give_up.require_none, started))
    except FrError as error:
        typer.echo(f"{error.reason}: {error.message}", err=True)
        raise typer.Exit(1) from error
    except _GivenUp as given_up:
        logging.shutdown()
        # Not by way of the interpreter's end: it would end threads that load models within their library, which aborts.
        os._exit(128 + given_up.signal_number)


class _GivenUp(BaseException):
    """A signal ended the start."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number


class _GiveUp:
    """Handles a signal during the start: raises `_GivenUp`, and remembers the signal.

    What is raised is lost where Python lets nothing out, such as in the callback of a weak reference; there it may also
    leave a lock of the imports taken for ever.
    """

    def __init__(self) -> None:
        self._told: _GivenUp | None = None

    def __call__(self, signal_number: int, frame: object) -> None:
        self._told = _GivenUp(signal_number)
        raise self._told

    def require_none(self) -> None:
        """Raise what a signal has raised, if there was one."""
        if self._told is not None:
            raise self._told
