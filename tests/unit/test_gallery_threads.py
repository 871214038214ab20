"""Many threads at once: each search shows exactly one version of the history, and nothing else."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from fr_core.errors import ShuttingDown, UnknownGallery
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import Enrolment, Found, NewTemplate
from fr_core.types import Embedding, ModelId

MODEL = ModelId("null", "1", "0" * 64)
HERE = ("compact", "flat", "numpy")
SIZE = 16
WRITERS = 4
SEARCHERS = 4
CHANGES = 80


def embedding(seed: int) -> Embedding:
    vector = np.random.default_rng(seed).standard_normal(SIZE)
    return Embedding((vector / np.linalg.norm(vector)).astype(np.float32), MODEL)


@dataclass
class Log:
    """What each change did, by the version that it gave the gallery."""

    lock: threading.Lock = field(default_factory=threading.Lock)
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
            with log.lock:
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
        with log.lock:
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


@pytest.mark.parametrize("index", HERE)
def test_every_search_shows_one_version(tmp_path: Path, index: str) -> None:
    log, done = Log(), threading.Event()
    with Galleries.open(tmp_path, index=index) as galleries, ThreadPoolExecutor(WRITERS + SEARCHERS) as pool:
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


def test_galleries_come_and_go_while_they_are_searched(tmp_path: Path) -> None:
    done = threading.Event()

    def look(galleries: Galleries) -> int:
        looked = 0
        while not done.is_set():
            try:
                found = galleries.search("g", embedding(0), 5, 0.0)
            except UnknownGallery:
                continue
            assert found.identification.gallery_version in (1, 2)
            assert len(found.identification.candidates) == found.identification.gallery_version - 1
            looked += 1
        return looked

    with Galleries.open(tmp_path, index="numpy") as galleries, ThreadPoolExecutor(4) as pool:
        looking = [pool.submit(look, galleries) for _ in range(4)]
        try:
            for _ in range(40):
                galleries.create("g", "", MODEL, SIZE)
                galleries.enrol("g", Enrolment("s", NewTemplate(embedding(0))))
                galleries.delete("g")
        finally:
            done.set()
        assert sum(future.result() for future in looking) > 0


def test_galleries_may_be_closed_while_they_are_used(tmp_path: Path) -> None:
    """Who comes too late is told so, and what was acknowledged before is there."""
    galleries = Galleries.open(tmp_path, index="numpy")
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
    with Galleries.open(tmp_path) as again:
        assert again.get("g").template_count == acknowledged > 0
