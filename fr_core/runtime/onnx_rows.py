"""The edit that keeps a detector's unlikely rows on the device; docs/adr/0061 says why it has no limit of rows."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fr_core.runtime.session import RowFilter

_PREFIX = "fr_core/rows/"


def keep_likely_rows(graph: onnx.GraphProto, rows: RowFilter) -> None:
    """Replace a detector's outputs by those of their rows whose score is high enough.

    The new outputs are the numbers of the rows, i64[1, R], and for each kind of output the rows, f32[R, values]; the
    scores, f32[R], come first. Rows count through the levels, in a level through the pictures, in a picture through
    the cells, and in a cell through the anchors. R is as large as the scores make it, and may be 0.

    Only operators that have been the same since opset 9 are used, as the opset is the file's.

    Raises `ValueError`: the graph does not have the outputs that `rows` says.
    """
    outputs = list(graph.output)
    ranks = {len(output.type.tensor_type.shape.dim) for output in outputs}
    if len(outputs) != rows.levels * len(rows.values) or len(ranks) != 1 or not ranks <= {2, 3}:
        raise ValueError("the model has other outputs than its family of detectors")
    batch = graph.input[0].type.tensor_type.shape.dim[0]
    mixed = ranks == {2} and batch.dim_value != 1
    edit = _Edit(graph)
    if mixed:
        shape = edit.add("Shape", [graph.input[0].name], "shape")
        edit.add("Gather", [shape, edit.constant("first", np.array([0]))], "pictures", axis=0)
    joined = []
    for kind, values in enumerate(rows.values):
        levels = [output.name for output in outputs[kind * rows.levels : (kind + 1) * rows.levels]]
        if mixed:
            levels = [edit.sorted_by_picture(name, rows.anchors, values) for name in levels]
        flat = edit.constant(f"flat/{kind}", np.array([-1, values] if kind else [-1]))
        levels = [edit.add("Reshape", [name, flat], f"flat/{name}") for name in levels]
        joined.append(edit.add("Concat", levels, f"all/{kind}", axis=0))
    # At least the score asked for is above the float32 before it: operators for "at least" are newer than some files.
    below = np.nextafter(np.float32(rows.min_score), np.float32(-np.inf))
    likely = edit.add("Greater", [joined[0], edit.constant("below", below)], "likely")
    del graph.output[:]
    edit.give(edit.add("NonZero", [likely], "numbers"), TensorProto.INT64, [1, "rows"])
    for kind, values in enumerate(rows.values):
        kept = edit.add("Compress", [joined[kind], likely], f"kept/{kind}", axis=0)
        edit.give(kept, TensorProto.FLOAT, ["rows", values] if kind else ["rows"])


class _Edit:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph

    def constant(self, name: str, value: Any) -> str:
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), _PREFIX + name))
        return _PREFIX + name

    def add(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self._graph.node.append(helper.make_node(operator, inputs, [_PREFIX + name], _PREFIX + name, **attributes))
        return _PREFIX + name

    def give(self, name: str, kind: int, shape: list[int | str]) -> None:
        self._graph.output.append(helper.make_tensor_value_info(name, kind, shape))

    def sorted_by_picture(self, name: str, anchors: int, values: int) -> str:
        """Sort the rows of an output whose export put the picture between cell and anchor."""
        rest = self.constant(f"rest/{name}", np.array([anchors, values]))
        cells = self.constant(f"cells/{name}", np.array([-1]))
        shape = self.add("Concat", [cells, f"{_PREFIX}pictures", rest], f"shape/{name}", axis=0)
        apart = self.add("Reshape", [name, shape], f"apart/{name}")
        return self.add("Transpose", [apart], f"sorted/{name}", perm=[1, 0, 2, 3])
