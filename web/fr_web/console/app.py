"""Answers the requests of browsers: finds out who asks, checks where forms come from, and calls the view."""

import hmac
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from datetime import UTC
from functools import partial
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import Message as Sent
from google.protobuf.timestamp_pb2 import Timestamp
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_locales.rendering import ENGLISH, direction_of, languages, moment, name_of, number, render, spoken
from fr_web.backend import Backend, Call, api_calls
from fr_web.boundary import Rules, metadata_of
from fr_web.console import assets
from fr_web.console.addresses import address, local
from fr_web.console.forms import Part, fields_of, parts_as_they_come, text_of
from fr_web.console.lessons import figure_html, lesson_html
from fr_web.console.sessions import Attempts, Sessions
from fr_web.console.shared_sessions import SharedSessions
from fr_web.console.shared_walls import SharedWalls
from fr_web.console.views import SCREENS
from fr_web.console.views.keyboard import KEYBOARD_COOKIE, keys_of
from fr_web.console.visit import IN_PLACE, Screen, Visit, page_policy, ways_back
from fr_web.console.walls import Wall
from fr_web.console.words import FOR_PAGES, PURPOSES, QUALITY, ROLES, USES
from fr_web.console.works import Works
from fr_web.errors import http_status, refused
from fr_web.lti.tool import Tool
from fr_web.room import FROM_PLATFORMS, Room, is_loopback_host, network_of, too_large
from fr_web.shelf import SharedShelf

_CALL_S = 300.0  # `limits.call_s` of a server
_SMALL_FORM_BYTES, _SMALL_AT_ONCE = 256 * 1024, 64  # a class behind one address, and some of it slow
# Of a key, or of a trainee's code, that the server does not know.
_WRONG = frozenset({"CREDENTIAL_INVALID", "UNKNOWN_TRAINEE"})
# A fetch from elsewhere is nobody's: https://w3c.github.io/webappsec-fetch-metadata/
_OWN_SITE = "same-origin"


class Console:
    """The pages. `room` bounds the bodies of forms together with those of the API."""

    def __init__(
        self, backend: Backend, rules: Rules, room: Room, lti: Tool | None = None, shelf: SharedShelf | None = None
    ) -> None:
        self._backend = backend
        self._rules = rules
        self.lti = lti
        self._room, self._small = room, Room(_SMALL_FORM_BYTES, rules.body_s, _SMALL_AT_ONCE)
        self._attempts = Attempts()
        self.walls: dict[str, Wall] = {}
        self.works = Works(shelf)
        self._sessions, self._shared_walls = Sessions(), None
        if shelf is not None:
            self._sessions = shared = SharedSessions(shelf)
            self._shared_walls = SharedWalls(shelf, shared, self.walls)
        self.languages = languages()
        render(Message("list.separator"), ENGLISH)  # now: a catalogue takes a tenth of a second to read
        self._calls: Mapping[str, Call] = {call.request.DESCRIPTOR.full_name: call for call in api_calls().values()}
        self._templates = Environment(
            loader=PackageLoader("fr_web.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {
            "address": address,
            "asset": assets.address_of,
            "scripts": assets.SCRIPTS,
            "languages": self.languages,
            "roles": ROLES,
            "uses": USES,
            "purposes": PURPOSES,
            "quality": QUALITY,
            "for_pages": FOR_PAGES,
            "from_platforms": FROM_PLATFORMS,
            "direction_of": direction_of,
            "name_of": name_of,
            "lesson_html": lesson_html,
            "figure_html": figure_html,
        }

    def routes(self) -> list[BaseRoute]:
        """Return the routes of all screens, and of the files that pages load."""
        screens = (*SCREENS, *ways_back(SCREENS))
        return [*assets.routes(), *(Route(one.path, self._answering(one), methods=[one.method]) for one in screens)]

    def _answering(self, screen: Screen) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            if session_id := request.cookies.get(_cookie(request), ""):
                await self._sessions.fetch(session_id)
            visit = self._visit(request)
            on_walls = self._shared_walls if screen.on_walls else None
            if on_walls is not None:
                await on_walls.fetch(visit)
            try:
                return await answered(request, visit)
            finally:
                await self._sessions.store(visit.session_id)
                if on_walls is not None:
                    await on_walls.store(visit)

        async def answered(request: Request, visit: Visit) -> Response:
            if screen.method == "POST" and screen.path not in FROM_PLATFORMS:
                _require_own_page(request)
            if visit.session is None and not screen.is_open:
                raise refused(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING", "")
            if screen.streams:
                async with aclosing(self._parts(request)) as parts:
                    visit.files = await self._begun(visit, parts)
                    return self._headed(visit, await self._seen(visit, screen))
            if screen.method == "POST":
                await self._read(visit, screen)
            return self._headed(visit, await self._seen(visit, screen))

        return answer

    async def _seen(self, visit: Visit, screen: Screen) -> Response:
        """Call the view; of somebody whose key has none of its roles, nothing comes to a screen."""
        if visit.session is not None and not screen.is_for(visit.session):
            raise refused(grpc.StatusCode.PERMISSION_DENIED, "", visit.text(message("console.refused.role")))
        return await screen.view(visit)

    def refusal(self, request: Request, error: FrApiError) -> Response:
        """Return the page that says what was refused; somebody who is not signed in any more can sign in on it."""
        visit = self._visit(request)
        if error.code is grpc.StatusCode.UNAUTHENTICATED:
            self._sessions.end(visit.session_id)
            visit.session = None
            told = error if error.message else None
            is_over = told is None and _cookie(request) in request.cookies  # also by a restart, which no cookie tells
            place, status = _place(request), http_status(error)
            answer = visit.page("sign_in.html", told, status, next=place, code="", is_over=is_over)
        else:
            answer = visit.page("error.html", error, before=_before(request))
        return self._headed(visit, answer)

    # --- what a visit needs of the console

    async def ask(self, visit: Visit, request: Sent) -> bytes:
        """As `Desk.ask`."""
        call = self._calls[request.DESCRIPTOR.full_name]
        answer, _ = await self._backend.call(call.path, request.SerializeToString(), self._metadata(visit), _CALL_S)
        return answer

    async def pieces(self, visit: Visit, request: Sent) -> AsyncIterator[bytes]:
        """As `Desk.pieces`."""
        call = self._calls[request.DESCRIPTOR.full_name]
        async for one in self._backend.answers(call.path, request.SerializeToString(), self._metadata(visit)):
            yield one

    async def refresh(self, visit: Visit) -> None:
        """As `Desk.refresh`."""
        await self._sessions.refresh(visit.session_id)
        if self._shared_walls is not None and self.walls:
            await self._shared_walls.fetch(visit)

    def holds(self, visit: Visit) -> bool:
        """As `Desk.holds`."""
        return self._sessions.holds(visit.session_id)

    def html(self, visit: Visit, template: str, values: Mapping[str, Any]) -> str:
        """As `Desk.html`."""

        def t(one: str | Message, **filled: Any) -> str:
            return render(Message(one, filled) if isinstance(one, str) else one, visit.language)

        def when(time: Timestamp, seconds: bool) -> str:
            return moment(time.ToDatetime(UTC), visit.language, seconds)

        session, keys = visit.session, keys_of(visit.request.cookies.get(KEYBOARD_COOKIE, ""))
        told: dict[str, Any] = {
            "t": t,
            "comma": t("list.separator"),
            "colon": t("list.colon"),
            "n": partial(number, language=visit.language),
            "moment": when,
            "language": visit.language,
            "direction": direction_of(visit.language),
            "english": Markup("" if visit.language == ENGLISH else ' lang="en" dir="ltr"'),
            "nonce": visit.nonce,
            "hx": Markup('hx-nonce="{}"').format(visit.nonce),
            "token": Markup('<input type="hidden" name="token" value="{}">').format(visit.token),
            "session": session,
            "shortcut": lambda one: keys[str(one)],
            "own_keys": [(usual, own) for usual, own in keys.items() if usual != own],
            "mark": _mark(visit),
            "screens": [one for one in SCREENS if one.nav is not None and session is not None and one.is_for(session)],
            "here": visit.request.url.path,
            "place": _place(visit.request),
            "error": values.get("error"),
        }
        parts = vars(self._templates.get_template("parts.html").make_module(told))
        told |= {name: one for name, one in parts.items() if not name.startswith("_")}
        return self._templates.get_template(template).render({**told, **values})

    @contextmanager
    def attempt(self, visit: Visit) -> Iterator[None]:
        """As `Desk.attempt`."""
        network = _network(visit.request)
        wait_s = self._attempts.take(network)
        if wait_s:
            words = visit.text(message("console.sign_in.too_many"))
            raise refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", words, wait_s)
        wrong = False
        try:
            yield
        except FrApiError as error:
            wrong = error.reason in _WRONG
            raise
        finally:
            if not wrong:
                self._attempts.give_back(network)

    async def is_ready(self) -> bool:
        """As `Desk.is_ready`."""
        return await self._backend.serves()

    def _metadata(self, visit: Visit) -> list[tuple[str, str]]:
        keys = [f"Bearer {visit.session.key}"] if visit.session is not None and visit.session.key else []
        return list(metadata_of(visit.request, self._rules, keys))

    # --- who asks, and from where

    def _visit(self, request: Request) -> Visit:
        session_id = request.cookies.get(_cookie(request), "")
        session = self._sessions.find(session_id) if session_id else None
        session_id = session_id or self._sessions.new_id()
        token = self._sessions.token(session_id)
        return Visit(self, request, session, session_id, token, spoken(), secrets.token_urlsafe(16))

    async def _read(self, visit: Visit, screen: Screen) -> None:
        """Read a form; raises `FrApiError` if it is none, or too large, or does not have the token of its browser."""
        request = visit.request
        room = self._room if screen.takes_file else self._small
        with room.share(_network(request)) as share:
            body = await share.read(request.receive, request.headers.get("content-length"), _CALL_S)
            visit.fields = fields_of(request.headers.get("content-type", ""), body)
        if screen.path not in FROM_PLATFORMS:
            _require_token(visit)

    async def _parts(self, request: Request) -> AsyncGenerator[Part]:
        with self._room.share(_network(request)) as share:
            async for part in parts_as_they_come(request.headers.get("content-type", ""), share, request.receive):
                yield part

    async def _begun(self, visit: Visit, parts: AsyncGenerator[Part]) -> AsyncIterator[Part]:
        """Read a form up to its first file, and return its files; raises `FrApiError` as `_read`."""
        fields: dict[str, list[bytes]] = {}
        size = 0
        first: Part | None = None
        async for part in parts:
            if part.file is not None:
                first = part
                break
            fields.setdefault(part.name, []).append(part.content)
            size += len(part.content) + len(part.name) + 1
            if part.is_too_large or size > _SMALL_FORM_BYTES:
                raise too_large(_SMALL_FORM_BYTES)
        visit.fields = fields
        _require_token(visit)

        async def files() -> AsyncIterator[Part]:
            if first is not None:
                yield first
            async for part in parts:
                if part.file is not None:
                    yield part

        return files()

    def _headed(self, visit: Visit, answer: Response) -> Response:
        """Add the headers of a page, and the cookie; a view begins or ends a session by `Visit.session`.

        A session that ended while its view was at work, in another tab or by its time, is over.
        """
        request, session_id = visit.request, visit.session_id
        if visit.session is not visit.found and visit.session is not self._sessions.find(session_id):
            self._sessions.end(session_id)
            session_id = self._sessions.new_id() if visit.session is None else self._sessions.begin(visit.session)
            visit.session_id = session_id
        name = _cookie(request)
        # Browsers do not send the strict cookie from another site: leave it, unless this request signed somebody in.
        is_kept = visit.session is None and request.url.path in FROM_PLATFORMS
        if request.cookies.get(name) != session_id and not is_kept:
            answer.set_cookie(name, session_id, secure=name.startswith("__Host-"), httponly=True, samesite="strict")
        if IN_PLACE in request.headers and visit.session is not None:
            answer.headers["fr-token"], answer.headers["fr-who"] = self._sessions.token(session_id), _mark(visit)
        for header, value in _headers(visit.nonce).items():
            answer.headers.setdefault(header, value)
        return answer


def _mark(visit: Visit) -> str:
    """Return what pages of one person have in common, so that a page goes on only for the same one."""
    return "" if visit.session is None else sha256(visit.session.who.encode()).hexdigest()[:16]


def _headers(nonce: str) -> Mapping[str, str]:
    """Return the headers of a page. A form's Origin is "null" with another referrer policy."""
    return {
        "referrer-policy": "same-origin",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(self), geolocation=(), microphone=()",
        "content-security-policy": page_policy(nonce),
    }


def _cookie(request: Request) -> str:
    """Return the name of the cookie: one that browsers keep to this host and TLS, except on the machine itself."""
    if request.url.scheme == "https" or not is_loopback_host(request.headers.get("host", "")):
        return "__Host-fr"
    return f"fr-{request.url.port or 80}"  # cookies of one host do not tell its ports apart


def _network(request: Request) -> str:
    return network_of(request.client.host if request.client else "")


def _place(request: Request) -> str:
    """Return where to go on after signing in: this page, or the one that a form stood on."""
    url = request.url
    if request.method == "GET":
        return local(f"{url.path}?{url.query}" if url.query else url.path)
    return _before(request)


def _before(request: Request) -> str:
    """Return the page of this site that a request comes from, "/" if there is none."""
    page = urlsplit(request.headers.get("referer", ""))
    return local(page.path + (f"?{page.query}" if page.query else "")) if page.netloc == request.url.netloc else "/"


def _require_own_page(request: Request) -> None:
    """Raise `FrApiError` unless the browser says that a page of this site sent the form."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    host = request.headers.get("host", "")
    is_own = site in (None, _OWN_SITE) and (origin is None or origin.partition("://")[2] == host)
    if not is_own or (site is None and origin is None):
        raise _foreign()


def _require_token(visit: Visit) -> None:
    if not hmac.compare_digest(text_of(visit.fields, "token").encode(), visit.token.encode()):
        raise _foreign()


def _foreign() -> FrApiError:
    return refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", message("web.foreign_form"))
