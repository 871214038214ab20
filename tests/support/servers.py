"""A real server on a loopback port, with the null detector and embedder, for the tests of the API."""

import asyncio
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from PIL import Image

from fr_api.v1 import (
    evaluation_pb2_grpc,
    gallery_pb2_grpc,
    recognition_pb2_grpc,
    server_pb2_grpc,
    training_pb2_grpc,
    video_pb2_grpc,
)
from fr_core.detect.null import NullDetector
from fr_core.detect.protocol import Detector
from fr_core.embed.null import NULL_MODEL, NullEmbedder
from fr_core.embed.onnx import PlainEmbedder
from fr_core.embed.protocol import BatchedRawEmbedder, Embedder
from fr_core.engine import Engine, Lifeline
from fr_core.packs.manifest import Thresholds, load_pack
from fr_core.pipeline import Pipeline
from fr_core.runtime.batcher import Batcher
from fr_core.runtime.devices import ActiveDevice
from fr_core.runtime.observe import Observer
from fr_core.types import F32, U8, AlignedFace, Detection, frozen_array
from fr_server.app import App, Load
from fr_server.config import Config, config_from
from fr_server.main import open_galleries
from fr_server.storage.opening import Stores
from fr_server.storage.peers import Peers
from fr_server.telemetry.open import Telemetry

SQUARE = 64

Fr = Callable[..., tuple[int, str, str]]  # runs `fr`: its words; the status, what it printed, and its errors
EmbedderRun = Callable[[Sequence[AlignedFace]], Sequence[F32]]

NULL_QUALITY = {"min_sharpness": 0.0}  # the null faces are flat squares: sharp or frontal they are not


def photo(*blues: int, size: int = SQUARE, width: int = 400, height: int = 200) -> bytes:
    """Return a PNG with one null face for each value of blue, side by side."""
    return scene(*((blue, 10 + i * (size + 10), 20, size) for i, blue in enumerate(blues)), width=width, height=height)


def scene(*squares: tuple[int, int, int, int], width: int = 400, height: int = 200) -> bytes:
    """Return a PNG with a null face for each (blue, left, top, side)."""
    image = Image.new("RGB", (width, height), (90, 90, 90))
    for blue, left, top, side in squares:
        image.paste((255, 0, blue), (left, top, left + side, top + side))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def null_engine(config: Config, detector: Detector | None = None, observer: Observer | None = None) -> Engine:
    return _engine(config, detector or NullDetector(), NullEmbedder(), observer, Lifeline())


def batched_engine(
    config: Config,
    runs: Sequence[EmbedderRun],
    observer: Observer | None = None,
    batcher: type[Batcher[AlignedFace, F32]] = Batcher,
    sizes: Sequence[int] = (1, 2, 4),
) -> Engine:
    """Return an engine with the null detector and, behind a batcher that was started, an embedding model.

    `runs` are the model, f32[64] for each face: one function for each lane.
    """
    lifeline = Lifeline()
    blank = AlignedFace(frozen_array(np.zeros((112, 112, 3), np.uint8)), frozen_array(np.eye(2, 3, dtype=np.float32)))
    faces = batcher(
        "embedder", runs, sizes, config.batching.max_queued, [blank], observer=observer, on_death=lifeline.cut
    )
    faces.start()
    embedder = PlainEmbedder(BatchedRawEmbedder(faces, 64), NULL_MODEL)
    return _engine(config, NullDetector(), embedder, observer, lifeline, faces)


def _engine(
    config: Config,
    detector: Detector,
    embedder: Embedder,
    observer: Observer | None,
    lifeline: Lifeline,
    *batchers: Batcher[Any, Any],
) -> Engine:
    pipeline = Pipeline(detector, embedder, config.images, config.quality, observer=observer)
    pack = replace(load_pack("buffalo_s"), thresholds=Thresholds(0.5, source="none: the null model", fmr=None))
    device = ActiveDevice(requested="cpu", active="cpu", runtime="null", precision="f32")
    return Engine(pack, pipeline, device, "thorough", lifeline, batchers)


class GatedDetector(NullDetector):
    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.calls = 0

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        self.calls += 1
        self.entered.release()
        assert self.gate.wait(20)
        return super().detect(pixels)


class HeldUp:
    """A `load` that waits until it is let go; `on_block` is called all the while."""

    def __init__(self, load: Load) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()
        self._load = load

    def __call__(self, on_block: Callable[[], None]) -> None:
        self.entered.set()
        while not self.go.wait(0.01):
            on_block()
        self._load(on_block)


@dataclass
class Running:
    app: App
    loop: asyncio.AbstractEventLoop
    channel: grpc.Channel

    def __post_init__(self) -> None:
        self.recognition = recognition_pb2_grpc.RecognitionServiceStub(self.channel)
        self.gallery = gallery_pb2_grpc.GalleryServiceStub(self.channel)
        self.evaluation = evaluation_pb2_grpc.EvaluationServiceStub(self.channel)
        self.training = training_pb2_grpc.TrainingServiceStub(self.channel)
        self.server = server_pb2_grpc.ServerServiceStub(self.channel)
        self.video = video_pb2_grpc.VideoServiceStub(self.channel)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.app.port}"

    @property
    def stores(self) -> Stores:
        assert self.app._stores is not None
        return self.app._stores

    def stop(self) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(self.app.stop(), self.loop)


@contextmanager
def running(
    folder: Path,
    detector: Detector | None = None,
    observing: Telemetry | None = None,
    engine: Callable[[Config], Engine] | None = None,
    clock: Callable[[], int] | None = None,
    **sections: dict[str, Any],
) -> Iterator[Running]:
    """Run a server on `folder`, with an engine without models or what `engine` makes of the configuration.

    `sections` are those of the configuration.
    """
    raw: dict[str, Any] = {"server": {}, "quality": NULL_QUALITY, "gallery": {}, **sections}
    raw["server"] = {"port": 0, "drain_s": 5.0, **raw["server"]}
    raw["gallery"] = {"folder": str(folder), **raw["gallery"]}
    config = config_from(raw)
    observing = observing or Telemetry()
    opened = engine(config) if engine else null_engine(config, detector, observing.listener)
    peers = Peers(config)
    galleries = open_galleries(config, members=peers.members)
    app = App(config, opened, galleries, observing, clock=clock, peers=peers)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="server")
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(app.start(), loop).result(30)
        options = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
        with grpc.insecure_channel(f"127.0.0.1:{app.port}", options=options) as channel:
            yield Running(app, loop, channel)
    finally:
        with patch("fr_server.app._LAST_REFUSALS_S", 0.0):  # nobody calls any more
            asyncio.run_coroutine_threadsafe(app.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@dataclass(frozen=True)
class Ended:
    code: grpc.StatusCode
    status: status_pb2.Status
    info: error_details_pb2.ErrorInfo
    retry: error_details_pb2.RetryInfo | None


def ended(error: grpc.RpcError) -> Ended:
    pairs: Any = error.trailing_metadata() or ()  # namedtuples, or tuples of grpc.aio
    trailing = dict(pairs)
    details = trailing["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    status = status_pb2.Status.FromString(details)
    assert status.message == error.details()
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    waits = len(status.details) > 1 and status.details[1].Unpack(retry)
    return Ended(error.code(), status, info, retry if waits else None)


def refusal_of(call: Callable[[], Any]) -> Ended:
    """Make a call that must be refused, and read a stream of answers to its end; return how it ended."""

    def read() -> None:
        answer = call()
        if hasattr(answer, "__next__"):
            list(answer)

    with pytest.raises(grpc.RpcError) as caught:
        read()
    return ended(caught.value)
