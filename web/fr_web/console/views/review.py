"""Looking again: a trainee's own answers to the items that the trainer has released."""

from collections.abc import Mapping

from starlette.responses import Response

from fr_api.v1 import training_pb2 as pb
from fr_locales.messages import Message, message
from fr_web.console.views.looks import compared, probe_of
from fr_web.console.views.sitting import REASONS, TAKES, USABILITIES
from fr_web.console.visit import Screen, Visit

_STEPS: Mapping[int, Message] = {
    pb.TRIAL_STEP_RATE: message("console.review.rate"),
    pb.TRIAL_STEP_CHOOSE: message("console.review.choose"),
    pb.TRIAL_STEP_NOTE: message("console.review.note"),
    pb.TRIAL_STEP_OBSERVE: message("console.review.observe"),
    pb.TRIAL_STEP_DECIDE: message("console.review.decide"),
    pb.TRIAL_STEP_TRIAGE: message("console.review.triage"),
    pb.TRIAL_STEP_RATE_AGAIN: message("console.review.rate_again"),
    pb.TRIAL_STEP_SEND_PROBE: message("console.review.send_probe"),
    pb.TRIAL_STEP_PREDICT: message("console.review.predict"),
    pb.TRIAL_STEP_CONCLUDE: message("console.review.conclude"),
    pb.TRIAL_STEP_HASH: message("console.review.hash"),
    pb.TRIAL_STEP_DERIVE: message("console.review.derive"),
    pb.TRIAL_STEP_READ: message("console.review.read"),
    pb.TRIAL_STEP_ANSWER: message("console.review.answer"),
}
COMPARISONS: Mapping[int, Message] = {
    pb.COMPARISON_SIMILAR: message("console.parts.similar"),
    pb.COMPARISON_DIFFERENT: message("console.parts.different"),
    pb.COMPARISON_NOT_VISIBLE: message("console.parts.unseen"),
}


async def listed(visit: Visit) -> Response:
    """Show the list of answers: the wrong ones, or all."""
    everything = bool(visit.query("all"))
    request = pb.ListReviewRequest(code=visit.who.code, all=everything)
    found = await visit.ask(request, pb.ListReviewResponse)
    return visit.page("review.html", found=found, everything=everything)


async def trial(visit: Visit) -> Response:
    """Show one trial again: the pictures, the own answers, and last, folded, what is right."""
    request = pb.GetReviewRequest(code=visit.who.code, trial_id=visit.query("id"), language=visit.language)
    found = await visit.ask(request, pb.GetReviewResponse)
    looks = compared(found.trial.pictures)
    return visit.page(
        "review_trial.html",
        trial=found.trial,
        answers=found.answers,
        reveal=found.reveal,
        looks=looks,
        labels={one.picture_id: one.label for one in looks},
        probe=probe_of(found.trial.pictures),
        names={one.component_id: one.name for one in found.trial.components},
        steps=_STEPS,
        comparisons=COMPARISONS,
        usabilities=USABILITIES,
        reasons=REASONS,
    )


SCREENS = (
    Screen("/course/review", listed, roles=TAKES),
    Screen("/course/review/trial", trial, roles=TAKES),
)
