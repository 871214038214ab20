"""Draws ranked candidate lists as an SVG picture, with drawn faces in place of photos."""

import random
import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

INK, GREY, PALE = "#202124", "#5f6368", "#e4e6ea"
SHOWN = 5  # candidates of a list
PROBE, TILE, GAP, LINE = 150, 110, 14, 17


def ranked_lists(searches: Sequence[Mapping[str, Any]], notice: str) -> str:
    """Return the picture of some searches, in the layout of `fr search --draw`, with a sentence below.

    Each search has its `title`, `expected` subject or None, `threshold`, and `candidates`: lists of subject id,
    similarity, and whether it reaches the threshold.
    """
    left, row = PROBE + 3 * GAP, PROBE + 5 * LINE
    width, height = left + SHOWN * (TILE + GAP), GAP + len(searches) * row + 3 * LINE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, one in enumerate(searches):
        top = GAP + number * row
        leads = sum(above for *_, above in one["candidates"])
        verb = "are leads" if leads > 1 else "is a lead"
        said = f"{leads or 'None'} of {len(one['candidates'])} candidates {verb} at threshold {one['threshold']:.2f}"
        parts += [_text(GAP, top + LINE, "Probe", INK), _text(left, top + LINE, said, INK)]
        parts.append(face(one["expected"] or one["title"], GAP, top + 26, PROBE, turned=True))
        parts.append(_text(GAP, top + 26 + PROBE + LINE, one["title"], GREY))
        for rank, (subject, similarity, above) in enumerate(one["candidates"][:SHOWN], start=1):
            x, below = left + (rank - 1) * (TILE + GAP), top + 26 + TILE
            parts.append(face(subject, x, top + 26, TILE))
            said = f"{rank}.  {similarity:.3f}  {'lead' if above else 'no lead'}"
            parts += [_text(x, below + LINE, said, INK), _text(x, below + 2 * LINE, subject, GREY)]
    for number, line in enumerate(textwrap.wrap(notice, 110)):
        parts.append(_text(GAP, height - 2 * LINE + number * LINE, line, INK))
    return "\n".join([*parts, "</svg>\n"])


def _text(x: int, y: int, words: str, colour: str) -> str:
    return f'<text x="{x}" y="{y}" font-size="12" fill="{colour}">{escape(words)}</text>'


def face(who: str, x: int, y: int, size: int, turned: bool = False) -> str:
    """Return a face of lines, in a square of 100 units: the same features whenever the same `who` is drawn."""
    draw = random.Random(who)
    wide, tall, eyes, brow = draw.uniform(23, 29), draw.uniform(30, 37), draw.uniform(9, 13), draw.uniform(-3, 3)
    nose, mouth, smile = draw.uniform(11, 17), draw.uniform(7, 12), draw.uniform(-2, 4)
    hair, grey, beard, glasses = draw.randrange(3), draw.randrange(60, 190), draw.random() < 0.35, draw.random() < 0.3
    shade = f"rgb({grey},{grey},{grey})"
    tilt, smile = (7, smile + 3) if turned else (0, smile)
    parts = [
        f'<svg x="{x}" y="{y}" width="{size}" height="{size}" viewBox="0 0 100 100">',
        f'<rect width="100" height="100" fill="{"#d3d7de" if turned else PALE}"/>',
        f'<g fill="none" stroke="{INK}" stroke-width="1.6" stroke-linecap="round">',
        f'<path d="M10 104 Q50 {74 + wide / 3:.1f} 90 104" fill="#aab0ba"/><g transform="rotate({tilt} 50 52)">',
    ]
    top = 52 - tall
    if hair == 2:
        parts.append(f'<ellipse cx="50" cy="44" rx="{wide + 7:.1f}" ry="{tall - 2:.1f}" fill="{shade}"/>')
    parts.append(f'<ellipse cx="50" cy="52" rx="{wide:.1f}" ry="{tall:.1f}" fill="#f6f6f4"/>')
    if hair:
        parts.append(
            f'<path d="M{50 - wide:.1f} 46 Q{50 - wide:.1f} {top - 6:.1f} 50 {top - 4:.1f} '
            f'Q{50 + wide:.1f} {top - 6:.1f} {50 + wide:.1f} 46 Q50 {top + 14:.1f} {50 - wide:.1f} 46" fill="{shade}"/>'
        )
    for side in (-1, 1):
        eye = 50 + side * eyes
        parts.append(f'<circle cx="{eye:.1f}" cy="48" r="2.2" fill="{INK}"/>')
        parts.append(f'<path d="M{eye - 5:.1f} {41 - side * brow:.1f} L{eye + 5:.1f} {41 + side * brow:.1f}"/>')
        if glasses:
            parts.append(f'<circle cx="{eye:.1f}" cy="48" r="7"/>')
    parts.append(f'<path d="M50 50 L{50 - 3} {48 + nose:.1f} L51 {48 + nose:.1f}"/>')
    if beard:
        parts.append(f'<path d="M{50 - mouth:.1f} 67 Q50 61 {50 + mouth:.1f} 67" stroke="{shade}" stroke-width="4"/>')
    parts.append(f'<path d="M{50 - mouth:.1f} 71 Q50 {71 + smile:.1f} {50 + mouth:.1f} 71"/></g></g></svg>')
    return "".join(parts)
