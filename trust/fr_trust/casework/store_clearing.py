"""Clears deleted cases in small steps, so that others can write in between, and leaves nothing in the files.

Their keys are gone already, so that nobody could open it.
"""

from __future__ import annotations

import threading

from fr_core.storage.database import Database
from fr_core.storage.writer import Writer
from fr_trust.casework.store_changes import CaseTransaction

# Photos that go in one transaction, of which each takes many pages; and other rows.
_PHOTOS = 8
_ROWS = 500

# Each statement takes some rows, and the next has its turn when none is left.
_STATEMENTS = (
    f"""DELETE FROM photos WHERE (examination_no, number) IN (
        SELECT p.examination_no, p.number FROM examinations e JOIN photos p ON p.examination_no = e.examination_no
        WHERE e.case_no = ? LIMIT {_PHOTOS})""",
    f"""DELETE FROM findings WHERE (examination_no, number) IN (
        SELECT f.examination_no, f.number FROM examinations e JOIN findings f ON f.examination_no = e.examination_no
        WHERE e.case_no = ? LIMIT {_ROWS})""",
    f"""DELETE FROM examinations WHERE examination_no IN (
        SELECT examination_no FROM examinations WHERE case_no = ? LIMIT {_ROWS})""",
    "DELETE FROM gone WHERE case_no = ?",
)


class Clearing:
    """Takes away what is left of deleted cases. Several processes may do so at once.

    Args:
        database: is scrubbed.
        writer: writes it.
    """

    def __init__(self, database: Database, writer: Writer[CaseTransaction]) -> None:
        self._database = database
        self._writer = writer
        self._lock = threading.Lock()
        self._unscrubbed = database.was_alone  # a process that died may have had no time for it

    def clear(self, *, force: bool = False) -> None:
        """Take away all that is left, and every trace of it.

        Args:
            force: leave no trace, whether this process knows of one or not.

        Raises:
            StoreFailed: the disk refuses; the rest goes with the next call.
        """
        while self._writer.run(_step):
            force = True
        self.scrub(force=force)

    def scrub(self, *, force: bool = False) -> None:
        """Leave no trace of what was deleted, where any is left or `force` says so."""
        with self._lock:
            self._unscrubbed = self._unscrubbed or force
            if self._unscrubbed:
                self._unscrubbed = not self._database.scrub()


def _step(tx: CaseTransaction) -> bool:
    """Delete some rows; False where nothing is left."""
    row = tx.row("SELECT case_no FROM gone LIMIT 1")
    return row is not None and any(tx.write(sql, row[0]) for sql in _STATEMENTS)
