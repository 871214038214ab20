"""Makes people up: pools of them, plans that need them, and pairs with drawn similarities."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fr_core.engine import Engine
from fr_core.scoring.calibration import Calibration, Provenance, fit_calibration
from fr_core.types import ModelId
from fr_datasets.values import VerificationPair
from fr_evaluation.verification.compare import AcrossPeople, ComparedPairs
from fr_training.bank.compose import Composed, compose
from fr_training.bank.difficulty import Differences, differences
from fr_training.bank.labels import age_of, sex_of
from fr_training.bank.lists import Matcher, Ranked
from fr_training.bank.manifest import truth_of
from fr_training.bank.pool import Pool, PoolPerson, PoolPhoto
from fr_training.build.course import BuiltCourse, Progress, build_course
from fr_training.build.people import NamedPeople
from fr_training.courses import Learned
from fr_training.keys import ListKey, PairKey
from fr_training.plan import CoursePlan
from fr_training.plan_reading import read_plan

MODEL = ModelId("made-up", "1", "a" * 64)
COURSE_ID = "0123456789abcdef"

TASTER = """
    id = "pre"; exercise = "verification"; same = 10; different = 10; equated = "test"; occasion = "pre"
    id = "practice"; exercise = "verification"; same = 6; different = 6; adaptive = true; trials = 8
    id = "lists"; exercise = "candidates"; present = 2; absent = 1; size = 5
    id = "aid"; exercise = "aided"; same = 2; different = 2; wrong = 2
    id = "post"; exercise = "verification"; same = 10; different = 10; equated = "test"; occasion = "post"
"""
"""Blocks of 90 minutes: 100 people, 30 of them with two photos."""

EVERYTHING = """
    id = "pre"; exercise = "verification"; same = 4; different = 5; equated = "test"; occasion = "pre"
    id = "odd"; exercise = "triad"; trials = 3; equated = "triads"; occasion = "pre"
    id = "parts"; exercise = "features"; same = 2; different = 1
    id = "lists"; exercise = "candidates"; present = 2; absent = 2; size = 4
    id = "triage"; exercise = "triage"; usable = 4; limited = 6; reject = 6
    id = "aid"; exercise = "aided"; same = 4; different = 4; wrong = 3
    id = "rare"; exercise = "low_prevalence"; same = 9; different = 1
    id = "first"; exercise = "verification"; same = 3; different = 3
    id = "second"; exercise = "blind"; verifies = "first"
    id = "own"; exercise = "own_probe"; trials = 2; size = 5
    id = "odd-again"; exercise = "triad"; trials = 3; equated = "triads"; occasion = "post"
    id = "post"; exercise = "verification"; same = 4; different = 5; equated = "test"; occasion = "post"
    id = "later"; exercise = "verification"; same = 4; different = 5; equated = "test"; occasion = "retention"
"""
"""Blocks of every exercise."""


def plan_of(blocks: str) -> CoursePlan:
    """A plan of one sitting; each line is a block, its keys parted by semicolons."""
    tables = [line.strip().replace("; ", "\n") for line in blocks.strip().splitlines()]
    head = 'format = 1\ntitle = "made-up"\nclaims = false\n[[sittings]]\nname = "one"\n'
    return read_plan(head + "\n".join(f"[[sittings.blocks]]\n{table}" for table in tables))


def made_pool(
    people: int,
    two: int,
    *,
    seed: int = 0,
    size: int = 32,
    source: str = "",
    first: int = 0,
    labelled: bool = True,
    calibration: Calibration | None = None,
) -> Pool:
    """People numbered from `first`, the first `two` of whom have two photos; sexes take turns, ages are 20 to 59."""
    rng = np.random.default_rng(seed)
    sexes = rng.normal(size=(2, size))
    found = []
    for number in range(people):
        centre = rng.normal(size=size) + sexes[number % 2]
        photos = [_photo(rng, centre, f"{source} {seed} {number}", turn, first) for turn in range(1 + (number < two))]
        labels = {"gender": ("female", "male")[number % 2], "age": str(20 + number * 7 % 40)} if labelled else {}
        numbered = (replace(photo, number=2 * (first + number) + turn) for turn, photo in enumerate(photos))
        found.append(PoolPerson(first + number, tuple(numbered), labels, source))
    return Pool(tuple(found), MODEL, calibration)


def strict_calibration() -> Calibration:
    """One by which made-up people are often mistaken: what is less similar than about .65 is different."""
    rng = np.random.default_rng(7)
    provenance = Provenance("made-up", "a" * 64, 50, str(MODEL), date(2026, 11, 25), {})
    mated, nonmated = (np.clip(rng.normal(mean, 0.1, 500), -1.0, 1.0) for mean in (0.8, 0.5))
    return fit_calibration(mated, nonmated, provenance)


def _photo(rng: np.random.Generator, centre: np.ndarray, who: str, turn: int, number: int) -> PoolPhoto:
    vector = centre + rng.normal(size=len(centre)) * rng.uniform(0.3, 1.2)
    digest = hashlib.sha256(f"{who} {turn}".encode()).hexdigest()
    return PoolPhoto(number, digest, unit(vector), float(rng.normal() * 25), float(rng.random()))


class ExactMatcher:
    """Compares a probe with everybody; of two equally similar people, the first to be enrolled comes first."""

    def __init__(self) -> None:
        self.people: dict[int, PoolPhoto] = {}

    def enrol(self, people: Sequence[tuple[int, PoolPhoto]]) -> None:
        assert not self.people
        self.people = dict(people)
        assert len(self.people) == len(people)

    def search(self, probe: npt.NDArray[np.float32], k: int) -> Sequence[Ranked]:
        vectors = np.stack([photo.embedding for photo in self.people.values()])
        similarities = np.clip(vectors @ probe, -1.0, 1.0)
        best = np.argsort(-similarities, kind="stable")[:k]
        return [Ranked(list(self.people)[index], float(similarities[index])) for index in best]


def made_course(
    plan: CoursePlan | str, pool: Pool, seed: int = 1, learned: Learned | None = None, matcher: Matcher | None = None
) -> Composed:
    plan = plan_of(plan) if isinstance(plan, str) else plan
    return compose(plan, pool, seed, matcher or ExactMatcher(), learned)


def built_course(
    plan: CoursePlan,
    people: NamedPeople | Sequence[NamedPeople],
    engine: Engine,
    seed: int = 1,
    matcher: Matcher | None = None,
    on_progress: Callable[[Progress, int, int], None] = lambda stage, done, total: None,
    **more: Any,
) -> BuiltCourse:
    """A course as the server makes it, with an exact search."""
    matcher = matcher or ExactMatcher()
    ids: dict[str, Any] = {"course_id": COURSE_ID, "gallery_id": "gallery", "now_ms": 0, **more}
    sets = [people] if isinstance(people, NamedPeople) else people
    return build_course(plan, sets, engine, matcher, seed=seed, workers=2, on_progress=on_progress, **ids)


def differences_of(made: Composed, *forms: str) -> Mapping[str, Differences]:
    """The differences between forms by truth, "same", "different" or "odd", and over "all"."""
    tables: list[dict[str, list[float]]] = [{} for _ in forms]
    for table, form in zip(tables, forms, strict=True):
        for item in made.forms[form].items:
            table.setdefault(truth_of(item.key).partition(":")[0], []).append(item.b or 0.0)
    truths = sorted(tables[0])
    found = differences([[np.array(table[truth]) for truth in truths] for table in tables])
    return {truth: found[str(number)] for number, truth in enumerate(truths)} | {"all": found["all"]}


def different_pairs(made: Composed, pool: Pool, *forms: str) -> list[tuple[PoolPerson, PoolPerson]]:
    people = {person.number: person for person in pool.people}
    items = [item for form in forms for item in made.forms[form].items]
    return [
        (people[item.people[0]], people[item.people[1]])
        for item in items
        if isinstance(item.key, PairKey) and not item.key.mated
    ]


def of_one_sex_and_age(one: PoolPerson, other: PoolPerson) -> tuple[bool, bool]:
    """Return True if two people have the same sex, and known ages at most ten years apart."""
    ages = [age for person in (one, other) if (age := age_of(person.labels)) is not None]
    return sex_of(one.labels) == sex_of(other.labels) != "", len(ages) == 2 and abs(ages[0] - ages[1]) <= 10


def unit(vector: np.ndarray) -> npt.NDArray[np.float32]:
    """f32[D], length 1, read-only."""
    found: npt.NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype(np.float32)
    found.setflags(write=False)
    return found


def shown_people(composed: Composed, *, foils: bool = True) -> list[int]:
    """The people of all items; without `foils`, of lists those alone who are searched for."""
    return [
        person
        for form in composed.forms.values()
        for item in form.items
        for person in (item.people[:1] if isinstance(item.key, ListKey) and not foils else item.people)
    ]


def require_foils_may_be_there(composed: Composed, plan: CoursePlan) -> None:
    """Require each person once in a form; one in a test, or searched for, is elsewhere at most a foil."""
    shown = shown_people(composed, foils=False)
    assert len(set(shown)) == len(shown)
    tests = set[int]()
    foils = set[int]()
    for name, form in composed.forms.items():
        people = [person for item in form.items for person in item.people]
        assert len(set(people)) == len(people)
        tests |= set(people) if plan.forms()[name].equated else set()
        foils |= {person for item in form.items if isinstance(item.key, ListKey) for person in item.people[1:]}
    assert not tests & foils


def made_pairs(people: int = 60, folds: int = 2, seed: int = 1) -> tuple[ComparedPairs, AcrossPeople]:
    """One mated pair of each person, one non-mated pair with the next of the same fold, and every two people."""
    chance = np.random.default_rng(seed)
    names = [f"P{number}" for number in range(people)]
    size = people // folds
    mated, nonmated = [], []
    for number, name in enumerate(names):
        fold = number // size
        other = names[fold * size + (number + 1) % size]
        mated.append(VerificationPair(Path(f"{name}/1"), Path(f"{name}/2"), True, fold + 1, (name, name)))
        nonmated.append(VerificationPair(Path(f"{name}/1"), Path(f"{other}/2"), False, fold + 1, (name, other)))
    similarities = np.concatenate([chance.normal(0.5, 0.15, people), chance.normal(0.0, 0.15, people)])
    pairs = (*mated, *nonmated)
    compared = ComparedPairs(
        similarities, np.arange(2 * people) < people, np.array([pair.fold for pair in pairs], dtype=np.int64), pairs, ()
    )
    photos = tuple(Path(f"{name}/1") for name in names)
    return compared, AcrossPeople(chance.normal(0.0, 0.15, people * (people - 1) // 2), tuple(names), photos)
