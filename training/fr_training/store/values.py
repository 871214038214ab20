"""The values that the training store hands out, beside courses and sessions."""

from __future__ import annotations

from dataclasses import dataclass, field

from fr_training.courses import Course
from fr_training.trials import Session


@dataclass(frozen=True, slots=True)
class Cohort:
    """Trainees, of whom so many are in it now, who take a course together; the id is 16 hexadecimal digits.

    From `expires_ms` (milliseconds since 1970, UTC) on nobody gets at it, and `purge` deletes it.
    """

    cohort_id: str
    course_id: str
    display_name: str
    created_ms: int
    expires_ms: int
    trainees: int
    closed: frozenset[str] = frozenset()  # names of the sittings that nobody may begin or go on with


@dataclass(frozen=True, slots=True)
class Trainee:
    """Someone who is trained, under a random pseudonym such as "T-7KQ2M9XW".

    `number`, by order of enrolment in the cohort, from 0, is given once, also where a trainee is deleted; `group` is
    `number` modulo 2.
    """

    trainee_id: str
    cohort_id: str
    group: int
    number: int


@dataclass(frozen=True, slots=True)
class NewTrainee:
    """A trainee with the code as it is handed out, this once, see `codes`; the store keeps a keyed hash alone."""

    trainee_id: str
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProbeTruth:
    """The number of the person on a photo that was sent as an own probe; None for nobody of the course, or unknown."""

    known: bool
    person: int | None


@dataclass(frozen=True, slots=True)
class Release:
    """Items, as (name of the form, item id), whose right answers the trainees of a cohort may see from then on."""

    released_ms: int  # milliseconds since 1970, UTC
    items: frozenset[tuple[str, str]]  # that no earlier release named


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes of a cohort since a mark, and the cohort itself with its course, all as of one moment."""

    mark: int  # to ask with the next time
    cohort: Cohort
    course: Course
    trainees: tuple[Trainee, ...]  # who were enrolled since and are in it now, in the order of their numbers
    # That are new or have changed since, as they are now, in the order in which they were begun.
    sessions: tuple[Session, ...]
