"""The statistics of the measurements: medians, percentiles, and the arrivals of an open loop."""

import math
from collections.abc import Sequence
from statistics import median

import numpy as np
import numpy.typing as npt

from fr_bench.speed.values import Latency, Rate, Round

F64 = npt.NDArray[np.float64]


def percentile(samples: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest sample that at least `share`, in (0, 1], of all samples do not exceed.

    Raises `ValueError` if there is no sample, or `share` is out of range.
    """
    if not samples:
        raise ValueError("a percentile of no samples is undefined")
    if not 0 < share <= 1:
        raise ValueError(f"the share must be in (0, 1], got {share}")
    # Rounded first: 0.99 * 100 is 99.00000000000001 in binary, and its ceiling would be 100.
    return sorted(samples)[math.ceil(round(share * len(samples), 9)) - 1]


def latency(seconds: Sequence[float]) -> Latency | None:
    """Percentiles of durations in seconds; None where there are none."""
    if not seconds:
        return None
    at = (percentile(seconds, share) * 1e3 for share in (0.5, 0.95, 0.99, 1.0))
    return Latency(len(seconds), *at)


def poisson_arrivals(rate: float, seconds: float, seed: int) -> F64:
    """Arrivals of a seeded Poisson process of `rate` a second: times f64[n], ascending, in [0, seconds)."""
    rng = np.random.default_rng(seed)
    mean = rate * seconds
    drawn = math.ceil(mean + 10 * math.sqrt(mean) + 10)  # ten standard deviations above: enough, nearly always
    times: F64 = np.cumsum(rng.exponential(1 / rate, drawn))
    while times[-1] < seconds:
        more = times[-1] + np.cumsum(rng.exponential(1 / rate, drawn))
        times = np.concatenate([times, more])
    return times[times < seconds]


def rates(rounds: Sequence[Round]) -> tuple[Rate, ...]:
    """The medians of each subject, in the order of its first round."""
    found = []
    for subject in dict.fromkeys(item.subject for item in rounds):
        own = [item for item in rounds if item.subject == subject]
        speeds = [item.photos_per_s for item in own]
        faces = median(item.faces / item.seconds for item in own)
        costs = [None if item.cpu_s is None or not item.photos else item.cpu_s / item.photos * 1e3 for item in own]
        loads = [item.other_load for item in own]
        spread = min(speeds), max(speeds)
        found.append(Rate(subject, len(own), median(speeds), faces, *spread, _median(costs), _median(loads)))
    return tuple(found)


def _median(values: Sequence[float | None]) -> float | None:
    """The median; None where a value is unknown."""
    known = [value for value in values if value is not None]
    return median(known) if len(known) == len(values) else None


def order_of(sizes: Sequence[int], number: int) -> tuple[int, ...]:
    """Return the places in the joined list of all sets of the `number` photos of a round.

    The sets take turns, each from its first photo on and again when it is through, so that every set has its share.
    """
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    turns = ((i % len(sizes), i // len(sizes)) for i in range(number))
    return tuple(starts[which] + turn % sizes[which] for which, turn in turns)
