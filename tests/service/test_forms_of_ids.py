"""All Unicode forms of an id are one id: over the wire, in stores, in data sets."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fr_api.v1 import audit_pb2, audit_pb2_grpc, common_pb2, gallery_pb2, recognition_pb2
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
from fr_trust.casework.values import Purpose
from fr_trust.errors import CaseExists
from support.cases import open_store
from support.servers import Running, photo, refusal_of

NFC, NFD = (unicodedata.normalize(form, "Zoë Ångström") for form in ("NFC", "NFD"))
BOTH = (NFC, NFD)


def probe(blue: int) -> recognition_pb2.Probe:
    return recognition_pb2.Probe(image=common_pb2.Image(data=photo(blue)))


def enrol(server: Running, subject_id: str, blue: int) -> gallery_pb2.EnrolResponse:
    return server.gallery.Enrol(gallery_pb2.EnrolRequest(gallery_id="g", subject_id=subject_id, face=probe(blue)))


def kept(server: Running) -> list[str]:
    found = server.gallery.ListSubjects(gallery_pb2.ListSubjectsRequest(gallery_id="g"))
    return [subject.subject_id for subject in found.subjects]


@pytest.fixture
def gallery(server: Running) -> Running:
    server.gallery.CreateGallery(gallery_pb2.CreateGalleryRequest(gallery_id="g", use=gallery_pb2.GALLERY_USE_TEST))
    return server


@pytest.mark.parametrize("forms", [BOTH, BOTH[::-1]])
def test_both_forms_enrol_one_subject(gallery: Running, forms: Sequence[str]) -> None:
    first, second = (enrol(gallery, form, number) for number, form in enumerate(forms, 1))
    assert (first.subject_created, second.subject_created) == (True, False)
    assert {first.subject_id, second.subject_id} == {NFC}
    assert kept(gallery) == [NFC]


@pytest.mark.parametrize("form", BOTH)
def test_each_form_finds_changes_searches_and_deletes_it(gallery: Running, form: str) -> None:
    enrol(gallery, NFD, 1)
    named: dict[str, Any] = {"gallery_id": "g", "subject_id": form}
    assert gallery.gallery.GetSubject(gallery_pb2.GetSubjectRequest(**named)).subject.subject_id == NFC
    change = gallery_pb2.UpdateSubjectRequest(**named, display_name="Z")
    change.update_mask.paths.append("display_name")
    assert gallery.gallery.UpdateSubject(change).subject.display_name == "Z"
    among = gallery_pb2.SubjectFilter(subject_ids=[form])
    searched = gallery.gallery.Search(gallery_pb2.SearchRequest(gallery_id="g", probe=probe(1), filter=among))
    assert [one.subject_id for one in searched.results[0].candidates] == [NFC]
    strange = gallery_pb2.SubjectFilter(subject_ids=[*BOTH, "nobody"])
    unknown = gallery_pb2.SearchRequest(gallery_id="g", probe=probe(1), filter=strange)
    assert refusal_of(lambda: gallery.gallery.Search(unknown)).info.reason == "UNKNOWN_SUBJECT"
    gallery.gallery.DeleteSubject(gallery_pb2.DeleteSubjectRequest(**named))
    enrol(gallery, NFD, 1)
    gallery.gallery.EraseSubject(gallery_pb2.EraseSubjectRequest(**named))
    assert kept(gallery) == []


def test_of_many_at_once_both_forms_are_one(gallery: Running) -> None:
    model = common_pb2.ModelId(pack=NULL_MODEL.pack, version=NULL_MODEL.version, sha256=NULL_MODEL.sha256)
    vectors = np.eye(2, 64, dtype="<f4").tobytes()
    with Client(gallery.address) as client:
        client.enrol_embeddings("g", model, [EmbeddingBatch(vectors, [EmbeddingSubject(form) for form in BOTH])])
        list(client.enrol_many("g", [EnrolItem(form, photo(number)) for number, form in enumerate(BOTH, 1)]))
    assert kept(gallery) == [NFC]


@pytest.mark.parametrize("form", BOTH)
def test_the_audit_tells_of_it_under_each_form(gallery: Running, form: str) -> None:
    enrol(gallery, NFD, 1)
    request = audit_pb2.SearchAuditRequest(chain="galleries", gallery_id="g", subject_id=form)
    (record,) = audit_pb2_grpc.AuditServiceStub(gallery.channel).SearchAudit(request).records
    assert '"gallery.enrol"' in record.json


KEY = KeyEncryptionKey(bytes(range(32)))
MODEL = ModelId("m", "1", "0" * 64)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def embedding(number: int) -> Embedding:
    return Embedding(np.eye(4, dtype=np.float32)[number], MODEL)


def test_a_subject_that_was_kept_in_nfd_is_found_in_either_form_and_is_no_other(tmp_path: Path) -> None:
    with Galleries.open(tmp_path / "data", key=KEY, index="numpy") as galleries:
        galleries.create("g", "", MODEL, 4)
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
