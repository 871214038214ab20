"""Exports: their lines, and what is found in them without the server."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fr_core.errors import InvalidField, StoreCorrupt
from fr_core.storage.audit.checkpoints import read_public_key
from fr_core.storage.audit.verify import Broken, Verified, Why
from fr_trust.audit.export import export, verify_export
from support.audits import Audited, an_entry

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


def test_checkpoints_kept_elsewhere_are_checked_too() -> None:
    audited = Audited().created().fill(3)
    early = audited.table.checkpoint()
    audited.fill(3)
    late, lines, key = audited.table.checkpoint(), list(export(audited.table, 4)), audited.table.public_key()
    assert verify_export(lines, key, [late, early]) == Verified(early.chain_id, 2, 6, 2, unchecked=1)
    audited.fill(1)
    assert verify_export(lines, key, [audited.table.checkpoint()]) == Broken(7, Why.TRUNCATED)
    other = Audited().created().fill(6)
    assert verify_export(lines, key, [other.table.checkpoint()]) == Broken(6, Why.OTHER_KEY)


def test_there_is_nothing_after_the_last_record() -> None:
    audited, _ = an_export()
    for after in (-1, RECORDS + 1):
        with pytest.raises(InvalidField):
            list(export(audited.table, after))


def test_a_damaged_chain_is_not_exported() -> None:
    audited, _ = an_export()
    audited.sql("UPDATE audit SET mac = zeroblob(16) WHERE seq = 5")
    with pytest.raises(StoreCorrupt):
        list(export(audited.table))


def edited(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], lines[5].replace(b'"v":1', b'"v":2'), *lines[6:]]


def edited_well(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], lines[5].replace(b'"request-4"', b'"request-5"'), *lines[6:]]


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (edited, Broken(5, Why.EDITED)),
        (edited_well, Broken(5, Why.EDITED)),
        (lambda lines: [*lines[:5], *lines[6:]], Broken(5, Why.MISSING)),
        (lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]], Broken(5, Why.MISSING)),
        (lambda lines: [*lines[:5], lines[4], *lines[5:]], Broken(5, Why.OUT_OF_ORDER)),
        (lambda lines: [*lines[:5], b"{}\n", *lines[5:]], Broken(5, Why.MALFORMED)),
        (lambda lines: lines[:5], Broken(5, Why.TRUNCATED)),
        (lambda lines: [*lines[:5], lines[-1]], Broken(5, Why.TRUNCATED)),
        (lambda lines: [*lines, lines[-1]], Broken(RECORDS + 1, Why.INSERTED)),
        (lambda lines: lines[1:], Broken(0, Why.MALFORMED)),
        (lambda lines: [], Broken(0, Why.MALFORMED)),
        (lambda lines: [lines[0].replace(b'"after":0', b'"after":1'), *lines[1:]], Broken(2, Why.OUT_OF_ORDER)),
        (lambda lines: [re.sub(rb"[0-9a-f]{64}", b"0" * 64, lines[0]), *lines[1:]], Broken(0, Why.EDITED)),
        (lambda lines: [*lines[:-1], lines[-1].replace(b'"seq":12', b'"seq":11')], Broken(11, Why.CHECKPOINT_FORGED)),
        (lambda lines: [*lines[:-1], b'{"checkpoint":{}}'], Broken(RECORDS, Why.CHECKPOINT_FORGED)),
    ],
)
def test_what_was_done_to_an_export_is_told(change: Callable[[list[bytes]], list[bytes]], broken: Broken) -> None:
    audited, lines = an_export()
    assert verify_export(change(lines), audited.table.public_key()) == broken


def test_records_after_the_checkpoint_are_told() -> None:
    audited, lines = an_export()
    audited.append(an_entry(random.Random(1)))
    longer = list(export(audited.table))
    assert verify_export([*longer[:-1], lines[-1]], audited.table.public_key()) == Broken(13, Why.INSERTED)


def test_an_export_of_another_key_is_told() -> None:
    _, lines = an_export()
    assert verify_export(lines, Ed25519PrivateKey.generate().public_key()) == Broken(RECORDS, Why.OTHER_KEY)
