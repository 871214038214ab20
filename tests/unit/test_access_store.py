"""Access: keys and their store, scopes, budgets and clocks; the audit has it all, and strangers fill no disk."""

import asyncio
import contextlib
import hashlib
import os
import secrets
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from fr_core.errors import InvalidField, ShuttingDown, StorageLow, for_one_caller
from fr_core.storage.audit.attribution import Attribution, attributed
from fr_core.storage.audit.values import Entry, Record
from fr_core.storage.location import Location
from fr_server.authz.access_audit import GatewayAudit, Journal
from fr_server.authz.record import NOBODY, UNRECORDED, Ended, Refusals
from fr_server.telemetry.trust import HandshakeFailure, Trust
from fr_trust.access.budget import Budget
from fr_trust.access.budgets import Budgets
from fr_trust.access.keys import MAX_OVERLAP_MS, ApiKey, MadeKey, Token, new_token, parse_token, secret_hash
from fr_trust.access.principal import ALL_ROLES, EVERYTHING, NOTHING, Principal, Role, Scope
from fr_trust.access.refusals import Why, refusal_of, refuse
from fr_trust.access.store import AccessStore
from fr_trust.access.trusted_clock import SureTime
from fr_trust.errors import CredentialInvalid, QuotaExceeded, RateLimited, TooManyKeys, UnknownKey
from support.access import BUDGET, DAY_MS, HOUR_MS, KEY, NOW_MS, Clocks, new_key, open_store, refusal, why

CERTIFICATE, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def store(location: Location, clocks: Clocks) -> Iterator[AccessStore]:
    with open_store(location, clocks) as opened:
        yield opened


def test_what_is_refused_and_why(store: AccessStore, clocks: Clocks) -> None:
    made, second = store.create(new_key(lifetime_ms=DAY_MS)), store.create(new_key())
    bound = store.create(new_key(certificate=CERTIFICATE))
    assert why(store, "") == Why.UNREADABLE
    unknown = refusal(store, Token("z" * 16, second.token.secret).text)
    assert (unknown.why, unknown.principal_id) == (Why.UNKNOWN, "")
    wrong = refusal(store, Token(made.key.key_id, second.token.secret).text)
    assert (wrong.why, wrong.principal_id) == (Why.WRONG_SECRET, f"key:{made.key.key_id}")
    assert why(store, bound.token.text) == Why.OTHER_CERTIFICATE
    assert why(store, bound.token.text, OTHER) == Why.OTHER_CERTIFICATE
    assert why(store, bound.token.text, "") == Why.OTHER_CERTIFICATE
    assert store.check(bound.token.text, CERTIFICATE) == bound.key
    clocks.passes(DAY_MS - 1)
    store.check(made.token.text, None)
    clocks.passes(1)
    assert why(store, made.token.text) == Why.EXPIRED
    store.check(second.token.text, None)
    store.revoke(second.key.key_id)
    assert why(store, second.token.text) == Why.REVOKED


def test_no_secret_is_no_secret(store: AccessStore) -> None:
    """The key that stands in for an unknown one, and the absent secret before, cannot be guessed."""
    made = store.create(new_key())
    assert why(store, Token(made.key.key_id, bytes(32)).text) == Why.WRONG_SECRET
    assert why(store, Token("a" * 16, bytes(32)).text) == Why.UNKNOWN


def test_rotation(store: AccessStore, clocks: Clocks) -> None:
    first = store.create(new_key())
    second = store.rotate(first.key.key_id, HOUR_MS)
    assert (second.key, second.token == first.token) == (first.key, False)
    store.check(second.token.text, None)
    clocks.passes(HOUR_MS - 1)
    store.check(first.token.text, None)
    clocks.passes(1)
    assert why(store, first.token.text) == Why.ROTATED
    store.check(second.token.text, None)
    third = store.rotate(first.key.key_id, HOUR_MS)
    assert why(store, first.token.text) == Why.WRONG_SECRET  # only one before is remembered
    fourth = store.rotate(first.key.key_id, 0)
    for old in (first, second, third):
        assert why(store, old.token.text) == Why.WRONG_SECRET
    store.check(fourth.token.text, None)


def test_rotation_makes_nothing_valid_again_and_overlaps_have_an_end(store: AccessStore, clocks: Clocks) -> None:
    good, revoked, over = (store.create(new_key(lifetime_ms=ms)) for ms in (None, None, DAY_MS))
    store.revoke(revoked.key.key_id)
    clocks.passes(DAY_MS)
    for made, overlap_ms in ((revoked, 0), (over, 0), (good, -1), (good, MAX_OVERLAP_MS + 1)):
        with pytest.raises(InvalidField):
            store.rotate(made.key.key_id, overlap_ms)


def test_pages_the_newest_first(store: AccessStore, clocks: Clocks) -> None:
    made = []
    for _ in range(7):
        made.append(store.create(new_key()).key)
        clocks.wall_ms -= HOUR_MS  # whatever the clock says
    store.revoke(made[3].key_id)
    pages: list[Sequence[ApiKey]] = []
    while page := store.keys(pages[-1][-1].number if pages else None, 3):
        pages.append(page)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [key.key_id for page in pages for key in page] == [key.key_id for key in reversed(made)]
    assert store.keys(size=100)[3].revoked_ms is not None


def test_the_oldest_dead_key_makes_room(location: Location, clocks: Clocks) -> None:
    with open_store(location, clocks, max_keys=3) as store, open_store(location, clocks) as other:
        first, second, third = (store.create(new_key(lifetime_ms=DAY_MS)) for _ in range(3))
        with pytest.raises(TooManyKeys):
            store.create(new_key())
        store.revoke(second.key.key_id)
        fourth = store.create(new_key())
        for each in (store, other):
            listed = each.keys()
            assert [key.key_id for key in listed] == [key.key.key_id for key in (fourth, third, first)]
            assert why(each, second.token.text) == Why.UNKNOWN
        with pytest.raises(TooManyKeys):
            store.create(new_key())
        clocks.passes(DAY_MS)
        store.create(new_key())
        assert why(store, first.token.text) == Why.UNKNOWN
        assert why(store, third.token.text) == Why.EXPIRED
    with open_store(location, clocks) as store:
        assert len(store.keys()) == 3


def test_a_server_that_asks_for_keys_asks_for_ever(location: Location, clocks: Clocks) -> None:
    with open_store(location, clocks) as store:
        store.forget_time_seen()
        assert not store.any_keys()
        store.revoke(store.create(new_key()).key.key_id)
    with open_store(location, clocks) as store:
        assert store.any_keys()


def settled(store: AccessStore, token: str) -> None:
    """Check, and wait until what that writes is durable."""
    store.check(token, None)
    store.record([]).result()


def test_a_clock_set_back_makes_nothing_valid_again(location: Location, clocks: Clocks) -> None:
    with open_store(location, clocks) as store:
        short, long = store.create(new_key(lifetime_ms=DAY_MS)), store.create(new_key())
        clocks.passes(DAY_MS)
        settled(store, long.token.text)
        assert why(store, short.token.text) == Why.EXPIRED
        clocks.wall_ms -= DAY_MS
        assert why(store, short.token.text) == Why.EXPIRED
    for _ in range(2):
        with open_store(location, clocks) as store:  # the mark is what another process kept
            assert why(store, short.token.text) == Why.EXPIRED
            assert store.create(new_key()).key.created_ms >= NOW_MS + DAY_MS
            clocks.passes(2 * HOUR_MS)
            assert why(store, short.token.text) == Why.EXPIRED


def test_a_clock_ahead_for_a_while_leaves_nothing(location: Location, clocks: Clocks) -> None:
    with open_store(location, clocks) as store:
        made, long = store.create(new_key(lifetime_ms=DAY_MS)), store.create(new_key())
        clocks.wall_ms += 1_000 * DAY_MS
        assert why(store, made.token.text) == Why.EXPIRED
        settled(store, long.token.text)
        store.create(new_key())
        clocks.wall_ms -= 1_000 * DAY_MS
        store.check(made.token.text, None)
    with open_store(location, clocks) as store:
        store.check(made.token.text, None)


def test_the_way_back_from_a_time_of_the_future(location: Location, clocks: Clocks) -> None:
    with open_store(location, clocks) as store:
        made, long = store.create(new_key(lifetime_ms=DAY_MS)), store.create(new_key())
    ahead = Clocks(NOW_MS + 1_000 * DAY_MS)
    with open_store(location, ahead) as store:
        settled(store, long.token.text)
    with open_store(location, clocks) as store:
        assert why(store, made.token.text) == Why.EXPIRED
        assert store.now_ms() == ahead.wall_ms
        store.forget_time_seen()
        store.check(made.token.text, None)
        assert store.now_ms() == NOW_MS
        with store.auditing() as audit:
            assert list(audit.every())[-1].record.action == "access.forget_time"
    with open_store(location, clocks) as store:
        store.check(made.token.text, None)


def test_changes_are_recorded_with_who_made_them(store: AccessStore) -> None:
    with attributed(Attribution("key:abcdefgh", ("admin",), "r-1")):
        made = store.create(new_key(Role.ADMIN, Role.AUDITOR, label="a name of somebody"))
        store.rotate(made.key.key_id, HOUR_MS)
        store.revoke(made.key.key_id)
        store.revoke(made.key.key_id)
    with pytest.raises(UnknownKey):
        store.revoke("z" * 16)
    with store.auditing() as audit:
        records = [kept.record for kept in audit.every()]
        bodies = b"".join(kept.body for kept in audit.every())
    assert [record.action for record in records] == ["access.create_key", "access.rotate_key", "access.revoke_key"]
    by_whom = {(record.actor, record.roles, record.request_id) for record in records}
    assert by_whom == {("key:abcdefgh", ("admin",), "r-1")}
    assert [record.detail["version"] for record in records] == ["1", "2", "3"]
    assert records[0].detail["granted"] == "admin,auditor"
    assert {record.detail["key"] for record in records} == {made.key.key_id}
    assert b"somebody" not in bodies
    assert made.token.text.split(".")[1].encode() not in bodies


def test_closed(location: Location) -> None:
    store = open_store(location)
    made = store.create(new_key())
    store.close()
    store.close()
    for call in (lambda: store.check(made.token.text, None), lambda: store.create(new_key()), lambda: store.record([])):
        with pytest.raises(ShuttingDown):
            call()


def test_time_tells_nothing(store: AccessStore, clocks: Clocks) -> None:
    made, over, revoked = store.create(new_key()), store.create(new_key(lifetime_ms=1)), store.create(new_key())
    store.revoke(revoked.key.key_id)
    clocks.passes(1)
    tokens = (Token("z" * 16, made.token.secret), Token(made.key.key_id, over.token.secret), over.token, revoked.token)
    taken: list[list[float]] = [[] for _ in tokens]
    for _ in range(1_500):
        for own, token in zip(taken, tokens, strict=True):
            begun = time.thread_time()
            with contextlib.suppress(CredentialInvalid):
                store.check(token.text, None)
            own.append(time.thread_time() - begun)
    medians_us = [1e6 * statistics.median(own) for own in taken]
    assert max(medians_us) - min(medians_us) < 20


_BLOCK, _BLOCKS = 4_096, 2**21
RESERVE_BYTES = 64 * 2**20
MISSING = Ended(Attribution(actor=NOBODY), "gallery.search", "CREDENTIAL_MISSING")


@dataclass
class Disk:
    """A disk of 8 GiB with no more free than the reserve, at first."""

    free_bytes: int = RESERVE_BYTES

    def statvfs(self, _path: object) -> os.statvfs_result:
        free = self.free_bytes // _BLOCK
        return os.statvfs_result((_BLOCK, _BLOCK, _BLOCKS, free, free, 0, 0, 0, 0, 255))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(os, "statvfs", made.statvfs)
    return made


@pytest.fixture
def full(tmp_path: Path, disk: Disk) -> Iterator[AccessStore]:
    clocks = Clocks()
    with AccessStore.open(tmp_path, KEY, clocks.clock_ms, RESERVE_BYTES, monotonic_s=clocks.monotonic_s) as opened:
        yield opened


def told(full: AccessStore) -> list[Record]:
    full.record([]).result(5)  # those before are durable, too
    with full.auditing() as audit:
        return [kept.record for kept in audit.every()]


def test_a_record_takes_what_is_kept_free_only_where_it_may(full: AccessStore, disk: Disk) -> None:
    entry = Entry("local", "gallery.search", "OK")
    with pytest.raises(StorageLow):
        full.record([entry], may_use_reserve=False).result(5)
    assert full.record([entry]).result(5) == 1
    disk.free_bytes *= 2
    assert full.record([entry], may_use_reserve=False).result(5) == 2


def test_refusals_of_strangers_do_not_take_it(full: AccessStore, disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    async def ends() -> None:
        journal = Journal(full)
        with pytest.raises(StorageLow):
            await journal.record(MISSING)
        await journal.record(Ended(Attribution("key:1"), "gallery.search", "OK"))  # else it would not be answered
        refusals = Refusals(journal, lambda: 0.0)
        for _ in range(3):
            refusals.tell(MISSING)
        await refusals.settled()
        disk.free_bytes *= 2
        refusals.tell(MISSING)
        await refusals.drain()

    asyncio.run(ends())
    assert [(one.actor, dict(one.counts)) for one in told(full)] == [("key:1", {}), (NOBODY, {UNRECORDED: 3})]
    assert caplog.text.count("not recorded but counted") == 3


def test_failed_handshakes_do_not_take_it(full: AccessStore, disk: Disk) -> None:
    journal = GatewayAudit(full, Trust(), lambda: 0.0)
    for _ in range(3):
        journal.handshake_failed("192.0.2.1", HandshakeFailure.OLD_TLS)
    assert told(full) == []
    disk.free_bytes *= 2
    journal.handshake_failed("192.0.2.1", HandshakeFailure.OLD_TLS)
    (one,) = told(full)
    assert dict(one.counts) == {UNRECORDED: 3}


KEPT = ApiKey(1, "a" * 16, "", ALL_ROLES, EVERYTHING, EVERYTHING, BUDGET, NOW_MS, None, None, None)
MIDNIGHT_MS = NOW_MS - NOW_MS % DAY_MS + DAY_MS


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
    for reason in Why:
        with pytest.raises(CredentialInvalid) as caught:
            refuse(reason, "key:abc")
        said.add((caught.value.message, str(caught.value.metadata)))
        found = refusal_of(caught.value)
        assert found is not None
        assert (found.why, found.principal_id) == (reason, "key:abc")
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
    """The number of calls, or searches, that are admitted at once."""
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


def test_more_items_than_the_budget_has_are_on_credit_until_they_are_paid() -> None:
    clocks, counted = fresh()
    counted.spend("key:a", BUDGET)
    counted.spend_more("key:a", BUDGET, 63)  # the burst is 20, at 10 a second
    for again in (partial(counted.spend, "key:a", BUDGET), partial(counted.spend_more, "key:a", BUDGET, 1)):
        with pytest.raises(RateLimited) as caught:
            again()
        assert caught.value.metadata["retry_after_s"] == "4.500"
    clocks.passes(4_490)
    assert taken(counted, BUDGET) == 0
    clocks.passes(10)
    assert taken(counted, BUDGET) == 1


def test_retry_after_is_enough_and_not_too_much() -> None:
    clocks, counted = fresh()
    taken(counted, BUDGET)
    with pytest.raises(RateLimited) as caught:
        counted.spend("key:a", BUDGET)
    wait_ms = round(float(caught.value.metadata["retry_after_s"]) * 1000)
    assert 99 <= wait_ms <= 101
    clocks.passes(wait_ms - 5)
    assert taken(counted, BUDGET) == 0
    clocks.passes(5)
    assert taken(counted, BUDGET) == 1


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


def test_only_idle_principals_are_forgotten_and_memory_is_bounded() -> None:
    clocks, counted = fresh()
    for number in range(500):
        counted.spend(f"key:{number}", BUDGET)
    assert len(counted) == 500
    clocks.passes(10_000)
    for _ in range(500):
        counted.spend("key:a", BUDGET)
        clocks.passes(100)
    assert len(counted) == 1
    assert searched(counted, BUDGET) == 100
    clocks.passes(HOUR_MS)
    for number in range(500):
        counted.spend(f"key:{number}", BUDGET)
        clocks.passes(1_000)
    assert searched(counted, BUDGET) == 0  # who has searched today is not idle
    _, few = fresh(max_principals=50)
    for number in range(1_000):
        few.search(f"key:{number}", BUDGET)
    assert len(few) == 50
    assert searched(few, BUDGET, "key:999") == 99  # those who called last are remembered


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
