"""Writes the section on ratings as evidence: likelihood ratios, the words that they carry, the value of "same"."""

from __future__ import annotations

from collections.abc import Iterable

from fr_core.scoring.intervals import rate
from fr_evaluation.words import Section
from fr_locales.messages import message
from fr_training.grading.evidence import EvidenceFigures, LevelEvidence, ratio_text
from fr_training.grading.rates import ErrorFigures
from fr_training.grading.values import Maybe
from fr_training.report.cells import HEADER, Row, percent, table, text, told, with_interval
from fr_training.statistics.signal_detection import Sensitivity, prevalence_ppv

ONE_IN = 100
"""Pairs of which one shows one person, where the section tells how often "same" would be right."""

TINY = 1e-9  # in place of a rate of 0, at which nothing called "same" might be wrong


def evidence_section(found: EvidenceFigures, errors: ErrorFigures) -> Section:
    """Of one trainee with words; of several without, as their answers go together."""
    alone = found.trainees == 1
    stated = message("row.stated_cllr_means")
    if found.stated_certain:
        stated = message(
            "row.stated_cllr_certain", means=stated, certain=found.stated_certain, wrong=found.stated_certain_wrong
        )
    rows: list[Row] = [
        *(_ceilings(found) if alone else ()),
        *_rare_mates(errors.sensitivity, alone=alone),
        (message("row.rating_cllr"), text(found.cllr, 3), message("row.rating_cllr_means")),
        (message("row.stated_cllr"), text(found.stated_cllr, 3), stated),
    ]
    about = message("about.evidence_words") if alone else message("about.evidence_pooled")
    if found.refused:
        about = message("about.evidence_refused", words=about, refused=found.refused)
    header = (message("column.rating"), message("column.same"), message("column.different"), message("column.lr"))
    words = (message("column.interval"), message("column.words")) if alone else ()
    levels = [
        (
            f"{one.level:+d}" if one.level else "0",
            one.same,
            one.different,
            ratio_text(one.ratio),
            *((_interval(one), one.words) if alone else ()),
        )
        for one in found.levels
    ]
    return told(message("section.evidence"), about, table((*header, *words), levels), table(HEADER, rows))


def _interval(one: LevelEvidence) -> object:
    if not one.same + one.different or one.low is None:
        return None
    if one.high is None:
        return message("cell.and_more", low=ratio_text(one.low))
    return message("cell.range", low=ratio_text(one.low), high=ratio_text(one.high))


def _ceilings(found: EvidenceFigures) -> Iterable[Row]:
    for name, ceiling, least, words in (
        (message("row.ceiling_same"), found.ceiling_same, found.least_same, found.strongest_same),
        (message("row.ceiling_different"), found.ceiling_different, found.least_different, found.strongest_different),
    ):
        more = message("cell.and_more", low=ratio_text(least))
        reach = message("cell.interval", value=ratio_text(ceiling), range=more)
        yield name, reach, message("row.ceiling_means", words=words)


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
    value, low, high = (percent(prevalence_ppv(h, f, 1 / ONE_IN)) for h, f in ends)
    share = with_interval(value, low, high) if alone else value
    yield message("row.rare_mates", pairs=ONE_IN), share, message("row.rare_mates_means", pairs=ONE_IN)
