"""Any entry comes back as it was, any change of any byte or row is found, and nothing that is no word gets in."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fr_core.storage.audit.checkpoints import Checkpoint
from fr_core.storage.audit.values import MAX_BODY_BYTES, MAX_NUMBER, Entry, decimal_of, decode, encode
from fr_core.storage.audit.verify import Broken, Verified, Why, require_recent, verify
from fr_trust.audit import export as segment
from fr_trust.audit.export import export, oldest_segment, verify_export
from fr_trust.audit.search import Filter, search
from support.audits import DAY_MS, Audited
from support.counts import examples

RECORDS = 9
COLUMNS = {
    "audit": ("body", "hash", "mac"),
    "audit_head": ("chain_id", "hash", "sealed_signing_key", "public_key", "sealed_pseudonym_key", "mac"),
}

numbers = st.integers(0, MAX_NUMBER)
pseudonyms = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)
keys = st.from_regex(r"[a-z][a-z0-9_]{0,31}", fullmatch=True)
entries = st.builds(
    Entry,
    actor=st.from_regex(r"[a-z]{1,16}(:[A-Za-z0-9_-]{1,64})?", fullmatch=True),
    action=st.from_regex(r"[a-z][a-z0-9_]{0,31}\.[a-z][a-z0-9_]{0,31}", fullmatch=True),
    outcome=st.from_regex(r"[A-Z][A-Z0-9_]{0,63}", fullmatch=True),
    roles=st.lists(st.from_regex(r"[a-z]{1,16}", fullmatch=True), max_size=8, unique=True).map(
        lambda some: tuple(sorted(some))
    ),
    request_id=st.none() | st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
    purpose=st.none() | st.from_regex(r"[a-z][a-z0-9_-]{0,63}", fullmatch=True),
    case=st.none() | pseudonyms,
    gallery=st.none() | st.from_regex(r"[a-z0-9_-]{1,128}", fullmatch=True),
    subjects=st.lists(pseudonyms, max_size=4).map(tuple),
    gallery_version=st.none() | numbers,
    threshold=st.none() | st.floats(-1e9, 1e9).map(decimal_of),
    counts=st.dictionaries(keys, numbers, max_size=3),
    detail=st.dictionaries(keys, st.from_regex(r"[A-Za-z0-9._:/+@=,*-]{0,50}", fullmatch=True), max_size=3),
)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(
    entries, st.integers(1, MAX_NUMBER), st.integers(1, MAX_NUMBER), st.booleans(),
    st.none() | st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
)  # fmt: skip
def test_a_record_comes_back(entry: Entry, seq: int, at_ms: int, set_back: bool, salt: str | None) -> None:
    body = encode(entry, seq, at_ms, at_ms - 1 if set_back else None, salt)
    record = decode(body)
    assert encode(record, record.seq, record.at_ms, record.clock_ms, record.salt) == body
    assert (record.seq, record.at_ms) == (seq, at_ms)
    assert (record.subjects, record.counts, record.detail) == (entry.subjects, entry.counts, entry.detail)


@given(
    st.sampled_from(sorted(Entry.__dataclass_fields__)),
    anything | st.tuples(anything) | st.dictionaries(st.text(max_size=3), anything, max_size=2),
)
@settings(max_examples=examples(300))
def test_whatever_gets_in_is_words_and_whole_numbers(name: str, value: Any) -> None:
    good = {"actor": "system", "action": "gallery.search", "outcome": "OK"}
    entry = None
    try:
        entry = Entry(**{**good, name: value})
    except ValueError as refused:
        message = str(refused)
    if entry is None:
        assert message == f"the {name} of a record holds what it cannot"  # the same whatever the value was
        return
    body = encode(entry, 1, 1)
    assert len(body) <= MAX_BODY_BYTES
    assert re.fullmatch(rb"[A-Za-z0-9._:/+@=,*{}\[\]\"-]+", body)
    assert decode(body) is not None
    assert not any(isinstance(leaf, float) for leaf in leaves(json.loads(body)))


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from leaves(one)
    else:
        yield value


@given(entries, st.data())
def test_one_byte_of_a_record_changed_is_another_record_or_none(entry: Entry, data: st.DataObject) -> None:
    body = encode(entry, 7, 9)
    place = data.draw(st.integers(0, len(body) - 1))
    changed = with_byte(body, place, data.draw(st.integers(1, 255)))
    try:
        record = decode(changed)
    except ValueError:
        return
    assert encode(record, record.seq, record.at_ms, record.clock_ms) == changed != body


@given(st.data())
@settings(max_examples=examples(200))
def test_any_byte_of_any_row_changed_is_found(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(sorted(COLUMNS)))
    column = data.draw(st.sampled_from(COLUMNS[table]))
    seq = data.draw(st.integers(1, RECORDS)) if table == "audit" else RECORDS
    with undone() as audited:
        ((stored,),) = audited.rows(f"SELECT CAST({column} AS BLOB) FROM {table} WHERE seq = ?", seq)
        assert isinstance(stored, bytes)
        changed = with_byte(stored, data.draw(st.integers(0, len(stored) - 1)), data.draw(st.integers(1, 127)))
        value = changed.decode("latin-1") if column == "chain_id" else changed
        audited.sql(f"UPDATE {table} SET {column} = ? WHERE seq = ?", value, seq)
        assert isinstance(verify(audited.table), Broken)
    assert isinstance(verify(filled().table), Verified)


@given(st.sampled_from(("seq", "at_ms")), st.integers(-(2**63), 2**63 - 1))
def test_any_number_of_the_head_changed_is_found(column: str, value: int) -> None:
    with undone() as audited:
        assume(audited.rows(f"SELECT {column} FROM audit_head") != [(value,)])
        audited.sql(f"UPDATE audit_head SET {column} = ?", value)
        assert isinstance(verify(audited.table), Broken)


@given(st.lists(st.integers(1, RECORDS), max_size=RECORDS + 2))
@settings(max_examples=examples(200))
def test_any_other_choice_or_order_of_rows_is_found(order: list[int]) -> None:
    assume(order != list(range(1, RECORDS + 1)))
    with undone() as audited:
        audited.sql("CREATE TEMP TABLE old AS SELECT * FROM audit")
        audited.sql("DELETE FROM audit")
        for seq, old in enumerate(order, 1):
            audited.sql("INSERT INTO audit SELECT ?, body, hash, mac FROM old WHERE seq = ?", seq, old)
        broken = verify(audited.table)
    first = next((seq for seq, old in enumerate(order, 1) if seq != old), len(order) + 1)
    assert isinstance(broken, Broken)
    assert broken.seq == first


@given(st.data())
@settings(max_examples=examples(200))
def test_any_byte_of_an_export_changed_is_found(data: st.DataObject) -> None:
    lines = list(exported())
    number = data.draw(st.integers(0, len(lines) - 1))
    line = lines[number]
    lines[number] = with_byte(line, data.draw(st.integers(0, len(line) - 2)), data.draw(st.integers(1, 255)))
    assert isinstance(verify_export(lines, filled().table.public_key()), Broken)


@given(st.lists(st.integers(0, RECORDS + 1), max_size=RECORDS + 4))
@settings(max_examples=examples(200))
def test_any_other_choice_or_order_of_lines_is_found(order: list[int]) -> None:
    assume(order != list(range(RECORDS + 2)))
    lines = [exported()[number] for number in order]
    assert isinstance(verify_export(lines, filled().table.public_key()), Broken)


def with_byte(data: bytes, place: int, change: int) -> bytes:
    return data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]


@cache
def filled() -> Audited:
    return Audited().created().fill(RECORDS)


@cache
def exported() -> tuple[bytes, ...]:
    return tuple(export(filled().table))


@contextmanager
def undone() -> Iterator[Audited]:
    audited = filled()
    audited.sql("SAVEPOINT change")
    try:
        yield audited
    finally:
        audited.sql("ROLLBACK TO change; RELEASE change")


STEPS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8)), min_size=1, max_size=12)
"""Of each: how many records are appended, and of how many days before they are pruned; a day goes by after each."""


def grown(steps: list[tuple[int, int]], archive: list[bytes], checkpoints: list[Checkpoint]) -> Audited:
    audited = Audited().created()
    for number, (records, keep_days) in enumerate(steps):
        audited.fill(records, seed=number)
        checkpoints.append(audited.table.checkpoint())
        before_ms = audited.clock.ms - keep_days * DAY_MS
        # The record of a pruning is due at once where nothing is kept: once is enough.
        for _ in range(3):
            if (due := oldest_segment(audited.table, before_ms)) is not None:
                assert audited.prune(due.upto, due.after)
                archive.append(due.data)
        audited.clock.ms += DAY_MS
    return audited


@settings(max_examples=examples(150), deadline=None)
@given(STEPS, st.integers(1, 4))
def test_what_is_left_and_what_was_archived_are_one_chain(steps: list[tuple[int, int]], most: int) -> None:
    archive: list[bytes] = []
    checkpoints: list[Checkpoint] = []
    with patch.object(segment, "MOST_RECORDS", most):
        audited = grown(steps, archive, checkpoints)
    table, head, pruned = audited.table, audited.table.head(), audited.table.pruned()
    require_recent(table, audited.connection)
    unchecked = sum(one.seq < pruned.upto for one in checkpoints)
    left, agreed = head.seq - pruned.upto, len(checkpoints) - unchecked
    assert verify(table, checkpoints) == Verified(head.chain_id, left, head.seq, agreed, unchecked=unchecked)
    assert [kept.record.seq for kept in table.every()] == list(range(pruned.upto + 1, head.seq + 1))
    assert len(search(table, Filter(since_ms=1), 0, 1_000).records) == left

    for parts in (archive, [*archive, *archive[-1:]]):  # as if the last were not pruned yet
        lines = b"".join((*parts, *export(table))).splitlines(keepends=True)
        found = verify_export(lines, table.public_key(), checkpoints, may_continue=True)
        assert found == Verified(head.chain_id, head.seq, head.seq, 1 + len(checkpoints))


def test_records_that_come_twice_are_the_same() -> None:
    """Even with the key, the archive and the store cannot hold different histories."""
    audited = Audited().created().fill(2)
    (head,) = audited.rows("SELECT seq, at_ms, hash, mac FROM audit_head")
    audited.fill(2)
    archived = oldest_segment(audited.table, audited.clock.ms + 1)
    assert archived is not None
    for records, broken in ((1, Broken(4, Why.TRUNCATED)), (3, Broken(4, Why.REWRITTEN))):
        audited.sql("DELETE FROM audit WHERE seq > 2")
        audited.sql("UPDATE audit_head SET seq = ?, at_ms = ?, hash = ?, mac = ?", *head)
        audited.fill(records, seed=7)
        lines = b"".join((archived.data, *export(audited.table))).splitlines()
        assert verify_export(lines, audited.table.public_key(), may_continue=True) == broken


@settings(max_examples=examples(150), deadline=None)
@given(STEPS, st.data())
def test_an_archive_that_was_tampered_with_does_not_verify(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    archive: list[bytes] = []
    checkpoints: list[Checkpoint] = []
    with patch.object(segment, "MOST_RECORDS", 2):
        audited = grown([*steps, (3, 0), (3, 0)], archive, checkpoints)
    parts = [*archive, b"".join(export(audited.table))]
    number = data.draw(st.integers(0, len(parts) - 2))
    how = data.draw(st.sampled_from(("take", "swap", "twice", "edit", "cut")))
    if how == "take":
        del parts[number]
    elif how == "swap":
        parts[number], parts[number + 1] = parts[number + 1], parts[number]
    elif how == "twice":
        parts.insert(number, parts[number])
    elif how == "edit":
        changed = bytearray(parts[number])
        at = data.draw(st.integers(0, len(changed) - 2))  # the last line break belongs to no line
        changed[at] ^= data.draw(st.integers(1, 127))
        parts[number] = bytes(changed)
    else:
        lines = parts[number].splitlines(keepends=True)
        del lines[data.draw(st.integers(0, len(lines) - 1))]
        parts[number] = b"".join(lines)
    lines = b"".join(parts).split(b"\n")[:-1]
    found = verify_export(lines, audited.table.public_key(), checkpoints, may_continue=True)
    # Where the first segment is taken away the others verify, and say that they begin later. The same twice is no harm.
    first_is_gone = how == "take" and number == 0 and isinstance(found, Verified) and found.after > 0
    assert isinstance(found, Broken) or first_is_gone or how == "twice", how
