"""The audit's tables, their exports and searches: what is appended is there, in order, and is found again."""

import json
import multiprocessing
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fr_core.errors import InvalidField, StoreCorrupt
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import GalleryUpdate
from fr_core.storage.audit.attribution import Attribution, attributed
from fr_core.storage.audit.chain import first_hash, next_hash
from fr_core.storage.audit.checkpoints import read_public_key
from fr_core.storage.audit.values import Entry, Pseudonym
from fr_core.storage.audit.verify import Broken, Verified, Why, verify
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.vault import DataKey
from fr_core.types import ModelId
from fr_server.storage import audits
from fr_server.storage.audits import audit_of
from fr_server.storage.calls import AuditCalls
from fr_trust.audit.export import export, verify_export
from fr_trust.audit.search import Filter, search
from support.audits import DAY_MS, START_MS, Audited, Clock, an_entry, append_in_turns, keys_of

RNG = random.Random(0)


def test_a_new_chain_is_empty_signed_and_of_its_own_keys() -> None:
    audited = Audited().created()
    head = audited.table.head()
    assert (head.seq, head.at_ms, head.hash) == (0, 0, first_hash(head.chain_id))
    assert audited.table.records(0, 10) == []
    checkpoint = audited.table.checkpoint()
    assert (checkpoint.seq, checkpoint.is_signed_by(audited.table.public_key())) == (0, True)
    assert verify(audited.table, [checkpoint]) == Verified(head.chain_id, 0, 0, 1)
    other = Audited().created().table
    assert other.head().chain_id != head.chain_id
    assert other.public_pem() != audited.table.public_pem()
    assert other.pseudonyms().case("x") != audited.table.pseudonyms().case("x")


def test_records_come_back_in_order_with_their_hashes() -> None:
    audited = Audited().created()
    said = [an_entry(RNG, number) for number in range(5)]
    assert audited.append(*said[:3]) == 3
    assert audited.append() == 3
    assert audited.append(*said[3:]) == 5
    kept = audited.table.records(0, 10)
    assert [one.record.seq for one in kept] == [1, 2, 3, 4, 5]
    assert [one.record.request_id for one in kept] == [one.request_id for one in said]
    hash_ = first_hash(audited.table.head().chain_id)
    for one in kept:
        hash_ = next_hash(audited.table.head().chain_id, hash_, one.body)
        assert one.hash == hash_
    assert audited.table.head().hash == hash_ == audited.table.hash_of(5)
    assert [one.record.seq for one in audited.table.records(2, 2)] == [3, 4]
    assert audited.table.records(9, 2) == []


def test_neither_key_lies_in_the_database_and_another_opens_nothing(tmp_path: Path) -> None:
    audited = Audited(str(tmp_path / "a.db")).created()
    head = audited.table.head()
    keys, other = (DataKey(keys_of(secret).derived("audit seal")) for secret in (1, 2))
    for purpose, sealed in (
        (f"audit signing key {head.chain_id}", head.sealed_signing_key),
        (f"audit pseudonym key {head.chain_id}", head.sealed_pseudonym_key),
    ):
        bound = purpose.encode()
        assert keys.open(sealed, bound, "key") not in (tmp_path / "a.db").read_bytes()
        for key, data, bound_to in ((keys, sealed, b"audit"), (other, sealed, bound), (keys, sealed[:8], bound)):
            with pytest.raises(StoreCorrupt):
                key.open(data, bound_to, "key")
    stranger = Audited(str(tmp_path / "a.db"), secret=2)
    for call in (stranger.table.head, lambda: stranger.append(an_entry(RNG))):
        with pytest.raises(StoreCorrupt):
            call()


def test_what_is_rolled_back_is_not_there_and_the_chain_goes_on() -> None:
    audited = Audited().created().fill(2)
    audited.connection.execute("BEGIN IMMEDIATE; SAVEPOINT item")
    assert audited.table.append([an_entry(RNG)]) == 3
    audited.connection.execute("ROLLBACK TO item; RELEASE item; SAVEPOINT item")
    assert audited.table.append([an_entry(RNG)]) == 3
    audited.connection.execute("RELEASE item; COMMIT; BEGIN IMMEDIATE")
    assert audited.table.append([an_entry(RNG), an_entry(RNG)]) == 5
    audited.connection.execute("ROLLBACK; BEGIN IMMEDIATE")

    def entries() -> Iterator[Entry]:
        yield an_entry(RNG)
        yield Entry("Ada Lovelace", "gallery.search", "OK")

    with pytest.raises(ValueError):
        audited.table.append(entries())
    audited.connection.execute("ROLLBACK")
    assert audited.append(an_entry(RNG)) == 4
    assert isinstance(verify(audited.table), Verified)
    assert audited.table.head().seq == 4


@pytest.mark.parametrize("step_ms", [-DAY_MS, DAY_MS])
def test_the_order_stays_right_when_the_clock_steps_by_a_day_and_back(step_ms: int) -> None:
    audited = Audited().created()
    for step in (0, step_ms, 1_000, -step_ms, 1_000, 3 * DAY_MS):
        audited.clock.ms += step
        audited.append(an_entry(RNG))
    records = [kept.record for kept in audited.table.records(0, 10)]
    assert records == sorted(records, key=lambda record: record.at_ms)
    told = [record.at_ms if record.clock_ms is None else record.clock_ms for record in records]
    after_ms = [0, step_ms, step_ms + 1_000, 1_000, 2_000, 3 * DAY_MS + 2_000]
    assert [one - START_MS for one in told] == after_ms
    assert records[-1].clock_ms is None
    assert sum(record.clock_ms is not None for record in records) == 2
    assert isinstance(verify(audited.table), Verified)


def test_several_processes_append_to_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    audited = Audited(str(path)).created()
    audited.connection.execute("PRAGMA journal_mode = WAL")
    spawning = multiprocessing.get_context("spawn")
    processes = [spawning.Process(target=append_in_turns, args=(path, 60, seed)) for seed in range(3)]
    for process in processes:
        process.start()
    audited.fill(60)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert verify(audited.table) == Verified(audited.table.head().chain_id, 240, 240, 0)


def test_an_altered_row_is_not_returned_and_an_altered_head_takes_nothing() -> None:
    for change in (
        "UPDATE audit SET body = CAST('{}' AS BLOB) WHERE seq = 3",
        "UPDATE audit SET hash = zeroblob(32) WHERE seq = 3",
        "UPDATE audit SET mac = zeroblob(16) WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 2",
        "DELETE FROM audit WHERE seq >= 3",
    ):
        audited = Audited().created().fill(5)
        audited.sql(change)
        with pytest.raises(StoreCorrupt):
            audited.table.records(0, 5)
    for change in (
        "UPDATE audit_head SET seq = 4",
        "UPDATE audit_head SET public_key = zeroblob(32)",
        "UPDATE audit_head SET at_ms = 0",
        "DELETE FROM audit_head",
    ):
        audited = Audited().created().fill(5)
        audited.sql(change)
        with pytest.raises(StoreCorrupt):
            audited.append(an_entry(RNG))
    audited = Audited().created().fill(2)
    audited.sql("INSERT INTO audit SELECT 3, body, hash, mac FROM audit WHERE seq = 2")
    with pytest.raises(apsw.ConstraintError):
        audited.append(an_entry(RNG))


RECORDS = 12


def an_export(after: int = 0) -> tuple[Audited, list[bytes]]:
    audited = Audited().created().fill(RECORDS)
    return audited, list(export(audited.table, after))


def test_lines_are_json_with_the_records_as_they_were_hashed() -> None:
    audited, lines = an_export()
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    first, *records, last = map(json.loads, lines)
    head = audited.table.head()
    assert first == {"v": 1, "chain_id": head.chain_id, "after": 0, "hash": audited.table.hash_of(0).hex()}
    assert [said["record"]["seq"] for said in records] == list(range(1, RECORDS + 1))
    for line, kept in zip(lines[1:-1], audited.table.records(0, RECORDS), strict=True):
        assert kept.body in line
        assert kept.hash.hex().encode() in line
    assert last["checkpoint"]["hash"] == head.hash.hex()


@pytest.mark.parametrize("after", [0, 1, RECORDS - 1, RECORDS])
def test_an_export_verifies_with_the_public_key_alone(after: int) -> None:
    audited, lines = an_export(after)
    key = read_public_key(audited.table.public_pem())
    expected = Verified(audited.table.head().chain_id, RECORDS - after, RECORDS, 1)
    assert verify_export(lines, key) == expected
    assert verify_export([line.rstrip(b"\n") for line in lines], key) == expected


@pytest.mark.parametrize("after", [0, 3])
def test_records_can_be_withheld_and_are_counted_apart(after: int) -> None:
    audited, whole = an_export(after)
    lines = list(export(audited.table, after, lambda record: record.seq % 3 == 0))
    key = audited.table.public_key()
    shown = [seq for seq in range(after + 1, RECORDS + 1) if seq % 3 == 0]
    assert [json.loads(line)["record"]["seq"] for line in lines[1:-1] if b"record" in line] == shown
    found = verify_export(lines, key, may_withhold=True)
    assert found == Verified(
        audited.table.head().chain_id, len(shown), RECORDS, 1, withheld=RECORDS - after - len(shown)
    )
    assert verify_export(whole, key, may_withhold=True) == verify_export(whole, key)
    # An export that is to be whole cannot leave anything out.
    assert verify_export(lines, key) == Broken(after + 1, Why.MALFORMED)


@pytest.mark.parametrize("name", [b"body_sha256", b"hash"])
def test_a_withheld_record_changed_taken_out_or_put_in_is_told(name: bytes) -> None:
    audited, _ = an_export()
    key, lines = audited.table.public_key(), list(export(audited.table, 0, lambda record: record.seq != 5))
    changed = re.sub(name + rb'":"([0-9a-f])', lambda found: found[0][:-1] + b"%x" % (int(found[1], 16) ^ 1), lines[5])
    assert changed != lines[5]
    for others, seq in (
        ([*lines[:5], changed, *lines[6:]], 5),
        ([*lines[:5], lines[5], *lines[5:]], 6),
        ([*lines[:6], lines[5].replace(b'"hash', b'"Hash'), *lines[6:]], 6),
        ([*lines[:5], *lines[6:]], 5),
    ):
        found = verify_export(others, key, may_withhold=True)
        assert isinstance(found, Broken)
        assert found.seq == seq


def test_kept_checkpoints_are_checked() -> None:
    audited = Audited().created().fill(3)
    early = audited.table.checkpoint()
    audited.fill(3)
    late, lines, key = audited.table.checkpoint(), list(export(audited.table, 4)), audited.table.public_key()
    assert verify_export(lines, key, [late, early]) == Verified(early.chain_id, 2, 6, 2, unchecked=1)
    audited.fill(1)
    assert verify_export(lines, key, [audited.table.checkpoint()]) == Broken(7, Why.TRUNCATED)
    other = Audited().created().fill(6)
    assert verify_export(lines, key, [other.table.checkpoint()]) == Broken(6, Why.OTHER_KEY)


def test_exports_after_the_last_record_and_of_damaged_chains_are_refused() -> None:
    audited, _ = an_export()
    for after in (-1, RECORDS + 1):
        with pytest.raises(InvalidField):
            list(export(audited.table, after))
    audited.sql("UPDATE audit SET mac = zeroblob(16) WHERE seq = 5")
    with pytest.raises(StoreCorrupt):
        list(export(audited.table))


def changed(lines: list[bytes], place: int, old: bytes, new: bytes) -> list[bytes]:
    return [*lines[:place], lines[place].replace(old, new), *lines[place + 1 :]]


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (lambda lines: changed(lines, 5, b'"v":1', b'"v":2'), Broken(5, Why.EDITED)),
        (lambda lines: changed(lines, 5, b'"request-4"', b'"request-5"'), Broken(5, Why.EDITED)),
        (lambda lines: [*lines[:5], *lines[6:]], Broken(5, Why.MISSING)),
        (lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]], Broken(5, Why.MISSING)),
        (lambda lines: [*lines[:5], lines[4], *lines[5:]], Broken(5, Why.OUT_OF_ORDER)),
        (lambda lines: [*lines[:5], b"{}\n", *lines[5:]], Broken(5, Why.MALFORMED)),
        (lambda lines: lines[:5], Broken(5, Why.TRUNCATED)),
        (lambda lines: [*lines[:5], lines[-1]], Broken(5, Why.TRUNCATED)),
        (lambda lines: [*lines, lines[-1]], Broken(RECORDS + 1, Why.INSERTED)),
        (lambda lines: lines[1:], Broken(0, Why.MALFORMED)),
        (lambda lines: [], Broken(0, Why.MALFORMED)),
        (lambda lines: changed(lines, 0, b'"after":0', b'"after":1'), Broken(2, Why.OUT_OF_ORDER)),
        (lambda lines: [re.sub(rb"[0-9a-f]{64}", b"0" * 64, lines[0]), *lines[1:]], Broken(0, Why.EDITED)),
        (lambda lines: [*lines[:-1], lines[-1].replace(b'"seq":12', b'"seq":11')], Broken(11, Why.CHECKPOINT_FORGED)),
        (lambda lines: [*lines[:-1], b'{"checkpoint":{}}'], Broken(RECORDS, Why.CHECKPOINT_FORGED)),
    ],
)
def test_what_was_done_to_an_export_is_told(change: Callable[[list[bytes]], list[bytes]], broken: Broken) -> None:
    audited, lines = an_export()
    assert verify_export(change(lines), audited.table.public_key()) == broken


def test_records_after_the_checkpoint_and_another_key_are_told() -> None:
    audited, lines = an_export()
    audited.append(an_entry(random.Random(1)))
    longer = list(export(audited.table))
    assert verify_export([*longer[:-1], lines[-1]], audited.table.public_key()) == Broken(13, Why.INSERTED)
    assert verify_export(lines, Ed25519PrivateKey.generate().public_key()) == Broken(RECORDS, Why.OTHER_KEY)


@pytest.fixture(scope="module")
def grown() -> Audited:
    return Audited().created().fill(300)


def found_by(audited: Audited, wanted: Filter, limit: int) -> list[int]:
    after: int | None = 0
    seqs: list[int] = []
    while after is not None:
        page = search(audited.table, wanted, after, limit)
        assert len(page.records) <= limit
        seqs.extend(kept.record.seq for kept in page.records)
        after = page.after
    return seqs


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(),
        *(Filter(actor=actor) for actor in ("system", "syste", "key:0000000000000002", '"')),
        *(Filter(action=action) for action in ("gallery.search", "gallery.*", "gallery.e*", "gallery.e", "*")),
        Filter(outcome="NO_FACE"),
        *(Filter(gallery=gallery) for gallery in ("staff", "index")),
        Filter(subject=(Pseudonym(f"{3:016x}"),)),
        Filter(case=(Pseudonym(f"{1:016x}"),)),
        *(Filter(request_id=request_id) for request_id in ("request-17", "nothing")),
        *(Filter(since_ms=START_MS + after_ms) for after_ms in (200_000, DAY_MS)),
        *(Filter(until_ms=START_MS + after_ms) for after_ms in (0, 200_000)),
        Filter(since_ms=START_MS + 100_000, until_ms=START_MS + 400_000, outcome="OK"),
        Filter(subject=(Pseudonym(f"{2:016x}"),), gallery="visitors", outcome="OK", action="gallery.*"),
    ],
)
@pytest.mark.parametrize("limit", [1, 7, 1_000])
def test_a_filter_finds_exactly_what_fits(grown: Audited, wanted: Filter, limit: int) -> None:
    every = [kept.record for kept in grown.table.every()]
    expected = [record.seq for record in every if wanted.fits(record)]
    assert found_by(grown, wanted, limit) == expected


def test_a_word_in_another_field_is_not_taken_for_it() -> None:
    audited = Audited().created()
    assert search(audited.table, Filter(since_ms=1), 0, 10).after is None
    audited.append(
        Entry("system", "gallery.search", "OK", detail={"actor": "local", "gallery": "staff"}),
        Entry("local", "gallery.search", "OK", gallery="staff"),
    )
    assert found_by(audited, Filter(actor="local"), 10) == [2]
    assert found_by(audited, Filter(gallery="staff"), 1) == [2]


def test_a_span_of_time_holds_while_the_clock_is_set_back() -> None:
    audited = Audited(clock=Clock()).created()
    rng = random.Random(1)
    for step in (0, DAY_MS, -DAY_MS, 10, 2 * DAY_MS):
        audited.clock.ms += step
        audited.append(an_entry(rng))
    assert found_by(audited, Filter(since_ms=START_MS + 1), 2) == [2, 3, 4, 5]
    assert found_by(audited, Filter(until_ms=START_MS + DAY_MS + 1), 2) == [1, 2, 3, 4]
    assert found_by(audited, Filter(since_ms=START_MS + DAY_MS, until_ms=START_MS + DAY_MS + 1), 2) == [2, 3, 4]


def test_a_record_that_was_altered_is_not_returned() -> None:
    audited = Audited().created()
    rng = random.Random(2)
    audited.append(*(replace(an_entry(rng), actor="local") for _ in range(3)))
    audited.sql("UPDATE audit SET body = CAST(replace(body, 'local', 'loca') AS BLOB) WHERE seq = 2")
    assert found_by(audited, Filter(actor="system"), 2) == []
    with pytest.raises(StoreCorrupt):
        search(audited.table, Filter(actor="loca"), 0, 10)
    audited.sql("DELETE FROM audit WHERE seq = 2")
    with pytest.raises(StoreCorrupt):  # the next one's hash holds that of the record before
        search(audited.table, Filter(actor="local"), 0, 10)


KEY = KeyEncryptionKey(bytes(range(32)))
MODEL = ModelId("null", "1", "0" * 64)
CHANGES = 8


@pytest.fixture
def galleries(tmp_path: Path) -> Iterator[Galleries]:
    with Galleries.open(tmp_path / "data", key=KEY, index="numpy") as opened:
        with attributed(Attribution("key:k1")):
            opened.create("g", "", MODEL, 4)
        for number in range(CHANGES - 1):
            opened.update("g", GalleryUpdate(f"{number}"))
        yield opened


@pytest.fixture
def audit(galleries: Galleries) -> AuditCalls:
    return audit_of(galleries)


def exported(audit: AuditCalls, after: int) -> Iterator[bytes]:
    part = audit.audit_export(after, False)
    yield part.data
    while part.after is not None:
        part = audit.audit_export(part.after, True)
        yield part.data


@pytest.mark.parametrize("step", [1, 3, 4, 7, 8, 9, 1_000])
@pytest.mark.parametrize("after", [0, 3, CHANGES])
def test_an_export_in_steps_is_whole(audit: AuditCalls, monkeypatch: pytest.MonkeyPatch, step: int, after: int) -> None:
    monkeypatch.setattr(audits, "_STEP", step)
    key = read_public_key(audit.audit_public_key())
    lines = b"".join(exported(audit, after)).splitlines(keepends=True)
    assert len(lines) == 2 + CHANGES - after
    assert verify_export(lines, key) == Verified(audit.audit_checkpoint().chain_id, CHANGES - after, CHANGES, 1)


def test_records_made_during_an_export_are_in_it(
    galleries: Galleries, audit: AuditCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audits, "_STEP", 3)
    parts = exported(audit, 0)
    begun = next(parts)
    galleries.update("g", GalleryUpdate("meanwhile"))
    lines = (begun + b"".join(parts)).splitlines()
    found = verify_export(lines, read_public_key(audit.audit_public_key()))
    assert found == Verified(audit.audit_checkpoint().chain_id, CHANGES + 1, CHANGES + 1, 1)
    assert isinstance(verify_export(lines[:-2] + lines[-1:], read_public_key(audit.audit_public_key())), Broken)
