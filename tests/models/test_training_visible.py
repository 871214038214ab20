"""Only the faces give the answer: classifiers look for it in everything else that real photos show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fr_core.engine import Engine
from fr_training.bank.compose import compose
from fr_training.bank.pool import Pool
from fr_training.build.course import BuiltCourse, build_course
from fr_training.build.people import AnalysedPeople, NamedPeople, analyse_people, read_datasets
from fr_training.courses import Item
from fr_training.errors import TooFewPeople
from fr_training.keys import TriadKey
from support.counts import NIGHTLY, count
from support.leaks import LEAK, Row, chance
from support.people import ExactMatcher, plan_of
from support.visible import (
    Of,
    Photos,
    joint,
    list_rows,
    pair_rows,
    picture,
    presence_rows,
    told,
    triad_rows,
    triage_rows,
)

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(600)]

SEEDS = range(1, 1 + count("LEAK_SEEDS"))
# Of LFW, whose turn is at night: photos of a person, and people of whom it has one.
MOST_PHOTOS, WITH_ONE = 4, 250

PAIRS = {"london": "same = 24; different = 24", "lfw": "same = 40; different = 40"}
EXERCISES: Mapping[str, Mapping[str, str]] = {
    "verification": {name: f'exercise = "verification"; {counts}' for name, counts in PAIRS.items()},
    "features": {name: f'exercise = "features"; {counts}' for name, counts in PAIRS.items()},
    "aided": {name: f'exercise = "aided"; {counts}; wrong = 20' for name, counts in PAIRS.items()},
    "low_prevalence": {
        "london": 'exercise = "low_prevalence"; same = 54; different = 12',
        "lfw": 'exercise = "low_prevalence"; same = 80; different = 20',
    },
    "blind": {
        "london": 'exercise = "verification"; same = 12; different = 12\n'
        'id = "two"; exercise = "blind"; verifies = "one"',
        "lfw": 'exercise = "verification"; same = 20; different = 20\nid = "two"; exercise = "blind"; verifies = "one"',
    },
    "triad": {"lfw": 'exercise = "triad"; trials = 60'},
    "candidates": {
        "london": 'exercise = "candidates"; present = 16; absent = 13; size = 3',
        "lfw": 'exercise = "candidates"; present = 30; absent = 30; size = 5',
    },
    "triage": {
        "london": 'exercise = "triage"; usable = 51; limited = 17; reject = 34',
        "lfw": 'exercise = "triage"; usable = 60; limited = 30; reject = 30',
    },
    "own_probe": dict.fromkeys(PAIRS, 'exercise = "own_probe"; trials = 1; size = 5'),
}
CASES = [
    pytest.param(exercise, name, marks=[pytest.mark.nightly] * (name == "lfw"))
    for exercise, by_set in EXERCISES.items()
    for name in by_set
]


@dataclass(frozen=True, eq=False)
class Sets:
    """Data sets, and their people gathered once."""

    engine: Engine
    people: Mapping[str, NamedPeople]
    gathered: Mapping[str, AnalysedPeople]

    @cache  # noqa: B019 - one object, as long as the module
    def made(self, name: str, plan: str, seed: int) -> tuple[BuiltCourse, Photos, ExactMatcher]:
        """A course as the server makes it, what can be seen of its pictures, and who is enrolled."""
        wanted, matcher = plan_of(f'id = "one"; {plan}'), ExactMatcher()
        built = build_course(
            wanted,
            [self.people[name]],
            self.engine,
            matcher,
            seed=seed,
            workers=2,
            course_id="0123456789abcdef",
            gallery_id="gallery",
            now_ms=0,
            on_progress=lambda stage, done, total: None,
        )
        gathered = self.gathered[name]
        composed = compose(wanted, gathered.pool, seed, ExactMatcher())
        assert composed.manifest_sha256 == built.course.manifest_sha256
        return built, Photos(gathered, [shown.photo.number for shown in composed.pictures], built.pictures), matcher


@pytest.fixture(scope="module")
def sets(default_engine: Engine, testdata: Path) -> Sets:
    read = {name: read_datasets([(name, testdata / name)])[0] for name in PAIRS}
    people = [replace(person, photos=person.photos[:MOST_PHOTOS]) for person in read["lfw"].people]
    several = [person for person in people if len(person.photos) > 1]
    single = [person for person in people if len(person.photos) == 1]
    read["lfw"] = replace(read["lfw"], people=(*several, *single[:WITH_ONE]))
    wanted = read if NIGHTLY else ["london"]
    seen = {name: analyse_people([read[name]], default_engine, 2, lambda done, total: None) for name in wanted}
    return Sets(default_engine, read, seen)


def own_rows(built: BuiltCourse, photos: Photos, matcher: ExactMatcher, pool: Pool, of: Of) -> list[Row]:
    """Who of the candidates of an own probe is the person, for some of the people of whom there is a probe.

    Candidates with one photo are left out: trainers read that only people with two can be searched for and found.
    """
    shown = {person: Item("", (number,), None, None, (person,)) for person, number in built.gallery.items()}
    several = [person for person in pool.people if person.number in shown and len(person.photos) > 1]
    numbers = {person.number for person in several}
    rows = []
    for stratum, person in enumerate(several[:40]):
        found = [one.person for one in matcher.search(person.photos[0].embedding, 5) if one.person in numbers]
        if person.number in found:
            for one in found:
                (seen,) = photos.of(shown[one])
                rows.append(Row(stratum, of(seen), int(one == person.number)))
    return rows


def chances(sets: Sets, exercise: str, name: str, of: Of) -> dict[str, float]:
    """By question, how likely chance is to let a classifier answer it as well as it does."""
    found: dict[str, list[float]] = {}
    for seed in SEEDS:
        built, photos, matcher = sets.made(name, EXERCISES[exercise][name], seed)
        forms = [form.items for form in built.course.forms.values()]
        if exercise == "triad":
            asked = {"odd": [*triad_rows(forms[0], photos, of)]}
        elif exercise == "candidates":
            asked = {"mate": [*list_rows(forms[0], photos, of)], "present": [*presence_rows(forms[0], photos, of)]}
        elif exercise == "triage":
            asked = {"usable": [*triage_rows(forms[0], photos, of)]}
        elif exercise == "own_probe":
            asked = {"mate": own_rows(built, photos, matcher, sets.gathered[name].pool, of)}
        else:
            asked = {"same": [row for n, items in enumerate(forms) for row in pair_rows(items, photos, of, n)]}
        for question, rows in asked.items():
            found.setdefault(question, []).append(chance(rows))
    return {question: joint(values) for question, values in found.items()}


@pytest.mark.parametrize(("exercise", "name"), CASES)
def test_facts_beside_the_faces_tell_nothing(sets: Sets, exercise: str, name: str) -> None:
    found = chances(sets, exercise, name, told)
    assert min(found.values()) >= LEAK, found


@pytest.mark.nightly
@pytest.mark.parametrize("exercise", ["verification", "triad", "candidates", "own_probe"])
def test_light_colour_and_sharpness_of_press_photos_tell_too_little_to_be_learnt(sets: Sets, exercise: str) -> None:
    found = chances(sets, exercise, "lfw", picture)
    assert min(found.values()) >= LEAK, found


def test_the_colour_of_skin_in_the_one_light_of_a_studio_tells_people_apart_as_trainers_are_told(sets: Sets) -> None:
    built, photos, _ = sets.made("london", 'exercise = "verification"; same = 34; different = 34', 1)
    assert chance([*pair_rows(built.course.forms["one"].items, photos, picture)]) < LEAK
    guide = (Path(__file__).resolve().parents[2] / "docs" / "trainer-guide.md").read_text(encoding="utf-8")
    assert "a difference in the colour or brightness of the skin comes from the people" in " ".join(guide.split())


def test_triads_cannot_be_made_of_people_who_are_neutral_and_smiling(sets: Sets) -> None:
    with pytest.raises(TooFewPeople, match="Show pairs instead of triads"):
        sets.made("london", 'exercise = "triad"; trials = 10', 1)


def test_what_a_data_set_does_not_say_of_its_photos_is_seen_in_them(sets: Sets) -> None:
    pool = sets.gathered["london"].pool
    people = [
        replace(person, photos=tuple(replace(photo, condition="") for photo in person.photos)) for person in pool.people
    ]
    plan = plan_of(f'id = "one"; {EXERCISES["triad"]["lfw"]}'.replace("60", "20"))
    with pytest.raises(TooFewPeople, match="in the same order"):
        compose(plan, replace(pool, people=tuple(people)), 1, ExactMatcher())
    if NIGHTLY:
        compose(plan, sets.gathered["lfw"].pool, 1, ExactMatcher())


def triads_as_before(pool: Pool, seed: int) -> tuple[list[Item], list[int]]:
    """Triads of a neutral and a smiling photo of one person, and either of another; numbers of the photos shown."""
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(pool.people))
    items, shown = [], list[int]()
    for one, other in zip(drawn[0::2].tolist(), drawn[1::2].tolist(), strict=True):
        odd = int(rng.integers(3))
        photos = [photo.number for photo in pool.people[one].photos]
        photos.insert(odd, pool.people[other].photos[int(rng.integers(2))].number)
        items.append(Item("", tuple(len(shown) + n for n in range(3)), TriadKey(odd, odd, 0.0), None, (one, other)))
        shown += photos
    return items, shown


def test_the_photo_that_is_alone_in_its_expression_gave_triads_away(sets: Sets) -> None:
    gathered, found = sets.gathered["london"], []
    for seed in SEEDS:
        items, shown = triads_as_before(gathered.pool, seed)
        found.append(chance([*triad_rows(items, Photos(gathered, shown), told)]))
    assert joint(found) < LEAK
