"""Roles, scopes, principals, keys, the time that keys expire by, and budgets."""

from __future__ import annotations

import hashlib
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from fr_core.errors import InvalidField, for_one_caller
from fr_trust.access.budget import Budget
from fr_trust.access.budgets import Budgets
from fr_trust.access.keys import ApiKey, MadeKey, Token, new_token, parse_token, secret_hash
from fr_trust.access.principal import Principal
from fr_trust.access.refusals import Why, refusal_of, refuse
from fr_trust.access.roles import ALL_ROLES, Role
from fr_trust.access.scope import EVERYTHING, NOTHING, Scope
from fr_trust.access.trusted_clock import SureTime
from fr_trust.errors import CredentialInvalid, QuotaExceeded, RateLimited
from support.access import BUDGET, DAY_MS, HOUR_MS, NOW_MS, Clocks

KEPT = ApiKey(1, "a" * 16, "", ALL_ROLES, EVERYTHING, EVERYTHING, BUDGET, NOW_MS, None, None, None)
MIDNIGHT_MS = NOW_MS - NOW_MS % DAY_MS + DAY_MS


@pytest.mark.parametrize(
    ("patterns", "covered", "not_covered"),
    [
        (("a",), ["a"], ["", "b", "ab", "A", "*"]),
        (("case-*",), ["case-", "case-1", "case-*"], ["case", "Case-1", "xcase-1"]),
        (("*",), ["", "a", "z" * 128], []),
        ((), [], ["", "a"]),
        (("a", "b*"), ["a", "b", "bb"], ["aa", "c"]),
    ],
)
def test_scope_covers(patterns: tuple[str, ...], covered: list[str], not_covered: list[str]) -> None:
    scope = Scope(patterns)
    assert all(map(scope.covers, covered))
    assert not any(map(scope.covers, not_covered))


@pytest.mark.parametrize("pattern", ["", "a b", "**", "*a", "a*b", "A", "ü", "a\n", "a" * 129, "a" * 128 + "*", "a.b"])
def test_scope_refuses(pattern: str) -> None:
    with pytest.raises(InvalidField) as caught:
        Scope((pattern,))
    assert len(pattern) < 3 or pattern not in caught.value.message


def test_trainees_alone_are_told_coarse_scores() -> None:
    for roles in ({Role.TRAINEE}, {Role.TRAINEE, Role.OPERATOR}):
        assert Principal("key:a", frozenset(roles), NOTHING, EVERYTHING, BUDGET).coarse == (len(roles) == 1)


def test_secret_shows_in_no_text() -> None:
    token = new_token(secrets.token_bytes)
    secret = token.text.split(".")[1]
    for text in (repr(token), f"{token}", repr(MadeKey(KEPT, token))):
        assert secret not in text
        assert repr(token.secret) not in text


TEXT = Token("a" * 16, bytes(32)).text


# The last character of the fourth gives the same bytes as A; the letters and digits of two others are of other scripts.
@pytest.mark.parametrize(
    "text", ["", TEXT + "\n", " " + TEXT[1:], TEXT[:-1] + "B", TEXT.upper(), "а" * 16 + TEXT[16:], "١" * 16 + TEXT[16:]]
)
def test_no_token(text: str) -> None:
    assert parse_token(text) is None


def test_secret_hash_is_hmac() -> None:
    """Against RFC 2104 spelt out."""
    token, pepper = Token("k" * 16, bytes(range(32))), bytes(range(64, 96))
    block = pepper.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + b"fr-core api key 1\0" + b"k" * 16 + b"\0" + token.secret)
    assert secret_hash(pepper, token) == hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner.digest()).digest()


def test_refusals_all_sound_alike() -> None:
    said = set()
    for why in Why:
        with pytest.raises(CredentialInvalid) as caught:
            refuse(why, "key:abc")
        said.add((caught.value.message, str(caught.value.metadata)))
        found = refusal_of(caught.value)
        assert found is not None
        assert (found.why, found.principal_id) == (why, "key:abc")
    assert len(said) == 1
    assert refusal_of(CredentialInvalid("x")) is None
    assert isinstance(for_one_caller(caught.value), CredentialInvalid)


def test_clock_set_back_and_forwards() -> None:
    clocks = Clocks()
    time = SureTime(clocks.clock_ms, clocks.monotonic_s)
    clocks.wall_ms -= DAY_MS
    assert time.now_ms(0) == NOW_MS
    clocks.passes(60_000)
    assert time.now_ms(0) == NOW_MS + 60_000  # it goes on
    clocks.passes(HOUR_MS)
    assert time.now_ms(0) == clocks.wall_ms  # and the clock is taken to be right after an hour
    assert time.now_ms(NOW_MS) == NOW_MS  # but what was kept stays
    clocks.wall_ms += DAY_MS
    time.sure_ms()
    clocks.passes(HOUR_MS)
    assert time.sure_ms() == clocks.wall_ms


def fresh(max_principals: int = 1_000) -> tuple[Clocks, Budgets]:
    clocks = Clocks()
    return clocks, Budgets(clocks.monotonic_s, clocks.clock_ms, max_principals)


def taken(counted: Budgets, budget: Budget, who: str = "key:a", of: str = "spend") -> int:
    """How many calls, or searches, are let through at once."""
    for calls in range(10_000):
        try:
            getattr(counted, of)(who, budget)
        except (RateLimited, QuotaExceeded):
            return calls
    raise AssertionError("there is no limit")


searched = partial(taken, of="search")


def test_burst_then_rate() -> None:
    clocks, counted = fresh()
    assert taken(counted, BUDGET) == 20
    clocks.wall_ms += 100 * DAY_MS  # the monotonic clock stands
    assert taken(counted, BUDGET) == 0
    clocks.passes(500)
    assert taken(counted, BUDGET) == 5
    clocks.passes(DAY_MS)
    assert taken(counted, BUDGET) == 20
    assert taken(counted, BUDGET, "key:b") == 20
    counted.spend("key:c", BUDGET)
    assert taken(counted, Budget(1.0, 2, None), "key:c") == 2  # a smaller budget counts at once
    assert Budget(1.0, 30, None).at_most(Budget(2.0, 20, 0)) == Budget(1.0, 20, 0)


def test_retry_after_is_enough_and_not_too_much() -> None:
    clocks, counted = fresh()
    taken(counted, BUDGET)
    with pytest.raises(RateLimited) as caught:
        counted.spend("key:a", BUDGET)
    wait_ms = round(float(caught.value.metadata["retry_after_s"]) * 1000)
    assert 99 <= wait_ms <= 101
    clocks.passes(wait_ms - 5)
    with pytest.raises(RateLimited):
        counted.spend("key:a", BUDGET)
    clocks.passes(5)
    counted.spend("key:a", BUDGET)


def test_searches_of_a_day() -> None:
    clocks, counted = fresh()
    assert searched(counted, BUDGET) == 100
    with pytest.raises(QuotaExceeded) as caught:
        counted.search("key:a", BUDGET)
    assert abs(float(caught.value.metadata["retry_after_s"]) - (MIDNIGHT_MS - NOW_MS) / 1000) < 0.01
    assert searched(counted, Budget(1.0, 1, 0), "key:b") == 0
    clocks.passes(MIDNIGHT_MS - NOW_MS - 1)
    assert searched(counted, BUDGET) == 0
    clocks.passes(1)
    for _ in range(5):
        assert searched(counted, BUDGET) == 100
        clocks.passes(DAY_MS)


def test_searches_left_are_told_and_not_counted() -> None:
    clocks, counted = fresh()
    assert counted.searches_left("key:a", BUDGET) == 100
    assert len(counted) == 0, "who asks for what is left is not kept"
    for _ in range(3):
        counted.search("key:a", BUDGET)
    assert [counted.searches_left("key:a", BUDGET) for _ in range(2)] == [97, 97]
    assert counted.searches_left("key:b", BUDGET) == 100
    assert counted.searches_left("key:a", Budget(1.0, 1, 2)) == 0, "it was more before"
    assert counted.searches_left("key:a", Budget(1.0, 1, None)) is None
    clocks.passes(MIDNIGHT_MS - NOW_MS)
    assert counted.searches_left("key:a", BUDGET) == 100


def test_idle_principals_are_forgotten() -> None:
    clocks, counted = fresh()
    for number in range(500):
        counted.spend(f"key:{number}", BUDGET)
    assert len(counted) == 500
    clocks.passes(10_000)
    for _ in range(500):
        counted.spend("key:a", BUDGET)
        clocks.passes(100)
    assert len(counted) == 1


def test_who_has_searched_today_is_not_idle() -> None:
    clocks, counted = fresh()
    assert searched(counted, BUDGET) == 100
    clocks.passes(HOUR_MS)
    for number in range(500):
        counted.spend(f"key:{number}", BUDGET)
        clocks.passes(1_000)
    assert searched(counted, BUDGET) == 0


def test_memory_is_bounded() -> None:
    _, counted = fresh(max_principals=50)
    for number in range(1_000):
        counted.search(f"key:{number}", BUDGET)
    assert len(counted) == 50
    assert searched(counted, BUDGET, "key:999") == 99  # those who called last are remembered


def test_threads_get_no_more_than_one() -> None:
    _, counted = fresh()
    budget = Budget(1.0, 2_000, 2_000)
    begin = threading.Barrier(8)

    def work(_: int) -> int:
        begin.wait()
        passed = 0
        for _ in range(500):
            try:
                counted.spend("key:a", budget)
                counted.search("key:a", budget)
                passed += 1
            except RateLimited:
                pass
        return passed

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 2_000
