"""The tables of the case store.

Each case has a key of its own, which encrypts (AES-256-GCM) its reference, photos, candidates, parameters, findings and
notes: without the case's row nobody can open them, ever. What is `sealed` is bound to the columns beside it, so that no
row can be exchanged or widened.

Which rows there are is known from above: the sealed `head` has a digest of the id and version of every case, a sealed
case one of the columns of its examinations, and an examination counts its findings. A digest is the exclusive or of
MACs of the elements (a multiset hash, MSet-XOR-Hash of Clarke et al., 2003, whose value nobody without the key sees).
So the store detects a row that was taken out, put in, or put back to an earlier state. It does not detect an older copy
of the whole file that is put in its place while no process has the store open; an exported checkpoint of the audit
does.

Times are milliseconds since 1970, UTC.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from fr_core.errors import StoreCorrupt, message
from fr_core.storage.audit.values import canonical
from fr_core.storage.protocol import Connection, Row, Statements
from fr_core.storage.schema import TAKES_MARK, Schema, WrappedKeys, begin_audit
from fr_core.storage.vault import DataKey, Value, Vault
from fr_trust.casework.codec import finding_of, finding_said, listed_of, listed_said, searched_of, searched_said
from fr_trust.casework.values import Case, Examination, Finding, Purpose

_HEAD = struct.Struct("<16sqqq")
_DIGEST_BYTES = 16

HEAD = "SELECT version, sealed FROM head WHERE head_no = 1"  # the columns of a head

CASES = "SELECT case_no, case_id, version, opened_ms, expires_ms, open_mac, wrapped_key, sealed FROM cases"
"""The columns of a case."""

_ELEMENT = "e.examination_no, e.examination_id, e.case_no, e.ordinal, e.searched_ms, e.findings, e.waiting"

ELEMENTS = f"SELECT {_ELEMENT} FROM examinations e"  # the columns of an examination that the digest of its case is of

EXAMINATIONS = f"SELECT {_ELEMENT}, e.sealed FROM examinations e JOIN cases c ON c.case_no = e.case_no"
"""The columns of an examination whose case is not deleted."""


STORE_OWNER, CASE_OWNER = -6, -7  # owners of data keys: the store, whose key seals the head, and the cases

HEAD_BYTES = 40
"""Of what is sealed in the head: a digest of 128 bits and three numbers of 64; of an empty store all are 0."""

_TABLES = """
CREATE TABLE vault (
    vault_no INTEGER PRIMARY KEY CHECK (vault_no = 1),
    wrapped_key BLOB NOT NULL
) STRICT;

-- `version` grows with each change of a case.
CREATE TABLE head (
    head_no INTEGER PRIMARY KEY CHECK (head_no = 1),
    version INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;

-- `version` is that of the head when the case, or anything in it, was changed last. `open_mac` stands in for the
-- reference of a case that is open.
CREATE TABLE cases (
    case_no INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL UNIQUE,
    opened_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    open_mac BLOB UNIQUE,
    wrapped_key BLOB NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX cases_by_age ON cases (opened_ms, case_id);
CREATE INDEX cases_by_end ON cases (expires_ms);

-- `waiting` is 1 where it waits for a finding.
CREATE TABLE examinations (
    examination_no INTEGER PRIMARY KEY AUTOINCREMENT,
    examination_id TEXT NOT NULL UNIQUE,
    case_no INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    searched_ms INTEGER NOT NULL,
    findings INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (case_no, ordinal)
) STRICT;
CREATE INDEX examinations_waiting ON examinations (searched_ms, examination_id) WHERE waiting = 1;

CREATE TABLE findings (
    examination_no INTEGER NOT NULL,
    number INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (examination_no, number)
) STRICT, WITHOUT ROWID;

-- Number 0 is the probe, n the nth candidate.
CREATE TABLE photos (
    examination_no INTEGER NOT NULL,
    number INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (examination_no, number)
) STRICT;

-- Cases that are deleted, their keys with them; what is left of them goes bit by bit.
CREATE TABLE gone (
    case_no INTEGER PRIMARY KEY
) STRICT;
"""


def open_mac(vault: Vault, opened_by: str, reference: str) -> bytes:
    """Return the MAC that represents the reference of an open case; it differs for each opener."""
    return vault.mac("reference of an open case", (opened_by, reference))


def _open_by_opener(connection: Connection, vault: Vault) -> None:
    """Make references of open cases unique for each opener; earlier versions made them unique for everybody."""
    rows = connection.execute(
        "SELECT case_no, case_id, version, opened_ms, expires_ms, open_mac, wrapped_key, sealed FROM cases "
        "WHERE open_mac IS NOT NULL"
    )
    for row in list(rows):
        case_no, *columns, mac, wrapped, sealed = row
        key = SCHEMA.readable(partial(vault.key, CASE_OWNER, case_no, wrapped))
        said = key.open(sealed, SCHEMA.bound("cases", case_no, *columns, mac), "cases")
        reference, _, opened_by, *_ = json.loads(said)
        mac = open_mac(vault, opened_by, reference)
        sealed = key.seal(said, SCHEMA.bound("cases", case_no, *columns, mac))
        connection.execute("UPDATE cases SET open_mac = ?, sealed = ? WHERE case_no = ?", (mac, sealed, case_no))


def _make_head(connection: Connection, vault: Vault) -> None:
    """Make the key of the head, and the head of no cases."""
    key, wrapped = vault.new_key(STORE_OWNER, 1)
    connection.execute("INSERT INTO vault (vault_no, wrapped_key) VALUES (1, ?)", (wrapped,))
    sealed = key.seal(bytes(HEAD_BYTES), SCHEMA.bound("head", 0))
    connection.execute("INSERT INTO head (head_no, version, sealed) VALUES (1, 0, ?)", (sealed,))


SCHEMA = Schema(
    name="case store",
    database_name="cases.sqlite",
    application_id=0x46524343,  # "FRCC"
    migrations=(_TABLES, _make_head, begin_audit, _open_by_opener, TAKES_MARK),
    wrapped=(WrappedKeys(STORE_OWNER, "vault", "vault_no"), WrappedKeys(CASE_OWNER, "cases", "case_no")),
    binding="fr-core cases",
    mac_prefix="cases ",
)


@dataclass(frozen=True, slots=True)
class Head:
    """The head of the store, which vouches for its cases."""

    version: int
    digest: int  # exclusive or of what `Locks.case_element` gives for each case
    cases: int  # how many there are
    examinations: int
    waiting: int  # of those, how many wait for a finding


@dataclass(frozen=True, slots=True)
class KeptCase:
    """A case as the store keeps it."""

    case_no: int
    version: int  # of the head when it was changed last
    case: Case
    # Represents its reference; None if that is free again, as after the case is closed.
    open_mac: bytes | None = field(repr=False)
    # Exclusive or of what `Locks.examination_element` gives for each of its examinations.
    digest: int = field(repr=False)
    key: DataKey = field(repr=False)  # opens what belongs to it


@dataclass(frozen=True, slots=True)
class KeptExamination:
    """An examination as the store keeps it, without its findings and photos."""

    examination_no: int
    ordinal: int  # 1 for the first of its case
    findings: int  # how many it has
    waiting: int  # 1 where it waits for one, else 0
    examination: Examination
    photos: tuple[int, ...]  # numbers of the photos that are kept, 0 for the probe and n for the nth candidate


class Locks:
    """Seals and opens rows; every method raises `StoreCorrupt` for an altered row."""

    def __init__(self, reading: Statements) -> None:
        row = reading.row("SELECT wrapped_key FROM vault WHERE vault_no = 1")
        if row is None:
            raise StoreCorrupt(message("error.trust.case_store_lost_key"), check="vault")
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
            raise StoreCorrupt(message("error.trust.case_store_lost_head"), check="head")
        version, sealed = row
        said = self._key.open(sealed, SCHEMA.bound("head", version), "head")
        digest, *counts = SCHEMA.readable(lambda: _HEAD.unpack(said))
        return Head(version, int.from_bytes(digest, "big"), *counts)

    def sealed_head(self, head: Head) -> tuple[Value, ...]:
        """Return the values of a row of `HEAD`."""
        packed = _HEAD.pack(head.digest.to_bytes(_DIGEST_BYTES, "big"), head.cases, head.examinations, head.waiting)
        return head.version, self._key.seal(packed, SCHEMA.bound("head", head.version))

    def _element(self, kind: str, *values: Any) -> int:
        # A column that was altered may hold what no row can.
        return int.from_bytes(SCHEMA.readable(lambda: self._vault.mac(kind, values)), "big")


def case_of(vault: Vault, row: Row) -> KeptCase:
    """Open a row of `CASES`; raises `StoreCorrupt`."""
    case_no, case_id, version, opened_ms, expires_ms, open_mac, wrapped, sealed = row
    key = SCHEMA.readable(lambda: vault.key(CASE_OWNER, case_no, wrapped))
    bound = SCHEMA.bound("cases", case_no, case_id, version, opened_ms, expires_ms, open_mac)
    said = key.open(sealed, bound, "cases")

    def read() -> KeptCase:
        reference, purpose, opened_by, closed_ms, examinations, galleries, digest = json.loads(said)
        times = (opened_ms, closed_ms, expires_ms)
        case = Case(case_id, reference, Purpose(purpose), opened_by, *times, examinations, tuple(galleries))
        return KeptCase(case_no, version, case, open_mac, int(digest, 16), key)

    return SCHEMA.readable(read)


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
    bound = SCHEMA.bound("examinations", examination_id, case_no, ordinal, searched_ms)
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

    return SCHEMA.readable(read)


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
    return SCHEMA.readable(lambda: finding_of(json.loads(said)))


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

    `rows` has the number and the sealed bytes of each, in their order. Raises `StoreCorrupt` if one was altered, taken
    out, exchanged or put in.
    """
    if [number for number, _ in rows] != list(kept.photos):
        raise StoreCorrupt(message("error.trust.photo_examination_taken_out"), check="photos")
    own = kept.examination
    opened = {
        number: case.key.open(sealed, SCHEMA.bound("photos", own.examination_id, number), "photos")
        for number, sealed in rows
    }
    candidates = tuple(replace(one, photo=opened.get(nth, b"")) for nth, one in enumerate(own.candidates, 1))
    return replace(own, probe=opened[0], candidates=candidates)
