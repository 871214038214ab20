"""The process of one subject: builds its index from the seed, and times searches of it."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

import numpy as np

from fr_bench.speed.child import Child, answer_requests
from fr_bench.speed.search_gallery import STREAM_ROWS, Gallery
from fr_bench.speed.search_report import Built, SearchSettings, SubjectMemory
from fr_bench.speed.search_subjects import PEERS, Searcher, our_index
from fr_bench.speed.search_truth import Answers
from fr_bench.speed.server_process import resident_mib
from fr_core.types import F32, I64

# Vectors that are added at a time, as a server does when it reads its galleries.
_ADDED_ROWS = STREAM_ROWS

# Searches before those of a turn that count: the other subjects have had the caches meanwhile.
_WARM_UP = 2


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One turn of a subject: seconds of each probe alone, wall time of the searches together, and all answers."""

    seconds: tuple[float, ...]
    together_s: float
    together_probes: int
    answers: tuple[Answers, Answers]


class Subject:
    """A subject in a process of its own, so that its memory and its threads are its own; probes are f32[p, D]."""

    def __init__(self, name: str, settings: SearchSettings, gallery: Gallery, probes: F32, *, ours: bool) -> None:
        self.label = name if ours else f"peer {name}"
        self.linear = ours or PEERS[name].linear
        self._child = Child(self.label, run_subject, name, ours, settings, gallery, probes)

    def build(self) -> Built:
        """Add every vector."""
        built: Built = self._child.ask("build")
        return built

    def turn(self, places: I64) -> Turn:
        """Search the probes at `places`: each alone, then in groups."""
        turn: Turn = self._child.ask(places)
        return turn

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close()


def run_subject(
    connection: Connection, name: str, ours: bool, settings: SearchSettings, gallery: Gallery, probes: F32
) -> None:
    """The subject's process."""
    k, threads = settings.k, settings.threads
    searcher = (
        our_index(name, gallery.dimension, threads)
        if ours
        else PEERS[name].open(gallery.dimension, gallery.size, k, threads)
    )

    def answer(request: Any) -> object:
        if isinstance(request, str):
            return build(searcher, gallery)
        return take_turn(searcher, probes, request, k, settings.concurrency)

    answer_requests(connection, answer)


def build(searcher: Searcher, gallery: Gallery) -> Built:
    """Add every vector; the time leaves out the drawing of them."""
    next(gallery.loads())  # so that what drawing costs in memory is there before the first look
    before = resident_mib(os.getpid())
    seconds = 0.0
    for first, vectors in gallery.loads():
        seconds += _add(searcher, first, vectors)
    del vectors
    start = time.perf_counter()
    searcher.finish()
    seconds += time.perf_counter() - start
    grown = int((resident_mib(os.getpid()) - before) * 2**20)
    told = searcher.memory()
    resident = grown if before else None
    if told is None:
        return Built(searcher.settings, seconds, SubjectMemory(None, None, None, resident))
    memory = SubjectMemory(told.scan_bytes, told.store_bytes, told.other_bytes, resident)
    return Built(searcher.settings, seconds, memory)


def _add(searcher: Searcher, first: int, vectors: F32) -> float:
    """Seconds that it takes; nothing here keeps a part of the vectors afterwards, which would count as memory."""
    start = time.perf_counter()
    for begin in range(0, len(vectors), _ADDED_ROWS):
        some = vectors[begin : begin + _ADDED_ROWS]
        searcher.add(np.arange(first + begin, first + begin + len(some), dtype=np.int64), some)
    return time.perf_counter() - start


def take_turn(searcher: Searcher, probes: F32, places: I64, k: int, concurrency: int) -> Turn:
    """Search the probes at `places` i64[n], each alone; then in groups of `concurrency`, going round where they end."""
    for _ in range(_WARM_UP):
        searcher.search(probes[places[:1]], k)
    seconds, alone = _timed(searcher, probes, [places[n : n + 1] for n in range(len(places))], k)
    groups = -(-len(places) // concurrency)
    shared = np.resize(places, groups * concurrency).reshape(groups, concurrency)
    searcher.search(probes[shared[0]], k)
    together_s, together = _timed(searcher, probes, list(shared), k)
    return Turn(tuple(seconds), sum(together_s), shared.size, (alone, together))


def _timed(searcher: Searcher, probes: F32, groups: Sequence[I64], k: int) -> tuple[list[float], Answers]:
    seconds, ids, scores = [], [], []
    for places in groups:
        asked = np.ascontiguousarray(probes[places])
        start = time.perf_counter()
        found = searcher.search(asked, k)
        seconds.append(time.perf_counter() - start)
        ids.append(found[0])
        scores.append(found[1])
    return seconds, Answers(np.concatenate(groups), np.concatenate(ids), np.concatenate(scores))
