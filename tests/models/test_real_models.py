"""Real models on the registry's photos: both packs, both runtimes on the processor, batches and threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fr_core.engine import EngineOptions, open_engine
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack
from fr_core.pipeline import Pipeline

pytestmark = pytest.mark.models

PORTRAITS = ("obama", "obama2", "obama3", "biden", "person_a_1", "person_a_2", "person_b_1", "person_b_2")


@pytest.fixture(scope="module", params=["buffalo_s", "sface"])
def pack_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pipeline(pack_name: str, pack_cache: ModelCache) -> Pipeline:
    return open_engine(load_pack(pack_name), pack_cache, EngineOptions(device="cpu")).pipeline


def test_same_people_are_more_alike_than_others(pipeline: Pipeline, pack_name: str, photos: dict[str, Path]) -> None:
    threshold = load_pack(pack_name).thresholds.similarity
    embeddings = {}
    for key in PORTRAITS:
        (face,) = pipeline.analyze(photos[key].read_bytes()).faces
        embeddings[key] = face.embedding
    for a in PORTRAITS:
        for b in PORTRAITS:
            mated = a[:8] == b[:8] or {a[:5], b[:5]} == {"obama"}
            assert (embeddings[a].similarity(embeddings[b]) >= threshold) == mated, (a, b)


def test_groups_are_counted(pipeline: Pipeline, photos: dict[str, Path]) -> None:
    assert len(pipeline.detect(photos["t1"].read_bytes()).faces) == 6
    assert len(pipeline.detect(photos["solvay"].read_bytes()).faces) == 29


def test_openvino_agrees(pipeline: Pipeline, pack_name: str, pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    opened = open_engine(load_pack(pack_name), pack_cache, EngineOptions(device="openvino"))
    assert opened.device.active == "openvino"
    for key in ("obama", "t1", "person_b_2"):
        theirs = opened.pipeline.analyze(photos[key].read_bytes()).faces
        ours = pipeline.analyze(photos[key].read_bytes()).faces
        assert len(theirs) == len(ours)
        for a, b in zip(ours, theirs, strict=True):
            assert a.embedding.similarity(b.embedding) >= 0.999


def test_threads_share_a_pipeline(pipeline: Pipeline, photos: dict[str, Path]) -> None:
    def vectors(key: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.stack([face.embedding.vector for face in pipeline.analyze(photos[key].read_bytes()).faces])

    keys = ["obama", "biden", "person_a_1"] * 2
    expected = {key: vectors(key) for key in keys}
    with ThreadPoolExecutor(4) as pool:
        for key, found in zip(keys, pool.map(vectors, keys), strict=True):
            assert np.allclose(found, expected[key], atol=1e-5)


def test_flip_fusion_is_a_model_of_its_own_and_close_to_the_plain_one(
    pipeline: Pipeline, pack_name: str, pack_cache: ModelCache, photos: dict[str, Path]
) -> None:
    fused = open_engine(load_pack(pack_name), pack_cache, EngineOptions(device="cpu", flip=True)).pipeline
    (a,) = fused.analyze(photos["obama"].read_bytes()).faces
    (b,) = pipeline.analyze(photos["obama"].read_bytes()).faces
    assert a.embedding.model != b.embedding.model
    assert 0.9 < float(a.embedding.vector @ b.embedding.vector) < 1
