"""Figures and numbers of the lesson on bias: the signal detection model of somebody whose criterion is moved."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from statistics import NormalDist

from fr_training.lessons.drawing import BLUE, INK, ORANGE, PAPER, SOFT, line, polyline, rect, svg, words
from fr_training.lessons.values import Drawn, Number
from fr_training.statistics.signal_detection import prevalence_ppv, rates_of

ABILITY, SHIFT = 2.0, 0.5
"""Of the invented examiner: d', and by how much a label moves the criterion c."""
PAIRS, OF_ONE = 1_000, 0.1
"""Of the worked example: pairs, and the share that shows one person."""


def hit(criterion: float = 0.0) -> float:
    """Of pairs of one person, those called "same", percent."""
    return 100.0 * rates_of(ABILITY, criterion)[0]


def false(criterion: float = 0.0) -> float:
    """Of pairs of two people, those called "same", percent."""
    return 100.0 * rates_of(ABILITY, criterion)[1]


def right(criterion: float = 0.0) -> float:
    """Pairs of one person that are called "same", rounded to whole pairs."""
    return round(PAIRS * OF_ONE * hit(criterion) / 100.0)


def wrong(criterion: float = 0.0) -> float:
    """Pairs of two people that are called "same", rounded to whole pairs."""
    return round(PAIRS * (1.0 - OF_ONE) * false(criterion) / 100.0)


def worth(criterion: float = 0.0) -> float:
    """Of the pairs called "same", those of one person, percent."""
    return 100.0 * prevalence_ppv(*rates_of(ABILITY, criterion), OF_ONE)


def draw_line(told: Mapping[str, str]) -> str:
    """Draw the impressions of likeness of both kinds of pairs, and the criterion without and with a label."""
    left, right_end, top, bottom = 30.0, 610.0, 80.0, 250.0
    lowest, highest = -4.0, 4.0

    def x(impression: float) -> float:
        return left + (right_end - left) * (impression - lowest) / (highest - lowest)

    def hill(mean: float) -> list[tuple[float, float]]:
        curve = NormalDist(mean)
        peak = curve.pdf(mean)
        steps = [lowest + 0.1 * step for step in range(81)]
        return [(x(at), bottom - (bottom - top) * curve.pdf(at) / peak) for at in steps]

    middle, moved = x(0.0), x(-SHIFT)
    return svg(
        310,
        [
            polyline(hill(-ABILITY / 2), ORANGE, ORANGE),
            polyline(hill(ABILITY / 2), BLUE, BLUE),
            line(left, bottom, right_end, bottom, INK),
            line(middle, top - 30, middle, bottom, INK, 2.5),
            line(moved, top - 30, moved, bottom, INK, 2.5, "7 5"),
            words(middle + 8, top - 38, told["without"], bold=True),
            words(moved - 8, top - 38, told["with"], "end", bold=True),
            words(x(-ABILITY / 2) - 60, top + 8, told["two"], "end", fill=ORANGE, bold=True),
            words(x(ABILITY / 2) + 60, top + 8, told["one"], fill=BLUE, bold=True),
            words(left, bottom + 24, told["unlike"], fill=SOFT),
            words(right_end, bottom + 24, told["alike"], "end", fill=SOFT),
        ],
    )


def draw_steps(told: Mapping[str, str]) -> str:
    """Draw the steps of a comparison, and what comes only after the finding."""
    shapes = []
    for place, name in enumerate(("quality", "notes", "compare", "finding")):
        top = 14.0 + 58.0 * place
        shapes += [rect(90, top, 460, 40, PAPER, BLUE), rect(90, top, 10, 40, BLUE)]
        shapes += [words(116, top + 26, told[name]), line(320, top + 40, 320, top + 58, BLUE, 2)]
    corners = [(90.0, 278.0), (550.0, 278.0), (550.0, 318.0), (90.0, 318.0), (90.0, 278.0)]
    shapes += [line(60, 250, 580, 250, INK, 5), line(320, 252, 320, 278, ORANGE, 2)]
    shapes += [line(*start, *end, ORANGE, 2, "7 5") for start, end in pairwise(corners)]
    shapes.append(words(116, 304, told["later"]))
    return svg(334, shapes)


FIGURES = {
    "line": Drawn(draw_line, ("two", "one", "without", "with", "unlike", "alike")),
    "steps": Drawn(draw_steps, ("quality", "notes", "compare", "finding", "later")),
}

NUMBERS = {
    "hit": Number(hit, ".1f", 84, 84.5),
    "false": Number(false, ".1f", 15.5, 16),
    "right": Number(right, ".0f", 84, 84),
    "wrong": Number(wrong, ".0f", 143, 143),
    "worth": Number(worth, ".0f", 37, 37.4),
    "right_label": Number(lambda: right(-SHIFT), ".0f", 93, 93),
    "wrong_label": Number(lambda: wrong(-SHIFT), ".0f", 278, 278),
    "worth_label": Number(lambda: worth(-SHIFT), ".0f", 24.6, 25.4),
    "more_right": Number(lambda: right(-SHIFT) - right(), ".0f", 9, 9),
    "more_wrong": Number(lambda: wrong(-SHIFT) - wrong(), ".0f", 135, 135),
    "missed": Number(lambda: 100.0 - hit(), ".0f", 15.5, 16),
    "missed_label": Number(lambda: 100.0 - hit(SHIFT), ".0f", 30.5, 31.4),
}
