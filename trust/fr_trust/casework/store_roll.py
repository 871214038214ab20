"""Keeps the list of all cases and their versions in memory, never older than the database."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import MappingProxyType

from fr_core.errors import StoreCorrupt
from fr_core.storage.dialect import ALL_ROWS
from fr_core.storage.protocol import Row, Statements
from fr_trust.casework.store_rows import HEAD, Head, Locks

_VERSIONS = "SELECT case_no, case_id, version FROM cases"


@dataclass(frozen=True, slots=True)
class View:
    """The head and the cases that a look at the database has to agree with.

    Attributes:
        head: what the store says of itself.
        versions: id and version of each case, by its number.
    """

    head: Head
    versions: MappingProxyType[int, tuple[str, int]]


class Roll:
    """Reads the head of the database each time, and what has changed since; for several threads.

    A head that is as it was takes some ten microseconds, whichever process has changed it.

    Args:
        locks: open rows.
    """

    def __init__(self, locks: Locks) -> None:
        self._locks = locks
        self._lock = threading.Lock()
        self._seen: Row | None = None
        self._least = 0
        self._view = View(Head(0, 0, 0, 0, 0), MappingProxyType({}))

    def look(self, now: Statements, *, keep: bool = True) -> View:
        """Return the roll as of a look at the database, which reads nothing before.

        Args:
            now: the look.
            keep: whether what is read is durable; false within a transaction that writes.

        Raises:
            StoreCorrupt: a case was altered, taken out, put in or put back.
        """
        with self._lock:  # so that what one thread sees is never older than what was kept before
            row = now.row(HEAD)
            if row is not None and row == self._seen and self._view.head.version >= self._least:
                return self._view
            view = self._read(now, self._locks.head_of(row))
            if keep:
                self._seen, self._view = row, view
            return view

    def reached(self, version: int) -> None:
        """Note a version that this process has made durable: no older one is the newest any more."""
        with self._lock:
            self._least = max(self._least, version)

    def _read(self, now: Statements, head: Head) -> View:
        before = self._view
        if head.version < max(before.head.version, self._least):
            raise StoreCorrupt("The case store was put back to what it was before.", check="head")
        changed = _versions(now.rows(f"{_VERSIONS} WHERE version > ?", before.head.version))
        versions = {**before.versions, **changed}
        digest = before.head.digest ^ self._digest(changed)
        digest ^= self._digest({case_no: before.versions[case_no] for case_no in changed if case_no in before.versions})
        if len(versions) != head.cases or digest != head.digest:
            # A case was deleted; or an index was altered, or a row, which the next lines find.
            versions = _versions(now.rows(f"{_VERSIONS} {ALL_ROWS}"))
            if len(versions) != head.cases or self._digest(versions) != head.digest:
                raise StoreCorrupt("A case was taken out of the case store, put in or put back.", check="cases")
        return View(head, MappingProxyType(versions))

    def _digest(self, versions: dict[int, tuple[str, int]]) -> int:
        digest = 0
        for case_no, (case_id, version) in versions.items():
            digest ^= self._locks.case_element(case_no, case_id, version)
        return digest


def _versions(rows: list[Row]) -> dict[int, tuple[str, int]]:
    return {case_no: (case_id, version) for case_no, case_id, version in rows}
