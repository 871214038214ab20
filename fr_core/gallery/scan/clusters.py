"""Clusters: the templates of a gallery grouped by person, whatever subjects they were enrolled for."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from fr_core.errors import InvalidField, UnknownGallery, message
from fr_core.gallery import checks
from fr_core.gallery.index.protocol import F64
from fr_core.gallery.scan.blocks import Cursor, Near, Progress, Scanner, nearest
from fr_core.gallery.scan.linkage import average_linkage, components
from fr_core.gallery.search.memory import GalleryMemory
from fr_core.gallery.store.values import GalleryRow
from fr_core.gallery.values import GalleryRef
from fr_core.types import F32, I64

# Neighbours of each template that make the graph: enough to tie the photos of one person together, and O(n) memory.
_NEIGHBOURS = 32
# Templates whose clusters are computed together; a component is never cut.
_TOGETHER = 4096
# The linkage computes similarities anew; with a million templates those of all neighbours are 256 MiB.
_NOT_KEPT: F64 = np.empty(0)


@dataclass(frozen=True, slots=True)
class ClusterMember:
    """A template of a cluster. `similarity`: to the mean of the cluster's templates, in [-1, 1]."""

    template_id: int
    subject_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """Templates that may be of one person: a lead for a human examiner."""

    number: int  # in the answer, from 1
    members: tuple[ClusterMember, ...]  # the oldest first; a single one where nothing is like it
    cohesion: float | None  # mean similarity of its pairs, in [-1, 1]; None where there is none


@dataclass(frozen=True, slots=True)
class Clusters:
    """The clusters that a step found."""

    clusters: tuple[Cluster, ...]  # all of their members included; none while neighbours are searched for
    progress: Progress | None  # of the search for neighbours; None once it has ended


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The neighbours of a block of templates. `cursor`: where to go on; None after the last block."""

    near: Near
    progress: Progress
    gallery_no: int
    cursor: Cursor | None


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Whole components of the graph of neighbours."""

    gallery_no: int
    template_ids: I64  # i64[n]
    edges: I64  # i64[m, 2], rows of `template_ids`


class ClusterSteps(Protocol):
    """Galleries that are clustered step by step, in this process or another."""

    def neighbours_after(self, gallery: GalleryRef, threshold: float, cursor: Cursor | None) -> Neighbours:
        """Return the neighbours of the next block of templates."""

    def clusters_of(self, gallery: GalleryRef, threshold: float, part: Part) -> tuple[Cluster, ...]:
        """Return the clusters of a part, numbered from 1, each by its oldest template."""


def clusters(steps: ClusterSteps, gallery: GalleryRef, threshold: float) -> Iterator[Clusters]:
    """Yield how far the search has come, then every cluster; see `Galleries.clusters`."""
    cursor: Cursor | None = None
    found: list[Near] = []
    while True:
        block = steps.neighbours_after(gallery, threshold, cursor)
        found.append(replace(block.near, similarities=_NOT_KEPT))
        yield Clusters((), block.progress)
        cursor = block.cursor
        if cursor is None:
            break
    numbered = 0
    for part in _parts(found, block.gallery_no):
        some = steps.clusters_of(gallery, threshold, part)
        yield Clusters(tuple(replace(one, number=one.number + numbered) for one in some), None)
        numbered += len(some)


def neighbours_after(scanner: Scanner, gallery: GalleryRef, threshold: float, cursor: Cursor | None) -> Neighbours:
    """Return the neighbours of the next block of templates; see `Galleries.neighbours_after`."""
    checks.require_threshold(threshold)
    # Below zero the mean of a cluster can vanish, and nothing has a similarity to it.
    if threshold < 0.0:
        raise InvalidField(message("error.gallery.threshold_clusters_below_allowed"), field="threshold")
    with scanner.block(gallery, cursor, nearest(threshold, _NEIGHBOURS)) as (_, block):
        return Neighbours(block.near, block.progress, block.gallery_no, block.cursor)


def clusters_of(scanner: Scanner, gallery: GalleryRef, threshold: float, part: Part) -> tuple[Cluster, ...]:
    """Return the clusters of a part, without what was deleted meanwhile; see `Galleries.clusters_of`."""

    def read(row: GalleryRow, memory: GalleryMemory) -> tuple[I64, I64, F32]:
        if part.gallery_no != row.gallery_no:
            raise UnknownGallery(message("error.gallery.gallery_deleted_while_searched"))
        numbers = memory.subjects_of(part.template_ids)
        there = np.flatnonzero(numbers >= 0)
        return there, numbers[there], memory.index.vectors(part.template_ids[there])

    with scanner.at_version(gallery, read) as (snapshot, (there, numbers, vectors)):
        ids = snapshot.subject_ids(np.unique(numbers))
        subject_ids = [ids[no] for no in numbers.tolist()]
    places = np.full(len(part.template_ids), -1)
    places[there] = np.arange(len(there))
    edges = places[part.edges]
    owners = average_linkage(vectors, edges[(edges >= 0).all(axis=1)], threshold)
    return tuple(_clusters(owners, part.template_ids[there], subject_ids, vectors))


def _clusters(owners: I64, template_ids: I64, subject_ids: list[str], vectors: F32) -> Iterator[Cluster]:
    """Yield the clusters of n templates, by their oldest.

    Args:
        owners: i64[n], the cluster of each template.
        template_ids: i64[n], ascending within a cluster.
        subject_ids: whose the templates are, n of them.
        vectors: f32[n, D], length 1.
    """
    order = np.argsort(owners, kind="stable")
    starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
    for number, rows in enumerate(np.split(order, starts[1:]) if len(order) else (), start=1):
        size = len(rows)
        total = vectors[rows].sum(axis=0, dtype=np.float64)
        squared = float(total @ total)
        similar = np.clip(vectors[rows] @ (total / np.sqrt(squared)), -1.0, 1.0)
        members = tuple(
            ClusterMember(int(template_ids[row]), subject_ids[row], float(one))
            for row, one in zip(rows.tolist(), similar, strict=True)
        )
        # Of the square of a sum, what is not a vector with itself is each pair, twice.
        itself = float(np.square(vectors[rows], dtype=np.float64).sum())
        cohesion = min(1.0, (squared - itself) / (size * (size - 1))) if size > 1 else None
        yield Cluster(number, members, cohesion)


def _parts(found: list[Near], gallery_no: int) -> Iterator[Part]:
    """Yield whole components, in the order of their oldest templates; empties `found`, which takes memory."""
    template_ids = np.concatenate([near.template_ids for near in found])
    edges = _edges(found, template_ids)
    found.clear()
    labels = components(len(template_ids), edges)
    order = np.argsort(labels, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    edges = places[edges]
    edges = edges[np.argsort(edges[:, 0], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    begin = 0
    while begin < len(order):
        n = np.searchsorted(starts, begin + _TOGETHER)
        end = int(starts[n]) if n < len(starts) else len(order)
        of_part = slice(*np.searchsorted(edges[:, 0], (begin, end)))
        yield Part(gallery_no, template_ids[order[begin:end]], edges[of_part] - begin)
        begin = end


def _edges(found: list[Near], template_ids: I64) -> I64:
    """Return the edges i64[m, 2] between rows of `template_ids`, which ascend; other neighbours are left out."""
    if not len(template_ids):
        return np.empty((0, 2), dtype=np.int64)
    probes = np.concatenate([near.template_ids[near.rows] for near in found])
    ids = np.concatenate([near.ids for near in found])
    rows = np.minimum(np.searchsorted(template_ids, ids), len(template_ids) - 1)
    kept = (template_ids[rows] == ids) & (ids != probes)
    return np.stack([np.searchsorted(template_ids, probes[kept]), rows[kept]], axis=1)
