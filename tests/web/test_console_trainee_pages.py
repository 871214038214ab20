"""A trainee's steps in a real browser: no barrier, keys alone, photos that move together, drafts, the camera."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.browser import (
    LEFT_TO_RIGHT,
    PROBE,
    RIGHT_TO_LEFT,
    Look,
    World,
    chromium,
    needs_browser,
    sign_in,
)
from support.counts import NIGHTLY

pytestmark = needs_browser
PAGES = (
    "verification",
    "triad",
    "note",
    "parts",
    "parts of all",
    "list",
    "candidate",
    "decision",
    "confirmation",
    "similarities",
    "triage",
    "advice",
    "prediction",
    "table",
    "hash",
    "crop",
    "limitation",
    "custody",
    "result",
    "review",
)
# A page of each kind; axe looks at the others by night.
BY_DAY = ("verification", "parts", "decision", "table", "custody", "review")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def codes(console_world: World) -> Iterator[str]:
    """Codes of a course of every exercise."""
    console_world.release(console_world.every_exercise().cohort)
    return console_world.others


def entered(look: Look, world: World, code: str, sitting: str = "all") -> Look:
    form = look.open("/sign-in").page.locator("form[data-fragment]")
    form.locator("[name=code]").fill(code)
    form.locator("[name=key]").fill(world.key("trainee"))
    form.locator("button").click()
    look.page.locator("nav").wait_for()
    look.open("/course")
    form = look.page.locator(f"form:has([name=sitting][value={sitting}])")
    form.locator("[name=consent]").check()
    form.locator("button").click()
    look.page.locator("[name=block]").wait_for(state="attached")
    return look


def made(browser: Any, world: World, language: str = "en", **more: Any) -> Look:
    context = browser.new_context(extra_http_headers={"accept-language": language}, reduced_motion="reduce", **more)
    return Look(context.new_page(), world.address)


def press(look: Look, key: str) -> None:
    """Press a key and wait for the page that it brings."""
    look.page.evaluate("document.querySelector('main').dataset.before = '1'")
    look.page.keyboard.press(key)
    look.page.wait_for_selector("main:not([data-before])")


def typed(look: Look, field: str, text: str, key: str = "Enter") -> None:
    look.page.locator(field).fill(text)
    look.page.locator(field).press(key) if key else None


def walk(look: Look, seen: Callable[[str], None]) -> None:
    """Take the whole sitting with the keyboard, and tell each page that is new."""
    page = look.page
    press(look, "Enter")
    for number in range(4):
        seen("verification") if number == 0 else None
        press(look, "7" if number % 2 else "1")
        press(look, "Enter")
    press(look, "Enter")
    seen("triad")
    press(look, "2")
    press(look, "Enter")
    press(look, "Enter")
    seen("parts")
    for _ in range(12):
        page.keyboard.press("s")
        press(look, "8")
    seen("parts of all")
    press(look, "Enter")
    press(look, "4")
    press(look, "Enter")
    press(look, "Enter")
    for number in range(2):
        seen("note") if number == 0 else None
        page.locator("#notes").fill("A mark on the chin.")
        page.locator("h1").focus()
        locking(look, "Lock the notes")
        seen("list") if number == 0 else None
        press(look, "Enter")
        seen("candidate") if number == 0 else None
        for rating in "135":
            press(look, rating)
        seen("decision") if number == 0 else None
        page.keyboard.press("n")
        press(look, "Enter")
        seen("confirmation") if number == 0 else None
        press(look, "Enter")
        seen("similarities") if number == 0 else None
        press(look, "Enter")
    press(look, "Enter")
    seen("triage")
    page.keyboard.press("2")
    page.keyboard.press("4")
    for _ in range(3):
        press(look, "Enter")
    for number in range(2):
        press(look, "6")
        seen("advice") if number == 0 else None
        press(look, "5")
        press(look, "Enter")
    press(look, "Enter")
    seen("prediction")
    page.locator("#percent").fill("12")
    locking(look, "Lock the prediction")
    seen("table")
    page.keyboard.press("1")
    press(look, "Enter")
    press(look, "Enter")
    press(look, "Enter")
    seen("hash")
    page.locator("#sha256").fill("ab" * 32)
    locking(look, "Answer")
    seen("crop")
    page.locator("#sha256").fill("ab" * 32)
    locking(look, "Answer")
    seen("limitation")
    page.locator("#notes").fill("It shows less.")
    locking(look, "Lock the notes")
    seen("custody")
    page.locator("#row").fill("3")
    locking(look, "Answer")
    press(look, "Enter")
    look.open("/course/result")
    page.locator("details summary").click()
    seen("result")
    look.open("/course/review?all=1").page.locator(".card a").first.click()
    page.locator("details summary").wait_for()
    page.locator("details summary").click()
    seen("review")


LOCKS = {
    "Lock the notes": "form[data-draft] button",
    "Lock the prediction": "form:has(#percent) button",
    "Answer": "form:has(#sha256) button, form:has(#row) button",
}


def locking(look: Look, name: str) -> None:
    """Press Enter on a button, found in whatever language."""
    look.page.evaluate("document.querySelector('main').dataset.before = '1'")
    look.page.locator(LOCKS[name]).first.focus()
    look.page.keyboard.press("Enter")
    look.page.wait_for_selector("main:not([data-before])")


@pytest.mark.parametrize("language", [LEFT_TO_RIGHT, pytest.param(RIGHT_TO_LEFT, marks=pytest.mark.nightly)])
def test_every_step_is_open_to_all_and_done_with_keys_alone(
    browser: Any, console_world: World, codes: Iterator[str], language: str
) -> None:
    size = {"width": 360, "height": 740} if language == LEFT_TO_RIGHT else {"width": 1280, "height": 800}
    look, told = made(browser, console_world, language, viewport=size), []

    def seen(name: str) -> None:
        told.append(name)
        try:
            look.require_open_to_all(NIGHTLY or name in BY_DAY)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error

    walk(entered(look, console_world, next(codes)), seen)
    assert sorted(told) == sorted(PAGES)
    look.page.context.close()
    look.require_sound()


@pytest.fixture
def look(browser: Any, console_world: World) -> Iterator[Look]:
    found = made(browser, console_world, locale="en-GB")
    yield found
    found.page.context.close()
    found.require_sound()


def test_photos_of_a_trial_have_the_keys_of_all_photos(look: Look, console_world: World, codes: Iterator[str]) -> None:
    press(entered(look, console_world, next(codes)), "Enter")
    page, (first, last) = look.page, look.page.locator(".stage > *").all()
    for times, key in ((2, "+"), (3, "+"), (2, "-")):
        page.keyboard.press(key)
        wide = [one.evaluate("one => one.scrollWidth / one.clientWidth") for one in page.locator(".pane").all()]
        assert wide == [pytest.approx(times, abs=0.02)] * 2
    page.locator(".pane").first.focus()
    before = page.evaluate("document.querySelector('.pane').scrollTop")
    page.keyboard.press("ArrowDown")  # moves both, and chooses no answer
    page.wait_for_function(
        "before => [...document.querySelectorAll('.pane')].every((one) => one.scrollTop > before)", arg=before
    )
    assert page.evaluate("document.activeElement.matches('.pane')")
    page.keyboard.press("f")
    assert last.bounding_box()["x"] == first.bounding_box()["x"]
    page.keyboard.press("v")
    assert last.bounding_box()["x"] > first.bounding_box()["x"]


@pytest.mark.nightly
def test_both_photos_change_slowly_until_somebody_stops_them(
    browser: Any, console_world: World, codes: Iterator[str]
) -> None:
    context = browser.new_context(locale="en-GB", reduced_motion="no-preference")
    look = Look(context.new_page(), console_world.address)
    press(entered(look, console_world, next(codes)), "Enter")
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
    context.close()
    look.require_sound()


@pytest.mark.nightly
def test_a_photo_that_is_dragged_is_not_chosen(look: Look, console_world: World, codes: Iterator[str]) -> None:
    press(entered(look, console_world, next(codes)), "Enter")
    for _ in range(4):
        press(look, "4")
        press(look, "Enter")
    press(look, "Enter")
    page = look.page
    page.keyboard.press("+")
    box = page.locator(".pane").first.bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 80)
    before = page.evaluate("[...document.querySelectorAll('.pane')].map((one) => one.scrollTop)")
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 50)
    page.mouse.up()
    page.wait_for_function(
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
    at_notes(entered(look, console_world, next(codes)))
    look.page.locator("#notes").press_sequentially("A mark")
    look.page.locator("[data-saved]", has_text="Saved.").wait_for()
    look.page.reload()
    assert look.page.locator("#notes").input_value() == "A mark"


def at_notes(look: Look) -> None:
    press(look, "Enter")
    for _ in range(4):
        press(look, "4")
        press(look, "Enter")
    press(look, "Enter")
    press(look, "1")
    press(look, "Enter")
    press(look, "Enter")
    for _ in range(12):
        press(look, "n")
    press(look, "Enter")
    press(look, "4")
    press(look, "Enter")
    press(look, "Enter")


def test_an_own_photo_from_the_camera_stays_in_the_browser_until_the_trial_is_over(
    look: Look, console_world: World, codes: Iterator[str]
) -> None:
    page = look.page
    press(entered(look, console_world, next(codes), "own"), "Enter")
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
    locking(look, "Lock the notes")
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
