"""A trainer's cohorts: trainees with codes, the live board, and what is deleted."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import segno
from google.protobuf.duration_pb2 import Duration
from starlette.responses import Response

from fr_api.v1 import access_pb2, training_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_web.console.sessions import Session
from fr_web.console.views.trainer import ON_A_PAGE, TRAINS, course_page, read_course, require_sure
from fr_web.console.visit import Screen, Visit
from fr_web.console.words import STATES
from fr_web.room import invalid, is_loopback_host

_DAY_S = 86_400
_MOST_DAYS = 3_650
_MOST_MINUTES = 1_441  # one more than the server takes
_IDLE_S = 180  # a running sitting without an answer for this long
_STEP_S, _STILL_S = 1.0, 15.0  # between two boards at least, and at most
_ASK_S = 2.0  # between two looks whether somebody is still signed in


@dataclass(frozen=True, slots=True)
class NewCohort:
    """A cohort to make; `class_key` goes into the QR codes, and `retention_days` is 0 for the plan's value."""

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
        course_id=course_id, display_name=form.name, trainees=max(form.trainees, 0)
    )
    if form.retention_days:
        request.retention.CopyFrom(Duration(seconds=min(max(form.retention_days, 0), _MOST_DAYS) * _DAY_S))
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
        return await _page(visit, error)
    return _slips(visit, (await read_cohort(visit)).cohort, added.enrolled, form.class_key)


async def _require_key_of_class(visit: Visit, key: str) -> None:
    """Raise `FrApiError` unless a key is "", or one of trainees alone: paper must not hand out another."""
    if not key:
        return
    other = replace(visit, session=Session(key, "", "", frozenset()))
    with visit.desk.attempt(visit):
        found = await other.ask(access_pb2.WhoAmIRequest(), access_pb2.WhoAmIResponse)
    if {*found.roles} != {access_pb2.ROLE_TRAINEE}:
        raise invalid(visit.text(message("console.slips.not_of_class")), "class_key")


def _slips(
    visit: Visit, cohort: training_pb2.Cohort, enrolled: Sequence[training_pb2.Enrolled], class_key: str
) -> Response:
    url = visit.request.url
    site = f"{url.scheme}://{url.netloc}/"
    slips = []
    for one in enrolled:
        told = f"{site}#code={quote(one.code, safe='')}" + (f"&key={quote(class_key, safe='')}" if class_key else "")
        slips.append(Slip(one.trainee_id, one.code, qr_code(told)))
    only_here = is_loopback_host(visit.request.headers.get("host", ""))
    return visit.page("trainer_slips.html", cohort=cohort, slips=slips, site=site, only_here=only_here)


def qr_code(told: str) -> str:
    """Return the address of a QR code, as an image that the page holds."""
    return segno.make(told, micro=False).svg_data_uri(scale=4, border=2, light="#fff")


async def read_cohort(visit: Visit) -> training_pb2.GetCohortResponse:
    """Return the cohort that the path names; raises `FrApiError`."""
    request = training_pb2.GetCohortRequest(cohort_id=visit.path["cohort"])
    return await visit.ask(request, training_pb2.GetCohortResponse)


async def cohort(visit: Visit) -> Response:
    """Show a cohort: its board, and what can be done with it."""
    return await _page(visit)


async def _page(visit: Visit, error: FrApiError | None = None, given: int | None = None) -> Response:
    """Return the page of the cohort that the path names; `given` is how many trainees have just got more time."""
    found = await read_cohort(visit)
    course = await read_course(visit, found.cohort.course_id)
    state = _board(course, {(one.trainee_id, one.sitting): one for one in found.progress})
    values = {"cohort": found.cohort, "releases": found.releases, "course": course, "given": given, **state}
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
        return await _page(visit, error)
    return await _page(visit, given=len(answer.trainee_ids))


async def trainee(visit: Visit) -> Response:
    """Show a trainee: progress, reports, and deletion."""
    found = await read_cohort(visit)
    own = [one for one in found.progress if one.trainee_id == visit.path["trainee"]]
    course = await read_course(visit, found.cohort.course_id)
    state = _board(course, {(one.trainee_id, one.sitting): one for one in own})
    return visit.page("trainer_trainee.html", cohort=found.cohort, trainee_id=visit.path["trainee"], **state)


async def delete_trainee(visit: Visit) -> Response:
    """Delete a trainee with all answers."""
    require_sure(visit)
    request = training_pb2.DeleteTraineeRequest(trainee_id=visit.path["trainee"])
    await visit.ask(request, training_pb2.DeleteTraineeResponse)
    return visit.go(f"/cohorts/{visit.path['cohort']}")


async def delete_cohort(visit: Visit) -> Response:
    """Delete a cohort with its trainees and their answers."""
    require_sure(visit)
    request = training_pb2.DeleteCohortRequest(cohort_id=visit.path["cohort"])
    await visit.ask(request, training_pb2.DeleteCohortResponse)
    return visit.go("/cohorts")


# --- the live board

Progress = dict[tuple[str, str], training_pb2.SittingProgress]


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A trainee in a sitting: how far, and how long without an answer. Never what was right."""

    trainee_id: str
    sitting: str
    state: Message
    block: str
    answered: int
    trials: int
    idle_minutes: int  # 0 for somebody who answers, or who has not begun
    added_minutes: int  # to the limit of the block


def _board(course: training_pb2.Course, progress: Progress) -> Mapping[str, Any]:
    """Return what the board shows: a row for each trainee and sitting, and how many are how far."""
    titles = {block.block_id: block.title for sitting in course.sittings for block in sitting.blocks}
    sittings = {sitting.name: sitting.title or sitting.name for sitting in course.sittings}
    now_s = time.time()
    rows = []
    for one in progress.values():
        still_s = now_s - one.last_time.ToSeconds() if one.HasField("last_time") else 0.0
        is_idle = one.state == training_pb2.SESSION_STATE_RUNNING and still_s > _IDLE_S
        rows.append(
            BoardRow(
                one.trainee_id,
                sittings.get(one.sitting, one.sitting),
                STATES[one.state],
                titles.get(one.block_id, one.block_id),
                one.answered,
                one.trials,
                int(still_s // 60) if is_idle else 0,
                one.extended.ToSeconds() // 60,
            )
        )
    counts = [(words, sum(one.state == state for one in progress.values())) for state, words in STATES.items()]
    return {
        "rows": rows,
        "counts": counts,
        "idle": sum(one.idle_minutes > 0 for one in rows),
        "now": time.gmtime(now_s),
    }


async def board_events(visit: Visit) -> Response:
    """Follow the progress of a cohort."""
    found = await read_cohort(visit)
    course = await read_course(visit, found.cohort.course_id)
    return await visit.events("trainer_board.html", _changes(visit, found.cohort.cohort_id, course))


async def _changes(
    visit: Visit, cohort_id: str, course: training_pb2.Course
) -> AsyncGenerator[Mapping[str, Any] | None, None]:
    """Yield the board after each change, once in a second at most, and every few seconds for those who are idle."""
    progress: Progress = {}
    told = asyncio.Event()

    async def follow() -> None:
        request = training_pb2.WatchCohortRequest(cohort_id=cohort_id)
        try:
            async for change in visit.each(request, training_pb2.WatchCohortResponse):
                progress.update({(one.trainee_id, one.sitting): one for one in change.progress})
                told.set()
        finally:
            told.set()

    following = asyncio.ensure_future(follow())
    told_s, over = float("-inf"), False
    try:
        while not over:
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), _ASK_S)
            if over := following.done():
                following.result()
            if told.is_set() or time.monotonic() - told_s > _STILL_S:
                told.clear()
                told_s = time.monotonic()
                yield _board(course, progress)
                await asyncio.sleep(_STEP_S)
            else:
                yield None
    finally:
        following.cancel()


SCREENS = (
    Screen(
        "/cohorts", cohorts, roles=TRAINS, nav=message("console.nav.cohorts"), about=message("console.about.cohorts")
    ),
    Screen("/courses/{course}/cohorts", make_cohort, method="POST", roles=TRAINS),
    Screen("/cohorts/{cohort}", cohort, roles=TRAINS),
    Screen("/cohorts/{cohort}/events", board_events, roles=TRAINS),
    Screen("/cohorts/{cohort}/trainees", add_trainees, method="POST", roles=TRAINS),
    Screen("/cohorts/{cohort}/sittings", turn_sitting, method="POST", roles=TRAINS),
    Screen("/cohorts/{cohort}/time", extend_time, method="POST", roles=TRAINS),
    Screen("/cohorts/{cohort}/delete", delete_cohort, method="POST", roles=TRAINS),
    Screen("/cohorts/{cohort}/trainees/{trainee}", trainee, roles=TRAINS),
    Screen("/cohorts/{cohort}/trainees/{trainee}", delete_trainee, method="POST", roles=TRAINS),
)
