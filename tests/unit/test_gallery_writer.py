"""The thread that writes, and many threads at once: groups share a commit, each search shows one version."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fr_core.errors import (
    DuplicateImage,
    FrError,
    InternalError,
    ShuttingDown,
    StoreCorrupt,
    StoreFailed,
    UnknownGallery,
)
from fr_core.gallery.changes import CreateGallery, Done, Enrol
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.index.protocol import VectorIndex
from fr_core.gallery.search.memories import Memories
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.store.transaction import GalleryTransaction
from fr_core.gallery.values import Enrolled, Enrolment, Found, GalleryInfo, NewTemplate
from fr_core.gallery.writer import Writer
from fr_core.storage import log_copier
from fr_core.storage.location import Location
from fr_core.storage.protocol import Database, T
from support.faults import until
from support.ledger import KEY, MODEL, SIZE, embedding
from support.results import defined
from support.stores import SQLITE_ALONE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG = 10.0  # seconds after which a test has failed


def enrol(number: int, gallery_id: str = "g", sha256: str | None = None) -> Enrol:
    return Enrol(gallery_id, Enrolment(f"s{number}", NewTemplate(embedding(number), sha256)), NOW)


class SlowStore(GalleryStore):
    """A store whose commits wait for leave, as those of a slow disk do, and fail when told to."""

    def __init__(self, location: Location) -> None:
        super().__init__(location, KEY)
        self.leave = threading.Event()
        self.leave.set()
        self.committing = threading.Event()
        self.commits = 0
        self.failure: Exception | None = None
        self._transaction = self.database.transaction
        self.database.transaction = self._slow  # type: ignore[method-assign]

    @contextmanager
    def _slow(self, make: Callable[[Database], T]) -> Iterator[T]:
        with self._transaction(make) as transaction:
            yield transaction
            self.committing.set()
            assert self.leave.wait(LONG)
            if self.failure is not None:
                raise self.failure
            self.commits += 1


@dataclass
class Bench:
    store: SlowStore
    writer: Writer
    memories: Memories
    pool: ThreadPoolExecutor
    broken: Future[None]

    def info(self) -> GalleryInfo:
        """The gallery as the store has it."""
        with self.store.snapshot() as snapshot:
            return defined(snapshot.gallery("g")).info

    def held(self, change: Enrol) -> Future[Enrolled]:
        """Run a change up to its commit, which waits from now on; what comes next forms the next group."""
        self.store.leave.clear()
        self.store.committing.clear()
        future = self.pool.submit(self.writer.run, change)
        assert self.store.committing.wait(LONG)
        return future

    def queued(self, *changes: Enrol) -> list[Future[Enrolled]]:
        """Queue changes behind a commit that waits."""
        futures = [self.pool.submit(self.writer.run, change) for change in changes]
        until(lambda: self.writer.waiting == len(changes))
        return futures


@pytest.fixture
def bench(location: Location) -> Iterator[Bench]:
    store = SlowStore(location)
    memories = Memories("flat")
    broken: Future[None] = Future()
    writer = Writer(store, memories, broken)
    writer.run(CreateGallery(GalleryInfo("g", "", MODEL, SIZE, NOW, 0, 0, 1)))
    store.commits = 0
    with ThreadPoolExecutor(40) as pool:
        yield Bench(store, writer, memories, pool, broken)
        store.leave.set()
    writer.close()
    store.close()


def test_changes_that_wait_share_one_commit_and_are_acknowledged_after_it(bench: Bench) -> None:
    first = bench.held(enrol(0))
    others = bench.queued(*(enrol(number) for number in range(1, 21)))
    assert bench.info().template_count == 0
    assert not any(future.done() for future in (first, *others))
    bench.store.leave.set()
    assert first.result(LONG).gallery_version == 2
    assert sorted(future.result(LONG).gallery_version for future in others) == list(range(3, 23))
    assert bench.store.commits == 2


def test_a_refused_change_does_not_harm_its_group(bench: Bench) -> None:
    first = bench.held(enrol(0, sha256="a" * 64))
    good, duplicate, unknown, twice = bench.queued(
        enrol(1), enrol(2, sha256="a" * 64), enrol(3, "none"), enrol(4, sha256="b" * 64)
    )
    bench.store.leave.set()
    for accepted in (first, good, twice):
        accepted.result(LONG)
    assert isinstance(duplicate.exception(LONG), DuplicateImage)
    assert isinstance(unknown.exception(LONG), UnknownGallery)
    assert (bench.info().subject_count, bench.info().template_count) == (3, 3)


@dataclass(frozen=True)
class Failing(Enrol):
    """Writes, and then fails."""

    error: Exception = field(default_factory=ZeroDivisionError)

    def run(self, transaction: GalleryTransaction) -> Done[Enrolled]:
        super().run(transaction)
        raise self.error


def failing(number: int, error: Exception) -> Enrol:
    return Failing("g", enrol(number).enrolment, NOW, error)


@pytest.mark.parametrize("error", [ZeroDivisionError(), StoreCorrupt("A row was altered.", check="test")])
def test_a_defect_or_an_altered_row_harms_only_its_own_change(
    bench: Bench, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    first = bench.held(enrol(0))
    good, bad, also_good = bench.queued(enrol(1), failing(2, error), enrol(3))
    bench.store.leave.set()
    with pytest.raises(type(error)):
        bad.result(LONG)
    for future in (first, good, also_good):
        future.result(LONG)
    with bench.store.snapshot() as snapshot:
        assert [found.subject_id for found in snapshot.subjects(1, "", 10)] == ["s0", "s1", "s3"]
    with bench.store.auditing() as audit:
        assert audit.head().seq == 4
    assert ("a change failed" in caplog.text) is isinstance(error, ZeroDivisionError)


def test_a_commit_that_fails_fails_its_whole_group_and_the_next_goes_on(bench: Bench) -> None:
    first = bench.held(enrol(0, sha256="a" * 64))
    others = bench.queued(enrol(1), enrol(2), enrol(3, "none"))
    bench.store.failure = StoreFailed("The disk is full.", cause="test")
    bench.store.leave.set()
    errors = [future.exception(LONG) for future in (first, *others)]
    # The refusal is not told either: it rests on changes that were undone.
    assert [(type(error), error.metadata) for error in errors if isinstance(error, FrError)] == [
        (StoreFailed, {"cause": "test"})
    ] * 4
    assert len({id(error) for error in errors}) == 4
    bench.store.failure = None
    again = bench.writer.run(enrol(0, sha256="a" * 64))
    # The ids of failed attempts are never used again.
    assert (again.template_id, again.gallery_version, again.subject_created) == (4, 2, True)
    # So does a disk that fails within a change.
    bench.held(enrol(1))
    futures = bench.queued(enrol(2), failing(3, StoreFailed("The database could not be written.")), enrol(4))
    bench.store.leave.set()
    assert [type(future.exception(LONG)) for future in futures] == [StoreFailed] * 3
    assert bench.writer.run(enrol(2)).gallery_version == 4


def test_closing_finishes_what_waits_and_takes_nothing_new(bench: Bench) -> None:
    first = bench.held(enrol(0))
    others = bench.queued(enrol(1), enrol(2))
    closing = threading.Thread(target=bench.writer.close)
    closing.start()
    until(lambda: bench.writer.waiting == 3)  # the two changes, and the end
    with pytest.raises(ShuttingDown):
        bench.writer.run(enrol(3))
    bench.store.leave.set()
    closing.join(LONG)
    assert first.result(LONG).template_id == 1
    assert sorted(future.result(LONG).template_id for future in others) == [2, 3]
    bench.writer.close()


def die(*_: object) -> None:
    raise ZeroDivisionError


def test_nobody_waits_for_a_thread_that_died(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.memories, "apply", die)
    waiting = [bench.held(enrol(0)), *bench.queued(enrol(1))]
    bench.store.leave.set()
    assert [type(future.exception(LONG)) for future in waiting] == [InternalError] * 2
    with pytest.raises(ShuttingDown):
        bench.writer.run(enrol(2))
    assert isinstance(bench.broken.exception(LONG), InternalError)
    with pytest.raises(InternalError):
        bench.memories.wait_beyond(100)


@SQLITE_ALONE
def test_galleries_whose_thread_died_say_so(location: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SlowStore(location)
    with Galleries(store, index="numpy") as galleries:
        galleries.load()
        galleries.create("g", "", MODEL, SIZE)
        assert not galleries.broken.done()
        monkeypatch.setattr(store.database.log, "tidy", die)
        monkeypatch.setattr(log_copier, "_CHECKPOINT_FRAMES", 1)
        galleries.enrol("g", enrol(0).enrolment)
        error = galleries.broken.exception(LONG)
        assert isinstance(error, InternalError)
        assert error.metadata == {"cause": "ZeroDivisionError"}
        with pytest.raises(InternalError):
            galleries.search("g", embedding(0), 1, 0.0)


def test_a_gallery_whose_index_cannot_be_made_harms_no_other(
    location: Location, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_memory(embedding_size: int) -> VectorIndex:
        raise MemoryError("Jane Roe")

    with Galleries(GalleryStore(location, KEY), index="numpy") as galleries:
        galleries.load()
        galleries.create("g", "", MODEL, SIZE)
        with monkeypatch.context() as patched:
            patched.setattr(galleries._memories, "_new_index", no_memory)
            galleries.create("h", "", MODEL, SIZE)
        assert "could not be made: MemoryError" in caplog.text
        assert "Jane Roe" not in caplog.text
        for gallery_id in "gh":
            galleries.enrol(gallery_id, enrol(0).enrolment)  # in h too: it is durable, and no index of it alone is made
        assert len(list(galleries._memories)) == 1
        with pytest.raises(InternalError):
            galleries.search("h", embedding(0), 1, 0.0)
        assert galleries.search("g", embedding(0), 1, 0.0).identification.candidates[0].subject_id == "s0"
        assert not galleries.broken.done()
        galleries.delete("h")
        galleries.create("h", "", MODEL, SIZE)
        assert galleries.search("h", embedding(0), 1, 0.0).identification.candidates == ()


def test_a_search_does_not_wait_for_a_commit(location: Location) -> None:
    store = SlowStore(location)
    with Galleries(store, index="numpy") as galleries, ThreadPoolExecutor(1) as pool:
        galleries.load()
        galleries.create("g", "", MODEL, SIZE)
        galleries.enrol("g", enrol(0).enrolment)
        store.leave.clear()
        store.committing.clear()
        slow = pool.submit(galleries.enrol, "g", enrol(1).enrolment)
        assert store.committing.wait(LONG)
        found = galleries.search("g", embedding(1), 5, 0.0).identification
        assert ([c.subject_id for c in found.candidates], found.gallery_version) == (["s0"], 2)
        assert galleries.get("g").template_count == 1
        assert galleries.subjects("g").items[0].subject_id == "s0"
        assert not slow.done()
        store.leave.set()
        assert slow.result(LONG).gallery_version == 3
        assert galleries.search("g", embedding(1), 5, 0.0).identification.candidates[0].subject_id == "s1"


WRITERS = 4
SEARCHERS = 4
CHANGES = 80


@dataclass
class Log:
    """The effect of each change, by the version that it gave the gallery."""

    added: dict[int, tuple[str, int]] = field(default_factory=dict)
    removed: dict[int, str] = field(default_factory=dict)

    def at(self, version: int) -> dict[str, set[int]]:
        subjects: dict[str, set[int]] = {}
        for number in range(2, version + 1):
            if number in self.added:
                subject_id, template_id = self.added[number]
                subjects.setdefault(subject_id, set()).add(template_id)
            else:
                del subjects[self.removed[number]]
        return subjects


def write(galleries: Galleries, log: Log, writer: int) -> None:
    rng = random.Random(writer)
    mine: list[str] = []
    for number in range(CHANGES):
        if mine and rng.random() < 0.3:
            subject_id = mine.pop(rng.randrange(len(mine)))
            deleted = galleries.delete_subject("g", subject_id)
            log.removed[deleted.gallery_version] = subject_id
            shown = galleries.search("g", embedding(0), 1000, 0.0)
            assert shown.identification.gallery_version >= deleted.gallery_version
            assert subject_id not in shown.subjects
            continue
        subject_id = f"{writer}-{number}"
        if mine and rng.random() < 0.3:
            subject_id = rng.choice(mine)
        else:
            mine.append(subject_id)
        own = embedding(1000 * writer + number)
        enrolled = galleries.enrol("g", Enrolment(subject_id, NewTemplate(own)))
        log.added[enrolled.gallery_version] = (subject_id, enrolled.template_id)
        shown = galleries.search("g", own, 1, 0.0)
        best = shown.identification.candidates[0]
        assert shown.identification.gallery_version >= enrolled.gallery_version
        assert (best.subject_id, best.template_id) == (subject_id, enrolled.template_id)


def search(galleries: Galleries, done: threading.Event, seed: int) -> list[Found]:
    answers = []
    while not done.is_set():
        answers.append(galleries.search("g", embedding(seed), 1000, 0.0))
    return answers


@pytest.mark.parametrize("index", ["compact", pytest.param("numpy", marks=pytest.mark.nightly)])
def test_every_search_shows_one_version(location: Location, index: str) -> None:
    log, done = Log(), threading.Event()
    with Galleries.open(location, key=KEY, index=index) as galleries, ThreadPoolExecutor(WRITERS + SEARCHERS) as pool:
        galleries.create("g", "", MODEL, SIZE)
        searching = [pool.submit(search, galleries, done, seed) for seed in range(SEARCHERS)]
        writing = [pool.submit(write, galleries, log, writer) for writer in range(WRITERS)]
        try:
            for future in writing:
                future.result()
        finally:
            done.set()
        answers = [future.result() for future in searching]
    assert sorted(log.added | log.removed) == list(range(2, 2 + WRITERS * CHANGES))
    for of_one_thread in answers:
        versions = [found.identification.gallery_version for found in of_one_thread]
        assert versions == sorted(versions)
        for found in of_one_thread[:: max(1, len(of_one_thread) // 100)]:
            expected = log.at(found.identification.gallery_version)
            assert {c.subject_id for c in found.identification.candidates} == set(expected)
            for candidate in found.identification.candidates:
                assert found.subjects[candidate.subject_id].subject_id == candidate.subject_id
                assert candidate.template_id in expected[candidate.subject_id]


def test_galleries_come_and_go_while_they_are_searched(location: Location) -> None:
    done = threading.Event()

    def look(galleries: Galleries) -> int:
        looked = 0
        while not done.wait(0.001):  # threads that never rest would leave the writer no time
            try:
                found = galleries.search("g", embedding(0), 5, 0.0)
            except UnknownGallery:
                continue
            assert found.identification.gallery_version in (1, 2)
            assert len(found.identification.candidates) == found.identification.gallery_version - 1
            looked += 1
        return looked

    with Galleries.open(location, key=KEY, index="numpy") as galleries, ThreadPoolExecutor(4) as pool:
        looking = [pool.submit(look, galleries) for _ in range(4)]
        try:
            for _ in range(40 if isinstance(location, Path) else 10):  # a database of a server takes longer
                galleries.create("g", "", MODEL, SIZE)
                galleries.enrol("g", Enrolment("s", NewTemplate(embedding(0))))
                galleries.delete("g")
        finally:
            done.set()
        assert sum(future.result() for future in looking) > 0


def test_galleries_may_be_closed_while_they_are_used(location: Location) -> None:
    galleries = Galleries.open(location, key=KEY, index="numpy")
    galleries.create("g", "", MODEL, SIZE)

    def work(worker: int) -> int:
        acknowledged = 0
        try:
            while True:
                galleries.enrol("g", Enrolment(f"{worker}-{acknowledged}", NewTemplate(embedding(worker))))
                acknowledged += 1
                galleries.search("g", embedding(worker), 5, 0.0)
        except ShuttingDown:
            return acknowledged

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(work, worker) for worker in range(4)]
        while galleries.get("g").template_count < 4:
            threading.Event().wait(0.01)
        galleries.close()
        acknowledged = sum(future.result() for future in working)
    with Galleries.open(location, key=KEY) as again:
        assert again.get("g").template_count == acknowledged > 0
