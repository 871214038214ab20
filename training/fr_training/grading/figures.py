"""Defines everything that the report of a trainee, and of a cohort, says, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fr_core.scoring.intervals import Rate
from fr_locales.messages import Message
from fr_training.grading.advice import AidedFigures, PrevalenceFigures
from fr_training.grading.blocks import BlockFigures, KindFigures, OccasionFigures
from fr_training.grading.fusion import CrowdFigures
from fr_training.grading.groups import GroupFigures
from fr_training.grading.items import ItemRow
from fr_training.grading.rates import Roc
from fr_training.grading.scores import ChangeFigures, LearningFigures, StandingFigures
from fr_training.grading.trainee_means import OwnFigures
from fr_training.grading.values import Counts, Maybe
from fr_training.grading.verification import AgreementFigures
from fr_training.statistics.agreement import Intraclass
from fr_training.statistics.signal_detection import Sensitivity


@dataclass(frozen=True, slots=True)
class Words:
    """The sentences about the figures, to be rendered; each may be empty.

    Attributes:
        went_well: what went well.
        bias: which way the answers lean, with both error rates.
        practise: what to practise, and in which exercise.
        change: whether more changed than chance would change.
        limits: what these figures cannot say.
    """

    went_well: tuple[Message, ...] = ()
    bias: tuple[Message, ...] = ()
    practise: tuple[Message, ...] = ()
    change: tuple[Message, ...] = ()
    limits: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class TraineeFigures:
    """The figures of a trainee.
    Attributes:
        trainee_id: pseudonym.
        words: what the rest comes to.
        counts: what became of all trials.
        together: all blocks together; pairs without those that advice or rareness moves.
        blocks: each block.
        tests: each test.
        changes: from the first test to each later one.
        standing: where the score of the first test stands.
        learning: right answers as the trials go on.
        aided: what the machine's advice does.
        prevalence: what the rareness of pairs of two people does.
        groups: both error rates by the labels of the people shown.
        verification: agreement with those whose pairs the trainee verified.
        cohort_roc: of all trainees' ratings together.
        crowds: what the average of several trainees of the cohort is worth, on the form that was rated most.
    """

    trainee_id: str
    words: Words
    counts: Counts
    together: KindFigures
    blocks: tuple[BlockFigures, ...]
    tests: tuple[OccasionFigures, ...]
    changes: tuple[ChangeFigures, ...]
    standing: StandingFigures
    learning: Maybe[LearningFigures]
    aided: Maybe[AidedFigures]
    prevalence: Maybe[PrevalenceFigures]
    groups: tuple[GroupFigures, ...]
    verification: Maybe[AgreementFigures]
    cohort_roc: Maybe[Roc]
    crowds: tuple[CrowdFigures, ...]


@dataclass(frozen=True, slots=True)
class TraineeRow:
    """A trainee among others.

    Attributes:
        trainee_id: pseudonym.
        answered: trials that count.
        misses: pairs of one person called different, of all plain pairs (`values.PLAIN_PAIRS`).
        false_same: pairs of two people called the same.
        sensitivity: d' and criterion c; c < 0 is too ready to say "same".
        scores: percent correct by test, of the tests that have a score.
    """

    trainee_id: str
    answered: int
    misses: Maybe[Rate]
    false_same: Maybe[Rate]
    sensitivity: Maybe[Sensitivity]
    scores: Mapping[str, float] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Scores of a test among trainees.

    Attributes:
        test: "pre", "post" or "retention".
        trainees: who have a score.
        lowest: percent correct.
        quarter: a quarter of the trainees score below it.
        median: half do.
        three_quarters: three quarters do.
        highest: percent correct.
    """

    test: str
    trainees: int
    lowest: float
    quarter: float
    median: float
    three_quarters: float
    highest: float


@dataclass(frozen=True, slots=True)
class CohortChange:
    """From one test to a later one, of the trainees who have a score of both.

    Attributes:
        first: the earlier test.
        second: the later one.
        trainees: who have both scores.
        median_points: median change, points of percent correct.
        better: trainees who are reliably better.
        worse: trainees who are reliably worse.
        needed: points that a reliable change exceeds, the median of the trainees.
        norm: title of the published test that it exceeds too.
        rose: trainees whose score rose at all.
        fell: trainees whose score fell at all.
        p_value: of as unequal numbers of those by chance (exact sign test, two-sided).
        agreement: of the two scores, differences of level counted (ICC(2,1)); the retest reliability of these forms.
        consistency: without differences of level, such as what everybody learnt (ICC(3,1)).
    """

    first: str
    second: str
    trainees: int
    median_points: float
    better: Maybe[Rate]
    worse: Maybe[Rate]
    needed: float
    norm: Message
    rose: int
    fell: int
    p_value: Maybe[float]
    agreement: Maybe[Intraclass]
    consistency: Maybe[Intraclass]


@dataclass(frozen=True, slots=True)
class CohortFigures:
    """The figures of a cohort; pooled ones take all trials as they are, so that a diligent trainee weighs more.

    Attributes:
        trainees: who were shown a trial.
        words: what the rest comes to.
        counts: what became of all trials.
        together: all blocks together, pooled; pairs without those that advice or rareness moves.
        own: means of the trainees' own figures, whose intervals take trainees, and not answers, for independent.
        blocks: each block, pooled.
        tests: each test, pooled.
        rows: each trainee, by pseudonym.
        distributions: of the scores of each test.
        changes: from the first test to each later one.
        learning: right answers as the trials go on.
        aided: what the machine's advice does, pooled.
        prevalence: what the rareness of pairs of two people does, pooled.
        groups: both error rates by the labels of the people shown, pooled.
        verification: agreement of verifiers with those whose pairs they verified, pooled.
        crowds: what the average of 1 to 8 trainees is worth.
        items: each item, as trainees answered it.
        quarantined: ids of items to be looked at before they are used again.
    """

    trainees: int
    words: Words
    counts: Counts
    together: KindFigures
    own: OwnFigures
    blocks: tuple[BlockFigures, ...]
    tests: tuple[OccasionFigures, ...]
    rows: tuple[TraineeRow, ...]
    distributions: tuple[Distribution, ...]
    changes: tuple[CohortChange, ...]
    learning: Maybe[LearningFigures]
    aided: Maybe[AidedFigures]
    prevalence: Maybe[PrevalenceFigures]
    groups: tuple[GroupFigures, ...]
    verification: Maybe[AgreementFigures]
    crowds: tuple[CrowdFigures, ...]
    items: tuple[ItemRow, ...]
    quarantined: tuple[str, ...]
