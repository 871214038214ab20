"""Our embeddings against those of InsightFace's own code: the same weights, the same landmarks, every face."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime import InferenceSession, SessionOptions

from fr_core.engine import Engine, EngineOptions, photos_at_once
from fr_core.imaging import ImageLimits, decode
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack
from fr_evaluation.photos import Photos
from support.counts import NIGHTLY, at_night
from support.engines import Memory

# InsightFace and what it imports warn about themselves; that is no concern of this code.
pytestmark = [pytest.mark.models, pytest.mark.filterwarnings("ignore")]

SAME = 0.999  # cosine
SAME_IN_BF16 = 0.99  # of one face in a hundred: bf16 has 8 bits of precision
EVERY = 1 if NIGHTLY else 60  # of the photos of LFW: all at night


class Reference:
    def __init__(self, model_file: Path) -> None:
        arcface = pytest.importorskip("insightface.model_zoo.arcface_onnx")
        options = SessionOptions()
        options.intra_op_num_threads = 1  # other tests run beside this one
        session = InferenceSession(str(model_file), options, providers=["CPUExecutionProvider"])
        self._model: Any = arcface.ArcFaceONNX(model_file=str(model_file), session=session)

    def embedding(self, rgb: np.ndarray[Any, Any], landmarks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        from insightface.app.common import Face

        face = Face(kps=landmarks)
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        vector = self._model.get(bgr, face).astype(np.float64)
        return vector / np.linalg.norm(vector)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def reference(pack_cache: ModelCache) -> Reference:
    return Reference(pack_cache.path(load_pack("buffalo_s").embedder.file))


def cosines(paths: list[Path], engine: Engine, reference: Reference) -> np.ndarray[Any, Any]:
    photos = Photos(engine.pipeline, photos_at_once(engine.device), lambda done, total: None).embed(paths)
    found = []
    for path, photo in photos.items():
        pixels = decode(path.read_bytes(), ImageLimits()).pixels
        for face in photo.faces:
            theirs = reference.embedding(pixels, face.face.detection.landmarks)
            found.append(float(face.embedding.vector.astype(np.float64) @ theirs))
    return np.array(found)


@pytest.mark.parametrize("precision", ["auto", at_night("f32")])
def test_lfw_is_embedded_as_insightface_does(
    testdata: Path, pack_cache: ModelCache, memory: Memory, reference: Reference, precision: str
) -> None:
    paths = sorted((testdata / "lfw" / "images").rglob("*.jpg"))[::EVERY]
    engine = memory.open(load_pack("buffalo_s"), pack_cache, EngineOptions(precision=precision))
    found = cosines(paths, engine, reference)
    print(f"{len(found)} faces of {len(paths)} photos, lowest cosine {found.min():.6f}, median {np.median(found):.6f}")
    assert len(found) >= len(paths) > 2000 // EVERY
    if engine.device.precision == "bf16":
        assert np.mean(found >= SAME) >= 0.99
        assert found.min() >= SAME_IN_BF16
    else:
        assert found.min() >= SAME


def test_every_face_of_the_registry_photos_is_embedded_as_insightface_does(
    photos: dict[str, Path], default_engine: Engine, reference: Reference
) -> None:
    found = cosines(sorted(photos.values()), default_engine, reference)
    assert len(found) >= 40
    assert found.min() >= SAME


def test_wrong_colour_order_is_noticed(photos: dict[str, Path], default_engine: Engine, reference: Reference) -> None:
    image = decode(photos["obama"].read_bytes(), ImageLimits())
    (face,) = default_engine.pipeline.analyze_image(image).faces
    theirs = reference.embedding(image.pixels[..., ::-1], face.face.detection.landmarks)
    assert float(face.embedding.vector @ theirs) < SAME
