"""The runtimes on small models made here: shapes, outputs, quantised weights, and devices that are not there."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fr_core.errors import ConfigInvalid, DeviceUnavailable
from fr_core.runtime.onnx_weights import dequantise, expand_quantised_weights
from fr_core.runtime.open import open_session

Array = npt.NDArray[Any]

FLOAT, INT8 = 1, 3


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, *parts: bytes | str) -> bytes:
    body = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def tensor(name: str, values: Array, kind: int) -> bytes:
    dims = b"".join(number(1, n) for n in values.shape)
    return message(5, dims, number(2, kind), message(8, name), message(9, values.tobytes()))


def value(field: int, name: str, *dims: int | str) -> bytes:
    shape = [message(1, number(1, dim) if isinstance(dim, int) else message(2, dim)) for dim in dims]
    return message(field, message(1, name), message(2, message(1, number(1, FLOAT), message(2, *shape))))


def node(op: str, inputs: list[str], output: str, **integers: int) -> bytes:
    attributes = [message(5, message(1, key), number(3, n), number(20, 2)) for key, n in integers.items()]
    return message(1, *(message(1, name) for name in inputs), message(2, output), message(4, op), *attributes)


def model(*graph: bytes) -> bytes:
    """An ONNX file: IR version 10, opset 21."""
    return number(1, 10) + message(7, *graph, message(2, "g")) + message(8, number(2, 21))


def weighted(q: Array, scale: Array, zero: Array, **integers: int) -> bytes:
    """y = x * DequantizeLinear(q); the graph also has an input that no node reads, as the quantiser leaves them."""
    return model(
        node("DequantizeLinear", ["q", "scale", "zero"], "w", **integers),
        node("Mul", ["x", "w"], "y"),
        tensor("q", q, INT8),
        tensor("scale", scale, FLOAT),
        tensor("zero", zero, INT8),
        value(11, "x", "n", 4),
        value(11, "left_over", 4),
        value(12, "y", "n", 4),
    )


Q = np.array([-8, -1, 0, 7], np.int8)
CASES = {
    # One block that covers a whole vector: ONNX Runtime loads such a file and then fails to run it.
    "one block": (np.array([0.5], np.float32), np.array([1], np.int8), {"axis": 0, "block_size": 4}),
    # Blocks of a vector: OpenVINO fails to load such a file.
    "two blocks": (np.array([0.5, 2.0], np.float32), np.array([1, -2], np.int8), {"axis": 0, "block_size": 2}),
    "each its own": (np.array([1, 2, 3, 4], np.float32), np.zeros(4, np.int8), {"axis": 0}),
}


@pytest.mark.parametrize("device", ["cpu", "openvino"])
@pytest.mark.parametrize("case", CASES)
def test_quantised_weights_run_everywhere_and_mean_the_same(case: str, device: str) -> None:
    scale, zero, integers = CASES[case]
    spread = len(Q) // len(scale)
    expected = (Q.astype(np.float32) - np.repeat(zero, spread)) * np.repeat(scale, spread)
    session = open_session(weighted(Q, scale, zero, **integers), device, 1)
    (y,) = session.run(np.full((2, 4), 10, np.float32))
    assert y.tolist() == [(expected * 10).tolist()] * 2


def test_file_without_quantised_weights_is_the_very_same_bytes() -> None:
    plain = model(node("Relu", ["x"], "y"), value(11, "x", 1, 4), value(12, "y", 1, 4))
    assert expand_quantised_weights(plain) is plain


@pytest.mark.parametrize("spoilt", [b"\xff" * 12, b"\x3f", b"\x3a\x7f", b"\x3a\x05\x0f"])
def test_what_is_no_onnx_file_is_said_to_be_none(spoilt: bytes) -> None:
    with pytest.raises(ValueError, match="not an ONNX file"):
        expand_quantised_weights(spoilt + b"DequantizeLinear")


def test_blocks_of_a_matrix() -> None:
    x = np.arange(10, dtype=np.int8).reshape(2, 5)
    scale = np.array([[1, 10, 100], [2, 20, 200]], np.float32)
    expected = [[0, 1, 20, 30, 400], [10, 12, 140, 160, 1800]]
    assert dequantise(x, scale, None, 1, 2).tolist() == expected


def test_scale_that_does_not_fit_is_refused() -> None:
    with pytest.raises((ValueError, IndexError)):
        dequantise(Q, np.ones(3, np.float32), None, 0, 1)


@pytest.mark.parametrize("device", ["cpu", "openvino", "auto"])
def test_session_tells_its_shape_its_outputs_and_its_device(device: str) -> None:
    two = model(
        node("Relu", ["x"], "positive"),
        node("Neg", ["x"], "negative"),
        value(11, "x", "n", 3, "h", 8),
        value(12, "negative", "n", 3, "h", 8),
        value(12, "positive", "n", 3, "h", 8),
    )
    session = open_session(two, device, 1)
    assert session.input_shape == (None, 3, None, 8)
    assert session.output_names == ("negative", "positive")
    assert session.device.requested == device
    if device != "auto":
        assert session.device.active == device
    assert session.device.runtime.split()[0] in {"onnxruntime", "openvino"}
    batch = np.random.default_rng(0).standard_normal((2, 3, 4, 8)).astype(np.float32)
    negative, positive = session.run(batch)
    assert np.array_equal(negative, -batch)
    assert np.array_equal(positive, np.maximum(batch, 0))
    # What came out stays as it is when the session runs again.
    session.run(batch * 2)
    assert np.array_equal(negative, -batch)


def test_device_that_is_not_there_is_refused_never_replaced() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine's ONNX Runtime offers CUDA")
    plain = model(node("Relu", ["x"], "y"), value(11, "x", 1, 4), value(12, "y", 1, 4))
    for device in ("cuda", "cuda:1"):
        with pytest.raises(DeviceUnavailable) as caught:
            open_session(plain, device, 1)
        assert caught.value.metadata == {"device": "cuda:0" if device == "cuda" else device}
    assert open_session(plain, "auto", 1).device.active == "cpu"


def test_threads_below_zero_are_refused() -> None:
    with pytest.raises(ConfigInvalid):
        open_session(b"", "cpu", -1)
