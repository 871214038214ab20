"""From Python's values to the API's request messages: shared by both clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Final, Literal

from fr_api.v1 import common_pb2, evaluation_pb2, gallery_pb2, recognition_pb2
from fr_core.reading import read_whole

MAX_PHOTO_BYTES = 256 * 2**20
"""The largest limit that a server can be configured with."""
MAX_CALIBRATION_BYTES = 2**20
MAX_PLAN_BYTES = 64 * 2**10

# An encoded photo: its bytes, or the path of its file.
Photo = bytes | Path
# A face to compare, enrol or search for: a photo, or an embedding that the server's model made.
FaceSource = Photo | common_pb2.Embedding
# What to do with a photo that holds more than one face.
OneFace = Literal["error", "largest"]
SeveralFaces = Literal["error", "largest", "all"]
# How the similarities of a subject's templates become the one by which it is ranked.
Fusion = Literal["max", "mean-top-2", "mean-template"]
# What a gallery is for.
Use = Literal["operational", "training", "test"]
# The purposes of a search or a case.
Purpose = Literal[
    "investigation", "missing-person", "victim", "unknown-person", "record-keeping", "training", "testing"
]
# The purposes of reading a gallery, which include maintaining its records.
ReadingPurpose = Literal[
    "investigation",
    "missing-person",
    "victim",
    "unknown-person",
    "record-keeping",
    "training",
    "testing",
    "gallery-maintenance",
]
# A file of a report: its figures, its page, the similarity of every pair, its calibration.
ReportFile = Literal["json", "html", "scores", "calibration"]
# Is told how many photos are done, and how many there are.
OnProgress = Callable[[int, int], None]

_POLICIES: dict[str, common_pb2.SeveralFacesPolicy.ValueType] = {
    "error": common_pb2.SEVERAL_FACES_POLICY_ERROR,
    "largest": common_pb2.SEVERAL_FACES_POLICY_LARGEST,
    "all": common_pb2.SEVERAL_FACES_POLICY_ALL,
}


_FUSIONS: dict[str, gallery_pb2.ScoreFusion.ValueType] = {
    "max": gallery_pb2.SCORE_FUSION_MAX,
    "mean-top-2": gallery_pb2.SCORE_FUSION_MEAN_TOP_2,
    "mean-template": gallery_pb2.SCORE_FUSION_MEAN_TEMPLATE,
}


_USES: dict[str, gallery_pb2.GalleryUse.ValueType] = {
    "operational": gallery_pb2.GALLERY_USE_OPERATIONAL,
    "training": gallery_pb2.GALLERY_USE_TRAINING,
    "test": gallery_pb2.GALLERY_USE_TEST,
}
USE_WORDS = {value: word for word, value in _USES.items()}

PURPOSES: dict[str, common_pb2.Purpose.ValueType] = {
    "investigation": common_pb2.PURPOSE_INVESTIGATION,
    "missing-person": common_pb2.PURPOSE_MISSING_PERSON,
    "victim": common_pb2.PURPOSE_VICTIM,
    "unknown-person": common_pb2.PURPOSE_UNKNOWN_PERSON,
    "record-keeping": common_pb2.PURPOSE_RECORD_KEEPING,
    "training": common_pb2.PURPOSE_TRAINING,
    "testing": common_pb2.PURPOSE_TESTING,
    "gallery-maintenance": common_pb2.PURPOSE_GALLERY_MAINTENANCE,
}


_REPORT_FILES: dict[str, evaluation_pb2.ReportFile.ValueType] = {
    "json": evaluation_pb2.REPORT_FILE_JSON,
    "html": evaluation_pb2.REPORT_FILE_HTML,
    "scores": evaluation_pb2.REPORT_FILE_SCORES_CSV,
    "calibration": evaluation_pb2.REPORT_FILE_CALIBRATION,
}


class Keep(Enum):
    """The type of `KEEP`."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP
"""Stands in `update_gallery` and `update_subject` for what stays as it is."""


@dataclass(frozen=True, slots=True)
class EnrolItem:
    """One face of `enrol_many`.

    Attributes:
        subject_id: the caller's own id of the subject; created where it is new.
        face: a photo, or an embedding made by the gallery's model.
        item_id: the caller's own name for the item, given back with its answer; never sent.
        display_name: a name for people; where empty, an existing subject keeps its own.
        metadata: the caller's own data; where empty, an existing subject keeps its own.
        several_faces: what to do with a photo of several faces.
        report_similar: whether to report other subjects that are similar to the face.
        similar_threshold: similarity at or above which they are reported; None for the model's default.
    """

    subject_id: str
    face: FaceSource
    item_id: str = ""
    display_name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    several_faces: OneFace = "error"
    report_similar: bool = False
    similar_threshold: float | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingSubject:
    """Whose one embedding of `enrol_embeddings` is; the fields are those of `EnrolItem`."""

    subject_id: str
    display_name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingBatch:
    """Embeddings of `enrol_embeddings` that are sent together.

    Attributes:
        vectors: f32[n, D], little-endian, row after row: `array.astype("<f4").tobytes()`; each row of length 1.
        subjects: whose each of them is; 1 to 1,000.
        item_id: that of `EnrolItem`.
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
    several_faces: SeveralFaces = "error"
    fusion: Fusion = "max"
    metadata: Mapping[str, str] = field(default_factory=dict)
    subject_ids: Sequence[str] | None = None
    target_fmr: float | None = None
    target_fpir: float | None = None
    purpose: Purpose | None = None
    case_reference: str = ""


@dataclass(frozen=True, slots=True)
class EmbedItem:
    """One photo of `embed_many`; `item_id` is that of `EnrolItem`."""

    photo: Photo
    item_id: str = ""


def image(photo: Photo) -> common_pb2.Image:
    """Return the message for a photo; raises `OSError` where its file cannot be read."""
    if isinstance(photo, str):
        raise TypeError("A photo is its bytes, or the Path of a file: Path('probe.jpg') rather than 'probe.jpg'.")
    return common_pb2.Image(data=read_whole(photo, MAX_PHOTO_BYTES) if isinstance(photo, Path) else photo)


def calibration_text(source: str | Path) -> str:
    """Return the text of a calibration; raises `OSError` or `UnicodeDecodeError` where its file cannot be read."""
    if isinstance(source, Path):
        return read_whole(source, MAX_CALIBRATION_BYTES).decode()
    if not isinstance(source, str):
        raise TypeError("A calibration is the text of a calibration.json, or the Path of that file.")
    return source


def probe(face: FaceSource) -> recognition_pb2.Probe:
    """Return the message for a face; raises `OSError` where its file cannot be read."""
    if isinstance(face, common_pb2.Embedding):
        return recognition_pb2.Probe(embedding=face)
    return recognition_pb2.Probe(image=image(face))


def policy(name: SeveralFaces) -> common_pb2.SeveralFacesPolicy.ValueType:
    """Return the API's value of a policy; raises `ValueError` for any other word."""
    if name not in _POLICIES:
        raise ValueError(f"several_faces is {name!r}; it can be 'error', 'largest' or, in a search, 'all'.")
    return _POLICIES[name]


def compare(
    a: FaceSource, b: FaceSource, several_faces: OneFace, threshold: float | None, target_fmr: float | None
) -> recognition_pb2.CompareRequest:
    """Return the request of a comparison; raises `ValueError` where both a threshold and a rate are given."""
    request = recognition_pb2.CompareRequest(several_faces=policy(several_faces))
    _set_criterion(request, threshold=threshold, target_fmr=target_fmr)
    request.a.CopyFrom(probe(a))
    request.b.CopyFrom(probe(b))
    return request


def enrol(gallery_id: str, item: EnrolItem) -> gallery_pb2.EnrolRequest:
    """Return the request that enrols one face."""
    return gallery_pb2.EnrolRequest(
        gallery_id=gallery_id,
        subject_id=item.subject_id,
        display_name=item.display_name,
        metadata=dict(item.metadata),
        face=probe(item.face),
        several_faces=policy(item.several_faces),
        report_similar=item.report_similar,
        similar_threshold=item.similar_threshold,
    )


def stream_enrol_embeddings(
    gallery_id: str, model: common_pb2.ModelId, batch: EmbeddingBatch
) -> gallery_pb2.StreamEnrolEmbeddingsRequest:
    """Return the request of one batch of `enrol_embeddings`."""
    subjects = [
        gallery_pb2.EmbeddingSubject(
            subject_id=one.subject_id, display_name=one.display_name, metadata=dict(one.metadata)
        )
        for one in batch.subjects
    ]
    request = gallery_pb2.EnrolEmbeddingsRequest(
        gallery_id=gallery_id, model=model, vectors=batch.vectors, subjects=subjects
    )
    return gallery_pb2.StreamEnrolEmbeddingsRequest(enrol=request)


def stream_embed(item: EmbedItem) -> recognition_pb2.StreamEmbedRequest:
    """Return the request of one photo of `embed_many`."""
    return recognition_pb2.StreamEmbedRequest(image=image(item.photo))


def stream_enrol(gallery_id: str, item: EnrolItem) -> gallery_pb2.StreamEnrolRequest:
    """Return the request of one face of `enrol_many`."""
    return gallery_pb2.StreamEnrolRequest(enrol=enrol(gallery_id, item))


def stream_search(gallery_id: str, item: SearchItem) -> gallery_pb2.StreamSearchRequest:
    """Return the request of one face of `search_many`."""
    return gallery_pb2.StreamSearchRequest(search=search(gallery_id, item))


def search(gallery_id: str, item: SearchItem) -> gallery_pb2.SearchRequest:
    """Return the request of a search.

    Raises `ValueError` for an empty list of subjects, an unknown fusion, or more than one of a threshold and two rates.
    """
    if item.fusion not in _FUSIONS:
        raise ValueError(f"fusion is {item.fusion!r}; it can be {', '.join(map(repr, _FUSIONS))}.")
    if item.subject_ids is not None and not item.subject_ids:
        raise ValueError("subject_ids is empty, so there is nobody to search; None searches everybody.")
    among = None
    if item.metadata or item.subject_ids:
        among = gallery_pb2.SubjectFilter(metadata=dict(item.metadata), subject_ids=item.subject_ids or ())
    request = gallery_pb2.SearchRequest(
        gallery_id=gallery_id,
        top_k=item.top_k,
        only_above_threshold=item.only_above_threshold,
        several_faces=policy(item.several_faces),
        filter=among,
        fusion=_FUSIONS[item.fusion],
        purpose=purpose_value(item.purpose),
        case_reference=item.case_reference,
    )
    _set_criterion(request, threshold=item.threshold, target_fmr=item.target_fmr, target_fpir=item.target_fpir)
    request.probe.CopyFrom(probe(item.probe))
    return request


def find_duplicates(
    gallery_id: str, threshold: float | None, purpose: ReadingPurpose | None, case_reference: str
) -> gallery_pb2.FindDuplicatesRequest:
    """Return the request that looks for duplicates; raises `ValueError` if the word is not a purpose."""
    return gallery_pb2.FindDuplicatesRequest(
        gallery_id=gallery_id,
        threshold=threshold,
        purpose=purpose_value(purpose),
        case_reference=case_reference,
    )


def cluster_gallery(
    gallery_id: str, threshold: float | None, purpose: ReadingPurpose | None, case_reference: str
) -> gallery_pb2.ClusterGalleryRequest:
    """Return the request that groups templates; raises `ValueError` if the word is not a purpose."""
    return gallery_pb2.ClusterGalleryRequest(
        gallery_id=gallery_id,
        threshold=threshold,
        purpose=purpose_value(purpose),
        case_reference=case_reference,
    )


def purpose_value(word: ReadingPurpose | None) -> common_pb2.Purpose.ValueType:
    """Return the value of a purpose; raises `ValueError` for another word."""
    if word is None:
        return common_pb2.PURPOSE_UNSPECIFIED
    if word not in PURPOSES:
        raise ValueError(f"purpose is {word!r}; it can be {', '.join(map(repr, PURPOSES))}.")
    return PURPOSES[word]


def create_gallery(
    gallery_id: str,
    display_name: str,
    expires: datetime | None,
    retention: timedelta | None,
    keeps_photos: bool,
    use: Use | None,
) -> gallery_pb2.CreateGalleryRequest:
    """Return the request that creates a gallery; raises `ValueError` for a time without a time zone, or no use."""
    if use is not None and use not in _USES:
        raise ValueError(f"use is {use!r}; it can be {', '.join(map(repr, _USES))}.")
    request = gallery_pb2.CreateGalleryRequest(
        gallery_id=gallery_id,
        display_name=display_name,
        keeps_photos=keeps_photos,
        use=gallery_pb2.GALLERY_USE_UNSPECIFIED if use is None else _USES[use],
    )
    _set_lifetime(request, expires, retention)
    return request


def update_gallery(
    gallery_id: str,
    display_name: str | Keep,
    expires: datetime | Keep | None,
    retention: timedelta | Keep | None,
) -> gallery_pb2.UpdateGalleryRequest:
    """Return the request that changes a gallery; raises `ValueError` for a time without a time zone."""
    request = gallery_pb2.UpdateGalleryRequest(gallery_id=gallery_id)
    _set_lifetime(
        request, None if isinstance(expires, Keep) else expires, None if isinstance(retention, Keep) else retention
    )
    if not isinstance(display_name, Keep):
        request.display_name = display_name
    values = {"display_name": display_name, "expire_time": expires, "retention": retention}
    request.update_mask.paths.extend(name for name, value in values.items() if value is not KEEP)
    return request


def get_subject(
    gallery_id: str, subject_id: str, purpose: ReadingPurpose | None, case_reference: str
) -> gallery_pb2.GetSubjectRequest:
    """Return the request that reads a subject; raises `ValueError` if the word is not a purpose."""
    return gallery_pb2.GetSubjectRequest(
        gallery_id=gallery_id, subject_id=subject_id, purpose=purpose_value(purpose), case_reference=case_reference
    )


def list_subjects(
    gallery_id: str, page_size: int | None, page_token: str, purpose: ReadingPurpose | None, case_reference: str
) -> gallery_pb2.ListSubjectsRequest:
    """Return the request of a page of subjects; raises `ValueError` if the word is not a purpose."""
    return gallery_pb2.ListSubjectsRequest(
        gallery_id=gallery_id,
        page_size=page_size,
        page_token=page_token,
        purpose=purpose_value(purpose),
        case_reference=case_reference,
    )


def get_template(
    gallery_id: str,
    template_id: int,
    purpose: ReadingPurpose | None,
    case_reference: str,
    *,
    embedding: bool,
    photo: bool,
) -> gallery_pb2.GetTemplateRequest:
    """Return the request that reads a template; raises `ValueError` if the word is not a purpose."""
    return gallery_pb2.GetTemplateRequest(
        gallery_id=gallery_id,
        template_id=template_id,
        purpose=purpose_value(purpose),
        case_reference=case_reference,
        include_embedding=embedding,
        include_photo=photo,
    )


def is_operational(gallery: gallery_pb2.Gallery) -> bool:
    """Return whether reading a gallery needs a purpose and a case, and never gives out embeddings."""
    return gallery.use == gallery_pb2.GALLERY_USE_OPERATIONAL


def update_subject(
    gallery_id: str,
    subject_id: str,
    display_name: str | Keep,
    metadata: Mapping[str, str] | Keep,
    purpose: ReadingPurpose | None = None,
    case_reference: str = "",
) -> gallery_pb2.UpdateSubjectRequest:
    """Return the request that changes a subject; raises `ValueError` if the word is not a purpose."""
    request = gallery_pb2.UpdateSubjectRequest(
        gallery_id=gallery_id, subject_id=subject_id, purpose=purpose_value(purpose), case_reference=case_reference
    )
    if not isinstance(display_name, Keep):
        request.display_name = display_name
        request.update_mask.paths.append("display_name")
    if not isinstance(metadata, Keep):
        request.metadata.update(metadata)
        request.update_mask.paths.append("metadata")
    return request


def get_report(report_id: str, file: ReportFile) -> evaluation_pb2.GetReportRequest:
    """Return the request of a file of a report; raises `ValueError` for any other word."""
    if file not in _REPORT_FILES:
        raise ValueError(f"file is {file!r}; it can be {', '.join(map(repr, _REPORT_FILES))}.")
    return evaluation_pb2.GetReportRequest(report_id=report_id, file=_REPORT_FILES[file])


def _set_criterion(
    request: recognition_pb2.CompareRequest | gallery_pb2.SearchRequest, **criteria: float | None
) -> None:
    """Set the one criterion that is given, if any; raises `ValueError` for more than one."""
    given = {name: value for name, value in criteria.items() if value is not None}
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} contradict each other; give one of them.")
    for name, value in given.items():
        setattr(request, name, value)


def _set_lifetime(
    request: gallery_pb2.CreateGalleryRequest | gallery_pb2.UpdateGalleryRequest,
    expires: datetime | None,
    retention: timedelta | None,
) -> None:
    if expires is not None:
        if expires.tzinfo is None:
            raise ValueError("expires has no time zone; datetime(..., tzinfo=UTC) has one.")
        request.expire_time.FromDatetime(expires)
    if retention is not None:
        request.retention.FromTimedelta(retention)
