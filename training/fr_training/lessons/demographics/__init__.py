"""Figures and numbers of the lesson on differences between groups: what one threshold does, what few people show."""

from __future__ import annotations

from collections.abc import Mapping
from math import expm1, log, log1p, log10

from fr_core.scoring.intervals import wilson_interval
from fr_training.lessons.drawing import BLUE, INK, ORANGE, SOFT, circle, line, rect, svg, words
from fr_training.lessons.measured import calibration, fmr_percent, threshold_of_pack
from fr_training.lessons.values import Drawn, Number

GALLERY = 10_000
APART = 10.0
"""Of the two invented groups: the ratio of their false match rates; the measured rate is their geometric mean."""
WOMEN, OLD, EXTREME = 3.4, 4.2, 420.0
"""NIST, table of false positive differentials of 2024-09-20: the middle of the ranked programs."""
RATIO, LOW, HIGH, AT_RANDOM = 2.3, 0.7, 10.9, 2.7
"""Of the 102 people of the set `london`; 1 in 20 draws of random labels exceeds the last. See docs/evaluation.md."""


def raised() -> float:
    """The threshold at which group B has the rate that all have on average at the product's own."""
    return calibration().threshold_at_fmr(fmr_percent(threshold_of_pack()) / 100.0 / APART**0.5)


def returned(threshold: float, factor: float) -> float:
    """Searches for people who are not enrolled that return somebody, percent, at a multiple of the measured rate."""
    return -100.0 * expm1(GALLERY * log1p(-factor * fmr_percent(threshold) / 100.0))


def errors(count: int, total: int = 20) -> tuple[float, float]:
    """The interval of the rate, percent."""
    found = wilson_interval(count, total)
    return 100.0 * found.low, 100.0 * found.high


def draw_factors(told: Mapping[str, str]) -> str:
    """Draw how many times higher the rates of some groups are than those of others, by factors of ten."""
    left, step, bottom = 40.0, 186.0, 280.0
    shapes = [words(left, 28, told["title"], bold=True), line(left, bottom, left + 3.0 * step, bottom, INK)]
    for power, name in enumerate(("one", "ten", "hundred", "thousand")):
        x = left + power * step
        shapes += [line(x, bottom - 10, x, bottom, INK), words(x, bottom + 22, told[name], "middle", fill=SOFT)]
    bars = ((WOMEN, "women", BLUE), (OLD, "old", BLUE), (EXTREME, "extreme", ORANGE))
    for place, (factor, name, colour) in enumerate(bars):
        top, width = 78.0 + 70.0 * place, step * log10(factor)
        shapes += [
            words(left + 8, top - 8, told[name]),
            rect(left, top, width, 26, colour),
            words(left + width + 8, top + 19, told[f"{name}_value"], bold=True),
        ]
    return svg(316, shapes)


def draw_ratio(told: Mapping[str, str]) -> str:
    """Draw a ratio with its interval, the ratio of no difference, and what labels at random reach."""
    left, right, lowest, highest = 50.0, 600.0, 0.5, 20.0

    def x(ratio: float) -> float:
        return left + (right - left) * log(ratio / lowest) / log(highest / lowest)

    marks = (0.5, 1, 2, 5, 10, 20)
    return svg(
        230,
        [
            line(x(1), 40, x(1), 130, INK, 2, "7 5"),
            words(x(1), 30, told["equal"], "middle"),
            line(x(LOW), 70, x(HIGH), 70, BLUE, 4),
            line(x(LOW), 60, x(LOW), 80, BLUE, 4),
            line(x(HIGH), 60, x(HIGH), 80, BLUE, 4),
            circle(x(RATIO), 70, 9, BLUE),
            rect(x(AT_RANDOM) - 8, 97, 16, 16, ORANGE),
            line(left, 130, right, 130, INK),
            *(words(x(mark), 150, f"{mark:g}".replace(".", told["."]), "middle", fill=SOFT) for mark in marks),
            circle(60, 182, 9, BLUE),
            words(80, 187, told["measured"]),
            rect(52, 204, 16, 16, ORANGE),
            words(80, 217, told["random"]),
        ],
    )


FIGURES = {
    "factors": Drawn(
        draw_factors,
        (
            *("title", "women", "old", "extreme", "women_value", "old_value", "extreme_value"),
            *("one", "ten", "hundred", "thousand"),
        ),
    ),
    "ratio": Drawn(draw_ratio, ("equal", "measured", "random")),
}

NUMBERS = {
    "threshold": Number(threshold_of_pack, ".2f", 0.3, 0.3),
    "one_in": Number(lambda: round(100.0 / fmr_percent(threshold_of_pack()), -3), ",.0f", 20_000, 30_000),
    "share": Number(lambda: returned(threshold_of_pack(), 1.0), ".0f", 30, 35),
    "share_a": Number(lambda: returned(threshold_of_pack(), APART**-0.5), ".0f", 10, 14),
    "share_b": Number(lambda: returned(threshold_of_pack(), APART**0.5), ".0f", 65, 75),
    "raised": Number(raised, ".2f", 0.31, 0.36),
    "share_a_raised": Number(lambda: returned(raised(), APART**-0.5), ".0f", 2, 5),
    "share_b_raised": Number(lambda: returned(raised(), APART**0.5), ".0f", 25, 35),
    "pairs_one": Number(lambda: calibration().rates.mated, ",.0f", 600, 600),
    "missed": Number(lambda: calibration().fnmr_at(threshold_of_pack()).count, ".0f", 5, 10),
    "missed_raised": Number(lambda: calibration().fnmr_at(raised()).count, ".0f", 8, 14),
    "two_low": Number(lambda: errors(2)[0], ".0f", 2, 4),
    "two_high": Number(lambda: errors(2)[1], ".0f", 29, 31),
    "five_low": Number(lambda: errors(5)[0], ".0f", 10, 12),
    "five_high": Number(lambda: errors(5)[1], ".0f", 46, 48),
}
