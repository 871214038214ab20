"""Searches that share a pass: everybody gets its own hits, nobody waits for ever, a failure reaches all who shared."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fr_core.gallery.index.protocol import Hits
from fr_core.gallery.search.sharing import SharedSearch
from fr_core.types import F32


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


def wait_for_waiting(shared: SharedSearch, number: int) -> None:
    for _ in range(2000):
        if len(shared._waiting) == number:
            return
        threading.Event().wait(0.005)
    raise AssertionError("the searches did not come")


def test_a_search_alone_waits_for_nobody() -> None:
    search = Slow()
    search.go.set()
    found = SharedSearch(search).best(probe(7), 2)
    assert (found.ids.tolist(), found.similarities.tolist(), found.exhaustive) == ([7, 8], [-7.0, -8.0], True)


def test_those_that_come_during_a_pass_share_the_next_and_each_gets_its_own() -> None:
    search = Slow()
    shared = SharedSearch(search)
    with ThreadPoolExecutor(100) as pool:
        first = pool.submit(shared.best, probe(0), 1)
        assert search.entered.wait(10)
        others = [pool.submit(shared.best, probe(n), 2) for n in range(1, 91)]
        wait_for_waiting(shared, 90)
        search.go.set()
        assert first.result(10).ids.tolist() == [0]
        for n, other in enumerate(others, start=1):
            assert other.result(10).ids.tolist() == [n, n + 1]
    assert search.sizes == [1, 64, 26]


def test_only_searches_for_equally_many_share_a_pass() -> None:
    """An index may find more where more is wanted: an answer must not depend on who else asks."""
    search = Slow()
    shared = SharedSearch(search)
    with ThreadPoolExecutor(100) as pool:
        first = pool.submit(shared.best, probe(0), 1)
        assert search.entered.wait(10)
        others = []
        for n in range(1, 91):
            others.append(pool.submit(shared.best, probe(n), n % 3 + 1))
            wait_for_waiting(shared, n)
        search.go.set()
        assert first.result(10).ids.tolist() == [0]
        for n, other in enumerate(others, start=1):
            assert other.result(10).ids.tolist() == [n + i for i in range(n % 3 + 1)]
    assert search.sizes == [1, 30, 30, 30]
    assert search.wanted == [1, 2, 3, 1]


def test_a_failed_pass_fails_those_in_it_and_the_next_goes_on() -> None:
    search = Slow()
    shared = SharedSearch(search)
    with ThreadPoolExecutor(100) as pool:
        first = pool.submit(shared.best, probe(0), 1)
        assert search.entered.wait(10)
        poisoned = [pool.submit(shared.best, probe(1, poison=True), 1)]
        wait_for_waiting(shared, 1)
        poisoned += [pool.submit(shared.best, probe(n), 1) for n in range(2, 65)]
        wait_for_waiting(shared, 64)
        sound = [pool.submit(shared.best, probe(n), 1) for n in range(70, 80)]
        wait_for_waiting(shared, 74)
        search.go.set()
        first.result(10)
        for one in poisoned:
            with pytest.raises(MemoryError):
                one.result(10)
        assert [one.result(10).ids.tolist() for one in sound] == [[n] for n in range(70, 80)]
    assert shared.best(probe(5), 1).ids.tolist() == [5]
