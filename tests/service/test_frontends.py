"""A server with front-end processes: real processes, with stand-ins for the models or the real ones, and their ends."""

import asyncio
import errno
import io
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_api.v1 import (
    access_pb2,
    audit_pb2,
    common_pb2,
    error_reason_pb2,
    gallery_pb2,
    recognition_pb2,
    review_pb2,
    server_pb2,
    video_pb2,
)
from fr_core.align import ARCFACE_TEMPLATE, CROP_SIZE
from fr_core.detect.protocol import TileFaces
from fr_core.embed.null import NULL_MODEL
from fr_core.engine import Engine, Lifeline
from fr_core.errors import AddressUnavailable, FrontendsFailed, InternalError, ShuttingDown, StoreCorrupt
from fr_core.gallery.galleries import Galleries
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack
from fr_core.runtime.batcher import Batcher
from fr_core.runtime.devices import ActiveDevice
from fr_core.scoring.calibration_json import to_json
from fr_core.sharing import EVERYBODY
from fr_core.storage.audit.values import Entry
from fr_core.storage.audit.verify import Verified, verify
from fr_core.storage.keys import key_beside
from fr_core.storage.location import Location
from fr_core.types import F32, U8, AlignedFace, ModelId
from fr_server.app import SERVICES
from fr_server.clock import wall_ms
from fr_server.config import config_from
from fr_server.main import open_galleries
from fr_server.pools import BULK_STORAGE_THREADS, STORAGE_THREADS
from fr_server.storage.audits import CHAINS
from fr_server.storage.opening import open_access
from fr_server.telemetry.metrics import PrometheusObserver, methods_of
from fr_server.telemetry.open import Telemetry
from fr_server.workers.supervisor import Supervisor
from fr_trust.access.principal import Role
from fr_trust.access.store import AccessStore
from fr_trust.evidence.verify import verify_bundle
from support.callers import POTENTIAL, Caller, reason_of
from support.cases import noise
from support.commands import Serving, serving
from support.counts import at_night, count
from support.engines import calibration
from support.faults import until
from support.postgres import Cluster
from support.secured import figure, key_of, made
from support.servers import HeldUp, ended, null_engine, photo, refusal_of
from support.video_calls import DONE, announced, chunks, footage, state

DETECT = recognition_pb2.DetectRequest(image=common_pb2.Image(data=photo(1)))
LIST, INFO = gallery_pb2.ListGalleriesRequest(), server_pb2.GetServerInfoRequest()
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
# Each a connection of its own, so that the kernel gives each to some front-end.
CHANNELS = 6
# A front-end that stands still is replaced within so many seconds.
REPLACED_S = 10.0
# Longer than a process may be silent.
STILL_S = 6.0
BUSY_S = count("BUSY_SECONDS")


@dataclass
class Client:
    channels: list[grpc.Channel]

    def at(self, i: int = 0) -> Caller:
        return Caller(self.channels[i % len(self.channels)], "")

    def health(self, i: int) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
        return health_pb2_grpc.HealthStub(self.channels[i]).Check(health_pb2.HealthCheckRequest(service="")).status


@contextmanager
def client_of(address: str, channels: int = CHANNELS) -> Iterator[Client]:
    with ExitStack() as stack:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
        yield Client([stack.enter_context(grpc.insecure_channel(address, options=options)) for _ in range(channels)])


def frontends_of(pid: int) -> list[int]:
    """The front-end processes that a process has started and that are alive."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return [child for child in found if b"fr_server.workers" in Path(f"/proc/{child}/cmdline").read_bytes()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def arenas_of(pid: int | str) -> int:
    return Path(f"/proc/{pid}/maps").read_text().count("fr-arena")


def shared_memory() -> set[str]:
    """Segments of shared memory, without those of databases; folders in it are those of other tests."""
    return {path.name for path in Path("/dev/shm").iterdir() if path.is_file() and path.name[:11] != "PostgreSQL."}


def require_no_more(before: set[str]) -> None:
    """Fail where a segment of shared memory stays that was not there; those of other tests come and go."""
    until(lambda: shared_memory() <= before)


@dataclass
class Device:
    """A stand-in for the models' process: it finds no face, waits until it is released, and can be lost."""

    gate: threading.Event = field(default_factory=threading.Event)
    lost: bool = False
    batches: int = 0
    tiles: int = 0

    def detect(self, tiles: Sequence[U8]) -> list[TileFaces]:
        self.batches += 1
        assert self.gate.wait(20)
        if self.lost:
            raise OSError("the device")
        self.tiles += len(tiles)
        return [TileFaces.joined([])] * len(tiles)

    def embed(self, faces: Sequence[AlignedFace]) -> list[F32]:
        return [np.ones(512, np.float32)] * len(faces)


@dataclass
class Running:
    server: Supervisor
    device: Device
    loop: asyncio.AbstractEventLoop
    starting: Future[None]
    held: HeldUp
    broken: Future[None]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    @property
    def pids(self) -> list[int]:
        return [frontend.process.pid for frontend in list(self.server._frontends.values())]

    def give_up(self) -> None:
        self.loop.call_soon_threadsafe(self.server.give_up)

    def stop(self) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(self.server.stop(), self.loop)


@contextmanager
def running(
    folder: Path, frontends: int = 2, telemetry: Telemetry | None = None, read: bool = True, **sections: dict[str, Any]
) -> Iterator[Running]:
    """Run a supervisor; without `read`, it is starting until `held` lets it read its galleries."""
    raw: dict[str, Any] = {"server": {}, "model": {"detection": "fast"}, **sections}
    raw["server"] = {"port": 0, "drain_s": 10.0, "frontends": frontends, **raw["server"]}
    raw["gallery"] = {"folder": str(folder)}
    config = config_from(raw)
    device, lifeline = Device(), Lifeline()
    device.gate.set()
    with ExitStack() as opened:
        detector: Batcher[U8, TileFaces] = Batcher(
            "detector", [device.detect], (1, 2), 1024, [np.zeros((256, 256, 3), np.uint8)], on_death=lifeline.cut
        )
        face = AlignedFace(np.zeros((112, 112, 3), np.uint8), np.eye(2, 3, dtype=np.float32))
        embedder: Batcher[AlignedFace, F32] = Batcher("embedder", [device.embed], (1,), 1024, [face])
        for batcher in (detector, embedder):
            batcher.start()
            opened.callback(batcher.close)
        galleries = opened.enter_context(open_galleries(config, load=False))
        held = HeldUp(galleries.load)
        if read:
            held.go.set()
        engine = Engine(
            load_pack("buffalo_s"),
            null_engine(config).pipeline,
            ActiveDevice("cpu", "cpu", "stand-in"),
            "fast",
            lifeline,
            (detector, embedder),
        )
        broken: Future[None] = Future()
        server = Supervisor(config, engine, galleries, telemetry or Telemetry(), opened, held, broken)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="server")
    thread.start()
    starting = asyncio.run_coroutine_threadsafe(server.start(), loop)
    try:
        if read:
            starting.result(60)
        yield Running(server, device, loop, starting, held, broken)
    finally:
        device.gate.set()
        loop.call_soon_threadsafe(server.give_up)
        wait([starting], 60)
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@pytest.mark.parametrize("location", ["sqlite", at_night("postgresql")], indirect=True)
def test_killed_front_end_is_replaced_and_the_others_go_on(tmp_path: Path, location: Location) -> None:
    before, arenas = shared_memory(), arenas_of("self")
    storage = {} if isinstance(location, Path) else {"url": location.url}
    with running(tmp_path, storage=storage) as server:
        pids = server.pids
        assert (len(set(pids)), arenas_of("self")) == (2, arenas + 2)
        with client_of(server.address) as client:
            server.device.gate.clear()
            begun = server.device.batches
            calls = [client.at(i).recognition.Detect.future(DETECT) for i in range(CHANNELS)]
            until(lambda: server.device.batches > begun)
            time.sleep(0.1)  # for the other calls to be on their way
            os.kill(pids[0], signal.SIGKILL)
            until(lambda: pids[0] not in server.pids)
            server.device.gate.set()
            outcomes = [call.code() for call in calls]
            # Those of the one that was killed are lost, those of the other are not; which is whose, the kernel chose.
            assert set(outcomes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
            until(lambda: len(server.pids) == 2)
            assert pids[1] in server.pids
        with client_of(server.address) as client:
            for i in range(CHANNELS):
                client.at(i).recognition.Detect(DETECT, wait_for_ready=True, timeout=10)
                client.at(i).gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id=f"g{i}"))
            client.at().gallery.DeleteGallery(gallery_pb2.DeleteGalleryRequest(gallery_id="g3"))
            until(lambda: arenas_of("self") == arenas + 2)
        galleries = server.server._galleries
        assert isinstance(galleries, Galleries)
        with galleries.auditing() as audit:  # one for the changes of every front-end
            assert isinstance(verify(audit), Verified)
            told = [(kept.record.action, kept.record.gallery) for kept in audit.every()]
        assert told == [*(("gallery.create", f"g{i}") for i in range(CHANNELS)), ("gallery.delete", "g3")]
        last = server.pids
    assert not any(map(alive, (*pids, *last)))
    assert arenas_of("self") == arenas
    require_no_more(before)


@contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    """Have processes stand still, as SIGSTOP, a debugger or Ctrl-Z does."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            if alive(pid):
                os.kill(pid, signal.SIGCONT)


def seconds_to_replace(server: Running, how: signal.Signals) -> float:
    """Send a signal to the first front-end; return how long it takes until another one listens in its place."""
    before = server.pids
    began = time.monotonic()
    os.kill(before[0], how)
    until(lambda: before[0] not in server.pids and len(server.pids) == len(before), 60)
    (new,) = set(server.pids) - set(before)
    until(lambda: listening(new), 60)
    return time.monotonic() - began


def listening(pid: int) -> bool:
    sockets = {f"socket:[{line.split()[9]}]" for line in listeners()}
    try:
        return any(str(entry.readlink()) in sockets for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # a file was closed meanwhile
        return False


def listeners() -> list[str]:
    lines = [line for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return [line for line in lines if line.split()[3] == "0A"]


def unanswered(address: str, connections: int) -> int:
    """Count the new connections that are not answered."""
    with client_of(address, connections) as client:
        stubs = [health_pb2_grpc.HealthStub(channel) for channel in client.channels]
        asked = [stub.Check.future(health_pb2.HealthCheckRequest(), timeout=5) for stub in stubs]
        return sum(call.code() is not grpc.StatusCode.OK for call in asked)


@pytest.mark.parametrize(
    "minded", [pytest.param(True, id="minded"), pytest.param(False, id="control", marks=pytest.mark.nightly)]
)
def test_front_end_that_stands_still_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minded: bool) -> None:
    if not minded:
        monkeypatch.setattr("fr_server.workers.heartbeat._SILENT_BEATS", 1_000_000)
    observer = PrometheusObserver(methods_of(SERVICES))
    with running(tmp_path, telemetry=Telemetry(observer, observer)) as server:
        starting_s = seconds_to_replace(server, signal.SIGKILL)
        before = server.pids
        if minded:
            # On a machine with other work, most of it is the start.
            took_s = seconds_to_replace(server, signal.SIGSTOP)
            figure("seconds until a front-end that stands still is replaced", round(took_s, 1))
            figure("seconds until a front-end that was killed is replaced", round(starting_s, 1))
            assert took_s < max(REPLACED_S, 2 * STILL_S + 2 * starting_s)
            assert not alive(before[0])
            assert before[1] in server.pids
            assert unanswered(server.address, 32) == 0
        else:
            with stopped(before[:1]):
                time.sleep(STILL_S)
                assert server.pids == before
                assert unanswered(server.address, 32) > 0
        silent = observer.registry.get_sample_value("fr_frontends_replaced_total", {"why": "silent"})
        assert silent == int(minded)


@pytest.mark.nightly
def test_no_front_end_is_taken_for_silent_on_a_busy_machine(tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(running(tmp_path))
        before = server.pids
        for _ in range(8):
            burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(burner.wait)
            stack.callback(burner.kill)
        client = stack.enter_context(client_of(server.address))
        end = time.monotonic() + BUSY_S
        calls = 0
        while time.monotonic() < end:
            client.at(calls).recognition.Detect(DETECT, timeout=30)
            calls += 1
        assert server.pids == before
        assert calls


@pytest.mark.nightly
def test_nobody_is_killed_where_all_stood_still_together(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        before = server.pids
        with stopped(before):
            hang(server, STILL_S)
            time.sleep(STILL_S)
        time.sleep(STILL_S)
        assert server.pids == before
        assert unanswered(server.address, 8) == 0


@pytest.mark.nightly
def test_front_ends_tell_that_the_engines_process_stands_still_and_that_it_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as server, client_of(server.address) as client:
        before = server.pids
        assert {client.health(i) for i in range(CHANNELS)} == {SERVING}
        hang(server, 2 * STILL_S)
        until(lambda: {client.health(i) for i in range(CHANNELS)} == {NOT_SERVING}, 2 * STILL_S)
        refused = refusal_of(lambda: client.at().recognition.Detect(DETECT, timeout=10))
        assert (refused.code, refused.info.reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_READY")
        until(lambda: {client.health(i) for i in range(CHANNELS)} == {SERVING}, 3 * STILL_S)
        client.at().recognition.Detect(DETECT, timeout=10)
        assert server.pids == before


def hang(server: Running, seconds: float) -> None:
    server.loop.call_soon_threadsafe(time.sleep, seconds)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with one front-end, for tests that leave it in order; it takes one photo at a time."""
    with running(tmp_path_factory.mktemp("single"), frontends=1, model={"workers": 1}) as server:
        yield server


def test_what_a_killed_front_end_held_of_the_engines_process_is_free_again(tmp_path: Path) -> None:
    with running(tmp_path, frontends=1) as server:
        people, gate = server.server._storage.of(bulk=False), threading.Event()
        busy = [people.submit(EVERYBODY, partial(gate.wait, 30)) for _ in range(STORAGE_THREADS)]
        with client_of(server.address) as client:
            server.device.gate.clear()
            begun = server.device.batches
            calls: list[Any] = [client.at(i).recognition.Detect.future(DETECT) for i in range(CHANNELS)]
            calls += [client.at(i).gallery.ListGalleries.future(LIST) for i in range(2 * CHANNELS)]
            until(lambda: server.device.batches > begun and people.waiting == 2 * CHANNELS)
            (killed,) = server.pids
            os.kill(killed, signal.SIGKILL)
            assert {call.code() for call in calls} == {grpc.StatusCode.UNAVAILABLE}
        server.device.gate.set()
        gate.set()
        wait(busy)
        until(lambda: people.waiting == 0)
        until(lambda: server.pids not in ([], [killed]))
        with client_of(server.address) as client:
            for i in range(CHANNELS):
                client.at(i).recognition.Detect(DETECT, wait_for_ready=True, timeout=30)
                client.at(i).gallery.ListGalleries(LIST, timeout=30)


def test_front_ends_leave_signals_to_the_engines_process_from_their_first_step(tmp_path: Path) -> None:
    with running(tmp_path, 1, read=False) as server:
        seen: set[int] = set()
        signals = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
        while not server.starting.done():
            seen.update(pids := server.pids)
            for pid, number in itertools.product(pids, signals):
                os.kill(pid, number)
            server.held.go.set()
            time.sleep(0.001)
        server.starting.result()
        assert set(server.pids) == seen
        for number, pid in itertools.product(signals, seen):
            os.kill(pid, number)
        with client_of(server.address) as client:
            for i in range(CHANNELS):
                client.at(i).recognition.Detect(DETECT, timeout=10)
        assert set(server.pids) == seen


def test_front_end_that_ends_again_and_again_ends_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fr_server.workers.supervisor.DEATHS", 2)
    with running(tmp_path, frontends=1) as server:
        broken = asyncio.run_coroutine_threadsafe(server.server.broken(), server.loop)
        (first,) = server.pids
        os.kill(first, signal.SIGKILL)
        until(lambda: server.pids not in ([], [first]))
        assert not broken.done()
        os.kill(server.pids[0], signal.SIGKILL)
        with pytest.raises(FrontendsFailed):
            broken.result(10)


def test_front_end_that_cannot_start_is_retried_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.memfd_create
    refused: list[tuple[Any, ...]] = []

    def refuse(*arguments: Any) -> int:
        if len(refused) == 2:
            return real(*arguments)
        refused.append(arguments)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with running(tmp_path, frontends=1) as server:
        first = server.pids
        broken = asyncio.run_coroutine_threadsafe(server.server.broken(), server.loop)
        monkeypatch.setattr(os, "memfd_create", refuse)
        os.kill(first[0], signal.SIGKILL)
        until(lambda: len(server.pids) == 1 and server.pids != first)
        assert len(refused) == 2
        refused.append(())  # and so all that come
        os.kill(server.pids[0], signal.SIGKILL)
        with pytest.raises(FrontendsFailed, match=r"could not be started \(Too many open files\), the last of 5 times"):
            broken.result(60)


def test_galleries_that_can_be_changed_no_more_end_the_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(tmp_path, frontends=1) as server:
        broken = asyncio.run_coroutine_threadsafe(server.server.broken(), server.loop)
        time.sleep(0.1)
        assert not broken.done()
        server.broken.set_exception(KeyError("Jane Roe"))
        with pytest.raises(InternalError) as caught:
            broken.result(10)
    assert "KeyError" in caplog.text
    assert "Jane" not in caplog.text + str(caught.value)


def test_supervisor_that_cannot_be_made_leaves_what_is_open_to_its_caller(tmp_path: Path) -> None:
    config = config_from({"server": {"frontends": 1}})
    engine = null_engine(config)  # of no batchers, which front-ends need
    with ExitStack() as opened:
        galleries = opened.enter_context(Galleries.open(tmp_path, index="numpy", load=False))
        with pytest.raises(ValueError, match="unpack"):
            Supervisor(config, engine, galleries, Telemetry(), opened, galleries.load, galleries.broken)
    Galleries.open(tmp_path, index="numpy").close()  # the folder was let go


def test_second_server_on_the_port_is_refused(single: Running, tmp_path: Path) -> None:
    with (
        pytest.raises(AddressUnavailable),
        running(tmp_path / "b", frontends=1, server={"port": single.server.port}),
    ):
        pytest.fail("two servers on one port")


def test_cancelled_calls_keep_no_slot_and_no_work(single: Running) -> None:
    # One photo at a time, hence one slot for each class: one that leaks is missed at once.
    server = single
    with client_of(server.address) as client:
        (frontend,) = server.server._frontends.values()
        server.device.gate.clear()
        begun = server.device.batches
        held = client.at().recognition.Detect.future(DETECT)
        until(lambda: server.device.batches > begun)
        held.cancel()
        time.sleep(0.2)
        assert frontend.answerer.waiting == 1, "the engine has not let go of its slot yet"
        late = [client.at(i).recognition.Detect.future(DETECT, timeout=0.3) for i in range(CHANNELS)]
        # CANCELLED where the server was the first to see that the deadline has passed.
        assert {call.code() for call in late} <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
        server.device.gate.set()
        client.at().recognition.Detect(DETECT, timeout=10)
        items = [recognition_pb2.StreamEmbedRequest(image=DETECT.image) for _ in range(5)]
        assert len(list(client.at().recognition.StreamEmbed(iter(items), timeout=10))) == 5
        until(lambda: frontend.answerer.waiting == 0)


def test_lost_device_is_told_by_every_front_end_also_by_later_ones(tmp_path: Path) -> None:
    with running(tmp_path) as server, client_of(server.address) as client:
        assert {client.health(i) for i in range(CHANNELS)} == {SERVING}
        server.device.lost = True
        for i in range(CHANNELS):
            assert reason_of(partial(client.at(i).recognition.Detect, DETECT)) == "DEVICE_LOST"
        until(lambda: {client.health(i) for i in range(CHANNELS)} == {NOT_SERVING})
        client.at().gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="works-still"))
        before = server.pids
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(server.pids) == 2 and before[0] not in server.pids)
        (new,) = set(server.pids) - {before[1]}
        until(lambda: listening(new), 60)
        with client_of(server.address) as again:
            request = health_pb2.HealthCheckRequest()
            stubs = [health_pb2_grpc.HealthStub(channel) for channel in again.channels]
            until(lambda: {stub.Check(request, wait_for_ready=True).status for stub in stubs} == {NOT_SERVING})


def health_of(address: str) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
    """Return the first health status that a listening front-end reports."""
    with client_of(address, 1) as client:
        stub = health_pb2_grpc.HealthStub(client.channels[0])
        return stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=30).status


def require_not_ready(client: Client) -> None:
    """Whichever front-end is asked, it refuses for now."""
    for i in range(CHANNELS):
        assert client.health(i) == NOT_SERVING
        how = refusal_of(partial(client.at(i).gallery.ListGalleries, LIST))
        assert (how.code, how.info.reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_READY")
        assert how.retry is not None


def test_calls_are_refused_until_the_galleries_are_read_whichever_front_end_ends_meanwhile(tmp_path: Path) -> None:
    metrics = PrometheusObserver(methods_of(SERVICES))
    with running(tmp_path, frontends=1, telemetry=Telemetry(metrics=metrics), read=False) as server:
        until(lambda: server.server.port != 0)
        assert health_of(server.address) == NOT_SERVING
        (first,) = server.pids
        os.kill(first, signal.SIGKILL)
        until(lambda: server.pids not in ([], [first]))
        assert health_of(server.address) == NOT_SERVING
        with client_of(server.address) as client:
            require_not_ready(client)
        assert metrics.registry.get_sample_value("fr_health") == 0
        server.held.go.set()
        server.starting.result(30)
        assert metrics.registry.get_sample_value("fr_health") == 1
        (second,) = server.pids
        os.kill(second, signal.SIGKILL)
        until(lambda: server.pids not in ([], [second]))
        with client_of(server.address, 1) as client:  # which knows at once that calls can be answered
            client.at().gallery.ListGalleries(LIST, wait_for_ready=True, timeout=30)
            assert client.health(0) == SERVING


def test_start_that_is_given_up_while_the_galleries_are_read_ends_in_order(tmp_path: Path) -> None:
    with running(tmp_path, 1, read=False) as server:
        until(lambda: len(server.pids) == 1)
        assert health_of(server.address) == NOT_SERVING
        pids = server.pids
        server.give_up()
        with pytest.raises(ShuttingDown):
            server.starting.result(5)
        server.stop().result(15)  # before anybody would be killed for being late
        assert not any(map(alive, pids))
    Galleries.open(tmp_path).close()  # the folder was let go


def test_start_that_is_given_up_when_only_front_ends_are_waited_for_ends_at_once(tmp_path: Path) -> None:
    with running(tmp_path, 1, read=False) as server:
        until(lambda: server.server.port != 0)
        assert health_of(server.address) == NOT_SERVING
        pids = server.pids
        with stopped(pids):
            server.held.go.set()
            until(lambda: server.server._loaded)
            assert not server.starting.done()
            server.give_up()
            with pytest.raises(ShuttingDown):
                server.starting.result(5)
    assert not any(map(alive, pids))


def test_damage_that_is_found_while_front_ends_start_ends_the_start(tmp_path: Path) -> None:
    def damaged(on_block: Callable[[], None]) -> None:
        raise StoreCorrupt("The checksum of a stored vector differs.", check="vector")

    with running(tmp_path, 1, read=False) as server:
        server.held._load = damaged
        server.held.go.set()
        with pytest.raises(StoreCorrupt):
            server.starting.result(30)
    Galleries.open(tmp_path).close()


def test_front_end_that_cannot_start_ends_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with running(tmp_path, read=False) as server, pytest.raises(FrontendsFailed):
        server.starting.result(30)
    Galleries.open(tmp_path).close()


def test_long_jobs_of_front_ends_leave_threads_to_those_who_wait(single: Running) -> None:
    with client_of(single.address) as client:
        gate, bulk = threading.Event(), single.server._storage.of(bulk=True)
        busy = [bulk.submit(EVERYBODY, partial(gate.wait, 30)) for _ in range(BULK_STORAGE_THREADS)]
        try:
            request = gallery_pb2.FindDuplicatesRequest(gallery_id="none")
            job = client.at().gallery.FindDuplicates(request, timeout=30)
            told = threading.Thread(target=job.code)
            told.start()
            assert client.at().gallery.ListGalleries(LIST, timeout=10).galleries == []
            assert told.is_alive(), "the job did not wait for a thread of its own kind"
        finally:
            gate.set()
            wait(busy)
        told.join(10)
        assert job.code() is grpc.StatusCode.NOT_FOUND


@contextmanager
def served(folder: Path, *options: str) -> Iterator[Serving]:
    folder.mkdir()
    with serving(
        folder, "--port", "0", "--device", "cpu", "--detection", "fast", "--data", folder / "data", *options
    ) as server:
        yield server


Both = tuple[Client, Client, Serving, int]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, pack_cache: ModelCache) -> Iterator[Both]:
    """Clients of a server in one process and of one with two front-ends, the latter, and the port of its metrics."""
    from fr_bench.speed.server_process import free_port

    folder, port = tmp_path_factory.mktemp("both"), free_port()
    with (
        served(folder / "one") as one,
        served(folder / "several", "--frontends", "2", "--set", f"telemetry.metrics_port={port}") as several,
        client_of(one.address) as of_one,
        client_of(several.address) as of_several,
    ):
        yield of_one, of_several, several, port


@pytest.mark.models
def test_answers_are_those_of_one_process(both: Both, photos: dict[str, Path], tmp_path: Path) -> None:
    one, several, *_ = both
    images = [common_pb2.Image(data=photos[key].read_bytes()) for key in ("obama", "t1", "person_a_1", "biden")]
    for i, image in enumerate(images):
        detect = recognition_pb2.DetectRequest(image=image)
        assert one.at().recognition.Detect(detect) == several.at(i).recognition.Detect(detect)
        embed = recognition_pb2.EmbedRequest(image=image)
        same(one.at().recognition.Embed(embed), several.at(i).recognition.Embed(embed))
    items = [recognition_pb2.StreamEmbedRequest(item_id=str(i), image=image) for i, image in enumerate(images)]
    streams = [
        {answer.item_id: answer.embedded for answer in client.at(3).recognition.StreamEmbed(iter(items))}
        for client in (one, several)
    ]
    for key in map(str, range(4)):
        same(streams[0][key], streams[1][key])
    batch = recognition_pb2.BatchEmbedRequest(images=[common_pb2.Image(data=b"no photo"), *images])
    batches = [client.at(4).recognition.BatchEmbed(batch).results for client in (one, several)]
    assert batches[0][0] == batches[1][0]
    assert batches[0][0].refusal.reason == error_reason_pb2.ERROR_REASON_UNDECODABLE
    for a, b in zip(batches[0][1:], batches[1][1:], strict=True):
        same(a.embedded, b.embedded)
    assert one.at().server.GetServerInfo(INFO) == several.at().server.GetServerInfo(INFO)


def probe_of(photo: Path) -> recognition_pb2.Probe:
    return recognition_pb2.Probe(image=common_pb2.Image(data=photo.read_bytes()))


def same(a: recognition_pb2.EmbedResponse, b: recognition_pb2.EmbedResponse) -> None:
    assert len(a.faces) == len(b.faces) > 0
    for face, other in zip(a.faces, b.faces, strict=True):
        assert np.dot(face.embedding.vector, other.embedding.vector) > 0.9999
        assert face.face.box == other.face.box


@pytest.mark.models
def test_galleries_are_those_of_one_process(both: Both, photos: dict[str, Path]) -> None:
    answers = []
    for client in both[:2]:
        told: list[Any] = []
        client.at().gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="team", display_name="The team"))
        for i, key in enumerate(("obama", "biden")):
            person: dict[str, Any] = {"gallery_id": "team", "subject_id": key, "metadata": {"k": key}}
            enrol = gallery_pb2.EnrolRequest(face=probe_of(photos[key]), **person)
            enrolled = client.at(i).gallery.Enrol(enrol)
            told.append((enrolled.template_id, enrolled.gallery_version))
            refused = refusal_of(partial(client.at(i + 1).gallery.Enrol, enrol))
            told.append((refused.code, refused.status))
        search = gallery_pb2.SearchRequest(gallery_id="team", probe=probe_of(photos["obama2"]))
        for i in range(CHANNELS):
            (result,) = client.at(i).gallery.Search(search).results
            told += [
                (c.subject_id, dict(c.metadata), c.above_threshold, round(c.similarity, 4)) for c in result.candidates
            ]
        listed = client.at(1).gallery.ListSubjects(gallery_pb2.ListSubjectsRequest(gallery_id="team"))
        told.append([(subject.subject_id, len(subject.templates)) for subject in listed.subjects])
        subject = client.at(2).gallery.GetSubject(gallery_pb2.GetSubjectRequest(gallery_id="team", subject_id="obama"))
        told.append(dict(subject.subject.metadata))
        update = gallery_pb2.UpdateGalleryRequest(gallery_id="team", display_name="All")
        update.update_mask.paths.append("display_name")
        client.at(2).gallery.UpdateGallery(update)
        change = gallery_pb2.UpdateSubjectRequest(gallery_id="team", subject_id="obama", metadata={"a": "b"})
        change.update_mask.paths.append("metadata")
        told.append(dict(client.at(3).gallery.UpdateSubject(change).subject.metadata))
        duplicates = gallery_pb2.FindDuplicatesRequest(gallery_id="team", threshold=-1.0)
        told.append(
            [(one.pair.subject_a, one.pair.subject_b) for one in client.at(4).gallery.FindDuplicates(duplicates)]
        )
        clusters = gallery_pb2.ClusterGalleryRequest(gallery_id="team", threshold=0.0)
        told.append([len(one.cluster.members) for one in client.at(5).gallery.ClusterGallery(clusters)])
        client.at(3).gallery.DeleteTemplate(gallery_pb2.DeleteTemplateRequest(gallery_id="team", template_id=1))
        client.at(4).gallery.DeleteSubject(gallery_pb2.DeleteSubjectRequest(gallery_id="team", subject_id="biden"))
        galleries = client.at(5).gallery.ListGalleries(gallery_pb2.ListGalleriesRequest()).galleries
        told.append([(gallery.display_name, gallery.template_count, gallery.version) for gallery in galleries])
        client.at().gallery.DeleteGallery(gallery_pb2.DeleteGalleryRequest(gallery_id="team"))
        answers.append(told)
    assert answers[0] == answers[1]


@pytest.mark.models
def test_a_calibration_holds_for_every_front_end(both: Both, photos: dict[str, Path]) -> None:
    client = both[1]
    created = client.at().gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="measured")).gallery
    model = ModelId(created.model.pack, created.model.version, created.model.sha256)
    probe = probe_of(photos["obama"])
    search = gallery_pb2.SearchRequest(gallery_id="measured", probe=probe, target_fmr=0.01)
    for seed in (1, 2):
        measured = calibration(model, seed=seed)
        setting = gallery_pb2.SetCalibrationRequest(gallery_id="measured", calibration_json=to_json(measured))
        client.at(seed).gallery.SetCalibration(setting)
        for i in range(CHANNELS):
            answer = client.at(i).gallery.Search(search)
            assert answer.threshold == measured.threshold_at_fmr(0.01)
            assert answer.error_rates.calibration.source == common_pb2.CALIBRATION_SOURCE_GALLERY
    client.at().gallery.DeleteGallery(gallery_pb2.DeleteGalleryRequest(gallery_id="measured"))


@pytest.mark.models
def test_refusals_are_those_of_one_process(both: Both, photos: dict[str, Path]) -> None:
    group = probe_of(photos["t1"])
    no_photo = recognition_pb2.DetectRequest(image=common_pb2.Image(data=b"no photo"))
    calls: list[Callable[[Client], Any]] = [
        lambda client: client.at(1).recognition.Detect(no_photo),
        lambda client: client.at(2).recognition.Detect(recognition_pb2.DetectRequest()),
        lambda client: client.at(3).recognition.Compare(recognition_pb2.CompareRequest(a=group, b=group)),
        lambda client: client.at(4).gallery.Search(gallery_pb2.SearchRequest(gallery_id="none", probe=group)),
    ]
    for call in calls:
        one, several = (refusal_of(partial(call, client)) for client in both[:2])
        assert (one.code, one.status) == (several.code, several.status)


@pytest.mark.models
def test_front_ends_hold_no_runtime_and_no_index(both: Both) -> None:
    several = both[2].process.pid
    front_ends = frontends_of(several)
    assert len(front_ends) == 2
    for pid, holds in ((several, True), *((pid, False) for pid in front_ends)):
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert ("onnxruntime" in maps, "faiss" in maps) == (holds, holds)
        assert "openvino" not in maps or holds


@pytest.mark.models
@pytest.mark.nightly
def test_signal_under_load_loses_no_call(tmp_path: Path, pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    request = recognition_pb2.EmbedRequest(image=common_pb2.Image(data=photos["obama"].read_bytes()))
    with served(tmp_path / "a", "--frontends", "2") as server, client_of(server.address, 8) as client:
        pids = frontends_of(server.process.pid)
        stopping = threading.Event()

        def load(i: int) -> tuple[int, grpc.RpcError, bool]:
            """Call until a call fails: how many did not, how it did, and whether it was sent before the signal."""
            for answered in itertools.count():
                before = not stopping.is_set()
                try:
                    client.at(i).recognition.Embed(request, timeout=20)
                except grpc.RpcError as error:
                    return answered, error, before
            raise AssertionError

        with ThreadPoolExecutor(8) as pool:
            loads = [pool.submit(load, i) for i in range(8)]
            until(lambda: server.log.read_text().count("/Embed OK ") > 8)
            stopping.set()
            os.killpg(server.process.pid, signal.SIGTERM)
            ends = [one.result(30) for one in loads]
        for _, error, before in ends:
            if before:
                assert ended(error).info.reason == "SHUTTING_DOWN"
            else:  # CANCELLED: gRPC had it, and no handler, when its own end began
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        answered = sum(number for number, _, _ in ends)
        assert server.process.wait(20) == 0
        log = server.log.read_text()
        assert answered == log.count("/Embed OK ")
        assert log.count("/Embed ") == answered + log.count("/Embed SHUTTING_DOWN ")
        assert "ERROR" not in log
        assert not any(map(alive, pids))


@pytest.mark.models
def test_front_ends_reload_once_and_end_with_the_engines_process(tmp_path: Path, pack_cache: ModelCache) -> None:
    before, at, again = shared_memory(), made(tmp_path / "srv"), "The certificates were read again"
    with served(tmp_path / "a", "--config", str(at.path), "--frontends", "2") as server:
        pids = frontends_of(server.process.pid)
        assert len(pids) == 2
        os.killpg(server.process.pid, signal.SIGHUP)
        until(lambda: server.log.read_text().count(again) >= 2)
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
        time.sleep(0.3)  # for what should not come
        assert server.log.read_text().count(again) == 2
        assert "ERROR" not in server.log.read_text()
        assert frontends_of(server.process.pid) == pids
        assert all(map(alive, pids))
        server.kill()
        until(lambda: not any(map(alive, pids)))
    require_no_more(before)


def figures(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


@pytest.mark.models
def test_processes_count_together(both: Both, photos: dict[str, Path]) -> None:
    _, client, _, port = both
    before = figures(port)
    request = recognition_pb2.DetectRequest(image=common_pb2.Image(data=photos["obama"].read_bytes()))
    for i in range(CHANNELS):
        client.at(i).recognition.Detect(request)
    after = figures(port)
    assert after["fr_photos_total"] - before.get("fr_photos_total", 0.0) == CHANNELS
    assert after["fr_health"] == 1.0
    assert any(count for name, count in after.items() if name.startswith("fr_batch_size_count"))


class Seeing(Device):
    def detect(self, tiles: Sequence[U8]) -> list[TileFaces]:
        box = np.array([[40.0, 40.0, 200.0, 200.0]], np.float32)
        landmarks = (ARCFACE_TEMPLATE * 160 / CROP_SIZE + 40).astype(np.float32)[None]
        return [TileFaces(box, landmarks, np.array([0.9], np.float32))] * len(tiles)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    """A server with two front-ends and records of two months ago, and the folder to which it moves these."""
    folder, days_ago = tmp_path_factory.mktemp("old"), 60
    data, archive = folder / "data", folder / "archive"
    archive.mkdir()
    then = datetime.now(UTC) - timedelta(days=days_ago)
    with Galleries.open(data, clock=lambda: then) as galleries:
        galleries.create("old", "", NULL_MODEL, 64)
    key = key_beside(data, new=False)
    with AccessStore.open(data / "access", key, lambda: int(then.timestamp() * 1000)) as store:
        store.record([Entry("local", "gallery.search", "OK")] * 9).result(10)
    audit = {"keep_days": days_ago // 2, "archive_folder": str(archive)}
    with running(data, audit=audit) as server:
        yield server, archive


def test_the_audits_of_all_processes_are_pruned_once(old: tuple[Running, Path]) -> None:
    server, archive = old
    with client_of(server.address) as client:

        def pruned(i: int) -> dict[str, int]:
            verdicts = client.at(i).audit.VerifyAudit(audit_pb2.VerifyAuditRequest()).verdicts
            assert all(one.intact for one in verdicts)
            return {one.chain: one.pruned for one in verdicts if one.pruned}

        for i in range(CHANNELS):
            until(lambda i=i: pruned(i) == {"galleries": 1, "access": 9})  # type: ignore[misc]
    assert {path.name for path in archive.iterdir()} == {"galleries-000000000001.jsonl", "access-000000000001.jsonl"}


def test_keys_cases_and_audits_are_one_whichever_front_end_is_asked(tmp_path: Path) -> None:
    kept, face = tmp_path / "kept", noise(1, side=256)
    kept.mkdir()
    sections: dict[str, Any] = {
        "access": {"mode": "keys"},
        "quality": {"min_sharpness": 0.0},
        "audit": {"checkpoint_folder": str(kept), "checkpoint_every_s": 1.0},
    }
    with ExitStack() as stack:
        stack.enter_context(patch(f"{__name__}.Device", Seeing))
        server = stack.enter_context(running(tmp_path / "data", **sections))
        client = stack.enter_context(client_of(server.address))
        store = stack.enter_context(open_access(server.server.config, wall_ms))
        admin = key_of(store, Role.ADMIN, Role.OPERATOR)

        def callers(token: str) -> Iterator[Caller]:
            return itertools.cycle([Caller(channel, token) for channel in client.channels])

        def made(*roles: access_pb2.Role.ValueType) -> str:
            request = access_pb2.CreateKeyRequest(roles=roles, galleries=["*"])
            return str(next(admins).access.CreateKey(request).token)

        admins = callers(admin)
        everybody = [callers(made(access_pb2.ROLE_EXAMINER)) for _ in range(2)]
        auditors = callers(made(access_pb2.ROLE_AUDITOR))
        use = gallery_pb2.GALLERY_USE_OPERATIONAL
        create = gallery_pb2.CreateGalleryRequest(gallery_id="g", use=use, keeps_photos=True)
        next(admins).gallery.CreateGallery(create)
        probe = recognition_pb2.Probe(image=common_pb2.Image(data=face))
        next(admins).gallery.Enrol(gallery_pb2.EnrolRequest(gallery_id="g", subject_id="s", face=probe))
        case_id = next(admins).opens("F 1")
        found = next(admins).searches(case_id, "g", probe=face)
        examination_id = found.examination.examination_id
        template_id = found.found.results[0].candidates[0].template_id
        for examiners in everybody:
            for _ in range(CHANNELS):
                assert next(examiners).examination(examination_id).candidates[0].photo.data == face
            after = next(examiners).finds(examination_id, POTENTIAL, template_id=template_id, rating=1)
        assert after.summary.state == review_pb2.EXAMINATION_STATE_CONCLUDED
        earlier = next(auditors).audit.GetCheckpoints(audit_pb2.GetCheckpointsRequest())
        for _ in range(CHANNELS):
            keys = next(auditors).audit.GetCheckpoints(audit_pb2.GetCheckpointsRequest()).public_keys
            assert keys == earlier.public_keys
            checked = audit_pb2.VerifyAuditRequest(checkpoints=earlier.checkpoints)
            verdicts = next(auditors).audit.VerifyAudit(checked).verdicts
            assert [(one.intact, one.checkpoints) for one in verdicts] == [(True, 1)] * 4
        bundle = next(admins).exports(case_id)
        assert verify_bundle(io.BytesIO(bundle), keys["evidence"], keys["cases"]).examinations == 1
        store.revoke(admin.partition(".")[0])
        for _ in range(CHANNELS):
            assert reason_of(lambda: next(admins).access.WhoAmI(access_pb2.WhoAmIRequest())) == "CREDENTIAL_INVALID"
    assert {path.name.partition("-")[0] for path in kept.glob("*-*.json")} == set(CHAINS)


def test_front_ends_share_the_footage_that_arrives(old: tuple[Running, Path], tmp_path: Path) -> None:
    """Each chunk goes to another process, and so does each question; one of them analyzes the file."""
    data = footage(tmp_path / "a.mp4").read_bytes()
    with client_of(old[0].address) as client:
        video = announced(client.at(0), data)
        for number, chunk in enumerate(chunks(video.video_id, data, size=20_000)):
            (answer,) = client.at(number).video.AnalyzeVideo(iter([chunk]))
            assert answer.video.received_bytes == min(chunk.offset + 20_000, len(data))
        until(lambda: all(state(client.at(i), video.video_id).state in DONE for i in range(CHANNELS)))
        assert {state(client.at(i), video.video_id).state for i in range(CHANNELS)} == {video_pb2.VIDEO_STATE_ANALYZED}


def test_front_ends_of_two_servers_share_a_database_and_a_folder_of_footage(tmp_path: Path, postgres: Cluster) -> None:
    """Each call goes to another process: to the two front-ends of either server."""
    data, faces = footage(tmp_path / "a.mp4").read_bytes(), [noise(number, side=256) for number in range(CHANNELS)]
    sections: dict[str, Any] = {
        "storage": {"url": postgres.database().url},
        "video": {"folder": str(tmp_path / "footage")},
        "quality": {"min_sharpness": 0.0},
    }
    with ExitStack() as stack:
        stack.enter_context(patch(f"{__name__}.Device", Seeing))
        clients: list[Client] = []
        for name in ("one", "other"):
            if clients:  # the servers have one key
                shutil.copy(tmp_path / "one.key", tmp_path / "other.key")
            server = stack.enter_context(running(tmp_path / name, server={"name": name}, **sections))
            clients.append(stack.enter_context(client_of(server.address)))
        token = (
            clients[0]
            .at()
            .gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="g"))
            .gallery.version_token
        )

        def found(client: Client, number: int) -> set[str]:
            probe = recognition_pb2.Probe(image=common_pb2.Image(data=faces[0]))
            request = gallery_pb2.SearchRequest(gallery_id="g", probe=probe, top_k=CHANNELS, at_least=token)
            results = client.at(number).gallery.Search(request).results
            return {candidate.subject_id for candidate in results[0].candidates}

        for number, face in enumerate(faces):
            probe = recognition_pb2.Probe(image=common_pb2.Image(data=face))
            enrol = gallery_pb2.EnrolRequest(gallery_id="g", subject_id=f"s{number}", face=probe)
            token = clients[number % 2].at(number).gallery.Enrol(enrol).version_token
            assert found(clients[1 - number % 2], number) == {f"s{each}" for each in range(number + 1)}
        for number in range(CHANNELS):
            erase = gallery_pb2.EraseSubjectRequest(gallery_id="g", subject_id=f"s{number}")
            token = clients[number % 2].at(number).gallery.EraseSubject(erase).version_token
            assert f"s{number}" not in found(clients[1 - number % 2], number)
        everywhere = [client.at(number) for number in range(CHANNELS) for client in clients]
        video = announced(clients[0].at(), data)
        for number, chunk in enumerate(chunks(video.video_id, data, size=20_000)):
            caller = everywhere[number % len(everywhere)]
            (answer,) = caller.video.AnalyzeVideo(iter([chunk]))
            assert answer.video.received_bytes == min(chunk.offset + 20_000, len(data))
        until(lambda: all(state(caller, video.video_id).state in DONE for caller in everywhere))
        assert {state(caller, video.video_id).state for caller in everywhere} == {video_pb2.VIDEO_STATE_ANALYZED}
        for caller in everywhere:
            listed = caller.video.ListVideos(video_pb2.ListVideosRequest()).videos
            assert [each.video_id for each in listed] == [video.video_id]
