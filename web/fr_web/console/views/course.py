"""A trainee's course: the check of the device, consent, the sittings, the result and the certificate."""

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from fr_api.v1 import training_pb2 as pb
from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_locales.rendering import day
from fr_web.console.addresses import data_address
from fr_web.console.views.lti import send_score
from fr_web.console.views.sitting import TAKES, begun, joined_by, until_open
from fr_web.console.visit import Screen, Visit
from fr_web.console.words import STATES

_STEPS = 8
# A ladder of greys: a screen that shows each step shows what photos have in their shadows and lights.
_GREYS = [round(255 * step / (_STEPS - 1)) for step in range(_STEPS)]
_LADDER = "".join(
    f'<rect x="{64 * step}" width="64" height="512" fill="rgb({grey},{grey},{grey})"/>'
    for step, grey in enumerate(_GREYS)
)
_CARD = f'<svg xmlns="http://www.w3.org/2000/svg" width="512" height="512">{_LADDER}</svg>'
CARD = data_address("image/svg+xml", _CARD.encode())
# Sentences of a kind that the first page of a result has, as in `fr_training.report.pages`.
_MOST = 3
_TESTS: Mapping[str, Message] = {
    "pre": message("console.result.pre"),
    "post": message("console.result.post"),
    "retention": message("console.result.retention"),
}


@dataclass(frozen=True, slots=True)
class Start:
    """A sitting to begin or to go on with."""

    sitting: str
    consent: bool = False


async def _sittings(visit: Visit) -> Mapping[str, Any]:
    """Return what a page shows of the sittings; it `waits` for the trainer where one is closed."""
    joined = await joined_by(visit)
    return {
        "joined": joined,
        "says_day": day(joined.expire_time.ToDatetime().date(), visit.language) in joined.notice,
        "states": STATES,
        "fresh": pb.SESSION_STATE_NOT_STARTED,
        "finished": pb.SESSION_STATE_FINISHED,
        "waits": any(one.closed and one.state != pb.SESSION_STATE_FINISHED for one in joined.sittings),
    }


async def events(visit: Visit) -> Response:
    """Follow the sittings until the trainer has opened them all."""
    return await visit.events("course_sittings.html", until_open(lambda: _sittings(visit), "waits"))


async def course(visit: Visit, error: FrApiError | None = None) -> Response:
    """Show the sittings of the course, and the notice to agree to."""
    found = await _sittings(visit)
    await send_score(visit)
    states = [one.state for one in found["joined"].sittings]
    return visit.page(
        "course.html",
        error,
        **found,
        has_result=pb.SESSION_STATE_FINISHED in states
        and not {pb.SESSION_STATE_RUNNING, pb.SESSION_STATE_PAUSED} & {*states},
        card=CARD,
        steps=_STEPS,
    )


async def start(visit: Visit) -> Response:
    """Begin a sitting, or go on with it."""
    form = visit.form(Start)
    try:
        await begun(visit, form.sitting, form.consent)
    except FrApiError as error:
        if error.reason == "SITTING_CLOSED":  # the page itself says so, until it is open
            return visit.go("/course")
        return await course(visit, error)
    return visit.go("/course/sitting", name=form.sitting)


async def result(visit: Visit) -> Response:
    """Show what the answers come to: few sentences, and the figures folded."""
    pieces = [piece async for piece in _report(visit, pb.TRAINING_REPORT_FILE_JSON)]
    found: Any = json.loads(b"".join(pieces))
    words = found["words"]
    shows = [*words["went_well"][:2], *words["bias"][:1], *words["change"][:1]]
    scored = [one for one in found["tests"] if isinstance(one["score"], (int, float))]
    return visit.page(
        "result.html",
        title=found["course"]["title"],
        notice=found["notice"],
        counts=found["counts"],
        shows=shows,
        limits=words["limits"][:_MOST],
        practise=words["practise"][:_MOST],
        tests=[(_TESTS[one["test"]], one["score"], one["counts"]["answered"]) for one in scored],
        blocks=[(one["title"], one["counts"]) for one in found["blocks"]],
    )


async def report(visit: Visit) -> Response:
    """Send the trainee's own report as a file: one page, which needs nothing else."""
    return await visit.file("report.html", "text/html", _report(visit, pb.TRAINING_REPORT_FILE_HTML))


async def certificate(visit: Visit) -> Response:
    """Send the certificate of completion as a file, to print."""
    pieces = _report(visit, pb.TRAINING_REPORT_FILE_CERTIFICATE)
    return await visit.file("certificate.html", "text/html", pieces)


async def _report(visit: Visit, file: pb.TrainingReportFile.ValueType) -> AsyncGenerator[bytes]:
    request = pb.GetTrainingReportRequest(code=visit.who.code, file=file)
    async for one in visit.each(request, pb.GetTrainingReportResponse):
        yield one.content


SCREENS = (
    Screen("/course", course, roles=TAKES, nav=message("console.nav.course"), about=message("console.about.course")),
    Screen("/course", start, method="POST", roles=TAKES),
    Screen("/course/events", events, roles=TAKES),
    Screen("/course/result", result, roles=TAKES),
    Screen("/course/report", report, roles=TAKES),
    Screen("/course/certificate", certificate, roles=TAKES),
)
