"""Converts the messages of GalleryService to values, and values to messages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from fr_api.v1 import evaluation_pb2, training_pb2
from fr_api.v1 import gallery_pb2 as pb
from fr_core.errors import InvalidField, message
from fr_core.gallery import values
from fr_core.gallery.checks import require_threshold, require_top_k
from fr_core.gallery.pages import require_page_size
from fr_core.gallery.query import ScoreFusion, SubjectFilter
from fr_core.gallery.search.filters import require_subject_count
from fr_core.gallery.versions import version_token
from fr_core.pipeline import Selected
from fr_core.types import Candidate, Decision
from fr_locales.rendering import render
from fr_server.rpc.convert import common
from fr_server.rpc.convert.calibration import InForce, error_rates, withheld_from

_USES = common.by_name(values.GalleryUse, pb.GalleryUse, "GALLERY_USE")
DEFAULT_TOP_K = 10
DEFAULT_PAGE_SIZE = 100
# Other subjects that an enrolment reports as similar.
MAX_SIMILAR = 3

_FUSIONS = {
    pb.SCORE_FUSION_UNSPECIFIED: ScoreFusion.MAX,
    pb.SCORE_FUSION_MAX: ScoreFusion.MAX,
    pb.SCORE_FUSION_MEAN_TOP_2: ScoreFusion.MEAN_TOP_2,
    pb.SCORE_FUSION_MEAN_TEMPLATE: ScoreFusion.MEAN_TEMPLATE,
}
_TARGETS = ("target_fmr", "target_fpir")
_FUSION_VALUES = {fusion: value for value, fusion in _FUSIONS.items()}

_DECISIONS = common.by_name(Decision, pb.SearchDecision, "SEARCH_DECISION")


@dataclass(frozen=True, slots=True, eq=False)
class SearchedFace:
    """The candidates for one face; `choice` is None if the probe was an embedding."""

    choice: Selected | None
    found: values.Found


def top_k(request: pb.SearchRequest) -> int:
    """Return how many candidates are asked for; raises `InvalidTopK` for zero or too many."""
    if not request.HasField("top_k"):
        return DEFAULT_TOP_K
    require_top_k(request.top_k, field="top_k")
    return request.top_k


def fusion(request: pb.SearchRequest) -> ScoreFusion:
    """Return how to fuse templates; raises `InvalidField`, also with a rate where no error rates are known."""
    if request.fusion not in _FUSIONS:
        raise InvalidField(message("error.rpc.fusion_value_call_does"), field="fusion")
    found = _FUSIONS[request.fusion]
    if found is not ScoreFusion.MAX and request.WhichOneof("criterion") in _TARGETS:
        raise InvalidField(message("error.rpc.error_rates_single_comparisons"), field="fusion")
    return found


def subject_filter(request: pb.SearchRequest) -> SubjectFilter | None:
    """Return whom to search; None = everybody. Raises `InvalidFilter` where too many subjects are named."""
    if not request.HasField("filter"):
        return None
    sent = request.filter
    require_subject_count(len(sent.subject_ids))  # before they are copied
    return SubjectFilter(dict(sent.metadata), tuple(sent.subject_ids) or None)


def expiry(request: pb.CreateGalleryRequest | pb.UpdateGalleryRequest) -> datetime | None:
    """Return when the gallery is to be closed; raises `InvalidField` for a time that is none."""
    if not request.HasField("expire_time"):
        return None
    try:
        return request.expire_time.ToDatetime(UTC)
    except ValueError as error:
        raise InvalidField(message("error.rpc.expire_time"), field="expire_time") from error


def retention(request: pb.CreateGalleryRequest | pb.UpdateGalleryRequest) -> timedelta | None:
    """Return how long templates are to be kept; raises `InvalidField` for a duration that is none."""
    if not request.HasField("retention"):
        return None
    seconds, nanos = request.retention.seconds, request.retention.nanos
    # `ToTimedelta` adds up whatever it finds.
    if abs(nanos) >= common.NANOS_PER_S or seconds * nanos < 0:
        raise InvalidField(message("error.rpc.retention_no_duration"), field="retention")
    try:
        return request.retention.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise InvalidField(message("error.rpc.retention_no_duration"), field="retention") from error


def page_size(
    request: pb.ListGalleriesRequest
    | pb.ListSubjectsRequest
    | evaluation_pb2.ListReportsRequest
    | training_pb2.ListCoursesRequest
    | training_pb2.ListCohortsRequest,
) -> int:
    """Return the size of a page; raises `InvalidPage` for zero or too many."""
    if not request.HasField("page_size"):
        return DEFAULT_PAGE_SIZE
    require_page_size(request.page_size)
    return request.page_size


def similar_threshold(request: pb.EnrolRequest) -> float | None:
    """Return the similarity from which subjects are reported, None where none was sent; raises `InvalidThreshold`."""
    if not request.HasField("similar_threshold"):
        return None
    require_threshold(request.similar_threshold, field="similar_threshold")
    return request.similar_threshold


def gallery_message(info: values.GalleryInfo) -> pb.Gallery:
    """Build the message of a gallery."""
    return pb.Gallery(
        gallery_id=info.gallery_id,
        display_name=info.display_name,
        model=common.model_message(info.model),
        create_time=common.timestamp(info.created),
        subject_count=info.subject_count,
        template_count=info.template_count,
        version=info.version,
        expire_time=None if info.expires is None else common.timestamp(info.expires),
        retention=None if info.retention is None else common.duration(info.retention),
        keeps_photos=info.keeps_photos,
        has_calibration=info.calibration_sha256 is not None,
        use=_USES[info.use],
        version_token=version_token(info.gallery_no, info.version),
    )


def token_of(changed: values.Enrolled | values.Deleted | values.Erased | values.UpdatedSubject) -> str:
    """Return the token of the version that a change has made."""
    return version_token(changed.gallery_no, changed.gallery_version)


def gallery_use(request: pb.CreateGalleryRequest, unspecified: values.GalleryUse) -> values.GalleryUse:
    """Return the use of a gallery, `unspecified` if the request has none; raises `InvalidField` for an unknown one."""
    if request.use == pb.GALLERY_USE_UNSPECIFIED:
        return unspecified
    for use, value in _USES.items():
        if value == request.use:
            return use
    raise InvalidField(message("error.rpc.use_no_value_galleryuse"), field="use")


def subject_message(subject: values.Subject) -> pb.Subject:
    """Build the message of a subject."""
    return pb.Subject(
        subject_id=subject.subject_id,
        display_name=subject.display_name,
        metadata=dict(subject.metadata),
        create_time=common.timestamp(subject.created),
        templates=[_template_message(template) for template in subject.templates],
    )


def enrol_response(
    enrolled: values.Enrolled, choice: Selected | None, similar: values.Found | None = None
) -> pb.EnrolResponse:
    """Build the answer of Enrol; `choice` is None if the caller sent an embedding.

    `similar` are the subjects that reach the threshold, also the enrolled one; None if the caller did not ask for them.
    """
    response = pb.EnrolResponse(
        subject_id=enrolled.subject_id,
        template_id=enrolled.template_id,
        subject_created=enrolled.subject_created,
        face=None if choice is None else common.face_message(choice.face.face),
        gallery_version=enrolled.gallery_version,
        choice=common.choice_message(choice),
        version_token=token_of(enrolled),
    )
    if similar is not None:  # ranked anew, without the subject itself
        others = [one for one in similar.identification.candidates if one.subject_id != enrolled.subject_id]
        for rank, one in enumerate(others[:MAX_SIMILAR], start=1):
            _add(response.similar, replace(one, rank=rank), similar.subjects[one.subject_id])
    return response


def erase_response(erased: values.Erased) -> pb.EraseSubjectResponse:
    """Build the receipt of EraseSubject."""
    return pb.EraseSubjectResponse(
        receipt_id=erased.receipt_id,
        erased_templates=erased.templates,
        erased_photos=erased.photos,
        erase_time=common.timestamp(erased.erased),
        gallery_version=erased.gallery_version,
        scrubbed=erased.scrubbed,
        version_token=token_of(erased),
    )


def template_response(template: values.KeptTemplate, request: pb.GetTemplateRequest) -> pb.GetTemplateResponse:
    """Build the answer of GetTemplate, with the embedding and the photo if the request asks for them."""
    response = pb.GetTemplateResponse(subject_id=template.subject_id, template=_template_message(template.info))
    if request.include_embedding:
        response.embedding.CopyFrom(common.embedding_message(template.embedding))
    if request.include_photo and template.photo is not None:
        response.photo.data = template.photo
    return response


def purge_response(purged: Sequence[values.Purged]) -> pb.PurgeExpiredResponse:
    """Build the answer of PurgeExpired."""
    return pb.PurgeExpiredResponse(
        galleries=[
            pb.PurgedGallery(gallery_id=one.gallery_id, templates=one.templates, subjects=one.subjects)
            for one in purged
        ]
    )


def search_response(searched: Sequence[SearchedFace], in_force: InForce | None = None) -> pb.SearchResponse:
    """Build the answer of Search from at least one face; its version is the oldest that was searched.

    `in_force` is the calibration of the gallery; None where there is none, or none for this fusion.
    """
    found = [one.found for one in searched]
    first = found[0].identification
    templates = [one.searched_templates for one in found]
    withheld = [
        None if in_force is None or one.choice is None else withheld_from(in_force, {"probe": one.choice.face.face})
        for one in searched
    ]
    response = pb.SearchResponse(
        threshold=first.threshold,
        gallery_version=min(one.identification.gallery_version for one in found),
        model=common.model_message(first.model),
        notice=render(common.NOTICE),
        fusion=_FUSION_VALUES[found[0].fusion],
        searched_templates=min(templates),
        exhaustive=all(one.exhaustive for one in found),
    )
    if in_force is not None and any(unlike is None for unlike in withheld):
        response.error_rates.CopyFrom(error_rates(in_force, first.threshold, max(templates)))
    for one, unlike in zip(searched, withheld, strict=True):
        identification = one.found.identification
        result = response.results.add(
            face=None if one.choice is None else common.face_message(one.choice.face.face),
            decision=_DECISIONS[identification.decision],
            choice=common.choice_message(one.choice),
            rates_withheld=unlike,
        )
        for candidate in identification.candidates:
            _add(result.candidates, candidate, one.found.subjects[candidate.subject_id])
    return response


def _add(candidates: Any, candidate: Candidate, subject: values.SubjectName) -> None:
    added = candidates.add(
        rank=candidate.rank,
        subject_id=candidate.subject_id,
        display_name=subject.display_name,
        template_id=candidate.template_id,
        similarity=candidate.similarity,
        above_threshold=candidate.above_threshold,
    )
    for key, value in subject.metadata.items():
        added.metadata[key] = value


def _template_message(template: values.TemplateInfo) -> pb.Template:
    return pb.Template(
        template_id=template.template_id,
        image_sha256=template.image_sha256 or "",
        create_time=common.timestamp(template.created),
        quality=template.quality,
    )
