"""Starts a server as `fr server init` sets one up, with TLS and keys; in a process of its own, or not.

Run as a script with SETTINGS --ready-file FILE, this file serves with a model that takes a fixed time for each batch.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc
from typer.testing import CliRunner, Result

from fr_api.v1 import common_pb2, recognition_pb2, recognition_pb2_grpc, server_pb2, server_pb2_grpc
from fr_bench.speed.stats import percentile
from fr_client.cli.main import build
from fr_core.embed.null import NULL_MODEL
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_server.clock import wall_ms
from fr_server.config import Config, load_config
from fr_server.config.loading import require_safe
from fr_server.config.started import Started as StartedConfig
from fr_server.main import build as build_app
from fr_server.main import open_galleries, run
from fr_server.memory import share_heaps
from fr_server.rpc.interceptors.admission import most_streams
from fr_server.storage.opening import open_access, open_stores
from fr_server.storage.seal import require_sealed
from fr_server.telemetry.logs import configure_logging
from fr_trust.access.budget import UNLIMITED, Budget
from fr_trust.access.keys import NewKey
from fr_trust.access.principal import EVERYTHING, Role, Scope
from fr_trust.access.store import AccessStore
from fr_trust.casework.values import Purpose
from support.commands import START_S, Script
from support.cut_off import KILLED as KILLED
from support.faults import Started, serve, started
from support.ledger import embedding
from support.servers import NULL_QUALITY, null_engine, photo
from support.training_stores import add_course, small_course

HOST = "127.0.0.1"
OVERRIDES = ("server.port=0", f"quality.min_sharpness={NULL_QUALITY['min_sharpness']}")
SOON_S = 20.0  # longest wait for an answer


def figure(name: str, value: object) -> None:
    """Tell a figure of a long run; `tools/chaos.py` collects these lines."""
    print(f"figure: {name} = {value}")  # noqa: T201 - what it is for


@dataclass(frozen=True)
class Made:
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "server.toml"

    @property
    def ca(self) -> bytes:
        return (self.folder / "ca.pem").read_bytes()

    def config(self, *overrides: str) -> Config:
        return load_config(self.path, [*OVERRIDES, *overrides])

    def key(self, *roles: Role, **fields: Any) -> str:
        with open_access(self.config(), wall_ms) as store:
            return key_of(store, *roles, **fields)

    def channel(self, address: str, token: str) -> AbstractContextManager[grpc.Channel]:
        return secure_channel(address, self.ca, token)


def fr_server(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["server", *arguments])


def done(*arguments: str) -> None:
    """Run `fr server`, which must end well."""
    ended = fr_server(*arguments)
    assert ended.exit_code == 0, ended.output


def made(folder: Path) -> Made:
    done("init", str(folder), "--name", HOST, "--name", "localhost")
    return Made(folder)


def fill(server: Made) -> None:
    config = server.config()
    with open_galleries(config) as galleries:
        galleries.create("staff", "", NULL_MODEL, 64)
        for seed in range(3):
            template = NewTemplate(embedding(seed), f"{seed:064x}", 0.5, None)
            galleries.enrol("staff", Enrolment(f"person {seed}", template, "A name"))
    stores = open_stores(config, wall_ms)
    add_course(stores.training, small_course())
    stores.cases.open_case("A reference", Purpose.TESTING, "local")
    stores.close()


@contextmanager
def put_back(server: Made, kept: Path) -> Iterator[Made]:
    """Let the block spoil a server, whose files are known by their whole paths; a copy is kept in a new folder."""
    shutil.copytree(server.folder, kept)
    yield server
    shutil.rmtree(server.folder)
    shutil.copytree(kept, server.folder)


def cut_off(watch: str, steps: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `fr` in a process that is killed after so many steps; its status is then `KILLED`.

    `watch` is Python that has `step()` called at each of them; it finds the words in `sys.argv`.
    """
    cutting_off = str(Path(__file__).with_name("cut_off.py"))
    with tempfile.TemporaryFile("w+") as errors:
        with Script(cutting_off, watch, steps, *words, errors=errors.fileno()) as script:
            said = script.stdout.read()
            status = script.wait(60)
        errors.seek(0)
        return subprocess.CompletedProcess(words, status, said, errors.read())


def key_of(
    store: AccessStore,
    *roles: Role,
    galleries: Scope = EVERYTHING,
    courses: Scope = EVERYTHING,
    budget: Budget = UNLIMITED,
    lifetime_ms: int | None = None,
) -> str:
    """Make a key of roles; without any, of all but that of a trainee, whose answers are coarse."""
    given = frozenset(roles or set(Role) - {Role.TRAINEE})
    return store.create(NewKey("", given, galleries, courses, budget, lifetime_ms)).token.text


@contextmanager
def secure_channel(
    address: str, ca: bytes, token: str = "", shown: tuple[bytes, bytes] | None = None
) -> Iterator[grpc.Channel]:
    """A connection of its own, of which every call sends a key; `shown` are key and certificate of the client, PEM."""
    credentials = grpc.ssl_channel_credentials(ca, *(shown or ()))
    if token:
        credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
    with grpc.secure_channel(address, credentials, options) as channel:
        yield channel


class Others:
    def __init__(self, channel: grpc.Channel) -> None:
        self._server = server_pb2_grpc.ServerServiceStub(channel)
        self._recognition = recognition_pb2_grpc.RecognitionServiceStub(channel)
        probes = [recognition_pb2.Probe(image=common_pb2.Image(data=photo(blue))) for blue in (1, 2)]
        self._pair = recognition_pb2.CompareRequest(a=probes[0], b=probes[1])

    def p99_ms(self, seconds: float) -> float:
        """Call for so long; return the p99 of two successive calls, GetServerInfo and Compare, in ms."""
        end, took = time.perf_counter() + seconds, []
        while (begun := time.perf_counter()) < end:
            self._server.GetServerInfo(server_pb2.GetServerInfoRequest(), timeout=SOON_S)
            self._recognition.Compare(self._pair, timeout=SOON_S)
            took.append(1000 * (time.perf_counter() - begun))
        return percentile(took, 0.99)


def started_secured(
    folder: Path, at: Made, *overrides: str, run_s: float = 0.0, guarded: bool = True
) -> AbstractContextManager[Started]:
    """Start a server of this module; `folder` is for its log, and a batch of its model takes `run_s`.

    Where it is not `guarded`, for a control, streams may take all the room there is.
    """
    settings = {"path": str(at.path), "overrides": overrides, "run_s": run_s, "guarded": guarded}
    return started(folder, __file__, json.dumps(settings))


def serve_here(server: Made, *overrides: str, meanwhile: Callable[[Any], Awaitable[None]] | None = None) -> None:
    """Serve in this process, as `fr serve` does but for the models, let something happen, and send SIGTERM."""
    config = server.config(*overrides)
    require_safe(config)
    sealed = StartedConfig.of(server.path, require_sealed(server.path, config))

    async def whole() -> None:
        app, ready = build_app(config), server.folder / "ready"
        serving = asyncio.create_task(run(app, ready, started=sealed))
        try:
            async with asyncio.timeout(START_S):
                while not serving.done() and not ready.exists():  # noqa: ASYNC110 - a file tells nobody
                    await asyncio.sleep(0.005)
            if meanwhile is not None and not serving.done():
                await meanwhile(app)
        finally:
            if not serving.done():  # a server that has ended handles no signal: this one would end the tests
                os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(serving, START_S)

    with patch("fr_server.main.open_engine", lambda config, *others: null_engine(config)):
        asyncio.run(whole())


def _main(settings: dict[str, Any], ready_file: str) -> None:
    share_heaps()  # as `fr serve` does
    config = Made(Path(settings["path"]).parent).config(*settings["overrides"])
    configure_logging(config.telemetry.log_format)
    most = most_streams if settings["guarded"] else lambda max_in_flight: 1_000_000
    with patch("fr_server.rpc.interceptors.admission.most_streams", most):
        serve(config, settings["run_s"], ready_file)


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]), sys.argv[3])
