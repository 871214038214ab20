"""Makes footage of still pictures that move, and tells what a tracker should have seen in it."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from fr_bench.footage.encode import encode, turned
from fr_bench.footage.scene import Actor, Place, Scene, at_rate, texture, variable
from fr_bench.footage.truth import Followed, followed, people_of
from fr_video.values import Track

__all__ = [
    "LOSSLESS",
    "Actor",
    "Place",
    "Scene",
    "at_rate",
    "encode",
    "film",
    "mot",
    "remuxed",
    "texture",
    "turned",
    "variable",
]

LOSSLESS: dict[str, Any] = {
    "codec": "libx264rgb",
    "pixel_format": "rgb24",
    "options": {"crf": "0", "preset": "ultrafast"},
}
"""For `encode`: every pixel comes back as it was."""


def film(path: Path, scene: Scene, times: Iterable[Fraction], **options: Any) -> Path:
    """Encode a scene."""
    return encode(path, ((time, scene.draw(float(time))) for time in times), **options)


def remuxed(source: Path, path: Path, delay: int = 0, later: int = 0, at: int = 0, **options: str) -> Path:
    """Copy the coded frames of a file into another container, which starts `delay` ticks of the source later.

    From the first key frame at or after the tick `at` on, frames are `later` by so many ticks.
    """
    with av.open(str(source)) as original, av.open(str(path), "w", options=options) as output:
        template = original.streams.video[0]
        stream = output.add_stream_from_template(template)
        for packet in original.demux(template):
            if packet.pts is None or packet.dts is None:  # the last one, which is empty
                continue
            if packet.is_keyframe and packet.pts >= at:
                delay, later = delay + later, 0
            packet.pts, packet.dts, packet.stream = packet.pts + delay, packet.dts + delay, stream
            output.mux(packet)
    return path


def actors_of(scene: Scene, track: Track) -> set[str]:
    """Return the names of the actors whom a track follows."""
    return set(people_of({one.time: scene.faces(float(one.time)) for one in track.sightings}, track))


def mot(scene: Scene, times: Iterable[Fraction], tracks: Sequence[Track]) -> Followed:
    """Compare tracks with the scene that was filmed, at the times that were looked at."""
    return followed({time: scene.faces(float(time)) for time in times}, tracks)
