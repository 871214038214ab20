"""Messages of GalleryService, to and from values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fr_api.v1 import gallery_pb2
from fr_core.errors import InvalidPage, InvalidTopK
from fr_core.gallery.values import MAX_PAGE_SIZE, MAX_TOP_K, Enrolled, Found, GalleryInfo, Subject, TemplateInfo
from fr_core.types import Decision, Face
from fr_server.convert.common import face_message, model_message, timestamp
from fr_server.notice import NOTICE

DEFAULT_TOP_K = 10
DEFAULT_PAGE_SIZE = 100

_DECISIONS = {
    Decision.POTENTIAL_CANDIDATES: gallery_pb2.SEARCH_DECISION_POTENTIAL_CANDIDATES,
    Decision.NO_CANDIDATE: gallery_pb2.SEARCH_DECISION_NO_CANDIDATE,
}


@dataclass(frozen=True, slots=True, eq=False)
class SearchedFace:
    """What was found for one face; `face` is None where an embedding was searched for."""

    face: Face | None
    found: Found


def top_k(request: gallery_pb2.SearchRequest) -> int:
    """Return how many candidates are asked for; raises `InvalidTopK` for zero or too many."""
    if not request.HasField("top_k"):
        return DEFAULT_TOP_K
    if not 1 <= request.top_k <= MAX_TOP_K:
        raise InvalidTopK(f"top_k is {request.top_k}; it must be 1 to {MAX_TOP_K}.", limit=str(MAX_TOP_K))
    return request.top_k


def page_size(request: gallery_pb2.ListGalleriesRequest | gallery_pb2.ListSubjectsRequest) -> int:
    """Return the size of a page; raises `InvalidPage` for zero or too many."""
    if not request.HasField("page_size"):
        return DEFAULT_PAGE_SIZE
    if not 1 <= request.page_size <= MAX_PAGE_SIZE:
        raise InvalidPage(
            f"page_size is {request.page_size}; it must be 1 to {MAX_PAGE_SIZE}.", limit=str(MAX_PAGE_SIZE)
        )
    return request.page_size


def gallery_message(info: GalleryInfo) -> gallery_pb2.Gallery:
    """Build the message of a gallery."""
    return gallery_pb2.Gallery(
        gallery_id=info.gallery_id,
        display_name=info.display_name,
        model=model_message(info.model),
        create_time=timestamp(info.created),
        subject_count=info.subject_count,
        template_count=info.template_count,
        version=info.version,
    )


def subject_message(subject: Subject) -> gallery_pb2.Subject:
    """Build the message of a subject."""
    return gallery_pb2.Subject(
        subject_id=subject.subject_id,
        display_name=subject.display_name,
        metadata=dict(subject.metadata),
        create_time=timestamp(subject.created),
        templates=[_template_message(template) for template in subject.templates],
    )


def enrol_response(enrolled: Enrolled, face: Face | None) -> gallery_pb2.EnrolResponse:
    """Build the answer of Enrol; `face` is None where an embedding was sent."""
    return gallery_pb2.EnrolResponse(
        subject_id=enrolled.subject_id,
        template_id=enrolled.template_id,
        subject_created=enrolled.subject_created,
        face=None if face is None else face_message(face),
        gallery_version=enrolled.gallery_version,
    )


def search_response(searched: Sequence[SearchedFace]) -> gallery_pb2.SearchResponse:
    """Build the answer of Search from at least one face; its version is the oldest that was searched."""
    first = searched[0].found.identification
    return gallery_pb2.SearchResponse(
        results=[_search_result(one) for one in searched],
        threshold=first.threshold,
        gallery_version=min(one.found.identification.gallery_version for one in searched),
        model=model_message(first.model),
        notice=NOTICE,
    )


def _search_result(searched: SearchedFace) -> gallery_pb2.SearchResult:
    identification, subjects = searched.found.identification, searched.found.subjects
    return gallery_pb2.SearchResult(
        face=None if searched.face is None else face_message(searched.face),
        candidates=[
            gallery_pb2.Candidate(
                rank=candidate.rank,
                subject_id=candidate.subject_id,
                display_name=subjects[candidate.subject_id].display_name,
                metadata=dict(subjects[candidate.subject_id].metadata),
                template_id=candidate.template_id,
                similarity=candidate.similarity,
                above_threshold=candidate.above_threshold,
            )
            for candidate in identification.candidates
        ],
        decision=_DECISIONS[identification.decision],
    )


def _template_message(template: TemplateInfo) -> gallery_pb2.Template:
    return gallery_pb2.Template(
        template_id=template.template_id,
        image_sha256=template.image_sha256 or "",
        create_time=timestamp(template.created),
        quality=template.quality,
    )
