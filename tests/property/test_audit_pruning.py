"""Randomly grown and pruned chains verify, alone and together with the archive."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from fr_core.storage.audit.checkpoints import Checkpoint
from fr_core.storage.audit.verify import Broken, Verified, Why, require_recent, verify
from fr_trust.audit import export as segment
from fr_trust.audit.export import export, oldest_segment, verify_export
from fr_trust.audit.search import Filter, search
from support.audits import DAY_MS, Audited
from support.counts import examples

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
