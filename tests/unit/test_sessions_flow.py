"""What a trainee is shown next, which answers are locked, and how a session ends."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from fr_core.errors import InvalidField
from fr_training.answers import Answer, Notes, OddOneOut, PairRating, ProbeSent
from fr_training.courses import Course
from fr_training.errors import (
    BlockExpired,
    DecisionLocked,
    InvalidRating,
    SessionFinished,
    SessionPaused,
    UnknownSitting,
    WrongStep,
)
from fr_training.keys import PairKey, TriadKey
from fr_training.prompts import Role, Step
from fr_training.sessions.flow import finish, lock, new_session, pause, resume, show
from fr_training.sessions.order import next_item
from fr_training.sessions.probes import lock_probe, require_probe, shown_people, shown_pictures
from fr_training.sessions.views import LockedStep, Over, ShowBlock, ShowTrial
from fr_training.trials import Session
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
OTHER = Answer(PairRating(-2))
MINUTE = 60_000


@pytest.fixture(scope="module")
def made() -> Course:
    return course()


def at_block(made: Course, block_id: str) -> Trainee:
    """A trainee who is shown the first trial of a block of the first sitting."""
    trainee = random_trainee(made)
    while (shown := trainee.look()) is not None:
        trainee.trials.append(shown)
        if shown.block.block_id == block_id:
            return trainee
        trainee.reply(shown)
    raise AssertionError(block_id)


LAST = '{id = "b", exercise = "verification", same = 1, different = 0},'


def one_pair(more: str = "", last: str = LAST) -> Course:
    first = f'{{id = "a", exercise = "verification", same = 1, different = 1{more}}},'
    return course(f'format = 1\ntitle = "Short"\n[[sittings]]\nname = "first"\nblocks = [{first}{last}]')


def first_trial(made: Course, block_id: str = "a") -> tuple[Session, ShowTrial]:
    session, shown = show(made, begun(made), block_id, T0)
    assert isinstance(shown, ShowTrial)
    return session, shown


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
    with pytest.raises(UnknownSitting):
        new_session(made, "t", 0, "third", "5" * 32, SECRET, T0)


def test_the_answer_to_a_pair_leads_to_the_next_one(made: Course) -> None:
    session, shown = first_trial(made, "pre")
    assert (shown.number, shown.of, shown.left_ms) == (1, 8, 5 * MINUTE)
    again, once_more = show(made, session, "", T0 + 700)
    assert again is session
    assert once_more == replace(shown, left_ms=5 * MINUTE - 700)
    for wrong, error in ((PairRating(4), InvalidRating), (Notes("x"), WrongStep)):
        with pytest.raises(error):
            lock(made, session, shown.trial.trial_id, Step.RATE, Answer(wrong), T0)
    session, locked = lock(made, session, shown.trial.trial_id, Step.RATE, SAME, T0 + 4_000)
    assert locked == LockedStep(None, None)
    assert session.trials[0].done
    assert [one.took_ms for one in session.trials[0].locked] == [4_000]
    session, following = show(made, session, "", T0 + 5_000)
    assert isinstance(following, ShowTrial)
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
    trainee = at_block(made, "odd")
    shown = trainee.trials[-1]
    key = items_by_id(made)[shown.trial.item_id].key
    assert isinstance(key, TriadKey)
    odd = shown.prompt.pictures[shown.trial.order.index(key.odd)].picture_id
    _, locked = lock(made, trainee.session, shown.trial.trial_id, Step.CHOOSE, Answer(OddOneOut(odd)), trainee.now_ms)
    assert locked.reveal is not None
    assert (locked.reveal.correct, locked.reveal.picture_id) == (True, odd)


@pytest.mark.parametrize(("block", "told"), [("lists", True), ("own", False)])
def test_similarities_are_told_only_where_the_plan_wants_it(made: Course, block: str, told: bool) -> None:
    trainee = at_block(made, block)
    shown: ShowTrial | None = trainee.trials[-1]
    while shown is not None and shown.prompt.step != Step.DECIDE:
        trainee.reply(shown)
        shown = trainee.look()
    assert shown is not None
    _, locked = lock(
        made, trainee.session, shown.trial.trial_id, Step.DECIDE, answer_to(shown, random.Random(2)), trainee.now_ms
    )
    assert locked.reveal is not None
    assert bool(locked.reveal.similarities) is told


def test_the_candidates_come_after_the_notes(made: Course) -> None:
    trainee = at_block(made, "lists")
    shown = trainee.trials[-1]
    assert shown.prompt.step == Step.NOTE
    with pytest.raises(WrongStep) as caught:
        lock(made, trainee.session, shown.trial.trial_id, Step.DECIDE, SAME, trainee.now_ms)
    assert caught.value.metadata["step"] == "note"
    notes = Answer(Notes("a scar"))
    session, locked = lock(made, trainee.session, shown.trial.trial_id, Step.NOTE, notes, trainee.now_ms + 9)
    assert locked.trial is not None
    assert locked.trial.prompt.step == Step.DECIDE
    assert len(locked.trial.photos) == 5
    assert locked.trial.trial == session.trials[-1]
    assert session.trials[-1].shown_ms == trainee.now_ms + 9
    with pytest.raises(DecisionLocked):
        lock(made, session, shown.trial.trial_id, Step.NOTE, Answer(Notes("no scar")), trainee.now_ms + 10)


def test_the_advice_comes_after_the_first_rating(made: Course) -> None:
    trainee = at_block(made, "aid")
    shown = trainee.trials[-1]
    assert shown.prompt.advice is None
    session, locked = lock(made, trainee.session, shown.trial.trial_id, Step.RATE, SAME, trainee.now_ms)
    key = items_by_id(made)[shown.trial.item_id].key
    assert locked.trial is not None
    assert locked.trial.prompt.advice is not None
    assert isinstance(key, PairKey)
    assert locked.trial.prompt.advice.same is key.advice_same
    done, last = lock(made, session, shown.trial.trial_id, Step.RATE_AGAIN, OTHER, trainee.now_ms)
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
    trainee = at_block(made, "lists")
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
    with pytest.raises(SessionFinished):
        pause(session, T0)
    with pytest.raises(SessionFinished):
        resume(session, T0)


def test_a_block_ends_with_its_time_and_its_open_trial_stays_without_an_answer() -> None:
    made = one_pair(", minutes = 1")
    session, shown = first_trial(made)
    just, locked = lock(made, session, shown.trial.trial_id, Step.RATE, SAME, T0 + MINUTE - 1)
    assert locked == LockedStep(None, None)
    assert just.block == 0
    with pytest.raises(BlockExpired):
        lock(made, session, shown.trial.trial_id, Step.RATE, SAME, T0 + MINUTE)
    session, seen = show(made, session, "a", T0 + MINUTE)
    assert seen == ShowBlock(made.plan.blocks[1], 2, 2)
    assert (session.block, session.block_started_ms) == (1, None)
    assert not session.trials[0].done
    with pytest.raises(BlockExpired):
        lock(made, session, shown.trial.trial_id, Step.RATE, SAME, T0 + 1)
    session, following = show(made, session, "b", T0 + MINUTE)
    assert isinstance(following, ShowTrial)
    assert (following.number, following.of, following.left_ms) == (1, 1, None)
    with pytest.raises(BlockExpired):
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
    trainee = at_block(made, "own")
    session, now, trial_id = trainee.session, trainee.now_ms, trainee.trials[-1].trial.trial_id
    assert trainee.trials[-1].prompt.step == Step.SEND_PROBE
    with pytest.raises(WrongStep):
        lock(made, session, trial_id, Step.NOTE, Answer(Notes("x")), now)
    with pytest.raises(WrongStep):
        lock(made, session, trial_id, Step.SEND_PROBE, Answer(PHOTO), now)
    with pytest.raises(InvalidField):
        require_probe(made, session, trial_id, now, ProbeSent("no hash"))
    assert require_probe(made, session, trial_id, now, PHOTO) is None
    with pytest.raises(SessionPaused):
        lock_probe(made, pause(session, now), trial_id, PHOTO, own_list(), now)
    with pytest.raises(ValueError, match="similarities"):
        lock_probe(made, session, trial_id, PHOTO, replace(own_list(), photos=()), now)
    sent, shown = lock_probe(made, session, trial_id, PHOTO, own_list(), now + 50)
    assert (shown.prompt.step, shown.photos) == (Step.NOTE, ())
    assert sorted(sent.trials[-1].order) == [0, 1, 2, 3, 4]
    assert require_probe(made, sent, trial_id, now, PHOTO) == shown
    other = replace(own_list(), photos=tuple(range(5)))
    assert lock_probe(made, sent, trial_id, PHOTO, other, now + 60) == (sent, shown)
    with pytest.raises(DecisionLocked):
        require_probe(made, sent, trial_id, now, ProbeSent("0" * 64))
    with pytest.raises(WrongStep):
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
