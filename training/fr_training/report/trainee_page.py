"""A trainee's report as one HTML page: plain words, then figures with what each means, then pictures."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from fr_evaluation.html import document, pictures, table
from fr_evaluation.html import words as in_html
from fr_evaluation.words import Section, Table, section
from fr_training.courses import Course
from fr_training.grading.figures import TraineeFigures, Words
from fr_training.report import others, plots, sections
from fr_training.report.cells import HEADER
from fr_training.report.keys import NOTICE


def page(course: Course, figures: TraineeFigures) -> str:
    """The whole file."""
    counts = figures.counts
    made = f"{counts.answered:,} of {counts.shown:,} trials that were shown make these figures."
    summary = f"Trainee {figures.trainee_id}. {made}"
    told = [
        section("Trials", "", Table(HEADER, sections.count_rows(counts))),
        others.change_section(figures.changes),
        *sections.of_kinds(figures.together),
        others.aided_section(figures.aided, figures.prevalence),
        others.learning_section(figures.learning),
        others.group_section(figures.groups),
        others.verification_section(figures.verification),
        others.standing_section(figures.standing),
        others.crowd_section(figures.crowds),
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
            "What it is made of": table(("", ""), others.made_of(course)),
        },
    )


def in_words(words: Words) -> dict[str, str]:
    """The plain sentences as lists, by their headings."""
    return {heading: bullets(said) for heading, said in others.plain_words(words).items()}


def tables(told: Iterable[Section]) -> dict[str, str]:
    """Sections as HTML by their headings, those that say something."""
    return {one.heading: in_html(one) for one in told if one.text or one.tables}


def bullets(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    return "<ul>\n" + "".join(f"<li>{escape(one)}</li>\n" for one in sentences) + "</ul>\n"
