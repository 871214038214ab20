"""Redaction of footage with real faces: no frame of the copy shows one that is not kept."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from fr_core.engine import Engine, EngineOptions, open_engine
from fr_core.packs.cache import ModelCache
from fr_core.packs.manifest import load_pack
from fr_core.types import Image
from fr_video.analysis import analyze
from fr_video.leads import to_json
from fr_video.reading import VideoFile
from fr_video.redaction import MIN_SCORE, read_kept, redact, sensitive
from fr_video.values import EVERY_FRAME, Frame, Sampling
from support.counts import NIGHTLY, count
from support.footage import Actor, Place, Scene, actors_of, at_rate, film, texture

pytestmark = [pytest.mark.models, pytest.mark.slow]

SIZE = (640, 360)
SECONDS = 2.0
RATE = Fraction(25 if NIGHTLY else 12)  # frames per second
IN_SCENE = 3


@pytest.fixture(scope="module")
def engine(pack_cache: ModelCache) -> Iterator[Engine]:
    options = EngineOptions(device="cpu", detection="fast")
    opened = open_engine(sensitive(load_pack("buffalo_s")), pack_cache, options)
    yield opened
    opened.close()


def scenes(testdata: Path) -> Iterator[Scene]:
    """Yield scenes of three people who cross each other, come nearer and blur; the second hides for half a second."""
    folders = sorted((testdata / "lfw" / "images").iterdir())
    number = count("REDACTION_SCENES")
    chosen = folders[:: len(folders) // (number * IN_SCENE)]
    for seed in range(number):
        rng = np.random.default_rng(seed)
        actors = []
        for number_in_scene, folder in enumerate(chosen[seed * IN_SCENE : (seed + 1) * IN_SCENE]):
            shown = np.asarray(PIL.Image.open(min(folder.iterdir())).convert("RGB"))[25:225, 45:205]
            x, towards = rng.uniform(100, SIZE[0] - 100, 2)
            y, width, blur = rng.uniform(110, SIZE[1] - 110), rng.uniform(50, 90), rng.uniform(0.5, 3.0)

            place = path_of(x, towards, y, width, hides=number_in_scene == 1)
            actors.append(Actor(folder.name, shown, place, blurred(blur)))
        yield Scene(actors, SIZE, texture(SIZE, seed))


def path_of(x: float, towards: float, y: float, width: float, *, hides: bool) -> Callable[[float], Place | None]:
    def at(time: float) -> Place | None:
        if hides and 0.8 <= time < 1.3:
            return None
        return x + (towards - x) * time / SECONDS, y, width + 8 * time

    return at


def blurred(most: float) -> Callable[[float], float]:
    return lambda time: most * abs(float(np.sin(time * 3)))


def frames_of(path: Path) -> Iterator[Frame]:
    with VideoFile(path) as video, video.sampled(EVERY_FRAME) as reading:
        yield from reading


def test_no_frame_shows_a_face_that_is_not_kept(tmp_path: Path, testdata: Path, engine: Engine) -> None:
    before = after = kept_faces = made = strangers = 0
    for number, scene in enumerate(scenes(testdata)):
        path, out = tmp_path / f"{number}.mp4", tmp_path / f"{number}.webm"
        film(path, scene, at_rate(RATE, SECONDS), options={"crf": "24", "preset": "ultrafast"})
        with VideoFile(path) as video:
            footage = analyze(video, engine, Sampling())
            longest = max(footage.tracks, key=lambda track: len(track.sightings))
            (actor,) = actors_of(scene, longest)
            done = redact(video, engine, read_kept(to_json(footage, None), [longest.number], video.sha256), out)
        kept_faces, made = kept_faces + done.visible, made + done.rounds
        before += sum(len(engine.pipeline.detect_image(Image(one.pixels, "")).faces) for one in frames_of(path))
        for frame in frames_of(out):
            left, top, right, bottom = scene.boxes(float(frame.time))[actor]
            for face in engine.pipeline.detect_image(Image(frame.pixels, "")).faces:
                after += 1
                x, y = (face.detection.box[:2] + face.detection.box[2:]) / 2
                strangers += not (left <= x <= right and top <= y <= bottom)
    print(  # noqa: T201 - the figures
        f"\nRedaction of {count('REDACTION_SCENES')} scenes at a score of {MIN_SCORE}: {before} faces before, {after} "
        f"after, {kept_faces} of them of kept tracks, {strangers} elsewhere; {made} copies made"
    )
    assert strangers == 0
    assert after == kept_faces > 0.15 * before  # one of three people stays visible, where no other covers them
