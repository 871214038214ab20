"""Every page of the console in every state: no barrier, no broken policy, nothing from elsewhere, in both directions.

A new screen needs a row of `ROWS` for each of its states.
"""

from collections.abc import Iterator

import pytest

from fr_api.v1 import training_pb2
from fr_trust.access.roles import Role
from support.browser import (
    LEFT_TO_RIGHT,
    PLAN,
    PROBE,
    RIGHT_TO_LEFT,
    Act,
    Look,
    Row,
    Visitors,
    World,
    chromium,
    needs_browser,
)
from support.courses import Chance, start, take

pytestmark = [needs_browser, pytest.mark.usefixtures("people_at_hand", "a_class")]


@pytest.fixture(scope="module")
def visitors(console_world: World) -> Iterator[Visitors]:
    with chromium() as browser:
        yield Visitors(browser, console_world)


@pytest.fixture(scope="module")
def a_class(console_world: World) -> None:
    """A cohort with somebody who has taken the course, and the release of all its items."""
    stub = console_world.staff.caller(Role.TRAINER).training
    request = training_pb2.CreateCohortRequest(
        course_id=console_world.course.course_id, display_name="A class", trainees=2
    )
    made = stub.CreateCohort(request)
    trainee = console_world.staff.caller(Role.TRAINEE).training
    session_id = start(trainee, made.enrolled[0].code, "pairs")
    for _ in take(trainee, session_id, Chance()):
        pass
    trainee.FinishSession(training_pb2.FinishSessionRequest(session_id=session_id))
    blocks = [block.block_id for sitting in console_world.course.sittings for block in sitting.blocks]
    release = training_pb2.ReleaseItemsRequest(cohort_id=made.cohort.cohort_id, block_ids=blocks)
    release.include_tests = release.before_all_finished = True
    stub.ReleaseItems(release)


def led_on(*selectors: str) -> Act:
    """Click one thing after another."""

    def act(look: Look) -> None:
        for selector in selectors:
            look.page.locator(selector).first.click()
            look.page.wait_for_timeout(200)

    return act


def planned(look: Look) -> None:
    look.page.locator("[name='dataset.people_folder']").check()
    look.page.locator("[name=plan][value='']").check()
    look.page.locator("#toml").fill(PLAN)
    look.page.locator("form[action='/courses/new'] button").click()
    look.page.locator("#work").wait_for()


def forecast(look: Look) -> None:
    planned(look)
    look.page.locator("[name=do][value=check]").click()
    look.page.locator("#forecast-head").wait_for()


def of_class(path: str, *selectors: str) -> Act:
    """Open a page below the cohort "A class"."""

    def act(look: Look) -> None:
        place = look.page.locator("main th a", has_text="A class").first.get_attribute("href")
        look.open(f"{place}{path}")
        led_on(*selectors)(look)

    return act


def truth_told(look: Look) -> None:
    of_class("/items", "main th a")(look)
    following = look.page.locator(".steps a.button:not(.quiet)")
    while following.count():
        address = look.page.url
        following.click()
        look.page.wait_for_function("before => location.href !== before", arg=address)
        look.page.locator(".steps").wait_for()


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
    "home of a trainer": Row("trainer", "/"),
    "courses": Row("trainer", "/courses"),
    "a course to make": Row("trainer", "/courses/new"),
    "a plan that is checked": Row("trainer", "/courses/new", planned),
    "how hard the forms will be": Row("trainer", "/courses/new", forecast),
    "a course of a trainer": Row("trainer", "/courses", led_on("main th a")),
    "a contact sheet": Row("trainer", "/courses", led_on("main th a", ".cards a", "[name^='item.']")),
    "cohorts": Row("trainer", "/cohorts"),
    "slips": Row("trainer", "/courses", led_on("main th a", "form[action$='/cohorts'] button")),
    "a live board": Row("trainer", "/cohorts", of_class("")),
    "items to release": Row("trainer", "/cohorts", of_class("/release")),
    "a release that is refused": Row(
        "trainer", "/cohorts", of_class("/release", "[name=sure]", "main form button"), allowed=(400,)
    ),
    "items for the class": Row("trainer", "/cohorts", of_class("/items")),
    "an item for the class": Row("trainer", "/cohorts", of_class("/items", "main th a")),
    "an item with its truth": Row("trainer", "/cohorts", truth_told),
    "a trainee of a trainer": Row("trainer", "/cohorts", of_class("", ".inline a")),
    "a pause": Row("trainee", "/course", paused),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_page_has_no_barrier_and_breaks_no_policy(visitors: Visitors, name: str) -> None:
    row = ROWS[name]
    for language in (LEFT_TO_RIGHT, RIGHT_TO_LEFT):
        look = visitors.of(row.role, language, row.allowed).open(row.path)
        row.act(look)
        expected = "rtl" if language == RIGHT_TO_LEFT else "ltr"
        assert look.page.locator("html").get_attribute("dir") == expected
        look.require_open_to_all()
