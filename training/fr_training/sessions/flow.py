"""Leads through a sitting: shows what is next, locks answers, pauses, and ends."""

from __future__ import annotations

from dataclasses import replace

from fr_core.errors import InvalidField, message
from fr_training import errors
from fr_training.answers import Answer, Draft
from fr_training.courses import Course
from fr_training.exercises import exercise_of
from fr_training.plan import BlockPlan
from fr_training.prompts import Step
from fr_training.sessions import clock
from fr_training.sessions.clock import adjusted, left_ms, open_trial, passed_ms, with_last
from fr_training.sessions.order import block_of, is_used_up, next_item, picture_ids, rng_of, sitting_of, trial_id
from fr_training.sessions.views import LockedStep, Over, ShowBlock, ShowTrial, locked_step, over, show_trial
from fr_training.trials import Locked, OwnList, Session, Trial


def find_trial(session: Session, trial_id: str) -> Trial:
    """The trial of an id; raises `UnknownTrial` where the session has shown none of that id."""
    for trial in reversed(session.trials):
        if trial.trial_id == trial_id:
            return trial
    raise errors.UnknownTrial(message("error.session.no_trial"))


def answers_until(trial: Trial, step: Step, answer: Answer) -> int | None:
    """Count the answers up to this one, itself included; None where the step was not answered yet.

    Raises `DecisionLocked` where it was answered differently.
    """
    for count, locked in enumerate(trial.locked, start=1):
        if locked.step == step:
            if locked.answer != answer:
                raise errors.DecisionLocked(message("error.session.answered_before"), step=step.value)
            return count
    return None


def require_turn(course: Course, session: Session, trial: Trial, step: Step, now_ms: int) -> None:
    """Require that the session waits for a step.

    Raises `WrongStep` where the trial waits for another or for none, `BlockExpired` where its block is over, and
    `SessionFinished` or `SessionPaused`.
    """
    if trial.done:
        raise errors.WrongStep(message("error.session.trial_done"), step=step.value)
    if session.finished_ms is not None:
        raise errors.SessionFinished(message("error.session.finished"))
    block = block_of(course, session, trial.block_id)
    if trial is not open_trial(session):
        raise errors.BlockExpired(message("error.session.block_over", block_id=block.block_id), block=block.block_id)
    if session.paused_ms is not None:
        raise errors.SessionPaused(message("error.session.paused"))
    if left_ms(session, block, now_ms) == 0:
        raise errors.BlockExpired(
            message("error.session.block_time_over", block_id=block.block_id), block=block.block_id
        )
    waits = exercise_of(block.exercise).steps[len(trial.locked)]
    if step != waits:
        raise errors.WrongStep(message("error.session.other_step", waits=waits.value), step=waits.value)


def new_session(
    course: Course, trainee_id: str, group: int, sitting: str, session_id: str, secret: bytes, now_ms: int
) -> Session:
    """A session that is about to begin; its time runs when its first block is begun.

    The group is 0 or 1, the id 32 hexadecimal digits, unguessable, the secret 32 random bytes. Raises `UnknownSitting`.
    """
    return Session(
        session_id=session_id,
        trainee_id=trainee_id,
        course_id=course.course_id,
        sitting=sitting_of(course, sitting).name,
        group=group,
        secret=secret,
        started_ms=now_ms,
    )


def show(
    course: Course, session: Session, begin_block: str, now_ms: int
) -> tuple[Session, ShowTrial | ShowBlock | Over]:
    """Show what is next: the trial that waits for an answer, a block to begin, or the end.

    Asking again returns the same, with the very same session where nothing has changed. A block whose time is over is
    closed; its open trial stays without an answer. `begin_block` is the id of the block to begin, "" where none is to.
    One that was begun before is a repeated call, and asks for what is next.

    Raises `SessionPaused`, and `InvalidField` where `begin_block` is neither the next block nor one that was begun.
    """
    if session.finished_ms is not None:
        return session, over(course, session)
    if session.paused_ms is not None:
        raise errors.SessionPaused(message("error.session.paused"))
    session = _closed(course, clock.adjusted(session, now_ms), now_ms)
    if session.finished_ms is not None:
        return session, over(course, session)
    blocks = sitting_of(course, session.sitting).blocks
    block = blocks[session.block]
    if begin_block and begin_block not in [one.block_id for one in blocks[: session.block + 1]]:
        raise InvalidField(message("error.session.not_next_block", block_id=block.block_id), field="begin_block")
    if session.block_started_ms is None:
        if begin_block != block.block_id:
            return session, ShowBlock(block, session.block + 1, len(blocks))
        session = replace(session, block_started_ms=now_ms, block_paused_ms=0)
        # At once, so that the last trial is one of the running block, and not one that the block before left open.
        session = _drawn(course, session, block, now_ms)
    elif clock.open_trial(session) is None:
        session = _drawn(course, session, block, now_ms)
    return session, show_trial(course, session, session.trials[-1], now_ms)


def lock(
    course: Course, session: Session, trial_id: str, step: Step, answer: Answer, now_ms: int, own: OwnList | None = None
) -> tuple[Session, LockedStep]:
    """Lock an answer, with picture ids as they were shown, at a step of a trial that was shown.

    The same answer to the same step again returns what it returned at first, except the time left, also when the
    session has gone on, is paused or is over, so that a caller who lost the reply can ask again. The last answer of a
    block ends the block, that of the last block the session. `own` is what the search for an own probe found, at the
    step that takes it, see `fr_training.sessions.probes`.

    Returns:
        The session, the very same where the answer was locked before, and what follows.

    Raises:
        UnknownTrial: the session has shown no trial of that id.
        DecisionLocked: the step was answered before, and differently.
        WrongStep: the step takes an own probe; or as `require_turn` does.
        FrError: as `require_turn` and `Exercise.check` do.
    """
    trial = find_trial(session, trial_id)
    before = answers_until(trial, step, answer)
    if before is not None:
        return session, locked_step(course, session, trial, before, now_ms)
    require_turn(course, session, trial, step, now_ms)
    if own is None and step == Step.SEND_PROBE:
        raise errors.WrongStep(message("error.session.waits_for_photo"), step=step.value)
    exercise = exercise_of(block_of(course, session, trial.block_id).exercise)
    exercise.check(step, answer, picture_ids(session.secret, trial.ordinal, len(trial.order)))
    session = adjusted(session, now_ms)
    trial = session.trials[-1]
    took_ms = passed_ms(trial.shown_ms, trial.paused_ms, now_ms)
    locked = Locked(step, answer, at_ms=now_ms, took_ms=took_ms, paused=trial.paused_ms > 0)
    trial = replace(trial, locked=(*trial.locked, locked), draft=None, drafted_ms=None)
    if own is not None:
        rng = rng_of(session.secret, "own-order", trial.ordinal)
        trial = replace(trial, own=own, order=exercise.order(len(own.photos), rng))
    done = len(trial.locked) == len(exercise.steps)
    trial = replace(trial, done=True) if done else replace(trial, shown_ms=now_ms, paused_ms=0)
    session = with_last(session, trial)
    reply = locked_step(course, session, trial, len(trial.locked), now_ms)
    return _closed(course, session, now_ms), reply


def save_draft(
    course: Course, session: Session, trial_id: str, draft: Draft, now_ms: int
) -> tuple[Session, int | None]:
    """Keep what is typed so far of the answer that a trial waits for, until it is locked.

    Returns the session, and the time left in its block, in milliseconds; None where it has no limit. Raises
    `UnknownTrial`, or what `require_turn` and `Exercise.check_draft` do.
    """
    trial = find_trial(session, trial_id)
    block = block_of(course, session, trial.block_id)
    exercise = exercise_of(block.exercise)
    step = exercise.steps[min(len(trial.locked), len(exercise.steps) - 1)]
    require_turn(course, session, trial, step, now_ms)
    exercise.check_draft(step, draft, picture_ids(session.secret, trial.ordinal, len(trial.order)))
    session = adjusted(session, now_ms)
    session = with_last(session, replace(session.trials[-1], draft=draft, drafted_ms=now_ms))
    return session, left_ms(session, block, now_ms)


MOST_PAUSED = 3
"""Answers of a block with a time limit whose time may be stopped, as often as is wanted: their photos are looked at
without a limit meanwhile."""


def _may_stop(course: Course, session: Session) -> bool:
    """True if the time may be stopped: where nothing is shown or nothing limits it always, else for a few answers."""
    trial = open_trial(session)
    if trial is None or trial.paused_ms:
        return True
    block = block_of(course, session, trial.block_id)
    of_block = [locked for one in session.trials if one.block_id == trial.block_id for locked in one.locked]
    return block.minutes is None or sum(one.paused for one in of_block) < MOST_PAUSED


def pause(course: Course, session: Session, now_ms: int) -> Session:
    """Stop the time; one that is stopped already stays as it is.

    Raises `SessionFinished`, and `PausesUsedUp` where the time of `MOST_PAUSED` other answers of the block was stopped.
    """
    if session.finished_ms is not None:
        raise errors.SessionFinished(message("error.session.finished"))
    if session.paused_ms is None and not _may_stop(course, session):
        raise errors.PausesUsedUp(message("error.session.pauses_used_up", most=MOST_PAUSED), limit=str(MOST_PAUSED))
    return clock.paused(session, now_ms)


def resume(session: Session, now_ms: int) -> Session:
    """Let the time go on, the limit of the block included, where it is stopped. Raises `SessionFinished`."""
    if session.finished_ms is not None:
        raise errors.SessionFinished(message("error.session.finished"))
    return clock.resumed(session, now_ms)


def rejoined(course: Course, session: Session, now_ms: int) -> Session:
    """The session of a trainee who comes back: the time since the last sign of life counts as a pause.

    The last sign of life is when the open step was shown, its draft saved, or the last answer locked. A trainee who
    lost the connection loses no time of the block; the open trial records a pause, as with `pause`. A session that is
    paused, over, or between two blocks stays as it is, and so does one whose block has no pause left.
    """
    if session.finished_ms is not None or session.paused_ms is not None or session.block_started_ms is None:
        return session
    trial = clock.open_trial(session)
    answers = [one.at_ms for shown in session.trials[-1:] for one in shown.locked]
    shown_ms = session.block_started_ms if trial is None else trial.shown_ms + trial.paused_ms
    if trial is not None and trial.drafted_ms is not None:
        answers.append(trial.drafted_ms)
    # A sign that lies ahead is from before the clock was set back.
    last_ms = max((one for one in (shown_ms, *answers) if one <= now_ms), default=now_ms)
    if last_ms == now_ms or not _may_stop(course, session):
        return session
    return clock.resumed(clock.paused(session, last_ms), now_ms)


def halted(session: Session, now_ms: int) -> Session:
    """The session with its time stopped, as its trainer may always do; one that is over stays as it is."""
    return session if session.finished_ms is not None else clock.paused(session, now_ms)


def extended(course: Course, session: Session, more_ms: int, now_ms: int) -> Session:
    """The session with more time for the running block; the same object if no block with a limit is running.

    Raises `InvalidField` if more than a day would be added to the block in all.
    """
    if session.finished_ms is not None or session.block_started_ms is None:
        return session
    block = sitting_of(course, session.sitting).blocks[session.block]
    if not left_ms(session, block, now_ms):
        return session
    added = session.extended.get(block.block_id, 0) + more_ms
    if added > MOST_ADDED_MS:
        raise InvalidField(message("error.session.too_much_time"), field="more")
    return replace(session, extended={**session.extended, block.block_id: added})


MOST_ADDED_MS = 24 * 60 * clock.MS_PER_MINUTE  # time that may be added to the limit of a block, all additions together


def finish(session: Session, now_ms: int) -> Session:
    """End the session; a trial that waits for an answer stays without one. One that is over stays as it is."""
    if session.finished_ms is not None:
        return session
    session = clock.adjusted(clock.resumed(session, now_ms), now_ms)
    return replace(session, finished_ms=max(session.started_ms, now_ms))


def _closed(course: Course, session: Session, now_ms: int) -> Session:
    """Close blocks that are over, by time or by number; after the last one the session is finished."""
    blocks = sitting_of(course, session.sitting).blocks
    while session.block < len(blocks) and _is_over(course, session, blocks[session.block], now_ms):
        session = replace(session, block=session.block + 1, block_started_ms=None, block_paused_ms=0)
    return finish(session, now_ms) if session.block == len(blocks) else session


def _is_over(course: Course, session: Session, block: BlockPlan, now_ms: int) -> bool:
    if clock.left_ms(session, block, now_ms) == 0:
        return True
    return clock.open_trial(session) is None and is_used_up(course, session, block)


def _drawn(course: Course, session: Session, block: BlockPlan, now_ms: int) -> Session:
    """The session with the next trial of its running block."""
    item = next_item(course, session, block)
    if item is None:
        raise AssertionError("a block that has nothing more to show was closed before")
    ordinal = len(session.trials)
    places = item.places
    trial = Trial(
        trial_id=trial_id(session.secret, ordinal),
        ordinal=ordinal,
        block_id=block.block_id,
        form=block.forms[session.group],
        item_id=item.item_id,
        order=exercise_of(block.exercise).order(places, rng_of(session.secret, "order", ordinal)) if places else (),
        shown_ms=now_ms,
    )
    return replace(session, trials=(*session.trials, trial))
