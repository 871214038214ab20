"""Makes footage of still pictures that move, and tells what a tracker should have seen in it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from fr_core.types import U8
from fr_video.values import Sighting, Track

Place = tuple[float, float, float]  # centre x, centre y and width, pixels


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """A picture that moves; `place` gives where it is at a time in seconds, None while it is not there."""

    name: str
    pixels: U8
    place: Callable[[float], Place | None]
    blur: Callable[[float], float] = lambda _: 0.0  # standard deviation, pixels of the scene
    round: bool = True  # whether only the ellipse in the picture is shown


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Actors before a background; later ones stand in front."""

    actors: Sequence[Actor]
    size: tuple[int, int] = (640, 480)  # width, height
    background: U8 | None = None  # u8[H, W, 3]; None = black

    def draw(self, time: float) -> U8:
        """Return the picture at a time."""
        width, height = self.size
        picture = np.zeros((height, width, 3), np.uint8) if self.background is None else self.background.copy()
        for actor in self.actors:
            place = actor.place(time)
            if place is not None:
                _paste(picture, actor, place, actor.blur(time))
        return picture

    def boxes(self, time: float) -> dict[str, tuple[float, float, float, float]]:
        """Return where each actor is at a time: left, top, right, bottom."""
        found = {}
        for actor in self.actors:
            place = actor.place(time)
            if place is not None:
                x, y, wide = place
                high = wide * actor.pixels.shape[0] / actor.pixels.shape[1]
                found[actor.name] = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
        return found


def _paste(picture: U8, actor: Actor, place: Place, blur: float) -> None:
    x, y, wide = place
    rows, columns, _ = actor.pixels.shape
    scale = wide / columns
    high, room = rows * scale, int(3 * blur) + 2
    # Drawn in a window of the picture, which may reach beyond it.
    left, top = int(x - wide / 2) - room, int(y - high / 2) - room
    size = int(wide) + 2 * room + 2, int(high) + 2 * room + 2
    shift = np.array([[scale, 0, x - wide / 2 - left], [0, scale, y - high / 2 - top]], np.float32)
    mask = np.zeros((rows, columns), np.float32)
    if actor.round:
        cv2.ellipse(mask, (columns // 2, rows // 2), (columns * 47 // 100, rows * 49 // 100), 0, 0, 360, 1.0, -1)
    else:
        mask[:] = 1.0
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    drawn = cv2.warpAffine(actor.pixels, shift, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    placed = cv2.warpAffine(mask, shift, size)
    if blur:
        drawn, placed = cv2.GaussianBlur(drawn, (0, 0), blur), cv2.GaussianBlur(placed, (0, 0), blur)
    height, width, _ = picture.shape
    inside = slice(max(0, -top), min(size[1], height - top)), slice(max(0, -left), min(size[0], width - left))
    under = picture[max(0, top) : top + size[1], max(0, left) : left + size[0]]
    opacity = placed[inside][..., None]
    under[:] = np.rint(under * (1 - opacity) + drawn[inside] * opacity).astype(np.uint8)


def texture(size: tuple[int, int], seed: int = 0) -> U8:
    """Return a background of smooth random colours, u8[H, W, 3]."""
    width, height = size
    coarse = np.random.default_rng(seed).integers(40, 200, (12, 16, 3), dtype=np.uint8)
    smooth: U8 = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return smooth


def at_rate(rate: Fraction, seconds: float) -> Iterator[Fraction]:
    """Yield the times of frames of a constant rate."""
    return (number / rate for number in range(int(seconds * rate)))


def variable(seconds: float, seed: int = 1) -> Iterator[Fraction]:
    """Yield the times of frames between 8 and 120 ms apart, in whole milliseconds."""
    rng, now = np.random.default_rng(seed), Fraction(0)
    while now < seconds:
        yield now
        now += Fraction(int(rng.integers(8, 121)), 1000)


def encode(
    path: Path,
    pictures: Iterable[tuple[Fraction, U8]],
    *,
    codec: str = "libx264",
    rate: Fraction = Fraction(25),
    pixel_format: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    container: str | None = None,
    time_base: Fraction = Fraction(1, 90_000),
) -> Path:
    """Write (time in seconds, u8[H, W, 3] RGB) to a video file; by default H.264 of good quality."""
    with av.open(str(path), "w", format=container) as output:
        stream: Any = None
        for time, picture in pictures:
            if stream is None:
                stream = output.add_stream(codec, rate=rate)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = pixel_format
                stream.options = dict(options if options is not None else {"crf": "20", "preset": "veryfast"})
                stream.codec_context.time_base = time_base
                stream.thread_count = 1
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.time_base, frame.pts = time_base, int(time / time_base)
            for packet in stream.encode(frame):
                output.mux(packet)
        for packet in stream.encode(None):
            output.mux(packet)
    return path


LOSSLESS: dict[str, Any] = {
    "codec": "libx264rgb",
    "pixel_format": "rgb24",
    "options": {"crf": "0", "preset": "ultrafast"},
}
"""For `encode`: every pixel comes back as it was."""


def film(path: Path, scene: Scene, times: Iterable[Fraction], **options: Any) -> Path:
    """Encode a scene."""
    return encode(path, ((time, scene.draw(float(time))) for time in times), **options)


_QUARTER_TURN_CLOCKWISE = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
_UPRIGHT = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def turned(path: Path) -> Path:
    """Mark an MP4 as one to be turned by 90 degrees clockwise, as a phone does that is held upright."""
    data = path.read_bytes()
    at = data.index(_UPRIGHT, data.index(b"tkhd"))
    path.write_bytes(data[:at] + _QUARTER_TURN_CLOCKWISE + data[at + len(_UPRIGHT) :])
    return path


@dataclass(frozen=True, slots=True)
class Mot:
    """The CLEAR MOT figures of tracks (Bernardin and Stiefelhagen, EURASIP JIVP 2008), of the frames looked at."""

    objects: int  # sightings of actors that there were
    misses: int  # of them without a track (false negatives)
    false_positives: int  # sightings of tracks where no actor was
    id_switches: int  # sightings of an actor by another track than the one before
    fragments: int  # tracks beyond the first of each actor
    mixed: int  # tracks that follow more than one actor

    @property
    def mota(self) -> float:
        """Return the multiple object tracking accuracy; at most 1."""
        return 1 - (self.misses + self.false_positives + self.id_switches) / self.objects


def mot(scene: Scene, times: Iterable[Fraction], tracks: Sequence[Track]) -> Mot:
    """Compare tracks with the scene that was filmed; a sighting is of the actor that is nearest to its centre."""
    at_time: dict[Fraction, list[tuple[int, str | None]]] = {}
    for track in tracks:
        for one in track.sightings:
            at_time.setdefault(one.time, []).append((track.number, _actor_at(scene, one)))
    last: dict[str, int] = {}
    objects = misses = strange = switches = 0
    for time in times:
        there, seen = scene.boxes(float(time)), at_time.get(time, [])
        objects += len(there)
        misses += len(there.keys() - {name for _, name in seen})
        for number, name in seen:
            if name is None:
                strange += 1
                continue
            switches += last.get(name, number) != number
            last[name] = number
    followed = [actors_of(scene, track) for track in tracks]
    mixed = sum(len(names) > 1 for names in followed)
    return Mot(objects, misses, strange, switches, sum(map(len, followed)) - len(last), mixed)


def actors_of(scene: Scene, track: Track) -> set[str]:
    """Return the names of the actors whom a track follows."""
    return {name for at in track.sightings if (name := _actor_at(scene, at)) is not None}


def _actor_at(scene: Scene, at: Sighting) -> str | None:
    """Return the actor whose centre is nearest to that of a sighting, of those who are there."""
    x, y = (at.box[0] + at.box[2]) / 2, (at.box[1] + at.box[3]) / 2
    found = [
        (abs(x - (left + right) / 2) + abs(y - (top + bottom) / 2), name)
        for name, (left, top, right, bottom) in scene.boxes(float(at.time)).items()
        if left <= x <= right and top <= y <= bottom
    ]
    return min(found)[1] if found else None
