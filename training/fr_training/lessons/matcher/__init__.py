"""Figures and numbers of the lesson on how a matcher works."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fr_core.packs.manifest import DEFAULT_PACK, load_pack
from fr_training.lessons.drawing import BLUE, INK, LINE, ORANGE, PAPER, SOFT, circle, line, polyline, rect, svg, words
from fr_training.lessons.faces import face, placed
from fr_training.lessons.measured import calibration, threshold_of_pack
from fr_training.lessons.values import Drawn, Number

EYES_MM, EYES_IN_CROP = 63.0, 35.2
"""Between the eyes: millimetres of an adult's face (Dodgson 2004), and pixels of the crop (`fr_core.align`)."""

A, B, C = (0.6, 0.8), (0.8, 0.6), (-0.8, 0.6)
"""The templates of the worked example; each has the length 1."""


def similarity(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The similarity of two templates of two numbers, as `Embedding.similarity` computes it for longer ones."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def half_of_one() -> float:
    """The similarity that half of the pairs of one person reach."""
    return next(step / 100 for step in range(100) if calibration().fnmr_at(step / 100).value >= 0.5)


def draw_chain(told: Mapping[str, str]) -> str:
    """Draw the way of a photo: detected, aligned, made a template, compared with those of a gallery."""
    shapes = []
    for place, name in enumerate(("photo", "crop", "template", "gallery")):
        middle = 80.0 + 160.0 * place
        shapes += [words(middle, 24, str(place + 1), "middle", bold=True), words(middle, 212, told[name], "middle")]
        if place:
            left = middle - 94
            shapes.append(line(left, 108, left + 24, 108, INK, 2.5))
            shapes.append(polyline([(left + 16, 101), (left + 26, 108), (left + 16, 115)], INK))
    small, crop = placed(88, 108, 0.2, 0.2), placed(240, 90, 0.32)
    shapes += [rect(18, 44, 124, 136, PAPER, LINE), face(small), rect(56, 68, 58, 80, "none", ORANGE)]
    shapes += [circle(*small(*point), 3, BLUE) for point in ((-50, 0), (50, 0), (0, 62), (-40, 118), (40, 118))]
    shapes += [face(crop), rect(186, 30, 108, 14, PAPER), rect(186, 152, 108, 14, PAPER)]
    shapes.append(rect(186, 44, 108, 108, "none", LINE))
    for row, value in enumerate((0.5, -0.3, 0.8, 0.1, -0.7, 0.4, -0.2, 0.6)):
        width = abs(value) * 50
        shapes.append(rect(400 if value > 0 else 400 - width, 46 + 16 * row, width, 11, BLUE if value > 0 else ORANGE))
    shapes.append(line(400, 42, 400, 174, SOFT))
    for row in range(4):
        shapes.append(rect(518, 46 + 33 * row, 84, 25, PAPER, LINE))
        shapes += [rect(526 + 12 * bar, 66 - 4 * ((bar * 5 + row * 3) % 4) + 33 * row, 8, 3, SOFT) for bar in range(6)]
    shapes.append(rect(514, 75, 92, 33, "none", BLUE))
    return svg(228, shapes)


def draw_arrows(told: Mapping[str, str]) -> str:
    """Draw the three templates of the worked example as arrows of one length."""
    x, y, length = 220.0, 230.0, 180.0
    shapes = [line(x - 210, y, x + 210, y, LINE), line(x, y, x, y - 205, LINE)]
    for template, name, colour in ((A, "a", BLUE), (B, "b", BLUE), (C, "c", ORANGE)):
        tip = (x + length * template[0], y - length * template[1])
        angle = math.atan2(template[1], template[0])
        barbs = [(tip[0] - 14 * math.cos(angle + d), tip[1] + 14 * math.sin(angle + d)) for d in (0.4, -0.4)]
        shapes.append(line(x, y, *tip, colour, 3.5))
        shapes.append(polyline([barbs[0], tip, barbs[1]], colour, width=3.5))
        shapes.append(words(tip[0] + 14 * template[0], tip[1] - 10, told[name], "middle", fill=colour, bold=True))
    shapes += [words(450, 90, told["near"], fill=BLUE), words(450, 130, told["far"], fill=ORANGE)]
    return svg(250, shapes)


FIGURES = {
    "chain": Drawn(draw_chain, ("photo", "crop", "template", "gallery")),
    "arrows": Drawn(draw_arrows, ("a", "b", "c", "near", "far")),
}

NUMBERS = {
    "numbers": Number(lambda: load_pack(DEFAULT_PACK).embedder.embedding_size, ".0f", 512, 512),
    "crop": Number(lambda: load_pack(DEFAULT_PACK).embedder.input_size, ".0f", 112, 112),
    "pixel_mm": Number(lambda: EYES_MM / EYES_IN_CROP, ".1f", 1.7, 1.9),
    "near": Number(lambda: similarity(A, B), ".2f", 0.96, 0.96),
    "far": Number(lambda: similarity(A, C), ".2f", 0, 0.001),
    "self": Number(lambda: similarity(A, A), ".0f", 0.999, 1.001),
    "threshold": Number(threshold_of_pack, ".2f", 0.3, 0.3),
    "pairs_one": Number(lambda: calibration().rates.mated, ",.0f", 600, 600),
    "pairs_two": Number(lambda: calibration().rates.nonmated, ",.0f", 355_746, 355_746),
    "half": Number(half_of_one, ".2f", 0.6, 0.62),
    "two_above": Number(lambda: calibration().fmr_at(threshold_of_pack()).count, ".0f", 10, 20),
    "one_below": Number(lambda: calibration().fnmr_at(threshold_of_pack()).count, ".0f", 5, 10),
}
