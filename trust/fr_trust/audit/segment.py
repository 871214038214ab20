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

    Its records follow that of the number `after` (0 = the first), up to `upto`; `last` says whether no further records
    are due.
    """

    after: int
    upto: int
    data: bytes
    last: bool


def oldest_segment(
    table: AuditTable, before_ms: int, held: Callable[[Record], bool] = lambda record: False
) -> Segment | None:
    """Return the oldest records that are due, or some of them; None if none are.

    Those from before `before_ms` (milliseconds since 1970, UTC) are due, but for the first that is `held`, still
    needed, and all
    after it. The connection of the table is in one transaction. Raises `StoreCorrupt` if a record was changed.
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
