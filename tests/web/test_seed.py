"""The rows of the project that FR Core came from, walked in a browser in English and Arabic; others are looked at.

Courses, applied sessions, e-learning, biometric capabilities, the manual, digital evidence, regions and languages.
`FR_PICTURES=FOLDER` keeps the pictures of the last one.
"""

import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fr_api.v1 import audit_pb2, review_pb2, training_pb2
from fr_core.errors import EvidenceUnusable
from fr_locales.messages import message
from fr_locales.rendering import direction_of, render
from fr_trust.access.principal import Role
from fr_trust.evidence.verify import verify_bundle
from support.browser import PROBE, Look, World, join, needs_browser, opened, sign_in, wait_until
from support.courses import create
from support.walks import taken

pytestmark = [needs_browser, pytest.mark.nightly]
TITLE = "A small course"
PLAN = f"""
format = 1
title = "{TITLE}"
claims = false
[[sittings]]
name = "pairs"
starts = "09:00"
blocks = [{{id = "pairs", exercise = "verification", same = 1, different = 1, minutes = 20, feedback = true}}]
slots = [{{kind = "welcome", minutes = 10}}, {{after = "pairs", kind = "debrief", minutes = 30}}]
[[sittings]]
name = "lesson"
blocks = [{{id = "lesson", exercise = "lesson", lesson = "thresholds"}}]
[[sittings]]
name = "evidence"
blocks = [{{id = "custody", exercise = "evidence", trials = 1, feedback = true}}]
"""
LANGUAGES = ("en", "ar")
PAGES = (
    ("nobody", "/about", "console.languages.title"),
    ("trainer", "/courses", "console.nav.courses"),
    ("operator", "/search?gallery=people", "console.nav.search"),
    ("examiner", "/manual", "manual.title"),
)


@dataclass
class Walk:
    """Somebody with a browser in a language, and the codes of a small course."""

    look: Look
    world: World
    language: str
    codes: Iterator[str]

    def says(self, message_id: str) -> str:
        return render(message(message_id), self.language)

    def is_spoken(self, where: str) -> bool:
        """Return whether something of the page is in the letters of the language."""
        text = self.look.page.locator(where).first.text_content()
        return bool(re.search("[ء-ي]" if self.language == "ar" else "[a-z]", text))

    def signs_in(self, role: str, path: str, heading: str) -> Any:
        """Open a page as somebody of a role, and return it."""
        if role != "nobody":
            sign_in(self.look.open("/sign-in").page, self.world, role)
        self.look.open(path).heading(self.says(heading))
        html = self.look.page.locator("html")
        assert html.get_attribute("lang") == self.language
        assert html.get_attribute("dir") == direction_of(self.language)
        return self.look.page

    def takes(self, sitting: str, seen: Callable[[str], None]) -> set[str]:
        """Take a sitting as a trainee of the course to its end; return the steps."""
        join(self.look.open("/sign-in").page, next(self.codes), self.world.key("trainee"))
        self.look.page.locator("nav").wait_for()
        told = set(taken(self.look, sitting, seen))
        self.look.heading(self.says("console.over.title"))
        return told

    def saves(self, where: str) -> bytes:
        with self.look.page.expect_download() as coming:
            self.look.page.locator(where).first.click()
        return Path(coming.value.path()).read_bytes()


@pytest.fixture(scope="module")
def codes(console_world: World) -> Iterator[str]:
    trainer = console_world.staff.caller(Role.TRAINER).training
    request = training_pb2.CreateCohortRequest(course_id=create(trainer, PLAN).course_id, trainees=10)
    return iter([one.code for one in trainer.CreateCohort(request).enrolled])


@pytest.fixture(params=LANGUAGES)
def walk(browser: Any, console_world: World, codes: Iterator[str], request: pytest.FixtureRequest) -> Iterator[Walk]:
    with opened(browser, console_world.address, locale=request.param) as look:
        yield Walk(look, console_world, request.param, codes)


def test_courses(walk: Walk) -> None:
    """A trainer makes a course, prints its slips, and takes the timetable, the slides and the guide to the debrief."""
    page = walk.signs_in("trainer", "/courses/new", "console.new.title")
    page.locator("[name='dataset.people_folder']").check()
    page.locator("[name=plan][value='']").check()
    page.locator("#toml").fill(PLAN)
    page.locator("form[action='/courses/new'] button").click()
    page.locator("#work [name=do][value=make]").click()
    place = page.locator("#work a.button[href^='/courses/']").get_attribute("href")
    walk.look.open(f"{place}/timetable").heading(re.compile(TITLE))
    assert page.locator(".day").count() == 3
    slides = walk.saves("td a[download]").decode()
    assert f'<html lang="{walk.language}" dir="{direction_of(walk.language)}">' in slides
    assert slides.count("<section>") == 2
    assert walk.says("console.kit.welcome_1") in slides
    page.locator("td a[href$='/kit/debrief']").click()
    walk.look.heading(walk.says("console.debrief.title"))
    assert page.locator("main ol > li").count() == 10
    assert walk.is_spoken("main ol > li")
    walk.look.open(place).heading(re.compile(TITLE)).page.locator("#trainees").fill("2")
    page.locator("form[action$='/cohorts'] button").click()
    walk.look.heading(walk.says("console.slips.title"))
    assert page.locator(".slips img").count() == 2
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_applied_sessions(walk: Walk) -> None:
    """A trainee compares faces, and is told after each answer what is right and why."""

    def seen(step: str) -> None:
        if step == "right answer":
            walk.look.heading(walk.says("console.reveal.title"))
            assert walk.look.page.locator(".pair img").count() == 2
            assert walk.is_spoken("main .lines")

    assert {"verification", "right answer"} <= walk.takes("pairs", seen)
    walk.look.open("/course/result").heading(walk.says("console.result.title"))


def test_e_learning(walk: Walk) -> None:
    """A trainee reads a lesson, answers its questions, and reads the reason of each option."""

    def seen(step: str) -> None:
        if step == "part of a lesson":
            assert walk.is_spoken(".lesson p")
        elif step == "question of a lesson":
            assert walk.is_spoken("fieldset legend")
            assert walk.look.page.locator("[name=option]").count() > 2
        elif step == "right answer":
            assert walk.is_spoken("main dl.facts dd")
            reasons = walk.look.page.locator("main dl.facts dd").all_text_contents()
            assert len([one for one in reasons if one.strip()]) > 2

    assert {"part of a lesson", "question of a lesson", "right answer"} <= walk.takes("lesson", seen)


def test_biometric_capabilities(walk: Walk) -> None:
    """An operator searches with a photo, and gets leads, and the notice that they are no identification."""
    page = walk.signs_in("operator", "/search?gallery=people", "console.nav.search")
    page.locator("#photo").set_input_files([PROBE])
    page.locator("main form[action='/search'] button").click()
    walk.look.heading(walk.says("console.leads.title"))
    assert page.locator(".beside .probe img").count() == 1
    assert page.locator(".beside ol.photos li.above").count() >= 1
    assert walk.says("notice.leads") in " ".join(page.locator("main .notice").first.text_content().split())


def test_good_practice_manual(walk: Walk) -> None:
    """An examiner opens a chapter of the manual by its address, and prints the whole."""
    page = walk.signs_in("examiner", "/manual#records", "manual.title")
    at_its_place = """() => {
        const {top} = document.getElementById("records").getBoundingClientRect();
        return scrollY > 0 && top > -8 && top < innerHeight;
    }"""
    wait_until(page, at_its_place)
    assert walk.is_spoken(".manual p")
    page.evaluate("window.print = () => { window.printed = true; }")
    page.locator("[data-print]").first.click()
    assert page.evaluate("window.printed") is True
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) > 30


def test_digital_evidence(walk: Walk) -> None:
    """A trainee secures a photo as evidence; an operator saves what a case holds, and a receiver verifies it."""
    assert {"hash", "custody", "limitation"} <= walk.takes("evidence", lambda step: None)
    staff = walk.world.staff
    case_id = staff.operator.opens(f"AZ {walk.language}")
    found = staff.operator.searches(case_id, "cases", top_k=2).examination
    for number in (1, 2):
        staff.examiner(number).finds(found.examination_id, review_pb2.FINDING_KIND_NO_CANDIDATE, notes="another nose")
    sign_in(walk.look.open("/sign-in").page, walk.world, "operator")
    walk.look.open(f"/cases/{case_id}").heading(re.compile(f"AZ {walk.language}"))
    bundle = walk.saves("section.ask a.button[href$='/evidence']")
    keys = staff.auditor.audit.GetCheckpoints(audit_pb2.GetCheckpointsRequest()).public_keys
    told = verify_bundle(io.BytesIO(bundle), keys["evidence"], keys["cases"])
    assert (told.case_id, told.examinations, told.unfinished, told.by_expected_key) == (case_id, 1, (), True)
    with pytest.raises(EvidenceUnusable):  # control
        verify_bundle(io.BytesIO(bundle), keys["cases"], keys["cases"])


def test_regions_and_languages(look: Look) -> None:
    """Everybody can choose the language of a page, and read who has reviewed it."""
    page = look.open("/").page
    for language in ("fr", "es", "ar", "en"):
        page.locator("#language").select_option(language)
        page.locator("form[action='/language'] button").click()
        page.locator(f"html[lang={language}][dir={direction_of(language)}]").wait_for(state="attached")
        look.heading(render(message("console.sign_in.title"), language))
        look.open("/about").heading(render(message("console.languages.title"), language))
        for other in ("en", "fr", "es", "ar"):
            assert page.locator(f"main section[lang={other}] h3").count() == 1
        look.open("/")


@pytest.mark.parametrize("walk", ["fr", "es"], indirect=True)
def test_other_languages_are_looked_at(walk: Walk, tmp_path: Path) -> None:
    folder = Path(os.environ.get("FR_PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    for role, path, heading in PAGES:
        page = walk.signs_in(role, path, heading)
        walk.look.require_open_to_all(barriers=False)
        picture = page.screenshot(path=folder / f"{walk.language}-{role}.png")
        assert len(picture) > 10_000, "an empty page"
