"""Scopes, tokens, budgets and the time that keys expire by, for whatever comes."""

from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_core.errors import InvalidField
from fr_trust.access.budget import Budget
from fr_trust.access.budgets import Budgets
from fr_trust.access.keys import ApiKey, NewKey, Token, parse_token, reaches, require_may_give
from fr_trust.access.principal import Role, Scope
from fr_trust.access.trusted_clock import SureTime
from fr_trust.errors import NotPermitted, QuotaExceeded, RateLimited
from support.access import DAY_MS, NOW_MS, Clocks

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


SCOPES = st.lists(st.sampled_from(["*", "a*", "ab", "ab*", "b"]), max_size=3, unique=True).map(tuple).map(Scope)
LIMITS = st.builds(Budget, st.sampled_from([1.0, 2.0]), st.sampled_from([1, 2]), st.sampled_from([None, 0, 5]))
ENDS = st.sampled_from([None, NOW_MS + 1, NOW_MS + DAY_MS])
CERTIFICATES = st.sampled_from([None, "c" * 64, "d" * 64])
ROLES = st.sets(st.sampled_from(list(Role)), min_size=1, max_size=3).map(frozenset)
PLACES = ["ab", "abc", "a", "b", "ba", "c"]


@st.composite
def keys(draw: st.DrawFn, number: int, roles: st.SearchStrategy[frozenset[Role]] = ROLES) -> ApiKey:
    values = (draw(roles), draw(SCOPES), draw(SCOPES), draw(LIMITS), NOW_MS, draw(ENDS), None, draw(CERTIFICATES))
    return ApiKey(number, f"{number:016}", "", *values)


def can(key: ApiKey) -> set[str]:
    seen = {f"gallery {one}" for one in PLACES if key.galleries.covers(one)}
    seen |= {f"course {one}" for one in PLACES if key.courses.covers(one)}
    return seen | ({"everything"} if key.roles & {Role.ADMIN, Role.AUDITOR} else set())


@given(st.data())
def test_no_calls_give_a_secret_that_can_do_more_than_their_caller(data: st.DataObject) -> None:
    first = data.draw(keys(0, st.just(frozenset({Role.ADMIN}))))
    others = [data.draw(keys(number)) for number in (1, 2, 3)]
    everywhere = first.galleries.is_all and first.courses.is_all
    held, gone = [first], set[str]()
    for number in range(10, 10 + data.draw(st.integers(1, 6))):
        caller = data.draw(st.sampled_from([key for key in held if Role.ADMIN in key.roles]))
        wanted = data.draw(st.one_of(keys(number), st.sampled_from(others)))
        new = NewKey("", wanted.roles, wanted.galleries, wanted.courses, wanted.budget, None, wanted.certificate_sha256)
        asked = wanted if wanted in others else replace(new, not_after_ms=wanted.expires_ms)
        if not reaches(caller.principal, asked):
            with pytest.raises(NotPermitted):
                require_may_give(caller.principal, caller, asked, NOW_MS)
            continue
        gone.add(wanted.key_id)  # which is what RevokeKey asks
        with suppress(NotPermitted):
            require_may_give(caller.principal, caller, asked, NOW_MS)
            held.append(wanted)
    for key in held[1:]:
        assert can(key) <= can(first)
        assert everywhere or "everything" not in can(key)
        assert key.budget.is_within(first.budget)
        assert first.expires_ms is None or (key.expires_ms is not None and key.expires_ms <= first.expires_ms)
        assert first.certificate_sha256 in (None, key.certificate_sha256)
    for key in others:
        assert key.key_id not in gone or can(key) <= can(first)
        assert key.key_id not in gone or everywhere or "everything" not in can(key)
