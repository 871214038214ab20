"""No call gives out people of an operational gallery without a purpose and a case, and the audit keeps both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask

from fr_api.v1 import audit_pb2, common_pb2, gallery_pb2, recognition_pb2, review_pb2
from fr_server.authz.rules import Stated
from fr_server.authz.table import RULES
from support.callers import METHODS, POTENTIAL, PROBE, Caller, Staffed, in_case, reason_of, staffed

OWN = "What the caller sent comes back; it tells of nobody in a gallery."
COURSE = "The gallery of a course is of use TRAINING, and its people have no names."
TELLS_NOBODY = {
    "RecognitionService/Detect": OWN,
    "RecognitionService/Embed": OWN,
    "RecognitionService/Compare": OWN,
    "AuditService/ExportAudit": "Records name nobody.",
    "RecognitionService/StreamEmbed": OWN,
    "GalleryService/Enrol": "It tells what the caller sent; `report_similar` is refused on an operational gallery.",
    "GalleryService/StreamEnrol": "As Enrol.",
    "GalleryService/StreamEnrolEmbeddings": "It tells the numbers of the new templates.",
    "TrainingService/NextTrial": COURSE,
    "TrainingService/SubmitProbe": COURSE,
    "TrainingService/LockNotes": COURSE,
    "TrainingService/SubmitDecision": COURSE,
}
"""Methods whose answers have fields for persons, and why they need no purpose."""

PERSON_MESSAGES = {"Subject", "Candidate", "Template", "Embedding", "Image", "ExaminedCandidate", "Face", "Photo"}
PERSON_FIELDS = ("subject_id", "subject_a", "photo", "image", "template_id", "template_ids", "data")


def tells_persons(described: Descriptor, seen: frozenset[str] = frozenset()) -> bool:
    """Whether a message, or one in it, has a field for a person, a template or a photo."""
    if described.full_name in seen or not described.full_name.startswith("fr_api."):
        return False
    seen |= {described.full_name}
    return described.name in PERSON_MESSAGES or any(
        field.name in PERSON_FIELDS or (field.message_type is not None and tells_persons(field.message_type, seen))
        for field in described.fields
    )


def name_of(method: str) -> str:
    return method.removeprefix("/fr_api.v1.")


def test_every_method_that_has_fields_for_persons_is_decided() -> None:
    telling = {name_of(method) for method, one in METHODS.items() if tells_persons(one.output_type)}
    stated = {name_of(method) for method, rule in RULES.items() if rule.stated is not Stated.NOTHING}
    assert telling - stated == set(TELLS_NOBODY), "what tells of persons states why, or is in the table"
    assert stated - telling == {"ReviewService/GetCase"}, "it has what examinations conclude"
    assert all(rule.recorded for rule in RULES.values() if rule.stated is not Stated.NOTHING)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staffed]:
    with staffed(tmp_path_factory.mktemp("stated")) as made:
        made.gallery("wanted")
        made.gallery("test", operational=False)
        yield made


FACE = recognition_pb2.Probe(image=common_pb2.Image(data=PROBE))


def template_of(at: Staffed, gallery_id: str) -> int:
    return at.server.app.galleries.subject(gallery_id, f"{gallery_id} 10").templates[0].template_id


def update(at: Staffed, gallery_id: str, **why: Any) -> gallery_pb2.UpdateSubjectRequest:
    mask = FieldMask(paths=["display_name"])
    return gallery_pb2.UpdateSubjectRequest(
        gallery_id=gallery_id, subject_id=f"{gallery_id} 10", display_name="Right", update_mask=mask, **why
    )


CALLS: dict[str, Callable[..., Any]] = {
    "Search": lambda at, g, **why: gallery_pb2.SearchRequest(gallery_id=g, probe=FACE, **why),
    "StreamSearch": lambda at, g, **why: gallery_pb2.StreamSearchRequest(
        item_id="1", search=gallery_pb2.SearchRequest(gallery_id=g, probe=FACE, **why)
    ),
    "GetSubject": lambda at, g, **why: gallery_pb2.GetSubjectRequest(gallery_id=g, subject_id=f"{g} 10", **why),
    "ListSubjects": lambda at, g, **why: gallery_pb2.ListSubjectsRequest(gallery_id=g, **why),
    "GetTemplate": lambda at, g, **why: gallery_pb2.GetTemplateRequest(
        gallery_id=g, template_id=template_of(at, g), include_photo=True, **why
    ),
    "UpdateSubject": update,
    "FindDuplicates": lambda at, g, **why: gallery_pb2.FindDuplicatesRequest(gallery_id=g, threshold=-1.0, **why),
    "ClusterGallery": lambda at, g, **why: gallery_pb2.ClusterGalleryRequest(gallery_id=g, threshold=0.5, **why),
}
VICTIM, UPKEEP = common_pb2.PURPOSE_VICTIM, common_pb2.PURPOSE_GALLERY_MAINTENANCE


def asked(caller: Caller, method: str, request: Any) -> str:
    stub = getattr(caller.gallery, method)
    if not method.startswith("Stream"):
        return reason_of(partial(stub, request))
    (answer,) = list(stub(iter([request])))
    if not answer.HasField("refusal"):
        return "OK"
    reasons = type(answer.refusal).DESCRIPTOR.fields_by_name["reason"].enum_type.values_by_number
    return str(reasons[answer.refusal.reason].name.removeprefix("ERROR_REASON_"))


def test_the_calls_here_are_those_of_the_table() -> None:
    asks = {name_of(m) for m, rule in RULES.items() if rule.stated in (Stated.PURPOSE, Stated.INQUIRY)}
    assert asks == {f"GalleryService/{name}" for name in CALLS}


@pytest.mark.parametrize("method", CALLS)
def test_persons_of_an_operational_gallery_take_a_purpose_and_a_case(at: Staffed, method: str) -> None:
    made, stated = partial(CALLS[method], at), RULES[f"/fr_api.v1.GalleryService/{method}"].stated
    for why in ({}, {"purpose": VICTIM}, {"case_reference": "A 1"}):
        assert asked(at.operator, method, made("wanted", **why)) == "PURPOSE_REQUIRED"
    assert asked(at.operator, method, made("wanted", purpose=99, case_reference="A 1")) == "INVALID_FIELD"
    assert asked(at.operator, method, made("wanted", purpose=VICTIM, case_reference="A\n1")) == "INVALID_FIELD"
    upkeep = asked(at.operator, method, made("wanted", purpose=UPKEEP, case_reference="T 1"))
    assert upkeep == ("OK" if stated is Stated.PURPOSE else "INVALID_FIELD")
    assert asked(at.operator, method, made("wanted", purpose=VICTIM, case_reference="A 1")) == "OK"
    assert asked(at.operator, method, made("test")) == "OK"


def test_what_is_read_of_a_case_is_put_down_to_it(at: Staffed) -> None:
    case_id = at.operator.opens("K 7", common_pb2.PURPOSE_MISSING_PERSON)
    examination_id = at.operator.review.SearchInCase(in_case(case_id, "wanted")).examination.examination_id
    examiner = at.examiner(1)
    examiner.examination(examination_id)
    at.operator.review.GetCase(review_pb2.GetCaseRequest(case_id=case_id))
    at.operator.exports(case_id, unfinished=True)
    (template_id,) = {one.template_id for one in examiner.examination(examination_id).candidates[:1]}
    examiner.finds(examination_id, POTENTIAL, template_id=template_id, rating=2)
    tells = {name_of(m).split("/")[1] for m, rule in RULES.items() if rule.stated is Stated.CASE}
    assert tells == {"SearchInCase", "GetExamination", "GetCase", "ExportEvidence", "SubmitFinding"}
    for chain, action in (
        ("access", "review.search_in_case"),
        ("access", "review.get_examination"),
        ("access", "review.get_case"),
        ("access", "review.export_evidence"),
        ("cases", "case.finding"),
    ):
        request = audit_pb2.SearchAuditRequest(chain=chain, action=action, outcome="OK")
        said = json.loads(at.auditor.audit.SearchAudit(request).records[-1].json)
        assert (said["purpose"], said["detail"]["case_id"]) == ("missing_person", case_id), action
        assert said["case"]


def test_a_search_is_not_made_of_reads(at: Staffed) -> None:
    """The way around: list the subjects of a gallery, read their templates, and compare these with the probe."""
    listing = gallery_pb2.ListSubjectsRequest(gallery_id="wanted")
    assert reason_of(partial(at.operator.gallery.ListSubjects, listing)) == "PURPOSE_REQUIRED"
    why: dict[str, Any] = {"purpose": VICTIM, "case_reference": "A 1"}
    read = partial(gallery_pb2.GetTemplateRequest, gallery_id="wanted", template_id=template_of(at, "wanted"))
    plain = at.operator.gallery.GetTemplate(read(**why))
    assert not plain.HasField("embedding")
    assert not plain.HasField("photo")
    assert at.operator.gallery.GetTemplate(read(include_photo=True, **why)).photo.data == PROBE
    for more in ({}, why):
        embedded = partial(at.operator.gallery.GetTemplate, read(include_embedding=True, **more))
        assert reason_of(embedded) == ("NOT_PERMITTED" if more else "PURPOSE_REQUIRED")
    test = {"gallery_id": "test", "template_id": template_of(at, "test")}
    assert len(at.operator.gallery.GetTemplate(read(include_embedding=True, **test)).embedding.vector) == 64


def test_an_admin_deletes_without_reading(at: Staffed) -> None:
    at.gallery("going")
    admin, subject_ids = at.admin.gallery, [f"going {blue}" for blue in (10, 40)]
    deleted = admin.DeleteSubject(gallery_pb2.DeleteSubjectRequest(gallery_id="going", subject_id=subject_ids[0]))
    assert deleted.deleted_templates == 1
    erased = admin.EraseSubject(gallery_pb2.EraseSubjectRequest(gallery_id="going", subject_id=subject_ids[1]))
    assert erased.erased_templates == 1
    looked = gallery_pb2.ListSubjectsRequest(gallery_id="going", purpose=UPKEEP, case_reference="request 12")
    assert len(admin.ListSubjects(looked).subjects) == 2


@pytest.mark.parametrize("purpose", [UPKEEP, 99])
def test_no_case_is_of_the_upkeep_of_a_gallery(at: Staffed, purpose: Any) -> None:
    opening = review_pb2.OpenCaseRequest(case_reference="upkeep", purpose=purpose)
    assert reason_of(partial(at.operator.review.OpenCase, opening)) == "INVALID_FIELD"


def test_where_nobody_is_asked_who_calls_a_purpose_is_asked_for_too(tmp_path: Path) -> None:
    with staffed(tmp_path, access={"mode": "open"}) as open_to_all:
        anybody = Caller(open_to_all.server.channel, "")
        open_to_all.gallery("wanted")
        for method, made in CALLS.items():
            assert asked(anybody, method, made(open_to_all, "wanted")) == "PURPOSE_REQUIRED", method
