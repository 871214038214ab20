"""The rows of the audit's tables as values."""

from dataclasses import dataclass, field

from fr_core.storage.audit.values import Record
from fr_core.storage.protocol import Row
from fr_core.storage.vault import Value


@dataclass(frozen=True, slots=True)
class Kept:
    """A record as it is kept: its canonical bytes, and the hash of the chain up to it, 32 bytes."""

    record: Record
    body: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain."""

    chain_id: str
    seq: int  # number of the last record; 0 for none
    at_ms: int  # time of the last record, milliseconds since 1970, UTC; 0 for none
    hash: bytes  # of the last record, 32 bytes
    sealed_signing_key: bytes = field(repr=False)  # Ed25519
    public_key: bytes  # of the signing key, 32 bytes
    sealed_pseudonym_key: bytes = field(repr=False)  # of the chain's pseudonyms

    @property
    def columns(self) -> tuple[Value, ...]:
        """All of it, in the order of the table."""
        chain = (self.chain_id, self.seq, self.at_ms, self.hash)
        return (*chain, self.sealed_signing_key, self.public_key, self.sealed_pseudonym_key)


@dataclass(frozen=True, slots=True)
class Pruned:
    """Says how far the chain is pruned: which old records at its beginning were deleted."""

    upto: int  # number of the last deleted record; 0 for none
    hash: bytes  # of that record, 32 bytes; hash_0 of the chain for none
    record: int  # number of the record `audit.prune` about it; 0 for none


def is_whole(row: Row) -> bool:
    """Return whether body, hash and MAC of a row have the type of their columns, which SQLite does not check."""
    return type(row[1]) is bytes and type(row[2]) is bytes and type(row[3]) is bytes
