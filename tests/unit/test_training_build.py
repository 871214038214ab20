"""Courses built of data sets: known label errors out, faces that nobody can compare out, each with a count."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from fr_core.errors import CallEnded, InvalidField
from fr_core.imaging import ImageLimits, decode
from fr_core.runtime.ticket import Ticket, hold
from fr_datasets.errors import DatasetError, DatasetUnreadable
from fr_datasets.lfw import read_people
from fr_datasets.values import Person
from fr_training.build.course import BuiltCourse, Progress
from fr_training.build.people import (
    LABEL_ERROR,
    NO_PHOTO_LEFT,
    SAME_PHOTO,
    TWO_PEOPLE,
    AnalysedPeople,
    LabelErrors,
    NamedPeople,
    analyse_people,
    identities_of,
    label_errors,
    read_datasets,
    read_named_people,
    require_different_people,
)
from fr_training.errors import TooFewPeople
from fr_training.keys import LessonKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.plan import CoursePlan
from fr_training.plan_reading import read_plan
from fr_training.shipped_plans import plan_text
from support import photos as squares
from support.cli import fr
from support.people import COURSE_ID, built_course

OnProgress = Callable[[Progress, int, int], None]

STEP = 6  # between the blues of two people
PEOPLE = 38


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> NamedPeople:
    """38 people, of whom three have two photos, as the demo has them."""
    root = tmp_path_factory.mktemp("people")
    found = tuple(
        Person(f"p{n}", tuple(square(root / f"p{n}" / f"{k}.png", STEP * n, k) for k in range(2 if n < 3 else 1)))
        for n in range(PEOPLE)
    )
    return NamedPeople("people_folder", "terms of the folder", found)


@pytest.fixture
def ticket() -> Iterator[Ticket]:
    own = Ticket(bulk=True)
    hold(own)
    yield own
    hold(Ticket())


def demo() -> CoursePlan:
    """The plan of the demo, in colour: that is what tells these people apart."""
    return replace(read_plan(plan_text("demo")), colour=True)


def built(
    people: NamedPeople, plan: CoursePlan | None = None, progress: OnProgress = lambda stage, done, total: None
) -> BuiltCourse:
    return built_course(plan or demo(), people, squares.engine(), on_progress=progress)


@pytest.fixture(scope="module")
def course(people: NamedPeople) -> BuiltCourse:
    return built(people)


def who(picture: bytes) -> int:
    pixels = decode(picture, ImageLimits()).pixels
    blue = float(pixels[200:280, 216:296, 2].mean())
    assert abs(blue / STEP - round(blue / STEP)) < 0.4
    return round(blue / STEP)


def test_a_course_tells_what_it_was_made_of_and_names_nobody(course: BuiltCourse, people: NamedPeople) -> None:
    made = course.course
    assert (made.course_id, made.created_ms, made.seed, made.gallery_id) == (COURSE_ID, 0, 1, "gallery")
    assert (made.datasets, made.terms) == (("people_folder",), ("terms of the folder",))
    assert made.model == squares.engine().pipeline.model
    assert set(made.forms) == {"pairs", "odd-one-out", "lists", "aided", "triage", "own-probe", "lesson-matcher"}
    assert made.excluded == {}
    told = repr(course.course)
    assert re.search(r"\bp\d", told) is None
    assert ".png" not in told
    assert str(people.people[0].photos[0].parent) not in told


def test_pictures_show_whom_the_keys_say(course: BuiltCourse) -> None:
    kinds = set()
    for form in course.course.forms.values():
        for item in form.items:
            faces = [] if isinstance(item.key, TriageKey) else [who(course.pictures[number]) for number in item.photos]
            kinds.add(type(item.key))
            match item.key:
                case PairKey():
                    assert (faces[0] == faces[1]) is item.key.mated
                case TriadKey():
                    mated = [face for number, face in enumerate(faces) if number != item.key.odd]
                    assert mated[0] == mated[1] != faces[item.key.odd]
                case ListKey():
                    probe, *candidates = faces
                    assert [n for n, face in enumerate(candidates) if face == probe] == (
                        [] if item.key.mate is None else [item.key.mate]
                    )
    assert kinds == {PairKey, TriadKey, ListKey, TriageKey, LessonKey, type(None)}


def test_the_gallery_shows_each_person_and_keys_say_who_a_photo_shows(course: BuiltCourse, people: NamedPeople) -> None:
    assert course.gallery
    for number, picture in course.gallery.items():
        assert course.identities[f"p{who(course.pictures[picture])}"] == number
    keys = 0
    for person in people.people:
        number = course.identities[person.identity]
        assert course.identities[f"people_folder:{person.identity}"] == number
        for path in person.photos:
            found = course.probe_keys[decode(path.read_bytes(), ImageLimits()).sha256]
            assert found == (number if number in course.gallery else None)
            keys += 1
    assert len(course.probe_keys) == keys
    assert None in course.probe_keys.values()


def test_the_mask_and_the_colour_of_the_plan_count(course: BuiltCourse, people: NamedPeople) -> None:
    bare = built(people, replace(read_plan(plan_text("demo")), mask="none"))
    number = course.course.forms["pairs"].items[0].photos[0]
    masked, grey = (decode(one.pictures[number], ImageLimits()).pixels.astype(int) for one in (course, bare))
    assert np.abs(masked[:8, :8] - 128).max() <= 2  # grey around the oval
    assert np.abs(grey[:8, :8] - 128).max() > 100  # what the photo has there
    assert np.ptp(grey, axis=2).max() <= 2 < np.ptp(masked, axis=2).max()


def test_too_few_people_are_refused_before_any_photo_is_opened_or_after(people: NamedPeople, tmp_path: Path) -> None:
    absent = NamedPeople("london", "", tuple(Person(f"{n}", (tmp_path / f"{n}.jpg",)) for n in range(31)))
    squares.face(tmp_path / "nobody.png", None)
    blank = tuple(Person(f"blank{n}", (tmp_path / "nobody.png",)) for n in range(10))
    without_faces = replace(people, people=(*people.people[:21], *blank))
    for few, missing in ((absent, "3"), (without_faces, "4")):  # with two photos; with a face
        with pytest.raises(TooFewPeople) as refused:
            built(few)
        assert refused.value.metadata["missing"] == missing


def test_progress_is_told_stage_by_stage_from_none_to_all(people: NamedPeople) -> None:
    steps: list[tuple[Progress, int, int]] = []
    made = built(people, progress=lambda *step: steps.append(step))
    photos = sum(len(person.photos) for person in people.people)
    pictures = len(made.pictures)
    assert steps == [
        *(("photos", done, photos) for done in range(photos + 1)),
        ("forms", 0, 1),
        ("forms", 1, 1),
        *(("pictures", done, pictures) for done in range(pictures + 1)),
    ]


@pytest.mark.parametrize("at", [("photos", 5), ("forms", 0), ("forms", 1), ("pictures", 2)])
def test_a_call_that_is_cancelled_ends_at_any_stage(people: NamedPeople, ticket: Ticket, at: tuple[str, int]) -> None:
    steps: list[tuple[str, int]] = []

    def cancel(stage: Progress, done: int, total: int) -> None:
        steps.append((stage, done))
        if (stage, done) == at:
            ticket.cancel()

    with pytest.raises(CallEnded):
        built(people, progress=cancel)
    order = ["photos", "forms", "pictures"]
    assert order.index(steps[-1][0]) <= order.index(at[0])


def test_a_photo_that_changes_meanwhile_is_not_shown(people: NamedPeople, tmp_path: Path) -> None:
    copies = tuple(
        Person(
            one.identity,
            tuple(square(tmp_path / one.identity / path.name, STEP * n, int(path.stem)) for path in one.photos),
        )
        for n, one in enumerate(people.people)
    )

    def change(stage: Progress, done: int, total: int) -> None:
        if stage == "forms" and done == 1:
            for one in copies:
                for path in one.photos:
                    squares.face(path, 255)

    with pytest.raises(DatasetUnreadable, match="has changed"):
        built(replace(people, people=copies), progress=change)


def square(path: Path, blue: int | None, number: int = 0, side: int = 100) -> Path:
    """A photo of the person of that colour; photos of other numbers are other files of the same face."""
    pixels = np.zeros((200, 300, 3), dtype=np.uint8)
    pixels[0, 0] = (0, 1, number)
    if blue is not None:
        pixels[50 : 50 + side, 100 : 100 + side] = (255, 0, blue)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path, format="PNG")
    return path


def person(root: Path, name: str, *photos: tuple[int | None, int]) -> Person:
    paths = [square(root / name / f"{name}_{n:04}.png", *photo) for n, photo in enumerate(photos, start=1)]
    return Person(name, tuple(paths))


def gathered(*datasets: NamedPeople, progress: list[tuple[int, int]] | None = None) -> AnalysedPeople:
    steps = [] if progress is None else progress
    return analyse_people(datasets, squares.engine(), 2, lambda done, total: steps.append((done, total)))


def named(*people: Person, name: str = "people_folder") -> NamedPeople:
    return NamedPeople(name, "terms", people)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "at least one"),
        (["london", "london"], "twice"),
        (["lfw", "london", "lfw_funneled"], "same people"),
        (["youtube_faces", "lfw"], "same people"),
    ],
)
def test_no_person_may_come_from_two_data_sets(names: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidField, match=said):
        require_different_people(names)
    with pytest.raises(InvalidField, match=said):  # before any folder is looked into
        read_datasets([(name, tmp_path / "absent") for name in names])


def lfw(root: Path, **photos: int) -> Path:
    lines = [str(len(photos)), *(f"{name}\t{count}" for name, count in photos.items())]
    (root / "people.txt").write_text("\n".join(["1", *lines]) + "\n")
    for name, count in photos.items():
        for number in range(1, count + 1):
            (root / "images" / name).mkdir(parents=True, exist_ok=True)
            (root / "images" / name / f"{name}_{number:04}.jpg").write_bytes(b"photo")
    return root


@pytest.mark.parametrize("name", ["lfw", "lfw_funneled", "lfw_original"])
def test_known_label_errors_of_lfw_are_left_out_and_counted(name: str, tmp_path: Path) -> None:
    root = lfw(tmp_path, Jim_OBrien=3, Nan_Wang=2, Wang_Nan=1, Debra_Messing=2, Claire_Hentzen=2)
    read = read_named_people(name, root)
    left = {one.identity: [photo.stem for photo in one.photos] for one in read.people}
    assert left == {
        "Jim_OBrien": ["Jim_OBrien_0002", "Jim_OBrien_0003"],
        "Wang_Nan": ["Wang_Nan_0001"],
        "Debra_Messing": ["Debra_Messing_0001"],
    }
    assert (read.name, read.label_errors, bool(read.terms)) == (name, 6, True)


def test_a_data_set_of_label_errors_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="known to be wrong"):
        read_named_people("lfw", lfw(tmp_path, Claire_Hentzen=2))


def test_label_errors_name_photos_that_there_are(testdata: Path) -> None:
    """Those of the part of LFW that lies with the test data; a name that is misspelt would leave nothing out."""
    wrong = label_errors("lfw")
    assert len(wrong.photos) == 21
    assert label_errors("london") == label_errors("people_folder") == LabelErrors()
    errata = (testdata / "lfw" / "ERRATA.txt").read_text(encoding="utf-8")
    people = read_people(testdata / "lfw" / "people.txt", testdata / "lfw" / "images")
    stems = {photo.stem for one in people for photo in one.photos}
    identities = {one.identity for one in people}
    assert all(stem in errata or stem.rpartition("_")[0] in errata for stem in wrong.photos)
    assert all(name in errata for name in wrong.people)
    assert wrong.photos & stems
    for stem in wrong.photos:  # where the person is there, the photo is
        assert stem in stems or stem.rpartition("_")[0] not in identities


def test_people_and_photos_are_numbered_and_analysed_once(tmp_path: Path) -> None:
    ann, bob = person(tmp_path, "ann", (1, 0), (1, 1)), person(tmp_path, "bob", (2, 0))
    progress: list[tuple[int, int]] = []
    made = gathered(named(ann, bob), progress=progress)
    assert [one.number for one in made.pool.people] == [0, 1]
    assert [photo.number for one in made.pool.people for photo in one.photos] == [0, 1, 2]
    assert {one.source for one in made.pool.people} == {"people_folder"}
    assert made.numbers == {("people_folder", "ann"): 0, ("people_folder", "bob"): 1}
    assert made.excluded == {}
    assert progress == [(0, 3), (1, 3), (2, 3), (3, 3)]
    for one in made.pool.people:
        for photo in one.photos:
            source = made.sources[photo.number]
            assert source.sha256 == photo.sha256 == hashlib.sha256(source.path.read_bytes()).hexdigest()
    first, second = made.pool.people[0].photos
    np.testing.assert_array_equal(first.embedding, second.embedding)
    assert abs(float(first.embedding @ made.pool.people[1].photos[0].embedding)) < 0.9


def test_what_nobody_can_compare_is_left_out_by_its_reason(tmp_path: Path) -> None:
    ann = person(tmp_path, "ann", (1, 0), (None, 0))
    small = Person("small", (square(tmp_path / "small.png", 9, side=40),))
    (tmp_path / "broken.png").write_bytes(b"no photo")
    broken = Person("broken", (tmp_path / "broken.png", square(tmp_path / "well.png", 5)))
    made = gathered(NamedPeople("people_folder", "terms", (ann, small, broken), label_errors=4))
    assert made.excluded == {LABEL_ERROR: 4, "NO_FACE": 1, "TOO_SMALL": 1, "UNDECODABLE": 1, NO_PHOTO_LEFT: 1}
    assert made.numbers == {("people_folder", "ann"): 0, ("people_folder", "broken"): 1}
    assert [len(one.photos) for one in made.pool.people] == [1, 1]


def test_photos_that_come_twice_or_have_gone(tmp_path: Path) -> None:
    ann, bob = person(tmp_path, "ann", (1, 0), (1, 1)), person(tmp_path, "bob", (1, 1), (2, 0))
    other = person(tmp_path / "other", "cat", (2, 0), (3, 0))
    made = gathered(named(ann, bob), named(other, name="london"))
    assert made.excluded == {TWO_PEOPLE: 4, NO_PHOTO_LEFT: 1}
    assert made.numbers == {("people_folder", "ann"): 0, ("london", "cat"): 1}
    made = gathered(named(person(tmp_path, "ann", (1, 0), (1, 0), (1, 1)), person(tmp_path, "bob", (2, 0))))
    assert made.excluded == {SAME_PHOTO: 1}
    assert [len(one.photos) for one in made.pool.people] == [2, 1]
    ann = person(tmp_path, "ann", (1, 0))
    ann.photos[0].unlink()
    with pytest.raises(DatasetUnreadable):
        gathered(named(ann))


def test_identities_are_told_apart_by_their_data_sets_and_alone_where_that_is_clear() -> None:
    assert identities_of({("a", "001"): 0, ("b", "001"): 1, ("b", "ann"): 2}) == {
        "a:001": 0,
        "b:001": 1,
        "b:ann": 2,
        "ann": 2,
    }


def test_a_check_without_a_server_ends_where_the_plan_or_the_photos_are_not_there(tmp_path: Path) -> None:
    plan = tmp_path / "broken.toml"
    plan.write_text("format = 2\n")
    for name, dataset, reason in (
        ("three-days", "lfw", "UNKNOWN_PLAN"),
        (plan, "lfw", "PLAN_INVALID"),
        ("demo", "lfv", "DATASET_UNKNOWN"),
        ("demo", "lfw", "DATASET_NOT_LINKED"),
    ):
        code, out, error = fr("train", "check", name, "--dataset", dataset, FR_HOME=str(tmp_path))
        assert (code, out) == (2, "")
        assert error.startswith(reason), error
