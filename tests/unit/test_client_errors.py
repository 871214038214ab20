"""How the client reads errors: the status details of the server, and what gRPC finds on the way to it."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from fr_api.v1 import common_pb2, error_reason_pb2
from fr_client import FrApiError, RetryPolicy, reason_of
from fr_client.channel import channel_options, require_fits
from fr_client.errors import Wire, parse

TARGET = "example:50061"


def wire(code: grpc.StatusCode, details: str = "", *metadata: tuple[str, str | bytes]) -> Wire:
    return Wire(code, details, metadata)


def details_bin(message: str, *details: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> bytes:
    status = status_pb2.Status(code=8, message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return bytes(status.SerializeToString())


def test_reason_message_metadata_delay_and_request_id_come_from_the_server() -> None:
    info = error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="fr-core", metadata={"limit": "64"})
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000))
    error = parse(
        wire(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "short",
            ("x-request-id", "abc"),
            ("grpc-status-details-bin", details_bin("The whole sentence.", info, retry)),
        ),
        TARGET,
        1.0,
    )
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert str(error) == error.message == "The whole sentence."
    assert error.metadata == {"limit": "64"}
    assert error.retry_after_s == 1.5
    assert error.request_id == "abc"


def test_the_order_of_the_details_does_not_matter() -> None:
    info = error_details_pb2.ErrorInfo(reason="SHUTTING_DOWN")
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2))
    found = parse(
        wire(grpc.StatusCode.UNAVAILABLE, "x", ("grpc-status-details-bin", details_bin("x", retry, info))), TARGET, None
    )
    assert (found.reason, found.retry_after_s) == ("SHUTTING_DOWN", 2.0)


@pytest.mark.parametrize(
    ("code", "details", "reason", "says"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; last error: x", "UNREACHABLE", "fr serve"),
        (grpc.StatusCode.UNAVAILABLE, "DNS resolution failed for nowhere", "UNREACHABLE", "does not resolve"),
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


def test_the_wait_doubles_where_the_server_names_none() -> None:
    policy = RetryPolicy(attempts=4, first_delay_s=0.2, max_delay_s=5.0)
    assert [policy.delay_s(failed("OVERLOADED"), n, 0.0) for n in (1, 2, 3, 4)] == [0.2, 0.4, 0.8, None]


def test_a_request_larger_than_the_channel_carries_is_refused_before_it_is_sent() -> None:
    require_fits(10, 10)
    with pytest.raises(FrApiError) as caught:
        require_fits(11, 10)
    assert caught.value.reason == "IMAGE_TOO_MANY_BYTES"
    assert caught.value.metadata == {"limit": "10", "found": "11"}


@pytest.mark.parametrize(
    ("target", "no_proxy"),
    [("localhost:1", True), ("127.0.0.1:1", True), ("[::1]:1", True), ("faces.example:1", False)],
)
def test_no_proxy_stands_between_us_and_this_machine(target: str, no_proxy: bool) -> None:
    options = dict(channel_options(target, 100))
    assert (options["grpc.max_send_message_length"], options["grpc.max_receive_message_length"]) == (100, 2**28)
    assert (options.get("grpc.enable_http_proxy") == 0) is no_proxy
