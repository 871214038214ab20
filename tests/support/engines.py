"""Engines, sessions, graphs and calibrations that are made by hand, and engines that remember the photos they saw."""

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from fr_core.align import align
from fr_core.embed.null import NULL_MODEL
from fr_core.engine import Engine, EngineOptions, open_engine
from fr_core.imaging import ImageLimits
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import DetectorSpec, Pack, load_pack
from fr_core.pipeline import AnalyzedPhoto, Pipeline
from fr_core.quality.assess import QualityLimits
from fr_core.runtime.devices import ActiveDevice
from fr_core.runtime.session import PixelInput
from fr_core.scoring.calibration import Calibration, Provenance, fit_calibration
from fr_core.types import F32, U8, AlignedFace, Detection, EmbeddedFace, Image, ModelId

_Key = tuple[str, EngineOptions, str]  # the name of a pack, options, and the SHA-256 of a photo


@dataclass(frozen=True, slots=True)
class Memory:
    """Engines that stay open, so that each is opened once, and what they found in photos."""

    engines: dict[tuple[str, EngineOptions], Engine] = field(default_factory=dict)
    detections: dict[_Key, tuple[Detection, ...]] = field(default_factory=dict)
    faces: dict[_Key, tuple[EmbeddedFace, ...]] = field(default_factory=dict)

    def open(
        self,
        pack: Pack,
        cache: ModelCache,
        options: EngineOptions,
        images: ImageLimits | None = None,
        quality: QualityLimits | None = None,
        observer: None = None,
    ) -> Engine:
        """As `open_engine`, with a pipeline that remembers, for a caller who may close it; raises what that raises."""
        assert (images or ImageLimits(), quality or QualityLimits()) == (ImageLimits(), QualityLimits())
        key = pack.name, options
        if key not in self.engines:
            self.engines[key] = open_engine(pack, cache, options)
        engine = self.engines[key]
        return replace(engine, pipeline=_Remembering(engine.pipeline, pack.name, options, self), batchers=())

    def close(self) -> None:
        for engine in self.engines.values():
            engine.close()


class _Remembering(Pipeline):
    def __init__(self, pipeline: Pipeline, pack: str, options: EngineOptions, memory: Memory) -> None:
        vars(self).update(vars(pipeline))
        self._pack = pack
        self._options = options
        self._memory = memory

    def analyze_image(self, image: Image) -> AnalyzedPhoto:
        if not image.sha256:
            return super().analyze_image(image)
        key = self._pack, self._options, image.sha256
        if key not in self._memory.faces:
            self._memory.faces[key] = super().analyze_image(image).faces
        return AnalyzedPhoto(image, self._memory.faces[key])

    def _found(self, image: Image) -> tuple[tuple[Detection, ...], list[AlignedFace]]:
        if not image.sha256:
            return super()._found(image)
        key = self._pack, replace(self._options, flip=False), image.sha256  # which face is where depends on no flip
        if key not in self._memory.detections:
            self._memory.detections[key] = super()._found(image)[0]
        found = self._memory.detections[key]
        return found, [align(image.pixels, detection.landmarks) for detection in found]


class HandmadeSession:
    """Gives the same outputs at each run, as many rows as it was asked; keeps what it was asked."""

    def __init__(self, outputs: list[F32], input_shape: tuple[int | None, ...], names: tuple[str, ...] = ()) -> None:
        self.input_shape = input_shape
        self.output_names = names
        self.device = ActiveDevice("cpu", "cpu", "handmade 1")
        self.batches: list[U8] = []
        self._outputs = outputs

    def run(self, batch: U8) -> list[F32]:
        self.batches.append(np.array(batch))
        return [output[: len(batch)] if output.ndim == 3 else output for output in self._outputs]


def detector_spec(family: str, **changes: Any) -> DetectorSpec:
    pack = load_pack("sface" if family == "yunet" else "buffalo_s")
    plain: dict[str, Any] = {"colour": "RGB", "mean": (0.0,) * 3, "std": (1.0,) * 3, "input_size": None}
    return replace(pack.detector, **{**plain, **changes})


Array = npt.NDArray[Any]
Dim = int | str

AS_THEY_ARE = PixelInput("RGB", (0, 0, 0), (1, 1, 1))


def model(
    nodes: list[onnx.NodeProto],
    stored: dict[str, Array] | None = None,
    inputs: dict[str, list[Dim]] | None = None,
    outputs: dict[str, list[Dim]] | None = None,
) -> bytes:
    """An ONNX file, IR version 10, opset 21; by default from "x" to "y", float32, any batch of any picture."""
    shapes = [inputs or {"x": ["n", 3, "h", "w"]}, outputs or {"y": ["n", "c", "h", "w"]}]
    read, written = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in values.items()]
        for values in shapes
    )
    weights = [numpy_helper.from_array(array, name) for name, array in (stored or {}).items()]
    graph = helper.make_graph(nodes, "g", read, written, weights)
    made: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    ).SerializeToString()
    return made


def convolution(weights: Array, groups: int = 1, pads: int = 0) -> bytes:
    """A model of one convolution; a Tile before it makes the channels it needs of the three of a picture."""
    channels = weights.shape[1] * groups
    repeats = np.array([1, -(-channels // 3), 1, 1], np.int64)
    nodes = [
        helper.make_node("Tile", ["x", "repeats"], ["many"]),
        helper.make_node("Slice", ["many", "first", "last", "axes"], ["some"]),
        helper.make_node("Conv", ["some", "w"], ["y"], group=groups, pads=[pads] * 4),
    ]
    stored = {"first": np.array([0]), "last": np.array([channels]), "axes": np.array([1])}
    return model(nodes, {"repeats": repeats, "w": weights, **stored})


def doubled() -> bytes:
    return model([helper.make_node("Add", ["x", "x"], ["y"])])


NONMATED = 2_000


def calibration(model: ModelId = NULL_MODEL, *, seed: int = 7, nonmated: int = NONMATED) -> Calibration:
    rng = np.random.default_rng(seed)
    provenance = Provenance("made-up", "a" * 64, 50, str(model), date(2026, 11, 25), {"detection": "thorough"})
    mated = np.clip(rng.normal(0.7, 0.15, 500), -1.0, 1.0)
    return fit_calibration(mated, np.clip(rng.normal(0.0, 0.15, nonmated), -1.0, 1.0), provenance, mated_failures=3)
