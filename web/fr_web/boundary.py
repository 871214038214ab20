"""Stands around the application: checks where requests come from, and turns every error into an answer."""

import logging
import re
import traceback
import uuid
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_locales.rendering import ENGLISH, best_language, render, speaking, spoken
from fr_web.backend import Metadata
from fr_web.errors import refused
from fr_web.room import FROM_PLATFORMS, LANGUAGE_COOKIE, LOOPBACK, ClientGone, invalid, name_of

log = logging.getLogger("fr_web")

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
_PRINTABLE = re.compile(r"[ -~]{0,8000}")
_TRACE = re.compile(r"[0-9a-f-]{55}")  # W3C Trace Context
# For a server that asks for no key: it serves only its own machine, and not those behind a proxy on it.
REMOTE = ("fr-remote", "1")
_PROXIED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_ALLOWED_HEADERS = "authorization, content-type, content-encoding, connect-protocol-version, connect-timeout-ms"
_EXPOSED_HEADERS = "x-request-id, retry-after"


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


def metadata_of(request: Request, rules: Rules, keys: Sequence[str]) -> Metadata:
    """Return what the server hears besides the request: the key, the language, the trace, that other machines call.

    `keys` are values of `authorization`.
    """
    metadata = [REMOTE] if rules.remote or any(name in request.headers for name in _PROXIED) else []
    # The server says what is wrong with one that gRPC cannot carry, too.
    metadata += [("authorization", key if _PRINTABLE.fullmatch(key) else "unreadable") for key in keys[:2]]
    metadata += [("accept-language", spoken())] if spoken() != ENGLISH else []
    trace = request.headers.get("traceparent", "")
    return [*metadata, ("traceparent", trace)] if _TRACE.fullmatch(trace) else metadata


class Boundary:
    """Checks where a request comes from, turns every error into an answer, and adds the headers of each answer.

    A header that the application sets stays as it is. `answer` writes a refusal for a request.
    """

    def __init__(self, app: ASGIApp, rules: Rules, answer: Callable[[Request, FrApiError], Response]) -> None:
        self._app = app
        self._rules = rules
        self._answer = answer
        self._hosts = frozenset((*LOOPBACK, *(name.lower() for name in rules.hosts)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, in the language that its cookie or its Accept-Language asks for."""
        request = Request(scope, receive)
        accepted, chosen = request.headers.get("accept-language", ""), request.cookies.get(LANGUAGE_COOKIE, "")
        with speaking(best_language(accepted, chosen)):
            await self._answered(request, receive, send)

    async def _answered(self, request: Request, receive: Receive, send: Send) -> None:
        scope = request.scope
        origin = request.headers.get("origin")
        allowed = origin is not None and origin in self._rules.origins
        # A client that waits for the word to send its body may leave it out: what follows could be the body or not.
        unclear = "expect" in request.headers or _has_two_lengths(request)
        begun = False

        async def told(event: MutableMapping[str, Any]) -> None:
            nonlocal begun
            if event["type"] == "http.response.start":
                begun = True
                own = {name.lower() for name, _ in event["headers"]}
                added = [(name, value) for name, value in _HEADERS if name not in own]
                event["headers"] = [*event["headers"], *added, *(_cors(origin) if allowed else ())]
                if unclear:
                    event["headers"].append((b"connection", b"close"))
            await send(event)

        try:
            self._check(request, origin, allowed)
            if not (allowed and request.method == "OPTIONS"):
                await self._app(scope, receive, told)
                return
            answer = Response(status_code=204, headers={"access-control-max-age": "7200"})
        except FrApiError as error:
            answer = self._answer(request, error)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - the boundary: nothing of an error leaves but its place, in the log
            answer = self._answer(request, _defect(error))
        if not begun:
            await answer(scope, receive, told)

    def _check(self, request: Request, origin: str | None, allowed: bool) -> None:
        host = request.headers.get("host", "")
        if _has_two_lengths(request):
            raise invalid("A request has a Content-Length or a Transfer-Encoding, never both.")
        if not self._rules.remote and name_of(host) not in self._hosts:
            words = "This address serves only its own machine, under the name localhost."
            raise refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", words)
        is_own = origin is None or allowed or origin.partition("://")[2] == host
        if not is_own and request.scope["path"] not in FROM_PLATFORMS:  # other sites lead to these on purpose
            words = "Web pages of other sites may not call this server; `web.origins` names those that may."
            raise refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", words)


def _has_two_lengths(request: Request) -> bool:
    """Return whether a proxy in front could see another end of the body than this server (RFC 9112, 6.1)."""
    return "content-length" in request.headers and "transfer-encoding" in request.headers


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
    words = render(message("web.defect", request_id=request_id))
    return FrApiError(grpc.StatusCode.INTERNAL, "INTERNAL", words, request_id=request_id)
