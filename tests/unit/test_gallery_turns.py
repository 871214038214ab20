"""Searches among very many subjects take turns, and nobody else waits for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fr_core.errors import UnknownSubject
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.query import ScoreFusion, SubjectFilter
from fr_core.gallery.search import filters
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.types import I64, Embedding, ModelId

MODEL = ModelId("null", "1", "0" * 64)
SIZE, SUBJECTS = 16, 30
FEW = SubjectFilter(subject_ids=("s1", "s2"))
MANY = SubjectFilter(subject_ids=tuple(f"s{n}" for n in range(SUBJECTS)))


class Reading:
    """The store, which lets nobody end who reads many subjects before it may.

    Attributes:
        now: how many are reading many.
        most: at once.
        go: they may end.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.most = 0
        self.go = threading.Event()
        read, lock = Snapshot.subject_nos, threading.Lock()

        def held_up(snapshot: Snapshot, gallery_no: int, subject_ids: Collection[str]) -> I64 | None:
            if len(subject_ids) < SUBJECTS:
                return read(snapshot, gallery_no, subject_ids)
            with lock:
                self.now += 1
                self.most = max(self.most, self.now)
            assert self.go.wait(20)
            with lock:
                self.now -= 1
            return read(snapshot, gallery_no, subject_ids)

        monkeypatch.setattr(Snapshot, "subject_nos", held_up)


def probe() -> Embedding:
    vector = np.random.default_rng(0).standard_normal(SIZE)
    return Embedding((vector / np.linalg.norm(vector)).astype(np.float32), MODEL)


@pytest.fixture
def galleries(tmp_path: Path) -> Iterator[Galleries]:
    with Galleries.open(tmp_path, index="numpy") as opened:
        opened.create("g", "", MODEL, SIZE)
        opened.enrol_many("g", [Enrolment(f"s{n}", NewTemplate(probe())) for n in range(SUBJECTS)])
        yield opened


def searched(galleries: Galleries, among: SubjectFilter | None) -> int:
    return galleries.search("g", probe(), 1, 0.0, False, ScoreFusion.MAX, among).searched_templates


@pytest.mark.parametrize(("many", "at_once"), [(SUBJECTS - 1, 1), (SUBJECTS, 3)], ids=["turns", "control"])
def test_large_filters_take_turns_and_small_ones_wait_for_none(
    galleries: Galleries, monkeypatch: pytest.MonkeyPatch, many: int, at_once: int
) -> None:
    monkeypatch.setattr(filters, "MANY", many)
    reading = Reading(monkeypatch)
    with ThreadPoolExecutor(5) as pool:
        large = [pool.submit(searched, galleries, MANY) for _ in range(3)]
        until = time.monotonic() + 10
        while reading.now < at_once and time.monotonic() < until:
            time.sleep(0.01)
        try:
            time.sleep(0.2)  # in which the others would begin too
            assert pool.submit(searched, galleries, FEW).result(10) == 2
            assert pool.submit(searched, galleries, None).result(10) == SUBJECTS
        finally:
            reading.go.set()
        assert [one.result(10) for one in large] == [SUBJECTS] * 3
    assert reading.most == at_once


def test_a_refused_search_gives_its_turn_back(galleries: Galleries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "MANY", 1)
    for _ in range(2):
        with pytest.raises(UnknownSubject):
            searched(galleries, SubjectFilter(subject_ids=("s1", "nobody")))
    assert searched(galleries, FEW) == 2
