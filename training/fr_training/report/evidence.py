"""Writes the section on ratings as evidence: likelihood ratios, the words that they carry, the value of "same"."""

from __future__ import annotations

from collections.abc import Iterable

from fr_core.scoring.intervals import rate
from fr_evaluation.words import Section, Table, section
from fr_training.grading.evidence import EvidenceFigures, LevelEvidence, ratio_text
from fr_training.grading.rates import ErrorFigures
from fr_training.grading.values import Maybe
from fr_training.report.cells import HEADER, Row, percent, text
from fr_training.statistics.signal_detection import Sensitivity, prevalence_ppv

RARE = 0.01
"""Share of pairs of one person of which the evidence section tells how often "same" would be right."""

TINY = 1e-9  # in place of a rate of 0, at which nothing called "same" might be wrong


def evidence_section(found: EvidenceFigures, errors: ErrorFigures) -> Section:
    """Of one trainee with words; of several without, as their answers go together."""
    alone = found.trainees == 1
    rows: list[Row] = [
        *(_ceilings(found) if alone else ()),
        *_rare_mates(errors.sensitivity, alone=alone),
        (
            "Cllr of the ratings",
            text(found.cllr, 3),
            "What the ratings cost as evidence, in bits: 0 is perfect, 1 says as much as no evidence, more misleads.",
        ),
        (
            "Cllr of stated probabilities",
            text(found.stated_cllr, 3),
            f"The same of P(same), both taken as equally likely.{_certain(found)}",
        ),
    ]
    refused = f" Refused here: {', '.join(map(text, found.refused))}." if found.refused else ""
    about = (
        "A likelihood ratio (LR) says how many times oftener pairs of one person were rated so than pairs of two. "
        + (
            "Words go by the end of its interval that is nearer to 1; stronger ones must not be used, however sure "
            f"they feel.{refused}"
            if alone
            else "These are the answers of several trainees, which go together: they carry no words, and nobody's own "
            "ratings are worth what all of them are."
        )
    )
    words = ("95 % interval", "words that it carries") if alone else ()
    levels = [
        (
            f"{one.level:+d}" if one.level else "0",
            f"{one.same:,}",
            f"{one.different:,}",
            ratio_text(one.ratio),
            *((_interval(one), text(one.words)) if alone else ()),
        )
        for one in found.levels
    ]
    return section(
        "What the ratings are worth",
        about,
        Table(("rating", "of one person", "of two people", "LR", *words), levels),
        Table(HEADER, rows),
    )


def _interval(one: LevelEvidence) -> str:
    if not one.same + one.different or one.low is None:
        return ""
    return (
        f"{ratio_text(one.low)} to {ratio_text(one.high)}"
        if one.high is not None
        else f"{ratio_text(one.low)} and more"
    )


def _ceilings(found: EvidenceFigures) -> Iterable[Row]:
    for whom, ceiling, least, words in (
        ("one person", found.ceiling_same, found.least_same, found.strongest_same),
        ("two people", found.ceiling_different, found.least_different, found.strongest_different),
    ):
        yield (
            f"ceiling for {whom}",
            f"{ratio_text(ceiling)}; {ratio_text(least)} and more",
            f'The largest ratio that so many pairs can show: words beyond "{text(words)}" are refused.',
        )


def _rare_mates(found: Maybe[Sensitivity], *, alone: bool) -> Iterable[Row]:
    """Share of right "same" among many strangers; of one trainee with the ends that the error rates allow."""
    if not isinstance(found, Sensitivity) or not found.hits + found.false_alarms:
        return
    hits, false_alarms = rate(found.hits, found.mated), rate(found.false_alarms, found.nonmated)
    corrected = (found.hits + 0.5) / (found.mated + 1), (found.false_alarms + 0.5) / (found.nonmated + 1)
    ends = (
        corrected,
        (hits.interval.low, false_alarms.interval.high),
        (hits.interval.high, max(false_alarms.interval.low, TINY)),
    )
    value, low, high = (prevalence_ppv(h, f, RARE) for h, f in ends)
    yield (
        f'right "same" where 1 in {1 / RARE:.0f} pairs shows one person',
        f"{percent(value)}; {percent(low)} to {percent(high)}" if alone else percent(value),
        f"Where 1 in {1 / RARE:.0f} pairs shows one person, of those called the same so many would be, at these error "
        "rates: among many strangers most matches are wrong.",
    )


def _certain(found: EvidenceFigures) -> str:
    if not found.stated_certain:
        return ""
    return (
        f" Without {found.stated_certain:,} of exactly 0 or 100 %, whose ratio is infinite; "
        f"{found.stated_certain_wrong:,} of these were wrong, which costs without bound."
    )
