"""Runs `fr bench video`: follows made footage, or that of a data set, and searches photos with its tracks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial, reduce
from operator import add
from pathlib import Path

import numpy as np

from fr_bench.footage.against import Enrolled, against_photos
from fr_bench.footage.encode import encode
from fr_bench.footage.follow import Clip, Probes, follow_file, follow_photos
from fr_bench.footage.made import (
    RECORDERS,
    Filming,
    Person,
    busy_scene,
    cast_of,
    noisy,
    quiet_scene,
    record,
    strangers_of,
)
from fr_bench.footage.report import VideoReport
from fr_bench.footage.scene import at_rate
from fr_bench.speed.child import BenchFailed
from fr_bench.speed.conditions import PACKAGES, conditions
from fr_bench.speed.engine import opened_engine
from fr_bench.speed.values import EngineSettings
from fr_core.engine import Engine, photos_at_once
from fr_core.types import U8, Embedding, Image
from fr_datasets.values import VideoSet
from fr_evaluation.photos import Photos, most_central
from fr_locales.messages import message

OnStep = Callable[[str], None]

_VERSIONS = (*PACKAGES, "av")
_RATE = Fraction(25)
_QUIET_S = 20.0  # of the footage for the bar of speed, at most


@dataclass(frozen=True, slots=True)
class MadeOrder:
    """Footage to make, of people of a folder of LFW."""

    folder: Path
    filming: Filming
    strangers: int  # further people of the gallery
    tuning: bool = False  # whether to film the people who are for tuning


def bench_made(order: MadeOrder, settings: EngineSettings, on_step: OnStep) -> VideoReport:
    """Film people, follow them, and search photos of them and of strangers; `on_step` reports each step.

    Raises `BenchFailed`: too few people, a photo of one of them shows no face, or no track follows a person.
    """
    before, filming = conditions(_VERSIONS), order.filming
    rng = np.random.default_rng(filming.seed)
    clips: list[Clip] = []
    probes: list[Probes] = []
    with opened_engine(settings) as engine, tempfile.TemporaryDirectory(prefix="fr-bench-video-") as folder:
        cast = cast_of(order.folder, filming.people, tuning=order.tuning, fits=partial(shows_one_face, engine))
        gallery = _enrolled(engine, cast, strangers_of(order.folder, cast, order.strangers))
        on_step(f"{len(gallery.people)} people enrolled, {len(cast)} of them are filmed")
        for number, recorder in enumerate(RECORDERS):
            scene = busy_scene(cast, filming, number)
            path = record(Path(folder) / f"{number}.{recorder.suffix}", scene, recorder, filming.seconds)
            clip, found = follow_file(recorder.name, path, engine, scene.faces, rng)
            path.unlink()
            clips.append(clip)
            probes += found
            on_step(_told(clip))
        quiet = follow_quiet(engine, cast, filming, Path(folder), rng)
        on_step(_told(quiet))
        if not probes:
            raise BenchFailed(message("error.bench.too_few_tracks", name="LFW"))
        rows = against_photos(probes, gallery, engine.pack.thresholds.similarity)
        whose = "tuning" if order.tuning else "evaluation"
        name = f"made of {len(cast)} people for {whose}, {filming.seconds:g} s, {filming.size[0]} x {filming.size[1]}"
        return VideoReport(name, before, settings, engine.device, tuple(clips), quiet, len(gallery.people), rows)


def shows_one_face(engine: Engine, head: U8) -> bool:
    """Return True if a photo can be filmed: a bystander's face would be taken for another track of the person."""
    return len(engine.pipeline.detect_image(Image(head, "")).faces) == 1


def bench_set(found: VideoSet, settings: EngineSettings, on_step: OnStep) -> VideoReport:
    """Follow the people of a data set, and search a photo of each: a still, else the best shot of the first track.

    Raises `BenchFailed`: fewer than two people have a photo, or none of them has a track besides.
    """
    before, rng = conditions(_VERSIONS), np.random.default_rng(1)
    clips: list[Clip] = []
    probes: list[Probes] = []
    with opened_engine(settings) as engine:
        photos = _stills(engine, found)
        for number, video in enumerate(found.videos, 1):  # their names are often those of people
            name = f"video {number} of {len(found.videos)}"
            clip, tracks = follow_photos(name, video, found.rate, engine, rng)
            clips.append(clip)
            on_step(_told(clip))
            for one in tracks:
                if found.stills or one.person in photos:
                    probes.append(one)
                else:
                    photos[one.person] = one.best
        searched = [one for one in probes if one.person in photos]
        if len(photos) < 2 or not searched:
            raise BenchFailed(message("error.bench.too_few_tracks", name=found.name))
        gallery = Enrolled(tuple(photos), tuple(photos.values()))
        rows = against_photos(searched, gallery, engine.pack.thresholds.similarity)
        together = (_together(found.name, clips),)
        return VideoReport(found.name, before, settings, engine.device, together, None, len(photos), rows)


def _together(name: str, clips: Sequence[Clip]) -> Clip:
    """Return the sums of clips; the other load of each is left out."""
    seconds, frames, looked_at, wall_s, cpu_s = (
        sum(getattr(clip, of) for clip in clips) for of in ("seconds", "frames", "looked_at", "wall_s", "cpu_s")
    )
    figures = reduce(add, (clip.followed for clip in clips))
    return Clip(name, seconds, frames, looked_at, wall_s, cpu_s, None, figures)


def _enrolled(engine: Engine, cast: Sequence[Person], strangers: Sequence[Path]) -> Enrolled:
    """Return the faces of the cast, and of those strangers whose photo shows one."""
    photos = {person.enrolled: person.name for person in cast} | dict.fromkeys(strangers, "")
    found = _embeddings(engine, list(photos))
    for person in cast:
        if person.enrolled not in found:
            raise BenchFailed(message("error.bench.photo_without_face", path=person.enrolled))
    return Enrolled(tuple(photos[path] for path in found), tuple(found.values()))


def _stills(engine: Engine, videos: VideoSet) -> dict[str, Embedding]:
    """Return the face of the first still of each person that shows one."""
    found = _embeddings(engine, [path for paths in videos.stills.values() for path in paths])
    first = {who: next((found[path] for path in paths if path in found), None) for who, paths in videos.stills.items()}
    return {who: embedding for who, embedding in first.items() if embedding is not None}


def _embeddings(engine: Engine, paths: Sequence[Path]) -> dict[Path, Embedding]:
    """Return the most central face of each photo that shows one."""
    photos = Photos(engine.pipeline, photos_at_once(engine.device), lambda done, total: None).embed(paths)
    faces = {path: most_central(photo) for path, photo in photos.items()}
    return {path: face.embedding for path, face in faces.items() if face is not None}


def follow_quiet(
    engine: Engine, cast: Sequence[Person], filming: Filming, folder: Path, rng: np.random.Generator
) -> Clip:
    """Follow the three faces of the bar of speed, filmed at 25 frames a second and 4 Mbit/s.

    `cast`: three people or more; `folder`: where the footage is put.
    """
    scene, seconds = quiet_scene(cast, filming.size), min(_QUIET_S, filming.seconds)
    pictures = noisy((time, scene.draw(float(time))) for time in at_rate(_RATE, seconds))
    path = encode(folder / "quiet.mp4", pictures, options={"b": "4000000", "preset": "veryfast"})
    clip, _ = follow_file("three faces, H.264, 25 frames/s, 4 Mbit/s", path, engine, scene.faces, rng)
    return clip


def _told(clip: Clip) -> str:
    figures = clip.followed
    return (
        f"{clip.name}: {clip.frames} frames, {clip.frames_per_s:.1f} frames/s, "
        f"{figures.found} of {figures.appearances} appearances found, {figures.id_switches} ID switches"
    )
