"""Quantised weights of an ONNX file, expanded to float32 before any library sees them.

Files of the OpenCV zoo store each weight as int8 with a `DequantizeLinear` that restores it, a scale for each block of
values. The libraries disagree on corner cases of that operator: ONNX Runtime refuses to run a block that covers a
whole vector (quantize_linear.cc, PrepareForQDQ: "block_size must be 0 for per-tensor quantization"), OpenVINO refuses
blocks of a vector. The arithmetic is the definition of the operator, (x - zero_point) * scale, so it is done here,
once, when a file is opened: such a node is left out, and its result takes its place as a weight. Inputs of the graph
that no node reads, which the quantiser left behind under the names of the old weights, go too: ONNX Runtime demands a
value for each. All else stays as it is.

The few protobuf fields that matter are read by hand, so that no ONNX library is needed to run a model. Field numbers
(onnx.proto): ModelProto.graph 7; GraphProto.node 1, .initializer 5, .input 11; ValueInfoProto.name 1;
NodeProto.input 1, .output 2, .op_type 4, .attribute 5; AttributeProto.name 1, .i 3; TensorProto.dims 1, .data_type 2,
.float_data 4, .int32_data 5, .name 8, .raw_data 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fr_core.types import F32

Array = npt.NDArray[Any]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOAT, _UINT8, _INT8 = 1, 2, 3  # TensorProto.DataType
_DTYPES: dict[int, np.dtype[Any]] = {_FLOAT: np.dtype("<f4"), _UINT8: np.dtype("u1"), _INT8: np.dtype("i1")}


class _Field(NamedTuple):
    """One field of a message; `start` is where its tag begins, `value` where its value does, `end` after it."""

    number: int
    wire: int
    start: int
    value: int
    end: int


@dataclass(frozen=True, slots=True)
class _Node:
    """A node of the graph, as far as it matters here."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    integers: Mapping[str, int]


def expand_quantised_weights(model: bytes) -> bytes:
    """Replace each `DequantizeLinear` of stored weights by the float32 weights that it gives.

    Args:
        model: an ONNX file.

    Returns:
        An ONNX file that computes the same; the very same bytes where no weight is quantised.

    Raises:
        ValueError: the bytes are no ONNX file, or a scale does not fit its weight.
    """
    if b"DequantizeLinear" not in model:
        return model
    view = memoryview(model)
    parts: list[bytes | memoryview] = []
    for field in _fields(view, 0, len(view)):
        if field.number == 7:
            graph = _expanded_graph(view, field)
            parts += [_tag(7, len(graph)), graph]
        else:
            parts.append(view[field.start : field.end])
    return b"".join(parts)


def dequantise(x: Array, scale: F32, zero_point: Array | None, axis: int, block_size: int) -> F32:
    """`DequantizeLinear` of ONNX, opset 21: per tensor, per axis or per block.

    Args:
        x: int8 or uint8 of any shape.
        scale: one value; or a vector along `axis`; or of x's shape but for `axis`, which counts blocks.
        zero_point: of the scale's shape and x's dtype; None is 0.
        axis: along which scales change.
        block_size: values that share a scale; 0 where there are no blocks.

    Returns:
        f32 of x's shape: (x - zero_point) * scale.

    Raises:
        ValueError: the scale does not fit x.
    """

    def spread(values: Array) -> Array:
        if values.size == 1:
            return values.reshape(())
        if block_size:
            return np.repeat(values, block_size, axis=axis).take(np.arange(x.shape[axis]), axis=axis, mode="raise")
        return values.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])

    centred = x.astype(np.int32) - (0 if zero_point is None else spread(zero_point.astype(np.int32)))
    result: F32 = centred.astype(np.float32) * spread(scale)
    if result.shape != x.shape:
        raise ValueError("the scale of a quantised weight does not fit the weight")
    return result


def _expanded_graph(view: memoryview, graph: _Field) -> bytes:
    fields = list(_fields(view, graph.value, graph.end))
    stored = {_inner_text(view, field, 8): field for field in fields if field.number == 5}
    nodes = {field: _node(view, field) for field in fields if field.number == 1}
    read = {name for node in nodes.values() for name in node.inputs}
    parts: list[bytes | memoryview] = []
    for field in fields:
        node = nodes.get(field)
        if node is not None and node.op == "DequantizeLinear" and all(name in stored for name in node.inputs):
            parts.append(_weights(view, node, stored))
        elif field.number != 11 or _inner_text(view, field, 1) in read:
            parts.append(view[field.start : field.end])
    return b"".join(parts)


def _weights(view: memoryview, node: _Node, stored: Mapping[str, _Field]) -> bytes:
    """The initializer that takes the place of a `DequantizeLinear` of stored weights."""
    x, scale, *rest = (_tensor(view, stored[name]) for name in node.inputs)
    zero_point = rest[0] if rest else None
    weights = dequantise(x, scale, zero_point, node.integers.get("axis", 1), node.integers.get("block_size", 0))
    return _initializer(node.outputs[0], weights)


def _initializer(name: str, weights: F32) -> bytes:
    dims = b"".join(_number(1, n) for n in weights.shape)
    raw = weights.astype("<f4").tobytes()
    encoded = name.encode()
    body = b"".join((dims, _number(2, _FLOAT), _tag(8, len(encoded)), encoded, _tag(9, len(raw)), raw))
    return _tag(5, len(body)) + body


def _node(view: memoryview, field: _Field) -> _Node:
    parts = list(_fields(view, field.value, field.end))
    texts = {n: tuple(_text(view, part) for part in parts if part.number == n) for n in (1, 2, 4)}
    integers: dict[str, int] = {}
    for attribute in (part for part in parts if part.number == 5):
        inside = {part.number: part for part in _fields(view, attribute.value, attribute.end)}
        if 1 in inside and 3 in inside:
            integers[_text(view, inside[1])] = _signed(_varint(view, inside[3].value, inside[3].end)[0])
    return _Node("".join(texts[4]), texts[1], texts[2], integers)


def _inner_text(view: memoryview, field: _Field, number: int) -> str:
    """The text of one field of a message, "" where it is absent."""
    return "".join(_text(view, part) for part in _fields(view, field.value, field.end) if part.number == number)


def _tensor(view: memoryview, field: _Field) -> Array:
    parts = list(_fields(view, field.value, field.end))
    dims = _numbers(view, [part for part in parts if part.number == 1])
    kind = _numbers(view, [part for part in parts if part.number == 2])
    dtype = _DTYPES.get(kind[0] if kind else 0)
    if dtype is None:
        raise ValueError("a quantised weight is neither int8 nor uint8, or its scale is not float32")
    integers = _numbers(view, [part for part in parts if part.number == 5])
    if integers:
        flat = np.array([_signed(n) for n in integers]).astype(dtype)
    else:  # raw_data, or float_data in its packed form: both are the little-endian values one after another
        flat = np.frombuffer(b"".join(view[part.value : part.end] for part in parts if part.number in (4, 9)), dtype)
    tensor: Array = flat.reshape(dims)
    return tensor


def _numbers(view: memoryview, parts: list[_Field]) -> list[int]:
    """The values of a repeated integer field, packed or not."""
    values: list[int] = []
    for part in parts:
        position = part.value
        while position < part.end:
            value, position = _varint(view, position, part.end)
            values.append(value)
    return values


def _fields(view: memoryview, start: int, end: int) -> Iterator[_Field]:
    position = start
    while position < end:
        tag, value = _varint(view, position, end)
        wire = tag & 7
        if wire == _VARINT:
            after = _varint(view, value, end)[1]
        elif wire == _BYTES:
            length, value = _varint(view, value, end)
            after = value + length
        elif wire in (_FIXED32, _FIXED64):
            after = value + (4 if wire == _FIXED32 else 8)
        else:
            raise ValueError("not an ONNX file: unknown wire type")
        if after > end:
            raise ValueError("not an ONNX file: a field reaches beyond its message")
        yield _Field(tag >> 3, wire, position, value, after)
        position = after


def _varint(view: memoryview, position: int, end: int) -> tuple[int, int]:
    """Read a base-128 number; return it and the position after it."""
    value = shift = 0
    while position < end and shift < 64:
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("not an ONNX file: a number does not end")


def _signed(value: int) -> int:
    """A 64-bit number in two's complement as the signed number that it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _encoded_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(number: int, value: int) -> bytes:
    return _encoded_varint(number << 3 | _VARINT) + _encoded_varint(value)


def _tag(number: int, length: int) -> bytes:
    return _encoded_varint(number << 3 | _BYTES) + _encoded_varint(length)


def _text(view: memoryview, field: _Field) -> str:
    return bytes(view[field.value : field.end]).decode()
