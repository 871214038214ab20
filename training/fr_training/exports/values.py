"""Defines the values that exports share: results of a cohort, stable ids, and how times, numbers and JSON are written.

An id follows from what it names: a second export has the same ones, so that importing twice doubles nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Final
from uuid import NAMESPACE_DNS, UUID, uuid5

from fr_training.courses import Course
from fr_training.exports.signing import SigningKey
from fr_training.trials import Result

HOME: Final = "https://fr-core.invalid/training"
"""The web address that standards want. `.invalid` never leads anywhere (RFC 2606): a pseudonym has no page."""

_NAMESPACE: Final[UUID] = uuid5(NAMESPACE_DNS, "training.fr-core.invalid")


def stable_id(kind: str, *parts: str | int) -> str:
    """The UUID (version 5, RFC 9562) of what `parts` name, such as course and item; two kinds never share an id."""
    return str(uuid5(_NAMESPACE, json.dumps([kind, *parts])))


def urn(kind: str, *parts: str | int) -> str:
    """`stable_id` as a URN, such as "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8"."""
    return f"urn:uuid:{stable_id(kind, *parts)}"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(ms: int) -> str:
    """Milliseconds since 1970 as ISO 8601, such as "2023-11-14T22:13:20.000Z"; OverflowError after the year 9999."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(ms: int) -> str:
    """A time span, milliseconds, as an ISO 8601 duration with hundredths of a second, such as "PT4.25S".

    Hundredths are what xAPI 1.0.3 compares durations by.
    """
    hundredths = (ms + 5) // 10
    return f"PT{hundredths // 100}.{hundredths % 100:02d}S"


def number(value: float) -> str:
    """A number as text that gives the very same number when it is read; ValueError where it is not finite."""
    if not isfinite(value):
        raise ValueError("A result is not a finite number.")
    return repr(value)


def json_lines(values: Iterable[Mapping[str, Any]]) -> str:
    """A JSON array, an object on each line, ending with a newline; ValueError where a number is not finite."""
    lines = [json.dumps(one, ensure_ascii=False, allow_nan=False, separators=(",", ":")) for one in values]
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"


@dataclass(frozen=True, slots=True)
class Finished:
    """A sitting that a trainee has ended."""

    trainee_id: str  # pseudonym
    sitting: str  # its name in the plan
    started_ms: int  # milliseconds since 1970, UTC
    finished_ms: int  # milliseconds since 1970, UTC


@dataclass(frozen=True, slots=True)
class CohortResults:
    """All that is known of a cohort when it is exported."""

    course: Course  # that the cohort takes
    cohort_name: str  # for people
    # Of each trainee, in the order in which the trials were shown; every export keeps the order of trainees.
    results: Mapping[str, Sequence[Result]]
    finished: Sequence[Finished]  # sittings that were ended, each once for a trainee
    signing_key: SigningKey  # of the server; it signs credentials, and nothing else
    now_ms: int  # when the export is made, milliseconds since 1970, UTC
