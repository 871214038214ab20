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
from fr_locales.messages import Message, message
from fr_locales.rendering import render

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
_OWN_WORDS: Mapping[str, Message] = MappingProxyType(
    {
        UNREACHABLE: message("web.unreachable"),
        CONNECTION_LOST: message("web.connection_lost"),
        "CREDENTIAL_MISSING": message("web.no_key"),
        TIMED_OUT: message("web.timed_out"),
    }
)
_WITHOUT_REASON: Mapping[grpc.StatusCode, Message] = MappingProxyType(
    {
        _Code.RESOURCE_EXHAUSTED: message("web.over_limit"),
        _Code.UNIMPLEMENTED: message("web.other_version"),
    }
)
_RETRY_UNREACHABLE_S = 2.0


def refused(
    code: grpc.StatusCode, reason: str, words: Message | str, retry_after_s: float | None = None, **metadata: str
) -> FrApiError:
    """Return a refusal of this interface, in the language of the caller; nothing in it may come from the request."""
    return FrApiError(code, reason, render(words) if isinstance(words, Message) else words, metadata, retry_after_s)


def failed_call(error: grpc.aio.AioRpcError) -> FrApiError:
    """Return the error of a call to the server, without addresses."""
    metadata = tuple((str(key), value) for key, value in error.trailing_metadata() or ())
    found = parse(Wire(error.code(), error.details() or "", metadata), "", None)
    if found.reason and found.reason not in _OWN_WORDS:
        return found
    words = _OWN_WORDS.get(found.reason) or _WITHOUT_REASON.get(found.code, message("web.failed"))
    retry = _RETRY_UNREACHABLE_S if found.reason == UNREACHABLE else None
    return FrApiError(found.code, found.reason, render(words), retry_after_s=retry, request_id=found.request_id)


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
