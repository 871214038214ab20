"""The way in: signing in and out, the first page, the languages, and the purpose of an inquiry."""

from dataclasses import dataclass

from starlette.responses import Response

from fr_api.v1 import access_pb2, common_pb2, training_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_locales.rendering import ENGLISH, render, reviewer_of
from fr_web.console.sessions import Inquiry, Session
from fr_web.console.visit import IN_PLACE, Screen, Visit
from fr_web.console.words import FOR_PAGES, PURPOSES
from fr_web.errors import delay_of, http_status, refused
from fr_web.room import LANGUAGE_COOKIE

_YEAR_S = 365 * 24 * 3600
# What a trainee mistyped: the field, and words that compare it with the slip.
_OF_SLIP = {
    "UNKNOWN_TRAINEE": ("code", message("console.sign_in.wrong_code")),
    "CREDENTIAL_INVALID": ("key", message("console.sign_in.wrong_key")),
}


@dataclass(frozen=True, slots=True)
class SignIn:
    """A key, or a trainee's code with the key of the class."""

    key: str = ""
    code: str = ""
    as_trainee: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """A language."""

    language: str


@dataclass(frozen=True, slots=True)
class Why:
    """The purpose of an inquiry, and its reference."""

    purpose: int
    case_reference: str


async def home(visit: Visit) -> Response:
    """Show what the visitor can do, or the way in."""
    if visit.session is None:
        return visit.page("sign_in.html", next="/", code="")
    return visit.page("home.html")


async def sign_in(visit: Visit) -> Response:
    """Let somebody in whose key, or code, the server knows."""
    form, onward = visit.form(SignIn), visit.next_page
    in_place = IN_PLACE in visit.request.headers
    try:
        with visit.desk.attempt(visit):
            visit.session = await _session(visit, form)
    except FrApiError as error:
        visit.session = visit.found
        if in_place:
            told = visit.text(FOR_PAGES[error.reason]) if error.reason in FOR_PAGES else error.message
            return Response(told, http_status(error), delay_of(error), media_type="text/plain")
        is_code = error.reason == "UNKNOWN_TRAINEE" and form.code != form.key  # a page never holds a key
        return visit.page("sign_in.html", error, next=onward, code=form.code if is_code else "")
    return Response(status_code=204) if in_place else visit.go(onward)


async def _session(visit: Visit, form: SignIn) -> Session:
    """Return the session of somebody who signs in; raises `FrApiError` if the server does not know them."""
    begun = visit.session = Session(form.key, form.code if form.as_trainee else "", "", frozenset())
    if form.as_trainee:
        if not form.code:
            raise visit.invalid(message("console.sign_in.no_code"), "code")
        joining = training_pb2.JoinCourseRequest(code=form.code)
        try:
            joined = await visit.ask(joining, training_pb2.JoinCourseResponse)
        except FrApiError as error:
            if error.reason not in _OF_SLIP:
                raise
            field, words = _OF_SLIP[error.reason]
            raise refused(error.code, error.reason, visit.text(words), field=field) from error
        begun.who = f"{joined.trainee_id} "  # however the code was typed
    found = await visit.ask(access_pb2.WhoAmIRequest(), access_pb2.WhoAmIResponse)
    trainee = access_pb2.ROLE_TRAINEE
    begun.who += found.principal_id
    begun.roles = frozenset({trainee} if form.as_trainee else {*found.roles} - {trainee})
    if not begun.roles:
        raise visit.invalid(message("console.sign_in.key_of_class"), "code")
    return begun


async def sign_in_page(visit: Visit) -> Response:
    """Show the way in, to somebody who is in too: for another person."""
    return visit.page("sign_in.html", next=visit.next_page, code="")


async def sign_out(visit: Visit) -> Response:
    """End the session."""
    visit.session = None
    return visit.go("/")


async def about(visit: Visit) -> Response:
    """Say who has read the sentences of each language, in that language and in English."""
    reviews = {one: _review(one) for one in visit.desk.languages}
    told = [(one, render(review, one), render(review, ENGLISH)) for one, review in reviews.items()]
    return visit.page("about.html", told=told)


def _review(language: str) -> Message:
    if language == ENGLISH:
        return message("console.languages.source")
    reviewer = reviewer_of(language)
    return (
        message("console.languages.reviewed", reviewer=reviewer)
        if reviewer
        else message("console.languages.not_reviewed")
    )


async def choose_language(visit: Visit) -> Response:
    """Remember the language of a browser."""
    chosen = visit.form(Chosen).language
    return remembered(visit, LANGUAGE_COOKIE, chosen) if chosen in visit.desk.languages else visit.go(visit.next_page)


def remembered(visit: Visit, cookie: str, choice: str) -> Response:
    """Let a browser keep a choice for a year, and lead on."""
    answer, secure = visit.go(visit.next_page), visit.request.url.scheme == "https"
    answer.set_cookie(cookie, choice, _YEAR_S, secure=secure, httponly=True, samesite="strict")
    return answer


async def purpose(visit: Visit) -> Response:
    """Ask somebody who has stated a purpose for another one."""
    return visit.page("purpose.html", next=visit.next_page)


async def state_purpose(visit: Visit) -> Response:
    """Remember why somebody reads and searches, until they sign out or state another purpose."""
    form = visit.form(Why)
    if form.purpose not in PURPOSES:
        raise visit.invalid(message("console.purpose.unknown"), "purpose")
    visit.who.inquiry = Inquiry(common_pb2.Purpose.ValueType(form.purpose), form.case_reference)
    return visit.go(visit.next_page)


SCREENS = (
    Screen("/", home, nav=message("console.nav.home"), is_open=True),
    Screen("/sign-in", sign_in_page, is_open=True),
    Screen("/sign-in", sign_in, method="POST", is_open=True),
    Screen("/sign-out", sign_out, method="POST"),
    Screen("/about", about, is_open=True),
    Screen("/language", choose_language, method="POST", is_open=True),
    Screen("/purpose", purpose),
    Screen("/purpose", state_purpose, method="POST"),
)
