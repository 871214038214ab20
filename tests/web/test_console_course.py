"""A whole course in a real browser: several trainees take every exercise at once, while a trainer leads them."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from fr_api.v1 import training_pb2
from fr_trust.access.principal import Role
from support.browser import Look, World, needs_browser, opened, sign_in
from support.counts import NIGHTLY
from support.courses import create
from support.walks import STEPS, press, taken

pytestmark = needs_browser
PLAN = """
format = 1
title = "A whole course"
claims = false
[[sittings]]
name = "all"
title = "Everything"
blocks = [
  {id = "pairs", exercise = "verification", same = 1, different = 1, minutes = 30, feedback = true},
  {id = "odd", exercise = "triad", trials = 1},
  {id = "features", exercise = "features", same = 1, different = 0},
  {id = "lists", exercise = "candidates", size = 3, present = 1, absent = 0, feedback = true, reveal_scores = true},
  {id = "triage", exercise = "triage", usable = 1, limited = 0, reject = 0},
  {id = "aided", exercise = "aided", same = 1, different = 0, wrong = 1},
  {id = "rare", exercise = "low_prevalence", same = 1, different = 1},
  {id = "opinion", exercise = "verification", same = 1, different = 0},
  {id = "second", exercise = "blind", verifies = "opinion"},
  {id = "threshold", exercise = "lab", about = "threshold", trials = 1, feedback = true},
  {id = "gallery", exercise = "lab", about = "gallery", trials = 1},
  {id = "quality", exercise = "lab", about = "quality", trials = 1},
  {id = "custody", exercise = "evidence", trials = 1},
  {id = "lesson", exercise = "lesson", lesson = "thresholds"},
  {id = "footage", exercise = "footage", same = 1, different = 1, feedback = true},
]
[[sittings]]
name = "own"
title = "An own photo"
blocks = [{id = "own", exercise = "own_probe", trials = 1, size = 3}]
"""
TRAINEES = 3 if NIGHTLY else 2


def side_by_side(*walks: Iterator[str]) -> list[set[str]]:
    """Take one step of each walk after another until all are over; return the steps of each."""
    told: list[set[str]] = [set() for _ in walks]
    for steps in zip_longest(*walks):
        for own, step in zip(told, steps, strict=True):
            own.update([] if step is None else [step])
    return told


@pytest.fixture
def looks(browser: Any, console_world: World) -> Iterator[list[Look]]:
    """A page of a trainer, who has signed in, and one of each trainee; what went wrong on one fails the test."""
    with ExitStack() as stack:
        made = [stack.enter_context(opened(browser, console_world.address)) for _ in range(1 + TRAINEES)]
        sign_in(made[0].open("/").page, console_world, "trainer")
        yield made


@pytest.fixture(scope="module")
def course(console_world: World) -> training_pb2.Course:
    return create(console_world.staff.caller(Role.TRAINER).training, PLAN)


def slips(look: Look, course_id: str, folder: Path) -> tuple[str, list[str]]:
    """Make the cohort and print its slips; return its address and the codes."""
    page = look.open(f"/courses/{course_id}").page
    page.locator("#name").fill("All at once")
    page.locator("#trainees").fill(str(TRAINEES))
    look.press("Make the cohort").heading("Slips for trainees")
    page.pdf(path=folder / "slips.pdf")
    assert (folder / "slips.pdf").read_bytes().startswith(b"%PDF")
    codes = re.findall(r"Code: (\S+)", page.locator("main").inner_text())
    place = page.locator("main a[href^='/cohorts/']").first.get_attribute("href")
    return place, codes


def released(look: Look, place: str) -> None:
    page = look.open(f"{place}/release").page
    for box in page.locator("fieldset").first.locator("[type=checkbox]").all():
        box.check()
    page.locator("[name=sure]").check()
    page.locator("main form button").click()
    page.locator("main th a").first.wait_for()


def projected(look: Look, place: str, course: training_pb2.Course) -> None:
    """Show an item to the class up to what is right, as a remote control does."""
    page = look.page
    page.locator("main tr:has-text('pairs') th a").first.click()
    page.locator(".projected .faces img").nth(1).wait_for()
    while page.locator("#truth-head").count() == 0:
        press(look, "PageDown")
    page.locator("main", has_text=f" of {TRAINEES} trainees").wait_for()


def test_a_class_takes_a_whole_course_while_its_trainer_leads(
    looks: list[Look], console_world: World, course: training_pb2.Course, tmp_path: Path
) -> None:
    trainer, *trainees = looks
    place, codes = slips(trainer, course.course_id, tmp_path)
    assert len(codes) == TRAINEES
    for look, code in zip(trainees, codes, strict=True):
        look.open(f"/#code={code}&key={console_world.key('trainee')}")
        assert look.page.url == f"{look.address}/", "the link of a slip leaves no trace"
        look.press("Join").page.locator("nav").wait_for()
    trainer.open(place)
    first = taken(trainees[0], "all")
    for _ in range(2):
        next(first)
    trainer.page.locator("[data-live]", has_text=" started: 1").wait_for()
    told = side_by_side(first, *(taken(look, "all") for look in trainees[1:]))
    trainer.page.locator("[data-live]", has_text=f"finished: {TRAINEES}").wait_for()
    released(trainer, place)
    projected(trainer, place, course)
    told += side_by_side(*(taken(look, "own") for look in trainees))
    assert set().union(*told) == set(STEPS)
    trainer.open(place)
    links = trainer.page.locator("main a[download]")
    names = trainer.page.locator("main .inline a")
    files = [one.get_attribute("href") for one in links.all()]
    files += [f"{one.get_attribute('href')}/report?file=certificate" for one in names.all()]
    for file in files:
        answer = trainer.page.context.request.get(f"{trainer.address}{file}")
        assert (answer.status, bool(answer.body())) == (200, True), file
    for look in trainees:
        look.open("/course/result").heading(re.compile("."))
        look.open("/course/review?all=1").page.locator(".card a").first.wait_for()
