"""Reads what the audit records from requests and answers; never a photo, a template or a name."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, get_args

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2
from fr_core.gallery.checks import is_gallery_id
from fr_core.id_forms import composed
from fr_core.storage.audit.attribution import Attribution
from fr_core.types import ModelId
from fr_server.authz.record import MAX_SUBJECTS, CallRecord
from fr_server.authz.rules import Rule, ScopeKind
from fr_server.authz.score_rounding import value_at
from fr_server.telemetry.trust import Chain
from fr_trust.access.principal import Principal

# The forms of ids that the server gives. A caller can send any other text, which the audit does not keep. Ids of
# trainees and sessions, and codes, are not among them.
_HEX = re.compile(r"[0-9a-f]{16}")
_IDS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "course_id": _HEX,
        "cohort_id": _HEX,
        "case_id": _HEX,
        "examination_id": _HEX,
        "key_id": re.compile(r"[a-z2-7]{16}"),
        "template_id": re.compile(r"[0-9]{1,19}"),
        "report_id": re.compile(r"[0-9]{8}-[0-9]{6}-[0-9]{3}-[a-z]+-[A-Za-z0-9_.-]{1,64}-[0-9a-f]{8}"),
        "chain": re.compile("|".join(get_args(Chain))),
    }
)
_SUBJECTS = ("subject_id", "enrol.subject_id")
# The part of an answer that holds the result.
_RESULTS = ("found", "stored", "enrolled", "embedded")
_PURPOSES = {value: name.removeprefix("PURPOSE_").lower() for name, value in common_pb2.Purpose.items()}


def attribution_of(principal: Principal, request_id: str, request: Message | None) -> Attribution:
    """Return who makes a call, and why, if its request says so; None = a request that is not read yet."""
    purpose = _word(_sent(request, "purpose")) if request is not None else None
    reference = composed(_sent(request, "case_reference") or "") if request is not None else None
    return Attribution(
        principal.principal_id, tuple(sorted(principal.roles)), request_id or None, purpose, reference or None
    )


def learn_request(record: CallRecord, rule: Rule, request: Message) -> None:
    """Add to a record what a request is about; call this before ids in it are replaced."""
    for scoped in rule.scoped:
        if scoped.kind is ScopeKind.GALLERY:
            gallery_id = value_at(request, scoped.path)
            if isinstance(gallery_id, str) and is_gallery_id(gallery_id):
                record.gallery_id = gallery_id
    for path in _SUBJECTS:
        if subject_id := value_at(request, path):
            record.subject_ids.append(composed(subject_id))
    for name in _ids_of(request.DESCRIPTOR):
        value = getattr(request, name)
        if value and _IDS[name].fullmatch(str(value)):
            record.detail[name] = str(value)


def learn_response(record: CallRecord, response: Message) -> None:
    """Add to a record the search, the counts and the subjects of an answer."""
    results = (value_at(response, name) for name in _RESULTS)
    answer = next((result for result in results if isinstance(result, Message)), response)
    if (threshold := value_at(answer, "threshold")) is not None:
        record.threshold = threshold
    if gallery_version := value_at(answer, "gallery_version"):
        record.gallery_version = gallery_version
    model = value_at(answer, "model") or next(_embedded_by(answer), None)
    if isinstance(model, common_pb2.ModelId):
        record.model = ModelId(model.pack, model.version, model.sha256)
    for name in _lists_of(answer.DESCRIPTOR):
        if number := len(getattr(answer, name)):
            record.counts[name] = number
    if isinstance(answer, gallery_pb2.SearchResponse):
        record.counts["candidates"] = sum(len(result.candidates) for result in answer.results)
    record.subject_ids += _subjects(answer)


def learn_message(record: CallRecord, response: Message) -> None:
    """Add to a record the search or report and the subjects of one message of an answer in many."""
    if report_id := value_at(response, "report.report_id"):
        record.detail["report_id"] = report_id
    if isinstance(response, gallery_pb2.FindDuplicatesResponse | gallery_pb2.ClusterGalleryResponse):
        if response.HasField("progress"):
            record.threshold = response.progress.threshold
            record.gallery_version = response.progress.gallery_version
        elif len(record.subject_ids) < MAX_SUBJECTS:
            record.subject_ids = list(dict.fromkeys((*record.subject_ids, *_scanned(response))))


@cache
def _lists_of(message: Descriptor) -> tuple[str, ...]:
    kinds = [(field.name, field.message_type) for field in message.fields if field.is_repeated]
    return tuple(name for name, kind in kinds if kind is not None and not kind.GetOptions().map_entry)


@cache
def _ids_of(message: Descriptor) -> tuple[str, ...]:
    return tuple(name for name in _IDS if name in message.fields_by_name)


def _scanned(response: gallery_pb2.FindDuplicatesResponse | gallery_pb2.ClusterGalleryResponse) -> Iterator[str]:
    if isinstance(response, gallery_pb2.FindDuplicatesResponse):
        yield from (response.pair.subject_a, response.pair.subject_b)
    else:
        yield from (member.subject_id for member in response.cluster.members)


def _embedded_by(answer: Message) -> Iterator[common_pb2.ModelId]:
    if isinstance(answer, recognition_pb2.EmbedResponse):
        yield from (face.embedding.model for face in answer.faces)


def _subjects(answer: Message) -> Iterator[str]:
    if isinstance(answer, gallery_pb2.SearchResponse):
        yield from (candidate.subject_id for result in answer.results for candidate in result.candidates)
    elif isinstance(answer, gallery_pb2.EnrolResponse):
        yield from (candidate.subject_id for candidate in answer.similar)
    elif isinstance(answer, gallery_pb2.ListSubjectsResponse):
        yield from (subject.subject_id for subject in answer.subjects)
    elif isinstance(answer, gallery_pb2.GetTemplateResponse):
        yield answer.subject_id


def _sent(request: Message, name: str) -> Any:
    return value_at(request, name) or value_at(request, f"search.{name}")


def _word(purpose: int | None) -> str | None:
    return None if not purpose else _PURPOSES.get(purpose)
