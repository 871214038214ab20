"""ONNX Runtime tells its makers nothing: no id of the machine is made, and nothing is kept to be sent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SESSION = """
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

tensor = helper.make_tensor_value_info
node = helper.make_node("Relu", ["x"], ["y"])
graph = helper.make_graph([node], "graph", [tensor("x", TensorProto.FLOAT, [1])], [tensor("y", TensorProto.FLOAT, [1])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
session.run(None, {"x": np.ones(1, np.float32)})
"""
# What keeps it silent on the machines of its own tests, too.
SILENT = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY")


def kept_by(script: str, home: Path) -> list[Path]:
    """The files that a process leaves at home."""
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in SILENT}
    # What it sends in spite of all ends here.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **nowhere}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env=environment)
    return [path for path in home.rglob("*") if path.is_file()]


def test_a_session_leaves_no_id_and_nothing_to_send(tmp_path: Path) -> None:
    assert kept_by("import fr_core.runtime" + SESSION, tmp_path / "ours") == []


def test_control_by_itself_it_leaves_both(tmp_path: Path) -> None:
    assert {path.name for path in kept_by(SESSION, tmp_path / "its")} >= {"deviceid", "onnxruntime.db"}
