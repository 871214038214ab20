"""The engine's choices: lanes, photos at once, options, calibrations, and who hears that a device was lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fr_core.engine import (
    SCALES,
    EngineOptions,
    Lifeline,
    _lanes,
    open_engine,
    pack_calibration,
    photos_at_once,
    tile_shapes_of,
)
from fr_core.errors import ConfigInvalid, PackInvalid
from fr_core.packs import calibrated
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack, pack_names
from fr_core.runtime.devices import ActiveDevice
from fr_core.scoring.calibration_json import to_json
from support.engines import HandmadeSession, calibration


def session(active: str) -> HandmadeSession:
    made = HandmadeSession([], (None, 112, 112, 3))
    made.device = ActiveDevice("auto", active, "handmade 1")
    return made


def test_lanes_share_a_model_on_a_processor_and_have_one_each_on_devices() -> None:
    options = EngineOptions(lanes=3)
    assert _lanes(["a"], session("openvino"), options) == ["a", "a", "a"]
    assert _lanes(["a", "b"], session("cuda:0"), options) == ["a", "b"]


def test_model_of_a_fixed_size_is_given_tiles_of_that_size_only() -> None:
    assert tile_shapes_of(load_pack("sface")) == ((640, 640),)
    assert tile_shapes_of(load_pack("buffalo_s")) == SCALES.tile_shapes


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
        ({"device": "gpu"}, "model.device"),
        ({"precision": "f64"}, "model.precision"),
        ({"device": "cpu", "precision": "bf16"}, "model.precision"),
        ({"detection": "slow"}, "model.detection"),
        ({"threads": -1}, "model.threads"),
        ({"lanes": -1}, "model.lanes"),
        ({"detector_sizes": ""}, "batching.detector_sizes"),
        ({"embedder_sizes": "2"}, "batching.embedder_sizes"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        EngineOptions(**options)
    assert refused.value.metadata["key"] == key


@pytest.mark.models
def test_queue_without_room_is_refused(pack_cache: ModelCache) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        open_engine(load_pack("buffalo_s"), pack_cache, EngineOptions(device="cpu", max_queued=0))
    assert refused.value.metadata["key"] == "batching.max_queued"


# --- calibrations that come with packs ----------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("name", pack_names())
def test_the_calibrations_that_come_with_packs_can_be_used(name: str, flip: bool) -> None:
    model = load_pack(name).model_id(flip)
    found = pack_calibration(model)
    assert found is None or found.provenance.model_id == str(model)


def test_a_calibration_is_that_of_the_model_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrated, "_FOLDER", str(tmp_path))
    plain, flip = (load_pack("buffalo_s").model_id(flip) for flip in (False, True))
    assert pack_calibration(plain) is None
    for model, name in ((plain, "buffalo_s.json"), (flip, "buffalo_s+flip.json")):
        (tmp_path / name).write_text(to_json(calibration(model)))
        assert pack_calibration(model) == calibration(model)
    for text in (to_json(calibration(flip)), "{", to_json(calibration(plain)).replace('"version": 1', '"version": 2')):
        (tmp_path / "buffalo_s.json").write_text(text)
        with pytest.raises(PackInvalid):
            pack_calibration(plain)
    assert pack_calibration(flip) == calibration(flip)
