"""A trainee's course: consent, the blocks of a sitting, and its trials, one after another."""

from collections.abc import Mapping
from dataclasses import dataclass

import grpc
from starlette.responses import Response

from fr_api.v1 import access_pb2, training_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.visit import Screen, Visit, embedded
from fr_web.console.words import STATES
from fr_web.errors import refused

_TAKES = frozenset({access_pb2.ROLE_TRAINEE})
# The template of each step that a trial can wait for. `fr train run` has the others.
_PAGES: Mapping[int, str] = {
    training_pb2.TRIAL_STEP_RATE: "trial_pair.html",
    training_pb2.TRIAL_STEP_RATE_AGAIN: "trial_pair.html",
}
# The trial is over, or elsewhere: show the present step.
_GO_ON = frozenset({"BLOCK_EXPIRED", "DECISION_LOCKED", "WRONG_STEP", "UNKNOWN_TRIAL", "SESSION_FINISHED"})


@dataclass(frozen=True, slots=True)
class Start:
    """A sitting to begin or to go on with."""

    sitting: str
    consent: bool = False


@dataclass(frozen=True, slots=True)
class Begin:
    """A block to begin, or a session to pause or to go on with."""

    block: str = ""
    pause: bool = False
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a trial of a pair; `rating` is from -3 to 3."""

    trial: str
    step: int
    rating: int
    known: bool = False


async def course(visit: Visit) -> Response:
    """Show the sittings of the course, and the notice to agree to."""
    return await _course(visit)


async def _course(visit: Visit, error: FrApiError | None = None) -> Response:
    joined = await visit.ask(training_pb2.JoinCourseRequest(code=visit.who.code), training_pb2.JoinCourseResponse)
    fresh = training_pb2.SESSION_STATE_NOT_STARTED
    return visit.page(
        "course.html",
        error,
        joined=joined,
        states=STATES,
        fresh=fresh,
        finished=training_pb2.SESSION_STATE_FINISHED,
    )


async def start(visit: Visit) -> Response:
    """Begin a sitting, or go on with it."""
    form = visit.form(Start)
    try:
        await _begun(visit, form.sitting, form.consent)
    except FrApiError as error:
        return await _course(visit, error)
    return visit.go("/course/sitting", name=form.sitting)


async def _begun(visit: Visit, sitting: str, consent: bool = False) -> str:
    """Begin or continue a sitting; return the server's id of it, which no page holds."""
    request = training_pb2.StartSessionRequest(code=visit.who.code, sitting=sitting, consent=consent)
    found = (await visit.ask(request, training_pb2.StartSessionResponse)).session
    visit.who.sittings[sitting] = found.session_id
    return found.session_id


async def sitting(visit: Visit) -> Response:
    """Show the present step of a sitting: a block to begin, a trial, a pause or the end."""
    return await _step(visit)


async def _step(visit: Visit, error: FrApiError | None = None) -> Response:
    name = visit.query("name")
    session_id = visit.who.sittings.get(name) or await _begun(visit, name)
    try:
        found = await visit.ask(training_pb2.NextTrialRequest(session_id=session_id), training_pb2.NextTrialResponse)
    except FrApiError as refusal:
        if refusal.reason != "SESSION_PAUSED":
            raise
        return visit.page("paused.html", name=name)
    kind = found.WhichOneof("next")
    if kind == "over":
        await visit.ask(training_pb2.FinishSessionRequest(session_id=session_id), training_pb2.FinishSessionResponse)
        return visit.page("sitting_over.html", over=found.over, name=name)
    if kind == "block":
        return visit.page("block.html", error, begins=found.block, name=name)
    trial = found.trial
    pictures = [embedded(one.data) for one in trial.pictures]
    visit.who.shown = {trial.trial_id: [*pictures]}
    template = _PAGES.get(trial.step, "trial_elsewhere.html")
    return visit.page(template, error, trial=trial, pictures=pictures, name=name, ratings=range(-3, 4))


async def act(visit: Visit) -> Response:
    """Lock an answer, begin a block, pause or go on: a sitting has one address, which a reload shows anew."""
    if "trial" in visit.fields:
        return await _answer(visit)
    form, name = visit.form(Begin), visit.query("name")
    session_id = visit.who.sittings.get(name) or await _begun(visit, name)
    if form.pause:
        await visit.ask(training_pb2.PauseSessionRequest(session_id=session_id), training_pb2.PauseSessionResponse)
        return visit.go("/course/sitting", name=name)
    if form.resume:
        await visit.ask(training_pb2.ResumeSessionRequest(session_id=session_id), training_pb2.ResumeSessionResponse)
        return visit.go("/course/sitting", name=name)
    request = training_pb2.NextTrialRequest(session_id=session_id, begin_block=form.block)
    try:
        await visit.ask(request, training_pb2.NextTrialResponse)
    except FrApiError as error:
        if error.reason not in _GO_ON:
            raise
    return visit.go("/course/sitting", name=name)


async def _answer(visit: Visit) -> Response:
    """Lock the answer to a trial; the same answer again is the same, so that a form may be sent twice."""
    form, name = visit.form(Answer), visit.query("name")
    session_id = visit.who.sittings.get(name) or await _begun(visit, name)
    step = next((one for one in _PAGES if one == form.step), None)
    if step is None:
        raise refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "The form answers a step that it cannot.")
    request = training_pb2.SubmitDecisionRequest(
        session_id=session_id,
        trial_id=form.trial,
        step=training_pb2.TrialStep.ValueType(step),
        rating=training_pb2.PairRating(rating=form.rating),
        known_to_me=form.known,
    )
    try:
        found = await visit.ask(request, training_pb2.SubmitDecisionResponse)
    except FrApiError as error:
        if error.reason == "SESSION_PAUSED" or error.reason in _GO_ON:
            return await _step(visit, error)
        raise
    if found.HasField("reveal"):
        pictures = visit.who.shown.get(form.trial, [])
        return visit.page("reveal.html", reveal=found.reveal, pictures=pictures, name=name)
    return visit.go("/course/sitting", name=name)


async def report(visit: Visit) -> Response:
    """Send the trainee's own report as a file: one page, which needs nothing else."""
    request = training_pb2.GetTrainingReportRequest(code=visit.who.code, file=training_pb2.TRAINING_REPORT_FILE_HTML)
    parts = [one.content async for one in visit.each(request, training_pb2.GetTrainingReportResponse)]
    headers = {"content-disposition": 'attachment; filename="report.html"'}
    return Response(b"".join(parts), media_type="text/html", headers=headers)


SCREENS = (
    Screen("/course", course, roles=_TAKES, nav=message("console.nav.course"), about=message("console.about.course")),
    Screen("/course", start, method="POST", roles=_TAKES),
    Screen("/course/sitting", sitting, roles=_TAKES),
    Screen("/course/sitting", act, method="POST", roles=_TAKES),
    Screen("/course/report", report, roles=_TAKES),
)
