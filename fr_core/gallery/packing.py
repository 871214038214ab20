"""How a vector lies in the store: the one place that turns vectors into bytes and back."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fr_core.errors import StoreCorrupt
from fr_core.types import F32, UNIT_TOLERANCE


@dataclass(frozen=True, slots=True)
class PackedVector:
    """A vector as it is stored.

    Attributes:
        data: its values, float32, little-endian, one after the other.
        crc32: of `data`, to tell a damaged vector from a sound one.
    """

    data: bytes
    crc32: int


def pack_vector(vector: F32) -> PackedVector:
    """Pack a vector f32[D]."""
    data = vector.astype("<f4", copy=False).tobytes()
    return PackedVector(data, zlib.crc32(data))


def unpack_vectors(packed: Sequence[PackedVector], size: int) -> F32:
    """Return the vectors f32[n, size] and check every one of them.

    Raises:
        StoreCorrupt: a vector has another size, a checksum that differs, or a length other than 1.
    """
    for item in packed:
        if len(item.data) != 4 * size:
            raise StoreCorrupt(
                f"A stored vector has {len(item.data)} bytes; its gallery has {4 * size}.", check="vector_size"
            )
        if zlib.crc32(item.data) != item.crc32:
            raise StoreCorrupt("The checksum of a stored vector differs.", check="vector_checksum")
    vectors = np.frombuffer(b"".join(item.data for item in packed), dtype="<f4").astype(np.float32, copy=False)
    vectors = vectors.reshape(len(packed), size)
    # NaN and infinity fail the comparison too.
    squared = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    if not (np.abs(squared - 1.0) <= UNIT_TOLERANCE).all():
        raise StoreCorrupt("A stored vector does not have length 1.", check="vector_length")
    return vectors
