"""Writes the sections on pairs: errors, what ratings are worth, ability, and the machine beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fr_core.scoring.intervals import rate
from fr_evaluation.words import Section, Table
from fr_locales.messages import Message, message
from fr_training.grading.ability import AbilityFigures
from fr_training.grading.class_items import rating_words
from fr_training.grading.evidence import EvidenceFigures, LevelEvidence, ratio_text
from fr_training.grading.pairs import FeltDifficulty, PairFigures, ProbabilityFigures
from fr_training.grading.rates import ErrorFigures, MachineFigures, MachineRates, Roc
from fr_training.grading.values import Maybe, Undefined
from fr_training.report.cells import HEADER, Row, percent, table, text, time_rows, told, with_interval
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.item_response import Ability
from fr_training.statistics.signal_detection import Sensitivity, prevalence_ppv

ONE_IN = 100  # pairs of which one shows one person, where the section tells how often "same" would be right

TINY = 1e-9  # in place of a rate of 0, at which nothing called "same" might be wrong


def pair_sections(pairs: PairFigures) -> list[Section]:
    """Of pairs: errors, ratings as evidence, and the machine beside them."""
    rows = [
        *error_rows(pairs.errors),
        (message("row.area"), _area(pairs.roc), message("row.area_means")),
        *_probability_rows(pairs.probabilities),
        *time_rows(pairs.times),
    ]
    about = message("about.pairs", count=pairs.trials, same=pairs.same, different=pairs.different)
    return [
        told(message("section.pairs"), about, table(HEADER, rows), _felt(pairs.felt)),
        *([evidence_section(pairs.evidence, pairs.errors)] if isinstance(pairs.evidence, EvidenceFigures) else []),
        _machine_section(pairs.machine, pairs),
    ]


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
    ]
    if not isinstance(found.stated_cllr, Undefined):
        rows.append((message("row.stated_cllr"), text(found.stated_cllr, 3), stated))
    about = message("about.evidence_words") if alone else message("about.evidence_pooled")
    if found.refused:
        about = message("about.evidence_refused", words=about, refused=found.refused)
    header = (message("column.rating"), message("column.same"), message("column.different"), message("column.lr"))
    words = (message("column.interval"), message("column.words")) if alone else ()
    levels = [
        (
            rating_words(one.level),
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


def error_rows(errors: ErrorFigures) -> list[Row]:
    """Both error rates, sensitivity and bias."""
    found, false_same, misses = errors.sensitivity, errors.false_same, errors.misses
    dprime, criterion = (found.dprime, found.criterion) if isinstance(found, Sensitivity) else (found, found)
    return [
        (message("row.right"), errors.right, message("row.right_means")),
        (message("row.false_same"), false_same.of_all, message("row.false_same_means")),
        (message("row.misses"), misses.of_all, message("row.misses_means")),
        (message("row.false_same_decided"), false_same.of_decided, message("row.false_same_decided_means")),
        (message("row.misses_decided"), misses.of_decided, message("row.likewise")),
        (message("row.decided_different"), false_same.coverage, message("row.decided_different_means")),
        (message("row.decided_same"), misses.coverage, message("row.likewise")),
        (message("row.dprime"), dprime, message("row.dprime_means")),
        (message("row.criterion"), criterion, message("row.criterion_means")),
    ]


def ability_section(found: Maybe[AbilityFigures]) -> Section:
    """Of what all ratings say, with the likelihood ratio of each by the model."""
    if isinstance(found, Undefined):
        return told(message("section.ability"), None)
    rows: list[Row] = [
        (message("row.graded_theta"), found.theta, message("row.graded_theta_means")),
        (message("row.graded_criterion"), found.criterion, message("row.graded_criterion_means")),
        (message("row.graded_scale"), found.scale, message("row.graded_scale_means")),
        (message("row.graded_difficulty"), found.difficulty, message("row.graded_difficulty_means")),
    ]
    about = message("about.ability_alone", pairs=found.pairs)
    if found.trainees:
        about = message("about.ability", pairs=found.pairs, trainees=found.trainees)
    weights = () if isinstance(found.weights, Undefined) else found.weights
    header = (message("column.rating"), message("column.lr"), message("column.interval"))
    worth = [
        (
            rating_words(one.rating),
            ratio_text(one.ratio.value),
            message("cell.range", low=ratio_text(one.ratio.low), high=ratio_text(one.ratio.high)),
        )
        for one in weights
    ]
    return told(message("section.ability"), about, table(HEADER, rows), table(header, worth, message("title.weights")))


def of_ability(found: Maybe[Ability]) -> Maybe[Estimate]:
    """An ability as an estimate, to be written."""
    return found if isinstance(found, Undefined) else Estimate(found.theta, found.sd, found.low, found.high)


def _felt(felt: Sequence[FeltDifficulty]) -> Table:
    header = (message("column.felt"), message("column.pairs"), message("column.right"), message("column.b_machine"))
    rows = ((one.level, one.trials, one.right, one.mean_b) for one in felt if one.trials)
    return table(header, rows, message("title.felt"))


def _probability_rows(found: Maybe[ProbabilityFigures]) -> Iterable[Row]:
    if isinstance(found, Undefined):
        return
    chance = message("row.calibration_means", by_chance=found.calibration_error_by_chance)
    yield message("row.brier"), text(found.brier, 3), message("row.brier_means", count=found.trials)
    yield message("row.log_loss"), text(found.log_loss, 3), message("row.log_loss_means")
    yield message("row.calibration"), text(found.calibration_error, 3), chance


def _machine_section(found: MachineFigures, pairs: PairFigures) -> Section:
    both = message("row.with_machine_means", gain=_gain(pairs.with_machine_gain))
    rows: list[Row] = [
        *_machine_rows(message("point.search"), found.search),
        *_machine_rows(message("point.at_fmr"), found.at_fmr),
        (message("row.area"), _area(found.roc), message("row.machine_area_means")),
        (message("row.cllr"), text(found.cllr, 3), message("row.cllr_means")),
        (message("row.agreement"), found.agrees, message("row.agreement_means")),
        (message("row.with_machine"), pairs.with_machine, both),
    ]
    easy = isinstance(found.roc, Roc) and found.roc.area.value == 1.0
    about = message("about.machine_easy") if easy else message("about.machine_hard")
    return told(message("section.machine"), about, table(HEADER, rows))


def _machine_rows(point: Message, found: Maybe[MachineRates]) -> Iterable[Row]:
    if isinstance(found, Undefined):
        yield point, found, None
        return
    for name, value, means in (
        (message("row.right"), found.right, message("row.machine_right_means")),
        (message("row.false_same"), found.false_same, message("row.machine_false_same_means")),
        (message("row.misses"), found.misses, message("row.machine_misses_means")),
    ):
        yield message("row.machine_at", name=name, point=point), value, means


def _gain(found: Maybe[Estimate]) -> Message:
    """Say whether both together beat the better of both."""
    if isinstance(found, Undefined):
        return message("gain.unknown")
    if found.low > 0.0:
        return message("gain.better", gain=text(found))
    return message("gain.worse", gain=text(found)) if found.high < 0.0 else message("gain.none", gain=text(found))


def _area(found: Maybe[Roc]) -> object:
    return found.area if isinstance(found, Roc) else found
