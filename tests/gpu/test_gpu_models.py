"""Models on a CUDA device, against the processor: the same faces and the same embeddings, whatever the batch."""

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from onnx import helper

from fr_core.align import align
from fr_core.detect.scrfd import ScrfdDetector, likely_rows
from fr_core.engine import EngineOptions, open_engine
from fr_core.errors import DeviceUnavailable
from fr_core.imaging import ImageLimits, decode
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import DetectorSpec, EmbedderSpec, load_pack
from fr_core.runtime.open import open_sessions
from fr_core.runtime.session import PixelInput, Session
from fr_core.types import F32, U8
from support.engines import AS_THEY_ARE, doubled, model

pytestmark = [pytest.mark.alone, pytest.mark.gpu, pytest.mark.models]

PACK = load_pack("buffalo_s")
TILE = 640
# Cosine similarity of an embedding with that of the processor: rounding in another order; and in half precision.
CLOSE = {"f32": 0.99999, "fp16": 0.998}


# TensorRT is no part of fr-core[gpu]: without it, its tests are none that would be skipped.
KINDS = ["cuda", *(["tensorrt"] if importlib.util.find_spec("tensorrt_libs") else [])]


@pytest.fixture(scope="module", params=KINDS)
def device(request: pytest.FixtureRequest) -> str:
    """Each kind of device that this environment has."""
    name = str(request.param)
    try:
        open_sessions(doubled(), AS_THEY_ARE, name, shapes=[(1, 8, 8)])
    except DeviceUnavailable as error:
        pytest.skip(error.what)
    return name


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


def opened(
    spec: DetectorSpec | EmbedderSpec,
    cache: ModelCache,
    device: str,
    precision: str = "f32",
    engines: Path | None = None,
) -> Session:
    side = TILE if isinstance(spec, DetectorSpec) else spec.input_size
    pixels = PixelInput(spec.colour, spec.mean, spec.std)
    shapes = [(1, side, side), (16, side, side)]
    content = cache.read_verified(spec.file)
    rows = likely_rows(0.5) if isinstance(spec, DetectorSpec) else None
    (session,) = open_sessions(content, pixels, device, precision, shapes=shapes, engines=engines, rows=rows)
    return session


@pytest.fixture(scope="module")
def tile(photos: dict[str, Path]) -> U8:
    """The middle of a group photo."""
    pixels = decode(photos["solvay"].read_bytes(), ImageLimits()).pixels
    top, left = ((side - TILE) // 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + TILE, left : left + TILE])


def detector(session: Session) -> ScrfdDetector:
    return ScrfdDetector(session, PACK.detector, ((TILE, TILE),))


@pytest.fixture(scope="module")
def crops(tile: U8, pack_cache: ModelCache) -> U8:
    """u8[16, 112, 112, 3]: aligned faces, repeated where there are fewer."""
    (faces,) = detector(opened(PACK.detector, pack_cache, "cpu")).detect_tiles([tile])
    found = [align(tile, landmarks).pixels for landmarks in faces.landmarks]
    return np.stack([found[i % len(found)] for i in range(16)])


def cosines(ours: F32, theirs: F32) -> npt.NDArray[np.float32]:
    similarities: npt.NDArray[np.float32] = (ours * theirs).sum(1) / (
        np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    )
    return similarities


@pytest.mark.parametrize("precision", ["f32", "fp16"])
def test_embeddings_agree_with_the_processor_in_every_batch(
    device: str, precision: str, crops: U8, pack_cache: ModelCache, engines: Path
) -> None:
    (expected,) = opened(PACK.embedder, pack_cache, "cpu").run(crops)
    session = opened(PACK.embedder, pack_cache, device, precision, engines)
    assert session.device.active == f"{device}:0"
    assert session.device.precision == precision
    for size in (1, 2, 3, 8, 16):
        parts = [session.run(crops[start : start + size])[0] for start in range(0, 16 - size + 1, size)]
        found = np.concatenate(parts)
        assert cosines(found, expected[: len(found)]).min() > CLOSE[precision]


def test_channels_last_change_nothing_but_the_last_digits(device: str, crops: U8, pack_cache: ModelCache) -> None:
    if device != "cuda":
        return
    spec, cpu = PACK.embedder, opened(PACK.embedder, pack_cache, "cpu")
    pixels = PixelInput(spec.colour, spec.mean, spec.std)
    (session,) = open_sessions(pack_cache.read_verified(spec.file), pixels, device, "fp16", nhwc=True)
    assert cosines(session.run(crops)[0], cpu.run(crops)[0]).min() > CLOSE["fp16"]


@pytest.mark.parametrize("precision", ["f32", "fp16"])
def test_faces_agree_with_the_processor(
    device: str, precision: str, tile: U8, pack_cache: ModelCache, engines: Path
) -> None:
    (expected,) = detector(opened(PACK.detector, pack_cache, "cpu")).detect_tiles([tile])
    found_by = detector(opened(PACK.detector, pack_cache, device, precision, engines))
    for (found,) in (found_by.detect_tiles([tile]), found_by.detect_tiles([tile])):
        sure = expected.scores > 0.55
        assert len(found) >= sure.sum() > 0
        for box, score in zip(expected.boxes[sure], expected.scores[sure], strict=True):
            nearest = np.abs(found.boxes - box).max(axis=1).argmin()
            assert np.abs(found.boxes[nearest] - box).max() < 1.0  # pixel
            assert abs(found.scores[nearest] - score) < 0.03


def test_engines_of_tensorrt_are_kept_for_the_next_start(
    device: str, pack_cache: ModelCache, crops: U8, tmp_path: Path
) -> None:
    opened(PACK.embedder, pack_cache, device, "fp16", tmp_path).run(crops)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.engine")}
    assert bool(kept) == (device == "tensorrt")
    opened(PACK.embedder, pack_cache, device, "fp16", tmp_path).run(crops)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.engine")} == kept


def test_device_number_that_there_is_not_is_refused(device: str) -> None:
    with pytest.raises(DeviceUnavailable):
        open_sessions(doubled(), AS_THEY_ARE, f"{device}:99")


def test_a_gpu_runs_models_in_fp16_unless_another_precision_is_asked_for(device: str) -> None:
    (session,) = open_sessions(doubled(), AS_THEY_ARE, device, shapes=[(1, 8, 8)])
    assert session.device.precision == "fp16"


def test_a_model_whose_file_says_one_picture_takes_more_in_fp16(device: str) -> None:
    nodes = [helper.make_node("Add", ["x", "x"], ["y"])]
    content = model(nodes, {}, {"x": [1, 3, 16, 16]}, {"y": [1, 3, 16, 16]})
    (session,) = open_sessions(content, AS_THEY_ARE, device, shapes=[(1, 16, 16), (5, 16, 16)])
    batch = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    assert np.array_equal(session.run(batch)[0], 2.0 * batch.transpose(0, 3, 1, 2).astype(np.float32))


def test_pictures_of_several_sizes_run_on_one_model(device: str) -> None:
    sizes = [(8, 16), (32, 16)]
    shapes = [(n, *size) for n in (1, 4) for size in sizes]
    (session,) = open_sessions(doubled(), AS_THEY_ARE, device, shapes=shapes)
    for shape in shapes:
        batch = np.full((*shape, 3), shape[0] + shape[1], np.uint8)
        assert np.array_equal(session.run(batch)[0], 2.0 * batch.transpose(0, 3, 1, 2).astype(np.float32))


def test_lanes_that_run_at_the_same_time_give_what_each_gives_alone(
    device: str, crops: U8, pack_cache: ModelCache, engines: Path
) -> None:
    session = opened(PACK.embedder, pack_cache, device, "fp16", engines)
    parts = [crops[:1], crops[:4], crops[4:12], crops]
    alone = [session.run(part)[0] for part in parts]
    with ThreadPoolExecutor(3) as lanes:
        together = list(lanes.map(session.run, parts * 25))
    for expected, (found,) in zip(alone * 25, together, strict=True):
        assert cosines(found, expected).min() > 0.9999


def test_the_engine_runs_on_a_gpu(device: str, pack_cache: ModelCache, photos: dict[str, Path], tmp_path: Path) -> None:
    """Photos in, faces out, with every batch size, both lanes, and no setting but the device."""
    cache = ModelCache(tmp_path / "models")  # engines come beside it
    for spec in PACK.files:
        cache.store(spec, pack_cache.read_verified(spec))
    on_gpu = open_engine(PACK, cache, EngineOptions(device=device))
    on_cpu = open_engine(PACK, pack_cache, EngineOptions(device="cpu", embedder_sizes="1"))
    try:
        assert (on_gpu.device.active, on_gpu.device.precision) == (f"{device}:0", "fp16")
        image = decode(photos["solvay"].read_bytes(), ImageLimits())
        ours, theirs = (engine.pipeline.analyze_image(image).faces for engine in (on_gpu, on_cpu))
        assert len(ours) == len(theirs) > 20
        vectors = [np.stack([face.embedding.vector for face in faces]) for faces in (ours, theirs)]
        # Faces may come in another order, and a box may move by a part of a pixel.
        assert (vectors[0] @ vectors[1].T).max(axis=1).min() > 0.98
    finally:
        on_gpu.close()
        on_cpu.close()
