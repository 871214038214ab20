"""The runtimes on small models made here: shapes, outputs, and devices that are not there."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from fr_core.errors import ConfigInvalid, DeviceUnavailable
from fr_core.runtime.open import open_session
from handmade_graphs import AS_THEY_ARE, doubled, model


@pytest.mark.parametrize("device", ["cpu", "openvino", "auto"])
def test_session_tells_its_shape_its_outputs_and_its_device(device: str) -> None:
    nodes = [helper.make_node("Abs", ["x"], ["positive"]), helper.make_node("Neg", ["x"], ["negative"])]
    shape: list[int | str] = ["n", 3, "h", 8]
    two = model(nodes, {}, {"x": shape}, {"negative": shape, "positive": shape})
    session = open_session(two, AS_THEY_ARE, device, 1)
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


def test_device_that_is_not_there_is_refused_never_replaced() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine's ONNX Runtime offers CUDA")
    for device in ("cuda", "cuda:1"):
        with pytest.raises(DeviceUnavailable) as caught:
            open_session(doubled(), AS_THEY_ARE, device, 1)
        assert caught.value.metadata == {"device": "cuda:0" if device == "cuda" else device}
    assert open_session(doubled(), AS_THEY_ARE, "auto", 1).device.active == "cpu"


def test_threads_below_zero_are_refused() -> None:
    with pytest.raises(ConfigInvalid):
        open_session(b"", AS_THEY_ARE, "cpu", -1)
