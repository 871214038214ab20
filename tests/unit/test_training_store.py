"""The store of training: courses, cohorts and sessions, as one process and as two see them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from fr_core.errors import InvalidField, StoreCorrupt, StoreInUse, WrongKey
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Location
from fr_training.courses import Course
from fr_training.errors import UnknownCohort, UnknownCourse, UnknownSession, UnknownTrainee, WrongStep
from fr_training.store.caches import Pictures, Remembered, Sessions
from fr_training.store.schema import SCHEMA
from fr_training.store.training_store import TrainingStore
from fr_training.store.transaction import Transaction
from fr_training.store.values import ProbeTruth
from fr_training.trials import Session
from support.stores import content, outside
from support.training_stores import (
    DAY_MS,
    KEY,
    NOW_MS,
    SITTING,
    Clock,
    Gate,
    add_course,
    answered,
    begin,
    open_store,
    pictures_of,
    session_of,
    shown,
    small_course,
)

COURSE = small_course()
ID = COURSE.course_id


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(location: Location, clock: Clock) -> Iterator[TrainingStore]:
    with open_store(location, clock) as store:
        yield store


@pytest.fixture
def session(store: TrainingStore) -> Session:
    add_course(store, COURSE)
    _, enrolled = store.create_cohort(ID, "Monday", 1, DAY_MS)
    return begin(store, COURSE, enrolled)[0]


def show(_: Course, session: Session) -> tuple[Session, int]:
    return shown(COURSE, session), len(session.trials)


def lock(_: Course, session: Session) -> tuple[Session, None]:
    return answered(session), None


def damage(location: Location, sql: str) -> None:
    outside(location, SCHEMA, sql)


def test_a_course_comes_back_after_the_store_was_closed(location: Location) -> None:
    pictures = pictures_of(COURSE)
    with open_store(location) as store:
        add_course(store, COURSE, {"a" * 64: 3, "b" * 64: None})
        assert store.course(ID) is COURSE or store.course(ID) == COURSE
    with open_store(location) as store:
        assert store.course(ID) == COURSE
        assert store.course(ID) is store.course(ID)
        assert [store.picture(ID, n) for n in range(len(pictures))] == list(pictures)
        assert store.picture(ID, 5) is store.picture(ID, 5)
        with pytest.raises(IndexError):
            store.picture(ID, 10_000)
        assert store.gallery(ID) == {person: person + 1 for person in range(10)}
        assert store.probe_truth(ID, "A" * 64) == ProbeTruth(True, 3)
        assert store.probe_truth(ID, "b" * 64) == ProbeTruth(True, None)
        assert store.probe_truth(ID, "c" * 64) == ProbeTruth(False, None)


def test_probe_keys_are_set_by_identity(store: TrainingStore) -> None:
    add_course(store, COURSE, {"a" * 64: 3})
    store.set_probe_key(ID, "c" * 64, "person 7")
    store.set_probe_key(ID, "a" * 64, None)
    assert store.probe_truth(ID, "c" * 64) == ProbeTruth(True, 7)
    assert store.probe_truth(ID, "a" * 64) == ProbeTruth(True, None)
    with pytest.raises(InvalidField) as refusal:
        store.set_probe_key(ID, "d" * 64, "nobody here")
    assert "nobody here" not in str(refusal.value)
    assert store.probe_truth(ID, "d" * 64) == ProbeTruth(False, None)


def test_a_deleted_course_is_gone_with_all_that_is_of_it(store: TrainingStore, session: Session) -> None:
    other = small_course(course_id="0" * 16)
    add_course(store, other)
    cohort = store.cohorts()[0]
    assert store.delete_course(ID) == COURSE
    for asked in (store.course, store.delete_course, store.gallery, lambda one: store.picture(one, 0)):
        with pytest.raises(UnknownCourse):
            asked(ID)
    with pytest.raises(UnknownCohort):
        store.cohort(cohort.cohort_id)
    with pytest.raises(UnknownSession):
        store.session(session.session_id)
    assert store.courses() == (other,)
    with store._database.reading() as now:
        (found,) = now.rows(
            "SELECT (SELECT count(*) FROM pictures), (SELECT count(*) FROM identities), (SELECT count(*) FROM cohorts),"
            " (SELECT count(*) FROM trainees), (SELECT count(*) FROM sessions), (SELECT count(*) FROM courses)"
        )
    assert found == (len(pictures_of(other)), 10, 0, 0, 0, 1)


def test_a_cohort_and_its_trainees(store: TrainingStore) -> None:
    add_course(store, COURSE)
    for number in (0, 1_001):
        with pytest.raises(InvalidField):
            store.create_cohort(ID, "", number, 1)
    assert store.cohorts() == ()
    cohort, enrolled = store.create_cohort(ID, "Monday", 3, DAY_MS)
    assert cohort == store.cohort(cohort.cohort_id)
    assert (cohort.display_name, cohort.trainees, cohort.expires_ms) == ("Monday", 3, NOW_MS + DAY_MS)
    more = store.add_trainees(cohort.cohort_id, 2)
    trainees = store.trainees(cohort.cohort_id)
    assert [trainee.trainee_id for trainee in trainees] == [new.trainee_id for new in (*enrolled, *more)]
    assert [(one.number, one.group) for one in trainees] == [(0, 0), (1, 1), (2, 0), (3, 1), (4, 0)]
    for new, trainee in zip((*enrolled, *more), trainees, strict=True):
        assert store.trainee_of_code(new.code.lower()) == trainee == store.trainee(new.trainee_id)
        assert new.code not in repr(new)
    assert store.cohort(cohort.cohort_id).trainees == 5
    store.delete_trainee(enrolled[1].trainee_id)
    assert store.cohort(cohort.cohort_id).trainees == 4
    store.add_trainees(cohort.cohort_id, 1)
    assert [one.number for one in store.trainees(cohort.cohort_id)] == [0, 2, 3, 4, 5]  # no number comes twice


def test_a_person_of_a_platform_is_one_trainee_of_each_cohort(store: TrainingStore) -> None:
    add_course(store, COURSE)
    one, other = (store.create_cohort(ID, "", 1, DAY_MS)[0].cohort_id for _ in range(2))
    first = store.join(one, "https://lms.example", "client", "someone")
    assert store.join(one, "https://lms.example", "client", "someone") == first
    assert store.trainee_of_code(first.code).trainee_id == first.trainee_id
    others = [
        store.join(one, "https://lms.example", "client", "somebody"),
        store.join(one, "https://lms.example", "another", "someone"),
        store.join(one, "https://other.example", "client", "someone"),
        store.join(other, "https://lms.example", "client", "someone"),
    ]
    assert len({first.code, *(found.code for found in others)}) == 5
    assert store.cohort(one).trainees == 5
    store.delete_trainee(first.trainee_id)
    again = store.join(one, "https://lms.example", "client", "someone")
    assert again.trainee_id != first.trainee_id, "who was deleted begins anew"
    with pytest.raises(UnknownCohort):
        store.join("0" * 16, "https://lms.example", "client", "someone")


def test_cohorts_in_pages_of_one_course_or_of_all(store: TrainingStore, clock: Clock) -> None:
    other = small_course(course_id="0" * 16)
    for course in (COURSE, other):
        store.add_course(course, (), {}, {}, {})
    made = []
    for n in range(5):
        clock.now_ms = NOW_MS + n
        made.append(store.create_cohort((COURSE if n % 2 else other).course_id, str(n), 1, DAY_MS)[0])
    newest = made[::-1]
    assert list(store.cohorts(size=2)) == newest[:2]
    assert list(store.cohorts(None, (newest[1].created_ms, newest[1].cohort_id), 9)) == newest[2:]
    assert [one.display_name for one in store.cohorts(ID)] == ["3", "1"]
    assert [one.display_name for one in store.cohorts(ID, (made[3].created_ms, made[3].cohort_id))] == ["1"]


def test_a_cohort_whose_time_is_over_is_there_for_nobody(store: TrainingStore, session: Session, clock: Clock) -> None:
    kept, _ = store.create_cohort(ID, "longer", 1, 2 * DAY_MS)
    cohort = next(one for one in store.cohorts() if one.display_name == "Monday")
    (trainee,) = store.trainees(cohort.cohort_id)
    assert store.purge() == 0
    clock.now_ms += DAY_MS
    with pytest.raises(UnknownCohort):
        store.cohort(cohort.cohort_id)
    with pytest.raises(UnknownCohort):
        store.changes_since(cohort.cohort_id, -1)
    with pytest.raises(UnknownTrainee):
        store.start_session(trainee, "day-2", lambda: session)
    with pytest.raises(UnknownSession):
        store.change(session.session_id, show).result()
    assert store.cohorts() == (kept,)
    assert (store.purge(), store.purge()) == (1, 0)
    with store._database.reading() as now:
        assert now.rows("SELECT count(*) FROM sessions") == [(0,)]
    assert store.cohorts() == (kept,)


def test_a_session_is_made_once(store: TrainingStore, session: Session) -> None:
    trainee = store.trainee(session.trainee_id)

    def another() -> Session:
        raise AssertionError("made twice")

    assert store.start_session(trainee, SITTING, another) == session
    other = session_of(COURSE, trainee.trainee_id, sitting="day-2")
    with pytest.raises(ValueError, match="another trainee"):
        store.start_session(trainee, "day-2", lambda: session)
    assert store.start_session(trainee, "day-2", lambda: other) == other
    assert store.sessions_of(trainee.trainee_id) == (session, other)


def test_two_who_begin_at_once_get_the_same_session(store: TrainingStore, location: Location) -> None:
    add_course(store, COURSE)
    _, enrolled = store.create_cohort(ID, "", 1, DAY_MS)
    trainee = store.trainee(enrolled[0].trainee_id)
    with open_store(location) as other, ThreadPoolExecutor(8) as pool:
        begun = [
            pool.submit(
                (store, other)[n % 2].start_session,
                trainee,
                SITTING,
                lambda n=n: session_of(COURSE, trainee.trainee_id, seed=n),  # type: ignore[misc]
            )
            for n in range(16)
        ]
        assert len({one.result().session_id for one in begun}) == 1


def test_a_change_is_kept_and_its_result_returned(location: Location, store: TrainingStore, session: Session) -> None:
    for n in range(5):
        assert store.change(session.session_id, show).result() == n
        store.change(session.session_id, lock).result()
    finished = store.change(session.session_id, lambda _, one: (replace(one, finished_ms=7), "over"))
    assert finished.result() == "over"
    expected = session
    for _ in range(5):
        expected = answered(shown(COURSE, expected))
    expected = replace(expected, finished_ms=7)
    assert store.session(session.session_id) == expected
    store._sessions._cache.keep_only([])
    assert store.session(session.session_id) == expected
    with open_store(location) as other:
        assert other.session(session.session_id) == expected
        assert other.sessions_of(session.trainee_id) == (expected,)


def test_changes_of_one_group_build_on_each_other(store: TrainingStore, session: Session) -> None:
    gate = Gate(lambda job: store.change(session.session_id, job))
    group = [store.change(session.session_id, change) for _ in range(20) for change in (show, lock)]
    gate.open()
    assert [one.result() for one in group[::2]] == list(range(20))
    assert all(len(trial.locked) == 1 for trial in store.session(session.session_id).trials)


def test_what_a_job_wrote_before_it_failed_is_undone_and_no_more(store: TrainingStore, session: Session) -> None:
    kept: list[str] = []

    def fail(tx: Transaction) -> None:
        assert tx.write("DELETE FROM trials") == 1
        tx.when_kept(lambda: kept.append("of the failed"))
        assert tx.version() > 0
        raise WrongStep("It is not that one.")

    store.change(session.session_id, show).result()
    version = store.cohort_version(store.cohorts()[0].cohort_id)
    gate = Gate(lambda job: store.change(session.session_id, job))
    failed = store._writer.submit(fail)
    second = store.change(session.session_id, lock)
    gate.open()
    assert isinstance(failed.exception(), WrongStep)
    assert (second.result(), kept) == (None, [])
    store._sessions._cache.keep_only([])
    assert store.session(session.session_id) == answered(shown(COURSE, session))
    with store._database.reading() as now:
        assert now.rows("SELECT last_version FROM versions") == [(version + 1,)]


def test_where_the_database_fails_the_whole_group_does(store: TrainingStore, session: Session) -> None:
    gate = Gate(lambda job: store.change(session.session_id, job))
    first = store.change(session.session_id, show)
    failed = store._writer.submit(lambda tx: tx.write("INSERT INTO trials VALUES (999, 0, 0, ?)", b"\0"))
    gate.open()
    for future in (first, failed):
        with pytest.raises(StoreCorrupt):
            future.result()
    assert store.change(session.session_id, show).result() == 0


def test_nothing_is_written_where_nothing_changes(store: TrainingStore, session: Session) -> None:
    store.change(session.session_id, show).result()
    cohort = store.cohorts()[0]
    version = store.cohort_version(cohort.cohort_id)
    same = store.session(session.session_id)
    assert store.change(session.session_id, lambda _, one: (one, one)).result() == same
    store.change(session.session_id, lambda _, one: (replace(one), None)).result()
    assert store.cohort_version(cohort.cohort_id) == version
    store.change(session.session_id, lock).result()
    assert store.cohort_version(cohort.cohort_id) > version


@pytest.mark.parametrize(
    "wrong",
    [
        lambda one: replace(one, trials=()),
        lambda one: replace(one, trainee_id="T-00000000"),
        lambda one: replace(one, secret=bytes(32)),
        lambda one: replace(one, trials=(*one.trials, one.trials[0])),
    ],
)
def test_a_change_cannot_make_another_session(store: TrainingStore, session: Session, wrong: object) -> None:
    assert callable(wrong)
    store.change(session.session_id, show).result()
    with pytest.raises(ValueError):
        store.change(session.session_id, lambda _, one: (wrong(one), None)).result()
    assert store.session(session.session_id) == shown(COURSE, session)


def test_what_one_process_writes_another_sees(location: Location, store: TrainingStore, session: Session) -> None:
    with open_store(location) as other:
        for n in range(6):
            writes, reads = (store, other) if n % 2 else (other, store)
            assert writes.change(session.session_id, show).result() == n
            assert reads.session(session.session_id).trials == writes.session(session.session_id).trials
            reads.change(session.session_id, lock).result()
        assert store.session(session.session_id) == other.session(session.session_id)
        assert all(trial.done for trial in store.session(session.session_id).trials)
        cohort = other.cohorts()[0]
        other.delete_cohort(cohort.cohort_id)
        with pytest.raises(UnknownSession):
            store.change(session.session_id, show).result()


def test_a_deleted_trainee_is_gone(store: TrainingStore, session: Session) -> None:
    store.change(session.session_id, show).result()
    store.delete_trainee(session.trainee_id)
    with pytest.raises(UnknownSession):
        store.session(session.session_id)
    with pytest.raises(UnknownTrainee):
        store.trainee(session.trainee_id)
    with store._database.reading() as now:
        assert now.rows("SELECT count(*) FROM trials") == [(0,)]


@pytest.mark.parametrize(
    ("sql", "asked"),
    [
        ("UPDATE trials SET sealed = zeroblob(40)", "session"),
        ("DELETE FROM trials WHERE ordinal = 0", "session"),
        ("UPDATE sessions SET sealed = zeroblob(40)", "session"),
        ("UPDATE sessions SET trials = 1", "session"),
        ("UPDATE sessions SET sitting = 'day-2'", "session"),
        ("UPDATE trials SET ordinal = 1 - ordinal", "session"),
        ("UPDATE trainees SET number = number + 1", "trainee"),
        ("UPDATE cohorts SET expires_ms = expires_ms + 1", "cohort"),
        ("UPDATE courses SET created_ms = 5", "course"),
        ("UPDATE pictures SET number = 1 - number WHERE number IN (0, 1)", "picture"),
    ],
)
def test_an_altered_row_is_damage(location: Location, sql: str, asked: str) -> None:
    with open_store(location) as store:
        add_course(store, COURSE)
        cohort, enrolled = store.create_cohort(ID, "", 1, DAY_MS)
        (session,) = begin(store, COURSE, enrolled)
        for _ in range(2):
            store.change(session.session_id, show).result()
    with open_store(location) as store:
        if "1 - " in sql:  # a unique key stands in the way of a swap
            table, column = sql.split()[1], sql.split()[3]
            for step in (f"{column} = {column} + 100", f"{column} = 101 - {column}"):
                condition = f"WHERE {column} IN (0, 1, 100, 101)"
                damage(location, f"UPDATE {table} SET {step} {condition}")
        else:
            damage(location, sql)
        ask: dict[str, Callable[[], object]] = {
            "session": lambda: store.session(session.session_id),
            "trainee": lambda: store.trainee(session.trainee_id),
            "cohort": lambda: store.cohort(cohort.cohort_id),
            "course": lambda: store.course(ID),
            "picture": lambda: store.picture(ID, 0),
        }
        with pytest.raises(StoreCorrupt):
            ask[asked]()


def test_a_new_key_takes_the_place_of_the_old(location: Location) -> None:
    new_key = KeyEncryptionKey(bytes(32))
    with open_store(location) as store:
        add_course(store, COURSE)
        cohort, enrolled = store.create_cohort(ID, "", 1, DAY_MS)
        begin(store, COURSE, enrolled)
        with open_store(location) as other, pytest.raises(StoreInUse):
            other.put_under(new_key)
        store.put_under(new_key)
        assert store.cohort(cohort.cohort_id) == cohort
        store.create_cohort(ID, "after", 1, DAY_MS)
    with pytest.raises(WrongKey):
        open_store(location)
    with TrainingStore.open(location, new_key, Clock()) as store:
        assert store.course(ID) == COURSE
        assert len(store.cohorts()) == 2
        assert len(store.changes_since(cohort.cohort_id, -1).sessions) == 1
        assert store.trainee_of_code(enrolled[0].code).trainee_id == enrolled[0].trainee_id


def test_caches_are_bounded_and_forget_what_was_used_least() -> None:
    one = session_of(COURSE, "T-1")
    for _ in range(3):
        one = shown(COURSE, one)
    sessions = Sessions(max_trials=12)
    for number in range(3):
        sessions.put(number, Remembered(1, one))
    assert sessions.get(0) is not None
    sessions.put(3, Remembered(1, one))
    assert [sessions.get(number) is not None for number in range(4)] == [True, False, True, True]
    sessions.put(3, Remembered(0, one))
    assert sessions.get(3) == Remembered(1, one)
    sessions.keep_only([0])
    assert [sessions.get(number) is not None for number in range(4)] == [True, False, False, False]
    pictures = Pictures(max_bytes=100)
    for number in range(5):
        pictures.put(("1", number), bytes(40))
        pictures.get(("1", 0))
    assert [pictures.get(("1", number)) is not None for number in range(5)] == [True, False, False, False, True]
    pictures.put(("2", 0), bytes(40))
    pictures.forget_if(lambda key: key[0] != "2")
    assert (pictures.get(("1", 0)), pictures.get(("2", 0))) == (None, bytes(40))
    pictures.put(("2", 1), bytes(60))  # what was forgotten is not counted any more
    assert pictures.get(("2", 0)) is not None


def test_ids_and_secrets_are_nowhere_in_clear(location: Location, store: TrainingStore, session: Session) -> None:
    cohort, enrolled = store.create_cohort(ID, "Name of the cohort", 1, DAY_MS)
    store.set_probe_key(ID, "ab" * 32, "person 3")
    store.change(session.session_id, show).result()
    item = next(iter(COURSE.forms.values())).items[0]
    held = content(location, SCHEMA)
    assert cohort.cohort_id.encode() in held  # what is searched for can be found
    for secret in (
        enrolled[0].code.encode(),
        enrolled[0].code.replace("-", "").encode(),
        session.session_id.encode(),
        session.secret,
        session.secret.hex().encode(),
        b"Name of the cohort",
        b"person 3",
        b"ab" * 32,
        b"A small course",
        item.item_id.encode(),
        pictures_of(COURSE)[0][:64],
        KEY.secret,
    ):
        assert secret not in held
