"""Models on ONNX Runtime: on the processor, or on a CUDA device, with or without TensorRT."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import (
    EngineError,
    EPFail,
    Fail,
    InvalidArgument,
    NotImplemented,  # noqa: A004 - the library's own name
    RuntimeException,
)

from fr_core.errors import DeviceUnavailable, message
from fr_core.runtime.devices import ActiveDevice
from fr_core.runtime.providers import CPU, picture_sizes, providers
from fr_core.runtime.session import Output, Plan, Session, number_type
from fr_core.types import U8

# ONNX Runtime's levels: 0 verbose, 1 info, 2 warning, 3 error. Warnings name nodes that no user can mend.
_LOG_ERRORS_ONLY = 3

# What the library raises where a device does not work; most of its classes derive from Exception alone.
_DEVICE_FAILURES = (RuntimeError, EngineError, EPFail, Fail, RuntimeException)

FAILURES: tuple[type[Exception], ...] = (*_DEVICE_FAILURES, InvalidArgument, NotImplemented)
"""As `Library.failures`: a device that does not work, or a batch that the model does not take."""


class OnnxRuntimeSession:
    """A model on ONNX Runtime; `run` may be called from several threads (the library allows it).

    `bound`: bind input and outputs, so that the copy of the input to the device is made once, at binding.
    """

    def __init__(self, session: ort.InferenceSession, device: ActiveDevice, bound: bool) -> None:
        self._session = session
        self._bound = bound
        self._input = session.get_inputs()[0].name
        self.input_shape = tuple(n if isinstance(n, int) else None for n in session.get_inputs()[0].shape)
        self.output_names = tuple(str(output.name) for output in session.get_outputs())
        self.device = device

    def run(self, batch: U8) -> list[Output]:
        """As `Session.run`."""
        pixels = np.ascontiguousarray(batch)
        outputs = self._run_bound(pixels) if self._bound else self._session.run(None, {self._input: pixels})
        return [np.asarray(output, number_type(output)) for output in outputs]

    def _run_bound(self, pixels: U8) -> list[Output]:
        # A binding of its own for each call: bindings are cheap, and threads must not share one.
        binding = self._session.io_binding()
        binding.bind_cpu_input(self._input, pixels)
        for name in self.output_names:
            binding.bind_output(name)
        self._session.run_with_iobinding(binding)
        outputs: list[Output] = binding.copy_outputs_to_cpu()
        return outputs


class SizedSession:
    """A model with a session for each size of pictures (height, width).

    TensorRT tunes an engine for one range of shapes, and would run small tiles as it runs the largest. It has engines
    of several ranges, but ONNX Runtime 1.31 cannot change between them (microsoft/onnxruntime#31624).
    """

    def __init__(self, sessions: Mapping[tuple[int, int], Session]) -> None:
        self._sessions = dict(sessions)
        one = next(iter(self._sessions.values()))
        self.input_shape, self.output_names, self.device = one.input_shape, one.output_names, one.device

    def run(self, batch: U8) -> list[Output]:
        """As `Session.run`; raises `ValueError`: it has no session for pictures of that size."""
        _, height, width, _ = batch.shape
        session = self._sessions.get((height, width))
        if session is None:
            raise ValueError(f"the model was not opened for pictures of {width} x {height} pixels")
        return session.run(batch)


def open_onnxruntime(plan: Plan) -> Session:
    """Load a model into ONNX Runtime, and make sure that the provider asked for is the one in use.

    Raises `DeviceUnavailable`: the machine or the driver does not give the device, or the library does not use it.
    """
    sizes = picture_sizes(plan)
    if plan.spec.kind != "tensorrt" or len(sizes) < 2:
        return _opened(plan)
    plans = {size: replace(plan, shapes=tuple(shape for shape in plan.shapes if shape[1:] == size)) for size in sizes}
    return SizedSession({size: _opened(of_size) for size, of_size in plans.items()})


def _opened(plan: Plan) -> OnnxRuntimeSession:
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_ERRORS_ONLY
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = plan.threads
    # Idle threads sleep instead of spinning: several sessions share the cores of one machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    chain = providers(plan)
    wanted, wanted_options = chain[0]
    if wanted != CPU:
        if "trt_engine_cache_path" in wanted_options:
            Path(wanted_options["trt_engine_cache_path"]).mkdir(parents=True, exist_ok=True, mode=0o700)
        ort.preload_dlls()  # finds CUDA and cuDNN in the nvidia wheels, where they are installed that way
    try:
        # enable_fallback=0: the library's own fallback prints and goes on with another device.
        session = ort.InferenceSession(plan.model, options, providers=chain, enable_fallback=0)
    except _DEVICE_FAILURES as error:
        raise DeviceUnavailable(
            message("error.runtime.device_could_not_opened", spec=str(plan.spec), wanted=wanted, reason=reason(error)),
            device=str(plan.spec),
        ) from error
    if session.get_providers()[0] != wanted:
        raise DeviceUnavailable(
            message(
                "error.runtime.device_not_activated",
                spec=str(plan.spec),
                wanted=wanted,
                session=", ".join(session.get_providers()),
            ),
            device=str(plan.spec),
        )
    active = ActiveDevice(plan.requested, str(plan.spec), f"onnxruntime {ort.__version__}", plan.precision)
    return OnnxRuntimeSession(session, active, bound=wanted != CPU)


def reason(error: Exception) -> str:
    """Return what an error of the library says of the device, less the places in its source: one line."""
    told = str(error)
    cuda = re.search(r"CUDA failure \d+: [^;\n]+", told)
    return cuda[0].strip() if cuda else next(iter(told.splitlines()), type(error).__name__)
