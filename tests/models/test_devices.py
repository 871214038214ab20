"""The files of both packs on both runtimes, and against OpenCV's own code: the same numbers everywhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from fr_core.align import align
from fr_core.detect.scrfd import ScrfdDetector
from fr_core.detect.yunet import YunetDetector
from fr_core.embed.onnx import OnnxEmbedder
from fr_core.imaging import ImageLimits, decode
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import DetectorSpec, EmbedderSpec, load_pack
from fr_core.runtime.onnx_graph import PIXELS, PixelInput, prepared
from fr_core.runtime.open import open_sessions
from fr_core.runtime.openvino_session import precisions
from fr_core.runtime.session import Session
from fr_core.types import U8

pytestmark = pytest.mark.models

Model = DetectorSpec | EmbedderSpec
MODELS: dict[str, Model] = {
    spec.file.name: spec for pack in map(load_pack, ("buffalo_s", "sface")) for spec in (pack.detector, pack.embedder)
}


def opened(spec: Model, cache: ModelCache, device: str) -> Session:
    return open_sessions(
        cache.read_verified(spec.file), PixelInput(spec.colour, spec.mean, spec.std), device, threads=2
    )[0]


def noise(session: Session, seed: int, batch: int = 1) -> U8:
    shape = [batch if session.input_shape[0] is None else 1, *(n or 256 for n in session.input_shape[1:])]
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def square(photo: Path) -> U8:
    """A photo scaled into a tile of 640 px."""
    pixels = decode(photo.read_bytes(), ImageLimits()).pixels
    scale = 640 / max(pixels.shape[:2])
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile: U8 = np.zeros((640, 640, 3), np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    return tile


def cosine(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    return float(a.ravel() @ b.ravel() / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("name", MODELS)
def test_both_runtimes_give_the_same_outputs_in_the_same_order(name: str, pack_cache: ModelCache) -> None:
    cpu, openvino = (opened(MODELS[name], pack_cache, device) for device in ("cpu", "openvino"))
    assert cpu.output_names == openvino.output_names
    assert cpu.input_shape == openvino.input_shape
    batch = noise(cpu, 1, batch=2)
    for ours, theirs in zip(cpu.run(batch), openvino.run(batch), strict=True):
        assert ours.shape == theirs.shape
        assert np.allclose(ours, theirs, atol=2e-4)


def test_yunet_finds_what_opencv_finds_with_it(pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    spec = load_pack("sface").detector
    tile = square(photos["solvay"])
    reference = cv2.FaceDetectorYN.create(str(pack_cache.path(spec.file)), "", (640, 640), 0.6, spec.nms_threshold)
    theirs = reference.detect(np.ascontiguousarray(tile[..., ::-1]))[1]
    theirs = theirs[np.argsort(-theirs[:, 14])]
    (ours,) = YunetDetector(opened(spec, pack_cache, "cpu"), spec, (), 0.6).detect_tiles([tile])
    assert len(ours) == len(theirs) >= 29
    assert np.allclose(ours.scores, theirs[:, 14], atol=1e-4)
    assert np.allclose(ours.landmarks.reshape(-1, 10), theirs[:, 4:14], atol=0.01)
    assert np.allclose(ours.boxes[:, :2], theirs[:, :2], atol=0.01)
    assert np.allclose(ours.boxes[:, 2:] - ours.boxes[:, :2], theirs[:, 2:4], atol=0.01)


def test_sface_embeds_as_opencv_does_with_it(pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    """As `FaceRecognizerSF::feature` does; the class itself takes no model with more than one input in OpenCV 5."""
    pack = load_pack("sface")
    tile = square(photos["solvay"])
    (faces,) = YunetDetector(opened(pack.detector, pack_cache, "cpu"), pack.detector, (), 0.6).detect_tiles([tile])
    crops = [align(tile, landmarks) for landmarks in faces.landmarks[:10]]
    ours = OnnxEmbedder(opened(pack.embedder, pack_cache, "cpu"), pack.embedder.embedding_size)
    network = cv2.dnn.readNet(str(pack_cache.path(pack.embedder.file)))
    for crop, vector in zip(crops, (ours.vectors([crop])[0] for crop in crops), strict=True):
        bgr = np.ascontiguousarray(crop.pixels[..., ::-1])
        network.setInput(cv2.dnn.blobFromImage(bgr, 1, (112, 112), (0, 0, 0), swapRB=True, crop=False), "data")
        assert cosine(vector, network.forward()) > 0.9999


def original(spec: Model, cache: ModelCache, crops: U8) -> list[npt.NDArray[Any]]:
    """What the pack's own file gives for pixels that were scaled in numpy."""
    ordered = crops[..., ::-1] if spec.colour == "BGR" else crops
    scaled = (ordered.astype(np.float32) - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    session = onnxruntime.InferenceSession(cache.read_verified(spec.file), providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))}))


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_edited_graph_gives_what_the_file_gives(device: str, pack_cache: ModelCache) -> None:
    pack = load_pack("buffalo_s")
    for spec in (pack.detector, pack.embedder):
        session = opened(spec, pack_cache, device)
        batch = noise(session, 5)
        for ours, theirs in zip(session.run(batch), original(spec, pack_cache, batch), strict=True):
            assert np.allclose(ours, theirs, atol=1e-5)


def test_half_precision_moves_embeddings_and_boxes_a_little(pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    pack, tile = load_pack("buffalo_s"), square(photos["solvay"])
    found = []
    for half in (False, True):
        sessions = [
            onnxruntime.InferenceSession(
                prepared(pack_cache.read_verified(spec.file), PixelInput(spec.colour, spec.mean, spec.std), half),
                providers=["CPUExecutionProvider"],
            )
            for spec in (pack.detector, pack.embedder)
        ]
        detector, embedder = (partial(session.run, None) for session in sessions)
        found.append((detector({PIXELS: tile[None]}), embedder))
    (full, embed), (halved, embed_half) = found
    faces = full[0].reshape(-1) >= 0.5  # on the finest stride
    assert faces.sum() >= 10
    assert np.allclose(full[0], halved[0], atol=0.02)
    assert np.allclose(full[3].reshape(-1, 4)[faces], halved[3].reshape(-1, 4)[faces], atol=0.05)  # strides
    model = ScrfdDetector(opened(pack.detector, pack_cache, "cpu"), pack.detector, ((640, 640),), 0.5)
    (detected,) = model.detect_tiles([tile])
    crops = np.stack([align(tile, landmarks).pixels for landmarks in detected.landmarks])
    pairs = zip(embed({PIXELS: crops})[0], embed_half({PIXELS: crops})[0], strict=True)
    assert min(cosine(a, b) for a, b in pairs) > 0.9995


def test_bf16_moves_embeddings_a_little(pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    if "bf16" not in precisions():
        pytest.skip("this processor has no bf16")
    pack, tile = load_pack("buffalo_s"), square(photos["solvay"])
    (faces,) = ScrfdDetector(opened(pack.detector, pack_cache, "cpu"), pack.detector, ((640, 640),), 0.5).detect_tiles(
        [tile]
    )
    crops = np.stack([align(tile, landmarks).pixels for landmarks in faces.landmarks])
    spec = pack.embedder
    model, pixels = pack_cache.read_verified(spec.file), PixelInput(spec.colour, spec.mean, spec.std)
    (rough,) = open_sessions(model, pixels, "openvino", "bf16")
    pairs = zip(opened(spec, pack_cache, "cpu").run(crops)[0], rough.run(crops)[0], strict=True)
    similarities = [cosine(a, b) for a, b in pairs]
    assert 0.998 < min(similarities) < 0.99999  # the upper bound: it did compute in bf16
