"""Reads what the trainees of a cohort have done at one moment, for reports, exports and courses that learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fr_server.rpc.services.training.own_probe import with_known_truth
from fr_training.courses import Course
from fr_training.sessions.results import results
from fr_training.store.training_store import TrainingStore
from fr_training.store.values import Cohort
from fr_training.trials import Result, Session


@dataclass(frozen=True, slots=True)
class CohortRecord:
    """A cohort and the results of its trainees.

    Attributes:
        course: that it takes.
        cohort: as it was.
        sessions: of its trainees, in the order in which they were begun.
        by_trainee: trainee id -> rows, in the order of the sessions; none for those who did nothing.
    """

    course: Course
    cohort: Cohort
    sessions: tuple[Session, ...]
    by_trainee: Mapping[str, tuple[Result, ...]]


def read_cohort(store: TrainingStore, cohort_id: str) -> CohortRecord:
    """Read what each trainee of a cohort has done, with the truth of own probes as far as it is known.

    Raises:
        UnknownCohort: there is none of that id.
        UnknownCourse: its course was deleted meanwhile.
    """
    found = store.changes_since(cohort_id, -1)
    rows: dict[str, list[Result]] = {one.trainee_id: [] for one in found.trainees}
    for session in found.sessions:
        rows[session.trainee_id].extend(results(found.course, with_known_truth(store, found.course, session)))
    by_trainee = {trainee_id: tuple(own) for trainee_id, own in rows.items()}
    return CohortRecord(found.course, found.cohort, found.sessions, by_trainee)
