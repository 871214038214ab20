"""The audit's tables: what is appended is there, in order, whatever the clock, other processes and rollbacks do."""

from __future__ import annotations

import multiprocessing
import random
from pathlib import Path

import apsw
import pytest

from fr_core.errors import StoreCorrupt
from fr_core.storage.audit.chain import first_hash, next_hash
from fr_core.storage.audit.values import Entry
from fr_core.storage.audit.verify import Verified, verify
from fr_core.storage.vault import DataKey
from support.audits import DAY_MS, START_MS, Audited, an_entry, append_in_turns, keys_of

RNG = random.Random(0)


def test_a_new_chain_is_empty_and_signed() -> None:
    audited = Audited().created()
    head = audited.table.head()
    assert (head.seq, head.at_ms, head.hash) == (0, 0, first_hash(head.chain_id))
    assert audited.table.records(0, 10) == []
    checkpoint = audited.table.checkpoint()
    assert (checkpoint.seq, checkpoint.is_signed_by(audited.table.public_key())) == (0, True)
    assert verify(audited.table, [checkpoint]) == Verified(head.chain_id, 0, 0, 1)


def test_chains_have_ids_and_keys_of_their_own() -> None:
    one, two = Audited().created(), Audited().created()
    assert one.table.head().chain_id != two.table.head().chain_id
    assert one.table.public_pem() != two.table.public_pem()
    assert one.table.pseudonyms().case("x") != two.table.pseudonyms().case("x")


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


def test_neither_key_lies_in_the_database(tmp_path: Path) -> None:
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


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    Audited(path).created().fill(2)
    stranger = Audited(path, secret=2)
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
    audited.connection.execute("ROLLBACK")
    assert audited.append(an_entry(RNG)) == 4
    assert isinstance(verify(audited.table), Verified)
    assert audited.table.head().seq == 4


def test_an_entry_that_cannot_be_made_leaves_the_chain_to_the_transaction() -> None:
    audited = Audited().created().fill(1)

    def entries() -> object:
        yield an_entry(RNG)
        yield Entry("Ada Lovelace", "gallery.search", "OK")

    audited.connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(ValueError):
        audited.table.append(entries())  # type: ignore[arg-type]
    audited.connection.execute("ROLLBACK")
    assert audited.append(an_entry(RNG)) == 2
    assert isinstance(verify(audited.table), Verified)


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


def test_a_row_in_the_place_of_the_next_is_noticed() -> None:
    audited = Audited().created().fill(2)
    audited.sql("INSERT INTO audit SELECT 3, body, hash, mac FROM audit WHERE seq = 2")
    with pytest.raises(apsw.ConstraintError):
        audited.append(an_entry(RNG))
