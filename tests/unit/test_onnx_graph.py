"""Edits of a graph keep what comes out on every runtime; weights elsewhere are refused; runtimes send nothing home."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from fr_core.runtime.onnx_graph import dequantise, keeps_data_outside, prepared, takes_one_picture
from fr_core.runtime.open import open_sessions
from fr_core.runtime.session import PIXELS, PixelInput
from fr_core.types import F32, U8
from support.counts import examples
from support.engines import AS_THEY_ARE, Array, convolution, doubled, model

PACK = PixelInput("BGR", (127.5, 3.0, 100.25), (128.0, 127.5, 3.0))
both_runtimes = pytest.mark.parametrize("device", ["cpu", "openvino"])


def pictures(count: int, height: int, width: int, seed: int = 0) -> U8:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def planes(batch: U8, pixels: PixelInput) -> F32:
    """f32[N, 3, H, W] as `pixels` says, in numpy."""
    ordered = batch[..., ::-1] if pixels.colour == "BGR" else batch
    scaled = (ordered.astype(np.float32) - np.array(pixels.mean, np.float32)) / np.array(pixels.std, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


@both_runtimes
@pytest.mark.parametrize("pixels", [AS_THEY_ARE, PACK])
def test_pixels_are_scaled_as_numpy_scales_them(device: str, pixels: PixelInput) -> None:
    batch = pictures(2, 5, 7)
    session = open_sessions(doubled(), pixels, device, threads=1)[0]
    assert session.input_shape == (None, None, None, 3)
    (y,) = session.run(batch)
    assert np.allclose(y, 2 * planes(batch, pixels), atol=1e-5)


@both_runtimes
def test_border_of_a_padded_convolution_is_padded_with_zeros_after_scaling(device: str) -> None:
    weights = np.random.default_rng(1).standard_normal((2, 3, 3, 3)).astype(np.float32)
    batch = pictures(1, 4, 4)
    (y,) = open_sessions(convolution(weights, pads=1), PACK, device, "f32", threads=1)[0].run(batch)
    padded = np.pad(planes(batch, PACK), ((0, 0), (0, 0), (1, 1), (1, 1)))
    expected = [(padded[0, :, r : r + 3, c : c + 3] * w).sum() for w in weights for r in range(4) for c in range(4)]
    assert np.allclose(y.ravel(), expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    "inputs", [{"x": ["n", 4]}, {"x": ["n", 1, 8, 8]}, {"x": ["n", 3, "h", "w"], "z": ["n", 3, "h", "w"]}]
)
def test_model_of_anything_but_one_picture_is_refused(inputs: dict[str, list[int | str]]) -> None:
    other = model([helper.make_node("Add", ["x", list(inputs)[-1]], ["y"])], {}, inputs, {"y": inputs["x"]})
    with pytest.raises(ValueError, match="another input than one picture"):
        prepared(other, AS_THEY_ARE)


OF_INT32 = model(
    [helper.make_node("DequantizeLinear", ["q", "s"], ["w"]), helper.make_node("Mul", ["x", "w"], ["y"])],
    {"q": np.array(3, np.int32), "s": np.array(2, np.float32)},
)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        *((spoilt, "not an ONNX file") for spoilt in (b"", b"\0" * 100, b"\xff" * 12, b"\x3f", b"\x3a\x7f", b"hello")),
        (b"\x3a\x05\x0f", "not an ONNX file"),
        (OF_INT32, "neither int8 nor uint8"),
    ],
)
def test_file_that_cannot_be_read_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        prepared(content, AS_THEY_ARE)


Q = np.array([-8, -1, 7], np.int8)
CASES: dict[str, tuple[list[float], list[int], dict[str, int]]] = {
    # One block that covers a whole vector: ONNX Runtime loads such a file and then fails to run it.
    "one block": ([0.5], [1], {"axis": 0, "block_size": 3}),
    # Blocks of a vector: OpenVINO fails to load such a file.
    "two blocks": ([0.5, 2.0], [1, -2], {"axis": 0, "block_size": 2}),
    "each its own": ([1, 2, 3], [0, 0, 0], {"axis": 0}),
    "one for all": ([3], [2], {}),
}


def weighted(scale: Array, zero: Array, **integers: Any) -> bytes:
    """y = x * DequantizeLinear(q); the graph also has an input that no node reads, as the quantiser leaves them."""
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["v"], **integers),
        helper.make_node("Reshape", ["v", "shape"], ["w"]),
        helper.make_node("Mul", ["x", "w"], ["y"]),
    ]
    stored = {"q": Q, "scale": scale, "zero": zero, "shape": np.array([3, 1, 1])}
    return model(nodes, stored, {"x": ["n", 3, "h", "w"], "left_over": [4]})


@both_runtimes
@pytest.mark.parametrize("case", CASES)
def test_quantised_weights_run_everywhere_and_mean_the_same(case: str, device: str) -> None:
    scales, zeros, integers = CASES[case]
    scale, zero = np.array(scales, np.float32), np.array(zeros, np.int8)
    spread = -(-len(Q) // len(scale))
    expected = (Q.astype(np.float32) - np.repeat(zero, spread)[:3]) * np.repeat(scale, spread)[:3]
    session = open_sessions(
        weighted(scale if len(scale) > 1 or integers else scale[0], zero if integers else zero[0], **integers),
        AS_THEY_ARE,
        device,
        threads=1,
    )[0]
    (y,) = session.run(np.full((2, 1, 1, 3), 10, np.uint8))
    assert y.reshape(2, 3).tolist() == [(expected * 10).tolist()] * 2


def test_blocks_of_a_matrix() -> None:
    x = np.arange(10, dtype=np.int8).reshape(2, 5)
    scale = np.array([[1, 10, 100], [2, 20, 200]], np.float32)
    expected = [[0, 1, 20, 30, 400], [10, 12, 140, 160, 1800]]
    assert dequantise(x, scale, None, 1, 2).tolist() == expected


@pytest.mark.parametrize(("scales", "block_size"), [(2, 1), (4, 1), (2, 0)])
def test_scale_that_does_not_fit_is_refused(scales: int, block_size: int) -> None:
    assert dequantise(Q, np.ones(1, np.float32), None, 0, 2).tolist() == Q.tolist()  # one scale fits all
    with pytest.raises(ValueError):
        dequantise(Q, np.ones(scales, np.float32), None, 0, block_size)


@settings(max_examples=examples(40))
@given(
    groups=st.integers(2, 12),
    channels=st.integers(1, 9),
    per_group=st.integers(1, 3),
    kernel=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
def test_widened_convolution_computes_the_same(
    groups: int, channels: int, per_group: int, kernel: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-9, 10, (groups * per_group, channels, kernel, kernel)).astype(np.float32)
    batch = pictures(2, 5, 4, seed)
    original = convolution(weights, groups, kernel // 2)
    (y,) = open_sessions(original, AS_THEY_ARE, "cpu", threads=1)[0].run(batch)
    # The reference: each group by itself, in numpy, on whole numbers, so that sums are exact in any order.
    x = np.tile(planes(batch, AS_THEY_ARE), (1, 12 * 9 // 3, 1, 1))[:, : groups * channels]
    padded = np.pad(x, ((0, 0), (0, 0), (kernel // 2,) * 2, (kernel // 2,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))
    expected = [
        np.einsum("nchwij,cij->nhw", windows[:, m // per_group * channels :][:, :channels], weights[m])
        for m in range(len(weights))
    ]
    assert np.array_equal(y, np.stack(expected, axis=1))
    edited = onnx.load_model_from_string(prepared(original, AS_THEY_ARE)).graph
    (node,) = (node for node in edited.node if node.op_type == "Conv")
    remaining = next(attribute.i for attribute in node.attribute if attribute.name == "group")
    if channels == 1 or channels * 2 > 8:
        assert remaining == groups
    elif groups % 2 == 0:
        assert remaining < groups


def test_batch_written_as_one_is_freed_where_the_input_takes_any(capfd: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    nodes = [helper.make_node("Relu", ["x"], ["inner"]), helper.make_node("Flatten", ["inner"], ["y"])]
    traced = onnx.load_model_from_string(model(nodes, {}, {"x": ["n", 3, 2, 2]}, {"y": [1, 12]}))
    traced.graph.value_info.append(helper.make_tensor_value_info("inner", onnx.TensorProto.FLOAT, [1, 3, 2, 2]))
    content = traced.SerializeToString()
    made = onnx.load_model_from_string(prepared(content, AS_THEY_ARE))
    first = made.graph.output[0].type.tensor_type.shape.dim[0]
    assert first.dim_param
    assert first.dim_param == made.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    # ONNX Runtime writes a warning for each run where the shape does not fit.
    batch = {PIXELS: pictures(2, 2, 2)}
    onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, batch)
    assert "does not match" not in capfd.readouterr().err
    plain = {"x": np.zeros((2, 3, 2, 2), np.float32)}
    onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, plain)
    assert "does not match" in capfd.readouterr().err  # the control


def test_half_keeps_pixels_and_outputs_in_float32() -> None:
    weights = np.random.default_rng(1).standard_normal((2, 3, 3, 3)).astype(np.float32) / 9
    batch = pictures(2, 8, 8)
    content = convolution(weights, pads=1)
    made = onnx.load_model_from_string(prepared(content, PACK, half=True))
    assert made.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    (kernel,) = (tensor for tensor in made.graph.initializer if tensor.dims[-2:] == [3, 3])
    assert kernel.data_type == onnx.TensorProto.FLOAT16
    assert [node.op_type for node in made.graph.node][:5] == ["Cast", "Transpose", "Gather", "Sub", "Div"]
    import onnxruntime

    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    (halved,) = session.run(None, {PIXELS: batch})
    (full,) = open_sessions(content, PACK, "cpu", threads=1)[0].run(batch)
    assert np.allclose(halved, full, rtol=0.01, atol=0.05)
    assert not np.array_equal(halved, full)


def one_picture(shape: Array) -> bytes:
    """A model whose file says one picture; it lays 2x out in `shape`."""
    nodes = [helper.make_node("Add", ["x", "x"], ["z"]), helper.make_node("Reshape", ["z", "shape"], ["y"])]
    return model(nodes, {"shape": shape}, {"x": [1, 3, 4, 4]}, {"y": [1, "m"]})


@both_runtimes
@pytest.mark.parametrize("shape", [[-1, 48], [1, -1]])
def test_model_of_one_picture_takes_more_where_it_gives_the_same(device: str, shape: list[int]) -> None:
    session = open_sessions(one_picture(np.array(shape, np.int64)), PACK, device, threads=1)[0]
    assert session.input_shape == (None, 4, 4, 3)
    batch = pictures(3, 4, 4)
    (y,) = session.run(batch)
    assert np.allclose(y.reshape(3, -1), 2 * planes(batch, PACK).reshape(3, -1), atol=1e-4)


@both_runtimes
def test_model_that_cannot_take_more_or_mixes_its_pictures_stays_as_its_file_says(device: str) -> None:
    session = open_sessions(one_picture(np.array([1, 48], np.int64)), PACK, device, threads=1)[0]
    assert session.input_shape == (1, 4, 4, 3)
    (y,) = session.run(pictures(1, 4, 4))
    assert y.shape == (1, 48)
    nodes = [helper.make_node("ReduceMean", ["x", "axes"], ["m"]), helper.make_node("Sub", ["x", "m"], ["y"])]
    mixing = model(nodes, {"axes": np.array([0], np.int64)}, {"x": [1, 3, 4, 4]}, {"y": [1, 3, 4, 4]})
    assert open_sessions(mixing, PACK, device, threads=1)[0].input_shape == (1, 4, 4, 3)
    fixed = model([helper.make_node("Add", ["x", "x"], ["y"])], {}, {"x": [1, 3, 4, 6]}, {"y": [1, 3, 4, 6]})
    assert open_sessions(fixed, AS_THEY_ARE, device, threads=1)[0].input_shape == (None, 4, 6, 3)


WEIGHTS = np.full((1, 3, 1, 1), 2, np.float32)


def summing() -> onnx.ModelProto:
    """Adds up the three channels, twice over."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    made = model(nodes, {"w": WEIGHTS}, {"x": ["n", 3, 8, 8]}, {"y": ["n", 1, 8, 8]})
    return onnx.load_model_from_string(made)


def outside(tensor: TensorProto) -> None:
    """Say of a tensor that its content lies in a file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"


@both_runtimes
def test_weights_of_another_file_are_never_read(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = summing()
    (session, *_) = open_sessions(whole.SerializeToString(), AS_THEY_ARE, device)
    assert session.run(np.ones((1, 8, 8, 3), np.uint8))[0].max() == 6
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    outside(whole.graph.initializer[0])
    monkeypatch.chdir(tmp_path)  # where OpenVINO would find the file
    with pytest.raises(ValueError, match="another file"):
        open_sessions(whole.SerializeToString(), AS_THEY_ARE, device)


def test_the_control_openvino_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is needed: the same bytes compute something that depends on a file beside the process."""
    made = summing()
    outside(made.graph.initializer[0])
    monkeypatch.chdir(tmp_path)
    core = ov.Core()  # two that overlap would leave this thread without its stack for signals
    for weight in (1, 5):
        Path("weights.bin").write_bytes((WEIGHTS * 0 + weight).tobytes())
        compiled = core.compile_model(core.read_model(made.SerializeToString()), "CPU")
        assert compiled(np.ones((1, 3, 8, 8), np.float32))[0].max() == 3 * weight


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
    made = summing()
    tensor = PLACES[place](made)
    assert not keeps_data_outside(made)
    outside(tensor)
    assert keeps_data_outside(made)
    if place == "initializer":
        with pytest.raises(ValueError, match="another file"):
            takes_one_picture(made.SerializeToString())


SESSION = f"""
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession({doubled()!r}, providers=["CPUExecutionProvider"])
session.run(None, {{"x": np.ones((1, 3, 1, 1), np.float32)}})
"""
# What keeps them silent on the machines of tests, too.
SILENT = ("CI", "GITHUB_ACTIONS", "JENKINS_URL", "TF_BUILD", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY")


def kept_by(script: str, home: Path) -> list[Path]:
    """The files that a process leaves at home."""
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in SILENT}
    # What it sends in spite of all ends here.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **nowhere}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env=environment)
    return [path for path in home.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("script", "kept"),
    [(SESSION, {"deviceid", "onnxruntime.db"}), ("\nimport openvino", {"openvino_ga_cid"})],
    ids=["ONNX Runtime", "OpenVINO"],
)
def test_a_runtime_leaves_no_id_and_nothing_to_send(tmp_path: Path, script: str, kept: set[str]) -> None:
    assert kept_by("import fr_core.runtime" + script, tmp_path / "ours") == []
    # The control: what it leaves by itself.
    assert {path.name for path in kept_by(script, tmp_path / "its")} >= kept


# How many heaps the C library has after 32 threads have allocated on one core while all of them lived.
HEAPS = """
import ctypes, os, re, sys, tempfile, threading
from fr_server.memory import share_heaps

os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
if sys.argv[1] == "shared":
    share_heaps()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
together = threading.Barrier(32)

def allocate():
    together.wait()
    library.malloc(ctypes.c_size_t(10_000))
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(32)]
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
def test_threads_share_two_heaps_for_each_core() -> None:
    assert heaps("shared") == 2
    assert heaps("own") > 2
