"""Opening a model on the device that was asked for, or saying that it cannot be had."""

from __future__ import annotations

import importlib.util

from fr_core.errors import ConfigInvalid, DeviceUnavailable
from fr_core.runtime.devices import DeviceSpec, parse_device
from fr_core.runtime.onnx_graph import PixelInput
from fr_core.runtime.onnxruntime_session import offers_cuda, open_onnxruntime
from fr_core.runtime.session import Session


def open_session(model: bytes, pixels: PixelInput, device: str, threads: int) -> Session:
    """Load a model and make sure that the device asked for is the device that runs it.

    `auto` takes CUDA device 0 where ONNX Runtime offers CUDA and it activates, and otherwise the processor with ONNX
    Runtime; `Session.device` tells which. No other device falls back.

    Args:
        model: the bytes of an ONNX file.
        pixels: what the model expects of its input.
        device: auto, cpu, openvino, cuda or cuda:N.
        threads: of one inference on the processor; 0 lets the library choose.

    Raises:
        ConfigInvalid: `device` is none of these, or `threads` is negative.
        DeviceUnavailable: the device is not there, or the library does not use it.
        ValueError: the bytes are no ONNX file, or not one of a model of pictures.
    """
    spec = parse_device(device)
    if threads < 0:
        raise ConfigInvalid(f"The number of threads is {threads}; it must be 0 or more.", key="threads")
    if spec.kind == "openvino":
        return _openvino(model, pixels, threads, device)
    if spec.kind == "auto":
        return _auto(model, pixels, threads, device)
    return open_onnxruntime(model, pixels, spec, threads, device)


def _openvino(model: bytes, pixels: PixelInput, threads: int, requested: str) -> Session:
    if importlib.util.find_spec("openvino") is None:
        raise DeviceUnavailable(
            "OpenVINO was asked for, but it is not installed; it comes with fr-core[cpu].", device="openvino"
        )
    # Not at the head of the file: fr-core[gpu] comes without OpenVINO.
    from fr_core.runtime.openvino_session import open_openvino

    return open_openvino(model, pixels, threads, requested)


def _auto(model: bytes, pixels: PixelInput, threads: int, requested: str) -> Session:
    if offers_cuda():
        try:
            return open_onnxruntime(model, pixels, DeviceSpec("cuda"), threads, requested)
        except DeviceUnavailable:
            pass  # the one permitted fallback; the session's device names what is in use
    return open_onnxruntime(model, pixels, DeviceSpec("cpu"), threads, requested)
