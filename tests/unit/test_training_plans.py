"""The plans that come with FR Core: they can be read, need what they say, and fit the people they are meant for."""

from __future__ import annotations

import re

import pytest

from fr_training.bank.needs import Available, needs, require_enough
from fr_training.errors import UnknownPlan
from fr_training.plan import CoursePlan, read_plan
from fr_training.prompts import ExerciseKind
from fr_training.shipped_plans import plan_names, plan_text

SAYS = re.compile(r"# Needs: (\d+) people, (\d+) of them with two photos; (\d+) minutes; (\d+) trials\.")


def plan(name: str) -> CoursePlan:
    return read_plan(plan_text(name))


def test_the_plans_are_told_by_name() -> None:
    assert plan_names() == ("demo", "taster-90", "three-day")


def test_an_unknown_name_is_refused_with_the_nearest_and_is_not_repeated() -> None:
    with pytest.raises(UnknownPlan, match="Did you mean three-day") as near:
        plan_text("three-days")
    assert "three-days" not in near.value.message
    with pytest.raises(UnknownPlan, match="demo, taster-90, three-day"):
        plan_text("../plans")


@pytest.mark.parametrize("name", plan_names())
def test_a_plan_needs_what_its_first_lines_say(name: str) -> None:
    said = SAYS.search(plan_text(name).split("format =")[0])
    wanted = needs(plan(name))
    assert said is not None
    assert tuple(map(int, said.groups())) == (
        wanted.people,
        wanted.people_with_two_photos,
        wanted.minutes,
        wanted.trials,
    )


def test_plans_fit_the_people_that_they_are_meant_for() -> None:
    require_enough(plan("taster-90"), Available(100, 100, 0))  # London has 102, all neutral and smiling
    require_enough(plan("three-day"), Available(5_749, 1_680, 1_680))  # LFW
    require_enough(plan("demo"), Available(38, 3, 3))  # the demo photos
    assert plan("taster-90").minutes <= 90


@pytest.mark.parametrize("name", plan_names())
def test_every_block_has_a_title_instructions_and_a_limit_of_20_minutes(name: str) -> None:
    for block in plan(name).blocks:
        assert block.minutes is not None
        assert block.minutes <= 20
        assert block.title != block.block_id
        assert block.instructions
        assert "\n" not in block.instructions


@pytest.mark.parametrize("name", plan_names())
def test_trainers_read_above_every_block_why_it_is_there(name: str) -> None:
    explained = re.findall(r"^# .+\n\[\[sittings\.blocks\]\]$", plan_text(name), re.MULTILINE)
    assert len(explained) == len(plan(name).blocks)


@pytest.mark.parametrize("name", ["taster-90", "three-day"])
def test_courses_measure_before_and_after_without_feedback(name: str) -> None:
    course = plan(name)
    occasions = {block.occasion for block in course.blocks}
    assert {"pre", "post"} <= occasions
    first, last = course.blocks[0], [block for block in course.blocks if block.occasion == "post"][-1]
    assert first.occasion == "pre"
    assert all(block.feedback is False for block in course.blocks if block.occasion)
    assert last.forms[0] != last.forms[1]


def test_three_days_hold_every_exercise_and_one_pair_in_ten_of_two_people() -> None:
    blocks = plan("three-day").blocks
    assert {block.exercise for block in blocks} == set(ExerciseKind)
    low = next(block for block in blocks if block.exercise == ExerciseKind.LOW_PREVALENCE)
    assert low.different * 10 == low.items
    sizes = {block.size for block in blocks if block.exercise == ExerciseKind.CANDIDATES}
    assert {20, 50} <= sizes
