"""A server to attack, in a process of its own.

`python tests/support/guarded.py SETTINGS --ready-file FILE` serves until SIGTERM. It has a model that takes a fixed
time for each batch, and the limits of `fr_server.gateway.listening`, but for those that SETTINGS takes away.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

import grpc.aio

from fr_server.app import App
from fr_server.config import config_from
from fr_server.gateway.listening import channel_limits
from fr_server.main import open_galleries, run
from fr_server.memory import share_one_heap
from fr_server.telemetry.logs import configure_logging
from support.faults import FaultyModel, Started, started
from support.servers import NULL_QUALITY, batched_engine

Options = tuple[tuple[str, Any], ...]

BATCH_S = 0.05
"""Seconds that the model takes for a batch."""


@contextmanager
def started_guarded(
    folder: Path, without: Sequence[str] = (), instead: Mapping[str, int] = MappingProxyType({})
) -> Iterator[Started]:
    """Start a server of this module.

    Args:
        folder: for its files.
        without: options that it leaves at gRPC's defaults, for a control.
        instead: options with other values than those of `channel_limits`.
    """
    settings = {"folder": str(folder / "data"), "without": list(without), "instead": dict(instead)}
    with started(folder, sys.executable, "-P", __file__, json.dumps(settings)) as server:
        yield server


def options_of(settings: Mapping[str, Any], given: Options) -> Options:
    """Return those of the server itself with all the limits, then without some, then with others instead."""
    options = {**dict(given), **dict(channel_limits())}
    kept = {name: value for name, value in options.items() if name not in settings["without"]}
    return tuple({**kept, **settings["instead"]}.items())


def _main(settings: Mapping[str, Any], ready_file: str) -> None:
    share_one_heap()  # as `fr serve` does
    configure_logging("text")
    config = config_from({"server": {"port": 0}, "quality": NULL_QUALITY, "gallery": {"folder": settings["folder"]}})
    make = grpc.aio.server

    def guarded(interceptors: Sequence[grpc.aio.ServerInterceptor], options: Options) -> grpc.aio.Server:
        return make(interceptors=interceptors, options=options_of(settings, options))

    with patch("grpc.aio.server", guarded):
        app = App(config, batched_engine(config, [FaultyModel(BATCH_S)]), open_galleries(config))
        asyncio.run(run(app, Path(ready_file)))


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]), sys.argv[3])
