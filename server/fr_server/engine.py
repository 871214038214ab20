"""What computes: the pipeline of a model pack on a device, with what the server tells about it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fr_core.packs.cache import ModelCache, cache_folder
from fr_core.packs.manifest import Thresholds, load_pack
from fr_core.pipeline import Pipeline, open_pipeline
from fr_core.runtime.devices import ActiveDevice
from fr_server.config import Config


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """A pipeline and where it comes from.

    Attributes:
        pipeline: decodes, detects, aligns and embeds; called from several threads.
        thresholds: the model's default threshold and its source.
        detector_licence: of the detector's weights.
        embedder_licence: of the embedder's weights.
        device: where the models run.
    """

    pipeline: Pipeline
    thresholds: Thresholds
    detector_licence: str
    embedder_licence: str
    device: ActiveDevice


def workers(config: Config) -> int:
    """Return how many photos are analysed at once."""
    return config.model.workers or max(1, _cores() // 2)


def open_engine(config: Config) -> Engine:
    """Open the pack that the configuration names, from verified files of the cache.

    Raises:
        UnknownPack, ModelNotInstalled, ModelCorrupt, DeviceUnavailable, ConfigInvalid.
    """
    opened = open_pipeline(
        load_pack(config.model.pack),
        ModelCache(cache_folder()),
        device=config.model.device,
        threads=config.model.threads or max(1, _cores() // workers(config)),
        flip=config.model.flip,
        image_limits=config.images,
        quality_limits=config.quality,
    )
    return Engine(
        pipeline=opened.pipeline,
        thresholds=opened.pack.thresholds,
        detector_licence=opened.pack.detector.licence,
        embedder_licence=opened.pack.embedder.licence,
        device=opened.device,
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
