"""Sessions: what is shown next, which answers are locked, the end; their rows, their clock and their ids."""

import hmac
import random
import string
from dataclasses import replace

import pytest

from fr_core.errors import InvalidField
from fr_training import errors
from fr_training.answers import (
    Answer,
    Degraded,
    Draft,
    ListChoice,
    ListDecision,
    Notes,
    OddOneOut,
    PairRating,
    ProbeSent,
    Triage,
    Usability,
)
from fr_training.courses import Course, OperatingPoints
from fr_training.keys import PairKey, TriadKey
from fr_training.prompts import ExerciseKind, Role, Step
from fr_training.sessions.clock import adjusted, left_ms
from fr_training.sessions.flow import MOST_PAUSED, finish, lock, new_session, pause, rejoined, resume, save_draft, show
from fr_training.sessions.order import class_order, digest, next_item, picture_ids, rng_of, trial_id
from fr_training.sessions.probes import lock_probe, require_probe, shown_people, shown_pictures
from fr_training.sessions.results import Progress, SessionState, not_started, progress, results
from fr_training.sessions.views import LockedStep, Over, ShowBlock, ShowTrial
from fr_training.trials import Result, Session
from support.sessions import (
    OWN_GALLERY,
    PHOTO,
    SECRET,
    T0,
    Trainee,
    answer_to,
    begun,
    course,
    items_by_id,
    own_list,
    random_trainee,
)

SAME = Answer(PairRating(2))
MINUTE = 60_000


@pytest.fixture(scope="module")
def made() -> Course:
    return course()


def one_pair(more: str = "", last: str = '{id = "b", exercise = "verification", same = 1, different = 0},') -> Course:
    first = f'{{id = "a", exercise = "verification", same = 1, different = 1{more}}},'
    return course(f'format = 1\ntitle = "Short"\n[[sittings]]\nname = "first"\nblocks = [{first}{last}]')


def at_trial(made: Course, session: Session, now_ms: int, block_id: str = "") -> tuple[Session, ShowTrial]:
    session, shown = show(made, session, block_id, now_ms)
    assert isinstance(shown, ShowTrial)
    return session, shown


def first_trial(made: Course, block_id: str = "a") -> tuple[Session, ShowTrial]:
    return at_trial(made, begun(made), T0, block_id)


def at_step(made: Course, step: Step, block_id: str = "") -> Trainee:
    """A trainee who is shown a step of a trial of the first sitting."""
    trainee = random_trainee(made)
    while (shown := trainee.look()) is not None:
        trainee.trials.append(shown)
        if shown.prompt.step == step and block_id in ("", shown.block.block_id):
            return trainee
        trainee.reply(shown)
    raise AssertionError(step)


def test_a_block_waits_until_it_is_begun(made: Course) -> None:
    session = begun(made)
    again, shown = show(made, session, "", T0 + 5)
    assert again is session
    assert shown == ShowBlock(made.plan.blocks[0], 1, 7)
    with pytest.raises(InvalidField):
        show(made, session, "odd", T0)
    with pytest.raises(InvalidField) as caught:
        show(made, session, "my secret words", T0)
    assert "secret" not in caught.value.message
    with pytest.raises(errors.UnknownSitting):
        new_session(made, "t", 0, "third", "5" * 32, SECRET, T0)


def test_the_answer_to_a_pair_leads_to_the_next_one(made: Course) -> None:
    session, shown = first_trial(made, "pre")
    assert (shown.number, shown.of, shown.left_ms) == (1, 8, 5 * MINUTE)
    again, once_more = show(made, session, "", T0 + 700)
    assert again is session
    assert once_more == replace(shown, left_ms=5 * MINUTE - 700)
    for wrong, error in ((PairRating(4), errors.InvalidRating), (Notes("x"), errors.WrongStep)):
        with pytest.raises(error):
            lock(made, session, shown.trial.trial_id, Step.RATE, Answer(wrong), T0)
    session, locked = lock(made, session, shown.trial.trial_id, Step.RATE, SAME, T0 + 4_000)
    assert locked == LockedStep(None, None)
    assert session.trials[0].done
    assert [one.took_ms for one in session.trials[0].locked] == [4_000]
    session, following = at_trial(made, session, T0 + 5_000)
    assert following.number == 2
    assert following.trial.item_id != shown.trial.item_id
    assert following.trial.shown_ms == T0 + 5_000


def test_the_pictures_are_those_of_the_item_in_the_order_shown(made: Course) -> None:
    items = items_by_id(made)
    trainee = random_trainee(made)
    session = trainee.run()
    assert session.finished_ms is not None
    assert {trial.order for trial in session.trials if trial.block_id == "pre"} == {(0, 1), (1, 0)}
    for shown in trainee.trials:
        photos = items[shown.trial.item_id].photos or tuple(OWN_GALLERY)
        roles = [picture.role for picture in shown.prompt.pictures]
        assert len(shown.photos) == len(roles) == len({picture.picture_id for picture in shown.prompt.pictures})
        if shown.prompt.step == Step.NOTE:
            assert shown.photos == (photos[:1] if Role.PROBE in roles else ())
        elif shown.prompt.step == Step.SEND_PROBE:
            assert shown.photos == ()
        else:
            assert shown.photos == tuple(photos[index] for index in shown.trial.order)
            assert sorted(shown.photos) == sorted(photos)


def test_only_a_block_with_feedback_tells_what_was_right(made: Course) -> None:
    session, shown = first_trial(made, "pre")
    _, locked = lock(made, session, shown.trial.trial_id, Step.RATE, SAME, T0)
    assert locked.reveal is None
    trainee = at_step(made, Step.CHOOSE, "odd")
    shown = trainee.trials[-1]
    key = items_by_id(made)[shown.trial.item_id].key
    assert isinstance(key, TriadKey)
    odd = shown.prompt.pictures[shown.trial.order.index(key.odd)].picture_id
    _, locked = lock(made, trainee.session, shown.trial.trial_id, Step.CHOOSE, Answer(OddOneOut(odd)), trainee.now_ms)
    assert locked.reveal is not None
    assert (locked.reveal.correct, locked.reveal.picture_id) == (True, odd)


@pytest.mark.parametrize(("block", "told"), [("lists", True), ("own", False)])
def test_similarities_are_told_only_where_the_plan_wants_it(made: Course, block: str, told: bool) -> None:
    trainee = at_step(made, Step.DECIDE, block)
    shown, answer = trainee.trials[-1], answer_to(trainee.trials[-1], random.Random(2))
    _, locked = lock(made, trainee.session, shown.trial.trial_id, Step.DECIDE, answer, trainee.now_ms)
    assert locked.reveal is not None
    assert bool(locked.reveal.similarities) is told


def test_the_candidates_come_after_the_notes(made: Course) -> None:
    trainee = at_step(made, Step.NOTE, "lists")
    shown = trainee.trials[-1]
    with pytest.raises(errors.WrongStep) as caught:
        lock(made, trainee.session, shown.trial.trial_id, Step.DECIDE, SAME, trainee.now_ms)
    assert caught.value.metadata["step"] == "note"
    notes = Answer(Notes("a scar"))
    session, locked = lock(made, trainee.session, shown.trial.trial_id, Step.NOTE, notes, trainee.now_ms + 9)
    assert locked.trial is not None
    assert locked.trial.prompt.step == Step.DECIDE
    assert len(locked.trial.photos) == 5
    assert locked.trial.trial == session.trials[-1]
    assert session.trials[-1].shown_ms == trainee.now_ms + 9
    with pytest.raises(errors.DecisionLocked):
        lock(made, session, shown.trial.trial_id, Step.NOTE, Answer(Notes("no scar")), trainee.now_ms + 10)


def test_the_advice_comes_after_the_first_rating(made: Course) -> None:
    trainee = at_step(made, Step.RATE, "aid")
    shown = trainee.trials[-1]
    assert shown.prompt.advice is None
    session, locked = lock(made, trainee.session, shown.trial.trial_id, Step.RATE, SAME, trainee.now_ms)
    key = items_by_id(made)[shown.trial.item_id].key
    assert locked.trial is not None
    assert locked.trial.prompt.advice is not None
    assert isinstance(key, PairKey)
    assert locked.trial.prompt.advice.same is key.advice_same
    done, last = lock(made, session, shown.trial.trial_id, Step.RATE_AGAIN, Answer(PairRating(-2)), trainee.now_ms)
    assert last.trial is None
    # The reply to the first rating was lost: it comes again as it was, whatever followed.
    trainee.session = done
    for state in (session, done, trainee.run()):
        again, repeated = lock(made, state, shown.trial.trial_id, Step.RATE, SAME, trainee.now_ms)
        assert again is state
        assert repeated.trial is not None
        assert repeated.trial.prompt == locked.trial.prompt
        assert repeated.trial.trial.locked == locked.trial.trial.locked
        assert repeated.trial.photos == locked.trial.photos


def test_a_reply_that_comes_again_after_its_block_has_no_time_left(made: Course) -> None:
    trainee = at_step(made, Step.NOTE, "lists")
    trial_id, now, notes = trainee.trials[-1].trial.trial_id, trainee.now_ms, Answer(Notes("a scar"))
    session, locked = lock(made, trainee.session, trial_id, Step.NOTE, notes, now)
    assert locked.trial is not None
    assert locked.trial.left_ms == 2 * MINUTE
    for later in (show(made, session, "", now + 3 * MINUTE)[0], finish(session, now)):
        _, repeated = lock(made, later, trial_id, Step.NOTE, notes, now + 3 * MINUTE)
        assert repeated == LockedStep(replace(locked.trial, left_ms=0), None)


def test_the_last_answer_of_the_last_block_ends_the_session() -> None:
    made = one_pair()
    trainee = random_trainee(made)
    session = trainee.run()
    assert session.finished_ms == trainee.trials[-1].trial.shown_ms + 1_000
    assert session.block == 2
    assert all(trial.done for trial in session.trials)
    again, seen = show(made, session, "a", T0 + MINUTE)
    assert again is session
    assert seen == Over(3, 3)
    with pytest.raises(errors.SessionFinished):
        pause(made, session, T0)
    with pytest.raises(errors.SessionFinished):
        resume(session, T0)


def test_a_block_ends_with_its_time_and_its_open_trial_stays_without_an_answer() -> None:
    made = one_pair(", minutes = 1")
    session, shown = first_trial(made)
    just, locked = lock(made, session, shown.trial.trial_id, Step.RATE, SAME, T0 + MINUTE - 1)
    assert locked == LockedStep(None, None)
    assert just.block == 0
    with pytest.raises(errors.BlockExpired):
        lock(made, session, shown.trial.trial_id, Step.RATE, SAME, T0 + MINUTE)
    session, seen = show(made, session, "a", T0 + MINUTE)
    assert seen == ShowBlock(made.plan.blocks[1], 2, 2)
    assert (session.block, session.block_started_ms) == (1, None)
    assert not session.trials[0].done
    with pytest.raises(errors.BlockExpired):
        lock(made, session, shown.trial.trial_id, Step.RATE, SAME, T0 + 1)
    session, following = at_trial(made, session, T0 + MINUTE, "b")
    assert (following.number, following.of, following.left_ms) == (1, 1, None)
    with pytest.raises(errors.BlockExpired):
        lock(made, session, shown.trial.trial_id, Step.RATE, SAME, T0 + MINUTE)
    alone = one_pair(", minutes = 1", last="")
    session, seen = show(alone, first_trial(alone)[0], "", T0 + MINUTE)
    assert (seen, session.finished_ms) == (Over(0, 2), T0 + MINUTE)


def test_a_form_with_fewer_items_than_planned_ends_its_block_with_them() -> None:
    made = one_pair()
    form = made.forms["a"]
    made = replace(made, forms={**made.forms, "a": replace(form, items=form.items[:1])})
    trainee = random_trainee(made)
    session = trainee.run()
    assert [(one.block.block_id, one.number, one.of) for one in trainee.trials] == [("a", 1, 1), ("b", 1, 1)]
    assert show(made, session, "", T0)[1] == Over(2, 2)
    empty = replace(made, forms={**made.forms, "a": replace(form, items=())})
    assert show(empty, begun(empty), "", T0)[1] == ShowBlock(made.plan.blocks[1], 2, 2)


def test_the_order_is_another_in_every_session_and_the_same_in_every_process(made: Course) -> None:
    block = made.plan.blocks[0]
    orders = set()
    for n in range(40):
        session = begun(made, secret=bytes([n] * 32))
        item = next_item(made, session, block)
        assert item == next_item(made, replace(session), block)
        assert item is not None
        orders.add(item.item_id)
    assert orders == {item.item_id for item in made.forms["test-a"].items}


def test_an_own_probe_is_sent_once_and_its_list_stays(made: Course) -> None:
    trainee = at_step(made, Step.SEND_PROBE, "own")
    session, now, trial_id = trainee.session, trainee.now_ms, trainee.trials[-1].trial.trial_id
    with pytest.raises(errors.WrongStep):
        lock(made, session, trial_id, Step.NOTE, Answer(Notes("x")), now)
    with pytest.raises(errors.WrongStep):
        lock(made, session, trial_id, Step.SEND_PROBE, Answer(PHOTO), now)
    with pytest.raises(InvalidField):
        require_probe(made, session, trial_id, now, ProbeSent("no hash"))
    assert require_probe(made, session, trial_id, now, PHOTO) is None
    with pytest.raises(errors.SessionPaused):
        lock_probe(made, pause(made, session, now), trial_id, PHOTO, own_list(), now)
    with pytest.raises(ValueError, match="similarities"):
        lock_probe(made, session, trial_id, PHOTO, replace(own_list(), photos=()), now)
    sent, shown = lock_probe(made, session, trial_id, PHOTO, own_list(), now + 50)
    assert (shown.prompt.step, shown.photos) == (Step.NOTE, ())
    assert sorted(sent.trials[-1].order) == [0, 1, 2, 3, 4]
    assert require_probe(made, sent, trial_id, now, PHOTO) == shown
    other = replace(own_list(), photos=tuple(range(5)))
    assert lock_probe(made, sent, trial_id, PHOTO, other, now + 60) == (sent, shown)
    with pytest.raises(errors.DecisionLocked):
        require_probe(made, sent, trial_id, now, ProbeSent("0" * 64))
    with pytest.raises(errors.WrongStep):
        require_probe(made, sent, trial_id, now)
    session, locked = lock(made, sent, trial_id, Step.NOTE, Answer(Notes("x")), now + 70)
    assert locked.trial is not None
    assert sorted(locked.trial.photos) == list(OWN_GALLERY)
    assert lock_probe(made, finish(session, now + 80), trial_id, PHOTO, other, now + 90)[1] == shown


def test_people_and_pictures_that_were_shown_are_known(made: Course) -> None:
    session, shown = first_trial(made, "pre")
    item = items_by_id(made)[shown.trial.item_id]
    assert shown_people(made, session) == frozenset(item.people)
    assert shown_pictures(made, session) == frozenset(item.photos)
    assert set(OWN_GALLERY) <= shown_pictures(made, random_trainee(made).run())
    assert shown_people(made, begun(made)) == shown_pictures(made, begun(made)) == frozenset()


@pytest.fixture(scope="module")
def rows(made: Course) -> tuple[Result, ...]:
    """Of a trainee who is right about every pair and decides "none" on lists."""
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


def test_rows_are_of_each_trial_and_hold_what_is_theirs(made: Course, rows: tuple[Result, ...]) -> None:
    assert [row.ordinal for row in rows] == list(range(8 + 3 + 2 + 3 + 3 + 4 + 1))
    assert {row.item_id for row in rows} == {
        item.item_id for block in made.plan.sittings[0].blocks for item in made.forms[block.forms[0]].items
    }
    assert {(row.trainee_id, row.sitting, row.partner) for row in rows} == {("trainee-1", "first", "")}
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


def test_the_machine_says_same_from_the_threshold_on(made: Course) -> None:
    draw = random.Random(4)
    session = Trainee(made, begun(made), lambda shown: answer_to(shown, draw)).run()
    best = max(row.similarity or 0.0 for row in results(made, session))
    for points, said in (
        (OperatingPoints(best, best + 1e-9), ("same", "different")),
        (OperatingPoints(), ("", "")),
    ):
        found = results(replace(made, machine=points), session)
        row = next(one for one in found if one.similarity == best)
        assert (row.machine_search, row.machine_at_fmr) == said


def test_unfinished_trials_have_rows_without_an_answer(made: Course) -> None:
    session, _ = show(made, begun(made), "pre", T0)
    session = finish(resume(pause(made, session, T0 + 1), T0 + 9), T0 + 10)
    (row,) = results(made, session)
    assert (row.answer, row.correct, row.rating, row.took_ms, row.difficulty) == ("", None, None, None, None)
    assert (row.shown_ms, row.paused) == (T0, True)
    assert row.truth in ("same", "different")
    trainee = at_step(made, Step.RATE_AGAIN)
    row = results(made, finish(trainee.session, trainee.now_ms))[-1]
    assert (row.exercise, row.answer, row.correct, row.took_ms) == (ExerciseKind.AIDED, "", None, None)
    assert row.rating_before is not None
    assert row.advice != ""
    row = results(made, at_step(made, Step.SEND_PROBE).session)[-1]  # an own probe that was never sent
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
    with pytest.raises(errors.UnknownSitting):
        not_started(made, "third", 0)
    session, shown = at_trial(made, session, T0, "pre")
    key = items_by_id(made)[shown.trial.item_id].key
    assert isinstance(key, PairKey)
    right = Answer(PairRating(1 if key.mated else -1))
    session, _ = lock(made, session, shown.trial.trial_id, Step.RATE, right, T0 + 5)
    assert progress(made, pause(made, session, T0 + 9)) == Progress(1, 24, "pre", SessionState.PAUSED, 1, 1, T0 + 5)
    ended = progress(made, finish(session, T0 + 9))
    assert (ended.block_id, ended.state) == ("", SessionState.FINISHED)


def test_a_session_shows_nothing_of_its_secret(made: Course) -> None:
    assert repr(random_trainee(made).run()) == "Session(trials=24)"


DAY = 24 * 3_600_000
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
    session, shown = at_trial(MADE, begun(MADE), now_ms - MINUTE, "a")
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
    session, seen = at_trial(MADE, session, T0 - DAY)
    assert seen.left_ms == 9 * MINUTE
    assert show(MADE, session, "", T0 - DAY)[0] is session
    session, took, _ = rated_again(session, shown, T0 - DAY + passed)
    assert took == passed
    assert left_ms(session, BLOCK, T0 - DAY + passed) == 9 * MINUTE - passed


def test_a_clock_set_back_between_two_trials_leaves_the_block_its_time_at_most() -> None:
    session, shown = at_second_step(T0)
    session, _, _ = rated_again(session, shown, T0)
    session, seen = at_trial(MADE, session, T0 - DAY)
    assert seen.left_ms == 10 * MINUTE
    with_time, seen = at_trial(MADE, session, T0 - DAY + 10 * MINUTE - 1)
    assert isinstance(show(MADE, with_time, "", T0 - DAY + 10 * MINUTE)[1], ShowBlock)


def test_a_clock_set_forward_ends_the_block_but_not_the_session() -> None:
    session, _ = at_second_step(T0)
    session, seen = show(MADE, session, "", T0 + DAY)
    assert isinstance(seen, ShowBlock)
    session, seen = at_trial(MADE, session, T0 + DAY, "b")
    # Set right again, it must not give the next block a day.
    session, seen = at_trial(MADE, session, T0)
    assert seen.left_ms == 10 * MINUTE
    trainee = Trainee(MADE, session, lambda _: ANSWER, now_ms=T0)
    assert len([trial for trial in trainee.run().trials if trial.done]) == 4


@pytest.mark.parametrize("resumed_at", [T0 + MINUTE, T0, T0 - DAY, T0 + DAY])
def test_a_pause_stops_the_time_whatever_the_clock_shows_after_it(resumed_at: int) -> None:
    session, shown = at_second_step(T0 - 5_000)
    session = resume(pause(MADE, session, T0), resumed_at)
    assert left_ms(session, BLOCK, resumed_at) == 9 * MINUTE - 5_000
    session, took, was_paused = rated_again(session, shown, resumed_at + 2_000)
    assert (took, was_paused) == (7_000, True)
    assert left_ms(session, BLOCK, resumed_at + 2_000) == 9 * MINUTE - 7_000


def test_a_clock_set_forward_in_a_pause_and_back_before_the_beginning() -> None:
    session, shown = at_second_step(T0 - 5_000)
    session = resume(pause(MADE, session, T0), T0 + DAY)
    session, seen = at_trial(MADE, session, T0 + 1_000)
    assert seen.trial.shown_ms == T0 - 5_000
    assert seen.left_ms == 9 * MINUTE
    session, took, was_paused = rated_again(session, shown, T0 + 2_000)
    assert (took, was_paused) == (1_000, True)
    session, _ = at_second_step(T0)
    ended = finish(session, T0 - DAY)
    assert ended.finished_ms == session.started_ms
    assert finish(pause(MADE, session, T0 + 5), T0 + 9).trials[-1].paused_ms == 4


def test_the_time_that_a_trainee_was_away_is_taken_off_the_block_and_the_answer() -> None:
    session, shown = at_second_step(T0)
    back = rejoined(MADE, session, T0 + 9 * MINUTE)  # without it the block would be over
    again, found = at_trial(MADE, back, T0 + 9 * MINUTE)
    assert found.trial.trial_id == shown.trial.trial_id
    assert found.left_ms == left_ms(session, BLOCK, T0)
    _, took, was_paused = rated_again(again, found, T0 + 9 * MINUTE + 4_000)
    assert (took, was_paused) == (4_000, True)


def test_time_away_counts_from_the_last_answer() -> None:
    session, _ = at_second_step(T0)
    assert rejoined(MADE, session, T0) is session
    assert rejoined(MADE, session, T0 - DAY) is session
    assert rejoined(MADE, rejoined(MADE, session, T0 + 100), T0 + 100) == rejoined(MADE, session, T0 + 100)
    stopped = pause(MADE, session, T0 + 100)
    assert rejoined(MADE, stopped, T0 + DAY) is stopped
    ended = finish(session, T0 + 100)
    assert rejoined(MADE, ended, T0 + DAY) is ended
    new = begun(MADE)
    assert rejoined(MADE, new, T0 + DAY) is new
    session, shown = at_second_step(T0)
    session, _, _ = rated_again(session, shown, T0 + 5_000)
    back = rejoined(MADE, session, T0 + 30 * MINUTE)
    assert left_ms(back, BLOCK, T0 + 30 * MINUTE) == left_ms(session, BLOCK, T0 + 5_000)


def test_a_clock_set_back_leaves_whoever_comes_back_the_time_away() -> None:
    session, shown = at_second_step(T0)
    session, _ = save_draft(MADE, session, shown.trial.trial_id, Draft(), T0 + 1_000)
    session, seen = at_trial(MADE, session, T0 - DAY)
    assert seen.left_ms == 9 * MINUTE
    back = rejoined(MADE, session, T0 - DAY + 9 * MINUTE)
    assert left_ms(back, BLOCK, T0 - DAY + 9 * MINUTE) == 9 * MINUTE


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("limited", [False, True])
def test_the_time_of_a_limited_block_stops_for_a_few_answers(limited: bool, lost: bool) -> None:
    pairs = '{id = "a", exercise = "verification", same = 4, different = 4MINUTES}'
    made = course(
        'format = 1\ntitle = "Pairs"\n[[sittings]]\nname = "first"\n'
        f"blocks = [{pairs.replace('MINUTES', ', minutes = 5' if limited else '')}]"
    )
    session, now = begun(made), T0
    session, shown = at_trial(made, session, now, "a")

    def stopped(session: Session) -> Session:
        nonlocal now
        began, now = now, now + DAY
        return rejoined(made, session, now) if lost else resume(pause(made, session, began), now)

    for _ in range(MOST_PAUSED):
        for _ in range(2):  # at one answer, as often as is wanted
            session = stopped(session)
            assert left_ms(session, shown.block, now) == (5 * MINUTE if limited else None)
        session, _ = lock(made, session, shown.trial.trial_id, Step.RATE, ANSWER, now)
        session = stopped(session)  # nothing is shown: it counts for nothing
        session, shown = at_trial(made, session, now)
    if not limited:
        assert stopped(session).trials[-1].paused_ms
    elif lost:
        assert stopped(session) is session
    else:
        with pytest.raises(errors.PausesUsedUp):
            pause(made, session, now)


def test_ids_are_digests_of_the_secret() -> None:
    assert digest(SECRET, "trial", 7) == hmac.digest(SECRET, b"trial\x007", "sha256")
    assert digest(SECRET, "x", 1, 11) != digest(SECRET, "x", 11, 1)  # parts cannot run into each other
    assert digest(SECRET, "x1", 1) != digest(SECRET, "x", 11)
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
