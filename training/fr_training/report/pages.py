"""Writes the report of a trainee, and of a cohort, as one HTML page: plain words, figures, plots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from fr_evaluation.html import document, pictures, table
from fr_evaluation.html import words as in_html
from fr_evaluation.words import Section, Table, counted, section
from fr_training.courses import Course
from fr_training.grading.figures import CohortChange, CohortFigures, Distribution, TraineeFigures, TraineeRow, Words
from fr_training.grading.items import ItemRow
from fr_training.grading.trainee_means import OwnFigures
from fr_training.grading.values import Maybe, Undefined
from fr_training.report import comparisons, plots, sections
from fr_training.report.cells import HEADER, text
from fr_training.report.keys import NOTICE
from fr_training.statistics.agreement import Intraclass
from fr_training.statistics.item_analysis import MIN_PEOPLE, Difficulty
from fr_training.statistics.signal_detection import Sensitivity

MOST_ITEMS = 40
"""Items that the page lists; the JSON has all."""


def trainee_page(course: Course, figures: TraineeFigures) -> str:
    """The whole file."""
    counts = figures.counts
    made = f"{counts.answered:,} of {counts.shown:,} trials that were shown make these figures."
    summary = f"Trainee {figures.trainee_id}. {made}"
    told = [
        section("Trials", "", Table(HEADER, sections.count_rows(counts))),
        comparisons.change_section(figures.changes),
        *sections.of_kinds(figures.together),
        comparisons.aided_section(figures.aided, figures.prevalence),
        comparisons.learning_section(figures.learning),
        comparisons.group_section(figures.groups),
        comparisons.verification_section(figures.verification),
        comparisons.standing_section(figures.standing),
        comparisons.crowd_section(figures.crowds),
        sections.block_section(figures.blocks),
    ]
    return document(
        f"Training report: {course.plan.title}",
        NOTICE,
        summary,
        {
            **in_words(figures.words),
            **tables(told),
            "Pictures": pictures(plots.figures(figures), plots.CAPTIONS),
            "What it is made of": table(("", ""), comparisons.made_of(course)),
        },
    )


def in_words(words: Words) -> dict[str, str]:
    """The plain sentences as lists, by their headings."""
    return {heading: bullets(said) for heading, said in comparisons.plain_words(words).items()}


def tables(told: Iterable[Section]) -> dict[str, str]:
    """Sections as HTML by their headings, those that say something."""
    return {one.heading: in_html(one) for one in told if one.text or one.tables}


def bullets(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    return "<ul>\n" + "".join(f"<li>{escape(one)}</li>\n" for one in sentences) + "</ul>\n"


def cohort_page(course: Course, figures: CohortFigures) -> str:
    """The whole file."""
    counts = figures.counts
    summary = (
        f"{counted(figures.trainees, 'trainee')}, told by pseudonyms. {counts.answered:,} of {counts.shown:,} trials "
        "that were shown make these figures; pooled ones take all trials as they are, so that a diligent trainee "
        "weighs more. Their intervals take answers for independent and are too narrow; the sentences go by the "
        "trainees."
    )
    told = [
        section("Trials", "", Table(HEADER, sections.count_rows(counts))),
        _distribution_section(figures.distributions),
        _change_section(figures.changes),
        _own_section(figures.own),
        *sections.of_kinds(figures.together),
        comparisons.aided_section(figures.aided, figures.prevalence),
        comparisons.learning_section(figures.learning),
        comparisons.group_section(figures.groups),
        comparisons.verification_section(figures.verification),
        comparisons.crowd_section(figures.crowds),
        sections.block_section(figures.blocks),
        _item_section(figures.items),
        _row_section(figures.rows),
    ]
    return document(
        f"Training report of a cohort: {course.plan.title}",
        NOTICE,
        summary,
        {
            **in_words(figures.words),
            **tables(told),
            "Pictures": pictures(plots.cohort_figures(figures), plots.CAPTIONS | plots.COHORT_CAPTIONS),
            "What it is made of": table(("", ""), comparisons.made_of(course)),
        },
    )


def _own_section(own: OwnFigures) -> Section:
    """Means of the trainees' own figures."""
    rows = [
        ("d', mean of trainees", text(own.dprime), "How well one person is told from two; 0 is guessing."),
        ("criterion c, mean of trainees", text(own.criterion), 'Below 0 is too ready to say "same", above 0 too slow.'),
        ("area, mean of trainees", text(own.area), "Under the ROC curve; .5 is guessing, 1 is perfect."),
        (
            "shift of the criterion by the advice, mean of trainees",
            text(own.net),
            f"Of {counted(own.advised, 'trainee')}. About 0 is healthy; above 0 leans to the machine.",
        ),
        (
            "odd one out found, mean of trainees",
            text(own.triads),
            "As a share of each one's triads; guessing finds .33.",
        ),
        (
            'false "same" where two people are rare, mean of trainees',
            text(own.rare),
            "Share there less the share elsewhere; of few such pairs it may be these pairs alone.",
        ),
    ]
    about = (
        f"{counted(own.trainees, 'trainee')} rated enough pairs for figures of their own. Each counts once. The "
        "intervals say where the mean of many such trainees may be (Student's t); those of d' and c also allow for "
        "other items. The sentences go by these."
    )
    return section("The trainees, each by themselves", about, Table(HEADER, rows))


def _distribution_section(found: Sequence[Distribution]) -> Section:
    rows = [
        (
            one.test,
            f"{one.trainees:,}",
            *(f"{value:.1f}" for value in (one.lowest, one.quarter, one.median, one.three_quarters, one.highest)),
        )
        for one in found
    ]
    header = ("test", "trainees", "lowest", "a quarter below", "half below", "three quarters below", "highest")
    return section("Scores, percent right", "", Table(header, rows))


def _change_section(changes: Sequence[CohortChange]) -> Section:
    rows = []
    for one in changes:
        between = f"{one.first} to {one.second}"
        needed = f"By more than chance moves scores of so many pairs: {one.needed:.1f} points for half of the trainees."
        rows += [
            (
                f"{between}: median change",
                f"{one.median_points:+.1f} points",
                f"Of {counted(one.trainees, 'trainee')}.",
            ),
            (f"{between}: reliably better", text(one.better), f"{needed} Of 100 who do not change, 2 or 3 look so."),
            (f"{between}: reliably worse", text(one.worse), "Likewise."),
            (
                f"{between}: rose and fell",
                f"{one.rose:,} and {one.fell:,}",
                f"Sign test: p of as unequal numbers by chance: {text(one.p_value, 3)}.",
            ),
            (
                f"{between}: ICC, agreement",
                _icc(one.agreement),
                "How far the two scores of a trainee agree; 1 is full.",
            ),
            (f"{between}: ICC, consistency", _icc(one.consistency), "The same without what all learnt alike."),
        ]
    return section("Change", "", Table(HEADER, rows))


def _icc(found: Maybe[Intraclass]) -> str:
    return text(found) if isinstance(found, Undefined) else f"{found.value:.2f}; {found.low:.2f} to {found.high:.2f}"


def _item_section(items: Sequence[ItemRow]) -> Section:
    """The quarantined items first, then the hardest."""
    listed = sorted(items, key=lambda one: (not one.quarantined, _share(one), one.item_id))[:MOST_ITEMS]
    rows = [
        (
            one.item_id,
            one.form,
            one.exercise.replace("_", " "),
            one.truth,
            "" if one.b is None else f"{one.b:.2f}",
            f"{one.human_b.b:.2f}" if isinstance(one.human_b, Difficulty) else "",
            text(one.right),
            "" if isinstance(one.correlation, Undefined) else f"{one.correlation:.2f}",
            "yes" if one.quarantined else "",
        )
        for one in listed
    ]
    header = ("item", "form", "exercise", "truth", "b, machine", "b, answers", "right", "item-total r", "look at it")
    about = (
        f"{counted(len(items), 'item')}; those to be looked at come first, then the hardest, {MOST_ITEMS} at most. Of "
        f"{MIN_PEOPLE} trainees or more, the able have these wrong oftener than others (the interval of r lies below "
        "0), or fewer have them right than by guessing (so does the interval of the share): a label may be wrong. A "
        "negative r alone is mostly chance."
    )
    return section("Items", about, Table(header, rows))


def _share(item: ItemRow) -> float:
    return 2.0 if isinstance(item.right, Undefined) else item.right.value


def _row_section(rows: Sequence[TraineeRow]) -> Section:
    header = ("trainee", "answered", 'false "same"', "misses", "d'", "c", "scores, percent right")
    return section("Trainees", "", Table(header, [_row(one) for one in rows]))


def _row(one: TraineeRow) -> tuple[str, ...]:
    found = one.sensitivity
    dprime, criterion = (found.dprime, found.criterion) if isinstance(found, Sensitivity) else (None, None)
    return (
        one.trainee_id,
        f"{one.answered:,}",
        text(one.false_same),
        text(one.misses),
        text(dprime),
        text(criterion),
        ", ".join(f"{test} {score:.1f}" for test, score in one.scores.items()),
    )
