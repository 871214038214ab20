"""The figures of training beside values that were computed by hand."""

from dataclasses import replace

import pytest

from support.oracles import ORACLES, Oracle


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda one: one.name)
def test_the_figure_is_that_computed_by_hand(oracle: Oracle) -> None:
    assert oracle.off() <= 1.0


def test_an_oracle_tells_what_is_wrong() -> None:
    right = ORACLES[0]
    assert replace(right, wanted=(1.1577, 0.2130)).off() > 1.0
    assert replace(right, wanted=(1.1577,)).off() > 1.0
