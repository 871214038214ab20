"""The store of training tells who changed what, forgets what was deleted, and audits each change."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from fr_core.errors import InvalidField, StoreCorrupt, StoreFailed
from fr_core.storage.audit.attribution import Attribution, attributed
from fr_core.storage.audit.values import Record
from fr_core.storage.audit.verify import Verified, verify
from fr_core.storage.location import Location
from fr_core.storage.statements import Reading
from fr_training.answers import Answer, Notes, PairRating, ProbeSent
from fr_training.courses import Course
from fr_training.errors import SittingClosed, UnknownCohort, UnknownSitting
from fr_training.prompts import Step
from fr_training.store.schema import SCHEMA
from fr_training.store.training_store import TrainingStore
from fr_training.store.transaction import Transaction
from fr_training.store.values import Cohort, NewTrainee
from fr_training.trials import Locked, Session
from support.audits import checkpoint_of, pseudonyms_of
from support.stores import outside
from support.training_stores import DAY_MS, NOW_MS, SITTING, Clock, add_course, begin, open_store, shown, small_course

COURSE = small_course()
ID = COURSE.course_id


@pytest.fixture
def store(location: Location) -> Iterator[TrainingStore]:
    with open_store(location) as store:
        add_course(store, COURSE)
        yield store


def enrol(store: TrainingStore, trainees: int = 3) -> tuple[Cohort, tuple[NewTrainee, ...]]:
    return store.create_cohort(COURSE.course_id, "Monday", trainees, DAY_MS)


def show(_: Course, session: Session) -> tuple[Session, None]:
    return shown(COURSE, session), None


def test_the_version_of_a_cohort_never_falls(store: TrainingStore) -> None:
    cohort, enrolled = enrol(store)
    seen = [store.cohort_version(cohort.cohort_id)]

    def grown() -> None:
        seen.append(store.cohort_version(cohort.cohort_id))
        assert seen[-1] > seen[-2]

    begun = begin(store, COURSE, enrolled)
    grown()
    store.change(begun[-1].session_id, show).result()  # the last change is of who is deleted next
    grown()
    store.delete_trainee(enrolled[-1].trainee_id)
    grown()
    store.add_trainees(cohort.cohort_id, 1)
    grown()
    for trainee in store.trainees(cohort.cohort_id):
        store.delete_trainee(trainee.trainee_id)
        grown()
    other, _ = enrol(store)
    store.delete_trainee(store.trainees(other.cohort_id)[0].trainee_id)
    assert store.cohort_version(cohort.cohort_id) == seen[-1]  # that was another cohort


def test_changes_tell_who_is_new_and_not_who_was_deleted(store: TrainingStore) -> None:
    cohort, enrolled = enrol(store)
    first = store.changes_since(cohort.cohort_id, -1)
    assert first.trainees == store.trainees(cohort.cohort_id)
    assert (first.cohort, first.course, first.sessions) == (cohort, COURSE, ())
    (begun,) = begin(store, COURSE, enrolled[:1])
    (new,) = store.add_trainees(cohort.cohort_id, 1)
    second = store.changes_since(cohort.cohort_id, first.mark)
    assert second.sessions == (begun,)
    assert [one.trainee_id for one in second.trainees] == [new.trainee_id]
    assert second.cohort.trainees == 4
    store.delete_trainee(enrolled[0].trainee_id)
    third = store.changes_since(cohort.cohort_id, second.mark)
    assert (third.trainees, third.sessions) == ((), ())
    other, strangers = enrol(store)
    (stranger,) = begin(store, COURSE, strangers[:1])
    store.change(stranger.session_id, show).result()
    assert store.changes_since(cohort.cohort_id, third.mark).sessions == ()
    assert store.changes_since(other.cohort_id, -1).sessions == (shown(COURSE, stranger),)
    assert third.mark == store.cohort_version(cohort.cohort_id) > second.mark
    assert third.cohort.trainees == 3


@contextmanager
def after_each_look(store: TrainingStore, happens: Callable[[], None]) -> Iterator[list[int]]:
    """Have something happen after each look of this thread at a database; gives a list of those looks."""
    here, looks, reading = threading.get_ident(), list[int](), type(store._database).reading

    @contextmanager
    def looking(database: Any) -> Iterator[Reading]:
        with reading(database) as now:
            yield now
        if threading.get_ident() == here and not busy:
            looks.append(len(looks))
            busy.append(1)
            happens()
            busy.clear()

    busy: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(store._database), "reading", looking)
        yield looks


def test_changes_are_of_one_moment(store: TrainingStore) -> None:
    """People who enrol and begin during a read are in both lists, or in neither."""
    cohort, _ = enrol(store)

    def happens() -> None:
        begin(store, COURSE, store.add_trainees(cohort.cohort_id, 1))

    with after_each_look(store, happens) as looks:
        for _ in range(3):
            found = store.changes_since(cohort.cohort_id, -1)
            assert {one.trainee_id for one in found.sessions} <= {one.trainee_id for one in found.trainees}
            assert len(found.trainees) == found.cohort.trainees
            later = store.changes_since(cohort.cohort_id, found.mark)
            assert not {one.trainee_id for one in later.trainees} & {one.trainee_id for one in found.trainees}
    assert len(looks) == 6


def held(store: TrainingStore) -> tuple[set[int], set[int]]:
    """Numbers of the courses and of the cohorts of which something is remembered."""
    return set(store._courses._known._values), set(store._cohorts.keys._values)


def test_nothing_of_a_deleted_course_or_cohort_is_remembered(store: TrainingStore) -> None:
    other = small_course(course_id="0" * 16)
    add_course(store, other)
    made = [enrol(store)[0] for _ in range(2)]
    kept, _ = store.create_cohort(other.course_id, "kept", 1, DAY_MS)
    for cohort in (*made, kept):
        store.cohort(cohort.cohort_id)
        store.changes_since(cohort.cohort_id, -1)
    assert held(store) == ({1, 2}, {1, 2, 3})
    store.delete_cohort(made[0].cohort_id)
    assert held(store) == ({1, 2}, {2, 3})
    store.picture(COURSE.course_id, 0)
    store.delete_course(COURSE.course_id)
    assert held(store) == ({2}, {3})
    assert store.remembered_picture(COURSE.course_id, 0) is None


def test_a_cohort_whose_time_is_over_takes_its_key_along(location: Location) -> None:
    clock = Clock()
    with open_store(location, clock) as store:
        add_course(store, COURSE)
        for days in (1, 3):
            cohort, _ = store.create_cohort(COURSE.course_id, "", 1, days * DAY_MS)
            store.cohort(cohort.cohort_id)
        clock.now_ms = NOW_MS + 2 * DAY_MS
        assert store._cohorts.expire() == 1
        assert held(store)[1] == {2}
        assert store.purge() == 0
        assert held(store)[1] == {2}


@pytest.mark.parametrize("what", ["cohort", "course"])
def test_a_purge_forgets_what_another_process_deleted(location: Location, store: TrainingStore, what: str) -> None:
    kept = small_course(course_id="0" * 16)
    add_course(store, kept)
    cohort, _ = enrol(store)
    staying, _ = store.create_cohort(kept.course_id, "", 1, DAY_MS)
    for one in (cohort, staying):
        store.cohort(one.cohort_id)
        store.changes_since(one.cohort_id, -1)
    for course in (COURSE, kept):
        store.picture(course.course_id, 0)
    with open_store(location) as other:
        if what == "cohort":
            other.delete_cohort(cohort.cohort_id)
        else:
            other.delete_course(COURSE.course_id)
    assert held(store) == ({1, 2}, {1, 2})
    assert store.purge() == 0
    assert held(store) == ({1, 2} if what == "cohort" else {2}, {2})
    assert (store.remembered_picture(COURSE.course_id, 0) is None) == (what == "course")
    assert store.remembered_picture(kept.course_id, 0) is not None


def test_who_reads_while_it_is_deleted_brings_nothing_back(store: TrainingStore) -> None:
    cohort, _ = enrol(store)
    reading, deleted = threading.Event(), threading.Event()

    def read() -> None:
        with store._database.reading() as now:
            now.rows("SELECT count(*) FROM courses")  # from here on it sees what was there
            reading.set()
            assert deleted.wait(10)
            course = store._courses.known(now, COURSE.course_id)
            assert course.course == COURSE
            store._cohorts.key(now, store._cohorts.number(now, cohort.cohort_id))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fr_core.storage.log_copier._SCRUB_S", 0.0)  # which waits for those who read
        thread = threading.Thread(target=read)
        thread.start()
        assert reading.wait(10)
        store.delete_course(COURSE.course_id)
        deleted.set()
        thread.join(10)
    assert held(store) == (set(), set())


def test_a_picture_that_is_read_while_its_course_is_deleted_is_forgotten(store: TrainingStore) -> None:
    def delete() -> None:
        store.delete_course(COURSE.course_id)

    with after_each_look(store, delete):
        assert store.picture(COURSE.course_id, 0)
    assert store.remembered_picture(COURSE.course_id, 0) is None


WHO = Attribution("key:k3", ("trainer",), "r-1")


class Place:
    """A store with a course, a cohort of two, and the session of the first."""

    def __init__(self, location: Location) -> None:
        self.clock = Clock()
        self.store = open_store(location, self.clock)
        add_course(self.store, COURSE, {"a" * 64: 3})
        self.cohort: Cohort
        self.enrolled: tuple[NewTrainee, ...]
        self.cohort, self.enrolled = self.store.create_cohort(ID, "Monday", 2, DAY_MS)
        (self.session,) = begin(self.store, COURSE, self.enrolled[:1])

    def records(self, after: int = 0) -> list[Record]:
        return records(self.store, after)

    @property
    def seq(self) -> int:
        with self.store.auditing() as audit:
            return audit.head().seq

    def lock(self, step: Step, answer: Answer) -> None:
        def locked(_: Course, session: Session) -> tuple[Session, None]:
            one = shown(COURSE, session)
            *before, last = one.trials
            return replace(one, trials=(*before, replace(last, locked=(Locked(step, answer, NOW_MS, 5),)))), None

        self.store.change(self.session.session_id, locked).result()


def records(store: TrainingStore, after: int = 0) -> list[Record]:
    with store.auditing() as audit:
        assert isinstance(verify(audit), Verified)
        return [kept.record for kept in audit.every(after)]


@pytest.fixture
def place(location: Location) -> Iterator[Place]:
    found = Place(location)
    with found.store:
        yield found


def finish(place: Place) -> None:
    def over(_: Course, session: Session) -> tuple[Session, None]:
        return replace(session, finished_ms=NOW_MS), None

    place.store.change(place.session.session_id, over).result()


def start_other(place: Place) -> None:
    begin(place.store, COURSE, place.enrolled[1:])


def expire(place: Place) -> None:
    place.clock.now_ms += DAY_MS
    assert place.store.purge() == 1


# What a record says beside its action: the course, the cohort, the trainee by number, counts, and other details.
CHANGES: dict[str, tuple[Callable[[Place], object], dict[str, object]]] = {
    "training.create_course": (
        lambda p: add_course(p.store, small_course(course_id="00000000000000c2")),
        {"course": "00000000000000c2", "counts": {"pictures": 77, "people": 10}},
    ),
    "training.delete_course": (lambda p: p.store.delete_course(ID), {"course": ID, "counts": {"cohorts": 1}}),
    "training.create_cohort": (
        lambda p: p.store.create_cohort(ID, "Tuesday", 3, DAY_MS),
        {"course": ID, "cohort": None, "counts": {"trainees": 3}},
    ),
    "training.add_trainees": (
        lambda p: p.store.add_trainees(p.cohort.cohort_id, 4),
        {"cohort": True, "counts": {"trainees": 4}},
    ),
    "training.close_sitting": (
        lambda p: p.store.set_closed(p.cohort.cohort_id, "day-1", True),
        {"course": ID, "cohort": True, "counts": {"sessions": 1}},
    ),
    "training.open_sitting": (
        lambda p: p.store.set_closed(p.cohort.cohort_id, "day-1", False),
        {"course": ID, "cohort": True},
    ),
    "training.extend_time": (
        lambda p: p.store.extend(p.cohort.cohort_id, p.enrolled[0].trainee_id, 60_000),
        {"course": ID, "cohort": True, "trainee": 0, "counts": {"trainees": 0, "seconds": 60}},
    ),
    "training.delete_cohort": (lambda p: p.store.delete_cohort(p.cohort.cohort_id), {"cohort": True}),
    "training.delete_trainee": (
        lambda p: p.store.delete_trainee(p.enrolled[0].trainee_id),
        {"cohort": True, "trainee": 0},
    ),
    "training.start_session": (start_other, {"course": ID, "trainee": 1}),
    "training.submit_probe": (
        lambda p: p.lock(Step.SEND_PROBE, Answer(ProbeSent("e" * 64))),
        {"course": ID, "trainee": 0, "detail": {"trial": "0", "step": "send_probe"}},
    ),
    "training.lock": (
        lambda p: p.lock(Step.NOTE, Answer(Notes("a secret note"))),
        {"course": ID, "trainee": 0, "detail": {"trial": "0", "step": "note"}},
    ),
    "training.decide": (
        lambda p: p.lock(Step.RATE, Answer(PairRating(3))),
        {"course": ID, "trainee": 0, "detail": {"trial": "0", "step": "rate"}},
    ),
    "training.finish_session": (finish, {"course": ID, "trainee": 0}),
    "training.set_probe_key": (lambda p: p.store.set_probe_key(ID, "b" * 64, "person 4"), {"course": ID}),
    "training.purge": (expire, {"counts": {"cohorts": 1}}),
}


@pytest.mark.parametrize("action", CHANGES)
def test_a_change_is_told_with_who_asked_for_it(place: Place, action: str) -> None:
    change, expected = CHANGES[action]
    before, pseudonyms = place.seq, pseudonyms_of(place.store)
    with attributed(WHO):
        change(place)
    (record,) = place.records(before)
    assert (record.action, record.outcome, record.actor, record.roles) == (action, "OK", "key:k3", ("trainer",))
    assert (record.request_id, record.at_ms) == ("r-1", place.clock.now_ms)
    detail = dict(record.detail)
    assert detail.pop("course", None) == expected.get("course")
    if action == "training.create_cohort":
        (created, _) = sorted(place.store.cohorts(), key=lambda one: one.display_name, reverse=True)
        assert detail.pop("cohort") == pseudonyms.other("cohort", created.cohort_id)
    elif "cohort" in expected:
        assert detail.pop("cohort") == pseudonyms.other("cohort", place.cohort.cohort_id)
    if isinstance(number := expected.get("trainee"), int):
        assert detail.pop("trainee") == pseudonyms.other("trainee", place.enrolled[number].trainee_id)
    assert detail == expected.get("detail", {})
    assert dict(record.counts) == expected.get("counts", {})
    assert (record.subjects, record.gallery, record.case) == ((), None, None)


def test_a_closed_sitting_takes_nothing_but_its_end(place: Place, location: Location) -> None:
    cohort_id = place.cohort.cohort_id
    assert place.store.set_closed(cohort_id, SITTING, True).closed == {SITTING}
    halted = place.store.session(place.session.session_id)
    assert (halted.paused_ms, halted.trials) == (NOW_MS, ())
    with pytest.raises(SittingClosed):
        place.lock(Step.RATE, Answer(PairRating(3)))
    with pytest.raises(SittingClosed):
        start_other(place)
    assert place.store.session(place.session.session_id) == halted
    with open_store(location, place.clock) as again:
        assert again.cohort(cohort_id).closed == {SITTING}
        assert again.sessions_of(place.enrolled[0].trainee_id) == (halted,)
    with pytest.raises(UnknownSitting):
        place.store.set_closed(cohort_id, "no such", True)
    finish(place)
    assert place.store.set_closed(cohort_id, SITTING, False).closed == place.store.cohort(cohort_id).closed == set()
    start_other(place)


def test_a_list_of_closed_sittings_of_another_cohort_is_damage(place: Place, location: Location) -> None:
    other, _ = place.store.create_cohort(ID, "Tuesday", 1, DAY_MS)
    place.store.set_closed(other.cohort_id, SITTING, True)
    taken = "(SELECT closed FROM cohorts WHERE closed IS NOT NULL LIMIT 1)"
    damage(location, f"UPDATE cohorts SET closed = {taken}")
    with pytest.raises(StoreCorrupt):
        place.store.cohort(place.cohort.cohort_id)


def test_time_is_added_to_a_block_a_day_at_most(place: Place) -> None:
    def run(_: Course, session: Session) -> tuple[Session, None]:
        return replace(session, block_started_ms=NOW_MS), None

    store, cohort_id, session_id = place.store, place.cohort.cohort_id, place.session.session_id
    start_other(place)  # whose block has not begun
    store.change(session_id, run).result()
    assert store.extend(cohort_id, "", DAY_MS - 60_000) == (place.enrolled[0].trainee_id,)
    assert store.session(session_id).extended == {"pre": DAY_MS - 60_000}
    with pytest.raises(InvalidField):
        store.extend(cohort_id, "", 60_001)
    assert store.extend(cohort_id, place.enrolled[1].trainee_id, 60_000) == ()
    assert store.session(session_id).extended == {"pre": DAY_MS - 60_000}


def test_every_step_is_a_probe_a_note_or_a_decision(place: Place) -> None:
    before = place.seq
    for step in Step:
        place.lock(step, Answer(Notes("n")))
    told = {record.detail["step"]: record.action for record in place.records(before)}
    other = {Step.NOTE: "training.lock", Step.OBSERVE: "training.lock", Step.SEND_PROBE: "training.submit_probe"}
    assert told == {step: other.get(step, "training.decide") for step in Step}


def test_no_code_no_id_of_a_session_or_trainee_and_no_answer_is_in_any_record(place: Place) -> None:
    for action in ("training.lock", "training.decide", "training.set_probe_key", "training.start_session"):
        CHANGES[action][0](place)
    with place.store.auditing() as audit:
        told = b"".join(kept.body for kept in audit.every()).decode()
    session = place.store.session(place.session.session_id)
    for text in (
        *(new.code for new in place.enrolled),
        *(new.trainee_id for new in place.enrolled),
        place.cohort.cohort_id,
        session.session_id,
        *(trial.trial_id for trial in session.trials),
        *(trial.item_id for trial in session.trials),
        session.sitting,
        "Monday",
        "secret",
        "person",
        "rating",
        "b" * 64,
    ):
        assert text not in told


def test_what_changes_nothing_and_what_is_refused_is_not_told(place: Place) -> None:
    before = place.seq
    begin(place.store, COURSE, place.enrolled[:1])  # it goes on
    place.store.change(place.session.session_id, lambda _, session: (session, None)).result()
    place.store.change(place.session.session_id, lambda _, session: (shown(COURSE, session), None)).result()
    assert place.store.purge() == 0
    with pytest.raises(UnknownCohort):
        place.store.delete_cohort("f" * 16)
    with pytest.raises(InvalidField):
        place.store.set_probe_key(ID, "b" * 64, "nobody here")
    with pytest.raises(ValueError, match="there is a course"):
        add_course(place.store, COURSE)
    assert place.seq == before
    finish(place)  # the control
    assert place.seq == before + 1


def test_a_change_that_cannot_be_told_is_not_made(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreFailed("The disk is gone.")

    before = place.seq
    with monkeypatch.context() as patched:
        patched.setattr(Transaction, "record", fail)
        with pytest.raises(StoreFailed):
            place.store.delete_trainee(place.enrolled[0].trainee_id)
    assert place.seq == before
    assert place.store.trainee(place.enrolled[0].trainee_id).number == 0
    place.store.delete_trainee(place.enrolled[0].trainee_id)
    assert place.seq == before + 1


def test_two_stores_of_one_folder_write_one_chain(place: Place, location: Location) -> None:
    before = place.seq
    with open_store(location) as other:
        for number in range(4):
            (place.store if number % 2 else other).set_probe_key(ID, f"{number:064x}", None)
        assert [record.seq for record in records(other, before)] == list(range(before + 1, before + 5))
        assert pseudonyms_of(other).other("trainee", "T") == pseudonyms_of(place.store).other("trainee", "T")
        assert checkpoint_of(other).hash == checkpoint_of(place.store).hash


def damage(location: Location, sql: str) -> None:
    outside(location, SCHEMA, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit SET mac = zeroblob(16) WHERE seq = 2",
        "UPDATE audit SET hash = zeroblob(32) WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 3",
        "INSERT INTO audit SELECT 4, body, hash, mac FROM audit WHERE seq = 3",
        "UPDATE audit_head SET seq = 2",
        "DELETE FROM audit_head",
    ],
)
def test_a_store_with_an_altered_audit_does_not_open(place: Place, location: Location, sql: str) -> None:
    place.store.close()
    damage(location, "UPDATE audit SET mac = mac")
    open_store(location).close()  # the control: an untouched store opens
    damage(location, sql)
    for _ in range(2):  # it was let go
        with pytest.raises(StoreCorrupt) as refused:
            open_store(location)
        assert refused.value.metadata["check"] in ("audit", "audit_head")
