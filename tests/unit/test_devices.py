"""Which device is asked for, which is taken, and what a library is told; no library is loaded here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fr_core.errors import ConfigInvalid, DeviceUnavailable
from fr_core.runtime.devices import (
    ActiveDevice,
    DeviceKind,
    DeviceSpec,
    Precision,
    as_one,
    parse_device,
    parse_precision,
)
from fr_core.runtime.libraries import Libraries, OnnxRuntimeLibrary
from fr_core.runtime.open import batches_alike, open_sessions
from fr_core.runtime.providers import providers
from fr_core.runtime.session import Plan, Session
from fr_core.types import F32, U8
from support.engines import AS_THEY_ARE, HandmadeSession, convolution, doubled


class HandmadeLibrary:
    """Opens anything, but for what it was told to refuse; keeps the plans it was given."""

    failures = ()

    def __init__(self, refusal: str | None = None, fails: bool = False) -> None:
        self.plans: list[Plan] = []
        self._refusal = refusal
        self._fails = fails

    def refusal(self, kind: DeviceKind, precision: Precision) -> str | None:
        return self._refusal

    def open(self, plan: Plan) -> Session:
        self.plans.append(plan)
        if self._fails:
            raise DeviceUnavailable("It did not start.", device=str(plan.spec))
        session = HandmadeSession([], (None, None, None, 3))
        session.device = ActiveDevice(plan.requested, str(plan.spec), "handmade 1", plan.precision)
        return session


def libraries(**changes: HandmadeLibrary) -> Libraries:
    made: dict[str, HandmadeLibrary] = {kind: HandmadeLibrary() for kind in ("cpu", "openvino", "cuda", "tensorrt")}
    return {**made, **changes}  # type: ignore[dict-item]


# --- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spec", "again"),
    [
        ("auto", DeviceSpec("auto"), "auto"),
        ("cpu", DeviceSpec("cpu"), "cpu"),
        ("openvino", DeviceSpec("openvino"), "openvino"),
        ("cuda", DeviceSpec("cuda", (0,)), "cuda:0"),
        ("cuda:3", DeviceSpec("cuda", (3,)), "cuda:3"),
        ("cuda:0,1", DeviceSpec("cuda", (0, 1)), "cuda:0,1"),
        ("tensorrt", DeviceSpec("tensorrt", (0,)), "tensorrt:0"),
        ("tensorrt:2,10,0", DeviceSpec("tensorrt", (2, 10, 0)), "tensorrt:2,10,0"),
    ],
)
def test_devices_are_read(text: str, spec: DeviceSpec, again: str) -> None:
    assert parse_device(text) == spec
    assert str(spec) == again


@pytest.mark.parametrize(
    "text",
    ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:01", "cuda:0,", "cuda:0,0", "cuda:100", "CPU", "cpu:0", "cuda "],
)
def test_device_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        parse_device(text)
    assert caught.value.metadata == {"key": "model.device"}


@pytest.mark.parametrize(
    ("device", "precision", "says"),
    [
        ("cpu", "f16", "f32, bf16 and fp16"),
        ("cpu", "bf16", "it has f32"),
        ("openvino", "fp16", "it has f32 and bf16"),
        ("cuda:0", "bf16", "it has f32 and fp16"),
        ("tensorrt:0", "bf16", "it has f32 and fp16"),
    ],
)
def test_precision_that_a_device_never_has_is_refused_with_those_it_has(device: str, precision: str, says: str) -> None:
    with pytest.raises(ConfigInvalid, match=says) as caught:
        parse_precision(precision, parse_device(device))
    assert caught.value.metadata == {"key": "model.precision"}


# --- which device is taken --------------------------------------------------------------------------------


def active(made: Libraries, precision: str = "f32") -> str:
    (session,) = open_sessions(doubled(), AS_THEY_ARE, "auto", precision, libraries=made)
    assert session.device.requested == "auto"
    return session.device.active


def test_auto_takes_cuda_then_openvino_then_the_processor() -> None:
    missing, broken = HandmadeLibrary(refusal="It is not here."), HandmadeLibrary(fails=True)
    assert active(libraries()) == "cuda:0"
    assert active(libraries(cuda=missing)) == "openvino"
    assert active(libraries(cuda=broken)) == "openvino"
    assert active(libraries(cuda=broken, openvino=missing)) == "cpu"


def test_auto_takes_a_device_that_has_the_precision() -> None:
    assert active(libraries(), "bf16") == "openvino"
    assert active(libraries(), "fp16") == "cuda:0"
    broken = HandmadeLibrary(fails=True)
    for precision, kind in (("bf16", "openvino"), ("fp16", "cuda")):
        with pytest.raises(DeviceUnavailable, match=f"has {precision}. It did not start") as caught:
            active(libraries(**{kind: broken}), precision)
        assert caught.value.metadata == {"device": "auto"}


@pytest.mark.parametrize("device", ["cpu", "openvino", "cuda", "cuda:0,1", "tensorrt:1"])
def test_device_that_was_named_is_never_replaced(device: str) -> None:
    kind = device.split(":")[0]
    for library in (HandmadeLibrary(refusal="It is not here."), HandmadeLibrary(fails=True)):
        made = libraries(**{kind: library})
        with pytest.raises(DeviceUnavailable, match=r"It is not here|It did not start"):
            open_sessions(doubled(), AS_THEY_ARE, device, libraries=made)
        assert not any(made[other].plans for other in made if other != kind)  # type: ignore[attr-defined]


def test_each_cuda_device_gets_a_session_in_the_order_named() -> None:
    sessions = open_sessions(doubled(), AS_THEY_ARE, "cuda:2,0", libraries=libraries())
    assert [session.device.active for session in sessions] == ["cuda:2", "cuda:0"]
    assert {session.device.requested for session in sessions} == {"cuda:2,0"}


def test_several_devices_are_told_as_one() -> None:
    def told(*active: str) -> str:
        return as_one([ActiveDevice("auto", name, "handmade 1") for name in active]).active

    assert told("openvino") == "openvino"
    assert told("cuda:1") == "cuda:1"
    assert told("tensorrt:0", "tensorrt:2") == "tensorrt:0,2"


def test_device_tells_its_kind_and_whether_it_is_beside_the_processor() -> None:
    for name, kind, accelerated in (("cpu", "cpu", False), ("openvino", "openvino", False), ("cuda:1,0", "cuda", True)):
        device = ActiveDevice("auto", name, "handmade 1")
        assert (device.kind, device.accelerated, device.spec.accelerated) == (kind, accelerated, accelerated)
    assert parse_device("tensorrt").accelerated
    assert not parse_device("auto").accelerated


def test_a_defect_is_not_taken_for_a_model_that_takes_one_picture() -> None:
    class Failing(HandmadeSession):
        def run(self, batch: U8) -> list[F32]:
            raise KeyError

    session = Failing([], (None, 4, 4, 3))
    assert not batches_alike(session, (ValueError, KeyError))
    with pytest.raises(KeyError):
        batches_alike(session, (ValueError,))


def test_why_a_provider_is_missing_is_said_with_those_there_are() -> None:
    library = OnnxRuntimeLibrary(("TensorrtExecutionProvider", "CPUExecutionProvider"))
    assert library.refusal("cpu", "f32") is library.refusal("tensorrt", "f32") is None
    assert "offers TensorrtExecutionProvider, CPUExecutionProvider" in str(library.refusal("cuda", "f32"))


# --- what a library is told -------------------------------------------------------------------------------


def plan(device: str, **changes: object) -> Plan:
    return Plan(b"model", parse_device(device), device, **changes)  # type: ignore[arg-type]


def test_weights_are_halved_for_cuda_and_left_to_tensorrt() -> None:
    made = libraries()
    model = convolution(np.ones((2, 3, 3, 3), np.float32))
    for device in ("cuda", "tensorrt"):
        for precision in ("f32", "fp16"):
            open_sessions(model, AS_THEY_ARE, device, precision, libraries=made)
    full, half = (plan.model for plan in made["cuda"].plans)  # type: ignore[attr-defined]
    assert full != half
    assert [plan.model for plan in made["tensorrt"].plans] == [full, full]  # type: ignore[attr-defined]


def test_provider_that_must_be_active_comes_first() -> None:
    assert [name for name, _ in providers(plan("cpu"))] == ["CPUExecutionProvider"]
    cuda = providers(plan("cuda:3"))
    assert [name for name, _ in cuda] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert cuda[0][1]["device_id"] == "3"
    assert cuda[0][1]["use_tf32"] == "0"
    tensorrt = providers(plan("tensorrt:1"))
    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    assert [name for name, _ in tensorrt] == names
    assert [options.get("device_id") for _, options in tensorrt] == ["1", "1", None]


def test_tensorrt_is_told_the_shapes_and_where_to_keep_what_it_builds(tmp_path: Path) -> None:
    shapes = ((1, 640, 640), (8, 256, 256))
    options = providers(plan("tensorrt", precision="fp16", shapes=shapes, engines=tmp_path))[0][1]
    assert options["trt_fp16_enable"] == "1"
    assert options["trt_cuda_graph_enable"] == "0"
    assert options["trt_profile_min_shapes"] == "fr_core.pixels:1x256x256x3"
    assert options["trt_profile_opt_shapes"] == options["trt_profile_max_shapes"] == "fr_core.pixels:8x640x640x3"
    folder = Path(options["trt_engine_cache_path"])
    assert folder.parent == tmp_path
    assert options["trt_timing_cache_path"] == str(folder)
    others = [
        providers(plan("tensorrt", precision="f32", engines=tmp_path)),
        providers(Plan(b"another", parse_device("tensorrt"), "tensorrt", "fp16", engines=tmp_path)),
    ]
    assert len({str(folder), *(chain[0][1]["trt_engine_cache_path"] for chain in others)}) == 3
    assert "trt_engine_cache_path" not in providers(plan("tensorrt"))[0][1]
