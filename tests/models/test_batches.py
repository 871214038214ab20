"""A face has the same embedding alone and in a batch with faces of other photos, on every device that is here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fr_core.engine import Engine, EngineOptions, open_engine
from fr_core.errors import DeviceUnavailable
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack
from fr_core.types import EmbeddedFace

pytestmark = pytest.mark.models

# The least cosine of one face with itself.
SAME = {"f32": 0.9995, "bf16": 0.998}


def opened(cache: ModelCache, device: str, precision: str, sizes: str) -> Engine:
    options = EngineOptions(device=device, precision=precision, embedder_sizes=sizes, detector_sizes=sizes)
    try:
        return open_engine(load_pack("buffalo_s"), cache, options)
    except DeviceUnavailable as error:
        pytest.skip(error.what)


def cosines(ours: tuple[EmbeddedFace, ...], theirs: tuple[EmbeddedFace, ...]) -> list[float]:
    assert len(ours) == len(theirs)
    return [a.embedding.similarity(b.embedding) for a, b in zip(ours, theirs, strict=True)]


@pytest.mark.parametrize(("device", "precision"), [("cpu", "f32"), ("openvino", "f32"), ("openvino", "bf16")])
def test_a_face_does_not_depend_on_its_batch(
    pack_cache: ModelCache, photos: dict[str, Path], device: str, precision: str
) -> None:
    crowd = photos["solvay"].read_bytes()
    single, many = (opened(pack_cache, device, precision, sizes) for sizes in ("1", "1,8"))
    alone = single.pipeline.analyze(crowd).faces
    with ThreadPoolExecutor(4) as pool:  # four photos at once, so that faces of different photos meet
        together = [photo.faces for photo in pool.map(many.pipeline.analyze, [crowd] * 4)]
    for engine in (single, many):
        engine.close()
    assert len(alone) >= 28
    assert min(min(cosines(alone, faces)) for faces in together) >= SAME[precision]
