"""What became of a session: its rows, its clock, and the ids of its trials and pictures."""

from __future__ import annotations

import hashlib
import random
import string
from dataclasses import replace

import pytest

from fr_training.answers import Answer, Degraded, ListChoice, ListDecision, PairRating, Triage, Usability
from fr_training.courses import Course
from fr_training.errors import UnknownSitting
from fr_training.keys import PairKey
from fr_training.prompts import ExerciseKind, Step
from fr_training.sessions.clock import adjusted, left_ms
from fr_training.sessions.flow import finish, lock, pause, rejoined, resume, show
from fr_training.sessions.order import class_order, digest, picture_ids, rng_of, trial_id
from fr_training.sessions.results import Progress, SessionState, not_started, progress, results
from fr_training.sessions.views import ShowBlock, ShowTrial
from fr_training.trials import Result, Session
from support.sessions import T0, Trainee, answer_to, begun, course, items_by_id, random_trainee


@pytest.fixture(scope="module")
def made() -> Course:
    return course()


@pytest.fixture(scope="module")
def rows(made: Course) -> tuple[Result, ...]:
    """Of a trainee who is always right about pairs and triads' positions do not matter, and decides "none" on lists."""
    items = items_by_id(made)
    draw = random.Random(3)

    def answer(shown: ShowTrial) -> Answer:
        given = answer_to(shown, draw).given
        key = items[shown.trial.item_id].key
        if isinstance(given, PairRating) and isinstance(key, PairKey):
            given = PairRating(3 if key.mated else -3, 0.75)
        if isinstance(given, ListDecision):
            given = replace(given, choice=ListChoice.NONE, picture_id=None)
        if isinstance(given, Triage):
            given = Triage(Usability.LIMITED, frozenset({Degraded.NOISE, Degraded.BLUR}))
        return Answer(given, difficulty=len(shown.trial.locked) + 2)

    return results(made, Trainee(made, begun(made), answer).run())


def of(rows: tuple[Result, ...], block_id: str) -> list[Result]:
    return [row for row in rows if row.block_id == block_id]


def test_there_is_a_row_for_each_trial_in_their_order(made: Course, rows: tuple[Result, ...]) -> None:
    assert [row.ordinal for row in rows] == list(range(8 + 3 + 2 + 3 + 3 + 4 + 1))
    assert {row.item_id for row in rows} == {
        item.item_id for block in made.plan.sittings[0].blocks for item in made.forms[block.forms[0]].items
    }
    assert {(row.trainee_id, row.sitting, row.partner) for row in rows} == {("trainee-1", "first", "")}


def test_a_row_of_a_pair_holds_what_was_shown_answered_and_right(made: Course, rows: tuple[Result, ...]) -> None:
    items = items_by_id(made)
    for row in of(rows, "pre"):
        item = items[row.item_id]
        assert isinstance(item.key, PairKey)
        assert (row.form, row.test, row.exercise, row.feedback) == ("test-a", "pre", ExerciseKind.VERIFICATION, False)
        assert row.truth == row.answer == row.machine == ("same" if item.key.mated else "different")
        assert (row.correct, row.rating, row.p_same) == (True, 3 if item.key.mated else -3, 0.75)
        assert (row.b, row.similarity, row.log10_lr) == (item.b, item.key.similarity, item.key.log10_lr)
        assert (row.difficulty, row.took_ms, row.paused, row.known_to_me) == (2, 1_000, False, False)
        assert row.groups == {"gender": "female"}
    assert [row.truth for row in of(rows, "pre")].count("same") == 4


def test_rows_of_other_exercises_hold_what_is_theirs(rows: tuple[Result, ...]) -> None:
    assert {row.correct for row in of(rows, "lists")} == {True, False}
    assert {row.truth for row in of(rows, "lists")} == {"mate:1", "mate:2", "absent"}
    assert {row.mate_rank for row in of(rows, "lists")} == {2, 3, None}
    assert {(row.answer, row.candidates, row.took_ms) for row in of(rows, "lists")} == {("none", 4, 3_000)}
    assert {row.difficulty for row in of(rows, "lists")} == {3}
    assert {(row.reasons, row.answer) for row in of(rows, "quality")} == {("blur+noise", "limited")}
    assert {row.degraded for row in of(rows, "quality")} == {"", "blur"}
    assert [row.advice == row.truth for row in of(rows, "aid")].count(False) == 1
    assert all(row.rating_before == row.rating for row in of(rows, "aid"))
    assert [(row.truth, row.groups, row.b) for row in of(rows, "own")] == [("mate:2", {}, None)]


def test_a_trial_without_an_answer_has_a_row_that_says_so(made: Course) -> None:
    session, _ = show(made, begun(made), "pre", T0)
    session = finish(resume(pause(session, T0 + 1), T0 + 9), T0 + 10)
    (row,) = results(made, session)
    assert (row.answer, row.correct, row.rating, row.took_ms, row.difficulty) == ("", None, None, None, None)
    assert (row.shown_ms, row.paused) == (T0, True)
    assert row.truth in ("same", "different")


def test_a_trial_that_was_answered_in_part_is_not_answered(made: Course) -> None:
    trainee = random_trainee(made)
    while (shown := trainee.look()) is not None and shown.prompt.step != Step.RATE_AGAIN:
        trainee.reply(shown)
    row = results(made, finish(trainee.session, trainee.now_ms))[-1]
    assert (row.exercise, row.answer, row.correct, row.took_ms) == (ExerciseKind.AIDED, "", None, None)
    assert row.rating_before is not None
    assert row.advice != ""


def test_an_own_probe_that_was_never_sent_has_no_truth(made: Course) -> None:
    trainee = random_trainee(made)
    while (shown := trainee.look()) is not None and shown.prompt.step != Step.SEND_PROBE:
        trainee.reply(shown)
    row = results(made, trainee.session)[-1]
    assert (row.truth, row.answer, row.correct, row.candidates) == ("", "", None, 0)


def test_who_knows_somebody_at_any_step_is_left_out(made: Course) -> None:
    trainee = random_trainee(made)

    def answer(shown: ShowTrial) -> Answer:
        return replace(answer_to(shown, random.Random(1)), known_to_me=shown.prompt.step == Step.RATE)

    trainee.answer = answer
    session = trainee.run()
    rows = results(made, session)
    assert sum(row.known_to_me for row in rows) == 8 + 2 + 4
    seen = progress(made, session)
    assert seen.answered == len(rows)
    assert seen.scored == sum(row.correct is not None for row in rows if not row.known_to_me)


def test_progress_follows_the_session(made: Course) -> None:
    session = begun(made)
    waiting = Progress(0, 24, "pre", SessionState.RUNNING)
    assert progress(made, session) == waiting
    assert not_started(made, "first", 0) == replace(waiting, state=SessionState.NOT_STARTED)
    with pytest.raises(UnknownSitting):
        not_started(made, "third", 0)
    session, shown = show(made, session, "pre", T0)
    assert isinstance(shown, ShowTrial)
    key = items_by_id(made)[shown.trial.item_id].key
    assert isinstance(key, PairKey)
    right = Answer(PairRating(1 if key.mated else -1))
    session, _ = lock(made, session, shown.trial.trial_id, Step.RATE, right, T0 + 5)
    assert progress(made, pause(session, T0 + 9)) == Progress(1, 24, "pre", SessionState.PAUSED, 1, 1, T0 + 5)
    ended = progress(made, finish(session, T0 + 9))
    assert (ended.block_id, ended.state) == ("", SessionState.FINISHED)


def test_a_session_shows_nothing_of_its_secret(made: Course) -> None:
    session: Session = random_trainee(made).run()
    assert repr(session) == "Session(trials=24)"


DAY = 24 * 3_600_000
MINUTE = 60_000
ANSWER = Answer(PairRating(1))
MADE = course(
    """
    format = 1
    title = "Timed"
    [[sittings]]
    name = "first"
    blocks = [
      {id = "a", exercise = "aided", same = 2, different = 2, wrong = 1, minutes = 10},
      {id = "b", exercise = "verification", same = 2, different = 2, minutes = 10},
    ]
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


SECRET = bytes(range(32))


def test_a_digest_is_hmac_sha256() -> None:
    # RFC 2104, written out: H(key ^ opad, H(key ^ ipad, text)), the key filled up to the block of 64 bytes.
    key = SECRET.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(k ^ 0x36 for k in key) + b"trial\x007").digest()
    assert digest(SECRET, "trial", 7) == hashlib.sha256(bytes(k ^ 0x5C for k in key) + inner).digest()
    assert digest(SECRET, "x", 1, 11) != digest(SECRET, "x", 11, 1)  # parts cannot run into each other
    assert digest(SECRET, "x1", 1) != digest(SECRET, "x", 11)


def test_ids_are_hexadecimal_and_each_is_another() -> None:
    ids = [trial_id(SECRET, n) for n in range(200)]
    pictures = [one for n in range(200) for one in picture_ids(SECRET, n, 5)]
    assert {len(one) for one in ids} == {32}
    assert {len(one) for one in pictures} == {16}
    assert len(set(ids)) == 200
    assert len(set(pictures)) == 1_000
    assert set("".join((*ids, *pictures))) <= set(string.hexdigits.lower())
    assert not set(ids) & {trial_id(bytes(32), n) for n in range(200)}
    for byte in range(32):  # every byte of the secret counts
        other = bytes(one ^ (n == byte) for n, one in enumerate(SECRET))
        assert trial_id(other, 0) not in ids
        assert not set(picture_ids(other, 0, 5)) & set(pictures)


def test_a_generator_is_that_of_its_secret_label_and_number() -> None:
    draws = [
        tuple(rng_of(secret, label, number).integers(2**32, size=4))
        for secret, label, number in [
            (SECRET, "order", 1),
            (SECRET, "order", 1),
            (SECRET, "order", 2),
            (SECRET, "own-order", 1),
            (bytes(32), "order", 1),
        ]
    ]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 4


@pytest.mark.parametrize(
    ("same", "different", "trials", "wanted"),
    [(20, 20, 10, {5}), (20, 10, 12, {8}), (3, 1, 4, {3}), (0, 5, 3, {0}), (5, 0, 3, {3}), (1, 1, 1, {0, 1})],
)
def test_an_adaptive_block_has_the_shares_of_its_form(same: int, different: int, trials: int, wanted: set[int]) -> None:
    orders = {class_order(bytes([n] * 32), "b", same, different, trials) for n in range(64)}
    assert {len(order) for order in orders} == {trials}
    assert {sum(order) for order in orders} == wanted


def test_each_place_of_an_adaptive_block_is_as_likely_of_either_class() -> None:
    orders = [class_order(n.to_bytes(32, "big"), "b", 50, 50, 10) for n in range(2_000)]
    # 1,000 of 2,000 are expected at each place, with a standard deviation of 22.
    assert all(900 < sum(order[place] for order in orders) < 1_100 for place in range(10))
