"""A trainer's courses: a plan and data sets, a check of how hard the forms will be, the course, and its items."""

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import grpc
from starlette.responses import Response

from fr_api.v1 import access_pb2, evaluation_pb2, training_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_web.console.visit import Screen, Visit, embedded
from fr_web.errors import refused
from fr_web.room import invalid

TRAINS = frozenset({access_pb2.ROLE_TRAINER})
ON_A_PAGE = 50
_ITEMS_ON_A_PAGE = 12
_MOST_DRAFTS = 20
_LEFT_OUT = re.compile(r"[0-9a-f]{16}|[0-9a-f]{64}")
_STEP_S = 1.0
_TRUTHS: Mapping[str, Message] = {
    "same": message("console.truth.same"),
    "different": message("console.truth.different"),
    "absent": message("console.truth.absent"),
    "row:0": message("console.truth.no_row"),
    "record:0": message("console.truth.whole"),
    "usable": message("console.truth.usable"),
    "limited": message("console.truth.limited"),
    "reject": message("console.truth.reject"),
    "": message("console.truth.own"),
}
STAGES: Mapping[int, Message] = {
    training_pb2.COURSE_STAGE_PHOTOS: message("console.making.photos"),
    training_pb2.COURSE_STAGE_FORMS: message("console.making.forms"),
    training_pb2.COURSE_STAGE_PICTURES: message("console.making.pictures"),
}
_running: set[asyncio.Task[None]] = set()  # also of somebody who has signed out: the course will be there


@dataclass(frozen=True, slots=True)
class Wanted:
    """A course to make: the name of a plan or its text, and what it is made from.

    `leave_out` has an id of an item or a sha256 of a photo on each line; `seed` is -1 for that of the plan.
    """

    plan: str = ""
    toml: str = ""
    dataset: dict[str, int] = field(default_factory=dict)
    learn: dict[str, int] = field(default_factory=dict)
    seed: int = -1
    leave_out: str = ""


@dataclass(slots=True)
class Draft:
    """A course that is planned, checked or made; `at` is the progress, `forecast` and `made` are the results."""

    wanted: Wanted
    forecasts: bool = False
    task: asyncio.Task[None] | None = None
    at: training_pb2.CourseProgress | None = None
    forecast: training_pb2.Course | None = None
    made: training_pb2.Course | None = None
    error: FrApiError | None = None

    @property
    def runs(self) -> bool:
        """Return whether the server is at work."""
        return self.task is not None and not self.task.done()


@dataclass(frozen=True, slots=True)
class Do:
    """The next thing to do with a draft: "check" how hard its forms will be, "make" the course, or "stop"."""

    do: str


@dataclass(frozen=True, slots=True)
class Marks:
    """A page of a contact sheet: the items on it, those to leave out, and whether to make the course again."""

    shown: dict[str, int]
    item: dict[str, int]
    again: bool = False


@dataclass(frozen=True, slots=True)
class Sure:
    """The box that confirms a deletion."""

    sure: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """A photo, and the name of the person whom it shows, or that it shows nobody of the course."""

    photo: bytes = b""
    identity: str = ""
    absent: bool = False


# --- courses


async def courses(visit: Visit) -> Response:
    """List the courses."""
    request = training_pb2.ListCoursesRequest(page_size=ON_A_PAGE, page_token=visit.query("page"))
    found = await visit.ask(request, training_pb2.ListCoursesResponse)
    drafts = {key.removeprefix("draft:"): one for key, one in visit.who.drafts.items() if isinstance(one, Draft)}
    return visit.page("trainer_courses.html", found=found, drafts=drafts)


async def course(visit: Visit) -> Response:
    """Show a course, and what can be done with it."""
    return await course_page(visit)


async def course_page(visit: Visit, error: FrApiError | None = None, **values: Any) -> Response:
    """Return the page of the course that the path names; `values` are what somebody has typed."""
    asked = training_pb2.GetCourseRequest(course_id=visit.path["course"])
    found = await visit.ask(asked, training_pb2.GetCourseResponse)
    request = training_pb2.ListCohortsRequest(course_id=found.course.course_id, page_size=ON_A_PAGE)
    cohorts = await visit.ask(request, training_pb2.ListCohortsResponse)
    told = {"forecasts": {one.form: one for one in found.course.forecasts}, "typed": {}, **values}
    told |= {"course": found.course, "made_from": found.made_from, "cohorts": cohorts.cohorts}
    return visit.page("trainer_course.html", error, **told)


async def read_course(visit: Visit, course_id: str) -> training_pb2.Course:
    """Return a course; raises `FrApiError`."""
    request = training_pb2.GetCourseRequest(course_id=course_id)
    return (await visit.ask(request, training_pb2.GetCourseResponse)).course


async def delete_course(visit: Visit) -> Response:
    """Delete a course with all that its cohorts did."""
    require_sure(visit)
    request = training_pb2.DeleteCourseRequest(course_id=visit.path["course"])
    await visit.ask(request, training_pb2.DeleteCourseResponse)
    return visit.go("/courses")


def require_sure(visit: Visit) -> None:
    """Raise `FrApiError` unless the form confirms the deletion."""
    if not visit.form(Sure).sure:
        raise invalid(visit.text(message("console.trainer.not_sure")), "sure")


async def set_probe(visit: Visit) -> Response:
    """Record which person a photo shows; the server hears the hash of its file alone."""
    form = visit.form(Person)
    if not form.photo:
        raise invalid(visit.text(message("console.search.no_photo")), "photo")
    if form.absent == bool(form.identity):
        error = invalid(visit.text(message("console.probe_key.one")), "identity")
        return await course_page(visit, error, typed={"identity": form.identity})
    request = training_pb2.SetProbeKeyRequest(
        course_id=visit.path["course"], image_sha256=sha256(form.photo).hexdigest()
    )
    if form.absent:
        request.absent = True
    else:
        request.identity = form.identity
    try:
        await visit.ask(request, training_pb2.SetProbeKeyResponse)
    except FrApiError as error:
        return await course_page(visit, error, typed={"identity": form.identity})
    return await course_page(visit, probe_set=request.image_sha256)


# --- a new one


async def new_course(visit: Visit) -> Response:
    """Show the data sets and plans to choose from; a draft fills the form, or a course that `like` names."""
    if like := visit.query("like"):
        return await _form(visit, await _of_course(visit, like))
    draft = visit.who.drafts.get(f"draft:{visit.query('draft')}")
    return await _form(visit, draft.wanted if isinstance(draft, Draft) else Wanted())


async def _form(visit: Visit, wanted: Wanted, error: FrApiError | None = None) -> Response:
    plans = await visit.ask(training_pb2.ListPlansRequest(), training_pb2.ListPlansResponse)
    sets = await visit.ask(evaluation_pb2.ListDatasetsRequest(), evaluation_pb2.ListDatasetsResponse)
    earlier = await visit.ask(training_pb2.ListCoursesRequest(page_size=ON_A_PAGE), training_pb2.ListCoursesResponse)
    return visit.page(
        "trainer_new.html",
        error,
        form=wanted,
        plans=plans.plans,
        datasets=[one for one in sets.datasets if evaluation_pb2.EVALUATION_KIND_IDENTIFICATION in one.kinds],
        earlier=earlier.courses,
    )


async def plan_course(visit: Visit) -> Response:
    """Keep what was chosen, and lead to its page."""
    wanted = visit.form(Wanted)
    try:
        _request(visit, wanted)
        if not wanted.dataset:
            raise invalid(visit.text(message("console.new.no_dataset")), "datasets")
        await visit.ask(_check(wanted), training_pb2.CheckPlanResponse)
    except FrApiError as error:
        return await _form(visit, wanted, error)
    return visit.go(f"/courses/drafts/{_keep(visit, Draft(wanted))}")


def _keep(visit: Visit, draft: Draft) -> str:
    """Keep a draft until the visitor signs out, and return its id; the oldest one that rests makes room."""
    kept = visit.who.drafts
    resting = [key for key, one in kept.items() if isinstance(one, Draft) and not one.runs]
    for key in resting[: max(len(resting) + 1 - _MOST_DRAFTS, 0)]:
        del kept[key]
    name = secrets.token_hex(8)
    kept[f"draft:{name}"] = draft
    return name


def _source(wanted: Wanted) -> training_pb2.PlanSource:
    return training_pb2.PlanSource(name=wanted.plan) if wanted.plan else training_pb2.PlanSource(toml=wanted.toml)


def _check(wanted: Wanted) -> training_pb2.CheckPlanRequest:
    return training_pb2.CheckPlanRequest(plan=_source(wanted), datasets=sorted(wanted.dataset))


def _request(visit: Visit, wanted: Wanted, *, only_forecast: bool = False) -> training_pb2.CreateCourseRequest:
    """Return the request that makes a course; raises `FrApiError` if a line names neither an item nor a photo."""
    lines = [line.split()[0] for line in wanted.leave_out.splitlines() if line.strip()]
    for line in lines:
        if not _LEFT_OUT.fullmatch(line):
            raise invalid(visit.text(message("console.new.bad_line", line=line[:80])), "leave_out")
    return training_pb2.CreateCourseRequest(
        plan=_source(wanted),
        datasets=sorted(wanted.dataset),
        learn_from=sorted(wanted.learn),
        exclude_items=[one for one in lines if len(one) == 16],
        exclude_photos=[one for one in lines if len(one) == 64],
        seed=wanted.seed if wanted.seed >= 0 else None,
        only_forecast=only_forecast,
    )


def _draft(visit: Visit) -> Draft:
    found = visit.who.drafts.get(f"draft:{visit.path['draft']}")
    if not isinstance(found, Draft):
        raise refused(grpc.StatusCode.NOT_FOUND, "", visit.text(message("console.draft.gone")))
    return found


async def draft(visit: Visit) -> Response:
    """Show what a plan needs and what there is, the check of its forms, the work, or the course."""
    one = _draft(visit)
    checked = await visit.ask(_check(one.wanted), training_pb2.CheckPlanResponse)
    return visit.page("trainer_draft.html", checked=checked, **_state(visit, one))


async def draft_events(visit: Visit) -> Response:
    """Follow the work on a draft."""
    return await visit.events("trainer_work.html", _news(visit, _draft(visit)))


async def _news(visit: Visit, one: Draft) -> AsyncGenerator[Mapping[str, Any] | None, None]:
    before: object = None
    while True:
        now = (one.runs, one.at)
        yield _state(visit, one) if now != before else None
        if not now[0]:
            return
        before = now
        await asyncio.sleep(_STEP_S)


def _state(visit: Visit, one: Draft) -> Mapping[str, Any]:
    return {"draft": one, "draft_id": visit.path["draft"], "stages": STAGES}


async def act_on_draft(visit: Visit) -> Response:
    """Let the server check or make the course, which goes on without the page; or stop it."""
    one, form = _draft(visit), visit.form(Do)
    if form.do == "stop" and one.task is not None:
        one.task.cancel()
        await asyncio.wait({one.task})
    elif form.do in ("check", "make") and not one.runs and one.made is None:
        one.forecasts, one.at, one.error = form.do == "check", training_pb2.CourseProgress(), None
        request = _request(visit, one.wanted, only_forecast=one.forecasts)
        one.task = asyncio.ensure_future(_work(visit, one, request))
        _running.add(one.task)
        one.task.add_done_callback(_running.discard)
    return visit.go(f"/courses/drafts/{visit.path['draft']}")


async def _work(visit: Visit, one: Draft, request: training_pb2.CreateCourseRequest) -> None:
    try:
        async for step in visit.each(request, training_pb2.CreateCourseResponse):
            if step.HasField("progress"):
                one.at = step.progress
            elif one.forecasts:
                one.forecast = step.course
            else:
                one.made = step.course
    except FrApiError as error:
        one.error = error


# --- the contact sheet


async def sheet(visit: Visit) -> Response:
    """Show items of a form with their pictures and right answers."""
    found = await read_course(visit, visit.path["course"])
    form, start = visit.query("form"), _number(visit.query("from"))
    request = training_pb2.ListFormItemsRequest(course_id=found.course_id, form=form)
    items: list[training_pb2.FormItem] = []
    number = 0
    answers = visit.each(request, training_pb2.ListFormItemsResponse)
    async for one in answers:
        if number == start + _ITEMS_ON_A_PAGE:
            number += 1
            break
        if number >= start:
            items.append(one.item)
        number += 1
    await answers.aclose()
    return visit.page(
        "trainer_sheet.html",
        course=found,
        form=form,
        start=start,
        following=start + _ITEMS_ON_A_PAGE if number > start + _ITEMS_ON_A_PAGE else None,
        before=max(start - _ITEMS_ON_A_PAGE, 0) if start else None,
        items=[(one, _truth(one.truth), [embedded(picture.data) for picture in one.pictures]) for one in items],
        left=_left(visit, found.course_id),
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 0


def _truth(truth: str) -> Message:
    """Return the right answer of an item in words; places count from 1."""
    kind, _, place = truth.partition(":")
    if truth in _TRUTHS or not place.isdecimal():
        return _TRUTHS.get(truth, _TRUTHS[""])
    number = int(place)
    if kind == "odd":
        return message("console.truth.odd", number=number + 1)
    if kind == "mate":
        return message("console.truth.mate", number=number + 1)
    return (
        message("console.truth.row", number=number) if kind == "row" else message("console.truth.record", number=number)
    )


def _left(visit: Visit, course_id: str) -> frozenset[str]:
    found = visit.who.drafts.get(f"left:{course_id}", frozenset())
    return found if isinstance(found, frozenset) else frozenset()


async def mark_items(visit: Visit) -> Response:
    """Remember the items to leave out; plan the course without them, or go on with the sheet."""
    marks, course_id = visit.form(Marks), visit.path["course"]
    left = _left(visit, course_id) - frozenset(marks.shown) | frozenset(marks.item)
    visit.who.drafts[f"left:{course_id}"] = left
    if not marks.again:
        following = {"form": visit.query("form"), "from": visit.query("next")}
        return visit.go(f"/courses/{course_id}/items", **following)
    wanted = await _of_course(visit, course_id)
    lines = dict.fromkeys([*wanted.leave_out.splitlines(), *sorted(left)])
    return visit.go("/courses/new", draft=_keep(visit, Draft(replace(wanted, leave_out="\n".join(lines)))))


async def _of_course(visit: Visit, course_id: str) -> Wanted:
    """Return what a course was made from; of one of an earlier version, its plan and what it left out are missing."""
    request = training_pb2.GetCourseRequest(course_id=course_id)
    found = await visit.ask(request, training_pb2.GetCourseResponse)
    return Wanted(
        toml=found.made_from.plan.toml,
        dataset=dict.fromkeys(found.course.datasets, 1),
        learn=dict.fromkeys(found.course.learned_from, 1),
        seed=found.course.seed,
        leave_out="\n".join((*found.made_from.exclude_items, *found.made_from.exclude_photos)),
    )


SCREENS = (
    Screen(
        "/courses", courses, roles=TRAINS, nav=message("console.nav.courses"), about=message("console.about.courses")
    ),
    Screen("/courses/new", new_course, roles=TRAINS),
    Screen("/courses/new", plan_course, method="POST", roles=TRAINS),
    Screen("/courses/drafts/{draft}", draft, roles=TRAINS),
    Screen("/courses/drafts/{draft}", act_on_draft, method="POST", roles=TRAINS),
    Screen("/courses/drafts/{draft}/events", draft_events, roles=TRAINS),
    Screen("/courses/{course}", course, roles=TRAINS),
    Screen("/courses/{course}/items", sheet, roles=TRAINS),
    Screen("/courses/{course}/items", mark_items, method="POST", roles=TRAINS),
    Screen("/courses/{course}/delete", delete_course, method="POST", roles=TRAINS),
    Screen("/courses/{course}/probe", set_probe, method="POST", roles=TRAINS, takes_file=True),
)
