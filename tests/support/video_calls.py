"""Sends footage of null faces to a server, and waits for its tracks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fr_api.v1 import video_pb2 as pb
from fr_core.types import U8
from support.callers import BLUES
from support.faults import until
from support.footage import LOSSLESS, Actor, Scene, at_rate, film

DONE = (pb.VIDEO_STATE_ANALYZED, pb.VIDEO_STATE_REFUSED)


def actor(blue: int, x: float = 60, y: float = 120, speed: float = 20) -> Actor:
    """Return a null face that crosses the picture."""
    square = np.full((60, 60, 3), (255, 0, blue), np.uint8)
    return Actor(str(blue), square, lambda time: (round(x + speed * time), y, 60), round=False)


def footage(
    path: Path, *actors: Actor, seconds: float = 2.2, rate: int = 25, background: U8 | None = None, **options: Any
) -> Path:
    """Write footage of null faces; by default of one person of `Staffed.gallery`, without loss."""
    scene = Scene(actors or (actor(BLUES[0]),), (360, 240), background)
    return film(path, scene, at_rate(Fraction(rate), seconds), **(options or LOSSLESS))


@cache
def reel() -> bytes:
    """Return a file with footage of one person of `Staffed.gallery`."""
    with TemporaryDirectory() as folder:
        return footage(Path(folder) / "reel.mp4").read_bytes()


def announced(caller: Any, data: bytes, **more: Any) -> pb.Video:
    """Announce a file."""
    sha256 = hashlib.sha256(data).hexdigest()
    request = pb.CreateVideoRequest(sha256=sha256, size_bytes=len(data), **more)
    video: pb.Video = caller.video.CreateVideo(request).video
    return video


def chunks(video_id: str, data: bytes, begin: int = 0, size: int = 50_000) -> Iterator[pb.AnalyzeVideoRequest]:
    """Yield the chunks of a file from a byte on."""
    for offset in range(begin, len(data), size):
        part = data[offset : offset + size]
        yield pb.AnalyzeVideoRequest(item_id=str(offset), video_id=video_id, offset=offset, data=part)


def sent(caller: Any, data: bytes, **more: Any) -> str:
    """Announce and send a file; return its id."""
    video_id: str = announced(caller, data, **more).video_id
    answers = list(caller.video.AnalyzeVideo(chunks(video_id, data)))
    assert [one.WhichOneof("result") for one in answers] == ["video"] * len(answers)
    return video_id


def state(caller: Any, video_id: str) -> pb.Video:
    """Describe a video."""
    video: pb.Video = caller.video.GetVideo(pb.GetVideoRequest(video_id=video_id)).video
    return video


def analyzed(caller: Any, data: bytes, **more: Any) -> pb.Video:
    """Send a file, and return it when it is analyzed or refused."""
    video_id = sent(caller, data, **more)
    until(lambda: state(caller, video_id).state in DONE)
    return state(caller, video_id)


def tracks(caller: Any, video_id: str, crops: bool = False) -> Sequence[pb.Track]:
    """Return the tracks of a video."""
    request = pb.ListTracksRequest(video_id=video_id, include_crops=crops)
    found: Sequence[pb.Track] = caller.video.ListTracks(request).tracks
    return found
