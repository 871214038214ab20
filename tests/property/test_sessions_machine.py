"""Any history of calls, lost replies, crashes and clocks that step leaves a session as undisturbed calls would."""

import hashlib
import pickle
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fr_training.answers import Answer, PairRating
from fr_training.courses import Course
from fr_training.errors import (
    BlockExpired,
    DecisionLocked,
    PausesUsedUp,
    SessionFinished,
    SessionPaused,
    UnknownTrial,
    WrongStep,
)
from fr_training.exercises import exercise_of
from fr_training.prompts import Step
from fr_training.sessions import flow
from fr_training.sessions.clock import MS_PER_MINUTE, open_trial
from fr_training.sessions.flow import finish, show
from fr_training.sessions.order import block_of, class_order, is_mated
from fr_training.sessions.probes import lock_probe
from fr_training.sessions.results import progress, results
from fr_training.sessions.views import LockedStep, Over, ShowBlock, ShowTrial
from fr_training.statistics.item_response import probability
from fr_training.statistics.ordered_probit import GUESS_RATE
from fr_training.trials import Session, Trial
from support.counts import examples
from support.sessions import PHOTO, T0, Trainee, answer_to, begun, course, items_by_id, own_list

MADE = course()
DAY = 24 * 3_600_000
REFUSED = (BlockExpired, SessionFinished, SessionPaused, WrongStep)


class Calls(RuleBasedStateMachine):
    """`session` goes through everything, `plain` through the accepted calls alone, each once."""

    @initialize(
        sitting=st.sampled_from(["first", "second"]),
        group=st.integers(0, 1),
        secret=st.binary(min_size=32, max_size=32),
        seed=st.integers(0, 2**16),
    )
    def begin(self, sitting: str, group: int, secret: bytes, seed: int) -> None:
        self.session: Session = begun(MADE, sitting, group, secret)
        self.plain: Session = self.session
        self.draw = random.Random(seed)
        self.now = T0
        self.replies: dict[tuple[str, Step], tuple[Answer, LockedStep]] = {}
        self.current: ShowTrial | None = None
        self.at_step = 0  # ms in which the present step was shown and time ran
        self.in_block = 0  # ms in which the block ran
        self.forward = self.back = False

    # --- time ---

    @rule(ms=st.sampled_from([1, 700, 8_000, 50_000, 130_000]))
    def wait(self, ms: int) -> None:
        self.now += ms
        if self.session.paused_ms is None:
            self.at_step += ms
            self.in_block += ms

    @rule(ms=st.sampled_from([DAY, -DAY, -3_000, -1]))
    def set_the_clock(self, ms: int) -> None:
        self.now += ms
        self.forward |= ms > 0
        self.back |= ms < 0

    # --- calls that are accepted ---

    @rule()
    def look(self) -> None:
        if self.session.paused_ms is not None and self.session.finished_ms is None:
            with pytest.raises(SessionPaused):
                flow.show(MADE, self.session, "", self.now)
            return
        before = self.session
        seen = self._show("")
        if isinstance(seen, ShowBlock):
            self.in_block = 0
            seen = self._show(seen.block.block_id)
        if isinstance(seen, Over):
            assert self.session.finished_ms is not None
            self.current = None
            return
        assert isinstance(seen, ShowTrial)
        if len(self.session.trials) > len(before.trials):
            self.at_step = 0
        self.current = seen
        self._check_left(seen)
        # The reply was lost.
        again, once_more = flow.show(MADE, self.session, "", self.now)
        assert again is self.session
        assert once_more == seen

    @rule()
    def reply(self) -> None:
        if self.current is None:
            return
        trial, step = self.current.trial, self.current.prompt.step
        answer = Answer(PHOTO) if step == Step.SEND_PROBE else answer_to(self.current, self.draw)
        try:
            session, locked = self._lock(self.session, trial.trial_id, step, answer)
        except REFUSED as error:
            self._check_refusal(error)
            self.current = None
            return
        self.plain, plainly = self._lock(self.plain, trial.trial_id, step, answer)
        assert plainly == locked
        self.session = session
        self._check_took(session.trials[-1])
        self.replies[trial.trial_id, step] = (answer, locked)
        self.current = locked.trial
        self.at_step = 0

    @rule(times=st.integers(1, 8))
    def go_on(self, times: int) -> None:
        for _ in range(times):
            self.wait(700)
            self.look()
            self.reply()

    @rule()
    @precondition(lambda self: self.session.finished_ms is None)
    def pause(self) -> None:
        running, trial = self.session.paused_ms is None, open_trial(self.session)
        if running and trial is not None and not trial.paused_ms and self._paused(trial) >= flow.MOST_PAUSED:
            with pytest.raises(PausesUsedUp):
                flow.pause(MADE, self.session, self.now)
            return
        self.session, self.plain = (flow.pause(MADE, one, self.now) for one in (self.session, self.plain))
        assert flow.pause(MADE, self.session, self.now + 5) is self.session

    @rule()
    @precondition(lambda self: self.session.finished_ms is None)
    def resume(self) -> None:
        self.session, self.plain = (flow.resume(one, self.now) for one in (self.session, self.plain))
        assert flow.resume(self.session, self.now + 5) is self.session

    @rule(sure=st.integers(0, 9))
    def finish(self, sure: int) -> None:
        if sure == 0:
            self.session, self.plain = (flow.finish(one, self.now) for one in (self.session, self.plain))
            assert flow.finish(self.session, self.now + 5) is self.session

    # --- calls that must change nothing ---

    @rule(data=st.data())
    @precondition(lambda self: self.replies)
    def ask_again_what_was_answered(self, data: st.DataObject) -> None:
        trial_id, step = data.draw(st.sampled_from(sorted(self.replies)))
        answer, locked = self.replies[trial_id, step]
        again, repeated = self._lock(self.session, trial_id, step, answer)
        assert again is self.session
        assert _timeless(repeated) == _timeless(locked)
        with pytest.raises(DecisionLocked):
            flow.lock(MADE, self.session, trial_id, step, replace(answer, known_to_me=True), self.now)

    @rule()
    @precondition(lambda self: self.session.trials)
    def answer_out_of_turn(self) -> None:
        trial = self.session.trials[-1]
        block = block_of(MADE, self.session, trial.block_id)
        steps = exercise_of(block.exercise).steps
        for step in Step:
            if step not in steps[: len(trial.locked) + 1]:
                with pytest.raises(REFUSED):
                    flow.lock(MADE, self.session, trial.trial_id, step, Answer(PHOTO), self.now)
        with pytest.raises(UnknownTrial):
            flow.lock(MADE, self.session, "0" * 32, steps[0], Answer(PHOTO), self.now)

    @rule()
    def crash(self) -> None:
        self.session = pickle.loads(pickle.dumps(self.session))
        self.current = None

    # --- what holds at any time ---

    @invariant()
    def undisturbed(self) -> None:
        if hasattr(self, "session"):
            assert self.session == self.plain

    @invariant()
    def in_order(self) -> None:
        if not hasattr(self, "session"):
            return
        trials = self.session.trials
        assert [trial.ordinal for trial in trials] == list(range(len(trials)))
        assert len({trial.item_id for trial in trials}) == len({trial.trial_id for trial in trials}) == len(trials)
        for trial in trials:
            steps = exercise_of(block_of(MADE, self.session, trial.block_id).exercise).steps
            assert tuple(one.step for one in trial.locked) == steps[: len(trial.locked)]
            assert trial.done == (len(trial.locked) == len(steps))
            assert all(one.took_ms >= 0 for one in trial.locked)
            assert trial.paused_ms >= 0

    @invariant()
    def counted_once(self) -> None:
        if not hasattr(self, "session"):
            return
        assert sum(len(trial.locked) for trial in self.session.trials) == len(self.replies)
        rows = results(MADE, self.session)
        assert len(rows) == len(self.session.trials)
        answered = [row for row in rows if row.answer]
        assert len(answered) == progress(MADE, self.session).answered
        assert all(row.took_ms is not None and row.took_ms >= 0 for row in answered)

    def teardown(self) -> None:
        if not hasattr(self, "session") or self.session.finished_ms is not None:
            return
        session = flow.resume(self.session, self.now)
        done = Trainee(MADE, session, lambda shown: answer_to(shown, self.draw), self.now).run()
        assert done.finished_ms is not None
        unanswered = {trial.block_id for trial in done.trials if not trial.done}
        timed = {block.block_id for block in MADE.plan.blocks if block.minutes is not None}
        assert unanswered <= timed

    # --- helpers ---

    def _show(self, begin_block: str) -> ShowTrial | ShowBlock | Over:
        self.session, seen = flow.show(MADE, self.session, begin_block, self.now)
        self.plain, plainly = flow.show(MADE, self.plain, begin_block, self.now)
        assert plainly == seen
        return seen

    def _lock(self, session: Session, trial_id: str, step: Step, answer: Answer) -> tuple[Session, LockedStep]:
        if step == Step.SEND_PROBE:
            session, shown = lock_probe(MADE, session, trial_id, PHOTO, own_list(), self.now)
            return session, LockedStep(shown, None)
        return flow.lock(MADE, session, trial_id, step, answer, self.now)

    def _paused(self, trial: Trial) -> int:
        """Count the answers in the block of a trial that were paused, if the block has a limit."""
        rows = [one for one in self.session.trials if one.block_id == trial.block_id]
        limited = block_of(MADE, self.session, trial.block_id).minutes is not None
        return sum(locked.paused for one in rows for locked in one.locked) if limited else 0

    def _check_took(self, trial: Trial) -> None:
        took = trial.locked[-1].took_ms
        if not self.forward:
            assert took <= self.at_step  # a clock set back takes nothing from a trainee
            assert self.back or took == self.at_step

    def _check_left(self, shown: ShowTrial) -> None:
        if shown.block.minutes is None:
            assert shown.left_ms is None
            return
        limit = shown.block.minutes * MS_PER_MINUTE
        assert shown.left_ms is not None
        assert 0 < shown.left_ms <= limit
        if not self.forward:
            assert shown.left_ms >= limit - self.in_block
            assert self.back or shown.left_ms == limit - self.in_block

    def _check_refusal(self, error: Exception) -> None:
        if isinstance(error, BlockExpired) and not self.forward and not self.back:
            assert self.current is not None
            assert self.in_block >= (self.current.block.minutes or 0) * MS_PER_MINUTE


def _timeless(locked: LockedStep) -> LockedStep:
    """Return an answer without the times that run on."""
    if locked.trial is None:
        return locked
    trial = replace(locked.trial.trial, shown_ms=0, paused_ms=0)
    return LockedStep(replace(locked.trial, left_ms=None, trial=trial), locked.reveal)


Calls.TestCase.settings = settings(max_examples=examples(40), stateful_step_count=40)
TestCalls = Calls.TestCase


TRIALS = 50
PEOPLE = 5
SETTLED = 20  # trials after which the ability is known well enough


def adaptive_course(target: float, same: int = 80, different: int = 80, trials: int = TRIALS) -> Course:
    return course(
        f"""
        format = 1
        title = "Adaptive"
        [[sittings]]
        name = "first"
        [[sittings.blocks]]
        id = "a"
        exercise = "verification"
        adaptive = true
        {same = }
        {different = }
        {trials = }
        {target = }
        """,
        spread=4.0,
    )


def secret(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4, "big")).digest()


def simulated(made: Course, theta: float, seed: int) -> list[float]:
    rng = np.random.default_rng(seed)
    items = items_by_id(made)
    chances: list[float] = []

    def answer(shown: ShowTrial) -> Answer:
        item = items[shown.trial.item_id]
        chances.append(float(probability(theta, item.b or 0.0, GUESS_RATE)))
        return Answer(PairRating(2 if is_mated(item) == (rng.random() < chances[-1]) else -2))

    Trainee(made, begun(made, secret=secret(seed)), answer).run()
    return chances


@pytest.mark.parametrize("target", [0.75, pytest.param(0.85, marks=pytest.mark.nightly)])
def test_trainees_of_any_ability_are_right_as_often_as_planned(target: float) -> None:
    made = adaptive_course(target)
    for theta in (-2.0, 0.0, 2.0):
        chances = np.array([simulated(made, theta, seed) for seed in range(PEOPLE)])
        assert chances.shape == (PEOPLE, TRIALS)
        assert abs(chances[:, SETTLED:].mean() - target) < 0.05
        if theta == 0.0:
            assert abs(chances.mean() - target) < 0.05


def test_items_of_a_fixed_order_would_not_hold_it() -> None:
    # The control: the same trainees, the same items, no adaption.
    items = [item for item in items_by_id(adaptive_course(0.75)).values() if item.b is not None]
    for theta in (-2.0, 2.0):
        assert abs(np.mean([float(probability(theta, item.b or 0.0, GUESS_RATE)) for item in items]) - 0.75) > 0.05


@settings(max_examples=examples(60))
@given(same=st.integers(0, 12), different=st.integers(0, 12), share=st.floats(0.01, 1.0), seed=st.integers(0, 2**16))
def test_a_block_shows_what_was_drawn_whatever_is_answered(same: int, different: int, share: float, seed: int) -> None:
    if same + different == 0:
        return
    trials = max(1, round(share * (same + different)))
    made = adaptive_course(0.8, same, different, trials)
    items = items_by_id(made)
    rng = np.random.default_rng(seed)

    def answer(_: ShowTrial) -> Answer:
        return Answer(PairRating(int(rng.integers(-3, 4))), known_to_me=bool(rng.random() < 0.2))

    session = Trainee(made, begun(made, secret=secret(seed)), answer).run()
    shown = [items[trial.item_id] for trial in session.trials]
    assert len({item.item_id for item in shown}) == trials
    assert tuple(map(is_mated, shown)) == class_order(secret(seed), "a", same, different, trials)


def test_neither_whom_a_trainee_knows_nor_what_was_not_answered_counts() -> None:
    made = adaptive_course(0.75)
    items = items_by_id(made)

    def first_and_second_b(known: bool) -> tuple[float, float]:
        def wrong(shown: ShowTrial) -> Answer:
            return Answer(PairRating(-1 if is_mated(items[shown.trial.item_id]) else 1), known_to_me=known)

        trainee = Trainee(made, begun(made), wrong)
        shown = trainee.look()
        assert shown is not None
        trainee.reply(shown)
        following = trainee.look()
        assert following is not None
        first, second = (items[one.trial.item_id].b or 0.0 for one in (shown, following))
        return first, second

    first, second = first_and_second_b(known=True)
    assert abs(second - first) < 0.2  # as at first
    first, second = first_and_second_b(known=False)
    assert second < first - 0.3


def test_undecided_answers_lead_to_pairs_between_those_of_right_and_of_wrong_ones() -> None:
    made = adaptive_course(0.75)
    items = items_by_id(made)

    def reached(rating: int) -> float:
        """The mean difficulty of the first pairs, until the easiest are used up, of somebody who answers all so.

        Ratings above 0 are right, and some are surer.
        """

        def answer(shown: ShowTrial) -> Answer:
            strength = rating + (shown.number % 4 == 0 and 0 < abs(rating) < 3) * (1 if rating > 0 else -1)
            return Answer(PairRating(strength if is_mated(items[shown.trial.item_id]) else -strength))

        trials = Trainee(made, begun(made), answer).run().trials
        return float(np.mean([items[trial.item_id].b or 0.0 for trial in trials[:7]]))

    wrong, undecided, right = (reached(rating) for rating in (-1, 0, 1))
    assert wrong < undecided < right


def test_a_test_before_an_adaptive_block_says_where_it_begins() -> None:
    toml = """
        format = 1
        title = "Adaptive"
        [[sittings]]
        name = "first"
        blocks = [
          {id = "before", exercise = "verification", same = 15, different = 15},
          {id = "a", exercise = "verification", adaptive = true, same = 40, different = 40, trials = 4},
        ]
        """
    made = course(toml, spread=3.0)
    items = items_by_id(made)

    def first_b(right: bool) -> float:
        def answer(shown: ShowTrial) -> Answer:
            strength = 2 if shown.number % 2 else 3
            return Answer(PairRating(strength if is_mated(items[shown.trial.item_id]) == right else -strength))

        trials = Trainee(made, begun(made), answer).run().trials
        return next(items[trial.item_id].b or 0.0 for trial in trials if trial.block_id == "a")

    assert first_b(right=False) < 0.0 < 1.0 < first_b(right=True)


@pytest.mark.parametrize("block", ["pre", "odd"])
def test_no_order_depends_on_what_is_right(block: str) -> None:
    made = course()
    number = [one.block_id for one in made.plan.blocks].index(block)
    first: Counter[str] = Counter()
    places: Counter[tuple[int, ...]] = Counter()
    sessions = 600
    for n in range(sessions):
        session = begun(made, secret=secret(n))
        # As if the blocks before had been done.
        session = replace(session, block=number)
        session, shown = show(made, session, block, T0)
        assert isinstance(shown, ShowTrial)
        (row,) = results(made, finish(session, T0))
        first[row.truth] += 1
        places[shown.trial.order] += 1
    # Each as often as its share, within 5 standard deviations of a binomial count.
    for counts, kinds in ((first, 2 if block == "pre" else 3), (places, 2 if block == "pre" else 6)):
        expected = sessions / kinds
        assert len(counts) == kinds
        assert all(abs(count - expected) < 5 * (expected * (1 - 1 / kinds)) ** 0.5 for count in counts.values())
