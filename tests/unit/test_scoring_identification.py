"""Identification and quality, in cases worked by hand, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf, nan

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.scoring.gallery_sizes import mated_at_sizes, nonmated_at_sizes
from fr_core.scoring.identification import (
    MatedSearches,
    NonmatedSearches,
    cmc,
    fnir,
    fnir_at_fpir,
    fpir,
    identification_det,
    identification_point,
    threshold_at_fpir,
)
from fr_core.scoring.intervals import UndefinedRate, rate
from fr_core.scoring.rejection import discard_curve, pair_qualities, quality_edges, rates_by_quality

F64 = npt.NDArray[np.float64]


def f64(*values: float) -> F64:
    return np.array(values, dtype=np.float64)


def i64(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def mated(failures: int = 0) -> MatedSearches:
    """Four searches of ten people with lists of three: ranks 1, 1, 3 and none."""
    return MatedSearches(i64(1, 1, 3, 0), f64(0.9, 0.5, 0.4, nan), 10, 3, failures)


def nonmated(failures: int = 0) -> NonmatedSearches:
    return NonmatedSearches(f64(0.1, 0.2, 0.3, 0.5), 10, failures)


def test_a_failure_to_acquire_or_enrol_is_a_miss_at_every_rank() -> None:
    assert [share.total for share in cmc(mated(failures=6))] == [10, 10, 10]
    assert [share.count for share in cmc(mated(failures=6))] == [2, 2, 3]
    assert cmc(MatedSearches(i64(), f64(), 5, 2, failures=1)) == (rate(0, 1), rate(0, 1))


def test_a_search_that_could_not_be_done_does_not_better_the_fpir() -> None:
    assert fpir(nonmated(failures=96), 0.3) == rate(2, 4)


def test_identification_point_holds_both_rates_and_all_failures() -> None:
    point = identification_point(mated(failures=1), nonmated(failures=2), 0.3, rank=2)
    assert (point.gallery_size, point.rank, point.threshold) == (10, 2, 0.3)
    assert (point.fnir, point.fpir) == (rate(3, 5), rate(2, 4))
    assert (point.mated_failures, point.nonmated_failures) == (1, 2)


def test_fnir_at_fpir_is_the_point_at_that_threshold() -> None:
    point = fnir_at_fpir(mated(), nonmated(), 0.5, rank=1)
    assert point == identification_point(mated(), nonmated(), float(np.nextafter(0.2, 1)), rank=1)
    assert fnir_at_fpir(mated(), nonmated(), 0.5).rank == 3


def test_det_of_failures_alone_misses_all() -> None:
    det = identification_det(MatedSearches(i64(), f64(), 10, 3, failures=2), nonmated())
    assert det.fnir.tolist() == [1.0] * 5


OTHERS = np.array([[0.1, 0.6, 0.5, 0.9], [0.2, 0.2, 0.2, 0.2]])


def test_a_mate_loses_ranks_as_others_join() -> None:
    searches = mated_at_sizes(f64(0.5, 0.7), [OTHERS], [1, 2, 4, 5], failures=1)
    assert [at.gallery_size for at in searches] == [1, 2, 4, 5]
    assert [at.ranks.tolist() for at in searches] == [[1, 1], [1, 1], [3, 1], [4, 1]]  # a tie counts against the mate
    assert [at.failures for at in searches] == [1] * 4


def test_strangers_come_closer_as_others_join() -> None:
    searches = nonmated_at_sizes([OTHERS], [1, 3, 4], failures=2)
    assert [at.top_similarities.tolist() for at in searches] == [[0.1, 0.2], [0.6, 0.2], [0.9, 0.2]]
    assert [(at.gallery_size, at.failures) for at in searches] == [(1, 2), (3, 2), (4, 2)]


def test_people_beyond_the_largest_gallery_are_not_read() -> None:
    def blocks() -> list[F64]:
        return [OTHERS, np.array([[nan], [nan]])]

    assert nonmated_at_sizes(blocks(), [4])[0].top_similarities.tolist() == [0.9, 0.2]
    with pytest.raises(ValueError, match="finite"):
        nonmated_at_sizes(blocks(), [5])


# Ten mated pairs; the three of lowest quality and the best one are missed at .5.
PAIRS = f64(0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.4)
QUALITIES = f64(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)


def test_discarding_the_worst_pairs_removes_their_misses() -> None:
    curve = discard_curve(PAIRS, QUALITIES, 0.5, shares=[0.0, 0.1, 0.3, 0.5, 0.9])
    assert [point.fnmr for point in curve] == [rate(4, 10), rate(3, 9), rate(1, 7), rate(1, 5), rate(1, 1)]
    assert [point.discarded for point in curve] == [0, 1, 3, 5, 9]
    assert [point.lowest_quality for point in curve] == [1, 2, 4, 6, 10]
    assert [point.ideal for point in curve] == [0.4, 3 / 9, 1 / 7, 0.0, 0.0]


def test_failures_stay_misses_at_every_share() -> None:
    curve = discard_curve(PAIRS, QUALITIES, 0.5, shares=[0.0, 0.5], failures=2)
    assert [point.fnmr for point in curve] == [rate(6, 12), rate(3, 7)]
    assert [point.ideal for point in curve] == [0.5, 2 / 7]


def test_a_share_does_not_lose_a_pair_to_rounding() -> None:
    values = np.arange(100, dtype=np.float64)
    assert int(0.29 * 100) == 28
    assert discard_curve(values, values, 0.5, shares=[0.29])[0].discarded == 29


def test_one_pair_is_always_kept() -> None:
    almost_one = float(np.nextafter(1.0, 0.0))
    values = np.arange(1000, dtype=np.float64)
    assert discard_curve(values, values, 0.5, shares=[almost_one])[0].discarded == 999


def test_the_worse_photo_decides() -> None:
    assert pair_qualities(f64(1, 5, 3), f64(4, 2, 3)).tolist() == [1, 2, 3]


def test_edges_divide_the_pairs_evenly() -> None:
    assert quality_edges(np.arange(101, dtype=np.float64), 4).tolist() == [0, 25, 50, 75, 100]


def test_repeated_qualities_make_fewer_bins() -> None:
    assert quality_edges(f64(1, 1, 1, 1, 2), 4).tolist() == [1, 2]


NO_SEARCH, NO_STRANGER, ONE = MatedSearches(i64(), f64(), 10, 3), NonmatedSearches(f64(), 10, failures=3), f64(1)
OF_OTHERS = NonmatedSearches(f64(0.1), 11)
BAD: list[tuple[Callable[[], object], str]] = [
    *[(partial(cmc, mated(), ranks), "ranks") for ranks in (0, 4)],
    (partial(fnir, mated(), nan), "threshold"),
    (partial(fpir, nonmated(), nan), "threshold"),
    *[(partial(fnir, mated(), 0.5, rank), "Lists of 3 candidates") for rank in (0, 4)],
    (partial(identification_point, mated(), OF_OTHERS, 0.3), "10 and 11 people"),
    (partial(identification_det, mated(), OF_OTHERS), "10 and 11 people"),
    (partial(MatedSearches, i64(1, 2), f64(0.5), 10, 3), r"Ranks are i64\[n\]"),
    (partial(MatedSearches, f64(1.0).astype(np.int32), f64(0.5), 10, 3), r"Ranks are i64\[n\]"),
    (partial(MatedSearches, i64(1)[None], f64(1)[None], 10, 3), r"Ranks are i64\[n\]"),
    *[(partial(MatedSearches, i64(rank), f64(0.5), 10, 3), "rank lies outside 0 to 3") for rank in (-1, 4)],
    *[
        (partial(MatedSearches, i64(), f64(), size, length), "gives no list")
        for size, length in ((10, 0), (10, 11), (0, 0))
    ],
    (partial(MatedSearches, i64(1), f64(nan), 10, 3), "finite"),
    (partial(NonmatedSearches, f64(-inf), 10), "finite"),
    (partial(MatedSearches, i64(1), f64(0.5), 10, 3, failures=-1), "failures"),
    (partial(NonmatedSearches, f64(0.5), 10, failures=-1), "failures"),
    (partial(NonmatedSearches, f64(0.5), 0), "gallery of 0 people"),
    (partial(mated_at_sizes, f64(0.5, 0.7), [OTHERS], [6]), "hold 4 people, too few"),
    (partial(nonmated_at_sizes, [OTHERS], [2, 5]), "hold 4 people, too few"),
    *[(partial(mated_at_sizes, f64(0.5, 0.7), [OTHERS], sizes), "ascend") for sizes in ([], [0], [2, 2])],
    *[(partial(nonmated_at_sizes, [OTHERS], sizes), "ascend") for sizes in ([], [0], [3, 2])],
    (partial(mated_at_sizes, f64(0.5), [OTHERS], [2]), "row for each probe"),
    (partial(nonmated_at_sizes, [OTHERS, OTHERS[:1]], [5]), "row for each probe"),
    (partial(nonmated_at_sizes, [OTHERS[0]], [1]), "row for each probe"),
    *[(partial(mated_at_sizes, f64(0.5), [f64(bad)[None]], [2]), "finite") for bad in (nan, -inf)],
    *[(partial(nonmated_at_sizes, [f64(bad, 0.5)[None]], [2]), "finite") for bad in (nan, -inf)],
    (partial(mated_at_sizes, f64(0.5, 0.7)[:, None], [OTHERS], [2]), r"Similarities are f64\[n\]"),
    *[(partial(discard_curve, PAIRS, QUALITIES, 0.5, [share]), "share to") for share in (-0.1, 1.0, nan)],
    (partial(discard_curve, PAIRS, QUALITIES[:9], 0.5), "one for each of 10 pairs"),
    (partial(discard_curve, PAIRS, QUALITIES.astype(np.float32), 0.5), "one for each of 10 pairs"),
    *[(partial(discard_curve, ONE, f64(bad), 0.5), "quality is not a finite") for bad in (nan, inf)],
    (partial(discard_curve, f64(nan), ONE, 0.5), "similarity is not a finite"),
    (partial(discard_curve, PAIRS, QUALITIES, nan), "threshold"),
    (partial(discard_curve, PAIRS, QUALITIES, 0.5, failures=-1), "failures"),
    (partial(pair_qualities, ONE, f64(1, 2)), "one for each"),
    (partial(pair_qualities, ONE, f64(nan)), "finite"),
    (partial(pair_qualities, f64(nan), ONE), "finite"),
    *[
        (partial(rates_by_quality, ONE, f64(quality), f64(), f64(), 0.5, f64(1, 10)), "outside the edges")
        for quality in (0.9, 10.1)
    ],
    (partial(rates_by_quality, f64(), f64(), ONE, f64(0.9), 0.5, f64(1, 10)), "outside the edges"),
    *[
        (partial(rates_by_quality, PAIRS, QUALITIES, f64(), f64(), 0.5, f64(*edges)), "ascending")
        for edges in ([], [1], [1, 1], [2, 1], [1, nan], [1, inf])
    ],
    (partial(rates_by_quality, f64(nan), ONE, f64(), f64(), 0.5, f64(1, 10)), "finite"),
    (partial(rates_by_quality, f64(), f64(), f64(nan), ONE, 0.5, f64(1, 10)), "finite"),
    (partial(rates_by_quality, f64(), f64(), f64(), f64(), nan, f64(1, 10)), "threshold"),
    (partial(quality_edges, f64(1, 2), 0), "one bin at least"),
    (partial(quality_edges, f64(1, nan), 2), "finite"),
]


@pytest.mark.parametrize(("ask", "why"), BAD)
def test_bad_input_is_refused(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        ask()
    assert not isinstance(refused.value, UndefinedRate)


UNDEFINED: list[tuple[Callable[[], object], str]] = [
    (partial(cmc, NO_SEARCH), "no trials"),
    (partial(fnir, NO_SEARCH, 0.5), "no trials"),
    (partial(fpir, NO_STRANGER, 0.5), "no trials"),
    (
        partial(threshold_at_fpir, nonmated(failures=96), 0.1),
        r"4 non-mated searches cannot support .* identification rate of 0\.1",
    ),
    (partial(identification_det, NO_SEARCH, nonmated()), "one mated and one non-mated"),
    (partial(identification_det, mated(), NO_STRANGER), "one mated and one non-mated"),
    (partial(discard_curve, f64(), f64(), 0.5, failures=3), "none can be discarded"),
    (partial(quality_edges, f64(), 2), "two different"),
    (partial(quality_edges, f64(3, 3), 2), "two different"),
]


@pytest.mark.parametrize(("ask", "why"), UNDEFINED)
def test_figures_of_nothing_are_undefined(ask: Callable[[], object], why: str) -> None:
    with pytest.raises(UndefinedRate, match=why):
        ask()
