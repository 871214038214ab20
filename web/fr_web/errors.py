"""Writes refusals as the Connect protocol has them: a status of HTTP, and JSON with code, message and details."""

import json
import math
from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2
from starlette.responses import Response

from fr_client.errors import CONNECTION_LOST, TIMED_OUT, UNREACHABLE, FrApiError, Wire, parse

_Code = grpc.StatusCode
_DOMAIN = "fr-core"

# https://connectrpc.com/docs/protocol#error-codes
_HTTP_STATUS: Mapping[grpc.StatusCode, int] = MappingProxyType(
    {
        _Code.CANCELLED: 499,
        _Code.UNKNOWN: 500,
        _Code.INVALID_ARGUMENT: 400,
        _Code.DEADLINE_EXCEEDED: 504,
        _Code.NOT_FOUND: 404,
        _Code.ALREADY_EXISTS: 409,
        _Code.PERMISSION_DENIED: 403,
        _Code.RESOURCE_EXHAUSTED: 429,
        _Code.FAILED_PRECONDITION: 400,
        _Code.ABORTED: 409,
        _Code.OUT_OF_RANGE: 400,
        _Code.UNIMPLEMENTED: 501,
        _Code.INTERNAL: 500,
        _Code.UNAVAILABLE: 503,
        _Code.DATA_LOSS: 500,
        _Code.UNAUTHENTICATED: 401,
    }
)

# What this interface says in other words: what gRPC itself reports, since the client's sentences name commands and
# addresses, and what the server says of the metadata of gRPC.
_OWN_WORDS: Mapping[str, str] = MappingProxyType(
    {
        UNREACHABLE: "The server behind this address does not answer. Try again in a few seconds.",
        CONNECTION_LOST: "The connection to the server broke before the answer came. Try again.",
        "CREDENTIAL_MISSING": "The server asks for a key. Send it in the header Authorization: Bearer KEY.",
        TIMED_OUT: "The answer did not come in time. Allow more time, or try again later.",
    }
)
_WITHOUT_REASON: Mapping[grpc.StatusCode, str] = MappingProxyType(
    {
        _Code.RESOURCE_EXHAUSTED: "The request or its answer is larger than a limit of gRPC. Send or ask for less.",
        _Code.UNIMPLEMENTED: "The server does not offer this call: it has another version than its HTTP interface.",
    }
)
_RETRY_UNREACHABLE_S = 2.0


def refused(
    code: grpc.StatusCode, reason: str, message: str, retry_after_s: float | None = None, **metadata: str
) -> FrApiError:
    """Return a refusal of this interface; nothing in it may come from the request."""
    return FrApiError(code, reason, message, metadata, retry_after_s)


def failed_call(error: grpc.aio.AioRpcError) -> FrApiError:
    """Return the error of a call to the server, without addresses."""
    metadata = tuple((str(key), value) for key, value in error.trailing_metadata() or ())
    found = parse(Wire(error.code(), error.details() or "", metadata), "", None)
    if found.reason and found.reason not in _OWN_WORDS:
        return found
    words = _OWN_WORDS.get(found.reason) or _WITHOUT_REASON.get(found.code, "The server failed the call.")
    retry = _RETRY_UNREACHABLE_S if found.reason == UNREACHABLE else None
    return FrApiError(found.code, found.reason, words, retry_after_s=retry, request_id=found.request_id)


def http_status(error: FrApiError) -> int:
    """Return the status of HTTP for a refusal."""
    return _HTTP_STATUS[error.code]


def delay_of(error: FrApiError) -> Mapping[str, str]:
    """Return the header that says after how many seconds it helps to ask again; none where waiting does not help."""
    return {} if error.retry_after_s is None else {"retry-after": str(math.ceil(error.retry_after_s))}


def error_response(error: FrApiError, status: int | None = None, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer for a refusal; `status` replaces that of its code."""
    told = {"code": _name_of(error.code), "message": error.message, "details": _details(error)}
    made = Response(
        json.dumps(told, ensure_ascii=False).encode(),
        status or http_status(error),
        {**(headers or {}), **delay_of(error)},
        media_type="application/json",
    )
    if error.request_id:
        made.headers["x-request-id"] = error.request_id
    if error.code is _Code.UNAUTHENTICATED:
        made.headers["www-authenticate"] = "Bearer"
    return made


def _name_of(code: grpc.StatusCode) -> str:
    return "canceled" if code is _Code.CANCELLED else code.name.lower()


def _details(error: FrApiError) -> list[dict[str, Any]]:
    details = []
    if error.reason:
        info = error_details_pb2.ErrorInfo(reason=error.reason, domain=_DOMAIN, metadata=error.metadata)
        details.append(_detail("google.rpc.ErrorInfo", info))
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        details.append(_detail("google.rpc.RetryInfo", retry))
    return details


def _detail(kind: str, message: Any) -> dict[str, Any]:
    value = b64encode(message.SerializeToString(deterministic=True)).rstrip(b"=").decode()
    return {"type": kind, "value": value, "debug": json.loads(json_format.MessageToJson(message, sort_keys=True))}
