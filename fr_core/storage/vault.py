"""What is encrypted and authenticated in a store, and how: the one place that knows ciphers.

A key-encryption key wraps the store's own key and a key for each subject. The subject's key encrypts its templates and
photos, each bound to what the store says of it, so that nothing of a row can be exchanged; the store's key
authenticates every other row. Without the wrapped key of a subject nobody can open its templates and photos, ever.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fr_core.errors import StoreCorrupt, WrongKey
from fr_core.storage.keys import KEY_BYTES, KeyEncryptionKey, is_key_id
from fr_core.types import ModelId

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
_FACTS = struct.Struct("<qqqqd??H")


class SubjectKey:
    """The key of one subject, unwrapped."""

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
        key: wraps the others.
        secret: the store's own key, 32 bytes.
        mark: identifies the store's seal, 32 bytes; b"" = none.
    """

    def __init__(self, key: KeyEncryptionKey, secret: bytes, mark: bytes = b"") -> None:
        self._wrapping = AESGCM(key.secret)
        self._secret = secret
        self.mark = mark
        self._keyed = hashlib.blake2b(digest_size=MAC_BYTES, key=secret, person=b"fr-row")
        self.key_id = key.key_id

    @classmethod
    def new(cls, key: KeyEncryptionKey) -> Vault:
        """Make the vault of a new store."""
        return cls(key, os.urandom(KEY_BYTES))

    @classmethod
    def unlocked(cls, key: KeyEncryptionKey, key_id: str, wrapped: bytes) -> Vault:
        """Return the vault of a store that says `key_id` and keeps its own key `wrapped`.

        Raises:
            WrongKey: it was wrapped under another key (metadata: key_id, of the store, and given_key_id).
            StoreCorrupt: it was wrapped under this key, and has changed since, or `key_id` is that of no key.
        """
        try:
            opened = _opened(AESGCM(key.secret), wrapped, _context("store key"), "store_key")
            return cls(key, opened[:KEY_BYTES], opened[KEY_BYTES:])
        except StoreCorrupt:
            if key_id == key.key_id or not is_key_id(key_id):
                raise
            raise WrongKey(
                f"What is to be opened is under the key {key_id}; the key that was given is {key.key_id}.",
                key_id=key_id,
                given_key_id=key.key_id,
            ) from None

    def under(self, key: KeyEncryptionKey) -> Vault:
        """Return the same vault under another key-encryption key."""
        return Vault(key, self._secret, self.mark)

    def marked(self, mark: bytes) -> Vault:
        """Return the same vault with another mark; raises `ValueError` unless it has 32 bytes or none."""
        if len(mark) not in (0, MARK_BYTES):
            raise ValueError(f"a mark has {MARK_BYTES} bytes")
        marked = copy(self)
        marked.mark = mark
        return marked

    def wrapped(self) -> bytes:
        """Wrap the store's own key together with the mark, which cannot be removed without the key."""
        return self._wrap(self._secret + self.mark, _context("store key"))

    def new_subject_key(self, gallery_no: int, subject_no: int) -> tuple[SubjectKey, bytes]:
        """Make the key of a new subject; returns it with its wrapped form, of which one copy is to be kept."""
        secret = AESGCM.generate_key(8 * KEY_BYTES)
        return SubjectKey(secret), self._wrap(secret, _subject_context(gallery_no, subject_no))

    def subject_key(self, gallery_no: int, subject_no: int, wrapped: bytes) -> SubjectKey:
        """Unwrap the key of a subject; raises `StoreCorrupt` where it is another's, or was changed."""
        return SubjectKey(self._unwrap(gallery_no, subject_no, wrapped))

    def rewrapped(self, other: Vault, gallery_no: int, subject_no: int, wrapped: bytes) -> bytes:
        """Wrap the key of a subject, wrapped in the `other` vault, in this one; raises as `subject_key` does."""
        secret = other._unwrap(gallery_no, subject_no, wrapped)
        return self._wrap(secret, _subject_context(gallery_no, subject_no))

    def mac(self, table: str, columns: Sequence[Value]) -> bytes:
        """Authenticate a row of a table: 16 bytes that nobody without the key can make."""
        hashing = self._keyed.copy()
        hashing.update(encode(FORMAT, table, *columns))
        return hashing.digest()

    def require_mac(self, table: str, columns: Sequence[Value], mac: Value) -> None:
        """Raise `StoreCorrupt` unless `mac` is that of the row."""
        if not isinstance(mac, bytes) or not hmac.compare_digest(self.mac(table, columns), mac):
            raise StoreCorrupt(f"A row of {table} was altered.", check=table)

    def _wrap(self, secret: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, secret, context)

    def _unwrap(self, gallery_no: int, subject_no: int, wrapped: bytes) -> bytes:
        return _opened(self._wrapping, wrapped, _subject_context(gallery_no, subject_no), "subject_key")


def bears_mark(wrapped: Value) -> bool:
    """Return whether bytes from `Vault.wrapped` hold a mark; needs no key. If it was cut off, no key opens them."""
    return isinstance(wrapped, bytes) and len(wrapped) == _NONCE_BYTES + KEY_BYTES + MARK_BYTES + _TAG_BYTES


class Binding:
    """What the templates, or the photos, of one gallery are bound to.

    Args:
        purpose: "template" or "photo".
        gallery_no: of the gallery.
        model: of its templates.
    """

    def __init__(self, purpose: str, gallery_no: int, model: ModelId) -> None:
        self._purpose = purpose
        self._common = _context(purpose, gallery_no, model.pack, model.version, model.sha256)

    def of(
        self,
        template_id: int,
        subject_no: int,
        image_sha256: str | None,
        quality: float | None,
        created_us: int,
        has_photo: int,
    ) -> bytes:
        """Return the bytes that a template, or its photo, is bound to.

        Every number has its place, and the one text its length before it, so that no two templates give the same bytes.

        Args:
            template_id: its number.
            subject_no: whose it is.
            image_sha256: of the photo; None for a bare embedding.
            quality: of the face; not -0.0, which SQLite does not keep apart from 0.0.
            created_us: when it was enrolled, microseconds since 1970, UTC.
            has_photo: 1 where its photo is kept, else 0.

        Raises:
            StoreCorrupt: one of them has a type that it cannot have.
        """
        try:
            image = b"" if image_sha256 is None else image_sha256.encode()
            facts = _FACTS.pack(
                template_id,
                subject_no,
                created_us,
                has_photo,
                0.0 if quality is None else quality,
                quality is not None,
                image_sha256 is not None,
                len(image),
            )
        except (struct.error, AttributeError) as error:
            raise StoreCorrupt("A stored template says what none can say.", check=self._purpose) from error
        return self._common + facts + image


def encode(*values: Value) -> bytes:
    """Return bytes that no other values give: how many there are, and of each the length, the type and the content."""
    parts = [_ENCODINGS[type(value)](value) for value in values]
    return struct.pack(f"<{1 + len(parts)}I", len(parts), *map(len, parts)) + b"".join(parts)


def _context(purpose: str, *values: Value) -> bytes:
    return encode("fr-core", FORMAT, purpose, *values)


def _subject_context(gallery_no: int, subject_no: int) -> bytes:
    return _SUBJECT_KEY + _NUMBERS.pack(gallery_no, subject_no)


def _opened(cipher: AESGCM, sealed: bytes, bound_to: bytes, check: str) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)
    # Too short, or no bytes at all, is as altered as a tag that differs.
    except (InvalidTag, ValueError, TypeError):
        raise StoreCorrupt("Something encrypted was altered, or exchanged for another.", check=check) from None


_SUBJECT_KEY = _context("subject key")
