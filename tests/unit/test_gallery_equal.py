"""Equal vectors in a scan: they are searched for once, and each of them is told what the one search found."""

from __future__ import annotations

import numpy as np
import pytest

from fr_core.gallery.index.numpy_scan import NumpyIndex
from fr_core.gallery.index.protocol import Hits
from fr_core.gallery.scan.blocks import Cursor, Look, nearest, older_near
from fr_core.gallery.scan.equal import distinct
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.gallery.store.values import StoredVectors
from fr_core.types import F32, I64

D = 8


class NotingIndex(NumpyIndex):
    """The reference index, which notes for how many probes it was asked."""

    def __init__(self) -> None:
        super().__init__(D)
        self.asked: list[int] = []

    def search(self, probes: F32, k: int, among: I64 | None = None) -> Hits:
        self.asked.append(len(probes))
        return super().search(probes, k, among)


def unit_vectors(n: int) -> F32:
    vectors = np.random.default_rng(0).standard_normal((n, D), dtype=np.float32)
    units: F32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def test_distinct_vectors_are_told_apart_to_the_last_bit() -> None:
    one, other = unit_vectors(2)
    nearly = one.copy()
    nearly[0] = np.nextafter(nearly[0], np.float32(2.0))
    vectors = np.stack([one, other, one, nearly, other, one])
    first, kind = distinct(vectors)
    assert sorted(first.tolist()) == [0, 1, 3]
    assert first[kind].tolist() == [0, 1, 0, 3, 1, 0]


def test_distinct_vectors_may_lie_anywhere_in_memory() -> None:
    vectors = np.repeat(unit_vectors(3), 2, axis=0)
    first, kind = distinct(np.asfortranarray(vectors))
    assert first[kind].tolist() == [0, 0, 2, 2, 4, 4]


def test_no_vectors_have_no_distinct_ones() -> None:
    first, kind = distinct(unit_vectors(0))
    assert (len(first), len(kind)) == (0, 0)


@pytest.mark.parametrize("look", [nearest(0.5, 3), older_near(0.5)])
def test_equal_templates_of_a_block_are_searched_for_once(look: Look) -> None:
    a, b, c = unit_vectors(3)
    vectors = np.stack([a, b, a, c, a, b])
    template_ids = np.arange(1, 7)
    index = NotingIndex()
    memory = GalleryMemory(index, 1)
    memory.load(StoredVectors(1, template_ids, template_ids, vectors))
    near = look(memory, template_ids, Cursor(1, 0, 6, 0)).near
    found = {(int(near.template_ids[row]), int(other)) for row, other in zip(near.rows, near.ids, strict=True)}
    similar = vectors.astype(np.float64) @ vectors.astype(np.float64).T >= 0.5
    pairs = {(newer, older) for newer in range(1, 7) for older in range(1, newer) if similar[newer - 1, older - 1]}
    assert {(one, other) for one, other in found if other < one} == pairs
    assert index.asked == [3]
