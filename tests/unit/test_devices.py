"""Devices and their libraries, batch sizes, the runtimes on small models, and the decoders of both detectors."""

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from fr_core.detect import scrfd, yunet
from fr_core.detect.scrfd import ANCHORS, ScrfdDetector, likely_rows
from fr_core.detect.yunet import YunetDetector
from fr_core.engine import EngineOptions
from fr_core.errors import ConfigInvalid, DeviceUnavailable
from fr_core.runtime.batcher import Batcher
from fr_core.runtime.devices import ActiveDevice, DeviceKind, DeviceSpec, Precision, parse_device, parse_precision
from fr_core.runtime.libraries import Libraries, OnnxRuntimeLibrary, installed_libraries
from fr_core.runtime.onnx_graph import prepared
from fr_core.runtime.onnxruntime_session import OnnxRuntimeSession, SizedSession, reason
from fr_core.runtime.open import batches_alike, open_sessions
from fr_core.runtime.openvino_session import precisions, settings
from fr_core.runtime.priority import MODELS, PHOTOS
from fr_core.runtime.providers import providers
from fr_core.runtime.session import Plan, Session
from fr_core.runtime.sizes import ACCELERATOR_SIZES, allowed_sizes, parse_sizes
from fr_core.runtime.ticket import Ticket, hold
from fr_core.types import F32, U8
from fr_server.config import load_config
from fr_server.engine import engine_options
from fr_server.pools import Work
from support.engines import AS_THEY_ARE, HandmadeSession, convolution, detector_spec, doubled, model
from support.scrfd import export_of, small_scrfd


class HandmadeLibrary:
    """Opens anything, but for what it was told to refuse; keeps the plans it was given."""

    failures = ()

    def __init__(self, refusal: str | None = None, fails: bool = False, suits: Precision = "f32") -> None:
        self.plans: list[Plan] = []
        self._suits = suits
        self._refusal = refusal
        self._fails = fails

    def suited(self, kind: DeviceKind) -> Precision:
        return self._suits

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


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        *((kind, DeviceSpec(kind)) for kind in ("auto", "cpu", "openvino")),
        ("cuda", DeviceSpec("cuda", (0,))),
        ("cuda:3", DeviceSpec("cuda", (3,))),
        ("cuda:0,1", DeviceSpec("cuda", (0, 1))),
        ("tensorrt", DeviceSpec("tensorrt", (0,))),
        ("tensorrt:2,10,0", DeviceSpec("tensorrt", (2, 10, 0))),
    ],
)
def test_devices_are_read(text: str, spec: DeviceSpec) -> None:
    assert parse_device(text) == parse_device(str(spec)) == spec
    assert str(spec).startswith(text)


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


def active(made: Libraries, precision: str = "f32") -> str:
    (session,) = open_sessions(doubled(), AS_THEY_ARE, "auto", precision, libraries=made)
    assert session.device.requested == "auto"
    return session.device.active


def test_auto_takes_cuda_then_openvino_then_the_processor_for_the_precision() -> None:
    missing, broken = HandmadeLibrary(refusal="It is not here."), HandmadeLibrary(fails=True)
    made = (libraries(), libraries(cuda=missing), libraries(cuda=broken), libraries(cuda=broken, openvino=missing))
    assert [active(one) for one in made] == ["cuda:0", "openvino", "openvino", "cpu"]
    assert (active(libraries(), "bf16"), active(libraries(), "fp16")) == ("openvino", "cuda:0")
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
    devices = [(session.device.active, session.device.requested) for session in sessions]
    assert devices == [("cuda:2", "cuda:2,0"), ("cuda:0", "cuda:2,0")]


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


def plan(device: str, **changes: object) -> Plan:
    return Plan(b"model", parse_device(device), device, **changes)  # type: ignore[arg-type]


def plans_of(made: Libraries, kind: DeviceKind) -> list[Plan]:
    library = made[kind]
    assert isinstance(library, HandmadeLibrary)
    return library.plans


def test_weights_are_halved_for_every_gpu() -> None:
    made = libraries()
    content = convolution(np.ones((2, 3, 3, 3), np.float32))
    kinds: tuple[DeviceKind, ...] = ("cuda", "tensorrt")
    for device in kinds:
        for precision in ("f32", "fp16"):
            open_sessions(content, AS_THEY_ARE, device, precision, libraries=made)
    for device in kinds:
        models = [plan.model for plan in plans_of(made, device)]
        assert models == [prepared(content, AS_THEY_ARE), prepared(content, AS_THEY_ARE, half=True)]
        assert models[0] != models[1]


@pytest.mark.parametrize(
    ("device", "precision"),
    [("cpu", "f32"), ("openvino", "bf16"), ("cuda", "fp16"), ("cuda:0,1", "fp16"), ("tensorrt", "fp16")],
)
def test_models_run_in_the_precision_that_suits_the_library_unless_another_is_asked_for(
    device: str, precision: Precision
) -> None:
    made = libraries(**{device.split(":")[0]: HandmadeLibrary(suits=precision)})
    for asked in ({}, {"precision": "auto"}):
        sessions = open_sessions(doubled(), AS_THEY_ARE, device, libraries=made, **asked)  # type: ignore[arg-type]
        assert {session.device.precision for session in sessions} == {precision}
    (full, *_) = open_sessions(doubled(), AS_THEY_ARE, device, "f32", libraries=made)
    assert full.device.precision == "f32"


def test_gpus_suit_fp16_and_openvino_bf16_where_the_processor_has_it() -> None:
    suited = {kind: library.suited(kind) for kind, library in installed_libraries().items()}
    assert suited == {"cpu": "f32", "cuda": "fp16", "tensorrt": "fp16", "openvino": precisions()[-1]}


def test_the_device_that_auto_takes_decides_the_precision() -> None:
    missing = HandmadeLibrary(refusal="It is not here.")
    quick = libraries(cuda=HandmadeLibrary(suits="fp16"), openvino=HandmadeLibrary(suits="bf16"))
    for made, precision in ((quick, "fp16"), ({**quick, "cuda": missing}, "bf16"), (libraries(cuda=missing), "f32")):
        (session,) = open_sessions(doubled(), AS_THEY_ARE, "auto", libraries=made)
        assert session.device.precision == precision
    with pytest.raises(DeviceUnavailable, match="No device here has f32"):
        open_sessions(doubled(), AS_THEY_ARE, "auto", libraries=libraries(cuda=missing, openvino=missing, cpu=missing))


class RoundingSession(HandmadeSession):
    """Doubles pictures; in fp16, company changes a result by more than a rounding of f32 does."""

    def __init__(self, plan: Plan, mixes: bool) -> None:
        super().__init__([], (None, 4, 4, 3))
        self.device = ActiveDevice(plan.requested, str(plan.spec), "rounding 1", plan.precision)
        self._error = 0.1 if plan.precision == "fp16" else 1.0 if mixes else 0.0

    def run(self, batch: U8) -> list[F32]:
        return [2.0 * batch.reshape(len(batch), -1).astype(np.float32) + self._error * (len(batch) - 1)]


class RoundingLibrary(HandmadeLibrary):
    """Opens models as `RoundingSession`. `mixes`: these mix pictures up in any precision."""

    def __init__(self, mixes: bool = False) -> None:
        super().__init__(suits="fp16")
        self._mixes = mixes

    def open(self, plan: Plan) -> Session:
        self.plans.append(plan)
        return RoundingSession(plan, self._mixes)


def of_one_picture() -> bytes:
    return model([helper.make_node("Add", ["x", "x"], ["y"])], {}, {"x": [1, 3, 4, 4]}, {"y": [1, 3, 4, 4]})


@pytest.mark.parametrize("device", ["cuda", "cuda:1,0", "tensorrt"])
def test_that_fp16_rounds_otherwise_in_company_does_not_limit_a_batch(
    device: str, caplog: pytest.LogCaptureFixture
) -> None:
    rounding = RoundingLibrary()
    made = libraries(cuda=rounding, tensorrt=rounding)
    assert not batches_alike(RoundingSession(plan("cuda", precision="fp16"), False), ())  # what is not asked any more
    open_sessions(of_one_picture(), AS_THEY_ARE, device, shapes=[(8, 4, 4)], engines=Path("kept"), libraries=made)
    tried, *used = rounding.plans
    assert (tried.precision, tried.spec.kind, len(tried.spec.indices)) == ("f32", "cuda", 1)
    assert tried.model == prepared(of_one_picture(), AS_THEY_ARE, any_batch=True)
    assert {(each.precision, each.spec.kind) for each in used} == {("fp16", device.split(":")[0])}
    assert {each.model for each in used} == {prepared(of_one_picture(), AS_THEY_ARE, half=True, any_batch=True)}
    assert caplog.records == []


def test_a_limit_put_on_a_batch_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    mixing = RoundingLibrary(mixes=True)
    open_sessions(of_one_picture(), AS_THEY_ARE, "cuda", libraries=libraries(cuda=mixing))
    assert mixing.plans[-1].model == prepared(of_one_picture(), AS_THEY_ARE, half=True)
    assert [record.getMessage() for record in caplog.records] == [
        "a model runs one picture at a time on cuda:0: together, two do not give what each gives alone"
    ]


def test_tensorrt_tunes_a_model_of_one_picture_for_one() -> None:
    mixing = RoundingLibrary(mixes=True)
    made = libraries(cuda=mixing, tensorrt=mixing)
    open_sessions(of_one_picture(), AS_THEY_ARE, "tensorrt", shapes=[(1, 4, 4), (8, 4, 4), (1, 8, 8)], libraries=made)
    assert mixing.plans[-1].spec.kind == "tensorrt"
    assert mixing.plans[-1].shapes == ((1, 4, 4), (1, 8, 8))


def test_a_device_that_does_not_start_is_said_to_be_missing_and_not_to_limit_a_batch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(DeviceUnavailable, match="It did not start"):
        open_sessions(of_one_picture(), AS_THEY_ARE, "cuda", libraries=libraries(cuda=HandmadeLibrary(fails=True)))
    assert caplog.records == []


def test_provider_that_must_be_active_comes_first() -> None:
    def chain(device: str) -> list[tuple[str, object]]:
        made = providers(plan(device))
        return [(name.removesuffix("ExecutionProvider"), options.get("device_id")) for name, options in made]

    assert chain("cpu") == [("CPU", None)]
    assert chain("cuda:3") == [("CUDA", "3"), ("CPU", None)]
    assert chain("tensorrt:1") == [("Tensorrt", "1"), ("CUDA", "1"), ("CPU", None)]
    assert providers(plan("cuda:3"))[0][1]["use_tf32"] == "0"


def test_cuda_is_told_whether_channels_come_last_and_other_devices_refuse_it() -> None:
    for nhwc in (False, True):
        library = HandmadeLibrary()
        open_sessions(doubled(), AS_THEY_ARE, "cuda", libraries=libraries(cuda=library), nhwc=nhwc)
        assert {providers(one)[0][1]["prefer_nhwc"] for one in library.plans} == {str(int(nhwc))}
    assert engine_options(load_config(None, ["model.device=cuda:0,1", "model.nhwc=true"])).nhwc
    assert not engine_options(load_config(None, [])).nhwc
    for device in ("auto", "cpu", "tensorrt"):
        with pytest.raises(ConfigInvalid, match=rf"The device is {device}, and model\.nhwc is for device cuda only"):
            EngineOptions(device, nhwc=True)


def test_tensorrt_is_told_the_shapes_and_where_to_keep_what_it_builds(tmp_path: Path) -> None:
    shapes = ((1, 256, 640), (8, 256, 640))
    options = providers(plan("tensorrt", precision="fp16", shapes=shapes, engines=tmp_path))[0][1]
    # Without the first, TensorRT keeps the types of the model, which is in fp16 then.
    assert (options["trt_fp16_enable"], options["trt_cuda_graph_enable"]) == ("0", "0")
    assert options["trt_profile_min_shapes"] == "fr_core.pixels:1x256x640x3"
    assert options["trt_profile_opt_shapes"] == options["trt_profile_max_shapes"] == "fr_core.pixels:8x256x640x3"
    folder = Path(options["trt_engine_cache_path"])
    assert folder.parent == tmp_path
    assert options["trt_timing_cache_path"] == str(folder)
    others = [
        providers(plan("tensorrt", precision="fp16", shapes=[(8, 640, 256)], engines=tmp_path)),
        providers(plan("tensorrt", precision="f32", shapes=shapes, engines=tmp_path)),
        providers(Plan(b"another", parse_device("tensorrt"), "tensorrt", "fp16", shapes=shapes, engines=tmp_path)),
    ]
    assert len({str(folder), *(chain[0][1]["trt_engine_cache_path"] for chain in others)}) == 4
    assert "trt_engine_cache_path" not in providers(plan("tensorrt"))[0][1]


def test_tensorrt_leaves_rows_whose_number_depends_on_the_picture_to_cuda() -> None:
    content = prepared(small_scrfd(flat=True), AS_THEY_ARE, rows=likely_rows(0.4))
    nodes = {output: node for node in onnx.load_model_from_string(content).graph.node for output in node.output}
    excluded = set(providers(plan("tensorrt"))[0][1]["trt_op_types_to_exclude"].split(","))
    last = [nodes[output.name] for output in onnx.load_model_from_string(content).graph.output]
    assert {node.op_type for node in last} == excluded - {"Greater"}
    assert {nodes[node.input[-1]].op_type for node in last} == {"Greater"}
    assert not excluded & {node.op_type for node in nodes.values() if node not in last} - {"Greater"}


def test_a_model_for_pictures_of_several_sizes_has_a_session_for_each() -> None:
    small, large = (
        HandmadeSession([np.ones((1, 2), np.float32)], (None, None, None, 3)),
        HandmadeSession([], (None, None, None, 3)),
    )
    both = SizedSession({(4, 8): small, (16, 8): large})
    assert (both.input_shape, both.device) == (small.input_shape, small.device)
    for batch in (np.zeros((2, 4, 8, 3), np.uint8), np.zeros((1, 16, 8, 3), np.uint8), np.ones((1, 4, 8, 3), np.uint8)):
        both.run(batch)
    assert [len(session.batches) for session in (small, large)] == [2, 1]
    with pytest.raises(ValueError, match="not opened for pictures of 16 x 8"):
        both.run(np.zeros((1, 8, 16, 3), np.uint8))


KEY = "batching.embedder_sizes"
SUIT = (1, 2, 3, 8)


def session(active: str = "cpu", batch: int | None = None) -> HandmadeSession:
    made = HandmadeSession([], (batch, 112, 112, 3))
    made.device = ActiveDevice("auto", active, "handmade 1")
    return made


@pytest.mark.parametrize("text", ["", ",", "1;2", "2,4", "0,1", "-1,1", "1,x", "1,99999", "١"])
def test_batch_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"batching\.embedder_sizes") as refused:
        parse_sizes(text, KEY)
    assert refused.value.metadata == {"key": KEY}


def test_sizes_suit_the_device_and_the_model_and_a_limit_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert (parse_sizes("4, 1,2,2", KEY), parse_sizes("auto", KEY)) == ((1, 2, 4), None)

    def allowed(active: str, batch: int | None = None, limit: int | None = None) -> tuple[int, ...]:
        return allowed_sizes(None, SUIT, session(active, batch), limit, KEY)

    assert allowed("cpu") == allowed("openvino") == SUIT
    assert allowed("cuda:0") == allowed("tensorrt:1") == ACCELERATOR_SIZES
    assert caplog.messages == []
    assert allowed("cuda:0", limit=4) == (1, 2, 4)
    assert caplog.messages == ["batching.embedder_sizes: 4 at most, since the model takes no more"]
    assert allowed("cuda:0", batch=1) == (1,)
    assert allowed_sizes((1, 64), SUIT, session(), None, KEY) == (1, 64)  # what was asked for is never cut
    for sizes, batch, limit, most in (((1, 64), None, 8, 8), ((1, 2), 1, None, 1)):
        with pytest.raises(ConfigInvalid, match=f"batches of {most} at most"):
            allowed_sizes(sizes, SUIT, session(batch=batch), limit, KEY)


@pytest.mark.parametrize("device", ["cpu", "openvino", "auto"])
def test_session_tells_its_shape_its_outputs_and_its_device(device: str) -> None:
    nodes = [helper.make_node("Abs", ["x"], ["positive"]), helper.make_node("Neg", ["x"], ["negative"])]
    shape: list[int | str] = ["n", 3, "h", 8]
    two = model(nodes, {}, {"x": shape}, {"negative": shape, "positive": shape})
    session = open_sessions(two, AS_THEY_ARE, device, threads=1)[0]
    assert (session.input_shape, session.output_names) == ((None, None, 8, 3), ("negative", "positive"))
    assert session.device.requested == device
    if device != "auto":
        assert session.device.active == device
    assert session.device.runtime.split()[0] in {"onnxruntime", "openvino"}
    batch = np.random.default_rng(0).integers(0, 128, (2, 4, 8, 3), np.uint8)
    expected = -batch.transpose(0, 3, 1, 2).astype(np.float32)
    negative, positive = session.run(batch)
    assert np.array_equal(negative, expected)
    assert np.array_equal(positive, -expected)
    # What came out stays as it is when the session runs again.
    session.run(batch * 2)
    assert np.array_equal(negative, expected)


def test_bound_run_gives_what_a_plain_run_gives() -> None:
    session = onnxruntime.InferenceSession(prepared(doubled(), AS_THEY_ARE), providers=["CPUExecutionProvider"])
    device = ActiveDevice("cpu", "cpu", "onnxruntime")
    batches = [np.full((n, 4, 8, 3), n, np.uint8) for n in (1, 2, 3)]
    plain = [OnnxRuntimeSession(session, device, bound=False).run(batch)[0] for batch in batches]
    bound = OnnxRuntimeSession(session, device, bound=True)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(bound.run, batches * 10))
    for expected, (ours,) in zip(plain * 10, found, strict=True):
        assert np.array_equal(ours, expected)


def test_runs_of_two_lanes_go_on_beside_each_other() -> None:
    """By the settings, not by the clock: that two threads are twice as quick is measured, not tested."""
    plan = Plan(b"", DeviceSpec("openvino"), "openvino", "bf16", threads=1, lanes=2)
    assert settings(plan) == {
        "INFERENCE_PRECISION_HINT": "bf16",
        "NUM_STREAMS": "2",
        "ENABLE_CPU_PINNING": "NO",
        "INFERENCE_NUM_THREADS": "2",
    }
    assert "INFERENCE_NUM_THREADS" not in settings(replace(plan, threads=0))


def test_bf16_computes_in_bf16_where_the_processor_has_it() -> None:
    weights = np.random.default_rng(1).standard_normal((8, 3, 3, 3)).astype(np.float32)
    batch = np.random.default_rng(2).integers(0, 256, (1, 16, 16, 3), np.uint8)
    content = convolution(weights, pads=1)
    (full,) = open_sessions(content, AS_THEY_ARE, "openvino", "f32")[0].run(batch)
    if "bf16" not in precisions():
        with pytest.raises(DeviceUnavailable, match="it has f32"):
            open_sessions(content, AS_THEY_ARE, "openvino", "bf16")
        return
    (session,) = open_sessions(content, AS_THEY_ARE, "auto", "bf16")
    assert session.device == ActiveDevice("auto", "openvino", session.device.runtime, "bf16")
    (rough,) = session.run(batch)
    assert not np.array_equal(rough, full)
    assert np.allclose(rough, full, rtol=0.05, atol=0.02 * float(np.abs(full).max()))


# Of two models opened in the main thread, the first is closed first, and in another thread.
SIGNALLED = """
import signal, threading
import numpy as np
from fr_core.runtime.open import open_sessions
from support.engines import AS_THEY_ARE, doubled

sessions = [open_sessions(doubled(), AS_THEY_ARE, "openvino")[0] for _ in range(2)]
for i in range(2):
    sessions[i].run(np.zeros((1, 4, 8, 3), np.uint8))
signal.signal(signal.SIGHUP, lambda number, frame: print("handled"))
closing = threading.Thread(target=sessions.clear)
closing.start()
closing.join()
signal.raise_signal(signal.SIGHUP)
"""


def test_signal_after_models_were_closed_does_not_end_the_process() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SIGNALLED]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (0, "handled\n"), ended.stderr


def test_reason_of_a_failure_is_the_line_that_helps() -> None:
    # As ONNX Runtime 1.26 says it on a machine without a driver, shortened.
    told = (
        "/src/cuda_execution_provider_info.cc:60 FromProviderOptions(const ProviderOptions&) [ONNXRuntimeError] : 1 : "
        'FAIL : Failed to parse provider option "device_id": CUDA failure 35: CUDA driver version is insufficient for '
        "CUDA runtime version ; GPU=-1 ; hostname=vm ; expr=cudaGetDeviceCount(&num_devices);\n\n"
    )
    assert reason(RuntimeError(told)) == (
        "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"
    )
    assert reason(RuntimeError("No library.\nMore.")) == "No library."
    assert reason(RuntimeError()) == "RuntimeError"


def test_device_or_number_that_is_none_is_refused_never_replaced() -> None:
    for numbers, key in (({"threads": -1}, "model.threads"), ({"lanes": 0}, "model.lanes")):
        with pytest.raises(ConfigInvalid) as invalid:
            open_sessions(b"", AS_THEY_ARE, "cpu", **numbers)  # type: ignore[arg-type]
        assert invalid.value.metadata == {"key": key}
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine's ONNX Runtime offers CUDA")
    for device, named in {"cuda": "cuda:0", "cuda:1,2": "cuda:1,2", "tensorrt": "tensorrt:0"}.items():
        with pytest.raises(DeviceUnavailable, match=r"it offers .*CPUExecutionProvider") as caught:
            open_sessions(doubled(), AS_THEY_ARE, device)
        assert caught.value.metadata == {"device": named}


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_lanes_and_photo_threads_stand_back_and_the_loop_does_not() -> None:
    own = niceness()
    lanes: Batcher[int, int] = Batcher("embedder", [lambda batch: [niceness() for _ in batch]], (1,), 1, [0])
    lanes.start()
    assert lanes.run([0]) == [MODELS]
    lanes.close()

    async def at_work() -> list[int]:
        work = Work(1)
        found = [await work.photo(niceness), await work.storage(niceness)]
        hold(Ticket(bulk=True))
        found.append(await work.photo(niceness))
        work.close()
        return [*found, niceness()]

    assert asyncio.run(at_work()) == [PHOTOS, own, PHOTOS, own]


SIZE = 64
OFFSETS = np.array([[-1, -1], [1, -1], [0, 0], [-1, 1], [1, 1]], np.float32)


def outputs(faces: Sequence[tuple[int, int, int, float]], batch: int = 1, flat: bool = False) -> list[F32]:
    """Faces (stride, column, row, score) of 1.5 strides to each side, landmarks one stride from the centre."""
    by_kind: list[list[F32]] = [[], [], []]
    for stride in scrfd.STRIDES:
        cells = SIZE // stride
        scores, boxes, points = (np.zeros((batch, cells * cells * ANCHORS, n), np.float32) for n in (1, 4, 10))
        for its_stride, column, row, score in faces:
            if its_stride == stride:
                at = (row * cells + column) * ANCHORS
                scores[:, at], boxes[:, at], points[:, at] = score, 1.5, OFFSETS.reshape(-1)
        for kind, array in zip(by_kind, (scores, boxes, points), strict=True):
            kind.append(array[0] if flat else array)
    return [array for kind in by_kind for array in kind]


def scrfd_of(made: list[F32]) -> ScrfdDetector:
    (session,) = open_sessions(export_of(made), AS_THEY_ARE, "cpu", rows=likely_rows(0.4))
    return ScrfdDetector(session, detector_spec("scrfd"), ((SIZE, SIZE),))


def tile(value: int = 0) -> U8:
    return np.full((SIZE, SIZE, 3), value, np.uint8)


@pytest.mark.parametrize("stride", scrfd.STRIDES)
@pytest.mark.parametrize("flat", [False, True])  # buffalo_l's SCRFD-10G has no batch axis in its outputs
def test_distances_are_in_strides_from_the_corner_of_the_cell(stride: int, flat: bool) -> None:
    (found,) = scrfd_of(outputs([(stride, 1, 0, 0.8)], flat=flat)).detect_tiles([tile()])
    assert found.boxes.tolist() == [[-0.5 * stride, -1.5 * stride, 2.5 * stride, 1.5 * stride]]
    assert found.landmarks.tolist() == [((OFFSETS + np.array([1, 0])) * stride).tolist()]
    assert found.scores.tolist() == pytest.approx([0.8])


def test_low_scores_and_doubles_go_and_the_best_comes_first() -> None:
    made = outputs([(8, 2, 2, 0.5), (8, 3, 2, 0.7), (8, 6, 6, 0.39), (16, 3, 3, 0.6)])
    (found,) = scrfd_of(made).detect_tiles([tile()])
    # The first is half inside the second; the fourth lies apart and larger.
    assert found.scores.tolist() == pytest.approx([0.7, 0.6])


@pytest.mark.parametrize("flat", [False, True])
def test_each_tile_of_a_batch_gets_its_own_faces(flat: bool) -> None:
    first, second = outputs([(8, 2, 2, 0.5)]), outputs([(8, 1, 4, 0.6), (16, 3, 3, 0.9)])
    if flat:  # as the exporter writes them without a batch axis: row, column, picture, anchor
        both = [
            np.stack([a.reshape(-1, ANCHORS, a.shape[-1]), b.reshape(-1, ANCHORS, b.shape[-1])], axis=1).reshape(
                -1, a.shape[-1]
            )
            for a, b in zip(first, second, strict=True)
        ]
    else:
        both = [np.concatenate(pair) for pair in zip(first, second, strict=True)]
    found = scrfd_of(both).detect_tiles([tile(), tile()])
    alone = [scrfd_of(made).detect_tiles([tile()])[0] for made in (first, second)]
    for ours, theirs in zip(found, alone, strict=True):
        assert np.array_equal(ours.boxes, theirs.boxes)
        assert np.array_equal(ours.scores, theirs.scores)
        assert np.array_equal(ours.landmarks, theirs.landmarks)


def test_a_tile_may_be_wider_than_high_and_higher_than_wide() -> None:
    made = outputs([(8, 1, 2, 0.8)])  # the cell of number 17, of as many as tiles of these shapes have too
    for height, width, row in ((32, 128, 1), (128, 32, 4)):
        (found,) = scrfd_of(made).detect_tiles([np.zeros((height, width, 3), np.uint8)])
        assert found.boxes.tolist() == [[-4, 8 * row - 12, 20, 8 * row + 12]]


POINTS = np.array([[-0.5, -0.5], [0.5, -0.5], [0, 0], [-0.5, 0.5], [0.5, 0.5]], np.float32)
NAMES = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in yunet.STRIDES)


def yunet_outputs(stride: int, column: int, row: int, cls: float, obj: float) -> list[F32]:
    """Outputs for one face: centre a quarter of a cell in, 2 cells wide and 3 high."""
    arrays = {name: np.zeros((1, (SIZE // int(name.split("_")[1])) ** 2, 1), np.float32) for name in NAMES}
    for name in NAMES:
        if name.startswith(("bbox", "kps")):
            arrays[name] = np.repeat(arrays[name], 4 if name.startswith("bbox") else 10, axis=2)
    at = row * (SIZE // stride) + column
    arrays[f"cls_{stride}"][0, at], arrays[f"obj_{stride}"][0, at] = cls, obj
    arrays[f"bbox_{stride}"][0, at] = [0.25, 0.25, np.log(2), np.log(3)]
    arrays[f"kps_{stride}"][0, at] = POINTS.reshape(-1)
    return [arrays[name] for name in NAMES]


def yunet_faces(made: list[F32]) -> tuple[F32, F32, F32]:
    session = HandmadeSession(made, (1, SIZE, SIZE, 3), NAMES)
    tile: U8 = np.zeros((SIZE, SIZE, 3), np.uint8)
    (found,) = YunetDetector(session, detector_spec("yunet"), ((SIZE, SIZE),), 0.3).detect_tiles([tile])
    return found.boxes, found.landmarks, found.scores


@pytest.mark.parametrize("stride", yunet.STRIDES)
def test_centre_and_size_are_in_strides(stride: int) -> None:
    boxes, landmarks, scores = yunet_faces(yunet_outputs(stride, 1, 0, 0.9, 0.4))
    assert np.allclose(boxes, [[0.25 * stride, -1.25 * stride, 2.25 * stride, 1.75 * stride]], atol=1e-4)
    assert np.allclose(landmarks, [(POINTS + np.array([1, 0])) * stride])
    assert scores.tolist() == pytest.approx([0.6])  # the geometric mean of 0.9 and 0.4


def test_score_stays_within_bounds_and_weak_faces_go() -> None:
    assert yunet_faces(yunet_outputs(8, 1, 1, 1.5, 1.2))[2].tolist() == [1.0]
    assert yunet_faces(yunet_outputs(8, 1, 1, -0.5, 0.9))[2].tolist() == []
    assert yunet_faces(yunet_outputs(8, 1, 1, 0.2, 0.4))[2].tolist() == []
