"""Calibrations as JSON, and back: versioned, and strict, so that a file that somebody changed is not half believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple, fields
from datetime import date, datetime
from typing import Any, NoReturn, TypeVar

from fr_core.scoring.calibration import Calibration, Provenance, WorstFaces
from fr_core.scoring.calibrators import LogisticCurve, LrCalibrator, StepCurve
from fr_core.scoring.intervals import Interval
from fr_core.scoring.rate_table import RateTable
from fr_files.reading import TextRefused, read_json

FORMAT = "fr-core calibration"
VERSION = 2
"""The version of a calibration with `faces`. One without them has version 1, which earlier releases can read."""
MAX_BYTES = 2**20  # of a calibration; `fr_core.gallery` keeps no longer one
# Numbers of 17 digits fill `MAX_BYTES` before a calibration has so many values.
_MOST_VALUES = 60_000
# With keys: those that FR Core ships hold 46, and each setting adds two.
_MOST_STRINGS = 10_000
# Of a whole number: none of more counts what anybody compared, and these fit into 64 bits.
_MOST_DIGITS = 18

T = TypeVar("T")


def to_json(calibration: Calibration) -> str:
    """The calibration as a JSON text, all of it, in an order that does not change."""
    provenance, rates, likelihood = calibration.provenance, calibration.rates, calibration.likelihood
    curve = likelihood.curve
    kind = "logistic" if isinstance(curve, LogisticCurve) else "steps"
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": 1 if calibration.faces is None else VERSION,
        "provenance": {
            "dataset": provenance.dataset,
            "part": provenance.part,
            "list_sha256": provenance.list_sha256,
            "people": provenance.people,
            "model_id": provenance.model_id,
            "measured_on": provenance.measured_on.isoformat(),
            "settings": dict(provenance.settings),
        },
        "rates": {
            **asdict(rates),
            "bootstrap": [list(map(float, (at, *astuple(limits)))) for at, limits in rates.bootstrap],
        },
        "likelihood": {**asdict(likelihood), "curve": {"kind": kind, **asdict(curve)}},
    }
    if calibration.faces is not None:
        document["faces"] = asdict(calibration.faces)
    return json.dumps(document, allow_nan=False)


def from_json(text: str) -> Calibration:
    """The calibration that `to_json` wrote.

    Raises `ValueError`: it is not JSON, not a calibration, of another version, or a key is missing, unknown, twice
    there or of another type; or its numbers contradict each other. The sentence says which.
    """
    try:
        document = read_json(
            text.encode(),
            MAX_BYTES,
            most_values=_MOST_VALUES,
            most_strings=_MOST_STRINGS,
            object_pairs_hook=_unique,
            parse_int=_whole_number,
            parse_constant=_no_constant,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"This is not a calibration: it is not JSON, see line {error.lineno}.") from None
    except TextRefused as error:
        raise ValueError(f"This is not a calibration: {error}.") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError("This is not a calibration of FR Core.")
    version = document.get("version")
    if type(version) is not int or version < 1:
        raise ValueError("The version of this calibration is not a number from 1.")
    if version > VERSION:
        raise ValueError(
            f"This calibration has version {version}, and this release reads {VERSION}: install a newer one."
        )
    reader = _Reader(document, "the calibration")
    reader.take("format", str)
    reader.take("version", int)
    provenance = _provenance(reader.part("provenance"))
    rates = _rates(reader.part("rates"))
    likelihood = _likelihood(reader.part("likelihood"))
    faces = None if version == 1 else _faces(reader.part("faces"))
    reader.end()
    return Calibration(provenance, rates, likelihood, faces)


class _Reader:
    """Takes keys out of one JSON object, each of its type, and refuses what is left over."""

    def __init__(self, fields: Mapping[str, Any], name: str) -> None:
        self._fields = dict(fields)
        self._name = name

    def take(self, key: str, kind: type[T]) -> T:
        if key not in self._fields:
            raise ValueError(f"In {self._name}, {key} is missing.")
        return self._of(self._fields.pop(key), kind, key)

    def take_or_none(self, key: str, kind: type[T]) -> T | None:
        if self._fields.get(key, "missing") is None:
            del self._fields[key]
            return None
        return self.take(key, kind)

    def many(self, key: str, kind: type[T]) -> tuple[T, ...]:
        return tuple(self._of(value, kind, f"each of {key}") for value in self.take(key, list))

    def texts(self, key: str) -> dict[str, str]:
        return {name: self._of(value, str, f"each of {key}") for name, value in self.take(key, dict).items()}

    def part(self, key: str) -> _Reader:
        return _Reader(self.take(key, dict), key)

    def end(self) -> None:
        if self._fields:
            raise ValueError(f"In {self._name}, {min(self._fields)} is not known.")

    def _of(self, value: object, kind: type[T], what: str) -> T:
        # Not isinstance: True is not a number here.
        if type(value) is not kind:
            raise ValueError(f"In {self._name}, {what} must be {_KINDS[kind]}.")
        return value


_KINDS: Mapping[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number with a decimal point",
    list: "a list",
    dict: "an object",
}


def _provenance(reader: _Reader) -> Provenance:
    found = Provenance(
        dataset=reader.take("dataset", str),
        part=reader.take("part", str),
        list_sha256=reader.take("list_sha256", str),
        people=reader.take_or_none("people", int),
        model_id=reader.take("model_id", str),
        measured_on=_day(reader.take("measured_on", str)),
        settings=reader.texts("settings"),
    )
    reader.end()
    return found


def _faces(reader: _Reader) -> WorstFaces:
    found = WorstFaces(**{field.name: reader.take(field.name, float) for field in fields(WorstFaces)})
    reader.end()
    return found


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise ValueError("In provenance, measured_on must be a day, as 2026-11-25.") from None


def _rates(reader: _Reader) -> RateTable:
    found = RateTable(
        thresholds=reader.many("thresholds", float),
        false_matches=reader.many("false_matches", int),
        false_non_matches=reader.many("false_non_matches", int),
        nonmated=reader.take("nonmated", int),
        mated=reader.take("mated", int),
        nonmated_failures=reader.take("nonmated_failures", int),
        mated_failures=reader.take("mated_failures", int),
        confidence=reader.take("confidence", float),
        bootstrap=tuple(map(_limits, reader.many("bootstrap", list))),
    )
    reader.end()
    return found


def _limits(numbers: list[object]) -> tuple[float, Interval]:
    match numbers:
        case [float(threshold), float(low), float(high), float(confidence)]:
            return threshold, Interval(low, high, confidence)
    raise ValueError("In rates, each of bootstrap must be [threshold, low, high, confidence].")


def _likelihood(reader: _Reader) -> LrCalibrator:
    found = LrCalibrator(
        curve=_curve(reader.part("curve")),
        weakest=reader.take("weakest", float),
        strongest=reader.take("strongest", float),
        lowest=reader.take("lowest", float),
        highest=reader.take("highest", float),
    )
    reader.end()
    return found


def _curve(reader: _Reader) -> LogisticCurve | StepCurve:
    curves: dict[str, Callable[[], LogisticCurve | StepCurve]] = {
        "logistic": lambda: LogisticCurve(reader.take("intercept", float), reader.take("slope", float)),
        "steps": lambda: StepCurve(reader.many("starts", float), reader.many("levels", float)),
    }
    kind = reader.take("kind", str)
    if kind not in curves:
        raise ValueError("In curve, kind must be logistic or steps.")
    found = curves[kind]()
    reader.end()
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("A key comes twice in this calibration.")
    return found


def _whole_number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"A whole number of this calibration has more than {_MOST_DIGITS} digits.")
    return int(digits)


def _no_constant(_: str) -> NoReturn:
    raise ValueError("A number of this calibration is not finite.")
