"""Defines everything that the report of a trainee, and of a cohort, says, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fr_core.scoring.intervals import Rate
from fr_locales.messages import Message
from fr_training.grading.ability import AbilityFigures
from fr_training.grading.advice import AidedFigures, PrevalenceFigures
from fr_training.grading.blocks import BlockFigures, KindFigures, OccasionFigures
from fr_training.grading.fusion import CrowdFigures, PairingFigures
from fr_training.grading.groups import GroupFigures
from fr_training.grading.items import ItemRow
from fr_training.grading.rates import Roc
from fr_training.grading.scores import ChangeFigures, LearningFigures, StandingFigures
from fr_training.grading.trainee_means import OwnFigures
from fr_training.grading.values import Counts, Maybe
from fr_training.grading.verification import AgreementFigures
from fr_training.statistics.agreement import Intraclass
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.signal_detection import Sensitivity


@dataclass(frozen=True, slots=True)
class Words:
    """The sentences about the figures, to be rendered; each may be empty."""

    went_well: tuple[Message, ...] = ()  # what went well
    bias: tuple[Message, ...] = ()  # which way the answers lean, with both error rates
    practise: tuple[Message, ...] = ()  # what to practise, and in which exercise
    change: tuple[Message, ...] = ()  # whether more changed than chance would change
    limits: tuple[Message, ...] = ()  # what these figures cannot say


@dataclass(frozen=True, slots=True)
class Extension:
    """A block that took longer than its plan, because the trainer added to its time."""

    block_id: str  # of the plan
    title: str  # as the plan has it
    trainees: int  # who got more time
    minutes: float  # the most that one of them got


@dataclass(frozen=True, slots=True)
class Conduct:
    """The changes of the trainer to the sittings."""

    extended: tuple[Extension, ...] = ()  # in the order of the plan
    closed: tuple[str, ...] = ()  # titles of the sittings that are closed to the cohort now


AS_PLANNED = Conduct()


@dataclass(frozen=True, slots=True)
class TraineeFigures:
    """The figures of a trainee."""

    trainee_id: str  # pseudonym
    words: Words  # what the rest comes to
    counts: Counts  # what became of all trials
    together: KindFigures  # all blocks together; pairs without those that advice or rareness moves
    blocks: tuple[BlockFigures, ...]  # each block
    tests: tuple[OccasionFigures, ...]  # each test
    ability: Maybe[AbilityFigures]  # by all that the ratings say, and what each rating is worth by that model
    changes: tuple[ChangeFigures, ...]  # from the first test to each later one
    standing: StandingFigures  # where the score of the first test stands
    learning: Maybe[LearningFigures]  # right answers as the trials go on
    aided: Maybe[AidedFigures]  # what the machine's advice does
    prevalence: Maybe[PrevalenceFigures]  # what the rareness of pairs of two people does
    groups: tuple[GroupFigures, ...]  # both error rates by the labels of the people shown
    verification: Maybe[AgreementFigures]  # agreement with those whose pairs the trainee verified
    cohort_roc: Maybe[Roc]  # of all trainees' ratings together
    # What the average of several trainees of the cohort is worth, on the form that was rated most.
    crowds: tuple[CrowdFigures, ...]
    conduct: Conduct = AS_PLANNED  # the time that was added, and what is closed


@dataclass(frozen=True, slots=True)
class TraineeRow:
    """A trainee among others."""

    trainee_id: str  # pseudonym
    answered: int  # trials that count
    misses: Maybe[Rate]  # pairs of one person called different, of all plain pairs (`values.PLAIN_PAIRS`)
    false_same: Maybe[Rate]  # pairs of two people called the same
    sensitivity: Maybe[Sensitivity]  # d' and criterion c; c < 0 is too ready to say "same"
    ability: Maybe[Estimate]  # by all that the ratings say, logits; 0 is the mean difficulty of the pairs
    scores: Mapping[str, float] = field(hash=False)  # percent correct by test, of the tests that have a score


@dataclass(frozen=True, slots=True)
class Distribution:
    """Scores of a test among trainees."""

    test: str  # "pre", "post" or "retention"
    trainees: int  # who have a score
    lowest: float  # percent correct
    quarter: float  # a quarter of the trainees score below it
    median: float  # half do
    three_quarters: float  # three quarters do
    highest: float  # percent correct


@dataclass(frozen=True, slots=True)
class CohortChange:
    """From one test to a later one, of the trainees who have a score of both."""

    first: str  # the earlier test
    second: str  # the later one
    trainees: int  # who have both scores
    median_points: float  # median change, points of percent correct
    # Mean change of the trainees' scores with Student's interval, each trainee as their own control.
    mean_points: Maybe[Estimate]
    triads: Maybe[Estimate] | None  # mean change of percent correct of triads; None where no trainee has both scores
    lists: Maybe[Estimate] | None  # likewise, of decisions on lists
    better: Maybe[Rate]  # trainees who are reliably better
    worse: Maybe[Rate]  # trainees who are reliably worse
    needed: float  # points that a reliable change exceeds, the median of the trainees
    norm: Message  # title of the published test that it exceeds too
    rose: int  # trainees whose score rose at all
    fell: int  # trainees whose score fell at all
    p_value: Maybe[float]  # of as unequal numbers of those by chance (exact sign test, two-sided)
    # Of the two scores, differences of level counted (ICC(2,1)); the retest reliability of these forms.
    agreement: Maybe[Intraclass]
    consistency: Maybe[Intraclass]  # without differences of level, such as what everybody learnt (ICC(3,1))


@dataclass(frozen=True, slots=True)
class CohortFigures:
    """The figures of a cohort; pooled ones take all trials as they are, so that a diligent trainee weighs more."""

    trainees: int  # who were shown a trial
    words: Words  # what the rest comes to
    counts: Counts  # what became of all trials
    together: KindFigures  # all blocks together, pooled; pairs without those that advice or rareness moves
    # Means of the trainees' own figures, whose intervals take trainees, and not answers, for independent.
    own: OwnFigures
    blocks: tuple[BlockFigures, ...]  # each block, pooled
    tests: tuple[OccasionFigures, ...]  # each test, pooled
    rows: tuple[TraineeRow, ...]  # each trainee, by pseudonym
    distributions: tuple[Distribution, ...]  # of the scores of each test
    changes: tuple[CohortChange, ...]  # from the first test to each later one
    learning: Maybe[LearningFigures]  # right answers as the trials go on
    aided: Maybe[AidedFigures]  # what the machine's advice does, pooled
    prevalence: Maybe[PrevalenceFigures]  # what the rareness of pairs of two people does, pooled
    groups: tuple[GroupFigures, ...]  # both error rates by the labels of the people shown, pooled
    verification: Maybe[AgreementFigures]  # agreement of verifiers with those whose pairs they verified, pooled
    crowds: tuple[CrowdFigures, ...]  # what the average of 1 to 8 trainees is worth
    pairing: Maybe[PairingFigures]  # whom to pair for second opinions
    items: tuple[ItemRow, ...]  # each item, as trainees answered it
    quarantined: tuple[str, ...]  # ids of items to be looked at before they are used again
    conduct: Conduct = AS_PLANNED  # the time that was added, and what is closed
