"""Published norms: how well people do at matching faces, to debrief a trainee against.

A norm is of its own test and its own people. Against a course made of other photos it says where the field stands, and
not where the trainee would stand in that test; for that, a cohort on the same forms serves
(`fr_training.statistics.change`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """What the number of a norm is."""

    PERCENT_CORRECT = "percent correct"
    MEDIAN_AREA = "median area under the ROC curve"
    PERCENT_FALSE_SAME = "percent of different people called the same"
    PERCENT_FALSE_DIFFERENT = "percent of same people called different"


@dataclass(frozen=True, slots=True)
class Norm:
    """One published figure.

    Attributes:
        key: a short word for it, unique.
        title: for people.
        unit: of `value` and `sd`.
        value: the mean, or what the unit says.
        sd: standard deviation among people; None where it was not found.
        retest: correlation of test and retest; None where it was not found.
        people: how many were tested; None where it was not found.
        source: authors and year, or title and year.
        from_memory: True if the number was not looked up in the source or in a text that quotes it.
    """

    key: str
    title: str
    unit: Unit
    value: float
    sd: float | None
    retest: float | None
    people: int | None
    source: str
    from_memory: bool


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

GFMT_SHORT = Norm(
    "gfmt-short", "Glasgow Face Matching Test, short", Unit.PERCENT_CORRECT, 81.0, 9.7, None, None, _BURTON, False
)
GFMT2_SHORT = Norm(
    "gfmt2-short", "Glasgow Face Matching Test 2, short", Unit.PERCENT_CORRECT, 82.9, 7.46, 0.774, 100, _GFMT2, False
)
GFMT2_HIGH = Norm(
    "gfmt2-high", "Glasgow Face Matching Test 2, high", Unit.PERCENT_CORRECT, 73.9, 9.56, None, 100, _GFMT2, False
)

NORMS: tuple[Norm, ...] = (
    GFMT_SHORT,
    GFMT2_SHORT,
    GFMT2_HIGH,
    Norm(
        "passport-false-same",
        "Passport officers, person against photo",
        Unit.PERCENT_FALSE_SAME,
        14.0,
        None,
        None,
        30,
        _PASSPORT,
        False,
    ),
    Norm(
        "passport-false-different",
        "Passport officers, person against photo",
        Unit.PERCENT_FALSE_DIFFERENT,
        6.0,
        None,
        None,
        30,
        _PASSPORT,
        False,
    ),
    Norm("nist-examiners", "Facial examiners", Unit.MEDIAN_AREA, 0.93, None, None, None, _PHILLIPS, True),
    Norm("nist-reviewers", "Facial reviewers", Unit.MEDIAN_AREA, 0.87, None, None, None, _PHILLIPS, True),
    Norm("nist-super-recognisers", "Super-recognisers", Unit.MEDIAN_AREA, 0.83, None, None, None, _PHILLIPS, True),
    Norm("nist-fingerprint", "Fingerprint examiners", Unit.MEDIAN_AREA, 0.76, None, None, None, _PHILLIPS, True),
    Norm("nist-students", "Students", Unit.MEDIAN_AREA, 0.68, None, None, None, _PHILLIPS, True),
)
"""All norms; their order is that of a report."""
