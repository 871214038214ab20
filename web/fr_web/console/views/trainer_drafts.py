"""A trainer's courses and drafts: a plan and data sets, a check of how hard the forms will be, and the making."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from starlette.responses import Response

from fr_api.v1 import evaluation_pb2, training_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_web.console.views.trainer import TRAINS, get_course
from fr_web.console.visit import ON_A_PAGE, Screen, Visit
from fr_web.errors import refused
from fr_web.packing import STAYS, shared

_MOST_DRAFTS = 20
_LEFT_OUT = re.compile(r"[0-9a-f]{16}|[0-9a-f]{64}")
_STEP_S = 1.0
STAGES: Mapping[int, Message] = {
    training_pb2.COURSE_STAGE_PHOTOS: message("console.making.photos"),
    training_pb2.COURSE_STAGE_FORMS: message("console.making.forms"),
    training_pb2.COURSE_STAGE_PICTURES: message("console.making.pictures"),
}


@shared
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


@shared
@dataclass(slots=True)
class Draft:
    """A course that is planned; the work on it goes on under the name of the draft and the number of the attempt."""

    wanted: Wanted
    attempt: int = 0
    missing: int = 0  # people whom the data sets lack
    checked: training_pb2.CheckPlanResponse | None = field(default=None, metadata=STAYS)


@shared
@dataclass(slots=True)
class Work:
    """The check of a plan, or the making of its course; also of somebody who has signed out: the course will be there.

    `stage`, `done` and `total` are the progress. The result is `forecast`, an encoded `Course`, or the id of the course
    that is `made`, or the parts of an error.
    """

    forecasts: bool = False
    runs: bool = False
    stage: int = 0
    done: int = 0
    total: int = 0
    forecast: bytes = b""
    made: str = ""
    failed: tuple[str, str, str] | None = None

    @property
    def forms(self) -> training_pb2.Course | None:
        """Return the course whose forms were checked."""
        return training_pb2.Course.FromString(self.forecast) if self.forecast else None

    @property
    def error(self) -> FrApiError | None:
        """Return why the work has ended without a result."""
        if self.failed is None:
            return None
        code, reason, words = self.failed
        return FrApiError(grpc.StatusCode[code], reason, words)


@dataclass(frozen=True, slots=True)
class Do:
    """The next thing to do with a draft: "check" how hard its forms will be, "make" the course, or "stop"."""

    do: str


async def courses(visit: Visit) -> Response:
    """List the courses."""
    request = training_pb2.ListCoursesRequest(page_size=ON_A_PAGE, page_token=visit.query("page"))
    found = await visit.ask(request, training_pb2.ListCoursesResponse)
    drafts = {key.removeprefix("draft:"): one for key, one in visit.who.drafts.items() if isinstance(one, Draft)}
    works = {key: await _work_on(visit, key, one) for key, one in drafts.items()}
    return visit.page("trainer_courses.html", found=found, drafts=drafts, works=works)


async def new_course(visit: Visit) -> Response:
    """Show the data sets and plans to choose from; a draft fills the form, or a course that `like` names."""
    if like := visit.query("like"):
        return await _form(visit, await of_course(visit, like))
    draft = visit.who.drafts.get(f"draft:{visit.query('draft')}")
    return await _form(visit, draft.wanted if isinstance(draft, Draft) else Wanted())


async def _form(visit: Visit, wanted: Wanted, error: FrApiError | None = None) -> Response:
    plans = await visit.ask(training_pb2.ListPlansRequest(), training_pb2.ListPlansResponse)
    sets = await visit.ask(evaluation_pb2.ListDatasetsRequest(), evaluation_pb2.ListDatasetsResponse)
    earlier = await visit.ask(training_pb2.ListCoursesRequest(page_size=ON_A_PAGE), training_pb2.ListCoursesResponse)
    datasets = [one for one in sets.datasets if one.for_courses]
    there = [one.name for one in datasets if one.available]
    plan = plans.plans[0].name  # of any: the people of a data set are the same for each
    held = await asyncio.gather(*(_people(visit, Wanted(plan=plan, dataset={name: 1})) for name in there))
    return visit.page(
        "trainer_new.html",
        error,
        form=wanted,
        plans=plans.plans,
        datasets=sorted(datasets, key=lambda one: not one.available),
        people=dict(zip(there, held, strict=True)),
        earlier=earlier.courses,
    )


async def _people(visit: Visit, wanted: Wanted) -> training_pb2.CheckPlanResponse | FrApiError:
    """Return how many people a data set has, or why its list cannot be read."""
    try:
        return await visit.ask(_check(wanted), training_pb2.CheckPlanResponse)
    except FrApiError as error:
        return error


async def plan_course(visit: Visit) -> Response:
    """Keep what was chosen, and lead to its page."""
    wanted = visit.form(Wanted)
    try:
        _request(visit, wanted)
        if not wanted.dataset:
            raise visit.invalid(message("console.new.no_dataset"), "datasets")
        await visit.ask(_check(wanted), training_pb2.CheckPlanResponse)
    except FrApiError as error:
        return await _form(visit, wanted, error)
    return visit.go(f"/courses/drafts/{keep(visit, Draft(wanted))}")


def keep(visit: Visit, draft: Draft) -> str:
    """Keep a draft until the visitor signs out, and return its id; the oldest one that rests makes room."""
    kept = visit.who.drafts
    works = visit.desk.works
    resting = [key for key, one in kept.items() if isinstance(one, Draft) and not works.runs_here(_name(key[6:], one))]
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
            raise visit.invalid(message("console.new.bad_line", line=line[:80]), "leave_out")
    return training_pb2.CreateCourseRequest(
        plan=_source(wanted),
        datasets=sorted(wanted.dataset),
        learn_from=sorted(wanted.learn),
        exclude_items=[one for one in lines if len(one) == 16],
        exclude_photos=[one for one in lines if len(one) == 64],
        seed=wanted.seed if wanted.seed >= 0 else None,
        only_forecast=only_forecast,
    )


async def of_course(visit: Visit, course_id: str) -> Wanted:
    """Return what a course was made from; of one of an earlier version, its plan and what it left out are missing."""
    found = await get_course(visit, course_id)
    return Wanted(
        toml=found.made_from.plan.toml,
        dataset=dict.fromkeys(found.course.datasets, 1),
        learn=dict.fromkeys(found.course.learned_from, 1),
        seed=found.course.seed,
        leave_out="\n".join((*found.made_from.exclude_items, *found.made_from.exclude_photos)),
    )


def _draft(visit: Visit) -> Draft:
    found = visit.who.drafts.get(f"draft:{visit.path['draft']}")
    if not isinstance(found, Draft):
        raise refused(grpc.StatusCode.NOT_FOUND, "", visit.text(message("console.draft.gone")))
    return found


def _name(draft_id: str, one: Draft) -> str:
    return f"{draft_id} {one.attempt}"


async def _work_on(visit: Visit, draft_id: str, one: Draft) -> Work:
    found = await visit.desk.works.find(_name(draft_id, one)) if one.attempt else None
    return found if isinstance(found, Work) else Work()


async def draft(visit: Visit) -> Response:
    """Show what a plan needs and what there is, the check of its forms, the work, or the course."""
    one = _draft(visit)
    work = await _work_on(visit, visit.path["draft"], one)
    if one.checked is None or not work.runs:  # a server at work on a course answers late
        one.checked = await visit.ask(_check(one.wanted), training_pb2.CheckPlanResponse)
        one.missing = one.checked.missing
    return visit.page("trainer_draft.html", checked=one.checked, **_state(visit, one, work))


async def draft_events(visit: Visit) -> Response:
    """Follow the work on a draft."""
    return await visit.events("trainer_work.html", _news(visit, _draft(visit)))


async def _news(visit: Visit, one: Draft) -> AsyncGenerator[Mapping[str, Any] | None, None]:
    before: Work | None = None
    while True:
        now = replace(await _work_on(visit, visit.path["draft"], one))
        yield _state(visit, one, now) if now != before else None
        if not now.runs:
            return
        before = now
        await asyncio.sleep(_STEP_S)


def _state(visit: Visit, one: Draft, work: Work) -> Mapping[str, Any]:
    return {"draft": one, "draft_id": visit.path["draft"], "stages": STAGES, "work": work}


async def act_on_draft(visit: Visit) -> Response:
    """Let the server check or make the course, which goes on without the page; or stop it."""
    one, form, works = _draft(visit), visit.form(Do), visit.desk.works
    work = await _work_on(visit, visit.path["draft"], one)
    if form.do == "stop" and work.runs:
        await works.stop(_name(visit.path["draft"], one))
    elif form.do in ("check", "make") and not work.runs and not work.made:
        begun = Work(form.do == "check", runs=True, forecast=work.forecast)
        request = _request(visit, one.wanted, only_forecast=begun.forecasts)
        one.attempt += 1
        await works.begin(_name(visit.path["draft"], one), begun, lambda: _work(visit, begun, request))
    return visit.go(f"/courses/drafts/{visit.path['draft']}")


async def _work(visit: Visit, one: Work, request: training_pb2.CreateCourseRequest) -> None:
    try:
        async for step in visit.each(request, training_pb2.CreateCourseResponse):
            if step.HasField("progress"):
                one.stage, one.done, one.total = step.progress.stage, step.progress.done, step.progress.total
            elif one.forecasts:
                one.forecast = step.course.SerializeToString()
            else:
                one.made = step.course.course_id
    except FrApiError as error:
        one.failed = error.code.name, error.reason, error.message
    finally:
        one.runs = False


SCREENS = (
    Screen(
        "/courses", courses, roles=TRAINS, nav=message("console.nav.courses"), about=message("console.about.courses")
    ),
    Screen("/courses/new", new_course, roles=TRAINS),
    Screen("/courses/new", plan_course, method="POST", roles=TRAINS),
    Screen("/courses/drafts/{draft}", draft, roles=TRAINS),
    Screen("/courses/drafts/{draft}", act_on_draft, method="POST", roles=TRAINS),
    Screen("/courses/drafts/{draft}/events", draft_events, roles=TRAINS),
)
