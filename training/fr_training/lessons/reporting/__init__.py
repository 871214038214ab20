"""Figures and numbers of the lesson on reports: what a rating was worth in a test, and what no errors can mean."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fr_core.scoring.intervals import wilson_interval
from fr_core.scoring.likelihood import level_ratios, ratio_ceiling
from fr_training.lessons.drawing import BLUE, INK, LINE, ORANGE, PAPER, SOFT, circle, line, rect, svg, words
from fr_training.lessons.values import Drawn, Number

LEVELS = (3, 2, 1, 0, -1, -2, -3)
ONE_PERSON = (3, 3, 2, 2, 1, 0, -1, 3, 2, 1)
"""Ratings by an invented examiner of ten pairs of one person."""
TWO_PEOPLE = (-3, -2, -2, -1, 0, 1, -3, -1, -2, 2)
"""Ratings by the same examiner of ten pairs of two people."""
TESTS = (20, 100, 1_000)
"""Pairs of tests in which nothing went wrong."""


def ratio_of(level: int) -> float:
    """The ratio of how often the examiner used a level for pairs of one person and for pairs of two people."""
    found = level_ratios(np.array(ONE_PERSON, np.int64), np.array(TWO_PEOPLE, np.int64), LEVELS)
    return found[LEVELS.index(level)].ratio


def used(ratings: tuple[int, ...], level: int) -> int:
    """The number of uses of a level."""
    return ratings.count(level)


def after_percent(before_percent: float) -> float:
    """The share of right candidates after a finding with the ratio of the highest level, percent."""
    odds = ratio_of(3) * before_percent / (100.0 - before_percent)
    return 100.0 * odds / (1.0 + odds)


def highest_percent(pairs: int) -> float:
    """The highest error rate that fits no errors in so many pairs, with a confidence of 95 percent, percent."""
    return 100.0 * wilson_interval(0, pairs).high


def draw_scale(told: Mapping[str, str]) -> str:
    """Draw the seven levels of a rating as steps to both sides of zero."""
    names = ("strongly", "moderately", "weakly")
    middle, base = 320.0, 150.0
    shapes = [line(20, base, 620, base, INK)]
    for level in LEVELS:
        x, height = middle + level * 86.0, 22.0 * abs(level)
        if level:
            shapes.append(rect(x - 32, base - height, 64, height, BLUE if level > 0 else ORANGE))
            shapes.append(words(x, base + 44, told[names[3 - abs(level)]], "middle", fill=SOFT))
        else:
            shapes.append(circle(x, base - 10, 8, PAPER, INK))
            shapes.append(words(x, base + 44, told["neither"], "middle", fill=SOFT))
        shapes.append(words(x, base + 22, f"{level:+d}" if level else "0", "middle", bold=True))
    shapes += [
        words(148, 50, told["two"], "middle", fill=ORANGE, bold=True),
        words(492, 50, told["one"], "middle", fill=BLUE, bold=True),
    ]
    return svg(210, shapes)


def draw_intervals(told: Mapping[str, str]) -> str:
    """Draw which error rates fit no errors in tests of three sizes."""
    left, right, most = 190.0, 600.0, 20.0

    def x(percent: float) -> float:
        return left + (right - left) * percent / most

    shapes = []
    for row, (pairs, name) in enumerate(zip(TESTS, ("few", "more", "many"), strict=True)):
        y, end = 40.0 + 56.0 * row, x(highest_percent(pairs))
        shapes += [
            words(left - 16, y + 5, told[name], "end"),
            rect(left, y - 9, max(end - left, 2.0), 18, BLUE),
            circle(left, y, 7, PAPER, INK),
            words(end + 12, y + 5, told[f"{name}_most"], bold=True),
        ]
    shapes.append(line(left, 186, right, 186, INK))
    for mark in (0, 5, 10, 15, 20):
        shapes += [line(x(mark), 186, x(mark), 192, LINE), words(x(mark), 208, f"{mark}", "middle", fill=SOFT)]
    shapes.append(words((left + right) / 2, 234, told["rate"], "middle"))
    return svg(248, shapes)


FIGURES = {
    "scale": Drawn(draw_scale, ("strongly", "moderately", "weakly", "neither", "one", "two")),
    "intervals": Drawn(draw_intervals, ("few", "more", "many", "few_most", "more_most", "many_most", "rate")),
}

NUMBERS = {
    "one_three": Number(lambda: used(ONE_PERSON, 3), ".0f", 3, 3),
    "two_three": Number(lambda: used(TWO_PEOPLE, 3), ".0f", 0, 0),
    "r_three": Number(lambda: ratio_of(3), ".1f", 7, 7),
    "one_two": Number(lambda: used(ONE_PERSON, 2), ".0f", 3, 3),
    "two_two": Number(lambda: used(TWO_PEOPLE, 2), ".0f", 1, 1),
    "r_two": Number(lambda: ratio_of(2), ".1f", 2.3, 2.4),
    "one_one": Number(lambda: used(ONE_PERSON, 1), ".0f", 2, 2),
    "two_one": Number(lambda: used(TWO_PEOPLE, 1), ".0f", 1, 1),
    "r_one": Number(lambda: ratio_of(1), ".1f", 1.6, 1.7),
    "one_zero": Number(lambda: used(ONE_PERSON, 0), ".0f", 1, 1),
    "two_zero": Number(lambda: used(TWO_PEOPLE, 0), ".0f", 1, 1),
    "r_zero": Number(lambda: ratio_of(0), ".1f", 1, 1),
    "seven": Number(lambda: ratio_of(3), ".0f", 7, 7),
    "ceiling": Number(lambda: ratio_ceiling(10, 10), ".0f", 21, 21),
    "ceiling_hundred": Number(lambda: ratio_ceiling(100, 100), ".0f", 201, 201),
    "after_half": Number(lambda: after_percent(50), ".0f", 87, 88),
    "after_tenth": Number(lambda: after_percent(10), ".0f", 43.5, 44.5),
    "after_hundredth": Number(lambda: after_percent(1), ".0f", 6.5, 7.5),
    "most_twenty": Number(lambda: highest_percent(TESTS[0]), ".0f", 16, 16.5),
    "most_hundred": Number(lambda: highest_percent(TESTS[1]), ".1f", 3.6, 3.8),
    "most_thousand": Number(lambda: highest_percent(TESTS[2]), ".1f", 0.35, 0.45),
}
