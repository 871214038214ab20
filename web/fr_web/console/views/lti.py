"""Launches from a learning platform: start, end, a trainer's choice of a sitting, and scores."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
from starlette.responses import JSONResponse, RedirectResponse, Response

from fr_api.v1 import access_pb2
from fr_api.v1 import training_pb2 as pb
from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.addresses import address
from fr_web.console.forms import text_of
from fr_web.console.sessions import Session
from fr_web.console.views.trainer import TRAINS
from fr_web.console.visit import MOST_LISTED, Screen, Visit, page_policy
from fr_web.errors import refused
from fr_web.lti.launches import COOKIE, STATE_S, Launch, cookie_of
from fr_web.lti.tool import CHOICE_S, Choice, Score, Tool

_POLICY = "content-security-policy"
_FRAMES = ("iframe", "frame", "embed", "object")
_ASKED = ("iss", "client_id", "login_hint", "lti_message_hint", "target_link_uri", "lti_deployment_id")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A sitting of a cohort, as COHORT/SITTING."""

    choice: str


def _tool(visit: Visit) -> Tool:
    if visit.desk.lti is None:
        raise refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", message("lti.off"))
    return visit.desk.lti


async def login(visit: Visit) -> Response:
    """Start a launch: redirect to the platform or, in a frame, show a link to a new window.

    Browsers block the console's cookies in another site's frame, so the console never runs in one.
    """
    tool, posted = _tool(visit), visit.request.method == "POST"
    asked = {name: text_of(visit.fields, name) if posted else visit.query(name) for name in _ASKED}
    platform = tool.launches.platform(asked)
    if visit.request.headers.get("sec-fetch-dest") in _FRAMES:
        page = visit.page("lti_window.html", again=address("/lti/login", **asked))
        framing = " ".join(sorted(platform.origins))
        page.headers[_POLICY] = page_policy(visit.nonce, frame_ancestors=framing)
        return page
    cookie = cookie_of(visit.request.cookies.get(COOKIE, ""))
    answer = RedirectResponse(tool.launches.begin(platform, asked, cookie), 303)
    # The platform's page posts the token, so the browser must send this cookie with a cross-site request.
    answer.set_cookie(COOKIE, cookie, int(STATE_S + CHOICE_S), secure=True, httponly=True, samesite="none")
    return answer


async def launch(visit: Visit) -> Response:
    """End a launch: sign the trainee in, or keep the launch until a trainer chooses; tell a teacher the way in.

    The answer is a page of this site, so that its next request carries the console's strict cookie.
    """
    tool = _tool(visit)
    state, token = text_of(visit.fields, "state"), text_of(visit.fields, "id_token")
    found = await tool.launches.end(state, token, visit.request.cookies.get(COOKIE, ""))
    if found.return_url:
        return visit.page("lti_go.html", onward=f"/lti/choose/{await tool.keep_choosing(found)}")
    if found.teaches:
        return visit.page("lti_teacher.html")
    if not found.cohort_id:
        raise visit.invalid(message("lti.no_choice"))
    try:
        visit.session = await _joined(visit, tool, found)
    except FrApiError as error:
        if error.code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            raise refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", message("lti.no_right")) from error
        if error.code is grpc.StatusCode.NOT_FOUND:
            raise visit.invalid(message("lti.no_choice")) from error
        raise
    return visit.page("lti_go.html", onward="/course")


async def _joined(visit: Visit, tool: Tool, found: Launch) -> Session:
    """Enrol a person in the cohort, or find them there, and return their session."""
    asked = pb.JoinFromPlatformRequest(
        cohort_id=found.cohort_id,
        issuer=found.platform.issuer,
        client_id=found.platform.client_id,
        subject=found.subject,
    )
    visit.session = Session(tool.registrations.trainer_key, "", "", frozenset())
    enrolled = (await visit.ask(asked, pb.JoinFromPlatformResponse)).enrolled
    visit.session = Session(tool.registrations.class_key, enrolled.code, "", frozenset())
    caller = await visit.ask(access_pb2.WhoAmIRequest(), access_pb2.WhoAmIResponse)
    who = f"{enrolled.trainee_id} {caller.principal_id}"
    if found.sitting:  # refuse one that the course does not have now, not later on every page
        await visit.ask(
            pb.GetSittingScoreRequest(code=enrolled.code, sitting=found.sitting), pb.GetSittingScoreResponse
        )
    roles = frozenset({access_pb2.ROLE_TRAINEE})
    return Session(tool.registrations.class_key, enrolled.code, who, roles, launch=found)


async def keys(visit: Visit) -> Response:
    """Send the tool's public keys."""
    return JSONResponse(_tool(visit).key_set())


async def choose(visit: Visit) -> Response:
    """Show the sittings of the trainer's cohorts."""
    await _waiting(visit)
    return visit.page("lti_choose.html", choices=[one async for one in _choices(visit)])


async def chosen(visit: Visit) -> Response:
    """Show the button that takes the choice back to the platform."""
    tool, found, wanted = _tool(visit), await _waiting(visit), visit.form(Chosen).choice
    async for one in _choices(visit):
        if f"{one.cohort_id}/{one.sitting}" == wanted and await tool.take_choosing(visit.path["ticket"]) is not None:
            token = tool.chosen(found, one)
            page = visit.page("lti_return.html", url=found.return_url, token_of_choice=token, chosen=one)
            page.headers[_POLICY] = page_policy(visit.nonce, form_action=" ".join(sorted(found.platform.origins)))
            return page
    raise visit.invalid(message("lti.choice_gone"), "choice")


async def _waiting(visit: Visit) -> Launch:
    found = await _tool(visit).find_choosing(visit.path["ticket"])
    if found is None or not found.is_of(visit.request.cookies.get(COOKIE, "")):
        raise visit.invalid(message("lti.choice_over"))
    return found


async def _choices(visit: Visit) -> AsyncIterator[Choice]:
    listed = await visit.ask(pb.ListCohortsRequest(page_size=MOST_LISTED), pb.ListCohortsResponse)
    courses: dict[str, pb.Course] = {}
    for cohort in listed.cohorts:
        if cohort.course_id not in courses:
            asked = pb.GetCourseRequest(course_id=cohort.course_id)
            courses[cohort.course_id] = (await visit.ask(asked, pb.GetCourseResponse)).course
        for sitting in courses[cohort.course_id].sittings:
            title = f"{cohort.display_name}: {sitting.title}"
            yield Choice(cohort.cohort_id, sitting.name, title, sum(block.trials for block in sitting.blocks))


async def send_score(visit: Visit) -> None:
    """Send the score of the sitting that a platform launched, if it is finished and the platform lacks the score.

    A score that the platform did not accept is sent again at the next call.
    """
    session, tool = visit.who, visit.desk.lti
    found = session.launch
    if tool is None or found is None or not found.line_item or not found.sitting:
        return
    asked = pb.GetSittingScoreRequest(code=session.code, sitting=found.sitting)
    answer = await visit.ask(asked, pb.GetSittingScoreResponse)
    score = Score(answer.released, answer.right, answer.counted, answer.waits)
    if answer.finished and score != session.score_sent:
        session.score_sent = score
        tool.send_score(found, score, lambda: setattr(session, "score_sent", None))


SCREENS = (
    Screen("/lti/login", login, is_open=True),
    Screen("/lti/login", login, method="POST", is_open=True),
    Screen("/lti/launch", launch, method="POST", is_open=True),
    Screen("/lti/keys", keys, is_open=True),
    Screen("/lti/choose/{ticket}", choose, roles=TRAINS),
    Screen("/lti/choose/{ticket}", chosen, method="POST", roles=TRAINS),
)
