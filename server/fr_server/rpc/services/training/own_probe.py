"""Searches for a trainee's own probe, of which nothing is kept, and reads what the trainees of a cohort have done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from fr_core.errors import InvalidField, message
from fr_core.gallery.values import MAX_TOP_K
from fr_core.pipeline import FacePolicy, select
from fr_server.rpc.services.training.course_gallery import search_people
from fr_server.rpc.services.training.resources import TrainingResources
from fr_training.answers import ProbeSent
from fr_training.courses import Course
from fr_training.grading.class_items import ClassItem, block_of_item, class_item
from fr_training.keys import ListKey
from fr_training.sessions.clock import left_ms
from fr_training.sessions.flow import find_trial
from fr_training.sessions.order import block_of
from fr_training.sessions.probes import lock_probe, require_probe, shown_people, shown_pictures, with_truth
from fr_training.sessions.results import results
from fr_training.sessions.review import ItemKey
from fr_training.sessions.views import ShowTrial
from fr_training.store.training_store import TrainingStore
from fr_training.store.values import Cohort, ProbeTruth
from fr_training.trials import OwnList, Result, Session


async def search_for(
    resources: TrainingResources, course: Course, session: Session, trial_id: str, data: bytes, sha256: str
) -> OwnList:
    """Search the gallery of a course for the face on a photo, whose sha256 has 64 hexadecimal digits.

    Raises `InvalidField` if everybody in the gallery is in a trial of the session's trainee that waits for an answer;
    `NoFaceFound`; or what decoding, embedding and searching raise.
    """
    photo = await resources.work.photo(resources.engine.pipeline.analyze, data)
    (chosen,) = select(photo, FacePolicy.LARGEST)
    pictures, seen, waiting = await resources.work.storage(_gallery, resources, course, session)
    size = block_of(course, session, find_trial(session, trial_id).block_id).size
    wanted = min(MAX_TOP_K, size + len(seen))
    embedding = chosen.face.embedding
    ranked = await resources.work.storage(search_people, resources.galleries, course.gallery_id, embedding, wanted)
    fresh = [one for one in ranked if one.person not in seen]
    # Where too few are left, those of trials that are answered come again: a block never comes to a dead end.
    again = [one for one in ranked if one.person in seen and one.person not in waiting]
    found = sorted((*fresh, *again)[:size], key=lambda one: -one.similarity)
    if not found:
        raise InvalidField(message("error.rpc.everybody_gallery_another_trial"), field="image")
    truth = await resources.work.storage(resources.store.probe_truth, course.course_id, sha256)
    shown = tuple(pictures[one.person] for one in found)
    return OwnList(shown, _key(truth, pictures, shown, tuple(one.similarity for one in found)))


def lock_found(
    course: Course, session: Session, trial_id: str, sent: ProbeSent, own: OwnList, arrived_ms: int, found_ms: int
) -> tuple[Session, ShowTrial]:
    """Lock a photo when its search has ended, so that the search takes no time of the step after it.

    Whether the photo came in time is a matter of when it arrived. Where the block ended during the search, the photo is
    locked in the last millisecond of the block. `session` is as it is kept, `trial_id` that of the waiting trial. Times
    are in milliseconds since 1970, UTC. Returns as `lock_probe`, and raises `FrError` as that does at `arrived_ms`.
    """
    before = require_probe(course, session, trial_id, arrived_ms, sent)
    if before is not None:
        return session, before
    left = left_ms(session, block_of(course, session, find_trial(session, trial_id).block_id), arrived_ms)
    in_time_ms = found_ms if left is None else min(found_ms, arrived_ms + left - 1)
    return lock_probe(course, session, trial_id, sent, own, max(arrived_ms, in_time_ms))


def with_known_truth(store: TrainingStore, course: Course, session: Session) -> Session:
    """Return a session with the truth of own probes as far as it is known; raises `UnknownCourse`."""
    if not any(trial.own is not None and not trial.own.key.scored for trial in session.trials):
        return session
    pictures = store.gallery(course.course_id)

    def key(sha256: str, own: OwnList) -> ListKey | None:
        truth = store.probe_truth(course.course_id, sha256)
        return _key(truth, pictures, own.photos, own.key.similarities) if truth.known else None

    return with_truth(session, key)


def _key(
    truth: ProbeTruth, pictures: Mapping[int, int], shown: tuple[int, ...], similarities: tuple[float, ...]
) -> ListKey:
    picture = None if truth.person is None else pictures.get(truth.person)
    return ListKey(shown.index(picture) if picture in shown else None, similarities, scored=truth.known)


def _gallery(
    resources: TrainingResources, course: Course, session: Session
) -> tuple[Mapping[int, int], frozenset[int], frozenset[int]]:
    """Person -> picture of the gallery; whom of it any session of the trainee has shown; who is in unanswered trials.

    All sessions: a probe that waits in another sitting could be sent here, to be told what the machine makes of it.
    """
    pictures = resources.store.gallery(course.course_id)
    sessions = resources.store.sessions_of(session.trainee_id)
    pending = [replace(one, trials=tuple(trial for trial in one.trials if not trial.done)) for one in sessions]

    def of_gallery(sessions: Sequence[Session]) -> frozenset[int]:
        people = frozenset().union(*(shown_people(course, one) for one in sessions))
        shown = frozenset().union(*(shown_pictures(course, one) for one in sessions))
        return frozenset(p for p, picture in pictures.items() if p in people or picture in shown)

    return pictures, of_gallery(sessions), of_gallery(pending)


@dataclass(frozen=True, slots=True)
class CohortRecord:
    """A cohort and the results of its trainees."""

    course: Course
    cohort: Cohort
    sessions: tuple[Session, ...]  # of its trainees, in the order in which they were begun
    # Trainee id -> rows, in the order of the sessions; none for those who did nothing.
    by_trainee: Mapping[str, tuple[Result, ...]]

    def in_language(self, language: str) -> "CohortRecord":
        """Return this record with the plan translated, for pages; see `CoursePlan.in_language`."""
        return replace(self, course=self.course.in_language(language))


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
