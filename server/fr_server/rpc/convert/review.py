"""Messages of casework, to and from values; what an examiner may not know yet is left out here."""

import hashlib
from collections.abc import Sequence

from google.protobuf import duration_pb2

from fr_api.v1 import common_pb2, gallery_pb2
from fr_api.v1 import review_pb2 as pb
from fr_core.errors import InvalidField, MissingField, message
from fr_core.types import ModelId
from fr_locales.rendering import render
from fr_server.rpc.convert.common import NANOS_PER_S, NOTICE, by_name, model_message, timestamp_ms
from fr_trust.access.principal import Principal, Role
from fr_trust.casework import rules
from fr_trust.casework.values import Case, Examination, Finding, FindingKind, Listed, Purpose, Searched, State

_PURPOSES = by_name(Purpose, common_pb2.Purpose, "PURPOSE")
_KINDS = by_name(FindingKind, pb.FindingKind, "FINDING_KIND")
_STATES = by_name(State, pb.ExaminationState, "EXAMINATION_STATE")
_PURPOSE_OF = {value: purpose for purpose, value in _PURPOSES.items()}
_KIND_OF = {value: kind for kind, value in _KINDS.items()}
_DAY_S = 86_400
_LONGEST_S = 100 * 366 * _DAY_S


def purpose_of(value: common_pb2.Purpose.ValueType) -> Purpose:
    """Return what the searches of a case are for; raises `MissingField` or `InvalidField` for none."""
    if value == common_pb2.PURPOSE_UNSPECIFIED:
        raise MissingField(message("error.rpc.purpose_not_set"), field="purpose")
    if value not in _PURPOSE_OF:
        raise InvalidField(message("error.rpc.purpose_not_value_purpose"), field="purpose")
    return _PURPOSE_OF[value]


def retention_ms(request: pb.OpenCaseRequest, least_days: int) -> int | None:
    """Return after how many milliseconds, at least `least_days`, a case is deleted; None for never."""
    if not request.HasField("retention"):
        return None
    sent: duration_pb2.Duration = request.retention
    if not 0 <= sent.nanos < NANOS_PER_S or not 0 <= sent.seconds <= _LONGEST_S or not (sent.seconds or sent.nanos):
        raise InvalidField(message("error.rpc.retention_no_duration_above"), field="retention")
    if sent.seconds < least_days * _DAY_S:
        raise InvalidField(message("error.rpc.case_days", least=least_days), field="retention", limit=str(least_days))
    return sent.seconds * 1000 + sent.nanos // 1_000_000


def in_case(request: pb.SearchInCaseRequest, case: Case, crop: bytes | None = None) -> gallery_pb2.SearchRequest:
    """Return the search that a request makes in a case; raises `MissingField`, or `InvalidField` for any other.

    `crop` is the photo of a look at a track, if the request names one.
    """
    if not request.HasField("search"):
        raise MissingField(message("error.rpc.search_not_set"), field="search")
    search = request.search
    if search.purpose or search.case_reference:
        raise InvalidField(message("error.rpc.case_says_what_search"), field="search.purpose")
    if search.probe.WhichOneof("source") != (None if crop else "image"):
        raise InvalidField(message("error.rpc.search_case_takes_photo"), field="search.probe")
    if search.several_faces == common_pb2.SEVERAL_FACES_POLICY_ALL:
        raise InvalidField(message("error.rpc.search_case_face"), field="search.several_faces")
    made = gallery_pb2.SearchRequest()
    made.CopyFrom(search)
    if crop:
        made.probe.image.data = crop
    made.purpose, made.case_reference = _PURPOSES[case.purpose], case.reference
    return made


def finding_of(request: pb.SubmitFindingRequest, examiner: str) -> Finding:
    """Return the finding that a request gives; raises `MissingField` or `InvalidField`."""
    if request.kind == pb.FINDING_KIND_UNSPECIFIED:
        raise MissingField(message("error.rpc.kind_not_set"), field="kind")
    if request.kind not in _KIND_OF:
        raise InvalidField(message("error.rpc.kind_no_value_findingkind"), field="kind")
    return Finding(examiner, _KIND_OF[request.kind], request.template_id, request.rating, request.notes)


def case_message(case: Case, examinations: Sequence[Examination] = (), principal: Principal | None = None) -> pb.Case:
    """Build the message of a case, with the examinations that the caller, a principal, sees."""
    message = pb.Case(
        case_id=case.case_id,
        case_reference=case.reference,
        purpose=_PURPOSES[case.purpose],
        create_time=timestamp_ms(case.opened_ms),
        close_time=None if case.closed_ms is None else timestamp_ms(case.closed_ms),
        expire_time=None if case.expires_ms is None else timestamp_ms(case.expires_ms),
    )
    if principal is not None:
        message.examinations.extend(summary_message(one, principal) for one in examinations)
    return message


def summary_message(examination: Examination, principal: Principal) -> pb.ExaminationSummary:
    """Build the short message of an examination, as the caller may know it."""
    searched = examination.searched
    state, concluded = rules.examination_state(examination), rules.examination_conclusion(examination)
    return pb.ExaminationSummary(
        examination_id=examination.examination_id,
        case_id=examination.case_id,
        gallery_id=searched.gallery_id,
        create_time=timestamp_ms(searched.searched_ms),
        state=_state(state, principal),
        candidate_count=len(examination.candidates),
        conclusion=pb.FINDING_KIND_UNSPECIFIED if concluded is None else _KINDS[concluded.kind],
        concluded_template_id=0 if concluded is None else concluded.template_id,
    )


def examination_message(examination: Examination, case: Case | None, principal: Principal) -> pb.Examination:
    """Build the message of an examination, as the caller may know it; `case` is None where they may not know of it.

    Examiners who may still give a finding get the candidates in their own order, without similarities and subject ids:
    neither the machine's ranking, nor another examiner's, nor what an id says of a person is to lead the eye.
    """
    searched = examination.searched
    blind = Role.EXAMINER in principal.roles and rules.may_examine(examination, principal.principal_id)
    candidates = sorted(examination.candidates, key=lambda one: one.rank)
    if blind:
        candidates.sort(key=lambda one: _own_order(examination, principal, one))
    return pb.Examination(
        summary=summary_message(examination, principal),
        probe=common_pb2.Image(data=examination.probe),
        probe_sha256=searched.probe_sha256,
        candidates=[_candidate_message(one, blind) for one in candidates],
        findings=[_finding_message(one) for one in rules.sees_findings(examination, principal.principal_id)],
        threshold=searched.threshold,
        gallery_version=searched.gallery_version,
        model=model_message(model_of(searched)),
        calibration_id=searched.calibration_id,
        required_findings=rules.required_findings(searched.operational, len(examination.candidates)),
        notice=render(NOTICE),
        case_reference="" if case is None else case.reference,
        purpose=common_pb2.PURPOSE_UNSPECIFIED if case is None else _PURPOSES[case.purpose],
    )


def model_of(searched: Searched) -> ModelId:
    """Return the model of a search, from its text "pack@version:sha256"."""
    pack, _, rest = searched.model.partition("@")
    version, _, sha256 = rest.rpartition(":")
    return ModelId(pack, version, sha256)


def _state(state: State, principal: Principal) -> pb.ExaminationState.ValueType:
    if Role.EXAMINER in principal.roles and state is not State.CONCLUDED:
        return pb.EXAMINATION_STATE_AWAITING_FINDING
    value: pb.ExaminationState.ValueType = _STATES[state]
    return value


def _own_order(examination: Examination, principal: Principal, candidate: Listed) -> bytes:
    told = f"{examination.examination_id}\0{principal.principal_id}\0{candidate.template_id}"
    return hashlib.sha256(told.encode()).digest()


def _candidate_message(candidate: Listed, blind: bool) -> pb.ExaminedCandidate:
    return pb.ExaminedCandidate(
        rank=0 if blind else candidate.rank,
        subject_id="" if blind else candidate.subject_id,
        template_id=candidate.template_id,
        similarity=None if blind else candidate.similarity,
        photo=common_pb2.Image(data=candidate.photo) if candidate.photo else None,
        photo_sha256=candidate.photo_sha256,
    )


def _finding_message(finding: Finding) -> pb.Finding:
    return pb.Finding(
        examiner=finding.examiner,
        kind=_KINDS[finding.kind],
        template_id=finding.template_id,
        rating=finding.rating,
        notes=finding.notes,
        create_time=timestamp_ms(finding.given_ms),
    )
