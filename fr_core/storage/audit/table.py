"""Keeps the audit of a store in two tables of its database; each record is written in the transaction of its change.

Each row has a MAC of its number and hash, and the one row of the head a MAC of how far the chain is. Nothing here is
kept outside of the database but the keys and the last head seen: several processes may write in turns, and a rollback
also undoes records.

A pruned chain has a row of number 0, the mark, which replaces all deleted records. Its hash is that of the last deleted
record, so that the next record follows it. Its body holds the number of that record and of the record `audit.prune`;
its MAC authenticates both.
"""

import hmac
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fr_core.errors import StoreCorrupt, message
from fr_core.storage.audit.attribution import SYSTEM
from fr_core.storage.audit.chain import Head, Kept, Pruned, first_hash, is_chain_id, is_whole, new_chain_id, next_hash
from fr_core.storage.audit.checkpoints import Checkpoint, make_checkpoint, public_pem
from fr_core.storage.audit.values import PSEUDONYM_KEY_BYTES, Entry, Pseudonyms, canonical, decode, encode
from fr_core.storage.dialect import contains
from fr_core.storage.protocol import Connection, Row
from fr_core.storage.vault import DataKey, Vault

SCHEMA = """
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    body BLOB NOT NULL,
    hash BLOB NOT NULL,
    mac BLOB NOT NULL
) STRICT;

CREATE TABLE audit_head (
    head_no INTEGER PRIMARY KEY CHECK (head_no = 1),
    chain_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    hash BLOB NOT NULL,
    sealed_signing_key BLOB NOT NULL,
    public_key BLOB NOT NULL,
    sealed_pseudonym_key BLOB NOT NULL,
    mac BLOB NOT NULL
) STRICT;
"""

_HEAD = "chain_id, seq, at_ms, hash, sealed_signing_key, public_key, sealed_pseudonym_key, mac"
_SELECT_HEAD = f"SELECT {_HEAD} FROM audit_head"
_INSERT_HEAD = f"INSERT INTO audit_head (head_no, {_HEAD}) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)"
_HEAD_TYPES = (str, int, int, bytes, bytes, bytes, bytes, bytes)
_UPDATE_HEAD = "UPDATE audit_head SET seq = ?, at_ms = ?, hash = ?, mac = ? WHERE head_no = 1"
_INSERT = "INSERT INTO audit (seq, body, hash, mac) VALUES (?, ?, ?, ?)"
_SELECT_RAW = "SELECT seq, body, hash, mac FROM audit WHERE seq > ? ORDER BY seq LIMIT ?"
# With the hash of the record before, which that of the record holds.
_SELECT = """
SELECT own.seq, own.body, own.hash, own.mac, before.hash
FROM audit AS own LEFT JOIN audit AS before ON before.seq = own.seq - 1
WHERE own.seq > ? AND own.seq <= ? {more} ORDER BY own.seq LIMIT ?
"""
_SELECT_ALL = _SELECT.format(more="")
_SELECT_MARK = "SELECT seq, body, hash, mac FROM audit WHERE seq = 0"
_DELETE = "DELETE FROM audit WHERE seq <= ?"

PRUNE = "audit.prune"  # action of the record that says which records were deleted
SALT_BYTES = 16  # random bytes of each record

_SIGNING_KEY, _PSEUDONYM_KEY = "audit signing key", "audit pseudonym key"
_PAGE = 1_000


class AuditTable:
    """The audit of one store, over one of its connections; of one thread at a time, as the connection is.

    To append, its transaction began by writing (BEGIN IMMEDIATE). Every method but `create` and `begin` raises
    `StoreCorrupt` where a row that it reads was altered, and each of them what the connection raises.
    """

    def __init__(self, connection: Connection, vault: Vault, clock_ms: Callable[[], int]) -> None:
        self._connection = connection
        self._vault = vault
        self._secrets = DataKey(vault.derived("audit seal"))  # a rotation has nothing of the audit to write
        self._clock_ms = clock_ms
        # The last head that was found good: equal bytes are good again, which saves an authentication for each append.
        self._seen: tuple[Row, Head] | None = None
        self._pseudonyms: Pseudonyms | None = None  # of a key that its chain keeps for ever

    def create(self) -> None:
        """Make the tables, and begin a chain of no records."""
        self._connection.execute(SCHEMA)
        self.begin()

    def begin(self) -> None:
        """Begin a chain of no records, in tables that are there and empty, with keys of its own."""
        self._pseudonyms = None
        chain_id, signing_key = new_chain_id(), Ed25519PrivateKey.generate()
        self._insert_head(
            Head(
                chain_id,
                0,
                0,
                first_hash(chain_id),
                self._sealed(_SIGNING_KEY, chain_id, signing_key.private_bytes_raw()),
                signing_key.public_key().public_bytes_raw(),
                self._sealed(_PSEUDONYM_KEY, chain_id, secrets.token_bytes(PSEUDONYM_KEY_BYTES)),
            )
        )

    def append(self, entries: Iterable[Entry]) -> int:
        """Add records in their order, kept if and only if the transaction is; returns the number of the chain's last
        record.
        """
        head = self.head()
        now_ms = self._clock_ms()
        at_ms = max(now_ms, head.at_ms)
        clock_ms = None if at_ms == now_ms else now_ms
        seq, hash_ = head.seq, head.hash
        for entry in entries:
            seq += 1
            body = encode(entry, seq, at_ms, clock_ms, secrets.token_hex(SALT_BYTES))
            hash_ = next_hash(head.chain_id, hash_, body)
            self._insert(head.chain_id, seq, body, hash_)
        if seq > head.seq:
            sealed = (head.sealed_signing_key, head.public_key, head.sealed_pseudonym_key)
            after = Head(head.chain_id, seq, at_ms, hash_, *sealed)
            mac = self._vault.mac("audit_head", after.columns)
            self._connection.execute(_UPDATE_HEAD, (seq, at_ms, hash_, mac))
            self._seen = ((*after.columns, mac), after)
        return seq

    def prune(self, after: int, upto: int) -> bool:
        """Delete the records from `after` to `upto` and add a record of that, within the connection's transaction.

        Returns:
            Whether it deleted them; False if another process has pruned in the meantime.
        """
        if self.pruned().upto != after:
            return False
        hash_ = self.hash_of(upto)
        counts, detail = {"upto": upto, "records": upto - after}, {"hash": hash_.hex()}
        record = self.append([Entry(SYSTEM, PRUNE, "OK", counts=counts, detail=detail)])
        body = canonical({"record": record, "upto": upto})
        self._connection.execute(_DELETE, (upto,))
        self._connection.execute(_INSERT, (0, body, hash_, self._mark_mac(self.head(), body, hash_)))
        return True

    def pruned(self) -> Pruned:
        """Return how far the chain is pruned."""
        head = self.head()
        for row in self._connection.execute(_SELECT_MARK):
            _, body, hash_, mac = row
            if not is_whole(row) or not hmac.compare_digest(self._mark_mac(head, body, hash_), mac):
                raise StoreCorrupt(message("error.storage.mark_says_how_far"), check="audit_pruned")
            said = json.loads(body)
            return Pruned(said["upto"], hash_, said["record"])
        return Pruned(0, first_hash(head.chain_id), 0)

    def head(self) -> Head:
        """Return how far the chain is, as the database says now."""
        rows = list(self._connection.execute(_SELECT_HEAD))
        if len(rows) != 1:
            raise StoreCorrupt(message("error.storage.audit_does_not_say"), check="audit_head")
        row = rows[0]
        if self._seen is not None and row == self._seen[0]:
            return self._seen[1]
        # SQLite does not look whether what it reads has the type of its column.
        fit = tuple(map(type, row)) == _HEAD_TYPES and is_chain_id(row[0])
        if not fit or not hmac.compare_digest(self._vault.mac("audit_head", row[:-1]), row[-1]):
            raise StoreCorrupt(message("error.storage.head_audit_altered"), check="audit_head")
        head = Head(*row[:-1])
        self._seen = (row, head)
        return head

    def records(self, after: int, limit: int) -> list[Kept]:
        """Return at most `limit` records after that of a number, in their order; a missing one is an error, too."""
        return list(self._found(after, limit))

    def every(self, after: int = 0) -> Iterator[Kept]:
        """Yield every record after that of a number, as `records`; of one moment if the transaction is.

        All those before the first that was altered, or is missing, are yielded.
        """
        before = -1
        while before < after:
            before = after
            for kept in self._found(after, _PAGE):
                yield kept
                after = kept.record.seq

    def matching(self, after: int, last: int, needles: Sequence[bytes], limit: int) -> list[Kept]:
        """Return at most `limit` records, in their order, whose bytes hold all of `needles`.

        They follow the record of the number `after`, and end with that of the number `last`.
        """
        head, pruned = self.head(), self.pruned()
        sql = _SELECT.format(more=" ".join(f"AND {contains('own.body')}" for _ in needles))
        rows = self._connection.execute(sql, (after, min(last, head.seq), *needles, limit))
        return [self._checked(head, pruned, row) for row in rows]

    def hash_of(self, seq: int) -> bytes:
        """Return the hash of a record, 32 bytes; its number is at least that of the last pruned one (or 0)."""
        pruned = self.pruned()
        if seq < pruned.upto:
            raise ValueError("a record of that number was pruned")
        return pruned.hash if seq == pruned.upto else self.records(seq - 1, 1)[0].hash

    def raw_rows(self) -> Iterator[Row]:
        """Yield (seq, body, hash, mac) of every row, none of them checked, in the order of their numbers."""
        after = -(2**63)
        while rows := list(self._connection.execute(_SELECT_RAW, (after, _PAGE))):
            yield from rows
            after = rows[-1][0]

    def is_authentic(self, head: Head, seq: int, hash_: bytes, mac: bytes) -> bool:
        """Return whether somebody with the key wrote this hash for this number."""
        return hmac.compare_digest(self._vault.mac("audit", (head.chain_id, seq, hash_)), mac)

    def pseudonyms(self) -> Pseudonyms:
        """Return what makes the pseudonyms of the chain."""
        if self._pseudonyms is None:
            head = self.head()
            self._pseudonyms = Pseudonyms(self._opened(head, _PSEUDONYM_KEY, head.sealed_pseudonym_key))
        return self._pseudonyms

    def checkpoint(self, last: Kept | None = None) -> Checkpoint:
        """Sign the number and hash of the last record, or of `last`, a record from this table."""
        head = self.head()
        seq, hash_ = (head.seq, head.hash) if last is None else (last.record.seq, last.hash)
        signing_key = self._opened(head, _SIGNING_KEY, head.sealed_signing_key)
        return make_checkpoint(head.chain_id, seq, hash_, self._clock_ms(), signing_key)

    def public_key(self) -> Ed25519PublicKey:
        """Return the key that tells the chain's signatures."""
        return Ed25519PublicKey.from_public_bytes(self.head().public_key)

    def public_pem(self) -> str:
        """Return the same as PEM."""
        return public_pem(self.public_key())

    def _found(self, after: int, limit: int) -> Iterator[Kept]:
        head, pruned = self.head(), self.pruned()
        after = max(after, pruned.upto)
        found = 0
        for row in self._connection.execute(_SELECT_ALL, (after, head.seq, limit)):
            yield self._checked(head, pruned, row)
            found += 1
        # One that is missing before the last of them was noticed: the next has no hash to follow.
        if found < min(limit, head.seq - after):
            raise StoreCorrupt(message("error.storage.records_audit_missing"), check="audit")

    def _checked(self, head: Head, pruned: Pruned, row: Row) -> Kept:
        seq, body, hash_, mac, previous = row
        if seq == pruned.upto + 1:
            previous = pruned.hash
        if previous is None:
            raise StoreCorrupt(message("error.storage.records_audit_missing"), check="audit")
        if not is_whole(row) or not self.is_authentic(head, seq, hash_, mac):
            raise StoreCorrupt(message("error.storage.record_audit_altered"), check="audit")
        if next_hash(head.chain_id, previous, body) != hash_:
            raise StoreCorrupt(message("error.storage.record_audit_altered"), check="audit")
        try:
            record = decode(body)
        except ValueError as error:  # it was authenticated, so that a defect wrote it
            raise StoreCorrupt(message("error.storage.record_audit_cannot_read"), check="audit") from error
        if record.seq != seq:
            raise StoreCorrupt(message("error.storage.record_audit_says_another"), check="audit")
        return Kept(record, body, hash_)

    def _insert(self, chain_id: str, seq: int, body: bytes, hash_: bytes) -> None:
        self._connection.execute(_INSERT, (seq, body, hash_, self._vault.mac("audit", (chain_id, seq, hash_))))

    def _insert_head(self, head: Head) -> None:
        self._connection.execute(_INSERT_HEAD, (*head.columns, self._vault.mac("audit_head", head.columns)))

    def _mark_mac(self, head: Head, body: bytes, hash_: bytes) -> bytes:
        return self._vault.mac("audit_pruned", (head.chain_id, body, hash_))

    def _sealed(self, purpose: str, chain_id: str, secret: bytes) -> bytes:
        return self._secrets.seal(secret, f"{purpose} {chain_id}".encode())

    def _opened(self, head: Head, purpose: str, sealed: bytes) -> bytes:
        return self._secrets.open(sealed, f"{purpose} {head.chain_id}".encode(), "audit_key")
