"""Figures and numbers of the lesson on synthetic and morphed faces: templates as arrows, and a study of people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass

from fr_training.lessons.drawing import BLUE, INK, LINE, ORANGE, SOFT, line, polyline, rect, svg, words
from fr_training.lessons.measured import calibration, threshold_of_pack
from fr_training.lessons.values import Drawn, Number

UNTRAINED, TRAINED, GUESSED = 48.2, 59.0, 50.0
"""Right answers to "real or synthetic?", percent (Nightingale and Farid, PNAS 2022, experiments 1 and 2)."""


@dataclass(frozen=True, slots=True)
class Face:
    """An outline of a face, in units of the picture; a blend is the mean of each measure."""

    width: float
    height: float
    taper: float  # how much narrower the jaw is, from 0 to 1
    eyes: float  # distance from the middle
    eye_line: float
    brow: float  # how much the brow is arched
    nose: float
    nostrils: float
    mouth: float
    mouth_line: float


ONE = Face(60, 96, 0.42, 24, -18, 2, 44, 7, 18, 54)
OTHER = Face(84, 84, 0.06, 36, -8, 11, 32, 13, 34, 46)
BLEND = Face(*((a + b) / 2 for a, b in zip(astuple(ONE), astuple(OTHER), strict=True)))


def middle_score(people: int, alike: float = 0.0) -> float:
    """The score of the mean direction of so many templates with each of them; `alike`: their score with each other."""
    return math.sqrt((1.0 + (people - 1) * alike) / people)


def most_people() -> int:
    """The most people whose mean direction reaches the threshold with each of them, at score 0 with each other."""
    return max(people for people in range(1, 100) if middle_score(people) >= threshold_of_pack())


def degrees(score: float) -> float:
    """The angle whose cosine is a score."""
    return math.degrees(math.acos(score))


def draw_blend(told: Mapping[str, str]) -> str:
    """Draw the outlines of two faces, and between them the one with the mean of each measure."""
    shapes = []
    for x, face, colour, name in ((110, ONE, BLUE, "one"), (320, BLEND, INK, "morph"), (530, OTHER, ORANGE, "two")):
        shapes += [*_outline(x, 130, face, colour), words(x, 258, told[name], "middle", fill=colour, bold=True)]
    for start, tip in ((190, 230), (430, 410)):
        back = tip + math.copysign(9, start - tip)
        shapes += [line(start, 130, tip, 130, INK, 2), polyline([(back, 124), (tip, 130), (back, 136)], INK)]
    return svg(275, shapes)


def draw_arrows(told: Mapping[str, str]) -> str:
    """Draw the templates of two people as arrows, the middle between them, and what lies within the threshold of it."""
    x, y, length = 250.0, 250.0, 200.0
    limit, middle = degrees(threshold_of_pack()), degrees(middle_score(2))

    def end(angle: float, long: float = length) -> tuple[float, float]:
        return x + long * math.cos(math.radians(angle)), y - long * math.sin(math.radians(angle))

    arc = [end(middle - limit + step * limit / 12) for step in range(25)]
    shapes = [polyline([(x, y), *arc, (x, y)], LINE, LINE, 1.0)]
    for angle, colour in ((0.0, BLUE), (2 * middle, ORANGE), (middle, INK)):
        tip = end(angle)
        head = [end(angle - 3, length - 14), tip, end(angle + 3, length - 14)]
        shapes += [line(x, y, *tip, colour, 4), polyline(head, colour, width=4)]
    return svg(
        390,
        [
            *shapes,
            words(*end(0.0, length + 10), told["one"], fill=BLUE, bold=True),
            words(x, y - length - 12, told["two"], "middle", fill=ORANGE, bold=True),
            words(end(middle)[0] + 12, end(middle)[1] - 18, told["morph"], bold=True),
            words(end(middle)[0] + 12, end(middle)[1] + 4, told["score"]),
            words(x, 372, told["area"], "middle", fill=SOFT),
        ],
    )


def draw_people(told: Mapping[str, str]) -> str:
    """Draw how often people of one study were right, beside guessing."""

    def x(percent: float) -> float:
        return 20 + 6 * percent

    return svg(
        225,
        [
            words(20, 52, told["untrained"], bold=True),
            rect(20, 62, x(UNTRAINED) - 20, 34, BLUE),
            words(20, 128, told["trained"], bold=True),
            rect(20, 138, x(TRAINED) - 20, 34, BLUE),
            rect(20, 62, x(100) - 20, 34, "none", LINE),
            rect(20, 138, x(100) - 20, 34, "none", LINE),
            line(x(GUESSED), 56, x(GUESSED), 184, ORANGE, 3, "7 5"),
            words(x(GUESSED), 206, told["guess"], "middle", fill=ORANGE, bold=True),
            words(20, 206, "0", fill=SOFT),
            words(x(100), 206, "100", "end", fill=SOFT),
        ],
    )


def _outline(x: float, y: float, face: Face, colour: str) -> list[str]:
    around = []
    for step in range(37):
        down = -math.cos(math.pi * step / 18)  # from -1 at the top to 1 at the chin
        wide = face.width * (1 - face.taper * max(0.0, down) ** 2) * math.sin(math.pi * step / 18)
        around.append((x + wide, y + face.height * down))
    shapes = [polyline(around, colour)]
    for side in (-1, 1):
        eye, brow = x + side * face.eyes, y + face.eye_line - 14
        shapes += [
            polyline([(eye + across, y + face.eye_line + up) for across, up in _EYE], colour),
            polyline([(eye - 13, brow), (eye, brow - face.brow), (eye + 13, brow)], colour),
        ]
    nose, tip, mouth = y + face.eye_line, y + face.eye_line + face.nose, y + face.mouth_line
    return [
        *shapes,
        polyline([(x - 3, nose), (x - face.nostrils, tip), (x + face.nostrils, tip)], colour),
        polyline([(x - face.mouth, mouth), (x, mouth + 4), (x + face.mouth, mouth)], colour),
    ]


_EYE = ((-10, 0), (0, -5), (10, 0), (0, 5), (-10, 0))

FIGURES = {
    "blend": Drawn(draw_blend, ("one", "morph", "two")),
    "arrows": Drawn(draw_arrows, ("one", "two", "morph", "score", "area")),
    "people": Drawn(draw_people, ("untrained", "trained", "guess")),
}

NUMBERS = {
    "threshold": Number(threshold_of_pack, ".2f", 0.3, 0.3),
    "angle": Number(lambda: degrees(middle_score(2)), ".0f", 45, 45.5),
    "limit": Number(lambda: degrees(threshold_of_pack()), ".0f", 72, 74),
    "middle": Number(lambda: middle_score(2), ".2f", 0.7, 0.72),
    "half": Number(lambda: middle_score(2) / 2, ".2f", 0.34, 0.36),
    "three": Number(lambda: middle_score(3), ".2f", 0.57, 0.59),
    "most": Number(most_people, ".0f", 5, 20),
    "mated": Number(lambda: calibration().rates.mated, ",.0f", 600, 600),
    "below": Number(lambda: calibration().fnmr_at(middle_score(2)).count, ",.0f", 450, 550),
    "untrained": Number(lambda: UNTRAINED, ".1f", 48.2, 48.2),
    "trained": Number(lambda: TRAINED, ".1f", 59, 59),
    "wrong": Number(lambda: 100 - TRAINED, ".0f", 40.5, 41.5),
}
