"""Runs `fr bench storage`: measures galleries in PostgreSQL and the same galleries in a folder in turn.

Both are used in this process, without a network in front and without models: nothing hides the time of the database.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from fr_bench.speed.conditions import conditions
from fr_bench.speed.page import Page, machine_text
from fr_bench.speed.search_gallery import unit_vectors
from fr_bench.speed.values import Conditions, Held
from fr_bench.values import Bar
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.storage.keys import KEY_BYTES, KeyEncryptionKey
from fr_core.storage.location import Location, Postgres
from fr_core.types import F32, Embedding, ModelId

_BARS = {
    "search": Bar(1.2, at_least=False),
    "enrol_alone": Bar(0.5, at_least=True),
    "enrol_together": Bar(0.5, at_least=True),
}
_GALLERY = "bench"
_MODEL = ModelId("bench", "1", "0" * 64)
_DIMENSION = 512
_K = 20
_SEARCHES, _ALONE, _TOGETHER, _CALLERS = 60, 50, 256, 32  # of a round
_AT_ONCE = 500

OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StorageReport:
    """Medians of the rounds; the ratios are PostgreSQL's time of a search, or rate of enrolments, to SQLite's."""

    search_ms: dict[str, float]
    alone_per_s: dict[str, float]
    together_per_s: dict[str, float]
    ratios: dict[str, float]
    n: int
    rounds: int
    machine: Conditions
    command: str = "storage"


@dataclass(slots=True)
class _Side:
    galleries: Galleries
    vectors: F32
    enrolled: int = 0
    search_s: list[float] = field(default_factory=list)
    alone_s: list[float] = field(default_factory=list)
    together_s: list[float] = field(default_factory=list)  # for each of them

    def next(self, number: int) -> list[Enrolment]:
        first, self.enrolled = self.enrolled, self.enrolled + number
        return [
            Enrolment(f"s{one}", NewTemplate(Embedding(self.vectors[one], _MODEL), f"{one:064x}", 0.5), "", {"k": "v"})
            for one in range(first, self.enrolled)
        ]

    def fill(self, n: int) -> None:
        self.galleries.create(_GALLERY, "", _MODEL, _DIMENSION)
        while self.enrolled < n:
            self.galleries.enrol_many(_GALLERY, self.next(min(_AT_ONCE, n - self.enrolled)))

    def measure(self, pool: ThreadPoolExecutor) -> None:
        for number in range(_SEARCHES):
            probe = Embedding(self.vectors[number * 37 % self.enrolled], _MODEL)
            self.search_s.append(_seconds(lambda: self.galleries.search(_GALLERY, probe, _K, 0.0)))  # noqa: B023
        for one in self.next(_ALONE):
            self.alone_s.append(_seconds(lambda: self.galleries.enrol(_GALLERY, one)))  # noqa: B023
        many = self.next(_TOGETHER)
        took = _seconds(lambda: list(pool.map(lambda one: self.galleries.enrol(_GALLERY, one), many)))
        self.together_s.append(took / len(many))


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def bench_storage(url: str, password: str | None, n: int, rounds: int, seed: int, on_step: OnStep) -> StorageReport:
    """Measure galleries of `n` random templates in a new folder and in an empty PostgreSQL database, in turns.

    Raises as `Galleries.open`, `WrongKey` where the database holds galleries already.
    """
    before = conditions()
    more = rounds * (_ALONE + _TOGETHER)
    vectors = unit_vectors(np.random.default_rng(seed), n + more, _DIMENSION)
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="fr-bench-storage-"))) / "data"
        key = KeyEncryptionKey(os.urandom(KEY_BYTES))
        places: dict[str, Location] = {"sqlite": folder, "postgresql": Postgres(url, password)}
        sides = {name: _Side(opened.enter_context(Galleries.open(at, key=key)), vectors) for name, at in places.items()}
        pool = opened.enter_context(ThreadPoolExecutor(_CALLERS))
        for name, side in sides.items():
            side.fill(n)
            on_step(f"{n} templates in {name}")
        for number in range(rounds):
            for name in sorted(sides, reverse=bool(number % 2)):
                sides[name].measure(pool)
            on_step(f"round {number + 1} of {rounds}")
    return _report(sides, n, rounds, before)


def _report(sides: dict[str, _Side], n: int, rounds: int, before: Conditions) -> StorageReport:
    def per_s(seconds: Sequence[float]) -> float:
        return 1 / median(seconds)

    search = {name: median(side.search_s) * 1000 for name, side in sides.items()}
    alone = {name: per_s(side.alone_s) for name, side in sides.items()}
    together = {name: per_s(side.together_s) for name, side in sides.items()}
    figures = {"search": search, "enrol_alone": alone, "enrol_together": together}
    ratios = {name: both["postgresql"] / both["sqlite"] for name, both in figures.items()}
    return StorageReport(search, alone, together, ratios, n, rounds, before)


def storage_page(report: StorageReport, *, decides: bool = False) -> Page:
    """Return the figures beside their bars, which may decide the exit status."""
    title = f"fr bench storage: {report.n:,} templates of {_DIMENSION} values"
    rows = [
        ("figure", "SQLite", "PostgreSQL", "ratio"),
        _row("search, p50, ms", report.search_ms, report.ratios["search"]),
        _row("enrolled a second, one by one", report.alone_per_s, report.ratios["enrol_alone"]),
        _row(f"enrolled a second, {_CALLERS} callers", report.together_per_s, report.ratios["enrol_together"]),
    ]
    held = [Held(name, report.ratios[name], bar, decides) for name, bar in _BARS.items()]
    return Page(f"storage-{report.n}", title, machine_text(report.machine), [rows], held, asdict(report))


def _row(name: str, both: dict[str, float], ratio: float) -> tuple[str, ...]:
    return name, f"{both['sqlite']:.2f}", f"{both['postgresql']:.2f}", f"{ratio:.2f}"
