"""Figures and numbers of the lesson on how faces are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from fr_training.lessons.drawing import BLUE, INK, LINE, ORANGE, PAPER, SOFT, circle, line, rect, svg, words
from fr_training.lessons.faces import PARTS, Point, face, placed
from fr_training.lessons.values import Drawn, Number

EYES_MM = 63.0
"""Between the eyes of an adult (Dodgson 2004)."""
NOSE_MM = 0.5344 * EYES_MM
"""The depth of the tip of the nose in front of the eyes, in the mean face of `fr_core.quality.measure`."""
NEAR_M, FAR_M = 0.32, 2.70
"""Distances from the camera to the eyes, as in Noyes and Jenkins (2017)."""
NOSE_ONE_MM, NOSE_OTHER_MM = 36.0, 40.0
"""The breadth of the noses of the two people of the worked example."""

_LABELS: Final[Mapping[str, tuple[float, float, Point]]] = {
    "forehead": (0, 44, (-40, -98)),
    "brows": (0, 92, (-52, -43)),
    "eyes": (0, 134, (-72, 0)),
    "cheeks": (0, 180, (-74, 62)),
    "mouth": (0, 226, (-41, 118)),
    "jaw": (0, 272, (-86, 130)),
    "face_shape": (1, 44, (82, -112)),
    "ears": (1, 100, (127, 0)),
    "nose": (1, 144, (26, 60)),
    "marks": (1, 184, (64, 62)),
    "lines": (1, 226, (52, 98)),
    "chin": (1, 272, (20, 187)),
}
"""Components of the exercise: the side of the label, how low it stands, and the point of the face that it names."""

_OTHER: Final[Mapping[str, str]] = {
    "brows": "M-76-34C-64-42-42-42-26-36M76-34C64-42 42-42 26-36",
    "ears": "M-108-20C-132-34-138 10-127 42C-124 58-112 66-106 74M-115-4C-127-6-126 24-114 36"
    "M108-20C132-34 138 10 127 42C124 58 112 66 106 74M115-4C127-6 126 24 114 36",
}
"""Differences of the second drawing: thinner brows, and ears whose lobes have grown to the cheek."""


def seen_larger(camera_m: float) -> float:
    """The ratio at which the tip of the nose is drawn larger than things at the depth of the eyes."""
    return camera_m / (camera_m - NOSE_MM / 1000)


def nose_percent(nose_mm: float, camera_m: float) -> float:
    """The breadth of a nose in a photo, in percent of the distance between the eyes."""
    return 100.0 * nose_mm / EYES_MM * seen_larger(camera_m)


def draw_parts(told: Mapping[str, str]) -> str:
    """Draw a face with the names of its twelve components."""
    at = placed(320, 146, 0.72)
    shapes = [face(at, PARTS)]
    for name, (side, y, point) in _LABELS.items():
        x, y_face = at(*point)
        shapes.append(line(466 if side else 174, y - 5, x, y_face, BLUE, 1.2))
        shapes.append(circle(x, y_face, 3, BLUE))
        shapes.append(words(472 if side else 168, y, told[name], "start" if side else "end"))
    return svg(300, shapes)


def draw_pair(told: Mapping[str, str]) -> str:
    """Draw two faces side by side, with what is alike, what differs and what cannot be seen."""
    left, right = placed(160, 130, 0.62), placed(480, 130, 0.62)
    plain = ("ears", "face_shape", "brows", "eyes", "nose", "mouth", "marks")
    shapes = [face(left, (*plain, "forehead")), face(right, plain, other=_OTHER)]
    shapes.append(rect(480 - 70, 30, 140, 64, SOFT))  # a cap
    for at in (left, right):
        x, y = at(60, 62)
        shapes.append(circle(x, y, 12, "none", BLUE, 3))
        x, y = at(-114, 55)
        shapes.append(rect(x - 14, y - 13, 28, 26, "none", ORANGE))
        shapes.append(rect(x - 15, y - 14, 30, 28, "none", ORANGE))
        x, y = at(50, -40)
        shapes.append(rect(x - 23, y - 11, 46, 22, "none", ORANGE))
        shapes.append(rect(x - 24, y - 12, 48, 24, "none", ORANGE))
    shapes += [
        words(160, 20, told["probe"], "middle", bold=True),
        words(480, 20, told["candidate"], "middle", bold=True),
    ]
    shapes += [circle(32, 284, 10, "none", BLUE, 3), words(52, 289, told["alike"])]
    shapes += [
        rect(222, 274, 20, 20, "none", ORANGE),
        rect(221, 273, 22, 22, "none", ORANGE),
        words(252, 289, told["unlike"]),
    ]
    shapes += [rect(432, 274, 20, 20, SOFT), words(462, 289, told["unseen"])]
    return svg(306, shapes)


def _from(camera_m: float, x: float) -> Callable[[float, float], Point]:
    """Place a face as a camera at a distance sees it: the nearer a point to the tip of the nose, the larger."""

    def at(right: float, down: float) -> Point:
        depth = 1.0 - ((right / 130) ** 2 + ((down - 62) / 230) ** 2)  # 1 at the tip of the nose, below 0 at the ears
        forward = NOSE_MM / 1000 * (3.2 * depth - 2.2)
        scale = 0.62 * camera_m / (camera_m - forward)
        return x + scale * right, 120 + scale * down

    return at


def draw_distance(told: Mapping[str, str]) -> str:
    """Draw one face as cameras near and far see it."""
    shapes = [line(320, 16, 320, 270, LINE)]
    for x, camera_m, name in ((160, NEAR_M, "near"), (480, FAR_M, "far")):
        at = _from(camera_m, x)
        shapes += [face(at), rect(x - 110, 248, 220, 2, PAPER)]
        shapes.append(words(x, 264, told[name], "middle", bold=True))
        shapes.append(words(x, 286, told[f"{name}_nose"], "middle", fill=INK))
    return svg(300, shapes)


FIGURES = {
    "parts": Drawn(draw_parts, tuple(_LABELS)),
    "pair": Drawn(draw_pair, ("probe", "candidate", "alike", "unlike", "unseen")),
    "distance": Drawn(draw_distance, ("near", "near_nose", "far", "far_nose")),
}

NUMBERS = {
    "forward": Number(lambda: NOSE_MM, ".0f", 33.5, 34.4),
    "near_larger": Number(lambda: 100 * (seen_larger(NEAR_M) - 1), ".0f", 11, 13),
    "far_larger": Number(lambda: 100 * (seen_larger(FAR_M) - 1), ".0f", 0.6, 1.4),
    "one_near": Number(lambda: nose_percent(NOSE_ONE_MM, NEAR_M), ".0f", 63.5, 64.4),
    "one_far": Number(lambda: nose_percent(NOSE_ONE_MM, FAR_M), ".0f", 57.5, 58.4),
    "other_far": Number(lambda: nose_percent(NOSE_OTHER_MM, FAR_M), ".0f", 63.5, 64.4),
}
