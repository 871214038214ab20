"""Builds what a caller gets of a session: a trial at its next step, a block to begin, the end, a locked step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fr_training.courses import Course
from fr_training.exercises import exercise_of
from fr_training.keys import AnswerKey
from fr_training.plan import BlockPlan
from fr_training.prompts import Evidence, Lab, LessonPart, Prompt, Reveal, Role, ShownPicture
from fr_training.sessions.clock import left_ms
from fr_training.sessions.order import block_of, item_of, picture_ids, sitting_of, trials_of, trials_of_sitting
from fr_training.trials import Session, Trial


@dataclass(frozen=True, slots=True)
class ShowTrial:
    """A trial at the step that it waits for, with the answers that were locked before that step."""

    trial: Trial
    block: BlockPlan
    number: int  # of the trial in its block, from 1
    of: int  # trials of the block
    prompt: Prompt  # what the trainee sees; it holds no truth
    photos: tuple[int, ...]  # numbers of the course's pictures, one for each of `prompt.pictures`, in that order
    left_ms: int | None  # of the block's time limit; 0 where the block is over; None where it has no limit


@dataclass(frozen=True, slots=True)
class ShowBlock:
    """A block that begins when it is asked for, and its number, from 1, of those of the sitting."""

    block: BlockPlan
    number: int
    of: int


@dataclass(frozen=True, slots=True)
class Over:
    """The end of a session: trials that were answered to the end, and all trials of the sitting."""

    answered: int
    trials: int


@dataclass(frozen=True, slots=True)
class LockedStep:
    """The reply to a locked answer: the trial at its next step, or None where it is done; and what was right.

    `reveal` is None where the block gives no feedback, or the trial goes on.
    """

    trial: ShowTrial | None
    reveal: Reveal | None


def show_trial(course: Course, session: Session, trial: Trial, now_ms: int) -> ShowTrial:
    """A trial of the session at the step after its last locked answer; there must be one."""
    block = block_of(course, session, trial.block_id)
    exercise = exercise_of(block.exercise)
    step = exercise.steps[len(trial.locked)]
    ids = picture_ids(session.secret, trial.ordinal, len(trial.order))
    prompt = exercise.prompt(step, ids, key_of(course, trial), asked_of(course, trial))
    times = item_of(course, trial).times
    if times:
        prompt = replace(prompt, pictures=_timed(prompt.pictures, times))
    numbers = dict(zip(ids, photos_of(course, trial), strict=bool(prompt.pictures)))
    first = next(one.ordinal for one in session.trials if one.block_id == trial.block_id)
    return ShowTrial(
        trial=trial,
        block=block,
        number=trial.ordinal - first + 1,
        of=trials_of(course, block, session.group),
        prompt=prompt,
        photos=tuple(numbers[picture.picture_id] for picture in prompt.pictures),
        left_ms=_left_ms(course, session, block, now_ms),
    )


def _timed(pictures: Sequence[ShownPicture], times: Sequence[int]) -> tuple[ShownPicture, ...]:
    """The pictures of a photo and a track, whose shots have their times."""
    left = iter(times)
    return tuple(replace(one, at_ms=next(left)) if one.role == Role.SHOT else one for one in pictures)


def locked_step(course: Course, session: Session, trial: Trial, answers: int, now_ms: int) -> LockedStep:
    """The reply to the caller who locked the last of the first `answers` answers, now or long ago."""
    block = block_of(course, session, trial.block_id)
    exercise = exercise_of(block.exercise)
    if answers < len(exercise.steps):
        return LockedStep(show_trial(course, session, _as_it_was(trial, answers), now_ms), None)
    key = key_of(course, trial)
    if key is None:
        return LockedStep(None, None)
    ids = picture_ids(session.secret, trial.ordinal, len(trial.order))
    return LockedStep(None, _as_far_as_told(block, exercise.reveal(key, trial, ids, asked_of(course, trial))))


def _as_far_as_told(block: BlockPlan, reveal: Reveal) -> Reveal | None:
    """The part of a reveal that the block tells: what was right with feedback, and scores if it reveals them."""
    scores = reveal.similarities if block.reveal_scores else {}
    if block.feedback:
        return replace(reveal, similarities=scores)
    return Reveal(None, None, scores) if scores else None


def over(course: Course, session: Session) -> Over:
    """The end of a session, in numbers."""
    trials = trials_of_sitting(course, sitting_of(course, session.sitting), session.group)
    return Over(sum(trial.done for trial in session.trials), trials)


def key_of(course: Course, trial: Trial) -> AnswerKey | None:
    """The key of a trial; None for an own probe that was not sent yet."""
    return trial.own.key if trial.own is not None else item_of(course, trial).key


def photos_of(course: Course, trial: Trial) -> tuple[int, ...]:
    """Numbers of the course's pictures by shown position."""
    photos = trial.own.photos if trial.own is not None else item_of(course, trial).photos
    return tuple(photos[index] for index in trial.order) if photos else ()


def asked_of(course: Course, trial: Trial) -> Lab | Evidence | LessonPart | None:
    """The question of a trial; None where photos ask it. The options of a lesson have the order of the trial."""
    asked = item_of(course, trial).asked
    return replace(asked, order=trial.order) if isinstance(asked, LessonPart) else asked


def _as_it_was(trial: Trial, answers: int) -> Trial:
    """The trial as it was when its first `answers` answers were locked; the next step was shown at that moment."""
    if len(trial.locked) == answers:
        return trial
    locked = trial.locked[:answers]
    return replace(trial, locked=locked, done=False, shown_ms=locked[-1].at_ms, paused_ms=0, draft=None)


def _left_ms(course: Course, session: Session, block: BlockPlan, now_ms: int) -> int | None:
    if block.minutes is None:
        return None
    blocks = sitting_of(course, session.sitting).blocks
    runs = session.finished_ms is None and blocks.index(block) == session.block
    return left_ms(session, block, now_ms) if runs else 0
