"""The screens of the console, in the order of navigation."""

from fr_web.console.views import (
    course,
    entry,
    examiner,
    examiner_cases,
    galleries,
    review,
    search,
    sitting,
    subjects,
)
from fr_web.console.visit import Screen

SCREENS: tuple[Screen, ...] = (
    *entry.SCREENS,
    *course.SCREENS,
    *sitting.SCREENS,
    *review.SCREENS,
    *examiner_cases.SCREENS,
    *examiner.SCREENS,
    *search.SCREENS,
    *galleries.SCREENS,
    *subjects.SCREENS,
)
