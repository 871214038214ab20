"""No call gives out people of an operational gallery without a purpose, not even if it replaces another gallery."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask

from fr_api.v1 import audit_pb2, common_pb2, error_reason_pb2, gallery_pb2, recognition_pb2, review_pb2
from fr_core.embed.null import NULL_MODEL
from fr_core.errors import GalleryReplaced
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.query import ScoreFusion
from fr_core.gallery.scan.clusters import Part
from fr_core.gallery.search.searching import Question
from fr_core.gallery.values import Enrolment, GalleryUpdate, GalleryUse, NewTemplate, SubjectUpdate
from fr_core.types import Embedding, frozen_array
from fr_server.authz.rules import Stated
from fr_server.authz.table import RULES
from fr_server.storage.calls import GalleryCalls
from support.callers import METHODS, POTENTIAL, PROBE, Caller, Staffed, in_case, reason_of, staffed
from support.servers import GatedDetector, Running, ended, running

OWN = "What the caller sent comes back; it tells of nobody in a gallery."
COURSE = "The gallery of a course is of use TRAINING, and its people have no names."
TELLS_NOBODY = {
    "RecognitionService/Detect": OWN,
    "RecognitionService/Embed": OWN,
    "RecognitionService/BatchEmbed": OWN,
    "RecognitionService/Compare": OWN,
    "AuditService/ExportAudit": "Records name nobody.",
    "RecognitionService/StreamEmbed": OWN,
    "GalleryService/Enrol": "It tells what the caller sent; `report_similar` is refused on an operational gallery.",
    "VideoService/ListTracks": "It shows the footage that the caller sent.",
    "GalleryService/StreamEnrol": "As Enrol.",
    "GalleryService/StreamEnrolEmbeddings": "It tells the numbers of the new templates.",
    "TrainingService/NextTrial": COURSE,
    "TrainingService/SubmitProbe": COURSE,
    "TrainingService/LockNotes": COURSE,
    "TrainingService/SubmitDecision": COURSE,
    "TrainingService/GetReview": COURSE,
    "TrainingService/GetClassItem": COURSE,
    "TrainingService/ListFormItems": COURSE,
}
"""Methods whose answers have fields for persons, and why they need no purpose."""

PERSON_MESSAGES = {"Subject", "Candidate", "Template", "Embedding", "Image", "ExaminedCandidate", "Face", "Photo"}
PERSON_FIELDS = ("subject_id", "subject_a", "photo", "image", "template_id", "template_ids", "data")


def tells_persons(described: Descriptor, seen: frozenset[str] = frozenset()) -> bool:
    """Return True if a message, or one inside it, has a field for a person, a template or a photo."""
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


RENAMED: dict[str, Any] = {"display_name": "Right", "update_mask": FieldMask(paths=["display_name"])}
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
    "UpdateSubject": lambda at, g, **why: gallery_pb2.UpdateSubjectRequest(
        gallery_id=g, subject_id=f"{g} 10", **RENAMED, **why
    ),
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
    footage = {"VideoService/SearchTracks", "VideoService/WatchStream"}  # see test_video.py and test_video_watch.py
    assert asks == {f"GalleryService/{name}" for name in CALLS} | footage


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
    test: dict[str, Any] = {"gallery_id": "test", "template_id": template_of(at, "test")}
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


OLD: dict[str, Any] = {"gallery_id": "g"}


def embedding(place: int) -> Embedding:
    vector = np.zeros(64, np.float32)
    vector[place] = 1.0
    return Embedding(frozen_array(vector), NULL_MODEL)


@pytest.fixture
def detector() -> GatedDetector:
    return GatedDetector()


@pytest.fixture
def server(tmp_path: Path, detector: GatedDetector) -> Iterator[Running]:
    with running(tmp_path, detector) as server:
        make(server.app.galleries, GalleryUse.TEST)
        detector.gate.set()
        server.gallery.Enrol(gallery_pb2.EnrolRequest(subject_id="old", face=FACE, **OLD))
        assert detector.entered.acquire(timeout=20)
        detector.gate.clear()
        yield server


def make(galleries: GalleryCalls, use: GalleryUse) -> None:
    galleries.create("g", "", NULL_MODEL, 64, None, None, False, use)


def replace(galleries: GalleryCalls) -> None:
    """Let an operational gallery take the place of the one for tests, with the same person in it."""
    galleries.delete("g")
    make(galleries, GalleryUse.OPERATIONAL)
    galleries.enrol("g", Enrolment("secret", NewTemplate(embedding(10))))


def search_in_case(server: Running) -> Any:
    anybody = Caller(server.channel, "")
    return anybody.searches(anybody.opens("A 1"), "g")


def outcome(call: Callable[[], Any]) -> str:
    """The reason why a call, or its one item, is refused; "OK" if it is not."""
    try:
        answer = call()
        items = list(answer) if hasattr(answer, "__next__") else []
    except grpc.RpcError as error:
        told = ended(error)
        assert told.info.reason != "GALLERY_REPLACED" or told.code is grpc.StatusCode.ABORTED
        return str(told.info.reason)
    refused = [one.refusal.reason for one in items if hasattr(one, "refusal") and one.HasField("refusal")]
    return error_reason_pb2.ErrorReason.Name(refused[0]).removeprefix("ERROR_REASON_") if refused else "OK"


def vectors(server: Running) -> Any:
    model = server.gallery.GetGallery(gallery_pb2.GetGalleryRequest(**OLD)).gallery.model
    subjects = [gallery_pb2.EmbeddingSubject(subject_id="new")]
    data = embedding(40).vector.astype("<f4").tobytes()
    enrol = gallery_pb2.EnrolEmbeddingsRequest(model=model, vectors=data, subjects=subjects, **OLD)
    return iter([gallery_pb2.StreamEnrolEmbeddingsRequest(item_id="1", enrol=enrol)])


SEARCH = gallery_pb2.SearchRequest(probe=FACE, **OLD)
ENROL = gallery_pb2.EnrolRequest(subject_id="new", face=FACE, **OLD)
WITH_A_PHOTO: dict[str, Callable[[Running], Any]] = {
    "Search": lambda at: at.gallery.Search(SEARCH),
    "StreamSearch": lambda at: at.gallery.StreamSearch(
        iter([gallery_pb2.StreamSearchRequest(item_id="1", search=SEARCH)])
    ),
    "Enrol": lambda at: at.gallery.Enrol(
        gallery_pb2.EnrolRequest(subject_id="new", face=FACE, report_similar=True, **OLD)
    ),
    "StreamEnrol": lambda at: at.gallery.StreamEnrol(iter([gallery_pb2.StreamEnrolRequest(item_id="1", enrol=ENROL)])),
    "SearchInCase": search_in_case,
}


@pytest.mark.parametrize("method", WITH_A_PHOTO)
def test_a_call_with_a_photo_is_not_done_in_the_new_gallery(
    server: Running, detector: GatedDetector, method: str
) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(outcome, lambda: WITH_A_PHOTO[method](server))
        assert detector.entered.acquire(timeout=20)
        replace(server.app.galleries)
        detector.gate.set()
        assert asked.result(20) == "GALLERY_REPLACED"
    (kept,) = server.app.galleries.subjects("g", 10, "").items
    assert (kept.subject_id, len(kept.templates)) == ("secret", 1)


WITHOUT_A_PHOTO: dict[str, Callable[[Running], Any]] = {
    "GetSubject": lambda at: at.gallery.GetSubject(gallery_pb2.GetSubjectRequest(subject_id="secret", **OLD)),
    "ListSubjects": lambda at: at.gallery.ListSubjects(gallery_pb2.ListSubjectsRequest(**OLD)),
    "GetTemplate": lambda at: at.gallery.GetTemplate(gallery_pb2.GetTemplateRequest(template_id=2, **OLD)),
    "UpdateSubject": lambda at: at.gallery.UpdateSubject(
        gallery_pb2.UpdateSubjectRequest(
            subject_id="secret", display_name="x", update_mask=FieldMask(paths=["display_name"]), **OLD
        )
    ),
    "FindDuplicates": lambda at: at.gallery.FindDuplicates(gallery_pb2.FindDuplicatesRequest(threshold=0.1, **OLD)),
    "ClusterGallery": lambda at: at.gallery.ClusterGallery(gallery_pb2.ClusterGalleryRequest(threshold=0.1, **OLD)),
    "GetCalibration": lambda at: at.gallery.GetCalibration(gallery_pb2.GetCalibrationRequest(**OLD)),
    "StreamEnrolEmbeddings": lambda at: at.gallery.StreamEnrolEmbeddings(vectors(at)),
}


@pytest.mark.parametrize("method", WITHOUT_A_PHOTO)
def test_a_call_without_a_photo_is_not_done_in_the_new_gallery(server: Running, method: str) -> None:
    galleries, get = server.app.galleries, Galleries.get
    looks = iter([False, True] if method == "StreamEnrolEmbeddings" else [True])  # the test itself looks first

    def then_replaced(self: Galleries, gallery: Any) -> Any:
        found = get(self, gallery)
        if next(looks, False):
            replace(galleries)
        return found

    with patch.object(Galleries, "get", then_replaced):
        assert outcome(lambda: WITHOUT_A_PHOTO[method](server)) == "GALLERY_REPLACED"
    (kept,) = galleries.subjects("g", 10, "").items
    assert (kept.subject_id, kept.display_name, len(kept.templates)) == ("secret", "", 1)


def arguments(name: str) -> tuple[Any, ...]:
    """The arguments of a gallery method beside the gallery."""
    none = np.zeros(0, np.int64)
    probe = embedding(10)
    new = Enrolment("new", NewTemplate(probe))
    of: dict[str, tuple[Any, ...]] = {
        "update": (GalleryUpdate(display_name="x"),),
        "set_calibration": (None,),
        "enrol": (new,),
        "enrol_many": ([new],),
        "search": (probe, 1, 0.1, False, ScoreFusion.MAX, None),
        "search_as": (lambda info: Question(probe, 1, 0.1, False, ScoreFusion.MAX, None),),
        "subject": ("secret",),
        "subjects": (10, ""),
        "template": (2,),
        "update_subject": ("secret", SubjectUpdate("x")),
        "delete_subject": ("secret",),
        "erase_subject": ("secret",),
        "delete_template": (2,),
        "duplicates_after": (0.1, None),
        "neighbours_after": (0.1, None),
        "clusters_of": (0.1, Part(0, none, none.reshape(0, 2))),
    }
    return of.get(name, ())


NAMED = [
    name
    for name, method in vars(GalleryCalls).items()
    if callable(method) and "gallery" in signature(method).parameters
]


@pytest.mark.parametrize("name", NAMED)
def test_no_method_takes_another_gallery_for_the_one_that_was_looked_at(server: Running, name: str) -> None:
    galleries = server.app.galleries
    old = galleries.get("g")
    replace(galleries)
    before = galleries.get("g")
    with pytest.raises(GalleryReplaced):
        getattr(galleries, name)(old, *arguments(name))
    assert galleries.get("g") == before
