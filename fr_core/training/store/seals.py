"""What is encrypted and authenticated in the training store.

The ciphers and the wrapping are those of `fr_core.gallery.store.vault`: the key-encryption key wraps the store's own
key, one for each course and one for each cohort. A course's key encrypts the course and its pictures, a cohort's key
the sessions and answers of its trainees, so that without the cohort's row nobody can open them, ever. Codes, ids of
sessions, identities and sha256 of photos are kept as keyed BLAKE2b alone (RFC 7693, a MAC of 128 bits).
"""

from __future__ import annotations

import hmac
import struct
from enum import IntEnum

from fr_core.errors import StoreCorrupt
from fr_core.gallery.store.keys import KeyEncryptionKey
from fr_core.gallery.store.vault import SubjectKey, Value, Vault, encode

FORMAT = 1

_TRIAL = struct.Struct("<qq")


class Owner(IntEnum):
    """Whose a key is: numbers that no gallery has, so that no key of a gallery is taken for one of these."""

    COURSE = -1
    COHORT = -2


class Seals:
    """The keys of one open training store.

    Args:
        vault: the store's own key, and the wrapping of the others.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.key_id = vault.key_id

    @classmethod
    def new(cls, key: KeyEncryptionKey) -> Seals:
        """Make those of a new store."""
        return cls(Vault.new(key))

    @classmethod
    def unlocked(cls, key: KeyEncryptionKey, key_id: str, wrapped: bytes) -> Seals:
        """Return those of a store; raises `WrongKey` or `StoreCorrupt` as `Vault.unlocked` does."""
        return cls(Vault.unlocked(key, key_id, wrapped))

    def under(self, key: KeyEncryptionKey) -> Seals:
        """Return the same under another key-encryption key."""
        return Seals(self._vault.under(key))

    def wrapped(self) -> bytes:
        """Wrap the store's own key."""
        return self._vault.wrapped()

    def new_key(self, owner: Owner, number: int) -> tuple[SubjectKey, bytes]:
        """Make the key of a course or cohort; returns it with its wrapped form, of which one copy is to be kept."""
        return self._vault.new_subject_key(owner, number)

    def key(self, owner: Owner, number: int, wrapped: bytes) -> SubjectKey:
        """Unwrap the key of a course or cohort; raises `StoreCorrupt` where it is another's, or was changed."""
        return self._vault.subject_key(owner, number, wrapped)

    def rewrapped(self, other: Seals, owner: Owner, number: int, wrapped: bytes) -> bytes:
        """Wrap a key, wrapped by the `other`, by this one; raises as `key` does."""
        return self._vault.rewrapped(other._vault, owner, number, wrapped)

    def hidden(self, purpose: str, *values: Value) -> bytes:
        """Return what stands in for values that nobody shall read in the store: 16 bytes, the same for the same."""
        return self._vault.mac(f"training {purpose}", values)

    def require_hidden(self, mac: bytes, purpose: str, *values: Value) -> None:
        """Raise `StoreCorrupt` unless `hidden` gives `mac` for the values; takes the same time however they differ."""
        if not hmac.compare_digest(self.hidden(purpose, *values), mac):
            raise StoreCorrupt("A row of the training store was altered.", check=purpose)


def bound(table: str, *values: Value) -> bytes:
    """Return the bytes that something sealed is bound to: its table, and what tells its row."""
    return encode("fr-core training", FORMAT, table, *values)


def bound_trial(session_no: int, ordinal: int) -> bytes:
    """As `bound`, for a trial, which there are many of."""
    return _TRIALS + _TRIAL.pack(session_no, ordinal)


_TRIALS = bound("trials")
