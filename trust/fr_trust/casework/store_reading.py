"""Reads cases, examinations and findings, and compares each with the digests and counts that include it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from fr_core.errors import StoreCorrupt, message
from fr_core.storage.dialect import ALL_ROWS
from fr_core.storage.protocol import Database, Row, Statements
from fr_core.storage.schema import next_of
from fr_trust.casework.rules import may_examine
from fr_trust.casework.store_schema import (
    CASES,
    ELEMENTS,
    EXAMINATIONS,
    HEAD,
    Head,
    KeptCase,
    KeptExamination,
    Locks,
    case_of,
    examination_of,
    finding_in,
    with_photos,
)
from fr_trust.casework.values import Case, Examination
from fr_trust.errors import UnknownCase, UnknownExamination

_VERSIONS = "SELECT case_no, case_id, version FROM cases"


@dataclass(frozen=True, slots=True)
class View:
    """The head of the store, and the id and version of each case by its number: a look has to agree with them."""

    head: Head
    versions: MappingProxyType[int, tuple[str, int]]


class Roll:
    """Reads the head of the database each time, and what has changed since; for several threads.

    A head that is as it was takes some ten microseconds, whichever process has changed it.
    """

    def __init__(self, locks: Locks) -> None:
        self._locks = locks
        self._lock = threading.Lock()
        self._seen: Row | None = None
        self._least = 0
        self._view = View(Head(0, 0, 0, 0, 0), MappingProxyType({}))

    def look(self, now: Statements, *, keep: bool = True) -> View:
        """Return the roll as of a look at the database, which reads nothing before.

        `keep` says whether what is read is durable: not so within a transaction that writes. Raises `StoreCorrupt` if a
        case was altered, taken out, put in or put back.
        """
        with self._lock:  # so that what one thread sees is never older than what was kept before
            row = now.row(HEAD)
            if row is not None and row == self._seen and self._view.head.version >= self._least:
                return self._view
            view = self._read(now, self._locks.head_of(row))
            if keep:
                self._seen, self._view = row, view
            return view

    def reached(self, version: int) -> None:
        """Note a version that this process has made durable: no older one is the newest any more."""
        with self._lock:
            self._least = max(self._least, version)

    def _read(self, now: Statements, head: Head) -> View:
        before = self._view
        if head.version < max(before.head.version, self._least):
            raise StoreCorrupt(message("error.trust.case_store_put_back"), check="head")
        changed = _versions(now.rows(f"{_VERSIONS} WHERE version > ?", before.head.version))
        versions = {**before.versions, **changed}
        digest = before.head.digest ^ self._digest(changed)
        digest ^= self._digest({case_no: before.versions[case_no] for case_no in changed if case_no in before.versions})
        if len(versions) != head.cases or digest != head.digest:
            # A case was deleted; or an index was altered, or a row, which the next lines find.
            versions = _versions(now.rows(f"{_VERSIONS} {ALL_ROWS}"))
            if len(versions) != head.cases or self._digest(versions) != head.digest:
                raise StoreCorrupt(message("error.trust.case_taken_out_case_store"), check="cases")
        return View(head, MappingProxyType(versions))

    def _digest(self, versions: dict[int, tuple[str, int]]) -> int:
        digest = 0
        for case_no, (case_id, version) in versions.items():
            digest ^= self._locks.case_element(case_no, case_id, version)
        return digest


def _versions(rows: list[Row]) -> dict[int, tuple[str, int]]:
    return {case_no: (case_id, version) for case_no, case_id, version in rows}


# Of examinations that wait, read at once.
_BATCH = 100

_THERE = "({table}expires_ms IS NULL OR {table}expires_ms > ?)"
_CASE_THERE, _EXAMINATION_THERE = _THERE.format(table=""), _THERE.format(table="c.")
_CASE_OF = f"{CASES} WHERE case_id = {next_of('cases', 'case_id')} AND {_CASE_THERE}"
_EXAMINATION_OF = (
    f"{EXAMINATIONS} WHERE e.examination_id = {next_of('examinations', 'examination_id')} AND {_EXAMINATION_THERE}"
)
_PHOTOS = "SELECT number, sealed FROM photos WHERE examination_no = ? ORDER BY number"
_FINDINGS = "SELECT number, sealed FROM findings WHERE examination_no = ? ORDER BY number"


class Look:
    """One look at the case store, at a time in milliseconds since 1970, UTC; what has expired is not there.

    Nothing was read of `now` before; `durable` is false within a transaction that writes. Every method raises
    `StoreCorrupt` if what it reads was altered, exchanged, taken out, put in or put back.
    """

    def __init__(self, now: Statements, locks: Locks, roll: Roll, at_ms: int, *, durable: bool = True) -> None:
        self._now = now
        self._locks = locks
        self._at_ms = at_ms
        self._cases: dict[int, KeptCase] = {}
        self.view: View = roll.look(now, keep=durable)

    def case(self, case_id: str) -> KeptCase:
        """Return the case of an id; raises `UnknownCase`."""
        row = self._now.row(_CASE_OF, case_id, self._at_ms)
        if row is None or (found := self._opened(row)).case.case_id != case_id:
            raise UnknownCase(message("error.rpc.no_case_id"))
        return found

    def case_open(self, open_mac: bytes) -> KeptCase | None:
        """Return the case of a reference that is open, one that has expired too; None where there is none."""
        row = self._now.row(f"{CASES} WHERE open_mac = ?", open_mac)
        return None if row is None else self._opened(row)

    def cases(self, before: tuple[int, str] | None, size: int) -> tuple[Case, ...]:
        """Return a page of cases, the newest first."""
        where, values = _CASE_THERE, [self._at_ms, *(before or ())]
        if before is not None:
            where += " AND (opened_ms, case_id) < (?, ?)"
        sql = f"{CASES} WHERE {where} ORDER BY opened_ms DESC, case_id DESC LIMIT ?"
        return tuple(self._opened(row).case for row in self._now.rows(sql, *values, size))

    def case_ids(self) -> frozenset[str]:
        """Return the ids of all cases, also of expired ones."""
        return frozenset(case_id for (case_id,) in self._now.rows("SELECT case_id FROM cases"))

    def expired(self, size: int) -> list[KeptCase]:
        """Return some of the cases whose time is over."""
        rows = self._now.rows(f"{CASES} WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?", self._at_ms, size)
        return [self._opened(row) for row in rows]

    def examination(self, examination_id: str) -> tuple[KeptCase, KeptExamination]:
        """Return the examination of an id with its findings, without photos; raises `UnknownExamination`."""
        found = self._examination(examination_id)
        if found is None:
            self._require_all("", self.view.head.examinations)
            raise UnknownExamination(message("error.trust.no_examination_id"))
        return found

    def gallery_of(self, examination_id: str) -> str | None:
        """Return the gallery that was searched for an examination; None if there is no such examination."""
        found = self._examination(examination_id)
        return None if found is None else found[1].examination.searched.gallery_id

    def _examination(self, examination_id: str) -> tuple[KeptCase, KeptExamination] | None:
        row = self._now.row(_EXAMINATION_OF, examination_id, self._at_ms)
        found = None if row is None else self._examined(row)
        return found if found is not None and found[1].examination.examination_id == examination_id else None

    def with_photos(self, case: KeptCase, kept: KeptExamination) -> Examination:
        """Return an examination with its photos."""
        return with_photos(case, kept, self._now.rows(_PHOTOS, kept.examination_no))

    def examinations_of(self, case: KeptCase) -> tuple[KeptExamination, ...]:
        """Return the examinations of a case with their findings, without photos, the oldest first."""
        rows = self._now.rows(f"{EXAMINATIONS} WHERE e.case_no = ? ORDER BY e.ordinal", case.case_no)
        return tuple(self._examined(row)[1] for row in rows)

    def awaiting(
        self, principal_id: str, sees: Callable[[str], bool], after: tuple[int, str] | None
    ) -> Iterator[Examination]:
        """Yield examinations that wait for a finding of somebody, without photos, the oldest first."""
        self._require_all("WHERE e.waiting = 1", self.view.head.waiting)
        sql = (
            f"{EXAMINATIONS} WHERE e.waiting = 1 AND (e.searched_ms, e.examination_id) > (?, ?) AND "
            f"{_EXAMINATION_THERE} ORDER BY e.searched_ms, e.examination_id LIMIT ?"
        )
        at: tuple[Any, ...] = after or (-(2**63), "")
        while rows := self._now.rows(sql, *at, self._at_ms, _BATCH):
            for row in rows:
                examination = self._examined(row)[1].examination
                if sees(examination.searched.gallery_id) and may_examine(examination, principal_id):
                    yield examination
            at = (rows[-1][4], rows[-1][1])

    def require_all(self) -> None:
        """Read everything that there is, with every photo; raises `StoreCorrupt`."""
        self._require_all("", self.view.head.examinations)
        self._require_all("WHERE e.waiting = 1", self.view.head.waiting)
        for case_no in self.view.versions:
            case = self._case_of(case_no)
            for kept in self.examinations_of(case):
                self.with_photos(case, kept)

    def _examined(self, row: Row) -> tuple[KeptCase, KeptExamination]:
        case = self._case_of(row[2])
        kept = examination_of(case, row)
        rows = self._now.rows(_FINDINGS, kept.examination_no)
        if [number for number, _ in rows] != list(range(1, kept.findings + 1)):
            raise StoreCorrupt(message("error.trust.finding_taken_out_put"), check="findings")
        own = kept.examination
        findings = tuple(finding_in(case, own.examination_id, number, sealed) for number, sealed in rows)
        return case, replace(kept, examination=replace(own, findings=findings))

    def _case_of(self, case_no: int) -> KeptCase:
        row = self._now.row(f"{CASES} WHERE case_no = ?", case_no)
        if row is None:
            raise StoreCorrupt(message("error.trust.case_taken_out_case"), check="cases")
        return self._opened(row)

    def _opened(self, row: Row) -> KeptCase:
        """Open a case, and see that it has the examinations that it should have."""
        case_no, case_id, version = row[:3]
        if (known := self._cases.get(case_no)) is not None and known.version == version:
            return known
        if self.view.versions.get(case_no) != (case_id, version):
            raise StoreCorrupt(message("error.trust.case_put_into_case"), check="cases")
        kept = case_of(self._now.vault, row)
        rows = self._now.rows(f"{ELEMENTS} WHERE e.case_no = ?", case_no)
        digest = 0
        for one in rows:
            digest ^= self._locks.examination_element(one)
        if (len(rows), digest) != (kept.case.examinations, kept.digest):
            raise StoreCorrupt(message("error.trust.examination_altered_taken_out"), check="examinations")
        self._cases[case_no] = kept
        return kept

    def _require_all(self, where: str, count: int) -> None:
        rows = self._now.rows(f"SELECT count(*) FROM examinations e JOIN cases c ON c.case_no = e.case_no {where}")
        if rows != [(count,)]:
            raise StoreCorrupt(message("error.trust.examination_taken_out_put"), check="examinations")


def require_sound(database: Database) -> None:
    """Open everything in a copy of a store, also of expired cases, but for the audit; raises `StoreCorrupt`."""
    with database.reading() as now:
        locks = Locks(now)
    with database.reading() as now:  # the roll is the first to read in it
        Look(now, locks, Roll(locks), -(2**63)).require_all()
