"""PostgreSQL dies in the midst of changes and comes back: what was acknowledged is there, and the servers go on.

Every process of PostgreSQL gets SIGKILL at once, so that its buffers are gone; what it has written to the system stays.
A power cut would also take what was not synced: `fsync` is PostgreSQL's own work, and a server without it is refused.
"""

import os
import random
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from fr_core.errors import ErasureUnconfirmed, StoreFailed
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage.location import Postgres
from fr_trust.access.schema import SCHEMA as ACCESS
from support.access import new_key
from support.access import open_store as open_access
from support.counts import count
from support.faults import until
from support.ledger import GALLERY, HANDS, KEY, MODEL, SIZE, Hand, Ledger, Verdict, embedding, judge
from support.postgres import Cluster, cluster
from support.postgres_proxy import Cut, Proxy
from support.stores import outside

KILLS = count("POSTGRES_KILLS")
MOST_CHANGES = 40


@pytest.fixture
def mortal() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.fixture
def database(mortal: Cluster) -> Postgres:
    made = mortal.database()
    with Galleries.open(made, key=KEY, index="numpy") as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE)
    return made


@dataclass(slots=True)
class Outcome:
    acknowledged: int = 0
    refused: int = 0
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        return sum(verdict.lost + verdict.risen for verdict in self.verdicts)


class Counted(Ledger):
    """A ledger that lets a test wait until so many changes are acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledged = 0

    def done(self, hand: int) -> None:
        super().done(hand)
        self.acknowledged += 1


def kill_many(mortal: Cluster, database: Postgres, kills: int, *, synchronous: bool = True) -> Outcome:
    """Change a gallery from several threads, and kill PostgreSQL again and again meanwhile."""
    at, outcome, ledger = random.Random(kills), Outcome(), Counted()
    while len(outcome.verdicts) < kills and not outcome.wrong:
        store = GalleryStore(database, KEY)
        with Galleries(store, index="numpy") as galleries:
            galleries.load()
            live_through(mortal, store, galleries, ledger, at, outcome, synchronous)
        with Galleries.open(database, key=KEY, index="numpy") as again:
            outcome.verdicts.append(judge(again, ledger))
    outcome.acknowledged = ledger.acknowledged
    return outcome


def live_through(
    mortal: Cluster,
    store: GalleryStore,
    galleries: Galleries,
    ledger: Counted,
    at: random.Random,
    outcome: Outcome,
    synchronous: bool,
) -> None:
    """Change until PostgreSQL has died and come back, and everybody has made a change after that."""
    if not synchronous:
        store.database.writer.execute("SET synchronous_commit = off")
    over, after, seeds = threading.Event(), [0] * HANDS, [at.getrandbits(32) for _ in range(HANDS)]

    def work(number: int) -> None:
        seed, hand = seeds[number], None
        while not (over.is_set() and after[number]):
            try:
                hand = hand or Hand(galleries, number, seed, ledger)
                hand.change()
                after[number] = int(over.is_set())
            except (StoreFailed, ErasureUnconfirmed):
                if not synchronous:
                    return
                if number in ledger.begun and known(galleries, ledger, number):
                    outcome.refused += 1
                seed, hand = seed + 1, None

    threads = [threading.Thread(target=work, args=(number,)) for number in range(HANDS)]
    for thread in threads:
        thread.start()
    target = ledger.acknowledged + at.randrange(1, MOST_CHANGES)
    until(lambda: ledger.acknowledged >= target)
    mortal.kill()
    mortal.start()
    over.set()
    for thread in threads:
        thread.join()


def known(galleries: Galleries, ledger: Ledger, hand: int) -> bool:
    """Note that a change was refused, once the store can be read again."""
    while True:
        try:
            ledger.refused(hand, galleries)
        except StoreFailed:
            continue
        return True


def test_what_was_acknowledged_survives_the_death_of_postgresql(mortal: Cluster, database: Postgres) -> None:
    outcome = kill_many(mortal, database, KILLS)
    print(f"PostgreSQL was killed {KILLS} times: {outcome}")  # noqa: T201 - the figures of the long run
    assert outcome.wrong == 0
    assert len(outcome.verdicts) == KILLS
    assert outcome.acknowledged > 5 * KILLS


@pytest.mark.nightly
def test_control_a_commit_that_is_not_written_is_lost(mortal: Cluster, database: Postgres) -> None:
    assert kill_many(mortal, database, 20, synchronous=False).wrong > 0


@pytest.fixture
def proxy(postgres: Cluster) -> Iterator[Proxy]:
    folder = Path(tempfile.mkdtemp(prefix="fr-pg-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    made = Proxy(folder, postgres.folder)
    yield made
    made.close()
    shutil.rmtree(folder)


@pytest.fixture
def through(postgres: Cluster, proxy: Proxy) -> tuple[Postgres, Postgres]:
    """The same database through the proxy, and without it; a gallery is in it."""
    straight = postgres.database()
    with Galleries.open(straight, key=KEY) as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE)
    url = straight.url.replace(str(postgres.folder), str(proxy.folder))
    return replace(straight, url=url, connect_timeout_s=2.0), straight


def enrol(galleries: Galleries, number: int) -> int:
    template = NewTemplate(embedding(number), f"{number:064x}")
    return galleries.enrol(GALLERY, Enrolment(f"s{number}", template)).template_id


def test_a_commit_whose_answer_is_lost_is_looked_up(proxy: Proxy, through: tuple[Postgres, Postgres]) -> None:
    with Galleries.open(through[0], key=KEY, index="numpy") as galleries:
        enrol(galleries, 1)
        proxy.cut = Cut.AFTER
        assert enrol(galleries, 2) == 2  # kept, and so acknowledged
        proxy.cut = Cut.BEFORE
        with pytest.raises(StoreFailed) as refused:
            enrol(galleries, 3)
        assert "not known" not in refused.value.what
        assert proxy.cut is Cut.NEVER
        assert enrol(galleries, 3) == 4
        assert galleries.search(GALLERY, embedding(2), 1, 0.0).identification.candidates[0].subject_id == "s2"
    assert subjects_of(through[1]) == ["s1", "s2", "s3"]


def subjects_of(database: Postgres) -> list[str]:
    return [name for (name,) in outside(database, SCHEMA, "SELECT subject_id FROM subjects ORDER BY 1")]


def test_a_commit_in_doubt_that_was_not_kept_is_told_and_the_server_goes_on(
    proxy: Proxy, through: tuple[Postgres, Postgres]
) -> None:
    with Galleries.open(through[0], key=KEY, index="numpy") as galleries:
        proxy.cut, proxy.open = Cut.BEFORE, False
        with pytest.raises(StoreFailed, match="not known whether the change was stored"):
            enrol(galleries, 1)
        with pytest.raises(StoreFailed):
            enrol(galleries, 2)
        proxy.open = True
        enrol(galleries, 1)
        assert not galleries.broken.done()
    assert subjects_of(through[1]) == ["s1"]


def test_a_commit_in_doubt_that_was_kept_shows(proxy: Proxy, through: tuple[Postgres, Postgres]) -> None:
    """Its callers were told of a failure; the memory gets the change as it gets those of other servers."""
    with Galleries.open(through[0], key=KEY, index="numpy") as galleries:
        proxy.cut, proxy.open = Cut.AFTER, False
        with pytest.raises(StoreFailed, match="not known whether the change was stored"):
            enrol(galleries, 1)
        proxy.open = True
        assert galleries.search(GALLERY, embedding(1), 1, 0.0).identification.candidates[0].subject_id == "s1"
        enrol(galleries, 2)
        assert not galleries.broken.done()
    assert subjects_of(through[1]) == ["s1", "s2"]


def test_a_server_that_was_cut_off_takes_over_what_others_did(proxy: Proxy, through: tuple[Postgres, Postgres]) -> None:
    with Galleries.open(through[0], key=KEY, index="numpy") as galleries:
        enrol(galleries, 1)
        proxy.cut, proxy.open = Cut.BEFORE, False
        with pytest.raises(StoreFailed):
            enrol(galleries, 2)
        with Galleries.open(through[1], key=KEY, index="numpy") as other:
            enrol(other, 3)
            other.erase_subject(GALLERY, "s1")
        proxy.open = True
        found = galleries.search(GALLERY, embedding(1), 5, -1.0).identification.candidates
        assert [candidate.subject_id for candidate in found] == ["s3"]
        assert enrol(galleries, 4) == 4
        assert not galleries.broken.done()
    assert subjects_of(through[1]) == ["s3", "s4"]


def test_connections_that_postgresql_ends_between_two_changes_are_replaced(postgres: Cluster) -> None:
    """It says why before it closes one: both are read before the next change is written."""
    database = postgres.database()
    name = database.url.partition("@/")[2].partition("?")[0]
    others = f"FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    with open_access(database) as store:
        made = [store.create(new_key())]
        for _ in range(10):
            outside(database, ACCESS, f"SELECT pg_terminate_backend(pid) {others}")
            until(lambda: outside(database, ACCESS, f"SELECT count(*) {others}") == [(0,)])
            made.append(store.create(new_key()))
            assert store.check(made[-1].token.text, None) == made[-1].key
        assert outside(database, ACCESS, "SELECT count(*) FROM keys") == [(len(made),)]


def test_a_connection_whose_end_is_announced_is_replaced_once_it_ends(
    through: tuple[Postgres, Postgres], proxy: Proxy
) -> None:
    database, straight = through
    with open_access(database) as store:
        first = store.create(new_key())
        proxy.end_after_s = 0.2
        name = database.url.partition("@/")[2].partition("?")[0]
        ended = outside(
            straight,
            ACCESS,
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' "
            "AND application_name LIKE 'fr-core fr_access %'",
        )
        until(lambda: proxy.ended >= len(ended))
        after = store.create(new_key())
        assert [store.check(made.token.text, None) == made.key for made in (first, after)] == [True, True]


def test_the_stores_of_several_processes_go_on_after_a_restart(mortal: Cluster) -> None:
    database = mortal.database()
    with open_access(database) as one, open_access(database) as other:
        before = one.create(new_key())
        assert other.check(before.token.text, None) == before.key
        mortal.kill()
        with pytest.raises(StoreFailed):
            other.check(before.token.text, None)
        mortal.start()
        assert other.check(before.token.text, None) == before.key
        after = other.create(new_key())
        assert one.check(after.token.text, None) == after.key
        assert outside(database, ACCESS, "SELECT count(*) FROM keys") == [(2,)]
