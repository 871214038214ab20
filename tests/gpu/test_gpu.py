"""Models on a CUDA device, against the processor: the same faces and the same embeddings, whatever the batch."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.align import align
from fr_core.detect.scrfd import ScrfdDetector, likely_rows
from fr_core.errors import DeviceUnavailable
from fr_core.gallery.index.faiss_codes import Workers
from fr_core.gallery.index.faiss_cuda import gpu_count
from fr_core.gallery.index.faiss_gpu import MAX_K, GpuIndex, gpu_indexes
from fr_core.gallery.index.register import new_index
from fr_core.gallery.index.rows_index import NumpyIndex
from fr_core.imaging import ImageLimits, decode
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import DetectorSpec, EmbedderSpec, load_pack
from fr_core.runtime.open import open_sessions
from fr_core.runtime.session import PixelInput, Session
from fr_core.types import F32, U8
from support.engines import AS_THEY_ARE, doubled

pytestmark = [pytest.mark.alone, pytest.mark.gpu, pytest.mark.models]

PACK = load_pack("buffalo_s")
TILE = 640
# Cosine similarity of an embedding with that of the processor: rounding in another order; and in half precision.
CLOSE = {"f32": 0.99999, "fp16": 0.998}


@pytest.fixture(scope="module", params=["cuda", "tensorrt"])
def device(request: pytest.FixtureRequest) -> str:
    """Each kind of device that this machine has."""
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
    model = cache.read_verified(spec.file)
    rows = likely_rows(0.5) if isinstance(spec, DetectorSpec) else None
    (session,) = open_sessions(model, pixels, device, precision, shapes=shapes, engines=engines, rows=rows)
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


@pytest.mark.parametrize("precision", ["f32", "fp16"])
def test_faces_agree_with_the_processor(
    device: str, precision: str, tile: U8, pack_cache: ModelCache, engines: Path
) -> None:
    (expected,) = detector(opened(PACK.detector, pack_cache, "cpu")).detect_tiles([tile])
    model = detector(opened(PACK.detector, pack_cache, device, precision, engines))
    for (found,) in (model.detect_tiles([tile]), model.detect_tiles([tile])):
        sure = expected.scores > 0.55
        assert len(found) >= sure.sum() > 0
        for box, score in zip(expected.boxes[sure], expected.scores[sure], strict=True):
            nearest = np.abs(found.boxes - box).max(axis=1).argmin()
            assert np.abs(found.boxes[nearest] - box).max() < 1.0  # pixel
            assert abs(found.scores[nearest] - score) < 0.03


def test_engines_are_kept_for_the_next_start(device: str, pack_cache: ModelCache, crops: U8, tmp_path: Path) -> None:
    if device != "tensorrt":
        pytest.skip("only TensorRT builds engines")
    opened(PACK.embedder, pack_cache, device, "fp16", tmp_path).run(crops)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.engine")}
    assert kept
    opened(PACK.embedder, pack_cache, device, "fp16", tmp_path).run(crops)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.engine")} == kept


def test_device_number_that_there_is_not_is_refused(device: str) -> None:
    with pytest.raises(DeviceUnavailable):
        open_sessions(doubled(), AS_THEY_ARE, f"{device}:99")


CROWD = 20_000
DIMENSION = 512
on_a_gpu = pytest.mark.skipif(not gpu_count(), reason="FAISS has no GPU")


def unit_vectors(n: int, seed: int) -> F32:
    vectors = np.random.default_rng(seed).standard_normal((n, DIMENSION), dtype=np.float32)
    units: F32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


@pytest.fixture
def indexes() -> tuple[GpuIndex, NumpyIndex]:
    gpu, reference = gpu_indexes(Workers(0))(DIMENSION), NumpyIndex(DIMENSION)
    vectors = unit_vectors(CROWD, 0)
    for index in (gpu, reference):
        index.add(np.arange(CROWD), vectors)
    return gpu, reference


@on_a_gpu
def test_auto_is_the_gpu() -> None:
    assert isinstance(new_index("auto", DIMENSION), GpuIndex)


@on_a_gpu
@pytest.mark.parametrize("k", [1, 20, MAX_K, MAX_K + 1])
def test_the_best_are_those_of_the_reference(indexes: tuple[GpuIndex, NumpyIndex], k: int) -> None:
    gpu, reference = indexes
    probes = unit_vectors(64, 1)
    found, expected = gpu.search(probes, k), reference.search(probes, k)
    assert (found.ids == expected.ids).all()
    assert (found.similarities == expected.similarities).all()


@on_a_gpu
def test_removals_filters_and_upkeep(indexes: tuple[GpuIndex, NumpyIndex]) -> None:
    gpu, reference = indexes
    probes = unit_vectors(8, 2)
    for index in indexes:
        index.remove(np.arange(0, CROWD, 3))
    among = np.arange(0, CROWD, 7)
    for _ in range(2):
        assert (gpu.search(probes, 20).ids == reference.search(probes, 20).ids).all()
        assert (gpu.search(probes, 20, among).ids == reference.search(probes, 20, among).ids).all()
        work = gpu.upkeep()
        if work is not None:
            work.prepare()
            work.finish()
    assert gpu.memory().store_bytes == gpu.size * DIMENSION * 4
