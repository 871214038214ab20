"""Every page of the console in every state: no barrier, no broken policy, nothing from elsewhere, in both directions.

A new screen needs a row of `ROWS` for each of its states.
"""

import itertools
import re
from collections.abc import Callable
from secrets import token_bytes
from typing import Any

import pytest

from fr_api.v1 import training_pb2
from fr_locales.rendering import ENGLISH, direction_of, languages
from fr_trust.access.principal import Role
from fr_web.lti.launches import COOKIE
from support.browser import (
    LEFT_TO_RIGHT,
    PATIENCE_MS,
    PLAN,
    PROBE,
    RIGHT_TO_LEFT,
    Act,
    Look,
    Row,
    Visitors,
    World,
    needs_browser,
)
from support.callers import BLUES
from support.counts import NIGHTLY
from support.courses import finish
from support.servers import photo
from support.surfer import Surfer, words
from support.video_calls import announced, reel

pytestmark = [needs_browser, pytest.mark.usefixtures("console_world", "a_class")]
_NUMBERS = itertools.count(2)


@pytest.fixture(scope="module")
def visitors(browser: Any, console_world: World) -> Visitors:
    return Visitors(browser, console_world)


@pytest.fixture(scope="module")
def a_class(console_world: World) -> None:
    """A cohort with somebody who has taken the course, and the release of all its items."""
    request = training_pb2.CreateCohortRequest(
        course_id=console_world.course.course_id, display_name="A class", trainees=2
    )
    made = console_world.staff.caller(Role.TRAINER).training.CreateCohort(request)
    finish(console_world.staff.caller(Role.TRAINEE).training, made.enrolled[0].code, "pairs")
    console_world.release(made.cohort)


Doing = str | tuple[str, Any]
"""An element to press; a field with its text, its files or True for a tick; "" with a key; or None, to wait for it."""


def led_on(*doings: Doing) -> Act:
    """Do one thing after another."""

    def act(look: Look) -> None:
        for at, doing in enumerate(doings):
            if isinstance(doing, tuple):
                _done(look, *doing)
                continue
            look.page.locator(doing).first.click()
            if isinstance(doings[min(at + 1, len(doings) - 1)], str):
                look.page.wait_for_timeout(200)  # the next page may have what is pressed next, and so has this one

    return act


def _done(look: Look, where: str, how: Any) -> None:
    field = look.page.locator(where or "body").first
    how = how() if callable(how) else how
    if how is None:
        field.wait_for(state="attached")
    elif how is True:
        field.check()
    elif not where:
        look.page.keyboard.press(how)
    elif isinstance(how, list):
        field.set_input_files(how)
    elif field.evaluate("one => one.matches('select')"):
        field.select_option(how)
    else:
        field.fill(how)


def of_class(path: str, *doings: Doing) -> Act:
    """Open a page below the cohort "A class"."""

    def act(look: Look) -> None:
        place = look.page.locator("main th a", has_text="A class").first.get_attribute("href")
        look.open(f"{place}{path}")
        led_on(*doings)(look)

    return act


def truth_told(look: Look) -> None:
    from playwright.sync_api import expect

    of_class("/items", "main th a")(look)
    following = look.page.locator(".steps a.button:not(.quiet)")
    while following.count():
        address = look.page.url
        following.click()
        expect(look.page).not_to_have_url(address, timeout=PATIENCE_MS)
        look.page.locator(".steps").wait_for()


def finding_ready(look: Look) -> None:
    from playwright.sync_api import expect

    candidate_beside(look)
    while look.page.locator("#limits").count():
        before = look.page.locator("h1").inner_text()
        led_on(("#limits", "ears hidden"), ("[name=opinion][value='-1']", True), "form[data-again] button")(look)
        expect(look.page.locator("h1")).not_to_have_text(before, timeout=PATIENCE_MS)


def candidate_beside(look: Look) -> None:
    led_on(NEWEST, ("#probe_notes, .stage", None))(look)
    if look.page.locator("#probe_notes").count():
        led_on(("#probe_notes", "a mole beside the left eye"), "main form button", (".stage", None))(look)


def under_the_curtain(look: Look) -> None:
    candidate_beside(look)
    led_on(("[value=curtain]", True), ("[name=zoom][value='3']", True))(look)


def measured(look: Look) -> None:
    led_on(*RUN, "#end a", (".plot", None))(look)
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
    led_on("form[action='/evaluation/compare'] button", ("#report-2", None))(look)


def erased(look: Look) -> None:
    led_on(*ENROLLED)(look)
    look.open("/galleries/people/subject?id=New").load_pictures()
    led_on(("[name=sure]", True), "button.danger", ("code", None))(look)


def enrolled_at_once(look: Look) -> None:
    look.page.locator("form[data-many]").evaluate("one => delete one.dataset.many")  # as without JavaScript
    led_on(("#photo", good_and_bad), "main form button", ("tbody .refused", None))(look)


def notes_asked(look: Look) -> None:
    led_on(*PROBE_ALONE)(look)
    look.page.locator("#probe_notes").evaluate("one => { one.required = false; }")
    led_on("main form button", (".refusal", None))(look)


def from_platform(**more: Any) -> Act:
    """Show the page on which a launch ends, or a frame of the platform: only a platform leads there."""

    def act(look: Look) -> None:
        assert look.world is not None
        assert look.world.lms is not None
        surfer, platform = Surfer(look.world.site), look.world.lms
        language = {"Accept_Language": look.page.locator("html").get_attribute("lang")}
        begun = platform.begin(surfer, **language, **({} if more else {"Sec_Fetch_Dest": "iframe"}))
        answer = platform.post(surfer, platform.message(begun, **more), **language) if more else begun
        assert answer.status == 200, words(answer)
        headers = {name: value for name, value in answer.headers.items() if name != "set-cookie"}
        body = re.sub(rb'<meta http-equiv="refresh"[^>]*>', b"", answer.body)  # as it is before a browser goes on
        look.page.route("**/lti/launch", lambda route: route.fulfill(status=200, headers=headers, body=body))
        look.open("/lti/launch")
        look.page.unroute("**/lti/launch")

    return act


def choosing(*doings: Doing) -> Act:
    """Open the page on which a trainer chooses a sitting for a platform."""

    def act(look: Look) -> None:
        assert look.world is not None
        assert look.world.lms is not None
        surfer = Surfer(look.world.site)
        found = look.world.lms.launch(surfer, "teacher", deep=True)
        headers = {"set-cookie": f"{COOKIE}={surfer.cookies[COOKIE]}; Path=/; Secure; SameSite=None"}
        headers["content-type"], body = "text/html", "<link rel=icon href=data:,>"
        look.page.route("**/lti/launch", lambda route: route.fulfill(status=200, headers=headers, body=body))
        look.page.goto(f"{look.address}/lti/launch")
        look.page.unroute("**/lti/launch")
        look.open(re.findall(r"/lti/choose/[\w-]+", words(found))[0])
        led_on(*doings)(look)

    return act


def in_a_class(look: Look) -> None:
    """Open the activity of a cohort as a trainee."""
    assert look.world is not None
    cohorts = look.world.staff.caller(Role.TRAINER).training.ListCohorts(training_pb2.ListCohortsRequest()).cohorts
    from_platform(custom={"cohort": cohorts[0].cohort_id})(look)


def film() -> list[dict[str, Any]]:
    return [{"name": "a.mp4", "mimeType": "video/mp4", "buffer": reel()}]


def analyzed(*doings: Doing, file: Callable[[], Any] = film) -> Act:
    """Send a video; one that was sent before is there already."""

    def act(look: Look) -> None:
        led_on(("#file", file), "form[data-footage] button", (READY, None))(look)
        if not look.page.locator(LOOKED_AT).count():
            led_on(READY, (LOOKED_AT, None))(look)
        led_on(*doings)(look)

    return act


def half_sent(look: Look) -> None:
    assert look.world is not None
    video = announced(look.world.staff.operator, reel() + b"half")
    look.open(f"/footage/{video.video_id}")


def good_and_bad() -> list[dict[str, Any]]:
    """Another photo of the same face, and none."""
    return [{**PROBE, "name": "New.png", "buffer": photo(BLUES[0]) + token_bytes(8)}, NO_PHOTO]


def gallery_deleted(look: Look) -> None:
    name = fresh()
    led_on(("#gallery_id", name), "main form button", ("a[href$='/settings']", None), "a[href$='/settings']")(look)
    led_on(("#typed", name), "button.danger", ("main a[href='/galleries']", None))(look)


def fresh() -> str:
    return f"passing-{next(_NUMBERS)}"


NO_PHOTO = {**PROBE, "buffer": b"no photo"}
LOOKED_AT = ".tracks, #video-refused"
READY = f"[data-live] a.button, {LOOKED_AT}"
TRACKS_FOUND: tuple[Doing, ...] = (
    "main a[href$='/search']",
    ("#gallery", "people"),
    "form[action*='/search'] button",
    (".probe", None),
)
PLANNED: tuple[Doing, ...] = (
    ("[name='dataset.people_folder']", True),
    ("[name=plan][value='']", True),
    ("#toml", PLAN),
    "form[action='/courses/new'] button",
    ("#work", None),
)
FORECAST = (*PLANNED, "[name=do][value=check]", ("#forecast-head", None))
SEARCH = "main form[action='/search'] button"
CONSENTED: tuple[Doing, ...] = (("[name=consent]", True), "form[action='/course'] button", ("[name=block]", None))
TRIAL = (*CONSENTED, ("", "Enter"), (".pair img", None))
CASE_SEARCHED: tuple[Doing, ...] = (
    ("#case_reference", fresh),
    ("#purpose", "6"),
    "form[action='/cases'] button",
    "a.button",
    ("#photo", [PROBE]),
    ("#notes", "sharp, frontal"),
    ("#gallery", "cases"),
    ("#candidates", "2"),
    "main form button",
    (".probe", None),
)
CASE_OPENED = (*CASE_SEARCHED, "main a.button", (".timeline", None))
NEWEST = "tbody tr:last-child a"
PROBE_ALONE: tuple[Doing, ...] = (NEWEST, ("#probe_notes", None))
ENROLLED: tuple[Doing, ...] = (
    ("#photo", good_and_bad),
    "form[data-many] button",
    ("#many tbody tr:nth-child(2)", None),
    ("form[data-many] button:enabled", None),
)
VOTE = "form[action$='/vote'] button:not([name])"
RUN: tuple[Doing, ...] = ("form[action='/evaluation/run'] button", ("#end a", None))
KEY_REFUSED: tuple[Doing, ...] = (("[name='role.3']", True), "form[action='/keys'] button", ("[aria-invalid]", None))
KEY_MADE: tuple[Doing, ...] = (
    ("[name='role.3']", True),
    ("[name='role.4']", True),
    ("#galleries", "people"),
    "form[action='/keys'] button",
    ("#secret", None),
)


ROWS = {
    "signing in": Row("nobody", "/"),
    "who has read the languages": Row("nobody", "/about"),
    "a wrong key": Row(
        "nobody",
        "/",
        led_on(("#key", "wrong"), "form:has(#key) button"),
        allowed=(401,),
    ),
    "no such page": Row("operator", "/nonsense", allowed=(404,)),
    "home of an operator": Row("operator", "/"),
    "home of an auditor": Row("auditor", "/"),
    "galleries": Row("operator", "/galleries"),
    "a new gallery": Row("admin", "/galleries/new"),
    "a gallery": Row("operator", "/galleries/people"),
    "a gallery whose purpose is asked": Row("operator", "/galleries/cases"),
    "a purpose": Row(
        "admin",
        "/galleries/cases",
        led_on(("#purpose", "1"), ("#case_reference", "17/2026"), "form[action='/purpose'] button", ("table", None)),
    ),
    "another purpose": Row("operator", "/purpose?next=/galleries"),
    "a subject": Row("operator", "/galleries/people/subject?id=people%2010"),
    "the form of a search": Row("operator", "/search?gallery=people"),
    "leads": Row("operator", "/search?gallery=people", led_on(("#photo", [PROBE]), SEARCH, (".probe", None))),
    "a refused photo": Row(
        "operator", "/search?gallery=people", led_on(("#photo", [NO_PHOTO]), SEARCH, (".refusal", None)), allowed=(400,)
    ),
    "footage": Row("operator", "/footage"),
    "a video that is being sent": Row("operator", "/footage", half_sent),
    "a file that is no video": Row("operator", "/footage", analyzed(file=lambda: [NO_PHOTO])),
    "the timeline of a video": Row("operator", "/footage", analyzed()),
    "a track of a video": Row("operator", "/footage", analyzed(".tracks a", ("#case", None))),
    "a shot on its way to a case": Row(
        "operator",
        "/footage",
        analyzed(".tracks a", ("#case", None), ("#case", "AZ 1"), "form:has(#case) button", ("#notes", None)),
    ),
    "tracks to search for": Row("operator", "/footage", analyzed("main a[href$='/search']", ("#probe", None))),
    "leads of tracks": Row("operator", "/footage", analyzed(*TRACKS_FOUND)),
    "cases": Row("operator", "/cases"),
    "a search in a case": Row("operator", "/cases", led_on("tbody a", "main a.button")),
    "a case that is closed": Row(
        "operator",
        "/cases",
        led_on(*CASE_OPENED, ("[name=sure]", True), "button.danger", (".timeline li:nth-child(3)", None)),
    ),
    "the leads of a case": Row("operator", "/cases", led_on(*CASE_SEARCHED)),
    "a case": Row("operator", "/cases", led_on(*CASE_OPENED)),
    "an examination with its ranking": Row(
        "operator", "/cases", led_on(*CASE_OPENED, "tbody a", ("#findings-head", None))
    ),
    "the queue of an examiner": Row("examiner", "/examinations"),
    "notes on the probe are missing": Row("examiner", "/examinations", notes_asked, allowed=(400,)),
    "the probe alone": Row("examiner", "/examinations", led_on(*PROBE_ALONE)),
    "a candidate beside the probe": Row("examiner", "/examinations", candidate_beside),
    "a curtain": Row("examiner", "/examinations", under_the_curtain),
    "a finding to give": Row("examiner", "/examinations", finding_ready),
    "the custody of a case": Row("auditor", "/custody?reference=AZ%201"),
    "photos to enrol": Row("operator", "/galleries/people/enrol"),
    "photos enrolled and refused": Row("operator", "/galleries/people/enrol", led_on(*ENROLLED)),
    "photos enrolled at once": Row("operator", "/galleries/people/enrol", enrolled_at_once),
    "a subject that is erased": Row("operator", "/galleries/people/enrol", erased),
    "a gallery that is deleted": Row("admin", "/galleries/new", gallery_deleted),
    "duplicates": Row(
        "operator", "/galleries/people/duplicates", led_on("form[action$='/duplicates'] button", ("#end", None))
    ),
    "settings of a gallery": Row("admin", "/galleries/people/settings"),
    "retention": Row("admin", "/retention"),
    "two photos to compare": Row("operator", "/compare"),
    "two photos compared": Row(
        "operator",
        "/compare",
        led_on(("#a", [PROBE]), ("#b", [PROBE]), "form[action='/compare'] button", (".pair img", None)),
    ),
    "faces of a photo": Row(
        "operator", "/detect", led_on(("#photo", [PROBE]), "form[action='/detect'] button", (".boxed", None))
    ),
    "keys": Row("admin", "/keys"),
    "keys for an auditor": Row("auditor", "/keys"),
    "a new key": Row("admin", "/keys/new"),
    "a key without its galleries": Row("admin", "/keys/new", led_on(*KEY_REFUSED), allowed=(400,)),
    "a key that was made": Row("admin", "/keys/new", led_on(*KEY_MADE)),
    "the audit": Row(
        "auditor", "/audit", led_on(("#chain", "galleries"), "form[action='/audit'] button", ("td details", None))
    ),
    "the check of the audit": Row(
        "auditor", "/audit/check", led_on("form[action='/audit/check'] button", ("tbody tr", None))
    ),
    "the server": Row("admin", "/server"),
    "data sets": Row("trainer", "/evaluation"),
    "an evaluation": Row("trainer", "/evaluation", led_on(*RUN)),
    "a report": Row("trainer", "/evaluation", measured),
    "two reports": Row("trainer", "/evaluation", reports_compared),
    "the manual": Row("examiner", "/manual"),
    "other keys": Row("trainee", "/keyboard"),
    "two actions on one key": Row(
        "trainee",
        "/keyboard",
        led_on(("[name='key.1']", "1"), "form[action='/keyboard'] button", (".refusal", None)),
        allowed=(400,),
    ),
    "the course": Row("trainee", "/course"),
    "a block": Row("trainee", "/course", led_on(*CONSENTED)),
    "a trial": Row("trainee", "/course", led_on(*TRIAL)),
    "the right answer": Row("trainee", "/course", led_on(*TRIAL, ("", "7"), (".lines", None))),
    "home of a trainer": Row("trainer", "/"),
    "courses": Row("trainer", "/courses"),
    "a course to make": Row("trainer", "/courses/new"),
    "a plan that is checked": Row("trainer", "/courses/new", led_on(*PLANNED)),
    "how hard the forms will be": Row("trainer", "/courses/new", led_on(*FORECAST)),
    "a course of a trainer": Row("trainer", "/courses", led_on("main th a")),
    "a timetable": Row("trainer", "/courses", led_on("main th a", "main a[href$='/timetable']")),
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
    "a closed vote": Row(
        "trainer",
        "/cohorts",
        of_class("/items", "main th a", VOTE, "[name=close]", ("#vote-head", None)),
    ),
    "an open vote": Row("trainer", "/cohorts", of_class("/items", "main th a", VOTE, ("[name=close]", None))),
    "a frame of a learning platform": Row("nobody", "/", from_platform()),
    "a launch from a learning platform": Row("nobody", "/", in_a_class),
    "a launch of a teacher": Row("nobody", "/", from_platform(role="Instructor")),
    "a launch that is refused": Row("nobody", "/lti/login", allowed=(403,)),
    "sittings for a learning platform": Row("trainer", "/", choosing()),
    "a sitting for a learning platform": Row(
        "trainer", "/", choosing(("[name=choice]", True), "main form button", ("[name=JWT]", None))
    ),
    "no vote now": Row("trainee", "/course/vote"),
    "an item with its truth": Row("trainer", "/cohorts", truth_told),
    "a trainee of a trainer": Row("trainer", "/cohorts", of_class("", ".inline a")),
    "a pause": Row("trainee", "/course", led_on(*TRIAL, "form:has([name=pause]) button", ("[name=resume]", None))),
}


TRANSLATED = [one for one in languages() if one != ENGLISH]
BY_DAY = ("signing in", "a gallery", "leads", "the timeline of a video", "a trial")
"""A page of each kind; the others are looked at by night, as a look takes seconds."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in BY_DAY else pytest.mark.nightly) for name in ROWS]
)
def test_a_page_has_no_barrier_and_breaks_no_policy(visitors: Visitors, name: str) -> None:
    row = ROWS[name]
    for language in (LEFT_TO_RIGHT, RIGHT_TO_LEFT, *(TRANSLATED if NIGHTLY else ())):
        look = visitors.of(row.role, language, row.allowed).open(row.path)
        row.act(look)
        assert look.page.locator("html").get_attribute("dir") == direction_of(language)
        look.require_open_to_all()
        if direction_of(language) == "rtl":
            look.require_translated()


@pytest.mark.nightly
def test_the_manual_is_printed_on_sheets_without_a_cut_row(visitors: Visitors) -> None:
    look = visitors.of("examiner", LEFT_TO_RIGHT, ()).open("/manual#records")
    assert look.page.locator("#records").is_visible()
    look.page.emulate_media(media="print")
    styles = "[...document.querySelectorAll(%r)].map((one) => getComputedStyle(one)[%r])"
    assert set(look.page.evaluate(styles % (".manual tr, .manual .tick", "breakInside"))) == {"avoid"}
    assert set(look.page.evaluate(styles % (".manual .annex", "breakBefore"))) == {"page"}
    for size in ("A4", "Letter"):
        sheets = len(re.findall(rb"/Type\s*/Page\b", look.page.pdf(format=size)))
        assert 35 <= sheets <= 60, size
    look.page.emulate_media(media="screen")
