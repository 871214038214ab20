"""Scopes, tokens, budgets and the time that keys expire by, for whatever comes."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accessing import DAY_MS, Clocks
from fr_core.access.budget import Budget
from fr_core.access.budgets import Budgets
from fr_core.access.keys import Token, parse_token
from fr_core.access.scope import Scope
from fr_core.access.seen import SureTime
from fr_core.errors import InvalidField, QuotaExceeded, RateLimited

IDS = st.text("ab-_9", min_size=1, max_size=5)
PATTERNS = st.one_of(IDS, IDS.map(lambda beginning: f"{beginning}*"), st.just("*"))


@given(st.lists(PATTERNS, max_size=5), IDS)
def test_scopes_are_those_of_fnmatch(patterns: list[str], resource_id: str) -> None:
    expected = any(fnmatchcase(resource_id, pattern) for pattern in patterns)
    assert Scope(tuple(patterns)).covers(resource_id) == expected


@given(st.text(max_size=20))
def test_a_pattern_is_taken_or_refused(pattern: str) -> None:
    try:
        Scope((pattern,))
    except InvalidField:
        return
    assert pattern.isascii()
    assert pattern.count("*") <= 1


@given(st.text("abz279", min_size=16, max_size=16), st.binary(min_size=32, max_size=32))
def test_tokens_go_round(key_id: str, secret: bytes) -> None:
    token = Token(key_id, secret)
    assert parse_token(token.text) == token


@given(st.binary(min_size=32, max_size=32), st.integers(0, 59), st.characters())
def test_one_token_has_one_text(secret: bytes, place: int, other: str) -> None:
    token = Token("k" * 16, secret)
    changed = token.text[:place] + other + token.text[place + 1 :]
    parsed = parse_token(changed)
    assert (parsed == token) == (changed == token.text)
    assert parsed is None or parsed.text == changed


@given(st.text(max_size=80))
def test_any_text_is_read_or_not(text: str) -> None:
    parsed = parse_token(text)
    assert parsed is None or parsed.text == text


STEPS = st.lists(
    st.tuples(st.integers(0, 6 * 3_600_000), st.sampled_from([0, 0, 0, DAY_MS, -DAY_MS, 3_600_000, -500 * DAY_MS])),
    max_size=40,
)


@given(st.floats(0.01, 100), st.integers(1, 50), st.lists(st.integers(0, 5_000)))
def test_never_more_than_burst_and_rate(rate: float, burst: int, waits_ms: list[int]) -> None:
    clocks = Clocks()
    budgets = Budgets(clocks.monotonic_s, clocks.clock_ms)
    budget, begun, through = Budget(rate, burst, None), clocks.mono_s, 0
    for wait_ms in waits_ms:
        clocks.passes(wait_ms)
        for _ in range(2 * burst):
            try:
                budgets.spend("key:a", budget)
            except RateLimited as error:
                clocks.passes(round(float(error.metadata["retry_after_s"]) * 1000))
                budgets.spend("key:a", budget)  # what was said is enough
            through += 1
        assert through <= burst + rate * (clocks.mono_s - begun) + 1e-3


@given(STEPS)
def test_searches_are_neither_endless_nor_gone(steps: list[tuple[int, int]]) -> None:
    clocks = Clocks()
    budgets = Budgets(clocks.monotonic_s, clocks.clock_ms)
    budget, begun, through = Budget(1.0, 1, 5), clocks.mono_s, 0
    for passed_ms, set_ms in steps:
        clocks.passes(passed_ms)
        clocks.wall_ms += set_ms
        for _ in range(10):
            try:
                budgets.search("key:a", budget)
                through += 1
            except QuotaExceeded:
                break
    half_days = int((clocks.mono_s - begun) / 43_200)
    assert through <= 5 * (2 + half_days)
    clocks.passes(36 * 3_600_000)
    for _ in range(5):
        budgets.search("key:a", budget)
    with pytest.raises(QuotaExceeded):
        budgets.search("key:a", budget)


@given(STEPS)
def test_the_time_never_goes_far_ahead_of_a_right_clock(steps: list[tuple[int, int]]) -> None:
    """Set for less than an hour, a clock leaves nothing; and the time is never before the clock."""
    clocks = Clocks()
    time = SureTime(clocks.clock_ms, clocks.monotonic_s)
    for _, set_ms in steps:
        clocks.passes(1_000_000)
        clocks.wall_ms += set_ms
        assert time.now_ms(0) >= clocks.wall_ms
        clocks.passes(1_000_000)
        assert time.now_ms(0) >= clocks.wall_ms
        clocks.wall_ms -= set_ms
        assert time.sure_ms() == clocks.wall_ms
