"""Models on OpenVINO, on the processor."""

from __future__ import annotations

import threading

import numpy as np
import openvino as ov

from fr_core.runtime.devices import ActiveDevice, Precision
from fr_core.runtime.plan import Plan
from fr_core.types import F32, U8

_DEVICE = "CPU"


class OpenVinoSession:
    """A model on OpenVINO; `run` may be called from several threads.

    An inference request serves one call at a time and owns the memory of its outputs, so each thread has its own. The
    first runs of a thread should not be at the same time as those of another: OpenVINO makes code for a shape when a
    request first meets it, and its Python binding looks numpy up at its first use, and both have been seen to wait
    for themselves when two threads came at once.
    """

    def __init__(self, compiled: ov.CompiledModel, output_names: tuple[str, ...], device: ActiveDevice) -> None:
        shape = compiled.input(0).get_partial_shape()
        self._compiled = compiled
        self._own = threading.local()
        self.input_shape = tuple(n.get_length() if n.is_static else None for n in shape)
        self.output_names = output_names
        self.device = device

    def run(self, batch: U8) -> list[F32]:
        """As `Session.run`."""
        request = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self._compiled.create_infer_request()
        request.infer([np.ascontiguousarray(batch)], share_inputs=True)
        return [np.array(request.get_output_tensor(i).data, np.float32) for i in range(len(self.output_names))]


def precisions() -> tuple[Precision, ...]:
    """What OpenVINO computes in on this machine's processor; empty where it has no plugin for it."""
    core = ov.Core()
    if _DEVICE not in core.available_devices:
        return ()
    return ("f32", "bf16") if "BF16" in core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES") else ("f32",)


def open_openvino(plan: Plan) -> OpenVinoSession:
    """Load a model into OpenVINO; `precisions` says whether that can be."""
    core = ov.Core()
    graph = core.read_model(plan.model)
    compiled = core.compile_model(graph, _DEVICE, settings(plan))
    names = tuple(_output_name(output) for output in graph.outputs)
    version = f"openvino {ov.__version__.split('-')[0]}"
    return OpenVinoSession(compiled, names, ActiveDevice(plan.requested, "openvino", version, plan.precision))


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
