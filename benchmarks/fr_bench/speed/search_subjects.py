"""Puts an index of FR Core, or of a peer, behind one interface."""

import hashlib
import importlib
import importlib.util
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fr_bench.speed.child import BenchFailed
from fr_core.gallery.index.milvus_settings import MILVUS, MilvusSettings
from fr_core.gallery.index.protocol import F64, IndexMemory
from fr_core.gallery.index.register import new_index, remote_indexes
from fr_core.types import F32, I64
from fr_locales.messages import message

# The graphs as their makers build them: M and ef_construction of hnswlib's README, connectivity and expansion_add of
# usearch's defaults. A search looks through more vertices than their defaults of 10 and 64, with which they would find
# next to nothing among random vectors.
_LINKS = 16
_HNSWLIB_EF_CONSTRUCTION = 200
_USEARCH_EXPANSION_ADD = 128
_VISITED = 200

MILVUS_URI = "FR_MILVUS_URI"
"""The environment variable that names the Milvus server of `--index milvus`, such as http://127.0.0.1:19530."""


class Searcher(Protocol):
    """An index under test."""

    @property
    def settings(self) -> str:
        """For people."""

    def add(self, ids: I64, vectors: F32) -> None:
        """Add vectors f32[n, D] of length 1 under ascending ids i64[n]."""

    def finish(self) -> None:
        """Do what is done once every vector is there."""

    def search(self, probes: F32, k: int) -> tuple[I64, F64]:
        """Search probes f32[n, D]: ids i64[n, k], -1 where there are fewer, and similarities f64[n, k], best first."""

    def memory(self) -> IndexMemory | None:
        """By its own account; None where it gives none."""


@dataclass(frozen=True, slots=True)
class PeerKind:
    """A peer: its module, what installs it, and what opens it with D, the number of vectors, k and the threads.

    `linear` says whether one search looks at every vector, so that its time grows in a straight line.
    """

    module: str
    install: str
    open: Callable[[int, int, int, int], Searcher]
    linear: bool


class OurIndex:
    """An index of FR Core, with its upkeep done."""

    def __init__(self, name: str, dimension: int, threads: int) -> None:
        self._index = new_index(name, dimension, threads)
        self.settings = f"{threads} threads"

    def add(self, ids: I64, vectors: F32) -> None:
        """As `Searcher.add`."""
        self._index.add(ids, vectors)

    def finish(self) -> None:
        """As `Searcher.finish`."""
        while (work := self._index.upkeep()) is not None:
            work.prepare()
            work.finish()

    def search(self, probes: F32, k: int) -> tuple[I64, F64]:
        """As `Searcher.search`."""
        hits = self._index.search(probes, k)
        return hits.ids, hits.similarities

    def memory(self) -> IndexMemory | None:
        """As `Searcher.memory`."""
        return self._index.memory()


class MilvusSubject(OurIndex):
    """An index in the Milvus server of `MILVUS_URI`; the exact vectors lie in a file, in the place of the store."""

    def __init__(self, uri: str, dimension: int) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lasts as long as the process
        self._dimension, self._rows = dimension, 0
        self._indexes = remote_indexes(MilvusSettings(uri, search_timeout_s=60.0), self._derive, self._vectors)
        self._index = self._indexes.new(1, dimension)
        self.settings = "Milvus FLAT"

    def add(self, ids: I64, vectors: F32) -> None:
        """As `Searcher.add`; ids count from 0."""
        self._file.write(vectors.tobytes())
        self._rows += len(ids)
        super().add(ids, vectors)

    def finish(self) -> None:
        """As `Searcher.finish`; what another run left in Milvus is dropped."""
        self._file.flush()
        self._indexes.filled()
        self._indexes.tidy()
        super().finish()

    @staticmethod
    def _derive(purpose: str) -> bytes:
        return hashlib.sha256(f"fr bench search {os.getpid()} {purpose}".encode()).digest()

    def _vectors(self, _: int, ids: I64) -> tuple[I64, F32]:
        stored = np.memmap(self._file, np.float32, "r", shape=(self._rows, self._dimension))
        return ids, np.array(stored[ids])


def our_index(name: str, dimension: int, threads: int) -> Searcher:
    """Return an index of FR Core by its name, as `require_index` lets it through."""
    return MilvusSubject(os.environ[MILVUS_URI], dimension) if name == MILVUS else OurIndex(name, dimension, threads)


def require_index(name: str, dimension: int, threads: int) -> None:
    """Raise `ConfigInvalid` if there is no such index, and `BenchFailed` if no Milvus server is named for it."""
    if name != MILVUS:
        new_index(name, dimension, threads)
    elif MILVUS_URI not in os.environ:
        raise BenchFailed(message("error.bench.no_milvus", variable=MILVUS_URI))


class Peer:
    """A peer needs no finish, and gives no account of its memory: usearch tells what it reserved, which is more."""

    def finish(self) -> None:
        """As `Searcher.finish`."""

    def memory(self) -> IndexMemory | None:
        """None."""


class FlatPeer(Peer):
    """`faiss.IndexFlatIP`: every vector in float32. FAISS scans a single probe with one thread, several with all."""

    def __init__(self, dimension: int, size: int, k: int, threads: int) -> None:
        import faiss  # as users of FAISS itself would have it; only the process of this peer loads it

        faiss.omp_set_num_threads(threads)
        self._index: Any = faiss.IndexFlatIP(dimension)
        self.settings = f"float32, {threads} threads"

    def add(self, ids: I64, vectors: F32) -> None:
        """As `Searcher.add`; it counts from 0 itself."""
        self._index.add(vectors)

    def search(self, probes: F32, k: int) -> tuple[I64, F64]:
        """As `Searcher.search`."""
        scores, ids = self._index.search(probes, k)
        return ids, scores.astype(np.float64)


class HnswlibPeer(Peer):
    """hnswlib's graph, in inner product."""

    def __init__(self, dimension: int, size: int, k: int, threads: int) -> None:
        self._index: Any = importlib.import_module("hnswlib").Index(space="ip", dim=dimension)
        self._index.init_index(max_elements=size, M=_LINKS, ef_construction=_HNSWLIB_EF_CONSTRUCTION)
        self._index.set_num_threads(threads)
        visited = max(_VISITED, k)
        self._index.set_ef(visited)
        self.settings = (
            f"float32, M {_LINKS}, ef_construction {_HNSWLIB_EF_CONSTRUCTION}, ef {visited}, {threads} threads"
        )

    def add(self, ids: I64, vectors: F32) -> None:
        """As `Searcher.add`."""
        self._index.add_items(vectors, ids)

    def search(self, probes: F32, k: int) -> tuple[I64, F64]:
        """As `Searcher.search`; its distance is 1 - the inner product."""
        ids, distances = self._index.knn_query(probes, k)
        return ids.astype(np.int64), 1.0 - distances.astype(np.float64)


class UsearchPeer(Peer):
    """usearch's graph, in inner product and float32 (its default would be bfloat16)."""

    def __init__(self, dimension: int, size: int, k: int, threads: int) -> None:
        visited = max(_VISITED, k)
        self._index: Any = importlib.import_module("usearch.index").Index(
            ndim=dimension,
            metric="ip",
            dtype="f32",
            connectivity=_LINKS,
            expansion_add=_USEARCH_EXPANSION_ADD,
            expansion_search=visited,
        )
        self._threads = threads
        self.settings = (
            f"float32, connectivity {_LINKS}, expansion_add {_USEARCH_EXPANSION_ADD}, expansion_search {visited}, "
            f"{threads} threads"
        )

    def add(self, ids: I64, vectors: F32) -> None:
        """As `Searcher.add`."""
        self._index.add(ids, vectors, threads=self._threads)

    def search(self, probes: F32, k: int) -> tuple[I64, F64]:
        """As `Searcher.search`; its distance is 1 - the inner product."""
        found = self._index.search(probes, k, threads=min(self._threads, len(probes)))
        ids: I64 = np.full((len(probes), k), -1, dtype=np.int64)
        scores: F64 = np.zeros((len(probes), k), dtype=np.float64)
        # One probe gives a list of matches, several give a table of them, of which each row may be shorter than it is.
        counts = found.counts if len(probes) > 1 else [len(found)]
        named, distances = np.atleast_2d(found.keys), np.atleast_2d(found.distances)
        for row, count in enumerate(counts):
            ids[row, :count] = named[row, :count]
            scores[row, :count] = 1.0 - distances[row, :count]
        return ids, scores


PEERS: Mapping[str, PeerKind] = {
    "flat": PeerKind("faiss", "pip install '.[cpu]' in a clone", FlatPeer, linear=True),
    # hnswlib has no wheels: it is compiled when it is installed.
    "hnswlib": PeerKind(
        "hnswlib", "pip install '.[bench-peers]' in a clone, with a C++ compiler", HnswlibPeer, linear=False
    ),
    "usearch": PeerKind("usearch", "pip install '.[bench]' in a clone", UsearchPeer, linear=False),
}


def check_peers(names: tuple[str, ...]) -> None:
    """Raise `BenchFailed` if there is no such peer, one is named twice, or one is not installed."""
    for name in names:
        if name not in PEERS:
            raise BenchFailed(message("error.bench.no_peer_named", name=name, peers=", ".join(PEERS)))
        if names.count(name) > 1:
            raise BenchFailed(message("error.bench.peer_named_twice", name=name))
        if importlib.util.find_spec(PEERS[name].module) is None:
            raise BenchFailed(message("error.bench.peer_not_installed", name=name, install=PEERS[name].install))
