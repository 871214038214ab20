"""What our embedder adds to the bare call of the runtime, on the same faces in the same batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import numpy as np

from fr_bench.speed.engine import opened_embedder
from fr_bench.speed.values import EmbeddingOverhead, EngineSettings
from fr_core.types import AlignedFace

# One face, and as many as a group photo has.
BATCHES = (1, 8)

# Calls of each kind, one of ours after one of the runtime's, for each repeat.
_CALLS = 12


def embedding_overheads(
    settings: EngineSettings, crops: Sequence[AlignedFace], repeat: int
) -> tuple[EmbeddingOverhead, ...]:
    """Measure for each size of batch; empty where there is no face.

    Both sides run the same session, so what differs is what our code does around it.

    Args:
        settings: of the engine; 0 threads count as 1, so that both sides have the same.
        crops: aligned faces; taken again from the start where they are fewer than a batch.
        repeat: more repeats, steadier medians.
    """
    if not crops:
        return ()
    with opened_embedder(settings) as (embedder, session):
        largest = session.input_shape[0] or BATCHES[-1]
        found = []
        for batch in (size for size in BATCHES if size <= largest):
            faces = [crops[i % len(crops)] for i in range(batch)]
            pixels = np.stack([face.pixels for face in faces])
            ours, bare = _timed_in_turn(partial(embedder.embed, faces), partial(session.run, pixels), repeat * _CALLS)
            found.append(EmbeddingOverhead(batch, ours / batch * 1e3, bare / batch * 1e3, ours / bare))
    return tuple(found)


def _timed_in_turn(a: Callable[[], object], b: Callable[[], object], calls: int) -> tuple[float, float]:
    """Median seconds of a call of each, called in turn after one call to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(calls + 1):
        for work, kept in zip((a, b), times, strict=True):
            start = time.perf_counter()
            work()
            if turn:
                kept.append(time.perf_counter() - start)
    return median(times[0]), median(times[1])
