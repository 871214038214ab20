"""A trainer in a real browser: a board that changes by itself, and an item before a class by keys alone."""

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fr_api.v1 import training_pb2
from fr_training.lessons import lesson, lesson_names
from fr_trust.access.principal import Role
from support.browser import PATIENCE_MS, Look, World, needs_browser, opened, sign_in, wait_until
from support.courses import Chance, Stub, answer, create, finish, next_trial, start
from support.web import web

pytestmark = needs_browser
IN_SIGHT = """(heading) => {
  const box = document.getElementById(heading).closest("section").getBoundingClientRect();
  return scrollY === 0 && box.top >= 0 && box.bottom <= innerHeight;
}"""


@pytest.fixture
def look(look: Look, console_world: World) -> Look:
    """A page of a trainer."""
    sign_in(look.open("/").page, console_world, "trainer")
    return look


def cohort(world: World, name: str) -> training_pb2.CreateCohortResponse:
    request = training_pb2.CreateCohortRequest(course_id=world.course.course_id, display_name=name, trainees=1)
    return world.staff.caller(Role.TRAINER).training.CreateCohort(request)


def one_answered(world: World, made: training_pb2.CreateCohortResponse) -> tuple[Stub, str]:
    """Answer a trial of the first trainee; return the session."""
    stub = world.staff.caller(Role.TRAINEE).training
    session_id = start(stub, made.enrolled[0].code, "pairs")
    trial = next_trial(stub, session_id)
    assert trial is not None
    answer(stub, session_id, trial, Chance())
    return stub, session_id


def test_a_board_changes_by_itself_and_the_focus_stays(look: Look, console_world: World) -> None:
    made = cohort(console_world, "Watched")
    look.open("/cohorts").page.get_by_role("link", name="Watched").click()
    look.heading("Cohort: Watched")
    trainees = look.page.locator("#trainees")
    trainees.fill("7")
    board = look.page.locator("[data-live]")
    board.get_by_text("not started").first.wait_for()
    stub, session_id = one_answered(console_world, made)
    board.get_by_text("1 / 6").wait_for()
    stub.PauseSession(training_pb2.PauseSessionRequest(session_id=session_id))
    board.locator("td", has_text="paused").wait_for()
    assert look.page.evaluate("document.activeElement.id") == "trainees"
    assert trainees.input_value() == "7"


def test_a_board_says_that_it_may_be_old_while_its_events_do_not_come(browser: Any, console_world: World) -> None:
    made = cohort(console_world, "Cut off")
    with ExitStack() as first:
        site = first.enter_context(web(console_world.staff.server.address))
        with opened(browser, f"http://localhost:{site.port}") as look:
            look.expected, look.allowed = "Failed to fetch|ERR_|network error|htmx:sse:error", (401, 503)
            sign_in(look.open("/").page, console_world, "trainer")
            with look.page.expect_response(re.compile("/events$")):
                look.open(f"/cohorts/{made.cohort.cohort_id}")
            board = look.page.locator("[data-live]")
            board.get_by_text("not started").first.wait_for()
            stale, again = look.page.locator("#stale"), look.page.locator("#again")
            assert stale.is_hidden()
            first.close()
            stale.wait_for()
            assert "may be old" in look.page.inner_text("#live")
            with web(console_world.staff.server.address, port=site.port):  # which knows no session
                again.locator("form").last.wait_for()
                again.locator("[name=key]").last.fill(console_world.key("trainer"))
                again.locator("button").last.click()
                stale.wait_for(state="hidden")
                one_answered(console_world, made)
                board.get_by_text("1 / 6").wait_for()
                look.open("/courses")


def test_an_item_is_shown_to_a_class_with_keys_alone_and_a_projector_follows(
    browser: Any, look: Look, console_world: World
) -> None:
    made = cohort(console_world, "Shown")
    one_answered(console_world, made)
    release = training_pb2.ReleaseItemsRequest(cohort_id=made.cohort.cohort_id, block_ids=["practice"])
    release.before_all_finished = True
    console_world.staff.caller(Role.TRAINER).training.ReleaseItems(release)
    look.open(f"/cohorts/{made.cohort.cohort_id}").press("Link for a projector").heading("A link for the projector")
    size = {"width": 1280, "height": 720}
    with opened(browser, console_world.address, viewport=size) as wall:  # on a machine where nobody is signed in
        wall.page.goto(look.page.locator("main a[href*='/wall/']").get_attribute("href"))
        wall.page.get_by_text("The trainer shows nothing yet.").wait_for()
        look.open(f"/cohorts/{made.cohort.cohort_id}/items").page.locator("main th a").first.click()
        look.page.locator(".projected").wait_for()
        assert look.page.locator(".faces img").count() == 2
        assert look.page.locator("nav").count() == 0
        look.press("Open a vote").press("Close the vote").page.get_by_text("Open another vote").wait_for()
        look.page.locator("h1").focus()
        for heading in ("answers-head", "average-head", "machine-head", "truth-head"):
            assert look.page.locator(f"#{heading}").count() == 0
            look.page.keyboard.press("PageDown")
            look.page.locator(f"#{heading}").wait_for()
            wall.page.locator(f"#{heading}").wait_for()
            wait_until(wall.page, IN_SIGHT, heading)
        look.page.keyboard.press("PageUp")
        for one in (look, wall):
            one.page.locator("#truth-head").wait_for(state="detached")
    look.page.locator("h1").focus()
    look.page.keyboard.press("f")
    wait_until(look.page, "document.fullscreenElement !== null")


@pytest.mark.nightly
def test_the_last_step_of_each_exercise_is_no_wider_than_a_wall(browser: Any, console_world: World) -> None:
    made = console_world.every_exercise()
    for sitting in ("all", "lesson"):
        finish(console_world.staff.caller(Role.TRAINEE).training, made.enrolled[0].code, sitting)
    console_world.release(made.cohort)
    with opened(browser, console_world.address, viewport={"width": 1280, "height": 720}) as look:
        sign_in(look.open("/").page, console_world, "trainer")
        look.open(f"/cohorts/{made.cohort.cohort_id}/items")
        titles = set()
        for one in [one.get_attribute("href") for one in look.page.locator("main th a").all()]:
            titles.add(look.open(f"{one}?step=truth").page.inner_text("h1"))
            look.require_open_to_all(barriers=False)
        assert len(titles) == 10


def test_slips_are_printed_and_a_course_is_made_with_a_button(look: Look, console_world: World) -> None:
    look.open(f"/courses/{console_world.course.course_id}").press("Make the cohort").heading("Slips for trainees")
    look.page.evaluate("window.print = () => { window.printed = true; }")
    look.page.locator("h1").focus()
    look.page.keyboard.press("p")
    assert look.page.evaluate("window.printed") is True
    assert look.page.locator(".slips img").count() == 10


def test_a_computer_without_a_camera_gets_the_key_of_the_class_from_an_address(
    browser: Any, look: Look, console_world: World
) -> None:
    from playwright.sync_api import expect

    key = console_world.key("trainee")
    look.open(f"/courses/{console_world.course.course_id}").page.locator("[name=class_key]").fill(key)
    look.press("Make the cohort").heading("Slips for trainees")
    told = look.page.locator("#computers").input_value()
    code = look.page.locator(".slips li").first.locator("code").first.inner_text()
    look.page.emulate_media(media="print")
    assert look.page.locator("#computers").is_hidden()
    with opened(browser, look.address) as computer:
        for shown in ("/about", "/"):  # the second time, only what stands behind the # is another
            computer.open(shown).page.goto(told)
            expect(computer.page.locator("#class")).to_have_value(key, timeout=PATIENCE_MS)
            assert key not in computer.page.url
        computer.page.locator("#code").fill(code)
        computer.page.keyboard.press("Enter")
        computer.heading("Course: Squares")


LESSONS = """
format = 1
title = "Lessons"
[[sittings]]
name = "day"
starts = "09:00"
"""


@pytest.mark.nightly
@pytest.mark.parametrize("language", ["en", "ar"])
def test_the_kit_of_a_course_is_open_to_all_and_prints_a_sheet_for_each_lesson(
    browser: Any, console_world: World, tmp_path: Path, language: str
) -> None:
    names = lesson_names()
    toml = LESSONS + "".join(
        f'[[sittings.blocks]]\nid = "{one}"\nexercise = "lesson"\nlesson = "{one}"\nminutes = 20\n' for one in names
    )
    made = create(console_world.staff.caller(Role.TRAINER).training, toml)
    with opened(browser, console_world.address, locale=language) as look:
        sign_in(look.open("/").page, console_world, "trainer")
        one_sheet = dict.fromkeys(("kit/debrief", "kit/card", "timetable"), 1)
        for place in ("kit", "kit/handouts", "kit/glossary", "kit/questions", *one_sheet):
            look.open(f"/courses/{made.course_id}/{place}").require_open_to_all()
            sheets = look.page.pdf(format="A4").count(b"/Type /Page\n")
            assert sheets == {"kit/handouts": len(names), **one_sheet}.get(place, sheets), place
        look.open(f"/courses/{made.course_id}/kit")
        with look.page.expect_download() as download:
            look.page.locator("a[href$='/slides/matcher']").click()
        download.value.save_as(tmp_path / "slides.html")
    with opened(browser, "file:", offline=True, viewport={"width": 1280, "height": 720}) as look:
        look.page.goto((tmp_path / "slides.html").as_uri())
        assert look.page.locator("html").get_attribute("lang") == language
        slides = look.page.locator("section").all()
        assert len(slides) == 2 * len(lesson("matcher").sections) + 2
        assert [slide.bounding_box()["height"] for slide in slides] == [720] * len(slides)


def test_a_double_click_sends_a_form_once(look: Look, console_world: World) -> None:
    address, cohorts = f"/courses/{console_world.course.course_id}", "main li a[href^='/cohorts/']"
    before = look.open(address).page.locator(cohorts).count()
    look.page.get_by_role("button", name="Make the cohort").dblclick()
    look.heading("Slips for trainees").page.wait_for_load_state("networkidle")
    assert look.open(address).page.locator(cohorts).count() == before + 1
