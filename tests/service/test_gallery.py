"""GalleryService over the wire, with the null models."""

from __future__ import annotations

from pathlib import Path

import pytest

from fr_api.v1 import common_pb2, error_reason_pb2, gallery_pb2, recognition_pb2
from support.servers import Running, photo, running


def probe(data: bytes) -> recognition_pb2.Probe:
    return recognition_pb2.Probe(image=common_pb2.Image(data=data))


def create(server: Running, gallery_id: str = "staff") -> gallery_pb2.Gallery:
    request = gallery_pb2.CreateGalleryRequest(gallery_id=gallery_id, display_name="The staff")
    return server.gallery.CreateGallery(request).gallery


def enrol(server: Running, subject_id: str, data: bytes, **fields: object) -> gallery_pb2.EnrolResponse:
    return server.gallery.Enrol(
        gallery_pb2.EnrolRequest(gallery_id="staff", subject_id=subject_id, face=probe(data), **fields)  # type: ignore[arg-type]
    )


def search(server: Running, data: bytes, **fields: object) -> gallery_pb2.SearchResponse:
    return server.gallery.Search(gallery_pb2.SearchRequest(gallery_id="staff", probe=probe(data), **fields))  # type: ignore[arg-type]


def test_gallery_is_created_pinned_to_the_model_of_the_server(server: Running) -> None:
    gallery = create(server)
    assert (gallery.gallery_id, gallery.display_name, gallery.model.pack) == ("staff", "The staff", "null")
    assert (gallery.subject_count, gallery.template_count) == (0, 0)
    assert gallery.create_time.seconds > 1_700_000_000


def test_enrolled_face_is_the_first_candidate(server: Running) -> None:
    create(server)
    for blue in range(12):
        enrol(server, f"s{blue}", photo(blue), display_name=f"Name {blue}", metadata={"case": str(blue)})
    answer = search(server, photo(5))
    (result,) = answer.results
    assert len(result.candidates) == 10
    first = result.candidates[0]
    assert (first.rank, first.subject_id, first.display_name, dict(first.metadata)) == (
        1,
        "s5",
        "Name 5",
        {"case": "5"},
    )
    assert first.similarity == pytest.approx(1.0)
    assert first.above_threshold
    assert result.decision == gallery_pb2.SEARCH_DECISION_POTENTIAL_CANDIDATES
    assert [c.rank for c in result.candidates] == list(range(1, 11))
    assert "examiner" in answer.notice


def test_stranger_gets_candidates_but_no_decision_for_any(server: Running) -> None:
    create(server)
    enrol(server, "s1", photo(1))
    (result,) = search(server, photo(99)).results
    assert result.decision == gallery_pb2.SEARCH_DECISION_NO_CANDIDATE
    assert not result.candidates[0].above_threshold
    (result,) = search(server, photo(99), only_above_threshold=True).results
    assert not result.candidates


def test_threshold_is_accepted_at_equality(server: Running) -> None:
    create(server)
    enrol(server, "s1", photo(1))
    similarity = search(server, photo(2)).results[0].candidates[0].similarity
    assert search(server, photo(2), threshold=similarity).results[0].candidates[0].above_threshold


def test_search_of_every_face_of_a_photo(server: Running) -> None:
    create(server)
    enrol(server, "s1", photo(1))
    enrol(server, "s2", photo(2))
    answer = search(server, photo(2, 1), several_faces=common_pb2.SEVERAL_FACES_POLICY_ALL)
    assert [result.candidates[0].subject_id for result in answer.results] == ["s2", "s1"]


def test_search_of_an_empty_gallery_finds_nobody(server: Running) -> None:
    create(server)
    (result,) = search(server, photo(1)).results
    assert not result.candidates
    assert result.decision == gallery_pb2.SEARCH_DECISION_NO_CANDIDATE


def test_several_templates_give_one_candidate(server: Running) -> None:
    create(server)
    first = enrol(server, "s1", photo(1))
    second = enrol(server, "s1", photo(2))
    assert (first.subject_created, second.subject_created) == (True, False)
    (result,) = search(server, photo(2)).results
    assert [c.template_id for c in result.candidates] == [second.template_id]


def test_stream_enrol_answers_each_item(server: Running) -> None:
    create(server)
    photos = {"a": photo(1), "b": photo(), "c": photo(1, 2), "d": b"text", "e": photo(1, size=8)}
    requests = [
        gallery_pb2.StreamEnrolRequest(
            item_id=name, enrol=gallery_pb2.EnrolRequest(gallery_id="staff", subject_id=name, face=probe(data))
        )
        for name, data in photos.items()
    ]
    requests.append(gallery_pb2.StreamEnrolRequest(item_id="f"))
    answers = {answer.item_id: answer for answer in server.gallery.StreamEnrol(iter(requests))}
    assert answers["a"].stored.template_id > 0
    assert {name: error_reason_pb2.ErrorReason.Name(answers[name].refusal.reason)[13:] for name in "bcdef"} == {
        "b": "NO_FACE",
        "c": "SEVERAL_FACES",
        "d": "UNDECODABLE",
        "e": "TOO_SMALL",
        "f": "MISSING_FIELD",
    }
    again = list(server.gallery.StreamEnrol(iter(requests[:1])))
    assert again[0].refusal.reason == error_reason_pb2.ERROR_REASON_DUPLICATE_IMAGE


def test_stream_search_answers_each_item(server: Running) -> None:
    create(server)
    enrol(server, "s1", photo(1))
    requests = [
        gallery_pb2.StreamSearchRequest(
            item_id=name, search=gallery_pb2.SearchRequest(gallery_id=gallery_id, probe=probe(photo(1)))
        )
        for name, gallery_id in (("a", "staff"), ("b", "nowhere"))
    ]
    requests.append(gallery_pb2.StreamSearchRequest(item_id="c"))
    answers = {answer.item_id: answer for answer in server.gallery.StreamSearch(iter(requests))}
    assert answers["a"].found.results[0].candidates[0].subject_id == "s1"
    assert answers["b"].refusal.reason == error_reason_pb2.ERROR_REASON_UNKNOWN_GALLERY
    assert answers["c"].refusal.reason == error_reason_pb2.ERROR_REASON_MISSING_FIELD


def test_deleted_subjects_templates_and_galleries_are_gone(server: Running) -> None:
    create(server)
    kept = enrol(server, "s1", photo(1))
    extra = enrol(server, "s1", photo(2))
    enrol(server, "s2", photo(3))
    server.gallery.DeleteTemplate(gallery_pb2.DeleteTemplateRequest(gallery_id="staff", template_id=extra.template_id))
    subject = server.gallery.GetSubject(gallery_pb2.GetSubjectRequest(gallery_id="staff", subject_id="s1")).subject
    assert [template.template_id for template in subject.templates] == [kept.template_id]
    deleted = server.gallery.DeleteSubject(gallery_pb2.DeleteSubjectRequest(gallery_id="staff", subject_id="s2"))
    assert deleted.deleted_templates == 1
    assert [c.subject_id for c in search(server, photo(3)).results[0].candidates] == ["s1"]
    gone = server.gallery.DeleteGallery(gallery_pb2.DeleteGalleryRequest(gallery_id="staff"))
    assert (gone.deleted_subjects, gone.deleted_templates) == (1, 1)
    assert not server.gallery.ListGalleries(gallery_pb2.ListGalleriesRequest()).galleries


def test_lists_come_in_pages(server: Running) -> None:
    for name in "cab":
        create(server, name)
    first = server.gallery.ListGalleries(gallery_pb2.ListGalleriesRequest(page_size=2))
    rest = server.gallery.ListGalleries(gallery_pb2.ListGalleriesRequest(page_size=2, page_token=first.next_page_token))
    assert [g.gallery_id for g in (*first.galleries, *rest.galleries)] == ["a", "b", "c"]
    assert not rest.next_page_token


def test_subjects_are_listed_with_their_templates(server: Running) -> None:
    create(server)
    for name, blue in (("b", 1), ("a", 2)):
        enrol(server, name, photo(blue))
    listed = server.gallery.ListSubjects(gallery_pb2.ListSubjectsRequest(gallery_id="staff")).subjects
    assert [(s.subject_id, len(s.templates)) for s in listed] == [("a", 1), ("b", 1)]
    assert 0 <= listed[0].templates[0].quality <= 1


def test_what_was_enrolled_is_there_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as before:
        create(before)
        template_id = enrol(before, "s1", photo(1)).template_id
    with running(tmp_path) as after:
        candidate = search(after, photo(1)).results[0].candidates[0]
    assert (candidate.subject_id, candidate.template_id) == ("s1", template_id)
