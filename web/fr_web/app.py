"""Answers requests: the calls of the API, the health for orchestrators, and the page to try calls."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
import traceback
import uuid
from collections.abc import Awaitable, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypeVar

import grpc
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from fr_client.errors import FrApiError
from fr_web.backend import Backend
from fr_web.bodies import FORM, JSON, PROTO, as_json, encoded, from_query, kind_of
from fr_web.calls import Call, api_calls
from fr_web.errors import error_response, refused
from fr_web.room import ClientGone, Room, invalid, network_of, too_large

log = logging.getLogger("fr_web")

Done = TypeVar("Done")

CALL_S = 300.0  # `limits.call_s` of a server
# Base64 takes four bytes for three.
_ENVELOPE_BYTES = 256 * 1024
_CHUNK_BYTES = 128 * 1024
_COMPRESSED_FROM_BYTES = 32 * 1024
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_BEARER = re.compile(r"(?i:bearer) [!-~]{8,8000}")
_PRINTABLE = re.compile(r"[ -~]{0,8000}")
_TIMEOUT = re.compile(r"[0-9]{1,10}")
_TRACE = re.compile(r"[0-9a-f-]{55}")  # W3C Trace Context
# For a server that asks for no key: it serves only its own machine, and not those behind a proxy on it.
REMOTE = ("fr-remote", "1")
_PROXIED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
_ALLOWED_HEADERS = "authorization, content-type, content-encoding, connect-protocol-version, connect-timeout-ms"
_EXPOSED_HEADERS = "x-request-id, retry-after"
_STATIC = {
    "/": ("try.html", "text/html; charset=utf-8"),
    "/try.js": ("try.js", "text/javascript; charset=utf-8"),
    "/try.css": ("try.css", "text/css; charset=utf-8"),
    "/openapi.json": ("openapi.json", "application/json"),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of the interface, and who may use it.

    `remote` says that other machines reach it. `hosts` are names, besides the loopback ones, by which callers may name
    it; without `remote`, others are refused, so that no web page reaches it under a name of its own. Pages of `origins`
    ("https://console.example.org") may call it from a browser.
    """

    max_message_bytes: int
    remote: bool
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    body_s: float = 10.0  # until the first bytes of a body


def web_app(backend: Backend, rules: Rules) -> ASGIApp:
    """Return the application."""
    api = _Api(backend, rules)

    async def live(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(request: Request) -> Response:
        serves = await backend.serves()
        return PlainTextResponse("ok\n" if serves else "The server does not serve.\n", 200 if serves else 503)

    routes = [Route("/livez", live), Route("/readyz", ready)]
    for path, (name, kind) in _STATIC.items():
        content = (resources.files("fr_web") / "static" / name).read_bytes()
        routes.append(Route(path, _static(content, kind)))
    routes.append(Route("/{service}/{method}", api.answer, methods=["GET", "POST"]))
    return _Boundary(Router(routes, redirect_slashes=False), rules)


def _static(content: bytes, kind: str) -> Any:
    packed = gzip.compress(content, mtime=0)

    async def answer(request: Request) -> Response:
        return _whole(content, {"content-type": kind}, request, packed)

    return answer


class _Api:
    """Answers calls of the API; see `Rules`."""

    def __init__(self, backend: Backend, rules: Rules) -> None:
        self._backend = backend
        self._rules = rules
        self._calls = api_calls()
        self._room = Room(rules.max_message_bytes * 4 // 3 + _ENVELOPE_BYTES, rules.body_s)

    async def answer(self, request: Request) -> Response:
        """Answer one call."""
        call = self._calls.get(request.scope["path"])
        if call is None:
            words = "There is no call of this name: /openapi.json lists all."
            return error_response(refused(grpc.StatusCode.UNIMPLEMENTED, "", words), 404)
        if call.streams:
            words = "This call is a stream: it needs gRPC."
            return error_response(refused(grpc.StatusCode.UNIMPLEMENTED, "", words), 415, {"accept-post": "none"})
        if request.method != "POST" and not call.safe:
            words = "This call needs POST: only calls without side effects take GET."
            return error_response(refused(grpc.StatusCode.UNIMPLEMENTED, "", words), 405, {"allow": "POST"})
        kind = kind_of(request.headers.get("content-type", "")) if request.method == "POST" else JSON
        if kind is None:
            words = f"The Content-Type is one of {JSON}, {PROTO} and {FORM}, in UTF-8."
            error = refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", words)
            return error_response(error, 415, {"accept-post": f"{JSON}, {PROTO}, {FORM}"})
        return await self._make(call, kind, request)

    async def _make(self, call: Call, kind: str, request: Request) -> Response:
        timeout_s = _timeout_of(request.headers)
        metadata = self._metadata(request)
        if REMOTE in metadata and not _BEARER.fullmatch(dict(metadata).get("authorization", "")):
            # The server refuses and records it before it reads a request, so no body of a stranger is read here.
            await self._backend.call(call.path, b"", metadata, CALL_S)
            words = "This server asks for a key, in the header Authorization: Bearer KEY."
            raise refused(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING", words)
        with self._room.share(network_of(request.client.host if request.client else "")) as share:
            if request.method == "GET":
                kind, body = from_query(call, request.query_params)
            else:
                body = await share.read(request.receive, request.headers.get("content-length"), CALL_S)
            coding = request.headers.get("content-encoding", "identity").strip().lower()
            if coding not in ("identity", "gzip"):
                words = "The server reads bodies in gzip or identity only."
                raise refused(grpc.StatusCode.UNIMPLEMENTED, "INVALID_FIELD", words)
            if coding == "gzip":
                body = share.decompressed(body)
            sent = encoded(call, kind, request.headers.get("content-type", ""), body)
            del body
            if len(sent) > self._rules.max_message_bytes:
                raise too_large(self._rules.max_message_bytes)
            calling = self._backend.call(call.path, sent, metadata, timeout_s)
            answer, request_id = await _unless_gone(request, calling)
        kind = PROTO if kind == PROTO else JSON
        headers = {"content-type": kind, **({"x-request-id": request_id} if request_id else {})}
        return _whole(answer if kind == PROTO else as_json(call, answer), headers, request)

    def _metadata(self, request: Request) -> list[tuple[str, str]]:
        """Return what the server hears besides the request: the key, the trace, and that other machines call."""
        metadata = [REMOTE] if self._rules.remote or any(name in request.headers for name in _PROXIED) else []
        keys = request.headers.getlist("authorization")
        # The server says what is wrong with one that gRPC cannot carry, too.
        metadata += [("authorization", key if _PRINTABLE.fullmatch(key) else "unreadable") for key in keys[:2]]
        trace = request.headers.get("traceparent", "")
        return [*metadata, ("traceparent", trace)] if _TRACE.fullmatch(trace) else metadata


def _timeout_of(headers: Mapping[str, str]) -> float | None:
    version, asked = headers.get("connect-protocol-version"), headers.get("connect-timeout-ms")
    if version not in (None, "1"):
        raise invalid("Connect-Protocol-Version is 1.")
    if asked is None:
        return None
    if not _TIMEOUT.fullmatch(asked):
        raise invalid("Connect-Timeout-Ms is a number of milliseconds with at most 10 digits.")
    return int(asked) / 1000


async def _unless_gone(request: Request, work: Awaitable[Done]) -> Done:
    """Return what the work returns, and end it if the caller goes; raises `ClientGone` then."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    waiting = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not waiting[0].done():
            raise ClientGone
        return waiting[0].result()
    finally:
        for one in waiting:
            one.cancel()


class _Pieces(Response):
    """Sends a long answer piece by piece, each as the caller takes the one before."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = bytes(self.body)
        for at in range(0, max(len(body), 1), _CHUNK_BYTES):
            more = at + _CHUNK_BYTES < len(body)
            await send({"type": "http.response.body", "body": body[at : at + _CHUNK_BYTES], "more_body": more})


def _whole(body: bytes, headers: dict[str, str], request: Request, packed: bytes | None = None) -> Response:
    """Return an answer, compressed if it is long and the caller takes that."""
    codings = re.split(r"\s*,\s*", request.headers.get("accept-encoding", "").lower())
    if len(body) >= _COMPRESSED_FROM_BYTES and "gzip" in codings:
        body = gzip.compress(body, 1, mtime=0) if packed is None else packed
        headers = {**headers, "content-encoding": "gzip", "vary": "accept-encoding"}
    return _Pieces(body, headers=headers)


class _Boundary:
    """Checks where a request comes from, turns every error into an answer, and adds the headers of each answer."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules
        self._hosts = frozenset((*_LOOPBACK, *(name.lower() for name in rules.hosts)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        origin = request.headers.get("origin")
        allowed = origin is not None and origin in self._rules.origins
        begun = False

        async def told(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message["headers"], *_HEADERS, *(_cors(origin) if allowed else ())]
            await send(message)

        try:
            answer = self._refusal(request, origin, allowed)
            if answer is None:
                await self._app(scope, receive, told)
                return
        except FrApiError as error:
            answer = error_response(error)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - the boundary: nothing of an error leaves but its place, in the log
            answer = error_response(_defect(error))
        if not begun:
            await answer(scope, receive, told)

    def _refusal(self, request: Request, origin: str | None, allowed: bool) -> Response | None:
        host = request.headers.get("host", "")
        name = host.rpartition(":")[0] if re.search(r":\d*$", host) else host
        if not self._rules.remote and name.lower() not in self._hosts:
            words = "This address serves only its own machine, under the name localhost."
            return error_response(refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", words))
        if origin is not None and not allowed and origin.partition("://")[2] != host:
            words = "Web pages of other sites may not call this server; `web.origins` names those that may."
            return error_response(refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", words))
        if allowed and request.method == "OPTIONS":
            return Response(status_code=204, headers={"access-control-max-age": "7200"})
        return None


def _cors(origin: str | None) -> tuple[tuple[bytes, bytes], ...]:
    named = (origin or "").encode("latin-1")
    return (
        (b"access-control-allow-origin", named),
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", _ALLOWED_HEADERS.encode()),
        (b"access-control-expose-headers", _EXPOSED_HEADERS.encode()),
        (b"vary", b"origin"),
    )


def _defect(error: Exception) -> FrApiError:
    """Log a defect by its type and place, never its words, which may hold what a caller sent."""
    request_id = uuid.uuid4().hex
    places = [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    log.error("A request failed, request %s: %s at %s", request_id, type(error).__name__, ", ".join(places[-4:]))
    words = f"A defect of the server: its log describes it under the request id {request_id}."
    return FrApiError(grpc.StatusCode.INTERNAL, "INTERNAL", words, request_id=request_id)
