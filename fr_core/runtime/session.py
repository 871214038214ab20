"""The seam between the models and the libraries that run them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from fr_core.runtime.devices import ActiveDevice, DeviceSpec, Precision
from fr_core.types import U8

Output = npt.NDArray[Any]  # of a model: f32, or i64 where it counts

Shape = tuple[int, int, int]  # (pictures, height, width) of one run
PIXELS = "fr_core.pixels"  # name of the input of pixels; no slash and no colon, since TensorRT's options contain it


@dataclass(frozen=True, slots=True)
class PixelInput:
    """The input that a model expects: (channel - mean) / std, the channels in the order `colour`."""

    colour: Literal["RGB", "BGR"]  # channel order of the model
    mean: tuple[float, float, float]  # per channel, in the model's order, subtracted from pixel values 0 to 255
    std: tuple[float, float, float]  # per channel, in the model's order, what the difference is divided by; not 0


@dataclass(frozen=True, slots=True)
class RowFilter:
    """The rows of a detector's outputs that leave the device: those whose score is high enough.

    The file has `levels` outputs of each kind, all of one kind before those of the next, with a row for each anchor of
    each cell: f32[N, cells * anchors, values]. Exports without a batch axis, f32[cells * N * anchors, values], have the
    picture between cell and anchor. `fr_core.runtime.onnx_rows.keep_likely_rows` says what a session gives instead.
    """

    levels: int  # feature maps, the finest first
    anchors: int  # rows of a cell
    values: tuple[int, ...]  # of a row in each kind of output; the first kind has 1, the score
    min_score: float  # rows with a lower score stay on the device


@dataclass(frozen=True, slots=True)
class Plan:
    """One model on one device."""

    model: bytes  # an ONNX file as `fr_core.runtime.onnx_graph.prepared` makes it
    spec: DeviceSpec  # the device, never auto; one index at most
    requested: str  # the device as the user named it
    precision: Precision = "f32"  # of weights and arithmetic; one that the kind of device has
    threads: int = 0  # of one inference on the processor; 0 lets the library choose
    lanes: int = 1  # how many threads will run the model at once, 1 or more
    shapes: tuple[Shape, ...] = ()  # every shape that will be run; empty where that is not known
    # Folder in which TensorRT keeps what it built for later starts; None = it keeps nothing.
    engines: Path | None = None
    nhwc: bool = False  # whether CUDA convolves pictures with their channels last


class Session(Protocol):
    """A model that is loaded and ready; several threads may call `run` at once."""

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Of the model's input, (N, H, W, 3); None where the model takes any number."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """In the order of the model's file."""

    @property
    def device(self) -> ActiveDevice:
        """Return what runs it."""

    def run(self, batch: U8) -> list[Output]:
        """Run the model on pixels, u8[N, H, W, 3] RGB.

        Returns outputs in the order of `output_names`, f32, or i64 where the model counts, the caller's to keep.
        """


def number_type(output: Output) -> type[np.float32 | np.int64]:
    """Return what a session gives an output of a library as."""
    return np.int64 if output.dtype.kind == "i" else np.float32
