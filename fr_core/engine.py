"""The engine: a model pack on devices, batched across callers, with the pipeline that photos go through."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from fr_core.align import CROP_SIZE
from fr_core.detect.batched import BatchedTileDetector
from fr_core.detect.multiscale import MultiscaleDetector, Scales
from fr_core.detect.protocol import TileDetector, TileFaces
from fr_core.detect.scrfd import ScrfdDetector
from fr_core.detect.yunet import YunetDetector
from fr_core.embed.batched import BatchedRawEmbedder
from fr_core.embed.flip import FlipFusion
from fr_core.embed.onnx import OnnxEmbedder
from fr_core.embed.plain import PlainEmbedder
from fr_core.embed.protocol import RawEmbedder
from fr_core.errors import ConfigInvalid
from fr_core.imaging import ImageLimits
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import DetectorSpec, EmbedderSpec, Pack
from fr_core.pipeline import Pipeline
from fr_core.quality.assess import QualityLimits
from fr_core.runtime.batcher import Batcher, require_sizes
from fr_core.runtime.devices import ActiveDevice, parse_device, parse_precision
from fr_core.runtime.observe import NullObserver, Observer
from fr_core.runtime.onnx_graph import PixelInput
from fr_core.runtime.open import open_sessions
from fr_core.runtime.session import Session
from fr_core.types import F32, U8, AlignedFace, frozen_array

DETECTION = ("thorough", "fast")
"""Where faces are looked for: always up to full resolution, or only where copies of 640 px show no face."""

AUTO = "auto"

SCALES = Scales()
"""At which scales photos are looked at."""

T = TypeVar("T")

_ACCELERATORS = ("cuda", "tensorrt")

# Folder beside the models for what TensorRT builds from a model, which takes it minutes.
_ENGINES = "engines"

# A processor is full with one tile. Faces gain a little from company, but the first waits for the last.
PROCESSOR_TILES = (1,)
PROCESSOR_FACES = (1, 2, 3, 4, 6, 8)
ACCELERATOR_BATCHES = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How the models of a pack are run.

    Attributes:
        device: auto, cpu, openvino, cuda, cuda:N, cuda:0,1 and so on, tensorrt likewise.
        precision: of the models' arithmetic: f32, bf16 (OpenVINO, where the processor has it) or fp16 (CUDA, TensorRT).
        detection: thorough, or fast, which takes a fraction of the time on large photos with faces and misses the
            small faces beside large ones.
        flip: fuse each embedding with that of the mirrored face: twice the time, somewhat more accurate, and a model
            of its own (its embeddings do not compare with plain ones).
        threads: of one inference on a processor, at least 0; 0 = one.
        lanes: inferences at once on a processor, at least 0; 0 = as many as fill its cores.
        detector_sizes: allowed numbers of tiles in a batch, such as "1,2,4", or "auto".
        embedder_sizes: allowed numbers of faces in a batch, such as "1,2,4", or "auto".
        max_queued: tiles, and faces, that may wait, for each class of calls; at least 1.
    """

    device: str = AUTO
    precision: str = "f32"
    detection: str = "thorough"
    flip: bool = False
    threads: int = 0
    lanes: int = 0
    detector_sizes: str = AUTO
    embedder_sizes: str = AUTO
    max_queued: int = 1024


class Lifeline:
    """Tells once, to whoever watches, that a device was lost.

    Attributes:
        cause: what it was lost to; None while it is not, or where nobody knows.
    """

    def __init__(self) -> None:
        self.cause: BaseException | None = None
        self._lock = threading.Lock()
        self._cut = False
        self._watchers: list[Callable[[], None]] = []

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
    """A pipeline that is ready, the pack it runs, and what runs it.

    Attributes:
        pack: the models.
        pipeline: photos in, faces out; for any number of threads at once.
        device: what runs the models.
        detection: thorough or fast.
        lifeline: tells when a device is lost; then every call fails with `DeviceLost`.
        batchers: of the detector and of the embedder, in this order, which `close` closes; empty where the models run
            elsewhere.
    """

    pack: Pack
    pipeline: Pipeline
    device: ActiveDevice
    detection: str
    lifeline: Lifeline
    batchers: tuple[Batcher[Any, Any], ...] = ()

    def close(self) -> None:
        """Finish what waits, and end the threads that run the models."""
        for batcher in self.batchers:
            batcher.close()


def open_engine(
    pack: Pack,
    cache: ModelCache,
    options: EngineOptions | None = None,
    image_limits: ImageLimits | None = None,
    quality_limits: QualityLimits | None = None,
    observer: Observer | None = None,
) -> Engine:
    """Load a pack's models, verified, onto devices, and run every shape that they will see.

    Args:
        pack: whose files must be in the cache.
        cache: where they are; each is read once, and what was hashed is what is loaded.
        options: how the models are run; None = the defaults.
        image_limits: what a photo may be; None = the defaults.
        quality_limits: what a face should be; None = the defaults.
        observer: is told of photos, queues and batches; None = nobody.

    Raises:
        ModelNotInstalled, ModelCorrupt: as `ModelCache.read_verified`.
        ConfigInvalid: an option is out of range or unknown.
        DeviceUnavailable: the device is not there, lacks the precision, or cannot run the models.
    """
    options = options or EngineOptions()
    observer = observer or NullObserver()
    parse_precision(options.precision, parse_device(options.device))  # before the models are read
    if options.detection not in DETECTION:
        raise ConfigInvalid(f"`model.detection` knows only: {', '.join(DETECTION)}.", key="model.detection")
    detector_sizes = parse_sizes(options.detector_sizes, "batching.detector_sizes")
    embedder_sizes = parse_sizes(options.embedder_sizes, "batching.embedder_sizes")
    threads, lanes = _shares(options)
    tile_shapes = tile_shapes_of(pack)

    def sessions(
        spec: DetectorSpec | EmbedderSpec, device: str, shapes: Sequence[tuple[int, int]], batches: Sequence[int] | None
    ) -> list[Session]:
        return open_sessions(
            cache.read_verified(spec.file),
            PixelInput(spec.colour, spec.mean, spec.std),
            device,
            options.precision,
            threads,
            lanes,
            [(batch, *shape) for batch in batches or ACCELERATOR_BATCHES for shape in shapes],
            cache.folder.parent / _ENGINES,
        )

    seeing = sessions(pack.detector, options.device, tile_shapes, detector_sizes)
    device = replace(_active(seeing), requested=options.device)
    # Where auto chose for the detector, the embedder goes to the same device, or the start fails.
    embedding = sessions(pack.embedder, device.active, ((CROP_SIZE, CROP_SIZE),), embedder_sizes)
    lifeline = Lifeline()
    batching = partial(Batcher, max_queued=options.max_queued, observer=observer, on_death=lifeline.cut)

    models = [_tile_detector(session, pack.detector) for session in seeing]
    detector: Batcher[U8, TileFaces] = batching(
        "detector",
        [model.detect_tiles for model in _lanes(models, seeing[0], lanes)],
        _allowed(detector_sizes, PROCESSOR_TILES, seeing[0], None, "batching.detector_sizes"),
        examples=[np.zeros((*shape, 3), np.uint8) for shape in tile_shapes],
        group=lambda tile: tile.shape,
    )
    embedders = [OnnxEmbedder(session, pack.embedder.embedding_size) for session in embedding]
    embedder: Batcher[AlignedFace, F32] = batching(
        "embedder",
        [_rows_of(model) for model in _lanes(embedders, embedding[0], lanes)],
        _allowed(embedder_sizes, PROCESSOR_FACES, embedding[0], pack.embedder.max_batch, "batching.embedder_sizes"),
        examples=[_blank_face()],
    )
    detector.start()
    try:
        embedder.start()
    except BaseException:
        detector.close()
        raise
    pipeline = build_pipeline(
        pack,
        BatchedTileDetector(detector, tile_shapes),
        BatchedRawEmbedder(embedder, pack.embedder.embedding_size),
        options,
        image_limits,
        quality_limits,
        observer,
    )
    return Engine(pack, pipeline, device, options.detection, lifeline, (detector, embedder))


def build_pipeline(
    pack: Pack,
    tile_detector: TileDetector,
    raw_embedder: RawEmbedder,
    options: EngineOptions,
    image_limits: ImageLimits | None = None,
    quality_limits: QualityLimits | None = None,
    observer: Observer | None = None,
) -> Pipeline:
    """Put everything of a pipeline around the two models of a pack, wherever they run.

    Args:
        pack: whose thresholds and model id count.
        tile_detector: runs the pack's detector; takes tiles of `tile_shapes_of(pack)`.
        raw_embedder: runs the pack's embedder.
        options: of which `detection` and `flip` count here.
        image_limits: what a photo may be; None = the defaults.
        quality_limits: what a face should be; None = the defaults.
        observer: is told of photos; None = nobody.
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
    )


def tile_shapes_of(pack: Pack) -> tuple[tuple[int, int], ...]:
    """(height, width) in pixels of the tiles that a pack's detector is given, the smallest first."""
    side = pack.detector.input_size
    return ((side, side),) if side else SCALES.tile_shapes


def parse_sizes(text: str, key: str) -> tuple[int, ...] | None:
    """Read allowed batch sizes such as "1,2,4"; None for "auto".

    Raises:
        ConfigInvalid: it is neither; `key` names the setting.
    """
    if text == AUTO:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) <= 4 for part in parts):
        raise ConfigInvalid(f"`{key}` is {AUTO}, or batch sizes such as 1,2,4.", key=key)
    sizes = tuple(sorted({int(part) for part in parts}))
    require_sizes(sizes, key)
    return sizes


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def photos_at_once(device: ActiveDevice) -> int:
    """How many photos should be in work at once to keep a device busy.

    On a processor, decoding, aligning and the like of some photos fill the time in which others wait for the models,
    and faces find company for a batch: on 2 cores, 8 photos gave a tenth more than 4, and 16 nothing more. A CUDA
    device wants larger batches, and so more photos on their way.
    """
    return 64 if device.active.split(":")[0] in _ACCELERATORS else max(8, 4 * available_cores())


def _shares(options: EngineOptions) -> tuple[int, int]:
    """Threads of one inference, and lanes, on a processor.

    One thread each is the quickest way to spend cores: 2 cores give 1.9 times the faces of one with two lanes of one
    thread, 1.7 times with one lane of two threads.
    """
    for name in ("threads", "lanes"):
        if getattr(options, name) < 0:
            raise ConfigInvalid(f"`model.{name}` must be 0 or more.", key=f"model.{name}")
    threads = options.threads or 1
    return threads, options.lanes or max(1, available_cores() // threads)


def _active(sessions: Sequence[Session]) -> ActiveDevice:
    """The device of one session, or several CUDA devices as one: cuda:0,1."""
    first = sessions[0].device
    numbers = [session.device.active.partition(":")[2] for session in sessions]
    return replace(first, active=f"{first.active.partition(':')[0]}:{','.join(numbers)}") if numbers[0] else first


def _tile_detector(session: Session, spec: DetectorSpec) -> TileDetector:
    model = YunetDetector if spec.family == "yunet" else ScrfdDetector
    return model(session, spec, SCALES.tile_shapes, SCALES.heard * spec.score_threshold)


def _lanes(models: Sequence[T], session: Session, lanes: int) -> list[T]:
    """One lane for each device; on a processor several share one model."""
    return list(models) if _accelerated(session) else [models[0]] * lanes


def _allowed(
    sizes: tuple[int, ...] | None, on_processor: tuple[int, ...], session: Session, limit: int | None, key: str
) -> tuple[int, ...]:
    """The batch sizes that were asked for, or those that suit the device and that the model takes.

    Raises:
        ConfigInvalid: the model does not take a size that was asked for.
    """
    known = [most for most in (limit, session.input_shape[0]) if most is not None]
    largest = min(known, default=None)
    if sizes is not None:
        if largest is not None and sizes[-1] > largest:
            raise ConfigInvalid(f"The model takes batches of {largest} at most, so `{key}` may not be larger.", key=key)
        return sizes
    suited = ACCELERATOR_BATCHES if _accelerated(session) else on_processor
    return tuple(size for size in suited if largest is None or size <= largest)


def _accelerated(session: Session) -> bool:
    return session.device.active.split(":")[0] in _ACCELERATORS


def _rows_of(model: OnnxEmbedder) -> Callable[[Sequence[AlignedFace]], list[F32]]:
    return lambda faces: list(model.vectors(faces))


def _blank_face() -> AlignedFace:
    pixels = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    return AlignedFace(frozen_array(pixels), frozen_array(np.eye(2, 3, dtype=np.float32)))
