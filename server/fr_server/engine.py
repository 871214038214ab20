"""From the configuration to the engine that it asks for."""

from __future__ import annotations

from fr_core.engine import Engine, EngineOptions
from fr_core.engine import open_engine as open_core_engine
from fr_core.packs.cache import ModelCache, cache_folder
from fr_core.packs.manifest import load_pack
from fr_core.runtime.observe import Observer
from fr_server.config import Config


def open_engine(config: Config, observer: Observer) -> Engine:
    """Open the pack that the configuration names, from verified files of the cache.

    Raises:
        UnknownPack, ModelNotInstalled, ModelCorrupt, DeviceUnavailable, ConfigInvalid.
    """
    return open_core_engine(
        load_pack(config.model.pack),
        ModelCache(cache_folder()),
        engine_options(config),
        config.images,
        config.quality,
        observer,
    )


def engine_options(config: Config) -> EngineOptions:
    """Return how the configuration says that the models are run."""
    return EngineOptions(
        device=config.model.device,
        precision=config.model.precision,
        detection=config.model.detection,
        flip=config.model.flip,
        threads=config.model.threads,
        lanes=config.model.lanes,
        detector_sizes=config.batching.detector_sizes,
        embedder_sizes=config.batching.embedder_sizes,
        max_queued=config.batching.max_queued,
    )
