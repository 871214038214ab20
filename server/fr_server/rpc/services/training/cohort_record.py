"""Reads what the trainees of a cohort have done, and the released items that their class can look at."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain

from fr_server.rpc.services.training.own_probe import with_known_truth
from fr_training.courses import Course
from fr_training.grading.class_items import ClassItem, block_of_item, class_item
from fr_training.sessions.results import results
from fr_training.sessions.review import ItemKey
from fr_training.store.training_store import TrainingStore
from fr_training.store.values import Cohort
from fr_training.trials import Result, Session


@dataclass(frozen=True, slots=True)
class CohortRecord:
    """A cohort and the results of its trainees."""

    course: Course
    cohort: Cohort
    sessions: tuple[Session, ...]  # of its trainees, in the order in which they were begun
    # Trainee id -> rows, in the order of the sessions; none for those who did nothing.
    by_trainee: Mapping[str, tuple[Result, ...]]


def read_cohort(store: TrainingStore, cohort_id: str, item_id: str = "") -> CohortRecord:
    """Read what each trainee of a cohort has done, with one item if its id is given, which is quick.

    Raises `UnknownCohort`, or `UnknownCourse` if it was deleted.
    """
    found = store.changes_since(cohort_id, -1)
    rows: dict[str, list[Result]] = {one.trainee_id: [] for one in found.trainees}
    for session in found.sessions:
        if item_id:
            session = replace(session, trials=tuple(one for one in session.trials if one.item_id == item_id))
        rows[session.trainee_id].extend(results(found.course, with_known_truth(store, found.course, session)))
    by_trainee = {trainee_id: tuple(own) for trainee_id, own in rows.items()}
    return CohortRecord(found.course, found.cohort, found.sessions, by_trainee)


def class_items(
    store: TrainingStore, found: CohortRecord, among: frozenset[ItemKey] | None = None
) -> tuple[ClassItem, ...]:
    """The released items that a class can look at, of `among` alone if it is given, the most missed first."""
    course = found.course
    released = frozenset(chain.from_iterable(one.items for one in store.releases(found.cohort.cohort_id)))
    wanted = released if among is None else released & among
    results = list(chain.from_iterable(found.by_trainee.values()))
    items = [
        class_item(form.name, item, block_of_item(course.plan.blocks, form.name), results, course.machine)
        for form in course.forms.values()
        for item in form.items
        if item.key is not None and (form.name, item.item_id) in wanted
    ]
    return tuple(sorted(items, key=lambda one: (one.share, one.item_id)))
