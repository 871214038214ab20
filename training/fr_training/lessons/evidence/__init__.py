"""Figures and numbers of the lesson on digital evidence: hashes, and a chain of records as the audit has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from fr_training.lessons.drawing import BLUE, INK, ORANGE, PAPER, SOFT, circle, line, polyline, rect, svg, words
from fr_training.lessons.values import Drawn, Number

NOTE, OTHER_NOTE = b"Camera 3, 21:10", b"Camera 3, 21:16"
"""Two texts that differ in one character."""
CHAIN_ID = "0123456789abcdef0123456789abcdef"
CASE: tuple[dict[str, object], ...] = (
    {"action": "case.open", "actor": "key:operator", "at_ms": 1_796_000_000_000, "outcome": "OK", "seq": 1, "v": 1},
    {"action": "case.search", "actor": "key:operator", "at_ms": 1_796_000_060_000, "outcome": "OK", "seq": 2, "v": 1},
    {"action": "case.finding", "actor": "key:examiner", "at_ms": 1_796_000_900_000, "outcome": "OK", "seq": 3, "v": 1},
)
"""The records of an invented case, shorter than those of the audit."""
CHANGED: tuple[dict[str, object], ...] = (CASE[0], {**CASE[1], "actor": "key:examiner"}, CASE[2])
"""The same, where somebody has changed who searched."""


def hash_of(data: bytes) -> str:
    """The SHA-256 of bytes, 64 hexadecimal digits."""
    return sha256(data).hexdigest()


def chain_of(records: Sequence[Mapping[str, object]]) -> list[str]:
    """The hash after each record, by the rule of the audit (`fr_core.storage.audit.chain`)."""
    before, found = sha256(CHAIN_ID.encode()).digest(), []
    for record in records:
        body = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
        before = sha256(b"fr-core audit 1\0" + CHAIN_ID.encode() + before + sha256(body).digest()).digest()
        found.append(before.hex())
    return found


def same_places(one: str, other: str) -> int:
    """At how many places two hashes have the same digit."""
    return sum(a == b for a, b in zip(one, other, strict=True))


def draw_steps(told: Mapping[str, str]) -> str:
    """Draw the four steps one after the other, on one line of records."""
    shapes = []
    for place, name in enumerate(("identify", "collect", "acquire", "preserve")):
        x = 16.0 + 156.0 * place
        shapes += [
            rect(x, 24, 138, 62, BLUE),
            words(x + 69, 61, told[name], "middle", fill=PAPER, bold=True),
            words(x + 69, 112, told[f"{name}_what"], "middle", fill=SOFT),
            line(x + 69, 126, x + 69, 152, ORANGE, 2.5),
            circle(x + 69, 160, 8, ORANGE),
        ]
        if place < 3:
            shapes.append(polyline([(x + 142, 47), (x + 152, 55), (x + 142, 63)], INK))
    shapes += [line(85, 160, 553, 160, ORANGE, 2.5), words(320, 200, told["records"], "middle", bold=True)]
    return svg(216, shapes)


def draw_chain(told: Mapping[str, str]) -> str:
    """Draw three records with their hashes, and the same with a change in the second."""
    rows = (("written", chain_of(CASE)), ("changed", chain_of(CHANGED)))
    shapes = []
    for row, (title, hashes) in enumerate(rows):
        top = 34.0 + 160.0 * row
        shapes.append(words(16, top - 10, told[title], bold=True))
        for place, name in enumerate(("first", "second", "third")):
            x, other = 16.0 + 210.0 * place, hashes[place] != rows[0][1][place]
            color = ORANGE if other else BLUE
            shapes += [
                rect(x, top, 180, 96, PAPER, color),
                rect(x, top + 62, 180, 34, color),
                words(x + 90, top + 28, told[name], "middle"),
                words(
                    x + 90, top + 50, told["edited"] if row and place == 1 else told["as_written"], "middle", fill=SOFT
                ),
                words(
                    x + 90, top + 84, hashes[place][:8] + ("  \u2260" if other else ""), "middle", fill=PAPER, bold=True
                ),
            ]
            if place < 2:
                shapes += [
                    line(x + 180, top + 79, x + 206, top + 79, color, 2.5),
                    polyline([(x + 198, top + 73), (x + 207, top + 79), (x + 198, top + 85)], color),
                ]
    return svg(312, shapes)


FIGURES = {
    "steps": Drawn(
        draw_steps,
        (
            *("identify", "collect", "acquire", "preserve", "identify_what", "collect_what", "acquire_what"),
            *("preserve_what", "records"),
        ),
    ),
    "chain": Drawn(draw_chain, ("written", "changed", "first", "second", "third", "as_written", "edited")),
}


def _start_of(digits: Callable[[], str], expected: str) -> Number:
    """The first eight digits of a hash, which must be exactly these."""
    return Number(lambda: int(digits()[:8], 16), "08x", int(expected, 16), int(expected, 16))


NUMBERS = {
    "note": _start_of(lambda: hash_of(NOTE), "9c8b9d7b"),
    "other_note": _start_of(lambda: hash_of(OTHER_NOTE), "dfd0041b"),
    "first": _start_of(lambda: chain_of(CASE)[0], "a404b34b"),
    "second": _start_of(lambda: chain_of(CASE)[1], "abbb37bc"),
    "third": _start_of(lambda: chain_of(CASE)[2], "6afa37f7"),
    "first_after": _start_of(lambda: chain_of(CHANGED)[0], "a404b34b"),
    "second_after": _start_of(lambda: chain_of(CHANGED)[1], "cbc5080b"),
    "third_after": _start_of(lambda: chain_of(CHANGED)[2], "a9b55428"),
    "digits": Number(lambda: len(hash_of(NOTE)), ".0f", 64, 64),
    "same": Number(lambda: same_places(hash_of(NOTE), hash_of(OTHER_NOTE)), ".0f", 4, 4),
    "by_chance": Number(lambda: len(hash_of(NOTE)) / 16, ".0f", 4, 4),
    "possible": Number(lambda: len(str(2**256)), ".0f", 78, 78),
}
