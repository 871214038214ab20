"""What is encrypted and authenticated in a store.

The ciphers and the wrapping are those of `fr_core.storage.vault`: the key-encryption key wraps the store's own
key, and one for each owner whose rows shall be gone when its key is. What nobody shall read is kept as keyed BLAKE2b
alone (RFC 7693, a MAC of 128 bits).
"""

from __future__ import annotations

import hmac

from fr_core.errors import StoreCorrupt
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.vault import SubjectKey, Value, Vault


class Seals:
    """The keys of one open store.

    Args:
        vault: the store's own key, and the wrapping of the others.
        name: of the store, in sentences.
        hiding: what `hidden` begins with in this kind of store.
    """

    def __init__(self, vault: Vault, name: str, hiding: str) -> None:
        self._vault = vault
        self._name = name
        self._hiding = hiding
        self.key_id = vault.key_id

    @classmethod
    def new(cls, key: KeyEncryptionKey, name: str, hiding: str) -> Seals:
        """Make those of a new store."""
        return cls(Vault.new(key), name, hiding)

    @classmethod
    def unlocked(cls, key: KeyEncryptionKey, key_id: str, wrapped: bytes, name: str, hiding: str) -> Seals:
        """Return those of a store; raises `WrongKey` or `StoreCorrupt` as `Vault.unlocked` does."""
        return cls(Vault.unlocked(key, key_id, wrapped), name, hiding)

    def under(self, key: KeyEncryptionKey) -> Seals:
        """Return the same under another key-encryption key."""
        return Seals(self._vault.under(key), self._name, self._hiding)

    def wrapped(self) -> bytes:
        """Wrap the store's own key."""
        return self._vault.wrapped()

    def new_key(self, owner: int, number: int) -> tuple[SubjectKey, bytes]:
        """Make a key; returns it with its wrapped form, of which one copy is to be kept.

        Args:
            owner: what kind of thing it is of, see `schema.WrappedKeys`.
            number: which one of them.
        """
        return self._vault.new_subject_key(owner, number)

    def key(self, owner: int, number: int, wrapped: bytes) -> SubjectKey:
        """Unwrap the key that `new_key` made; raises `StoreCorrupt` where it is another's, or was changed."""
        return self._vault.subject_key(owner, number, wrapped)

    def rewrapped(self, other: Seals, owner: int, number: int, wrapped: bytes) -> bytes:
        """Wrap a key, wrapped by the `other`, by this one; raises as `key` does."""
        return self._vault.rewrapped(other._vault, owner, number, wrapped)

    def hidden(self, purpose: str, *values: Value) -> bytes:
        """Return what stands in for values that nobody shall read in the store: 16 bytes, the same for the same."""
        return self._vault.mac(f"{self._hiding} {purpose}", values)

    def require_hidden(self, mac: bytes, purpose: str, *values: Value) -> None:
        """Raise `StoreCorrupt` unless `hidden` gives `mac` for the values; takes the same time however they differ."""
        if not hmac.compare_digest(self.hidden(purpose, *values), mac):
            raise StoreCorrupt(f"A row of the {self._name} was altered.", check=purpose)
