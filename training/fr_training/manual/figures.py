"""Figures and numbers of the manual."""

from __future__ import annotations

from collections.abc import Mapping

from fr_core.scoring.intervals import wilson_interval
from fr_core.scoring.support import rule_of_three
from fr_training.lessons.drawing import BLUE, INK, LINE, ORANGE, PAPER, line, rect, svg, words
from fr_training.lessons.faces import PARTS, face, placed
from fr_training.lessons.law import wrong_share
from fr_training.lessons.measured import threshold_of_pack
from fr_training.lessons.values import Drawn, Number

RIGHT, TRIED, OWN_PAIRS = 34, 40, 300
"""Of invented tests: right answers, answers, and pairs of two people without an error."""
_STEPS = ("request", "receipt", "fit", "search", "examine", "verify", "report")
_WHO = ("asker", "operator", "examiner", "operator", "examiner", "second", "head")


def draw_case(told: Mapping[str, str]) -> str:
    """Draw the way of a case: a row for each step, who takes it, and where it may end."""
    rows = []
    for place, (step, who) in enumerate(zip(_STEPS, _WHO, strict=True)):
        y = 12.0 + 56.0 * place
        last = step == "report"
        rows += [
            rect(20, y, 380, 40, BLUE if last else PAPER, BLUE),
            words(36, y + 25, f"{place + 1}. {told[step]}", bold=True, fill=PAPER if last else INK),
            words(416, y + 25, told[who]),
            "" if last else line(210, y + 40, 210, y + 56, BLUE, 2.5),
        ]
    stop = [rect(20, 410, 380, 34, PAPER, ORANGE), words(36, 432, told["stop"], fill=ORANGE, bold=True)]
    return svg(456, [*rows, *stop])


def draw_heads(told: Mapping[str, str]) -> str:
    """Draw two empty heads, to mark on paper what is seen in the probe and in a candidate."""
    parts = [one for one in PARTS if one not in ("marks", "lines")]
    drawn = [face(placed(x, 190, 1.0), parts, stroke=LINE, width=1.5) for x in (160, 480)]
    names = [words(x, 24, told[one], "middle", bold=True) for x, one in ((160, "probe"), (480, "candidate"))]
    return svg(400, [*drawn, *names, line(320, 12, 320, 388, LINE)])


FIGURES = {
    "case": Drawn(draw_case, tuple(dict.fromkeys((*_STEPS, *_WHO, "stop")))),
    "heads": Drawn(draw_heads, ("probe", "candidate")),
}
NUMBERS = {
    "threshold": Number(threshold_of_pack, ".2f", 0.29, 0.31),
    "wrong_small": Number(lambda: 100.0 * wrong_share(500), ".0f", 1.5, 2.5),
    "wrong_large": Number(lambda: 100.0 * wrong_share(10_000), ".0f", 30, 35),
    "right_percent": Number(lambda: 100.0 * RIGHT / TRIED, ".0f", 85, 85),
    "right_low": Number(lambda: 100.0 * wilson_interval(RIGHT, TRIED).low, ".0f", 70, 72),
    "right_high": Number(lambda: 100.0 * wilson_interval(RIGHT, TRIED).high, ".0f", 92, 94),
    "none_most": Number(lambda: 100.0 * rule_of_three(OWN_PAIRS), ".0f", 1, 1),
}
