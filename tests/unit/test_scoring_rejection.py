"""Unit tests of quality: the discard curve and the error rates by quality, in cases worked by hand."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring.intervals import UndefinedRate, rate
from fr_core.scoring.rejection import SHARES, discard_curve, pair_qualities, quality_edges, rates_by_quality

F64 = npt.NDArray[np.float64]


def f64(*values: float) -> F64:
    return np.array(values, dtype=np.float64)


# Ten mated pairs; the three of lowest quality and the best one are missed at .5.
MATED = f64(0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.4)
QUALITIES = f64(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)


# --- discarding ---------------------------------------------------------------------------------------------


def test_discarding_the_worst_pairs_removes_their_misses() -> None:
    curve = discard_curve(MATED, QUALITIES, 0.5, shares=[0.0, 0.1, 0.3, 0.5, 0.9])
    assert [point.fnmr for point in curve] == [rate(4, 10), rate(3, 9), rate(1, 7), rate(1, 5), rate(1, 1)]
    assert [point.discarded for point in curve] == [0, 1, 3, 5, 9]
    assert [point.lowest_quality for point in curve] == [1, 2, 4, 6, 10]
    assert [point.ideal for point in curve] == [0.4, 3 / 9, 1 / 7, 0.0, 0.0]


def test_the_order_of_the_pairs_does_not_matter() -> None:
    order = np.random.default_rng(3).permutation(10)
    assert discard_curve(MATED[order], QUALITIES[order], 0.5) == discard_curve(MATED, QUALITIES, 0.5)


def test_a_pair_at_the_threshold_is_no_miss() -> None:
    assert discard_curve(MATED, QUALITIES, 0.1, shares=[0.0])[0].fnmr.count == 0


def test_failures_stay_misses_at_every_share() -> None:
    curve = discard_curve(MATED, QUALITIES, 0.5, shares=[0.0, 0.5], failures=2)
    assert [point.fnmr for point in curve] == [rate(6, 12), rate(3, 7)]
    assert [point.ideal for point in curve] == [0.5, 2 / 7]


def test_pairs_of_one_quality_stay_or_go_together() -> None:
    qualities = f64(1, 2, 2, 2, 5, 5, 5, 5, 5, 5)
    curve = discard_curve(MATED, qualities, 0.5, shares=[0.1, 0.2, 0.3, 0.4, 0.9])
    assert [point.discarded for point in curve] == [1, 1, 1, 4, 4]
    assert [point.share for point in curve] == [0.1, 0.2, 0.3, 0.4, 0.9]


def test_a_share_does_not_lose_a_pair_to_rounding() -> None:
    values = np.arange(100, dtype=np.float64)
    assert int(0.29 * 100) == 28
    assert discard_curve(values, values, 0.5, shares=[0.29])[0].discarded == 29


def test_one_pair_is_always_kept() -> None:
    almost_one = float(np.nextafter(1.0, 0.0))
    values = np.arange(1000, dtype=np.float64)
    assert discard_curve(values, values, 0.5, shares=[almost_one])[0].discarded == 999


def test_the_usual_shares_go_up_to_one_half() -> None:
    assert [point.share for point in discard_curve(MATED, QUALITIES, 0.5)] == list(SHARES)
    assert (SHARES[0], SHARES[1], SHARES[-1]) == (0.0, 0.05, 0.5)


def test_no_pair_cannot_be_discarded() -> None:
    with pytest.raises(UndefinedRate, match="none can be discarded"):
        discard_curve(f64(), f64(), 0.5, failures=3)


@pytest.mark.parametrize("share", [-0.1, 1.0, nan])
def test_a_share_that_leaves_nothing_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share to discard"):
        discard_curve(MATED, QUALITIES, 0.5, shares=[share])


def test_qualities_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="one for each of 10 pairs"):
        discard_curve(MATED, QUALITIES[:9], 0.5)
    with pytest.raises(ValueError, match="one for each of 10 pairs"):
        discard_curve(MATED, QUALITIES.astype(np.float32), 0.5)
    for bad in (nan, inf):
        with pytest.raises(ValueError, match="quality is not a finite"):
            discard_curve(f64(0.5), f64(bad), 0.5)
    with pytest.raises(ValueError, match="similarity is not a finite"):
        discard_curve(f64(nan), f64(0.5), 0.5)
    with pytest.raises(ValueError, match="threshold"):
        discard_curve(MATED, QUALITIES, nan)
    with pytest.raises(ValueError, match="failures"):
        discard_curve(MATED, QUALITIES, 0.5, failures=-1)


def test_the_worse_photo_decides() -> None:
    assert pair_qualities(f64(1, 5, 3), f64(4, 2, 3)).tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="one for each"):
        pair_qualities(f64(1), f64(1, 2))
    with pytest.raises(ValueError, match="finite"):
        pair_qualities(f64(1), f64(nan))
    with pytest.raises(ValueError, match="finite"):
        pair_qualities(f64(nan), f64(1))


# --- bins ---------------------------------------------------------------------------------------------------


def test_each_range_of_quality_has_its_rates() -> None:
    bins = rates_by_quality(MATED, QUALITIES, f64(0.5, 0.1, 0.6), f64(4, 5, 9.9), 0.5, f64(1, 4, 10))
    assert [(found.low, found.high) for found in bins] == [(1, 4), (4, 10)]
    assert [found.fnmr for found in bins] == [rate(3, 3), rate(1, 7)]  # quality 10 is in the last bin
    assert [found.fmr for found in bins] == [None, rate(2, 3)]


def test_a_bin_without_a_mated_pair_has_no_miss_rate() -> None:
    bins = rates_by_quality(f64(0.9), f64(1), f64(0.1), f64(1), 0.5, f64(0, 1, 2), confidence=0.9)
    assert [found.fnmr for found in bins] == [None, rate(0, 1, 0.9)]
    assert [found.fmr for found in bins] == [None, rate(0, 1, 0.9)]


@pytest.mark.parametrize("quality", [0.9, 10.1])
def test_a_quality_outside_the_edges_is_refused(quality: float) -> None:
    with pytest.raises(ValueError, match="outside the edges"):
        rates_by_quality(f64(0.9), f64(quality), f64(), f64(), 0.5, f64(1, 10))
    with pytest.raises(ValueError, match="outside the edges"):
        rates_by_quality(f64(), f64(), f64(0.9), f64(quality), 0.5, f64(1, 10))


@pytest.mark.parametrize("edges", [[], [1], [1, 1], [2, 1], [1, nan], [1, inf]])
def test_edges_ascend(edges: list[float]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        rates_by_quality(MATED, QUALITIES, f64(), f64(), 0.5, f64(*edges))


def test_bins_refuse_what_is_no_similarity() -> None:
    with pytest.raises(ValueError, match="finite"):
        rates_by_quality(f64(nan), f64(1), f64(), f64(), 0.5, f64(1, 10))
    with pytest.raises(ValueError, match="finite"):
        rates_by_quality(f64(), f64(), f64(nan), f64(1), 0.5, f64(1, 10))
    with pytest.raises(ValueError, match="threshold"):
        rates_by_quality(f64(), f64(), f64(), f64(), nan, f64(1, 10))


def test_edges_divide_the_pairs_evenly() -> None:
    assert quality_edges(np.arange(101, dtype=np.float64), 4).tolist() == [0, 25, 50, 75, 100]


def test_repeated_qualities_make_fewer_bins() -> None:
    assert quality_edges(f64(1, 1, 1, 1, 2), 4).tolist() == [1, 2]


def test_edges_of_one_quality_are_undefined() -> None:
    for qualities in (f64(), f64(3, 3)):
        with pytest.raises(UndefinedRate, match="two different"):
            quality_edges(qualities, 2)
    with pytest.raises(ValueError, match="one bin at least"):
        quality_edges(f64(1, 2), 0)
    with pytest.raises(ValueError, match="finite"):
        quality_edges(f64(1, nan), 2)
