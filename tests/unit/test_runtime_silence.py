"""What libraries would do behind our back: heaps for each thread, and ids of the machine for their makers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    # The control: by itself it leaves both.
    assert {path.name for path in kept_by(SESSION, tmp_path / "its")} >= {"deviceid", "onnxruntime.db"}


# How many heaps the C library has after 4 threads have allocated while all of them lived.
HEAPS = """
import ctypes, re, sys, tempfile, threading
from fr_server.memory import share_one_heap

if sys.argv[1] == "shared":
    share_one_heap()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
together = threading.Barrier(4)

def allocate():
    together.wait()
    library.malloc(ctypes.c_size_t(10_000))
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
library.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(library.fopen(file.name.encode(), b"w"))
    library.malloc_info(0, stream)
    library.fclose(stream)
    print(len(re.findall(b"<heap nr", file.read())))
"""


def heaps(how: str) -> int:
    run = subprocess.run([sys.executable, "-c", HEAPS, how], capture_output=True, text=True, check=True, timeout=60)
    return int(run.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the GNU C library")
def test_threads_share_one_heap() -> None:
    assert heaps("shared") == 1
    assert heaps("own") > 1
