"""Encrypts and authenticates the rows of a store: the one module that knows ciphers (AES-256-GCM, keyed BLAKE2b).

A key-encryption key wraps the store's own key and its data keys, one for each subject, case, course or cohort. A data
key encrypts the rows of its owner, each bound to the columns beside it, so that no part of a row can be exchanged. The
store's own key authenticates the other rows. Without the wrapped data key nobody can open the rows of its owner, ever.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fr_core.errors import StoreCorrupt, WrongKey, message
from fr_core.storage.keys import KEY_BYTES, KeyEncryptionKey, is_key_id

# Part of everything that is authenticated: what a later layout of it writes is never taken for this one.
FORMAT = 1
MAC_BYTES = 16
MARK_BYTES = 32
# NIST SP 800-38D, 8.2.2: random nonces of 96 bits serve 2^32 encryptions under one key.
_NONCE_BYTES = 12
_TAG_BYTES = 16

Value = int | float | str | bytes | None

# The first byte says of which type a value is.
_ENCODINGS: Mapping[type, Callable[[Any], bytes]] = {
    int: lambda value: b"i%d" % value,
    float: lambda value: b"f" + struct.pack("<d", value),
    str: lambda value: b"s" + value.encode(),
    bytes: lambda value: b"b" + value,
    type(None): lambda value: b"n",
}

_NUMBERS = struct.Struct("<qq")


class DataKey:
    """A data key, unwrapped."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(secret)

    def seal(self, data: bytes, bound_to: bytes) -> bytes:
        """Encrypt data; returns nonce, ciphertext and tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, bound_to)

    def open(self, sealed: bytes, bound_to: bytes, check: str) -> bytes:
        """Decrypt what `seal` returned for the same `bound_to`; raises `StoreCorrupt` of this `check` for all else."""
        return _opened(self._cipher, sealed, bound_to, check)


class Vault:
    """The keys of one open store.

    Args:
        secret: the store's own key, 32 bytes.
        mark: identifies the seals of the configurations, 32 bytes for each server of the store; b"" = none.
        prefix: of the purposes of MACs; differs for each kind of store.
    """

    def __init__(self, key: KeyEncryptionKey, secret: bytes, mark: bytes = b"", prefix: str = "") -> None:
        self._wrapping = AESGCM(key.secret)
        self._secret = secret
        self.mark = mark
        self._prefix = prefix
        self._keyed = hashlib.blake2b(digest_size=MAC_BYTES, key=secret, person=b"fr-row")
        self.key_id = key.key_id

    @classmethod
    def new(cls, key: KeyEncryptionKey, prefix: str = "") -> Vault:
        """Make the vault of a new store."""
        return cls(key, os.urandom(KEY_BYTES), prefix=prefix)

    @classmethod
    def unlocked(cls, key: KeyEncryptionKey, key_id: str, wrapped: bytes, prefix: str = "") -> Vault:
        """Return the vault of a store from the `key_id` and the wrapped own key in its row.

        Raises:
            WrongKey: it was wrapped under another key (metadata: key_id, of the store, and given_key_id).
            StoreCorrupt: it was wrapped under this key and has changed since, or no key has this `key_id`.
        """
        try:
            opened = _opened(AESGCM(key.secret), wrapped, _context("store key"), "store_key")
            return cls(key, opened[:KEY_BYTES], opened[KEY_BYTES:], prefix)
        except StoreCorrupt:
            if key_id == key.key_id or not is_key_id(key_id):
                raise
            raise WrongKey(
                message("error.storage.what_opened_under_key", key_id=key_id, key_id_2=key.key_id),
                key_id=key_id,
                given_key_id=key.key_id,
            ) from None

    def under(self, key: KeyEncryptionKey) -> Vault:
        """Return the same vault under another key-encryption key."""
        return Vault(key, self._secret, self.mark, self._prefix)

    def marked(self, mark: bytes) -> Vault:
        """Return the same vault with another mark; raises `ValueError` unless it has 32 bytes for each seal."""
        if len(mark) % MARK_BYTES:
            raise ValueError(f"a mark has {MARK_BYTES} bytes for each seal")
        marked = copy(self)
        marked.mark = mark
        return marked

    def wrapped(self) -> bytes:
        """Wrap the store's own key together with the mark, which cannot be removed without the key."""
        return self._wrap(self._secret + self.mark, _context("store key"))

    def new_key(self, owner: int, number: int) -> tuple[DataKey, bytes]:
        """Make a data key; returns it with its wrapped form, of which the store keeps the only copy.

        Its owner is the gallery of a subject, or below 0, see `schema.WrappedKeys`; `number` is that of the owner in
        its kind.
        """
        secret = AESGCM.generate_key(8 * KEY_BYTES)
        return DataKey(secret), self._wrap(secret, _data_context(owner, number))

    def key(self, owner: int, number: int, wrapped: bytes) -> DataKey:
        """Unwrap a data key; raises `StoreCorrupt` if it belongs to another owner or was changed."""
        return DataKey(self._unwrap(owner, number, wrapped))

    def open_each(self, sealed: Iterable[tuple[int, int, bytes, bytes, bytes]], check: str) -> list[bytes]:
        """Decrypt what data keys have sealed, as `key` and `DataKey.open` do for one.

        Args:
            sealed: for each the owner, the number and the wrapped form of its key, the sealed bytes, and the bytes
                that they are bound to. Successive entries with the same key unwrap it once.
            check: of the `StoreCorrupt` that is raised as by `DataKey.open`.
        """
        opened: list[bytes] = []
        last, cipher = None, None
        for owner, number, wrapped, data, bound_to in sealed:
            if cipher is None or (owner, number, wrapped) != last:
                last, cipher = (owner, number, wrapped), AESGCM(self._unwrap(owner, number, wrapped))
            opened.append(_opened(cipher, data, bound_to, check))
        return opened

    def rewrapped(self, other: Vault, owner: int, number: int, wrapped: bytes) -> bytes:
        """Wrap a data key of the `other` vault in this one; raises as `key` does."""
        return self._wrap(other._unwrap(owner, number, wrapped), _data_context(owner, number))

    def mac(self, purpose: str, values: Sequence[Value]) -> bytes:
        """Authenticate values, such as the columns of a row: 16 bytes that nobody without the key can make.

        A MAC also stands in for a value that the store must not show, such as a code.
        """
        hashing = self._keyed.copy()
        hashing.update(encode(FORMAT, f"{self._prefix}{purpose}", *values))
        return hashing.digest()

    def require_mac(self, purpose: str, values: Sequence[Value], mac: Value) -> None:
        """Raise `StoreCorrupt` unless `mac` is that of the values; takes the same time for every wrong MAC."""
        if not isinstance(mac, bytes) or not hmac.compare_digest(self.mac(purpose, values), mac):
            raise StoreCorrupt(message("error.storage.row_altered", purpose=purpose), check=purpose)

    def derived(self, purpose: str) -> bytes:
        """Derive a secret of 32 bytes, which stays the same under another key-encryption key.

        Two blocks of 16 bytes: a key derivation in counter mode (NIST SP 800-108), whose function is keyed BLAKE2b.
        """
        return self.mac(purpose, (1,)) + self.mac(purpose, (2,))

    def _wrap(self, secret: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, secret, context)

    def _unwrap(self, owner: int, number: int, wrapped: bytes) -> bytes:
        return _opened(self._wrapping, wrapped, _data_context(owner, number), "subject_key")


def bears_mark(wrapped: Value) -> bool:
    """Return whether bytes from `Vault.wrapped` hold a mark; needs no key. If it was cut off, no key opens them."""
    least = _NONCE_BYTES + KEY_BYTES + MARK_BYTES + _TAG_BYTES
    return isinstance(wrapped, bytes) and len(wrapped) >= least and (len(wrapped) - least) % MARK_BYTES == 0


def encode(*values: Value) -> bytes:
    """Return bytes that no other values give: how many there are, and of each the length, the type and the content."""
    parts = [_ENCODINGS[type(value)](value) for value in values]
    return struct.pack(f"<{1 + len(parts)}I", len(parts), *map(len, parts)) + b"".join(parts)


def _context(purpose: str, *values: Value) -> bytes:
    return encode("fr-core", FORMAT, purpose, *values)


def _data_context(owner: int, number: int) -> bytes:
    return _DATA_KEY + _NUMBERS.pack(owner, number)


def _opened(cipher: AESGCM, sealed: bytes, bound_to: bytes, check: str) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)
    # Too short, or no bytes at all, is as altered as a tag that differs.
    except (InvalidTag, ValueError, TypeError):
        raise StoreCorrupt(message("error.storage.something_encrypted_altered_exchanged"), check=check) from None


_DATA_KEY = _context("subject key")
