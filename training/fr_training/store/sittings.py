"""Opens and closes sittings to cohorts, gives trainees more time, and keeps which items trainers have released."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from fr_core.errors import message
from fr_core.storage.audit.attribution import current_attribution
from fr_core.storage.audit.values import NO_COUNTS
from fr_core.storage.protocol import Database, Statements
from fr_core.storage.writer import Writer
from fr_training.courses import Course
from fr_training.errors import UnknownTrainee
from fr_training.sessions.flow import extended, halted
from fr_training.sessions.order import sitting_of
from fr_training.store.codec import dump, reading
from fr_training.store.cohorts import Cohorts
from fr_training.store.courses import Courses
from fr_training.store.schema import SCHEMA
from fr_training.store.sessions import Sessions
from fr_training.store.transaction import Transaction
from fr_training.store.values import Cohort, Release
from fr_training.trials import Session

# The space of an item on the disk, about.
_ITEM_BYTES = 100
_INSERT = "INSERT INTO releases (cohort_no, sealed) VALUES (?, ?) RETURNING release_no"
_SET = "UPDATE releases SET sealed = ? WHERE release_no = ?"
_OF_COHORT = "SELECT release_no, sealed FROM releases WHERE cohort_no = ? ORDER BY release_no"


@dataclass(eq=False)
class Releases:
    """Releases, as a room of `TrainingStore`; none is ever changed or taken back."""

    _database: Database
    _writer: Writer[Transaction]
    _cohorts: Cohorts
    _clock_ms: Callable[[], int]

    def add(self, cohort_id: str, items: Iterable[tuple[str, str]], counts: Mapping[str, int]) -> Release:
        """Release items to a cohort, and return those of them that are new; raises `UnknownCohort`.

        The audit gets a record also where all were released before, with `counts` as in `Transaction.record`.
        """
        by = current_attribution()
        wanted = frozenset(items)

        def insert(tx: Transaction) -> Release:
            cohort_no, cohort, _ = self._cohorts.found(tx, cohort_id)
            known = chain.from_iterable(one.items for one in self._of_number(tx, cohort_no))
            made = Release(self._clock_ms(), wanted.difference(known))
            tx.record(by, "training.release", course=cohort.course_id, cohort=cohort_id, counts=counts)
            if made.items:
                tx.require_room(_ITEM_BYTES * (10 + len(made.items)))
                number = tx.number(_INSERT, cohort_no, b"")
                data = dump([made.released_ms, sorted(made.items)])
                key = self._cohorts.key(tx, cohort_no)
                tx.write(_SET, key.seal(data, SCHEMA.bound("releases", number, cohort_no)), number)
            return made

        return self._writer.run(insert)

    def of_cohort(self, cohort_id: str) -> tuple[Release, ...]:
        """The releases to a cohort, the first one first; raises `UnknownCohort`."""
        with self._database.reading() as now:
            return self._of_number(now, self._cohorts.number(now, cohort_id))

    def _of_number(self, now: Statements, cohort_no: int) -> tuple[Release, ...]:
        key, found = self._cohorts.key(now, cohort_no), []
        for number, sealed in now.rows(_OF_COHORT, cohort_no):
            data = key.open(sealed, SCHEMA.bound("releases", number, cohort_no), "release")
            with reading("release"):
                released_ms, items = json.loads(data)
                found.append(Release(int(released_ms), frozenset((form, item_id) for form, item_id in items)))
        return tuple(found)


@dataclass(eq=False)
class Sittings:
    """Sittings of cohorts, as a room of `TrainingStore`; what is changed for many happens at once, or not at all."""

    _writer: Writer[Transaction]
    _courses: Courses
    _cohorts: Cohorts
    _sessions: Sessions
    _clock_ms: Callable[[], int]

    def set_closed(self, cohort_id: str, sitting: str, closed: bool) -> Cohort:
        """Close a sitting to a cohort, which stops the time of its sessions, or open it again; return the cohort.

        The audit gets a record also where the sitting was so before. Raises `UnknownCohort` and `UnknownSitting`.
        """
        by = current_attribution()

        def stopped(course: Course, session: Session) -> Session:
            return halted(session, self._clock_ms()) if session.sitting == sitting else session

        def run(tx: Transaction) -> Cohort:
            cohort_no, cohort, course_no = self._cohorts.found(tx, cohort_id)
            sitting_of(self._courses.of_number(tx, course_no).course, sitting)
            names = cohort.closed | {sitting} if closed else cohort.closed - {sitting}
            counts = {"sessions": len(self._sessions.change_each(tx, cohort_no, stopped))} if closed else NO_COUNTS
            if names != cohort.closed:
                self._cohorts.close(tx, cohort_no, names)
            action = "training.close_sitting" if closed else "training.open_sitting"
            tx.record(by, action, course=cohort.course_id, cohort=cohort_id, counts=counts)
            return replace(cohort, closed=names)

        return self._writer.run(run)

    def extend(self, cohort_id: str, trainee_id: str, more_ms: int) -> tuple[str, ...]:
        """Add to the time of the blocks that are running, of a trainee of a cohort, or of all of them ("").

        Returns the pseudonyms of those who have more time now. Raises `UnknownCohort`, `UnknownTrainee` where the
        trainee is of another cohort, and `InvalidField` as `fr_training.sessions.flow.extended`.
        """
        by = current_attribution()

        def longer(course: Course, session: Session) -> Session:
            ours = trainee_id in ("", session.trainee_id)
            return extended(course, session, more_ms, self._clock_ms()) if ours else session

        def run(tx: Transaction) -> tuple[str, ...]:
            cohort_no, cohort, _ = self._cohorts.found(tx, cohort_id)
            if trainee_id and self._sessions.numbers_of(tx, trainee_id)[1] != cohort_no:
                raise UnknownTrainee(message("error.store.no_trainee"))
            changed = self._sessions.change_each(tx, cohort_no, longer)
            given = tuple(dict.fromkeys(one.trainee_id for one in changed))
            counts = {"trainees": len(given), "seconds": more_ms // 1000}
            about = {"course": cohort.course_id, "cohort": cohort_id, "trainee": trainee_id or None}
            tx.record(by, "training.extend_time", counts=counts, **about)
            return given

        return self._writer.run(run)
