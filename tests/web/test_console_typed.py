"""Texts that people type stay texts, on every page that links and forms lead to, for every role."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from fr_api.v1 import access_pb2, gallery_pb2, training_pb2
from fr_trust.access.principal import Role
from fr_web.console.views import SCREENS, lti
from support.browser import TRAINEE_PLAN, Look, World, at_hand, chromium, needs_browser, world
from support.callers import BLUES, NONE, Staffed, staffed
from support.counts import NIGHTLY
from support.courses import Chance, answer_until, create, finish, start
from support.crawler import Crawler, faults_of, hostile, marks_of
from support.photos import link_lfw
from support.surfer import Surfer, escaped
from support.video_calls import analyzed, reel
from support.web import Answered, web

MOST_BYTES = 150 * 1024
LONGER = {"/manual": 300 * 1024}  # one page, to print and to search whole
TYPED = (
    "name of a gallery",
    "id of a subject",
    "name of a subject",
    "metadata of a subject",
    "key of metadata",
    "label of a key",
    "reference of a case",
    "notes of an examiner",
    "title of a course",
    "title of a sitting",
    "title of a block",
    "name of a cohort",
    "notes of a trainee",
)
"""Texts of people; each is hostile(1), hostile(2) and so on. Hostile(0) is what forms are filled with."""
BY_DAY = TYPED[:8]  # of no course


def typed(name: str) -> str:
    return hostile(TYPED.index(name) + 1)


def toml(name: str) -> str:
    return typed(name).replace('"', '\\"')


COURSE = (
    TRAINEE_PLAN.replace("Every exercise", toml("title of a course"))
    .replace("Everything", toml("title of a sitting"))
    .replace('"pairs",', f'"pairs", title = "{toml("title of a block")}",')
)


@pytest.fixture(scope="module")
def typed_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with typed_in(tmp_path_factory.mktemp("typed")) as made:
        yield made


@contextmanager
def typed_in(folder: Path) -> Iterator[World]:
    """Run a world in which each text that people can type would break a page that takes it for a part of itself.

    By day it has no course, which takes seconds to make.
    """
    if not NIGHTLY:
        with staffed(folder) as staff, web(staff.server.address) as site:
            fill(staff)
            yield World(staff, site, training_pb2.Course(), iter(()), folder)
        return
    with world(folder) as made, at_hand(made.folder):
        link_lfw(folder / "lfw")
        fill(made.staff)
        analyzed(made.staff.everybody, reel())
        trainer = made.staff.caller(Role.TRAINER).training
        course = create(trainer, COURSE)
        request = training_pb2.CreateCohortRequest(
            course_id=course.course_id, display_name=typed("name of a cohort"), trainees=5
        )
        kept = trainer.CreateCohort(request)
        made.keys["finished"] = kept.enrolled[0].code
        made.codes = iter([one.code for one in kept.enrolled[1:]])
        answer_all(made, made.keys["finished"])
        made.release(kept.cohort)
        yield made


def fill(staff: Staffed) -> None:
    staff.gallery("empty", operational=False, people=0)
    new = gallery_pb2.CreateGalleryRequest(
        gallery_id="typed", display_name=typed("name of a gallery"), use=gallery_pb2.GALLERY_USE_TEST, keeps_photos=True
    )
    staff.admin.gallery.CreateGallery(new)
    for blue in BLUES[:2]:
        told = {typed("key of metadata")[:60]: typed("metadata of a subject")}
        staff.enrol("typed", typed("id of a subject") + str(blue), blue, typed("name of a subject"), **told)
    roles = [access_pb2.ROLE_TRAINEE]
    staff.admin.access.CreateKey(access_pb2.CreateKeyRequest(label=typed("label of a key"), roles=roles))
    case_id = staff.operator.opens(typed("reference of a case"))
    found = staff.operator.searches(case_id, "typed", top_k=2)
    staff.examiner(1).finds(found.examination.examination_id, NONE, notes=typed("notes of an examiner"))


class Typing(Chance):
    def notes(self, session_id: str, trial: training_pb2.Trial) -> training_pb2.LockNotesRequest:
        request = super().notes(session_id, trial)
        if request.notes:
            request.notes = typed("notes of a trainee")
        return request


def answer_all(made: World, code: str) -> None:
    finish(made.staff.caller(Role.TRAINEE).training, code, how=Typing())


def signed_in(made: World, key: str, code: str = "", **options: Any) -> Crawler:
    surfer = Surfer(made.site, file=hostile(0) + ".png")
    assert surfer.sign_in(key, code).status == 303
    return Crawler(surfer, **options)


@pytest.fixture(scope="module")
def visitors(typed_world: World) -> list[Crawler]:
    """Somebody with all roles but the trainee's, a trainee who has finished, and a stranger, who followed all links."""
    made = [signed_in(typed_world, typed_world.staff.everybody.token), Crawler(Surfer(typed_world.site))]
    if NIGHTLY:
        made.append(signed_in(typed_world, typed_world.key("trainee"), typed_world.keys["finished"]))
    for one in made:
        one.look("/", f"/sign-in?next={escaped(hostile(0))}", f"/custody?reference={escaped(hostile(0))}")
    return made


def faults(visitors: list[Crawler]) -> set[str]:
    return {fault for one in visitors for fault in one.faults}


def test_no_page_takes_what_people_typed_for_a_part_of_itself(visitors: list[Crawler]) -> None:
    """The pages that links lead to; forms are sent by night."""
    assert faults(visitors) == set()
    shown = {number for one in visitors for number in one.marks}
    names = TYPED if NIGHTLY else BY_DAY
    assert {name for name in names if TYPED.index(name) + 1 not in shown} == set()


def test_a_text_that_is_a_part_of_a_page_is_found(visitors: list[Crawler]) -> None:
    """The control: the pages as they were if templates did not escape."""
    shown = [answer for one in visitors for answer in one.seen.values() if marks_of(answer)]
    assert len(shown) > 10
    for answer in shown:
        raw = unescape(answer.body.decode()).encode()
        assert any("frxss" in fault for fault in faults_of(Answered(200, answer.headers, raw)))


def test_every_page_is_small_without_its_photos_and_asks_no_other_host(visitors: list[Crawler]) -> None:
    """The files of a page come once, and each page counts as the first: plain, and as browsers take it."""
    surfer = visitors[0].surfer
    kept: dict[tuple[str, str], bytes] = {}
    for one in visitors:
        for address, answer in one.seen.items():
            if "html" not in answer.headers.get("content-type", "") or "attachment" in str(answer.headers):
                continue
            text = re.sub(r"data:image/[^\"]+", "", answer.body.decode())
            files = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', text))
            assert len(files) >= 5, address
            for coding in ("identity", "gzip"):
                for name in files - {name for name, told in kept if told == coding}:
                    kept[name, coding] = surfer.get(name, Accept_Encoding=coding).body
                loaded = len(text.encode()) + sum(len(kept[name, coding]) for name in files)
                assert loaded <= LONGER.get(address, MOST_BYTES), (address, coding, loaded)
    for (name, coding), content in kept.items():
        words = re.sub(rb"//[^\n]*|/\*.*?\*/", b"", content, flags=re.DOTALL) if name.endswith("css") else content
        assert coding == "gzip" or not re.search(rb"url\(|@import|https?://(?!www\.w3\.org)", words), name


@pytest.mark.nightly
def test_no_form_takes_what_people_typed_for_a_part_of_a_page(tmp_path: Path) -> None:
    """Every form of every page is filled with hostile texts and sent, those that delete at the end."""
    with typed_in(tmp_path) as made:
        codes = [made.keys["finished"], next(made.codes), next(made.codes)]
        stub = made.staff.caller(Role.TRAINEE).training
        answer_until(stub, start(stub, codes[-1]), training_pb2.TRIAL_STEP_HASH, Typing())
        trainees = [signed_in(made, made.key("trainee"), code, each=40) for code in codes]
        staff = signed_in(made, made.staff.everybody.token)
        stranger = Crawler(Surfer(made.site), avoided=("/sign-out",))
        plan = {"plan": "", "toml": COURSE, "dataset.people_folder": "1"}
        draft = staff.surfer.post("/courses/new", plan).headers["location"]
        staff.look("/", draft)
        for one in (*trainees, stranger, staff):
            one.look("/", "/sign-in")
            one.send_all()
        every = [*trainees, stranger, staff]
        assert faults(every) == set()
        visited = {screen for one in every for screen in one.screens}
        every_screen = {(one.method, one.path) for one in SCREENS}
        assert every_screen - visited - UNSEEN == set()
        assert UNSEEN - (every_screen - visited) == set()


@pytest.mark.nightly
@needs_browser
def test_no_script_of_what_people_typed_runs_in_a_browser(typed_world: World, visitors: list[Crawler]) -> None:
    pages = [
        (number, address)
        for number, one in enumerate(visitors)
        for address, answer in one.seen.items()
        if answer.headers.get("content-type", "").startswith("text/html") and "attachment" not in str(answer.headers)
    ]
    with chromium() as browser:
        looks = [Look(browser.new_context().new_page(), typed_world.address) for _ in visitors]
        for look, one in zip(looks, visitors, strict=True):
            look.allowed = (400, 401, 403, 404)
            look.page.context.add_cookies(
                [
                    {"name": name, "value": value, "url": typed_world.address}
                    for name, value in one.surfer.cookies.items()
                ]
            )
        for number, address in pages:
            look = looks[number].open(address)
            assert look.page.evaluate(INJECTED) == [], address
            look.require_sound()
        look = looks[0]
        look.page.route("**/galleries", lambda route: planted(route))
        look.open("/galleries")
        assert look.page.evaluate(INJECTED) != [], "control: an element"
        assert look.problems != [], "control: a script that the policy forbids"
        framed = Look(browser.new_context().new_page(), typed_world.address)
        framed.page.set_content(f'<iframe src="{typed_world.address}/sign-in"></iframe>')
        framed.page.wait_for_timeout(500)
        assert "frame-ancestors" in str(framed.problems) or "X-Frame-Options" in str(framed.problems)


INJECTED = """() => [...document.querySelectorAll('*')]
    .filter((one) => /frxss/.test(one.localName) || [...one.attributes].some((each) => /frxss/.test(each.name)))
    .map((one) => one.outerHTML)"""
UNSEEN = {
    ("GET", "/courses/drafts/{draft}/events"),  # an answer without an end
    ("GET", "/cohorts/{cohort}/events"),
    ("GET", "/wall/{wall}/events"),
    ("GET", "/cohorts/{cohort}/items/{item}/vote/events"),
    ("GET", "/course/vote/events"),
    ("GET", "/course/events"),
    ("GET", "/course/sitting/events"),
    ("GET", "/footage/{video}/events"),
    ("GET", "/manual/style"),  # a style sheet, to which no link leads
    ("POST", "/course/vote"),  # there only while a vote is open
    ("POST", "/course/sitting/draft"),  # sent by a script
    ("POST", "/footage/{video}"),
    ("POST", "/sign-out"),
    ("POST", "/retention"),  # there is nothing to delete yet
    *((one.method, one.path) for one in lti.SCREENS),  # only learning platforms lead there
}
"""Screens that no link and no form leads to, or that this test leaves alone."""


def planted(route: Any) -> None:
    """Answer with a page whose templates do not escape."""
    answer = route.fetch()
    body = unescape(answer.text()).replace("</main>", "<script>document.title = 'ran'</script></main>")
    route.fulfill(response=answer, body=body)
