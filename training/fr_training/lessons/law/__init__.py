"""Figures and numbers of the lesson on law: two galleries, and how long an invented unit keeps what."""

from __future__ import annotations

from collections.abc import Mapping

from fr_training.lessons.drawing import BLUE, INK, LINE, ORANGE, PAPER, SOFT, Anchor, line, polyline, rect, svg, words
from fr_training.lessons.measured import calibration, threshold_of_pack
from fr_training.lessons.values import Drawn, Number

SEARCHES, LARGE, SMALL = 200, 10_000, 500
"""Of the worked example: searches a year for people who are not enrolled, and people in the two galleries."""
ERASED, CASE_KEPT, PERSON_KEPT, AUDIT_KEPT = 120, 180, 365, 730
"""Days of the invented unit: when it erases the person, and for how long it keeps what."""


def wrong_share(gallery: int) -> float:
    """The share of searches for people who are not enrolled that return somebody, in [0, 1]."""
    return calibration().fpir_at(threshold_of_pack(), gallery).value


def wrong_searches(gallery: int) -> int:
    """Searches of `SEARCHES` that return somebody."""
    return round(SEARCHES * wrong_share(gallery))


def draw_gates(told: Mapping[str, str]) -> str:
    """Draw the four questions, one below the other, each with its way out."""
    shapes = [line(560, 46, 560, 330, ORANGE, 2)]
    for place, name in enumerate(("law", "purpose", "need", "balance")):
        y = 20.0 + 82.0 * place
        shapes += [
            rect(20, y, 400, 52, PAPER, BLUE),
            words(40, y + 32, told[name], bold=True),
            *_arrow(420, y + 26, 559, y + 26, ORANGE),
            words(482, y + 18, told["no"], "middle", fill=ORANGE, bold=True),
            *_arrow(220, y + 52, 220, y + 82, BLUE),
            words(232, y + 73, told["yes"], fill=BLUE, bold=True),
        ]
    return svg(
        420,
        [
            *shapes,
            rect(20, 348, 400, 52, BLUE),
            words(40, 380, told["search"], fill=PAPER, bold=True),
            rect(490, 330, 140, 52, PAPER, ORANGE),
            words(560, 361, told["stop"], "middle", fill=ORANGE, bold=True),
        ],
    )


def draw_clock(told: Mapping[str, str]) -> str:
    """Draw how long a person's data stay in the gallery, in the case and in the audit."""
    left, right = 20.0, 620.0

    def x(day: float) -> float:
        return left + (right - left) * day / AUDIT_KEPT

    shapes = [
        words(right, 64, told["gallery"], "end", bold=True),
        rect(left, 44, x(ERASED) - left, 30, BLUE),
        rect(x(ERASED), 44, x(PERSON_KEPT) - x(ERASED), 30, PAPER, LINE),
        words(right, 138, told["case"], "end", bold=True),
        rect(left, 118, x(CASE_KEPT) - left, 30, ORANGE),
        words(right, 182, told["audit"], "end", bold=True),
        rect(left, 192, right - left, 30, SOFT),
        line(x(ERASED), 10, x(ERASED), 236, INK, 2, "6 5"),
        words(x(ERASED) + 8, 18, told["erased"]),
        line(left, 236, right, 236, INK),
        words((left + right) / 2, 284, told["days"], "middle"),
    ]
    for day in (0, ERASED, CASE_KEPT, PERSON_KEPT, AUDIT_KEPT):
        anchor: Anchor = "start" if day == 0 else "end" if day == AUDIT_KEPT else "middle"
        shapes += [line(x(day), 236, x(day), 243, INK), words(x(day), 260, str(day), anchor, fill=SOFT)]
    return svg(300, shapes)


def _arrow(x1: float, y1: float, x2: float, y2: float, stroke: str) -> list[str]:
    """A line with a head, to the right or downwards."""
    head = (
        [(x2 - 8, y2 - 5), (x2, y2), (x2 - 8, y2 + 5)] if y1 == y2 else [(x2 - 5, y2 - 8), (x2, y2), (x2 + 5, y2 - 8)]
    )
    return [line(x1, y1, x2, y2, stroke, 2), polyline(head, stroke)]


FIGURES = {
    "gates": Drawn(draw_gates, ("law", "purpose", "need", "balance", "yes", "no", "search", "stop")),
    "clock": Drawn(draw_clock, ("gallery", "case", "audit", "erased", "days")),
}

NUMBERS = {
    "threshold": Number(threshold_of_pack, ".2f", 0.3, 0.3),
    "large_percent": Number(lambda: 100.0 * wrong_share(LARGE), ".0f", 30, 35),
    "small_percent": Number(lambda: 100.0 * wrong_share(SMALL), ".0f", 1.5, 2.4),
    "large": Number(lambda: wrong_searches(LARGE), ".0f", 60, 70),
    "small": Number(lambda: wrong_searches(SMALL), ".0f", 3, 5),
    "spared": Number(lambda: wrong_searches(LARGE) - wrong_searches(SMALL), ".0f", 56, 66),
    "low": Number(lambda: SEARCHES * calibration().fpir_at(threshold_of_pack(), LARGE).interval.low, ".0f", 10, 24),
    "high": Number(lambda: SEARCHES * calibration().fpir_at(threshold_of_pack(), LARGE).interval.high, ".0f", 100, 130),
    "case_after": Number(lambda: CASE_KEPT - ERASED, ".0f", 60, 60),
    "audit_after": Number(lambda: AUDIT_KEPT - CASE_KEPT, ".0f", 550, 550),
}
