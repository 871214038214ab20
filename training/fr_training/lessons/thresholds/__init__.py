"""Figures and numbers of the lesson on thresholds: all of them follow from the calibration of the default model."""

from __future__ import annotations

from collections.abc import Mapping

from fr_training.lessons.drawing import BLUE, INK, LINE, ORANGE, PAPER, SOFT, circle, line, polyline, rect, svg, words
from fr_training.lessons.measured import calibration, fmr_percent, fnmr_percent, shares, threshold_of_pack
from fr_training.lessons.values import Drawn, Number

SEARCHES, ENROLLED_IN, GALLERY = 1_000, 10, 10_000
"""Of the worked example: searches, one in so many for somebody who is enrolled, and people in the gallery."""


def threshold_at(one_in: int) -> float:
    """The threshold at a false match rate of one in so many."""
    return calibration().threshold_at_fmr(1.0 / one_in)


def wrong_share(gallery: int = GALLERY) -> float:
    """The share of searches for people who are not enrolled that return somebody, in [0, 1]."""
    return calibration().fpir_at(threshold_of_pack(), gallery).value


def right_leads(enrolled_in: int) -> float:
    """Searches of `SEARCHES` that return the person searched for, where one of `enrolled_in` is enrolled."""
    return SEARCHES / enrolled_in * (1.0 - fnmr_percent(threshold_of_pack()) / 100.0)


def wrong_leads(enrolled_in: int) -> float:
    """Searches of `SEARCHES` for people who are not enrolled that return somebody."""
    return SEARCHES * (1.0 - 1.0 / enrolled_in) * wrong_share()


def worth_percent(enrolled_in: int) -> float:
    """Of the searches with a lead, those for somebody who is enrolled and was found, percent."""
    right = right_leads(enrolled_in)
    return 100.0 * right / (right + wrong_leads(enrolled_in))


def marks_of(searches: float) -> int:
    """Marks of the figure, of which each stands for ten searches."""
    return round(searches / 10)


def draw_scores(told: Mapping[str, str]) -> str:
    """Draw how often each similarity comes, of one person and of two people, and the threshold of the pack."""
    edges = tuple(round(-0.2 + 0.05 * step, 2) for step in range(24))
    mated, nonmated = shares(edges)
    left, right, top, bottom = 40.0, 620.0, 60.0, 250.0
    highest = max(*mated, *nonmated)

    def x(similarity: float) -> float:
        return left + (right - left) * (similarity - edges[0]) / (edges[-1] - edges[0])

    def steps(values: list[float]) -> list[tuple[float, float]]:
        """The outline of a histogram."""
        heights = [bottom - (bottom - top) * value / highest for value in values]
        corners = [(x(edges[0]), bottom)]
        for low, high, height in zip(edges, edges[1:], heights, strict=False):
            corners += [(x(low), height), (x(high), height)]
        return [*corners, (x(edges[-1]), bottom)]

    at = x(threshold_of_pack())
    marks = [-0.2, 0.0, 0.2, 0.4, 0.6, 0.8]
    return svg(
        330,
        [
            polyline(steps(nonmated), ORANGE, ORANGE),
            polyline(steps(mated), BLUE, BLUE),
            line(left, bottom, right, bottom, INK),
            *(words(x(mark), bottom + 20, f"{mark:g}".replace(".", told["."]), "middle", fill=SOFT) for mark in marks),
            words((left + right) / 2, bottom + 68, told["similarity"], "middle"),
            line(at, top - 30, at, bottom, INK, 2.5, "7 5"),
            words(at + 8, top - 18, told["threshold"], bold=True),
            words(x(0.04), top - 18, told["two"], "middle", fill=ORANGE, bold=True),
            words(x(0.61), top + 62, told["one"], "middle", fill=BLUE, bold=True),
            words(at - 8, bottom + 44, told["no_lead"], "end", fill=SOFT),
            words(at + 8, bottom + 44, told["lead"], fill=SOFT),
        ],
    )


def draw_searches(told: Mapping[str, str]) -> str:
    """Draw the searches of the worked example, ten in each mark."""
    right, wrong = marks_of(right_leads(ENROLLED_IN)), marks_of(wrong_leads(ENROLLED_IN))
    shapes = []
    for n in range(marks_of(SEARCHES)):
        column, row = n % 20, n // 20
        x, y = 28.0 + column * 31.0, 24.0 + row * 31.0
        if n < right:
            shapes.append(circle(x, y, 11, BLUE))
        elif n < right + wrong:
            shapes.append(rect(x - 10, y - 10, 20, 20, ORANGE))
        else:
            shapes.append(circle(x, y, 10, PAPER, LINE))
    keys = [
        (circle(28, 205, 11, BLUE), told["right"]),
        (rect(18, 229, 20, 20, ORANGE), told["wrong"]),
        (circle(28, 273, 10, PAPER, LINE), told["none"]),
    ]
    for place, (shape, text) in enumerate(keys):
        shapes += [shape, words(50, 210 + 34 * place, text)]
    return svg(300, shapes)


FIGURES = {
    "scores": Drawn(draw_scores, ("similarity", "threshold", "one", "two", "lead", "no_lead")),
    "searches": Drawn(draw_searches, ("right", "wrong", "none")),
}

NUMBERS = {
    "threshold": Number(threshold_of_pack, ".2f", 0.3, 0.3),
    "pairs_one": Number(lambda: calibration().rates.mated, ",.0f", 600, 600),
    "pairs_two": Number(lambda: calibration().rates.nonmated, ",.0f", 300_000, 400_000),
    "two_above": Number(lambda: calibration().fmr_at(threshold_of_pack()).count, ",.0f", 10, 20),
    "one_below": Number(lambda: calibration().fnmr_at(threshold_of_pack()).count, ",.0f", 5, 10),
    "fmr_one_in": Number(lambda: round(100.0 / fmr_percent(threshold_of_pack()), -3), ",.0f", 20_000, 30_000),
    "fnmr": Number(lambda: fnmr_percent(threshold_of_pack()), ".1f", 0.8, 1.6),
    "t_thousand": Number(lambda: threshold_at(1_000), ".2f", 0.2, 0.25),
    "t_ten_thousand": Number(lambda: threshold_at(10_000), ".2f", 0.26, 0.3),
    "t_hundred_thousand": Number(lambda: threshold_at(100_000), ".2f", 0.3, 0.36),
    "f_hundred_thousand": Number(lambda: calibration().fmr_at(threshold_at(100_000)).count, ".0f", 2, 4),
    "m_thousand": Number(lambda: calibration().fnmr_at(threshold_at(1_000)).count, ".0f", 1, 3),
    "m_ten_thousand": Number(lambda: calibration().fnmr_at(threshold_at(10_000)).count, ".0f", 4, 6),
    "m_hundred_thousand": Number(lambda: calibration().fnmr_at(threshold_at(100_000)).count, ".0f", 7, 12),
    "w_hundred": Number(lambda: 100.0 * wrong_share(100), ".1f", 0.2, 0.6),
    "w_thousand": Number(lambda: 100.0 * wrong_share(1_000), ".1f", 3, 5),
    "w_gallery": Number(lambda: 100.0 * wrong_share(), ".1f", 30, 35),
    "w_low": Number(lambda: 100.0 * calibration().fpir_at(threshold_of_pack(), GALLERY).interval.low, ".0f", 5, 12),
    "w_high": Number(lambda: 100.0 * calibration().fpir_at(threshold_of_pack(), GALLERY).interval.high, ".0f", 50, 65),
    "right": Number(lambda: right_leads(ENROLLED_IN), ".0f", 98, 100),
    "wrong": Number(lambda: wrong_leads(ENROLLED_IN), ".0f", 270, 315),
    "leads": Number(lambda: round(right_leads(ENROLLED_IN)) + round(wrong_leads(ENROLLED_IN)), ".0f", 370, 415),
    "marks_right": Number(lambda: marks_of(right_leads(ENROLLED_IN)), ".0f", 10, 10),
    "marks_wrong": Number(lambda: marks_of(wrong_leads(ENROLLED_IN)), ".0f", 27, 31),
    "marks_none": Number(
        lambda: marks_of(SEARCHES) - marks_of(right_leads(ENROLLED_IN)) - marks_of(wrong_leads(ENROLLED_IN)),
        ".0f",
        59,
        63,
    ),
    "worth": Number(lambda: worth_percent(ENROLLED_IN), ".0f", 23, 27),
    "worth_often": Number(lambda: worth_percent(2), ".0f", 70, 80),
    "worth_rare": Number(lambda: worth_percent(100), ".0f", 2, 4),
}
