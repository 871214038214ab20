"""Cuts the oldest records of a chain into segments, which the server archives as exports and then prunes.

It checks every record of a segment first, so that pruning does not hide tampering. A segment is short, so that its
deletion does not take long, and a nearly full disk has room for it in the database's log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.values import Record
from fr_trust.audit.export import beginning_line, checkpoint_line, record_line

MOST_RECORDS = 5_000
"""Largest number of records in a segment."""
MOST_BYTES = 4 * 2**20
"""A segment ends with the record that reaches this length."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Holds some of the oldest records of a chain, as an export that ends with a checkpoint of the last of them.

    Attributes:
        after: number of the last record that was pruned before; 0 for none.
        upto: number of the last record of the segment.
        last: whether no further records are due.
    """

    after: int
    upto: int
    data: bytes
    last: bool


def oldest_segment(
    table: AuditTable, before_ms: int, held: Callable[[Record], bool] = lambda record: False
) -> Segment | None:
    """Return the oldest records that are due, or some of them; None if none are.

    Args:
        table: the chain; its connection stays in one transaction during the call.
        before_ms: records from before this time are due, milliseconds since 1970, UTC.
        held: whether a record is still needed: then it and all later records are not due.

    Raises:
        StoreCorrupt: a record was changed.
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
