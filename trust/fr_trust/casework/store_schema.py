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

from __future__ import annotations

import json
from functools import partial

from fr_core.storage.protocol import Connection
from fr_core.storage.rows import readable
from fr_core.storage.schema import TAKES_MARK, Schema, WrappedKeys, begin_audit
from fr_core.storage.vault import Vault

STORE_OWNER, CASE_OWNER = -6, -7
"""Owners of data keys: the store, whose key seals the head, and the cases."""

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
        key = readable(SCHEMA.name, partial(vault.key, CASE_OWNER, case_no, wrapped))
        said = key.open(sealed, readable(SCHEMA.name, partial(SCHEMA.bound, "cases", case_no, *columns, mac)), "cases")
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
