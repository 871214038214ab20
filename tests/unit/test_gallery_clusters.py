"""Clusters: average linkage against the textbook's own loop, and what a gallery's clusters tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fr_core.errors import InvalidField, UnknownGallery
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.scan import blocks as scan
from fr_core.gallery.scan import clusters as clustering
from fr_core.gallery.scan import linkage
from fr_core.gallery.scan.clusters import Cluster
from fr_core.gallery.scan.linkage import average_linkage, components
from fr_core.gallery.values import Enrolment, NewTemplate
from fr_core.types import F32, I64, Embedding
from support.ledger import MODEL

D = 32


def unit(vectors: object) -> F32:
    array = np.asarray(vectors, dtype=np.float32)
    scaled: F32 = array / np.linalg.norm(array, axis=-1, keepdims=True)
    return scaled


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


# --- galleries -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["numpy", "compact"])
def galleries(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Galleries]:
    with Galleries.open(tmp_path, index=request.param) as opened:
        opened.create("g", "", MODEL, D)
        yield opened


def enrol(galleries: Galleries, vectors: F32) -> None:
    for n, vector in enumerate(vectors, start=1):
        galleries.enrol("g", Enrolment(f"photo {n}", NewTemplate(Embedding(vector, MODEL))))


def clusters_of(galleries: Galleries, threshold: float = 0.5) -> list[Cluster]:
    return [cluster for step in galleries.clusters("g", threshold) for cluster in step.clusters]


@pytest.mark.parametrize("together", [1, 10, 4096])
def test_people_are_told_apart(galleries: Galleries, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_AT_ONCE", 16)
    monkeypatch.setattr(clustering, "_TOGETHER", together)
    vectors, labels = people(np.random.default_rng(2), 120, 20)
    vectors[:2] = unit(np.eye(D)[:2] * 3 + 0.01)  # two who are like nobody
    labels[:2] = (100, 101)
    enrol(galleries, vectors)
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
    enrol(galleries, unit(vectors))
    three, single = clusters_of(galleries, 0.8)
    assert [member.subject_id for member in three.members] == ["photo 1", "photo 2", "photo 3"]
    assert three.cohesion == pytest.approx(np.cos(np.radians([10, 20, 30])).mean())
    mean = vectors[:3].sum(axis=0) / np.linalg.norm(vectors[:3].sum(axis=0))
    assert [member.similarity for member in three.members] == pytest.approx(vectors[:3] @ mean)
    assert (single.number, single.cohesion, len(single.members)) == (2, None, 1)
    assert single.members[0].similarity == pytest.approx(1.0)


def test_a_person_of_more_photos_than_neighbours_is_one_cluster(galleries: Galleries) -> None:
    vectors, _ = people(np.random.default_rng(4), 150, 1)
    enrol(galleries, vectors)
    (cluster,) = clusters_of(galleries)
    assert len(cluster.members) == 150


def test_what_is_deleted_meanwhile_is_left_out_and_what_comes_is_not_grouped(galleries: Galleries) -> None:
    vectors, _ = people(np.random.default_rng(6), 100, 5)
    enrol(galleries, vectors)
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


def test_a_gallery_that_is_deleted_meanwhile_is_refused(galleries: Galleries) -> None:
    vectors, _ = people(np.random.default_rng(6), 10, 5)
    enrol(galleries, vectors)
    steps = galleries.clusters("g", 0.5)
    next(steps)
    galleries.delete("g")
    galleries.create("g", "", MODEL, D)
    with pytest.raises(UnknownGallery):
        next(steps)


def test_no_mean_can_vanish(galleries: Galleries) -> None:
    """What is refused, and what to do about it, must not contradict each other."""
    with pytest.raises(InvalidField, match="below 0; 0 to 1 are allowed") as refused:
        clusters_of(galleries, -0.1)
    assert "-1" not in refused.value.message
