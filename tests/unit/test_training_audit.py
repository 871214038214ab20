"""What the audit keeps of training: a record for each change, with it or not at all, and nothing for a trainee."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from fr_core.errors import InvalidField, StoreCorrupt, StoreFailed
from fr_core.storage.audit.attribution import Attribution, attributed
from fr_core.storage.audit.values import Record
from fr_core.storage.audit.verify import Verified, verify
from fr_core.storage.schema import Schema
from fr_training.answers import Answer, Notes, PairRating, ProbeSent
from fr_training.courses import Course
from fr_training.errors import UnknownCohort
from fr_training.prompts import Step
from fr_training.store.schema import DATABASE_NAME, MIGRATIONS, SCHEMA
from fr_training.store.training_store import TrainingStore
from fr_training.store.transaction import Transaction
from fr_training.store.values import Cohort, NewTrainee
from fr_training.trials import Locked, Session
from support.audits import checkpoint_of, pseudonyms_of
from support.training_stores import DAY_MS, KEY, NOW_MS, Clock, add_course, begin, open_store, shown, small_course

COURSE = small_course()
ID = COURSE.course_id
WHO = Attribution("key:k3", ("trainer",), "r-1")


class Place:
    """A store with a course, a cohort of two, and the session of the first."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.store = open_store(folder, self.clock)
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
        """Show a trial, and lock an answer to one of its steps."""

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
def folder(tmp_path: Path) -> Path:
    return tmp_path / "training"


@pytest.fixture
def place(folder: Path) -> Iterator[Place]:
    found = Place(folder)
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


def test_two_stores_of_one_folder_write_one_chain(place: Place, folder: Path) -> None:
    before = place.seq
    with open_store(folder) as other:
        for number in range(4):
            (place.store if number % 2 else other).set_probe_key(ID, f"{number:064x}", None)
        assert [record.seq for record in records(other, before)] == list(range(before + 1, before + 5))
        assert pseudonyms_of(other).other("trainee", "T") == pseudonyms_of(place.store).other("trainee", "T")
        assert checkpoint_of(other).hash == checkpoint_of(place.store).hash


def damage(folder: Path, sql: str) -> None:
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        connection.execute(sql).fetchall()


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
def test_a_store_with_an_altered_audit_does_not_open(place: Place, folder: Path, sql: str) -> None:
    place.store.close()
    damage(folder, "UPDATE audit SET mac = mac")
    open_store(folder).close()  # the control: an untouched store opens
    damage(folder, sql)
    for _ in range(2):  # it was let go
        with pytest.raises(StoreCorrupt) as refused:
            open_store(folder)
        assert refused.value.metadata["check"] in ("audit", "audit_head")


def test_a_store_of_before_the_audit_begins_a_chain(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old: Schema = replace(SCHEMA, migrations=MIGRATIONS[:1])
    with monkeypatch.context() as patched:
        patched.setattr(TrainingStore, "SCHEMA", old)
        patched.setattr(Transaction, "record", lambda *_, **__: None)
        place = Place(folder)
        place.store.close()
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        assert connection.pragma("user_version") == 1
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'audit%'").get == 0
    with open_store(folder) as store:
        assert records(store) == []
        assert store.session(place.session.session_id).trainee_id == place.enrolled[0].trainee_id
        with attributed(WHO):
            store.delete_trainee(place.enrolled[0].trainee_id)
        assert [record.action for record in records(store)] == ["training.delete_trainee"]
    with open_store(folder) as store:
        assert checkpoint_of(store).seq == 1


def test_the_chain_goes_on_under_another_key(place: Place, folder: Path) -> None:
    other_key = replace(KEY, secret=bytes(range(1, 33)))
    checkpoint = checkpoint_of(place.store)
    place.store.put_under(other_key)
    place.store.set_probe_key(ID, "b" * 64, None)
    place.store.close()
    with TrainingStore.open(folder, other_key, Clock()) as store, store.auditing() as audit:
        assert verify(audit, [checkpoint]) == Verified(checkpoint.chain_id, checkpoint.seq + 1, checkpoint.seq + 1, 1)
