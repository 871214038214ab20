"""The screens of the console, in the order of navigation."""

from fr_web.console.views import (
    audit,
    course,
    enrol,
    entry,
    evaluation,
    examiner,
    examiner_cases,
    galleries,
    keys,
    photos,
    review,
    search,
    server,
    sitting,
    subjects,
    upkeep,
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
    *enrol.SCREENS,
    *upkeep.SCREENS,
    *photos.SCREENS,
    *evaluation.SCREENS,
    *keys.SCREENS,
    *audit.SCREENS,
    *server.SCREENS,
)
