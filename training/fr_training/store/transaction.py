"""Numbers the transactions of training, writes their audit records, and keeps the sessions that they have changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from fr_core.storage import statements
from fr_core.storage.audit.attribution import Attribution
from fr_core.storage.audit.values import NO_COUNTS, Entry, Pseudonyms
from fr_core.storage.protocol import Database
from fr_training.prompts import Step
from fr_training.trials import Session

# The audit's words for an answer to a step; "training.decide" for the others.
_ACTIONS = {Step.SEND_PROBE: "training.submit_probe", Step.NOTE: "training.lock", Step.OBSERVE: "training.lock"}


class Transaction(statements.Transaction):
    """A group of jobs under way; `changed` holds sessions as jobs of the group have left them, by their numbers."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._pseudonyms: Pseudonyms | None = None
        self._version: int | None = None
        self.changed: dict[int, Session] = {}

    def version(self) -> int:
        """The number of this transaction, drawn when it is asked for first; greater than that of any before."""
        if self._version is None:
            self._version = self.number("UPDATE versions SET last_version = last_version + 1 RETURNING last_version")
        return self._version

    def number(self, sql: str, *values: int | str | bytes) -> int:
        """The number in the one row of a statement that has one."""
        row = self.row(sql, *values)
        assert row is not None
        return int(row[0])

    def pseudonyms(self) -> Pseudonyms:
        """The maker of the pseudonyms of the audit."""
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
        """Add an audit record of a change that `by` asked for, in the same transaction.

        The ids of cohort and trainee become pseudonyms; `counts` is as `fr_core.storage.audit.values.Entry`.
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


def of_session(by: Attribution, pseudonyms: Pseudonyms, before: Session, after: Session) -> Iterator[Entry]:
    """Yield the audit records of a change of a session: of answers that were locked, and of its end.

    No record has a right answer, a given answer, a code or the id of a session; trainees and cohorts have pseudonyms.
    """
    detail = {"trainee": pseudonyms.other("trainee", after.trainee_id), "course": after.course_id}
    for number, trial in enumerate(after.trials):
        known = before.trials[number] if number < len(before.trials) else None
        if trial is known:
            continue
        for locked in trial.locked[0 if known is None else len(known.locked) :]:
            answered = {**detail, "trial": str(trial.ordinal), "step": locked.step.value}
            yield by.entry(pseudonyms, _ACTIONS.get(locked.step, "training.decide"), detail=answered)
    if after.finished_ms is not None and before.finished_ms is None:
        yield by.entry(pseudonyms, "training.finish_session", detail=detail)
