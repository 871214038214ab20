"""The composition on the null models, and the policies for several faces."""

from __future__ import annotations

import numpy as np
import pytest

from fr_core.detect.null import NullDetector
from fr_core.embed.null import NULL_MODEL, NullEmbedder
from fr_core.embed.onnx import FlipFusion
from fr_core.embed.protocol import normalised
from fr_core.engine import EngineOptions, open_engine
from fr_core.errors import ConfigInvalid, DeviceUnavailable, NoFaceFound, SeveralFaces, Undecodable
from fr_core.imaging import ImageLimits
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack
from fr_core.pipeline import FacePolicy, Pipeline, select
from fr_core.quality.assess import QualityLimits
from fr_core.runtime.devices import parse_device
from fr_core.types import F32, AlignedFace, ModelId
from support.servers import photo


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline(NullDetector(), NullEmbedder(), ImageLimits(), QualityLimits())


def test_every_face_is_embedded_with_the_model_and_the_photo_named(pipeline: Pipeline) -> None:
    analyzed = pipeline.analyze(photo(1, 2))
    assert len(analyzed.faces) == 2
    assert {face.embedding.model for face in analyzed.faces} == {NULL_MODEL}
    assert len(analyzed.image.sha256) == 64
    assert [face.detection.box.tolist() for face in pipeline.detect(photo(1, 2)).faces] == [
        face.face.detection.box.tolist() for face in analyzed.faces
    ]


def test_same_face_has_the_same_embedding_alone_and_in_a_crowd(pipeline: Pipeline) -> None:
    (alone,) = pipeline.analyze(photo(1)).faces
    crowd = pipeline.analyze(photo(1, 2, 3)).faces
    similarities = [alone.embedding.similarity(face.embedding) for face in crowd]
    assert max(similarities) == pytest.approx(1.0)
    assert sorted(similarities)[-2] < 0.9


def test_arrays_that_come_out_are_read_only(pipeline: Pipeline) -> None:
    (face,) = pipeline.analyze(photo(1)).faces
    for array in (face.embedding.vector, face.face.detection.box, face.face.detection.landmarks):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_what_is_no_photo_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(Undecodable):
        pipeline.analyze(b"no photo")


def test_policies(pipeline: Pipeline) -> None:
    none, one, two = (pipeline.analyze(photo(*blues)).faces for blues in ((), (1,), (1, 2)))
    for policy in FacePolicy:
        with pytest.raises(NoFaceFound):
            select(none, policy)
        assert select(one, policy) == one
    with pytest.raises(SeveralFaces) as caught:
        select(two, FacePolicy.ERROR)
    assert caught.value.metadata == {"count": "2"}
    assert select(two, FacePolicy.LARGEST) == two[:1]
    assert select(two, FacePolicy.ALL) == two


class RawSum:
    """A raw embedder: brightness of the left and of the right half."""

    size = 2

    def vectors(self, faces: list[AlignedFace]) -> F32:
        halves = [[face.pixels[:, :56].mean(), face.pixels[:, 56:].mean()] for face in faces]
        return np.array(halves, np.float32)


def test_flip_fusion_does_not_tell_a_face_from_its_mirror_image() -> None:
    pixels = np.zeros((112, 112, 3), np.uint8)
    pixels[:, :30] = 200
    transform = np.eye(2, 3, dtype=np.float32)
    face, mirror = AlignedFace(pixels, transform), AlignedFace(np.ascontiguousarray(pixels[:, ::-1]), transform)
    fused = FlipFusion(RawSum(), ModelId("p", "1+flip", "0"))  # type: ignore[arg-type]
    a, b = fused.embed([face, mirror])
    assert a.embedding.similarity(b.embedding) == pytest.approx(1.0)
    assert a.embedding.model.version.endswith("+flip")


@pytest.mark.parametrize("vector", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_vector_without_a_direction_is_a_defect_not_an_embedding(vector: list[float]) -> None:
    with pytest.raises(ValueError, match="direction"):
        normalised(np.array([vector], np.float32), NULL_MODEL)


@pytest.mark.parametrize("text", ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU", "tpu"])
def test_device_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid):
        parse_device(text)


def test_devices_are_read() -> None:
    assert [str(parse_device(text)) for text in ("auto", "cpu", "openvino", "cuda", "cuda:3")] == [
        "auto",
        "cpu",
        "openvino",
        "cuda:0",
        "cuda:3",
    ]


@pytest.mark.models
def test_device_that_was_named_and_is_not_there_stops_the_start(pack_cache: ModelCache) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine's ONNX Runtime offers CUDA")
    with pytest.raises(DeviceUnavailable):
        open_engine(load_pack("buffalo_s"), pack_cache, EngineOptions(device="cuda"))
