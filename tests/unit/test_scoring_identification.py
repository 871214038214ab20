"""Unit tests of identification: misses, false alarms, ranks and sizes of galleries, in cases worked by hand."""

from __future__ import annotations

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
    tpir,
)
from fr_core.scoring.intervals import UndefinedRate, rate

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


# --- ranks --------------------------------------------------------------------------------------------------


def test_cmc_counts_the_mates_up_to_each_rank_of_the_list() -> None:
    assert cmc(mated()) == (rate(2, 4), rate(2, 4), rate(3, 4))
    assert cmc(mated(), 2) == (rate(2, 4), rate(2, 4))
    for ranks in (0, 4):
        with pytest.raises(ValueError, match="ranks"):
            cmc(mated(), ranks)


def test_a_failure_to_acquire_or_enrol_is_a_miss_at_every_rank() -> None:
    assert [share.total for share in cmc(mated(failures=6))] == [10, 10, 10]
    assert [share.count for share in cmc(mated(failures=6))] == [2, 2, 3]
    assert cmc(MatedSearches(i64(), f64(), 5, 2, failures=1)) == (rate(0, 1), rate(0, 1))


def test_cmc_of_no_search_is_undefined() -> None:
    with pytest.raises(UndefinedRate):
        cmc(MatedSearches(i64(), f64(), 5, 2))


# --- rates at a threshold -----------------------------------------------------------------------------------


def test_a_mate_at_the_threshold_is_found() -> None:
    assert fnir(mated(), 0.5) == rate(2, 4)
    assert fnir(mated(), float(np.nextafter(0.5, 1))) == rate(3, 4)


def test_fnir_looks_at_the_first_ranks_only() -> None:
    assert fnir(mated(), 0.4) == rate(1, 4)
    assert fnir(mated(), 0.4, rank=3) == rate(1, 4)
    assert fnir(mated(), 0.4, rank=2) == rate(2, 4)


def test_fnir_counts_failures_at_every_threshold() -> None:
    assert fnir(mated(failures=1), -inf) == rate(2, 5)
    assert fnir(mated(failures=1), inf) == rate(5, 5)


def test_tpir_is_what_fnir_leaves() -> None:
    assert tpir(mated(failures=1), 0.4, rank=1, confidence=0.9) == rate(2, 5, 0.9)


def test_a_stranger_at_the_threshold_is_a_false_alarm() -> None:
    assert fpir(nonmated(), 0.3) == rate(2, 4)
    assert fpir(nonmated(), float(np.nextafter(0.3, 1))) == rate(1, 4)


def test_a_search_that_could_not_be_done_does_not_better_the_fpir() -> None:
    assert fpir(nonmated(failures=96), 0.3) == rate(2, 4)


def test_rates_of_no_search_are_undefined() -> None:
    with pytest.raises(UndefinedRate):
        fnir(MatedSearches(i64(), f64(), 5, 2), 0.5)
    with pytest.raises(UndefinedRate):
        fpir(NonmatedSearches(f64(), 5, failures=3), 0.5)


def test_a_threshold_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="threshold"):
        fnir(mated(), nan)
    with pytest.raises(ValueError, match="threshold"):
        fpir(nonmated(), nan)


def test_a_list_cannot_tell_more_ranks_than_it_holds() -> None:
    for rank in (0, 4):
        with pytest.raises(ValueError, match="Lists of 3 candidates"):
            fnir(mated(), 0.5, rank=rank)


# --- operating points ---------------------------------------------------------------------------------------


def test_threshold_at_fpir_is_the_lowest_that_keeps_it() -> None:
    threshold = threshold_at_fpir(nonmated(), 0.25)
    assert threshold == np.nextafter(0.3, 1)
    assert fpir(nonmated(), threshold).count == 1


def test_few_searches_cannot_support_a_low_fpir() -> None:
    with pytest.raises(UndefinedRate, match=r"4 non-mated searches cannot support .* identification rate of 0\.1"):
        threshold_at_fpir(nonmated(failures=96), 0.1)


def test_identification_point_holds_both_rates_and_all_failures() -> None:
    point = identification_point(mated(failures=1), nonmated(failures=2), 0.3, rank=2)
    assert (point.gallery_size, point.rank, point.threshold) == (10, 2, 0.3)
    assert (point.fnir, point.fpir) == (rate(3, 5), rate(2, 4))
    assert (point.mated_failures, point.nonmated_failures) == (1, 2)


def test_fnir_at_fpir_is_the_point_at_that_threshold() -> None:
    point = fnir_at_fpir(mated(), nonmated(), 0.5, rank=1)
    assert point == identification_point(mated(), nonmated(), float(np.nextafter(0.2, 1)), rank=1)
    assert fnir_at_fpir(mated(), nonmated(), 0.5).rank == 3


def test_both_kinds_of_searches_need_one_gallery() -> None:
    others = NonmatedSearches(f64(0.1), 11)
    with pytest.raises(ValueError, match="10 and 11 people"):
        identification_point(mated(), others, 0.3)
    with pytest.raises(ValueError, match="10 and 11 people"):
        identification_det(mated(), others)


# --- the trade-off ------------------------------------------------------------------------------------------


def test_det_has_every_similarity_and_one_threshold_above() -> None:
    det = identification_det(mated(failures=1), nonmated(), rank=1)
    assert det.thresholds.tolist() == [0.1, 0.2, 0.3, 0.5, 0.9, float(np.nextafter(0.9, 1))]
    assert det.fpir.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    assert det.fnir.tolist() == [0.6, 0.6, 0.6, 0.6, 0.8, 1.0]
    assert (det.gallery_size, det.rank, det.n_mated, det.n_nonmated) == (10, 1, 5, 4)


def test_det_of_failures_alone_misses_all() -> None:
    det = identification_det(MatedSearches(i64(), f64(), 10, 3, failures=2), nonmated())
    assert det.fnir.tolist() == [1.0] * 5


def test_det_needs_both_kinds_of_searches() -> None:
    with pytest.raises(UndefinedRate, match="one mated and one non-mated"):
        identification_det(MatedSearches(i64(), f64(), 10, 3), nonmated())
    with pytest.raises(UndefinedRate, match="one mated and one non-mated"):
        identification_det(mated(), NonmatedSearches(f64(), 10, failures=1))


# --- searches that are none ---------------------------------------------------------------------------------


def test_ranks_and_similarities_have_one_shape() -> None:
    with pytest.raises(ValueError, match=r"Ranks are i64\[n\]"):
        MatedSearches(i64(1, 2), f64(0.5), 10, 3)
    with pytest.raises(ValueError, match=r"Ranks are i64\[n\]"):
        MatedSearches(f64(1.0).astype(np.int32), f64(0.5), 10, 3)
    with pytest.raises(ValueError, match=r"Ranks are i64\[n\]"):
        MatedSearches(np.ones((1, 1), dtype=np.int64), np.ones((1, 1)), 10, 3)


@pytest.mark.parametrize("rank", [-1, 4])
def test_a_rank_outside_the_list_is_refused(rank: int) -> None:
    with pytest.raises(ValueError, match="rank lies outside 0 to 3"):
        MatedSearches(i64(rank), f64(0.5), 10, 3)


@pytest.mark.parametrize(("size", "length"), [(10, 0), (10, 11), (0, 0)])
def test_a_list_longer_than_the_gallery_is_refused(size: int, length: int) -> None:
    with pytest.raises(ValueError, match="gives no list"):
        MatedSearches(i64(), f64(), size, length)


def test_similarities_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        MatedSearches(i64(1), f64(nan), 10, 3)
    with pytest.raises(ValueError, match="finite"):
        NonmatedSearches(f64(-inf), 10)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="failures"):
        MatedSearches(i64(1), f64(0.5), 10, 3, failures=-1)
    with pytest.raises(ValueError, match="failures"):
        NonmatedSearches(f64(0.5), 10, failures=-1)
    with pytest.raises(ValueError, match="gallery of 0 people"):
        NonmatedSearches(f64(0.5), 0)


# --- sizes of galleries -------------------------------------------------------------------------------------

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


def test_too_few_people_for_a_gallery_are_refused() -> None:
    with pytest.raises(ValueError, match="hold 4 people, too few"):
        mated_at_sizes(f64(0.5, 0.7), [OTHERS], [6])
    with pytest.raises(ValueError, match="hold 4 people, too few"):
        nonmated_at_sizes([OTHERS], [2, 5])


@pytest.mark.parametrize("sizes", [[], [0], [2, 2], [3, 2]])
def test_sizes_ascend(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        mated_at_sizes(f64(0.5, 0.7), [OTHERS], sizes)
    with pytest.raises(ValueError, match="ascend"):
        nonmated_at_sizes([OTHERS], sizes)


def test_a_block_has_a_row_for_each_probe() -> None:
    with pytest.raises(ValueError, match="row for each probe"):
        mated_at_sizes(f64(0.5), [OTHERS], [2])
    with pytest.raises(ValueError, match="row for each probe"):
        nonmated_at_sizes([OTHERS, OTHERS[:1]], [5])
    with pytest.raises(ValueError, match="row for each probe"):
        nonmated_at_sizes([OTHERS[0]], [1])


def test_sizes_refuse_what_is_no_similarity() -> None:
    for bad in (nan, -inf):
        with pytest.raises(ValueError, match="finite"):
            mated_at_sizes(f64(0.5), [f64(bad)[None]], [2])
        with pytest.raises(ValueError, match="finite"):
            nonmated_at_sizes([f64(bad, 0.5)[None]], [2])
    with pytest.raises(ValueError, match=r"Similarities are f64\[n\]"):
        mated_at_sizes(f64(0.5, 0.7)[:, None], [OTHERS], [2])
