"""Turns the bytes of a photo into embedded faces: decode, detect, align, embed, assess."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fr_core.align import align
from fr_core.detect.protocol import Detector
from fr_core.embed.protocol import Embedder, EmbeddingWithNorm
from fr_core.errors import NoFaceFound, SeveralFaces, TooManyFaces, message
from fr_core.imaging import Decoder, ImageLimits, PlainDecoder
from fr_core.quality.assess import QualityLimits, assess
from fr_core.quality.prominent import PassedOver, prominent
from fr_core.runtime.observe import NullObserver, Observer
from fr_core.types import AlignedFace, Detection, EmbeddedFace, Face, Image, ModelId


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
        min_embedding_norm: length of the model's vector below which a face is marked as a weak one; None = not used.
        observer: is told of each step and each photo.
        decoder: decodes photos, and is closed with the pipeline; None = this process does.
    """

    def __init__(
        self,
        detector: Detector,
        embedder: Embedder,
        image_limits: ImageLimits,
        quality_limits: QualityLimits,
        min_embedding_norm: float | None = None,
        observer: Observer | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        self._detector = detector
        self._embedder = embedder
        self._image_limits = image_limits
        self._quality_limits = quality_limits
        self._min_embedding_norm = min_embedding_norm
        self._observer = observer or NullObserver()
        self._decoder = decoder or PlainDecoder()

    @property
    def model(self) -> ModelId:
        """The id that embeddings of this pipeline carry."""
        return self._embedder.model

    @property
    def embedding_size(self) -> int:
        """Number of values of an embedding."""
        return self._embedder.size

    @property
    def image_limits(self) -> ImageLimits:
        """Return what a photo may be."""
        return self._image_limits

    @property
    def quality_limits(self) -> QualityLimits:
        """Return what a face should be."""
        return self._quality_limits

    def decode(self, data: bytes) -> Image:
        """Decode a photo within the limits of this pipeline; raises what the decoder raises."""
        with self._observer.stage("decode"):
            return self._decoder.decode(data, self._image_limits)

    def close(self) -> None:
        """Close the decoder. Nothing is decoded after that."""
        self._decoder.close()

    def detect(self, data: bytes) -> DetectedPhoto:
        """Find the faces of an encoded photo; raises what `decode` raises."""
        return self.detect_image(self.decode(data))

    def analyze(self, data: bytes) -> AnalyzedPhoto:
        """Find and embed the faces of an encoded photo; raises what `decode` raises."""
        return self.analyze_image(self.decode(data))

    def detect_image(self, image: Image) -> DetectedPhoto:
        """Find the faces of a decoded photo; their quality is without the embedding's share.

        Raises `TooManyFaces`: more than `max_faces` of the limits.
        """
        detections, crops = self._found(image)
        with self._observer.stage("assess"):
            faces = tuple(
                Face(detection, assess(detection, crop, (image.width, image.height), self._quality_limits))
                for detection, crop in zip(detections, crops, strict=True)
            )
        self._observer.analyzed(len(faces))
        return DetectedPhoto(image, faces)

    def analyze_image(self, image: Image) -> AnalyzedPhoto:
        """Find and embed the faces of a decoded photo. Raises `TooManyFaces`: more than `max_faces` of the limits."""
        detections, crops = self._found(image)
        with self._observer.stage("embed"):
            embedded = self._embedder.embed(crops)
        faces = []
        with self._observer.stage("assess"):
            for detection, crop, made in zip(detections, crops, embedded, strict=True):
                quality = assess(
                    detection,
                    crop,
                    (image.width, image.height),
                    self._quality_limits,
                    embedding_norm=made.norm,
                    min_embedding_norm=self._min_embedding_norm,
                )
                faces.append(EmbeddedFace(Face(detection, quality), made.embedding))
        self._observer.analyzed(len(faces))
        return AnalyzedPhoto(image, tuple(faces))

    def embed_aligned(self, crops: Sequence[AlignedFace]) -> tuple[EmbeddingWithNorm, ...]:
        """Embed faces that are aligned already, as `Embedder.embed` does; nothing is detected or assessed."""
        with self._observer.stage("embed"):
            return self._embedder.embed(crops)

    def _found(self, image: Image) -> tuple[tuple[Detection, ...], list[AlignedFace]]:
        with self._observer.stage("detect"):
            detections = self._detector.detect(image.pixels)
        if len(detections) > self._image_limits.max_faces:
            raise TooManyFaces(
                message("error.pipeline.too_many_faces", faces=len(detections), most=self._image_limits.max_faces),
                limit=str(self._image_limits.max_faces),
            )
        with self._observer.stage("align"):
            return detections, [align(image.pixels, detection.landmarks) for detection in detections]


class FacePolicy(StrEnum):
    """The rule that selects a face where one is expected."""

    PROMINENT = "PROMINENT"
    ERROR = "ERROR"
    LARGEST = "LARGEST"
    ALL = "ALL"


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """A face that a policy took from a photo."""

    face: EmbeddedFace
    number: int  # its place among the faces of the photo, the largest first, from 1
    faces: int  # number of faces of the photo
    # The other faces, the largest first, and why each was not taken; empty for the policy ALL.
    passed_over: tuple[tuple[Face, PassedOver], ...]


def select(photo: AnalyzedPhoto, policy: FacePolicy) -> tuple[Selected, ...]:
    """Choose faces of a photo.

    Args:
        photo: its faces assessed against the server's limits.
        policy: PROMINENT takes the face that is clearly the subject; ERROR requires exactly one face; LARGEST takes
            the face with the largest box; ALL takes every face.

    Raises `NoFaceFound`: there is none; `SeveralFaces`: there is more than one, and the policy is ERROR, or PROMINENT
    and no face is clearly the subject.
    """
    found, count = photo.faces, len(photo.faces)
    if not found:
        raise NoFaceFound(message("error.rpc.no_face_found_photo"))
    if policy is FacePolicy.ALL:
        return tuple(Selected(face, number, count, ()) for number, face in enumerate(found, start=1))
    passed: Mapping[int, PassedOver]
    if policy is FacePolicy.PROMINENT:
        choice = prominent([one.face for one in found], (photo.image.width, photo.image.height))
        if choice is None:
            raise SeveralFaces(message("error.pipeline.no_prominent_face", faces=count), count=str(count))
        place, passed = choice
    elif policy is FacePolicy.ERROR and count > 1:
        raise SeveralFaces(message("error.pipeline.faces_found_photo", faces=count), count=str(count))
    else:
        place, passed = 0, dict.fromkeys(range(1, count), PassedOver.SMALLER)
    others = tuple((found[other].face, passed[other]) for other in sorted(passed))
    return (Selected(found[place], place + 1, count, others),)
