"""The transactions of training, which number what they change and know the sessions that they have changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future

from fr_core.storage import writer
from fr_core.storage.audit.attribution import Attribution
from fr_core.storage.audit.pseudonyms import Pseudonyms
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.values import NO_COUNTS
from fr_core.storage.database import Database
from fr_training.trials import Session


class Transaction(writer.Transaction):
    """A group of jobs under way.

    Args:
        database: is written.
        audit: takes records, over the connection that writes.

    Attributes:
        audit: as it was given.
        changed: sessions as jobs of the group have left them, by their numbers.
    """

    def __init__(self, database: Database, audit: AuditTable) -> None:
        super().__init__(database)
        self.audit = audit
        self._pseudonyms: Pseudonyms | None = None
        self._version: int | None = None
        self.changed: dict[int, Session] = {}

    def version(self) -> int:
        """The number of this transaction, drawn when it is asked for first; greater than that of any before."""
        if self._version is None:
            row = self.row("UPDATE versions SET last_version = last_version + 1 RETURNING last_version")
            assert row is not None
            self._version = int(row[0])
        return self._version

    def pseudonyms(self) -> Pseudonyms:
        """What makes the pseudonyms of the audit."""
        if self._pseudonyms is None:
            self._pseudonyms = self.audit.pseudonyms()
        return self._pseudonyms

    def record(
        self,
        by: Attribution,
        action: str,
        *,
        course: str | None = None,
        cohort: str | None = None,
        trainee: str | None = None,
        counts: Mapping[str, int] = NO_COUNTS,
    ) -> None:
        """Have the audit told of a change, in the same transaction.

        Args:
            by: who asked for it.
            action: such as "training.create_cohort".
            course: id of the course.
            cohort: id of the cohort, which becomes a pseudonym.
            trainee: id of the trainee, which becomes another pseudonym.
            counts: as `fr_core.storage.audit.values.Entry`.
        """
        pseudonyms, detail = self.pseudonyms(), {}
        if course is not None:
            detail["course"] = course
        if cohort is not None:
            detail["cohort"] = pseudonyms.other("cohort", cohort)
        if trainee is not None:
            detail["trainee"] = pseudonyms.other("trainee", trainee)
        self.audit.append([by.entry(pseudonyms, action, counts=counts, detail=detail)])

    def _memory(self) -> Callable[[], None]:
        version, put_back_rest = self._version, super()._memory()

        def put_back() -> None:
            self._version = version
            put_back_rest()

        return put_back


class Writer(writer.Writer[Transaction]):
    """The one thread of a process that writes what belongs to training.

    Args:
        database: is written by this thread alone.
        broken: ends with an `InternalError` where the thread dies, after which nothing can be written.
        audit: takes records, over the connection that writes.
    """

    def __init__(self, database: Database, broken: Future[None], audit: AuditTable) -> None:
        super().__init__(database, broken, lambda opened: Transaction(opened, audit))
