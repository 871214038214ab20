"""Opens the engine that the configuration asks for."""

from importlib.util import find_spec

from fr_core.engine import Engine, EngineOptions, available_cores
from fr_core.engine import open_engine as open_core_engine
from fr_core.errors import ConfigInvalid, message
from fr_core.imaging import Decoder, PlainDecoder
from fr_core.imaging.confine import unavailable
from fr_core.imaging.sandbox import ALWAYS_SANDBOXED, PartlySandboxed, SandboxedDecoder, needed_mib
from fr_core.packs.cache import ModelCache, cache_folder
from fr_core.packs.manifest import load_pack
from fr_core.runtime.observe import Observer
from fr_core.runtime.ticket import current_ticket
from fr_server.config import Config
from fr_server.telemetry.trust import Trust


def open_engine(config: Config, observer: Observer, trust: Trust | None = None) -> Engine:
    """Open the pack that the configuration names, from verified files of the cache.

    Raises `UnknownPack`, `ModelNotInstalled`, `ModelCorrupt`, `DeviceUnavailable` or `ConfigInvalid`.
    """
    return open_core_engine(
        load_pack(config.model.pack),
        ModelCache(cache_folder()),
        engine_options(config),
        config.images,
        config.quality,
        observer,
        open_decoder(config, trust),
    )


def open_decoder(config: Config, trust: Trust | None = None) -> Decoder:
    """Return the decoder of photos for one process that answers calls; `trust` counts replaced processes.

    AVIF and HEIC are decoded in the sandbox if the system has one. Raises `ConfigInvalid` if the configuration asks for
    a sandbox and the system has none, if its memory is too small for the photos that `images` allows, or if the library
    for HEIC is missing.
    """
    if "HEIC" in config.images.formats and find_spec("pillow_heif") is None:
        raise ConfigInvalid(message("error.server.no_heic"), key="images.formats")
    isolation = config.isolation
    outside = isolation.decoding == "none"
    if outside and (ALWAYS_SANDBOXED.isdisjoint(config.images.formats) or unavailable() is not None):
        return PlainDecoder()
    needed = needed_mib(config.images)
    if isolation.memory_mib < needed and not outside:
        raise ConfigInvalid(message("error.server.memory_mib", needed=needed), key="isolation.memory_mib")
    # Each front-end decodes the photos of its own calls.
    workers = isolation.workers or -(-available_cores() // max(config.server.frontends, 1))
    heard = trust or Trust()

    def replaced(costly: bool) -> None:
        heard.decoder_replaced("too_costly" if costly else "crashed")

    def caller() -> str:
        return current_ticket().caller

    memory_mib = max(isolation.memory_mib, needed)
    made = SandboxedDecoder(workers, memory_mib, isolation.time_ms, on_replaced=replaced, caller_of=caller)
    return PartlySandboxed(made) if outside else made


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
        nhwc=config.model.nhwc,
    )
