"""The days of a class: timetables of plans, and a course of two days from its first minute to its last."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from fr_locales.rendering import render
from fr_server.rpc.convert.training import item_message, sitting_message
from fr_training.errors import PlanInvalid
from fr_training.plan import BlockPlan, CoursePlan, SittingPlan, SlotKind, SlotPlan
from fr_training.plan_reading import read_plan
from fr_training.sessions.results import results
from fr_training.shipped_plans import plan_names, plan_text
from fr_training.simulation.runner import Seat, items_of, made_course, run_sitting
from fr_training.simulation.trainee import Abilities, SimulatedTrainee
from fr_training.store.course_codec import pack_course, unpack_course
from fr_web.console.lessons import key_lines
from fr_web.console.views.trainer_kit import timetable_of
from support.counts import count

PAUSES = (SlotKind.BREAK, SlotKind.LUNCH)
MINUTE_MS = 60_000
BLOCK = '[[sittings.blocks]]\nid = "b"\nexercise = "triad"\ntrials = 1\n'


def plan_of(sitting: str, block: str = "minutes = 10\n", slot: str = "") -> CoursePlan:
    return read_plan(f'format = 1\ntitle = "T"\n[[sittings]]\nname = "s"\n{sitting}{BLOCK}{block}{slot}')


def slot(lines: str) -> str:
    return f"[[sittings.slots]]\n{lines}\n"


def days() -> list[tuple[str, SittingPlan]]:
    """Every sitting that a class takes with a trainer."""
    return [(name, one) for name in plan_names() for one in read_plan(plan_text(name)).sittings if one.slots]


def test_a_timetable_begins_each_row_where_the_one_before_ends() -> None:
    rows = slot('kind = "welcome"\nminutes = 5') + slot('kind = "break"\nafter = "b"\nminutes = 7')
    (sitting,) = plan_of('starts = "13:55"\n', slot=rows + slot('kind = "debrief"\nafter = "b"\nminutes = 1')).sittings
    told = [(one.at, one.minutes, one.what.title) for one in sitting.timetable]
    assert told == [(835, 5, ""), (840, 10, "b"), (850, 7, ""), (857, 1, "")]
    assert [render(row.at) for row in timetable_of(sitting_message(sitting, for_trainee=False))][-1] == "14:18"
    assert not sitting_message(sitting).timetable  # what trainees get
    assert plan_of("", block="").sittings[0].timetable == ()


@pytest.mark.parametrize(
    ("sitting", "block", "slots", "words"),
    [
        ('starts = "9:00"\n', "minutes = 10\n", "", "`starts` must be a time"),
        ('starts = "24:00"\n', "minutes = 10\n", "", "`starts` must be a time"),
        ('starts = "23:55"\n', "minutes = 10\n", "", "ends on its day"),
        ('starts = "09:00"\n', "", "", "need `minutes`"),
        ("", "minutes = 10\n", 'kind = "break"\nafter = "c"\nminutes = 5', "must name in `after`"),
        ("", "minutes = 10\n", 'kind = "nap"\nminutes = 5', "`kind`"),
        ("", "minutes = 10\n", "minutes = 5", "`kind`"),
        ("", "minutes = 10\n", 'kind = "break"\nminutes = 0', "`minutes`"),
        ("", "minutes = 10\n", 'kind = "break"\nminutes = 5\nlong = 1', "A slot has no key `long`"),
    ],
)
def test_a_timetable_that_cannot_be_is_refused(sitting: str, block: str, slots: str, words: str) -> None:
    with pytest.raises(PlanInvalid, match=words):
        plan_of(sitting, block, slots and slot(slots))


@pytest.mark.parametrize(("name", "sitting"), days())
def test_a_day_of_a_class_has_breaks_and_ends_with_a_talk_or_a_pause(name: str, sitting: SittingPlan) -> None:
    rows = sitting.timetable
    assert all(one.at + one.minutes == two.at for one, two in pairwise(rows))
    assert isinstance(rows[-1].what, SlotPlan)
    at_screens = 0
    for row in rows:
        at_screens = 0 if isinstance(row.what, SlotPlan) else at_screens + row.minutes
        assert at_screens <= 75, (name, row)
    assert rows[-1].at + rows[-1].minutes <= 17 * 60


def test_a_morning_ends_when_its_afternoon_begins() -> None:
    morning, afternoon = read_plan(plan_text("one-day")).sittings
    assert morning.timetable[-1].at + morning.timetable[-1].minutes == afternoon.starts
    (half,) = read_plan(plan_text("half-day")).sittings
    assert half.timetable[-1].at + half.timetable[-1].minutes - half.starts == 4 * 60


def test_two_days_run_from_the_welcome_to_the_debrief() -> None:
    """Every row has its material, every block is taken to its end, and nobody needs more time than the day has."""
    plan = read_plan(plan_text("two-day"))
    course = unpack_course("0" * 32, pack_course(made_course(plan, 1, 0)))
    items = items_of(course)
    assert course.plan.sittings == plan.sittings
    for number in range(count("CLASS_OF_TWO_DAYS")):
        seat = Seat(f"S-{number}", number % 2, SimulatedTrainee(Abilities(1.5)))
        for day, sitting in enumerate(course.plan.sittings):
            now_ms = (day * 24 * 60 + sitting.starts) * MINUTE_MS
            taken = run_sitting(course, items, seat, sitting.name, np.random.default_rng(number), now_ms)
            answered = Counter(row.block_id for row in results(course, taken) if row.answer)
            for entry in sitting.timetable:
                if isinstance(entry.what, BlockPlan):
                    assert answered[entry.what.block_id] == entry.what.shown, entry.what.block_id
            limit_ms = sum(block.minutes or 0 for block in sitting.blocks) * MINUTE_MS
            assert taken.finished_ms is not None
            assert 0 < taken.finished_ms - now_ms < limit_ms
    for sitting in course.plan.sittings:
        *rows, end = timetable_of(sitting_message(sitting, for_trainee=False))
        assert render(end.at) == {"day-1": "15:45", "day-2": "15:50"}[sitting.name]
        for row, entry in zip(rows, sitting.timetable, strict=True):
            if isinstance(entry.what, BlockPlan) and entry.what.lesson:
                form = course.forms[entry.what.forms[0]]
                parts = [item_message(course, form.name, item, ()).lesson for item in form.items]
                assert all(one.goals and one.sources and 1 <= len(key_lines(one.text)) <= 3 for one in parts)
                assert not any(
                    "[" in line or line.endswith(("?", ":")) for one in parts for line in key_lines(one.text)
                )
                assert [sum(option.right for option in one.options) for one in parts] == [1] * len(parts)
                assert any(one.figures for one in parts)
            is_pause = isinstance(entry.what, SlotPlan) and entry.what.kind in PAUSES
            assert (row.use.material is None) is is_pause is (row.use.lead is None)
            assert bool(row.use.lines) is isinstance(entry.what, SlotPlan)
            assert (row.back is not None) is is_pause
