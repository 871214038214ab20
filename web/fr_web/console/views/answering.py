"""Takes the answers to the steps of a trial, drafts, pauses, and photos that a trainee sends."""

from hashlib import sha256
from typing import Any

import grpc
from starlette.responses import Response

from fr_api.v1 import common_pb2
from fr_api.v1 import training_pb2 as pb
from fr_client.errors import FrApiError
from fr_locales.messages import message
from fr_web.console.addresses import embedded
from fr_web.console.forms import text_of
from fr_web.console.views.answers import DECISIONS, Begin, Chosen, Given, Part, Rated
from fr_web.console.views.looks import compared, probe_of
from fr_web.console.views.lti import send_score
from fr_web.console.views.sitting import (
    AGAIN,
    ALL,
    GO_ON,
    HERE,
    LOCKED,
    TAKES,
    go_on,
    next_of,
    number_left,
    paused_page,
    session_of,
    step_page,
    trial_page,
)
from fr_web.console.visit import Screen, Visit
from fr_web.errors import refused


async def act(visit: Visit) -> Response:
    """Lock an answer, begin a block, pause or go on: a sitting has one address, which a reload shows anew."""
    if "trial" in visit.fields:
        return await _answered(visit)
    form = visit.form(Begin)
    try:
        if form.pause:
            await visit.ask(pb.PauseSessionRequest(session_id=await session_of(visit)), pb.PauseSessionResponse)
        elif form.resume:
            await visit.ask(pb.ResumeSessionRequest(session_id=await session_of(visit)), pb.ResumeSessionResponse)
        else:
            await next_of(visit, form.block)
    except FrApiError as error:
        if error.reason == "PAUSES_USED_UP":
            return await step_page(visit, error)
        if error.reason == "SITTING_CLOSED":
            return await paused_page(visit)
        if error.reason not in GO_ON:
            raise
    return go_on(visit)


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
        if error.reason in AGAIN | GO_ON:
            return await step_page(visit, error)
        raise


async def _decide(visit: Visit, given: Given) -> Response:
    if given.step not in DECISIONS:
        raise visit.invalid(message("web.form_step"), "step")
    form: Any = visit.form(DECISIONS[given.step])  # type: ignore[type-var]  # each is a dataclass
    if isinstance(form, Rated) and form.contradicts(visit):
        return await step_page(visit, contradicts=True)
    if given.trial not in visit.who.shown:  # who has signed in again on a page
        present = (await next_of(visit)).trial
        if present.trial_id == given.trial:
            visit.who.keep_shown(given.trial, compared(present.pictures), probe_of(present.pictures))
    request = pb.SubmitDecisionRequest(
        session_id=await session_of(visit),
        trial_id=given.trial,
        step=pb.TrialStep.ValueType(given.step),
        known_to_me=given.known,
        language=visit.language,
        **form.answer(visit),
    )
    if given.difficulty > 0:
        request.difficulty = given.difficulty
    found = await visit.ask(request, pb.SubmitDecisionResponse)
    if found.HasField("reveal"):
        await send_score(visit)  # after the last answer: some close the window on this page
        looks, probe = visit.who.shown.get(given.trial, ((), ""))
        return visit.page("reveal.html", reveal=found.reveal, name=visit.query("name"), looks=looks, probe=probe)
    if found.HasField("trial") and given.step in (pb.TRIAL_STEP_RATE, pb.TRIAL_STEP_PREDICT):
        return go_on(visit, own=text_of(visit.fields, "rating") or f"{request.prediction.percent:g}")
    return go_on(visit)


async def _present(visit: Visit, given: Given) -> pb.Trial:
    """Return the trial that a form answers, with its draft; raises `FrApiError` if it waits for something else."""
    trial = (await next_of(visit)).trial
    if (trial.trial_id, trial.step) != (given.trial, given.step):
        words = visit.text(message("console.trial.other_step"))
        raise refused(grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STEP", words)
    return trial


async def _save(visit: Visit, trial_id: str, draft: pb.Draft) -> pb.SaveDraftResponse:
    request = pb.SaveDraftRequest(session_id=await session_of(visit), trial_id=trial_id, draft=draft)
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
        return go_on(visit)
    request = pb.LockNotesRequest(session_id=await session_of(visit), trial_id=given.trial, notes=notes)
    await visit.ask(request, pb.LockNotesResponse)
    visit.who.drafts[LOCKED] = {given.trial: notes}
    return go_on(visit)


async def _observe(visit: Visit, given: Given) -> Response:
    trial = await _present(visit, given)
    observed = {one.component_id: one for one in trial.draft.observations}
    if "lock" in visit.fields:
        request = pb.LockNotesRequest(
            session_id=await session_of(visit), trial_id=given.trial, observations=observed.values()
        )
        await visit.ask(request, pb.LockNotesResponse)
        return go_on(visit)
    made = visit.form(Part).observation(visit)
    observed[made.component_id] = made
    await _save(visit, given.trial, pb.Draft(observations=observed.values()))
    left = number_left(trial.components, observed)
    return go_on(visit, at=str(left) if left else ALL)


async def _list(visit: Visit, given: Given) -> Response:
    """Keep the rating of a candidate, or ask whether the decision is final."""
    trial = await _present(visit, given)
    looks, rated = compared(trial.pictures), dict(trial.draft.ratings)
    if "candidate" in visit.fields:
        rated[text_of(visit.fields, "candidate")] = visit.form(Rated).rating
        await _save(visit, given.trial, pb.Draft(ratings=rated))
        left = [number for number, one in enumerate(looks, start=1) if one.picture_id not in rated]
        return go_on(visit, at=str(left[0]) if left else "")
    choice = visit.form(Chosen).choice
    if any(one.picture_id not in rated for one in looks):
        raise visit.invalid(message("console.list.not_all"), "ratings")
    picked = [one for one in looks if one.picture_id == choice]
    if not picked and choice not in ("none", "inconclusive"):
        raise visit.invalid(message("console.list.no_choice"), "choice")
    return visit.page(
        "trial_confirm.html",
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


async def send(visit: Visit) -> Response:
    """Search with an own photo, which stays in this page alone; or tell the SHA-256 of a file."""
    try:
        given = visit.form(Given)
        data = next((one for one in visit.fields.get("file", []) if one), b"")
        if not data:
            raise visit.invalid(message("console.probe.no_file"), "file")
        if given.step != pb.TRIAL_STEP_SEND_PROBE:
            return await step_page(visit, digest=sha256(data).hexdigest())
        request = pb.SubmitProbeRequest(
            session_id=await session_of(visit), trial_id=given.trial, image=common_pb2.Image(data=data)
        )
        found = await visit.ask(request, pb.SubmitProbeResponse)
        return trial_page(visit, found.trial, probe=embedded(data))
    except FrApiError as error:
        if error.reason in AGAIN | GO_ON:
            return await step_page(visit, error)
        raise


SCREENS = (
    Screen(HERE, act, method="POST", roles=TAKES),
    Screen(f"{HERE}/file", send, method="POST", roles=TAKES, takes_file=True),
    Screen(f"{HERE}/draft", draft, method="POST", roles=TAKES),
)
