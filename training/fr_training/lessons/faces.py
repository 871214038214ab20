"""Draws faces of nobody, as outlines, for the figures of lessons.

Coordinates are those of a face that looks at the viewer: the origin lies between the eyes, which are 100 units apart.
Left is the left of the picture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Final

from fr_training.lessons.drawing import INK, polyline

Point = tuple[float, float]

PARTS: Final[Mapping[str, str]] = {
    "face_shape": "M-108-10C-112-110-60-160 0-160C60-160 112-110 108-10C112 80 70 190 0 190C-70 190-112 80-108-10",
    "forehead": "M-101-50C-80-104-30-112 0-104C30-112 80-104 101-50",
    "brows": "M-78-32C-65-47-40-47-24-35M78-32C65-47 40-47 24-35",
    "eyes": "M-74 0C-64-16-38-16-26 2C-38 12-62 12-74 0M74 0C64-16 38-16 26 2C38 12 62 12 74 0"
    "M-58-2C-58-12-42-12-42-2C-42 8-58 8-58-2M58-2C58-12 42-12 42-2C42 8 58 8 58-2",
    "nose": "M-11-8C-12 20-18 44-26 60C-31 74-17 80-8 75C-3 81 3 81 8 75C17 80 31 74 26 60C18 44 12 20 11-8",
    "cheeks": "M-92 36C-80 50-72 66-70 88M92 36C80 50 72 66 70 88",
    "mouth": "M-42 118C-25 106-8 106 0 111C8 106 25 106 42 118C20 140-20 140-42 118C-15 122 15 122 42 118"
    "M-5 86C-5 92-6 96-7 101M5 86C5 92 6 96 7 101",
    "jaw": "M-107 40C-101 100-74 152-44 176M107 40C101 100 74 152 44 176",
    "chin": "M-44 176C-22 194 22 194 44 176M-22 160C-10 153 10 153 22 160",
    "ears": "M-108-20C-132-34-138 10-127 42C-122 60-109 62-106 48M-115-4C-127-6-126 24-114 36"
    "M108-20C132-34 138 10 127 42C122 60 109 62 106 48M115-4C127-6 126 24 114 36",
    "lines": "M-44-78C-15-85 15-85 44-78M-40-64C-15-70 15-70 40-64"
    "M-36 74C-48 88-56 102-56 114M36 74C48 88 56 102 56 114",
    "marks": "M56 62C56 56 64 56 64 62C64 68 56 68 56 62",
}
"""The components of the exercise by component, each as the `d` of an SVG path of cubic curves."""
PLAIN: Final = ("ears", "face_shape", "forehead", "brows", "eyes", "nose", "mouth")
"""The parts of a simple face."""
_STEPS = 5  # straight lines for each curve
_NUMBER = re.compile(r"-?\d+")


def face(
    at: Callable[[float, float], Point],
    parts: Iterable[str] = PLAIN,
    *,
    stroke: str = INK,
    width: float = 2.0,
    other: Mapping[str, str] | None = None,
) -> str:
    """Draw parts of a face; `at` places a point in the picture, and `other` has shapes instead of those of `PARTS`."""
    shapes = {**PARTS, **(other or {})}
    lines = [line for part in parts for line in lines_of(shapes[part])]
    return "".join(polyline([at(*point) for point in line], stroke, width=width) for line in lines)


def placed(x: float, y: float, scale: float, turned: float = 0.0) -> Callable[[float, float], Point]:
    """Place a face with the point between its eyes at x and y, tilted by `turned`, the tangent of the angle."""
    return lambda right, down: (x + scale * (right - turned * down), y + scale * (down + turned * right))


@cache
def lines_of(d: str) -> tuple[tuple[Point, ...], ...]:
    """The lines of a path: points of each, in order."""
    return tuple(_line([float(number) for number in _NUMBER.findall(one)]) for one in d.split("M")[1:])


def _line(numbers: list[float]) -> tuple[Point, ...]:
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    drawn = [points[0]]
    for start in range(0, len(points) - 1, 3):
        a, b, c, d = points[start : start + 4]
        for step in range(1, _STEPS + 1):
            t = step / _STEPS
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            four = list(zip(weights, (a, b, c, d), strict=True))
            drawn.append((sum(w * p[0] for w, p in four), sum(w * p[1] for w, p in four)))
    return tuple(drawn)
