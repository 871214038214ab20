"""Proves the frames that a list of leads cites: decodes them again, and compares hashes, numbers and times.

A remuxed copy holds the same coded frames in another container, which may count time in other ticks and round it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any, NamedTuple

from fr_core.errors import message
from fr_video.errors import LeadsInvalid
from fr_video.leads import FORMAT, VERSION, seconds
from fr_video.reading import Reading, VideoFile
from fr_video.values import EVERY_FRAME

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_TICKS = 2**62
_MICROSECOND = Fraction(1, 1_000_000)  # to which `Cited.time_s` is rounded


@dataclass(frozen=True, slots=True)
class Cited:
    """A frame that a list of leads cites."""

    track: int
    number: int  # of the frame
    pts: int  # ticks
    time_s: float  # seconds after the beginning of the stream, rounded to the microsecond
    sha256: str


@dataclass(frozen=True, slots=True)
class CitedFile:
    """The frames that a list of leads cites, and their file."""

    sha256: str
    decoder: str
    time_base: Fraction  # seconds of a tick
    frames: tuple[Cited, ...]


class Proof(StrEnum):
    """The state of a cited frame.

    Times are the same in the cited file if their ticks are the same, and in another one if they differ, counted from
    the beginning of the stream, by less than the longer tick of the two files.
    """

    SAME = "SAME"  # the file has these pixels at this time and place
    SHIFTED = "SHIFTED"  # the file has these pixels at another time, or as a frame of another number
    CHANGED = "CHANGED"  # the file has other pixels at this time, and these nowhere
    MISSING = "MISSING"  # the file has no frame at this time, and these pixels nowhere


@dataclass(frozen=True, slots=True)
class ProvenFrame:
    """A cited frame, and the place of its pixels in the file; `found_...` are None where the file lacks them."""

    cited: Cited
    proof: Proof
    found_pts: int | None
    found_number: int | None
    found_s: float | None


@dataclass(frozen=True, slots=True)
class Proven:
    """The result of comparing a list of leads with a file."""

    same_file: bool  # whether the SHA-256 of the file is that of the list
    same_decoder: bool  # another one may give other pixels of the same frame
    same_time_base: bool  # a container with other ticks holds rounded times
    frames: tuple[ProvenFrame, ...]

    @property
    def holds(self) -> bool:
        """Return true if the file and every cited frame are the same."""
        return self.same_file and self.same_frames

    @property
    def same_frames(self) -> bool:
        """Return true if every cited frame is the same."""
        return all(one.proof is Proof.SAME for one in self.frames)


def read_cited(said: Any) -> CitedFile:
    """Return the frames that a JSON document of `fr_video.leads.to_json` cites; raises `LeadsInvalid`."""
    match said:
        case {
            "format": str(name),
            "version": int(version),
            "file": {"sha256": str(sha256)},
            "stream": {"decoder": str(decoder), "time_base": [int(above), int(below)]},
            "tracks": [*tracks],
        } if (name, version) == (FORMAT, VERSION) and _SHA256.fullmatch(sha256) and above > 0 and below > 0:
            return CitedFile(sha256, decoder, Fraction(above, below), tuple(_cited(tracks)))
    raise LeadsInvalid(message("error.video.no_leads"))


def verify(cited: CitedFile, video: VideoFile) -> Proven:
    """Decode the cited frames from a file, and compare.

    Raises `VideoError`: as `Reading`, and `VideoChanged`, if the file was written to meanwhile.
    """
    same_file = video.sha256 == cited.sha256
    wanted = sorted({one.pts for one in cited.frames})
    proven = _compared(cited, video.frames_at(wanted), same_file) if same_file else None
    if proven is None or not proven.same_frames:
        proven = _compared(cited, video.sampled(EVERY_FRAME), same_file)
    video.require_unchanged()
    return proven


def _cited(tracks: list[Any]) -> Iterator[Cited]:
    for track in tracks:
        match track:
            case {"track": int(number), "best_shots": [*shots]}:
                yield from (_cited_frame(number, shot) for shot in shots)
            case _:
                raise LeadsInvalid(message("error.video.no_leads"))


def _cited_frame(track: int, shot: Any) -> Cited:
    match shot:
        case {
            "frame": int(number),
            "pts": int(pts),
            "time_s": float() | int() as time_s,
            "frame_sha256": str(sha256),
        } if _SHA256.fullmatch(sha256) and abs(pts) < _MOST_TICKS and abs(time_s) < _MOST_TICKS:
            return Cited(track, number, pts, float(time_s), sha256)
    raise LeadsInvalid(message("error.video.no_leads"))


class _Place(NamedTuple):
    """The place of a frame in a file."""

    number: int
    pts: int
    time: Fraction


def _compared(cited: CitedFile, reading: Reading, same_file: bool) -> Proven:
    """Compare the cited frames with those of a pass through a file."""
    every: list[_Place] = []
    with_hash: dict[str, list[_Place]] = {one.sha256: [] for one in cited.frames}
    with reading:
        for frame in reading:
            every.append(_Place(frame.number, frame.pts, frame.time))
            if frame.sha256 in with_hash:
                with_hash[frame.sha256].append(every[-1])
    own, cited_base = reading.facts.time_base, cited.time_base

    def is_at(place: _Place, one: Cited) -> bool:
        if same_file:
            return (place.pts, own, seconds(place.time)) == (one.pts, cited_base, one.time_s)
        return abs(place.time - _time(one, cited_base)) < max(own, cited_base, _MICROSECOND)

    def proof(one: Cited) -> ProvenFrame:
        found, there = (_nearest(places, _time(one, cited_base)) for places in (with_hash[one.sha256], every))
        if found is not None:
            same = found.number == one.number and is_at(found, one)
            told = Proof.SAME if same else Proof.SHIFTED
            return ProvenFrame(one, told, found.pts, found.number, seconds(found.time))
        changed = there is not None and is_at(there, one)
        return ProvenFrame(one, Proof.CHANGED if changed else Proof.MISSING, None, None, None)

    same_decoder = reading.facts.decoder == cited.decoder
    return Proven(same_file, same_decoder, own == cited_base, tuple(map(proof, cited.frames)))


def _time(one: Cited, time_base: Fraction) -> Fraction:
    """Return the exact time of a cited frame: a whole number of ticks, which the microsecond has rounded."""
    return round(Fraction(one.time_s) / time_base) * time_base


def _nearest(places: Sequence[_Place], time: Fraction) -> _Place | None:
    """Return the place that is nearest to a time; None if there is none. `places`: in the order of time."""
    at = bisect_left(places, time, key=lambda place: place.time)
    return min(places[max(at - 1, 0) : at + 1], key=lambda place: abs(place.time - time), default=None)
