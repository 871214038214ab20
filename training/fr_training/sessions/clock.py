"""Keeps the time of a session: pauses, limits of blocks, and a clock that may be set back.

Times are readings of the clock, milliseconds since 1970, UTC. If it reads less than when the present step was shown,
pauses added, it was set back, and the time that passed since is unknown. It then counts as none: time before the step
was shown still counts, and the rest goes on from now. So no time is negative, a session goes on, and a trainee loses
nothing. A clock that was set forward looks the same as time that has passed.
"""

from __future__ import annotations

from dataclasses import replace

from fr_training.plan import BlockPlan
from fr_training.trials import Session, Trial

MS_PER_MINUTE = 60_000


def open_trial(session: Session) -> Trial | None:
    """The trial that waits for an answer; None where there is none.

    A block shows its first trial when it begins, so while one is running the last trial is one of its own.
    """
    running = session.finished_ms is None and session.block_started_ms is not None
    return session.trials[-1] if running and session.trials and not session.trials[-1].done else None


def with_last(session: Session, trial: Trial) -> Session:
    """The session with another state of its last trial."""
    return replace(session, trials=(*session.trials[:-1], trial))


def passed_ms(began_ms: int, paused_ms: int, now_ms: int) -> int:
    """Time since a beginning less the pauses since then, in milliseconds, never negative."""
    return max(0, now_ms - began_ms - paused_ms)


def left_ms(session: Session, block: BlockPlan, now_ms: int) -> int | None:
    """Time left in the running block, in milliseconds, never negative; None where it has no limit.

    While the session is paused, the time of the pause counts as now.
    """
    if block.minutes is None:
        return None
    limit = block.minutes * MS_PER_MINUTE + session.extended.get(block.block_id, 0)
    if session.block_started_ms is None:
        return limit
    now = now_ms if session.paused_ms is None else session.paused_ms
    return max(0, limit - passed_ms(session.block_started_ms, session.block_paused_ms, now))


def adjusted(session: Session, now_ms: int) -> Session:
    """The session, its beginnings moved back where the clock was set back; the same object where it was not.

    A session that is paused is settled when it goes on.
    """
    if session.paused_ms is not None or session.finished_ms is not None or session.block_started_ms is None:
        return session
    trial = open_trial(session)
    if trial is None:
        return _moved_back(session, session.block_started_ms + session.block_paused_ms - now_ms)
    return _moved_back(session, trial.shown_ms + trial.paused_ms - now_ms)


def paused(session: Session, now_ms: int) -> Session:
    """The session with its time stopped; the same object where it is stopped already."""
    if session.paused_ms is not None:
        return session
    return replace(adjusted(session, now_ms), paused_ms=now_ms)


def resumed(session: Session, now_ms: int) -> Session:
    """The session with its time going on; the same object where it does already.

    A pause lasts a millisecond at least, so that a trial tells that there was one.
    """
    if session.paused_ms is None:
        return session
    lasted = max(1, now_ms - session.paused_ms)
    back = session.paused_ms + lasted - now_ms
    session = replace(session, paused_ms=None)
    if session.block_started_ms is None:
        return session
    trial = open_trial(session)
    session = replace(session, block_paused_ms=session.block_paused_ms + lasted)
    if trial is not None:
        session = with_last(session, replace(trial, paused_ms=trial.paused_ms + lasted))
    return _moved_back(session, back)


def _moved_back(session: Session, by_ms: int) -> Session:
    """Move the beginnings of the running block and of its open step back, both alike.

    A pause that spanned a wrong time seemed longer than it was, so that it is shortened first, down to a millisecond.
    """
    if by_ms <= 0 or session.block_started_ms is None:
        return session
    trial = open_trial(session)
    if trial is not None:
        shown, pauses = _earlier(trial.shown_ms, trial.paused_ms, by_ms)
        session = with_last(session, replace(trial, shown_ms=shown, paused_ms=pauses))
    began, pauses = _earlier(session.block_started_ms or 0, session.block_paused_ms, by_ms)
    return replace(session, block_started_ms=began, block_paused_ms=pauses)


def _earlier(began_ms: int, paused_ms: int, by_ms: int) -> tuple[int, int]:
    shortened = min(by_ms, max(0, paused_ms - 1))
    return began_ms - (by_ms - shortened), paused_ms - shortened
