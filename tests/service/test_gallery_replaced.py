"""If a gallery is deleted during a call and a new one gets its id, the call does nothing in the new one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc
import numpy as np
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from fr_api.v1 import common_pb2, error_reason_pb2, gallery_pb2, recognition_pb2
from fr_core.detect.null import NullDetector
from fr_core.embed.null import NULL_MODEL
from fr_core.errors import GalleryReplaced
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.query import ScoreFusion
from fr_core.gallery.scan.clusters import Part
from fr_core.gallery.search.searching import Question
from fr_core.gallery.values import Enrolment, GalleryUpdate, GalleryUse, NewTemplate, SubjectUpdate
from fr_core.types import U8, Detection, Embedding, frozen_array
from fr_server.storage.calls import GalleryCalls
from support.callers import Caller
from support.servers import Running, ended, photo, running

IMAGE = common_pb2.Image(data=photo(10))
FACE = recognition_pb2.Probe(image=IMAGE)
OLD: dict[str, Any] = {"gallery_id": "g"}


def embedding(place: int) -> Embedding:
    vector = np.zeros(64, np.float32)
    vector[place] = 1.0
    return Embedding(frozen_array(vector), NULL_MODEL)


class Waiting(NullDetector):
    def __init__(self) -> None:
        super().__init__()
        self.holds = False
        self.entered, self.go = threading.Event(), threading.Event()

    def detect(self, pixels: U8) -> tuple[Detection, ...]:
        if self.holds:
            self.entered.set()
            assert self.go.wait(20)
        return super().detect(pixels)


@pytest.fixture
def detector() -> Waiting:
    return Waiting()


@pytest.fixture
def server(tmp_path: Path, detector: Waiting) -> Iterator[Running]:
    with running(tmp_path, detector) as server:
        make(server.app.galleries, GalleryUse.TEST)
        server.gallery.Enrol(gallery_pb2.EnrolRequest(subject_id="old", face=FACE, **OLD))
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
def test_a_call_with_a_photo_is_not_done_in_the_new_gallery(server: Running, detector: Waiting, method: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        detector.holds = True
        asked = pool.submit(outcome, lambda: WITH_A_PHOTO[method](server))
        assert detector.entered.wait(20)
        replace(server.app.galleries)
        detector.holds = False
        detector.go.set()
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
    """What a method of galleries takes beside the gallery."""
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
