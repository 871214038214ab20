"""Keeps courses, their pictures, and the people on photos that trainees send as probes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType

from fr_core.errors import InvalidField, StoreCorrupt, message
from fr_core.id_forms import forms_of
from fr_core.storage.audit.attribution import Attribution, current_attribution
from fr_core.storage.protocol import Database, Row, Statements
from fr_core.storage.store import Clearing
from fr_core.storage.vault import DataKey, Vault
from fr_core.storage.writer import Writer
from fr_training.courses import Course
from fr_training.errors import UnknownCourse
from fr_training.store.caches import Pictures, Recent
from fr_training.store.codec import dump, reading
from fr_training.store.course_codec import pack_course, unpack_course
from fr_training.store.schema import GONE, MAKING, READY, SCHEMA, Owner
from fr_training.store.transaction import Transaction
from fr_training.store.values import ProbeTruth

# Of one transaction while a course is added: others write in between.
_CHUNK_BYTES = 512 * 1024
_CHUNK_ROWS = 500
# Courses that are remembered, of a megabyte or so each: as many as are taken at a time, and then some.
_MAX_KNOWN = 64

_INSERT = """
INSERT INTO courses (course_id, created_ms, state, wrapped_key, sealed, gallery) VALUES (?, ?, ?, ?, ?, ?)
RETURNING course_no
"""
_PICTURE = "SELECT sealed FROM pictures WHERE course_no = ? AND number = ?"
_PICTURE_NUMBERS = "SELECT number FROM pictures WHERE course_no = ?"
_SET = "UPDATE courses SET wrapped_key = ?, sealed = ?, gallery = ? WHERE course_no = ?"
_INSERT_PICTURE = "INSERT INTO pictures (course_no, number, sealed) VALUES (?, ?, ?)"
_INSERT_IDENTITY = "INSERT INTO identities (course_no, identity_mac, sealed) VALUES (?, ?, ?)"
_INSERT_PROBE_KEY = """
INSERT INTO probe_keys (course_no, photo_mac, sealed) VALUES (?, ?, ?)
ON CONFLICT (course_no, photo_mac) DO UPDATE SET sealed = excluded.sealed
"""

_Rows = tuple[str, list[tuple[int, int | bytes, bytes]]]


@dataclass(frozen=True, slots=True)
class Known:
    """A course that is there, by its number, with the key of what belongs to it."""

    course_no: int
    course: Course
    key: DataKey


@dataclass(eq=False)
class Courses:
    """Courses, their pictures, and the people whom probes show, as a room of `TrainingStore`."""

    _database: Database
    _writer: Writer[Transaction]
    _clearing: Clearing[Transaction]
    _pictures: Pictures = field(default_factory=Pictures)
    _known: Recent[int, Known] = field(default_factory=lambda: Recent(_MAX_KNOWN))

    def add(
        self,
        course: Course,
        pictures: Sequence[bytes],
        gallery: Mapping[int, int],
        probe_keys: Mapping[str, int | None],
        identities: Mapping[str, int],
    ) -> None:
        """Keep a new course. It is there as a whole or not at all, and others write while it is added.

        The arguments are the parts of a `fr_training.build.course.BuiltCourse`; of identities and photos keyed hashes
        alone are kept. Raises ValueError where there is a course of that id, or it holds what cannot be kept.
        """
        by = current_attribution()
        grows_by = sum(map(len, pictures)) + 100 * (len(probe_keys) + len(identities) + len(pictures))
        with self._database.building(wait=True):
            known = self._writer.run(lambda tx: _begun(tx, course, gallery, grows_by))
            try:
                for sql, rows in _chunks(self._database.vault, known, pictures, probe_keys, identities):
                    self._writer.run(lambda tx, sql=sql, rows=rows: _insert(tx, sql, rows))  # type: ignore[misc]  # defaults bind
                counts = {"pictures": len(pictures), "people": len(gallery)}
                self._writer.run(lambda tx: _finish(tx, known, by, counts))
            except BaseException:
                self._writer.run(lambda tx: _set_state(tx, known.course_no, GONE))
                self._clearing.clear(force=True)
                raise

    def get(self, course_id: str) -> Course:
        """The course of an id; raises `UnknownCourse`."""
        with self._database.reading() as now:
            return self.known(now, course_id).course

    def page(self, before: tuple[int, str] | None = None, size: int = 100) -> tuple[Course, ...]:
        """A page of at most `size` courses, the newest first.

        `before` holds `created_ms` and id of the last of the page before; None for the first page.
        """
        where, values = ("", ()) if before is None else ("AND (created_ms, course_id) < (?, ?) ", before)
        sql = f"SELECT course_no FROM courses WHERE state = {READY} {where}ORDER BY created_ms DESC, course_id DESC "
        with self._database.reading() as now:
            rows = now.rows(f"{sql}LIMIT ?", *values, size)
            # Those on a page are not remembered: they would drive out those that are taken.
            return tuple((self._known.get(number) or _read(now, number)).course for (number,) in rows)

    def delete(self, course_id: str, forget_cohort: Callable[[int], None]) -> Course:
        """See `TrainingStore.delete_course`; `forget_cohort` is told the number of each cohort that goes with it."""
        by = current_attribution()

        def mark(tx: Transaction) -> tuple[Known, list[Row]]:
            known = self.known(tx, course_id)
            _set_state(tx, known.course_no, GONE)
            sql = "UPDATE cohorts SET state = ? WHERE course_no = ? RETURNING cohort_no"
            cohorts = tx.rows(sql, GONE, known.course_no)
            tx.record(by, "training.delete_course", course=course_id, counts={"cohorts": len(cohorts)})
            return known, cohorts

        known, cohorts = self._writer.run(mark)
        self._known.delete(known.course_no)
        self._pictures.forget_if(lambda key: key[0] == course_id)
        for (cohort_no,) in cohorts:
            forget_cohort(cohort_no)
        self._clearing.clear(force=True)
        return known.course

    def remembered_picture(self, course_id: str, number: int) -> bytes | None:
        """A picture that was read before and is still in memory, None where it is not; never waits for the disk."""
        return self._pictures.get((course_id, number))

    def picture(self, course_id: str, number: int) -> bytes:
        """A picture of a course; one that is remembered is served also just after another process deleted the course.

        Raises `UnknownCourse`, and IndexError where it has no picture of that number.
        """
        found = self.remembered_picture(course_id, number)
        if found is not None:
            return found
        with self._database.reading() as now:
            known = self.known(now, course_id)
            row = now.row(_PICTURE, known.course_no, number)
        if row is None:
            raise IndexError("the course has no picture of that number")
        data = known.key.open(row[0], SCHEMA.bound("pictures", known.course_no, number), "picture")
        self._pictures.put((course_id, number), data)
        if self._known.is_deleted(known.course_no):  # while it was read: its pictures may have been forgotten before
            self._pictures.forget_if(lambda key: key[0] == course_id)
        return data

    def gallery(self, course_id: str) -> Mapping[int, int]:
        """Person number -> picture number, as they were given; raises `UnknownCourse`."""
        with self._database.reading() as now:
            known = self.known(now, course_id)
            row = now.row("SELECT gallery FROM courses WHERE course_no = ?", known.course_no)
        assert row is not None
        with reading("gallery"):
            return MappingProxyType(
                dict(json.loads(known.key.open(row[0], SCHEMA.bound("gallery", known.course_no), "gallery")))
            )

    def require_sound(self, course_id: str) -> None:
        """Open everything that belongs to a course, and see that it has every picture that it names.

        Raises `UnknownCourse`, and `StoreCorrupt` where something was altered, or a picture taken out.
        """
        gallery = self.gallery(course_id)
        with self._database.reading() as now:
            known = self.known(now, course_id)
            numbers = [number for (number,) in now.rows(_PICTURE_NUMBERS, known.course_no)]
            items = chain.from_iterable(form.items for form in known.course.forms.values())
            shown = chain.from_iterable(item.photos for item in items)
            if not {*gallery.values(), *shown} <= set(numbers):
                raise StoreCorrupt(message("error.store.picture_gone"), check="pictures")
            for number in numbers:  # one after the other: all at once may not fit into memory
                row = now.row(_PICTURE, known.course_no, number)
                assert row is not None
                known.key.open(row[0], SCHEMA.bound("pictures", known.course_no, number), "picture")
            for table, column in (("identities", "identity_mac"), ("probe_keys", "photo_mac")):
                sql = f"SELECT {column}, sealed FROM {table} WHERE course_no = ?"
                for mac, sealed in now.rows(sql, known.course_no):
                    _opened(known, table, mac, sealed)

    def set_probe_key(self, course_id: str, sha256: str, identity: str | None) -> None:
        """Say whom a photo, by the sha256 of its file, shows; replaces what was said before.

        `identity` is a name or number in the data set; None for nobody of the gallery. Raises `UnknownCourse`, and
        `InvalidField` where the course knows nobody of that identity.
        """
        by = current_attribution()

        def put(tx: Transaction) -> None:
            known = self.known(tx, course_id)
            person = None if identity is None else _person(tx, known, identity)
            tx.require_room(_CHUNK_ROWS)
            mac = _photo_mac(tx.vault, known.course_no, sha256)
            tx.write(_INSERT_PROBE_KEY, known.course_no, mac, _sealed(known, "probe_keys", mac, person))
            tx.record(by, "training.set_probe_key", course=course_id)  # whom it shows is truth

        self._writer.run(put)

    def probe_truth(self, course_id: str, sha256: str) -> ProbeTruth:
        """The person on a photo, by the sha256 of its file; raises `UnknownCourse`."""
        with self._database.reading() as now:
            known = self.known(now, course_id)
            mac = _photo_mac(now.vault, known.course_no, sha256)
            sql = "SELECT sealed FROM probe_keys WHERE course_no = ? AND photo_mac = ?"
            row = now.row(sql, known.course_no, mac)
        return ProbeTruth(False, None) if row is None else ProbeTruth(True, _opened(known, "probe_keys", mac, row[0]))

    def known(self, now: Statements, course_id: str) -> Known:
        """The course of an id; raises `UnknownCourse`."""
        sql = f"SELECT course_no FROM courses WHERE course_id = ? AND state = {READY}"
        row = now.row(sql, course_id)
        if row is None:
            raise UnknownCourse(message("error.store.no_course"))
        return self.of_number(now, row[0])

    def of_number(self, now: Statements, course_no: int) -> Known:
        """The course of a number that the same look has found."""
        found = self._known.get(course_no)
        if found is not None:
            return found
        known = _read(now, course_no)
        self._known.put(course_no, known)
        return known

    def forget_deleted(self) -> None:
        """Forget courses that another process has deleted."""
        with self._database.reading() as now:
            there = now.rows(f"SELECT course_no, course_id FROM courses WHERE state = {READY}")
        self._known.keep_only(course_no for course_no, _ in there)
        ids = {course_id for _, course_id in there}
        self._pictures.forget_if(lambda key: key[0] not in ids)


def _read(now: Statements, course_no: int) -> Known:
    sql = "SELECT course_id, created_ms, wrapped_key, sealed FROM courses WHERE course_no = ?"
    row = now.row(sql, course_no)
    if row is None:
        raise UnknownCourse(message("error.store.no_course"))
    course_id, created_ms, wrapped, sealed = row
    key = now.vault.key(Owner.COURSE, course_no, wrapped)
    data = key.open(sealed, SCHEMA.bound("courses", course_no, course_id, created_ms), "course")
    return Known(course_no, unpack_course(course_id, data), key)


def _begun(tx: Transaction, course: Course, gallery: Mapping[int, int], grows_by: int) -> Known:
    if tx.row("SELECT 1 FROM courses WHERE course_id = ?", course.course_id) is not None:
        raise ValueError("there is a course of that id")
    packed, packed_gallery = pack_course(course), dump(list(gallery.items()))
    tx.require_room(grows_by + len(packed) + len(packed_gallery))
    course_no = tx.number(_INSERT, course.course_id, course.created_ms, MAKING, b"", b"", b"")
    key, wrapped = tx.vault.new_key(Owner.COURSE, course_no)
    sealed = key.seal(packed, SCHEMA.bound("courses", course_no, course.course_id, course.created_ms))
    tx.write(_SET, wrapped, sealed, key.seal(packed_gallery, SCHEMA.bound("gallery", course_no)), course_no)
    return Known(course_no, course, key)


def _chunks(
    vault: Vault,
    known: Known,
    pictures: Sequence[bytes],
    probe_keys: Mapping[str, int | None],
    identities: Mapping[str, int],
) -> Iterator[_Rows]:
    """Seal what belongs to a course, so many rows at a time as are written at once."""
    course_no = known.course_no
    rows: list[tuple[int, int | bytes, bytes]] = []
    held = 0
    for number, picture in enumerate(pictures):
        rows.append((course_no, number, known.key.seal(picture, SCHEMA.bound("pictures", course_no, number))))
        held += len(picture)
        if held >= _CHUNK_BYTES:
            yield _INSERT_PICTURE, rows
            rows, held = [], 0
    yield _INSERT_PICTURE, rows
    named = {_identity_mac(vault, course_no, identity): person for identity, person in identities.items()}
    sent = {_photo_mac(vault, course_no, sha256): person for sha256, person in probe_keys.items()}
    for sql, table, people in ((_INSERT_IDENTITY, "identities", named), (_INSERT_PROBE_KEY, "probe_keys", sent)):
        entries = list(people.items())
        for begin in range(0, len(entries), _CHUNK_ROWS):
            part = entries[begin : begin + _CHUNK_ROWS]
            yield sql, [(course_no, mac, _sealed(known, table, mac, person)) for mac, person in part]


def _insert(tx: Transaction, sql: str, rows: list[tuple[int, int | bytes, bytes]]) -> None:
    for row in rows:
        tx.write(sql, *row)


def _set_state(tx: Transaction, course_no: int, state: int) -> None:
    tx.write("UPDATE courses SET state = ? WHERE course_no = ?", state, course_no)


def _finish(tx: Transaction, known: Known, by: Attribution, counts: Mapping[str, int]) -> None:
    _set_state(tx, known.course_no, READY)
    tx.record(by, "training.create_course", course=known.course.course_id, counts=counts)


def _person(tx: Transaction, known: Known, identity: str) -> int:
    sql = "SELECT sealed FROM identities WHERE course_no = ? AND identity_mac = ?"
    for form in forms_of(identity):
        mac = _identity_mac(tx.vault, known.course_no, form)
        row = tx.row(sql, known.course_no, mac)
        person = None if row is None else _opened(known, "identities", mac, row[0])
        if person is not None:
            return person
    raise InvalidField(message("error.store.no_person"), field="identity")


def _sealed(known: Known, table: str, mac: bytes, person: int | None) -> bytes:
    return known.key.seal(dump(person), SCHEMA.bound(table, known.course_no, mac))


def _opened(known: Known, table: str, mac: bytes, sealed: bytes) -> int | None:
    with reading(table):
        person = json.loads(known.key.open(sealed, SCHEMA.bound(table, known.course_no, mac), table))
    return None if person is None else int(person)


def _identity_mac(vault: Vault, course_no: int, identity: str) -> bytes:
    return vault.mac("identity", (course_no, identity))


def _photo_mac(vault: Vault, course_no: int, sha256: str) -> bytes:
    return vault.mac("photo", (course_no, sha256.lower()))
