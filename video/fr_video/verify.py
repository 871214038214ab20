"""Proves the frames that a list of leads cites: decodes them again, and compares hashes, numbers and times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fr_core.errors import message
from fr_video.errors import LeadsInvalid
from fr_video.leads import FORMAT, VERSION, seconds
from fr_video.reading import Reading, VideoFile
from fr_video.values import EVERY_FRAME, Frame

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_TICKS = 2**62


@dataclass(frozen=True, slots=True)
class Cited:
    """A frame that a list of leads cites."""

    track: int
    number: int  # of the frame
    pts: int  # ticks
    time_s: float
    sha256: str


@dataclass(frozen=True, slots=True)
class CitedFile:
    """The frames that a list of leads cites, and their file."""

    sha256: str
    decoder: str
    frames: tuple[Cited, ...]


class Proof(StrEnum):
    """The state of a cited frame."""

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
    frames: tuple[ProvenFrame, ...]

    @property
    def holds(self) -> bool:
        """Return true if the file and every cited frame are the same."""
        return self.same_file and all(one.proof is Proof.SAME for one in self.frames)


def read_cited(said: Any) -> CitedFile:
    """Return the frames that a JSON document of `fr_video.leads.to_json` cites; raises `LeadsInvalid`."""
    match said:
        case {
            "format": str(name),
            "version": int(version),
            "file": {"sha256": str(sha256)},
            "stream": {"decoder": str(decoder)},
            "tracks": [*tracks],
        } if (name, version) == (FORMAT, VERSION) and _SHA256.fullmatch(sha256):
            return CitedFile(sha256, decoder, tuple(_cited(tracks)))
    raise LeadsInvalid(message("error.video.no_leads"))


def verify(cited: CitedFile, video: VideoFile) -> Proven:
    """Decode the cited frames from a file, and compare.

    Raises `VideoError`: as `Reading`, and `VideoChanged`, if the file was written to meanwhile.
    """
    wanted = sorted({one.pts for one in cited.frames})
    at_time: dict[int, Frame] = {}
    with video.frames_at(wanted) as reading:
        decoder = reading.facts.decoder
        at_time = {frame.pts: _without_pixels(frame) for frame in reading if frame.pts in set(wanted)}
    unproven = {one.sha256 for one in cited.frames if not _is_at(one, at_time)}
    elsewhere = _found_elsewhere(video.sampled(EVERY_FRAME), unproven) if unproven else {}
    video.require_unchanged()
    frames = tuple(_proof(one, at_time.get(one.pts), elsewhere.get(one.sha256)) for one in cited.frames)
    return Proven(video.sha256 == cited.sha256, decoder == cited.decoder, frames)


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
        } if _SHA256.fullmatch(sha256) and abs(pts) < _MOST_TICKS:
            return Cited(track, number, pts, float(time_s), sha256)
    raise LeadsInvalid(message("error.video.no_leads"))


def _is_at(one: Cited, at_time: dict[int, Frame]) -> bool:
    frame = at_time.get(one.pts)
    return frame is not None and frame.sha256 == one.sha256


def _found_elsewhere(reading: Reading, hashes: set[str]) -> dict[str, Frame]:
    """Return the first frame of each hash."""
    found: dict[str, Frame] = {}
    with reading:
        for frame in reading:
            if frame.sha256 in hashes:
                found.setdefault(frame.sha256, _without_pixels(frame))
    return found


def _without_pixels(frame: Frame) -> Frame:
    return Frame(frame.number, frame.pts, frame.time, frame.rotation, frame.pixels[:0], frame.sha256)


def _proof(one: Cited, there: Frame | None, elsewhere: Frame | None) -> ProvenFrame:
    if there is not None and there.sha256 == one.sha256:
        as_said = (there.number, seconds(there.time)) == (one.number, one.time_s)
        return _proven(one, Proof.SAME if as_said else Proof.SHIFTED, there)
    if elsewhere is not None:
        return _proven(one, Proof.SHIFTED, elsewhere)
    return ProvenFrame(one, Proof.MISSING if there is None else Proof.CHANGED, None, None, None)


def _proven(one: Cited, proof: Proof, frame: Frame) -> ProvenFrame:
    return ProvenFrame(one, proof, frame.pts, frame.number, seconds(frame.time))
