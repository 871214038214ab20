"""Every page of the console in every state: no barrier, no broken policy, nothing from elsewhere, in both directions.

A new screen needs a row of `ROWS` for each of its states.
"""

from collections.abc import Iterator

import pytest

from support.browser import (
    LEFT_TO_RIGHT,
    PROBE,
    RIGHT_TO_LEFT,
    Look,
    Row,
    Visitors,
    World,
    chromium,
    needs_browser,
)

pytestmark = needs_browser


@pytest.fixture(scope="module")
def visitors(console_world: World) -> Iterator[Visitors]:
    with chromium() as browser:
        yield Visitors(browser, console_world)


def searched(look: Look) -> None:
    look.page.locator("#photo").set_input_files([PROBE])
    look.page.locator("main form[action='/search'] button").click()
    look.page.locator(".leads").first.wait_for()


def refused_search(look: Look) -> None:
    look.page.locator("#photo").set_input_files([{**PROBE, "buffer": b"no photo"}])
    look.page.locator("main form[action='/search'] button").click()
    look.page.locator(".refusal").first.wait_for()


def purpose_stated(look: Look) -> None:
    look.page.locator("#case_reference").fill("17/2026")
    look.page.locator("form[action='/purpose'] button").click()
    look.page.locator("table").wait_for()


def erased(look: Look) -> None:
    look.page.locator("[name=sure]").check()
    look.page.locator("button.danger").click()
    look.page.locator("code").wait_for()


def consented(look: Look) -> None:
    look.page.locator("[name=consent]").check()
    look.page.locator("form[action='/course'] button").click()
    look.page.locator("[name=block]").wait_for(state="attached")


def trial(look: Look) -> None:
    consented(look)
    look.page.keyboard.press("Enter")
    look.page.locator(".pair img").first.wait_for()


def revealed(look: Look) -> None:
    trial(look)
    look.page.keyboard.press("7")
    look.page.locator(".lines").wait_for()


def paused(look: Look) -> None:
    trial(look)
    look.page.locator("form:has([name=pause]) button").click()
    look.page.locator("[name=resume]").wait_for(state="attached")


ROWS = {
    "signing in": Row("nobody", "/"),
    "a wrong key": Row(
        "nobody",
        "/",
        lambda look: (look.page.locator("#key").fill("wrong"), look.page.locator("button").last.click()),
        allowed=(401,),
    ),
    "no such page": Row("operator", "/nonsense", allowed=(404,)),
    "home of an operator": Row("operator", "/"),
    "home of an auditor": Row("auditor", "/"),
    "galleries": Row("operator", "/galleries"),
    "a new gallery": Row("admin", "/galleries/new"),
    "a gallery": Row("operator", "/galleries/people"),
    "a gallery whose purpose is asked": Row("operator", "/galleries/cases"),
    "a purpose": Row("admin", "/galleries/cases", purpose_stated),
    "a subject": Row("operator", "/galleries/people/subject?id=people%2010"),
    "the form of a search": Row("operator", "/search?gallery=people"),
    "leads": Row("operator", "/search?gallery=people", searched),
    "a refused photo": Row("operator", "/search?gallery=people", refused_search, allowed=(400,)),
    "the course": Row("trainee", "/course"),
    "a block": Row("trainee", "/course", consented),
    "a trial": Row("trainee", "/course", trial),
    "the right answer": Row("trainee", "/course", revealed),
    "a pause": Row("trainee", "/course", paused),
}


BY_DAY = ("signing in", "a gallery", "leads", "a trial")
"""A page of each kind; the others are looked at by night, as a look takes seconds."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in BY_DAY else pytest.mark.nightly) for name in ROWS]
)
def test_a_page_has_no_barrier_and_breaks_no_policy(visitors: Visitors, name: str) -> None:
    row = ROWS[name]
    for language in (LEFT_TO_RIGHT, RIGHT_TO_LEFT):
        look = visitors.of(row.role, language, row.allowed).open(row.path)
        row.act(look)
        expected = "rtl" if language == RIGHT_TO_LEFT else "ltr"
        assert look.page.locator("html").get_attribute("dir") == expected
        look.require_open_to_all()
