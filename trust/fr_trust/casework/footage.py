"""Converts the source of a probe that was cut out of footage to derivations of a search, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

_PREFIX = "0_footage_"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_TIME_BASE = re.compile(r"([1-9][0-9]{0,17})/([1-9][0-9]{0,17})")
_SECONDS = re.compile(r"-?[0-9]{1,12}\.[0-9]{6}")
_CROP = "cut out of the upright frame, neither turned nor scaled; PNG"
_NUMBERS = ("bytes", "received_ms", "frame", "pts", "rotation")
_HASHES = ("sha256", "frame_sha256", "crop_sha256")
_TEXTS = ("container", "decoder", "track", "time_s", "time_base", "box_px", "crop_px", "crop")


@dataclass(frozen=True, slots=True)
class CitedFrame:
    """The frame of footage that a probe was cut out of."""

    sha256: str  # of the file, 64 hexadecimal digits
    size_bytes: int
    received_ms: int  # when its caller announced it, milliseconds since 1970, UTC
    container: str  # what the container states, in words
    decoder: str  # versions of the decoder and its libraries
    track: str  # number of the track and what it rests on, in words
    frame: int  # its place among the decoded frames, from 0
    pts: int  # presentation time, ticks
    time_base: Fraction  # seconds of a tick
    time_s: float  # seconds after the beginning of the stream, rounded to the microsecond
    rotation: int  # degrees by which the stored frame was turned anticlockwise
    frame_sha256: str  # of the RGB pixels of the upright frame
    box_px: str  # of the face in the frame: left, top, right, bottom
    crop: tuple[int, int, int, int]  # left, top, right, bottom of the probe in the frame, pixels
    crop_sha256: str  # of the RGB pixels of the probe

    def to_derivations(self) -> dict[str, str]:
        """Return it as derivations of a search."""
        said = {
            "sha256": self.sha256,
            "bytes": f"{self.size_bytes}",
            "received_ms": f"{self.received_ms}",
            "container": self.container,
            "decoder": self.decoder,
            "track": self.track,
            "frame": f"{self.frame}",
            "pts": f"{self.pts}",
            "time_base": f"{self.time_base.numerator}/{self.time_base.denominator}",
            "time_s": f"{self.time_s:.6f}",
            "rotation": f"{self.rotation}",
            "frame_sha256": self.frame_sha256,
            "box_px": self.box_px,
            "crop": _CROP,
            "crop_px": " ".join(map(str, self.crop)),
            "crop_sha256": self.crop_sha256,
        }
        return {f"{_PREFIX}{name}": value for name, value in said.items()}


def cited_frame(derivations: Mapping[str, str]) -> CitedFrame | None:
    """Return the frame that derivations name, None if they name none; raises `ValueError` for anything else."""
    said = {name.removeprefix(_PREFIX): text for name, text in derivations.items() if name.startswith(_PREFIX)}
    if not said:
        return None
    if said.keys() != {*_NUMBERS, *_HASHES, *_TEXTS} or said["crop"] != _CROP:
        raise ValueError("other derivations of footage")
    if not all(_NUMBER.fullmatch(said[name]) for name in _NUMBERS):
        raise ValueError("a number that none is")
    if not _SECONDS.fullmatch(said["time_s"]):
        raise ValueError("a time that none is")
    if not all(_SHA256.fullmatch(said[name]) for name in _HASHES):
        raise ValueError("a hash that none is")
    crop = [int(side) for side in said["crop_px"].split(" ") if _NUMBER.fullmatch(side)]
    left, top, right, bottom = crop
    time_base = _TIME_BASE.fullmatch(said["time_base"])
    if time_base is None:
        raise ValueError("a time base that none is")
    return CitedFrame(
        said["sha256"],
        int(said["bytes"]),
        int(said["received_ms"]),
        said["container"],
        said["decoder"],
        said["track"],
        int(said["frame"]),
        int(said["pts"]),
        Fraction(int(time_base[1]), int(time_base[2])),
        float(said["time_s"]),
        int(said["rotation"]),
        said["frame_sha256"],
        said["box_px"],
        (left, top, right, bottom),
        said["crop_sha256"],
    )
