"""An observer that keeps what the engine tells: the time of each step, and the sizes of batches."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from fr_bench.speed.values import Batches
from fr_core.runtime.observe import ModelRole, NullObserver, Stage


class Recorder(NullObserver):
    """Adds up seconds by step, and counts batches by model and size; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._batches: Counter[tuple[str, int]] = Counter()

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """As `Observer.stage`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - start
            with self._lock:
                self._seconds[name] += took

    def batch(self, model: ModelRole, waits_s: list[float], run_s: float) -> None:
        """As `Observer.batch`."""
        with self._lock:
            self._batches[model, len(waits_s)] += 1

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._seconds.clear()
            self._batches.clear()

    def seconds(self, name: Stage) -> float:
        """Of a step, over all photos since the start or `clear`."""
        with self._lock:
            return self._seconds[name]

    def batches(self) -> tuple[Batches, ...]:
        """The batches since the start or `clear`, by model and size."""
        with self._lock:
            counted = dict(self._batches)
        models = sorted({model for model, _ in counted})
        return tuple(
            Batches(
                model, tuple((float(size), counted[model, size]) for name, size in sorted(counted) if name == model)
            )
            for model in models
        )
