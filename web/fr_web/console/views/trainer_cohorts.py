"""A trainer's cohorts: trainees with codes, the live board, and what is deleted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import grpc
import segno
from starlette.responses import Response

from fr_api.v1 import access_pb2, training_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.forms import duration_of
from fr_web.console.sessions import Session
from fr_web.console.views.trainer import TRAINS, course_page, read_course
from fr_web.console.views.trainer_board import board_of, changes
from fr_web.console.visit import ON_A_PAGE, Screen, Visit
from fr_web.console.walls import Vote
from fr_web.room import is_loopback_host

_MOST_DAYS = 3_650
_MOST_MINUTES = 1_441  # one more than the server takes
_ONCE = message("console.slips.gone")


@dataclass(frozen=True, slots=True)
class NewCohort:
    """A cohort to make; `class_key` goes onto the slips, and `retention_days` is 0 for the plan's value."""

    trainees: int
    name: str = ""
    retention_days: int = 0
    class_key: str = ""


@dataclass(frozen=True, slots=True)
class More:
    """Trainees to add."""

    trainees: int
    class_key: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A sitting to close to a cohort, or to open again."""

    sitting: str
    closed: bool = False


@dataclass(frozen=True, slots=True)
class MoreTime:
    """Minutes to add to the blocks that are running, of a trainee or of the whole cohort ("")."""

    minutes: int
    trainee: str = ""


@dataclass(frozen=True, slots=True)
class Slip:
    """The paper of a trainee; `picture` is the address of a QR code, as an image that the page holds."""

    trainee_id: str
    code: str
    picture: str


# --- cohorts and their trainees


async def cohorts(visit: Visit) -> Response:
    """List the cohorts of all courses."""
    request = training_pb2.ListCohortsRequest(page_size=ON_A_PAGE, page_token=visit.query("page"))
    return visit.page("trainer_cohorts.html", found=await visit.ask(request, training_pb2.ListCohortsResponse))


async def make_cohort(visit: Visit) -> Response:
    """Make a cohort, and show the slips with its codes, once."""
    form, course_id = visit.form(NewCohort), visit.path["course"]
    request = training_pb2.CreateCohortRequest(
        course_id=course_id,
        display_name=form.name,
        trainees=max(form.trainees, 0),
        retention=duration_of(form.retention_days, _MOST_DAYS),
    )
    try:
        await _require_key_of_class(visit, form.class_key)
        made = await visit.ask(request, training_pb2.CreateCohortResponse)
    except FrApiError as error:
        return await course_page(visit, error, typed={"name": form.name, "retention_days": form.retention_days})
    return _slips(visit, made.cohort, made.enrolled, form.class_key)


async def add_trainees(visit: Visit) -> Response:
    """Add trainees to a cohort, and show the slips with their codes, once."""
    form, cohort_id = visit.form(More), visit.path["cohort"]
    request = training_pb2.AddTraineesRequest(cohort_id=cohort_id, trainees=max(form.trainees, 0))
    try:
        await _require_key_of_class(visit, form.class_key)
        added = await visit.ask(request, training_pb2.AddTraineesResponse)
    except FrApiError as error:
        return await cohort(visit, error)
    for vote in votes_of(visit):  # who comes late may vote too
        vote.trainees |= {one.trainee_id for one in added.enrolled}
    return _slips(visit, (await read_cohort(visit)).cohort, added.enrolled, form.class_key)


async def _require_key_of_class(visit: Visit, key: str) -> None:
    """Raise `FrApiError` unless a key is "", or one of trainees alone: paper must not hand out another."""
    if not key:
        return
    other = replace(visit, session=Session(key, "", "", frozenset()))
    found = access_pb2.WhoAmIResponse()
    try:
        with visit.desk.attempt(visit):
            found = await other.ask(access_pb2.WhoAmIRequest(), access_pb2.WhoAmIResponse)
    except FrApiError as error:  # the visitor is still signed in
        if error.code is not grpc.StatusCode.UNAUTHENTICATED:
            raise
    if {*found.roles} != {access_pb2.ROLE_TRAINEE}:
        raise visit.invalid(message("console.slips.not_of_class"), "class_key")


def _slips(
    visit: Visit, cohort: training_pb2.Cohort, enrolled: Sequence[training_pb2.Enrolled], class_key: str
) -> Response:
    site, only_here = site_of(visit)
    key = f"key={quote(class_key, safe='')}" if class_key else ""
    slips = []
    for one in enrolled:
        told = f"{site}#code={quote(one.code, safe='')}" + (f"&{key}" if key else "")
        slips.append(Slip(one.trainee_id, one.code, qr_code(told)))
    values: dict[str, Any] = {"site": site, "only_here": only_here, "class_key": class_key}
    values["computers"] = f"{site}#{key}"
    return visit.page("trainer_slips.html", cohort=cohort, slips=slips, **values)


def site_of(visit: Visit) -> tuple[str, bool]:
    """Return the address of this site, as the visitor has it, and whether it leads nowhere on other machines."""
    url = visit.request.url
    return f"{url.scheme}://{url.netloc}/", is_loopback_host(visit.request.headers.get("host", ""))


def qr_code(told: str) -> str:
    """Return the address of a QR code, as an image that the page holds."""
    return segno.make(told, micro=False).svg_data_uri(scale=4, border=2, light="#fff")


def votes_of(visit: Visit) -> list[Vote]:
    """Return the votes of the cohort that the path names, on all its walls."""
    walls = visit.desk.walls.values()
    return [one.vote for one in walls if one.cohort_id == visit.path["cohort"] and one.vote is not None]


async def read_cohort(visit: Visit) -> training_pb2.GetCohortResponse:
    """Return the cohort that the path names; raises `FrApiError`."""
    request = training_pb2.GetCohortRequest(cohort_id=visit.path["cohort"])
    return await visit.ask(request, training_pb2.GetCohortResponse)


async def cohort(visit: Visit, error: FrApiError | None = None) -> Response:
    """Show a cohort: its board, and what can be done with it."""
    found = await read_cohort(visit)
    course = await read_course(visit, found.cohort.course_id)
    state = board_of(course, found.progress)
    values = {"cohort": found.cohort, "releases": found.releases, "course": course, **state}
    return visit.page("trainer_cohort.html", error, **values)


async def turn_sitting(visit: Visit) -> Response:
    """Close a sitting to the cohort, which stops the time of all who are in it, or open it again."""
    form, cohort_id = visit.form(Turn), visit.path["cohort"]
    request = training_pb2.SetSittingClosedRequest(cohort_id=cohort_id, sitting=form.sitting, closed=form.closed)
    await visit.ask(request, training_pb2.SetSittingClosedResponse)
    return visit.go(f"/cohorts/{cohort_id}")


async def extend_time(visit: Visit) -> Response:
    """Add to the time of the blocks that are running, of one trainee or of all."""
    form = visit.form(MoreTime)
    request = training_pb2.ExtendTimeRequest(cohort_id=visit.path["cohort"], trainee_id=form.trainee)
    request.more.FromSeconds(60 * min(max(form.minutes, 0), _MOST_MINUTES))
    try:
        answer = await visit.ask(request, training_pb2.ExtendTimeResponse)
    except FrApiError as error:
        return await cohort(visit, error)
    given = len(answer.trainee_ids)
    told = message("console.time.given", count=given) if given else message("console.time.nobody")
    return visit.go(f"/cohorts/{visit.path['cohort']}", told)


async def trainee(visit: Visit) -> Response:
    """Show a trainee: progress, reports, and deletion."""
    found = await read_cohort(visit)
    own = [one for one in found.progress if one.trainee_id == visit.path["trainee"]]
    course = await read_course(visit, found.cohort.course_id)
    state = board_of(course, own)
    return visit.page("trainer_trainee.html", cohort=found.cohort, trainee_id=visit.path["trainee"], **state)


async def delete_trainee(visit: Visit) -> Response:
    """Delete a trainee with all answers."""
    visit.require_sure()
    request = training_pb2.DeleteTraineeRequest(trainee_id=visit.path["trainee"])
    await visit.ask(request, training_pb2.DeleteTraineeResponse)
    for vote in votes_of(visit):
        vote.trainees.discard(request.trainee_id)
        vote.given.pop(request.trainee_id, None)
    return visit.go(f"/cohorts/{visit.path['cohort']}")


async def delete_cohort(visit: Visit) -> Response:
    """Delete a cohort with its trainees and their answers."""
    visit.require_sure()
    request = training_pb2.DeleteCohortRequest(cohort_id=visit.path["cohort"])
    await visit.ask(request, training_pb2.DeleteCohortResponse)
    for wall_id in [key for key, one in visit.desk.walls.items() if one.cohort_id == request.cohort_id]:
        del visit.desk.walls[wall_id]
    return visit.go("/cohorts")


async def board_events(visit: Visit) -> Response:
    """Follow the progress of a cohort."""
    found = await read_cohort(visit)
    course = await read_course(visit, found.cohort.course_id)
    return await visit.events("trainer_board.html", changes(visit, found.cohort.cohort_id, course))


SCREENS = (
    Screen(
        "/cohorts", cohorts, roles=TRAINS, nav=message("console.nav.cohorts"), about=message("console.about.cohorts")
    ),
    Screen("/courses/{course}/cohorts", make_cohort, method="POST", roles=TRAINS, once=_ONCE),
    Screen("/cohorts/{cohort}", cohort, roles=TRAINS),
    Screen("/cohorts/{cohort}/events", board_events, roles=TRAINS),
    Screen("/cohorts/{cohort}/trainees", add_trainees, method="POST", roles=TRAINS, once=_ONCE),
    Screen("/cohorts/{cohort}/sittings", turn_sitting, method="POST", roles=TRAINS),
    Screen("/cohorts/{cohort}/time", extend_time, method="POST", roles=TRAINS),
    Screen("/cohorts/{cohort}/delete", delete_cohort, method="POST", roles=TRAINS),
    Screen("/cohorts/{cohort}/trainees/{trainee}", trainee, roles=TRAINS),
    Screen("/cohorts/{cohort}/trainees/{trainee}", delete_trainee, method="POST", roles=TRAINS),
)
