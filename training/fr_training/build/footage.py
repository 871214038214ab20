"""Follows the people of labelled videos, and keeps of each track its template and the shots that a trial shows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import groupby

import numpy as np

from fr_core.errors import InputRefused
from fr_core.pipeline import Pipeline
from fr_core.types import F32
from fr_datasets.errors import read_photo
from fr_datasets.values import LabelledFrame, LabelledVideo, Person
from fr_evaluation.photos import in_threads
from fr_evaluation.verification.videos import frames_looked_at, labelled_face
from fr_training.bank.pool import PoolPhoto
from fr_training.build.pictures import looks_of
from fr_training.build.sources import UNUSABLE, PhotoSource
from fr_video.tracking import OpenTrack, look_of
from fr_video.values import Frame, Look, fitness

MOST_SHOTS = 12
"""Shots of a track in a trial: with the photo, their JPEG files fit into one message three times over."""

LEAST_SHOTS = 2  # below which a track shows no more than a photo

MOST_LOOKS = 36
"""Frames of a video that are analysed, at even distances: three for each shot; a long video of YouTube Faces has 6,070
frames, and a set 3,425 videos."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenTrack:
    """A track, or the best shot of a video, which stands for a photo, with the looks and the source of that shot."""

    photo: PoolPhoto
    best: PhotoSource
    sources: tuple[PhotoSource, ...] = ()  # of the shots of a track


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A frame to look at: `video` counts the videos of all people."""

    video: int
    time: Fraction  # seconds
    frame: LabelledFrame


@dataclass(frozen=True, slots=True, eq=False)
class _Shot:
    look: Look
    photo: PoolPhoto
    source: PhotoSource


def frames_of(people: Sequence[Person]) -> list[_Wanted]:
    """The frames of all videos that `tracks_of` analyses, in their order."""
    videos = [(video, person.rate) for person in people for video in person.videos]
    return [
        _Wanted(number, time, frame)
        for number, (video, rate) in enumerate(videos)
        for time, frame in _thinned(list(frames_looked_at(video, rate)))
    ]


def _thinned(frames: list[tuple[Fraction, LabelledFrame]]) -> list[tuple[Fraction, LabelledFrame]]:
    """All frames, or `MOST_LOOKS` of them at even distances."""
    places = np.linspace(0, len(frames) - 1, min(len(frames), MOST_LOOKS)).round().astype(int)
    return [frames[place] for place in places.tolist()]


def tracks_of(
    people: Sequence[Person], pipeline: Pipeline, workers: int, on_progress: Callable[[int, int], None]
) -> Iterator[list[SeenTrack]]:
    """Yield for each person what can be used of the videos, in their order.

    The labels choose the face of each frame, so that a track shows the person whom the set names. The first video of
    somebody without photos becomes a photo. A video without `LEAST_SHOTS` usable shots is left out.

    `on_progress` is called with frames done and all frames. Raises what `in_threads` does.
    """
    wanted = frames_of(people)
    with closing(in_threads(partial(_shot, pipeline), wanted, workers, on_progress)) as answers:
        by_video = groupby(zip(wanted, answers, strict=True), key=lambda pair: pair[0].video)
        for person in people:
            found = []
            for place, video in enumerate(person.videos):
                _, pairs = next(by_video)
                shots = [shot for _, shot in pairs if shot is not None]
                found += _kept(video, shots, as_photo=not person.photos and place == 0)
            yield found


def numbered_track(seen: SeenTrack, sources: dict[int, PhotoSource]) -> PoolPhoto:
    """Number a track and its shots, or a photo, and add where they lie to the sources of the photos so far."""
    first = len(sources)
    sources.update(enumerate((seen.best, *seen.sources), start=first))
    shots = (replace(shot, number=first + place) for place, shot in enumerate(seen.photo.shots, start=1))
    return replace(seen.photo, number=first, shots=tuple(shots))


def _shot(pipeline: Pipeline, one: _Wanted) -> _Shot | None:
    """The labelled face of a frame; None where the frame has no such face that can be used."""
    path = one.frame.photo
    try:
        photo = pipeline.analyze(read_photo(path, pipeline.image_limits.max_bytes))
    except InputRefused:
        return None
    face = labelled_face(one.frame.faces[0], photo.faces)
    if face is None or any(reason in face.face.quality.reasons for reason in UNUSABLE):
        return None
    number, sha256, pixels = one.frame.number, photo.image.sha256, photo.image.pixels
    landmarks: F32 = face.face.detection.landmarks
    looks, bare = looks_of(pixels, landmarks)
    quality = face.face.quality
    seen = PoolPhoto(0, sha256, face.embedding.vector, quality.yaw, quality.score, looks=looks, bare=bare)
    look = look_of(Frame(number, number, one.time, 0, pixels, sha256), face)
    return _Shot(look, seen, PhotoSource(path, sha256, landmarks))


def _kept(video: LabelledVideo, shots: Sequence[_Shot], *, as_photo: bool) -> list[SeenTrack]:
    """The track of a video, or its best shot."""
    if len(shots) < LEAST_SHOTS:
        return []
    best = max(shots, key=lambda shot: fitness(shot.look))
    if as_photo:
        return [SeenTrack(replace(best.photo, session=video.name), best.source)]
    track = OpenTrack(shots[0].look)
    for shot in shots[1:]:
        track.add(shot.look)
    parts = np.array_split(np.arange(len(shots)), min(len(shots), MOST_SHOTS))
    chosen = [max((shots[n] for n in part.tolist()), key=lambda shot: fitness(shot.look)) for part in parts]
    began = chosen[0].look.at.time
    shown = tuple(
        replace(shot.photo, at_ms=round((shot.look.at.time - began) * 1000), looks=None, bare=None) for shot in chosen
    )
    template = track.closed(1).template.vector
    photo = replace(best.photo, sha256=_id_of(video, shots), embedding=template, session=video.name, shots=shown)
    return [SeenTrack(photo, best.source, tuple(shot.source for shot in chosen))]


def _id_of(video: LabelledVideo, shots: Sequence[_Shot]) -> str:
    """SHA-256 of the files of a track and of where its labels are: another face of the same frames has another one."""
    labels = {frame.photo: frame.faces[0] for frame in video.frames}
    told = "\n".join(
        f"{shot.source.sha256} {labels[shot.source.path].x:g} {labels[shot.source.path].y:g}" for shot in shots
    )
    return hashlib.sha256(told.encode()).hexdigest()
