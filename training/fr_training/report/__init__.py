"""Reports of training: the figures of `fr_training.grading` for programs and for people.

* `keys` says which keys the JSON has, and makes it; it needs no matplotlib;
* `deck` is the debrief of a cohort, which needs no matplotlib either;
* `pages` are the HTML: `sections` and `comparisons` tell the figures with what each means, `plots` draws,
  `cells` writes a figure as text.

Every report says that it is training output and no evidence of identity, and knows trainees by their pseudonyms alone.
"""

from __future__ import annotations

from fr_training.courses import Course
from fr_training.grading.figures import CohortFigures, TraineeFigures
from fr_training.report.deck import deck_html as deck_html
from fr_training.report.keys import document


def trainee_json(course: Course, figures: TraineeFigures) -> str:
    """A trainee's report as JSON text; `fr_training.report.keys` says which keys it has."""
    return document(course, "training-trainee", figures)


def cohort_json(course: Course, figures: CohortFigures) -> str:
    """A cohort's report as JSON text; `fr_training.report.keys` says which keys it has."""
    return document(course, "training-cohort", figures)


def trainee_html(course: Course, figures: TraineeFigures) -> str:
    """A trainee's report as one HTML page that needs nothing beside it; it needs matplotlib (extra `report`)."""
    from fr_training.report.pages import trainee_page  # it draws with matplotlib, which a server may lack

    return trainee_page(course, figures)


def cohort_html(course: Course, figures: CohortFigures) -> str:
    """A cohort's report as one HTML page; errors are those of `trainee_html`."""
    from fr_training.report.pages import cohort_page

    return cohort_page(course, figures)
