"""Changes the case store: each change in the transaction of its audit record."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from fr_core.errors import StoreCorrupt, message
from fr_core.id_forms import forms_of
from fr_core.storage.audit.attribution import Attribution
from fr_core.storage.audit.values import Entry
from fr_core.storage.statements import Transaction
from fr_trust.casework import rules
from fr_trust.casework.codec import SALT_BYTES, finding_digest, search_digest
from fr_trust.casework.store_reading import Look, Roll
from fr_trust.casework.store_schema import (
    CASE_OWNER,
    Head,
    KeptCase,
    KeptExamination,
    Locks,
    sealed_case,
    sealed_examination,
    sealed_finding,
)
from fr_trust.casework.values import Case, Examination, Finding, FindingKind
from fr_trust.errors import CaseExists, ExaminerNotIndependent

# What a case, or a finding, and its record take of the disk beside what they hold.
_ROW_BYTES = 4_096
_ID_BYTES = 8
_WHOLE_HASH = re.compile(r":([0-9a-f]{12})[0-9a-f]{52}\Z")

_INSERT_CASE = """
INSERT INTO cases (case_id, version, opened_ms, expires_ms, open_mac, wrapped_key, sealed)
VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING case_no
"""
_NEW_CASE = "UPDATE cases SET wrapped_key = ? WHERE case_no = ?"
_SEAL_CASE = "UPDATE cases SET version = ?, open_mac = ?, sealed = ? WHERE case_no = ?"
_DELETE_CASE = "DELETE FROM cases WHERE case_no = ?"
_SET_HEAD = "UPDATE head SET version = ?, sealed = ? WHERE head_no = 1"
_INSERT_EXAMINATION = """
INSERT INTO examinations (examination_id, case_no, ordinal, searched_ms, findings, waiting, sealed)
VALUES (?, ?, ?, ?, 0, ?, ?) RETURNING examination_no
"""
_INSERT_PHOTO = "INSERT INTO photos (examination_no, number, sealed) VALUES (?, ?, ?)"
_INSERT_FINDING = "INSERT INTO findings (examination_no, number, sealed) VALUES (?, ?, ?)"
_COUNT_FINDING = "UPDATE examinations SET findings = ?, waiting = ? WHERE examination_no = ?"
_WAIT_NO_MORE = "UPDATE examinations SET waiting = 0 WHERE case_no = ? AND waiting = 1"

# How many photos of a deleted case are deleted in one transaction, of many pages each, and how many other rows.
_PHOTOS = 8
_ROWS = 500

# Each statement deletes some rows of a deleted case; the next one follows when none is left.
_CLEAR = (
    f"""DELETE FROM photos WHERE (examination_no, number) IN (
        SELECT p.examination_no, p.number FROM examinations e JOIN photos p ON p.examination_no = e.examination_no
        WHERE e.case_no = ? LIMIT {_PHOTOS})""",
    f"""DELETE FROM findings WHERE (examination_no, number) IN (
        SELECT f.examination_no, f.number FROM examinations e JOIN findings f ON f.examination_no = e.examination_no
        WHERE e.case_no = ? LIMIT {_ROWS})""",
    f"""DELETE FROM examinations WHERE examination_no IN (
        SELECT examination_no FROM examinations WHERE case_no = ? LIMIT {_ROWS})""",
    "DELETE FROM gone WHERE case_no = ?",
)


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes within a transaction; see the methods of the same names in `CaseStore`."""

    _locks: Locks
    _roll: Roll
    _clock_ms: Callable[[], int]
    _token_bytes: Callable[[int], bytes]

    def open_case(
        self, tx: Transaction, wanted: Case, by: Attribution, sees: Callable[[Case], bool]
    ) -> tuple[Case, bool]:
        """Open a case; returns it, and whether an expired one of its reference was deleted."""
        tx.require_room(_ROW_BYTES)
        look, open_mac = self._look(tx), self._locks.open_mac(wanted.opened_by, wanted.reference)
        purged = False
        for form in forms_of(wanted.reference):
            before = look.case_open(self._locks.open_mac(wanted.opened_by, form))
            if before is None:
                continue
            if before.case.expires_ms is not None and before.case.expires_ms <= self._clock_ms():
                self._delete(tx, look, before, "case.purge", by)
                purged = True
            elif sees(before.case):
                raise CaseExists(message("error.trust.you_already_open_case"))
            else:  # its opener may no longer see it: its reference is free again
                self._put(tx, look.view.head, before, replace(before, open_mac=None))
            look = self._look(tx)
        head, case = look.view.head, replace(wanted, case_id=self.new_id())
        version = head.version + 1
        row = tx.row(_INSERT_CASE, case.case_id, version, case.opened_ms, case.expires_ms, open_mac, b"", b"")
        assert row is not None
        case_no: int = row[0]
        key, wrapped = tx.vault.new_key(CASE_OWNER, case_no)
        tx.write(_NEW_CASE, wrapped, case_no)
        kept = KeptCase(case_no, version, case, open_mac, 0, key)
        self._put(tx, replace(head, cases=head.cases + 1), None, kept)
        self._record(tx, by, "case.open", case)
        return case, purged

    def close_case(self, tx: Transaction, case_id: str, by: Attribution) -> Case:
        """Close a case; on a full disk, too."""
        look = self._look(tx)
        before = look.case(case_id)
        if before.case.closed_ms is not None:
            return before.case
        after = replace(before, case=replace(before.case, closed_ms=self._clock_ms()), open_mac=None)
        self._put(tx, look.view.head, before, after)
        self._record(tx, by, "case.close", after.case, counts={"examinations": after.case.examinations})
        return after.case

    def delete_case(self, tx: Transaction, case_id: str, by: Attribution) -> Case:
        """Delete a case; on a full disk, too."""
        look = self._look(tx)
        kept = look.case(case_id)
        self._delete(tx, look, kept, "case.delete", by)
        return kept.case

    def purge_one(self, tx: Transaction, by: Attribution) -> bool:
        """Delete a case whose time is over; False where there is none."""
        look = self._look(tx)
        for kept in look.expired(1):
            self._delete(tx, look, kept, "case.purge", by)
            return True
        return False

    def add_examination(
        self, tx: Transaction, own: Examination, photos: Sequence[tuple[int, bytes]], by: Attribution
    ) -> None:
        """Keep an examination, with the numbers and sealed bytes of its photos."""
        tx.require_room(_ROW_BYTES + 200 * len(own.candidates) + sum(len(sealed) for _, sealed in photos))
        look = self._look(tx)
        before = look.case(own.case_id)
        rules.require_open(before.case)
        head, ordinal, searched = look.view.head, before.case.examinations + 1, own.searched
        sealed = sealed_examination(before, ordinal, own)
        waiting = int(not rules.is_concluded(own))
        row = tx.row(
            _INSERT_EXAMINATION, own.examination_id, before.case_no, ordinal, searched.searched_ms, waiting, sealed
        )
        assert row is not None
        for number, photo in photos:
            tx.write(_INSERT_PHOTO, row[0], number, photo)
        kept = KeptExamination(row[0], ordinal, 0, waiting, own, ())
        galleries = sorted({*before.case.galleries, searched.gallery_id})
        after = replace(
            before,
            case=replace(before.case, examinations=ordinal, galleries=tuple(galleries)),
            digest=before.digest ^ self._element(before, kept),
        )
        head = replace(head, examinations=head.examinations + 1, waiting=head.waiting + waiting)
        self._put(tx, head, before, after)
        detail = {"digest": search_digest(own.examination_id, own.case_id, searched, own.candidates, own.salt)}
        if (conclusion := rules.examination_conclusion(own)) is not None:
            detail["conclusion"] = conclusion.kind.value
        self._record(
            tx,
            by,
            "case.search",
            after.case,
            own,
            subjects=tuple(one.subject_id for one in own.candidates),
            counts={"candidates": len(own.candidates), "searched_templates": searched.searched_templates},
            detail=detail,
        )

    def give_finding(self, tx: Transaction, examination_id: str, given: Finding, by: Attribution) -> Examination:
        """Keep a finding."""
        look = self._look(tx)
        case, kept = look.examination(examination_id)
        own = kept.examination
        for known in own.findings:
            if known.examiner == given.examiner:
                if known.says_the_same(given):
                    return own
                raise ExaminerNotIndependent(message("error.trust.you_given_another_finding"))
        rules.require_may_examine(own, given.examiner)
        rules.require_finding(given, own)
        tx.require_room(_ROW_BYTES + 8 * len(given.notes))
        number = kept.findings + 1
        last_ms = own.findings[-1].given_ms if own.findings else own.searched.searched_ms
        salt = self._token_bytes(SALT_BYTES).hex()
        finding = replace(given, given_ms=max(self._clock_ms(), last_ms), salt=salt)
        examined = replace(own, findings=(*own.findings, finding))
        waiting = int(not rules.is_concluded(examined))
        after = replace(kept, findings=number, waiting=waiting, examination=examined)
        tx.write(_INSERT_FINDING, kept.examination_no, number, sealed_finding(case, examination_id, number, finding))
        tx.write(_COUNT_FINDING, number, waiting, kept.examination_no)
        digest = case.digest ^ self._element(case, kept) ^ self._element(case, after)
        head = look.view.head
        self._put(tx, replace(head, waiting=head.waiting - 1 + waiting), case, replace(case, digest=digest))
        self._record_finding(tx, by, case.case, examined)
        return examined

    def new_id(self) -> str:
        """Return the id of something new: 16 random hexadecimal digits."""
        return self._token_bytes(_ID_BYTES).hex()

    def _look(self, tx: Transaction) -> Look:
        return Look(tx, self._locks, self._roll, self._clock_ms(), durable=False)

    def _put(self, tx: Transaction, head: Head, before: KeptCase | None, after: KeptCase) -> None:
        """Write a case, and the head that knows of it."""
        after = replace(after, version=head.version + 1)
        tx.write(_SEAL_CASE, after.version, after.open_mac, sealed_case(after), after.case_no)
        digest = head.digest ^ self._locks.case_element(after.case_no, after.case.case_id, after.version)
        if before is not None:
            digest ^= self._locks.case_element(before.case_no, before.case.case_id, before.version)
        self._put_head(tx, replace(head, version=after.version, digest=digest))

    def _put_head(self, tx: Transaction, head: Head) -> None:
        if tx.write(_SET_HEAD, *self._locks.sealed_head(head)) != 1:
            raise StoreCorrupt(message("error.trust.case_store_lost_head"), check="head")
        tx.when_kept(lambda: self._roll.reached(head.version))

    def _delete(self, tx: Transaction, look: Look, kept: KeptCase, action: str, by: Attribution) -> None:
        """Destroy the key of a case, and have the rest of it taken away."""
        head = look.view.head
        tx.write(_DELETE_CASE, kept.case_no)
        tx.write("INSERT INTO gone (case_no) VALUES (?)", kept.case_no)
        waiting = tx.write(_WAIT_NO_MORE, kept.case_no)
        after = Head(
            head.version + 1,
            head.digest ^ self._locks.case_element(kept.case_no, kept.case.case_id, kept.version),
            head.cases - 1,
            head.examinations - kept.case.examinations,
            head.waiting - waiting,
        )
        self._put_head(tx, after)
        self._record(tx, by, action, kept.case, counts={"examinations": kept.case.examinations})

    def _element(self, case: KeptCase, kept: KeptExamination) -> int:
        own = kept.examination
        number, at_ms = kept.examination_no, own.searched.searched_ms
        row = (number, own.examination_id, case.case_no, kept.ordinal, at_ms, kept.findings, kept.waiting)
        return self._locks.examination_element(row)

    def _record_finding(self, tx: Transaction, by: Attribution, case: Case, own: Examination) -> None:
        number = len(own.findings)
        detail = {"digest": finding_digest(own.examination_id, number, own.findings[-1])}
        detail["state"] = rules.examination_state(own).value
        conclusion = rules.examination_conclusion(own)
        subjects: tuple[str, ...] = ()
        if conclusion is not None:  # until then nobody is told what was found
            detail["conclusion"] = conclusion.kind.value
            if conclusion.kind is FindingKind.POTENTIAL_CANDIDATE:
                chosen = [one for one in own.candidates if one.template_id == conclusion.template_id]
                subjects = tuple(one.subject_id for one in chosen)
        self._record(tx, by, "case.finding", case, own, subjects=subjects, counts={"findings": number}, detail=detail)

    def _record(
        self,
        tx: Transaction,
        by: Attribution,
        action: str,
        case: Case,
        own: Examination | None = None,
        subjects: tuple[str, ...] = (),
        counts: Mapping[str, int] | None = None,
        detail: Mapping[str, str] | None = None,
    ) -> None:
        by = replace(by, purpose=case.purpose.value, case_reference=case.reference)
        said = {"case_id": case.case_id, **(detail or {})}
        more: dict[str, Any] = {}
        if own is not None:
            said["examination"] = own.examination_id
            searched = own.searched
            more = {"gallery_id": searched.gallery_id, "gallery_version": searched.gallery_version}
            more |= {"threshold": searched.threshold, "subject_ids": subjects}
        entry = by.entry(tx.audit.pseudonyms(), action, counts=counts or {}, detail=said, **more)
        tx.audit.append([entry if own is None else with_model(entry, own.searched.model)])


def with_model(entry: Entry, model: str) -> Entry:
    """Return a record with a model of this text, with 12 digits of its hash, or what stands for it; as `model_of`."""
    try:
        return replace(entry, model=_WHOLE_HASH.sub(r":\1", model))
    except ValueError:
        return replace(entry, model=f"other:{sha256(model.encode()).hexdigest()[:16]}")


def clear_some(tx: Transaction) -> bool:
    """Delete some rows of deleted cases; returns False where nothing is left."""
    row = tx.row("SELECT case_no FROM gone LIMIT 1")
    return row is not None and any(tx.write(sql, row[0]) for sql in _CLEAR)
