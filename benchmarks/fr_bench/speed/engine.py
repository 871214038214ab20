"""The one place that opens an engine: in this process, or as the options of `fr serve`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from fr_bench.speed.values import EngineSettings
from fr_core import engine
from fr_core.embed.onnx import PlainEmbedder
from fr_core.embed.protocol import BatchedRawEmbedder, Embedder
from fr_core.packs.cache import ModelCache, cache_folder
from fr_core.packs.manifest import load_pack
from fr_core.runtime.devices import ActiveDevice, parse_device
from fr_core.runtime.observe import Observer
from fr_core.runtime.session import Session


@contextmanager
def opened_engine(settings: EngineSettings, observer: Observer | None = None) -> Iterator[engine.Engine]:
    """Open the pipeline in this process for as long as the block lasts; raises as `fr_core.engine.open_engine`."""
    pack, cache = load_pack(settings.pack), ModelCache(cache_folder())
    opened = engine.open_engine(pack, cache, _options(settings), observer=observer)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def opened_embedder(settings: EngineSettings) -> Iterator[tuple[Embedder, Session]]:
    """Open the embedder as the engine has it, but in one lane, on one device, and the bare session that it runs.

    Errors are those of `opened_engine`.
    """
    pack, spec = load_pack(settings.pack), parse_device(settings.device)
    options = replace(_options(settings), device=str(replace(spec, indices=spec.indices[:1])), lanes=1)
    (session,), batcher = engine.open_embedder(pack, ModelCache(cache_folder()), options)
    batcher.start()
    try:
        raw = BatchedRawEmbedder(batcher, pack.embedder.embedding_size)
        yield PlainEmbedder(raw, pack.model_id(flip=False)), session
    finally:
        batcher.close()


def workers_for(settings: EngineSettings, device: ActiveDevice) -> int:
    """Photos in work at once: as set, or as many as `fr serve` takes by default on that device."""
    return settings.workers or engine.photos_at_once(device)


def server_options(settings: EngineSettings) -> tuple[str, ...]:
    """The options of `fr serve` for this engine; what is at its default is left to the server."""
    usual = EngineSettings()
    options = ["--pack", settings.pack, "--device", settings.device]
    for name in ("precision", "detection", "threads", "lanes", "workers"):
        value = getattr(settings, name)
        if value != getattr(usual, name):
            options += ["--set", f"model.{name}={value}"]
    return tuple(options)


def _options(settings: EngineSettings) -> engine.EngineOptions:
    return engine.EngineOptions(
        device=settings.device,
        precision=settings.precision,
        detection=settings.detection,
        threads=settings.threads,
        lanes=settings.lanes,
    )
