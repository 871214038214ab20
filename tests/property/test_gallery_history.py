"""Any history of enrolments, searches, deletions, erasures, purges, restarts and upkeep ends as a plain model says.

`SOAK_SECONDS` is how long several threads make history in each database. At night it is five minutes, enough for some
250,000 steps in SQLite and 50,000 in PostgreSQL, each checked as by day. Then the memory of the process may hardly
grow: a leak shows that loses 25 bytes in each step in SQLite, or 125 in PostgreSQL. `FR_SOAK_SECONDS=3600` finds
smaller ones.
"""

import ctypes
import gc
import random
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fr_core.gallery.galleries import Galleries
from fr_core.gallery.index.faiss_compact import CompactIndex
from fr_core.gallery.index.protocol import VectorIndex
from fr_core.gallery.index.register import index_maker
from fr_core.gallery.search import memories, upkeep
from fr_core.storage.location import Location
from fr_server.memory import share_heaps
from support.counts import count
from support.histories import SHARED, Clock, History
from support.ledger import KEY, MODEL, SIZE
from support.postgres import Cluster
from support.stores import DATABASES

SECONDS = count("SOAK_SECONDS")
THREADS = 4
ROUND_S = 1.5
# How memory may grow, once this part of the time has passed, where the run is long enough to tell.
# After an hour it is 6 MiB an hour.
GROWTH_MIB = 4.0
WARM_UP = 1 / 3
SECTIONS = 6
TELLING_S = 240.0


def small_indexes(name: str) -> Callable[[int], VectorIndex]:
    """Give the compact index codes, segments and upkeep among a few dozen vectors; it stays exact among so few."""
    if name == "compact":
        return lambda dimension: CompactIndex(dimension, 1, segment_rows=32, coded_from=48)
    return index_maker(name)


@pytest.fixture(autouse=True)
def small_and_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memories, "index_maker", small_indexes)
    monkeypatch.setattr(upkeep, "_EVERY_S", 0.02)


def open_galleries(folder: Location, clock: Clock, index: str) -> Galleries:
    return Galleries.open(folder, key=KEY, index=index, clock=clock)


def between_rounds(
    galleries: Galleries, histories: list[History], clock: Clock, chance: random.Random, folder: Location
) -> Galleries:
    """Let time pass, purge, and perhaps begin anew; everything must be as the models say before and after."""
    clock.now += timedelta(days=chance.randrange(3))
    galleries.purge()
    for history in histories:
        history.purged()
    if chance.random() < 0.5:
        galleries.close()
        galleries = open_galleries(folder, clock, chance.choice(["numpy", "flat", "compact"]))
        for history in histories:
            history.galleries = galleries
            history.look()
    return galleries


# Opening galleries takes so long that looking for a shorter history that fails would take minutes.
@settings(max_examples=count("HISTORIES"), phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.randoms(use_true_random=False))
@pytest.mark.parametrize("database", DATABASES)
def test_any_history_is_as_the_model_says(postgres: Cluster, database: str, chance: random.Random) -> None:
    clock = Clock()
    with TemporaryDirectory() as parent:
        folder = Path(parent) / "data" if database == "sqlite" else postgres.database()
        galleries = open_galleries(folder, clock, "compact")
        try:
            galleries.create(SHARED, "", MODEL, SIZE)
            history = History(galleries, "own", timedelta(days=2), clock, chance)
            for _ in range(chance.randrange(1, 5)):
                for _ in range(chance.randrange(1, 40)):
                    history.step()
                galleries = between_rounds(galleries, [history], clock, chance, folder)
        finally:
            galleries.close()


@dataclass(slots=True)
class Memory:
    begun: float = field(default_factory=time.monotonic)
    seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)

    def measure(self) -> None:
        # What is free already, but was not given back to the system, goes up and down by more than any leak.
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        self.seconds.append(time.monotonic() - self.begun)
        # Of this process alone: PostgreSQL is a child of it.
        self.mib.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20)

    def growth_mib(self) -> float:
        """Return how much memory rises once it is warm, at the median rate of some sections.

        A leak shows in every section. What is allocated once, such as the caches of one more thread, shows in one.
        """
        warm = np.array(self.seconds) >= WARM_UP * self.seconds[-1]
        seconds, mib = np.array(self.seconds)[warm], np.array(self.mib)[warm]
        sections = zip(np.array_split(seconds, SECTIONS), np.array_split(mib, SECTIONS), strict=True)
        return float(np.median([np.polyfit(*section, 1)[0] for section in sections]) * np.ptp(seconds))

    def report(self) -> None:
        for number in range(0, len(self.mib), max(1, len(self.mib) // 30)):
            print(f"{self.seconds[number]:7.0f} s {self.mib[number]:8.1f} MiB")  # noqa: T201 - the figures of the soak


def test_many_threads_make_history(location: Location) -> None:
    share_heaps()  # as `fr serve` does
    clock, chance, resident, steps = Clock(), random.Random(1), Memory(), 0
    galleries = open_galleries(location, clock, "compact")
    try:
        galleries.create(SHARED, "", MODEL, SIZE)
        histories = [
            History(galleries, f"own-{n}", timedelta(days=2) if n % 2 else None, clock, random.Random(f"{n}"))
            for n in range(THREADS)
        ]

        def work(history: History) -> int:
            until, done = time.monotonic() + ROUND_S, 0
            while time.monotonic() < until:
                history.step()
                done += 1
            return done

        with ThreadPoolExecutor(THREADS) as pool:
            while time.monotonic() - resident.begun < SECONDS:
                steps += sum(pool.map(work, histories))
                galleries = between_rounds(galleries, histories, clock, chance, location)
                resident.measure()
    finally:
        galleries.close()
    resident.report()
    print(f"{steps} steps")  # noqa: T201
    if SECONDS >= TELLING_S:
        print(f"memory grew by {resident.growth_mib():.1f} MiB")  # noqa: T201
        assert resident.growth_mib() <= GROWTH_MIB
