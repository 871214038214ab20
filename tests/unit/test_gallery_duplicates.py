"""Duplicates: every pair of different subjects, once, against all pairs by hand; also while the gallery changes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from fr_core.errors import UnknownGallery
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.index.numpy_scan import NumpyIndex
from fr_core.gallery.index.protocol import Hits
from fr_core.gallery.scan import blocks as scan
from fr_core.gallery.scan.blocks import Cursor, Look, nearest, older_near
from fr_core.gallery.scan.duplicates import DuplicatePair, Duplicates
from fr_core.gallery.scan.equal import distinct
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.values import StoredVectors
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.types import F32, I64, Embedding
from support.ledger import MODEL

D = 16
THRESHOLD = 0.5


@pytest.fixture(params=["numpy", "compact"])
def galleries(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Galleries]:
    with Galleries.open(tmp_path, index=request.param) as opened:
        opened.create("g", "", MODEL, D)
        yield opened


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_AT_ONCE", 4)
    monkeypatch.setattr(scan, "_FIRST", 2)


def unit(vectors: object) -> F32:
    array = np.asarray(vectors, dtype=np.float32)
    scaled: F32 = array / np.linalg.norm(array, axis=-1, keepdims=True)
    return scaled


def enrol(galleries: Galleries, subject_id: str, vector: F32) -> int:
    return galleries.enrol("g", Enrolment(subject_id, NewTemplate(Embedding(vector, MODEL)))).template_id


def crowd(galleries: Galleries, count: int = 60, subjects: int = 20) -> dict[int, tuple[str, Embedding]]:
    """Enrol vectors around a few directions, for subjects that take turns."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(6, D))
    enrolled = {}
    for n in range(count):
        vector = unit(centres[rng.integers(6)] + rng.normal(size=D) * 0.7)
        subject_id = f"s{n % subjects}"
        enrolled[enrol(galleries, subject_id, vector)] = (subject_id, Embedding(vector, MODEL))
    return enrolled


def by_hand(enrolled: dict[int, tuple[str, Embedding]], threshold: float) -> list[DuplicatePair]:
    pairs = []
    for a, b in combinations(sorted(enrolled), 2):
        (subject_a, one), (subject_b, other) = enrolled[a], enrolled[b]
        similarity = one.similarity(other)
        if subject_a != subject_b and similarity >= threshold:
            pairs.append(DuplicatePair(subject_a, a, subject_b, b, similarity))
    return sorted(pairs, key=lambda pair: (pair.template_b, -pair.similarity, pair.template_a))


def pairs_of(steps: list[Duplicates]) -> list[DuplicatePair]:
    return [pair for step in steps for pair in step.pairs]


def test_every_pair_comes_once_and_in_order(galleries: Galleries) -> None:
    enrolled = crowd(galleries)
    expected = by_hand(enrolled, THRESHOLD)
    assert len(expected) > 50
    assert pairs_of(list(galleries.duplicates("g", THRESHOLD))) == expected


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("threshold", [0.9, -1.0])
@pytest.mark.parametrize("together", [4, 50, 10_000])
def test_blocks_of_any_size_find_the_same(
    galleries: Galleries, threshold: float, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_GATHERED_BYTES", together * 4 * D)
    enrolled = crowd(galleries)
    steps = list(galleries.duplicates("g", threshold))
    expected = by_hand(enrolled, threshold)
    found = pairs_of(steps)
    assert [pair.template_b for pair in found] == [pair.template_b for pair in expected]
    # Of a template that took several passes, those of each pass come together.
    several = any(step.cursor is not None and step.cursor.unfinished for step in steps)
    assert several or together >= 60 or threshold > -1.0
    assert sorted(found, key=str) == sorted(expected, key=str) if several else found == expected
    assert [step.progress.total for step in steps] == [60] * len(steps)
    assert steps[-1].progress.searched == 60
    assert len(steps) >= 15


def compared_at_once(galleries: Galleries, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return where it is noted, for each step from now on, how many vectors were asked for at once."""
    index = next(iter(galleries._memories)).index
    asked: list[int] = []
    search = type(index).search

    def noting(self: object, probes: F32, k: int, among: object = None) -> object:
        asked.append(len(probes) * k)
        return search(self, probes, k, among)  # type: ignore[arg-type]

    monkeypatch.setattr(type(index), "search", noting)
    return asked


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("threshold", [0.9, -1.0])
def test_a_step_is_one_pass_of_bounded_size(
    galleries: Galleries, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are alike: or one call would take all memory, and let no other scan begin."""
    monkeypatch.setattr(scan, "_GATHERED_BYTES", 10 * 4 * D)
    enrolled = crowd(galleries)
    asked = compared_at_once(galleries, monkeypatch)
    found: list[DuplicatePair] = []
    for number, step in enumerate(galleries.duplicates("g", threshold), start=1):
        assert len(asked) <= number
        assert max(asked) <= 10
        found += step.pairs
    assert set(found) == set(by_hand(enrolled, threshold))
    assert len(found) == len(set(found))


def test_a_template_that_is_deleted_half_compared_takes_nothing_from_the_next(
    galleries: Galleries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_FIRST", 2)
    monkeypatch.setattr(scan, "_GATHERED_BYTES", 4 * 4 * D)
    enrolled = crowd(galleries)
    found: list[DuplicatePair] = []
    deleted = 0
    for step in galleries.duplicates("g", -1.0):
        found += step.pairs
        if not deleted and step.cursor is not None and step.cursor.compared > 20:
            deleted = step.cursor.unfinished
            galleries.delete_template("g", deleted)
            del enrolled[deleted]
    assert deleted
    assert {pair for pair in found if pair.template_b != deleted} == set(by_hand(enrolled, -1.0))


def test_pairs_need_the_ids_of_their_subjects_alone(galleries: Galleries, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subject is read with all its templates, each of which is decrypted: too long for the thousands of a pass."""
    enrolled = crowd(galleries)
    monkeypatch.delattr(Snapshot, "subject")
    assert pairs_of(list(galleries.duplicates("g", THRESHOLD))) == by_hand(enrolled, THRESHOLD)


def test_a_similarity_equal_to_the_threshold_is_a_pair(galleries: Galleries) -> None:
    a, b = unit(np.eye(D)[0]), unit(np.eye(D)[0] + np.eye(D)[1] * 0.7)
    enrol(galleries, "a", a)
    enrol(galleries, "b", b)
    similarity = Embedding(a, MODEL).similarity(Embedding(b, MODEL))
    assert len(pairs_of(list(galleries.duplicates("g", similarity)))) == 1
    assert not pairs_of(list(galleries.duplicates("g", float(np.nextafter(similarity, 2)))))


def test_the_same_vector_is_a_pair_at_the_highest_threshold(galleries: Galleries) -> None:
    """Rounded, a vector may be less similar to itself than 1; the owner of a block's template is known all the same."""
    for subject_id in ("a", "b", "a"):
        enrol(galleries, subject_id, unit(np.eye(D)[0]))
    pairs = pairs_of(list(galleries.duplicates("g", 1.0)))
    assert [(pair.template_a, pair.template_b) for pair in pairs] == [(1, 2), (2, 3)]


def test_what_changes_meanwhile(galleries: Galleries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_AT_ONCE", 4)
    enrolled = crowd(galleries)
    steps = galleries.duplicates("g", THRESHOLD)
    first = next(steps)
    assert (first.progress.searched, first.progress.total, first.progress.gallery_version) == (4, 60, 61)
    galleries.delete_template("g", 30)
    galleries.delete_subject("g", "s19")  # 20, 40, 60
    enrol(galleries, "new", enrolled[1][1].vector)
    rest = list(steps)
    for gone in (30, 20, 40, 60):
        del enrolled[gone]
    assert [*first.pairs, *pairs_of(rest)] == by_hand(enrolled, THRESHOLD)
    last = rest[-1].progress
    assert (last.searched, last.total, last.gallery_version) == (56, 56, 64)


@pytest.mark.usefixtures("small_blocks")
def test_another_gallery_of_the_same_id_is_not_taken_for_the_first(galleries: Galleries) -> None:
    crowd(galleries)
    steps = galleries.duplicates("g", THRESHOLD)
    next(steps)
    galleries.delete("g")
    galleries.create("g", "", MODEL, D)
    crowd(galleries)
    with pytest.raises(UnknownGallery, match="deleted while"):
        next(steps)


def test_a_step_goes_on_from_its_cursor_alone(galleries: Galleries) -> None:
    """Front-ends hold no state but the cursor, so a step that is asked for again answers the same."""
    crowd(galleries, count=100)
    first = galleries.duplicates_after("g", THRESHOLD, None)
    assert isinstance(first.cursor, Cursor)
    again = [galleries.duplicates_after("g", THRESHOLD, first.cursor) for _ in range(2)]
    assert again[0] == again[1]
    assert again[0].cursor is None


# --- equal vectors are searched for once ----------------------------------------------------------------------


class NotingIndex(NumpyIndex):
    """The reference index, which notes for how many probes it was asked."""

    def __init__(self) -> None:
        super().__init__(D)
        self.asked: list[int] = []

    def search(self, probes: F32, k: int, among: I64 | None = None) -> Hits:
        self.asked.append(len(probes))
        return super().search(probes, k, among)


def some_vectors(n: int) -> F32:
    vectors = np.random.default_rng(0).standard_normal((n, D), dtype=np.float32)
    return unit(vectors)


def test_distinct_vectors_are_told_apart_to_the_last_bit() -> None:
    one, other = some_vectors(2)
    nearly = one.copy()
    nearly[0] = np.nextafter(nearly[0], np.float32(2.0))
    vectors = np.stack([one, other, one, nearly, other, one])
    first, kind = distinct(vectors)
    assert sorted(first.tolist()) == [0, 1, 3]
    assert first[kind].tolist() == [0, 1, 0, 3, 1, 0]


@pytest.mark.parametrize("look", [nearest(0.5, 3), older_near(0.5)])
def test_equal_templates_of_a_block_are_searched_for_once(look: Look) -> None:
    a, b, c = some_vectors(3)
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
