"""Answers requests: the console, the calls of the API, the health for orchestrators, and the page to try calls."""

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from hashlib import sha256
from importlib import resources
from typing import Any, TypeVar

import grpc
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.backend import Backend, Call, Metadata, api_calls
from fr_web.bodies import FORM, JSON, PROTO, as_json, encoded, from_query, is_long, kind_of
from fr_web.boundary import REMOTE, Boundary, Rules, metadata_of
from fr_web.console.app import Console
from fr_web.errors import error_response, refused
from fr_web.lti.tool import Tool
from fr_web.room import ClientGone, Room, invalid, network_of, too_large
from fr_web.shelf import SharedShelf

Done = TypeVar("Done")

_WHO_AM_I = "/fr_api.v1.AccessService/WhoAmI"
_MOST_KEYS = 10_000
CALL_S = 300.0  # `limits.call_s` of a server
# Calls whose answers hold photos, up to 256 MiB: this many at a time, from their start until their JSON is made.
_LARGE_ANSWERS = ("/fr_api.v1.ReviewService/GetExamination", "/fr_api.v1.ReviewService/SubmitFinding")
_MOST_LARGE = 2
# Base64 takes four bytes for three.
_ENVELOPE_BYTES = 256 * 1024
_CHUNK_BYTES = 128 * 1024
_COMPRESSED_FROM_BYTES = 32 * 1024
_TIMEOUT = re.compile(r"[0-9]{1,10}")

_STATIC = {
    "/try": ("try.html", "text/html; charset=utf-8"),
    "/try.js": ("try.js", "text/javascript; charset=utf-8"),
    "/try.css": ("try.css", "text/css; charset=utf-8"),
    "/openapi.json": ("openapi.json", "application/json"),
}


def web_app(backend: Backend, rules: Rules, lti: Tool | None = None, shelf: SharedShelf | None = None) -> ASGIApp:
    """Return the application; `lti` handles learning platforms, and on the `shelf` lies what other servers share."""
    room = Room(rules.max_message_bytes * 4 // 3 + _ENVELOPE_BYTES, rules.body_s)
    api, console = _Api(backend, rules, room), Console(backend, rules, room, lti, shelf)

    async def live(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(request: Request) -> Response:
        serves = await backend.serves()
        return PlainTextResponse("ok\n" if serves else "The server does not serve.\n", 200 if serves else 503)

    routes: list[BaseRoute] = [Route("/livez", live), Route("/readyz", ready)]
    for path, (name, kind) in _STATIC.items():
        content = (resources.files("fr_web") / "static" / name).read_bytes()
        routes.append(Route(path, _static(content, kind)))
    routes += console.routes()

    def refuse(request: Request, error: FrApiError) -> Response:
        return error_response(error) if _is_of_programs(request) else console.refusal(request, error)

    async def other(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if _is_of_programs(request):
            await api(scope, receive, send)
        else:
            answer = console.refusal(request, refused(grpc.StatusCode.NOT_FOUND, "", message("web.no_page")))
            await answer(scope, receive, send)

    return Boundary(Router(routes, redirect_slashes=False, default=other), rules, refuse)


def _is_of_programs(request: Request) -> bool:
    """Return whether an answer goes to a program, in JSON, and not to a person."""
    path = request.scope["path"]
    return path.startswith("/fr_api.") or "text/html" not in request.headers.get("accept", "")


def _static(content: bytes, kind: str) -> Any:
    packed = gzip.compress(content, mtime=0)

    async def answer(request: Request) -> Response:
        return _whole(content, {"content-type": kind}, request, packed)

    return answer


class _Api:
    """Answers calls of the API; see `Rules`."""

    def __init__(self, backend: Backend, rules: Rules, room: Room) -> None:
        self._backend = backend
        self._rules = rules
        self._calls = api_calls()
        self._room = room
        self._reading = asyncio.Lock()
        self._large = asyncio.Semaphore(_MOST_LARGE)
        self._good_keys: dict[bytes, None] = {}  # hashes of those that the server took, the oldest first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, or a request for what there is not."""
        request = Request(scope, receive)
        answer = await self._answer(request)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        call = self._calls.get(request.scope["path"])
        if call is None:
            words = "There is no call of this name: /openapi.json lists all."
            return error_response(refused(grpc.StatusCode.UNIMPLEMENTED, "", words), 404)
        if call.streams:
            words = "This call is a stream: it needs gRPC."
            return error_response(refused(grpc.StatusCode.UNIMPLEMENTED, "", words), 415, {"accept-post": "none"})
        methods = ("POST", "GET", "HEAD") if call.safe else ("POST",)
        if request.method not in methods:
            words = f"This call needs {methods[0]}" + (" or GET." if call.safe else ".")
            return error_response(refused(grpc.StatusCode.UNIMPLEMENTED, "", words), 405, {"allow": ", ".join(methods)})
        kind = kind_of(request.headers.get("content-type", "")) if request.method == "POST" else JSON
        if kind is None:
            words = f"The Content-Type is one of {JSON}, {PROTO} and {FORM}, in UTF-8."
            error = refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", words)
            return error_response(error, 415, {"accept-post": f"{JSON}, {PROTO}, {FORM}"})
        return await self._make(call, kind, request)

    async def _make(self, call: Call, kind: str, request: Request) -> Response:
        timeout_s = _timeout_of(request.headers)
        metadata = metadata_of(request, self._rules, request.headers.getlist("authorization"))
        with self._room.share(network_of(request.client.host if request.client else "")) as share:
            key = await self._checked_key(metadata, timeout_s)
            if request.method == "POST":
                body = await share.read(request.receive, request.headers.get("content-length"), CALL_S)
            else:
                kind, body = from_query(call, request.query_params)
            coding = request.headers.get("content-encoding", "identity").strip().lower()
            if coding not in ("identity", "gzip"):
                words = "The server reads bodies in gzip or identity only."
                raise refused(grpc.StatusCode.UNIMPLEMENTED, "INVALID_FIELD", words)
            if coding == "gzip":
                body = share.decompressed(body)
            if kind != PROTO:
                body = await self._apart(encoded, call, request.headers.get("content-type", ""), body)
            if len(body) > self._rules.max_message_bytes:
                raise too_large(self._rules.max_message_bytes)
            async with self._large if call.path in _LARGE_ANSWERS else nullcontext():
                try:
                    calling = self._backend.call(call.path, body, metadata, timeout_s)
                    answer, request_id = await _unless_gone(request, calling)
                except FrApiError as error:
                    if error.code is grpc.StatusCode.UNAUTHENTICATED:
                        self._good_keys.pop(key, None)
                    raise
                kind = PROTO if kind == PROTO else JSON
                headers = {"content-type": kind, **({"x-request-id": request_id} if request_id else {})}
                return await self._apart(_answered, call, headers, request, answer)

    async def _checked_key(self, metadata: Metadata, timeout_s: float | None) -> bytes:
        """Let the server check a key that another machine sends for the first time, so that no stranger's body is read.

        Returns the key's hash. That a key was good gives no right: the server checks it again in each call.
        """
        key = sha256("\n".join(value for name, value in metadata if name == "authorization").encode()).digest()
        if REMOTE in metadata and key not in self._good_keys:
            await self._backend.call(_WHO_AM_I, b"", metadata, timeout_s)
            self._good_keys[key] = None
            if len(self._good_keys) > _MOST_KEYS:
                del self._good_keys[next(iter(self._good_keys))]
        return key

    async def _apart(self, work: Callable[..., Done], *args: Any) -> Done:
        """Do the work on the last argument; if that is long, in a thread, so that other calls go on."""
        if not is_long(args[-1]):
            return work(*args)
        async with self._reading:
            return await asyncio.to_thread(work, *args)


def _answered(call: Call, headers: dict[str, str], request: Request, answer: bytes) -> Response:
    told = answer if headers["content-type"] == PROTO else as_json(call, answer)
    return _whole(told, headers, request)


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
