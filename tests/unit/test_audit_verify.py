"""Verification: what each kind of tampering is called, and the record that it names."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from fr_core.storage.audit.chain import next_hash
from fr_core.storage.audit.values import encode
from fr_core.storage.audit.verify import Broken, Marks, Verified, Why, verify
from support.audits import Audited, an_entry, keys_of

COPY = "CREATE TEMP TABLE old AS SELECT * FROM audit"


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("UPDATE audit SET body = CAST(replace(body, '\"v\":1', '\"v\":2') AS BLOB) WHERE seq = 5", (5, Why.EDITED)),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 5", (5, Why.EDITED)),
        ("UPDATE audit SET mac = zeroblob(0) WHERE seq = 5", (5, Why.EDITED)),
        ("DELETE FROM audit WHERE seq = 5", (5, Why.MISSING)),
        ("DELETE FROM audit WHERE seq < 5", (1, Why.MISSING)),
        ("DELETE FROM audit WHERE seq = 5; UPDATE audit SET seq = seq - 1 WHERE seq > 5", (5, Why.MISSING)),
        ("DELETE FROM audit WHERE seq = 11; UPDATE audit SET seq = 11 WHERE seq = 12", (11, Why.MISSING)),
        ("UPDATE audit SET seq = 99 WHERE seq = 5", (5, Why.MISSING)),
        ("UPDATE audit SET seq = 0 WHERE seq = 5", (0, Why.PRUNE_ALTERED)),
        ("INSERT INTO audit SELECT -3, body, hash, mac FROM audit WHERE seq = 5", (-3, Why.INSERTED)),
        ("INSERT INTO audit SELECT 13, body, hash, mac FROM audit WHERE seq = 5", (13, Why.INSERTED)),
        (
            f"{COPY}; UPDATE audit SET seq = -seq WHERE seq >= 5; UPDATE audit SET seq = 1 - seq WHERE seq < 0; "
            "INSERT INTO audit SELECT 5, body, hash, mac FROM old WHERE seq = 2",
            (5, Why.INSERTED),
        ),
        (
            "UPDATE audit SET seq = -5 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 6; "
            "UPDATE audit SET seq = 6 WHERE seq = -5",
            (5, Why.OUT_OF_ORDER),
        ),
        (
            "UPDATE audit SET seq = -5 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 9; "
            "UPDATE audit SET seq = 9 WHERE seq = -5",
            (5, Why.OUT_OF_ORDER),
        ),
        (
            f"{COPY}; UPDATE audit SET body = (SELECT body FROM old WHERE seq = 9) WHERE seq = 5",
            (5, Why.OUT_OF_ORDER),
        ),
        ("DELETE FROM audit WHERE seq > 5", (6, Why.TRUNCATED)),
        ("DELETE FROM audit", (1, Why.TRUNCATED)),
        ("UPDATE audit_head SET seq = 5", (0, Why.HEAD_ALTERED)),
        ("UPDATE audit_head SET chain_id = upper(chain_id)", (0, Why.HEAD_ALTERED)),
        ("DELETE FROM audit_head", (0, Why.HEAD_ALTERED)),
    ],
)
def test_each_kind_of_tampering_has_its_word(change: str, broken: tuple[int, Why]) -> None:
    audited = Audited().created().fill(12)
    audited.sql(change)
    assert verify(audited.table) == Broken(*broken)


def head_of(audited: Audited) -> tuple[int | str | bytes, ...]:
    (row,) = audited.rows("SELECT seq, at_ms, hash, mac FROM audit_head")
    return row


PUT_HEAD = "UPDATE audit_head SET seq = ?, at_ms = ?, hash = ?, mac = ?"


def test_an_earlier_head_that_is_put_back_is_told() -> None:
    audited = Audited().created().fill(5)
    earlier, checkpoint = head_of(audited), audited.table.checkpoint()
    audited.fill(4)
    later = audited.table.checkpoint()
    audited.sql(PUT_HEAD, *earlier)
    assert verify(audited.table) == Broken(6, Why.HEAD_ALTERED)
    audited.sql("DELETE FROM audit WHERE seq > 5")
    # A whole earlier state is one that there was; the checkpoint of a later one alone tells.
    assert isinstance(verify(audited.table, [checkpoint]), Verified)
    assert verify(audited.table, [checkpoint, later]) == Broken(6, Why.TRUNCATED)


def test_a_rewrite_with_the_key_is_found_against_a_checkpoint_and_only_so() -> None:
    audited = Audited().created().fill(5)
    start, middle = audited.table.head(), audited.table.checkpoint()
    head = head_of(audited)
    audited.fill(5)
    checkpoint = audited.table.checkpoint()
    audited.sql("DELETE FROM audit WHERE seq > 5")
    audited.sql(PUT_HEAD, *head)
    assert audited.table.head() == start
    audited.fill(5, seed=77)
    assert isinstance(verify(audited.table), Verified)
    assert isinstance(verify(audited.table, [middle]), Verified)
    assert verify(audited.table, [checkpoint, middle]) == Broken(10, Why.REWRITTEN)
    assert verify(audited.table, [checkpoint]) == Broken(10, Why.REWRITTEN)


def test_a_new_chain_in_the_place_of_the_old_is_told() -> None:
    audited = Audited().created().fill(5)
    checkpoint = audited.table.checkpoint()
    fresh = Audited().created().fill(5)
    assert isinstance(verify(fresh.table), Verified)
    assert verify(fresh.table, [checkpoint]) == Broken(5, Why.OTHER_KEY)


def test_a_forged_checkpoint_is_told() -> None:
    audited = Audited().created().fill(5)
    forged = replace(audited.table.checkpoint(), hash="00" * 32)
    assert verify(audited.table, [forged]) == Broken(5, Why.CHECKPOINT_FORGED)


def test_a_checkpoint_of_another_chain_under_the_same_key_is_told() -> None:
    audited = Audited().created().fill(5)
    checkpoint, key = audited.table.checkpoint(), audited.table.public_key()
    assert Marks(checkpoint.chain_id, [checkpoint], key).forged() is None
    assert Marks("0" * 32, [checkpoint], key).forged() == Broken(5, Why.REWRITTEN)


def written_with_the_key(audited: Audited, body: bytes) -> None:
    """What only a defect, or somebody with the key, can write."""
    head = audited.table.head()
    seq, hash_ = head.seq + 1, next_hash(head.chain_id, head.hash, body)
    keys = keys_of(audited.secret)
    audited.sql(
        "INSERT INTO audit VALUES (?, ?, ?, ?)", seq, body, hash_, keys.mac("audit", (head.chain_id, seq, hash_))
    )
    columns = (head.chain_id, seq, head.at_ms, hash_, *head.columns[4:])
    audited.sql(PUT_HEAD, seq, head.at_ms, hash_, keys.mac("audit_head", columns))


def test_what_no_program_writes_is_told_though_it_is_authentic() -> None:
    entry = an_entry(random.Random(0))
    for body, why in (
        (b'{"name":"x"}', Why.MALFORMED),
        (encode(entry, 5, 2**50), Why.OUT_OF_ORDER),
        (encode(entry, 4, 1), Why.OUT_OF_ORDER),
        (encode(entry, 4, 2**50), Why.HEAD_ALTERED),  # the head says another time
    ):
        audited = Audited().created().fill(3)
        written_with_the_key(audited, body)
        assert verify(audited.table) == Broken(4, why)


def test_values_of_other_types_are_told() -> None:
    audited = Audited().created().fill(3)
    audited.sql("CREATE TABLE loose (seq INTEGER PRIMARY KEY, body, hash, mac); INSERT INTO loose SELECT * FROM audit")
    audited.sql("DROP TABLE audit; ALTER TABLE loose RENAME TO audit")
    assert isinstance(verify(audited.table), Verified)
    for column in ("body", "hash", "mac"):
        for value in ("'text'", "1", "1.5", "NULL"):
            audited.sql(f"SAVEPOINT s; UPDATE audit SET {column} = {value} WHERE seq = 2")
            assert verify(audited.table) == Broken(2, Why.MALFORMED)
            audited.sql("ROLLBACK TO s; RELEASE s")
    audited.sql("CREATE TABLE loose (head_no, chain_id, seq, at_ms, hash, a, b, c, mac)")
    audited.sql("INSERT INTO loose SELECT * FROM audit_head; DROP TABLE audit_head")
    audited.sql("ALTER TABLE loose RENAME a TO sealed_signing_key; ALTER TABLE loose RENAME b TO public_key")
    audited.sql("ALTER TABLE loose RENAME c TO sealed_pseudonym_key; ALTER TABLE loose RENAME TO audit_head")
    assert isinstance(verify(audited.table), Verified)
    audited.sql("UPDATE audit_head SET mac = 'text'")
    assert verify(audited.table) == Broken(0, Why.HEAD_ALTERED)
