"""Engines that share what they saw: a photo of the test data goes through the models once, not once in each test.

Photos are told apart by the SHA-256 of their files, and engines by their pack and options. Every photo is decoded, and
every engine opened, as ever; only the answers of the models are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fr_core.align import align
from fr_core.engine import Engine, EngineOptions, open_engine
from fr_core.imaging import ImageLimits
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import Pack
from fr_core.pipeline import AnalyzedPhoto, Pipeline
from fr_core.quality.assess import QualityLimits
from fr_core.types import AlignedFace, Detection, EmbeddedFace, Image

# The name of a pack, options, and the SHA-256 of a photo.
_Key = tuple[str, EngineOptions, str]


@dataclass(frozen=True, slots=True)
class Memory:
    """What the models of several engines answered."""

    detections: dict[_Key, tuple[Detection, ...]] = field(default_factory=dict)
    faces: dict[_Key, tuple[EmbeddedFace, ...]] = field(default_factory=dict)

    def open(
        self,
        pack: Pack,
        cache: ModelCache,
        options: EngineOptions,
        images: ImageLimits | None = None,
        quality: QualityLimits | None = None,
    ) -> Engine:
        """As `open_engine`, with a pipeline that remembers; raises what that raises."""
        assert (images or ImageLimits(), quality or QualityLimits()) == (ImageLimits(), QualityLimits())
        engine = open_engine(pack, cache, options, images, quality)
        return replace(engine, pipeline=_Remembering(engine.pipeline, pack.name, options, self))


class _Remembering(Pipeline):
    def __init__(self, pipeline: Pipeline, pack: str, options: EngineOptions, memory: Memory) -> None:
        vars(self).update(vars(pipeline))
        self._pack = pack
        self._options = options
        self._memory = memory

    def analyze_image(self, image: Image) -> AnalyzedPhoto:
        key = self._pack, self._options, image.sha256
        if key not in self._memory.faces:
            self._memory.faces[key] = super().analyze_image(image).faces
        return AnalyzedPhoto(image, self._memory.faces[key])

    def _found(self, image: Image) -> tuple[tuple[Detection, ...], list[AlignedFace]]:
        key = self._pack, replace(self._options, flip=False), image.sha256  # which face is where depends on no flip
        if key not in self._memory.detections:
            self._memory.detections[key] = super()._found(image)[0]
        found = self._memory.detections[key]
        return found, [align(image.pixels, detection.landmarks) for detection in found]
