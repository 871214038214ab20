"""Unit tests of what a number of comparisons supports."""

from __future__ import annotations

from math import nan

import pytest

from fr_core.scoring.intervals import UndefinedRate
from fr_core.scoring.support import ComparisonsNeeded, Strength, comparisons_needed, rule_of_three, support


@pytest.mark.parametrize(("comparisons", "limit"), [(1, 1.0), (3, 1.0), (6, 0.5), (3000, 0.001)])
def test_the_rule_of_three(comparisons: int, limit: float) -> None:
    assert rule_of_three(comparisons) == limit


@pytest.mark.parametrize(
    ("errors", "strength", "sentence"),
    [
        (0, Strength.NO_ERRORS, "0 errors in 3,000 comparisons: the true rate is at most 0.001 with 95 % confidence"),
        (
            1,
            Strength.FEW_ERRORS,
            "1 error in 3,000 comparisons: too few to know the rate to 30 %, which takes 30 errors",
        ),
        (29, Strength.FEW_ERRORS, "29 errors in 3,000 comparisons: too few"),
        (30, Strength.ENOUGH_ERRORS, "30 errors in 3,000 comparisons: the rate is known to 30 % with 90 % confidence"),
        (3000, Strength.ENOUGH_ERRORS, "3,000 errors in 3,000 comparisons"),
    ],
)
def test_the_support_of_a_rate(errors: int, strength: Strength, sentence: str) -> None:
    found = support(errors, 3000)
    assert (found.errors, found.comparisons, found.strength) == (errors, 3000, strength)
    assert found.sentence.startswith(sentence)


def test_one_comparison_is_no_plural() -> None:
    assert support(0, 1).sentence.startswith("0 errors in 1 comparison:")


@pytest.mark.parametrize(
    ("rate", "exclude", "measure"),
    [(1e-6, 3_000_000, 30_000_000), (1e-4, 30_000, 300_000), (0.7, 5, 43), (1.0, 3, 30), (1 / 3, 10, 91)],
)
def test_the_comparisons_that_a_rate_needs(rate: float, exclude: int, measure: int) -> None:
    assert comparisons_needed(rate) == ComparisonsNeeded(rate, exclude, measure)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, nan])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        comparisons_needed(rate)


def test_no_comparisons_support_nothing() -> None:
    with pytest.raises(UndefinedRate, match="No comparisons"):
        support(0, 0)
    with pytest.raises(UndefinedRate, match="No comparisons"):
        rule_of_three(0)


@pytest.mark.parametrize(("errors", "comparisons"), [(-1, 5), (6, 5), (0, -1)])
def test_impossible_counts_are_refused(errors: int, comparisons: int) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        support(errors, comparisons)
