"""Faults and load: a model that does as a test tells it behind a real batcher, and servers in processes of their own.

`python tests/support/faults.py SETTINGS --ready-file FILE` serves with such a model until SIGTERM; for each line on its
standard input it prints what is in work, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import thread as pool_threads
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import grpc
import numpy as np

from fr_api.v1 import common_pb2, recognition_pb2
from fr_core.runtime.batcher import Batcher
from fr_core.runtime.observe import ModelRole, Stage
from fr_core.types import F32, AlignedFace
from fr_server.app import App
from fr_server.config import Config, config_from
from fr_server.main import open_galleries, run
from fr_server.pools import Pace
from fr_server.telemetry.listener import OK, Ended, Listener
from fr_server.telemetry.open import Telemetry
from support.servers import NULL_QUALITY, Running, batched_engine, photo, running

SOON = 60.0
"""Seconds within which what a test waits for must come, on a busy machine too."""

HELD = 255
"""Blue of the face that `hold` sends."""


class FaultyModel:
    """Embeds the null faces of `servers.photo`, which it knows by their blue (1 to 255), and can be slow or broken.

    Args:
        run_s: seconds that a batch takes, whatever its size.

    Attributes:
        batches: the faces of each batch, those of the start left out.
        gate: while it is not set, a batch does not end.
        entered: is released when a batch begins.
        poison: a batch with one of these faces fails.
        lost: every run fails from now on.
        killed: the next run ends its thread.
        fault: when the model first failed, in seconds of `time.monotonic`.
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
        """Every face that reached the model."""
        return {blue for batch in self.batches for blue in batch}


class Counting(Listener):
    """Counts what it is told.

    Attributes:
        calls, ended, answered: those that began, that ended, and that ended with OK.
        decoded: photos whose work has begun.
        waiting: faces that wait for a batch now.
        drops: faces that never came into one.
        ran: faces that did.
    """

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
    """A server in a thread, its model, and what it tells."""

    server: Running
    model: FaultyModel
    counting: Counting

    def embed(self, blue: int, timeout: float | None = None) -> grpc.Future[recognition_pb2.EmbedResponse]:
        """Send a photo of one face."""
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


@dataclass(frozen=True)
class Started:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    address: str

    def state(self) -> dict[str, Any]:
        """Return what is in work, of a server that runs `tell`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        state: dict[str, Any] = json.loads(self.process.stdout.readline())
        return state


@contextmanager
def started(folder: Path, *command: str) -> Iterator[Started]:
    """Start a server, which writes its address into the file named by `--ready-file`; kill what is left of it.

    gRPC is as silent in it as `fr serve` has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ready, log = folder / "ready", folder / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={"GRPC_VERBOSITY": "NONE", **os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    with process:
        try:
            until(lambda: ready.exists() or process.poll() is not None, 120)
            assert process.poll() is None, log.read_text()
            yield Started(process, ready.read_text().strip())
        finally:
            process.kill()


@contextmanager
def started_faulty(folder: Path, run_s: float, paced: bool = True, **sections: Any) -> Iterator[Started]:
    """Start a server of this module.

    Args:
        folder: for its files.
        run_s: seconds of a batch of its model.
        paced: for a control, False: calls are admitted whatever the pace of photos.
        sections: of the configuration.
    """
    raw: dict[str, Any] = {"server": {}, "quality": NULL_QUALITY, **sections}
    raw["server"] = {"port": 0, **raw["server"]}
    raw["gallery"] = {"folder": str(folder / "data")}
    with started(
        folder, sys.executable, "-P", __file__, json.dumps({"run_s": run_s, "paced": paced, "config": raw})
    ) as server:
        yield server


def tell(app: App, counting: Counting, questions: IO[str]) -> None:
    """Answer each question, a line, with what is in work, for `Started.state`."""
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


def _main(settings: str, ready_file: str) -> None:
    raw = json.loads(settings)
    config, counting = config_from(raw["config"]), Counting()
    if not raw["paced"]:
        setattr(Pace, "wait_s", lambda pace, caller: 0.0)  # noqa: B010 - mypy refuses to replace a method
    engine = batched_engine(config, [FaultyModel(raw["run_s"])], counting)
    app = App(config, engine, open_galleries(config), Telemetry(counting))
    threading.Thread(target=tell, args=(app, counting, sys.stdin), daemon=True).start()
    asyncio.run(run(app, Path(ready_file)))


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[3])
