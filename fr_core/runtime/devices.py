"""Chooses the device and the precision of the models, from what was asked for and what is available."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from fr_core.errors import ConfigInvalid, message

DeviceKind = Literal["auto", "cpu", "openvino", "cuda", "tensorrt"]
Precision = Literal["f32", "bf16", "fp16"]

PRECISIONS: dict[DeviceKind, tuple[Precision, ...]] = {
    "auto": get_args(Precision),
    "cpu": ("f32",),
    "openvino": ("f32", "bf16"),
    "cuda": ("f32", "fp16"),
    "tensorrt": ("f32", "fp16"),
}
"""The precisions of each device; `auto` takes a device that has the requested one."""

AUTO_PRECISION = "auto"
"""Asks for the precision that suits the device: see `Library.suited`."""

_DEVICES = "auto, cpu, openvino, cuda, cuda:N, cuda:N,M, tensorrt, tensorrt:N and tensorrt:N,M"
_INDEX = "(?:0|[1-9][0-9]?)"
_INDEXED = re.compile(f"(cuda|tensorrt)(?::({_INDEX}(?:,{_INDEX})*))?")


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device as it was asked for."""

    # Auto, cpu (ONNX Runtime), openvino (OpenVINO on the processor), or cuda or tensorrt (ONNX Runtime with that
    # provider on CUDA devices).
    kind: DeviceKind
    indices: tuple[int, ...] = ()  # which CUDA devices, from 0, each once; empty for kinds that have no numbers

    @property
    def accelerated(self) -> bool:
        """Return whether this is no processor, but a device, or several, that work beside it."""
        return self.kind in ("cuda", "tensorrt")

    def __str__(self) -> str:
        return f"{self.kind}:{','.join(map(str, self.indices))}" if self.indices else self.kind


@dataclass(frozen=True, slots=True)
class ActiveDevice:
    """The device that runs the models, beside the one that was asked for."""

    requested: str  # such as "auto", "cuda:0,1"
    active: str  # what runs: "cpu", "openvino", "cuda:0", "cuda:0,1", "tensorrt:0" and so on; never "auto"
    runtime: str  # name and version of the library that runs it, such as "onnxruntime 1.32.0"
    precision: Precision = "f32"  # of weights and arithmetic

    @property
    def spec(self) -> DeviceSpec:
        """Return what runs, read."""
        return parse_device(self.active)

    @property
    def kind(self) -> DeviceKind:
        """Of what runs; never auto."""
        return self.spec.kind

    @property
    def accelerated(self) -> bool:
        """As `DeviceSpec.accelerated`, of what runs."""
        return self.spec.accelerated


def as_one(devices: Sequence[ActiveDevice]) -> ActiveDevice:
    """The device of one session, or those of several, of one kind, as one: cuda:0,1."""
    indices = tuple(index for device in devices for index in device.spec.indices)
    return replace(devices[0], active=str(DeviceSpec(devices[0].kind, indices)))


def parse_device(text: str) -> DeviceSpec:
    """Read a device's name: auto, cpu, openvino, cuda, cuda:N, cuda:N,M, and the same with tensorrt.

    Raises `ConfigInvalid`: it is none of these, or names a number twice.
    """
    for kind in ("auto", "cpu", "openvino"):
        if text == kind:
            return DeviceSpec(kind)
    match = _INDEXED.fullmatch(text)
    if match is None:
        raise ConfigInvalid(message("error.runtime.no_device", text=text, devices=_DEVICES), key="model.device")
    indices = tuple(int(number) for number in (match[2] or "0").split(","))
    if len(set(indices)) < len(indices):
        raise ConfigInvalid(message("error.runtime.device_names_number_twice", text=text), key="model.device")
    return DeviceSpec("cuda" if match[1] == "cuda" else "tensorrt", indices)


def parse_precision(text: str, spec: DeviceSpec) -> Precision | None:
    """Read a precision that the kind of device has; None for "auto".

    Raises `ConfigInvalid`: there is no such precision, or that kind of device never has it.
    """
    if text == AUTO_PRECISION:
        return None
    precision: Precision | None = next((known for known in get_args(Precision) if known == text), None)
    if precision is None:
        names = _names((AUTO_PRECISION, *get_args(Precision)))
        raise ConfigInvalid(
            message("error.runtime.no_precision", text=text, names=" and ".join(names)), key="model.precision"
        )
    if precision not in PRECISIONS[spec.kind]:
        raise ConfigInvalid(
            message(
                "error.runtime.device_without_precision",
                spec=str(spec),
                text=text,
                precisions=" and ".join(PRECISIONS[spec.kind]),
            ),
            key="model.precision",
        )
    return precision


def _names(values: tuple[str, ...]) -> tuple[str, str]:
    return ", ".join(values[:-1]), values[-1]
