"""A sitting: its blocks and trials, one step after another, pauses, drafts, and the files of evidence exercises."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import grpc
from starlette.responses import Response

from fr_api.v1 import access_pb2, common_pb2
from fr_api.v1 import training_pb2 as pb
from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_web.console.forms import text_of
from fr_web.console.views.answers import DECISIONS, Chosen, Given, Part, Rated
from fr_web.console.views.looks import CROP, KEPT, ORIGINAL, PLACES, compared, crop_of, custody, probe_of
from fr_web.console.visit import Screen, Visit, embedded
from fr_web.errors import refused
from fr_web.room import invalid

TAKES = frozenset({access_pb2.ROLE_TRAINEE})
_HERE = "/course/sitting"
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
# The trial is over, or elsewhere: show the present step.
_GO_ON = frozenset({"BLOCK_EXPIRED", "DECISION_LOCKED", "WRONG_STEP", "UNKNOWN_TRIAL", "SESSION_FINISHED"})
# The server cannot take this answer, or this photo of the trainee, or this pause: show the same step again.
_AGAIN = frozenset(
    {"INVALID_RATING", "INVALID_FIELD", "MISSING_FIELD", "PAUSES_USED_UP", "SESSION_PAUSED"}
    | {"UNDECODABLE", "UNSUPPORTED_FORMAT", "IMAGE_TOO_MANY_BYTES", "IMAGE_TOO_MANY_PIXELS", "SEVERAL_FRAMES"}
    | {"NO_FACE", "SEVERAL_FACES", "TOO_SMALL", "LOW_QUALITY", "IMAGE_TOO_COSTLY"}
)
_OWN = re.compile(r"-?[0-9]{1,3}(\.[0-9]{1,4})?")  # an own answer to the step before, in the address
_ALL = "all"


@dataclass(frozen=True, slots=True)
class Begin:
    """A block to begin, or a session to pause or to go on with."""

    block: str = ""
    pause: bool = False
    resume: bool = False


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


async def _session(visit: Visit) -> str:
    name = visit.query("name")
    return visit.who.sittings.get(name) or await begun(visit, name)


async def _next(visit: Visit, begin_block: str = "") -> pb.NextTrialResponse:
    request = pb.NextTrialRequest(session_id=await _session(visit), begin_block=begin_block)
    return await visit.ask(request, pb.NextTrialResponse)


def _on(visit: Visit, **query: str) -> Response:
    return visit.go(_HERE, name=visit.query("name"), **query)


async def sitting(visit: Visit) -> Response:
    """Show the present step of a sitting: a block to begin, a trial, a pause or the end."""
    return await _step(visit)


async def _step(visit: Visit, error: FrApiError | None = None, **more: Any) -> Response:
    name = visit.query("name")
    try:
        found = await _next(visit)
    except FrApiError as refusal:
        if refusal.reason != "SESSION_PAUSED":
            raise
        return visit.page("paused.html", name=name)
    kind = found.WhichOneof("next")
    if kind == "over":
        request = pb.FinishSessionRequest(session_id=await _session(visit))
        await visit.ask(request, pb.FinishSessionResponse)
        return visit.page("sitting_over.html", over=found.over, name=name)
    if kind == "block":
        return visit.page("block.html", error, begins=found.block, name=name)
    return _trial(visit, found.trial, error, **more)


def _trial(visit: Visit, trial: pb.Trial, error: FrApiError | None = None, **more: Any) -> Response:
    """Show a trial at its step; what was typed for this very step is on the page again."""
    same = (text_of(visit.fields, "trial"), text_of(visit.fields, "step")) == (trial.trial_id, str(trial.step))
    looks = visit.who.keep_shown(trial.trial_id, compared(trial.pictures))
    own, at = visit.query("own"), visit.query("at")
    values: dict[str, Any] = {
        "trial": trial,
        "name": visit.query("name"),
        "looks": looks,
        "probe": probe_of(trial.pictures),
        "ratings": range(-3, 4),
        "typed": lambda field: text_of(visit.fields, field) if same else "",
        "own": own if _OWN.fullmatch(own) else "",
        "contradicts": False,
        "usabilities": USABILITIES,
        "reasons": REASONS,
        "original": ORIGINAL,
        "crop": CROP,
        "kept": KEPT,
        "is_own": trial.exercise == pb.EXERCISE_OWN_PROBE,
        "is_first": trial.exercise == pb.EXERCISE_AIDED and trial.step == pb.TRIAL_STEP_RATE,
        "derives": trial.step == pb.TRIAL_STEP_DERIVE,
        "rows": custody(trial.question.files),
        "digest": "",
    }
    template = _PAGES.get(trial.step, "trial_elsewhere.html")
    if trial.step == pb.TRIAL_STEP_OBSERVE:
        values |= _part(trial, at)
    elif trial.step == pb.TRIAL_STEP_DECIDE:
        rated = dict(trial.draft.ratings)
        values |= {"rated": rated, "unrated": [one for one in looks if one.picture_id not in rated], "choice": ""}
        if at.isdigit() and 0 < int(at) <= len(looks):
            template, values["one"], values["number"] = "trial_candidate.html", looks[int(at) - 1], int(at)
    return visit.page(template, error, **{**values, **more})


def _part(trial: pb.Trial, at: str) -> Mapping[str, Any]:
    """Return what the page of one part needs: the part that the address names, or the first that is not compared."""
    observed = {one.component_id: one for one in trial.draft.observations}
    number = _number_left(trial.components, observed)
    if at == _ALL or (at.isdigit() and 0 < int(at) <= len(trial.components)):
        number = 0 if at == _ALL else int(at)
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


def _number_left(parts: Any, observed: Mapping[str, Any]) -> int:
    """Return the number of the first part that is not compared, from 1; 0 if all are."""
    return next((number for number, one in enumerate(parts, start=1) if one.component_id not in observed), 0)


# --- answers


async def act(visit: Visit) -> Response:
    """Lock an answer, begin a block, pause or go on: a sitting has one address, which a reload shows anew."""
    if "trial" in visit.fields:
        return await _answered(visit)
    form = visit.form(Begin)
    try:
        if form.pause:
            await visit.ask(pb.PauseSessionRequest(session_id=await _session(visit)), pb.PauseSessionResponse)
        elif form.resume:
            await visit.ask(pb.ResumeSessionRequest(session_id=await _session(visit)), pb.ResumeSessionResponse)
        else:
            await _next(visit, form.block)
    except FrApiError as error:
        if error.reason == "PAUSES_USED_UP":
            return await _step(visit, error)
        if error.reason == "SITTING_CLOSED":
            return visit.page("paused.html", error, name=visit.query("name"))
        if error.reason not in _GO_ON:
            raise
    return _on(visit)


async def _answered(visit: Visit) -> Response:
    """Take the answer to a step; the same answer again is the same, so that a form may be sent twice."""
    try:
        given = visit.form(Given)
        if given.step == pb.TRIAL_STEP_NOTE:
            return await _note(visit, given)
        if given.step == pb.TRIAL_STEP_OBSERVE:
            return await _observe(visit, given)
        if given.step == pb.TRIAL_STEP_DECIDE and "confirm" not in visit.fields:
            return await _list(visit, given)
        return await _decide(visit, given)
    except FrApiError as error:
        if error.reason in _AGAIN | _GO_ON:
            return await _step(visit, error)
        raise


async def _decide(visit: Visit, given: Given) -> Response:
    kind = next((kind for step, kind in DECISIONS.items() if step == given.step), None)
    if kind is None:
        raise refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "The form answers a step that it cannot.")
    form: Any = visit.form(kind)  # type: ignore[type-var]  # each is a dataclass
    if isinstance(form, Rated) and form.contradicts(visit.text):
        return await _step(visit, contradicts=True)
    if given.trial not in visit.who.shown:  # who has signed in again on a page
        present = (await _next(visit)).trial
        if present.trial_id == given.trial:
            visit.who.keep_shown(given.trial, compared(present.pictures))
    request = pb.SubmitDecisionRequest(
        session_id=await _session(visit),
        trial_id=given.trial,
        step=pb.TrialStep.ValueType(given.step),
        known_to_me=given.known,
        **form.answer(visit.text),
    )
    if given.difficulty > 0:
        request.difficulty = given.difficulty
    found = await visit.ask(request, pb.SubmitDecisionResponse)
    if found.HasField("reveal"):
        looks = visit.who.shown.get(given.trial, ())
        return visit.page("reveal.html", reveal=found.reveal, name=visit.query("name"), looks=looks)
    if found.HasField("trial") and given.step in (pb.TRIAL_STEP_RATE, pb.TRIAL_STEP_PREDICT):
        return _on(visit, own=text_of(visit.fields, "rating") or f"{request.prediction.percent:g}")
    return _on(visit)


async def _present(visit: Visit, given: Given) -> pb.Trial:
    """Return the trial that a form answers, with its draft; raises `FrApiError` if it waits for something else."""
    trial = (await _next(visit)).trial
    if (trial.trial_id, trial.step) != (given.trial, given.step):
        words = visit.text(message("console.trial.other_step"))
        raise refused(grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STEP", words)
    return trial


async def _save(visit: Visit, trial_id: str, draft: pb.Draft) -> pb.SaveDraftResponse:
    request = pb.SaveDraftRequest(session_id=await _session(visit), trial_id=trial_id, draft=draft)
    return await visit.ask(request, pb.SaveDraftResponse)


async def draft(visit: Visit) -> Response:
    """Keep notes while they are typed; the header says how many seconds of the block are left."""
    given = visit.form(Given)
    saved = await _save(visit, given.trial, pb.Draft(notes=text_of(visit.fields, "notes")))
    headers = {"fr-left": str(saved.left.ToSeconds())} if saved.HasField("left") else {}
    return Response(status_code=204, headers=headers)


async def _note(visit: Visit, given: Given) -> Response:
    notes = text_of(visit.fields, "notes")
    if "save" in visit.fields:
        await _save(visit, given.trial, pb.Draft(notes=notes))
        return _on(visit)
    request = pb.LockNotesRequest(session_id=await _session(visit), trial_id=given.trial, notes=notes)
    await visit.ask(request, pb.LockNotesResponse)
    return _on(visit)


async def _observe(visit: Visit, given: Given) -> Response:
    trial = await _present(visit, given)
    observed = {one.component_id: one for one in trial.draft.observations}
    if "lock" in visit.fields:
        request = pb.LockNotesRequest(
            session_id=await _session(visit), trial_id=given.trial, observations=observed.values()
        )
        await visit.ask(request, pb.LockNotesResponse)
        return _on(visit)
    made = visit.form(Part).observation(visit.text)
    observed[made.component_id] = made
    await _save(visit, given.trial, pb.Draft(observations=observed.values()))
    left = _number_left(trial.components, observed)
    return _on(visit, at=str(left) if left else _ALL)


async def _list(visit: Visit, given: Given) -> Response:
    """Keep the rating of a candidate, or ask whether the decision is final."""
    trial = await _present(visit, given)
    looks, rated = compared(trial.pictures), dict(trial.draft.ratings)
    if "candidate" in visit.fields:
        rated[text_of(visit.fields, "candidate")] = visit.form(Rated).rating
        await _save(visit, given.trial, pb.Draft(ratings=rated))
        left = [number for number, one in enumerate(looks, start=1) if one.picture_id not in rated]
        return _on(visit, at=str(left[0]) if left else "")
    choice = visit.form(Chosen).choice
    if any(one.picture_id not in rated for one in looks):
        raise invalid(visit.text(message("console.list.not_all")), "ratings")
    picked = [one for one in looks if one.picture_id == choice]
    if not picked and choice not in ("none", "inconclusive"):
        raise invalid(visit.text(message("console.list.no_choice")), "choice")
    page = "trial_confirm.html"
    return visit.page(
        page,
        trial=trial,
        name=visit.query("name"),
        rated=rated,
        choice=choice,
        looks=looks,
        one=picked[0] if picked else None,
        probe=probe_of(trial.pictures),
        is_own=trial.exercise == pb.EXERCISE_OWN_PROBE,
        difficulty=given.difficulty,
        known=given.known,
    )


# --- photos that a trainee sends, and files that a trainee takes


async def send(visit: Visit) -> Response:
    """Search with an own photo, which stays in this page alone; or tell the SHA-256 of a file."""
    try:
        given = visit.form(Given)
        data = next((one for one in visit.fields.get("file", []) if one), b"")
        if not data:
            raise invalid(visit.text(message("console.probe.no_file")), "file")
        if given.step != pb.TRIAL_STEP_SEND_PROBE:
            return await _step(visit, digest=sha256(data).hexdigest())
        request = pb.SubmitProbeRequest(
            session_id=await _session(visit), trial_id=given.trial, image=common_pb2.Image(data=data)
        )
        found = await visit.ask(request, pb.SubmitProbeResponse)
        return _trial(visit, found.trial, probe=embedded(data))
    except FrApiError as error:
        if error.reason in _AGAIN | _GO_ON:
            return await _step(visit, error)
        raise


async def file(visit: Visit) -> Response:
    """Send the original of an evidence exercise, a crop of it, or one of its files; else go on with the sitting."""
    trial, wanted = (await _next(visit)).trial, visit.query("file")
    if trial.exercise != pb.EXERCISE_EVIDENCE or not trial.pictures:
        return _on(visit)
    content = {one.name: one.text.encode() for one in trial.question.files if one.name in KEPT}
    content[ORIGINAL] = trial.pictures[0].data
    if wanted == CROP:
        visit.fields = {one: [visit.query(one).encode()] for one in ("x", "y", "width", "height")}
        box = visit.form(Box)
        crop = crop_of(content[ORIGINAL], (box.x, box.y, box.width, box.height))
        if crop is None:
            return await _step(visit, invalid(visit.text(message("console.hash.outside")), "x"))
        content[CROP] = crop
    if wanted not in content:
        return _on(visit)
    headers = {"content-disposition": f'attachment; filename="{wanted}"', "content-security-policy": "sandbox"}
    return Response(content[wanted], media_type="application/octet-stream", headers=headers)


SCREENS = (
    Screen(_HERE, sitting, roles=TAKES),
    Screen(_HERE, act, method="POST", roles=TAKES),
    Screen(f"{_HERE}/draft", draft, method="POST", roles=TAKES),
    Screen(f"{_HERE}/file", file, roles=TAKES),
    Screen(f"{_HERE}/file", send, method="POST", roles=TAKES, takes_file=True),
)
