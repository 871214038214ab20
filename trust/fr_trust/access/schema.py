"""The tables of the access store.

What is `sealed` is encrypted (AES-256-GCM) and bound to the columns beside it, so that nobody without the key of the
store reads, makes, widens or exchanges a row. `head` says which rows there are: it holds the exclusive or of a MAC of
the id and version of each (a multiset hash, MSet-XOR-Hash of Clarke et al., 2003, whose value nobody without the key
sees), so that a row which was taken out, or put back to what it was before, is found.

This does not detect an older copy of the whole file, or of `keys` and `head` together, that is put in its place while
no process has the store open; an open store knows the newest version. So somebody who can write the file while the
server is down can make a revoked key valid again. The records of the audit say the version of the head that each
change made, and an exported checkpoint of the audit shows that records are missing.
"""

from __future__ import annotations

import os

from fr_core.storage.protocol import Connection
from fr_core.storage.schema import TAKES_MARK, Schema, WrappedKeys, begin_audit
from fr_core.storage.vault import Vault
from fr_trust.access.keys import PEPPER_BYTES

OWNER = -5
"""Of the one key that seals what the store holds."""

_TABLES = """
CREATE TABLE vault (
    vault_no INTEGER PRIMARY KEY CHECK (vault_no = 1),
    wrapped_key BLOB NOT NULL,
    pepper BLOB NOT NULL
) STRICT;

-- `version` grows with each change of a key.
CREATE TABLE head (
    head_no INTEGER PRIMARY KEY CHECK (head_no = 1),
    version INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;

-- `version` is that of the head when the key was changed last.
CREATE TABLE keys (
    key_no INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL UNIQUE,
    sealed BLOB NOT NULL
) STRICT;
"""


def _make_keys(connection: Connection, vault: Vault) -> None:
    """Make the key of the store, the pepper of its secrets, and the head of no keys."""
    key, wrapped = vault.new_key(OWNER, 1)
    pepper = key.seal(os.urandom(PEPPER_BYTES), SCHEMA.bound("vault", 1))
    connection.execute("INSERT INTO vault (vault_no, wrapped_key, pepper) VALUES (1, ?, ?)", (wrapped, pepper))
    # No keys, no time seen; see `rows.Head`.
    head = key.seal(bytes(32), SCHEMA.bound("head", 0))
    connection.execute("INSERT INTO head (head_no, version, sealed) VALUES (1, 0, ?)", (head,))


SCHEMA = Schema(
    name="access store",
    database_name="access.sqlite",
    application_id=0x46524143,  # "FRAC"
    migrations=(_TABLES, _make_keys, begin_audit, TAKES_MARK),
    wrapped=(WrappedKeys(OWNER, "vault", "vault_no"),),
    binding="fr-core access",
    mac_prefix="access ",
)
