"""From the bytes of a photo to embedded faces: decode, detect, align, embed, assess; the composition, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from fr_core.align import align
from fr_core.detect.multiscale import MultiscaleDetector, Scales
from fr_core.detect.protocol import Detector, TileDetector
from fr_core.detect.scrfd import ScrfdDetector
from fr_core.detect.yunet import YunetDetector
from fr_core.embed.flip import FlipFusion
from fr_core.embed.onnx import OnnxEmbedder
from fr_core.embed.protocol import Embedder
from fr_core.errors import NoFaceFound, SeveralFaces
from fr_core.imaging import ImageLimits, decode
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import DetectorSpec, EmbedderSpec, Pack
from fr_core.quality.assess import QualityLimits, assess
from fr_core.runtime.devices import ActiveDevice
from fr_core.runtime.onnx_graph import PixelInput
from fr_core.runtime.open import open_session
from fr_core.runtime.session import Session
from fr_core.types import EmbeddedFace, Face, Image, ModelId


@dataclass(frozen=True, slots=True, eq=False)
class DetectedPhoto:
    """A photo and its faces, the largest box first."""

    image: Image
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True, eq=False)
class AnalyzedPhoto:
    """A photo and its embedded faces, the largest box first."""

    image: Image
    faces: tuple[EmbeddedFace, ...]


class Pipeline:
    """Photos in, faces out. Holds no state of a call: several threads may use one pipeline at once.

    Args:
        detector: finds faces.
        embedder: embeds them.
        image_limits: what a photo may be.
        quality_limits: what a face should be.
        min_embedding_norm: length of the model's vector below which a face is marked as a weak one; None = not used.
    """

    def __init__(
        self,
        detector: Detector,
        embedder: Embedder,
        image_limits: ImageLimits,
        quality_limits: QualityLimits,
        min_embedding_norm: float | None = None,
    ) -> None:
        self._detector = detector
        self._embedder = embedder
        self._image_limits = image_limits
        self._quality_limits = quality_limits
        self._min_embedding_norm = min_embedding_norm

    @property
    def model(self) -> ModelId:
        """The id that embeddings of this pipeline carry."""
        return self._embedder.model

    @property
    def embedding_size(self) -> int:
        """Number of values of an embedding."""
        return self._embedder.size

    def detect(self, data: bytes) -> DetectedPhoto:
        """Find the faces of an encoded photo; raises what `fr_core.imaging.decode` raises."""
        return self.detect_image(decode(data, self._image_limits))

    def analyze(self, data: bytes) -> AnalyzedPhoto:
        """Find and embed the faces of an encoded photo; raises what `fr_core.imaging.decode` raises."""
        return self.analyze_image(decode(data, self._image_limits))

    def detect_image(self, image: Image) -> DetectedPhoto:
        """Find the faces of a decoded photo; their quality is without the embedding's share."""
        faces = []
        for detection in self._detector.detect(image.pixels):
            aligned = align(image.pixels, detection.landmarks)
            quality = assess(detection, aligned, (image.width, image.height), self._quality_limits)
            faces.append(Face(detection, quality))
        return DetectedPhoto(image, tuple(faces))

    def analyze_image(self, image: Image) -> AnalyzedPhoto:
        """Find and embed the faces of a decoded photo."""
        detections = self._detector.detect(image.pixels)
        aligned = [align(image.pixels, detection.landmarks) for detection in detections]
        faces = []
        for detection, crop, made in zip(detections, aligned, self._embedder.embed(aligned), strict=True):
            quality = assess(
                detection,
                crop,
                (image.width, image.height),
                self._quality_limits,
                embedding_norm=made.norm,
                min_embedding_norm=self._min_embedding_norm,
            )
            faces.append(EmbeddedFace(Face(detection, quality), made.embedding))
        return AnalyzedPhoto(image, tuple(faces))


class FacePolicy(StrEnum):
    """Which faces of a photo count where one is expected."""

    ERROR = "ERROR"
    LARGEST = "LARGEST"
    ALL = "ALL"


def select(faces: Sequence[EmbeddedFace], policy: FacePolicy) -> tuple[EmbeddedFace, ...]:
    """Choose faces of a photo.

    Args:
        faces: the largest box first, as `AnalyzedPhoto` has them.
        policy: ERROR wants exactly one; LARGEST takes the one of the largest box area; ALL takes every one.

    Raises:
        NoFaceFound: there is none.
        SeveralFaces: there is more than one, and the policy is ERROR.
    """
    if not faces:
        raise NoFaceFound("No face was found in the photo.")
    if policy is FacePolicy.ALL:
        return tuple(faces)
    if policy is FacePolicy.ERROR and len(faces) > 1:
        raise SeveralFaces(f"{len(faces)} faces were found in the photo.", count=str(len(faces)))
    return (max(faces, key=lambda face: face.face.detection.area),)


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A pipeline that is ready, the pack it runs, and the device that runs it."""

    pack: Pack
    pipeline: Pipeline
    device: ActiveDevice


def open_pipeline(
    pack: Pack,
    cache: ModelCache,
    device: str = "auto",
    threads: int = 0,
    flip: bool = False,
    image_limits: ImageLimits | None = None,
    quality_limits: QualityLimits | None = None,
) -> Opened:
    """Load a pack's models, verified, onto a device.

    Args:
        pack: whose files must be in the cache.
        cache: where they are; each is read once, and what was hashed is what is loaded.
        device: auto, cpu, openvino, cuda or cuda:N.
        threads: of one inference on the processor; 0 lets the library choose.
        flip: fuse each embedding with that of the mirrored face: twice the time, somewhat more accurate, and a model
            of its own (its embeddings do not compare with plain ones).
        image_limits: what a photo may be; None = the defaults.
        quality_limits: what a face should be; None = the defaults.

    Raises:
        ModelNotInstalled, ModelCorrupt: as `ModelCache.read_verified`.
        ConfigInvalid, DeviceUnavailable: as `fr_core.runtime.open.open_session`.
    """
    detector_session = open_session(cache.read_verified(pack.detector.file), _pixels(pack.detector), device, threads)
    embedder_session = open_session(cache.read_verified(pack.embedder.file), _pixels(pack.embedder), device, threads)
    raw = OnnxEmbedder(embedder_session, pack.embedder, pack.model_id(flip=False))
    pipeline = Pipeline(
        _detector(detector_session, pack.detector),
        FlipFusion(raw, pack.model_id(flip=True)) if flip else raw,
        image_limits or ImageLimits(),
        quality_limits or QualityLimits(),
        pack.embedder.min_embedding_norm,
    )
    return Opened(pack, pipeline, embedder_session.device)


def _pixels(spec: DetectorSpec | EmbedderSpec) -> PixelInput:
    return PixelInput(spec.colour, spec.mean, spec.std)


def _detector(session: Session, spec: DetectorSpec) -> Detector:
    scales = Scales()
    heard = scales.heard * spec.score_threshold
    # Tiles of one photo in one run fill a CUDA device; a processor is full with one.
    batch_sizes = (8, 4, 2, 1) if session.device.active.startswith("cuda") else (1,)
    model: TileDetector
    if spec.family == "yunet":
        model = YunetDetector(session, spec, scales.tile_sizes, heard, batch_sizes)
    else:
        model = ScrfdDetector(session, spec, scales.tile_sizes, heard, batch_sizes)
    return MultiscaleDetector(model, spec.score_threshold, spec.nms_threshold, scales)
