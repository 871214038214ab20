"""Keeps cohorts and trainees."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from fr_core.errors import InvalidField, StoreCorrupt, message
from fr_core.storage.audit.attribution import current_attribution
from fr_core.storage.protocol import Database, Row, Statements
from fr_core.storage.schema import next_of
from fr_core.storage.store import Clearing
from fr_core.storage.vault import DataKey, Vault
from fr_core.storage.writer import Writer
from fr_training.errors import UnknownCohort, UnknownTrainee
from fr_training.store.caches import Recent
from fr_training.store.codec import dump, reading
from fr_training.store.codes import new_code, new_pseudonym, typed_code
from fr_training.store.courses import Courses
from fr_training.store.schema import GONE, READY, SCHEMA, Owner
from fr_training.store.transaction import Transaction
from fr_training.store.values import Cohort, NewTrainee, Trainee

MAX_TRAINEES = 1_000  # that are enrolled at once

# What a trainee takes of the disk until an answer comes.
_TRAINEE_BYTES = 400
_ID_BYTES = 8
_MAX_KEYS = 1_024

_INSERT = """
INSERT INTO cohorts (cohort_id, course_no, created_ms, expires_ms, state, enrolled, version, wrapped_key, sealed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING cohort_no
"""
_SET = "UPDATE cohorts SET wrapped_key = ?, sealed = ? WHERE cohort_no = ?"
_CLOSE = "UPDATE cohorts SET closed = ?, version = ? WHERE cohort_no = ?"
_COHORTS = """
SELECT c.cohort_no, c.cohort_id, c.course_no, c.created_ms, c.expires_ms, c.sealed, c.closed, k.course_id,
    (SELECT count(*) FROM trainees t WHERE t.cohort_no = c.cohort_no)
FROM cohorts c JOIN courses k ON k.course_no = c.course_no
"""
_THERE = f"c.state = {READY} AND c.expires_ms > ?"
_INSERT_TRAINEE = """
INSERT INTO trainees (trainee_id, cohort_no, number, version, code_mac, mac) VALUES (?, ?, ?, ?, ?, ?)
"""
_TRAINEES = """
SELECT t.trainee_id, c.cohort_id, t.number, t.cohort_no, t.code_mac, t.mac
FROM trainees t JOIN cohorts c ON c.cohort_no = t.cohort_no
"""
_COHORT_OF = f"{_COHORTS} WHERE c.cohort_id = {next_of('cohorts', 'cohort_id')} AND {_THERE}"
_TRAINEE_COLUMNS = ("trainee_id", "cohort_id", "number", "cohort_no", "code_mac", "mac")
_TRAINEE_OF = {
    column: f"{_TRAINEES} WHERE t.{column} = {next_of('trainees', column)} AND {_THERE}"
    for column in ("trainee_id", "code_mac")
}


@dataclass(eq=False)
class Cohorts:
    """Cohorts and trainees, as a room of `TrainingStore`; `token_bytes` returns so many random bytes."""

    _database: Database
    _writer: Writer[Transaction]
    _clearing: Clearing[Transaction]
    _courses: Courses
    _clock_ms: Callable[[], int]
    _token_bytes: Callable[[int], bytes]
    keys: Recent[int, DataKey] = field(default_factory=lambda: Recent(_MAX_KEYS))

    def create(
        self, course_id: str, display_name: str, trainees: int, retention_ms: int
    ) -> tuple[Cohort, tuple[NewTrainee, ...]]:
        """Make a cohort of 1 to `MAX_TRAINEES` trainees, which is there for nobody after `retention_ms`.

        Returns the cohort, and its trainees with their codes, in the order of their numbers. Raises `UnknownCourse`,
        and `InvalidField` of the number of trainees.
        """
        _require_count(trainees)
        by = current_attribution()

        def insert(tx: Transaction) -> tuple[Cohort, tuple[NewTrainee, ...]]:
            course = self._courses.known(tx, course_id)
            tx.require_room(_TRAINEE_BYTES * (10 + trainees))
            cohort_id, now = self._token_bytes(_ID_BYTES).hex(), self._clock_ms()
            cohort = Cohort(cohort_id, course_id, display_name, now, now + retention_ms, trainees)
            state = (now, cohort.expires_ms, READY, trainees, tx.version())
            cohort_no = tx.number(_INSERT, cohort_id, course.course_no, *state, b"", b"")
            key, wrapped = tx.vault.new_key(Owner.COHORT, cohort_no)
            bound_to = _bound(cohort_no, cohort_id, course.course_no, now, cohort.expires_ms)
            tx.write(_SET, wrapped, key.seal(display_name.encode(), bound_to), cohort_no)
            counts = {"trainees": trainees}
            tx.record(by, "training.create_cohort", course=course_id, cohort=cohort_id, counts=counts)
            return cohort, self._enrolled(tx, cohort_no, 0, trainees)

        return self._writer.run(insert)

    def add_trainees(self, cohort_id: str, trainees: int) -> tuple[NewTrainee, ...]:
        """Enrol so many more; raises `UnknownCohort`, and `InvalidField` as `create_cohort`."""
        _require_count(trainees)
        by = current_attribution()

        def insert(tx: Transaction) -> tuple[NewTrainee, ...]:
            cohort_no = self.number(tx, cohort_id)
            tx.require_room(_TRAINEE_BYTES * trainees)
            sql = "UPDATE cohorts SET enrolled = enrolled + ?, version = ? WHERE cohort_no = ? RETURNING enrolled"
            enrolled = tx.number(sql, trainees, tx.version(), cohort_no)
            tx.record(by, "training.add_trainees", cohort=cohort_id, counts={"trainees": trainees})
            return self._enrolled(tx, cohort_no, enrolled - trainees, trainees)

        return self._writer.run(insert)

    def join(self, cohort_id: str, issuer: str, client_id: str, subject: str) -> NewTrainee:
        """Enrol a user of a learning platform, unless they are already enrolled; raises `UnknownCohort`.

        The code is derived from keyed hashes of the cohort and the user's issuer, client and subject, so the same user
        gets the same code. The store keeps only a keyed hash of the code, and nothing from the platform.
        """
        by = current_attribution()

        def insert(tx: Transaction) -> NewTrainee:
            cohort_no = self.number(tx, cohort_id)
            whose = (cohort_no, issuer, client_id, subject)
            drawn = b"".join(tx.vault.mac("platform", (*whose, half)) for half in range(2))
            code = new_code(lambda length: drawn[:length])
            code_mac = tx.vault.mac("code", (code.replace("-", ""),))
            row = tx.row("SELECT trainee_id FROM trainees WHERE code_mac = ?", code_mac)
            if row is not None:
                return NewTrainee(self._found(tx, "trainee_id", row[0]).trainee_id, code)
            tx.require_room(_TRAINEE_BYTES)
            sql = "UPDATE cohorts SET enrolled = enrolled + 1, version = ? WHERE cohort_no = ? RETURNING enrolled"
            number = tx.number(sql, tx.version(), cohort_no) - 1
            tx.record(by, "training.add_trainees", cohort=cohort_id, counts={"trainees": 1})
            return self._enrol(tx, cohort_no, number, code)

        return self._writer.run(insert)

    def get(self, cohort_id: str) -> Cohort:
        """The cohort of an id; raises `UnknownCohort`."""
        with self._database.reading() as now:
            return self.found(now, cohort_id)[1]

    def page(
        self, course_id: str | None = None, before: tuple[int, str] | None = None, size: int = 100
    ) -> tuple[Cohort, ...]:
        """A page of at most `size` cohorts, the newest first, of a course or of all; raises `UnknownCourse`.

        `before` holds `created_ms` and id of the last of the page before; None for the first page.
        """
        with self._database.reading() as now:
            where, values = f"WHERE {_THERE}", [self._clock_ms(), *(before or ())]
            if before is not None:
                where += " AND (c.created_ms, c.cohort_id) < (?, ?)"
            if course_id is not None:
                where += " AND c.course_no = ?"
                values.append(self._courses.known(now, course_id).course_no)
            sql = f"{_COHORTS} {where} ORDER BY c.created_ms DESC, c.cohort_id DESC LIMIT ?"
            return tuple(self._cohort(now, row) for row in now.rows(sql, *values, size))

    def delete(self, cohort_id: str) -> None:
        """See `TrainingStore.delete_cohort`."""
        by = current_attribution()

        def mark(tx: Transaction) -> int:
            cohort_no = self.number(tx, cohort_id)
            tx.write("UPDATE cohorts SET state = ? WHERE cohort_no = ?", GONE, cohort_no)
            tx.record(by, "training.delete_cohort", cohort=cohort_id)
            return cohort_no

        self.keys.delete(self._writer.run(mark))
        self._clearing.clear(force=True)

    def expire(self) -> int:
        """Mark those whose time is over as gone; returns how many."""
        sql = f"UPDATE cohorts SET state = {GONE} WHERE state = {READY} AND expires_ms <= ? RETURNING cohort_no"
        by = current_attribution()

        def mark(tx: Transaction) -> list[Row]:
            expired = tx.rows(sql, self._clock_ms())
            if expired:
                tx.record(by, "training.purge", counts={"cohorts": len(expired)})
            return expired

        expired = self._writer.run(mark)
        for (cohort_no,) in expired:
            self.keys.delete(cohort_no)
        return len(expired)

    def forget_deleted(self) -> None:
        """Forget the keys of cohorts that another process has deleted."""
        with self._database.reading() as now:
            there = now.rows(f"SELECT cohort_no FROM cohorts WHERE state = {READY}")
        self.keys.keep_only(cohort_no for (cohort_no,) in there)

    def trainees(self, cohort_id: str) -> tuple[Trainee, ...]:
        """All trainees of a cohort, in the order of their numbers; raises `UnknownCohort`."""
        with self._database.reading() as now:
            return self.enrolled_since(now, self.number(now, cohort_id), -1)

    def trainee(self, trainee_id: str) -> Trainee:
        """The trainee of a pseudonym; raises `UnknownTrainee`."""
        with self._database.reading() as now:
            return self._found(now, "trainee_id", trainee_id)

    def trainee_of_code(self, code: str) -> Trainee:
        """The trainee of a code, however it was typed, see `codes`; raises `UnknownTrainee`."""
        typed = typed_code(code)
        if typed is None:
            raise _unknown_trainee()
        with self._database.reading() as now:
            return self._found(now, "code_mac", now.vault.mac("code", (typed,)))

    def delete_trainee(self, trainee_id: str) -> None:
        """See `TrainingStore.delete_trainee`."""
        by = current_attribution()

        def delete(tx: Transaction) -> None:
            trainee = self._found(tx, "trainee_id", trainee_id)
            number = tx.number("SELECT trainee_no FROM trainees WHERE trainee_id = ?", trainee_id)
            cohort_of = "SELECT cohort_no FROM trainees WHERE trainee_no = ?"
            tx.write(f"UPDATE cohorts SET version = ? WHERE cohort_no = ({cohort_of})", tx.version(), number)
            sessions = "SELECT session_no FROM sessions WHERE trainee_no = ?"
            tx.write(f"DELETE FROM trials WHERE session_no IN ({sessions})", number)
            tx.write("DELETE FROM sessions WHERE trainee_no = ?", number)
            tx.write("DELETE FROM trainees WHERE trainee_no = ?", number)
            # The pseudonym stays: it is keyed, and says of nobody that it is whose.
            tx.record(by, "training.delete_trainee", cohort=trainee.cohort_id, trainee=trainee_id)

        self._writer.run(delete)
        self._clearing.scrub(force=True)

    def number(self, now: Statements, cohort_id: str) -> int:
        """The number of a cohort that is there; raises `UnknownCohort`."""
        sql = f"SELECT c.cohort_no FROM cohorts c WHERE c.cohort_id = ? AND {_THERE}"
        row = now.row(sql, cohort_id, self._clock_ms())
        if row is None:
            raise _unknown_cohort()
        return int(row[0])

    def found(self, now: Statements, cohort_id: str) -> tuple[int, Cohort, int]:
        """The number of a cohort that is there, the cohort, and its course's number; raises `UnknownCohort`."""
        row = now.row(_COHORT_OF, cohort_id, self._clock_ms())
        if row is None or (cohort := self._cohort(now, row)).cohort_id != cohort_id:
            raise _unknown_cohort()
        return row[0], cohort, row[2]

    def enrolled_since(self, now: Statements, cohort_no: int, mark: int) -> tuple[Trainee, ...]:
        """Trainees of a cohort whom transactions after that of a number enrolled, in the order of their numbers."""
        rows = now.rows(f"{_TRAINEES} WHERE t.cohort_no = ? AND t.version > ? ORDER BY t.number", cohort_no, mark)
        return tuple(_trainee(now.vault, row) for row in rows)

    def key(self, now: Statements, cohort_no: int) -> DataKey:
        """The key of a cohort that the same look has found."""
        found = self.keys.get(cohort_no)
        if found is not None:
            return found
        row = now.row("SELECT wrapped_key FROM cohorts WHERE cohort_no = ?", cohort_no)
        if row is None:
            raise _unknown_cohort()
        key = now.vault.key(Owner.COHORT, cohort_no, row[0])
        self.keys.put(cohort_no, key)
        return key

    def _enrolled(self, tx: Transaction, cohort_no: int, first: int, count: int) -> tuple[NewTrainee, ...]:
        return tuple(self._enrol(tx, cohort_no, number) for number in range(first, first + count))

    def _enrol(self, tx: Transaction, cohort_no: int, number: int, code: str = "") -> NewTrainee:
        trainee_id = new_pseudonym(self._token_bytes)
        while tx.row("SELECT 1 FROM trainees WHERE trainee_id = ?", trainee_id) is not None:
            trainee_id = new_pseudonym(self._token_bytes)
        code = code or new_code(self._token_bytes)
        code_mac = tx.vault.mac("code", (code.replace("-", ""),))
        mac = tx.vault.mac("trainee", (trainee_id, cohort_no, number, code_mac))
        tx.write(_INSERT_TRAINEE, trainee_id, cohort_no, number, tx.version(), code_mac, mac)
        return NewTrainee(trainee_id, code)

    def _cohort(self, now: Statements, row: Row) -> Cohort:
        cohort_no, cohort_id, course_no, created_ms, expires_ms, sealed, closed, course_id, trainees = row
        bound_to = _bound(cohort_no, cohort_id, course_no, created_ms, expires_ms)
        name = self.key(now, cohort_no).open(sealed, bound_to, "cohort").decode()
        names = self._closed(now, cohort_no, closed)
        return Cohort(cohort_id, course_id, name, created_ms, expires_ms, trainees, names)

    def closed(self, now: Statements, cohort_no: int) -> frozenset[str]:
        """The names of the sittings that are closed to a cohort that the same look has found."""
        row = now.row("SELECT closed FROM cohorts WHERE cohort_no = ?", cohort_no)
        return frozenset() if row is None else self._closed(now, cohort_no, row[0])

    def close(self, tx: Transaction, cohort_no: int, names: frozenset[str]) -> None:
        """Let just these sittings be closed to a cohort that the same transaction has found."""
        tx.require_room(_TRAINEE_BYTES)
        sealed = self.key(tx, cohort_no).seal(dump(sorted(names)), _bound_closed(cohort_no))
        tx.write(_CLOSE, sealed, tx.version(), cohort_no)

    def _closed(self, now: Statements, cohort_no: int, sealed: bytes | None) -> frozenset[str]:
        if sealed is None:
            return frozenset()
        data = self.key(now, cohort_no).open(sealed, _bound_closed(cohort_no), "closed sittings")
        with reading("closed sittings"):
            return frozenset(map(str, json.loads(data)))

    def _found(self, now: Statements, column: str, value: str | bytes) -> Trainee:
        row = now.row(_TRAINEE_OF[column], value, self._clock_ms())
        trainee = None if row is None else _trainee(now.vault, row)
        if row is None or trainee is None or row[_TRAINEE_COLUMNS.index(column)] != value:
            raise _unknown_trainee()
        return trainee


def _trainee(vault: Vault, row: Row) -> Trainee:
    trainee_id, cohort_id, number, cohort_no, code_mac, mac = row
    vault.require_mac("trainee", (trainee_id, cohort_no, number, code_mac), mac)
    if number < 0:
        raise StoreCorrupt(message("error.store.trainee_number"), check="trainee")
    return Trainee(trainee_id, cohort_id, number % 2, number)


def _bound(cohort_no: int, cohort_id: str, course_no: int, created_ms: int, expires_ms: int) -> bytes:
    return SCHEMA.bound("cohorts", cohort_no, cohort_id, course_no, created_ms, expires_ms)


def _bound_closed(cohort_no: int) -> bytes:
    return SCHEMA.bound("cohorts", cohort_no, "closed")


def _require_count(trainees: int) -> None:
    if not 1 <= trainees <= MAX_TRAINEES:
        raise InvalidField(
            message("error.store.trainees_at_once", most=MAX_TRAINEES), field="trainees", limit=str(MAX_TRAINEES)
        )


def _unknown_cohort() -> UnknownCohort:
    return UnknownCohort(message("error.store.no_cohort"))


def _unknown_trainee() -> UnknownTrainee:
    return UnknownTrainee(message("error.store.no_trainee_or_code"))
