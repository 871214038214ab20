"""What became of a session: a row for each trial, and how far it is."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from fr_training.answers import Answer, Degraded, ListChoice, ListDecision, PairRating, Triage, Usability
from fr_training.courses import Course
from fr_training.errors import UnknownSitting
from fr_training.keys import PairKey
from fr_training.prompts import ExerciseKind, Step
from fr_training.sessions.flow import finish, lock, pause, resume, show
from fr_training.sessions.results import Progress, SessionState, not_started, progress, results
from fr_training.sessions.views import ShowTrial
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
