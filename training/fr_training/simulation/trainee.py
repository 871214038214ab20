"""Defines simulated trainees: people of known abilities, by which they answer every step of every exercise."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import exp, isfinite, sqrt

import numpy as np

from fr_training.answers import Answer, Conclusion, FileHash, Notes, OptionChosen, PairRating, ProbeSent, Read
from fr_training.exercises.exercise import given_at
from fr_training.grading.kinds import CHANCE
from fr_training.keys import AnswerKey, EvidenceKey, LabKey, LessonKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.prompts import Step
from fr_training.sessions.views import ShowTrial
from fr_training.simulation import answers
from fr_training.simulation.answers import USUAL_SCALE, Scale
from fr_training.statistics.item_response import probability
from fr_training.statistics.ordered_probit import GUESS_RATE


@dataclass(frozen=True, slots=True)
class Abilities:
    """The abilities of somebody."""

    dprime: float  # d' on pairs, at least 0
    criterion: float = 0.0  # c on pairs, in units of d'; above 0 says "different" more readily
    advice_weight: float = 0.0  # how far the criterion moves towards a machine's advice, in units of d'; 0 is unmoved
    memory: float = 0.8  # correlation, in [0, 1], of what two looks at a pair tell; a second rating follows it
    theta: float = 0.0  # ability on adaptive blocks and triads, in logits on the scale of item difficulties
    scale: Scale = USUAL_SCALE  # of ratings
    drift: float = 0.0  # how far the criterion moves from the begin of a block to its middle, and on to its end
    slips: float = 0.0  # share of ratings, in [0, 1], that are given without looking, each as likely as another
    picks_mate: float = 0.65  # chance of picking the person searched for, where it is in the list
    picks_foil: float = 0.15  # chance of picking somebody else, where the person is in the list
    false_alarm: float = 0.25  # chance of picking somebody where the person is not in the list
    inconclusive: float = 0.1  # chance of leaving a list inconclusive in which nobody was picked
    triage: float = 0.75  # chance of judging the use of a photo rightly
    median_ms: float = 4_000.0  # median time for each picture that is shown, milliseconds
    spread: float = 0.5  # standard deviation of the logarithm of times

    def __post_init__(self) -> None:
        if not all(map(isfinite, (self.dprime, self.criterion, self.advice_weight, self.theta))) or self.dprime < 0.0:
            raise ValueError("d' is finite and at least 0; criterion, weight of advice and theta are finite.")
        shares = (self.picks_mate + self.picks_foil, self.picks_mate, self.picks_foil)
        if not all(
            0.0 <= one <= 1.0 for one in (*shares, self.false_alarm, self.inconclusive, self.triage, self.memory)
        ):
            raise ValueError("Chances and memory lie in [0, 1], the chances of the mate and of a foil together too.")
        if not (0.0 < self.median_ms < 1e9 and 0.0 <= self.spread < 5.0):
            raise ValueError("A median time is above 0, and the spread of its logarithm from 0 to 5.")

    @property
    def says_same_above(self) -> float:
        """The criterion as figures see it: what lies above is called "same", and the undecided are not."""
        return self.criterion + self.scale.undecided


@dataclass(frozen=True, slots=True)
class Hardness:
    """The difficulty of items for people, where it differs from the machine's."""

    correlation: float = 1.0  # of both, in [-1, 1]; the spread is that of the machine's
    easier: float = 0.0  # logits by which all items are easier for people than the machine says

    def of(self, item_id: str, b: float) -> float:
        """The difficulty for people of an item whose difficulty by the machine is `b`; the same for all of them."""
        if self.correlation == 1.0:
            return b - self.easier
        own = int.from_bytes(hashlib.sha256(item_id.encode()).digest()[:6], "big") / 2**48
        apart = answers.strength_of(own)  # z of it, standard normal over items
        return self.correlation * b + sqrt(1.0 - self.correlation**2) * apart - self.easier


BY_MACHINE = Hardness()


@dataclass(frozen=True, slots=True)
class SimulatedTrainee:
    """Somebody who is told what is right and errs by the abilities nevertheless."""

    abilities: Abilities  # what somebody can do
    # Ids of blocks of pairs that are answered by theta and the difficulty of each item, beside adaptive blocks; all
    # other pairs are answered by d' and c. None for all blocks.
    by_ability: frozenset[str] | None = frozenset()
    hardness: Hardness = BY_MACHINE  # how hard items are for people

    def answer(self, show: ShowTrial, key: AnswerKey | None, b: float | None, rng: np.random.Generator) -> Answer:
        """An answer that `Exercise.check` lets pass to the trial at the step that it waits for.

        The key is None while it is unknown what is right, as for an own probe that was not sent; a difficulty of None
        counts as 0, the mean.

        Raises:
            ValueError: the key is one of another exercise.
        """
        match show.prompt.step, key:
            case ((Step.RATE | Step.RATE_AGAIN), PairKey()):
                return self._rated(show, key, b, rng)
            case Step.OBSERVE, PairKey():
                strength = self._strength(show, b)
                return Answer(answers.draw_observations(show.prompt.components, key.mated, strength, rng))
            case Step.CHOOSE, TriadKey():
                right = float(probability(self.abilities.theta, b or 0.0, CHANCE))
                ids = answers.photos_shown(show.prompt.pictures, show.trial.order)
                return Answer(answers.odd_one_out(key, ids, right, rng))
            case Step.DECIDE, (ListKey() | None):
                mine = self.abilities
                chances = (mine.picks_mate, mine.picks_foil, mine.false_alarm, mine.inconclusive)
                ids = answers.photos_shown(show.prompt.pictures, show.trial.order)
                return Answer(answers.list_decision(key, ids, chances, rng))
            case Step.TRIAGE, TriageKey():
                return Answer(answers.draw_triage(key, self.abilities.triage, rng))
            case Step.PREDICT, LabKey():
                return Answer(answers.draw_prediction(key, rng))
            case Step.CONCLUDE, LabKey():
                right = rng.random() < self.abilities.triage  # both are judgements of a photo or a table
                return Answer(Conclusion(key.right if right else key.right + 1))
            case Step.HASH, EvidenceKey():
                return Answer(FileHash(key.original))
            case Step.DERIVE, EvidenceKey():
                return Answer(FileHash(key.crop))
            case Step.CONCLUDE, EvidenceKey():
                right = rng.random() < self.abilities.triage
                return Answer(Conclusion(key.broken if right else key.broken + 1))
            case Step.READ, _:
                return Answer(Read())
            case Step.ANSWER, LessonKey() if show.prompt.lesson is not None:
                right = rng.random() < self.abilities.triage
                place = show.trial.order.index(key.right if right else (key.right + 1) % len(key.reasons))
                return Answer(OptionChosen(show.prompt.lesson.option_ids[place]))
            case Step.NOTE, _:
                first, second = rng.choice(len(answers.SEEN), 2, replace=False)
                return Answer(Notes(f"{answers.SEEN[int(first)]}, {answers.SEEN[int(second)]}"))
            case Step.SEND_PROBE, _:
                return Answer(ProbeSent(rng.bytes(32).hex()))  # the hash of a photo that nobody has
        raise ValueError(f"At {show.prompt.step} a trainee is not told what is right by a {type(key).__name__}.")

    def took_ms(self, show: ShowTrial, rng: np.random.Generator) -> int:
        """Draw the time of an answer, log-normal, in proportion to the pictures shown; milliseconds, at least 1.

        Source of the shape: R. D. Luce, "Response Times: Their Role in Inferring Elementary Mental Organization",
        Oxford University Press (1986).
        """
        mine = self.abilities
        pictures = max(1, len(show.prompt.pictures))
        return max(1, round(mine.median_ms * pictures * exp(mine.spread * float(rng.standard_normal()))))

    def _rated(self, show: ShowTrial, key: PairKey, b: float | None, rng: np.random.Generator) -> Answer:
        strength = self._strength(show, b)
        criterion, scale = self.abilities.criterion, self.abilities.scale
        criterion += self.abilities.drift * ((2.0 * show.number - 1.0) / show.of - 1.0)
        if self.abilities.slips and rng.random() < self.abilities.slips:
            return Answer(PairRating(int(rng.integers(-3, 4))))
        before = given_at(show.trial.locked, Step.RATE)
        if show.prompt.step == Step.RATE_AGAIN and isinstance(before, PairRating) and show.prompt.advice is not None:
            low, high = (criterion + end for end in scale.range_of(before.rating))
            seen = answers.second_evidence(key.mated, strength, low, high, self.abilities.memory, rng)
            criterion += -self.abilities.advice_weight if show.prompt.advice.same else self.abilities.advice_weight
        else:
            seen = answers.first_evidence(key.mated, strength, rng)
        rating = answers.rating_of(seen, criterion, strength, scale)
        return Answer(rating, difficulty=answers.felt_difficulty(seen - criterion))

    def _goes_by_ability(self, show: ShowTrial) -> bool:
        return show.block.adaptive or self.by_ability is None or show.block.block_id in self.by_ability

    def _strength(self, show: ShowTrial, b: float | None) -> float:
        """m of the pair, see `fr_training.simulation`."""
        if not self._goes_by_ability(show):
            return self.abilities.dprime / 2
        hard = self.hardness.of(show.trial.item_id, b or 0.0)
        return answers.strength_of(float(probability(self.abilities.theta, hard, GUESS_RATE)))


@dataclass(frozen=True, slots=True)
class Spread:
    """A normal distribution."""

    mean: float
    sd: float  # of it, at least 0

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        return float(rng.normal(self.mean, self.sd))


@dataclass(frozen=True, slots=True)
class Population:
    """People.

    The Glasgow Face Matching Test, 40 pairs, is answered 81 % right with a standard deviation of 9.7 points
    (`fr_training.statistics.change`). The chance of 40 answers alone makes sqrt(.81 * .19 / 40) = 6.2 points of it,
    which leaves 7.5 for people.

    * d' = 2 z(.81) = 1.76 for an unbiased person; 7.5 points are .55 of it, as d(% right)/dd' = phi(.88)/2 = .136;
    * theta: .6 and .8 give 81 % and 7.5 points on a fixed form whose difficulties have mean 0 and SD 1, g = 1/2
      (`tests/unit/test_simulation_trainees.py` adds it up);
    * the spread of c, and what advice weighs, are assumed: Howard and others (2020, see
      `fr_training.statistics.advice`) found criteria moved by a step of their scale, and people who differ;
    * how wide the scale of ratings is, is assumed: two people of three within a factor of 1.35;
    * that two looks at a pair agree to .8 is assumed. Of people who see exactly the same twice, the interval of the net
      change by advice covers some 98 of 100 (1,500 simulated): it is then on the safe side.
    """

    dprime: Spread = Spread(1.76, 0.55)  # below 0 it is drawn again
    criterion: Spread = Spread(0.0, 0.25)  # c
    advice_weight: Spread = Spread(0.3, 0.2)  # below 0 are people who lean away from a machine
    theta: Spread = Spread(0.6, 0.8)  # ability
    log_scale: Spread = Spread(0.0, 0.3)  # natural logarithm of how wide the scale of ratings is
    drift: Spread = Spread(0.0, 0.0)  # of criteria, within each block
    slips: float = 0.0  # share of ratings given without looking, the same for all
    memory: float = 0.8  # correlation of two looks, in [0, 1], the same for all
    scale: Scale = USUAL_SCALE  # of ratings, whose width is each person's own

    def draw(self, rng: np.random.Generator) -> Abilities:
        """Draw a person; the figures do not go together."""
        dprime = self.dprime.draw(rng)
        while dprime < 0.0:
            dprime = self.dprime.draw(rng)
        return Abilities(
            dprime=dprime,
            criterion=self.criterion.draw(rng),
            advice_weight=self.advice_weight.draw(rng),
            memory=self.memory,
            theta=self.theta.draw(rng),
            scale=self.scale.wider(exp(self.log_scale.draw(rng))),
            drift=self.drift.draw(rng),
            slips=self.slips,
        )
