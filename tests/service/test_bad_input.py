"""Bad input is refused with one reason over gRPC and HTTP, and changes nothing; all forms of an id are one id."""

import io
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from PIL import Image

from fr_api.v1 import audit_pb2, audit_pb2_grpc, common_pb2, gallery_pb2, recognition_pb2, server_pb2
from fr_client import Client, EmbeddingBatch, EmbeddingSubject, EnrolItem
from fr_core.embed.null import NULL_MODEL
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.query import SubjectFilter
from fr_core.gallery.store.gallery_store import GalleryStore
from fr_core.gallery.values import Enrolment, NewTemplate, Subject
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.types import Embedding, ModelId
from fr_datasets import people_folder
from fr_datasets.errors import DatasetError
from fr_server.errors import all_errors
from fr_trust.casework.values import Purpose
from fr_trust.errors import CaseExists
from support.cases import open_store
from support.servers import Running, photo, refusal_of, running
from support.web import Web, web

MODEL = common_pb2.ModelId(pack=NULL_MODEL.pack, version=NULL_MODEL.version, sha256=NULL_MODEL.sha256)
NAN = float("nan")


def image_probe(data: bytes) -> recognition_pb2.Probe:
    return recognition_pb2.Probe(image=common_pb2.Image(data=data))


def embedding_probe(vector: list[float], model: common_pb2.ModelId = MODEL) -> recognition_pb2.Probe:
    return recognition_pb2.Probe(embedding=common_pb2.Embedding(vector=vector, model=model))


def encoded(width: int, height: int, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("L", (width, height)).save(out, kind)
    return out.getvalue()


@dataclass(frozen=True)
class Bad:
    name: str
    call: Callable[[Running], object]
    status: grpc.StatusCode
    reason: str


def search(probe: recognition_pb2.Probe, gallery_id: str = "staff", **fields: object) -> Callable[[Running], object]:
    request = gallery_pb2.SearchRequest(gallery_id=gallery_id, probe=probe, **fields)  # type: ignore[arg-type]
    return lambda server: server.gallery.Search(request)


def enrol(face: recognition_pb2.Probe, gallery_id: str = "staff", **fields: object) -> Callable[[Running], object]:
    values: dict[str, object] = {"subject_id": "s1", **fields}
    request = gallery_pb2.EnrolRequest(gallery_id=gallery_id, face=face, **values)  # type: ignore[arg-type]
    return lambda server: server.gallery.Enrol(request)


def detect(data: bytes) -> Callable[[Running], object]:
    request = recognition_pb2.DetectRequest(image=common_pb2.Image(data=data))
    return lambda server: server.recognition.Detect(request)


def embed(photos: int) -> Callable[[Running], object]:
    request = recognition_pb2.BatchEmbedRequest(images=[common_pb2.Image(data=photo(1))] * photos)
    return lambda server: server.recognition.BatchEmbed(request)


def delete_template(template_id: int) -> Callable[[Running], object]:
    request = gallery_pb2.DeleteTemplateRequest(gallery_id="staff", template_id=template_id)
    return lambda server: server.gallery.DeleteTemplate(request)


def update_gallery(*mask: str, gallery_id: str = "staff", **fields: Any) -> Callable[[Running], object]:
    request = gallery_pb2.UpdateGalleryRequest(gallery_id=gallery_id, update_mask=FieldMask(paths=mask), **fields)
    return lambda server: server.gallery.UpdateGallery(request)


def update_subject(*mask: str, subject_id: str = "kept", **fields: Any) -> Callable[[Running], object]:
    request = gallery_pb2.UpdateSubjectRequest(
        gallery_id="staff", subject_id=subject_id, update_mask=FieldMask(paths=mask), **fields
    )
    return lambda server: server.gallery.UpdateSubject(request)


def get_subject(subject_id: str) -> Callable[[Running], object]:
    request = gallery_pb2.GetSubjectRequest(gallery_id="staff", subject_id=subject_id)
    return lambda server: server.gallery.GetSubject(request)


def create_gallery(gallery_id: str) -> Callable[[Running], object]:
    request = gallery_pb2.CreateGalleryRequest(gallery_id=gallery_id)
    return lambda server: server.gallery.CreateGallery(request)


def set_calibration(text: str) -> Callable[[Running], object]:
    request = gallery_pb2.SetCalibrationRequest(gallery_id="staff", calibration_json=text)
    return lambda server: server.gallery.SetCalibration(request)


def pages(page_size: int | None, token: str) -> Callable[[Running], object]:
    request = gallery_pb2.ListSubjectsRequest(gallery_id="staff", page_size=page_size, page_token=token)
    return lambda server: server.gallery.ListSubjects(request)


AXIS = [1.0] + [0.0] * 63
UNIT, FACE = embedding_probe(AXIS), image_probe(photo(1))
INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
NOT_FOUND = grpc.StatusCode.NOT_FOUND
ENDLESS = common_pb2.ModelId(pack="x" * 9000, version="1", sha256="0")
MUCH = {str(i): "x" * 1000 for i in range(5)}
OTHER_MODEL = common_pb2.ModelId(pack="other", version="1", sha256="f" * 64)

BAD = (
    Bad("no photo", detect(b""), INVALID, "MISSING_FIELD"),
    Bad("text instead of a photo", detect(b"this is not a photo"), INVALID, "UNDECODABLE"),
    Bad("truncated photo", detect(photo(1)[:-40]), INVALID, "UNDECODABLE"),
    Bad("format not accepted", detect(encoded(64, 64, "BMP")), INVALID, "UNSUPPORTED_FORMAT"),
    Bad("oversize bytes", detect(b"\x89PNG" + bytes(8 * 1024 * 1024)), INVALID, "IMAGE_TOO_MANY_BYTES"),
    Bad("oversize pixels", detect(encoded(6000, 5000)), INVALID, "IMAGE_TOO_MANY_PIXELS"),
    Bad("batch of none", embed(0), INVALID, "INVALID_FIELD"),
    Bad("batch of too many", embed(65), INVALID, "INVALID_FIELD"),
    Bad("enrol: undecodable", enrol(image_probe(b"nothing")), INVALID, "UNDECODABLE"),
    Bad("enrol: no face", enrol(image_probe(photo())), PRECONDITION, "NO_FACE"),
    Bad("enrol: several faces", enrol(image_probe(photo(1, 2))), PRECONDITION, "SEVERAL_FACES"),
    Bad("enrol: too small", enrol(image_probe(photo(1, size=8))), PRECONDITION, "TOO_SMALL"),
    Bad("enrol: every face", enrol(FACE, several_faces=3), INVALID, "INVALID_FIELD"),
    Bad("enrol: unknown gallery", enrol(FACE, "nowhere"), NOT_FOUND, "UNKNOWN_GALLERY"),
    Bad("enrol: no subject id", enrol(FACE, subject_id=""), INVALID, "INVALID_IDENTIFIER"),
    Bad("enrol: long subject id", enrol(FACE, subject_id="x" * 129), INVALID, "INVALID_IDENTIFIER"),
    Bad("enrol: long name", enrol(FACE, display_name="x" * 257), INVALID, "INVALID_FIELD"),
    Bad("enrol: no face field", enrol(recognition_pb2.Probe()), INVALID, "MISSING_FIELD"),
    Bad("enrol: wrong size", enrol(embedding_probe([1.0])), INVALID, "EMBEDDING_WRONG_SIZE"),
    Bad("enrol: NaN", enrol(embedding_probe([NAN] * 64)), INVALID, "EMBEDDING_NOT_FINITE"),
    Bad("search: no face", search(image_probe(photo())), PRECONDITION, "NO_FACE"),
    Bad("search: several faces", search(image_probe(photo(1, 2))), PRECONDITION, "SEVERAL_FACES"),
    Bad("search: unknown gallery", search(FACE, "nowhere"), NOT_FOUND, "UNKNOWN_GALLERY"),
    Bad("search: wrong size", search(embedding_probe([1.0, 0.0])), INVALID, "EMBEDDING_WRONG_SIZE"),
    Bad("search: empty vector", search(embedding_probe([])), INVALID, "EMBEDDING_WRONG_SIZE"),
    Bad("search: NaN", search(embedding_probe([NAN] * 64)), INVALID, "EMBEDDING_NOT_FINITE"),
    Bad("search: infinity", search(embedding_probe([float("inf")] * 64)), INVALID, "EMBEDDING_NOT_FINITE"),
    Bad("search: zeros", search(embedding_probe([0.0] * 64)), INVALID, "EMBEDDING_NOT_UNIT"),
    Bad("search: other model", search(embedding_probe(AXIS, OTHER_MODEL)), PRECONDITION, "MODEL_MISMATCH"),
    Bad("search: no model", search(embedding_probe(AXIS, common_pb2.ModelId())), INVALID, "MISSING_FIELD"),
    Bad("search: no calibration", search(UNIT, target_fmr=0.1), PRECONDITION, "NO_CALIBRATION"),
    Bad("search: rate of 0", search(UNIT, target_fpir=0.0), INVALID, "INVALID_FIELD"),
    Bad("search: rate of fused", search(UNIT, target_fmr=0.1, fusion=2), INVALID, "INVALID_FIELD"),
    Bad("no calibration", set_calibration("{}"), INVALID, "CALIBRATION_INVALID"),
    Bad("empty calibration", set_calibration(""), INVALID, "MISSING_FIELD"),
    Bad("search: zero top-k", search(UNIT, top_k=0), INVALID, "INVALID_TOP_K"),
    Bad("search: huge top-k", search(UNIT, top_k=2**31), INVALID, "INVALID_TOP_K"),
    Bad("search: threshold 2", search(UNIT, threshold=2.0), INVALID, "INVALID_THRESHOLD"),
    Bad("search: threshold NaN", search(UNIT, threshold=NAN), INVALID, "INVALID_THRESHOLD"),
    Bad("search: unknown policy", search(FACE, several_faces=77), INVALID, "INVALID_FIELD"),
    Bad("search: no probe", search(recognition_pb2.Probe()), INVALID, "MISSING_FIELD"),
    Bad("search: endless model name", search(embedding_probe(AXIS, ENDLESS)), INVALID, "INVALID_FIELD"),
    Bad("search: long vector", search(embedding_probe([0.5] * 100_000)), INVALID, "EMBEDDING_WRONG_SIZE"),
    Bad("enrol: much metadata", enrol(FACE, metadata=MUCH), INVALID, "INVALID_FIELD"),
    Bad("update: empty mask", update_gallery(), INVALID, "INVALID_FIELD"),
    Bad("update: unknown field", update_gallery("display_name", "colour"), INVALID, "INVALID_FIELD"),
    Bad("update: what never changes", update_gallery("keeps_photos"), INVALID, "INVALID_FIELD"),
    Bad("update: the model", update_gallery("model"), INVALID, "INVALID_FIELD"),
    Bad("update: the id", update_gallery("gallery_id"), INVALID, "INVALID_FIELD"),
    Bad("update: long name", update_gallery("display_name", display_name="x" * 257), INVALID, "INVALID_FIELD"),
    Bad(
        "update: a past end", update_gallery("expire_time", expire_time=Timestamp(seconds=1)), INVALID, "INVALID_FIELD"
    ),
    Bad("update: no time", update_gallery("expire_time", expire_time=Timestamp(nanos=-1)), INVALID, "INVALID_FIELD"),
    Bad("update: no retention", update_gallery("retention", retention=Duration(seconds=0)), INVALID, "INVALID_FIELD"),
    Bad("update: unknown gallery", update_gallery("retention", gallery_id="x"), NOT_FOUND, "UNKNOWN_GALLERY"),
    Bad("update subject: empty mask", update_subject(), INVALID, "INVALID_FIELD"),
    Bad("update subject: one pair", update_subject("metadata.unit"), INVALID, "INVALID_FIELD"),
    Bad("update subject: what never changes", update_subject("templates"), INVALID, "INVALID_FIELD"),
    Bad("update subject: much metadata", update_subject("metadata", metadata=MUCH), INVALID, "INVALID_FIELD"),
    Bad("update subject: unknown", update_subject("metadata", subject_id="x"), NOT_FOUND, "UNKNOWN_SUBJECT"),
    Bad("page of none", pages(0, ""), INVALID, "INVALID_PAGE"),
    Bad("page of too many", pages(1001, ""), INVALID, "INVALID_PAGE"),
    Bad("invented page token", pages(None, "abc"), INVALID, "INVALID_PAGE"),
    Bad("unknown template", delete_template(12345), NOT_FOUND, "UNKNOWN_TEMPLATE"),
    Bad("negative template", delete_template(-1), NOT_FOUND, "UNKNOWN_TEMPLATE"),
    Bad("unknown subject", get_subject("x"), NOT_FOUND, "UNKNOWN_SUBJECT"),
    Bad("gallery exists", create_gallery("staff"), grpc.StatusCode.ALREADY_EXISTS, "GALLERY_EXISTS"),
    Bad("gallery id", create_gallery("../etc"), INVALID, "INVALID_IDENTIFIER"),
)


def gallery_state(server: Running) -> tuple[int, int, int]:
    gallery = server.gallery.GetGallery(gallery_pb2.GetGalleryRequest(gallery_id="staff")).gallery
    return gallery.subject_count, gallery.template_count, gallery.version


@pytest.fixture(scope="module")
def staffed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with one gallery of one subject, which no test here may change."""
    with running(tmp_path_factory.mktemp("staffed")) as server:
        server.gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="staff"))
        enrol(image_probe(photo(200)), subject_id="kept")(server)
        yield server


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_bad_input_is_refused_with_a_reason_and_changes_nothing(staffed: Running, bad: Bad) -> None:
    before = gallery_state(staffed)
    told = refusal_of(lambda: bad.call(staffed))
    remedy = {error.reason: error("").advice for error in all_errors()}[bad.reason]
    assert (told.info.reason, told.code) == (bad.reason, bad.status)
    assert told.info.domain == "fr-core"
    assert told.status.code == bad.status.value[0]
    assert told.status.message.endswith(remedy)
    assert gallery_state(staffed) == before
    assert staffed.server.GetServerInfo(server_pb2.GetServerInfoRequest()).version


@pytest.fixture(scope="module")
def site(staffed: Running) -> Iterator[Web]:
    with web(staffed.address) as started:
        yield started


class Noted:
    """In the place of a stub: notes a call."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __getattr__(self, method: str) -> Callable[[Message], tuple[str, Message]]:
        return lambda request: (f"{self._service}/{method}", request)


NOTED: Any = SimpleNamespace(gallery=Noted("GalleryService"), recognition=Noted("RecognitionService"))


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_http_says_the_same_in_both_forms(staffed: Running, site: Web, bad: Bad) -> None:
    before, told = gallery_state(staffed), refusal_of(lambda: bad.call(staffed))
    noted: Any = bad.call(NOTED)
    method, request = noted
    forms: list[Any] = [request.SerializeToString()]
    try:
        forms.append(MessageToDict(request, preserving_proto_field_name=True))
    except (SerializeToJsonError, ValueError):
        assert "time" in bad.name  # JSON has no such time
    for form in forms:
        said = site.call(method, form)
        assert (said.reason, said.json["message"]) == (bad.reason, told.status.message)
        assert 400 <= said.status < 500
    assert gallery_state(staffed) == before


def test_duplicate_photo_is_refused_and_names_the_template(staffed: Running) -> None:
    info = refusal_of(lambda: enrol(image_probe(photo(200)), subject_id="another")(staffed)).info
    assert info.reason == "DUPLICATE_IMAGE"
    assert int(info.metadata["template_id"]) >= 1
    assert gallery_state(staffed)[0] == 1


def test_message_beyond_what_grpc_receives_leaves_the_server_up(staffed: Running) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        detect(bytes(40 * 1024 * 1024))(staffed)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert gallery_state(staffed)[0] == 1


def test_no_error_tells_an_id_or_a_name(staffed: Running) -> None:
    assert b"Jane" not in refusal_of(lambda: get_subject("Jane Roe")(staffed)).status.SerializeToString()


NFC, NFD = (unicodedata.normalize(form, "Zoë Ångström") for form in ("NFC", "NFD"))
BOTH = (NFC, NFD)


def face_of(blue: int) -> recognition_pb2.Probe:
    return recognition_pb2.Probe(image=common_pb2.Image(data=photo(blue)))


def enrolled_as(server: Running, subject_id: str, blue: int) -> gallery_pb2.EnrolResponse:
    return server.gallery.Enrol(gallery_pb2.EnrolRequest(gallery_id="g", subject_id=subject_id, face=face_of(blue)))


def ids_kept(server: Running) -> list[str]:
    found = server.gallery.ListSubjects(gallery_pb2.ListSubjectsRequest(gallery_id="g"))
    return [subject.subject_id for subject in found.subjects]


@pytest.fixture
def gallery(server: Running) -> Running:
    server.gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="g", use=gallery_pb2.GALLERY_USE_TEST))
    return server


@pytest.mark.parametrize("forms", [BOTH, BOTH[::-1]])
def test_both_forms_enrol_one_subject(gallery: Running, forms: Sequence[str]) -> None:
    first, second = (enrolled_as(gallery, form, number) for number, form in enumerate(forms, 1))
    assert (first.subject_created, second.subject_created) == (True, False)
    assert {first.subject_id, second.subject_id} == {NFC}
    assert ids_kept(gallery) == [NFC]


@pytest.mark.parametrize("form", BOTH)
def test_each_form_finds_changes_searches_and_deletes_it(gallery: Running, form: str) -> None:
    enrolled_as(gallery, NFD, 1)
    named: dict[str, Any] = {"gallery_id": "g", "subject_id": form}
    assert gallery.gallery.GetSubject(gallery_pb2.GetSubjectRequest(**named)).subject.subject_id == NFC
    change = gallery_pb2.UpdateSubjectRequest(**named, display_name="Z")
    change.update_mask.paths.append("display_name")
    assert gallery.gallery.UpdateSubject(change).subject.display_name == "Z"
    among = gallery_pb2.SubjectFilter(subject_ids=[form])
    searched = gallery.gallery.Search(gallery_pb2.SearchRequest(gallery_id="g", probe=face_of(1), filter=among))
    assert [one.subject_id for one in searched.results[0].candidates] == [NFC]
    strange = gallery_pb2.SubjectFilter(subject_ids=[*BOTH, "nobody"])
    unknown = gallery_pb2.SearchRequest(gallery_id="g", probe=face_of(1), filter=strange)
    assert refusal_of(lambda: gallery.gallery.Search(unknown)).info.reason == "UNKNOWN_SUBJECT"
    gallery.gallery.DeleteSubject(gallery_pb2.DeleteSubjectRequest(**named))
    enrolled_as(gallery, NFD, 1)
    gallery.gallery.EraseSubject(gallery_pb2.EraseSubjectRequest(**named))
    assert ids_kept(gallery) == []


def test_of_many_at_once_both_forms_are_one(gallery: Running) -> None:
    model = common_pb2.ModelId(pack=NULL_MODEL.pack, version=NULL_MODEL.version, sha256=NULL_MODEL.sha256)
    vectors = np.eye(2, 64, dtype="<f4").tobytes()
    with Client(gallery.address) as client:
        client.enrol_embeddings("g", model, [EmbeddingBatch(vectors, [EmbeddingSubject(form) for form in BOTH])])
        list(client.enrol_many("g", [EnrolItem(form, photo(number)) for number, form in enumerate(BOTH, 1)]))
    assert ids_kept(gallery) == [NFC]


@pytest.mark.parametrize("form", BOTH)
def test_the_audit_tells_of_it_under_each_form(gallery: Running, form: str) -> None:
    enrolled_as(gallery, NFD, 1)
    request = audit_pb2.SearchAuditRequest(chain="galleries", gallery_id="g", subject_id=form)
    (record,) = audit_pb2_grpc.AuditServiceStub(gallery.channel).SearchAudit(request).records
    assert '"gallery.enrol"' in record.json


KEY = KeyEncryptionKey(bytes(range(32)))
OLD_MODEL = ModelId("m", "1", "0" * 64)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def embedding(number: int) -> Embedding:
    return Embedding(np.eye(4, dtype=np.float32)[number], OLD_MODEL)


def test_a_subject_that_was_kept_in_nfd_is_found_in_either_form_and_is_no_other(tmp_path: Path) -> None:
    with Galleries.open(tmp_path / "data", key=KEY, index="numpy") as galleries:
        galleries.create("g", "", OLD_MODEL, 4)
    store = GalleryStore(tmp_path / "data", KEY)
    assert list(store.vectors(10)) == []
    with store.transaction() as transaction:
        row = transaction.gallery("g")
        assert row is not None
        number = transaction.insert_subject(row.gallery_no, Subject(NFD, "", {}, NOW, ()))
        transaction.insert_template(row.gallery_no, number, NewTemplate(embedding(0)), NOW)
        transaction.changed(row.gallery_no, 1, 1)
    store.close()
    with Galleries.open(tmp_path / "data", key=KEY, index="numpy") as galleries:
        for form in BOTH:
            assert galleries.subject("g", form).subject_id == NFD
            found = galleries.search("g", embedding(0), 5, 0.5, among=SubjectFilter(subject_ids=(form,)))
            assert [one.subject_id for one in found.identification.candidates] == [NFD]
        added = galleries.enrol("g", Enrolment(NFC, NewTemplate(embedding(1))))
        assert (added.subject_id, added.subject_created) == (NFD, False)
        assert galleries.delete_subject("g", NFC).templates == 2


def test_a_case_has_one_reference(tmp_path: Path) -> None:
    with open_store(tmp_path / "cases") as store:
        assert store.open_case(NFD, Purpose.INVESTIGATION, "key:a").reference == NFC
        for form in BOTH:
            with pytest.raises(CaseExists):
                store.open_case(form, Purpose.INVESTIGATION, "key:a")


def test_folders_of_people_as_macos_names_them_fit_the_list_of_their_labels(tmp_path: Path) -> None:
    (tmp_path / NFD).mkdir()
    (tmp_path / NFD / "1.png").write_bytes(photo(1))
    (tmp_path / "labels.csv").write_text(f"person,sex\n{NFC},f\n", encoding="utf-8")
    (person,) = people_folder.people(tmp_path).people
    assert (person.identity, person.labels) == (NFC, {"sex": "f"})


def test_two_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    for number, form in enumerate(BOTH):
        (tmp_path / form).mkdir()
        (tmp_path / form / f"{number}.png").write_bytes(photo(number))
    with pytest.raises(DatasetError, match="two folders of one name"):
        people_folder.people(tmp_path)
