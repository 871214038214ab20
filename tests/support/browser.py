"""Chromium without a window, driven by Playwright, on the pages of a server with somebody of every role.

A `Look` is a page of a browser that fails its test for a broken policy, an error of a script, a request to another
host, or a barrier that axe finds. `ROWS` of tests/web/test_console_pages.py walk every page in every state.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import pseudo_locales
from fr_api.v1 import training_pb2
from fr_trust.access.principal import Role
from fr_web.lti.tool import Tool
from support.callers import BLUES, Staffed, staffed
from support.counts import NIGHTLY
from support.courses import create, link_footage, link_people
from support.faults import until
from support.lti import Lms, lms
from support.servers import photo
from support.web import Web, web

CHROMIUM = shutil.which("chromium")
ASKED = os.environ.get("FR_BROWSER", "") not in ("", "0")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None and not ASKED, reason="chromium is not installed (FR_BROWSER=1 asks for it)"
)
LEFT_TO_RIGHT, RIGHT_TO_LEFT = "en-XA", "ar-XB"
# https://www.deque.com/axe/core-documentation/api-documentation/: WCAG 2.2 AA, and what is good practice beside it.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PATIENCE_MS = 30_000
# A part of a page that htmx has put in, and whose forms it has not taken over yet.
_UNDER_WAY = ".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added"
_HAS_FOCUS = """one => one === document.activeElement ||
  (one.type === "radio" && document.activeElement.form === one.form && document.activeElement.name === one.name)"""

_SHOWN = """() => {
  const found = [], nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
  for (let one = nodes.nextNode(); one; one = nodes.nextNode()) {
    const place = one.nodeType === Node.TEXT_NODE ? one.parentElement : one;
    if (place.closest("[lang]").lang === "en" || !place.checkVisibility()) continue;
    found.push(...(place === one ? [one.ariaLabel, one.alt, one.placeholder, one.title] : [one.data]));
  }
  return found.filter(Boolean).join(" | ");
}"""


PLAN = """
format = 1
title = "Squares"
claims = false
[[sittings]]
name = "pairs"
title = "Pairs"
blocks = [
  {id = "practice", exercise = "verification", same = 2, different = 2, feedback = true},
  {id = "test", exercise = "verification", same = 1, different = 1, minutes = 30},
]
"""
TRAINEE_PLAN = """
format = 1
title = "Every exercise"
claims = false
[[sittings]]
name = "all"
title = "Everything"
blocks = [
  {id = "pairs", exercise = "verification", same = 2, different = 2, minutes = 30, feedback = true},
  {id = "odd", exercise = "triad", trials = 1, feedback = true},
  {id = "features", exercise = "features", same = 1, different = 0, feedback = true},
  {id = "lists", exercise = "candidates", size = 3, present = 1, absent = 1, feedback = true, reveal_scores = true},
  {id = "triage", exercise = "triage", usable = 1, limited = 0, reject = 0, feedback = true},
  {id = "aided", exercise = "aided", same = 1, different = 1, wrong = 1, feedback = true},
  {id = "lab", exercise = "lab", about = "threshold", trials = 1, feedback = true},
  {id = "custody", exercise = "evidence", trials = 1, feedback = true},
  {id = "footage", exercise = "footage", same = 1, different = 1, feedback = true},
]
[[sittings]]
name = "own"
blocks = [
  {id = "own", exercise = "own_probe", trials = 1, size = 3},
]
[[sittings]]
name = "lesson"
blocks = [
  {id = "lesson", exercise = "lesson", lesson = "thresholds"},
]
"""
TRAINEES = 80


@dataclass
class World:
    """A server with keys, galleries and a course, its pages, and a learning platform that opens courses on them."""

    staff: Staffed
    site: Web
    course: training_pb2.Course
    codes: Iterator[str]
    folder: Path
    keys: dict[str, str] = field(default_factory=dict)
    others: Iterator[str] = field(default_factory=lambda: iter(()))
    lms: Lms | None = None

    @property
    def address(self) -> str:
        return f"http://localhost:{self.site.port}"

    def key(self, role: str) -> str:
        """The key of a role; "trainee" is that of the class."""
        if role not in self.keys:
            self.keys[role] = self.staff.caller(Role[role.upper()]).token
        return self.keys[role]

    def every_exercise(self) -> training_pb2.CreateCohortResponse:
        """Make a course of every exercise, whose codes are `others`."""
        trainer = self.staff.caller(Role.TRAINER).training
        with at_hand(self.folder):
            course = create(trainer, TRAINEE_PLAN)
        made = trainer.CreateCohort(training_pb2.CreateCohortRequest(course_id=course.course_id, trainees=TRAINEES))
        self.others = iter([one.code for one in made.enrolled])
        return made

    def release(self, cohort: training_pb2.Cohort) -> None:
        """Release all items of the course of a cohort to it."""
        trainer = self.staff.caller(Role.TRAINER).training
        course = trainer.GetCourse(training_pb2.GetCourseRequest(course_id=cohort.course_id)).course
        blocks = [block.block_id for one in course.sittings for block in one.blocks]
        request = training_pb2.ReleaseItemsRequest(
            cohort_id=cohort.cohort_id, block_ids=blocks, include_tests=True, before_all_finished=True
        )
        trainer.ReleaseItems(request)


def at_hand(folder: Path) -> AbstractContextManager[Any]:
    """Have servers of this process find the data sets and the pseudo-languages of a world."""
    found = {"FR_HOME": str(folder / "home"), "FR_CATALOGUES": str(folder / "catalogues")}
    return patch.dict(os.environ, found)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Run a server without models, in which each role has something to do, with both pseudo-languages on its pages."""
    pseudo_locales.write(folder / "catalogues")
    with ExitStack() as stack:
        with at_hand(folder):
            link_people(folder / "people", 40)
            link_footage(folder / "footage")
            staff = stack.enter_context(staffed(folder / "data"))
            platform = stack.enter_context(lms(staff.caller(Role.TRAINER).token, staff.caller(Role.TRAINEE).token))
            site = stack.enter_context(web(staff.server.address, lti=Tool(platform.tool)))
            trainer = staff.caller(Role.TRAINER).training
            course = create(trainer, PLAN)
        staff.gallery("people", operational=False)
        staff.gallery("cases")
        staff.operator.searches(staff.operator.opens("AZ 1"), "cases", top_k=2)
        request = training_pb2.CreateCohortRequest(course_id=course.course_id, trainees=TRAINEES)
        enrolled = trainer.CreateCohort(request).enrolled
        yield World(staff, site, course, iter([one.code for one in enrolled]), folder, lms=platform)


@contextmanager
def chromium() -> Iterator[Any]:
    """Run the browser. Keep it within a module: Playwright's loop, in this thread, would be in the way of others."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.fail("chromium is not installed, and FR_BROWSER asks for it")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


def wait_until(page: Any, expression: str, arg: object = None) -> None:
    """Wait until an expression of JavaScript, or a function of `arg`, is true on a page.

    Not Playwright's `wait_for_function`: its second look evaluates a string in the page, which our policy forbids.
    """
    until(lambda: bool(page.evaluate(expression, arg)), PATIENCE_MS / 1000)


class Look:
    """A page of the browser, and what was wrong on it; `allowed` are statuses of refusals that a test provokes."""

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        self.address = address
        self.world: World | None = None
        self.problems: list[str] = []
        self.allowed: Sequence[int] = ()
        self.expected = ""  # a pattern of what the browser may say
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("request", self._asked)
        page.on("dialog", self._dialog)

    def open(self, path: str) -> Look:
        self.page.goto(f"{self.address}{path}", wait_until="load")
        return self

    def press(self, name: str | re.Pattern[str]) -> Look:
        self.page.get_by_role("button", name=name).first.click()
        return self

    def tab_to(self, where: str, most: int = 250) -> Any:
        """Move the focus with the Tab key alone; a group of radio buttons has one place for it."""
        found = self.page.locator(where).first
        for _ in range(most):
            if found.evaluate(_HAS_FOCUS):
                return found
            self.page.keyboard.press("Tab")
        return pytest.fail(f"the Tab key does not come to {where}")

    def heading(self, words: str | re.Pattern[str]) -> Look:
        """Wait until a page with this heading is there, and its scripts hear keys."""
        from playwright.sync_api import expect

        expect(self.page.locator("h1")).to_have_text(words, timeout=PATIENCE_MS)
        self.page.wait_for_load_state("domcontentloaded")
        expect(self.page.locator(_UNDER_WAY)).to_have_count(0, timeout=PATIENCE_MS)
        return self

    def load_pictures(self) -> Look:
        """Wait for every picture of the page; the server refuses one that is asked for after its subject is erased."""
        self.page.locator("img").evaluate_all(
            "ones => Promise.all(ones.map((one) => { one.loading = 'eager'; return one.decode(); }))"
        )
        return self

    def require_sound(self) -> None:
        """Fail if anything was wrong so far."""
        assert not self.problems, self.problems

    def require_open_to_all(self, barriers: bool = True) -> None:
        """Fail if axe finds a barrier, in light and in dark, or the page is wider than its window.

        Where `barriers` are not looked for, the width alone counts.
        By day it looks in dark only at colours, and from right to left only at the width and the direction.
        """
        if self.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            self.problems.append("the page is wider than its window")
        leftwards = self.page.evaluate("getComputedStyle(document.body).direction") == "rtl"
        for scheme in ("light", "dark") if barriers and (NIGHTLY or not leftwards) else ():
            everything = NIGHTLY or scheme == "light"
            self.page.emulate_media(color_scheme=scheme)
            self.problems += [f"{scheme}: {one}" for one in _barriers(self.page, everything)]
        self.require_sound()

    def require_translated(self) -> None:
        """Fail if the page shows what the English catalogue says, where it does not say that it is English."""
        text = " ".join(self.page.evaluate(_SHOWN).split())
        left = [one for one in pseudo_locales.english_words() if one in text]
        assert left == [], left

    def _said(self, message: Any) -> None:
        if message.type not in ("error", "warning"):
            return
        if self.expected and re.search(self.expected, message.text):
            return
        status = re.search(r"responded with a status of (\d+)", message.text)
        if status is None or int(status[1]) not in self.allowed:
            self.problems.append(f"console: {message.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:")):
            self.problems.append(f"another host: {request.url}")

    def _dialog(self, dialog: Any) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()


def _barriers(page: Any, everything: bool) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    rules = {"type": "tag", "values": _RULES} if everything else {"type": "rule", "values": ["color-contrast"]}
    axe = Axe()
    if page.evaluate("window.axe !== undefined"):
        axe.axe_script = ""
    found = axe.run(page, options={"runOnly": rules, "resultTypes": ["violations"]}).response
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]


@contextmanager
def opened(browser: Any, address: str, **options: Any) -> Iterator[Look]:
    """Show a page of a browser that nobody has used, in English; fail if anything was wrong on it."""
    context = browser.new_context(**{"locale": "en-GB", "reduced_motion": "reduce", **options})
    try:
        look = Look(context.new_page(), address)
        yield look
    finally:
        context.close()
    look.require_sound()


def in_language(language: str) -> dict[str, Any]:
    """Options of `opened`: a phone for the longest sentences, else a desktop."""
    size = {"width": 360, "height": 740} if language == LEFT_TO_RIGHT else {"width": 1280, "height": 800}
    return {"locale": None, "extra_http_headers": {"accept-language": language}, "viewport": size}


@dataclass
class Visitors:
    """Makes pages of the browser for people of each role; one page serves those of a language, one after another."""

    browser: Any
    world: World
    looks: dict[str, Look] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)

    def of(self, role: str, language: str, allowed: Sequence[int]) -> Look:
        """A page of somebody with the key of a role, of a trainee with a code of their own, or of "nobody"."""
        if language not in self.looks:
            context = self.browser.new_context(reduced_motion="reduce", **in_language(language))
            self.looks[language] = Look(context.new_page(), self.world.address)
        look = self.looks[language]
        look.world = self.world
        look.problems.clear()
        look.allowed = allowed
        if role == "nobody":
            look.page.context.clear_cookies()
        elif role != self.roles.get(language) or role == "trainee":
            sign_in(look.open("/sign-in").page, self.world, role)
        self.roles[language] = role
        return look


def sign_in(page: Any, world: World, role: str) -> None:
    """Sign in on the page that asks for it, and wait for the next page."""
    from playwright.sync_api import expect

    if role == "trainee":
        join(page, next(world.codes), world.key(role))
    else:
        form = page.locator("form[action='/sign-in']").last
        form.locator("[name=key]").fill(world.key(role))
        form.locator("button").click()
    page.wait_for_url(lambda address: "sign-in" not in address)
    expect(page.locator("nav")).to_be_visible(timeout=PATIENCE_MS)


def join(place: Any, code: str, key: str) -> None:
    """Fill in and send the form of a trainee, on its page or in the dialog of another."""
    form = place.locator("form[data-fragment]")
    form.locator("[name=code]").fill(code)
    form.locator("[name=key]").fill(key)
    form.locator("button").first.click()


Act = Callable[[Look], object]


@dataclass(frozen=True)
class Row:
    """A page in a state: who looks, where, and what they do to come to it."""

    role: str
    path: str
    act: Act = lambda look: None
    allowed: tuple[int, ...] = ()


PROBE = {"name": "probe.png", "mimeType": "image/png", "buffer": photo(BLUES[0])}
