"""Packs and reads the messages between the process that reads a video and the one that decodes it.

The reader asks with one letter; an answer is a letter and what belongs to it. Nothing is pickled. The functions
`read_...` treat the sender as hostile: a decoder that a file has taken over may write anything.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from fr_video.values import Ended, StreamFacts

MAX_MESSAGE_BYTES = 4096  # no answer is longer
STEP_FRAMES = 100  # frames that are decoded for one answer at most
ASK = b"?"
FACTS, FRAME, STEP, GAP, ENDING, REFUSED, OUT_OF_MEMORY = b"O", b"F", b"S", b"G", b"E", b"R", b"M"

# Between the process that makes a video file and the one that encodes it.
PICTURE, FINISH, WRITE, DONE = b"P", b"E", b"W", b"D"
WITH_SOUND, WITHOUT_SOUND = b"+", b"-"  # before the version that `DONE` tells at the end
MILLISECONDS = "<q"  # time of a picture
MAX_WRITE_BYTES = 32_768  # of one piece of the file

# Refusals before the first frame: not readable, no codec of `CODECS` or no video stream, too many pixels.
UNREADABLE, UNSUPPORTED, TOO_MANY_PIXELS = "unreadable", "unsupported", "pixels"

_FRAME = struct.Struct("<QqQQHQ")
_ENDING = struct.Struct("<QQq")
_GAP = struct.Struct("<qq")
_NAME = re.compile(r"[\w ,.+:/-]{1,200}", re.ASCII)
_MOST_TICKS = 2**62
_MOST_SIDE = 2**16


class Nonsense(ValueError):
    """An answer that no honest decoder gives."""


@dataclass(frozen=True, slots=True)
class FrameHead:
    """A frame whose pixels lie in the shared memory."""

    number: int
    pts: int
    width: int  # pixels, upright
    height: int
    rotation: int  # degrees
    untimed: int = 0  # frames left out before this one, as `Ending.untimed`


def pack_frame(head: FrameHead) -> bytes:
    """Answer with a frame."""
    return FRAME + _FRAME.pack(head.number, head.pts, head.width, head.height, head.rotation, head.untimed)


def read_frame(rest: bytes, max_pixels: int) -> FrameHead:
    """Read what follows `FRAME`; raises `Nonsense`."""
    if len(rest) != _FRAME.size:
        raise Nonsense("a frame of another length")
    head = FrameHead(*_FRAME.unpack(rest))
    if not (1 <= head.width * head.height <= max_pixels and abs(head.pts) < _MOST_TICKS):
        raise Nonsense("a frame that the limits do not allow")
    if head.rotation not in (0, 90, 180, 270):
        raise Nonsense("a rotation of no quarter turns")
    if head.untimed > head.number:
        raise Nonsense("more frames left out than there were")
    return head


def pack_gap(begin: int, end: int) -> bytes:
    """Answer that frames between two times, in ticks, were left out; a frame of the later time follows."""
    return GAP + _GAP.pack(begin, end)


def read_gap(rest: bytes) -> tuple[int, int]:
    """Read what follows `GAP`; raises `Nonsense`."""
    if len(rest) != _GAP.size:
        raise Nonsense("a gap of another length")
    begin, end = _GAP.unpack(rest)
    if not -_MOST_TICKS < begin < end < _MOST_TICKS:
        raise Nonsense("a gap that is none")
    return begin, end


@dataclass(frozen=True, slots=True)
class EndHead:
    """An ending, with the time of the last frame in ticks; 0 where no frame had one."""

    why: Ended
    decoded: int
    untimed: int
    last_pts: int


def pack_ending(head: EndHead) -> bytes:
    """Answer that there are no more frames."""
    return ENDING + _ENDING.pack(head.decoded, head.untimed, head.last_pts) + head.why.encode()


def read_ending(rest: bytes) -> EndHead:
    """Read what follows `ENDING`; raises `Nonsense`."""
    try:
        decoded, untimed, last_pts = _ENDING.unpack(rest[: _ENDING.size])
        head = EndHead(Ended(rest[_ENDING.size :].decode("ascii")), decoded, untimed, last_pts)
    except (struct.error, ValueError) as error:
        raise Nonsense("an ending of no known kind") from error
    if not (untimed <= decoded < _MOST_TICKS and abs(last_pts) < _MOST_TICKS):
        raise Nonsense("an ending with other numbers")
    return head


def pack_facts(facts: StreamFacts) -> bytes:
    """Answer with the facts of the stream."""
    said = {name: _plain(getattr(facts, name)) for name in StreamFacts.__slots__}
    return FACTS + json.dumps(said).encode()


def read_facts(rest: bytes) -> StreamFacts:
    """Read what follows `FACTS`; raises `Nonsense`."""
    try:
        return facts_from_json(json.loads(rest))
    except (ValueError, RecursionError) as error:
        raise Nonsense("facts that are none") from error


def facts_from_json(said: Any) -> StreamFacts:
    """Return the facts of their JSON document, a fraction being a list of two numbers; raises `ValueError`."""
    if not isinstance(said, dict) or said.keys() != set(StreamFacts.__slots__):
        raise ValueError("other keys")
    time_base = _fraction(said["time_base"])
    if time_base is None or time_base <= 0:
        raise ValueError("no time base")
    sides = [_whole(said[name]) for name in ("width", "height")]
    if not all(side is not None and 1 <= side <= _MOST_SIDE for side in sides):
        raise ValueError("no size")
    return StreamFacts(
        container=_name(said["container"]),
        codec=_name(said["codec"]),
        width=sides[0] or 0,
        height=sides[1] or 0,
        pixel_format=_name(said["pixel_format"]),
        time_base=time_base,
        start_pts=_whole(said["start_pts"]),
        duration_ticks=_whole(said["duration_ticks"]),
        average_rate=_fraction(said["average_rate"]),
        sample_aspect_ratio=_fraction(said["sample_aspect_ratio"]),
        decoder=_name(said["decoder"]),
    )


def fraction_json(value: Fraction) -> list[int]:
    """Return a fraction as a list of numerator and denominator."""
    return [value.numerator, value.denominator]


def _plain(value: object) -> object:
    return fraction_json(value) if isinstance(value, Fraction) else value


def _name(value: object) -> str:
    if not (isinstance(value, str) and _NAME.fullmatch(value)):
        raise ValueError("no name")
    return value


def _whole(value: object) -> int | None:
    if value is None or (type(value) is int and abs(value) < _MOST_TICKS):
        return value
    raise ValueError("no number")


def _fraction(value: object) -> Fraction | None:
    match value:
        case None:
            return None
        case [int(above), int(below)] if abs(above) < _MOST_TICKS and 0 < below < _MOST_TICKS:
            return Fraction(above, below)
    raise ValueError("no fraction")
