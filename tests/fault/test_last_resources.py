"""The disk can only be read, or no file can be opened: refused with a status, and what was acknowledged is there."""

import itertools
import random
import resource
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_api.v1 import (
    access_pb2,
    common_pb2,
    gallery_pb2,
    recognition_pb2,
    server_pb2,
    server_pb2_grpc,
)
from fr_core.embed.null import NULL_MODEL
from fr_core.errors import FrError
from fr_server.clock import wall_ms
from fr_server.main import open_galleries
from fr_server.storage.opening import Stores, open_stores
from fr_training.store.training_store import TrainingStore
from fr_trust.access.principal import Role
from support.callers import UNSURE, Caller, reason_of
from support.counts import count
from support.courses import Chance, answer, next_trial, store_of
from support.faults import Started, cpu_s
from support.full_disk import WatchedDisk, mounted
from support.secured import HOST, Made, figure, made, secure_channel, started_secured
from support.servers import photo, refusal_of, running
from support.training_stores import DAY_MS, add_course, begin, small_course

TIMES = count("LAST_RESOURCES")
TRAINEES = max(4, TIMES // 2)  # each decides 20 trials and more, of the 8 of a round
ROUNDS = 3
SOON_S = 60.0
# What a server may say that cannot write, or cannot open what it reads.
FAILURES = frozenset({"STORE_FAILED", "STORAGE_LOW"})
OK = "OK"


@dataclass
class Deeds:
    """Changes that were asked for, by somebody who remembers what was acknowledged, and why the others were refused."""

    sessions: list[str]
    enrolled: list[str] = field(default_factory=list)
    decided: Counter[str] = field(default_factory=Counter)
    keys: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def acknowledged(self) -> int:
        return len(self.enrolled) + self.decided.total() + len(self.keys) + len(self.found)

    def ask(self, channel: grpc.Channel) -> set[str]:
        number, caller = next(self.numbers), Caller(channel, "")
        return {
            self._try(self._enrol, caller, f"subject-{number}"),
            self._try(self._decide, caller, self.sessions[number % len(self.sessions)]),
            self._try(self._make_key, caller, f"key {number}"),
            self._try(self._find, caller, f"case {number}"),
        }

    def _try(self, deed: Callable[[Caller, str], None], caller: Caller, name: str) -> str:
        reason = reason_of(lambda: deed(caller, name))  # it has one
        if reason != OK:
            self.refused[reason] += 1
        return reason

    def _enrol(self, caller: Caller, name: str) -> None:
        turn, blue = divmod(len(self.enrolled), 255)
        probe = recognition_pb2.Probe(image=common_pb2.Image(data=photo(1 + blue, width=400 + turn)))
        request = gallery_pb2.EnrolRequest(gallery_id="staff", subject_id=name, face=probe)
        caller.gallery.Enrol(request, timeout=SOON_S)
        self.enrolled.append(name)

    def _decide(self, caller: Caller, session_id: str) -> None:
        trial = next_trial(caller.training, session_id)
        assert trial is not None
        _, next_step = answer(caller.training, session_id, trial, Chance(random.Random(1)))
        self.decided[session_id] += next_step is None

    def _make_key(self, caller: Caller, label: str) -> None:
        request = access_pb2.CreateKeyRequest(label=label, roles=[access_pb2.ROLE_OPERATOR], galleries=["*"])
        self.keys.append(caller.access.CreateKey(request, timeout=SOON_S).token)

    def _find(self, caller: Caller, reference: str) -> None:
        case_id = caller.opens(reference, common_pb2.PURPOSE_TESTING)
        examination_id = caller.searches(case_id, "staff", probe=photo(1)).examination.examination_id
        caller.finds(examination_id, UNSURE, notes="Too blurred.")
        self.found.append(examination_id)

    def require_kept(self, channel: grpc.Channel, stores: Stores) -> None:
        request = gallery_pb2.ListSubjectsRequest(gallery_id="staff", page_size=1000)
        listed = Caller(channel, "").gallery.ListSubjects(request, timeout=SOON_S).subjects
        assert {one.subject_id for one in listed} >= set(self.enrolled)
        for session_id, decided in self.decided.items():
            assert sum(trial.done for trial in stores.training.session(session_id).trials) >= decided
        for token in self.keys:
            stores.access.check(token, None)
        for examination_id in self.found:
            assert len(stores.cases.examination(examination_id).findings) == 1


def prepared(training: TrainingStore, galleries: Any) -> Deeds:
    course = small_course(course_id="00000000000000c3", created_ms=wall_ms())
    add_course(training, course)
    _, enrolled = training.create_cohort(course.course_id, "", TRAINEES, DAY_MS)
    galleries.create("staff", "", NULL_MODEL, 64)
    return Deeds([session.session_id for session in begin(training, course, enrolled)])


def health(channel: grpc.Channel) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
    stub = health_pb2_grpc.HealthStub(channel)
    return stub.Check(health_pb2.HealthCheckRequest(), timeout=SOON_S).status


class ReadOnlyDisk(WatchedDisk):
    """A disk that the kernel makes read-only in the midst of it, as it does where a disk is broken."""

    read_only = False

    @contextmanager
    def broken(self) -> Iterator[None]:
        self.read_only = True
        try:
            yield
        finally:
            self.read_only = False

    def step(self, kind: str, path: str, size: int) -> None:
        if self.read_only:
            raise apsw.IOError("Read-only file system")


@pytest.fixture
def disk() -> Iterator[ReadOnlyDisk]:
    one = ReadOnlyDisk(default=True)
    yield one
    apsw.set_default_vfs("unix")
    one.unregister()


def test_a_disk_that_becomes_read_only(tmp_path: Path, disk: ReadOnlyDisk) -> None:
    with running(tmp_path / "data", access={"mode": "open"}) as server:
        deeds = prepared(store_of(server), server.app.galleries)
        for _ in range(TIMES):
            for _ in range(ROUNDS):
                assert deeds.ask(server.channel) == {OK}
            with disk.broken():
                for _ in range(ROUNDS):
                    assert deeds.ask(server.channel) <= FAILURES
                assert health(server.channel) == health_pb2.HealthCheckResponse.SERVING
                assert refusal_of(lambda: deeds.require_kept(server.channel, server.stores)).info.reason in FAILURES
            deeds.require_kept(server.channel, server.stores)
        assert deeds.ask(server.channel) == {OK}
    with running(tmp_path / "data", access={"mode": "open"}) as server:
        deeds.require_kept(server.channel, server.stores)
        assert deeds.ask(server.channel) == {OK}
    figure("read-only disk: acknowledged and kept, refused", f"{deeds.acknowledged}, {deeds.refused.total()}")
    assert deeds.refused.total() == 4 * ROUNDS * TIMES


def test_a_server_on_a_disk_that_is_mounted_read_only_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with mounted(folder, 2**26):
        server = made(folder / "srv")
        with open_galleries(server.config()) as galleries:
            galleries.create("staff", "", NULL_MODEL, 64)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(FrError) as refused:
            open_galleries(server.config())
        assert str(server.folder / "data" / "galleries.db") in refused.value.message
        with pytest.raises(FrError) as refused:
            open_stores(server.config(), wall_ms)
        assert str(server.folder / "data" / "access" / "access.sqlite") in refused.value.message
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        with open_galleries(server.config()) as galleries:
            assert galleries.get("staff").template_count == 0


@contextmanager
def without_files(pid: int) -> Iterator[None]:
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    numbers = sorted(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())
    # The limit is on the number of a descriptor: all free ones below the highest would stay free.
    free = next((at for at, number in enumerate(numbers) if at != number), len(numbers))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def comes_in(address: str, at: Made, token: str, timeout_s: float) -> bool:
    with secure_channel(address, at.ca, token) as channel:
        stub = server_pb2_grpc.ServerServiceStub(channel)
        try:
            stub.GetServerInfo(server_pb2.GetServerInfoRequest(), timeout=timeout_s)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                return False
            raise
    return True


def test_a_process_that_can_open_no_more_files(tmp_path: Path) -> None:
    at = made(tmp_path / "srv")
    token = at.key()
    with open_galleries(at.config()) as galleries, closing(open_stores(at.config(), wall_ms)) as stores:
        deeds = prepared(stores.training, galleries)
    with started_secured(tmp_path / "log", at) as server:
        address = server.address.replace("0.0.0.0", HOST)
        everything = at.key(*Role)
        with at.channel(address, everything) as channel:
            siege(server, at, address, token, channel, deeds)
            with closing(open_stores(at.config(), wall_ms)) as stores:
                deeds.require_kept(channel, stores)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
    with (
        started_secured(tmp_path / "log", at) as server,
        at.channel(server.address.replace("0.0.0.0", HOST), everything) as channel,
    ):
        with closing(open_stores(at.config(), wall_ms)) as stores:
            deeds.require_kept(channel, stores)
        assert deeds.ask(channel) == {OK}
    figure("no file descriptors: acknowledged and kept, refused", f"{deeds.acknowledged}, {deeds.refused.total()}")


def siege(server: Started, at: Made, address: str, token: str, channel: grpc.Channel, deeds: Deeds) -> None:
    pid = server.process.pid
    for _ in range(TIMES):
        for _ in range(ROUNDS):
            assert deeds.ask(channel) == {OK}
        with without_files(pid):
            before_s = cpu_s(pid)
            assert not comes_in(address, at, token, 1.0)
            for _ in range(ROUNDS):
                assert deeds.ask(channel) <= FAILURES | {OK}
            assert health(channel) == health_pb2.HealthCheckResponse.SERVING
            assert cpu_s(pid) - before_s < 1.0
        assert comes_in(address, at, token, SOON_S)
        assert deeds.ask(channel) == {OK}


def test_control_what_was_not_acknowledged_is_noticed(tmp_path: Path, disk: ReadOnlyDisk) -> None:
    """A server that acknowledges what could not be written."""
    with running(tmp_path / "data", access={"mode": "open"}) as server:
        deeds = prepared(store_of(server), server.app.galleries)
        assert deeds.ask(server.channel) == {OK}
        with disk.broken():
            assert deeds.ask(server.channel) <= FAILURES
        deeds.enrolled.append("subject-1")
        with pytest.raises(AssertionError):
            deeds.require_kept(server.channel, server.stores)
