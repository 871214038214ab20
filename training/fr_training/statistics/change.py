"""Judges the change of one person against chance, and places a score among others.

A test that is taken twice gives two scores without any learning. A change is reliable if it is larger than 95 of 100
such differences: N. S. Jacobson and P. Truax, "Clinical significance: a statistical approach to defining meaningful
change in psychotherapy research", Journal of Consulting and Clinical Psychology 59 (1991) 12-19. It knows no practice
effect; equated forms and a group without training show that.

The published norms say how well people match faces. A norm belongs to its own test and its own people: beside a course
of other photos it says where the field stands, not where the trainee would stand in that test. A cohort on the same
forms shows that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, sqrt

import numpy as np

from fr_core.scoring.checks import F64
from fr_core.scoring.intervals import UndefinedRate
from fr_locales.messages import Message, message
from fr_training.statistics import estimates

PERCENT_CORRECT = message("unit.percent_correct")
MEDIAN_AREA = message("unit.median_area")
PERCENT_FALSE_SAME = message("unit.percent_false_same")
PERCENT_FALSE_DIFFERENT = message("unit.percent_false_different")


@dataclass(frozen=True, slots=True)
class Norm:
    """One published figure."""

    key: str  # a short word for it, unique
    title: Message  # for people
    unit: Message  # of `value` and `sd`
    value: float  # the mean, or what the unit says
    sd: float | None  # standard deviation among people; None where it was not found
    retest: float | None  # correlation of test and retest; None where it was not found
    people: int | None  # how many were tested; None where it was not found
    source: str  # authors and year, or title and year
    from_memory: bool  # True if the number was not looked up in the source or in a text that quotes it


_BURTON = (
    'A. M. Burton, D. White and A. McNeill, "The Glasgow Face Matching Test", Behavior Research Methods 42 (2010) '
    "286-291"
)
_GFMT2 = (
    '"Normative face recognition ability test scores vary across online participant pools", Scientific Reports 15 '
    "(2025) 10.1038/s41598-025-92907-8, table 1, Prolific; retest: D. White, D. Guilbert, V. P. L. Varela, R. Jenkins "
    'and A. M. Burton, "GFMT2: a psychometric measure of face matching ability", Behavior Research Methods 54 (2022)'
)
_PASSPORT = (
    'D. White, R. I. Kemp, R. Jenkins, M. Matheson and A. M. Burton, "Passport officers\' errors in face matching", '
    "PLOS ONE 9 (2014) e103510"
)
_PHILLIPS = (
    'P. J. Phillips et al., "Face recognition accuracy of forensic examiners, superrecognizers, and face recognition '
    'algorithms", PNAS 115 (2018) 6171-6176'
)

GFMT_SHORT = Norm("gfmt-short", message("norm.gfmt_short"), PERCENT_CORRECT, 81.0, 9.7, None, None, _BURTON, False)
GFMT2_SHORT = Norm("gfmt2-short", message("norm.gfmt2_short"), PERCENT_CORRECT, 82.9, 7.46, 0.774, 100, _GFMT2, False)
GFMT2_HIGH = Norm("gfmt2-high", message("norm.gfmt2_high"), PERCENT_CORRECT, 73.9, 9.56, None, 100, _GFMT2, False)

NORMS: tuple[Norm, ...] = (
    GFMT_SHORT,
    GFMT2_SHORT,
    GFMT2_HIGH,
    *(
        Norm(key, message("norm.passport_officers"), unit, value, None, None, 30, _PASSPORT, False)
        for key, unit, value in (
            ("passport-false-same", PERCENT_FALSE_SAME, 14.0),
            ("passport-false-different", PERCENT_FALSE_DIFFERENT, 6.0),
        )
    ),
    *(
        Norm(key, title, MEDIAN_AREA, area, None, None, None, _PHILLIPS, True)
        for key, title, area in (
            ("nist-examiners", message("norm.examiners"), 0.93),
            ("nist-reviewers", message("norm.reviewers"), 0.87),
            ("nist-super-recognisers", message("norm.super_recognisers"), 0.83),
            ("nist-fingerprint", message("norm.fingerprint_examiners"), 0.76),
            ("nist-students", message("norm.students"), 0.68),
        )
    ),
)
"""All norms; their order is that of a report."""


class Verdict(StrEnum):
    """The verdict on a change."""

    BETTER = "better"
    NO_RELIABLE_CHANGE = "no reliable change"
    WORSE = "worse"


@dataclass(frozen=True, slots=True)
class Change:
    """From one test to the next."""

    before: float  # score of the first test
    after: float  # score of the second
    points: float  # after - before, in the unit of the score
    index: float  # points / standard error of a difference, the reliable change index
    needed: float  # points that a reliable change exceeds
    verdict: Verdict  # better or worse only where |points| > needed


def change_of_tests(
    before: tuple[int, int], after: tuple[int, int], sd: float | None = None, reliability: float = 0.0
) -> Change:
    """One person's change of percent correct from one form of a test to an equated one, judged.

    The standard error of the difference is that of two scores of one person who does not change, SD sqrt(2 (1 - r)),
    but at least the difference of answers to two forms of different items by chance: 100 sqrt(p (1 - p) (1/n + 1/m)),
    where p is the share of right answers to both, one right and one wrong answer added (A. Agresti and B. Caffo, The
    American Statistician 54 (2000) 280-288). A retest correlation does not include it, as it is of the same items, and
    often of more of them.

    Args:
        before: right answers, and all answers, at least 1, to the first form.
        after: the same of the second.
        sd: standard deviation of the percent correct among people, above 0; None where nobody has published one, so
            that chance in the answers is all that counts.
        reliability: r, the correlation of test and retest, in [0, 1).

    Raises:
        ValueError: a number is out of its range.
    """
    for right, answers in (before, after):
        if not 0 <= right <= answers or not answers:
            raise ValueError(f"{right} of {answers} answers are no score.")
    if not (sd is None or (isfinite(sd) and sd > 0.0)) or not 0.0 <= reliability < 1.0:
        raise ValueError(f"A change needs SD > 0 and a reliability in [0, 1), not {sd} and {reliability}.")
    share = (before[0] + after[0] + 1) / (before[1] + after[1] + 2)
    of_answers = 100.0 * sqrt(share * (1.0 - share) * (1.0 / before[1] + 1.0 / after[1]))
    error = max(of_answers, (sd or 0.0) * sqrt(2.0 * (1.0 - reliability)))
    first, second = 100.0 * before[0] / before[1], 100.0 * after[0] / after[1]
    points, needed = second - first, estimates.Z * error
    verdict = Verdict.NO_RELIABLE_CHANGE
    if abs(points) > needed:
        verdict = Verdict.BETTER if points > 0.0 else Verdict.WORSE
    return Change(first, second, points, points / error, needed, verdict)


def percentile_of_norm(score: float, mean: float, sd: float) -> float:
    """The share of people below a score, in percent, where scores are normal with this mean and this SD, above 0."""
    if not (isfinite(score) and isfinite(mean) and isfinite(sd) and sd > 0.0):
        raise ValueError("A percentile needs finite numbers and a standard deviation above 0.")
    return 100.0 * estimates.share_below((score - mean) / sd)


def percentile_in(score: float, others: F64) -> float:
    """The share of a cohort below a score, in percent; those who are equal count one half.

    It is the mid-rank: J. W. Tukey, "Exploratory data analysis", Addison-Wesley (1977). If the person is in the cohort,
    the best of n stands at 100 - 50/n and the worst at 50/n.

    Raises:
        UndefinedRate: the cohort is empty.
        ValueError: the others are not f64[n], or a number is not finite.
    """
    if others.ndim != 1 or others.dtype != np.float64 or not np.isfinite(others).all() or not isfinite(score):
        raise ValueError("Scores of a cohort are f64[n], and all are finite.")
    if len(others) == 0:
        raise UndefinedRate(message("undefined.empty_cohort"))
    return 100.0 * float((others < score).mean() + (others == score).mean() / 2)
