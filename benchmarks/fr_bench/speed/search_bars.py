"""The bars of searches: what an index has to reach, at the size that each bar was set for."""

from __future__ import annotations

from collections.abc import Iterator

from fr_bench.speed.search_values import SearchDetail
from fr_bench.speed.values import Held
from fr_bench.values import Bar

# The speed of `compact` on two cores, and that of `gpu` on one H100.
COMPACT_SIZE, GPU_SIZE, DIMENSION = 1_000_000, 10_000_000, 512


def held_figures(detail: SearchDetail, *, decides: bool) -> tuple[Held, ...]:
    """The figures beside their bars; of speed only at the size, the width and the peer that a bar is meant for."""
    return tuple(Held(name, value, bar, decides) for name, value, bar in _figures(detail))


def _figures(detail: SearchDetail) -> Iterator[tuple[str, float, Bar]]:
    settings, ours = detail.settings, detail.ours
    yield "rank1", ours.accuracy.rank1, Bar(1.0, at_least=True)
    if detail.top20_recall is not None:
        yield "top20_recall", detail.top20_recall, Bar(0.99, at_least=True)
    yield "score_error", ours.accuracy.score_error, Bar(1e-5, at_least=False)
    if (settings.index, settings.size, settings.dimension) == ("compact", COMPACT_SIZE, DIMENSION):
        yield "p50_ms", ours.p50_ms, Bar(10.0, at_least=False)
        if detail.ratio is not None and settings.peers[0] == "flat":
            yield "ratio", detail.ratio, Bar(15.0, at_least=True)
        yield "shared_ratio", ours.shared_ratio, Bar(1.8, at_least=True)
        if ours.scan_bytes_per_template is not None:
            yield "bytes_per_template", ours.scan_bytes_per_template, Bar(140.0, at_least=False)
    if (settings.index, settings.size, settings.dimension) == ("gpu", GPU_SIZE, DIMENSION):
        yield "p50_ms", ours.p50_ms, Bar(3.8, at_least=False)
        yield "together_per_s", ours.together_per_s, Bar(20_000.0, at_least=True)
