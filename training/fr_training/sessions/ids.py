"""Derives ids and orders from the secret of a session: ids tell nothing, and nobody can foresee an order.

All of it is HMAC-SHA256 (RFC 2104) of a label and numbers, so that it comes out the same wherever and whenever it is
computed, and nothing about one id can be learnt from another.
"""

from __future__ import annotations

import hmac

import numpy as np

TRIAL_DIGITS = 32
PICTURE_DIGITS = 16


def digest(secret: bytes, label: str, *parts: int | str) -> bytes:
    """HMAC-SHA256 of a label and of what it is about, 32 bytes.

    Args:
        secret: of the session, 32 bytes.
        label: what the bytes are for; each use has its own.
        parts: numbers and ids, without NUL characters.
    """
    return hmac.digest(secret, "\0".join((label, *map(str, parts))).encode(), "sha256")


def trial_id(secret: bytes, ordinal: int) -> str:
    """Id of the trial of a number in the session, from 0: 32 hexadecimal digits."""
    return digest(secret, "trial", ordinal).hex()[:TRIAL_DIGITS]


def picture_ids(secret: bytes, ordinal: int, pictures: int) -> tuple[str, ...]:
    """Ids of the pictures of a trial by shown position: 16 hexadecimal digits each.

    They depend on the trial and on the position alone, so the same photo has another id wherever it is shown again.
    """
    return tuple(digest(secret, "picture", ordinal, n).hex()[:PICTURE_DIGITS] for n in range(pictures))


def rng_of(secret: bytes, label: str, number: int) -> np.random.Generator:
    """A generator for one use; the same secret, label and number give the same draws with one version of NumPy.

    NumPy may change its streams between versions, so what is drawn here is kept in the session, never drawn again.
    """
    return np.random.default_rng(int.from_bytes(digest(secret, label, number), "big"))
