"""Writes figures as JSON: the one place that turns a figure into keys.

The keys are stable, by these rules alone; FORMAT rises when one is taken away or means something else:

* a dataclass is an object whose keys are its attributes, in their order;
* a `Rate` is {"value", "count", "total", "low", "high", "confidence"}: value = count / total, Wilson's ends;
* an `Interval` is {"low", "high", "confidence"}; an `Estimate` has also "value" and "standard_error";
* a figure that the answers cannot give is {"undefined": a sentence that says why}, wherever a figure may stand; it is
  never 0 and never left out;
* a message is its English sentence;
* null means that there is no such thing here, such as the triads of a block of pairs;
* a tuple is a list; a mapping is an object whose keys are sorted; a number is finite.

A report begins with "format" (2), "kind" ("training-trainee" or "training-cohort"), "notice" and "course" ("course_id",
"title", "datasets", "terms", "model", "seed", "manifest_sha256"); the keys that follow are the attributes of
`fr_training.grading.figures.TraineeFigures` and `CohortFigures`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import Any

from fr_core.scoring.intervals import Interval, Rate
from fr_locales.messages import Message, message
from fr_locales.rendering import render
from fr_training.courses import Course
from fr_training.grading.values import Undefined

FORMAT = 2
NOTICE = message("page.notice")


def document(course: Course, kind: str, figures: object) -> str:
    """A report ("training-trainee" or "training-cohort") as JSON text; ValueError where a number is not finite."""
    head = {"format": FORMAT, "kind": kind, "notice": render(NOTICE), "course": _course(course)}
    return json.dumps({**head, **keys(figures)}, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def keys(value: object) -> Any:
    """A figure as JSON has it, by the rules above; ValueError for a number that is not finite, or TypeError."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if not isfinite(value):
                raise ValueError("A figure is not a finite number.")
            return value
        case Message():
            return render(value)
        case Undefined():
            return {"undefined": render(value.reason)}
        case Rate():
            return {"value": value.value, "count": value.count, "total": value.total, **keys(value.interval)}
        case Interval():
            return {"low": value.low, "high": value.high, "confidence": value.confidence}
        case tuple() | list():
            return [keys(one) for one in value]
        case Mapping():
            return {str(name): keys(one) for name, one in sorted(value.items())}
        case _ if is_dataclass(value):
            return {field.name: keys(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"A figure is not made of {type(value).__name__}.")


def _course(course: Course) -> dict[str, Any]:
    return {
        "course_id": course.course_id,
        "title": course.plan.title,
        "datasets": list(course.datasets),
        "terms": list(course.terms),
        "model": {"pack": course.model.pack, "version": course.model.version, "sha256": course.model.sha256},
        "seed": course.seed,
        "manifest_sha256": course.manifest_sha256,
    }
