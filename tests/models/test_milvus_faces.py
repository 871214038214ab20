"""Real faces among many others: an index in Milvus returns what the exact index does, and not who was deleted."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fr_bench.speed.search import embedded_pairs
from fr_bench.speed.search_gallery import plant
from fr_bench.speed.values import EngineSettings
from fr_core.gallery.index.faiss_flat import FaissFlatIndex
from fr_core.gallery.index.milvus_settings import MilvusSettings
from support.counts import NIGHTLY, count
from support.milvus import indexes_of, keep_up, lite, milvus_server, settings_of, truth_of

pytestmark = pytest.mark.models

TOP = 20
OTHERS = 5_000 if NIGHTLY else 2_000


@pytest.fixture(params=["lite", "server"])
def milvus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MilvusSettings]:
    if request.param == "lite":
        yield settings_of(lite(tmp_path))
        return
    with milvus_server() as server:
        yield settings_of(server.uri)


@pytest.mark.usefixtures("remembering")
def test_real_faces_are_found_as_by_the_exact_index(milvus: MilvusSettings, testdata: Path) -> None:
    pairs = embedded_pairs(EngineSettings(), count("MILVUS_FACES"), testdata, lambda _: None)
    gallery = plant(pairs.mates, OTHERS, seed=1)
    ids, vectors = np.arange(OTHERS), np.concatenate([part for _, part in gallery.loads()])
    exact = FaissFlatIndex(gallery.dimension)
    indexes = indexes_of(milvus, truth_of(exact, lambda: ids))
    index = indexes.new(1, gallery.dimension)
    for one in (exact, index):
        one.add(ids, vectors)
    indexes.filled()
    keep_up(index)
    expected, hits = exact.search(pairs.probes, TOP), index.search(pairs.probes, TOP)
    assert (hits.ids[:, 0] == expected.ids[:, 0]).all()
    shared = [len(np.intersect1d(a, b)) for a, b in zip(hits.ids, expected.ids, strict=True)]
    assert np.mean(shared) / TOP >= 0.99
    assert (hits.similarities == expected.similarities).all()  # FLAT: to the last bit
    assert (hits.ids[:, 0] == gallery.planted_ids).mean() > 0.9  # the photos do show the same people

    gone = gallery.planted_ids[::2]
    for one in (exact, index):
        one.remove(gone)
    for _ in range(2):  # before Milvus deletes them, and after
        hits = index.search(pairs.probes, TOP)
        assert not np.isin(hits.ids, gone).any()
        assert (hits.ids == exact.search(pairs.probes, TOP).ids).all()
        keep_up(index)
    indexes.close()
