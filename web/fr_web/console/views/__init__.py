"""The screens of the console, in the order of navigation."""

from fr_web.console.views import course, entry, galleries, search, subjects, trainer, trainer_class, trainer_cohorts
from fr_web.console.visit import Screen

SCREENS: tuple[Screen, ...] = (
    *entry.SCREENS,
    *course.SCREENS,
    *trainer.SCREENS,
    *trainer_cohorts.SCREENS,
    *trainer_class.SCREENS,
    *search.SCREENS,
    *galleries.SCREENS,
    *subjects.SCREENS,
)
