"""Follows the people of footage, and keeps what a search with each track needs."""

from __future__ import annotations

import hashlib
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from fr_bench.footage.truth import Followed, Truth, followed, people_of
from fr_bench.speed.rounds import OtherLoad
from fr_core.engine import Engine
from fr_core.pipeline import Pipeline
from fr_core.types import EmbeddedFace, Embedding, frozen_array
from fr_datasets.errors import read_photo
from fr_datasets.values import LabelledFace, LabelledVideo
from fr_video.analysis import worked
from fr_video.reading import VideoFile
from fr_video.tracking import Tracker, appearance_of
from fr_video.values import Frame, Sampling


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """The templates of a track with which a gallery can be searched."""

    person: str  # whom most of its sightings show
    looks: int  # independent ones
    random: Embedding  # of a sighting drawn at random: like a photo that was taken from the footage at will
    best: Embedding  # of the best shot
    mean: Embedding  # `Track.template`


@dataclass(frozen=True, slots=True)
class Clip:
    """Footage that was followed, and its cost."""

    name: str
    seconds: float  # of footage
    frames: int  # decoded; of folders of photos, those that were looked at
    looked_at: int
    wall_s: float
    cpu_s: float  # of this process and of the decoder
    other_load: float | None  # share of the processors' time that other processes used
    followed: Followed

    @property
    def frames_per_s(self) -> float:
        """Return frames per second of the clock."""
        return self.frames / self.wall_s

    @property
    def frames_per_core_s(self) -> float:
        """Return frames per second of a processor: how many one core would do."""
        return self.frames / self.cpu_s

    @property
    def times_real_time(self) -> float:
        """Return seconds of footage for each second of the clock."""
        return self.seconds / self.wall_s


def follow_file(
    name: str,
    path: Path,
    engine: Engine,
    faces_at: Callable[[float], Sequence[LabelledFace]],
    rng: np.random.Generator,
) -> tuple[Clip, list[Probes]]:
    """Follow the people of a video file, as `fr video` does; `faces_at` returns its faces at a time in seconds."""
    load, begun, cost = OtherLoad(), time.monotonic(), processor_s()
    with VideoFile(path) as video, video.sampled(Sampling()) as reading:
        found = _Following(engine, lambda frame: faces_at(float(frame.time)), reading)
    assert reading.ending is not None  # its frames are exhausted
    wall_s, cpu_s, other = time.monotonic() - begun, processor_s() - cost, load.share()
    rate = reading.facts.average_rate or Fraction(25)
    seconds = float((reading.ending.read_until or Fraction(0)) + 1 / rate)
    figures = followed(found.truth, found.tracker.tracks())
    clip = Clip(name, seconds, reading.ending.decoded, len(found.truth), wall_s, cpu_s, other, figures)
    return clip, list(found.probes(rng))


def follow_photos(
    name: str, video: LabelledVideo, rate: int, engine: Engine, rng: np.random.Generator
) -> tuple[Clip, list[Probes]]:
    """Follow the people of a folder of frames, at `rate` frames a second, of which `Sampling` takes some."""
    load, begun, cost = OtherLoad(), time.monotonic(), processor_s()
    labels = {frame.number: frame.faces for frame in video.frames}
    found = _Following(engine, lambda frame: labels[frame.number], _frames(video, rate, engine.pipeline))
    wall_s, cpu_s, other = time.monotonic() - begun, processor_s() - cost, load.share()
    seconds = (video.frames[-1].number - video.frames[0].number + 1) / rate
    figures = followed(found.truth, found.tracker.tracks())
    clip = Clip(name, seconds, len(found.truth), len(found.truth), wall_s, cpu_s, other, figures)
    return clip, list(found.probes(rng))


def processor_s() -> float:
    """Return processor time so far, of this process and its children that have ended, user and system, in seconds."""
    spent = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in spent)


class _Following:
    """Tracks of frames, with the labelled and the detected faces of each frame."""

    def __init__(
        self, engine: Engine, faces_of: Callable[[Frame], Sequence[LabelledFace]], frames: Iterable[Frame]
    ) -> None:
        self.tracker = Tracker(appearance_of(engine.calibration))
        self._faces: dict[Fraction, Sequence[EmbeddedFace]] = {}
        truth: dict[Fraction, Sequence[LabelledFace]] = {}
        for frame, photo in worked(frames, engine.pipeline.analyze_image):
            self.tracker.add(frame, photo.faces)
            truth[frame.time], self._faces[frame.time] = faces_of(frame), photo.faces
        self.truth: Truth = truth

    def probes(self, rng: np.random.Generator) -> Iterator[Probes]:
        """Yield the probes of each track that follows a labelled person."""
        for track in self.tracker.tracks():
            people = people_of(self.truth, track)
            drawn = track.sightings[rng.integers(len(track.sightings))]
            if people:
                shown = next(
                    face
                    for face in self._faces[drawn.time]
                    if tuple(float(side) for side in face.face.detection.box) == drawn.box
                )
                person = people.most_common(1)[0][0]
                yield Probes(person, track.independent_looks, shown.embedding, track.best.embedding, track.template)


def _frames(video: LabelledVideo, rate: int, pipeline: Pipeline) -> Iterator[Frame]:
    """Yield frames as often as footage that moves is looked at."""
    interval = Sampling().motion_interval
    last: Fraction | None = None
    for one in video.frames:
        at = Fraction(one.number, rate)
        if last is None or at - last >= interval:
            last = at
            image = pipeline.decode(read_photo(one.photo, pipeline.image_limits.max_bytes))
            digest = hashlib.sha256(image.pixels.tobytes()).hexdigest()
            yield Frame(one.number, one.number, at, 0, frozen_array(image.pixels), digest)
