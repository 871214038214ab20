"""The edits that a model's graph gets when it is opened; docs/adr/0009 says why they are made then, not to the files.

Every edit leaves what the model computes as it is, but for `half`, which rounds. In their order:

* Quantised weights are expanded to float32. Files of the OpenCV zoo store each weight as int8 with a
  `DequantizeLinear` that restores it, a scale for each block of values, and the libraries disagree on corner cases of
  that operator: ONNX Runtime refuses to run a block that covers a whole vector (quantize_linear.cc, PrepareForQDQ:
  "block_size must be 0 for per-tensor quantization"), OpenVINO refuses blocks of a vector. The arithmetic is the
  definition of the operator, (x - zero_point) * scale.
* Inputs that no node reads, which the quantiser left behind, go: ONNX Runtime demands a value for each. Inputs that
  have a stored value become constants.
* Narrow grouped convolutions become wider ones, with zeros between, since processors work on 8 channels and more.
* Shapes that were written down for a batch of one go where the model takes any batch: ONNX Runtime would warn at
  each run. Where the file itself says one picture, that goes too if it is asked for, and must then be tried.
* Weights and arithmetic become float16, where that is asked for.
* The input becomes pixels: bytes are a quarter of what floats are, and no float picture is made in Python.
* Of a detector's outputs, likely rows alone come out, where that is asked for.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data

from fr_core.runtime.onnx_rows import keep_likely_rows
from fr_core.runtime.session import PIXELS, PixelInput, RowFilter
from fr_core.types import F32


def keeps_data_outside(model: onnx.ModelProto) -> bool:
    """Return whether any tensor of a model, wherever it stands, is to be read from another file.

    OpenVINO, and onnx itself, read such a file from the folder in which the process happens to run, even where the
    model comes from memory: others who can write there would choose the weights of a model whose bytes were verified.
    """
    return any(uses_external_data(tensor) for tensor in _tensors(model))


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_attributes(function.attribute_proto)
        yield from _of_nodes(function.node)
    for training in model.training_info:
        yield from _of_graph(training.initialization)
        yield from _of_graph(training.algorithm)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    yield from _of_sparse(graph.sparse_initializer)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        yield from _of_attributes(node.attribute)


def _of_attributes(attributes: Iterable[onnx.AttributeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in attributes:
        yield attribute.t
        yield from attribute.tensors
        yield from _of_sparse([attribute.sparse_tensor, *attribute.sparse_tensors])
        for graph in [attribute.g, *attribute.graphs]:
            yield from _of_graph(graph)


def _of_sparse(tensors: Iterable[onnx.SparseTensorProto]) -> Iterator[onnx.TensorProto]:
    for tensor in tensors:
        yield tensor.values
        yield tensor.indices


Array = npt.NDArray[Any]

# Channels that a convolution of one group should have at least: the f32 values of one 256-bit register.
_WIDE = 8

_PREFIX = "fr_core/"


def prepared(
    model: bytes, pixels: PixelInput, half: bool = False, any_batch: bool = False, rows: RowFilter | None = None
) -> bytes:
    """A model that takes pixels, and that every runtime runs well.

    Args:
        model: an ONNX file with one input f32[N, 3, H, W].
        pixels: what that input expects.
        half: weights and arithmetic in float16; the scaling of the pixels and the outputs stay float32.
        any_batch: let a model whose file says one picture take any number. Most do; it must be tried.
        rows: which rows of a detector's outputs come out; None = all outputs as they are.

    Returns an ONNX file with one input u8[N, H, W, 3], RGB, and the same outputs, or those of `keep_likely_rows`.

    Raises `ValueError`: the bytes are not an ONNX file, the model keeps weights in another file, a scale does not fit
    its quantised weight, the model has another input than one f32[N, 3, H, W], or other outputs than `rows` says.
    """
    parsed = _parsed(model)
    graph = parsed.graph
    expand_quantised_weights(graph)
    drop_inputs(graph)
    widen_grouped_convolutions(graph)
    if any_batch:
        _first_dim(graph).ClearField("dim_value")
    free_batch_dimension(graph)
    if half:
        parsed = _half(parsed)
    take_pixels(parsed.graph, pixels)
    if rows is not None:
        keep_likely_rows(parsed.graph, rows)
    return parsed.SerializeToString()


def expand_quantised_weights(graph: onnx.GraphProto) -> None:
    """Replace each `DequantizeLinear` of stored weights by the float32 weights that it gives.

    Raises `ValueError`: a scale does not fit its weight.
    """
    stored = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or any(name not in stored for name in node.input):
            kept.append(node)
            continue
        x, scale, *rest = (numpy_helper.to_array(stored[name]) for name in node.input)
        if x.dtype not in (np.int8, np.uint8) or scale.dtype != np.float32:
            raise ValueError("a quantised weight is neither int8 nor uint8, or its scale is not float32")
        axis, block_size = _integer(node, "axis", 1), _integer(node, "block_size", 0)
        weights = dequantise(x, scale, rest[0] if rest else None, axis, block_size)
        graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
    _replace_nodes(graph, kept)
    _drop_unread_weights(graph)


def dequantise(x: Array, scale: F32, zero_point: Array | None, axis: int, block_size: int) -> F32:
    """`DequantizeLinear` of ONNX, opset 21: per tensor, per axis or per block.

    Args:
        x: int8 or uint8 of any shape.
        scale: one value; or a vector along `axis`; or of x's shape but for `axis`, which counts blocks.
        zero_point: of the scale's shape and x's dtype; None is 0.
        axis: along which scales change.
        block_size: values that share a scale; 0 where there are no blocks.

    Returns f32 of x's shape: (x - zero_point) * scale. Raises `ValueError`: the scale does not fit x.
    """

    def spread(values: Array) -> Array:
        if values.size == 1:
            return values.reshape(())
        if block_size:
            if -(-x.shape[axis] // block_size) != values.shape[axis]:
                raise ValueError("the scale of a quantised weight does not fit the weight")
            return np.repeat(values, block_size, axis=axis).take(np.arange(x.shape[axis]), axis=axis)
        return values.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])

    centred = x.astype(np.int32) - (0 if zero_point is None else spread(zero_point.astype(np.int32)))
    result: F32 = centred.astype(np.float32) * spread(scale)
    if result.shape != x.shape:
        raise ValueError("the scale of a quantised weight does not fit the weight")
    return result


def drop_inputs(graph: onnx.GraphProto) -> None:
    """Leave those inputs alone that a node reads and that have no stored value."""
    read = {name for node in graph.node for name in node.input}
    stored = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.input if value.name in read and value.name not in stored]
    del graph.input[:]
    graph.input.extend(kept)


def widen_grouped_convolutions(graph: onnx.GraphProto) -> None:
    """Join groups of a convolution until each has up to 8 input channels, with weights of 0 across the old groups.

    A convolution of 64 groups of 2 channels takes a quarter of MobileFaceNet's time, for no library has fast code for
    it. Adding 0 * x changes no sum of finite numbers. Depthwise convolutions, of which libraries do have fast code,
    stay as they are.
    """
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for number, node in enumerate(graph.node):
        groups = _integer(node, "group", 1) if node.op_type == "Conv" else 1
        if groups == 1 or node.input[1] not in stored:
            continue
        weights = numpy_helper.to_array(stored[node.input[1]])
        channels = weights.shape[1]
        joined = max(n for n in range(1, groups + 1) if groups % n == 0 and (n == 1 or n * channels <= _WIDE))
        if channels == 1 or joined == 1:
            continue
        name = f"{_PREFIX}wide/{number}"
        graph.initializer.append(numpy_helper.from_array(_widened(weights, groups, joined), name))
        node.input[1] = name
        next(attribute for attribute in node.attribute if attribute.name == "group").i = groups // joined
    _drop_unread_weights(graph)


def _widened(weights: Array, groups: int, joined: int) -> Array:
    """Weights [M, C, ...] of `groups` groups as [M, C * joined, ...] of groups / joined groups."""
    outputs, channels = weights.shape[:2]
    wide = np.zeros((outputs, channels * joined, *weights.shape[2:]), weights.dtype)
    for output in range(outputs):
        start = output // (outputs // groups) % joined * channels
        wide[output, start : start + channels] = weights[output]
    return wide


def free_batch_dimension(graph: onnx.GraphProto) -> None:
    """Take away written shapes that hold for a batch of one only, where the input's batch is free.

    Exporters trace a model with one picture and write 1, or a number of rows that follows from the traced size, as
    first dimension of inner values and outputs. A fixed dimension of an output gets a name instead: the input's where
    it is 1. The shapes of inner values go; every runtime infers them.
    """
    batch = next(iter(_dims(graph.input[0])), None) if len(graph.input) == 1 else None
    if batch is None or batch.HasField("dim_value"):
        return
    batch.dim_param = f"{_PREFIX}batch"
    del graph.value_info[:]
    for number, output in enumerate(graph.output):
        for first in _dims(output)[:1]:
            if first.HasField("dim_value"):
                first.dim_param = batch.dim_param if first.dim_value == 1 else f"{_PREFIX}rows_{number}"


def takes_one_picture(model: bytes) -> bool:
    """Return whether a file says that its model takes one picture at a time.

    Raises `ValueError`: the bytes are not an ONNX file, or not one of a model of pictures.
    """
    graph = _parsed(model).graph
    drop_inputs(graph)
    return bool(_first_dim(graph).dim_value == 1)


def _first_dim(graph: onnx.GraphProto) -> onnx.TensorShapeProto.Dimension:
    _picture_dims(graph)
    return _dims(graph.input[0])[0]


def take_pixels(graph: onnx.GraphProto, pixels: PixelInput) -> None:
    """Put the steps from pixels to the model's input before the graph.

    The bytes become floats before all else: TensorRT knows bytes as an input only, not as an operand. Planes come
    before the arithmetic, which OpenVINO joins to them that way (1.9 ms against 2.3 for SCRFD-500M at 256 pixels).

    Raises `ValueError`: the model has another input than one f32[N, 3, H, W].
    """
    batch, height, width = _picture_dims(graph)
    steps: list[tuple[str, Array | None, dict[str, Any]]] = [
        ("Cast", None, {"to": TensorProto.FLOAT}),
        ("Transpose", None, {"perm": [0, 3, 1, 2]}),
    ]
    if pixels.colour == "BGR":
        steps.append(("Gather", np.array([2, 1, 0], np.int64), {"axis": 1}))
    if any(mean != 0 for mean in pixels.mean):
        steps.append(("Sub", np.array(pixels.mean, np.float32).reshape(1, 3, 1, 1), {}))
    if any(std != 1 for std in pixels.std):
        steps.append(("Div", np.array(pixels.std, np.float32).reshape(1, 3, 1, 1), {}))
    nodes, value = [], PIXELS
    for number, (operator, operand, attributes) in enumerate(steps):
        inputs, name = [value], f"{_PREFIX}input/{number}"
        if operand is not None:
            inputs.append(f"{name}/operand")
            graph.initializer.append(numpy_helper.from_array(operand, inputs[1]))
        value = graph.input[0].name if number == len(steps) - 1 else name
        nodes.append(helper.make_node(operator, inputs, [value], name=name, **attributes))
    _replace_nodes(graph, [*nodes, *graph.node])
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, [batch, height, width, 3]))


def _picture_dims(graph: onnx.GraphProto) -> tuple[int | str, int | str, int | str]:
    """Batch, height and width of the one input; a name where any number is allowed."""
    dims = _dims(graph.input[0]) if len(graph.input) == 1 else []
    is_float = len(dims) == 4 and graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    if not is_float or (dims[1].HasField("dim_value") and dims[1].dim_value != 3):
        raise ValueError("the model has another input than one picture, f32[N, 3, H, W]")
    names = (f"{_PREFIX}batch", f"{_PREFIX}height", f"{_PREFIX}width")
    batch, height, width = (
        int(dim.dim_value) if dim.HasField("dim_value") else name
        for dim, name in zip((dims[0], dims[2], dims[3]), names, strict=True)
    )
    return batch, height, width


def _half(model: onnx.ModelProto) -> onnx.ModelProto:
    # Not at the head of the file: it adds its own folder to the path of imports, and few devices need it.
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
    return converted


def _parsed(model: bytes) -> onnx.ModelProto:
    parsed = onnx.ModelProto()
    try:
        parsed.ParseFromString(model)
    except DecodeError as error:
        raise ValueError("not an ONNX file") from error
    if not parsed.graph.node or not parsed.graph.output:
        raise ValueError("not an ONNX file: it has no graph")
    if keeps_data_outside(parsed):
        raise ValueError("the model keeps weights in another file, which was not verified")
    return parsed


def _dims(value: onnx.ValueInfoProto) -> list[onnx.TensorShapeProto.Dimension]:
    return list(value.type.tensor_type.shape.dim)


def _integer(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), default)


def _replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    kept = list(nodes)
    del graph.node[:]
    graph.node.extend(kept)


def _drop_unread_weights(graph: onnx.GraphProto) -> None:
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    if len(kept) < len(graph.initializer):  # else hundreds of megabytes would be copied for nothing
        del graph.initializer[:]
        graph.initializer.extend(kept)
