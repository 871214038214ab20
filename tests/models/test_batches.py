"""A face has the same embedding alone and in a batch with faces of other photos, on every device that is here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fr_core.detect.scrfd import ScrfdDetector
from fr_core.detect.tiles import cut, resized
from fr_core.detect.yunet import YunetDetector
from fr_core.engine import Engine, EngineOptions, open_engine
from fr_core.errors import DeviceUnavailable
from fr_core.imaging import ImageLimits, decode
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack
from fr_core.runtime.onnx_graph import PixelInput
from fr_core.runtime.open import open_sessions
from fr_core.types import EmbeddedFace
from support.counts import NIGHTLY

pytestmark = pytest.mark.models

TILE = 640

# The least cosine of one face with itself.
SAME = {"f32": 0.9995, "bf16": 0.998}


def opened(cache: ModelCache, device: str, precision: str, sizes: str) -> Engine:
    options = EngineOptions(device, precision, "fast", embedder_sizes=sizes, detector_sizes=sizes)
    try:
        return open_engine(load_pack("buffalo_s"), cache, options)
    except DeviceUnavailable as error:
        pytest.skip(error.what)


@pytest.mark.parametrize("pack_name", ["buffalo_s", "sface"])
@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_tiles_give_the_same_faces(
    pack_cache: ModelCache, photos: dict[str, Path], pack_name: str, device: str
) -> None:
    """YuNet's file says that it takes one tile, and is edited to take more."""
    spec = load_pack(pack_name).detector
    try:
        session = open_sessions(
            pack_cache.read_verified(spec.file), PixelInput(spec.colour, spec.mean, spec.std), device
        )[0]
    except DeviceUnavailable as error:
        pytest.skip(error.what)
    family = YunetDetector if spec.family == "yunet" else ScrfdDetector
    model = family(session, spec, ((TILE, TILE),), 0.5)
    picture = decode(photos["solvay"].read_bytes(), ImageLimits()).pixels
    fitted = resized(picture, TILE, round(TILE * picture.shape[0] / picture.shape[1]))
    tiles = [cut(fitted, left, 0, TILE, TILE) for left in (0, 250, 500)]
    together, alone = model.detect_tiles(tiles), [model.detect_tiles([tile])[0] for tile in tiles]
    assert session.input_shape[0] is None
    assert len({len(faces) for faces in alone}) > 1  # else a mix-up would not show
    for ours, theirs in zip(together, alone, strict=True):
        assert np.allclose(ours.boxes, theirs.boxes, atol=0.05)
        assert np.allclose(ours.scores, theirs.scores, atol=1e-3)


def cosines(ours: tuple[EmbeddedFace, ...], theirs: tuple[EmbeddedFace, ...]) -> list[float]:
    assert len(ours) == len(theirs)
    return [a.embedding.similarity(b.embedding) for a, b in zip(ours, theirs, strict=True)]


@pytest.mark.parametrize(
    ("device", "precision"),
    [("cpu", "f32"), ("openvino", "f32"), pytest.param("openvino", "bf16", marks=pytest.mark.nightly)],
)
def test_batches_change_no_face(pack_cache: ModelCache, photos: dict[str, Path], device: str, precision: str) -> None:
    crowd = photos["solvay"].read_bytes()
    single, many = (opened(pack_cache, device, precision, sizes) for sizes in ("1", "1,8"))
    alone = single.pipeline.analyze(crowd).faces
    with ThreadPoolExecutor(4) as pool:  # photos at once, so that faces of different photos meet
        together = [photo.faces for photo in pool.map(many.pipeline.analyze, [crowd] * (4 if NIGHTLY else 2))]
    for engine in (single, many):
        engine.close()
    assert len(alone) >= 28
    assert min(min(cosines(alone, faces)) for faces in together) >= SAME[precision]
