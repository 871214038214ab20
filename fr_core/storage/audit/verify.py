"""Verifies a chain: each record, the head, and checkpoints that were kept elsewhere.

Nobody can change a record unnoticed without the key of the store. Somebody with the key can write the whole chain anew,
or put back an earlier state of the whole database: only a checkpoint that was kept elsewhere shows that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fr_core.errors import StoreCorrupt, message
from fr_core.storage.audit.chain import Head, Pruned, is_whole, next_hash
from fr_core.storage.audit.checkpoints import Checkpoint, key_id_of
from fr_core.storage.audit.table import PRUNE, AuditTable
from fr_core.storage.audit.values import decode
from fr_core.storage.protocol import Connection, Row

# Some 50 milliseconds: a start waits so long.
_RECENT = 1_000
_NOTHING: Row = (0, b"", b"", b"")


class Why(StrEnum):
    """The fault of a chain."""

    EDITED = "edited"  # a record, its hash or its MAC was changed
    MISSING = "missing"  # a record was taken out
    INSERTED = "inserted"  # a record was put in
    OUT_OF_ORDER = "out_of_order"  # records changed places, or the time goes back
    TRUNCATED = "truncated"  # the last records were taken out
    HEAD_ALTERED = "head_altered"  # how far the chain is was changed, or an earlier head put back
    PRUNE_ALTERED = "prune_altered"  # the mark of the pruning contradicts the records
    MALFORMED = "malformed"  # what stands there is no record
    REWRITTEN = "rewritten"  # another history than the one that the checkpoint signs
    CHECKPOINT_FORGED = "checkpoint_forged"  # the signature is not that of the key
    OTHER_KEY = "other_key"  # the checkpoint is signed by another key than the chain's


@dataclass(frozen=True, slots=True)
class Verified:
    """Everything is as it was written."""

    chain_id: str
    records: int  # how many were checked
    seq: int  # number of the last
    checkpoints: int  # how many the chain agrees with
    withheld: int = 0  # how many more stand in the chain by their hashes alone
    # The number of checkpoints of records before the first checked one; only their signatures were checked.
    unchecked: int = 0

    @property
    def after(self) -> int:
        """Number of the last record before the checked ones; 0 if all were checked."""
        return self.seq - self.records - self.withheld


@dataclass(frozen=True, slots=True)
class Broken:
    """Something is not as it was written: the number of the first wrong record, or of a checkpoint that disagrees."""

    seq: int
    why: Why


class Marks:
    """Checkpoints, kept elsewhere, that a chain has to agree with, and the key that signed them."""

    def __init__(self, chain_id: str, checkpoints: Sequence[Checkpoint], public_key: Ed25519PublicKey) -> None:
        self._chain_id = chain_id
        self._checkpoints = sorted(checkpoints, key=lambda one: one.seq)
        self._public_key = public_key
        self._hashes: dict[int, str] = {}
        self._wanted = frozenset(one.seq for one in checkpoints)

    def forged(self) -> Broken | None:
        """Return what is wrong with the checkpoints themselves."""
        key_id = key_id_of(self._public_key)
        for one in self._checkpoints:
            if one.key_id != key_id:
                return Broken(one.seq, Why.OTHER_KEY)
            if not one.is_signed_by(self._public_key):
                return Broken(one.seq, Why.CHECKPOINT_FORGED)
            if one.chain_id != self._chain_id:  # each chain has a key of its own
                return Broken(one.seq, Why.REWRITTEN)
        return None

    def passed(self, seq: int, hash_: bytes) -> None:
        """Note the hash of a record."""
        if seq in self._wanted:
            self._hashes[seq] = hash_.hex()

    def disagreeing(self, first: int, last: int) -> Broken | None:
        """Return what is wrong with a chain whose records of these numbers, hash_0 among them, have passed."""
        for one in self._checkpoints:
            if one.seq > last:
                return Broken(last + 1, Why.TRUNCATED)
            if one.seq >= first and self._hashes[one.seq] != one.hash:
                return Broken(one.seq, Why.REWRITTEN)
        return None

    def before(self, first: int) -> int:
        """Return how many of the checkpoints sign records before the one with this number."""
        return sum(one.seq < first for one in self._checkpoints)


def require_recent(table: AuditTable, connection: Connection) -> None:
    """Check the beginning and the end of a chain, and its last 1,000 records, where nobody writes meanwhile.

    Raises `StoreCorrupt`: one of them is not as it was written, or there are records beyond the last.
    """
    head, pruned = table.head(), table.pruned()
    table.records(max(0, head.seq - _RECENT), _RECENT)
    ((first,),) = connection.execute("SELECT min(seq) FROM audit WHERE seq != 0")
    if head.seq and first != pruned.upto + 1:
        raise StoreCorrupt(message("error.storage.audit_does_not_begin"), check="audit_pruned")
    if list(connection.execute("SELECT 1 FROM audit WHERE seq > ? LIMIT 1", (head.seq,))):
        raise StoreCorrupt(message("error.storage.audit_records_nobody_wrote"), check="audit")


def require_unbroken(table: AuditTable) -> int:
    """Check every record of a chain, in one transaction, and return their number.

    Raises `StoreCorrupt`: something is not as it was written (metadata: seq, of the first record that is wrong; why).
    """
    found = verify(table)
    if isinstance(found, Broken):
        raise StoreCorrupt(
            message("error.storage.record_audit_not_written", seq=found.seq, why=found.why.value),
            check="audit",
            seq=str(found.seq),
            why=found.why.value,
        )
    return found.records


def verify(table: AuditTable, checkpoints: Sequence[Checkpoint] = ()) -> Verified | Broken:
    """Check every record of a chain, in one transaction, against checkpoints of it that were kept elsewhere."""
    try:
        head = table.head()
    except StoreCorrupt:
        return Broken(0, Why.HEAD_ALTERED)
    try:
        pruned = table.pruned()
    except StoreCorrupt:
        return Broken(0, Why.PRUNE_ALTERED)
    marks = Marks(head.chain_id, checkpoints, table.public_key())
    broken = marks.forged() or _walk(table, head, pruned, marks) or marks.disagreeing(pruned.upto, head.seq)
    unchecked = marks.before(pruned.upto)
    records, agreed = head.seq - pruned.upto, len(checkpoints) - unchecked
    return broken or Verified(head.chain_id, records, head.seq, agreed, unchecked=unchecked)


def disagreement(table: AuditTable, checkpoint: Checkpoint) -> Broken | None:
    """Return what is wrong between a chain and a checkpoint that was kept elsewhere; None where they agree.

    It looks, in one transaction, only at the record of the checkpoint. If that was pruned, it checks only the
    signature. Raises `StoreCorrupt` if the record, or how far the chain is, was altered.
    """
    head, first = table.head(), table.pruned().upto
    marks = Marks(head.chain_id, [checkpoint], table.public_key())
    if first <= checkpoint.seq <= head.seq:
        marks.passed(checkpoint.seq, table.hash_of(checkpoint.seq))
    return marks.forged() or marks.disagreeing(first, head.seq)


def _walk(table: AuditTable, head: Head, pruned: Pruned, marks: Marks) -> Broken | None:
    rows = (row for row in table.raw_rows() if row[0] != 0)  # which is the mark
    seq, at_ms, hash_ = pruned.upto, 0, pruned.hash
    told, told_upto = 0, (0, pruned.hash.hex())  # in the last record `audit.prune`
    marks.passed(seq, hash_)
    for row in rows:
        number, body, said, mac = row
        seq += 1
        if number != seq:
            return Broken(min(number, seq), Why.MISSING if number > seq else Why.INSERTED)
        if not is_whole(row):
            return Broken(seq, Why.MALFORMED)
        hash_ = next_hash(head.chain_id, hash_, body)
        if said != hash_ or not table.is_authentic(head, seq, said, mac):
            return Broken(seq, _what_happened(table, head, row, rows))
        if seq > head.seq:
            return Broken(seq, Why.HEAD_ALTERED)
        try:
            record = decode(body)
        except ValueError:
            return Broken(seq, Why.MALFORMED)
        if record.seq != seq or record.at_ms < at_ms:
            return Broken(seq, Why.OUT_OF_ORDER)
        at_ms = record.at_ms
        if record.action == PRUNE:
            told, told_upto = seq, (record.counts.get("upto", 0), record.detail.get("hash", ""))
        marks.passed(seq, hash_)
    if seq < head.seq:
        return Broken(seq + 1, Why.TRUNCATED)
    if (told, *told_upto) != (pruned.record, pruned.upto, pruned.hash.hex()):
        return Broken(max(told, pruned.record), Why.PRUNE_ALTERED)
    return None if (at_ms, hash_) == (head.at_ms, head.hash) else Broken(head.seq, Why.HEAD_ALTERED)


def _what_happened(table: AuditTable, head: Head, row: Row, rest: Iterator[Row]) -> Why:
    seq, _, hash_, mac = row
    following = next(rest, _NOTHING)
    _, body, next_hash_, next_mac = following if is_whole(following) else _NOTHING
    fits_next = table.is_authentic(head, seq + 1, hash_, mac)
    next_fits_here = table.is_authentic(head, seq, next_hash_, next_mac)
    if next_fits_here:
        return Why.OUT_OF_ORDER if fits_next else Why.INSERTED
    if seq > head.seq:
        return Why.INSERTED
    if fits_next and (not body or table.is_authentic(head, seq + 2, next_hash_, next_mac)):
        return Why.MISSING  # and those that follow were given the numbers before theirs
    return Why.OUT_OF_ORDER if _number_of(row[1]) not in (None, seq) else Why.EDITED


def _number_of(body: bytes) -> int | None:
    try:
        return decode(body).seq
    except ValueError:
        return None
