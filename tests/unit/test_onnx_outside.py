"""A model is all of what was hashed: one that keeps weights in another file is refused, whatever that file holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import TensorProto, helper, numpy_helper

from fr_core.runtime.onnx_graph import PixelInput, prepared, takes_one_picture
from fr_core.runtime.onnx_outside import keeps_data_outside
from fr_core.runtime.open import open_sessions

PLAIN = PixelInput("RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
WEIGHTS = np.full((1, 3, 1, 1), 2, np.float32)


def model() -> onnx.ModelProto:
    """Adds up the three channels, twice over."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, 8, 8])
        for name, channels in (("x", 3), ("y", 1))
    ]
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "sum", values[:1], values[1:], [numpy_helper.from_array(WEIGHTS, "w")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    return made


def outside(tensor: TensorProto) -> None:
    """Say of a tensor that its content lies in a file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_weights_of_another_file_are_never_read(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model()
    assert open_sessions(whole.SerializeToString(), PLAIN, device)[0].run(np.ones((1, 8, 8, 3), np.uint8))[0].max() == 6
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    outside(whole.graph.initializer[0])
    monkeypatch.chdir(tmp_path)  # where OpenVINO would find the file
    with pytest.raises(ValueError, match="another file"):
        open_sessions(whole.SerializeToString(), PLAIN, device)


def test_the_control_openvino_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the refusal is for: the same bytes, and what they compute depends on a file beside the process."""
    made = model()
    outside(made.graph.initializer[0])
    monkeypatch.chdir(tmp_path)
    for weight in (1, 5):
        Path("weights.bin").write_bytes((WEIGHTS * 0 + weight).tobytes())
        core = ov.Core()
        compiled = core.compile_model(core.read_model(made.SerializeToString()), "CPU")
        assert compiled(np.ones((1, 3, 8, 8), np.float32))[0].max() == 3 * weight


def test_neither_way_in_takes_them() -> None:
    made = model()
    outside(made.graph.initializer[0])
    with pytest.raises(ValueError, match="another file"):
        prepared(made.SerializeToString(), PLAIN)
    with pytest.raises(ValueError, match="another file"):
        takes_one_picture(made.SerializeToString())


def constant(graph: onnx.GraphProto) -> TensorProto:
    attribute = graph.node.add(op_type="Constant", output=["c"]).attribute.add(name="value")
    attribute.type = onnx.AttributeProto.TENSOR
    return attribute.t


PLACES: dict[str, Callable[[onnx.ModelProto], TensorProto]] = {
    "initializer": lambda made: made.graph.initializer[0],
    "constant": lambda made: constant(made.graph),
    "list of tensors": lambda made: made.graph.node[0].attribute.add(name="all").tensors.add(),
    "sparse values": lambda made: made.graph.sparse_initializer.add().values,
    "sparse indices": lambda made: made.graph.sparse_initializer.add().indices,
    "sparse attribute": lambda made: made.graph.node[0].attribute.add(name="s").sparse_tensor.values,
    "sparse attributes": lambda made: made.graph.node[0].attribute.add(name="s").sparse_tensors.add().indices,
    "graph in a node": lambda made: made.graph.node[0].attribute.add(name="then").g.initializer.add(),
    "graph in a graph": lambda made: constant(made.graph.node[0].attribute.add(name="a").graphs.add()),
    "function": lambda made: made.functions.add().node.add().attribute.add(name="value").t,
    "attribute of a function": lambda made: made.functions.add().attribute_proto.add(name="value").t,
    "training": lambda made: made.training_info.add().algorithm.initializer.add(),
    "initialisation": lambda made: made.training_info.add().initialization.initializer.add(),
}


@pytest.mark.parametrize("place", PLACES)
def test_it_is_found_wherever_it_stands(place: str) -> None:
    made = model()
    tensor = PLACES[place](made)
    assert not keeps_data_outside(made)
    outside(tensor)
    assert keeps_data_outside(made)
