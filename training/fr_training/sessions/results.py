"""Makes the results of a session: a row for each trial that was shown, and the progress."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

from fr_training.answers import Given, Notes, Observations
from fr_training.courses import Course
from fr_training.exercises import exercise_of
from fr_training.exercises.exercise import Graded, given_at
from fr_training.exercises.photos import opinion_word
from fr_training.prompts import Step
from fr_training.sessions.order import block_of, item_of, picture_ids, sitting_of, trials_of_sitting
from fr_training.sessions.views import key_of
from fr_training.trials import Result, Session, Trial

_GRADED = tuple(one.name for one in fields(Graded))


class SessionState(StrEnum):
    """The state of a session."""

    NOT_STARTED = "not_started"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a session."""

    answered: int  # trials that are answered to the end, of `trials` of the sitting
    trials: int
    block_id: str  # the block that is running or comes next; "" where the session is finished
    state: SessionState
    scored: int = 0  # answers that are right or wrong, of trials with nobody whom the trainee knows
    right: int = 0  # of these, the right ones
    # When the last answer was locked, milliseconds since 1970, UTC; None where there is none.
    last_ms: int | None = None
    extended_ms: int = 0  # milliseconds added to the limit of this block


def results(course: Course, session: Session) -> tuple[Result, ...]:
    """A row for each trial that was shown, in their order; one without an answer has "" for it.

    `partner` is left "", as it follows from several sessions. `shown_ms` is when the first step was shown; if that step
    was paused, it is later by the pause, which `paused` tells.
    """
    return tuple(_result(course, session, trial) for trial in session.trials)


def progress(course: Course, session: Session) -> Progress:
    """The progress of a session, from its record."""
    sitting = sitting_of(course, session.sitting)
    done = [trial for trial in session.trials if trial.done and not _known(trial)]
    correct = [_graded(course, session, trial).correct for trial in done]
    finished = session.finished_ms is not None
    block_id = "" if finished else sitting.blocks[session.block].block_id
    return Progress(
        answered=sum(trial.done for trial in session.trials),
        trials=trials_of_sitting(course, sitting, session.group),
        block_id=block_id,
        state=state_of(session),
        scored=sum(one is not None for one in correct),
        right=sum(one is True for one in correct),
        last_ms=max((one.at_ms for trial in session.trials for one in trial.locked), default=None),
        extended_ms=session.extended.get(block_id, 0),
    )


def not_started(course: Course, sitting: str, group: int) -> Progress:
    """The progress of a trainee of a group, 0 or 1, who has not begun a sitting.

    Raises:
        UnknownSitting: the course has no sitting of that name.
    """
    plan = sitting_of(course, sitting)
    return Progress(0, trials_of_sitting(course, plan, group), plan.blocks[0].block_id, SessionState.NOT_STARTED)


def state_of(session: Session) -> SessionState:
    """The state of a session; a new one is RUNNING, also before its first block has begun."""
    if session.finished_ms is not None:
        return SessionState.FINISHED
    return SessionState.RUNNING if session.paused_ms is None else SessionState.PAUSED


def _result(course: Course, session: Session, trial: Trial) -> Result:
    block = block_of(course, session, trial.block_id)
    item = item_of(course, trial)
    graded = _graded(course, session, trial)
    difficulties = [one.answer.difficulty for one in trial.locked if one.answer.difficulty is not None]
    first = trial.locked[0] if trial.locked else None
    return Result(
        trainee_id=session.trainee_id,
        sitting=session.sitting,
        block_id=block.block_id,
        form=trial.form,
        test=block.occasion,
        exercise=block.exercise,
        ordinal=trial.ordinal,
        item_id=trial.item_id,
        b=item.b,
        **{name: getattr(graded, name) for name in _GRADED},
        machine_search=_opinion(graded.similarity, course.machine.search),
        machine_at_fmr=_opinion(graded.similarity, course.machine.at_fmr),
        shown_ms=trial.shown_ms if first is None else first.at_ms - first.took_ms,
        feedback=block.feedback,
        adaptive=block.adaptive,
        difficulty=difficulties[-1] if difficulties else None,
        known_to_me=_known(trial),
        took_ms=sum(one.took_ms for one in trial.locked) if trial.done else None,
        paused=any(one.paused for one in trial.locked) or (not trial.done and trial.paused_ms > 0),
        notes=given.text if isinstance(given := given_at(trial.locked, Step.NOTE), Notes) else "",
        observations=_observed(given_at(trial.locked, Step.OBSERVE)),
        groups=item.groups,
        read_ms=next((one.took_ms for one in trial.locked if one.step == Step.READ), None),
    )


def _opinion(similarity: float | None, threshold: float | None) -> str:
    """The word of a machine that says "same" iff the similarity is at least the threshold; "" without either."""
    return "" if similarity is None or threshold is None else opinion_word(similarity >= threshold)


def _graded(course: Course, session: Session, trial: Trial) -> Graded:
    key = key_of(course, trial)
    if key is None:  # an own probe that was never sent: nothing was asked yet
        return Graded(truth="", answer="", correct=None)
    block = block_of(course, session, trial.block_id)
    ids = picture_ids(session.secret, trial.ordinal, len(trial.order))
    return exercise_of(block.exercise).grade(key, trial, ids)


def _observed(given: Given | None) -> str:
    """As `Result.observations`."""
    observations = given.observations if isinstance(given, Observations) else ()
    seen = [(one.component_id, one.compared.value, one.similarity) for one in observations]
    return "+".join(":".join(str(part) for part in one if part is not None) for one in seen)


def _known(trial: Trial) -> bool:
    return any(one.answer.known_to_me for one in trial.locked)
