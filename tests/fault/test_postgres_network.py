"""The network between a server and PostgreSQL carries nothing for a while: calls are refused in time, and then work."""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fr_core.errors import ErasureUnconfirmed, StoreFailed
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage.location import Postgres
from support.access import new_key
from support.access import open_store as open_access
from support.counts import count
from support.faults import until
from support.ledger import GALLERY, HANDS, KEY, MODEL, SIZE, Hand, Ledger, embedding, judge
from support.networks import Cable, cable_to
from support.postgres import Cluster

CUTS = count("NETWORK_CUTS")
LIMIT_S = 1.0
# A refusal may take the limits of a statement, of TCP and of a new connection, one after the other; and this machine
# may be busy.
IN_TIME_S = 30.0


@pytest.fixture
def cable(postgres: Cluster, tmp_path: Path) -> Iterator[Cable]:
    with cable_to(postgres.folder, tmp_path) as laid:
        yield laid


@pytest.fixture
def database(postgres: Cluster, cable: Cable) -> Postgres:
    name = postgres.database().url.partition("@/")[2].partition("?")[0]
    limits = Postgres(cable.url.format(name), connect_timeout_s=LIMIT_S, statement_timeout_s=LIMIT_S)
    with Galleries.open(limits, key=KEY, index="numpy") as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE)
    return limits


def enrol(galleries: Galleries, number: int) -> int:
    template = NewTemplate(embedding(number), f"{number:064x}")
    return galleries.enrol(GALLERY, Enrolment(f"s{number}", template)).template_id


def found(galleries: Galleries, number: int) -> str:
    return galleries.search(GALLERY, embedding(number), 1, 0.0).identification.candidates[0].subject_id


def test_what_needs_the_database_is_refused_in_time_and_works_again(cable: Cable, database: Postgres) -> None:
    with Galleries.open(database, key=KEY, index="numpy") as galleries, open_access(database) as keys:
        enrol(galleries, 1)
        key = keys.create(new_key())
        assert found(galleries, 1) == "s1"
        cable.pull()
        begun = time.monotonic()
        for _ in range(2):  # over connections that were there, and over new ones
            with pytest.raises(StoreFailed):
                found(galleries, 1)
            with pytest.raises(StoreFailed):
                enrol(galleries, 2)
            with pytest.raises(StoreFailed):
                keys.create(new_key())
        assert time.monotonic() - begun < 6 * IN_TIME_S
        cable.plug_in()
        until(lambda: works(galleries))
        assert enrol(galleries, 3)
        assert found(galleries, 3) == "s3"
        assert keys.check(key.token.text, None) == key.key
        assert not galleries.broken.done()


def works(galleries: Galleries) -> bool:
    try:
        return found(galleries, 1) == "s1"
    except StoreFailed:
        return False


@pytest.mark.nightly
def test_control_without_limits_a_call_waits_for_the_network(cable: Cable, database: Postgres) -> None:
    patient = replace(database, connect_timeout_s=600.0, statement_timeout_s=600.0)
    with Galleries.open(patient, key=KEY, index="numpy") as galleries:
        enrol(galleries, 1)
        cable.pull()
        answers: list[int] = []
        waits = threading.Thread(target=lambda: answers.append(enrol(galleries, 2)))
        waits.start()
        waits.join(4 * LIMIT_S)
        assert waits.is_alive()
        cable.plug_in()
        waits.join()
        assert answers == [2]


def test_cuts_at_any_moment_lose_nothing_that_was_acknowledged(cable: Cable, database: Postgres) -> None:
    at, ledger, refused = random.Random(CUTS), Ledger(), [0]
    # PostgreSQL notices late that a server was cut off in the midst of a change, for it is told through a cable.
    patient = replace(database, lock_timeout_s=60.0, statement_timeout_s=60.0)
    for _ in range(CUTS):
        with Galleries.open(database, key=KEY, index="numpy") as galleries:
            live_through(cable, galleries, ledger, at, refused)
        with Galleries.open(patient, key=KEY, index="numpy") as again:
            verdict = judge(again, ledger)
        assert not verdict.lost
        assert not verdict.risen
    print(f"the network was cut {CUTS} times: {refused[0]} changes were refused")  # noqa: T201 - of the long run
    assert refused[0]


def live_through(cable: Cable, galleries: Galleries, ledger: Ledger, at: random.Random, refused: list[int]) -> None:
    """Change from several threads until each was refused; the network is cut meanwhile, and whole again at the end."""

    def work(number: int, seed: int) -> None:
        try:
            hand = Hand(galleries, number, seed, ledger)
            while True:
                hand.change()
        except (StoreFailed, ErasureUnconfirmed):  # what became of it, `judge` sees
            refused[0] += 1

    threads = [threading.Thread(target=work, args=(number, at.getrandbits(32))) for number in range(HANDS)]
    for thread in threads:
        thread.start()
    time.sleep(at.uniform(0.1, 1.0))
    cable.pull()
    for thread in threads:
        thread.join()
    cable.plug_in()
