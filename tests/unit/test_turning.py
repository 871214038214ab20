"""The secret matrix that turns vectors: orthogonal, always the same of a secret, and unlike that of another."""

import numpy as np
import pytest

from fr_core.gallery.index.protocol import exact_similarity, scan_error_bound
from fr_core.gallery.index.turning import TURNING_ERROR, Turn, orthogonal
from fr_core.types import F32

PINNED = [
    [-0.069720008, 0.369598882, -0.926572062],
    [-0.527566271, -0.8019733, -0.280201099],
    [0.846648068, -0.469292545, -0.250901489],
]


def units(n: int, size: int, seed: int = 0) -> F32:
    drawn = np.random.default_rng(seed).standard_normal((n, size))
    found: F32 = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 128, 512])
def test_the_matrix_is_orthogonal_and_depends_on_its_secret_alone(size: int) -> None:
    matrix = orthogonal(b"a" * 32, size)
    assert np.abs(matrix @ matrix.T - np.eye(size)).max() < 1e-13
    assert (matrix == orthogonal(b"a" * 32, size)).all()
    if size > 2:
        assert np.abs(matrix - orthogonal(b"b" * 32, size)).max() > 0.05


def test_the_matrix_of_a_secret_never_changes() -> None:
    """A collection that was written by another version of NumPy must still fit."""
    assert np.round(orthogonal(bytes(32), 3), 9).tolist() == PINNED


@pytest.mark.parametrize("size", [1, 2, 64, 512])
def test_inner_products_stay_within_the_bound(size: int) -> None:
    vectors, turn = units(500, size), Turn(b"s" * 32, size)
    turned = turn.turned(vectors)
    assert turned.shape == (500, turn.size)
    for row in (0, 17, 499):
        exact = exact_similarity(vectors, vectors[row])
        assert np.abs(turned.astype(np.float64) @ turned[row].astype(np.float64) - exact).max() <= TURNING_ERROR
        assert np.abs(turned @ turned[row] - exact).max() <= TURNING_ERROR + scan_error_bound(size)


def test_galleries_cannot_be_linked_by_their_vectors() -> None:
    """A person's turned vectors in two galleries are no more alike than those of two people."""
    vectors = units(2000, 128)
    one, other = Turn(b"1" * 32, 128).turned(vectors), Turn(b"2" * 32, 128).turned(vectors)
    own = np.vecdot(one, other)
    strangers = np.vecdot(one, np.roll(other, 1, axis=0))
    assert abs(own.mean() - strangers.mean()) < 0.02
    assert np.abs(own).max() < 0.5
    assert np.vecdot(vectors, one).max() < 0.5
