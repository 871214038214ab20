"""The power of a PostgreSQL server fails in the midst of changes and checkpoints: what was acknowledged is there."""

import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from fr_core.errors import FrError
from fr_core.gallery.galleries import Galleries
from fr_core.storage.location import Postgres
from support.counts import count
from support.ledger import GALLERY, HANDS, KEY, MODEL, SIZE, Hand, Ledger, judge
from support.postgres import Cluster
from support.postgres_power_cut import Powered

CUTS = count("POSTGRES_POWER_CUTS")
# Cuts of one run, the next of which begins with what one of them left.
CUTS_A_RUN = 10
SETTINGS = ("io_method=sync", "max_wal_size=4MB", "min_wal_size=2MB", "checkpoint_timeout=30s")


@dataclass(slots=True)
class Outcome:
    cuts: int = 0
    unsynced: int = 0  # files with changes that the power could take
    lost: int = 0
    risen: int = 0
    damaged: int = 0

    @property
    def wrong(self) -> int:
        return self.lost + self.risen + self.damaged


@pytest.fixture
def root() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="fr-pg-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def cluster_in(folder: Path) -> Cluster:
    folder.mkdir(exist_ok=True)
    return Cluster(folder, *SETTINGS)


def database_of(cluster: Cluster) -> Postgres:
    return Postgres(cluster.url)


def cut_many(root: Path, cuts: int, *, lies: bool = False) -> Outcome:
    at, outcome, ledger = random.Random(cuts), Outcome(), Ledger()
    first = cluster_in(root / "0")
    first.start()
    with Galleries.open(database_of(first), key=KEY, index="numpy") as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE)
    first.stop()
    begun = root / "0"
    while outcome.cuts < cuts and not outcome.wrong:
        taken = run(cluster_in(begun), ledger, at, min(CUTS_A_RUN, cuts - outcome.cuts), outcome, root, lies)
        for image, at_cut in taken:
            judge_image(image, at_cut, outcome)
        next_, ledger = at.choice(taken)
        for folder in (begun, *(image for image, _ in taken if image is not next_)):
            shutil.rmtree(folder)
        begun = next_
    return outcome


def run(
    cluster: Cluster, ledger: Ledger, at: random.Random, cuts: int, outcome: Outcome, root: Path, lies: bool
) -> list[tuple[Path, Ledger]]:
    """Change a gallery from several threads, and keep what the power would leave at moments of the work."""
    powered, taken, over = Powered(cluster, lies=lies), list[tuple[Path, Ledger]](), threading.Event()
    try:
        with Galleries.open(database_of(cluster), key=KEY, index="numpy") as galleries:

            def work(number: int, seed: int) -> None:
                hand = Hand(galleries, number, seed, ledger)
                while not over.is_set():
                    hand.change()

            def checkpoint() -> None:
                with psycopg.connect(cluster.url, autocommit=True) as connection:
                    while not over.wait(0.2):
                        connection.execute("CHECKPOINT")

            threads = [threading.Thread(target=work, args=(number, at.getrandbits(32))) for number in range(HANDS)]
            threads.append(threading.Thread(target=checkpoint))
            for thread in threads:
                thread.start()
            while len(taken) < cuts:
                time.sleep(at.uniform(0.05, 0.5))
                outcome.cuts += 1
                image = root / str(outcome.cuts)
                # While the server is still, nothing more is acknowledged than it has synced.
                with powered.held() as disk:
                    at_cut = ledger.copied()
                    outcome.unsynced += disk.image(at, image / "data")
                taken.append((image, at_cut))
            over.set()
            for thread in threads:
                thread.join()
    finally:
        cluster.stop()
    return taken


def judge_image(image: Path, ledger: Ledger, outcome: Outcome) -> None:
    cluster = cluster_in(image)
    try:
        cluster.start()
        with Galleries.open(database_of(cluster), key=KEY, index="numpy") as galleries:
            verdict = judge(galleries, ledger)
    except (AssertionError, FrError):  # PostgreSQL does not start, or a store does not open
        outcome.damaged += 1
    else:
        outcome.lost += verdict.lost
        outcome.risen += verdict.risen
    finally:
        cluster.stop()


def test_a_power_cut_of_postgresql_takes_nothing_that_was_acknowledged(root: Path) -> None:
    outcome = cut_many(root, CUTS)
    print(f"the power of PostgreSQL failed: {outcome}")  # noqa: T201 - the figures of the long run
    assert outcome.cuts == CUTS
    assert outcome.wrong == 0
    assert outcome.unsynced > CUTS


@pytest.mark.nightly
def test_control_where_the_disk_of_postgresql_lies_about_its_syncs_changes_are_lost(root: Path) -> None:
    assert cut_many(root, 5, lies=True).wrong > 0
