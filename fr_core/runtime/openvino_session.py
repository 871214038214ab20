"""Models on OpenVINO, on the processor."""

from __future__ import annotations

import threading

import numpy as np
import openvino as ov

from fr_core.errors import DeviceUnavailable
from fr_core.runtime.devices import ActiveDevice
from fr_core.runtime.onnx_graph import PixelInput, prepared
from fr_core.types import F32, U8

_DEVICE = "CPU"


class OpenVinoSession:
    """A model on OpenVINO; `run` may be called from several threads.

    An inference request serves one call at a time and owns the memory of its outputs. Idle requests wait in a list;
    a call takes one, or makes a new one when all are busy, so there are as many as there were calls at once.
    """

    def __init__(self, compiled: ov.CompiledModel, output_names: tuple[str, ...], device: ActiveDevice) -> None:
        shape = compiled.input(0).get_partial_shape()
        self._compiled = compiled
        self._idle: list[ov.InferRequest] = []
        self._lock = threading.Lock()
        self.input_shape = tuple(n.get_length() if n.is_static else None for n in shape)
        self.output_names = output_names
        self.device = device

    def run(self, batch: U8) -> list[F32]:
        """As `Session.run`."""
        with self._lock:
            request = self._idle.pop() if self._idle else None
        if request is None:
            request = self._compiled.create_infer_request()
        request.infer([np.ascontiguousarray(batch)], share_inputs=True)
        outputs = [np.array(request.get_output_tensor(i).data, np.float32) for i in range(len(self.output_names))]
        with self._lock:
            self._idle.append(request)
        return outputs


def open_openvino(model: bytes, pixels: PixelInput, threads: int, requested: str) -> OpenVinoSession:
    """Load a model into OpenVINO.

    Args:
        model: an ONNX file.
        pixels: what the model expects of its input.
        threads: of the inference; 0 lets the library choose.
        requested: the device as the user named it.

    Raises:
        DeviceUnavailable: OpenVINO has no plugin for this machine's processor.
    """
    core = ov.Core()
    if _DEVICE not in core.available_devices:
        raise DeviceUnavailable("OpenVINO was asked for, but it does not support this processor.", device="openvino")
    graph = core.read_model(prepared(model, pixels))
    # f32: where the processor has bf16, OpenVINO would take it by default, with 8 bits of precision. Templates of
    # one gallery must not depend on the machine that made them.
    config = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        config["INFERENCE_NUM_THREADS"] = str(threads)
    compiled = core.compile_model(graph, _DEVICE, config)
    names = tuple(_output_name(output) for output in graph.outputs)
    device = ActiveDevice(requested, "openvino", f"openvino {ov.__version__.split('-')[0]}")
    return OpenVinoSession(compiled, names, device)


def _output_name(output: ov.Output) -> str:
    """The ONNX name; OpenVINO puts the number of its node beside it."""
    names = sorted(output.get_names())
    words = [name for name in names if not name.isdigit()]
    return str((words or names)[0])
