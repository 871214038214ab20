"""The engine: a model pack on devices, batched across callers, with the pipeline that photos go through."""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, get_args

import numpy as np

from fr_core.align import CROP_SIZE
from fr_core.detect.multiscale import DetectionMode, MultiscaleDetector, Scales
from fr_core.detect.protocol import BatchedTileDetector, TileDetector, TileFaces
from fr_core.detect.scrfd import ScrfdDetector, likely_rows
from fr_core.detect.yunet import YunetDetector
from fr_core.embed.onnx import FlipFusion, OnnxEmbedder, PlainEmbedder
from fr_core.embed.protocol import BatchedRawEmbedder, RawEmbedder
from fr_core.errors import ConfigInvalid, PackInvalid, message
from fr_core.imaging import Decoder, ImageLimits
from fr_core.packs.cache import ModelCache
from fr_core.packs.calibrated import calibration_text
from fr_core.packs.manifest import DetectorSpec, EmbedderSpec, Pack
from fr_core.pipeline import Pipeline
from fr_core.quality.assess import QualityLimits
from fr_core.runtime.batcher import Batcher
from fr_core.runtime.devices import AUTO_PRECISION, ActiveDevice, as_one, parse_device, parse_precision
from fr_core.runtime.libraries import Libraries
from fr_core.runtime.observe import Observer
from fr_core.runtime.open import open_sessions
from fr_core.runtime.session import PixelInput, RowFilter, Session
from fr_core.runtime.sizes import ACCELERATOR_SIZES, AUTO, allowed_sizes, parse_sizes
from fr_core.scoring.calibration import Calibration
from fr_core.scoring.calibration_json import from_json
from fr_core.types import F32, U8, AlignedFace, ModelId, frozen_array

SCALES = Scales()  # at which scales photos are looked at

T = TypeVar("T")

# Folder beside the models for what TensorRT builds from a model, which takes it minutes.
_ENGINES = "engines"

# While one batch is computed, the next is copied to the device, and the last is read.
_LANES_OF_A_GPU = 2

# A processor is full with one tile. Faces gain a little from company, but the first waits for the last.
PROCESSOR_TILES = (1,)
PROCESSOR_FACES = (1, 2, 3, 4, 6, 8)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Options for running the models of a pack.

    Raises `ConfigInvalid`: a number is out of range, a word unknown, or the device never has the precision.
    """

    device: str = "auto"  # auto, cpu, openvino, cuda, cuda:N, cuda:0,1 and so on, tensorrt likewise
    # Of the models' arithmetic: f32, bf16 (OpenVINO, where the processor has it), fp16 (CUDA, TensorRT), or auto: fp16
    # on CUDA and TensorRT, and f32 elsewhere.
    precision: str = AUTO_PRECISION
    # Thorough, or fast, which takes a fraction of the time on large photos with faces and misses the small faces beside
    # large ones.
    detection: str = "thorough"
    # Fuse each embedding with that of the mirrored face: twice the time, somewhat more accurate, and a model of its own
    # (its embeddings do not compare with plain ones).
    flip: bool = False
    threads: int = 0  # of one inference on a processor, at least 0; 0 = one
    # Inferences at once on a processor or on each GPU, at least 0; 0 = as many as fill the cores, and 2 on a GPU.
    lanes: int = 0
    detector_sizes: str = AUTO  # allowed numbers of tiles in a batch, such as "1,2,4", or "auto"
    embedder_sizes: str = AUTO  # allowed numbers of faces in a batch, such as "1,2,4", or "auto"
    max_queued: int = 1024  # tiles, and faces, that may wait, for each class of calls; at least 1
    nhwc: bool = False  # have CUDA convolve pictures with their channels last; device cuda only

    def __post_init__(self) -> None:
        parse_precision(self.precision, parse_device(self.device))
        if self.nhwc and parse_device(self.device).kind != "cuda":
            raise ConfigInvalid(message("error.engine.nhwc_needs_cuda", device=self.device), key="model.nhwc")
        if self.detection not in get_args(DetectionMode):
            known = ", ".join(get_args(DetectionMode))
            raise ConfigInvalid(message("error.engine.model_detection_knows_only", known=known), key="model.detection")
        parse_sizes(self.detector_sizes, "batching.detector_sizes")
        parse_sizes(self.embedder_sizes, "batching.embedder_sizes")
        for name in ("threads", "lanes"):
            if getattr(self, name) < 0:
                raise ConfigInvalid(message("error.engine.model_must_more", name=name), key=f"model.{name}")


class Lifeline:
    """Tells its watcher, once, that a device was lost.

    `cause`: what it was lost to; None while it is not, or where nobody knows.
    """

    def __init__(self) -> None:
        self.cause: BaseException | None = None
        self._lock = threading.Lock()
        self._cut = False
        self._watchers: list[Callable[[], None]] = []

    @property
    def lost(self) -> bool:
        """Return whether a device was lost."""
        return self._cut

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have `watcher` called when the device is lost, from another thread; at once where it is lost already."""
        with self._lock:
            if not self._cut:
                self._watchers.append(watcher)
                return
        watcher()

    def cut(self, cause: BaseException | None = None) -> None:
        """Say that the device is lost, and to what."""
        with self._lock:
            self.cause = self.cause or cause
            watchers, self._watchers, self._cut = self._watchers, [], True
        for watcher in watchers:
            watcher()


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """A pipeline that is ready, the pack it runs, and what runs it."""

    pack: Pack
    pipeline: Pipeline  # photos in, faces out; for any number of threads at once
    device: ActiveDevice
    detection: str  # thorough or fast
    lifeline: Lifeline  # tells when a device is lost; then every call fails with `DeviceLost`
    # Of the detector and of the embedder, in this order, which `close` closes; empty where the models run elsewhere.
    batchers: tuple[Batcher[Any, Any], ...] = ()
    # The meaning of similarities of the pipeline's model; None where the pack ships none.
    calibration: Calibration | None = None

    def close(self) -> None:
        """Finish what waits, and end the threads that run the models and what decodes photos."""
        for batcher in self.batchers:
            batcher.close()
        self.pipeline.close()


def open_engine(
    pack: Pack,
    cache: ModelCache,
    options: EngineOptions | None = None,
    image_limits: ImageLimits | None = None,
    quality_limits: QualityLimits | None = None,
    observer: Observer | None = None,
    decoder: Decoder | None = None,
) -> Engine:
    """Load a pack's models, verified, onto devices, and run every shape that they will see.

    Args:
        pack: whose files must be in the cache.
        cache: where they are; each is read once, and what was hashed is what is loaded.
        options: how the models are run; None = the defaults.
        image_limits: what a photo may be; None = the defaults.
        quality_limits: what a face should be; None = the defaults.
        observer: is told of photos, queues and batches; None = nobody.
        decoder: of photos, which the engine closes; None = the process itself decodes.

    Raises:
        ModelNotInstalled, ModelCorrupt: as `ModelCache.read_verified`.
        ConfigInvalid: an option does not suit the models.
        DeviceUnavailable: the device is not there, lacks the precision, or cannot run the models.
        PackInvalid: as `pack_calibration`.
    """
    options = options or EngineOptions()
    calibration = pack_calibration(pack.model_id(flip=options.flip))
    lifeline = Lifeline()
    seeing, detector = open_detector(pack, cache, options, observer, lifeline)
    device = replace(as_one([session.device for session in seeing]), requested=options.device)
    # Where auto chose for the detector, the embedder goes to the same device, or the start fails.
    _, embedder = open_embedder(pack, cache, replace(options, device=device.active), observer, lifeline)
    detector.start()
    try:
        embedder.start()
    except BaseException:
        detector.close()
        raise
    pipeline = build_pipeline(
        pack,
        BatchedTileDetector(detector, tile_shapes_of(pack)),
        BatchedRawEmbedder(embedder, pack.embedder.embedding_size),
        options,
        image_limits,
        quality_limits,
        observer,
        decoder,
    )
    return Engine(pack, pipeline, device, options.detection, lifeline, (detector, embedder), calibration)


def open_detector(
    pack: Pack,
    cache: ModelCache,
    options: EngineOptions,
    observer: Observer | None = None,
    lifeline: Lifeline | None = None,
) -> tuple[list[Session], Batcher[U8, TileFaces]]:
    """Load a pack's detector; arguments and errors are those of `open_engine`.

    Returns:
        A session for each device, and the batcher that runs them, which has not started and cuts the lifeline when it
        dies.
    """
    spec, shapes, key = pack.detector, tile_shapes_of(pack), "batching.detector_sizes"
    asked = parse_sizes(options.detector_sizes, key)
    min_score = SCALES.heard * spec.score_threshold
    rows = likely_rows(min_score) if spec.family == "scrfd" else None
    sessions = _sessions(pack.name, spec, cache, options, asked, shapes, rows)
    runs = [
        YunetDetector(session, spec, shapes, min_score).detect_tiles
        if rows is None
        else ScrfdDetector(session, spec, shapes).detect_tiles
        for session in sessions
    ]
    return sessions, Batcher(
        "detector",
        _lanes(runs, sessions[0], options),
        allowed_sizes(asked, PROCESSOR_TILES, sessions[0], None, key),
        options.max_queued,
        [np.zeros((*shape, 3), np.uint8) for shape in shapes],
        group=lambda tile: tile.shape,
        observer=observer,
        on_death=(lifeline or Lifeline()).cut,
    )


def open_embedder(
    pack: Pack,
    cache: ModelCache,
    options: EngineOptions,
    observer: Observer | None = None,
    lifeline: Lifeline | None = None,
    libraries: Libraries | None = None,
) -> tuple[list[Session], Batcher[AlignedFace, F32]]:
    """Load a pack's embedder; as `open_detector`. `libraries`: as `open_sessions`."""
    spec, key = pack.embedder, "batching.embedder_sizes"
    asked = parse_sizes(options.embedder_sizes, key)
    sessions = _sessions(pack.name, spec, cache, options, asked, ((CROP_SIZE, CROP_SIZE),), libraries=libraries)
    runs = [_rows_of(OnnxEmbedder(session, spec.embedding_size)) for session in sessions]
    blank = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    return sessions, Batcher(
        "embedder",
        _lanes(runs, sessions[0], options),
        allowed_sizes(asked, PROCESSOR_FACES, sessions[0], spec.max_batch, key),
        options.max_queued,
        [AlignedFace(frozen_array(blank), frozen_array(np.eye(2, 3, dtype=np.float32)))],
        observer=observer,
        on_death=(lifeline or Lifeline()).cut,
    )


def build_pipeline(
    pack: Pack,
    tile_detector: TileDetector,
    raw_embedder: RawEmbedder,
    options: EngineOptions,
    image_limits: ImageLimits | None = None,
    quality_limits: QualityLimits | None = None,
    observer: Observer | None = None,
    decoder: Decoder | None = None,
) -> Pipeline:
    """Put everything of a pipeline around the two models of a pack, wherever they run.

    Args:
        pack: whose thresholds and model id count.
        tile_detector: runs the pack's detector; takes tiles of `tile_shapes_of(pack)`.
        options: of which `detection` and `flip` count here.
        image_limits: what a photo may be; None = the defaults.
        quality_limits: what a face should be; None = the defaults.
        decoder: of photos; None = the process itself decodes.
    """
    model = pack.model_id(flip=options.flip)
    return Pipeline(
        MultiscaleDetector(
            tile_detector,
            pack.detector.score_threshold,
            pack.detector.nms_threshold,
            SCALES,
            fast=options.detection == "fast",
        ),
        FlipFusion(raw_embedder, model) if options.flip else PlainEmbedder(raw_embedder, model),
        image_limits or ImageLimits(),
        quality_limits or QualityLimits(),
        pack.embedder.min_embedding_norm,
        observer,
        decoder,
    )


def pack_calibration(model: ModelId) -> Calibration | None:
    """Return the calibration that comes with the pack of a model, None where none does.

    Raises `PackInvalid`: it cannot be read, or is of another model, such as an earlier version of the pack.
    """
    text = calibration_text(model)
    if text is None:
        return None
    try:
        calibration = from_json(text)
    except ValueError as error:
        raise PackInvalid(message("error.engine.calibration_unfit", pack=model.pack, error=str(error))) from error
    if calibration.provenance.model_id != str(model):
        raise PackInvalid(message("error.engine.calibration_pack_not_remove", pack=model.pack, model=str(model)))
    return calibration


def tile_shapes_of(pack: Pack) -> tuple[tuple[int, int], ...]:
    """(height, width) in pixels of the tiles that a pack's detector is given, the smallest first."""
    side = pack.detector.input_size
    return ((side, side),) if side else SCALES.tile_shapes


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def photos_at_once(device: ActiveDevice) -> int:
    """Return how many photos should be in work at once to keep a device busy.

    On a processor, decoding, aligning and the like of some photos fill the time in which others wait for the models,
    and faces find company for a batch: on 2 cores, 8 photos gave a tenth more than 4, and 16 nothing more. A CUDA
    device wants larger batches, and so more photos on their way.
    """
    return 64 if device.accelerated else max(8, 4 * available_cores())


def _sessions(
    pack: str,
    spec: DetectorSpec | EmbedderSpec,
    cache: ModelCache,
    options: EngineOptions,
    asked: tuple[int, ...] | None,
    shapes: Sequence[tuple[int, int]],
    rows: RowFilter | None = None,
    libraries: Libraries | None = None,
) -> list[Session]:
    return open_sessions(
        cache.read_verified(spec.file, pack),
        PixelInput(spec.colour, spec.mean, spec.std),
        options.device,
        options.precision,
        options.threads or 1,
        _lanes_of_a_processor(options),
        [(batch, *shape) for batch in asked or ACCELERATOR_SIZES for shape in shapes],
        cache.folder.parent / _ENGINES,
        libraries,
        rows,
        options.nhwc,
    )


def _lanes(runs: Sequence[T], session: Session, options: EngineOptions) -> list[T]:
    """Several lanes for each device, which share its model."""
    if session.device.accelerated:
        return list(runs) * (options.lanes or _LANES_OF_A_GPU)
    return [runs[0]] * _lanes_of_a_processor(options)


def _lanes_of_a_processor(options: EngineOptions) -> int:
    """As asked for, or as many as fill the cores.

    One thread each is the quickest way to spend cores: 2 cores give 1.9 times the faces of one with two lanes of one
    thread, 1.7 times with one lane of two threads.
    """
    return options.lanes or max(1, available_cores() // (options.threads or 1))


def _rows_of(model: OnnxEmbedder) -> Callable[[Sequence[AlignedFace]], list[F32]]:
    return lambda faces: list(model.vectors(faces))
