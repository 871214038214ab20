"""Vectors that are the same to the last bit: what is found for one of them holds for all."""

import numpy as np

from fr_core.types import F32, I64


def distinct(vectors: F32) -> tuple[I64, I64]:
    """Return the first row of each different vector of f32[n, D], i64[m], and which of these m each row is, i64[n]."""
    whole_row = np.dtype((np.void, vectors.shape[1] * vectors.itemsize))
    rows = np.ascontiguousarray(vectors).view(whole_row).ravel()
    _, first, kind = np.unique(rows, return_index=True, return_inverse=True)
    return first, kind
