"""Writes the sections by the kind of exercise: each figure, and its meaning in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from fr_evaluation.words import Section
from fr_locales.messages import Message, message
from fr_training.answers import Degraded
from fr_training.grading import kinds
from fr_training.grading.blocks import BlockFigures, KindFigures
from fr_training.grading.change_sentences import TESTS
from fr_training.grading.figures import Conduct
from fr_training.grading.values import Counts
from fr_training.prompts import ExerciseKind, LabKind
from fr_training.report.cells import FAULTS, HEADER, Row, table, time_rows, told, truth_text
from fr_training.report.pairs import of_ability, pair_sections
from fr_training.statistics.signal_detection import Sensitivity

EXERCISES = {
    ExerciseKind.VERIFICATION: message("exercise.verification"),
    ExerciseKind.TRIAD: message("exercise.triad"),
    ExerciseKind.CANDIDATES: message("exercise.candidates"),
    ExerciseKind.FEATURES: message("exercise.features"),
    ExerciseKind.TRIAGE: message("exercise.triage"),
    ExerciseKind.AIDED: message("exercise.aided"),
    ExerciseKind.LOW_PREVALENCE: message("exercise.low_prevalence"),
    ExerciseKind.FOOTAGE: message("exercise.footage"),
    ExerciseKind.BLIND: message("exercise.blind"),
    ExerciseKind.OWN_PROBE: message("exercise.own_probe"),
    ExerciseKind.LAB: message("exercise.lab"),
    ExerciseKind.EVIDENCE: message("exercise.evidence"),
    ExerciseKind.LESSON: message("exercise.lesson"),
}


def exercise(word: str) -> Message:
    """The name of an exercise for people, by its word in a plan."""
    return EXERCISES[ExerciseKind(word)]


def of_kinds(found: KindFigures) -> list[Section]:
    """Of pairs, triads, lists, triage, labs, evidence and lessons, as far as there are any."""
    return [
        *([] if found.pairs is None else pair_sections(found.pairs)),
        *([] if found.triads is None else [triad_section(found.triads)]),
        *([] if found.lists is None else [list_section(found.lists)]),
        *([] if found.triage is None else [triage_section(found.triage)]),
        *([] if found.labs is None else [lab_section(found.labs)]),
        *([] if found.evidence is None else [evidence_task_section(found.evidence)]),
        *([] if found.lessons is None else [lesson_section(found.lessons)]),
    ]


def triad_section(triads: kinds.TriadFigures) -> Section:
    """Of triads."""
    rows = [
        (message("row.odd_one"), triads.right, message("row.odd_one_means")),
        (message("row.ability"), of_ability(triads.ability), message("row.ability_means")),
        (message("row.machine_triads"), triads.machine, message("row.machine_triads_means")),
        *time_rows(triads.times),
    ]
    return told(message("section.triads"), message("about.triads", count=triads.trials), table(HEADER, rows))


def list_section(lists: kinds.ListFigures) -> Section:
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


def _of_length(picks: kinds.PickFigures) -> Row:
    return picks.candidates, picks.right, picks.foils, picks.false_alarms


def triage_section(triage: kinds.TriageFigures) -> Section:
    """Of triage."""
    rows = [
        (message("row.right"), triage.right, message("row.triage_right_means")),
        (message("row.let_through"), triage.let_through, message("row.let_through_means")),
        (message("row.thrown_away"), triage.thrown_away, message("row.thrown_away_means")),
        *time_rows(triage.times),
    ]
    answered = (message("column.photos"), message("column.usable"), message("column.limited"), message("column.reject"))
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


def lab_section(labs: kinds.LabFigures) -> Section:
    """Of labs."""
    rows = [
        (message("row.right"), labs.right, message("row.lab_right_means")),
        (message("row.near"), labs.near, message("row.near_means")),
        *time_rows(labs.times),
    ]
    about = ((_LABS[LabKind(one.about)], one.right, one.near) for one in labs.by_question)
    header = (message("column.lab"), message("column.right"), message("row.near"))
    return told(
        message("section.labs"), message("about.labs", count=labs.trials), table(HEADER, rows), table(header, about)
    )


def evidence_task_section(found: kinds.EvidenceTaskFigures) -> Section:
    """Of evidence exercises."""
    rows = [
        (message("row.right"), found.right, message("row.evidence_right_means")),
        (message("row.original"), found.original, message("row.original_means")),
        (message("row.crop"), found.crop, message("row.crop_means")),
        (message("row.chain"), found.chain, message("row.chain_means")),
        *time_rows(found.times),
    ]
    return told(message("section.evidence_tasks"), message("about.evidence", count=found.trials), table(HEADER, rows))


def lesson_section(found: kinds.LessonFigures) -> Section:
    """Of lessons."""
    rows = [(message("row.right"), found.right, message("row.lesson_right_means")), *time_rows(found.times)]
    about = ((one.lesson, one.right, one.minutes) for one in found.by_lesson)
    header = (message("column.lesson"), message("column.right"), message("column.read_minutes"))
    return told(
        message("section.lessons"),
        message("about.lessons", count=found.trials),
        table(HEADER, rows),
        table(header, about),
    )


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
    begin = (test, exercise(block.exercise), message("rate.of", part=counts.answered, total=counts.shown))
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


def conduct_section(found: Conduct) -> Section:
    """The time that the trainer added, and the sittings that are closed."""
    rows: list[Row] = []
    for one in found.extended:
        trainees = message("count.trainees", count=one.trainees)
        rows.append((one.title, message("conduct.extended", trainees=trainees, minutes=one.minutes)))
    rows += [(title, message("conduct.closed")) for title in found.closed]
    return told(message("section.conduct"), None, table((message("column.block"), message("column.meaning")), rows))


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
