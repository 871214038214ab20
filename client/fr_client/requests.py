"""Turns Python's values into the API's request messages, for both clients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2, training_pb2
from fr_client.photos import Fit
from fr_client.words import FUSIONS, POLICIES, Fusion, OneFace, Purpose, SeveralFaces, purpose_value, value_of
from fr_files.reading import read_whole

MAX_PHOTO_BYTES = 256 * 2**20  # the largest limit that a server can be configured with
MAX_CALIBRATION_BYTES = 2**20
MAX_PLAN_BYTES = 64 * 2**10

# An encoded photo: its bytes, or the path of its file.
Photo = bytes | Path
# A face to compare, enrol or search for: a photo, or an embedding that the server's model made.
FaceSource = Photo | common_pb2.Embedding
# Called with the number of photos done and the number of all photos.
OnProgress = Callable[[int, int], None]
# A plan: the name of one that comes with the server, a file, or the message.
Plan = str | Path | training_pb2.PlanSource
# An answer of `submit_decision`: a message, or the id of the odd picture; the page of a lesson says that it was read.
Decision = (
    training_pb2.PairRating
    | training_pb2.CandidateDecision
    | training_pb2.QualityDecision
    | training_pb2.Prediction
    | training_pb2.Conclusion
    | training_pb2.FileHash
    | training_pb2.LessonPage
    | training_pb2.LessonOption
    | str
)
# What `lock_notes` locks: notes on the probe, or an observation of each component.
Notes = str | Sequence[training_pb2.Observation]
# Called while the server makes a course.
OnCourseProgress = Callable[[training_pb2.CourseProgress], None]


class Keep(Enum):
    """The type of `KEEP`."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP  # leaves a value of `update_gallery` or `update_subject` as it is


@dataclass(frozen=True, slots=True)
class EnrolItem:
    """One face of `enrol_many`."""

    subject_id: str  # the caller's own id of the subject; a new one creates the subject
    face: FaceSource  # a photo, or an embedding made by the gallery's model
    item_id: str = ""  # the caller's own name for the item, which comes back with its answer; never sent
    display_name: str = ""  # a name for people; if empty, an existing subject keeps its own; likewise `metadata`
    metadata: Mapping[str, str] = field(default_factory=dict)
    several_faces: OneFace = "prominent"  # what to do with a photo of several faces
    # Whether to report other subjects that are similar to the face, at or above `similar_threshold`; None for the
    # model's default.
    report_similar: bool = False
    similar_threshold: float | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingSubject:
    """The subject of one embedding of `enrol_embeddings`; the fields are those of `EnrolItem`."""

    subject_id: str
    display_name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingBatch:
    """Embeddings of `enrol_embeddings` that are sent together.

    `vectors` are f32[n, D], little-endian, row after row: `array.astype("<f4").tobytes()`; each row of length 1, for
    1 to 1,000 `subjects`. `item_id` is that of `EnrolItem`.
    """

    vectors: bytes
    subjects: Sequence[EmbeddingSubject]
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class SearchItem:
    """One face of `search_many`; the fields are those of `Client.search`, `item_id` that of `EnrolItem`."""

    probe: FaceSource
    item_id: str = ""
    top_k: int | None = None
    threshold: float | None = None
    only_above_threshold: bool = False
    several_faces: SeveralFaces = "prominent"
    fusion: Fusion = "max"
    metadata: Mapping[str, str] = field(default_factory=dict)
    subject_ids: Sequence[str] | None = None
    target_fmr: float | None = None
    target_fpir: float | None = None
    purpose: Purpose | None = None
    case_reference: str = ""
    at_least: str = ""


@dataclass(frozen=True, slots=True)
class EmbedItem:
    """One photo of `embed_many`; `item_id` is that of `EnrolItem`."""

    photo: Photo
    item_id: str = ""


def photo_bytes(photo: Photo, fit: Fit) -> bytes:
    """Return the bytes to send for a photo; raises `OSError` if its file cannot be read, and what `fit` raises."""
    if isinstance(photo, str):
        raise TypeError("A photo is its bytes, or the Path of a file: Path('probe.jpg') rather than 'probe.jpg'.")
    return fit(read_whole(photo, MAX_PHOTO_BYTES) if isinstance(photo, Path) else photo)


def image(photo: Photo, fit: Fit) -> common_pb2.Image:
    """Return the message for a photo; raises what `photo_bytes` raises."""
    return common_pb2.Image(data=photo_bytes(photo, fit))


def probe(face: FaceSource, fit: Fit) -> recognition_pb2.Probe:
    """Return the message for a face; raises what `photo_bytes` raises."""
    if isinstance(face, common_pb2.Embedding):
        return recognition_pb2.Probe(embedding=face)
    return recognition_pb2.Probe(image=image(face, fit))


def policy(name: SeveralFaces) -> common_pb2.SeveralFacesPolicy.ValueType:
    """Return the API's value of a policy; raises `ValueError` for any other word."""
    if name not in POLICIES:
        words = "'prominent', 'error', 'largest' or, in a search, 'all'"
        raise ValueError(f"several_faces is {name!r}; it can be {words}.")
    return POLICIES[name]


def compare(
    a: FaceSource, b: FaceSource, fit: Fit, several_faces: OneFace, threshold: float | None, target_fmr: float | None
) -> recognition_pb2.CompareRequest:
    """Return the request of a comparison; raises `ValueError` if both a threshold and a rate are given."""
    request = recognition_pb2.CompareRequest(several_faces=policy(several_faces))
    _set_criterion(request, threshold=threshold, target_fmr=target_fmr)
    request.a.CopyFrom(probe(a, fit))
    request.b.CopyFrom(probe(b, fit))
    return request


def batch_embed(photos: Sequence[Photo], fit: Fit) -> recognition_pb2.BatchEmbedRequest:
    """Return the request of `embed_batch`; raises what `photo_bytes` raises."""
    return recognition_pb2.BatchEmbedRequest(images=[image(photo, fit) for photo in photos])


def stream_embed(item: EmbedItem, fit: Fit) -> recognition_pb2.StreamEmbedRequest:
    """Return the request of one photo of `embed_many`."""
    return recognition_pb2.StreamEmbedRequest(image=image(item.photo, fit))


def calibration_text(source: str | Path) -> str:
    """Return the text of a calibration; raises `OSError` or `UnicodeDecodeError` if its file cannot be read."""
    if isinstance(source, Path):
        return read_whole(source, MAX_CALIBRATION_BYTES).decode()
    if not isinstance(source, str):
        raise TypeError("A calibration is the text of a calibration.json, or the Path of that file.")
    return source


def is_operational(gallery: gallery_pb2.Gallery) -> bool:
    """Return True if reading a gallery needs a purpose and a case, and its embeddings never leave the server."""
    return gallery.use == gallery_pb2.GALLERY_USE_OPERATIONAL


def enrol(gallery_id: str, item: EnrolItem, fit: Fit) -> gallery_pb2.EnrolRequest:
    """Return the request that enrols one face."""
    return gallery_pb2.EnrolRequest(
        gallery_id=gallery_id,
        subject_id=item.subject_id,
        display_name=item.display_name,
        metadata=item.metadata,
        face=probe(item.face, fit),
        several_faces=policy(item.several_faces),
        report_similar=item.report_similar,
        similar_threshold=item.similar_threshold,
    )


def stream_enrol_embeddings(
    gallery_id: str, model: common_pb2.ModelId, batch: EmbeddingBatch
) -> gallery_pb2.StreamEnrolEmbeddingsRequest:
    """Return the request of one batch of `enrol_embeddings`."""
    subjects = [
        gallery_pb2.EmbeddingSubject(subject_id=one.subject_id, display_name=one.display_name, metadata=one.metadata)
        for one in batch.subjects
    ]
    request = gallery_pb2.EnrolEmbeddingsRequest(
        gallery_id=gallery_id, model=model, vectors=batch.vectors, subjects=subjects
    )
    return gallery_pb2.StreamEnrolEmbeddingsRequest(enrol=request)


def search(gallery_id: str, item: SearchItem, fit: Fit) -> gallery_pb2.SearchRequest:
    """Return the request of a search.

    Raises `ValueError` for an empty list of subjects, an unknown fusion, or more than one of a threshold and two rates.
    """
    fusion = value_of("fusion", item.fusion, FUSIONS)
    if item.subject_ids is not None and not item.subject_ids:
        raise ValueError("subject_ids is empty, so there is nobody to search; None searches everybody.")
    among = None
    if item.metadata or item.subject_ids:
        among = gallery_pb2.SubjectFilter(metadata=item.metadata, subject_ids=item.subject_ids or ())
    request = gallery_pb2.SearchRequest(
        gallery_id=gallery_id,
        top_k=item.top_k,
        only_above_threshold=item.only_above_threshold,
        several_faces=policy(item.several_faces),
        filter=among,
        fusion=fusion,
        purpose=purpose_value(item.purpose),
        case_reference=item.case_reference,
        at_least=item.at_least,
    )
    _set_criterion(request, threshold=item.threshold, target_fmr=item.target_fmr, target_fpir=item.target_fpir)
    request.probe.CopyFrom(probe(item.probe, fit))
    return request


def track_search(
    gallery_id: str,
    top_k: int | None,
    threshold: float | None,
    only_above_threshold: bool,
    purpose: Purpose | None = None,
    case_reference: str = "",
) -> gallery_pb2.SearchRequest:
    """Return a search whose probe is a track of footage, and so not in it."""
    request = gallery_pb2.SearchRequest(
        gallery_id=gallery_id,
        top_k=top_k,
        only_above_threshold=only_above_threshold,
        purpose=purpose_value(purpose),
        case_reference=case_reference,
    )
    _set_criterion(request, threshold=threshold)
    return request


def plan_source(plan: Plan) -> training_pb2.PlanSource:
    """Return the message for a plan; raises `OSError` or `UnicodeDecodeError` if its file cannot be read."""
    if isinstance(plan, training_pb2.PlanSource):
        return plan
    if isinstance(plan, Path):
        return training_pb2.PlanSource(toml=read_whole(plan, MAX_PLAN_BYTES).decode())
    return training_pb2.PlanSource(name=plan)


def duration(length: timedelta | None) -> Duration | None:
    """Return the message for a length of time; None stays None."""
    if length is None:
        return None
    made = Duration()
    made.FromTimedelta(length)
    return made


def timestamp(name: str, moment: datetime | None) -> Timestamp | None:
    """Return the message for a moment; raises `ValueError`, which names the argument, if it has no time zone."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError(f"{name} has no time zone; datetime(..., tzinfo=UTC) has one.")
    made = Timestamp()
    made.FromDatetime(moment)
    return made


def _set_criterion(
    request: recognition_pb2.CompareRequest | gallery_pb2.SearchRequest, **criteria: float | None
) -> None:
    given = {name: value for name, value in criteria.items() if value is not None}
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} contradict each other; give one of them.")
    for name, value in given.items():
        setattr(request, name, value)
