"""Which device runs the models: what a person may ask for, and what is in use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from fr_core.errors import ConfigInvalid

DeviceKind = Literal["auto", "cpu", "openvino", "cuda"]

_CUDA = re.compile(r"cuda(?::(0|[1-9][0-9]?))?")


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device as it was asked for.

    Attributes:
        kind: auto, cpu (ONNX Runtime), openvino (OpenVINO on the processor) or cuda (ONNX Runtime on a CUDA device).
        index: which CUDA device, from 0; 0 for every other kind.
    """

    kind: DeviceKind
    index: int = 0

    def __str__(self) -> str:
        return f"cuda:{self.index}" if self.kind == "cuda" else self.kind


@dataclass(frozen=True, slots=True)
class ActiveDevice:
    """The device that runs the models, beside the one that was asked for.

    Attributes:
        requested: such as "auto", "cuda:0".
        active: what runs: "cpu", "openvino" or "cuda:N"; never "auto".
        runtime: name and version of the library that runs it, such as "onnxruntime 1.22.0".
    """

    requested: str
    active: str
    runtime: str


def parse_device(text: str) -> DeviceSpec:
    """Read a device's name: auto, cpu, openvino, cuda or cuda:N.

    Raises:
        ConfigInvalid: it is none of these.
    """
    if text == "auto":
        return DeviceSpec("auto")
    if text == "cpu":
        return DeviceSpec("cpu")
    if text == "openvino":
        return DeviceSpec("openvino")
    match = _CUDA.fullmatch(text)
    if match is None:
        raise ConfigInvalid(
            f"{text!r} is not a device; the devices are auto, cpu, openvino, cuda and cuda:N.", key="device"
        )
    return DeviceSpec("cuda", int(match[1] or 0))
