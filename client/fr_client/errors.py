"""Raises one error class for every failed call, from the status of the server or of gRPC."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from fr_api.v1 import common_pb2, error_reason_pb2
from fr_client.handshake import Endpoint, tls_failure

# The client's own reasons, beside those of fr_api.v1.ErrorReason and of `handshake`.
UNREACHABLE = "UNREACHABLE"
TIMED_OUT = "TIMED_OUT"
CONNECTION_LOST = "CONNECTION_LOST"

# The server refused to begin: it did nothing, and the same call may succeed later.
NOT_BEGUN = frozenset({"OVERLOADED", "RATE_LIMITED", "SHUTTING_DOWN"})

_DETAILS_KEY = "grpc-status-details-bin"
_REQUEST_ID_KEY = "x-request-id"
# How gRPC's messages begin if there was no connection, as opposed to a broken one.
_NO_CONNECTION = ("failed to connect", "connections to all backends failing")
# Part of gRPC's message if a request is larger than the server's limit for a message.
_TOO_LARGE = "message larger than max"
# And if the name of the server has no address.
_NO_ADDRESS = ("errors resolving", "dns resolution failed", "name resolution")


class FrApiError(Exception):
    """A call that the server refused, or that failed.

    Args:
        code: the status code of gRPC.
        reason: stable, for programs: a name of `fr_api.v1.ErrorReason` without its prefix, such as "NO_FACE"; or one of
            this client's own, such as "UNREACHABLE", all in docs/client.md; or empty if neither side knows one.
        message: the finding and the remedy, for people.
        metadata: numbers and names of settings that a program may act on.
        retry_after_s: seconds after which the server asks to call again; None if it does not.
        request_id: of the call in the server's log; empty if the call never got there.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s
        self.request_id = request_id

    def __str__(self) -> str:
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.reason}: {self.message}{request}" if self.reason else f"{self.message}{request}"

    def __repr__(self) -> str:
        return f"FrApiError(code={self.code.name}, reason={self.reason!r}, message={self.message!r})"


@dataclass(frozen=True, slots=True)
class Wire:
    """A failed call as gRPC reports it: status code, status message, and the initial and trailing metadata."""

    code: grpc.StatusCode
    details: str
    metadata: tuple[tuple[str, str | bytes], ...]


def from_rpc_error(error: grpc.RpcError, endpoint: Endpoint, timeout_s: float | None) -> FrApiError:
    """Turn any error of `grpc` or `grpc.aio` into a `FrApiError`; the call had `timeout_s` seconds; None for no limit.

    If there was no connection, or it broke, it checks whether TLS is the cause. That can take some seconds: do not do
    it in the thread of an event loop.
    """
    initial = error.initial_metadata() if hasattr(error, "initial_metadata") else ()
    wire = Wire(error.code(), error.details() or "", (*_pairs(initial), *_pairs(error.trailing_metadata())))
    found = parse(wire, endpoint.address, timeout_s)
    failure = tls_failure(endpoint, timeout_s) if found.reason in (UNREACHABLE, CONNECTION_LOST) else None
    return found if failure is None else FrApiError(found.code, failure.reason, failure.message)


def parse(wire: Wire, target: str, timeout_s: float | None) -> FrApiError:
    """Read the status details of the server, or describe what gRPC found on the way to it."""
    request_id = next((str(value) for key, value in wire.metadata if key == _REQUEST_ID_KEY), "")
    status = _status(wire.metadata)
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    retry_after_s: float | None = None
    for detail in status.details:
        if not detail.Unpack(info) and detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
    if info.reason:
        message = status.message or wire.details
        return FrApiError(wire.code, info.reason, message, dict(info.metadata), retry_after_s, request_id)
    reason, message = _found_on_the_way(wire, target, timeout_s)
    return FrApiError(wire.code, reason, message, retry_after_s=retry_after_s, request_id=request_id)


def _found_on_the_way(wire: Wire, target: str, timeout_s: float | None) -> tuple[str, str]:
    details = wire.details.strip()
    if wire.code is grpc.StatusCode.UNAVAILABLE:
        if details.lower().startswith(_NO_ADDRESS):
            return UNREACHABLE, (
                f"The name in {target} does not resolve to an address here. Check its spelling, or give an address "
                "that the server's certificate holds."
            )
        if details.lower().startswith(_NO_CONNECTION):
            return UNREACHABLE, (
                f"No FR Core server answers at {target}. Start one there (`fr serve`), or give the address of yours."
            )
        return CONNECTION_LOST, f"The connection to {target} broke before the answer came ({details}). Call again."
    if wire.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        allowed = "in time" if timeout_s is None else f"within {timeout_s:g} s"
        return TIMED_OUT, f"{target} did not answer {allowed}. Allow more time (`timeout_s`)."
    if wire.code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in details:
        return "IMAGE_TOO_MANY_BYTES", (
            f"The request is larger than {target} accepts ({details}). "
            "Send a smaller photo, or fewer embeddings at once."
        )
    if wire.code is grpc.StatusCode.UNIMPLEMENTED:
        return "", f"{target} does not offer this call: it is not FR Core, or another version ({details})."
    if wire.code is grpc.StatusCode.CANCELLED:
        return "", f"The call to {target} was cancelled."
    return "", f"{target} answered {wire.code.name}: {details or 'no details'}"


def _status(metadata: Iterable[tuple[str, str | bytes]]) -> Any:
    for key, value in metadata:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break  # not from FR Core: only the code and the message of gRPC are left
    return status_pb2.Status()


def _pairs(metadata: Iterable[Any] | None) -> tuple[tuple[str, str | bytes], ...]:
    return tuple((str(key), value) for key, value in metadata or ())


def refusal_of(error: FrApiError) -> common_pb2.Refusal:
    """Return an error as the refusal of an item; its reason is one of `fr_api.v1.ErrorReason`."""
    reason = error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason}")
    return common_pb2.Refusal(reason=reason, message=error.message, metadata=error.metadata)


def reason_of(refusal: common_pb2.Refusal) -> str:
    """Return the reason of a refused item as `FrApiError.reason` has it, such as "NO_FACE"."""
    if refusal.reason not in error_reason_pb2.ErrorReason.values():
        return str(refusal.reason)  # of a newer server
    return error_reason_pb2.ErrorReason.Name(refusal.reason).removeprefix("ERROR_REASON_")
