"""The memory shows one version at a time; searches share passes; the thread of the upkeep goes on whatever fails."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import numpy as np
import pytest

from fr_core.errors import FrError, InternalError, ShuttingDown, StoreCorrupt, StoreFailed
from fr_core.gallery.effects import AddedVector
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.index.protocol import Hits
from fr_core.gallery.index.rows_index import NumpyIndex
from fr_core.gallery.search import upkeep
from fr_core.gallery.search.memories import Memories
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.gallery.search.sharing import Nearest, SharedSearch
from fr_core.gallery.search.upkeep import Keeper
from fr_core.gallery.store.gallery_store import DATABASE_NAME, GalleryStore
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.values import GalleryRow
from fr_core.gallery.values import Enrolled, Enrolment, NewTemplate
from fr_core.storage import log_copier
from fr_core.types import F32, Embedding
from support.faults import until
from support.ledger import KEY, MODEL, SIZE, embedding

SOON = 0.05  # seconds after which a thread that has not come is taken to wait
LONG = 10.0  # seconds after which a test has failed


def axis(number: int) -> F32:
    vector = np.zeros(4, dtype=np.float32)
    vector[number] = 1.0
    return vector


def added(*numbers: int) -> list[AddedVector]:
    return [AddedVector(number, 100 + number, axis(number % 4)) for number in numbers]


@pytest.fixture
def memory() -> GalleryMemory:
    memory = GalleryMemory(NumpyIndex(4), 1)
    memory.change(2, added(1, 2), ())
    return memory


@contextmanager
def running(target: Callable[[], None]) -> Iterator[threading.Event]:
    """Run a function in a thread; the event tells that it has ended."""
    ended = threading.Event()

    def run() -> None:
        target()
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    yield ended
    thread.join(LONG)
    assert ended.is_set()


def test_a_change_waits_for_those_who_read_and_for_nobody_else(memory: GalleryMemory) -> None:
    reading = memory.at(2)
    assert reading.__enter__()
    with running(lambda: memory.change(3, (), (1,))) as ended:
        assert not ended.wait(SOON)
        with memory.at(2) as exact:  # with a snapshot from before the commit nobody needs to wait
            assert exact
            assert memory.best_subjects(axis(1), 1).template_ids.tolist() == [1]
        assert not ended.wait(SOON)
        reading.__exit__(None, None, None)
    with memory.at(2) as exact:
        assert not exact
    with memory.at(3) as exact:
        assert exact
        assert memory.best_subjects(axis(1), 5).template_ids.tolist() == [2]


def test_a_reader_of_a_newer_version_waits_for_it(memory: GalleryMemory) -> None:
    def read() -> None:
        with memory.at(3) as exact:
            assert exact

    with running(read) as ended:
        assert not ended.wait(SOON)
        memory.change(3, (), ())


def test_what_fails_to_be_copied_is_not_searched(memory: GalleryMemory, caplog: pytest.LogCaptureFixture) -> None:
    memory.change(3, added(1), ())  # a number that was used: the index refuses
    assert "could not be copied" in caplog.text
    for version in (2, 3, 4):
        with pytest.raises(InternalError), memory.at(version):
            pass


def test_nobody_waits_for_a_memory_that_was_abandoned() -> None:
    memories = Memories("flat")
    memory = memories.create(1, 4, 1)

    def wait_for_version() -> None:
        with pytest.raises(InternalError), memory.at(2):
            pass

    def wait_for_change() -> None:
        with pytest.raises(InternalError):
            memories.wait_beyond(memories.changes)

    with running(wait_for_version) as one, running(wait_for_change) as other:
        assert not one.wait(SOON)
        assert not other.wait(SOON)
        memories.abandon()
    memories = Memories("flat")
    with running(lambda: memories.wait_beyond(0)) as ended:  # who waits for a change hears of it
        assert not ended.wait(SOON)
        memories.apply([])


NOW = datetime(2026, 1, 1, tzinfo=UTC)
MEANWHILE = 0.2  # seconds after which a change that has not come is taken to wait


def test_who_prepares_for_longer_than_the_time_between_two_changes_is_overtaken_once(tmp_path: Path) -> None:
    """Control: where the memory is not held while it is prepared for the second time, there is a third, and so on."""
    versions: list[int] = []

    def prepare(snapshot: Snapshot, row: GalleryRow) -> Callable[[GalleryMemory], tuple[int, int]]:
        versions.append(row.info.version)
        if len(versions) > 4:
            pytest.fail("it never comes to search")
        change = pool.submit(galleries.enrol, "g", Enrolment("s", NewTemplate(embedding(row.info.version))))
        changes.append(change)
        wait([change], MEANWHILE if len(versions) > 1 else LONG)
        return lambda memory: (row.info.template_count, memory.index.size)

    changes: list[Future[Enrolled]] = []
    with (
        Galleries(GalleryStore(tmp_path, KEY), index="numpy", clock=lambda: NOW) as galleries,
        ThreadPoolExecutor(4) as pool,
    ):
        galleries.load()
        galleries.create("g", "", MODEL, SIZE)
        with galleries._views.at_one_version("g", prepare) as (snapshot, row, found):
            assert versions == [1, 2]
            assert (row.info.version, found) == (2, (1, 1))
            assert snapshot.gallery("g") == row
            changes[-1].result(LONG)  # the writer waited for the search alone
        assert galleries.get("g").template_count == 2


def test_nothing_is_searched_before_it_is_loaded(tmp_path: Path) -> None:
    with Galleries.open(tmp_path / "data", index="numpy") as galleries:
        galleries.create("g", "", MODEL, SIZE)
    with Galleries.open(tmp_path / "data", index="numpy", load=False) as galleries:
        with pytest.raises(RuntimeError, match="not loaded"):
            galleries.search("g", embedding(0), 1, 0.0)
        galleries.load()
        assert galleries.search("g", embedding(0), 1, 0.0).identification.candidates == ()


class Slow:
    """A search that answers a probe [x, 0] with ids x, x + 1, ...; it stops in its first pass until let go."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.wanted: list[int] = []
        self.entered = threading.Event()
        self.go = threading.Event()

    def __call__(self, probes: F32, k: int) -> Hits:
        self.sizes.append(len(probes))
        self.wanted.append(k)
        if len(self.sizes) == 1:
            self.entered.set()
            assert self.go.wait(10)
        if (probes[:, 1] > 0).any():
            raise MemoryError
        ids = probes[:, :1].astype(np.int64) + np.arange(k)
        return Hits(ids, -ids.astype(np.float64))


def probe(number: int, poison: bool = False) -> F32:
    return np.array([number, poison], np.float32)


@contextmanager
def passing(search: Slow, together: int = 64) -> Iterator[Callable[[F32, int], Future[Nearest]]]:
    """Searches that come while the first pass stands still, each once the one before waits; then the pass goes on."""
    shared, waiting = SharedSearch(search, together), itertools.count(1)
    with ThreadPoolExecutor(100) as pool:
        first = pool.submit(shared.best, probe(0), 1)
        assert search.entered.wait(10)

        def ask(wanted: F32, k: int) -> Future[Nearest]:
            asked, number = pool.submit(shared.best, wanted, k), next(waiting)
            until(lambda: len(shared._waiting) == number)
            return asked

        yield ask
        search.go.set()
        assert first.result(10).ids.tolist() == [0]
    assert shared.best(probe(5), 1).ids.tolist() == [5]


@pytest.mark.parametrize(("together", "sizes"), [(64, [1, 64, 26, 1]), (256, [1, 90, 1]), (40, [1, 40, 40, 10, 1])])
def test_those_that_come_during_a_pass_share_the_next_and_each_gets_its_own(together: int, sizes: list[int]) -> None:
    search = Slow()
    with passing(search, together) as ask:
        others = [ask(probe(n), 2) for n in range(1, 91)]
    assert [other.result(10).ids.tolist() for other in others] == [[n, n + 1] for n in range(1, 91)]
    assert search.sizes == sizes


def test_only_searches_for_equally_many_share_a_pass() -> None:
    """An index may find more where more is wanted: an answer must not depend on who else asks."""
    search = Slow()
    with passing(search) as ask:
        others = [ask(probe(n), n % 3 + 1) for n in range(1, 91)]
    for n, other in enumerate(others, start=1):
        assert other.result(10).ids.tolist() == [n + i for i in range(n % 3 + 1)]
    assert (search.sizes, search.wanted) == ([1, 30, 30, 30, 1], [1, 2, 3, 1, 1])


def test_a_failed_pass_fails_those_in_it_and_the_next_goes_on() -> None:
    with passing(Slow()) as ask:
        poisoned = [ask(probe(n, poison=n == 1), 1) for n in range(1, 65)]
        sound = [ask(probe(n), 1) for n in range(70, 80)]
    for one in poisoned:
        with pytest.raises(MemoryError):
            one.result(10)
    assert [one.result(10).ids.tolist() for one in sound] == [[n] for n in range(70, 80)]


@pytest.mark.parametrize("error", [StoreFailed("The disk refuses."), MemoryError("Jane Roe")])
def test_a_purge_that_fails_is_logged_and_tried_again(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upkeep, "_EVERY_S", 0.01)
    monkeypatch.setattr(upkeep, "_PURGE_EVERY_S", 0.0)
    tried, again = [], threading.Event()

    def purge() -> None:
        tried.append(1)
        if len(tried) > 3:
            again.set()
        raise error

    keeper = Keeper(Memories("numpy"), purge, lambda: None)
    keeper.start()
    assert again.wait(10)
    keeper.close()
    keeper.close()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    said = error.reason if isinstance(error, FrError) else "MemoryError"
    assert told[0] == f"what has expired could not be purged: {said}"
    assert "Jane Roe" not in caplog.text


@pytest.mark.parametrize(("half", "told"), [(False, "it is left as it is"), (True, "its gallery is not searched")])
def test_an_upkeep_that_fails_is_left_and_its_gallery_searched_where_nothing_was_changed(
    half: bool, told: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        def prepare(self) -> None:
            if not half:
                raise MemoryError("Jane Roe")

        def finish(self) -> None:
            raise MemoryError("Jane Roe")

    monkeypatch.setattr(NumpyIndex, "upkeep", lambda _: Failing())
    memories = Memories("numpy")
    memory = memories.create(1, 4, 1)
    keeper = Keeper(memories, lambda: False, lambda: None)
    keeper._keep_up(memory)
    assert [record.getMessage() for record in caplog.records] == [
        f"the upkeep of an index failed, and {told} until a restart: MemoryError"
    ]
    with pytest.raises(InternalError) if half else nullcontext(), memory.at(1) as exact:
        assert exact


def test_a_purge_ends_with_its_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_EVERY_S", 0.01)
    monkeypatch.setattr(upkeep, "_PURGE_EVERY_S", 0.0)
    steps = []

    def without_end() -> bool:
        steps.append(1)
        if len(steps) > 100:
            keeper.stop()
        assert len(steps) < 10_000, "it goes on"
        return len(steps) > 1  # the purge at the start finds nothing

    keeper = Keeper(Memories("numpy"), without_end, lambda: None)
    keeper.start()
    keeper._thread.join(10)
    assert len(steps) == 101
    Keeper(Memories("numpy"), lambda: None, lambda: None).close()  # one that was never started


def opened(folder: Path, now: datetime = NOW, load: bool = True) -> Galleries:
    return Galleries.open(folder / "data", index="numpy", clock=lambda: now, load=load)


def enrol(galleries: Galleries, *subject_ids: str) -> None:
    for number, subject_id in enumerate(subject_ids):
        vector = np.eye(8, dtype=np.float32)[number]
        galleries.enrol("g", Enrolment(subject_id, NewTemplate(Embedding(vector, MODEL))))


def test_the_purge_at_the_start_ends_between_two_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as galleries:
        galleries.create("g", "", MODEL, 8, retention=timedelta(hours=1))
        enrol(galleries, "a", "b", "c", "d")
    later = NOW + timedelta(hours=2)
    monkeypatch.setattr("fr_core.gallery.galleries._PURGED_AT_ONCE", 1)
    counts = []

    def stop() -> None:
        counts.append(galleries.get("g").template_count)
        if counts[-1] == 2:
            raise ShuttingDown("The server is stopping.")

    with opened(tmp_path, later, load=False) as galleries, pytest.raises(ShuttingDown):
        galleries.load(stop)
    assert counts[-2:] == [3, 2]
    with opened(tmp_path, later) as galleries:
        assert galleries.get("g").template_count == 0


def test_closing_does_not_wait_for_who_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_EVERY_S", 0.01)
    galleries = opened(tmp_path)
    galleries.create("g", "", MODEL, 8)
    enrol(galleries, "a")
    with closing(apsw.Connection(str(tmp_path / "data" / DATABASE_NAME))) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM galleries").fetchall()
        galleries.delete_subject("g", "a")
        galleries._owes_scrub = True
        time.sleep(0.1)
        begun = time.monotonic()
        galleries.close()
    assert time.monotonic() - begun < log_copier._SCRUB_S / 2


def test_what_was_not_overwritten_is_overwritten_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_EVERY_S", 0.01)
    log = tmp_path / "data" / f"{DATABASE_NAME}-wal"
    with opened(tmp_path) as galleries:
        galleries.create("g", "", MODEL, 8)
        reader = apsw.Connection(str(tmp_path / "data" / DATABASE_NAME))
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM galleries").fetchall()
        enrol(galleries, "a")
    with closing(reader), opened(tmp_path):
        assert log.stat().st_size > 0  # the control
        reader.execute("COMMIT")
        until(lambda: log.stat().st_size == 0)


@pytest.mark.parametrize("error", [StoreFailed("The disk refuses."), StoreCorrupt("It is damaged."), ShuttingDown("")])
def test_an_erasure_is_overwritten_later(error: FrError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_EVERY_S", 3600.0)
    asked = []

    def empty(_: float | None) -> None:
        asked.append(1)
        if len(asked) in (1, 3):
            raise error
        if len(asked) == 2:  # while this one is overwritten, another erasure cannot be
            assert not galleries.erase_subject("g", "b").scrubbed

    with opened(tmp_path) as galleries:
        galleries.create("g", "", MODEL, 8)
        enrol(galleries, "a", "b")
        galleries._catch_up()
        monkeypatch.setattr(galleries._store.database.log, "empty", empty)
        galleries._catch_up()  # nothing is owed
        erased = galleries.erase_subject("g", "a")
        assert (erased.templates, erased.scrubbed, len(asked)) == (1, False, 1)
        for asked_for in (3, 4, 4):
            galleries._catch_up()
            assert len(asked) == asked_for
