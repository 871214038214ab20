"""The files of both packs on both runtimes, and against OpenCV's own code: the same numbers everywhere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fr_core.align import align
from fr_core.detect.yunet import YunetDetector
from fr_core.embed.onnx import OnnxEmbedder
from fr_core.imaging import ImageLimits, decode
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import FileSpec, load_pack
from fr_core.runtime.open import open_session
from fr_core.runtime.session import Session
from fr_core.types import F32, U8

pytestmark = pytest.mark.models

FILES = {spec.name: spec for name in ("buffalo_s", "sface") for spec in load_pack(name).files}


def opened(spec: FileSpec, cache: ModelCache, device: str) -> Session:
    return open_session(cache.read_verified(spec), device, 2)


def noise(session: Session, seed: int, batch: int = 1) -> F32:
    shape = [batch if session.input_shape[0] is None else 1, 3, *(n or 256 for n in session.input_shape[2:])]
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


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


@pytest.mark.parametrize("name", FILES)
def test_both_runtimes_give_the_same_outputs_in_the_same_order(name: str, pack_cache: ModelCache) -> None:
    cpu, openvino = (opened(FILES[name], pack_cache, device) for device in ("cpu", "openvino"))
    assert cpu.output_names == openvino.output_names
    assert cpu.input_shape == openvino.input_shape
    batch = noise(cpu, 1, batch=2)
    for ours, theirs in zip(cpu.run(batch), openvino.run(batch), strict=True):
        assert ours.shape == theirs.shape
        assert np.allclose(ours, theirs, atol=2e-4)


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_threads_share_a_session(device: str, pack_cache: ModelCache) -> None:
    session = opened(load_pack("buffalo_s").embedder.file, pack_cache, device)
    batches = [noise(session, seed) for seed in range(12)]
    alone = [session.run(batch)[0] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        for expected, (found,) in zip(alone, pool.map(session.run, batches), strict=True):
            assert np.allclose(found, expected, atol=1e-5)


def test_yunet_finds_what_opencv_finds_with_it(pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    spec = load_pack("sface").detector
    tile = square(photos["solvay"])
    reference = cv2.FaceDetectorYN.create(str(pack_cache.path(spec.file)), "", (640, 640), 0.6, spec.nms_threshold)
    theirs = reference.detect(np.ascontiguousarray(tile[..., ::-1]))[1]
    theirs = theirs[np.argsort(-theirs[:, 14])]
    (ours,) = YunetDetector(opened(spec.file, pack_cache, "cpu"), spec, (), 0.6).detect_tiles([tile])
    assert len(ours) == len(theirs) >= 29
    assert np.allclose(ours.scores, theirs[:, 14], atol=1e-4)
    assert np.allclose(ours.landmarks.reshape(-1, 10), theirs[:, 4:14], atol=0.01)
    assert np.allclose(ours.boxes[:, :2], theirs[:, :2], atol=0.01)
    assert np.allclose(ours.boxes[:, 2:] - ours.boxes[:, :2], theirs[:, 2:4], atol=0.01)


def test_sface_embeds_as_opencv_does_with_it(pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    """As `FaceRecognizerSF::feature` does; the class itself takes no model with more than one input in OpenCV 5."""
    pack = load_pack("sface")
    tile = square(photos["solvay"])
    (faces,) = YunetDetector(opened(pack.detector.file, pack_cache, "cpu"), pack.detector, (), 0.6).detect_tiles([tile])
    crops = [align(tile, landmarks) for landmarks in faces.landmarks[:10]]
    ours = OnnxEmbedder(opened(pack.embedder.file, pack_cache, "cpu"), pack.embedder, pack.model_id(flip=False))
    network = cv2.dnn.readNet(str(pack_cache.path(pack.embedder.file)))
    for crop, vector in zip(crops, ours.vectors(crops), strict=True):
        bgr = np.ascontiguousarray(crop.pixels[..., ::-1])
        network.setInput(cv2.dnn.blobFromImage(bgr, 1, (112, 112), (0, 0, 0), swapRB=True, crop=False), "data")
        assert cosine(vector, network.forward()) > 0.9999
