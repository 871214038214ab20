"""Models on ONNX Runtime: on the processor, or on a CUDA device."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from fr_core.errors import DeviceUnavailable
from fr_core.runtime.devices import ActiveDevice, DeviceSpec
from fr_core.runtime.onnx_graph import PixelInput, prepared
from fr_core.types import F32, U8

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"

# ONNX Runtime's levels: 0 verbose, 1 info, 2 warning, 3 error. Warnings name nodes that no user can mend.
_LOG_ERRORS_ONLY = 3


class OnnxRuntimeSession:
    """A model on ONNX Runtime; `run` may be called from several threads (the library allows it)."""

    def __init__(self, session: ort.InferenceSession, device: ActiveDevice) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self.input_shape = tuple(n if isinstance(n, int) else None for n in session.get_inputs()[0].shape)
        self.output_names = tuple(str(output.name) for output in session.get_outputs())
        self.device = device

    def run(self, batch: U8) -> list[F32]:
        """As `Session.run`."""
        outputs = self._session.run(None, {self._input: np.ascontiguousarray(batch)})
        return [np.asarray(output, np.float32) for output in outputs]


def offers_cuda() -> bool:
    """Whether the installed ONNX Runtime was built with CUDA; says nothing of the machine."""
    return _CUDA in ort.get_available_providers()


def open_onnxruntime(
    model: bytes, pixels: PixelInput, spec: DeviceSpec, threads: int, requested: str
) -> OnnxRuntimeSession:
    """Load a model into ONNX Runtime.

    Args:
        model: an ONNX file.
        pixels: what the model expects of its input.
        spec: cpu or cuda.
        threads: within one operator; 0 lets the library choose.
        requested: the device as the user named it.

    Raises:
        DeviceUnavailable: CUDA was asked for, and the library, the machine or the driver does not give it.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_ERRORS_ONLY
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    # Idle threads sleep instead of spinning: several sessions share the cores of one machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = prepared(model, pixels)
    session = _cuda_session(model, options, spec) if spec.kind == "cuda" else _session(model, options, [_CPU])
    active = ActiveDevice(requested, str(spec), f"onnxruntime {ort.__version__}")
    return OnnxRuntimeSession(session, active)


def _session(
    model: bytes, options: ort.SessionOptions, providers: list[str | tuple[str, dict[str, str]]]
) -> ort.InferenceSession:
    # enable_fallback=0: the library's own fallback prints and goes on with another device.
    return ort.InferenceSession(model, options, providers=providers, enable_fallback=0)


def _cuda_session(model: bytes, options: ort.SessionOptions, spec: DeviceSpec) -> ort.InferenceSession:
    if not offers_cuda():
        raise DeviceUnavailable(
            f"The device {spec} was asked for, but the installed ONNX Runtime has no CUDA; it comes with fr-core[gpu].",
            device=str(spec),
        )
    ort.preload_dlls()  # finds CUDA and cuDNN in the nvidia wheels, where they are installed that way
    cuda = {
        "device_id": str(spec.index),
        "cudnn_conv_algo_search": "HEURISTIC",  # EXHAUSTIVE, the default, tunes anew for every batch size
        "use_tf32": "0",  # TF32 rounds inputs to 10 bits; embeddings must agree with those of the processor
    }
    try:
        session = _session(model, options, [(_CUDA, cuda), _CPU])
    except RuntimeError as error:
        raise DeviceUnavailable(f"The device {spec} could not be opened.", device=str(spec)) from error
    if session.get_providers()[0] != _CUDA:
        raise DeviceUnavailable(
            f"The device {spec} was asked for, but ONNX Runtime did not activate it.", device=str(spec)
        )
    return session
