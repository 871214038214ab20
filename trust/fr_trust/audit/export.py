"""A chain as lines of JSON, and their verification, which needs the public key and nothing of the server.

The first line says where the export begins, the last is a checkpoint; between them is one record a line:

    {"after":0,"chain_id":"...","hash":"...","v":1}
    {"hash":"...","record":{...}}
    {"checkpoint":{...}}

A record's bytes stand in its line as they were hashed. The checkpoint signs the hash of the last record, which holds
all before it, back to the hash with which the export begins. Several exports verify as one chain if each begins where
the one before ends. So archived records and the records still in the store form one chain. If a server stopped between
archiving and pruning, the last archived records appear twice.

An export for people who may not read every record withholds the others: of these a line has the hash of the record's
bytes alone, which hold 128 random bits, so that nobody can try out what they are.

    {"body_sha256":"...","hash":"..."}

The server archives the oldest records as exports, segment by segment, and then prunes them. Every record of a segment
is checked first, so that pruning does not hide tampering. A segment is short, so that its deletion does not take long,
and a nearly full disk has room for it in the database's log.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fr_core.errors import InvalidField, message
from fr_core.storage.audit.chain import Kept, first_hash, hash_after, is_chain_id, next_hash
from fr_core.storage.audit.checkpoints import Checkpoint, parse_checkpoint
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.values import MAX_NUMBER, VERSION, Record, canonical, decode
from fr_core.storage.audit.verify import Broken, Marks, Verified, Why

MOST_RECORDS = 5_000  # largest number of records in a segment
MOST_BYTES = 4 * 2**20  # A segment ends with the record that reaches this length


_RECORD = re.compile(rb'\{"hash":"([0-9a-f]{64})","record":(\{.*\})\}')
_WITHHELD = re.compile(rb'\{"body_sha256":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}')
_CHECKPOINT = re.compile(rb'\{"checkpoint":(\{.*\})\}')
_HASH = re.compile(r"[0-9a-f]{64}")


def export(table: AuditTable, after: int = 0, shown: Callable[[Record], bool] = lambda record: True) -> Iterator[bytes]:
    """Yield the lines of a chain, each with its line break.

    Args:
        table: the chain; its connection is in one transaction all the while.
        after: begin after the record of this number, or with the first that was not pruned, if that comes later.
        shown: whether a record is told; else it is withheld.

    Raises `StoreCorrupt`: a record is not as it was written; `InvalidField`: the chain has no record of that number.
    """
    if not 0 <= after <= table.head().seq:
        raise InvalidField(message("error.trust.chain_no_record_number"), field="after_seq")
    after = max(after, table.pruned().upto)
    yield beginning_line(table, after)
    for kept in table.every(after):
        if shown(kept.record):
            yield record_line(kept)
        else:
            body_sha256, hash_ = sha256(kept.body).hexdigest().encode(), kept.hash.hex().encode()
            yield b'{"body_sha256":"%s","hash":"%s"}\n' % (body_sha256, hash_)
    yield checkpoint_line(table.checkpoint())


def beginning_line(table: AuditTable, after: int) -> bytes:
    """Return the first line of an export that begins after the record of a number, with its line break."""
    beginning = {"v": VERSION, "chain_id": table.head().chain_id, "after": after, "hash": table.hash_of(after).hex()}
    return canonical(beginning) + b"\n"


def record_line(kept: Kept) -> bytes:
    """Return the line of a record, with its line break."""
    return b'{"hash":"%s","record":%s}\n' % (kept.hash.hex().encode(), kept.body)


def checkpoint_line(checkpoint: Checkpoint) -> bytes:
    """Return the last line of an export, with its line break."""
    return b'{"checkpoint":%s}\n' % checkpoint.to_json()


def checkpoint_of(line: bytes) -> Checkpoint:
    """Return the checkpoint in the last line of an export; raises `InvalidField` if the line holds none."""
    found = _CHECKPOINT.fullmatch(line.removesuffix(b"\n"))
    return parse_checkpoint(b"" if found is None else found[1])


def verify_export(
    lines: Iterable[bytes],
    public_key: Ed25519PublicKey,
    checkpoints: Sequence[Checkpoint] = (),
    *,
    may_withhold: bool = False,
    may_continue: bool = False,
) -> Verified | Broken:
    """Check the lines of an export, with or without their line breaks.

    Args:
        lines: of the export.
        public_key: of the chain, which came another way than the lines.
        checkpoints: kept elsewhere; those of records before the first line are checked as signatures.
        may_withhold: whether records may be withheld; in a whole export such a line is malformed.
        may_continue: whether the lines may hold several exports, where each continues the one before.

    Returns:
        What was found; `seq` of a line that cannot be read is that of the record that should be there.
    """
    stripped = (line.removesuffix(b"\n") for line in lines)
    try:
        chain_id, after, start = _beginning(next(stripped, b""))
    except ValueError:
        return Broken(0, Why.MALFORMED)
    if after == 0 and start != first_hash(chain_id):
        return Broken(0, Why.EDITED)
    return _Export(chain_id, after, start, public_key, checkpoints, may_withhold, may_continue).verify(stripped)


@dataclass(slots=True)
class _Export:
    """One verification."""

    _chain_id: str
    _first: int
    _hash: bytes
    _public_key: Ed25519PublicKey
    _checkpoints: Sequence[Checkpoint]
    _may_withhold: bool
    _may_continue: bool
    _seq: int = field(init=False)
    _part: tuple[int, bytes, int] = field(init=False)
    _at_ms: int = 0
    _withheld: int = 0
    # Number and hash of the last record that appears twice.
    _twice: tuple[int, bytes] | None = None

    def __post_init__(self) -> None:
        self._seq = self._first
        # Number, hash and time of the record before the current export.
        self._part = (self._first, self._hash, 0)

    def verify(self, lines: Iterator[bytes]) -> Verified | Broken:
        marks = Marks(self._chain_id, self._checkpoints, self._public_key)
        marks.passed(self._seq, self._hash)
        for line in lines:
            if (found := _CHECKPOINT.fullmatch(line)) is not None:
                following = next(lines, None)
                if following is None:
                    return self._ended(found[1], marks)
                broken = self._disagrees(found[1]) or self._continued(following)
                if broken is not None:
                    return broken
                continue
            withheld = _WITHHELD.fullmatch(line) if self._may_withhold else None
            broken = self._record(line) if withheld is None else self._withhold(withheld[1], withheld[2])
            if broken is None and self._twice is not None and self._twice[0] == self._seq:
                broken = None if self._twice[1] == self._hash else Broken(self._seq, Why.REWRITTEN)
                self._twice = None
            if broken is not None:
                return broken
            marks.passed(self._seq, self._hash)
        return Broken(self._seq + 1, Why.TRUNCATED)

    def _record(self, line: bytes) -> Broken | None:
        expected = self._seq + 1
        found = _RECORD.fullmatch(line)
        if found is None:
            return Broken(expected, Why.MALFORMED)
        try:
            record = decode(found[2])
        except ValueError:
            return Broken(expected, Why.EDITED)
        if record.seq > expected:
            return Broken(expected, Why.MISSING)
        if record.seq < expected or record.at_ms < self._at_ms:
            return Broken(expected, Why.OUT_OF_ORDER)
        self._hash = next_hash(self._chain_id, self._hash, found[2])
        if self._hash.hex().encode() != found[1]:
            return Broken(expected, Why.EDITED)
        self._seq, self._at_ms = expected, record.at_ms
        return None

    def _withhold(self, body_sha256: bytes, said: bytes) -> Broken | None:
        self._hash = hash_after(self._chain_id, self._hash, bytes.fromhex(body_sha256.decode()))
        if self._hash.hex().encode() != said:
            return Broken(self._seq + 1, Why.EDITED)
        self._seq += 1
        self._withheld += 1
        return None

    def _continued(self, line: bytes) -> Broken | None:
        """Go on with the next export; `line` is its first line."""
        try:
            chain_id, after, start = _beginning(line)
        except ValueError:
            return Broken(self._seq + 1, Why.INSERTED)
        if not self._may_continue or chain_id != self._chain_id:
            return Broken(self._seq + 1, Why.INSERTED)
        if (after, start) == self._part[:2] and after < self._seq:  # archived, but not pruned before the server ended
            self._twice = (self._seq, self._hash)
            self._seq, self._hash, self._at_ms = self._part
            return None
        if after != self._seq:
            return Broken(self._seq + 1, Why.MISSING if after > self._seq else Why.OUT_OF_ORDER)
        self._part = (self._seq, self._hash, self._at_ms)
        return None if start == self._hash else Broken(self._seq, Why.REWRITTEN)

    def _disagrees(self, data: bytes) -> Broken | None:
        """Check the checkpoint at the end of an export."""
        if self._twice is not None:
            return Broken(self._seq + 1, Why.TRUNCATED)
        try:
            last = parse_checkpoint(data)
        except InvalidField:
            return Broken(self._seq, Why.CHECKPOINT_FORGED)
        final = Marks(self._chain_id, (last,), self._public_key)
        final.passed(self._seq, self._hash)
        if last.seq < self._seq and final.forged() is None:
            return Broken(last.seq + 1, Why.INSERTED)
        return final.forged() or final.disagreeing(self._seq, self._seq)

    def _ended(self, data: bytes, marks: Marks) -> Verified | Broken:
        broken = self._disagrees(data) or marks.forged() or marks.disagreeing(self._first, self._seq)
        records, unchecked = self._seq - self._first - self._withheld, marks.before(self._first)
        agreed = 1 + len(self._checkpoints) - unchecked
        return broken or Verified(self._chain_id, records, self._seq, agreed, self._withheld, unchecked)


def _beginning(line: bytes) -> tuple[str, int, bytes]:
    """Return the chain, the number after which it begins, and that record's hash; raises `ValueError`."""
    try:
        said = json.loads(line.decode())
        chain_id, after, start = said["chain_id"], said["after"], said["hash"]
    except (TypeError, KeyError, RecursionError):
        raise ValueError("not the first line of an export") from None
    if not is_chain_id(chain_id) or type(after) is not int or not 0 <= after <= MAX_NUMBER:
        raise ValueError("not the first line of an export")
    if not isinstance(start, str) or _HASH.fullmatch(start) is None:
        raise ValueError("not the first line of an export")
    if canonical({"v": VERSION, "chain_id": chain_id, "after": after, "hash": start}) != line:
        raise ValueError("not the first line of an export")
    return chain_id, after, bytes.fromhex(start)


@dataclass(frozen=True, slots=True)
class Segment:
    """Holds some of the oldest records of a chain, as an export that ends with a checkpoint of the last of them.

    Its records follow that of the number `after` (0 = the first), up to `upto`; `last` says whether no further records
    are due.
    """

    after: int
    upto: int
    data: bytes
    last: bool


def oldest_segment(
    table: AuditTable, before_ms: int, held: Callable[[Record], bool] = lambda record: False
) -> Segment | None:
    """Return the oldest records that are due, or some of them; None if none are.

    Those from before `before_ms` (milliseconds since 1970, UTC) are due, but for the first that is `held`, still
    needed, and all after it. The connection of the table is in one transaction. Raises `StoreCorrupt` if a record was
    changed.
    """
    after = table.pruned().upto
    lines, size, newest, last = [beginning_line(table, after)], 0, None, True
    for kept in table.every(after):
        if kept.record.at_ms >= before_ms or held(kept.record):
            break
        lines.append(record_line(kept))
        size, newest = size + len(lines[-1]), kept
        if len(lines) > MOST_RECORDS or size >= MOST_BYTES:
            last = False
            break
    if newest is None:
        return None
    lines.append(checkpoint_line(table.checkpoint(newest)))
    return Segment(after, newest.record.seq, b"".join(lines), last)
