"""Checks that a file is the one that its authors published."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fr_datasets.errors import ChecksumMismatch

_CHUNK_BYTES = 1 << 20


def require_checksum(path: Path, checksum: str) -> None:
    """Raise `ChecksumMismatch` unless the file has this checksum, "sha256:HEX" or "md5:HEX"."""
    kind, _, expected = checksum.partition(":")
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != expected:
        raise ChecksumMismatch(f"{path} has {kind} {digest.hexdigest()}, not {expected}.")
