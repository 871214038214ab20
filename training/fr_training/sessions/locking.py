"""The rules of one answer: locked once, in its turn, in time; the same one again is harmless, another is refused."""

from __future__ import annotations

from dataclasses import replace

from fr_training.answers import Answer
from fr_training.courses import Course
from fr_training.errors import BlockExpired, DecisionLocked, SessionFinished, SessionPaused, UnknownTrial, WrongStep
from fr_training.exercises.register import exercise_of
from fr_training.prompts import Step
from fr_training.sessions.clock import left_ms, open_trial, passed_ms, settled, with_last
from fr_training.sessions.order import block_of
from fr_training.trials import Locked, OwnList, Session, Trial


def find(session: Session, trial_id: str) -> Trial:
    """The trial of an id.

    Raises:
        UnknownTrial: the session has shown none of that id.
    """
    for trial in reversed(session.trials):
        if trial.trial_id == trial_id:
            return trial
    raise UnknownTrial("The session has shown no trial of that id.")


def answers_until(trial: Trial, step: Step, answer: Answer) -> int | None:
    """How many answers were locked when this one was, itself included; None where the step was not answered yet.

    Raises:
        DecisionLocked: the step was answered differently.
    """
    for count, locked in enumerate(trial.locked, start=1):
        if locked.step == step:
            if locked.answer != answer:
                raise DecisionLocked("That step of the trial was answered before, and differently.", step=step.value)
            return count
    return None


def require_turn(course: Course, session: Session, trial: Trial, step: Step, now_ms: int) -> None:
    """Let a step pass that the session waits for.

    Raises:
        WrongStep: the trial waits for another, or for none.
        SessionFinished: the session takes no answers any more.
        SessionPaused: the session takes none now.
        BlockExpired: the block of the trial is over.
    """
    if trial.done:
        raise WrongStep("The trial is done, and has no such step.", step=step.value)
    if session.finished_ms is not None:
        raise SessionFinished("The session is finished.")
    block = block_of(course, session, trial.block_id)
    if trial is not open_trial(session):
        raise BlockExpired(f"The block `{block.block_id}` is over.", block=block.block_id)
    if session.paused_ms is not None:
        raise SessionPaused("The session is paused.")
    if left_ms(session, block, now_ms) == 0:
        raise BlockExpired(f"The time of the block `{block.block_id}` is over.", block=block.block_id)
    waits = exercise_of(block.exercise).steps[len(trial.locked)]
    if step != waits:
        raise WrongStep(f"The trial waits for the step {waits.value}.", step=waits.value)


def with_answer(
    course: Course, session: Session, answer: Answer, now_ms: int, own: tuple[OwnList, tuple[int, ...]] | None = None
) -> Session:
    """The session with an answer locked at the step that its open trial waits for.

    Args:
        course: that the session is of.
        session: at whose step it is the turn, by `require_turn`.
        answer: that was checked.
        now_ms: when it is locked.
        own: of an own probe at its first step: what was found, and in which order it is shown.
    """
    session = settled(session, now_ms)
    trial = session.trials[-1]
    steps = exercise_of(block_of(course, session, trial.block_id).exercise).steps
    locked = Locked(
        step=steps[len(trial.locked)],
        answer=answer,
        at_ms=now_ms,
        took_ms=passed_ms(trial.shown_ms, trial.paused_ms, now_ms),
        paused=trial.paused_ms > 0,
    )
    trial = replace(trial, locked=(*trial.locked, locked))
    if own is not None:
        trial = replace(trial, own=own[0], order=own[1])
    if len(trial.locked) == len(steps):
        return with_last(session, replace(trial, done=True))
    return with_last(session, replace(trial, shown_ms=now_ms, paused_ms=0))
