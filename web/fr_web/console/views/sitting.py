"""A sitting: its blocks and trials, one step after another, and the files of evidence exercises."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from fr_api.v1 import access_pb2
from fr_api.v1 import training_pb2 as pb
from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_web.console.forms import text_of
from fr_web.console.views.looks import CROP, KEPT, ORIGINAL, PLACES, compared, crop_of, custody, probe_of
from fr_web.console.views.lti import send_score
from fr_web.console.visit import Screen, Visit

TAKES = frozenset({access_pb2.ROLE_TRAINEE})
HERE = "/course/sitting"
LOCKED = "notes"  # the name of the draft of `Session.drafts` that has the locked notes of a trial, by its id
# The template of each step that a trial can wait for.
_PAGES: Mapping[int, str] = {
    pb.TRIAL_STEP_RATE: "trial_pair.html",
    pb.TRIAL_STEP_RATE_AGAIN: "trial_pair.html",
    pb.TRIAL_STEP_CHOOSE: "trial_triad.html",
    pb.TRIAL_STEP_NOTE: "trial_note.html",
    pb.TRIAL_STEP_OBSERVE: "trial_parts.html",
    pb.TRIAL_STEP_DECIDE: "trial_list.html",
    pb.TRIAL_STEP_TRIAGE: "trial_triage.html",
    pb.TRIAL_STEP_SEND_PROBE: "trial_probe.html",
    pb.TRIAL_STEP_PREDICT: "trial_predict.html",
    pb.TRIAL_STEP_CONCLUDE: "trial_conclude.html",
    pb.TRIAL_STEP_HASH: "trial_hash.html",
    pb.TRIAL_STEP_DERIVE: "trial_hash.html",
    pb.TRIAL_STEP_READ: "trial_lesson.html",
    pb.TRIAL_STEP_ANSWER: "trial_lesson.html",
}
USABILITIES: Mapping[int, Message] = {
    pb.USABILITY_USABLE: message("console.triage.usable"),
    pb.USABILITY_LIMITED: message("console.triage.limited"),
    pb.USABILITY_REJECT: message("console.triage.reject"),
}
REASONS: Mapping[int, Message] = {
    pb.DEGRADATION_BLUR: message("console.triage.blur"),
    pb.DEGRADATION_NOISE: message("console.triage.noise"),
    pb.DEGRADATION_RESOLUTION: message("console.triage.resolution"),
    pb.DEGRADATION_COMPRESSION: message("console.triage.compression"),
    pb.DEGRADATION_OCCLUSION: message("console.triage.occlusion"),
    pb.DEGRADATION_POSE: message("console.triage.pose"),
}
_ALWAYS: Mapping[str, Any] = {
    "ratings": range(-3, 4),
    "usabilities": USABILITIES,
    "reasons": REASONS,
    "original": ORIGINAL,
    "crop": CROP,
    "kept": KEPT,
    "contradicts": False,
    "digest": "",
}
# The trial is over, or elsewhere: show the present step.
GO_ON = frozenset({"BLOCK_EXPIRED", "DECISION_LOCKED", "WRONG_STEP", "UNKNOWN_TRIAL", "SESSION_FINISHED"})
# The server cannot take this answer, or this photo of the trainee, or this pause: show the same step again.
AGAIN = frozenset(
    {"INVALID_RATING", "INVALID_FIELD", "MISSING_FIELD", "PAUSES_USED_UP", "SESSION_PAUSED"}
    | {"UNDECODABLE", "UNSUPPORTED_FORMAT", "IMAGE_TOO_MANY_BYTES", "IMAGE_TOO_MANY_PIXELS", "SEVERAL_FRAMES"}
    | {"NO_FACE", "SEVERAL_FACES", "TOO_SMALL", "LOW_QUALITY", "IMAGE_TOO_COSTLY"}
)
_OWN = re.compile(r"-?[0-9]{1,3}(\.[0-9]{1,4})?")  # an own answer to the step before, in the address
ALL = "all"
_LOOK_S = 3.0  # between two looks whether the trainer has opened a sitting


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a photo, in pixels."""

    x: int
    y: int
    width: int
    height: int


async def begun(visit: Visit, sitting: str, consent: bool = False) -> str:
    """Begin or continue a sitting; return the server's id of it, which no page holds."""
    request = pb.StartSessionRequest(code=visit.who.code, sitting=sitting, consent=consent)
    found = (await visit.ask(request, pb.StartSessionResponse)).session
    visit.who.sittings[sitting] = found.session_id
    return found.session_id


async def session_of(visit: Visit) -> str:
    """Return the server's id of the sitting that the address names."""
    name = visit.query("name")
    return visit.who.sittings.get(name) or await begun(visit, name)


async def next_of(visit: Visit, begin_block: str = "") -> pb.NextTrialResponse:
    """Return what the sitting waits for; raises `FrApiError`."""
    session_id = await session_of(visit)
    request = pb.NextTrialRequest(session_id=session_id, begin_block=begin_block, language=visit.language)
    return await visit.ask(request, pb.NextTrialResponse)


def go_on(visit: Visit, **query: str) -> Response:
    """Lead to the present step of the sitting."""
    return visit.go(HERE, name=visit.query("name"), **query)


async def step_page(visit: Visit, error: FrApiError | None = None, **more: Any) -> Response:
    """Show the present step of a sitting: a block to begin, a trial, a pause or the end; `more` are for a trial."""
    name = visit.query("name")
    try:
        found = await next_of(visit)
    except FrApiError as refusal:
        if refusal.reason != "SESSION_PAUSED":
            raise
        return await paused_page(visit)
    kind = found.WhichOneof("next")
    if kind == "over":
        request = pb.FinishSessionRequest(session_id=await session_of(visit))
        await visit.ask(request, pb.FinishSessionResponse)
        await send_score(visit)
        return visit.page("sitting_over.html", over=found.over, name=name)
    if kind == "block":
        return visit.page("block.html", error, begins=found.block, name=name)
    return trial_page(visit, found.trial, error, **more)


async def joined_by(visit: Visit) -> pb.JoinCourseResponse:
    """Return the course of the trainee."""
    return await visit.ask(pb.JoinCourseRequest(code=visit.who.code), pb.JoinCourseResponse)


async def paused_page(visit: Visit) -> Response:
    """Show that the sitting is paused, or closed, until it is open."""
    return visit.page("paused.html", **await _paused(visit))


async def _paused(visit: Visit) -> Mapping[str, Any]:
    """Return what the page of a paused sitting shows: `closed` where only its trainer can open it."""
    name, joined = visit.query("name"), await joined_by(visit)
    return {"name": name, "closed": any(one.closed and one.sitting.name == name for one in joined.sittings)}


async def events(visit: Visit) -> Response:
    """Follow a paused sitting until the trainer has opened it."""
    return await visit.events("paused_part.html", until_open(lambda: _paused(visit), "closed"))


async def until_open(
    look: Callable[[], Awaitable[Mapping[str, Any]]], waits: str
) -> AsyncGenerator[Mapping[str, Any] | None, None]:
    """Yield what a page shows of sittings each time that it changes, until nothing of it `waits` for the trainer."""
    before: Mapping[str, Any] = {}
    while not before or before[waits]:
        now = await look()
        yield now if now != before else None
        before = now
        if now[waits]:
            await asyncio.sleep(_LOOK_S)


def trial_page(visit: Visit, trial: pb.Trial, error: FrApiError | None = None, **more: Any) -> Response:
    """Show a trial at its step; what was typed for this very step is on the page again."""
    same = (text_of(visit.fields, "trial"), text_of(visit.fields, "step")) == (trial.trial_id, str(trial.step))
    looks, probe = compared(trial.pictures), probe_of(trial.pictures)
    visit.who.keep_shown(trial.trial_id, looks, probe)
    own, at = visit.query("own"), visit.query("at")
    values: dict[str, Any] = {
        **_ALWAYS,
        "trial": trial,
        "name": visit.query("name"),
        "looks": looks,
        "probe": probe,
        "typed": lambda field: text_of(visit.fields, field) if same else "",
        "notes": visit.who.drafts.get(LOCKED, {}).get(trial.trial_id, ""),
        "own": own if _OWN.fullmatch(own) else "",
        "is_own": trial.exercise == pb.EXERCISE_OWN_PROBE,
        "is_first": trial.exercise == pb.EXERCISE_AIDED and trial.step == pb.TRIAL_STEP_RATE,
        "derives": trial.step == pb.TRIAL_STEP_DERIVE,
        "rows": custody(trial.question.files),
    }
    template = _PAGES.get(trial.step, "trial_elsewhere.html")
    if trial.step == pb.TRIAL_STEP_OBSERVE:
        values |= _part(trial, at)
    elif trial.step == pb.TRIAL_STEP_DECIDE:
        rated = dict(trial.draft.ratings)
        values |= {"rated": rated, "unrated": [one for one in looks if one.picture_id not in rated]}
        if at.isdigit() and 0 < int(at) <= len(looks):
            template, values["one"], values["number"] = "trial_candidate.html", looks[int(at) - 1], int(at)
    return visit.page(template, error, **{**values, **more})


def _part(trial: pb.Trial, at: str) -> Mapping[str, Any]:
    """Return what the page of one part needs: the part that the address names, or the first that is not compared."""
    observed = {one.component_id: one for one in trial.draft.observations}
    number = number_left(trial.components, observed)
    if at == ALL or (at.isdigit() and 0 < int(at) <= len(trial.components)):
        number = 0 if at == ALL else int(at)
    part = trial.components[number - 1] if number else None
    return {
        "observed": observed,
        "number": number,
        "part": part,
        "places": PLACES.get(part.component_id, ()) if part else (),
        "whole": len(observed) == len(trial.components),
        "similar": pb.COMPARISON_SIMILAR,
        "different": pb.COMPARISON_DIFFERENT,
    }


def number_left(parts: Any, observed: Mapping[str, Any]) -> int:
    """Return the number of the first part that is not compared, from 1; 0 if all are."""
    return next((number for number, one in enumerate(parts, start=1) if one.component_id not in observed), 0)


async def file(visit: Visit) -> Response:
    """Send the original of an evidence exercise, a crop of it, or one of its files; else go on with the sitting."""
    trial, wanted = (await next_of(visit)).trial, visit.query("file")
    if trial.exercise != pb.EXERCISE_EVIDENCE or not trial.pictures:
        return go_on(visit)
    content = {one.name: one.text.encode() for one in trial.question.files if one.name in KEPT}
    content[ORIGINAL] = trial.pictures[0].data
    if wanted == CROP:
        visit.fields = {one: [visit.query(one).encode()] for one in ("x", "y", "width", "height")}
        box = visit.form(Box)
        crop = crop_of(content[ORIGINAL], (box.x, box.y, box.width, box.height))
        if crop is None:
            return await step_page(visit, visit.invalid(message("console.hash.outside"), "x"))
        content[CROP] = crop
    if wanted not in content:
        return go_on(visit)
    return await visit.file(wanted, "application/octet-stream", content[wanted])


SCREENS = (
    Screen(HERE, step_page, roles=TAKES),
    Screen(f"{HERE}/events", events, roles=TAKES),
    Screen(f"{HERE}/file", file, roles=TAKES),
)
