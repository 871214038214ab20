"""Draws footage of still pictures that move before a camera, and labels its faces."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import cos, radians, sin

import cv2
import numpy as np

from fr_core.types import U8
from fr_datasets.values import LabelledFace

Place = tuple[float, float, float]
"""Centre x, centre y and width, pixels."""

_CLEAR = 0.7  # share of a face that is in sight, from which on it has to be found


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """A picture that moves."""

    name: str  # of the person; empty for a thing
    pixels: U8  # u8[H, W, 3], RGB
    place: Callable[[float], Place | None]  # by the time in seconds; None while it is not there
    blur: Callable[[float], float] = lambda _: 0.0  # standard deviation, pixels of the scene
    round: bool = True  # whether only the ellipse in the picture is shown
    tilt: Callable[[float], float] = lambda _: 0.0  # degrees anticlockwise
    light: Callable[[float], float] = lambda _: 1.0  # factor of its brightness


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Actors before a background; later ones stand in front."""

    actors: Sequence[Actor]
    size: tuple[int, int] = (640, 480)  # width, height
    background: U8 | None = None  # u8[H, W, 3]; of a scene with a camera, of any size; None = black
    # The point that is in the middle of the picture, and the factor of its size, by time; None = a camera that stands.
    camera: Callable[[float], Place] | None = None

    def draw(self, time: float) -> U8:
        """Return the picture at a time, u8[H, W, 3], RGB."""
        picture = self._behind(time)
        for actor in self.actors:
            place = self._seen(actor, time)
            if place is not None:
                _paste(picture, actor, place, time)
        return picture

    def boxes(self, time: float) -> dict[str, tuple[float, float, float, float]]:
        """Return where each picture of a person is at a time: left, top, right, bottom."""
        return {actor.name: box for actor, box in self._boxes(time) if actor.name}

    def faces(self, time: float) -> tuple[LabelledFace, ...]:
        """Return the faces at a time; one that is covered or beyond the edge of the picture is not clear.

        A face of which nothing is in sight is left out: a face found there is that of the person in front.
        """
        there = self._boxes(time)
        shares = (self._share_in_sight(box, [other for _, other in there[n + 1 :]]) for n, (_, box) in enumerate(there))
        return tuple(
            LabelledFace(
                actor.name,
                (box[0] + box[2]) / 2,
                (box[1] + box[3]) / 2,
                (box[2] - box[0]) / 2,
                clear=share >= _CLEAR,
            )
            for (actor, box), share in zip(there, shares, strict=True)
            if actor.name and share
        )

    def _boxes(self, time: float) -> list[tuple[Actor, tuple[float, float, float, float]]]:
        found = []
        for actor in self.actors:
            place = self._seen(actor, time)
            if place is not None:
                x, y, wide = place
                high = wide * actor.pixels.shape[0] / actor.pixels.shape[1]
                found.append((actor, (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)))
        return found

    def _share_in_sight(
        self, box: tuple[float, float, float, float], before: Sequence[tuple[float, float, float, float]]
    ) -> float:
        """Return the share of the middle of a box, where the face is, that is in the picture and behind no other."""
        left, top, right, bottom = box
        xs, ys = np.meshgrid(np.linspace(0.2, 0.8, 7), np.linspace(0.15, 0.85, 9))
        xs, ys = left + xs * (right - left), top + ys * (bottom - top)
        free = (xs >= 0) & (ys >= 0) & (xs < self.size[0]) & (ys < self.size[1])
        for one in before:
            free &= (xs < one[0]) | (xs > one[2]) | (ys < one[1]) | (ys > one[3])
        return float(free.mean())

    def _seen(self, actor: Actor, time: float) -> Place | None:
        """Return the place of an actor in the picture."""
        place = actor.place(time)
        if place is None or self.camera is None:
            return place
        x, y, zoom = self.camera(time)
        return (place[0] - x) * zoom + self.size[0] / 2, (place[1] - y) * zoom + self.size[1] / 2, place[2] * zoom

    def _behind(self, time: float) -> U8:
        width, height = self.size
        if self.background is None:
            return np.zeros((height, width, 3), np.uint8)
        if self.camera is None:
            return self.background.copy()
        x, y, zoom = self.camera(time)
        shift = np.array([[zoom, 0, width / 2 - x * zoom], [0, zoom, height / 2 - y * zoom]], np.float32)
        behind: U8 = cv2.warpAffine(self.background, shift, self.size, borderMode=cv2.BORDER_REFLECT)
        return behind


def _paste(picture: U8, actor: Actor, place: Place, time: float) -> None:
    x, y, wide = place
    blur = actor.blur(time)
    rows, columns, _ = actor.pixels.shape
    scale = wide / columns
    high, room = rows * scale, int(3 * blur + 0.3 * rows * scale * bool(actor.tilt(time))) + 2
    # Drawn in a window of the picture, which may reach beyond it.
    left, top = int(x - wide / 2) - room, int(y - high / 2) - room
    size = int(wide) + 2 * room + 2, int(high) + 2 * room + 2
    turn = radians(actor.tilt(time))
    along, across = scale * cos(turn), scale * sin(turn)
    middle = x - left - along * columns / 2 - across * rows / 2, y - top + across * columns / 2 - along * rows / 2
    shift = np.array([[along, across, middle[0]], [-across, along, middle[1]]], np.float32)
    mask = np.zeros((rows, columns), np.float32)
    if actor.round:
        cv2.ellipse(mask, (columns // 2, rows // 2), (columns * 47 // 100, rows * 49 // 100), 0, 0, 360, 1.0, -1)
    else:
        mask[:] = 1.0
    drawn = cv2.warpAffine(actor.pixels, shift, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    placed = cv2.warpAffine(mask, shift, size)
    if blur:
        drawn, placed = cv2.GaussianBlur(drawn, (0, 0), blur), cv2.GaussianBlur(placed, (0, 0), blur)
    height, width, _ = picture.shape
    inside = slice(max(0, -top), min(size[1], height - top)), slice(max(0, -left), min(size[0], width - left))
    under = picture[max(0, top) : max(0, top + size[1]), max(0, left) : max(0, left + size[0])]
    if under.size:
        opacity = placed[inside]
        lit = cv2.convertScaleAbs(drawn[inside], alpha=actor.light(time))
        under[:] = cv2.blendLinear(under, lit, 1 - opacity, opacity)


def texture(size: tuple[int, int], seed: int = 0) -> U8:
    """Return a background of smooth random colours, u8[H, W, 3]; `size`: width, height."""
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
