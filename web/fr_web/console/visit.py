"""One request of a person, as a view sees it; and the table of views."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote

from google.protobuf.message import Message as Sent
from google.protobuf.timestamp_pb2 import Timestamp
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_locales.rendering import render
from fr_web.console.addresses import address, local
from fr_web.console.forms import Fields, Part, read, text_of
from fr_web.console.sessions import Role, Session
from fr_web.errors import delay_of, http_status
from fr_web.room import invalid

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from fr_web.console.walls import Wall
    from fr_web.console.works import Works
    from fr_web.lti.tool import Tool

    FormT = TypeVar("FormT", bound=DataclassInstance)
AnswerT = TypeVar("AnswerT", bound=Sent)

ON_A_PAGE, MOST_LISTED = 50, 1_000  # of a list: what a page shows, and what one answer of the server has
IN_PLACE = "fr-in-place"  # a header: the page stays, and only its session begins anew
_OVER = "event: over\ndata: -\n\n"  # a page has hx-sse:close="over"


class Desk(Protocol):
    """The console behind a visit, and the languages that it speaks."""

    @property
    def languages(self) -> Sequence[str]:
        """Return the languages that have a catalogue."""
        ...

    async def ask(self, visit: Visit, request: Sent) -> bytes:
        """Make the call of the API that takes a request, with the key of the visitor; return the encoded answer."""
        ...

    def pieces(self, visit: Visit, request: Sent) -> AsyncIterator[bytes]:
        """Make a call with many answers, with the key of the visitor; yield them encoded."""
        ...

    async def refresh(self, visit: Visit) -> None:
        """Learn whether the visitor has signed out on another server, for `holds`."""
        ...

    def holds(self, visit: Visit) -> bool:
        """Return whether the visitor is still signed in, without counting as a click."""
        ...

    def html(self, visit: Visit, template: str, values: Mapping[str, Any]) -> str:
        """Render a template."""
        ...

    def attempt(self, visit: Visit) -> AbstractContextManager[None]:
        """Let the block be an attempt to sign in; raises `FrApiError` if wrong ones came too often from its network."""
        ...

    async def is_ready(self) -> bool:
        """Return what the server says of its health."""
        ...

    @property
    def lti(self) -> Tool | None:
        """Return the LTI tool; None on a server without learning platforms."""
        ...

    @property
    def walls(self) -> dict[str, Wall]:
        """Return the projectors, by what their addresses end with, which cannot be guessed."""
        ...

    @property
    def works(self) -> Works:
        """Return the works that go on without their pages."""
        ...


@dataclass(slots=True)
class Visit:
    """A request: what the browser sent, who is signed in, and in which language to answer.

    `session_id` is that of the cookie, or a new one; `token` is what each form of this browser carries. `found` is the
    session before the view, which may begin or end one. `files` yields those of a form that its screen `streams`, after
    the fields before the first one.
    """

    desk: Desk
    request: Request
    session: Session | None
    session_id: str
    token: str
    language: str
    nonce: str
    fields: Fields = field(default_factory=dict)
    files: AsyncIterator[Part] | None = None
    found: Session | None = field(init=False)

    def __post_init__(self) -> None:
        self.found = self.session

    @property
    def path(self) -> Mapping[str, str]:
        """Return the parts of the path that the screen names."""
        found: Mapping[str, str] = self.request.path_params
        return found

    @property
    def who(self) -> Session:
        """Return who is signed in; a view of a screen that is not open has somebody."""
        assert self.session is not None
        return self.session

    @property
    def stated_purpose(self) -> Mapping[str, Any]:
        """Return the fields of a request that state why the visitor reads an operational gallery."""
        return asdict(self.who.inquiry) if self.who.inquiry else {}

    @property
    def next_page(self) -> str:
        """Return the page to go on to, which the form or the address names as `next`; "/" for one of another site."""
        return local(text_of(self.fields, "next") or self.query("next"))

    def query(self, name: str) -> str:
        """Return a parameter of the address, "" if it is absent."""
        return str(self.request.query_params.get(name, ""))

    def form(self, kind: type[FormT]) -> FormT:
        """Return the posted form; raises `FrApiError` if a field does not fit."""
        return read(kind, self.fields)

    def require_sure(self) -> None:
        """Raise `FrApiError` unless the form has the box ticked that says that it is meant."""
        if "sure" not in self.fields:
            raise self.invalid(message("console.not_sure"), "sure")

    def text(self, one: Message) -> str:
        """Return a message of the catalogue in the language of the page."""
        return render(one, self.language)

    def invalid(self, words: Message, field: str = "") -> FrApiError:
        """Return the refusal of what somebody typed, INVALID_FIELD."""
        return invalid(self.text(words), field)

    def day(self, text: str, field: str, later: int = 0) -> Timestamp | None:
        """Return the beginning of a day, or of one so many days later, UTC; None for ""; raises `FrApiError`."""
        if not text:
            return None
        made = Timestamp()
        try:
            made.FromDatetime(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=later))
        except (ValueError, OverflowError) as error:
            raise self.invalid(message("console.no_day"), field) from error
        return made

    async def ask(self, request: Sent, answer: type[AnswerT]) -> AnswerT:
        """Make the call that takes a request, with the key of who is signed in; raises `FrApiError`."""
        return answer.FromString(await self.desk.ask(self, request))

    async def each(self, request: Sent, answer: type[AnswerT]) -> AsyncGenerator[AnswerT, None]:
        """Make the call with many answers that takes a request, and yield them; raises `FrApiError`."""
        async for piece in self.desk.pieces(self, request):
            yield answer.FromString(piece)

    def page(self, template: str, error: FrApiError | None = None, status: int = 200, **values: Any) -> Response:
        """Return a page; with an error, it says above its content what was refused."""
        html = self.desk.html(self, template, {"error": error, **values})
        if error is None:
            return Response(html, status, media_type="text/html")
        return Response(html, http_status(error), delay_of(error), media_type="text/html")

    async def growing(self, template: str, rows: AsyncIterator[str], **values: Any) -> Response:
        """Return a page that has its rows, HTML, where the template says `growing`: each is sent when it is made.

        The page waits for the first row, so that a call that is refused has the page of an error.
        """
        mark = f"<!-- {self.nonce} -->"
        html = self.desk.html(self, template, {"error": None, "growing": Markup(mark), **values})
        before, _, after = html.partition(mark)
        first = await anext(rows, "")

        async def pieces() -> AsyncIterator[str]:
            yield before + first
            try:
                async for row in rows:
                    yield row
            except FrApiError as error:
                yield self.desk.html(self, "refusal.html", {"error": error})
            yield after

        return StreamingResponse(pieces(), media_type="text/html")

    async def events(
        self,
        template: str,
        states: AsyncGenerator[Mapping[str, Any] | None, None],
        over: Mapping[str, Any] | None = None,
    ) -> Response:
        """Return a stream of a part of a page, for `hx-sse:connect`: one rendering for each state, until they end.

        A state None is nothing new, and due every few seconds: the stream ends when its visitor has signed out, with
        the state `over`, or the way to sign in again. After an error, browsers connect again; one before the first
        state is raised.
        """
        first = await anext(states, None)

        async def sent() -> AsyncIterator[str]:
            state = first
            try:
                while self.desk.holds(self):
                    if state is None:
                        yield ": nothing new\n\n"
                    else:
                        yield _event(self.desk.html(self, template, state))
                    state = await anext(states)
                    await self.desk.refresh(self)
            except StopAsyncIteration:
                yield _OVER
            except FrApiError:
                return
            else:
                yield _event(self.desk.html(self, "live_over.html" if over is None else template, over or {})) + _OVER
            finally:
                await states.aclose()

        return StreamingResponse(sent(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    async def file(self, name: str, kind: str, content: bytes | AsyncGenerator[bytes, None]) -> Response:
        """Send a file to keep, whole or piece by piece; a refusal comes before the first piece, and is raised."""
        policy = "default-src 'none'; sandbox"
        headers = {"content-disposition": f'attachment; filename="{name}"', "content-security-policy": policy}
        if isinstance(content, bytes):
            return Response(content, media_type=kind, headers=headers)
        pieces, first = content, await anext(content, b"")

        async def sent() -> AsyncIterator[bytes]:
            yield first
            async for piece in pieces:
                yield piece

        return StreamingResponse(sent(), media_type=kind, headers=headers)

    def go(self, path: str, told: Message | None = None, /, **query: str) -> Response:
        """Lead the browser to another page, after a form; that page says once what it is `told`."""
        if told is not None:
            self.who.told = told
        return Response(status_code=303, headers={"location": address(path, **query)})


View = Callable[[Visit], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Screen:
    """A page, or where a form goes: `path` has names in braces, as in Starlette.

    `roles` are those of a caller who can use it, none for everybody: navigation and the home page show it to them, and
    others are refused. The server decides again in each call. `nav` is its name there, None to leave it out, and
    `about` its use in a sentence. `is_open` lets in people who are not signed in. `takes_file` lets a form be as large
    as a photo; a screen that `streams` reads any number of photos, one by one, as `Visit.files`. `once` says, to
    somebody who comes back to the address of a form, that its page is not shown again.
    """

    path: str
    view: View
    method: str = "GET"
    roles: frozenset[Role] = frozenset()
    nav: Message | None = None
    about: Message | None = None
    is_open: bool = False
    takes_file: bool = False
    streams: bool = False
    once: Message | None = None

    @property
    def on_walls(self) -> bool:
        """Return whether it shows or changes what a class sees on its wall."""
        return self.path.startswith(("/wall/", "/cohorts/", "/course/vote"))

    def is_for(self, session: Session) -> bool:
        """Return whether it is a screen of somebody."""
        return not self.roles or bool(self.roles & session.roles)


def ways_back(screens: Sequence[Screen]) -> Iterator[Screen]:
    """Yield what the addresses of forms answer to a browser that loads them again: the nearest page above them."""
    pages = {one.path for one in screens if one.method == "GET"}
    for one in screens:
        if one.path not in pages:
            above = one.path.rpartition("/")[0]
            while above and above not in pages:
                above = above.rpartition("/")[0]
            yield Screen(one.path, _led_back(above or "/", one.once), is_open=one.is_open)


def _led_back(above: str, told: Message | None) -> View:
    async def view(visit: Visit) -> Response:
        names = {name: quote(value, safe="") for name, value in visit.path.items()}
        return visit.go(above.format_map(names), told, **visit.request.query_params)

    return view


def page_policy(nonce: str, form_action: str = "'self'", frame_ancestors: str = "'none'") -> str:
    """Return the Content-Security-Policy of a page: its nonce, where its forms go, and who may show it in a frame.

    Browsers that know `frame-ancestors` ignore X-Frame-Options.
    """
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; require-trusted-types-for 'script'; trusted-types htmx; "
        f"form-action {form_action}; frame-ancestors {frame_ancestors}"
    )


def _event(html: str) -> str:
    """Return an event of a stream, as https://html.spec.whatwg.org/multipage/server-sent-events.html writes it."""
    return "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"
