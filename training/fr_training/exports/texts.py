"""How times and JSON are written in exports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(ms: int) -> str:
    """A time as ISO 8601 in UTC with milliseconds, such as "2023-11-14T22:13:20.000Z".

    Args:
        ms: milliseconds since 1970, UTC.

    Raises:
        OverflowError: it is after the year 9999.
    """
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(ms: int) -> str:
    """A time span, milliseconds, as an ISO 8601 duration with hundredths of a second, such as "PT4.25S".

    Hundredths are what xAPI 1.0.3 compares durations by.
    """
    hundredths = (ms + 5) // 10
    return f"PT{hundredths // 100}.{hundredths % 100:02d}S"


def number(value: float) -> str:
    """A number as text that gives the very same number when it is read.

    Raises:
        ValueError: it is not finite, which no result is.
    """
    if not isfinite(value):
        raise ValueError("A result is not a finite number.")
    return repr(value)


def json_lines(values: Iterable[Mapping[str, Any]]) -> str:
    """A JSON array, an object on each line, ending with a newline.

    Raises:
        ValueError: a number is not finite, which no result is.
    """
    lines = [json.dumps(one, ensure_ascii=False, allow_nan=False, separators=(",", ":")) for one in values]
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"
