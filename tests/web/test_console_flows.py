"""People use the console in a real browser: by keys alone, without scripts, and with connections that break."""

from typing import Any

import pytest

from fr_web.console.views.keyboard import KEYS
from support.browser import PATIENCE_MS, PROBE, Look, World, join, needs_browser, opened, sign_in
from support.counts import at_night

pytestmark = needs_browser
TOPS = "[...document.querySelectorAll('.pane, .scale button, h1')].map((one) => one.getBoundingClientRect().top)"
MOST_BYTES = 150 * 1024  # of the first pages together, without photos


def focused_heading(look: Look, words: str) -> None:
    look.heading(words)
    look.page.locator("h1:focus").wait_for()
    assert look.page.locator("#live").text_content() == words


def transferred(look: Look) -> int:
    """Bytes that came over the line so far, headers and all; `Look` sees requests to other hosts."""
    told = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
        .map((one) => one.transferSize).reduce((all, one) => all + one)"""
    return int(look.page.evaluate(told))


def test_a_trainee_takes_a_course_with_keys_alone(look: Look, console_world: World) -> None:
    code = next(console_world.codes)
    look.open("/")
    signing_in = transferred(look)
    look.tab_to("#code")
    look.page.keyboard.type(code)
    look.tab_to("#class")
    look.page.keyboard.type(console_world.key("trainee"))
    look.page.keyboard.press("Enter")
    focused_heading(look, "Course: Squares")
    assert 10_000 < signing_in < transferred(look) <= MOST_BYTES
    look.tab_to("[name=consent]")
    look.page.keyboard.press("Space")
    look.tab_to("form[action='/course'] button")
    look.page.keyboard.press("Enter")
    focused_heading(look, "Block 1 of 2")
    look.page.keyboard.press("Enter")
    for number in (1, 2, 3, 4):
        focused_heading(look, f"Trial {number} of 4")
        if number == 1:
            look.page.keyboard.press("k")
            assert look.page.locator("[name=known]").is_checked()
            look.page.keyboard.press("?")
            assert look.page.locator("details.keys").get_attribute("open") is not None
            look.page.keyboard.press("%")
            look.page.keyboard.type("71")  # digits are no answer here, nor is Enter, after which keys answer again
            assert look.page.locator("#p_same:focus").input_value() == "71"
            look.page.keyboard.press("Enter")
        look.page.keyboard.press("7" if number % 2 else "1")
        focused_heading(look, "The right answer")
        assert look.page.locator(".pair img").count() == 2
        look.page.keyboard.press("Enter")
    focused_heading(look, "Block 2 of 2")
    look.page.keyboard.press("Enter")
    focused_heading(look, "Trial 1 of 2")
    assert look.page.locator("[data-left]").text_content()
    look.page.keyboard.press("4")
    focused_heading(look, "Trial 2 of 2")
    look.page.reload()
    look.heading("Trial 2 of 2")
    look.page.keyboard.press("4")
    focused_heading(look, "The sitting is over")
    assert "Trials with an answer: 6 of 6." in look.page.inner_text("main")


def test_keys_can_be_turned_off(look: Look, console_world: World) -> None:
    at_first_trial(look, console_world)
    look.page.locator(".keys summary").click()
    look.page.locator("[data-keys]").uncheck()
    look.page.locator("h1").focus()
    look.page.keyboard.press("7")
    look.heading("Trial 1 of 4")
    look.page.locator("[data-keys]").check()
    look.page.locator("h1").focus()
    look.page.keyboard.press("7")
    look.heading("The right answer")


def test_keys_are_others_where_somebody_has_chosen_them(look: Look, console_world: World) -> None:
    at_first_trial(look, console_world)
    look.page.locator("footer a", has_text="Choose other keyboard keys").click()
    for usual, own in (("7", "j"), ("+", "z"), ("1", "+")):
        look.page.locator(f"[name='key.{list(KEYS).index(usual)}']").fill(own)
    look.press("Keep these keys").heading("Trial 1 of 4")
    for key in "7z":
        look.page.keyboard.press(key)
    assert look.page.locator("[name=zoom]:checked").get_attribute("value") == "2"
    look.heading("Trial 1 of 4")
    look.page.keyboard.press("j")
    look.heading("The right answer")


def at_first_trial(look: Look, world: World) -> None:
    sign_in(look.open("/").page, world, "trainee")
    look.open("/course").page.locator("[name=consent]").check()
    look.press("Begin").heading("Block 1 of 2").press("Begin the block").heading("Trial 1 of 4")


def test_everything_works_without_scripts(browser: Any, console_world: World) -> None:
    with opened(browser, console_world.address, java_script_enabled=False) as look:
        at_first_trial(look, console_world)
        assert look.page.locator(".pair img").count() == 2
        look.press("+3").heading("The right answer")
        look.page.get_by_role("link", name="Next").click()
        look.heading("Trial 2 of 4").press("Pause").heading("Paused").press("Go on").heading("Trial 2 of 4")
        look.press("Sign out").heading("Sign in")
        console_world.staff.enrol("people", "no scripts", 201)
        sign_in(look.page, console_world, "operator")
        look.open("/search?gallery=people").page.locator("#photo").set_input_files([PROBE])
        look.page.locator("form[action='/search'] button").click()
        look.heading("Leads for a human examiner")
        look.open("/galleries/people/subject?id=no%20scripts").page.locator("[name=sure]").check()
        look.press("Erase").heading("Receipt of an erasure")


def test_an_answer_is_sent_again_when_the_connection_is_back(look: Look, console_world: World) -> None:
    look.expected = "Failed to fetch|ERR_INTERNET_DISCONNECTED"
    at_first_trial(look, console_world)
    look.page.context.set_offline(True)
    look.page.locator("#lost").wait_for()
    look.page.keyboard.press("k")
    look.page.keyboard.press("7")
    assert look.page.locator("#live").text_content()
    look.page.context.set_offline(False)
    look.heading("The right answer")
    look.page.locator("#lost").wait_for(state="hidden")


def test_somebody_whose_session_is_over_signs_in_on_the_page(look: Look, console_world: World) -> None:
    look.allowed = (401,)
    code, key = next(console_world.codes), console_world.key("trainee")
    join(look.open("/").page, code, key)
    look.heading("Course: Squares")
    look.open("/course").page.locator("[name=consent]").check()
    look.press("Begin").press("Begin the block").heading("Trial 1 of 4")
    look.page.keyboard.press("k")
    look.page.context.clear_cookies()
    look.page.keyboard.press("7")
    dialog = look.page.locator("#again")
    join(dialog, "wrong", "")
    dialog.locator("#again-refused").wait_for()
    join(dialog, code, key)
    look.heading("The right answer")


def test_a_clock_is_unsure_while_somebody_signs_in_again(look: Look, console_world: World) -> None:
    look.allowed = (401,)
    code, key = next(console_world.codes), console_world.key("trainee")
    join(look.open("/").page, code, key)
    look.heading("Course: Squares").page.locator("[name=consent]").check()
    look.press("Begin").heading("Block 1 of 2").press("Begin the block")
    for number in (1, 2, 3, 4):
        look.heading(f"Trial {number} of 4").page.keyboard.press("7")
        look.heading("The right answer").page.keyboard.press("Enter")
    look.heading("Block 2 of 2").press("Begin the block").heading("Trial 1 of 2")
    assert look.page.locator(".unsure").is_hidden()
    look.page.context.clear_cookies()
    look.page.keyboard.press("7")
    look.page.locator("#again form").first.wait_for()
    assert look.page.locator(".unsure").is_visible()
    join(look.page.locator("#again"), code, key)
    look.heading("Trial 2 of 2")
    assert look.page.locator(".unsure").is_hidden()


def test_what_was_typed_at_a_refused_sign_in_stays_on_the_page_alone(look: Look, console_world: World) -> None:
    from playwright.sync_api import expect

    look.allowed = (401, 404)
    code, key = next(console_world.codes), console_world.key("trainee")
    told, fields = look.page.locator("#page .refusal"), [look.page.locator(one) for one in ("#code", "#class")]
    join(look.open("/").page, f"{code[:-1]}{'0' if code[-1] != '0' else '1'}", key)
    told.get_by_text("does not know this code").wait_for()
    assert fields[1].input_value() == key
    join(look.page, code, "mistyped")
    told.get_by_text("not the right key of the class").wait_for()
    assert [one.input_value() for one in fields] == [code, ""]
    join(look.page, key, code)
    expect(fields[1]).to_have_value("", timeout=PATIENCE_MS)  # it held the code until the answer came
    assert (fields[0].input_value(), key in look.page.content()) == (key, False)
    join(look.page, code, key)
    look.heading("Course: Squares")
    trainee = look.page.locator("header bdi").inner_text()
    assert trainee.startswith("T-")
    look.press("Sign out").heading("Sign in")
    assert [one.input_value() for one in fields] == ["", ""], "the next person has another code"


INTRUDERS = {
    "a script": "document.body.append(Object.assign(document.createElement('script'), {text: 'window.bad = 1'}))",
    "a style": "document.body.setAttribute('style', 'color: red')",
    "a picture from elsewhere": "document.body.append(Object.assign(new Image(), {src: 'https://evil.example/x.png'}))",
    "markup": "document.body.innerHTML += '<p>x</p>'",
    "an error": "new Promise((done) => setTimeout(() => { setTimeout(done); throw new Error('x'); }))",
}


@pytest.mark.parametrize("name", INTRUDERS)
def test_the_watch_over_pages_sees_what_must_not_be(browser: Any, console_world: World, name: str) -> None:
    """The control of every other test here."""
    look = Look(browser.new_page(), console_world.address).open("/")
    look.require_sound()
    try:
        look.page.evaluate(INTRUDERS[name])
    except Exception as error:  # noqa: BLE001 - of Playwright, whose class is not at hand where it is absent
        look.problems.append(str(error))
    assert look.problems
    assert look.page.evaluate("window.bad") is None
    look.page.close()


def test_the_watch_over_barriers_sees_one(browser: Any, console_world: World) -> None:
    look = Look(browser.new_page(), console_world.address).open("/")
    look.page.evaluate("document.querySelector('label').remove()")
    with pytest.raises(AssertionError, match="label"):
        look.require_open_to_all()
    look.page.close()


def test_an_answer_that_takes_long_is_announced_and_asked_for_once(look: Look, console_world: World) -> None:
    sign_in(look.open("/").page, console_world, "trainer")
    look.open("/courses")
    held: list[Any] = []
    look.page.route("**/courses/new", lambda route: held.append(route))
    link = look.page.locator("main a[href='/courses/new']")
    link.click()
    look.page.locator("#busy").wait_for()
    link.click()
    assert "at work" in look.page.inner_text("#live, #busy")
    held[0].continue_()
    look.heading("Make a course").page.locator("#busy").wait_for(state="hidden")
    assert len(held) == 1


@pytest.mark.parametrize("scrolled", [at_night(0), 120])
def test_the_notice_of_a_lost_connection_covers_nothing(look: Look, console_world: World, scrolled: int) -> None:
    look.expected = "Failed to fetch|ERR_INTERNET_DISCONNECTED"
    at_first_trial(look, console_world)
    look.page.evaluate(f"scrollTo(0, {scrolled})")
    before = look.page.evaluate(TOPS)
    look.page.context.set_offline(True)
    look.page.locator("#lost").wait_for()
    height = look.page.evaluate("document.getElementById('lost').getBoundingClientRect().bottom")
    assert height > 0
    assert look.page.evaluate("document.getElementById('lost-words').getBoundingClientRect().bottom") <= height
    after = look.page.evaluate(TOPS)
    assert [round(one - height) for one in after] == [round(one) for one in before]
    look.page.context.set_offline(False)
    look.page.locator("#lost").wait_for(state="hidden")


@pytest.mark.parametrize(("zone", "told"), [("Asia/Tokyo", "GMT+9"), at_night("UTC", "")])
def test_a_time_stands_beside_that_of_the_browser(browser: Any, console_world: World, zone: str, told: str) -> None:
    with opened(browser, console_world.address, timezone_id=zone) as look:
        sign_in(look.open("/").page, console_world, "trainer")
        look.page.locator("nav a[href='/courses']").click()
        text = look.heading("Courses").page.locator("main time").first.inner_text()
    utc, _, here = text.partition(" UTC")
    assert len(utc) == len("2026-11-30 21:05")
    assert (here != "", told in here) == (told != "", True)
