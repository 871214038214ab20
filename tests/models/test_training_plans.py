"""The plans of FR Core with real faces: what gives pairs away, how alike the foils are, and who knows all is right."""

import json
import shutil
from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from fr_core.engine import Engine
from fr_core.packs.cache import ModelCache
from fr_core.types import F32
from fr_training.answers import Degraded
from fr_training.bank.compose import compose
from fr_training.bank.forecast import FAIR, forecasts
from fr_training.bank.needs import needs
from fr_training.bank.pool import PoolPhoto
from fr_training.build.bars import foils, pair_clues
from fr_training.build.course import build_course
from fr_training.build.people import LastAnalysis, NamedPeople, read_datasets
from fr_training.plan_reading import read_plan
from fr_training.prompts import ExerciseKind
from fr_training.sessions.results import results
from fr_training.shipped_plans import plan_names, plan_text
from fr_training.simulation.runner import Seat, items_of, run_sitting
from fr_training.simulation.trainee import Abilities, SimulatedTrainee
from support.cli import fr
from support.counts import count
from support.people import COURSE_ID, ExactMatcher

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.nightly]

OF_PRESS = [name for name in plan_names() if name != "demo"]
SEEDS = range(1, 1 + count("LEAK_SEEDS"))
CERTAIN = Abilities(
    20.0, theta=40.0, advice_weight=0.0, picks_mate=1.0, picks_foil=0.0, false_alarm=0.0, inconclusive=0.0, triage=1.0
)


@pytest.fixture(scope="module")
def press(default_engine: Engine, testdata: Path) -> tuple[tuple[NamedPeople, ...], LastAnalysis]:
    people = read_datasets([("lfw", testdata / "lfw")])
    return people, LastAnalysis()


@pytest.mark.parametrize("name", OF_PRESS)
def test_with_press_photos_a_plan_keeps_its_bars(
    press: tuple[tuple[NamedPeople, ...], LastAnalysis], default_engine: Engine, name: str
) -> None:
    people, analyse = press
    plan = read_plan(plan_text(name))
    built = build_course(
        plan,
        people,
        default_engine,
        ExactMatcher(),
        seed=1,
        workers=2,
        course_id=COURSE_ID,
        gallery_id="gallery",
        now_ms=0,
        on_progress=lambda stage, done, total: None,
        analyse=analyse,
    )
    told = pair_clues(built, default_engine.pipeline)
    assert {"test-a" if name == "taster-90" else "pairs-a", ""} < {one.form for one in told}
    for one in told:
        assert one.few or max(one.pixels, one.colours) <= FAIR, one
    lists = foils(built, people)
    assert lists
    for found in lists:
        assert found.of_tests is not None
        assert found.similarity >= found.of_tests, found
        assert found.one_sex is None  # LFW has no labels
    for group, sitting in product((0, 1), plan.sittings):
        seat = Seat("S-1", group, SimulatedTrainee(CERTAIN))
        taken = run_sitting(built.course, items_of(built.course), seat, sitting.name, np.random.default_rng(1), 0)
        rows = results(built.course, taken)
        assert len(rows) == sitting.trials
        own = [row for row in rows if row.exercise == ExerciseKind.OWN_PROBE]
        assert all(row.correct is True for row in rows if row not in own)


def test_a_check_prints_each_figure_beside_its_bar(testdata: Path, pack_cache: ModelCache) -> None:
    words = ("train", "check", "--dataset", "london", "--root", testdata / "london", "taster-90")
    code, out, error = fr(*words, "--most", "0.8", "--bar", "--json")
    assert (code, error) == (0, "")
    found = json.loads(out)
    assert [one["plan"] for one in found["plans"]] == ["taster-90"]
    assert {one["form"]: one["met"] for one in found["plans"][0]["lists"]} == {"lists": True}
    assert [one["one_sex"] for one in found["plans"][0]["lists"]] == [1.0]
    code, out, _ = fr(*words, "taster-90", "--most", "0.51", "--bar")
    assert code == 1
    assert "204 photos, analysed once in" in out
    assert out.count("88 people, 28 of them with two photos; 90 minutes; 61 trials") == 1
    assert "no" in out.split()


def test_the_composition_of_press_photos_keeps_its_bars_with_other_seeds(
    press: tuple[tuple[NamedPeople, ...], LastAnalysis], default_engine: Engine
) -> None:
    people, analyse = press
    pool = analyse(people, default_engine, 2, lambda done, total: None).pool
    for name, seed in product(OF_PRESS, SEEDS):
        plan = read_plan(plan_text(name))
        made = compose(plan, pool, seed, ExactMatcher(), spoil=as_they_are)
        shown = {number: one.photo.looks for number, one in enumerate(made.pictures) if one.photo.looks is not None}
        for one in forecasts(plan, made.forms, shown, defaultdict(lambda: 1.0), made.near):
            assert max(one.pixels or 0.0, one.colours or 0.0) <= FAIR, (name, seed, one)


def as_they_are(photos: Sequence[PoolPhoto], kind: Degraded | None, strength: float) -> list[F32 | None]:
    return [photo.embedding for photo in photos]


def test_one_day_is_made_of_a_folder_of_ones_own(testdata: Path, pack_cache: ModelCache, tmp_path: Path) -> None:
    wanted = needs(read_plan(plan_text("one-day")))
    (people,) = read_datasets([("lfw", testdata / "lfw")])
    several = [person for person in people.people if len(person.photos) > 1][: wanted.people_with_two_photos + 10]
    single = [person for person in people.people if len(person.photos) == 1][: wanted.people - len(several) + 10]
    for person in (*several, *single):
        (tmp_path / person.identity).mkdir()
        for photo in person.photos[:2]:
            shutil.copy(photo, tmp_path / person.identity)
    code, out, error = fr("train", "check", "one-day", "--dataset", "people_folder", "--root", tmp_path, "--json")
    assert (code, error) == (0, "")
    (found,) = json.loads(out)["plans"]
    assert [one["form"] for one in found["lists"]] == ["lists-1", "lists-2"]
    assert {one["form"] for one in found["pairs"]} == {"", "pairs-a", "pairs-b", "features", "practice", "aided"}
