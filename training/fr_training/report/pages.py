"""Writes the report of a trainee, and of a cohort, as one HTML page: plain words, figures, plots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from matplotlib.figure import Figure

from fr_evaluation.html import document, escaped, pictures
from fr_evaluation.html import table as html_table
from fr_evaluation.html import words as in_html
from fr_evaluation.words import Section, Text
from fr_locales.messages import Message, message
from fr_locales.rendering import number
from fr_training.courses import Course
from fr_training.grading.change_sentences import TESTS
from fr_training.grading.figures import CohortChange, CohortFigures, Distribution, TraineeFigures, TraineeRow, Words
from fr_training.grading.items import ItemRow
from fr_training.grading.trainee_means import OwnFigures
from fr_training.grading.values import Maybe, Undefined
from fr_training.report import comparisons, pairs, plots, sections
from fr_training.report.cells import HEADER, Row, between_tests, table, text, told, truth_text, with_interval
from fr_training.report.keys import NOTICE
from fr_training.statistics.agreement import Intraclass
from fr_training.statistics.item_analysis import MIN_PEOPLE, Difficulty
from fr_training.statistics.signal_detection import Sensitivity

MOST_ITEMS = 40  # items that the page lists; the JSON has all
MOST = 3  # sentences under a heading of a trainee's first page; the folded part has all

HEADINGS = (
    ("went_well", message("section.went_well")),
    ("bias", message("section.bias")),
    ("practise", message("section.practise")),
    ("change", message("section.changed")),
    ("limits", message("section.limits")),
)


def trainee_page(course: Course, figures: TraineeFigures) -> str:
    """The whole file."""
    counts = figures.counts
    parts = [
        sections.count_section(counts),
        comparisons.change_section(figures.changes),
        *sections.of_kinds(figures.together),
        pairs.ability_section(figures.ability),
        comparisons.aided_section(figures.aided, figures.prevalence),
        comparisons.learning_section(figures.learning),
        comparisons.group_section(figures.groups),
        comparisons.verification_section(figures.verification),
        comparisons.standing_section(figures.standing),
        comparisons.crowd_section(figures.crowds),
        sections.block_section(figures.blocks),
        sections.conduct_section(figures.conduct),
    ]
    title = message("page.trainee", course=course.plan.title)
    summary = message("page.trainee_summary", trainee=figures.trainee_id, answered=counts.answered, shown=counts.shown)
    first = _first_page(figures.words)
    found = _content(
        course, figures.words, parts, plots.figures(figures), frozenset(chain.from_iterable(first.values()))
    )
    return document(title, NOTICE, summary, {heading: bullets(told) for heading, told in first.items()}, found)


def _first_page(words: Words) -> dict[Text, tuple[Message, ...]]:
    """The three questions of a trainee, with few sentences each: they fit one screen, and one printed sheet."""
    return {
        message("section.shown_by_answers"): (*words.went_well[:2], *words.bias[:1], *words.change[:1]),
        message("section.not_shown"): (*words.limits[:MOST], message("limits.other_photos")),
        message("section.practise"): words.practise[:MOST],
    }


def cohort_page(course: Course, figures: CohortFigures) -> str:
    """The whole file."""
    counts = figures.counts
    parts = [
        sections.count_section(counts),
        _distribution_section(figures.distributions),
        _change_section(figures.changes),
        _own_section(figures.own),
        *sections.of_kinds(figures.together),
        comparisons.aided_section(figures.aided, figures.prevalence),
        comparisons.learning_section(figures.learning),
        comparisons.group_section(figures.groups),
        comparisons.verification_section(figures.verification),
        comparisons.crowd_section(figures.crowds),
        comparisons.pairing_section(figures.pairing),
        sections.block_section(figures.blocks),
        sections.conduct_section(figures.conduct),
        _item_section(figures.items),
        _row_section(figures.rows),
    ]
    title = message("page.cohort", course=course.plan.title)
    trainees = message("count.trainees", count=figures.trainees)
    summary = message("page.cohort_summary", trainees=trainees, answered=counts.answered, shown=counts.shown)
    content = _content(course, figures.words, parts, plots.cohort_figures(figures))
    return document(title, NOTICE, summary, content)


def _content(
    course: Course,
    words: Words,
    parts: Iterable[Section],
    drawn: Mapping[str, Figure],
    before: frozenset[Message] = frozenset(),
) -> dict[Text, str]:
    """All sentences, figures and plots as HTML by their headings, without headings of what stands `before` alone."""
    said = {heading: getattr(words, name) for name, heading in HEADINGS}
    return {
        **{heading: bullets(sentences) for heading, sentences in said.items() if not before.issuperset(sentences)},
        **{one.heading: in_html(one) for one in parts if one.text or one.tables},
        message("section.pictures"): pictures(drawn, plots.CAPTIONS),
        message("section.made_of"): html_table(("", ""), comparisons.made_of(course)),
    }


def bullets(sentences: Iterable[Message]) -> str:
    """A list of sentences."""
    return "<ul>\n" + "".join(f"<li>{escaped(one)}</li>\n" for one in sentences) + "</ul>\n"


def _own_section(own: OwnFigures) -> Section:
    """Means of the trainees' own figures."""
    advised = message("count.trainees", count=own.advised)
    rows = [
        (message("row.own_dprime"), own.dprime, message("row.own_dprime_means")),
        (message("row.own_criterion"), own.criterion, message("row.own_criterion_means")),
        (message("row.own_area"), own.area, message("row.own_area_means")),
        (message("row.own_net"), own.net, message("row.own_net_means", trainees=advised)),
        (message("row.own_triads"), own.triads, message("row.own_triads_means")),
        (message("row.own_rare"), own.rare, message("row.own_rare_means")),
    ]
    about = message("about.own", trainees=message("count.trainees", count=own.trainees))
    return told(message("section.own"), about, table(HEADER, rows))


def _distribution_section(found: Sequence[Distribution]) -> Section:
    header = (
        message("column.test"),
        message("column.trainees"),
        message("column.lowest"),
        message("column.quarter"),
        message("column.half"),
        message("column.three_quarters"),
        message("column.highest"),
    )
    rows = [
        (
            TESTS[one.test],
            one.trainees,
            *(text(value, 1) for value in (one.lowest, one.quarter, one.median, one.three_quarters, one.highest)),
        )
        for one in found
    ]
    return told(message("section.scores"), None, table(header, rows))


def _change_section(changes: Sequence[CohortChange]) -> Section:
    rows: list[Row] = []
    for one in changes:
        between = between_tests(one.first, one.second)
        trainees = message("count.trainees", count=one.trainees)
        moved = message("cell.both", first=one.rose, second=one.fell)
        consistency = message("row.icc_consistency", between=between)
        sign_test = message("row.rose_fell_means", p=text(one.p_value, 3))
        means = (
            (message("row.mean_change", between=between), one.mean_points),
            (message("row.mean_change_triads", between=between), one.triads),
            (message("row.mean_change_lists", between=between), one.lists),
        )
        rows += [
            *((name, text(found, 1), message("row.mean_change_means")) for name, found in means if found is not None),
            (
                message("row.median_change", between=between),
                message("cell.median_points", points=one.median_points),
                message("row.of_trainees", trainees=trainees),
            ),
            (message("row.better", between=between), one.better, message("row.better_means", needed=one.needed)),
            (message("row.worse", between=between), one.worse, message("row.likewise")),
            (message("row.rose_fell", between=between), moved, sign_test),
            (message("row.icc_agreement", between=between), _icc(one.agreement), message("row.icc_agreement_means")),
            (consistency, _icc(one.consistency), message("row.icc_consistency_means")),
        ]
    return told(message("section.change"), None, table(HEADER, rows))


def _icc(found: Maybe[Intraclass]) -> object:
    if isinstance(found, Undefined):
        return found
    return with_interval(*(number(f"{one:.2f}") for one in (found.value, found.low, found.high)))


def _item_section(items: Sequence[ItemRow]) -> Section:
    """The quarantined items first, then the hardest."""
    listed = sorted(items, key=lambda one: (not one.quarantined, _share(one), one.item_id))[:MOST_ITEMS]
    header = (
        message("column.item"),
        message("column.form"),
        message("column.exercise"),
        message("column.truth"),
        message("column.machine_b"),
        message("column.human_b"),
        message("column.right"),
        message("column.correlation"),
        message("column.look"),
    )
    counted = message("count.items", count=len(items))
    about = message("about.items", items=counted, most=MOST_ITEMS, people=MIN_PEOPLE)
    return told(message("section.items"), about, table(header, map(_item, listed)))


def _item(one: ItemRow) -> Row:
    return (
        one.item_id,
        one.form,
        sections.exercise(one.exercise),
        truth_text(one.truth),
        "" if one.b is None else number(f"{one.b:.2f}"),
        number(f"{one.human_b.b:.2f}") if isinstance(one.human_b, Difficulty) else "",
        one.right,
        "" if isinstance(one.correlation, Undefined) else number(f"{one.correlation:.2f}"),
        True if one.quarantined else None,
    )


def _share(item: ItemRow) -> float:
    return 2.0 if isinstance(item.right, Undefined) else item.right.value


def _row_section(rows: Sequence[TraineeRow]) -> Section:
    header = (
        message("column.trainee"),
        message("column.answered"),
        message("column.false_same"),
        message("column.misses"),
        message("column.dprime"),
        message("column.c"),
        message("column.ability"),
        message("column.scores"),
    )
    return told(message("section.trainees"), None, table(header, map(_row, rows)))


def _row(one: TraineeRow) -> Row:
    found = one.sensitivity
    dprime, criterion = (found.dprime, found.criterion) if isinstance(found, Sensitivity) else (None, None)
    ability = None if isinstance(one.ability, Undefined) else one.ability
    scores = ", ".join(f"{text(TESTS[test])} {score:.1f}" for test, score in one.scores.items())
    return one.trainee_id, one.answered, one.false_same, one.misses, dprime, criterion, ability, scores
