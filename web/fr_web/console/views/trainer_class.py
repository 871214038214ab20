"""A cohort as a class: items that are released and shown step by step, reports and exports."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from starlette.responses import Response

from fr_api.v1 import training_pb2
from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.views.looks import compared, probe_of
from fr_web.console.views.trainer import TRAINS, read_course
from fr_web.console.views.trainer_cohorts import qr_code, read_cohort, site_of
from fr_web.console.visit import Screen, Visit
from fr_web.console.walls import Wall
from fr_web.errors import refused

WALL_S = 0.5  # between two looks at what the trainer shows
_FRESH_S, STILL_S = 1.0, 10.0  # how old an item on a wall that is opened may be, and on one that follows
# A cohort that is deleted, and a key that is revoked: the projector shows no more.
_GONE = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND)
_MOST_REPORT_BYTES = 64 * 1024 * 1024
_PAIRS = frozenset(
    {
        training_pb2.EXERCISE_VERIFICATION,
        training_pb2.EXERCISE_FEATURES,
        training_pb2.EXERCISE_AIDED,
        training_pb2.EXERCISE_LOW_PREVALENCE,
        training_pb2.EXERCISE_BLIND,
        training_pb2.EXERCISE_FOOTAGE,
    }
)
_REPORTS: Mapping[str, tuple[training_pb2.TrainingReportFile.ValueType, str, str]] = {
    "html": (training_pb2.TRAINING_REPORT_FILE_HTML, "report.html", "text/html"),
    "json": (training_pb2.TRAINING_REPORT_FILE_JSON, "report.json", "application/json"),
    "deck": (training_pb2.TRAINING_REPORT_FILE_DECK, "deck.html", "text/html"),
    "certificate": (training_pb2.TRAINING_REPORT_FILE_CERTIFICATE, "certificate.html", "text/html"),
}
_EXPORTS: Mapping[str, tuple[training_pb2.ExportFormat.ValueType, str, str]] = {
    "csv": (training_pb2.EXPORT_FORMAT_CSV, "answers.csv", "text/csv"),
    "xapi": (training_pb2.EXPORT_FORMAT_XAPI, "statements.json", "application/json"),
    "ags": (training_pb2.EXPORT_FORMAT_AGS, "scores.json", "application/json"),
    "badges": (training_pb2.EXPORT_FORMAT_OPEN_BADGES, "badges.json", "application/json"),
}


@dataclass(frozen=True, slots=True)
class Release:
    """Items to release: blocks by their ids, and ids of items in `items`, one on each line."""

    block: dict[str, int] = field(default_factory=dict)
    items: str = ""
    tests: bool = False
    ahead: bool = False


async def release(visit: Visit) -> Response:
    """Show the blocks whose items can be released, and who still has them ahead."""
    return await _release(visit, Release())


async def _release(visit: Visit, form: Release, error: FrApiError | None = None) -> Response:
    found = await read_cohort(visit)
    course = await read_course(visit, found.cohort.course_id)
    finished = training_pb2.SESSION_STATE_FINISHED
    ahead = {
        sitting.name: sum(one.sitting == sitting.name and one.state != finished for one in found.progress)
        for sitting in course.sittings
    }
    values: dict[str, Any] = {"cohort": found.cohort, "course": course, "releases": found.releases}
    return visit.page("trainer_release.html", error, form=form, ahead=ahead, **values)


async def release_items(visit: Visit) -> Response:
    """Release items; nothing takes that back."""
    form = visit.form(Release)
    request = training_pb2.ReleaseItemsRequest(
        cohort_id=visit.path["cohort"],
        block_ids=sorted(form.block),
        item_ids=dict.fromkeys(form.items.split()),
        include_tests=form.tests,
        before_all_finished=form.ahead,
    )
    try:
        visit.require_sure()
        await visit.ask(request, training_pb2.ReleaseItemsResponse)
    except FrApiError as error:
        return await _release(visit, form, error)
    return visit.go(f"/cohorts/{visit.path['cohort']}/items")


async def items(visit: Visit) -> Response:
    """List the items that the cohort answered, the released ones first, then by how many missed them; not the truth."""
    found = await read_cohort(visit)
    request = training_pb2.GetTrainingReportRequest(
        cohort_id=found.cohort.cohort_id, file=training_pb2.TRAINING_REPORT_FILE_JSON
    )
    content = bytearray()
    try:
        async for piece in visit.each(request, training_pb2.GetTrainingReportResponse):
            content += piece.content
            if len(content) > _MOST_REPORT_BYTES:
                raise visit.invalid(message("console.items.too_many"))
    except FrApiError as error:
        if error.reason != "NOTHING_TO_REPORT":
            raise
    listed = json.loads(content)["items"] if content else []
    shown = {item_id for one in found.releases for item_id in one.item_ids}
    listed.sort(key=lambda one: (one["item_id"] not in shown, one["right"].get("value", 2.0)))
    return visit.page("trainer_items.html", cohort=found.cohort, releases=found.releases, items=listed, shown=shown)


async def show(visit: Visit) -> Response:
    """Show a released item to a class, step by step; a page has nothing of the steps that come after its own."""
    cohort_id, item_id = visit.path["cohort"], visit.path["item"]
    shown, one = await item_of(visit, cohort_id, item_id, visit.query("step")), own_wall(visit, cohort_id)
    if one is not None:
        one.show(shown)
    return visit.page("trainer_show.html", cohort_id=cohort_id, **shown, vote=one.vote if one is not None else None)


async def item_of(visit: Visit, cohort_id: str, item_id: str, step: str) -> Mapping[str, Any]:
    """Return what a page shows of an item up to a step, the first one if there is no such step."""
    request = training_pb2.GetClassItemRequest(cohort_id=cohort_id, item_id=item_id)
    found = await visit.ask(request, training_pb2.GetClassItemResponse)
    steps = ["photos", "answers"]
    rated = found.exercise in _PAIRS and len(found.answers) == 7
    people = sum(one.people for one in found.answers)
    if rated and people:
        steps.append("average")
    if found.machine:
        steps.append("machine")
    steps.append("truth")
    at = steps.index(step) if step in steps else 0
    shown = frozenset(steps[: at + 1])
    mean = sum(one.people * (place - 3) for place, one in enumerate(found.answers)) / people if people else 0.0
    return {
        "item_id": item_id,
        "step": steps[at],
        "exercise_title": found.block_title,
        "probe": probe_of(found.pictures),
        "looks": compared(found.pictures),
        "question": found.question if found.HasField("question") else None,
        "answers": found.answers if "answers" in shown else (),
        "labels": [one.label for one in found.answers],
        "can_vote": rated and "truth" not in shown,
        "most": max([one.people for one in found.answers], default=0) or 1,
        "people": found.people,
        "average": _average(found.answers, mean) if "average" in shown else None,
        "machine": found.machine if "machine" in shown else "",
        "truth": found.truth if "truth" in shown else "",
        "right": found.right if "truth" in shown else None,
        "back": steps[at - 1] if at else "",
        "following": steps[at + 1] if at + 1 < len(steps) else "",
    }


@dataclass(frozen=True, slots=True)
class Average:
    """The mean rating of a class, -3 to 3, beside its members: how many rated for two people, for one, or neither."""

    mean: float
    two: int
    undecided: int
    one: int
    is_right: bool | None  # None if it says neither one person nor two


def _average(answers: Sequence[training_pb2.AnswerCount], mean: float) -> Average:
    counts = [one.people for one in answers]
    is_one = any(one.right for one in answers[4:])
    is_right = None if not mean else (mean > 0) == is_one
    return Average(mean, sum(counts[:3]), counts[3], sum(counts[4:]), is_right)


# --- a projector


def own_wall(visit: Visit, cohort_id: str) -> Wall | None:
    """Return the wall that a trainer has for a cohort."""
    return next((one for one in visit.desk.walls.values() if one.is_of(visit, cohort_id)), None)


def hang(one: Wall) -> None:
    """Give a wall a new address; walls whose trainers are gone end."""
    walls = one.visit.desk.walls
    for wall_id, each in [*walls.items()]:
        if each is one or not each.holds:
            del walls[wall_id]
    walls[secrets.token_urlsafe(16)] = one


async def make_wall(visit: Visit) -> Response:
    """Make the link for a projector; one that the trainer made for this cohort before ends."""
    cohort_id = (await read_cohort(visit)).cohort.cohort_id
    hang(own_wall(visit, cohort_id) or Wall(visit, cohort_id))
    return visit.go(f"/cohorts/{cohort_id}/wall")


async def wall_link(visit: Visit) -> Response:
    """Show the link that the trainer made for a projector."""
    cohort_id = (await read_cohort(visit)).cohort.cohort_id
    made = [wall_id for wall_id, one in visit.desk.walls.items() if one.is_of(visit, cohort_id)]
    if not made:
        return visit.go(f"/cohorts/{cohort_id}")
    site, only_here = site_of(visit)
    link = f"{site}wall/{made[0]}"
    return visit.page("trainer_wall.html", cohort_id=cohort_id, link=link, picture=qr_code(link), only_here=only_here)


def _wall(visit: Visit) -> Wall:
    found = visit.desk.walls.get(visit.path["wall"])
    if found is None or not found.holds:
        raise _over(visit)
    return found


def _over(visit: Visit) -> FrApiError:
    return refused(grpc.StatusCode.NOT_FOUND, "", visit.text(message("console.wall.over")))


async def on_wall(visit: Visit, one: Wall, most_s: float = _FRESH_S) -> Mapping[str, Any]:
    """Return what a projector shows, at most so old; its link ends where the trainer may not see that any more."""
    if not one.item_id or time.monotonic() - one.asked_s <= most_s:
        return one.content or {"item_id": ""}
    one.asked_s = time.monotonic()  # while this page asks, others have what was there
    item_id, step = one.item_id, one.step
    try:
        content = await item_of(one.visit, one.cohort_id, item_id, step)
    except FrApiError as error:
        if error.code not in _GONE:
            raise
        for wall_id in [wall_id for wall_id, each in visit.desk.walls.items() if each is one]:
            del visit.desk.walls[wall_id]
        raise _over(visit) from error
    if (one.item_id, one.step) == (item_id, step):
        one.content = content
    return one.content


async def wall(visit: Visit) -> Response:
    """Show on a projector what the trainer shows."""
    one = _wall(visit)
    return visit.page("wall.html", wall_id=visit.path["wall"], **await on_wall(visit, one), vote=one.vote)


async def wall_events(visit: Visit) -> Response:
    """Follow what the trainer shows, in the language of the projector."""
    one, over = _wall(visit), {"item_id": "", "over": True}

    async def states() -> AsyncGenerator[Mapping[str, Any] | None, None]:
        before: object = None
        while one is visit.desk.walls.get(visit.path["wall"]):
            now = (one.item_id, one.step, one.vote and one.vote.state)
            try:
                shown = await on_wall(visit, one, STILL_S)
            except FrApiError as error:
                if error.code is not grpc.StatusCode.NOT_FOUND:
                    raise
                break
            yield {**shown, "vote": one.vote} if now != before else None
            before = now
            await asyncio.sleep(WALL_S)
        yield over

    return await replace(visit, session_id=one.visit.session_id).events("wall_item.html", states(), over)


# --- files


async def report(visit: Visit) -> Response:
    """Send a report, or the deck, of a cohort."""
    return await _report(visit, ("html", "json", "deck"), cohort_id=visit.path["cohort"])


async def trainee_report(visit: Visit) -> Response:
    """Send a report, or the certificate, of a trainee."""
    return await _report(visit, ("html", "json", "certificate"), trainee_id=visit.path["trainee"])


async def _report(visit: Visit, names: Sequence[str], **whom: str) -> Response:
    wanted = visit.query("file")
    file, name, kind = _REPORTS[wanted if wanted in names else "html"]
    request = training_pb2.GetTrainingReportRequest(file=file, **whom)
    pieces = visit.each(request, training_pb2.GetTrainingReportResponse)
    return await visit.file(name, kind, (one.content async for one in pieces))


async def export(visit: Visit) -> Response:
    """Send the results of a cohort for other systems."""
    file, name, kind = _EXPORTS.get(visit.query("format"), _EXPORTS["csv"])
    request = training_pb2.ExportResultsRequest(cohort_id=visit.path["cohort"], format=file)
    pieces = visit.each(request, training_pb2.ExportResultsResponse)
    return await visit.file(name, kind, (one.content async for one in pieces))


SCREENS = (
    Screen("/cohorts/{cohort}/release", release, roles=TRAINS),
    Screen("/cohorts/{cohort}/release", release_items, method="POST", roles=TRAINS),
    Screen("/cohorts/{cohort}/items", items, roles=TRAINS),
    Screen("/cohorts/{cohort}/items/{item}", show, roles=TRAINS),
    Screen("/cohorts/{cohort}/wall", wall_link, roles=TRAINS),
    Screen("/cohorts/{cohort}/wall", make_wall, method="POST", roles=TRAINS),
    Screen("/wall/{wall}", wall, is_open=True),
    Screen("/wall/{wall}/events", wall_events, is_open=True),
    Screen("/cohorts/{cohort}/report", report, roles=TRAINS),
    Screen("/cohorts/{cohort}/export", export, roles=TRAINS),
    Screen("/cohorts/{cohort}/trainees/{trainee}/report", trainee_report, roles=TRAINS),
)
