"""The information that a library needs to load a model onto one device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fr_core.runtime.devices import DeviceSpec, Precision

Shape = tuple[int, int, int]
"""(pictures, height, width) of one run."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One model on one device.

    Attributes:
        model: an ONNX file as `fr_core.runtime.onnx_graph.prepared` makes it.
        spec: the device, never auto; one index at most.
        requested: the device as the user named it.
        precision: of weights and arithmetic; one that the kind of device has.
        threads: of one inference on the processor; 0 lets the library choose.
        lanes: how many threads will run the model at once, 1 or more.
        shapes: every shape that will be run; empty where that is not known.
        engines: folder in which TensorRT keeps what it built for later starts; None = it keeps nothing.
    """

    model: bytes
    spec: DeviceSpec
    requested: str
    precision: Precision = "f32"
    threads: int = 0
    lanes: int = 1
    shapes: tuple[Shape, ...] = ()
    engines: Path | None = None
