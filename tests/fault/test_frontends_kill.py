"""A server with front-ends under mixed load survives the kill of its engine's process, of a front-end, or of all.

Run as a script, this file is such a server, with stand-ins for the models:
`python tests/fault/test_frontends_kill.py FOLDER`.
"""

import asyncio
import csv
import io
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import grpc
import numpy as np
import pytest

from fr_api.v1 import access_pb2, common_pb2, gallery_pb2, recognition_pb2, review_pb2, training_pb2
from fr_core.detect.null import NullDetector
from fr_core.detect.protocol import TileFaces
from fr_core.engine import Engine, Lifeline
from fr_core.packs.manifest import load_pack
from fr_core.runtime.batcher import Batcher
from fr_core.runtime.devices import ActiveDevice
from fr_core.types import F32, U8, AlignedFace
from fr_server.clock import wall_ms
from fr_server.config import Config, config_from
from fr_server.main import open_galleries
from fr_server.storage.opening import open_access
from fr_server.telemetry.open import Telemetry
from fr_server.workers.supervisor import Supervisor
from fr_trust.access.principal import Role
from support.callers import NONE, UNSURE, Caller, reason_of
from support.commands import Script
from support.counts import NIGHTLY, count
from support.courses import Chance, create, enrol, link_people, next_trial, start
from support.faults import children_of, until
from support.secured import figure, key_of
from support.servers import NULL_QUALITY, null_engine, photo

KILLS = count("FRONTEND_KILLS")
FRONTENDS = 2 if NIGHTLY else 1
# Changes that are acknowledged between two kills, at most; and for how long the server lives on after that.
MOST_CHANGES = 60
LONGEST_S = 0.05
WAIT_S = 120.0  # of a machine that does other things, too
GALLERY = "g"
PROBE = recognition_pb2.Probe(image=common_pb2.Image(data=photo(10)))
PLAN = """
format = 1
title = "A course of squares"
[[sittings]]
name = "all"
blocks = [{id = "pairs", exercise = "verification", same = 6, different = 6}]
"""


def detect(tiles: Sequence[U8]) -> list[TileFaces]:
    return [_faces(tile) for tile in tiles]


def _faces(tile: U8) -> TileFaces:
    found = NullDetector().detect(tile)
    if not found:
        return TileFaces.joined([])
    parts = ([one.box for one in found], [one.landmarks for one in found], [one.score for one in found])
    return TileFaces(*(np.array(part, np.float32) for part in parts))


def embed(faces: Sequence[AlignedFace]) -> list[F32]:
    return [np.random.default_rng(face.pixels[56, 56, 2]).standard_normal(512).astype(np.float32) for face in faces]


def config_of(folder: Path) -> Config:
    return config_from(
        {
            "server": {"port": 0, "drain_s": 5.0, "frontends": FRONTENDS},
            "access": {"mode": "keys"},
            "quality": NULL_QUALITY,
            "model": {"detection": "fast"},
            "gallery": {"folder": str(folder)},
        }
    )


async def serve(folder: Path) -> None:
    config, lifeline, opened = config_of(folder), Lifeline(), ExitStack()
    tile, face = np.zeros((256, 256, 3), np.uint8), np.zeros((112, 112, 3), np.uint8)
    detector: Batcher[U8, TileFaces] = Batcher("detector", [detect], (1, 2), 1024, [tile], lambda one: one.shape)
    faces = [AlignedFace(face, np.eye(2, 3, dtype=np.float32))]
    embedder: Batcher[AlignedFace, F32] = Batcher("embedder", [embed], (1, 2), 1024, faces)
    for batcher in (detector, embedder):
        batcher.start()
        opened.callback(batcher.close)
    galleries = opened.enter_context(closing(open_galleries(config, load=False)))
    device = ActiveDevice("cpu", "cpu", "stand-in")
    pipeline = null_engine(config).pipeline
    engine = Engine(load_pack("buffalo_s"), pipeline, device, "fast", lifeline, (detector, embedder))
    server = Supervisor(config, engine, galleries, Telemetry(), opened, galleries.load, galleries.broken)
    await server.start()
    print(server.port, flush=True)  # noqa: T201 - for who started it
    await server.broken()


class Server:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0  # another one in each life: a front-end that ends may hold the last one a little longer
        self._process: Script | None = None

    def start(self) -> None:
        self._process = Script(__file__, self.folder, group=True)
        self.port = int(self._process.line())

    @property
    def frontends(self) -> list[int]:
        assert self._process is not None
        return [pid for pid in children_of(self._process.pid) if b"fr_server.workers" in command_of(pid)]

    def kill(self, what: str, at: random.Random) -> None:
        """Kill the engine's process, one front-end, or all; return when there are as many front-ends as before."""
        assert self._process is not None
        before = self.frontends
        if what == "front-end":
            killed = at.choice(before)
            os.kill(killed, signal.SIGKILL)
            until(lambda: killed not in self.frontends and len(self.frontends) == FRONTENDS, WAIT_S)
            return
        (os.kill if what == "engine" else os.killpg)(self._process.pid, signal.SIGKILL)
        self._ended(self._process)
        until(lambda: not any(map(command_of, before)), WAIT_S)  # front-ends end with their engine's process
        self.start()

    def close(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._ended(self._process)

    def _ended(self, process: Script) -> None:
        self._process = None
        with process:
            process.wait()


def command_of(pid: int) -> bytes:
    """Return the command line of a process; b"" if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@dataclass
class Hand:
    """A caller who changes something again and again, the acknowledged changes, and those that a kill lost or undid."""

    number: int
    lost: ClassVar[Counter[str]] = Counter()
    risen: ClassVar[Counter[str]] = Counter()
    doubled: ClassVar[Counter[str]] = Counter()
    admin: Caller = field(init=False)
    trainee: Caller = field(init=False)
    examiners: tuple[Caller, Caller] = field(init=False)
    acknowledged: int = 0
    at: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.at = random.Random(self.number)

    def begin(self) -> None:
        """Make the objects to work with."""

    def change(self) -> None:
        raise NotImplementedError

    def judge(self) -> None:
        raise NotImplementedError


@dataclass
class Enroller(Hand):
    there: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    pending: tuple[str, Any] | None = None
    made: int = 0

    def change(self) -> None:
        if len(self.there) > 4 and self.at.random() < 0.5:
            subject_id = self.at.choice(sorted(self.there))
            erases = self.at.random() < 0.5
            kind = gallery_pb2.EraseSubjectRequest if erases else gallery_pb2.DeleteSubjectRequest
            self._do(subject_id, kind(gallery_id=GALLERY, subject_id=subject_id))
            return
        self.made += 1
        subject_id = f"{self.number}-{self.made}"
        face = recognition_pb2.Probe(image=common_pb2.Image(data=photo(self.made % 200) + subject_id.encode()))
        self._do(subject_id, gallery_pb2.EnrolRequest(gallery_id=GALLERY, subject_id=subject_id, face=face))
        self.admin.gallery.Search(gallery_pb2.SearchRequest(gallery_id=GALLERY, probe=face, top_k=3))

    def _do(self, subject_id: str, request: Any) -> None:
        self.pending = subject_id, request
        self._send(request)
        self._settle(subject_id, request)
        self.acknowledged += 1

    def _send(self, request: Any) -> None:
        name = type(request).__name__.removesuffix("Request")
        getattr(self.admin.gallery, name)(request)

    def _settle(self, subject_id: str, request: Any) -> None:
        self.pending = None
        enrolled = isinstance(request, gallery_pb2.EnrolRequest)
        (self.there.add if enrolled else self.there.discard)(subject_id)
        if not enrolled:
            self.gone.add(subject_id)

    def judge(self) -> None:
        if self.pending is not None:  # asked for once more: it was done, or it is done now
            subject_id, request = self.pending
            assert reason_of(lambda: self._send(request)) in ("OK", "DUPLICATE_IMAGE", "UNKNOWN_SUBJECT")
            self._settle(subject_id, request)
        for subject_id in self.there:
            templates = self._templates(subject_id)
            self.lost["subjects"] += templates == 0
            self.doubled["subjects"] += templates > 1
        self.risen["subjects"] += sum(self._templates(subject_id) > 0 for subject_id in self.gone)

    def _templates(self, subject_id: str) -> int:
        request = gallery_pb2.GetSubjectRequest(gallery_id=GALLERY, subject_id=subject_id)
        found: list[int] = []
        how = reason_of(lambda: found.append(len(self.admin.gallery.GetSubject(request).subject.templates)))
        assert how in ("OK", "UNKNOWN_SUBJECT")
        return sum(found)


@dataclass
class Finder(Hand):
    given: list[tuple[str, int]] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)

    def change(self) -> None:
        case_id = self.admin.opens(f"case {self.number} {self.at.random()}")
        self.cases.append(case_id)
        found = self.admin.searches(case_id, "wanted", probe=photo(10)).examination
        for number, examiner in enumerate(self.examiners):
            examiner.finds(found.examination_id, NONE)
            self.given.append((found.examination_id, number))
            self.acknowledged += 1

    def judge(self) -> None:
        listed = {one.case_id for one in self._cases()}
        self.lost["cases"] += len(set(self.cases) - listed)
        for examination_id, number in self.given:
            # The same finding may be given again; another is refused where this one is there.
            examiner = self.examiners[number]
            again = reason_of(lambda: examiner.finds(examination_id, UNSURE))  # noqa: B023 - called now
            self.lost["findings"] += again not in ("FINDING_LOCKED", "EXAMINER_NOT_INDEPENDENT")
            findings = self.admin.examination(examination_id).findings
            self.doubled["findings"] += len(findings) > 2
        self.given = self.given[-8:]

    def _cases(self) -> Iterator[Any]:
        request = review_pb2.ListCasesRequest(page_size=1000)
        yield from self.admin.review.ListCases(request).cases


@dataclass
class Learner(Hand):
    """Answers pairs of a course, trainee by trainee."""

    cohort_id: str = ""
    codes: list[str] = field(default_factory=list)
    session_id: str = ""
    answers: list[tuple[Any, Any]] = field(default_factory=list)

    def begin(self) -> None:
        made = enrol(self.admin.training, create(self.admin.training, PLAN).course_id, 100)
        self.cohort_id, self.codes = made.cohort.cohort_id, [one.code for one in made.enrolled]

    def change(self) -> None:
        stub = self.trainee.training
        if not self.session_id:
            self.session_id = start(stub, self.codes[-1])
        trial = next_trial(stub, self.session_id)
        if trial is None:
            self.codes.pop()
            self.session_id = ""
            return
        request = Chance(self.at).decision(self.session_id, trial)
        self.answers.append((request, stub.SubmitDecision(request)))
        self.acknowledged += 1

    def judge(self) -> None:
        for request, response in self.answers[-12:]:
            self.lost["decisions"] += self.trainee.training.SubmitDecision(request) != response
        wanted = training_pb2.ExportResultsRequest(cohort_id=self.cohort_id, format=training_pb2.EXPORT_FORMAT_CSV)
        text = b"".join(piece.content for piece in self.admin.training.ExportResults(wanted)).decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        seen = Counter((row["trainee_id"], row["item_id"]) for row in rows)
        self.doubled["decisions"] += sum(times > 1 for times in seen.values())
        self.lost["decisions"] += max(0, len(self.answers) - sum(bool(row["answer"]) for row in rows))


@dataclass
class Keeper(Hand):
    valid: dict[str, str] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    pending: str = ""

    def change(self) -> None:
        if len(self.valid) > 3:
            key_id = self.at.choice(sorted(self.valid))
            self.pending, token = key_id, self.valid.pop(key_id)
            self.admin.access.RevokeKey(access_pb2.RevokeKeyRequest(key_id=key_id))
            self.revoked.append(token)
            self.pending = ""
        else:
            request = access_pb2.CreateKeyRequest(roles=[access_pb2.ROLE_OPERATOR], galleries=[GALLERY])
            made = self.admin.access.CreateKey(request)
            self.valid[made.key.key_id] = made.token
        self.acknowledged += 1

    def judge(self) -> None:
        channel = self.admin.channel
        for token in self.valid.values():
            self.lost["keys"] += reason_of(lambda: who_am_i(channel, token)) != "OK"  # noqa: B023 - called now
        for token in self.revoked[-20:]:
            self.risen["keys"] += reason_of(lambda: who_am_i(channel, token)) == "OK"  # noqa: B023 - called now


def who_am_i(channel: grpc.Channel, token: str) -> Any:
    return Caller(channel, token).access.WhoAmI(access_pb2.WhoAmIRequest())


@contextmanager
def connected(server: Server, hands: Sequence[Hand], tokens: Sequence[str]) -> Iterator[None]:
    with ExitStack() as stack:
        for hand in hands:
            options = (("grpc.use_local_subchannel_pool", 1),)
            channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options))
            admin, trainee, *examiners = (Caller(channel, token) for token in tokens)
            hand.admin, hand.trainee, hand.examiners = admin, trainee, (examiners[0], examiners[1])
            grpc.channel_ready_future(channel).result(WAIT_S)
        yield


def work(hand: Hand, over: threading.Event, changes: threading.Semaphore) -> bool:
    """Change something until told to end, or until the connection is lost; returns whether it was."""
    try:
        while not over.is_set():
            hand.change()
            changes.release()
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return True
    return False


def live_and_die(server: Server, hands: Sequence[Hand], what: str, at: random.Random, to_change: Sequence[Hand]) -> int:
    """Have the hands work, and kill something once each of `to_change` has a change acknowledged.

    Returns how many of them lost their connection.
    """
    over, changes = threading.Event(), threading.Semaphore(0)
    before = [hand.acknowledged for hand in to_change]
    with ThreadPoolExecutor(len(hands)) as pool:
        working = [pool.submit(work, hand, over, changes) for hand in hands]
        try:
            for _ in range(at.randrange(MOST_CHANGES)):
                assert changes.acquire(timeout=WAIT_S)
            until(lambda: all(one.acknowledged > was for one, was in zip(to_change, before, strict=True)), WAIT_S)
            time.sleep(at.uniform(0, LONGEST_S))
            server.kill(what, at)
        finally:
            over.set()
        return sum(one.result(WAIT_S) for one in working)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FR_HOME", str(tmp_path))
        link_people(tmp_path / "people", 40)
        made = Server(tmp_path / "data")
        try:
            yield made
        finally:
            made.close()


def test_what_a_server_with_front_ends_acknowledged_survives_the_death_of_any_of_its_processes(server: Server) -> None:
    open_galleries(config_of(server.folder)).close()  # which makes the key of the stores
    with open_access(config_of(server.folder), wall_ms) as store:
        examiners = [key_of(store, Role.EXAMINER) for _ in range(2)]
        tokens = (key_of(store), key_of(store, Role.TRAINEE), *examiners)
    server.start()
    at, killed, cut_off = random.Random(1), Counter[str](), 0
    for tally in (Hand.lost, Hand.risen, Hand.doubled):
        tally.clear()
    hands: list[Hand] = [Enroller(1), Enroller(2), Enroller(3), Finder(4), Learner(5), Keeper(6)]
    with connected(server, hands, tokens):
        made = hands[0].admin.gallery
        made.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id=GALLERY, use=gallery_pb2.GALLERY_USE_TEST))
        # Two examiners are asked of what is found in it.
        use = gallery_pb2.GALLERY_USE_OPERATIONAL
        made.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="wanted", use=use))
        made.Enrol(gallery_pb2.EnrolRequest(gallery_id="wanted", subject_id="one", face=PROBE))
        for hand in hands:
            hand.begin()
    for kill in range(KILLS):
        what = ("engine", "front-end", "group")[kill % 3]
        killed[what] += 1
        with connected(server, hands, tokens):
            cut_off += live_and_die(server, hands, what, at, hands)
        with connected(server, hands, tokens):
            for hand in hands:
                hand.judge()
    figure("processes killed", dict(killed))
    figure("changes acknowledged", sum(hand.acknowledged for hand in hands))
    figure("connections lost in the midst of a change", cut_off)
    figure("lost", Hand.lost.total())
    figure("restored after deletion", Hand.risen.total())
    figure("duplicated", Hand.doubled.total())
    assert (+Hand.lost, +Hand.risen, +Hand.doubled) == ({}, {}, {})
    assert cut_off > KILLS / 2

    # The control: an older copy of the folder lacks what was acknowledged after it was made.
    changing = [hand for hand in hands if isinstance(hand, Enroller | Keeper)]
    older = server.folder.with_name("older")
    server.close()
    shutil.copytree(server.folder, older)
    server.start()
    with connected(server, hands, tokens):
        live_and_die(server, hands, "group", random.Random(0), changing)
    server.close()
    shutil.rmtree(server.folder)
    older.rename(server.folder)
    server.start()
    with connected(server, hands, tokens):
        for hand in changing:
            hand.judge()
    assert Hand.lost.total() > 0


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
