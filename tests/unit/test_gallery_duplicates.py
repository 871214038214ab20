"""Duplicates against all pairs by hand, and clusters against the textbook's loop; also while the gallery changes."""

from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from fr_core.errors import InvalidField, UnknownGallery
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.index.protocol import VectorIndex
from fr_core.gallery.index.rows_index import NumpyIndex
from fr_core.gallery.scan import blocks as scan
from fr_core.gallery.scan import clusters as clustering
from fr_core.gallery.scan import linkage
from fr_core.gallery.scan.blocks import Cursor, Look, distinct, nearest, older_near
from fr_core.gallery.scan.clusters import Cluster
from fr_core.gallery.scan.duplicates import DuplicatePair, Duplicates
from fr_core.gallery.scan.linkage import average_linkage, components
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.values import StoredVectors
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.types import F32, I64, Embedding
from support.ledger import MODEL

D = 32
Scan = Callable[[Galleries, str, float], Iterator[object]]
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


def searches_of(index: VectorIndex, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return where it is noted, from now on, for how many probes and vectors each search asks."""
    asked: list[tuple[int, int]] = []
    search = type(index).search

    def noting(self: object, probes: F32, k: int, among: object = None) -> object:
        asked.append((len(probes), len(probes) * k))
        return search(self, probes, k, among)  # type: ignore[arg-type]

    monkeypatch.setattr(type(index), "search", noting)
    return asked


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("threshold", [0.9, -1.0])
@pytest.mark.parametrize("together", [4, 10, 50, 10_000])
def test_blocks_of_any_size(
    galleries: Galleries, threshold: float, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_GATHERED_BYTES", together * 4 * D)
    enrolled = crowd(galleries)
    asked = searches_of(next(iter(galleries._memories)).index, monkeypatch)
    steps = []
    for step in galleries.duplicates("g", threshold):
        steps.append(step)
        # One pass of bounded size each: or one call would take all memory, and let no other scan begin.
        assert len(asked) <= len(steps)
        assert max(vectors for _, vectors in asked) <= together
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


def test_a_template_may_be_deleted_half_compared(galleries: Galleries, monkeypatch: pytest.MonkeyPatch) -> None:
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
    """Rounded, a vector may be less similar to itself than 1."""
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
@pytest.mark.parametrize("scan_of", [Galleries.duplicates, Galleries.clusters])
def test_another_gallery_of_the_same_id_is_not_taken_for_the_first(galleries: Galleries, scan_of: Scan) -> None:
    crowd(galleries)
    steps = scan_of(galleries, "g", THRESHOLD)
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


def test_distinct_vectors_are_told_apart_to_the_last_bit() -> None:
    one, other = unit(np.random.default_rng(0).normal(size=(2, D)))
    nearly = one.copy()
    nearly[0] = np.nextafter(nearly[0], np.float32(2.0))
    vectors = np.stack([one, other, one, nearly, other, one])
    first, kind = distinct(vectors)
    assert sorted(first.tolist()) == [0, 1, 3]
    assert first[kind].tolist() == [0, 1, 0, 3, 1, 0]


@pytest.mark.parametrize("look", [nearest(0.5, 3), older_near(0.5)])
def test_equal_templates_of_a_block_are_searched_for_once(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = unit(np.random.default_rng(0).normal(size=(3, D)))
    vectors = np.stack([a, b, a, c, a, b])
    template_ids = np.arange(1, 7)
    index = NumpyIndex(D)
    asked = searches_of(index, monkeypatch)
    memory = GalleryMemory(index, 1)
    memory.load(StoredVectors(1, template_ids, template_ids, vectors))
    near = look(memory, template_ids, Cursor(1, 0, 6, 0)).near
    found = {(int(near.template_ids[row]), int(other)) for row, other in zip(near.rows, near.ids, strict=True)}
    similar = vectors.astype(np.float64) @ vectors.astype(np.float64).T >= 0.5
    pairs = {(newer, older) for newer in range(1, 7) for older in range(1, newer) if similar[newer - 1, older - 1]}
    assert {(one, other) for one, other in found if other < one} == pairs
    assert [probes for probes, _ in asked] == [3]


def people(rng: np.random.Generator, count: int, persons: int, spread: float = 0.6) -> tuple[F32, I64]:
    """Vectors f32[count, D] around the directions of persons, and whose each is, i64[count]."""
    labels = rng.integers(0, persons, count)
    return unit(unit(rng.normal(size=(persons, D)))[labels] + rng.normal(size=(count, D)) * spread / np.sqrt(D)), labels


def graph(vectors: F32, threshold: float) -> I64:
    reach = vectors.astype(np.float64) @ vectors.T.astype(np.float64) >= threshold
    np.fill_diagonal(reach, False)
    return np.argwhere(reach)


def textbook(vectors: F32, threshold: float) -> I64:
    """Merge the two most similar clusters until no two reach the threshold."""
    similar = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    clusters = [[row] for row in range(len(vectors))]
    while len(clusters) > 1:
        means = [
            (float(similar[np.ix_(a, b)].mean()), i, j)
            for i, a in enumerate(clusters)
            for j, b in enumerate(clusters[:i])
        ]
        best, i, j = max(means)
        if best < threshold:
            break
        clusters[j] += clusters.pop(i)
    owners = np.empty(len(vectors), dtype=np.int64)
    for cluster in clusters:
        owners[cluster] = min(cluster)
    return owners


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_mutual_merges_give_what_the_textbook_gives(seed: int, threshold: float) -> None:
    vectors, _ = people(np.random.default_rng(seed), 40, 7, spread=1.2)
    expected = textbook(vectors, threshold)
    assert 1 < len(np.unique(expected)) < 40
    assert np.array_equal(average_linkage(vectors, graph(vectors, threshold), threshold), expected)


def test_a_chain_does_not_merge_two_people() -> None:
    """Each reaches the threshold with the next; connected components would make one person of all of them."""
    angles = np.radians(np.arange(0, 181, 20))
    vectors = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    edges = graph(vectors, 0.8)
    assert len(np.unique(components(len(vectors), edges))) == 1
    owners = average_linkage(vectors, edges, 0.8)
    assert owners[0] != owners[-1]
    for owner in np.unique(owners):
        members = vectors[owners == owner]
        assert float((members @ members.T).mean()) >= 0.8


def test_pairs_that_no_edge_joins_count_in_the_mean() -> None:
    vectors = unit([[1, 0, 0], [0.8, 0.6, 0], [-0.2, 1, 0]])
    edges = np.array([[0, 1], [1, 2]])
    assert average_linkage(vectors, edges, 0.5).tolist() == [0, 0, 2]


def test_many_equal_vectors_become_one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest of equal vectors are the same few for all of them: merged pair by pair, they wait in line."""
    rng = np.random.default_rng(3)
    vectors = np.concatenate([np.repeat(unit(rng.normal(size=(1, D))), 3000, axis=0), unit(rng.normal(size=(5, D)))])
    edges = np.stack([np.repeat(np.arange(3000), 4), np.tile(np.arange(4), 3000)], axis=1)
    rounds = []
    merge = linkage._Graph.merge

    def counted(graph: linkage._Graph, threshold: float) -> bool:
        rounds.append(threshold)
        return merge(graph, threshold)

    monkeypatch.setattr(linkage._Graph, "merge", counted)
    assert average_linkage(vectors, edges, 0.9).tolist() == [0] * 3000 + list(range(3000, 3005))
    assert len(rounds) == 1


def test_equal_vectors_weigh_as_many_as_they_are() -> None:
    vectors = unit([[1, 0], [1, 0], [1, 0], [0.8, 0.6], [0, 1]])
    edges = np.array([[0, 3], [1, 3], [3, 4]])
    assert average_linkage(vectors, edges, 0.55).tolist() == [0, 0, 0, 0, 4]
    assert average_linkage(vectors, edges, 0.15).tolist() == [0] * 5
    assert average_linkage(vectors, edges, 0.16).tolist() == [0, 0, 0, 0, 4]


def test_components_are_named_by_their_least_node() -> None:
    assert components(7, np.array([[5, 4], [1, 3], [4, 1]])).tolist() == [0, 1, 2, 1, 1, 1, 6]
    assert components(3, np.empty((0, 2), dtype=np.int64)).tolist() == [0, 1, 2]
    line = np.random.default_rng(1).permutation(5000)
    assert not components(5000, np.stack([line[:-1], line[1:]], axis=1)).any()


def enrol_photos(galleries: Galleries, vectors: F32) -> None:
    for n, vector in enumerate(vectors, start=1):
        enrol(galleries, f"photo {n}", vector)


def clusters_of(galleries: Galleries, threshold: float = 0.5) -> list[Cluster]:
    return [cluster for step in galleries.clusters("g", threshold) for cluster in step.clusters]


@pytest.mark.parametrize("together", [1, 10, 4096])
def test_people_are_told_apart(galleries: Galleries, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_AT_ONCE", 16)
    monkeypatch.setattr(clustering, "_TOGETHER", together)
    vectors, labels = people(np.random.default_rng(2), 120, 20)
    vectors[:2] = unit(np.eye(D)[:2] * 3 + 0.01)  # two who are like nobody
    labels[:2] = (100, 101)
    enrol_photos(galleries, vectors)
    found = clusters_of(galleries)
    assert [cluster.number for cluster in found] == list(range(1, len(found) + 1))
    assert sorted(m.template_id for c in found for m in c.members) == list(range(1, 121))
    assert {frozenset(m.template_id - 1 for m in c.members) for c in found} == {
        frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)
    }
    assert found[0].members[0].template_id == 1


def test_a_cluster_tells_of_its_members(galleries: Galleries) -> None:
    angles = np.radians([0, 10, 30])
    vectors = np.zeros((4, D), dtype=np.float32)
    vectors[:3, 0], vectors[:3, 1], vectors[3, 2] = np.cos(angles), np.sin(angles), 1.0
    enrol_photos(galleries, unit(vectors))
    three, single = clusters_of(galleries, 0.8)
    assert [member.subject_id for member in three.members] == ["photo 1", "photo 2", "photo 3"]
    assert three.cohesion == pytest.approx(np.cos(np.radians([10, 20, 30])).mean())
    mean = vectors[:3].sum(axis=0) / np.linalg.norm(vectors[:3].sum(axis=0))
    assert [member.similarity for member in three.members] == pytest.approx(vectors[:3] @ mean)
    assert (single.number, single.cohesion, len(single.members)) == (2, None, 1)
    assert single.members[0].similarity == pytest.approx(1.0)


def test_a_person_of_more_photos_than_neighbours_is_one_cluster(galleries: Galleries) -> None:
    vectors, _ = people(np.random.default_rng(4), 150, 1)
    enrol_photos(galleries, vectors)
    (cluster,) = clusters_of(galleries)
    assert len(cluster.members) == 150


def test_what_is_deleted_meanwhile_is_left_out_and_what_comes_is_not_grouped(galleries: Galleries) -> None:
    vectors, _ = people(np.random.default_rng(6), 100, 5)
    enrol_photos(galleries, vectors)
    steps = galleries.clusters("g", 0.5)
    next(steps)
    galleries.delete_template("g", 90)  # before it is searched for
    galleries.enrol("g", Enrolment("late", NewTemplate(Embedding(vectors[0], MODEL))))
    second = next(steps)
    assert second.progress is not None
    assert (second.progress.searched, second.progress.total) == (99, 99)
    galleries.delete_template("g", 1)  # after it was
    found = [cluster for step in steps for cluster in step.clusters]
    assert sorted(m.template_id for c in found for m in c.members) == [n for n in range(2, 101) if n != 90]


def test_no_mean_can_vanish(galleries: Galleries) -> None:
    """The refusal and its remedy must not contradict each other."""
    with pytest.raises(InvalidField, match="below 0; 0 to 1 are allowed") as refused:
        clusters_of(galleries, -0.1)
    assert "-1" not in refused.value.message
