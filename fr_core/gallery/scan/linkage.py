"""Average linkage on a graph of neighbours: which templates are of one person, without all pairs of them."""

import numpy as np
import numpy.typing as npt

from fr_core.gallery.index.protocol import F64, exact_similarity
from fr_core.gallery.scan.blocks import distinct
from fr_core.types import F32, I64

# Edges whose similarity is computed at a time: 32 MiB at D = 512.
_EDGES = 4096


def components(count: int, edges: I64) -> I64:
    """Return the component of each of `count` nodes in a graph of edges i64[m, 2]: the least node of it, i64[count]."""
    labels = np.arange(count)
    while len(edges):
        ends = labels[edges]
        edges = edges[ends[:, 0] != ends[:, 1]]
        ends = ends[ends[:, 0] != ends[:, 1]]
        # Each label takes over the least label that an edge of its nodes leads to, then the label of that, and so on.
        np.minimum.at(labels, ends.max(axis=1), ends.min(axis=1))
        while not np.array_equal(further := labels[labels], labels):
            labels = further
    return labels


def average_linkage(vectors: F32, edges: I64, threshold: float) -> I64:
    """Return the cluster of each vector: the least row of it, i64[n].

    Agglomerative clustering: of all clusters that an edge joins, those whose members are most similar in the mean of
    all their pairs become one, until no mean reaches the threshold. Clusters that are each other's most similar are
    merged at the same time, which gives the same clusters sooner (Rajagopalan et al. 2021, arXiv:2105.11653). The mean
    of all pairs is the product of two sums, so that it is exact, also for pairs that no edge joins.

    Args:
        vectors: f32[n, D], length 1.
        edges: i64[m, 2], of different rows; each may come in both directions.
        threshold: of the mean similarity; in [0, 1].
    """
    graph = _Graph(vectors, edges, threshold)
    while graph.merge(threshold):
        pass
    return graph.owners


class _Graph:
    """Clusters, the sum of the vectors of each, and the edges between them that may still matter.

    `owners`: i64[n], the cluster of each vector: the least row of it.
    """

    def __init__(self, vectors: F32, edges: I64, threshold: float) -> None:
        self.owners = _equal(vectors, threshold)
        self._sizes = np.bincount(self.owners, minlength=len(vectors))
        self._sums = vectors * self._sizes[:, None].astype(np.float32)
        self._edges = _each_once(self.owners[edges], len(vectors))
        self._means = self._mean_similarities(self._edges)

    def merge(self, threshold: float) -> bool:
        # The mean of a merged cluster lies between those of its parts: what is below the threshold stays below.
        reach = self._means >= threshold
        self._edges, self._means = self._edges[reach], self._means[reach]
        if not len(self._edges):
            return False
        kept, gone = self._mutual()
        self._sums[kept] += self._sums[gone]
        self._sizes[kept] += self._sizes[gone]
        becomes = np.arange(len(self.owners))
        becomes[gone] = kept
        self.owners = becomes[self.owners]
        changed = np.zeros(len(self.owners), dtype=bool)
        changed[kept] = True
        self._join(becomes, changed)
        return True

    def _mutual(self) -> tuple[I64, I64]:
        """Return the pairs of clusters that are each other's most similar: the lesser of each, and the other."""
        # Edges are in the order of their nodes, so that equal similarities have an order too, always the same.
        order = np.argsort(-self._means, kind="stable")
        ends = self._edges[order]
        best = np.full(len(self.owners), len(order), dtype=np.int64)
        places = np.arange(len(order))
        np.minimum.at(best, ends[:, 0], places)
        np.minimum.at(best, ends[:, 1], places)
        mutual = ends[(best[ends[:, 0]] == places) & (best[ends[:, 1]] == places)]
        return mutual[:, 0], mutual[:, 1]

    def _join(self, becomes: I64, changed: npt.NDArray[np.bool_]) -> None:
        moved = becomes[self._edges]
        stale = changed[moved].any(axis=1)
        fresh = _each_once(moved[stale], len(self.owners))
        edges = np.concatenate([moved[~stale], fresh])
        means = np.concatenate([self._means[~stale], self._mean_similarities(fresh)])
        order = np.lexsort((edges[:, 1], edges[:, 0]))
        self._edges, self._means = edges[order], means[order]

    def _mean_similarities(self, edges: I64) -> F64:
        """Return the mean similarity f64[m] of all pairs between the clusters that edges i64[m, 2] join."""
        means = np.empty(len(edges))
        for start in range(0, len(edges), _EDGES):
            a, b = edges[start : start + _EDGES].T
            products = np.vecdot(self._sums[a].astype(np.float64), self._sums[b].astype(np.float64))
            means[start : start + _EDGES] = products / (self._sizes[a] * self._sizes[b])
        return means


def _each_once(edges: I64, count: int) -> I64:
    """Return each edge i64[m, 2] once, the lesser node first; loops are left out."""
    low, high = edges.min(axis=1, initial=count), edges.max(axis=1, initial=-1)
    numbers = np.unique((low * count + high)[low != high])
    return np.stack(np.divmod(numbers, count), axis=1)


def _equal(vectors: F32, threshold: float) -> I64:
    """Return the least row of the same vector for each row, i64[n], where a vector is as similar to itself as needed.

    Nothing is more similar than equal vectors, so they are merged first in any case. All at once: they have the same
    neighbours, and would wait in line for the first of them.
    """
    first, kind = distinct(vectors)
    owners: I64 = np.where(exact_similarity(vectors, vectors) >= threshold, first[kind], np.arange(len(vectors)))
    return owners
