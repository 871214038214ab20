"""Figures and numbers of the lesson on candidate lists: an invented class and a simple model, worked out."""

from __future__ import annotations

from collections.abc import Mapping

from fr_core.scoring.intervals import Interval, wilson_interval
from fr_training.lessons.drawing import BLUE, INK, LINE, ORANGE, PAPER, SOFT, circle, line, polyline, rect, svg, words
from fr_training.lessons.measured import calibration, fnmr_percent, threshold_of_pack
from fr_training.lessons.values import Drawn, Number
from fr_training.statistics.signal_detection import prevalence_ppv

LISTS, RIGHT, FALSE = 20, 13, 5
"""Of the invented class: lists of each kind, right picks where the person is there, picks where he is not."""
AT_WORK, PRESENT = 1_000, 0.1
"""Lists of the worked example, and the share of them on which the person is."""
SLIP = 0.02
"""Of the model: the chance that one stranger on a list is picked."""
LENGTHS = (5, 10, 20, 50, 100)


def true_pick() -> Interval:
    """The range of the share of right picks, by the lists of the class."""
    return wilson_interval(RIGHT, LISTS)


def false_pick() -> Interval:
    """The range of the share of picks from lists without the person."""
    return wilson_interval(FALSE, LISTS)


def right_picks() -> float:
    """Of the lists at work."""
    return AT_WORK * PRESENT * RIGHT / LISTS


def wrong_picks() -> float:
    """Of the lists at work."""
    return AT_WORK * (1.0 - PRESENT) * FALSE / LISTS


def worth(true: float = RIGHT / LISTS, false: float = FALSE / LISTS) -> float:
    """The share of picks that are right, percent."""
    return 100.0 * prevalence_ppv(true, false, PRESENT)


def any_wrong(length: int) -> float:
    """The chance that at least one of so many strangers is picked, percent, by the model."""
    return 100.0 * (1.0 - (1.0 - SLIP) ** length)


def empty(gallery: int) -> float:
    """The share of lists of leads that are empty, where the person is not enrolled, percent."""
    return 100.0 * (1.0 - calibration().fpir_at(threshold_of_pack(), gallery).value)


def head(x: float, y: float) -> list[str]:
    """A head with shoulders, as an outline; x is its middle, y that of the face."""
    shoulders = [
        (x - 26, y + 44),
        (x - 20, y + 30),
        (x - 7, y + 24),
        (x + 7, y + 24),
        (x + 20, y + 30),
        (x + 26, y + 44),
    ]
    return [
        polyline(shoulders, INK, width=2),
        circle(x, y, 19, PAPER, INK),
        line(x - 26, y + 44, x + 26, y + 44, INK, 2),
    ]


def draw_lists(told: Mapping[str, str]) -> str:
    """Draw two lists of five candidates: one with the person at the third place, one without."""
    shapes = []
    for row, (name, right_at) in enumerate((("a", 2), ("b", None))):
        top = 30.0 + row * 150.0
        shapes.append(words(16, top + 20, told[name], bold=True))
        shapes.append(words(16, top + 110, told["score"], fill=SOFT))
        for place in range(5):
            x = 150.0 + place * 100.0
            shapes += [words(x - 40, top + 6, f"{place + 1}", "middle", fill=SOFT), *head(x, top + 12)]
            mark = circle(x, top + 76, 9, BLUE) if place == right_at else rect(x - 8, top + 68, 16, 16, ORANGE)
            shapes += [mark, rect(x - 35, top + 100, 70.0 - 9.0 * place, 10, LINE)]
    shapes += [circle(28, 336, 9, BLUE), words(48, 341, told["right"])]
    shapes += [rect(312, 328, 16, 16, ORANGE), words(340, 341, told["other"])]
    return svg(360, shapes)


def draw_length(told: Mapping[str, str]) -> str:
    """Draw how often a list of strangers brings a wrong pick, by its length."""
    left, right, top, bottom = 60.0, 610.0, 60.0, 250.0
    shapes = [words(left, 28, told["chance"], bold=True), line(left, bottom, right, bottom, INK)]
    for place, length in enumerate(LENGTHS):
        share = any_wrong(length)
        x, height = left + 55.0 + place * 108.0, (bottom - top) * share / 100.0
        shapes += [
            rect(x - 32, bottom - height, 64, height, ORANGE),
            words(x, bottom - height - 8, f"{share:.0f}", "middle", bold=True),
            words(x, bottom + 22, f"{length}", "middle", fill=SOFT),
        ]
    shapes.append(words((left + right) / 2, bottom + 50, told["candidates"], "middle"))
    return svg(315, shapes)


FIGURES = {
    "lists": Drawn(draw_lists, ("a", "b", "score", "right", "other")),
    "length": Drawn(draw_length, ("candidates", "chance")),
}

NUMBERS = {
    "fnmr": Number(lambda: fnmr_percent(threshold_of_pack()), ".1f", 0.8, 1.6),
    "true_pick": Number(lambda: 100.0 * RIGHT / LISTS, ".0f", 65, 65),
    "false_pick": Number(lambda: 100.0 * FALSE / LISTS, ".0f", 25, 25),
    "right_picks": Number(right_picks, ".0f", 65, 65),
    "wrong_picks": Number(wrong_picks, ".0f", 225, 225),
    "picks": Number(lambda: right_picks() + wrong_picks(), ".0f", 290, 290),
    "worth": Number(worth, ".0f", 22, 23),
    "true_low": Number(lambda: 100.0 * true_pick().low, ".0f", 43, 44),
    "true_high": Number(lambda: 100.0 * true_pick().high, ".0f", 81, 82),
    "false_low": Number(lambda: 100.0 * false_pick().low, ".0f", 11, 12),
    "false_high": Number(lambda: 100.0 * false_pick().high, ".0f", 46, 47),
    "worth_low": Number(lambda: worth(true_pick().low, false_pick().high), ".0f", 8, 10),
    "worth_high": Number(lambda: worth(true_pick().high, false_pick().low), ".0f", 44, 46),
    "both": Number(lambda: 100.0 * (FALSE / LISTS) ** 2, ".0f", 6, 7),
    "any_5": Number(lambda: any_wrong(5), ".0f", 9, 10),
    "any_10": Number(lambda: any_wrong(10), ".0f", 18, 19),
    "any_20": Number(lambda: any_wrong(20), ".0f", 33, 34),
    "any_50": Number(lambda: any_wrong(50), ".0f", 63, 64),
    "any_100": Number(lambda: any_wrong(100), ".0f", 86, 87),
    "two_above": Number(lambda: calibration().fmr_at(threshold_of_pack()).count, ".0f", 10, 20),
    "empty_small": Number(lambda: empty(1_000), ".0f", 95, 97),
    "empty_large": Number(lambda: empty(100_000), ".0f", 1.5, 4),
}
