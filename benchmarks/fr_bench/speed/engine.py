"""The one place that opens an engine: in this process, or as the options of `fr serve`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fr_bench.speed.values import EngineSettings
from fr_core import engine
from fr_core.embed.batched import BatchedRawEmbedder
from fr_core.embed.onnx import OnnxEmbedder
from fr_core.embed.plain import PlainEmbedder
from fr_core.embed.protocol import Embedder
from fr_core.packs.cache import ModelCache, cache_folder
from fr_core.packs.manifest import load_pack
from fr_core.runtime.batcher import Batcher
from fr_core.runtime.devices import ActiveDevice, parse_device
from fr_core.runtime.libraries import installed_libraries
from fr_core.runtime.observe import Observer
from fr_core.runtime.onnx_graph import PixelInput
from fr_core.runtime.open import open_sessions
from fr_core.runtime.session import Session
from fr_core.types import F32, AlignedFace, frozen_array

# Of the batcher whose cost is measured: one call waits in it at a time.
_BATCH_SIZES = (1, 2, 4, 8)
_MAX_QUEUED = 64


def fastest_precision(device: str) -> str:
    """The precision in which a device is quickest without a loss of accuracy that `fr evaluate` shows.

    For `auto` that of a processor: fp16 has to be asked for with a CUDA device.

    Raises:
        ConfigInvalid: there is no such device.
    """
    kind = parse_device(device).kind
    if kind in ("cuda", "tensorrt"):
        return "fp16"
    bf16 = kind != "cpu" and installed_libraries()["openvino"].refusal("openvino", "bf16") is None
    return "bf16" if bf16 else "f32"


@contextmanager
def opened_engine(settings: EngineSettings, observer: Observer | None = None) -> Iterator[engine.Engine]:
    """Open the pipeline in this process for as long as the block lasts.

    Raises:
        UnknownPack, ModelNotInstalled, ModelCorrupt, ConfigInvalid, DeviceUnavailable: as `fr_core.engine.open_engine`.
    """
    options = engine.EngineOptions(
        device=settings.device,
        precision=settings.precision,
        detection=settings.detection,
        threads=settings.threads,
        lanes=settings.lanes,
    )
    opened = engine.open_engine(load_pack(settings.pack), ModelCache(cache_folder()), options, observer=observer)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def opened_embedder(settings: EngineSettings) -> Iterator[tuple[Embedder, Session]]:
    """Open the embedder as the engine has it, behind a batcher of one lane, and the bare session that it runs.

    Raises:
        UnknownPack, ModelNotInstalled, ModelCorrupt, ConfigInvalid, DeviceUnavailable: as `opened_engine`.
    """
    pack = load_pack(settings.pack)
    spec = pack.embedder
    pixels = PixelInput(spec.colour, spec.mean, spec.std)
    model = ModelCache(cache_folder()).read_verified(spec.file)
    shapes = [(size, spec.input_size, spec.input_size) for size in _BATCH_SIZES]
    session = open_sessions(
        model, pixels, settings.device, settings.precision, settings.threads or 1, lanes=1, shapes=shapes
    )[0]
    raw = OnnxEmbedder(session, spec.embedding_size)
    black = np.zeros((spec.input_size, spec.input_size, 3), np.uint8)
    largest = min(spec.max_batch or _BATCH_SIZES[-1], session.input_shape[0] or _BATCH_SIZES[-1])
    batcher: Batcher[AlignedFace, F32] = Batcher(
        "embedder",
        [lambda faces: list(raw.vectors(faces))],
        [size for size in _BATCH_SIZES if size <= largest],
        _MAX_QUEUED,
        [AlignedFace(frozen_array(black), frozen_array(np.eye(2, 3, dtype=np.float32)))],
    )
    batcher.start()
    try:
        yield PlainEmbedder(BatchedRawEmbedder(batcher, raw.size), pack.model_id(flip=False)), session
    finally:
        batcher.close()


def workers_for(settings: EngineSettings, device: ActiveDevice) -> int:
    """Photos in work at once: as set, or as many as `fr serve` takes by default on that device."""
    if settings.workers:
        return settings.workers
    return engine.photos_at_once(device)


def server_options(settings: EngineSettings) -> tuple[str, ...]:
    """The options of `fr serve` for this engine; what is at its default is left to the server."""
    usual = EngineSettings()
    options = ["--pack", settings.pack, "--device", settings.device]
    for name in ("precision", "detection", "threads", "lanes", "workers"):
        value = getattr(settings, name)
        if value != getattr(usual, name):
            options += ["--set", f"model.{name}={value}"]
    return tuple(options)
