"""Pseudonyms of subjects and cases: the same for the same within a chain, and nobody's without its key."""

from __future__ import annotations

import hmac

from fr_core.storage.audit.values import Pseudonym

KEY_BYTES = 32
_DIGITS = 16


class Pseudonyms:
    """Makes the pseudonyms of one chain with its key: the first 64 bits of HMAC-SHA-256 (RFC 2104)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def subject(self, gallery_id: str, subject_id: str) -> Pseudonym:
        """Return that of a subject of a gallery, by the caller's own id of it."""
        return self._of("subject", gallery_id, subject_id)

    def case(self, reference: str) -> Pseudonym:
        """Return that of a case, by its reference."""
        return self._of("case", "", reference)

    def other(self, kind: str, own_id: str) -> Pseudonym:
        """Return that of something else, such as a trainee or a cohort, by its id; raises `ValueError` for no kind."""
        if not kind.isalnum() or kind in ("subject", "case"):
            raise ValueError("a pseudonym of no kind, or of one that has a method of its own")
        return self._of(kind, "", own_id)

    def _of(self, kind: str, gallery_id: str, own_id: str) -> Pseudonym:
        # The id is last and may hold anything; a gallery id holds no NUL.
        if "\0" in gallery_id:
            raise ValueError("a gallery id holds no NUL")
        said = f"{kind}\0{gallery_id}\0{own_id}".encode("utf-8", "surrogatepass")
        return Pseudonym(hmac.digest(self._key, said, "sha256").hex()[:_DIGITS])
