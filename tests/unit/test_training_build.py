"""Courses from data sets to pictures: coloured squares are faces, so that a picture tells whom it really shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from fr_core.errors import CallEnded
from fr_core.imaging import ImageLimits, decode
from fr_core.runtime.ticket import Ticket, hold
from fr_datasets.errors import DatasetUnreadable
from fr_datasets.values import Person
from fr_training.answers import Usability
from fr_training.build.course import BuiltCourse, Progress, build_course
from fr_training.build.people import NamedPeople
from fr_training.errors import TooFewPeople
from fr_training.keys import ListKey, PairKey, TriadKey, TriageKey
from fr_training.plan import CoursePlan, read_plan
from fr_training.shipped_plans import plan_text
from support import photos as squares
from support.people import ExactMatcher

OnProgress = Callable[[Progress, int, int], None]

STEP = 6  # between the blues of two people
PEOPLE = 38
COURSE_ID, NOW_MS = "0123456789abcdef", 1_770_000_000_000


def photo(path: Path, blue: int, number: int) -> Path:
    """A photo of the person of that colour; photos of other numbers are other files of the same face."""
    pixels = np.zeros((200, 300, 3), dtype=np.uint8)
    pixels[0, 0] = (0, 1, number)
    pixels[50:150, 100:200] = (255, 0, blue)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path, format="PNG")
    return path


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> NamedPeople:
    """38 people, of whom three have two photos, as the demo has them."""
    root = tmp_path_factory.mktemp("people")
    found = tuple(
        Person(f"p{n}", tuple(photo(root / f"p{n}" / f"{k}.png", STEP * n, k) for k in range(2 if n < 3 else 1)))
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
    people: NamedPeople,
    plan: CoursePlan | None = None,
    seed: int = 1,
    progress: OnProgress | None = None,
    workers: int = 2,
) -> BuiltCourse:
    return build_course(
        plan or demo(),
        [people],
        squares.engine(),
        ExactMatcher(),
        seed=seed,
        workers=workers,
        course_id=COURSE_ID,
        gallery_id="gallery",
        now_ms=NOW_MS,
        on_progress=progress or (lambda stage, done, total: None),
    )


@pytest.fixture(scope="module")
def course(people: NamedPeople) -> BuiltCourse:
    return built(people)


def who(picture: bytes) -> int:
    """The number of the person whose colour a picture shows."""
    pixels = decode(picture, ImageLimits()).pixels
    blue = float(pixels[100:160, 100:160, 2].mean())
    assert abs(blue / STEP - round(blue / STEP)) < 0.4
    return round(blue / STEP)


def shown(course: BuiltCourse, photos: tuple[int, ...]) -> list[int]:
    return [who(course.pictures[number]) for number in photos]


def test_a_course_tells_what_it_was_made_of(course: BuiltCourse) -> None:
    made = course.course
    assert (made.course_id, made.created_ms, made.seed, made.gallery_id) == (COURSE_ID, NOW_MS, 1, "gallery")
    assert (made.datasets, made.terms) == (("people_folder",), ("terms of the folder",))
    assert made.model == squares.engine().pipeline.model
    assert set(made.forms) == {"pairs", "odd-one-out", "lists", "aided", "triage", "own-probe"}
    assert made.excluded == {}


def test_pictures_show_whom_the_keys_say(course: BuiltCourse) -> None:
    kinds = set()
    for form in course.course.forms.values():
        for item in form.items:
            faces = [] if isinstance(item.key, TriageKey) else shown(course, item.photos)
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
    assert kinds == {PairKey, TriadKey, ListKey, TriageKey, type(None)}


def test_nobody_is_shown_in_two_items_and_people_are_those_of_the_pictures(course: BuiltCourse) -> None:
    seen: set[int] = set()
    for form in course.course.forms.values():
        for item in form.items:
            assert seen.isdisjoint(item.people)
            seen.update(item.people)
            if not isinstance(item.key, TriageKey):
                assert set(item.people) == {course.identities[f"p{n}"] for n in shown(course, item.photos)}
    assert len(seen) == 32


def test_poor_photos_are_poorer_than_usable_ones(course: BuiltCourse) -> None:
    usable = [item for item in course.course.forms["triage"].items if item.key == TriageKey(Usability.USABLE, None, 0)]
    poor = [item for item in course.course.forms["triage"].items if item not in usable]
    assert (len(usable), len(poor)) == (2, 4)
    plain = decode(course.pictures[usable[0].photos[0]], ImageLimits()).pixels
    for item in poor:
        made = decode(course.pictures[item.photos[0]], ImageLimits()).pixels
        assert np.abs(made.astype(int) - plain.astype(int)).max() > 30


def test_pictures_are_files_of_one_length(course: BuiltCourse) -> None:
    assert len({len(picture) for picture in course.pictures}) == 1
    used = {number for form in course.course.forms.values() for item in form.items for number in item.photos}
    assert used <= set(range(len(course.pictures)))


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


def test_one_seed_gives_one_course_and_another_gives_another(course: BuiltCourse, people: NamedPeople) -> None:
    again, other = built(people, workers=3), built(people, seed=2)
    assert again.course == course.course
    assert again.pictures == course.pictures
    assert again.gallery == course.gallery
    assert other.course.manifest_sha256 != course.course.manifest_sha256


def test_who_nobody_can_use_is_counted(people: NamedPeople, tmp_path: Path) -> None:
    squares.face(tmp_path / "nobody.png", None)
    more = replace(people, people=(*people.people, Person("nobody", (tmp_path / "nobody.png",))), label_errors=3)
    made = built(more)
    assert made.course.excluded == {"LABEL_ERROR": 3, "NO_FACE": 1, "NO_PHOTO_LEFT": 1}
    assert "nobody" not in made.identities


def test_a_course_without_searches_has_no_gallery(people: NamedPeople) -> None:
    plan = read_plan(
        'format = 1\ntitle = "Pairs"\n[[sittings]]\nname = "one"\n[[sittings.blocks]]\nid = "pairs"\n'
        'exercise = "verification"\nsame = 2\ndifferent = 3\n'
    )
    made = built(people, plan)
    assert made.course.gallery_id == ""
    assert made.gallery == {}
    assert set(made.probe_keys.values()) == {None}


def test_the_mask_and_the_colour_of_the_plan_count(course: BuiltCourse, people: NamedPeople) -> None:
    bare = built(people, replace(read_plan(plan_text("demo")), mask="none"))
    number = course.course.forms["pairs"].items[0].photos[0]
    masked, grey = (decode(one.pictures[number], ImageLimits()).pixels.astype(int) for one in (course, bare))
    assert np.abs(masked[:8, :8] - 128).max() <= 2  # grey around the oval
    assert np.abs(grey[:8, :8] - 128).max() > 100  # what the photo has there
    assert np.ptp(grey, axis=2).max() <= 2 < np.ptp(masked, axis=2).max()


def test_too_few_people_are_told_before_any_photo_is_opened(tmp_path: Path) -> None:
    absent = NamedPeople("london", "", tuple(Person(f"{n}", (tmp_path / f"{n}.jpg",)) for n in range(31)))
    with pytest.raises(TooFewPeople) as refused:
        built(absent)
    assert refused.value.metadata["missing"] == "3"  # with two photos


def test_people_whose_faces_cannot_be_used_do_not_count(people: NamedPeople, tmp_path: Path) -> None:
    squares.face(tmp_path / "nobody.png", None)
    blank = tuple(Person(f"blank{n}", (tmp_path / "nobody.png",)) for n in range(10))
    with pytest.raises(TooFewPeople) as refused:
        built(replace(people, people=(*people.people[:28], *blank)))
    assert refused.value.metadata["missing"] == "4"


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
            tuple(photo(tmp_path / one.identity / path.name, STEP * n, int(path.stem)) for path in one.photos),
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


def test_a_course_names_nobody_and_no_file(course: BuiltCourse, people: NamedPeople) -> None:
    told = repr(course.course)
    assert re.search(r"\bp\d", told) is None
    assert ".png" not in told
    assert str(people.people[0].photos[0].parent) not in told
