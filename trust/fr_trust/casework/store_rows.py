"""Encrypts the rows of the case store, and opens them."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fr_core.errors import StoreCorrupt
from fr_core.storage.audit.values import canonical
from fr_core.storage.protocol import Row, Statements
from fr_core.storage.rows import readable
from fr_core.storage.vault import DataKey, Value, Vault
from fr_trust.casework.codec import finding_of, finding_said, listed_of, listed_said, searched_of, searched_said
from fr_trust.casework.store_schema import CASE_OWNER, SCHEMA, STORE_OWNER, open_mac
from fr_trust.casework.values import Case, Examination, Finding, Purpose

_HEAD = struct.Struct("<16sqqq")
_DIGEST_BYTES = 16

HEAD = "SELECT version, sealed FROM head WHERE head_no = 1"
"""The columns of a head."""

CASES = "SELECT case_no, case_id, version, opened_ms, expires_ms, open_mac, wrapped_key, sealed FROM cases"
"""The columns of a case."""

_ELEMENT = "e.examination_no, e.examination_id, e.case_no, e.ordinal, e.searched_ms, e.findings, e.waiting"

ELEMENTS = f"SELECT {_ELEMENT} FROM examinations e"
"""The columns of an examination that the digest of its case is of."""

EXAMINATIONS = f"SELECT {_ELEMENT}, e.sealed FROM examinations e JOIN cases c ON c.case_no = e.case_no"
"""The columns of an examination whose case is not deleted."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of the store, which vouches for its cases.

    Attributes:
        version: grows with each change of a case.
        digest: exclusive or of what `Locks.case_element` gives for each case.
        cases: how many there are.
        examinations: of all of them.
        waiting: of those, how many wait for a finding.
    """

    version: int
    digest: int
    cases: int
    examinations: int
    waiting: int


@dataclass(frozen=True, slots=True)
class KeptCase:
    """A case as the store keeps it.

    Attributes:
        case_no: its number.
        version: of the head when it was changed last.
        case: what it is.
        open_mac: represents its reference; None if that is free again, as after the case is closed.
        digest: exclusive or of what `Locks.examination_element` gives for each of its examinations.
        key: opens what belongs to it.
    """

    case_no: int
    version: int
    case: Case
    open_mac: bytes | None = field(repr=False)
    digest: int = field(repr=False)
    key: DataKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeptExamination:
    """An examination as the store keeps it, without its findings and photos.

    Attributes:
        examination_no: its number.
        ordinal: 1 for the first of its case.
        findings: how many it has.
        waiting: 1 where it waits for one, else 0.
        examination: what it is.
        photos: numbers of the photos that are kept, 0 for the probe and n for the nth candidate.
    """

    examination_no: int
    ordinal: int
    findings: int
    waiting: int
    examination: Examination
    photos: tuple[int, ...]


class Locks:
    """Seals and opens rows.

    Args:
        reading: has the vault.

    Raises of every method:
        StoreCorrupt: a row was altered.
    """

    def __init__(self, reading: Statements) -> None:
        row = reading.row("SELECT wrapped_key FROM vault WHERE vault_no = 1")
        if row is None:
            raise StoreCorrupt("The case store has lost its key.", check="vault")
        self._key = reading.vault.key(STORE_OWNER, 1, row[0])
        self._vault = reading.vault

    def open_mac(self, opened_by: str, reference: str) -> bytes:
        """Return the MAC that represents an open case's reference and opener."""
        return open_mac(self._vault, opened_by, reference)

    def case_element(self, case_no: int, case_id: str, version: int) -> int:
        """Return what stands for a case in the digest of the head: 128 bits."""
        return self._element("case", case_no, case_id, version)

    def examination_element(self, row: Sequence[Any]) -> int:
        """Return what stands for a row of `ELEMENTS` in the digest of its case: 128 bits."""
        return self._element("examination", *row)

    def head_of(self, row: Row | None) -> Head:
        """Open the head, a row of `HEAD`."""
        if row is None:
            raise StoreCorrupt("The case store has lost its head.", check="head")
        version, sealed = row
        said = self._key.open(sealed, _bound("head", version), "head")
        digest, *counts = readable(SCHEMA.name, lambda: _HEAD.unpack(said))
        return Head(version, int.from_bytes(digest, "big"), *counts)

    def sealed_head(self, head: Head) -> tuple[Value, ...]:
        """Return the values of a row of `HEAD`."""
        packed = _HEAD.pack(head.digest.to_bytes(_DIGEST_BYTES, "big"), head.cases, head.examinations, head.waiting)
        return head.version, self._key.seal(packed, SCHEMA.bound("head", head.version))

    def _element(self, kind: str, *values: Any) -> int:
        # A column that was altered may hold what no row can.
        return int.from_bytes(readable(SCHEMA.name, lambda: self._vault.mac(kind, values)), "big")


def case_of(vault: Vault, row: Row) -> KeptCase:
    """Open a row of `CASES`; raises `StoreCorrupt`."""
    case_no, case_id, version, opened_ms, expires_ms, open_mac, wrapped, sealed = row
    key = readable(SCHEMA.name, lambda: vault.key(CASE_OWNER, case_no, wrapped))
    bound = _bound("cases", case_no, case_id, version, opened_ms, expires_ms, open_mac)
    said = key.open(sealed, bound, "cases")

    def read() -> KeptCase:
        reference, purpose, opened_by, closed_ms, examinations, galleries, digest = json.loads(said)
        times = (opened_ms, closed_ms, expires_ms)
        case = Case(case_id, reference, Purpose(purpose), opened_by, *times, examinations, tuple(galleries))
        return KeptCase(case_no, version, case, open_mac, int(digest, 16), key)

    return readable(SCHEMA.name, read)


def sealed_case(kept: KeptCase) -> bytes:
    """Return what is sealed of a row of `CASES`."""
    case = kept.case
    bound = SCHEMA.bound(
        "cases", kept.case_no, case.case_id, kept.version, case.opened_ms, case.expires_ms, kept.open_mac
    )
    digest = f"{kept.digest:x}"
    searched = (case.examinations, case.galleries)
    said = [case.reference, case.purpose.value, case.opened_by, case.closed_ms, *searched, digest]
    return kept.key.seal(json.dumps(said).encode(), bound)


def examination_of(case: KeptCase, row: Row) -> KeptExamination:
    """Open a row of `EXAMINATIONS`; raises `StoreCorrupt`."""
    examination_no, examination_id, case_no, ordinal, searched_ms, findings, waiting, sealed = row
    bound = _bound("examinations", examination_id, case_no, ordinal, searched_ms)
    said = case.key.open(sealed, bound, "examinations")

    def read() -> KeptExamination:
        content = json.loads(said)
        examination = Examination(
            examination_id=examination_id,
            case_id=case.case.case_id,
            searched=searched_of(content["searched"]),
            candidates=tuple(map(listed_of, content["candidates"])),
            salt=content["salt"],
        )
        return KeptExamination(examination_no, ordinal, findings, waiting, examination, tuple(content["photos"]))

    return readable(SCHEMA.name, read)


def sealed_examination(case: KeptCase, ordinal: int, examination: Examination) -> bytes:
    """Return what is sealed of a row of `EXAMINATIONS`."""
    content = {
        "searched": searched_said(examination.searched),
        "candidates": [listed_said(one) for one in examination.candidates],
        "salt": examination.salt,
        "photos": [number for number, _ in photos_of(examination)],
    }
    ms = examination.searched.searched_ms
    bound = SCHEMA.bound("examinations", examination.examination_id, case.case_no, ordinal, ms)
    return case.key.seal(canonical(content), bound)


def finding_in(case: KeptCase, examination_id: str, number: int, sealed: Any) -> Finding:
    """Open a row of findings; raises `StoreCorrupt`."""
    said = case.key.open(sealed, SCHEMA.bound("findings", examination_id, number), "findings")
    return readable(SCHEMA.name, lambda: finding_of(json.loads(said)))


def sealed_finding(case: KeptCase, examination_id: str, number: int, finding: Finding) -> bytes:
    """Return what is sealed of a row of findings."""
    return case.key.seal(canonical(finding_said(finding)), SCHEMA.bound("findings", examination_id, number))


def photos_of(examination: Examination) -> list[tuple[int, bytes]]:
    """Return the photos that are to be kept, with their numbers."""
    photos = enumerate((examination.probe, *(one.photo for one in examination.candidates)))
    return [(number, photo) for number, photo in photos if photo or number == 0]


def sealed_photo(key: DataKey, examination_id: str, number: int, photo: bytes) -> bytes:
    """Return what is kept of a photo."""
    return key.seal(photo, SCHEMA.bound("photos", examination_id, number))


def with_photos(case: KeptCase, kept: KeptExamination, rows: Sequence[Row]) -> Examination:
    """Return an examination with its photos.

    Args:
        case: its own.
        kept: the examination.
        rows: number and what is sealed of each photo, by their numbers.

    Raises:
        StoreCorrupt: one was altered, taken out, exchanged or put in.
    """
    if [number for number, _ in rows] != list(kept.photos):
        raise StoreCorrupt("A photo of an examination was taken out, or put in.", check="photos")
    own = kept.examination
    opened = {
        number: case.key.open(sealed, SCHEMA.bound("photos", own.examination_id, number), "photos")
        for number, sealed in rows
    }
    candidates = tuple(replace(one, photo=opened.get(nth, b"")) for nth, one in enumerate(own.candidates, 1))
    return replace(own, probe=opened[0], candidates=candidates)


def _bound(table: str, *values: Any) -> bytes:
    return readable(SCHEMA.name, lambda: SCHEMA.bound(table, *values))
