"""The runtimes on small models made here: shapes, outputs, and devices that are not there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from fr_core.errors import ConfigInvalid, DeviceUnavailable
from fr_core.runtime.devices import ActiveDevice, DeviceSpec
from fr_core.runtime.onnx_graph import prepared
from fr_core.runtime.onnxruntime_session import OnnxRuntimeSession, reason
from fr_core.runtime.open import open_sessions
from fr_core.runtime.openvino_session import precisions, settings
from fr_core.runtime.session import Plan
from support.engines import AS_THEY_ARE, convolution, doubled, model


@pytest.mark.parametrize("device", ["cpu", "openvino", "auto"])
def test_session_tells_its_shape_its_outputs_and_its_device(device: str) -> None:
    nodes = [helper.make_node("Abs", ["x"], ["positive"]), helper.make_node("Neg", ["x"], ["negative"])]
    shape: list[int | str] = ["n", 3, "h", 8]
    two = model(nodes, {}, {"x": shape}, {"negative": shape, "positive": shape})
    session = open_sessions(two, AS_THEY_ARE, device, threads=1)[0]
    assert session.input_shape == (None, None, 8, 3)
    assert session.output_names == ("negative", "positive")
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
    (full,) = open_sessions(content, AS_THEY_ARE, "openvino")[0].run(batch)
    if "bf16" not in precisions():
        with pytest.raises(DeviceUnavailable, match="it has f32"):
            open_sessions(content, AS_THEY_ARE, "openvino", "bf16")
        return
    (session,) = open_sessions(content, AS_THEY_ARE, "auto", "bf16")
    assert session.device == ActiveDevice("auto", "openvino", session.device.runtime, "bf16")
    (rough,) = session.run(batch)
    assert not np.array_equal(rough, full)
    assert np.allclose(rough, full, rtol=0.05, atol=0.02 * float(np.abs(full).max()))


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


def test_device_that_is_not_there_is_refused_never_replaced() -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine's ONNX Runtime offers CUDA")
    for device, named in {"cuda": "cuda:0", "cuda:1,2": "cuda:1,2", "tensorrt": "tensorrt:0"}.items():
        with pytest.raises(DeviceUnavailable, match=r"it offers .*CPUExecutionProvider") as caught:
            open_sessions(doubled(), AS_THEY_ARE, device)
        assert caught.value.metadata == {"device": named}


@pytest.mark.parametrize(("name", "value"), [("threads", -1), ("lanes", 0)])
def test_numbers_out_of_range_are_refused(name: str, value: int) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        open_sessions(b"", AS_THEY_ARE, "cpu", **{name: value})  # type: ignore[arg-type]
    assert caught.value.metadata == {"key": f"model.{name}"}
