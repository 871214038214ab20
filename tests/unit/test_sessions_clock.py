"""A clock that is set forward or back by a day: no time is negative, and no session is lost."""

from __future__ import annotations

import pytest

from fr_training.answers import Answer, PairRating
from fr_training.prompts import Step
from fr_training.sessions.clock import adjusted, left_ms
from fr_training.sessions.flow import finish, lock, pause, rejoined, resume, show
from fr_training.sessions.views import ShowBlock, ShowTrial
from fr_training.trials import Session
from support.sessions import T0, Trainee, begun, course

DAY = 24 * 3_600_000
MINUTE = 60_000
ANSWER = Answer(PairRating(1))
MADE = course(
    """
    format = 1
    title = "Timed"
    [[sittings]]
    name = "first"
    [[sittings.blocks]]
    id = "a"
    exercise = "aided"
    same = 2
    different = 2
    wrong = 1
    minutes = 10
    [[sittings.blocks]]
    id = "b"
    exercise = "verification"
    same = 2
    different = 2
    minutes = 10
    """
)
BLOCK = MADE.plan.blocks[0]


def at_second_step(now_ms: int) -> tuple[Session, ShowTrial]:
    """A session whose first trial waits for its second rating, a minute after its block began."""
    session, shown = show(MADE, begun(MADE), "a", now_ms - MINUTE)
    assert isinstance(shown, ShowTrial)
    session, locked = lock(MADE, session, shown.trial.trial_id, Step.RATE, ANSWER, now_ms)
    assert locked.trial is not None
    return session, locked.trial


def rated_again(session: Session, shown: ShowTrial, now_ms: int) -> tuple[Session, int, bool]:
    session, _ = lock(MADE, session, shown.trial.trial_id, Step.RATE_AGAIN, ANSWER, now_ms)
    last = session.trials[-1].locked[-1]
    return session, last.took_ms, last.paused


@pytest.mark.parametrize("passed", [0, 3_000])
def test_a_clock_set_back_keeps_what_had_passed_and_counts_on(passed: int) -> None:
    session, shown = at_second_step(T0)
    assert adjusted(session, T0 + 5) is session  # a clock that runs is left alone
    session, seen = show(MADE, session, "", T0 - DAY)
    assert isinstance(seen, ShowTrial)
    assert seen.left_ms == 9 * MINUTE
    assert show(MADE, session, "", T0 - DAY)[0] is session
    session, took, _ = rated_again(session, shown, T0 - DAY + passed)
    assert took == passed
    assert left_ms(session, BLOCK, T0 - DAY + passed) == 9 * MINUTE - passed


def test_a_clock_set_back_between_two_trials_leaves_the_block_its_time_at_most() -> None:
    session, shown = at_second_step(T0)
    session, _, _ = rated_again(session, shown, T0)
    session, seen = show(MADE, session, "", T0 - DAY)
    assert isinstance(seen, ShowTrial)
    assert seen.left_ms == 10 * MINUTE
    with_time, seen = show(MADE, session, "", T0 - DAY + 10 * MINUTE - 1)
    assert isinstance(seen, ShowTrial)
    assert isinstance(show(MADE, with_time, "", T0 - DAY + 10 * MINUTE)[1], ShowBlock)


def test_a_clock_set_forward_ends_the_block_but_not_the_session() -> None:
    session, _ = at_second_step(T0)
    session, seen = show(MADE, session, "", T0 + DAY)
    assert isinstance(seen, ShowBlock)
    session, seen = show(MADE, session, "b", T0 + DAY)
    assert isinstance(seen, ShowTrial)
    # Set right again, it must not give the next block a day.
    session, seen = show(MADE, session, "", T0)
    assert isinstance(seen, ShowTrial)
    assert seen.left_ms == 10 * MINUTE
    trainee = Trainee(MADE, session, lambda _: ANSWER, now_ms=T0)
    assert len([trial for trial in trainee.run().trials if trial.done]) == 4


@pytest.mark.parametrize("resumed_at", [T0 + MINUTE, T0, T0 - DAY, T0 + DAY])
def test_a_pause_stops_the_time_whatever_the_clock_shows_after_it(resumed_at: int) -> None:
    session, shown = at_second_step(T0 - 5_000)
    session = resume(pause(session, T0), resumed_at)
    assert left_ms(session, BLOCK, resumed_at) == 9 * MINUTE - 5_000
    session, took, was_paused = rated_again(session, shown, resumed_at + 2_000)
    assert (took, was_paused) == (7_000, True)
    assert left_ms(session, BLOCK, resumed_at + 2_000) == 9 * MINUTE - 7_000


def test_a_clock_set_forward_in_a_pause_and_right_again_after_it() -> None:
    session, shown = at_second_step(T0 - 5_000)
    session = resume(pause(session, T0), T0 + DAY)
    session, seen = show(MADE, session, "", T0 + 1_000)
    assert isinstance(seen, ShowTrial)
    assert seen.trial.shown_ms == T0 - 5_000
    assert seen.left_ms == 9 * MINUTE
    session, took, was_paused = rated_again(session, shown, T0 + 2_000)
    assert (took, was_paused) == (1_000, True)


def test_the_end_is_not_before_the_beginning() -> None:
    session, _ = at_second_step(T0)
    ended = finish(session, T0 - DAY)
    assert ended.finished_ms == session.started_ms
    assert finish(pause(session, T0 + 5), T0 + 9).trials[-1].paused_ms == 4


def test_the_time_that_a_trainee_was_away_is_taken_off_the_block_and_the_answer() -> None:
    session, shown = at_second_step(T0)
    back = rejoined(session, T0 + 9 * MINUTE)  # without it the block would be over
    again, found = show(MADE, back, "", T0 + 9 * MINUTE)
    assert isinstance(found, ShowTrial)
    assert found.trial.trial_id == shown.trial.trial_id
    assert found.left_ms == left_ms(session, BLOCK, T0)
    _, took, was_paused = rated_again(again, found, T0 + 9 * MINUTE + 4_000)
    assert (took, was_paused) == (4_000, True)


def test_a_trainee_who_was_not_away_loses_and_gains_nothing() -> None:
    session, _ = at_second_step(T0)
    assert rejoined(session, T0) is session
    assert rejoined(session, T0 - DAY) is session
    assert rejoined(rejoined(session, T0 + 100), T0 + 100) == rejoined(session, T0 + 100)
    stopped = pause(session, T0 + 100)
    assert rejoined(stopped, T0 + DAY) is stopped
    ended = finish(session, T0 + 100)
    assert rejoined(ended, T0 + DAY) is ended
    new = begun(MADE)
    assert rejoined(new, T0 + DAY) is new


def test_between_two_trials_the_last_answer_is_the_last_sign_of_life() -> None:
    session, shown = at_second_step(T0)
    session, _, _ = rated_again(session, shown, T0 + 5_000)
    back = rejoined(session, T0 + 30 * MINUTE)
    assert left_ms(back, BLOCK, T0 + 30 * MINUTE) == left_ms(session, BLOCK, T0 + 5_000)
