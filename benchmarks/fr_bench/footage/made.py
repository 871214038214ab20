"""Films people of LFW, who come and go, cross and cover each other, before a camera that moves.

Nothing was tuned on the people who are filmed: see `cast_of`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import sin
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image

from fr_bench.footage.encode import encode, turned
from fr_bench.footage.scene import Actor, Place, Scene, at_rate, texture, variable
from fr_bench.speed.child import BenchFailed
from fr_core.types import U8
from fr_locales.messages import message

_TUNED_EVERY = 3  # of the people with two photos or more, each third is for tuning
_PHOTOS = 3  # of a person who is filmed: one is enrolled, two are filmed
_TOGETHER = 5  # people who are in the picture at once, on average
_SHORTEST_S, _LONGEST_S = 2.5, 8.0  # of an appearance
_FASTEST_PER_S = 0.14  # of the width of the picture: 270 pixels of 1920, as of people who walk by near a camera


@dataclass(frozen=True, slots=True)
class Person:
    """A person of LFW with three photos or more."""

    name: str
    enrolled: Path  # the photo that is searched for
    filmed: tuple[Path, ...]  # other photos, one for each time that the person comes


def cast_of(
    folder: Path, number: int, *, tuning: bool = False, fits: Callable[[U8], bool] = lambda head: True
) -> tuple[Person, ...]:
    """Choose people with three photos or more from a folder of LFW, whose filmed heads (u8[200, 160, 3]) all fit.

    Of the people with two photos or more, in the order of their names, the first and each third after are for tuning
    alone (`tuning`), and all others for evaluation. Raises `BenchFailed`: there are not so many.
    """
    folders = [path for path in sorted(folder.iterdir()) if len(list(path.iterdir())) >= 2]
    chosen = [path for place, path in enumerate(folders) if (place % _TUNED_EVERY == 0) == tuning]
    photos = [
        found
        for path in chosen
        if len(found := sorted(path.iterdir())) >= _PHOTOS and all(fits(_head_of(one)) for one in found[1:_PHOTOS])
    ]
    if len(photos) < number:
        raise BenchFailed(message("error.bench.too_few_people", folder=folder, people=len(photos), number=number))
    spread = photos[:: len(photos) // number][:number]
    return tuple(Person(one[0].parent.name, one[0], tuple(one[1:_PHOTOS])) for one in spread)


def strangers_of(folder: Path, cast: Sequence[Person], number: int) -> tuple[Path, ...]:
    """Choose one photo each of `number` people, or of all that there are, who are not filmed."""
    filmed = {person.name for person in cast}
    others = [path for path in sorted(folder.iterdir()) if path.name not in filmed]
    return tuple(min(path.iterdir()) for path in others[:: max(1, len(others) // max(1, number))][:number])


@dataclass(frozen=True, slots=True)
class Filming:
    """The measures of made footage."""

    people: int = 40
    seconds: float = 120.0
    size: tuple[int, int] = (1920, 1080)  # width, height
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Recorder:
    """A way to record a scene."""

    name: str
    suffix: str
    times: Callable[[float], Iterator[Fraction]]  # of the frames, by the seconds of footage
    options: dict[str, Any] = field(default_factory=dict)  # of `encode`
    upright: bool = False  # whether it is a phone that is held upright


RECORDERS = (
    Recorder(
        "H.264, 25 frames/s",
        "mp4",
        lambda seconds: at_rate(Fraction(25), seconds),
        {"options": {"crf": "23", "preset": "ultrafast"}},
    ),
    Recorder(
        "H.265, 15 frames/s, low bit rate",
        "mkv",
        lambda seconds: at_rate(Fraction(15), seconds),
        {
            "codec": "libx265",
            "rate": Fraction(15),
            "options": {"crf": "33", "preset": "ultrafast", "x265-params": "log-level=none:pools=none"},
        },
    ),
    Recorder(
        "H.264, variable rate, turned, lowest bit rate",
        "mp4",
        variable,
        {"options": {"crf": "36", "preset": "ultrafast"}},
        upright=True,
    ),
)


def record(path: Path, scene: Scene, recorder: Recorder, seconds: float) -> Path:
    """Film a scene to a file."""
    pictures = ((time, scene.draw(float(time))) for time in recorder.times(seconds))
    if not recorder.upright:
        return encode(path, pictures, **recorder.options)
    return turned(encode(path, ((time, np.rot90(picture)) for time, picture in pictures), **recorder.options))


def busy_scene(cast: Sequence[Person], filming: Filming, seed: int) -> Scene:
    """Return a scene in which each person comes twice, with another photo, and others and two pillars cover them."""
    rng = np.random.default_rng([filming.seed, seed])
    order = [cast[place] for place in rng.permutation(len(cast))]
    visits = [(person, person.filmed[number % len(person.filmed)]) for number in range(2) for person in order]
    # A person comes again half of the time later, after more than the pause that ends a track.
    stay = min(_LONGEST_S, (filming.seconds - 5) / 3, max(_SHORTEST_S, _TOGETHER * filming.seconds / len(visits)))
    begins = np.linspace(0.0, max(0.0, filming.seconds - stay), len(visits))
    actors = [
        _visit(person.name, _head_of(photo), float(begin), stay, filming.size, rng)
        for (person, photo), begin in zip(visits, begins, strict=True)
    ]
    shuffled = [actors[place] for place in rng.permutation(len(actors))]
    return Scene([*shuffled, *_pillars(filming.size)], filming.size, texture(filming.size, seed), _camera(filming.size))


def quiet_scene(cast: Sequence[Person], size: tuple[int, int]) -> Scene:
    """Return a scene of three people who walk through a still picture: that of the bar of speed."""
    width, height = size
    paths: Sequence[Callable[[float], Place]] = (
        lambda now: (0.15 * width + 0.026 * width * now, 0.28 * height, width / 12),
        lambda now: (0.88 * width - 0.026 * width * now, 0.55 * height, width / 10),
        lambda now: (0.47 * width, 0.78 * height - 0.009 * height * now, width / 11),
    )
    actors = [Actor(one.name, _head_of(one.filmed[0]), path) for one, path in zip(cast, paths, strict=False)]
    return Scene(actors, size, texture(size))


def noisy(pictures: Iterator[tuple[Fraction, U8]], seed: int = 1) -> Iterator[tuple[Fraction, U8]]:
    """Add the noise of a sensor, of 4 grey levels: without it, a still picture costs a decoder nothing."""
    rng = np.random.default_rng(seed)
    noises: list[Any] = []
    for number, (time, picture) in enumerate(pictures):
        if len(noises) < 5:
            noise = rng.normal(0, 4, (*picture.shape[:2], 1)).astype(np.int16)
            noises.append(np.repeat(noise, 3, axis=2))
        yield time, cv2.add(picture, noises[number % len(noises)], dtype=cv2.CV_8U)  # ends at 0 and 255


def _head_of(photo: Path) -> U8:
    """Return the middle of a photo of LFW of 250 x 250 pixels, u8[200, 160, 3]: the head, without bystanders."""
    return np.asarray(PIL.Image.open(photo).convert("RGB"))[25:225, 45:205]


def _visit(name: str, face: U8, begin: float, stay: float, size: tuple[int, int], rng: np.random.Generator) -> Actor:
    """Return a face that crosses the picture, comes nearer, or wanders, now sharp and now blurred."""
    width, height = size
    wide, growth = rng.uniform(0.04, 0.08) * width, rng.uniform(0.0, 0.006) * width
    crosses = rng.random() < 0.5
    start, end = (-0.02, 1.02) if crosses else rng.uniform(0.12, 0.88, 2)
    if rng.random() < 0.5:
        start, end = end, start
    end = start + float(np.clip(end - start, -_FASTEST_PER_S * stay, _FASTEST_PER_S * stay))
    y, sway = rng.uniform(0.25, 0.75) * height, rng.uniform(0.0, 0.04) * height
    phase, blur, tilt, light = (
        rng.uniform(0, 6),
        rng.uniform(0, 0.0016) * width,
        rng.uniform(0, 12),
        rng.uniform(0, 0.3),
    )

    def place(time: float) -> Place | None:
        if not begin <= time < begin + stay:
            return None
        share = (time - begin) / stay
        return (start + (end - start) * share) * width, y + sway * sin(2 * time + phase), wide + growth * (time - begin)

    return Actor(
        name,
        face,
        place,
        lambda time: blur * (1 + sin(1.3 * time + phase)),
        tilt=lambda time: tilt * sin(1.1 * time + phase),
        light=lambda time: 1 + light * sin(0.7 * time + phase),
    )


def _pillars(size: tuple[int, int]) -> Iterator[Actor]:
    width, height = size
    for number, share in enumerate((0.35, 0.72)):
        bar = texture((width // 64, height // 3), seed=100 + number)
        yield Actor("", bar, lambda _, x=share * width: (x, height / 2, width / 16), round=False)  # type: ignore[misc]


def _camera(size: tuple[int, int]) -> Callable[[float], Place]:
    """Return a camera that pans and zooms slowly."""
    width, height = size
    return lambda time: (
        width * (0.5 + 0.03 * sin(0.5 * time)),
        height * (0.5 + 0.02 * sin(0.8 * time)),
        1.08 + 0.08 * sin(0.3 * time),
    )
