"""The audit "training" in the store: what it is told of the way of a trainee.

No record says what was right or answered, nor a code, nor the id of a session; trainees and cohorts stand in it under
pseudonyms of their own.
"""

from __future__ import annotations

from collections.abc import Iterator

from fr_core.storage.audit.attribution import Attribution
from fr_core.storage.audit.pseudonyms import Pseudonyms
from fr_core.storage.audit.values import Entry
from fr_training.prompts import Step
from fr_training.trials import Session

_DECISIONS = frozenset({Step.RATE, Step.CHOOSE, Step.DECIDE, Step.TRIAGE, Step.RATE_AGAIN})


def of_session(by: Attribution, pseudonyms: Pseudonyms, before: Session, after: Session) -> Iterator[Entry]:
    """Yield what the audit is told of a change of a session: answers that were locked, and its end.

    Args:
        by: who asked for it.
        pseudonyms: of the audit.
        before: the session as it was found.
        after: the session as it is kept.
    """
    detail = {"trainee": pseudonyms.other("trainee", after.trainee_id), "course": after.course_id}
    for number, trial in enumerate(after.trials):
        known = before.trials[number] if number < len(before.trials) else None
        if trial is known:
            continue
        for locked in trial.locked[0 if known is None else len(known.locked) :]:
            answered = {**detail, "trial": str(trial.ordinal), "step": locked.step.value}
            yield by.entry(pseudonyms, _action_of(locked.step), detail=answered)
    if after.finished_ms is not None and before.finished_ms is None:
        yield by.entry(pseudonyms, "training.finish_session", detail=detail)


def _action_of(step: Step) -> str:
    if step is Step.SEND_PROBE:
        return "training.submit_probe"
    return "training.decide" if step in _DECISIONS else "training.lock"
