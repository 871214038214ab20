"""Models on OpenVINO, on the processor."""

import threading
from collections.abc import Mapping
from typing import cast

import numpy as np
import openvino as ov
from openvino.passes import ConstantFolding, Manager

from fr_core.errors import DeviceUnavailable, message
from fr_core.runtime.devices import PRECISIONS, ActiveDevice, Precision
from fr_core.runtime.session import Output, Plan, number_type
from fr_core.types import U8

_DEVICE = "CPU"
# One for the process, never closed. The plugin of a core gives a thread a stack for signal handlers, and unmaps it when
# the core is closed, even if the thread still uses it, as happens with two cores or in another thread. The next signal
# would then end the process (class SigAltStackSetup of OpenVINO's CPU plugin).
_CORE = ov.Core()


class OpenVinoSession:
    """A model on OpenVINO; `run` may be called from several threads.

    Each shape is compiled on its own when it is first run: with its shape fixed a model is up to 1.6 times as quick as
    one that takes any (SCRFD-500M, 256 pixels and 640 in turn), and callers keep to a few shapes. An inference request
    serves one call at a time and owns the memory of its outputs, so each thread has its own.

    The first runs of a thread should not be at the same time as those of another: OpenVINO's Python binding looks numpy
    up at its first use, and has been seen to wait for itself when two threads came at once.
    """

    def __init__(self, graph: ov.Model, settings: Mapping[str, str], device: ActiveDevice) -> None:
        self.input_shape = tuple(n.get_length() if n.is_static else None for n in graph.input(0).get_partial_shape())
        self.output_names = tuple(_output_name(output) for output in graph.outputs)
        self.device = device
        self._graph = graph
        self._settings = dict(settings)
        self._compiled: dict[tuple[int, ...], ov.CompiledModel] = {}
        self._compiling = threading.Lock()
        self._requests = threading.local()

    def run(self, batch: U8) -> list[Output]:
        """As `Session.run`."""
        request = self._request(batch.shape)
        request.infer([np.ascontiguousarray(batch)], share_inputs=True)
        outputs = [request.get_output_tensor(i).data for i in range(len(self.output_names))]
        return [np.array(output, number_type(output)) for output in outputs]

    def _request(self, shape: tuple[int, ...]) -> ov.InferRequest:
        own = cast("dict[tuple[int, ...], ov.InferRequest]", self._requests.__dict__)
        request = own.get(shape)
        if request is None:
            with self._compiling:
                if shape not in self._compiled:
                    graph = self._graph.clone()
                    graph.reshape(list(shape))
                    self._compiled[shape] = _CORE.compile_model(graph, _DEVICE, self._settings)
                request = own[shape] = self._compiled[shape].create_infer_request()
        return request


def precisions() -> tuple[Precision, ...]:
    """Return what OpenVINO computes in on this machine's processor; empty where it has no plugin for it."""
    if _DEVICE not in _CORE.available_devices:
        return ()
    return PRECISIONS["openvino"] if "BF16" in _CORE.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES") else ("f32",)


def open_openvino(plan: Plan) -> OpenVinoSession:
    """Load a model into OpenVINO; `precisions` says whether that can be."""
    version = f"openvino {ov.__version__.split('-')[0]}"
    device = ActiveDevice(plan.requested, "openvino", version, plan.precision)
    try:
        graph = _CORE.read_model(plan.model)
    except RuntimeError as error:  # what OpenVINO raises
        raise DeviceUnavailable(message("error.runtime.openvino_cannot_read_model"), device="openvino") from error
    folding = Manager()  # once, as each shape that is compiled would do: a sixth of the time of compiling
    folding.register_pass(ConstantFolding())
    folding.run_passes(graph)
    return OpenVinoSession(graph, settings(plan), device)


def settings(plan: Plan) -> dict[str, str]:
    """The properties with which a model is compiled."""
    chosen = {
        # Said even for f32: where the processor has bf16, OpenVINO would take it by default, with 8 bits of precision.
        "INFERENCE_PRECISION_HINT": plan.precision,
        # A stream runs one inference at a time; with fewer streams than lanes, lanes would wait for each other.
        "NUM_STREAMS": str(plan.lanes),
        # Each compiled model pins its streams to the first cores: detector and embedder would share one core while
        # another idles, and each would run at half its speed.
        "ENABLE_CPU_PINNING": "NO",
    }
    if plan.threads:
        chosen["INFERENCE_NUM_THREADS"] = str(plan.threads * plan.lanes)  # of all streams together
    return chosen


def _output_name(output: ov.Output) -> str:
    """The ONNX name; OpenVINO puts the number of its node beside it."""
    names = sorted(output.get_names())
    words = [name for name in names if not name.isdigit()]
    return str((words or names)[0])
