"""Footage of real faces: a track and a photo of one person are alike, and every shot shows the face in its place."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from fr_core.engine import Engine
from fr_evaluation.photos import EmbeddedPhoto, most_central
from fr_training.build.course import BuiltCourse
from fr_training.build.people import read_named_people
from fr_training.keys import PairKey
from support.cli import fr
from support.people import built_course, plan_of

pytestmark = pytest.mark.models

PEOPLE, FRAMES = 6, 6
SIDE = 250  # pixels of a photo of LFW, with the face in the middle


def filmed(root: Path, photos: Path) -> Path:
    """Film photos of people as YouTube Faces is laid out: a face moves, and the light changes."""
    folder = root / "frame_images_DB"
    known = [one for one in sorted(photos.iterdir()) if len([*one.iterdir()]) >= 3][:PEOPLE]
    for person in known:
        lines = []
        for video, photo in enumerate(sorted(person.iterdir())[:3]):
            for number in range(FRAMES):
                moved = 2 * number, number
                path = folder / person.name / str(video) / f"{video}.{1 + 6 * number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                with Image.open(photo) as still:
                    light = ImageEnhance.Brightness(still.convert("RGB")).enhance(0.8 + 0.06 * number)
                frame = Image.new("RGB", (SIDE + 50, SIDE + 50))
                frame.paste(light, moved)
                frame.save(path, quality=90)
                x, y = (SIDE // 2 + one for one in moved)
                lines.append(f"{person.name}\\{video}\\{path.name},0,{x},{y},90,90,0.0,1\n")
        (folder / f"{person.name}.labeled_faces.txt").write_text("".join(lines), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, testdata: Path) -> Path:
    return filmed(tmp_path_factory.mktemp("filmed"), testdata / "lfw" / "images")


@pytest.fixture(scope="module")
def course(root: Path, default_engine: Engine) -> BuiltCourse:
    plan = plan_of('id = "footage"; exercise = "footage"; same = 2; different = 2')
    return built_course(plan, read_named_people("youtube_faces", root), default_engine)


def seen(engine: Engine, pictures: Sequence[bytes]) -> list[tuple[np.ndarray, np.ndarray]]:
    found = []
    for picture in pictures:
        photo = engine.pipeline.analyze(picture)
        face = most_central(EmbeddedPhoto((photo.image.width, photo.image.height), photo.faces))
        assert face is not None
        found.append((face.embedding.vector, face.face.detection.landmarks))
    return found


def test_keys_and_similarities_are_those_of_the_faces_that_are_shown(
    course: BuiltCourse, default_engine: Engine
) -> None:
    by_truth: dict[bool, list[float]] = {True: [], False: []}
    for item in course.course.forms["footage"].items:
        assert isinstance(item.key, PairKey)
        assert len(item.times) == FRAMES
        faces = seen(default_engine, [course.pictures[number] for number in item.photos])
        eyes = np.stack([landmarks[:2] for _, landmarks in faces])
        assert np.abs(eyes - np.median(eyes, axis=0)).max() < 12  # of 512 pixels: always at one place
        photo, *shots = (vector for vector, _ in faces)
        mean = np.sum(shots, axis=0)
        shown = float(photo @ mean / np.linalg.norm(mean))
        assert shown == pytest.approx(item.key.similarity, abs=0.12)
        assert all(float(one @ shots[0]) > 0.6 for one in shots)  # a track is of one person
        by_truth[item.key.mated].append(item.key.similarity)
    assert min(by_truth[True]) > max(by_truth[False])


@pytest.mark.usefixtures("remembering")
def test_a_plan_with_footage_is_checked_on_this_machine(root: Path, tmp_path: Path) -> None:
    plan = tmp_path / "footage.toml"
    plan.write_text(
        'format = 1\ntitle = "Footage"\nclaims = false\n[[sittings]]\nname = "one"\n'
        'blocks = [{id = "seen", exercise = "footage", same = 2, different = 2}]\n'
    )
    code, out, error = fr("train", "check", plan, "--dataset", "youtube_faces", "--root", root)
    assert (code, error) == (0, "")
    assert f"{PEOPLE * 3 * FRAMES} photos, analysed once" in out
    assert "0 people, 0 of them with two photos, and 6 others with a photo and a track" in out
    assert "2 + 2" in out
