"""Logs what changed, so that several servers on one database can bring their memories up to date.

Each transaction leaves a row for every gallery that it changed, numbered in the order of the commits without a gap. A
row holds numbers alone: which templates were added is read from the templates themselves, names and metadata are read
with each search. So nothing of an erased person is left in the log. Rows that every server has applied are pruned; the
last one stays, for it says which number comes next.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from fr_core.errors import StoreCorrupt, message
from fr_core.gallery.store.rows import CHANGES, checked, insertion, names, signed
from fr_core.gallery.store.values import LoggedChange
from fr_core.storage.dialect import NOW_MS, object_of
from fr_core.storage.protocol import Row, Statements
from fr_core.storage.statements import Transaction

_INSERT = insertion("changes", CHANGES)
_SELECT = f"SELECT {names(CHANGES)} FROM changes"
_END = f"SELECT max(seq), {NOW_MS} FROM changes"
_VERSIONS = f"SELECT {object_of('gallery_no', 'version')} FROM galleries"


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The end of the log, as of the transaction that read it."""

    seq: int  # number of the last row; 0 = there was none yet
    now_ms: int  # by the clock of the database, milliseconds since 1970, UTC


def end_of(statements: Statements) -> LogEnd:
    """Return the end of the log."""
    ((seq, now_ms),) = statements.rows(_END)
    return LogEnd(seq or 0, now_ms)


def append(statements: Statements, end: LogEnd, logged: Iterable[LoggedChange]) -> int:
    """Add rows to the log; returns the number of the last row then."""
    seq = end.seq
    for one in logged:
        seq += 1
        removed = json.dumps(one.removed)
        columns = (seq, one.gallery_no, one.since, one.version, one.first_template, removed, end.now_ms)
        statements.rows(_INSERT, *signed(statements.vault, "changes", *columns))
    return seq


def prune(transaction: Transaction, upto: int) -> None:
    """Delete the rows up to a number, but not the last one."""
    transaction.write("DELETE FROM changes WHERE seq <= ? AND seq < (SELECT max(seq) FROM changes)", upto)


def versions(statements: Statements) -> dict[int, int]:
    """Return the version of every gallery by its number; not authenticated."""
    ((found,),) = statements.rows(_VERSIONS)
    return {int(gallery_no): version for gallery_no, version in json.loads(found).items()}


def changes_between(statements: Statements, gallery_no: int, since: int, version: int) -> list[LoggedChange] | None:
    """Return what leads from one version of a gallery to another, in its order; None if the log no longer has it.

    Raises `StoreCorrupt`: a row was altered.
    """
    clause = "WHERE gallery_no = ? AND version > ? AND version <= ? ORDER BY version"
    found = [_change(statements, row) for row in statements.rows(f"{_SELECT} {clause}", gallery_no, since, version)]
    for one in found:
        if one.since != since:
            return None
        since = one.version
    return found if since == version else None


def _change(statements: Statements, row: Row) -> LoggedChange:
    _, gallery_no, since, version, first_template, removed, _, _ = checked(statements.vault, "changes", row)
    try:
        return LoggedChange(gallery_no, since, version, first_template, tuple(json.loads(removed)))
    except (ValueError, TypeError):
        raise StoreCorrupt(message("error.storage.row_altered", purpose="changes"), check="changes") from None
