"""Draws the figures of lessons as SVG documents: plain shapes and words on white, readable without colour.

A document has no script, no style sheet and no font of its own. Coordinates are in units of the picture, origin top
left. The words come from the text of the lesson; those of a script that runs from right to left take the place that
English ones would have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal
from unicodedata import bidirectional
from xml.sax.saxutils import escape, quoteattr

WIDTH = 640
"""Of every figure."""
INK, SOFT, LINE, PAPER = "#1b1b1f", "#55555f", "#8a8a96", "#ffffff"
BLUE, ORANGE = "#0b4fb3", "#c2410c"
"""Two colours that differ for the colour-blind too; shapes and words say the same."""

Anchor = Literal["start", "middle", "end"]
_FROM_RIGHT: Final[dict[Anchor, Anchor]] = {"start": "end", "middle": "middle", "end": "start"}
"""Anchors by those of text that runs from left to right, for text that runs from right to left in its place."""


def svg(height: int, shapes: Iterable[str]) -> str:
    """A document of shapes."""
    inside = "".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="15">'
        f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>{inside}</svg>'
    )


def words(x: float, y: float, text: str, anchor: Anchor = "start", *, fill: str = INK, bold: bool = False) -> str:
    """A line of text; y is that of its base line. `start` is at its left edge, in each script."""
    look = ' font-weight="bold"' if bold else ""
    if any(bidirectional(letter) in ("R", "AL") for letter in text):
        anchor, look = _FROM_RIGHT[anchor], f'{look} direction="rtl"'
    return f'<text x="{_n(x)}" y="{_n(y)}" fill="{fill}" text-anchor="{anchor}"{look}>{escape(text)}</text>'


def rect(x: float, y: float, width: float, height: float, fill: str, stroke: str = "none") -> str:
    """A rectangle."""
    place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
    return f"<rect {place} fill={quoteattr(fill)} stroke={quoteattr(stroke)}/>"


def line(x1: float, y1: float, x2: float, y2: float, stroke: str = LINE, width: float = 1.5, dash: str = "") -> str:
    """A straight line; `dash` as in SVG."""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"'
    return f'<line {ends} stroke="{stroke}" stroke-width="{_n(width)}"{dashes}/>'


def polyline(points: Sequence[tuple[float, float]], stroke: str, fill: str = "none", width: float = 2.5) -> str:
    """Straight lines from point to point, or the area between them and the last back to the first."""
    told = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    opacity = ' fill-opacity="0.25"' if fill != "none" else ""
    return f'<polyline points="{told}" fill="{fill}"{opacity} stroke="{stroke}" stroke-width="{_n(width)}"/>'


def circle(x: float, y: float, radius: float, fill: str, stroke: str = "none", width: float = 2.0) -> str:
    """A circle."""
    place = f'cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"'
    return f'<circle {place} fill="{fill}" stroke="{stroke}" stroke-width="{_n(width)}"/>'


def _n(number: float) -> str:
    """A number with one decimal at most, the same on every machine."""
    return f"{number:.1f}".removesuffix(".0")
