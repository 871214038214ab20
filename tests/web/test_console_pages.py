"""Every page of the console in every state: no barrier, no broken policy, nothing from elsewhere, in both directions.

A new screen needs a row of `ROWS` for each of its states.
"""

import itertools
from collections.abc import Iterator
from secrets import token_bytes

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
from support.callers import BLUES
from support.courses import Chance, start, take
from support.servers import photo

pytestmark = [needs_browser, pytest.mark.usefixtures("people_at_hand", "a_class")]
_NUMBERS = itertools.count(2)


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
    enrolled(look)
    look.open("/galleries/people/subject?id=New")
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


def case_searched(look: Look) -> None:
    look.page.locator("#case_reference").fill(f"AZ {next(_NUMBERS)}")
    look.page.locator("#purpose").select_option("6")
    look.page.locator("form[action='/cases'] button").click()
    look.page.locator("a.button").first.click()
    look.page.locator("#photo").set_input_files([PROBE])
    look.page.locator("#notes").fill("sharp, frontal")
    look.page.locator("#gallery").select_option("cases")
    look.page.locator("#candidates").fill("2")
    look.page.locator("main form button").click()
    look.page.locator(".leads").first.wait_for()


def case_opened(look: Look) -> None:
    case_searched(look)
    look.page.locator("main a.button").click()
    look.page.locator(".timeline").wait_for()


def case_closed(look: Look) -> None:
    case_opened(look)
    look.page.locator("[name=sure]").check()
    look.page.locator("button.danger").click()
    look.page.locator("button.danger").wait_for(state="detached")


def lead_shown(look: Look) -> None:
    case_opened(look)
    look.page.locator("tbody a").first.click()
    look.page.locator("#findings-head").wait_for()


def probe_alone(look: Look) -> None:
    look.page.locator("tbody a").last.click()
    look.page.locator("#probe_notes").wait_for()


def notes_asked(look: Look) -> None:
    probe_alone(look)
    look.page.locator("#probe_notes").evaluate("one => { one.required = false; }")
    look.page.locator("main form button").click()
    look.page.locator(".refusal").first.wait_for()


def candidate_beside(look: Look) -> None:
    look.page.locator("tbody a").last.click()
    look.page.locator("#probe_notes, .stage").first.wait_for()
    if look.page.locator("#probe_notes").count():
        look.page.locator("#probe_notes").fill("a mole beside the left eye")
        look.page.locator("main form button").click()
    look.page.locator(".stage").wait_for()


def under_the_curtain(look: Look) -> None:
    candidate_beside(look)
    look.page.locator("[value=curtain]").check()
    look.page.locator("[name=zoom][value='3']").check()


def finding_ready(look: Look) -> None:
    candidate_beside(look)
    while look.page.locator("#limits").count():
        look.page.locator("#limits").fill("ears hidden")
        look.page.locator("[name=opinion][value='-1']").check()
        before = look.page.locator("h1").text_content()
        look.page.locator("form[data-again] button").click()
        look.page.wait_for_function("before => document.querySelector('h1').textContent !== before", arg=before)


def enrolled(look: Look) -> None:
    new = {**PROBE, "name": "New.png", "buffer": photo(BLUES[0]) + token_bytes(8)}  # another photo of the same face
    look.page.locator("#photo").set_input_files([new, {**PROBE, "buffer": b"no photo"}])
    look.page.locator("form[data-many] button").click()
    look.page.locator("#many tbody tr").nth(1).wait_for()
    look.page.locator("form[data-many] button:enabled").wait_for()


def enrolled_at_once(look: Look) -> None:
    look.page.locator("form[data-many]").evaluate("one => delete one.dataset.many")  # as without JavaScript
    new = {**PROBE, "name": "New.png", "buffer": photo(BLUES[0]) + token_bytes(8)}
    look.page.locator("#photo").set_input_files([new, {**PROBE, "buffer": b"no photo"}])
    look.page.locator("main form button").click()
    look.page.locator("tbody .refused").wait_for()


def gallery_deleted(look: Look) -> None:
    name = f"passing-{next(_NUMBERS)}"
    look.page.locator("#gallery_id").fill(name)
    look.page.locator("main form button").click()
    look.page.locator("a[href$='/settings']").click()
    look.page.locator("#typed").fill(name)
    look.page.locator("button.danger").click()
    look.page.locator("main a[href='/galleries']").wait_for()


def duplicates(look: Look) -> None:
    look.page.locator("form[action$='/duplicates'] button").click()
    look.page.locator("#end").wait_for()


def compared(look: Look) -> None:
    look.page.locator("#a").set_input_files([PROBE])
    look.page.locator("#b").set_input_files([PROBE])
    look.page.locator("form[action='/compare'] button").click()
    look.page.locator(".pair img").first.wait_for()


def detected(look: Look) -> None:
    look.page.locator("#photo").set_input_files([PROBE])
    look.page.locator("form[action='/detect'] button").click()
    look.page.locator(".boxed").wait_for()


def run(look: Look) -> None:
    look.page.locator("form[action='/evaluation/run'] button").first.click()
    look.page.locator("#end a").wait_for()


def measured(look: Look) -> None:
    run(look)
    look.page.locator("#end a").click()
    look.page.locator(".plot").first.wait_for()
    drawn = "[...document.querySelectorAll('.plot img')].map((one) => one.decode().then(() => one.naturalWidth > 99))"
    found = look.page.evaluate(f"Promise.all({drawn})")
    assert len(found) >= 3
    assert all(found)


def reports_compared(look: Look) -> None:
    for _ in range(2):
        measured(look)
        look.open("/evaluation")
    for at in (0, 1):
        look.page.locator("tbody [type=checkbox]").nth(at).check()
    look.page.locator("form[action='/evaluation/compare'] button").click()
    look.page.locator("#report-2").wait_for()


def key_made(look: Look) -> None:
    look.page.locator("[name='role.3']").check()
    look.page.locator("[name='role.4']").check()
    look.page.locator("form[action='/keys'] button").click()
    look.page.locator("#secret").wait_for()


def audit_searched(look: Look) -> None:
    look.page.locator("#chain").select_option("galleries")
    look.page.locator("form[action='/audit'] button").click()
    look.page.locator("td details").first.wait_for()


def audit_checked(look: Look) -> None:
    look.page.locator("form[action='/audit/check'] button").click()
    look.page.locator("tbody tr").first.wait_for()


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
    "cases": Row("operator", "/cases"),
    "a search in a case": Row("operator", "/cases", led_on("tbody a", "main a.button")),
    "a case that is closed": Row("operator", "/cases", case_closed),
    "the leads of a case": Row("operator", "/cases", case_searched),
    "a case": Row("operator", "/cases", case_opened),
    "an examination with its ranking": Row("operator", "/cases", lead_shown),
    "the queue of an examiner": Row("examiner", "/examinations"),
    "notes on the probe are missing": Row("examiner", "/examinations", notes_asked, allowed=(400,)),
    "the probe alone": Row("examiner", "/examinations", probe_alone),
    "a candidate beside the probe": Row("examiner", "/examinations", candidate_beside),
    "a curtain": Row("examiner", "/examinations", under_the_curtain),
    "a finding to give": Row("examiner", "/examinations", finding_ready),
    "the custody of a case": Row("auditor", "/custody?reference=AZ%201"),
    "photos to enrol": Row("operator", "/galleries/people/enrol"),
    "photos enrolled and refused": Row("operator", "/galleries/people/enrol", enrolled),
    "photos enrolled at once": Row("operator", "/galleries/people/enrol", enrolled_at_once),
    "a subject that is erased": Row("operator", "/galleries/people/enrol", erased),
    "a gallery that is deleted": Row("admin", "/galleries/new", gallery_deleted),
    "duplicates": Row("operator", "/galleries/people/duplicates", duplicates),
    "settings of a gallery": Row("admin", "/galleries/people/settings"),
    "retention": Row("admin", "/retention"),
    "two photos to compare": Row("operator", "/compare"),
    "two photos compared": Row("operator", "/compare", compared),
    "faces of a photo": Row("operator", "/detect", detected),
    "keys": Row("admin", "/keys"),
    "keys for an auditor": Row("auditor", "/keys"),
    "a new key": Row("admin", "/keys/new"),
    "a key that was made": Row("admin", "/keys/new", key_made),
    "the audit": Row("auditor", "/audit", audit_searched),
    "the check of the audit": Row("auditor", "/audit/check", audit_checked),
    "the server": Row("admin", "/server"),
    "data sets": Row("trainer", "/evaluation"),
    "an evaluation": Row("trainer", "/evaluation", run),
    "a report": Row("trainer", "/evaluation", measured),
    "two reports": Row("trainer", "/evaluation", reports_compared),
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
    "time that nobody got": Row("trainer", "/cohorts", of_class("", "form[action$='/time'] button")),
    "a link for a projector": Row("trainer", "/cohorts", of_class("", "form[action$='/wall'] button")),
    "a projector": Row("trainer", "/cohorts", of_class("", "form[action$='/wall'] button", "main a[href*='/wall/']")),
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
