"""What an export is made of: results of a cohort, and who has finished what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fr_training.courses import Course
from fr_training.exports.signing import SigningKey
from fr_training.results import Result


@dataclass(frozen=True, slots=True)
class Finished:
    """A sitting that a trainee has ended.

    Attributes:
        trainee_id: pseudonym.
        sitting: its name in the plan.
        started_ms: milliseconds since 1970, UTC.
        finished_ms: milliseconds since 1970, UTC.
    """

    trainee_id: str
    sitting: str
    started_ms: int
    finished_ms: int


@dataclass(frozen=True, slots=True)
class CohortResults:
    """All that is known of a cohort when it is exported.

    Attributes:
        course: that the cohort takes.
        cohort_name: for people.
        results: of each trainee, in the order in which the trials were shown; every export keeps the order of trainees.
        finished: sittings that were ended, each once for a trainee.
        signing_key: of the server; it signs credentials, and nothing else.
        now_ms: when the export is made, milliseconds since 1970, UTC.
    """

    course: Course
    cohort_name: str
    results: Mapping[str, Sequence[Result]]
    finished: Sequence[Finished]
    signing_key: SigningKey
    now_ms: int
