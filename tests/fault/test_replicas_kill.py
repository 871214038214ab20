"""Three servers on one PostgreSQL: one is killed every few seconds, and PostgreSQL now and then, while callers go on.

Callers enrol, search and erase at whichever server. Every answer is compared with a model of the history: no
acknowledged enrolment is missing, no one is found after the receipt of the erasure, and no candidate is wrong.

Run as a script, this file is a server. The control is one that searches whatever its memory holds, and confirms
erasures that the others have not seen.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from fr_api.v1 import common_pb2, gallery_pb2, gallery_pb2_grpc, recognition_pb2
from fr_core.embed.null import NULL_MODEL
from fr_core.gallery.search.following import Follower
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.storage import members
from fr_core.storage.location import Postgres
from fr_core.storage.terms import Term
from fr_server.app import App
from fr_server.config import config_from
from fr_server.main import open_galleries, run
from fr_server.storage.peers import Peers
from support.counts import NIGHTLY, count
from support.faults import Started, started, until
from support.ledger import GALLERY, embedding
from support.postgres import Cluster, cluster
from support.servers import NULL_QUALITY, ended, null_engine

SECONDS = count("REPLICA_SECONDS")
SERVERS = 3
CALLERS = 4
# As often as the run of the night asks: every 10 s a server, and every 30 s PostgreSQL.
KILL_EVERY_S = min(10.0, SECONDS / 3)
POSTGRES_EVERY_S = min(30.0, SECONDS / 2)
CALL_S = 60.0
# By day a server is taken for dead sooner, so that erasures wait less for it.
LASTS_S = members.LASTS_S if NIGHTLY else 3.0
# Failures that a caller must expect while a server or PostgreSQL is away.
PASSING = {"UNAVAILABLE", "STORE_FAILED", "REPLICA_BEHIND", "ERASURE_UNCONFIRMED", "SHUTTING_DOWN", "NOT_READY"}
SHOWN = 10
LIVING = 12 if NIGHTLY else 6  # people of one caller, beyond whom it erases
SIZE = 64


def _search_anything() -> None:
    at = GalleryMemory.at

    def stale(memory: GalleryMemory, version: int, longest_s: float | None = None) -> Any:
        return at(memory, min(version, memory.version), longest_s)

    setattr(GalleryMemory, "at", stale)  # noqa: B010 - mypy refuses to replace a method
    setattr(Follower, "wait_for_all", lambda follower, seq: None)  # noqa: B010
    setattr(Follower, "require_term", lambda follower: Term(0, math.inf))  # noqa: B010


def _serve(how: str, raw: str, ready_file: str) -> None:
    if how == "stale":
        _search_anything()
    config = config_from(json.loads(raw))
    peers = Peers(config, lasts_s=LASTS_S)
    galleries = open_galleries(config, members=peers.members)
    app = App(config, null_engine(config), galleries, broken=galleries.broken, peers=peers)
    asyncio.run(run(app, Path(ready_file)))


@dataclass(slots=True)
class Person:
    """A subject with one template; times are those of `time.monotonic`, None where it has not come yet."""

    seed: int
    begun: float
    enrolled: float | None = None
    erasing: float | None = None
    erased: float | None = None


@dataclass(slots=True)
class History:
    """Everybody who was ever enrolled, by the id of the subject, and what went wrong."""

    people: dict[str, Person] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def judge(self, probe: int, begun: float, answer: gallery_pb2.SearchResponse) -> None:
        """Compare the candidates with what the gallery may, and must, have held during the search."""
        ended_at, found = time.monotonic(), answer.results[0].candidates
        people = dict(self.people)
        similar = {name: _similarity(one.seed, probe) for name, one in people.items()}
        for one in found:
            person = people.get(one.subject_id)
            if person is None or abs(one.similarity - similar[one.subject_id]) > 1e-5:
                self.wrong.append(f"{one.subject_id} is no such candidate")
            elif person.erased is not None and person.erased < begun:
                self.wrong.append(f"{one.subject_id} is found after the receipt")
        least = found[-1].similarity if len(found) == SHOWN else -1.0
        there = {one.subject_id for one in found}
        for name, person in people.items():
            surely = person.enrolled is not None and person.enrolled < begun
            surely = surely and (person.erasing is None or person.erasing > ended_at)
            if surely and similar[name] > least + 1e-5 and name not in there:
                self.wrong.append(f"{name} is missing")


def _similarity(one: int, other: int) -> float:
    return float(embedding(one, SIZE).vector @ embedding(other, SIZE).vector)


def _probe(seed: int) -> recognition_pb2.Probe:
    model = common_pb2.ModelId(pack=NULL_MODEL.pack, version=NULL_MODEL.version, sha256=NULL_MODEL.sha256)
    vector = embedding(seed, SIZE).vector.tolist()
    return recognition_pb2.Probe(embedding=common_pb2.Embedding(vector=vector, model=model))


class Fleet:
    """The servers; each is begun anew after it was killed."""

    def __init__(self, folder: Path, database: Postgres, how: str) -> None:
        storage = {"url": database.url, "connect_timeout_s": 2.0}
        if how == "stale":
            storage["follow_interval_s"] = 1.0
        self._raw = {"server": {"port": 0}, "quality": NULL_QUALITY, "storage": storage}
        self._raw["gallery"] = {"folder": str(folder / "data")}
        self._folder, self._how = folder, how
        self._opened = [ExitStack() for _ in range(SERVERS)]
        self._started: list[Started] = []

    def __enter__(self) -> Fleet:
        self._started = [self._begin(number) for number in range(SERVERS)]
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._opened:
            one.close()

    @property
    def addresses(self) -> list[str]:
        return [one.address for one in self._started]

    def kill(self, number: int) -> None:
        """Send SIGKILL to a server, and begin it anew."""
        self._opened[number].close()
        self._started[number] = self._begin(number)

    def _begin(self, number: int) -> Started:
        raw = {**self._raw, "server": {"port": 0, "name": f"server {number}"}}
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        return self._opened[number].enter_context(started(folder, __file__, self._how, json.dumps(raw)))


class Caller:
    """Enrols, searches and erases people of its own, at whichever server."""

    def __init__(self, number: int, fleet: Fleet, history: History) -> None:
        self._number, self._fleet, self._history = number, fleet, history
        self._chance = random.Random(number)
        self._channels: dict[str, grpc.Channel] = {}
        self._made = 0
        self._token = ""
        self._living: list[str] = []
        self._doubted: list[str] = []  # whose erasure has not been confirmed

    def work(self, over: Callable[[], bool]) -> None:
        while not over():
            do = self._chance.choice([self._enrol, self._search, self._search])
            if self._doubted or len(self._living) > LIVING:
                do = self._erase
            do()
        for channel in self._channels.values():
            channel.close()

    def _call(self, method: str, request: Any) -> Any:
        """Return the answer of a server, None where the call failed as it may."""
        address = self._chance.choice(self._fleet.addresses)
        if address not in self._channels:
            self._channels[address] = grpc.insecure_channel(address)
        stub = gallery_pb2_grpc.GalleryServiceStub(self._channels[address])
        try:
            answer = getattr(stub, method)(request, timeout=CALL_S)
        except grpc.RpcError as error:
            pairs: Any = error.trailing_metadata() or ()
            told: dict[str, Any] = dict(pairs)
            reason = ended(error).info.reason if "grpc-status-details-bin" in told else error.code().name
            self._history.counts[reason] += 1
            if reason == "UNKNOWN_SUBJECT":
                return reason
            if reason not in PASSING:
                self._history.wrong.append(f"{method}: {error}")
            time.sleep(0.02)
            return None
        self._history.counts[method] += 1
        self._token = getattr(answer, "version_token", "") or self._token
        return answer

    def _enrol(self) -> None:
        self._made += 1
        name, seed = f"{self._number}-{self._made}", self._number * 1_000_000 + self._made
        person = self._history.people[name] = Person(seed, time.monotonic())
        request = gallery_pb2.EnrolRequest(gallery_id=GALLERY, subject_id=name, face=_probe(seed))
        if self._call("Enrol", request) is not None:
            person.enrolled = time.monotonic()
            self._living.append(name)

    def _search(self) -> None:
        probe = self._history.people[self._chance.choice(self._living)].seed if self._living else 1
        request = gallery_pb2.SearchRequest(
            gallery_id=GALLERY, probe=_probe(probe), top_k=SHOWN, threshold=-1.0, at_least=self._token
        )
        begun = time.monotonic()
        answer = self._call("Search", request)
        if answer is not None:
            self._history.judge(probe, begun, answer)

    def _erase(self) -> None:
        if not self._doubted:
            self._doubted.append(self._living.pop(self._chance.randrange(len(self._living))))
        (name,) = self._doubted
        person = self._history.people[name]
        again = person.erasing is not None
        person.erasing = person.erasing or time.monotonic()
        answer = self._call("EraseSubject", gallery_pb2.EraseSubjectRequest(gallery_id=GALLERY, subject_id=name))
        if answer == "UNKNOWN_SUBJECT" and not again:
            self._history.wrong.append(f"{name} is lost")
        if answer is not None:
            person.erased = time.monotonic()
            self._doubted.clear()


@contextmanager
def callers_of(fleet: Fleet, history: History) -> Iterator[None]:
    over = threading.Event()
    threads = [
        threading.Thread(target=Caller(number, fleet, history).work, args=(over.is_set,)) for number in range(CALLERS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def live(folder: Path, mortal: Cluster, seconds: float, how: str) -> History:
    """Let the callers work through the deaths of servers and of PostgreSQL, then compare each server with the model."""
    history, chance = History(), random.Random(1)
    with Fleet(folder, mortal.database(), how) as fleet:
        with closing(grpc.insecure_channel(fleet.addresses[0])) as channel:
            gallery_pb2_grpc.GalleryServiceStub(channel).CreateGallery(
                gallery_pb2.CreateGalleryRequest(gallery_id=GALLERY)
            )
        with callers_of(fleet, history):
            begun = time.monotonic()
            deaths = sorted(
                [(at, "server") for at in np.arange(KILL_EVERY_S, seconds, KILL_EVERY_S)]
                + [(at, "postgres") for at in np.arange(POSTGRES_EVERY_S / 2, seconds, POSTGRES_EVERY_S)]
            )
            for at, who in deaths if how == "sound" else ():
                time.sleep(max(0.0, begun + at - time.monotonic()))
                if who == "server":
                    fleet.kill(chance.randrange(SERVERS))
                else:
                    mortal.kill()
                    mortal.start()
                history.counts[f"deaths of a {who}"] += 1
            until(lambda: time.monotonic() - begun > seconds or bool(how != "sound" and history.wrong), seconds + 5)
        if how == "sound":
            for address in fleet.addresses:
                compare(address, history)
    return history


def compare(address: str, history: History) -> None:
    """Find at one server everybody who must be there, and nobody else."""
    with closing(grpc.insecure_channel(address)) as channel:
        stub = gallery_pb2_grpc.GalleryServiceStub(channel)
        page = stub.ListSubjects(gallery_pb2.ListSubjectsRequest(gallery_id=GALLERY, page_size=1000))
        assert not page.next_page_token
        there = {subject.subject_id for subject in page.subjects}
        must = {name for name, one in history.people.items() if one.enrolled is not None and one.erasing is None}
        gone = {name for name, one in history.people.items() if one.erased is not None}
        history.wrong += [f"{name} is lost" for name in must - there] + [f"{name} has risen" for name in gone & there]
        for name in sorted(must):
            probe, begun = history.people[name].seed, time.monotonic()
            request = gallery_pb2.SearchRequest(gallery_id=GALLERY, probe=_probe(probe), top_k=SHOWN, threshold=-1.0)
            history.judge(probe, begun, stub.Search(request))
        history.counts["people at the end"] = len(must)


def told(history: History) -> Sequence[str]:
    return history.wrong[:5]


@pytest.fixture
def mortal() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


def test_servers_that_die_lose_nothing_and_answer_nothing_wrong(tmp_path: Path, mortal: Cluster) -> None:
    history = live(tmp_path, mortal, SECONDS, "sound")
    print(f"{SECONDS} s: {dict(history.counts)}")  # noqa: T201 - the figures of the long run
    assert told(history) == []
    assert history.counts["Search"] > SECONDS
    assert history.counts["EraseSubject"] > 0
    assert history.counts["people at the end"] > 0


@pytest.mark.nightly
def test_control_a_server_that_searches_an_older_memory_is_found_out(tmp_path: Path, mortal: Cluster) -> None:
    assert told(live(tmp_path, mortal, 60.0, "stale")) != []


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], sys.argv[4])
