"""Regions of pictures that are covered: the faces of tracks, joined over frames without them, and grown."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise

from fr_core.types import U8
from fr_video.boxes import overlap
from fr_video.values import Box, Track

HOLD_S = Fraction(1, 2)
"""Seconds for which a face is covered before it is first found, and after it is last found."""

SAME_FACE = 0.5
"""Intersection over union from which two boxes of one picture are one face."""

# Shares of a face's box by which it is grown on each side: a box ends at the forehead and before the ears, and hair and
# ears tell who a person is. If a face is expected and not found, its place is less certain.
_MARGIN, _MARGIN_OF_GUESS = 0.35, 0.7


@dataclass(frozen=True, slots=True)
class Covered:
    """A face that is covered while begin < time < end."""

    sightings: tuple[tuple[Fraction, Box], ...]  # seconds and box, at least one, in the order of time
    begin: Fraction  # seconds
    end: Fraction  # seconds

    def region(self, time: Fraction) -> Box:
        """Return what is covered at a time: the grown box of the face, or of the place where it must be."""
        place = bisect_right(self.sightings, time, key=lambda one: one[0])
        if place and self.sightings[place - 1][0] == time:
            return _grown(self.sightings[place - 1][1], _MARGIN)
        if place in (0, len(self.sightings)):
            return _grown(self.sightings[max(place - 1, 0)][1], _MARGIN_OF_GUESS)
        (before, one), (after, other) = self.sightings[place - 1 : place + 1]
        share = float((time - before) / (after - before))
        left, top, right, bottom = (start + (stop - start) * share for start, stop in zip(one, other, strict=True))
        return _grown((left, top, right, bottom), _MARGIN_OF_GUESS)


class Regions:
    """Gives the regions of each frame, in the order of time; holds only the faces that are covered then."""

    def __init__(self, covered: Sequence[Covered]) -> None:
        self._waiting = sorted(covered, key=lambda one: one.begin, reverse=True)
        self._active: list[Covered] = []

    def at(self, time: Fraction) -> list[Box]:
        """Return what is covered at a time, which is not before that of the last call."""
        while self._waiting and self._waiting[-1].begin < time:
            self._active.append(self._waiting.pop())
        self._active = [one for one in self._active if time < one.end]
        return [one.region(time) for one in self._active]


def sighted(time: Fraction, box: Box) -> Covered:
    """Return the cover of a face that was found once."""
    return Covered(((time, box),), time - HOLD_S, time + HOLD_S)


def shown_times(track: Track, kept: Sequence[Mapping[int, Box]]) -> dict[Fraction, Box]:
    """Return when and where the face of a track stays visible: seconds and boxes.

    A face stays visible where it is that of a kept track, and between two neighbouring sightings of the kept track that
    are both of this track. Everything else is in doubt, and covered.

    Args:
        track: of every frame.
        kept: boxes of each kept track by ticks, in the order of time; of some frames.
    """
    boxes = {one.pts: one.box for one in track.sightings}
    ticks = list(boxes)
    shown: set[int] = set()
    for other in kept:
        same = [(pts, pts in boxes and overlap(boxes[pts], box) >= SAME_FACE) for pts, box in other.items()]
        shown.update(pts for pts, is_same in same if is_same)
        for (begin, first), (end, second) in pairwise(same):
            if first and second:
                shown.update(ticks[bisect_right(ticks, begin) : bisect_left(ticks, end)])
    return {one.time: one.box for one in track.sightings if one.pts in shown}


def covered_of(track: Track, shown: Mapping[Fraction, Box]) -> Iterator[Covered]:
    """Yield the covers of a track where it is not shown, from one shown sighting to the next."""
    before: Fraction | None = None
    runs = [(stays, list(run)) for stays, run in groupby(track.sightings, key=lambda one: one.time in shown)]
    for place, (stays, run) in enumerate(runs):
        if not stays:
            begin = run[0].time - HOLD_S if before is None else before
            last = place == len(runs) - 1
            end = run[-1].time + HOLD_S if last else runs[place + 1][1][0].time
            yield Covered(tuple((one.time, one.box) for one in run), begin, end)
        before = run[-1].time


def _grown(box: Box, share: float) -> Box:
    left, top, right, bottom = box
    across, down = share * (right - left), share * (bottom - top)
    return left - across, top - down, right + across, bottom + down


def without(pixels: U8, boxes: Sequence[Box]) -> U8:
    """Return a picture, u8[H, W, 3], whose boxes are black."""
    covered = pixels.copy()
    for left, top, right, bottom in boxes:
        rows = slice(max(0, math.floor(top)), max(0, math.ceil(bottom)))
        covered[rows, max(0, math.floor(left)) : max(0, math.ceil(right))] = 0
    return covered
