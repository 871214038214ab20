"""Small ONNX models for the tests of the runtimes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from fr_core.runtime.onnx_graph import PixelInput

Array = npt.NDArray[Any]
Dim = int | str

AS_THEY_ARE = PixelInput("RGB", (0, 0, 0), (1, 1, 1))


def model(
    nodes: list[onnx.NodeProto],
    stored: dict[str, Array] | None = None,
    inputs: dict[str, list[Dim]] | None = None,
    outputs: dict[str, list[Dim]] | None = None,
) -> bytes:
    """An ONNX file, IR version 10, opset 21; by default from "x" to "y", float32, any batch of any picture."""
    shapes = [inputs or {"x": ["n", 3, "h", "w"]}, outputs or {"y": ["n", "c", "h", "w"]}]
    read, written = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in values.items()]
        for values in shapes
    )
    weights = [numpy_helper.from_array(array, name) for name, array in (stored or {}).items()]
    graph = helper.make_graph(nodes, "g", read, written, weights)
    made: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    ).SerializeToString()
    return made


def convolution(weights: Array, groups: int = 1, pads: int = 0) -> bytes:
    """A model of one convolution; a Tile before it makes the channels it needs of the three of a picture."""
    channels = weights.shape[1] * groups
    repeats = np.array([1, -(-channels // 3), 1, 1], np.int64)
    nodes = [
        helper.make_node("Tile", ["x", "repeats"], ["many"]),
        helper.make_node("Slice", ["many", "first", "last", "axes"], ["some"]),
        helper.make_node("Conv", ["some", "w"], ["y"], group=groups, pads=[pads] * 4),
    ]
    stored = {"first": np.array([0]), "last": np.array([channels]), "axes": np.array([1])}
    return model(nodes, {"repeats": repeats, "w": weights, **stored})


def doubled() -> bytes:
    """y = 2x."""
    return model([helper.make_node("Add", ["x", "x"], ["y"])])
