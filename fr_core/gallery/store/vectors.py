"""How a vector lies in the store, before it is encrypted: the one place that turns vectors into bytes and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fr_core.errors import StoreCorrupt
from fr_core.types import F32, UNIT_TOLERANCE


def pack_vector(vector: F32) -> bytes:
    """Return the values of a vector f32[D], float32, little-endian, one after the other."""
    return vector.astype("<f4", copy=False).tobytes()


def unpack_vectors(packed: Sequence[bytes], size: int) -> F32:
    """Return the vectors f32[n, size] and check every one of them.

    Raises:
        StoreCorrupt: a vector has another size, or a length other than 1.
    """
    for data in packed:
        if len(data) != 4 * size:
            raise StoreCorrupt(
                f"A stored vector has {len(data)} bytes; its gallery has {4 * size}.", check="vector_size"
            )
    vectors = np.frombuffer(b"".join(packed), dtype="<f4").astype(np.float32, copy=False).reshape(len(packed), size)
    # NaN and infinity fail the comparison too.
    squared = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    if not (np.abs(squared - 1.0) <= UNIT_TOLERANCE).all():
        raise StoreCorrupt("A stored vector does not have length 1.", check="vector_length")
    return vectors
