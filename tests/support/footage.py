"""Makes footage of still pictures that move, and tells what a tracker should have seen in it."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from fr_bench.footage.encode import encode, turned
from fr_bench.footage.scene import Actor, Place, Scene, at_rate, texture, variable
from fr_bench.footage.truth import Followed, followed, people_of
from fr_video.values import Track

__all__ = ["LOSSLESS", "Actor", "Place", "Scene", "at_rate", "encode", "film", "mot", "texture", "turned", "variable"]

LOSSLESS: dict[str, Any] = {
    "codec": "libx264rgb",
    "pixel_format": "rgb24",
    "options": {"crf": "0", "preset": "ultrafast"},
}
"""For `encode`: every pixel comes back as it was."""


def film(path: Path, scene: Scene, times: Iterable[Fraction], **options: Any) -> Path:
    """Encode a scene."""
    return encode(path, ((time, scene.draw(float(time))) for time in times), **options)


def actors_of(scene: Scene, track: Track) -> set[str]:
    """Return the names of the actors whom a track follows."""
    return set(people_of({one.time: scene.faces(float(one.time)) for one in track.sightings}, track))


def mot(scene: Scene, times: Iterable[Fraction], tracks: Sequence[Track]) -> Followed:
    """Compare tracks with the scene that was filmed, at the times that were looked at."""
    return followed({time: scene.faces(float(time)) for time in times}, tracks)
