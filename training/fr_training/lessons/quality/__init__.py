"""Figures and numbers of the lesson on quality and capture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

from fr_core.quality.limits import QualityLimits
from fr_training.lessons.drawing import BLUE, INK, LINE, ORANGE, SOFT, line, polyline, rect, svg, words
from fr_training.lessons.faces import PARTS, PLAIN, lines_of
from fr_training.lessons.values import Drawn, Number

LIMITS = QualityLimits()
CAMERA_PX = 1_920  # across a picture of the worked example
EYES_M = 0.063
"""Between the eyes of an adult, metres (Dodgson 2004)."""
SCENES_M = {"near": 4.0, "middle": 8.0, "wide": 16.0}
"""The width of the room in the picture of the worked example, where the person stands, metres."""

MISSED = {"whole": 1.0, "eyes": 4.0, "bright": 11.0, "dark": 12.0, "half": 13.0, "blur": 14.7, "lying": 23.0}
"""Misses of 300 pairs of one person in LFW, percent, with one photo of each pair spoilt (`fr_core.quality.limits`)."""


def pixels(scene_m: float) -> float:
    """Pixels between the eyes of somebody whose surroundings, `scene_m` metres wide, fill the picture."""
    return CAMERA_PX / scene_m * EYES_M


def widest_m() -> float:
    """The metres that the picture may show from side to side, so that a face can still be enrolled."""
    return CAMERA_PX * EYES_M / LIMITS.min_inter_eye_px


def draw_spoilt(told: Mapping[str, str]) -> str:
    """Draw how many pairs of one person are missed when one photo is spoilt, a bar each."""
    shapes = [line(300, 12, 300, 262, SOFT)]
    for row, (name, percent) in enumerate(MISSED.items()):
        y, length = 18.0 + 35 * row, 9 * percent
        shapes.append(rect(300, y, length, 22, ORANGE if row else BLUE))
        shapes.append(words(290, y + 17, told[name], "end", bold=not row))
        shapes.append(words(300 + length + 8, y + 17, told[f"{name}_missed"], bold=not row))
    shapes.append(words(300, 286, told["axis"], fill=SOFT))
    return svg(300, shapes)


def _raster(left: float, top: float, eyes: int, side: float) -> list[str]:
    """A simple face as a camera records it, with so many pixels between the eyes; each is a square of `side`."""
    shapes = []
    for one in (one for part in PLAIN for one in lines_of(PARTS[part])):
        cells: list[tuple[int, int]] = []
        for a, b in pairwise(one):
            for step in range(33):
                x, y = (p + (q - p) * step / 32 for p, q in zip(a, b, strict=True))
                _step_to(cells, (round((x + 140) * eyes / 100), round((y + 165) * eyes / 100)))
        shapes.append(polyline([(left + x * side, top + y * side) for x, y in cells], INK, width=side))
    return shapes


def _step_to(cells: list[tuple[int, int]], cell: tuple[int, int]) -> None:
    """Add a cell to a way in steps to the right, left, up and down; cells on one straight line are left out."""
    if cells and cells[-1] == cell:
        return
    if cells and cells[-1][0] != cell[0] and cells[-1][1] != cell[1]:
        _step_to(cells, (cell[0], cells[-1][1]))
    if len(cells) > 1 and any(cells[-2][n] == cells[-1][n] == cell[n] for n in (0, 1)):
        cells.pop()
    cells.append(cell)


def draw_pixels(told: Mapping[str, str]) -> str:
    """Draw a face as a camera records it from the three scenes of the worked example."""
    shapes = []
    for place, name in enumerate(("near", "middle", "wide")):
        eyes = round(pixels(SCENES_M[name]))
        side = {30: 2, 15: 4, 8: 8}[eyes]
        left = 22.0 + 212 * place
        shapes += _raster(left, 10, eyes, side)
        shapes.append(line(left + 54, 248, left + 114, 248, BLUE if eyes >= LIMITS.min_inter_eye_px else ORANGE, 5))
        shapes.append(words(left + 84, 272, told[f"{name}_eyes"], "middle", bold=True))
        shapes.append(words(left + 84, 294, told[name], "middle", fill=SOFT))
    shapes += [line(214, 20, 214, 296, LINE), line(426, 20, 426, 296, LINE)]
    return svg(304, shapes)


def _missed(name: str) -> Callable[[], float]:
    return lambda: MISSED[name]


FIGURES = {
    "spoilt": Drawn(draw_spoilt, ("axis", *MISSED, *(f"{name}_missed" for name in MISSED))),
    "pixels": Drawn(draw_pixels, (*SCENES_M, *(f"{name}_eyes" for name in SCENES_M))),
}

NUMBERS = {
    "px_near": Number(lambda: pixels(SCENES_M["near"]), ".0f", 29, 31),
    "px_middle": Number(lambda: pixels(SCENES_M["middle"]), ".0f", 14.5, 15.5),
    "px_wide": Number(lambda: pixels(SCENES_M["wide"]), ".0f", 7.5, 8.4),
    "widest": Number(widest_m, ".1f", 7.4, 7.7),
    "least": Number(lambda: LIMITS.min_inter_eye_px, ".0f", 16, 16),
    "yaw": Number(lambda: LIMITS.max_yaw, ".0f", 60, 60),
    "pitch": Number(lambda: LIMITS.max_pitch, ".0f", 50, 50),
    "roll": Number(lambda: LIMITS.max_roll, ".0f", 50, 50),
    "outside": Number(lambda: 100 * LIMITS.max_outside, ".0f", 40, 40),
    "darkest": Number(lambda: 100 * LIMITS.min_brightness, ".0f", 4, 4),
    "brightest": Number(lambda: 100 * LIMITS.max_brightness, ".0f", 85, 85),
    **{f"{name}_missed": Number(_missed(name), ".1f", value, value) for name, value in MISSED.items()},
}
