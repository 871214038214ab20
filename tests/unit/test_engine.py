"""The engine's choices: batch sizes, lanes, what it tells of its devices, and who hears that one was lost."""

from __future__ import annotations

import pytest

from fr_core.engine import (
    ACCELERATOR_BATCHES,
    PROCESSOR_FACES,
    EngineOptions,
    Lifeline,
    _active,
    _allowed,
    _lanes,
    open_engine,
    parse_sizes,
    photos_at_once,
)
from fr_core.errors import ConfigInvalid
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack
from fr_core.runtime.devices import ActiveDevice
from handmade import HandmadeSession

KEY = "batching.embedder_sizes"


def session(active: str = "cpu", batch: int | None = None) -> HandmadeSession:
    made = HandmadeSession([], (batch, 112, 112, 3))
    made.device = ActiveDevice("auto", active, "handmade 1")
    return made


def test_batch_sizes_are_read_sorted_and_once() -> None:
    assert parse_sizes("4, 1,2,2", KEY) == (1, 2, 4)
    assert parse_sizes("auto", KEY) is None


@pytest.mark.parametrize("text", ["", ",", "1;2", "2,4", "0,1", "-1,1", "1,x", "1,99999", "١"])
def test_batch_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"batching\.embedder_sizes") as refused:
        parse_sizes(text, KEY)
    assert refused.value.metadata == {"key": KEY}


def test_sizes_suit_the_device_and_the_model() -> None:
    def allowed(active: str, batch: int | None = None, limit: int | None = None) -> tuple[int, ...]:
        return _allowed(None, PROCESSOR_FACES, session(active, batch), limit, KEY)

    assert allowed("cpu") == allowed("openvino") == PROCESSOR_FACES
    assert allowed("cuda:0") == allowed("tensorrt:1") == ACCELERATOR_BATCHES
    assert allowed("cuda:0", limit=4) == (1, 2, 4)
    assert allowed("cuda:0", batch=1) == (1,)


def test_sizes_that_were_asked_for_are_taken_or_refused_never_cut() -> None:
    assert _allowed((1, 64), PROCESSOR_FACES, session(), None, KEY) == (1, 64)
    with pytest.raises(ConfigInvalid, match="batches of 8 at most"):
        _allowed((1, 64), PROCESSOR_FACES, session(), 8, KEY)
    with pytest.raises(ConfigInvalid, match="batches of 1 at most"):
        _allowed((1, 2), PROCESSOR_FACES, session(batch=1), None, KEY)


def test_lanes_share_a_model_on_a_processor_and_have_one_each_on_devices() -> None:
    assert _lanes(["a"], session("openvino"), 3) == ["a", "a", "a"]
    assert _lanes(["a", "b"], session("cuda:0"), 3) == ["a", "b"]


def test_several_devices_are_told_as_one() -> None:
    assert _active([session("openvino")]).active == "openvino"
    assert _active([session("cuda:1")]).active == "cuda:1"
    assert _active([session("cuda:0"), session("cuda:2")]).active == "cuda:0,2"


def test_a_gpu_wants_more_photos_at_once() -> None:
    assert photos_at_once(session("cpu").device) >= 8
    assert photos_at_once(session("cuda:0,1").device) == photos_at_once(session("tensorrt:0").device) == 64


def test_whoever_watches_a_lifeline_hears_once_early_or_late() -> None:
    heard: list[str] = []
    line = Lifeline()
    line.watch(lambda: heard.append("early"))
    assert line.cause is None
    cause = RuntimeError()
    line.cut(cause)
    line.cut(ValueError())
    line.watch(lambda: heard.append("late"))
    assert heard == ["early", "late"]
    assert line.cause is cause


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (EngineOptions(device="gpu"), "model.device"),
        (EngineOptions(precision="f64"), "model.precision"),
        (EngineOptions(device="cpu", precision="bf16"), "model.precision"),
        (EngineOptions(detection="slow"), "model.detection"),
        (EngineOptions(threads=-1), "model.threads"),
        (EngineOptions(lanes=-1), "model.lanes"),
        (EngineOptions(detector_sizes=""), "batching.detector_sizes"),
        (EngineOptions(device="cpu", max_queued=0), "batching.max_queued"),
    ],
)
@pytest.mark.models
def test_options_that_cannot_be_are_refused(pack_cache: ModelCache, options: EngineOptions, key: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        open_engine(load_pack("buffalo_s"), pack_cache, options)
    assert refused.value.metadata["key"] == key
