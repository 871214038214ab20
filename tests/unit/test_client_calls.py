"""Calls of both clients against a small gRPC server: repetitions, times, pages, and who is not there."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest

from fr_api.v1 import common_pb2, gallery_pb2
from fr_client import Client, FrApiError
from support.scripted import QUICK, Kind, asked, both, released, scripted, serving


def enrol_one(kind: Kind, target: str, **settings: Any) -> gallery_pb2.EnrolResponse:
    settings = {"retry": QUICK, "timeout_s": 5.0} | settings
    found: gallery_pb2.EnrolResponse = asked(
        kind,
        target,
        lambda client: client.enrol("g", "s", b"photo", metadata={"k": "v"}, several_faces="largest"),
        **settings,
    )
    return found


@both
@pytest.mark.parametrize("reason", ["OVERLOADED", "SHUTTING_DOWN", "RATE_LIMITED"])
def test_a_call_that_was_not_begun_is_made_again(kind: Kind, reason: str) -> None:
    gallery = scripted(busy=2, reason=reason)
    with serving(gallery) as target:
        assert enrol_one(kind, target).template_id == 7
    assert gallery.calls == 3
    (request,) = gallery.requests
    assert request.gallery_id == "g"
    assert request.face.image.data == b"photo"
    assert request.metadata == {"k": "v"}
    assert request.several_faces == common_pb2.SEVERAL_FACES_POLICY_LARGEST


@both
@pytest.mark.parametrize(("reason", "calls"), [("OVERLOADED", 3), ("STORE_FAILED", 1)])
def test_a_call_is_made_again_only_so_often_and_only_where_nothing_was_done(
    kind: Kind, reason: str, calls: int
) -> None:
    gallery = scripted(busy=99, reason=reason)
    with serving(gallery) as target, pytest.raises(FrApiError) as caught:
        enrol_one(kind, target)
    assert gallery.calls == calls
    assert (caught.value.reason, caught.value.request_id, caught.value.retry_after_s) == (reason, "id-1", 0.02)


@both
def test_no_call_waits_beyond_its_time(kind: Kind) -> None:
    gallery = scripted(busy=99, retry_after_s=30.0)
    begun = time.monotonic()
    with serving(gallery) as target, pytest.raises(FrApiError) as caught:
        enrol_one(kind, target, timeout_s=20.0)
    assert (caught.value.reason, caught.value.retry_after_s, gallery.calls) == ("OVERLOADED", 30.0, 1)
    assert time.monotonic() - begun < 20.0


@both
def test_a_slow_answer_is_a_timeout_with_the_address(kind: Kind) -> None:
    released.clear()
    with serving(scripted()) as target:
        with pytest.raises(FrApiError, match=r"did not answer within 0\.2 s") as caught:
            asked(kind, target, lambda client: client.detect(b"x"), timeout_s=0.2)
        released.set()
    assert caught.value.reason == "TIMED_OUT"
    assert target in caught.value.message


@both
def test_where_nobody_listens_the_sentence_says_so(kind: Kind) -> None:
    with pytest.raises(FrApiError, match=r"No FR Core server answers at localhost:1\. .*`fr serve`") as caught:
        enrol_one(kind, "localhost:1")
    assert (caught.value.reason, caught.value.code) == ("UNREACHABLE", grpc.StatusCode.UNAVAILABLE)


@both
def test_a_call_that_the_server_does_not_know_names_the_cause(kind: Kind) -> None:
    with serving(scripted()) as target, pytest.raises(FrApiError, match="no FR Core server") as caught:
        asked(kind, target, lambda client: client.server_info())
    assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED


@both
def test_every_page_is_listed(kind: Kind) -> None:
    gallery = scripted()
    with serving(gallery) as target:
        found = asked(kind, target, lambda client: client.list_subjects("g", page_size=2))
    ids = [subject.subject_id for subject in found]
    assert ids == ["a", "b", "c", "d", "e"]
    assert [request.page_size for request in gallery.requests] == [2, 2, 2]


def test_an_unknown_policy_and_an_impossible_window_are_value_errors() -> None:
    with Client("localhost:1") as client:
        with pytest.raises(ValueError, match="several_faces"):
            client.compare(b"a", b"b", several_faces="smallest")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="max_in_flight"):
            client.enrol_many("g", [], max_in_flight=0)
