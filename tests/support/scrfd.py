"""Small models with SCRFD's outputs, and what those outputs mean, said once more in plain numpy."""

from collections.abc import Sequence

import numpy as np
from onnx import helper

from fr_core.detect.protocol import TileFaces
from fr_core.runtime.session import Output
from fr_core.types import F32
from support.engines import Array, Dim, model

STRIDES = (8, 16, 32)
ANCHORS = 2
KINDS = (1, 4, 10)
NAMES = [f"{kind}_{stride}" for kind in KINDS for stride in STRIDES]


def export_of(outputs: Sequence[F32]) -> bytes:
    """An ONNX file that gives these nine outputs, whatever it sees."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "mean"], ["zero"]),
    ]
    nodes += [helper.make_node("Add", [f"made_{name}", "zero"], [name]) for name in NAMES]
    stored = {f"made_{name}": output for name, output in zip(NAMES, outputs, strict=True)}
    dims: list[Dim] = ["n", "rows", "v"]
    shapes = {name: dims[-output.ndim :] for name, output in zip(NAMES, outputs, strict=True)}
    return model(nodes, stored, outputs=shapes)


def small_scrfd(flat: bool, batch: Dim = "n", seed: int = 0) -> bytes:
    """An ONNX file of a detector with random weights, as exporters write it.

    `flat`: outputs without a batch axis, as those of buffalo_l's SCRFD-10G.
    """
    rng = np.random.default_rng(seed)
    nodes, stored = [], {}
    for stride in STRIDES:
        side = [stride, stride]
        nodes.append(helper.make_node("AveragePool", ["x"], [f"map_{stride}"], kernel_shape=side, strides=side))
        for kind in KINDS:
            name = f"{kind}_{stride}"
            weights = rng.normal(0, 0.03, (ANCHORS * kind, 3, 1, 1)).astype(np.float32)
            stored[f"w_{name}"] = abs(weights) if kind == 4 else weights  # no box is inside out
            stored[f"s_{name}"] = np.array([-1, kind] if flat else [0, -1, kind])
            perm = [2, 3, 0, 1] if flat else [0, 2, 3, 1]
            last = f"rows_{name}" if kind == 1 else name
            nodes += [
                helper.make_node("Conv", [f"map_{stride}", f"w_{name}"], [f"c_{name}"]),
                helper.make_node("Transpose", [f"c_{name}"], [f"t_{name}"], perm=perm),
                helper.make_node("Reshape", [f"t_{name}", f"s_{name}"], [last]),
            ]
            if kind == 1:
                nodes.append(helper.make_node("Sigmoid", [last], [name]))
    dims: list[Dim] = ["rows", "v"] if flat else [batch, "rows", "v"]
    made: dict[str, Array] = dict(stored)
    return model(nodes, made, {"x": [batch, 3, "h", "w"]}, dict.fromkeys(NAMES, dims))


def faces_of(
    outputs: Sequence[Output], picture: int, pictures: int, width: int, min_score: float, overlap: float
) -> TileFaces:
    """The faces of one picture of a batch, by way of all rows of all nine outputs."""
    found: list[tuple[float, Array, Array]] = []
    for level, stride in enumerate(STRIDES):
        scores, distances, offsets = (
            rows_of(outputs[kind * len(STRIDES) + level], picture, pictures) for kind in range(len(KINDS))
        )
        for row in np.flatnonzero(scores[:, 0] >= min_score):
            corner = np.array([row // ANCHORS % (width // stride), row // ANCHORS // (width // stride)]) * stride
            left_top, right_bottom = corner - distances[row, :2] * stride, corner + distances[row, 2:] * stride
            points = corner + offsets[row].reshape(5, 2) * stride
            found.append((float(scores[row, 0]), np.concatenate([left_top, right_bottom]), points))
    kept: list[tuple[float, Array, Array]] = []
    for face in sorted(found, key=lambda face: -face[0]):
        if all(overlap_of(face[1], other[1]) <= overlap for other in kept):
            kept.append(face)
    if not kept:
        return TileFaces.joined([])
    all_scores, boxes, points = zip(*kept, strict=True)
    return TileFaces(*(np.array(part, np.float32) for part in (boxes, points, all_scores)))


def rows_of(output: Output, picture: int, pictures: int) -> Output:
    """f32[cells * anchors, values] of one picture."""
    by_cell = output if output.ndim == 3 else output.reshape(-1, pictures, ANCHORS, output.shape[-1]).swapaxes(0, 1)
    return np.reshape(by_cell[picture], (-1, output.shape[-1]))


def overlap_of(a: Array, b: Array) -> float:
    """Intersection over union of two boxes; 0 where one has no area."""
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = max(width, 0) * max(height, 0)
    areas = [max(box[2] - box[0], 0) * max(box[3] - box[1], 0) for box in (a, b)]
    return float(shared / (sum(areas) - shared)) if min(areas) > 0 else 0.0
