"""Faults and load: a model that does as a test tells it behind a real batcher, and servers in processes of their own.

Run as a script with SETTINGS --ready-file FILE, this file serves with such a model until SIGTERM; for each line on its
standard input it prints what is in work, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import thread as pool_threads
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any
from unittest.mock import patch

import grpc
import numpy as np

from fr_api.v1 import common_pb2, recognition_pb2
from fr_core.runtime.batcher import Batcher
from fr_core.runtime.observe import ModelRole, Stage
from fr_core.types import F32, AlignedFace
from fr_server.app import App
from fr_server.config import Config, config_from
from fr_server.gateway.listening import channel_limits
from fr_server.main import open_galleries, run
from fr_server.memory import share_heaps
from fr_server.pools import Pace
from fr_server.storage.peers import Peers
from fr_server.telemetry.listener import OK, Ended, Listener
from fr_server.telemetry.logs import configure_logging
from fr_server.telemetry.open import Telemetry
from support.commands import Script
from support.servers import NULL_QUALITY, Running, batched_engine, photo, running

SOON = 60.0  # seconds within which what a test waits for must come, on a busy machine too

BATCH_S = 0.05
HELD = 255  # blue of the face that `hold` sends


class FaultyModel:
    """Embeds the null faces of `servers.photo`, which it knows by their blue (1 to 255), and can be slow or broken.

    A batch takes `run_s`, waits for `gate`, and fails with a face of `poison`; a `lost` model always fails, a `killed`
    one ends its thread. `fault` is when it first failed, by `time.monotonic`.
    """

    def __init__(self, run_s: float = 0.0) -> None:
        self.run_s = run_s
        self.batches: list[tuple[int, ...]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.poison: frozenset[int] = frozenset()
        self.lost = False
        self.killed = False
        self.fault: float | None = None

    def __call__(self, faces: Sequence[AlignedFace]) -> list[F32]:
        blues = tuple(int(face.pixels[56, 56, 2]) for face in faces)
        if any(blues):
            self.batches.append(blues)
            self.entered.release()
            time.sleep(self.run_s)
            assert self.gate.wait(60)
        if self.killed or self.lost or self.poison & set(blues):
            self.fault = self.fault or time.monotonic()
            raise SystemExit if self.killed else RuntimeError("bad batch")
        return [np.random.default_rng(blue).standard_normal(64).astype(np.float32) for blue in blues]

    @property
    def seen(self) -> set[int]:
        return {blue for batch in self.batches for blue in batch}


class Counting(Listener):
    """Counts calls, photos whose work has begun, and faces that wait for a batch, never came into one, or did."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls = self.ended = self.answered = self.decoded = self.waiting = self.drops = self.ran = 0

    def began(self, method: str, request_id: str, traceparent: str) -> Ended:
        self.calls += 1

        def ended(outcome: str, took_s: float) -> None:
            self.ended += 1
            self.answered += outcome == OK

        return ended

    def stage(self, name: Stage) -> nullcontext[None]:
        with self._lock:
            self.decoded += name == "decode"
        return nullcontext()

    def queued(self, model: ModelRole, items: int) -> None:
        self.waiting = items

    def batch(self, model: ModelRole, waits_s: list[float], run_s: float) -> None:
        with self._lock:
            self.ran += len(waits_s)

    def dropped(self, model: ModelRole, items: int) -> None:
        with self._lock:
            self.drops += items

    @property
    def in_flight(self) -> int:
        return self.calls - self.ended


@dataclass(frozen=True)
class Faulty:
    server: Running
    model: FaultyModel
    counting: Counting

    def embed(self, blue: int, timeout: float | None = None) -> grpc.Future[recognition_pb2.EmbedResponse]:
        call: Any = self.server.recognition.Embed.future(embed_request(blue), timeout=timeout)
        return call  # type: ignore[no-any-return]

    def hold(self) -> grpc.Future[recognition_pb2.EmbedResponse]:
        """Keep the lane busy with one face until the gate is set, so that what comes next waits."""
        self.model.gate.clear()
        self.model.entered = threading.Semaphore(0)
        call = self.embed(HELD)
        assert self.model.entered.acquire(timeout=SOON)
        return call


@contextmanager
def faulty(
    folder: Path, batcher: type[Batcher[AlignedFace, F32]] = Batcher, run_s: float = 0.0, **sections: Any
) -> Iterator[Faulty]:
    """Run a server whose faces go through `batcher` to a `FaultyModel` in one lane."""
    model, counting = FaultyModel(run_s), Counting()

    def engine(config: Config) -> Any:
        return batched_engine(config, [model], counting, batcher)

    with running(folder, observing=Telemetry(counting), engine=engine, **sections) as server:
        try:
            yield Faulty(server, model, counting)
        finally:
            model.gate.set()


def embed_request(blue: int) -> recognition_pb2.EmbedRequest:
    return recognition_pb2.EmbedRequest(image=common_pb2.Image(data=photo(blue)))


def until(condition: Callable[[], bool], timeout_s: float = SOON) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def highest_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # the thread has ended
            found += map(int, (task / "children").read_text().split())
    return found


@dataclass(frozen=True)
class Started:
    process: Script
    address: str

    def state(self) -> dict[str, Any]:
        """Return what is in work, of a server that runs `tell`."""
        self.process.tell()
        state: dict[str, Any] = json.loads(self.process.line())
        return state


@contextmanager
def started(folder: Path, file: str, *words: object) -> Iterator[Started]:
    """Start a server, a file of the tests that takes a `--ready-file`; kill what is left of it."""
    folder.mkdir(parents=True, exist_ok=True)
    ready, log = folder / "ready", folder / "log"
    with log.open("w") as errors, Script(file, *words, "--ready-file", ready, errors=errors.fileno()) as process:
        try:
            until(lambda: ready.exists() or process.poll() is not None, 120)
            assert process.poll() is None, log.read_text()
            yield Started(process, ready.read_text().strip())
        finally:
            process.kill()


def started_faulty(
    folder: Path, run_s: float, paced: bool = True, limits: Mapping[str, Any] | None = None, **sections: Any
) -> AbstractContextManager[Started]:
    """Start a server of this module; a batch of its model takes `run_s`.

    Where it is not `paced`, for a control, calls are admitted whatever the pace of photos.
    """
    raw: dict[str, Any] = {"server": {}, "quality": NULL_QUALITY, **sections}
    raw["server"] = {"port": 0, **raw["server"]}
    raw["gallery"] = {"folder": str(folder / "data")}
    settings = {"run_s": run_s, "paced": paced, "limits": limits, "config": raw}
    return started(folder, __file__, json.dumps(settings))


def started_guarded(
    folder: Path, without: Sequence[str] = (), instead: Mapping[str, int] = MappingProxyType({})
) -> AbstractContextManager[Started]:
    """Start a server to attack, with the limits of `channel_limits`, but for those left out or given instead."""
    return started_faulty(folder, BATCH_S, limits={"without": list(without), "instead": dict(instead)})


def tell(app: App, counting: Counting, questions: IO[str]) -> None:
    for _ in questions:
        work = app._work
        assert work is not None
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        busy = [
            names.get(ident, "")
            for ident, frame in sys._current_frames().items()
            if "photo" in names.get(ident, "") and frame.f_code is not pool_threads._worker.__code__
        ]
        state = {
            "calls": counting.calls,
            "answered": counting.answered,
            "decoded": counting.decoded,
            "drops": counting.drops,
            "ran": counting.ran,
            "in_flight": counting.in_flight,
            "waiting_for_a_thread": work._interactive.waiting,
            "waiting_for_a_batch": counting.waiting,
            "busy_threads": busy,
        }
        print(json.dumps(state), flush=True)  # noqa: T201 - the answer


def serve(config: Config, run_s: float, ready_file: str) -> None:
    counting = Counting()
    engine = batched_engine(config, [FaultyModel(run_s)], counting)
    peers = Peers(config)
    galleries = open_galleries(config, members=peers.members)
    app = App(config, engine, galleries, Telemetry(counting), peers=peers)
    threading.Thread(target=tell, args=(app, counting, sys.stdin), daemon=True).start()
    asyncio.run(run(app, Path(ready_file)))


Options = tuple[tuple[str, Any], ...]


def _main(settings: str, ready_file: str) -> None:
    raw = json.loads(settings)
    config, limits, make = config_from(raw["config"]), raw["limits"], grpc.aio.server
    if not raw["paced"]:
        setattr(Pace, "wait_s", lambda pace, caller: 0.0)  # noqa: B010 - mypy refuses to replace a method
    if limits is None:
        serve(config, raw["run_s"], ready_file)
        return

    def guarded(interceptors: Sequence[grpc.aio.ServerInterceptor], options: Options) -> grpc.aio.Server:
        limited = {**dict(options), **dict(channel_limits())}
        kept = {name: value for name, value in limited.items() if name not in limits["without"]}
        return make(interceptors=interceptors, options=tuple({**kept, **limits["instead"]}.items()))

    share_heaps()  # as `fr serve` does
    configure_logging("text")
    with patch("grpc.aio.server", guarded):
        serve(config, raw["run_s"], ready_file)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[3])
