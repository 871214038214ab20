"""Segments: the oldest records of a chain, which are archived as an export and then pruned.

A segment is pruned only after every record of it was found as it was written, so that no tampering is covered up. It is
short, so that nobody waits long for its deletion, and that a full disk has room for it in the log of the database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fr_core.audit.export import beginning_line, checkpoint_line, record_line
from fr_core.audit.table import AuditTable
from fr_core.audit.values import Record

MOST_RECORDS = 5_000
"""Of a segment."""
MOST_BYTES = 4 * 2**20
"""A segment ends with the record that reaches this length."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Some of the oldest records of a chain.

    Attributes:
        after: number of the last record that was pruned before; 0 for none.
        upto: number of the last record of the segment.
        data: the records as an export, which ends with a checkpoint of the last of them.
        last: whether no more records are due than these.
    """

    after: int
    upto: int
    data: bytes
    last: bool


def oldest_segment(
    table: AuditTable, before_ms: int, held: Callable[[Record], bool] = lambda record: False
) -> Segment | None:
    """Return the oldest records that are due, or some of them; None where none is.

    Args:
        table: the chain; its connection is in one transaction all the while.
        before_ms: records of before this time are due, milliseconds since 1970, UTC.
        held: whether a record is needed still: it, and all after it, are not due.

    Raises:
        StoreCorrupt: a record is not as it was written.
    """
    after = table.pruned().upto
    lines, size, newest, last = [beginning_line(table, after)], 0, None, True
    for kept in table.every(after):
        if kept.record.at_ms >= before_ms or held(kept.record):
            break
        lines.append(record_line(kept))
        size, newest = size + len(lines[-1]), kept
        if len(lines) > MOST_RECORDS or size >= MOST_BYTES:
            last = False
            break
    if newest is None:
        return None
    lines.append(checkpoint_line(table.checkpoint(newest)))
    return Segment(after, newest.record.seq, b"".join(lines), last)
