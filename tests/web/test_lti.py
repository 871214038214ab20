"""A course opens from a learning platform: the whole way, with a platform of a library."""

import html
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fr_api.v1 import training_pb2
from fr_trust.access.principal import Role
from fr_web.lti.registrations import read_registrations
from fr_web.lti.tool import Tool
from support.browser import World, needs_browser
from support.commands import blocks, commands, page, require_understood
from support.courses import create, enrol, finish, store_of
from support.faults import until
from support.lti import CLIENT, Lms, lms, pem_of
from support.surfer import Surfer, Trainee, signed_in, words
from support.web import Web, web

PLAN = """
format = 1
title = "A course in a platform"
claims = false
[[sittings]]
name = "all"
title = "Day 1"
blocks = [{id = "pairs", exercise = "verification", same = 1, different = 1}]
[[sittings]]
name = "shown"
title = "With answers"
blocks = [{id = "shown", exercise = "verification", same = 1, different = 1, feedback = true}]
[[sittings]]
name = "test"
title = "The test"
blocks = [
  {id = "before", exercise = "verification", same = 1, different = 1, equated = "t", occasion = "pre"},
  {id = "after", exercise = "verification", same = 1, different = 1, equated = "t", occasion = "post"},
]
"""


@dataclass
class Linked:
    world: World
    site: Web
    lms: Lms
    cohort: training_pb2.Cohort

    @property
    def trainees(self) -> list[str]:
        return [one.trainee_id for one in store_of(self.world.staff.server).trainees(self.cohort.cohort_id)]

    def custom(self, sitting: str = "all") -> dict[str, str]:
        return {"cohort": self.cohort.cohort_id, "sitting": sitting}


@pytest.fixture(scope="module")
def linked(console_world: World) -> Linked:
    trainer = console_world.staff.caller(Role.TRAINER).training
    cohort = enrol(trainer, create(trainer, PLAN).course_id).cohort
    assert console_world.lms is not None
    return Linked(console_world, console_world.site, console_world.lms, cohort)


def test_a_launch_leads_into_the_course_and_joins_a_person_once(linked: Linked) -> None:
    before = len(linked.trainees)
    for visit in range(2):
        surfer = Surfer(linked.site)
        page = linked.lms.launch(surfer, "someone-1", custom=linked.custom())
        assert page.status == 200, words(page)
        assert 'content="0; url=/course"' in words(page)
        assert "A course in a platform" in words(surfer.get("/course"))
        assert len(linked.trainees) == before + 1, visit
    linked.lms.launch(Surfer(linked.site), "someone-2", custom=linked.custom())
    assert len(linked.trainees) == before + 2
    files = [path for path in linked.world.folder.rglob("*") if path.is_file()]
    assert files
    assert not any(b"someone-1" in path.read_bytes() for path in files), "the store has no id of a person"


def test_a_score_goes_to_the_platform_when_the_sitting_is_finished(linked: Linked) -> None:
    surfer = Surfer(linked.site)
    linked.lms.launch(surfer, "scored", custom=linked.custom())
    surfer.get("/course")
    before = len(linked.lms.scores)
    finish(linked.world.staff.caller(Role.TRAINEE).training, code_of(linked, "scored"), "all")
    surfer.get("/course")
    until(lambda: len(linked.lms.scores) > before or bool(linked.lms.refusals))
    assert linked.lms.refusals == []
    (score,) = linked.lms.scores[before:]
    assert (score["userId"], score["gradingProgress"], score["scoreMaximum"]) == ("scored", "FullyGraded", 2)
    surfer.get("/course")
    assert len(linked.lms.scores) == before + 1, "it is sent once"


@pytest.mark.parametrize("sitting", ["all", "shown"])
def test_a_trainee_who_leaves_after_the_last_answer_has_a_score(linked: Linked, sitting: str) -> None:
    surfer, before = Surfer(linked.site), len(linked.lms.scores)
    linked.lms.launch(surfer, f"left-{sitting}", custom=linked.custom(sitting))
    stub = linked.world.staff.caller(Role.TRAINEE).training
    trainee = Trainee(surfer, stub, code_of(linked, f"left-{sitting}"), sitting)
    page = trainee.go_on(trainee.begin())
    surfer.post(trainee.path, trainee.answer(page))
    answer = surfer.post(trainee.path, trainee.answer(trainee.page()))
    assert len(linked.lms.scores) == before or sitting == "shown"
    if answer.status == 303:
        surfer.get(answer.headers["location"])
    until(lambda: len(linked.lms.scores) == before + 1)
    assert linked.lms.scores[-1]["gradingProgress"] == "FullyGraded"


def test_a_score_that_the_platform_refused_is_sent_again(linked: Linked) -> None:
    surfer, before = Surfer(linked.site), len(linked.lms.scores)
    linked.lms.launch(surfer, "again", custom=linked.custom())
    surfer.get("/course")
    finish(linked.world.staff.caller(Role.TRAINEE).training, code_of(linked, "again"), "all")
    linked.lms.down = True
    surfer.get("/course")
    until(lambda: "down" in linked.lms.refusals)
    linked.lms.down = False
    linked.lms.refusals.clear()

    def taken() -> bool:
        surfer.get("/course")
        return len(linked.lms.scores) > before

    until(taken)
    assert linked.lms.scores[-1]["userId"] == "again"


def test_a_teacher_who_opens_the_activity_does_not_join(linked: Linked) -> None:
    surfer, before = Surfer(linked.site), linked.trainees
    page = linked.lms.launch(surfer, "teacher", custom=linked.custom(), role="Instructor")
    assert (page.status, "This activity is for trainees" in words(page)) == (200, True)
    assert 'href="/cohorts"' in words(page)
    assert linked.trainees == before
    assert surfer.get("/course").status == 401


def test_a_test_has_no_score_before_its_release(linked: Linked) -> None:
    surfer, staff = Surfer(linked.site), linked.world.staff
    linked.lms.launch(surfer, "tested", custom=linked.custom("test"))
    before = len(linked.lms.scores)
    finish(staff.caller(Role.TRAINEE).training, code_of(linked, "tested"), "test")
    surfer.get("/course")
    until(lambda: len(linked.lms.scores) == before + 1)
    assert "scoreGiven" not in linked.lms.scores[-1]
    assert linked.lms.scores[-1]["gradingProgress"] == "PendingManual"
    linked.world.release(linked.cohort)
    surfer.get("/course")
    until(lambda: len(linked.lms.scores) == before + 2)
    assert linked.lms.scores[-1]["scoreMaximum"] == 4
    assert linked.lms.scores[-1]["gradingProgress"] == "FullyGraded"


def code_of(linked: Linked, user: str) -> str:
    store, tool = store_of(linked.world.staff.server), linked.lms.address
    return store.join(linked.cohort.cohort_id, tool, CLIENT, user).code


def test_a_trainer_chooses_a_sitting_which_the_platform_takes(linked: Linked) -> None:
    trainer = signed_in(linked.site, linked.world.key("trainer"))
    page = linked.lms.launch(trainer, "teacher", deep=True)
    (onward,) = set(re.findall(r"/lti/choose/[\w-]+", words(page)))
    assert "Sittings of your cohorts" in words(trainer.get(onward))
    wanted = f"{linked.cohort.cohort_id}/test"
    back = trainer.post(onward, {"choice": wanted})
    assert back.status == 200, words(back)
    assert f"form-action {linked.lms.address}" in back.headers["content-security-policy"]
    (token,) = re.findall(r'name="JWT" value="([^"]+)"', back.body.decode())
    (item,) = linked.lms.conf.validate_deeplinking_resp({"JWT": html.unescape(token)})
    assert item["custom"] == linked.custom("test")
    assert item["lineItem"]["scoreMaximum"] == 4
    assert trainer.post(onward, {"choice": wanted}).status == 400, "a choice is made once"


def test_a_choice_is_made_in_the_browser_of_the_launch_alone(linked: Linked) -> None:
    stranger, trainer = Surfer(linked.site), signed_in(linked.site, linked.world.key("trainer"))
    (onward,) = set(re.findall(r"/lti/choose/[\w-]+", words(linked.lms.launch(stranger, "teacher", deep=True))))
    page = trainer.get(onward)
    assert (page.status, "This page has expired" in words(page)) == (400, True)
    assert trainer.post(onward, {"choice": f"{linked.cohort.cohort_id}/test"}).status == 400
    trainer.cookies |= stranger.cookies
    assert trainer.get(onward).status == 200  # control


def test_nobody_chooses_without_a_key_of_a_trainer(linked: Linked) -> None:
    stranger = Surfer(linked.site)
    (onward,) = set(re.findall(r"/lti/choose/[\w-]+", words(linked.lms.launch(stranger, "teacher", deep=True))))
    assert stranger.get(onward).status == 401
    assert signed_in(linked.site, linked.world.key("operator")).get(onward).status == 403


def test_a_frame_of_the_platform_gets_a_link_to_a_window(linked: Linked) -> None:
    surfer = Surfer(linked.site)
    page = linked.lms.begin(surfer, Sec_Fetch_Dest="iframe")
    assert page.status == 200
    assert 'target="_blank"' in words(page)
    assert page.headers["content-security-policy"].endswith(f"frame-ancestors {linked.lms.address}")
    assert surfer.cookies == {}
    # Every other page stays out of frames.
    assert "frame-ancestors 'none'" in surfer.get("/").headers["content-security-policy"]


def test_a_form_is_refused_without_the_cookie_or_a_second_time(linked: Linked) -> None:
    surfer = Surfer(linked.site)
    form = linked.lms.message(linked.lms.begin(surfer), custom=linked.custom())
    assert linked.lms.post(Surfer(linked.site), form).status == 403
    form = linked.lms.message(linked.lms.begin(surfer), custom=linked.custom())
    assert linked.lms.post(surfer, form).status == 200  # control
    again = linked.lms.post(surfer, form)
    assert (again.status, "(check: state)" in words(again)) == (403, True)


@pytest.mark.parametrize("role", ["", "trainer"])
def test_a_page_after_a_refused_launch_has_no_form_that_would_be_refused(linked: Linked, role: str) -> None:
    surfer = signed_in(linked.site, linked.world.key(role)) if role else Surfer(linked.site)
    without_strict = Surfer(linked.site)
    for answer in (
        without_strict.get("/lti/login?iss=x&login_hint=y", Sec_Fetch_Site="cross-site"),
        linked.lms.post(without_strict, {"state": "x", "id_token": "y"}),
    ):
        assert (answer.status, b"<form" in answer.body) == (403, False)
    # A platform of the same site: the cookie comes along.
    answer = surfer.post("/lti/launch", {"state": "x", "id_token": "y"})
    assert (answer.status, b'action="/language"' in answer.body) == (403, bool(role))
    if role:
        assert surfer.post("/language", {"language": "fr"}).status == 303


def test_an_activity_whose_cohort_is_gone_asks_for_another_choice(linked: Linked) -> None:
    trainer = linked.world.staff.caller(Role.TRAINER).training
    cohort = enrol(trainer, linked.cohort.course_id).cohort
    surfer, late = Surfer(linked.site), Surfer(linked.site)
    custom = {"cohort": cohort.cohort_id, "sitting": "all"}
    linked.lms.launch(surfer, "gone", custom=custom)
    assert surfer.get("/course").status == 200
    form = linked.lms.message(linked.lms.begin(late), custom=custom)
    trainer.DeleteCohort(training_pb2.DeleteCohortRequest(cohort_id=cohort.cohort_id))
    assert surfer.get("/course").status == 404
    page = linked.lms.post(late, form)
    assert (page.status, "not linked to a sitting" in words(page)) == (400, True)


def test_a_launch_signs_nobody_out(linked: Linked) -> None:
    trainer = signed_in(linked.site, linked.world.key("trainer"))
    kept = dict(trainer.cookies)
    stranger = Surfer(linked.site)  # the strict cookie does not come along from another site
    begun = linked.lms.begin(stranger)
    assert set(stranger.cookies) == {"__Host-fr-lti"}
    assert "samesite=none" in begun.headers["set-cookie"].lower()
    assert trainer.cookies == kept


def test_an_activity_without_a_choice_says_so(linked: Linked) -> None:
    page = linked.lms.launch(Surfer(linked.site), "someone-1")
    assert (page.status, "not linked to a sitting" in words(page)) == (400, True)


def test_a_server_without_platforms_takes_no_launch(linked: Linked) -> None:
    with web(linked.world.staff.server.address) as site:
        page = Surfer(site).get("/lti/login?iss=x")
    assert (page.status, "does not open courses" in words(page)) == (403, True)


def test_the_key_set_has_public_keys_alone(linked: Linked) -> None:
    (key,) = linked.site.ask("GET", "/lti/keys").json["keys"]
    assert {"kid", "n", "e", "kty", "alg", "use"} <= key.keys()
    assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi"}


def test_the_file_of_the_page_is_read(tmp_path: Path) -> None:
    before, platform = blocks(page("docs/lti.md"), "toml")
    (tmp_path / "lti.pem").write_bytes(pem_of("tool"))
    for name in ("trainer", "class"):
        (tmp_path / f"{name}.key").write_text(f"{name} key\n")
    (tmp_path / "lti.toml").write_text(before)
    assert read_registrations(tmp_path / "lti.toml").platforms == ()
    (tmp_path / "lti.toml").write_text(before + platform)
    found = read_registrations(tmp_path / "lti.toml")
    assert (found.trainer_key, found.class_key) == ("trainer key", "class key")
    assert "trainer key" not in repr(found)
    for line in re.findall(r"`(fr [^`]+)`", page("docs/lti.md")) + commands(page("docs/lti.md")):
        require_understood(line)


def test_a_console_whose_key_is_of_no_trainer_says_who_mends_it(linked: Linked) -> None:
    class_key = linked.world.key("trainee")
    address = linked.world.staff.server.address
    with lms(class_key, class_key) as platform, web(address, lti=Tool(platform.tool)) as site:
        page = platform.launch(Surfer(site), custom=linked.custom())
    assert (page.status, "trainer_key_file" in words(page)) == (403, True)


@needs_browser
def test_a_browser_comes_from_the_platform_into_the_course(browser: Any, console_world: World, linked: Linked) -> None:
    """With real cookies: the strict one of the console, and the one that comes along from another site."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    staff = console_world.staff
    keys = staff.caller(Role.TRAINER).token, staff.caller(Role.TRAINEE).token
    with lms(*keys, f"http://localhost:{port}") as platform:
        platform.custom = linked.custom()
        with web(staff.server.address, port=port, lti=Tool(platform.tool)):
            page = browser.new_context().new_page()
            page.goto(f"{platform.address}/")
            page.get_by_text("The activity").click()
            page.get_by_text("Go on").click()
            page.wait_for_url(f"http://localhost:{port}/course")
            page.get_by_text("A course in a platform").first.wait_for()
            page.goto(f"{platform.address}/frame")
            with page.expect_popup() as opened:
                page.frame_locator("iframe").get_by_role("link", name="Open the course").click()
            opened.value.get_by_text("Go on").click()
            opened.value.wait_for_url(f"http://localhost:{port}/course")
