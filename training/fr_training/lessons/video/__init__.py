"""Figures and numbers of the lesson on video: blur, frames that repeat each other, wrong leads of a crowd, clocks."""

from __future__ import annotations

from collections.abc import Mapping

from fr_training.lessons.drawing import BLUE, INK, LINE, ORANGE, PAPER, SOFT, circle, line, rect, svg, words
from fr_training.lessons.measured import calibration, threshold_of_pack
from fr_training.lessons.values import Drawn, Number

METRES_A_SECOND, PIXELS_A_METRE, EYES_METRES = 1.5, 200, 0.06
"""Of the invented man who walks past a camera: his speed, the camera's pixels there, and between his pupils."""
LONG, SHORT = 1 / 25, 1 / 250
"""Exposures, seconds."""
FRAMES_A_SECOND = 25
FRAMES = 50
"""Of the same man."""
PASSING, GALLERY = 200, 1_000
"""Of the worked example: people in the video, and in the gallery."""
SHOWN, TRUE = (14, 7, 30), (14, 3, 10)
"""Hours, minutes and seconds on the recorder and on a clock that is right, at one moment."""
EVENT = (21, 15, 0)
"""The time on the recorder when the man enters."""


def blur_pixels(exposure: float) -> float:
    """The distance that the man moves in the picture while one frame is taken, pixels."""
    return METRES_A_SECOND * exposure * PIXELS_A_METRE


def counts_as(correlation: float) -> float:
    """As how many independent frames `FRAMES` of one person count; Kish, Survey Sampling (1965)."""
    return FRAMES / (1.0 + (FRAMES - 1) * correlation)


def wrong_share(gallery: int = GALLERY) -> float:
    """The share of searches for people who are not enrolled that return somebody, in [0, 1]."""
    return calibration().fpir_at(threshold_of_pack(), gallery).value


def wrong_people(gallery: int = GALLERY) -> float:
    """Of the people who pass and are not enrolled, those whose one search returns somebody."""
    return PASSING * wrong_share(gallery)


def wrong_people_at_most() -> float:
    """The same where all frames of each person are searched and are independent of each other."""
    return PASSING * (1.0 - (1.0 - wrong_share()) ** FRAMES)


def seconds_of(clock: tuple[int, int, int]) -> int:
    """Seconds since midnight."""
    hours, minutes, seconds = clock
    return 3_600 * hours + 60 * minutes + seconds


def fast_by() -> int:
    """Seconds by which the recorder is ahead."""
    return seconds_of(SHOWN) - seconds_of(TRUE)


def draw_blur(told: Mapping[str, str]) -> str:
    """Draw two dots for pupils, and how far each is smeared in a long and in a short exposure."""
    scale, shapes = 9.0, []
    eyes = EYES_METRES * PIXELS_A_METRE * scale
    for left, exposure, name in ((60.0, LONG, "long"), (390.0, SHORT, "short")):
        smear = blur_pixels(exposure) * scale
        shapes.append(rect(left - 30, 20, eyes + smear + 60 if smear > eyes / 2 else eyes + 72, 110, PAPER, LINE))
        for pupil in (0.0, eyes):
            y = 75.0
            color = ORANGE if smear > eyes / 2 else BLUE
            shapes += [rect(left + pupil, y - 9, smear, 18, color), circle(left + pupil, y, 9, color)]
            shapes.append(circle(left + pupil + smear, y, 9, color))
            shapes.append(circle(left + pupil, y, 5, PAPER))
        shapes.append(words(left - 30, 160, told[name], bold=True))
        shapes.append(words(left - 30, 184, told[f"{name}_smear"], fill=SOFT))
    return svg(200, shapes)


def draw_frames(told: Mapping[str, str]) -> str:
    """Draw fifty frames, and as how many independent ones they count if they are much alike."""
    shapes = [words(20, 28, told["seen"], bold=True)]
    for n in range(FRAMES):
        x, y = 20.0 + n % 25 * 24.0, 42.0 + n // 25 * 28.0
        shapes.append(rect(x, y, 19, 22, PAPER, INK))
        shapes.append(circle(x + 9.5, y + 11, 5, ORANGE))
    for row, (name, correlation) in enumerate((("some", 0.5), ("much", 0.9))):
        top = 132.0 + 58.0 * row
        shapes.append(words(20, top, told[name], bold=True))
        count = counts_as(correlation)
        for n in range(int(count) + 1):
            part = min(1.0, count - n)
            shapes.append(rect(20.0 + 24.0 * n, top + 12, max(19.0 * part, 2.0), 22, BLUE))
    shapes.append(line(20, 246, 620, 246, LINE))
    shapes.append(words(20, 270, told["same"], fill=SOFT))
    return svg(284, shapes)


FIGURES = {
    "blur": Drawn(draw_blur, ("long", "long_smear", "short", "short_smear")),
    "frames": Drawn(draw_frames, ("seen", "some", "much", "same")),
}

NUMBERS = {
    "frames_hour": Number(lambda: FRAMES_A_SECOND * 3_600, ",.0f", 90_000, 90_000),
    "eyes": Number(lambda: EYES_METRES * PIXELS_A_METRE, ".0f", 12, 12),
    "blur_long": Number(lambda: blur_pixels(LONG), ".0f", 12, 12),
    "blur_short": Number(lambda: blur_pixels(SHORT), ".1f", 1.2, 1.2001),
    "counts_half": Number(lambda: counts_as(0.5), ".1f", 1.9, 2.05),
    "counts_much": Number(lambda: counts_as(0.9), ".1f", 1.05, 1.15),
    "share": Number(lambda: 100.0 * wrong_share(), ".1f", 3, 5),
    "wrong": Number(wrong_people, ".0f", 7, 9),
    "wrong_low": Number(
        lambda: PASSING * calibration().fpir_at(threshold_of_pack(), GALLERY).interval.low, ".0f", 1, 3
    ),
    "wrong_high": Number(
        lambda: PASSING * calibration().fpir_at(threshold_of_pack(), GALLERY).interval.high, ".0f", 14, 20
    ),
    "wrong_large": Number(lambda: wrong_people(10_000), ".0f", 60, 70),
    "wrong_frames": Number(wrong_people_at_most, ".0f", 160, 180),
    "threshold": Number(threshold_of_pack, ".2f", 0.3, 0.3),
    "fast_minutes": Number(lambda: fast_by() // 60, ".0f", 4, 4),
    "fast_seconds": Number(lambda: fast_by() % 60, ".0f", 20, 20),
    "true_minute": Number(lambda: (seconds_of(EVENT) - fast_by()) // 60 % 60, "02.0f", 10, 10),
    "true_second": Number(lambda: (seconds_of(EVENT) - fast_by()) % 60, "02.0f", 40, 40),
}
