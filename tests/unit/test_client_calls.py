"""Calls of both clients against a small gRPC server, their errors and repetitions."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest

from fr_api.v1 import common_pb2, error_reason_pb2, gallery_pb2
from fr_client import FrApiError, RetryPolicy, reason_of
from fr_client.errors import Wire, parse
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
def test_a_request_larger_than_the_channel_carries_is_not_sent(kind: Kind) -> None:
    with serving(scripted()) as target, pytest.raises(FrApiError) as caught:
        asked(kind, target, lambda client: client.enrol("g", "s", bytes(5000)), max_message_bytes=4096)
    assert (caught.value.reason, caught.value.metadata["limit"]) == ("IMAGE_TOO_MANY_BYTES", "4096")


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


TARGET = "example:50061"


def wire(code: grpc.StatusCode, details: str = "", *metadata: tuple[str, str | bytes]) -> Wire:
    return Wire(code, details, metadata)


@pytest.mark.parametrize(
    ("code", "details", "reason", "says"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; last error: x", "UNREACHABLE", "fr serve"),
        (grpc.StatusCode.UNAVAILABLE, "errors resolving example:50061: [...]", "UNREACHABLE", "does not resolve"),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", "CONNECTION_LOST", "Socket closed"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", "TIMED_OUT", "within 2.5 s"),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", "", "no FR Core server"),
        (grpc.StatusCode.UNKNOWN, "", "", "UNKNOWN: no details"),
    ],
)
def test_what_is_found_on_the_way_is_one_sentence(code: grpc.StatusCode, details: str, reason: str, says: str) -> None:
    error = parse(wire(code, details), TARGET, 2.5)
    assert error.reason == reason
    assert says in error.message
    assert TARGET in error.message
    assert error.request_id == ""


def test_details_that_nobody_can_read_leave_the_code_and_the_message() -> None:
    error = parse(wire(grpc.StatusCode.INTERNAL, "boom", ("grpc-status-details-bin", b"\xff\xff\xff")), TARGET, None)
    assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "")
    assert "boom" in error.message


def test_a_refusal_names_its_reason_as_an_error_does() -> None:
    assert reason_of(common_pb2.Refusal(reason=error_reason_pb2.ERROR_REASON_NO_FACE)) == "NO_FACE"
    assert reason_of(common_pb2.Refusal(reason=9999)) == "9999"  # type: ignore[arg-type]


def failed(reason: str, retry_after_s: float | None = None) -> FrApiError:
    return FrApiError(grpc.StatusCode.UNAVAILABLE, reason, "x", retry_after_s=retry_after_s)


@pytest.mark.parametrize("reason", ["UNREACHABLE", "CONNECTION_LOST", "TIMED_OUT", "STORE_FAILED", "NO_FACE", ""])
def test_only_what_was_not_begun_is_tried_again(reason: str) -> None:
    assert RetryPolicy().delay_s(failed(reason), 1, 0.0) is None


@pytest.mark.parametrize("reason", ["OVERLOADED", "SHUTTING_DOWN"])
def test_the_wait_is_the_one_that_the_server_asks_for(reason: str) -> None:
    policy = RetryPolicy(attempts=3, first_delay_s=0.2, max_delay_s=5.0)
    assert policy.delay_s(failed(reason, 1.0), 1, 0.0) == 1.0
    assert policy.delay_s(failed(reason, 1.0), 2, 0.8) == pytest.approx(1.2)
    assert policy.delay_s(failed(reason, 1.0), 3, 0.0) is None
    assert policy.delay_s(failed(reason, 6.0), 1, 0.0) is None
    assert [policy.delay_s(failed(reason), n, 0.0) for n in (1, 2, 3)] == [0.2, 0.4, None]
