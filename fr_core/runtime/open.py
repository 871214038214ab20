"""Opening a model on the devices that were asked for, or saying that they cannot be had."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fr_core.errors import ConfigInvalid, DeviceUnavailable, message
from fr_core.runtime.devices import (
    AUTO_PRECISION,
    PRECISIONS,
    DeviceKind,
    DeviceSpec,
    Precision,
    parse_device,
    parse_precision,
)
from fr_core.runtime.libraries import Libraries, installed_libraries
from fr_core.runtime.session import PixelInput, Plan, RowFilter, Session, Shape

_log = logging.getLogger(__name__)

# Side of the pictures with which a model of any size is tried: a multiple of every stride.
_PROBE = 64

# What auto tries, in this order.
_AUTO: tuple[DeviceKind, ...] = ("cuda", "openvino", "cpu")


def open_sessions(
    model: bytes,
    pixels: PixelInput,
    device: str = "auto",
    precision: str = AUTO_PRECISION,
    threads: int = 0,
    lanes: int = 1,
    shapes: Sequence[Shape] = (),
    engines: Path | None = None,
    libraries: Libraries | None = None,
    rows: RowFilter | None = None,
    nhwc: bool = False,
) -> list[Session]:
    """Load a model, and make sure that the devices asked for are the devices that run it.

    `auto` takes the first that works and has the precision: CUDA device 0, OpenVINO on the processor, ONNX Runtime on
    the processor; `Session.device` tells which. No other device falls back.

    Args:
        pixels: what the model expects of its input.
        device: auto, cpu, openvino, cuda, cuda:N, cuda:N,M, tensorrt, tensorrt:N or tensorrt:N,M.
        precision: of weights and arithmetic: auto, f32, bf16 (OpenVINO) or fp16 (cuda, tensorrt); auto is fp16 on cuda
            and tensorrt, bf16 with OpenVINO on a processor that computes in it, and f32 elsewhere.
        threads: of one inference on the processor; 0 lets the library choose.
        lanes: how many threads will run the model at once on one device.
        shapes: (pictures, height, width) of every run to come; TensorRT tunes for them.
        engines: folder for what TensorRT builds; None = it is built anew at each start.
        libraries: what runs each kind of device; None = what is installed.
        rows: which rows of a detector's outputs come out; None = all outputs as they are.
        nhwc: have CUDA convolve pictures with their channels last; for other devices it means nothing.

    Returns one session for each device, in the order of its numbers; one where the kind of device has no numbers.

    Raises `ConfigInvalid`: there is no such device or precision, the kind of device never has that precision, or a
    number is out of range; `DeviceUnavailable`: a device is not there, lacks the precision, or the library does not use
    it; `ValueError`: the bytes are not an ONNX file, not one of a model of pictures, or not all of the model, or it has
    other outputs than `rows` says.
    """
    spec = parse_device(device)
    wanted = parse_precision(precision, spec)
    if threads < 0:
        raise ConfigInvalid(message("error.runtime.threads", threads=threads), key="model.threads")
    if lanes < 1:
        raise ConfigInvalid(message("error.runtime.lanes", lanes=lanes), key="model.lanes")
    plan = Plan(b"", spec, device, wanted or "f32", threads, lanes, tuple(shapes), engines, nhwc)
    opener = _Opener(model, pixels, rows, libraries or installed_libraries())
    return [opener.first_of_auto(plan, wanted)] if spec.kind == "auto" else opener.all_of(plan, wanted)


def batches_alike(session: Session, failures: tuple[type[Exception], ...]) -> bool:
    """Return whether two pictures in one run give the numbers that each gives alone, in whatever order.

    The order is that of the family: some exports put the picture between cell and anchor.

    `failures`: what it raises where it cannot run its model so; see `Library.failures`.
    """
    _, height, width, _ = session.input_shape
    noise = np.random.default_rng(0).integers(0, 256, (2, height or _PROBE, width or _PROBE, 3), dtype=np.uint8)
    try:
        alone = [session.run(noise[:1]), session.run(noise[1:])]
        together = session.run(noise)
    except failures:  # that it does not run is the answer
        return False
    for both, *each in zip(together, *alone, strict=True):
        expected = np.sort(np.concatenate([output.ravel() for output in each]))
        if both.size != expected.size or not np.allclose(np.sort(both.ravel()), expected, rtol=1e-2, atol=1e-3):
            return False
    return True


class _OnePicture(Exception):
    """A model does not take several pictures in one run, whatever the reason that it gives."""


class _Opener:
    def __init__(self, model: bytes, pixels: PixelInput, rows: RowFilter | None, libraries: Libraries) -> None:
        self._model = model
        self._pixels = pixels
        self._rows = rows
        self._libraries = libraries

    def all_of(self, plan: Plan, wanted: Precision | None) -> list[Session]:
        from fr_core.runtime.onnx_graph import takes_one_picture  # a library that front-ends do without

        library = self._libraries[plan.spec.kind]
        plan = replace(plan, precision=wanted or library.suited(plan.spec.kind))
        refusal = library.refusal(plan.spec.kind, plan.precision)
        if refusal is not None:
            raise DeviceUnavailable(
                message("error.runtime.device_cannot", spec=str(plan.spec), refusal=refusal), device=str(plan.spec)
            )
        if not takes_one_picture(self._model):
            return self._opened(plan, any_batch=False, rows=self._rows)
        try:
            return self._of_any_batch(plan)
        except _OnePicture as limit:
            # TensorRT refuses to tune for more pictures than the model takes.
            shapes = tuple(shape for shape in plan.shapes if shape[0] == 1)
            sessions = self._opened(replace(plan, shapes=shapes), any_batch=False, rows=self._rows)
            _log.warning("a model runs one picture at a time on %s: %s", plan.spec, limit)
            return sessions

    def _of_any_batch(self, plan: Plan) -> list[Session]:
        """Open a model whose file says one picture for any number of them.

        It is tried in float32: in float16, pictures give other numbers in company, because the library then sums in
        another order. TensorRT would take minutes to build an engine for that, so CUDA tries in its place.

        Raises `_OnePicture`: the library refuses the model so, or it mixes pictures up.
        """
        kind: DeviceKind = "cuda" if plan.spec.kind == "tensorrt" else plan.spec.kind
        tried = replace(plan, spec=DeviceSpec(kind, plan.spec.indices[:1]), precision="f32")
        try:
            sessions = self._opened(tried, any_batch=True, rows=None)  # a picture of noise has no likely row
            if not batches_alike(sessions[0], self._libraries[kind].failures):
                raise _OnePicture("together, two do not give what each gives alone")
            if tried == plan and self._rows is None:
                return sessions
            del sessions  # a model may be large
            return self._opened(plan, any_batch=True, rows=self._rows)
        except DeviceUnavailable as error:
            raise _OnePicture(error.what) from error

    def _opened(self, plan: Plan, any_batch: bool, rows: RowFilter | None) -> list[Session]:
        from fr_core.runtime.onnx_graph import prepared

        kind = plan.spec.kind
        model = prepared(self._model, self._pixels, plan.precision == "fp16", any_batch, rows)
        specs = [DeviceSpec(kind, (index,)) for index in plan.spec.indices] or [plan.spec]
        return [self._libraries[kind].open(replace(plan, model=model, spec=spec)) for spec in specs]

    def first_of_auto(self, plan: Plan, wanted: Precision | None) -> Session:
        """The first device that works; the one permitted fallback, and the session's device names what is in use."""
        refusals = []
        for kind in _AUTO:
            if wanted is not None and wanted not in PRECISIONS[kind]:
                continue
            spec = DeviceSpec(kind, (0,) if kind == "cuda" else ())
            try:
                return self.all_of(replace(plan, spec=spec), wanted)[0]
            except DeviceUnavailable as error:
                refusals.append(error)
        reasons = " ".join(error.what for error in refusals)  # a sentence takes a catalogue, which takes time to read
        raise DeviceUnavailable(
            message("error.runtime.no_device_here", precision=plan.precision, reasons=reasons), device="auto"
        )
