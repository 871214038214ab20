"""Draws the error curves of reports as lines of a picture, without a library: points that a template puts into SVG."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

from fr_locales.messages import Message, message

WIDTH, HEIGHT = 600, 400  # of the picture, in units of its own
_LEFT, _BOTTOM, _EDGE = 70, 50, 24
_ENDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of an axis of rates


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve of a report: its points, with x and y above 0, and the names of the axes; y is a share from 0 to 1."""

    name: str
    x: Message
    y: Message
    points: tuple[tuple[float, float], ...]
    is_log: bool  # of x


@dataclass(frozen=True, slots=True)
class Picture:
    """One curve, or several of one name in the order of their reports, and the marks of both axes with their places."""

    x: Message
    y: Message
    lines: tuple[tuple[tuple[float, float], ...], ...]  # places in the picture
    points: tuple[tuple[tuple[float, float], ...], ...]  # values
    x_marks: tuple[tuple[float, str], ...]
    y_marks: tuple[tuple[float, str], ...]

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the axes."""
        return _LEFT, _EDGE, WIDTH - _EDGE, HEIGHT - _BOTTOM

    @property
    def shared(self) -> list[float]:
        """Return every x of any curve."""
        return sorted({x for line in self.points for x, _ in line})


def curves_of(said: Mapping[str, Any]) -> Iterator[Curve]:
    """Yield the curves of a report, as its JSON has them: docs/evaluation.md names the keys."""
    fmr, fnmr = message("console.rates.fmr"), message("console.rates.fnmr")
    if points := _rates(said.get("fnmr_at_fmr"), "fnmr"):
        yield Curve("list", fmr, fnmr, points, True)
    if points := _rates((said.get("across_people") or {}).get("fnmr_at_fmr"), "fnmr"):
        yield Curve("people", fmr, fnmr, points, True)
    for size in (said.get("galleries") or ())[:1]:
        shares = [_value(one) for one in size.get("cmc") or ()]
        found = tuple((float(rank), share) for rank, share in enumerate(shares, 1) if share is not None)
        if found:
            yield Curve("cmc", message("console.curve.rank"), message("console.curve.cmc"), found, False)
        if points := _rates(size.get("fnir_at_fpir"), "fnir"):
            yield Curve("search", message("console.curve.fpir"), message("console.curve.fnir"), points, True)


def drawn(curves: Sequence[Curve]) -> Picture:
    """Return curves with the same axes as one picture."""
    places = [_scale(x, curves[0].is_log) for curve in curves for x, _ in curve.points]
    low, high = min(places), max(places)
    wide = (high - low) or 1.0

    def across(x: float) -> float:
        return _LEFT + (_scale(x, curves[0].is_log) - low) / wide * (WIDTH - _LEFT - _EDGE)

    floor, ceiling = _range([y for curve in curves for _, y in curve.points])

    def up(y: float) -> float:
        return HEIGHT - _BOTTOM - (y - floor) / (ceiling - floor) * (HEIGHT - _BOTTOM - _EDGE)

    marks = sorted({x for curve in curves for x, _ in curve.points})
    shown = marks if len(marks) <= 8 else [marks[0], marks[len(marks) // 2], marks[-1]]
    return Picture(
        curves[0].x,
        curves[0].y,
        tuple(tuple((across(x), up(y)) for x, y in curve.points) for curve in curves),
        tuple(curve.points for curve in curves),
        tuple((across(x), f"{x:g}") for x in shown),
        tuple((up(y), f"{y:.4g}") for y in (floor + (ceiling - floor) * part / 4 for part in range(5))),
    )


def _range(rates: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis on which rates near 0, or near 1, can be told apart."""
    if min(rates) >= 0.5:
        return 1 - next(one for one in _ENDS if one >= 1 - min(rates)), 1.0
    return 0.0, next(one for one in _ENDS if one >= max(rates))


def _scale(x: float, is_log: bool) -> float:
    return log10(x) if is_log else x


def _rates(rows: Any, name: str) -> tuple[tuple[float, float], ...]:
    """Return the points of a table "target rate -> the other rate", without those that too few trials support."""
    found = []
    for target, row in (rows or {}).items():
        value = _value(row.get(name)) if row.get("supported") else None
        if value is not None and float(target) > 0:
            found.append((float(target), value))
    return tuple(sorted(found))


def _value(rate: Any) -> float | None:
    return rate["value"] if isinstance(rate, dict) and isinstance(rate.get("value"), int | float) else None
