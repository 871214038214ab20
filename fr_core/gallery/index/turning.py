"""Turns vectors by a secret orthogonal matrix, which keeps their lengths and inner products and hides the rest.

A turned vector cannot be compared with a vector outside its gallery. This is not encryption: a reader of a
gallery's turned vectors sees which of them are alike, and with D known faces, or with the statistics of very many, can
compute the matrix. See docs/milvus.md.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from fr_core.types import F32

# Milvus takes no vectors of one value.
LEAST_SIZE = 2
# Bound of the error of an inner product of two turned vectors, summed exactly: each vector is rounded to float32, which
# moves it by 2**-24 of its length at most; twice that, to have room for the sums in float64.
TURNING_ERROR = 2.0**-22


class Turn:
    """An orthogonal matrix that a secret determines, the same at each start.

    Args:
        secret: from the keys of the store, another for each gallery.
        dimension: D, values per vector.
    """

    def __init__(self, secret: bytes, dimension: int) -> None:
        self._padding = max(LEAST_SIZE - dimension, 0)
        self._transposed = np.ascontiguousarray(orthogonal(secret, dimension + self._padding).T)

    @property
    def size(self) -> int:
        """Return how many values a turned vector has: D, or `LEAST_SIZE` where D is smaller."""
        return len(self._transposed)

    @property
    def bytes_held(self) -> int:
        """Bytes of the matrix."""
        return self._transposed.nbytes

    def turned(self, vectors: F32) -> F32:
        """Return vectors f32[n, D], turned: f32[n, size]."""
        padded = np.pad(vectors.astype(np.float64), ((0, 0), (0, self._padding)))
        turned: F32 = (padded @ self._transposed).astype(np.float32)
        return turned


def orthogonal(secret: bytes, size: int) -> npt.NDArray[np.float64]:
    """Return the orthogonal matrix f64[size, size] of a secret, drawn uniformly from all such matrices.

    The Q of a QR decomposition of normal numbers, with the signs that make it unique and even (Mezzadri, How to
    generate random matrices from the classical compact groups, 2007). SHAKE-256 gives the numbers, since the streams of
    NumPy's generators may change between its versions. Another LAPACK may differ in the last bits of float64, which are
    far below `TURNING_ERROR`.
    """
    drawn = hashlib.shake_256(b"fr-core orthogonal matrix" + secret).digest(16 * size * size)
    # 53 bits each, in (0, 1).
    first, second = (np.frombuffer(drawn, dtype="<u8").reshape(2, size, size) >> 11) * 2.0**-53 + 2.0**-54
    normal = np.sqrt(-2.0 * np.log(first)) * np.cos(2.0 * np.pi * second)  # Box and Muller
    q, r = np.linalg.qr(normal)
    found: npt.NDArray[np.float64] = q * np.where(np.diagonal(r) < 0.0, -1.0, 1.0)
    return found
