"""Writes the sections by the kind of exercise: each figure, its meaning in a sentence, and the worth of ratings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fr_core.scoring.intervals import rate
from fr_evaluation.words import Section, Table
from fr_locales.messages import Message, message
from fr_training.answers import Degraded
from fr_training.grading.ability import AbilityFigures
from fr_training.grading.blocks import BlockFigures, KindFigures
from fr_training.grading.class_items import rating_words
from fr_training.grading.evidence import EvidenceFigures, LevelEvidence, ratio_text
from fr_training.grading.kinds import (
    EvidenceTaskFigures,
    LabFigures,
    ListFigures,
    PickFigures,
    TriadFigures,
    TriageFigures,
)
from fr_training.grading.pairs import FeltDifficulty, PairFigures, ProbabilityFigures
from fr_training.grading.rates import ErrorFigures, MachineFigures, MachineRates, Roc
from fr_training.grading.sentences import TESTS
from fr_training.grading.values import Counts, Maybe, Times, Undefined
from fr_training.prompts import ExerciseKind, LabKind
from fr_training.report.cells import FAULTS, HEADER, Row, percent, table, text, told, truth_text, with_interval
from fr_training.statistics.estimates import Estimate
from fr_training.statistics.item_response import Ability
from fr_training.statistics.signal_detection import Sensitivity, prevalence_ppv

EXERCISES = {
    ExerciseKind.VERIFICATION: message("exercise.verification"),
    ExerciseKind.TRIAD: message("exercise.triad"),
    ExerciseKind.CANDIDATES: message("exercise.candidates"),
    ExerciseKind.FEATURES: message("exercise.features"),
    ExerciseKind.TRIAGE: message("exercise.triage"),
    ExerciseKind.AIDED: message("exercise.aided"),
    ExerciseKind.LOW_PREVALENCE: message("exercise.low_prevalence"),
    ExerciseKind.BLIND: message("exercise.blind"),
    ExerciseKind.OWN_PROBE: message("exercise.own_probe"),
    ExerciseKind.LAB: message("exercise.lab"),
    ExerciseKind.EVIDENCE: message("exercise.evidence"),
}


ONE_IN = 100
"""Pairs of which one shows one person, where the section tells how often "same" would be right."""

TINY = 1e-9  # in place of a rate of 0, at which nothing called "same" might be wrong


def exercise(word: str) -> Message:
    """The name of an exercise for people, by its word in a plan."""
    return EXERCISES[ExerciseKind(word)]


def of_kinds(found: KindFigures) -> list[Section]:
    """Of pairs, triads, lists, triage, labs and evidence, as far as there are any."""
    return [
        *([] if found.pairs is None else pair_sections(found.pairs)),
        *([] if found.triads is None else [triad_section(found.triads)]),
        *([] if found.lists is None else [list_section(found.lists)]),
        *([] if found.triage is None else [triage_section(found.triage)]),
        *([] if found.labs is None else [lab_section(found.labs)]),
        *([] if found.evidence is None else [evidence_task_section(found.evidence)]),
    ]


def pair_sections(pairs: PairFigures) -> list[Section]:
    """Of pairs: errors, ratings as evidence, and the machine beside them."""
    rows = [
        *error_rows(pairs.errors),
        (message("row.area"), _area(pairs.roc), message("row.area_means")),
        *_probability_rows(pairs.probabilities),
        *_time_rows(pairs.times),
    ]
    about = message("about.pairs", count=pairs.trials, same=pairs.same, different=pairs.different)
    return [
        told(message("section.pairs"), about, table(HEADER, rows), _felt(pairs.felt)),
        *([evidence_section(pairs.evidence, pairs.errors)] if isinstance(pairs.evidence, EvidenceFigures) else []),
        _machine(pairs.machine, pairs),
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
        *(
            []
            if isinstance(found.stated_cllr, Undefined)
            else [(message("row.stated_cllr"), text(found.stated_cllr, 3), stated)]
        ),
    ]
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


def _time_rows(times: Times) -> list[Row]:
    return [
        (message("row.time_right"), times.right, message("row.time_right_means")),
        (message("row.time_wrong"), times.wrong, message("row.time_wrong_means")),
    ]


def triad_section(triads: TriadFigures) -> Section:
    """Of triads."""
    rows = [
        (message("row.odd_one"), triads.right, message("row.odd_one_means")),
        (message("row.ability"), of_ability(triads.ability), message("row.ability_means")),
        (message("row.machine_triads"), triads.machine, message("row.machine_triads_means")),
        *_time_rows(triads.times),
    ]
    return told(message("section.triads"), message("about.triads", count=triads.trials), table(HEADER, rows))


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


def list_section(lists: ListFigures) -> Section:
    """Of candidate lists."""
    picks = lists.picks
    rows = [
        (message("row.picks_right"), picks.right, message("row.picks_right_means")),
        (message("row.picks_foils"), picks.foils, message("row.picks_foils_means")),
        (message("row.picks_missed"), picks.missed, message("row.picks_missed_means")),
        (message("row.picks_false"), picks.false_alarms, message("row.picks_false_means")),
        (message("row.inconclusive"), picks.inconclusive, message("row.inconclusive_means")),
        (message("row.wrong_all"), picks.wrong.of_all, message("row.wrong_all_means")),
        (message("row.wrong_decided"), picks.wrong.of_decided, message("row.wrong_decided_means")),
        (message("row.machine_first"), lists.machine_first, message("row.machine_first_means")),
        (message("row.time_right_decisions"), lists.times.right, message("row.time_right_decisions_means")),
        (message("row.time_wrong_decisions"), lists.times.wrong, message("row.time_wrong_means")),
    ]
    header = (
        message("column.candidates"),
        message("column.picks_right"),
        message("column.foils"),
        message("column.false_alarms"),
    )
    by_length = table(header, map(_of_length, lists.by_length), message("title.by_length"))
    about = message("about.lists", count=picks.present, absent=picks.absent)
    if lists.unscored:
        about = message("about.lists_unscored", lists=about, count=lists.unscored)
    return told(message("section.lists"), about, table(HEADER, rows), by_length)


def _of_length(picks: PickFigures) -> Row:
    return picks.candidates, picks.right, picks.foils, picks.false_alarms


def triage_section(triage: TriageFigures) -> Section:
    """Of triage."""
    rows = [
        (message("row.right"), triage.right, message("row.triage_right_means")),
        (message("row.let_through"), triage.let_through, message("row.let_through_means")),
        (message("row.thrown_away"), triage.thrown_away, message("row.thrown_away_means")),
        *_time_rows(triage.times),
    ]
    answered = (
        message("column.photos"),
        message("column.usable"),
        message("column.limited"),
        message("column.reject"),
    )
    faults = (message("column.fault"), message("column.fault_judged"), message("column.fault_named"))
    return told(
        message("section.triage"),
        message("about.triage", count=triage.trials),
        table(HEADER, rows),
        table(
            answered,
            ((truth_text(one.truth), one.usable, one.limited, one.reject) for one in triage.confusion),
            message("title.answered"),
        ),
        table(
            faults,
            ((FAULTS[Degraded(one.degraded)], one.judged, one.named) for one in triage.degradations),
            message("title.faults"),
        ),
    )


_LABS = {
    LabKind.THRESHOLD: message("lab.about_threshold"),
    LabKind.GALLERY: message("lab.about_gallery"),
    LabKind.QUALITY: message("lab.about_quality"),
    LabKind.GROUPS: message("lab.about_groups"),
}


def lab_section(labs: LabFigures) -> Section:
    """Of labs."""
    rows = [
        (message("row.right"), labs.right, message("row.lab_right_means")),
        (message("row.near"), labs.near, message("row.near_means")),
        *_time_rows(labs.times),
    ]
    about = ((_LABS[LabKind(one.about)], one.right, one.near) for one in labs.by_question)
    header = (message("column.lab"), message("column.right"), message("row.near"))
    return told(
        message("section.labs"), message("about.labs", count=labs.trials), table(HEADER, rows), table(header, about)
    )


def evidence_task_section(found: EvidenceTaskFigures) -> Section:
    """Of evidence exercises."""
    rows = [
        (message("row.right"), found.right, message("row.evidence_right_means")),
        (message("row.original"), found.original, message("row.original_means")),
        (message("row.crop"), found.crop, message("row.crop_means")),
        (message("row.chain"), found.chain, message("row.chain_means")),
        *_time_rows(found.times),
    ]
    return told(message("section.evidence_tasks"), message("about.evidence", count=found.trials), table(HEADER, rows))


def block_section(blocks: Sequence[BlockFigures]) -> Section:
    """Every block in a row, with both error rates of its pairs."""
    header = (
        message("column.block"),
        message("column.exercise"),
        message("column.answered"),
        message("column.right"),
        message("column.false_same"),
        message("column.misses"),
        message("column.dprime"),
        message("column.c"),
    )
    return told(message("section.blocks"), None, table(header, map(_block, blocks)))


def _block(block: BlockFigures) -> Row:
    pairs, counts = block.figures.pairs, block.counts
    test = message("block.test", title=block.title, test=TESTS[block.test]) if block.test else block.title
    begin = (
        test,
        exercise(block.exercise),
        message("rate.of", part=counts.answered, total=counts.shown),
    )
    if pairs is None:
        return *begin, _right(block.figures), "", "", "", ""
    errors, found = pairs.errors, pairs.errors.sensitivity
    none = message("cell.unknown")
    dprime, criterion = (found.dprime, found.criterion) if isinstance(found, Sensitivity) else (none, none)
    return *begin, errors.right, errors.false_same.of_all, errors.misses.of_all, dprime, criterion


def _right(found: KindFigures) -> object:
    for one in (found.triads, found.triage, found.labs, found.evidence):
        if one is not None:
            return one.right
    return None if found.lists is None else found.lists.picks.right


def count_section(counts: Counts) -> Section:
    """The trials by their outcome."""
    rows = [
        (message("row.shown"), counts.shown, message("row.shown_means")),
        (message("row.answered"), counts.answered, message("row.answered_means")),
        (message("row.unanswered"), counts.unanswered, message("row.unanswered_means")),
        (message("row.known"), counts.known_to_me, message("row.known_means")),
        (message("row.unscored"), counts.unscored, message("row.unscored_means")),
        (message("row.paused"), counts.paused, message("row.paused_means")),
    ]
    return told(message("section.trials"), None, table(HEADER, rows))


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


def _machine(found: MachineFigures, pairs: PairFigures) -> Section:
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
