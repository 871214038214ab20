"""Labs of real faces: what they tell was measured, and shows what it is there to show."""

from dataclasses import replace
from pathlib import Path

import pytest

from fr_core.engine import Engine
from fr_training.build.people import read_datasets
from fr_training.keys import LabKey
from fr_training.prompts import Lab
from support.counts import NIGHTLY
from support.people import built_course, plan_of

pytestmark = [pytest.mark.models, pytest.mark.slow]

PLAN = plan_of(
    """
    id = "threshold"; exercise = "lab"; about = "threshold"; trials = 2
    id = "gallery"; exercise = "lab"; about = "gallery"; trials = 2
    id = "quality"; exercise = "lab"; about = "quality"; trials = 1
    id = "groups"; exercise = "lab"; about = "groups"; trials = 1
    """
)


def test_a_course_of_real_faces_has_labs(default_engine: Engine, testdata: Path) -> None:
    (people,) = read_datasets([("london", testdata / "london")])
    if not NIGHTLY:
        people = replace(people, people=people.people[::3])
    made = built_course(PLAN, people, default_engine).course
    labs: dict[str, Lab] = {}
    for name, form in made.forms.items():
        for item in form.items:
            assert isinstance(item.asked, Lab)
            assert isinstance(item.key, LabKey)
            assert item.key.low <= item.key.measured <= item.key.high
            labs.setdefault(name, item.asked)
    shares = [row.false.percent for row in labs["threshold"].rows]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 9.0 > shares[-1]
    found = labs["quality"].rows
    assert found[0].missed.count == 0  # studio photos of one light
    assert found[-1].missed.percent > 30.0
    assert all(row.false.percent < 2.0 for row in found)  # a poor photo is missed rather than mistaken
    assert len(labs["groups"].rows) > 1
    if NIGHTLY:
        assert made.manifest_sha256 == built_course(PLAN, people, default_engine).course.manifest_sha256
