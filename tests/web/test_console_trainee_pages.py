"""A trainee's steps in a real browser: no barrier, keys alone, photos that move together, drafts, the camera."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from fr_api.v1 import training_pb2 as pb
from fr_trust.access.principal import Role
from support.browser import (
    LEFT_TO_RIGHT,
    PROBE,
    RIGHT_TO_LEFT,
    Look,
    World,
    at_hand,
    in_language,
    join,
    needs_browser,
    opened,
    sign_in,
    wait_until,
)
from support.counts import NIGHTLY
from support.courses import create, enrol
from support.walks import STEPS, at_step, press, taken

pytestmark = needs_browser
# A page of each kind; axe looks at the others by night.
LESSON = ("part of a lesson", "question of a lesson")
BY_DAY = ("verification", "part", "decision", "table", "custody", "footage")
FOOTAGE = """
format = 1
title = "Footage"
claims = false
[[sittings]]
name = "all"
blocks = [{id = "footage", exercise = "footage", same = 2, different = 2, feedback = true}]
"""


@pytest.fixture(scope="module")
def codes(console_world: World) -> Iterator[str]:
    """Codes of a course of every exercise."""
    console_world.release(console_world.every_exercise().cohort)
    return console_world.others


@pytest.mark.parametrize("language", [LEFT_TO_RIGHT, pytest.param(RIGHT_TO_LEFT, marks=pytest.mark.nightly)])
def test_every_step_is_open_to_all_and_done_with_keys_alone(
    browser: Any, console_world: World, codes: Iterator[str], language: str
) -> None:
    told: set[str] = set()

    def seen(name: str) -> None:
        if name == "verification" and name not in told and language == LEFT_TO_RIGHT:
            places = [one.bounding_box() for one in look.page.locator(".pane, .scale").all()]
            assert len({one["y"] for one in places[:2]}) == 1
            assert max(one["y"] + one["height"] for one in places) <= 844, "all on one screen of a phone"
            assert not any(one.is_visible() for one in look.page.locator("kbd, .keys").all())
        if name not in told:
            look.require_open_to_all(NIGHTLY or name in BY_DAY)
        told.add(name)

    with opened(browser, console_world.address, **in_language(language), has_touch=language == LEFT_TO_RIGHT) as look:
        join(look.open("/sign-in").page, next(codes), console_world.key("trainee"))
        look.page.locator("nav").wait_for()
        for _ in taken(look, "all", seen):
            pass
        assert told == {*STEPS} - {"own photo", *LESSON}
        look.open("/course/result").page.locator("details summary").click()
        look.require_open_to_all()
        look.open("/course/review?all=1").page.locator(".card a").first.click()
        look.page.locator("details summary").click()
        look.require_open_to_all()


@pytest.mark.nightly
@pytest.mark.parametrize("language", [LEFT_TO_RIGHT, RIGHT_TO_LEFT])
def test_a_lesson_is_open_to_all_and_done_with_keys_alone(
    browser: Any, console_world: World, codes: Iterator[str], language: str
) -> None:
    with opened(browser, console_world.address, **in_language(language)) as look:
        join(look.open("/sign-in").page, next(codes), console_world.key("trainee"))
        look.page.locator("nav").wait_for()
        told = list(taken(look, "lesson", lambda name: look.require_open_to_all()))
        assert told == ["block", *([*LESSON, "right answer"] * 6)]


def test_the_shots_of_a_track_are_stepped_through_with_keys(look: Look, console_world: World) -> None:
    trainer = console_world.staff.caller(Role.TRAINER).training
    with at_hand(console_world.folder):
        code = enrol(trainer, create(trainer, FOOTAGE).course_id).enrolled[0].code
    at_step(look, console_world, code, pb.TRIAL_STEP_RATE)
    page = look.page
    assert all(one.is_visible() for one in page.locator("legend kbd, details.keys").all())
    shots, large = page.locator("[name=shot]"), page.locator(".track .pane")

    def chosen() -> Any:
        (only,) = (one for one in large.all() if one.is_visible())
        return only.get_attribute("aria-label")

    count = shots.count()
    assert count == large.count() > 2
    assert chosen() == "Shot 1"
    page.keyboard.press(",")  # nothing is before the first
    assert chosen() == "Shot 1"
    for number in range(2, count + 1):
        page.keyboard.press(".")
        assert chosen() == f"Shot {number}"
    page.keyboard.press(".")
    assert chosen() == f"Shot {count}"
    page.locator("[name=shot]:checked").focus()
    page.keyboard.press("ArrowLeft")
    assert chosen() == f"Shot {count - 1}"
    page.keyboard.press("+")  # the zoom stays from shot to shot
    page.keyboard.press(",")
    wide = [one.evaluate("one => one.scrollWidth / one.clientWidth") for one in page.locator(".pane:visible").all()]
    assert wide == [pytest.approx(2, abs=0.02)] * 2
    photo, track = (page.locator(one).bounding_box() for one in (".stage > figure .pane", ".track .pane:visible"))
    assert (photo["y"], photo["width"], photo["height"]) == (track["y"], track["width"], track["height"])
    assert "imilarit" not in page.locator("main").inner_text()
    page.keyboard.press("2")
    look.heading("The right answer")
    assert "Similarity of the photo and the track" in page.locator("main").inner_text()


def test_without_scripts_all_shots_are_shown_and_one_is_large(browser: Any, console_world: World) -> None:
    trainer = console_world.staff.caller(Role.TRAINER).training
    with at_hand(console_world.folder):
        code = enrol(trainer, create(trainer, FOOTAGE).course_id).enrolled[0].code
    with opened(browser, console_world.address, java_script_enabled=False) as look:
        at_step(look, console_world, code, pb.TRIAL_STEP_RATE)
        page = look.page
        assert not any(one.is_visible() for one in page.locator("kbd, .keys").all()), "keys need scripts"
        small = page.locator(".track label img")
        assert all(one.is_visible() for one in small.all())
        page.locator("[name=shot]").nth(1).check()
        (large,) = (one for one in page.locator(".track .pane").all() if one.is_visible())
        assert large.get_attribute("aria-label") == "Shot 2"


def test_photos_of_a_trial_have_the_keys_of_all_photos(look: Look, console_world: World, codes: Iterator[str]) -> None:
    at_step(look, console_world, next(codes), pb.TRIAL_STEP_RATE)
    page, (first, last) = look.page, look.page.locator(".stage > *").all()
    for times, key in ((2, "+"), (3, "+"), (2, "-")):
        page.keyboard.press(key)
        wide = [one.evaluate("one => one.scrollWidth / one.clientWidth") for one in page.locator(".pane").all()]
        assert wide == [pytest.approx(times, abs=0.02)] * 2
    page.locator(".pane").first.focus()
    before = page.evaluate("document.querySelector('.pane').scrollTop")
    page.keyboard.press("ArrowDown")  # moves both, and chooses no answer
    wait_until(page, "before => [...document.querySelectorAll('.pane')].every((one) => one.scrollTop > before)", before)
    assert page.evaluate("document.activeElement.matches('.pane')")
    page.keyboard.press("f")
    assert last.bounding_box()["x"] == first.bounding_box()["x"]
    page.keyboard.press("v")
    assert last.bounding_box()["x"] > first.bounding_box()["x"]


@pytest.mark.nightly
def test_both_photos_change_slowly_until_somebody_stops_them(
    browser: Any, console_world: World, codes: Iterator[str]
) -> None:
    with opened(browser, console_world.address, reduced_motion="no-preference") as look:
        at_step(look, console_world, next(codes), pb.TRIAL_STEP_RATE)
        page, seen = look.page, []
        page.clock.install(time=0)
        page.clock.pause_at(1000)
        page.keyboard.press("f")
        for _ in range(3):
            seen.append(page.locator("[name=view]:checked").get_attribute("value"))
            page.clock.run_for(1000)
        assert seen == ["right", "left", "right"]
        assert page.locator("[data-flicker]").get_attribute("aria-pressed") == "true"
        page.keyboard.press("f")
        kept = page.locator("[name=view]:checked").get_attribute("value")
        page.clock.run_for(5000)
        assert page.locator("[name=view]:checked").get_attribute("value") == kept


@pytest.mark.nightly
def test_a_photo_that_is_dragged_is_not_chosen(look: Look, console_world: World, codes: Iterator[str]) -> None:
    at_step(look, console_world, next(codes), pb.TRIAL_STEP_CHOOSE)
    page = look.page
    page.keyboard.press("+")
    box = page.locator(".pane").first.bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 80)
    before = page.evaluate("[...document.querySelectorAll('.pane')].map((one) => one.scrollTop)")
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 50)
    page.mouse.up()
    wait_until(
        page,
        "before => [...document.querySelectorAll('.pane')].every((one, at) => one.scrollTop > before[at] + 10)",
        arg=before,
    )
    look.heading("Trial 1 of 1")
    page.mouse.move(box["x"] + 40, box["y"] + 80)
    page.mouse.down()
    page.mouse.up()
    look.heading("The right answer")  # control: a click chooses


def test_notes_are_kept_while_they_are_typed_and_survive_a_reload(
    look: Look, console_world: World, codes: Iterator[str]
) -> None:
    at_step(look, console_world, next(codes), pb.TRIAL_STEP_NOTE)
    look.page.locator("#notes").press_sequentially("A mark")
    look.page.locator("[data-saved]", has_text="Saved.").wait_for()
    look.page.reload()
    assert look.page.locator("#notes").input_value() == "A mark"


def test_an_own_photo_from_the_camera_stays_in_the_browser_until_the_trial_is_over(
    look: Look, console_world: World, codes: Iterator[str]
) -> None:
    page = look.page
    at_step(look, console_world, next(codes), pb.TRIAL_STEP_SEND_PROBE, "own")
    page.evaluate(
        """() => {
            const drawn = document.createElement("canvas");
            drawn.width = drawn.height = 64;
            setInterval(() => drawn.getContext("2d").fillRect(0, 0, 64, 64), 50);
            navigator.mediaDevices.getUserMedia = async () => drawn.captureStream(5);
        }"""
    )
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take the photo").click()
    page.locator("[data-taken]", has_text="The photo is taken").wait_for()
    assert page.evaluate("document.querySelector('#file').files[0].type") == "image/jpeg"
    page.locator("#file").set_input_files([PROBE])
    page.get_by_role("button", name="Search", exact=True).click()
    page.locator("#notes").fill("A square.")
    page.evaluate(
        """async () => {
            while (sessionStorage.getItem("fr-own-probe") === null) await new Promise(requestAnimationFrame);
        }"""
    )
    page.locator("form[data-draft] button").first.focus()
    press(look, "Enter")
    page.locator("[data-own] img:visible").wait_for()
    for rating in ("Enter", "4", "4", "4"):
        press(look, rating)
    page.keyboard.press("i")
    press(look, "Enter")
    press(look, "Enter")
    assert page.evaluate("sessionStorage.getItem('fr-own-probe')") is None


def test_the_screen_is_checked_before_the_course(look: Look, console_world: World) -> None:
    sign_in(look.open("/").page, console_world, "trainee")
    look.open("/course").page.locator("[data-device] [data-fine]", has_text="Both pictures are there").wait_for()
    look.page.set_viewport_size({"width": 320, "height": 600})
    look.open("/course").page.locator("[data-device] [data-fine]", has_text=re.compile("small here")).wait_for()
