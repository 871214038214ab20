"""Packages of lessons are played in Chromium: in scorm-again, and by cmi5 as @xapi/cmi5 does."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from zipfile import ZipFile

import pytest

from fr_training.lessons import Lesson, lesson
from fr_training.packages import PackageFormat, package
from support.browser import Look, needs_browser, opened
from support.faults import until
from support.loopback import answering, send

pytestmark = [pytest.mark.nightly, pytest.mark.slow, pytest.mark.network, needs_browser]

NAME = "thresholds"
KINDS = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".xml": "application/xml"}
LMS = """<!doctype html><title>LMS</title><script src="/modules/scorm-again/dist/scorm2004.js"></script>
<script>
const API_1484_11 = window.API_1484_11 = new Scorm2004API({autocommit: false, logLevel: 4});
API_1484_11.loadFromJSON(JSON.parse(decodeURIComponent(location.hash.slice(1))));
window.errors = [];
API_1484_11.on("CommitError", () => errors.push("CommitError"));
</script><iframe src="/package/thresholds.html" width="1000" height="900"></iframe>"""
PEER = """<!doctype html><title>Peer</title><script src="/modules/@xapi/cmi5/dist/Cmi5.umd.js"></script>"""
ACTOR = {"objectType": "Agent", "account": {"homePage": "https://lms.example", "name": "trainee 1"}}
REGISTRATION, ACTIVITY = "2b5a7f5c-0b0e-4b43-9f0b-1a9f6ad0c001", "https://lms.example/au/1"
TEMPLATE: dict[str, Any] = {
    "contextActivities": {"grouping": [{"id": "urn:fr-core:lesson:thresholds:fr"}]},
    "extensions": {"https://w3id.org/xapi/cmi5/context/extensions/sessionid": "session-1"},
}
CATEGORY = "https://w3id.org/xapi/cmi5/context/categories/"


@dataclass
class Platform:
    """A learning platform with a package, the npm packages, and a record store; a token can be fetched once."""

    files: dict[str, bytes]
    modules: Path
    address: str = ""
    launch: dict[str, Any] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    statements: list[dict[str, Any]] = field(default_factory=list)
    fetched: set[str] = field(default_factory=set)
    refuses: bool = False

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, token: str) -> tuple[int, bytes]:
        if path.startswith("/package/"):
            found = self.files.get(path.removeprefix("/package/"))
            return (404, b"") if found is None else (200, found)
        if path.startswith("/modules/"):
            return 200, (self.modules / "node_modules" / path.removeprefix("/modules/")).read_bytes()
        if path in ("/lms.html", "/peer.html", "/gone.html"):
            return 200, {"/lms.html": LMS, "/peer.html": PEER}.get(path, "<!doctype html><h1>LMS</h1>").encode()
        if path == "/favicon.ico":
            return 204, b""
        if path == "/fetch":
            if query["session"] in self.fetched:
                return 200, b'{"error-code": "1", "error-text": "used"}'
            self.fetched.add(query["session"])
            return 200, b'{"auth-token": "dG9rZW4="}'
        if token != "Basic dG9rZW4=" or self.refuses:
            return 403, b""
        if path == "/xapi/statements":
            self.statements.append(json.loads(body))
            return 200, json.dumps([self.statements[-1]["id"]]).encode()
        if path == "/xapi/activities/state":
            about = (query["activityId"], json.loads(query["agent"]), query["registration"])
            assert about == (ACTIVITY, ACTOR, REGISTRATION)
            if query["stateId"] == "LMS.LaunchData":
                return 200, json.dumps(self.launch).encode()
            if method == "PUT":
                self.documents[query["stateId"]] = body
                return 204, b""
            found = self.documents.get(query["stateId"])
            return (404, b"") if found is None else (200, found)
        return 404, b""

    def launched(self, session: str, page: str = "/package/thresholds.html") -> str:
        """The address of a launch by cmi5."""
        given = {
            "endpoint": f"{self.address}/xapi",
            "fetch": f"{self.address}/fetch?session={session}",
            "actor": json.dumps(ACTOR),
            "registration": REGISTRATION,
            "activityId": ACTIVITY,
        }
        return f"{page}?{urlencode(given)}"

    def verbs(self) -> list[str]:
        return [one["verb"]["id"].rpartition("/")[2] for one in self.statements]


@contextmanager
def platform(modules: Path, form: PackageFormat, language: str, mastery: float | None = None) -> Iterator[Platform]:
    with ZipFile(BytesIO(package((NAME,), form, language, mastery).content)) as archive:
        made = Platform({name: archive.read(name) for name in archive.namelist()}, modules)

    def answer(asked: BaseHTTPRequestHandler) -> None:
        url = urlsplit(asked.path)
        body = asked.rfile.read(int(asked.headers.get("content-length", 0)))
        query = {name: one[0] for name, one in parse_qs(url.query).items()}
        status, sent = made.answer(asked.command, url.path, query, body, asked.headers.get("authorization", ""))
        send(asked, sent, status, Content_Type=KINDS.get(Path(url.path).suffix, "application/json"))

    with answering(answer) as port:
        made.address = f"http://127.0.0.1:{port}"
        yield made


def take(page: Any, one: Lesson, part: int, option: int, keys: Any = None) -> None:
    """Answer the question of the part that is shown, with the mouse, or with the keyboard of a page alone."""
    from playwright.sync_api import expect

    section = page.locator("main > section").nth(part)
    expect(section.get_by_role("heading", level=2)).to_have_text(one.sections[part].part.title)
    expect(section.get_by_role("heading", level=2)).to_be_focused()
    assert section.locator(".reason:visible").count() == 0
    if keys is None:
        section.get_by_role("radio").nth(option).check()
        section.locator("form button").click()
    else:
        section.get_by_role("radio").first.focus()
        keys.press("Space")
        for _ in range(option):
            keys.press("ArrowDown")
        keys.press("Enter")
    expect(section.locator(".reason:visible")).to_have_count(len(one.sections[part].part.options))
    expect(section.locator("[role=status]")).not_to_be_empty()
    if keys is None:
        section.locator(".next").click()
    else:
        expect(section.locator(".next")).to_be_focused()
        keys.press("Enter")


def leave(page: Any) -> None:
    from playwright.sync_api import expect

    page.locator("#leave").click()
    expect(page.locator("main > section:visible")).to_have_count(0)


def test_scorm_again_takes_a_lesson_that_is_left_resumed_and_passed(modules: Path, browser: Any) -> None:
    from playwright.sync_api import expect

    one = lesson(NAME, "fr")
    rights = [section.key.right for section in one.sections]
    states = ("completion_status", "success_status", "exit")
    with platform(modules, PackageFormat.SCORM_2004, "fr", 0.8) as lms, opened(browser, lms.address) as look:

        def launch(cmi: dict[str, Any]) -> Any:
            look.page.goto("about:blank")
            look.open(f"/lms.html#{json.dumps(cmi)}")
            return look.page.frame_locator("iframe")

        def cmi() -> dict[str, Any]:
            found: dict[str, Any] = look.page.evaluate("JSON.parse(JSON.stringify(API_1484_11.cmi))")
            return found

        inside = launch({})
        take(inside, one, 0, rights[0])
        take(inside, one, 1, rights[1])
        leave(inside)
        first = cmi()
        assert [first[each] for each in states] == ["incomplete", "unknown", "suspend"]
        assert first["location"] == one.sections[2].part.section
        assert first["session_time"].startswith("PT")
        answered = list(first["interactions"].values())
        assert [each["id"] for each in answered] == [f"{NAME}-{s.part.section}" for s in one.sections[:2]]
        assert [each["result"] for each in answered] == ["correct"] * 2
        assert [each["learner_response"] for each in answered] == ["abcde"[right] for right in rights[:2]]

        kept = {key: first[key] for key in ("suspend_data", "location", "completion_status")}
        inside = launch({**kept, "entry": "resume"})
        wrong = (rights[2] + 1) % len(one.sections[2].part.options)
        take(inside, one, 2, wrong)
        for part in range(3, len(rights)):
            take(inside, one, part, rights[part], look.page.keyboard)
        expect(inside.locator(".verdict")).to_have_text("Vous avez réussi.")
        leave(inside)
        last = cmi()
        assert [last[each] for each in states] == ["completed", "passed", "normal"]
        assert last["score"]["raw"] == str(len(rights) - 1)
        assert float(last["score"]["scaled"]) == pytest.approx((len(rights) - 1) / len(rights), abs=1e-4)
        assert look.page.evaluate("errors") == []


def test_cmi5_takes_a_lesson_that_is_left_resumed_and_passed(modules: Path, browser: Any) -> None:
    from playwright.sync_api import expect

    one = lesson(NAME, "ar")
    rights = [section.key.right for section in one.sections]
    with platform(modules, PackageFormat.CMI5, "ar", 0.8) as lms, opened(browser, lms.address) as look:
        look.allowed = (404,)  # of a state that is not there yet, and of preferences
        lms.launch = {
            "launchMode": "Normal",
            "contextTemplate": TEMPLATE,
            "moveOn": "CompletedOrPassed",
            "masteryScore": 0.8,
            "returnURL": f"{lms.address}/gone.html",
        }
        look.open(lms.launched("1"))
        take(look.page, one, 0, rights[0])
        look.open("/gone.html")  # which leaves it without a word
        until(lambda: lms.verbs() == ["initialized", "answered", "terminated"], 10)

        look.open(lms.launched("2"))
        expect(look.page.get_by_role("radio").first).to_be_visible()
        look.require_open_to_all()
        for part in range(1, len(rights)):
            take(look.page, one, part, rights[part], look.page.keyboard)
        expect(look.page.locator(".verdict")).to_be_visible()
        look.require_open_to_all()
        look.page.locator("#leave").click()
        look.page.wait_for_url("**/gone.html")
        answers = ["answered"] * (len(rights) - 1)
        assert lms.verbs()[3:] == ["initialized", *answers, "passed", "completed", "terminated"]
        require_valid(lms.statements, modules)
        for statement in lms.statements:
            context = statement["context"]
            assert (statement["actor"], context["registration"]) == (ACTOR, REGISTRATION)
            assert context["extensions"].items() >= TEMPLATE["extensions"].items()
            assert context["contextActivities"]["grouping"] == TEMPLATE["contextActivities"]["grouping"]
        passed = lms.statements[-3]
        assert passed["result"]["score"] == {"scaled": 1}
        assert passed["context"]["extensions"]["https://w3id.org/xapi/cmi5/context/extensions/masteryscore"] == 0.8

        look.open(lms.launched("3"))  # passed once, a lesson is only shown
        expect(look.page.locator(".verdict")).to_be_visible()
        look.page.locator("#leave").click()
        look.page.wait_for_url("**/gone.html")
        assert lms.verbs()[-2:] == ["initialized", "terminated"]

        peer = by_the_peer(look, lms, one)
        ours = dict(zip(lms.verbs(), lms.statements, strict=True))
        for verb, each in peer.items():
            assert shape(ours[verb]) == shape(each), verb


def by_the_peer(look: Look, lms: Platform, one: Lesson) -> dict[str, dict[str, Any]]:
    """Return the statements of @xapi/cmi5 about the same lesson, by their verbs."""
    before = len(lms.statements)
    look.open(lms.launched("4", "/peer.html"))
    part = one.sections[-1].part
    look.page.evaluate(
        """async ([question, ids, title, asked, language]) => {
          const peer = new Cmi5(), words = (text) => ({[language]: text});
          await peer.initialize();
          const choices = ids.map((id) => ({id, description: words(id)}));
          const period = {start: new Date(Date.now() - 1000), end: new Date()};
          await peer.interactionChoice("t", question, ["a"], ["a"], choices, words(title), words(asked), true, period);
          await peer.pass({scaled: 1});
          await peer.complete();
          await peer.terminate();
        }""",
        [part.section, list("abc"), part.title, part.question, part.language],
    )
    found = zip(lms.verbs()[before:], lms.statements[before:], strict=True)
    peer = dict(found)
    del lms.statements[before:]
    assert set(peer) == {"initialized", "answered", "passed", "completed", "terminated"}
    return peer


def shape(statement: dict[str, Any]) -> Any:
    """Return the part of a statement of cmi5 that every sender shares: its verb, members and categories."""
    context = statement["context"]
    categories = {each["id"] for each in context["contextActivities"].get("category", [])}
    return (
        statement["verb"]["id"],
        sorted(statement.get("result", {})),
        sorted(context["extensions"]),
        categories,
        statement["object"].get("definition", {}).get("interactionType"),
    )


def require_valid(statements: list[dict[str, Any]], modules: Path) -> None:
    script = shutil.copy(Path(__file__).resolve().parent / "statements.mjs", modules)

    def validated(some: list[dict[str, Any]]) -> str:
        told = json.dumps(some)
        return subprocess.run(
            ["node", script], input=told, stdout=subprocess.PIPE, text=True, timeout=60, check=True
        ).stdout

    assert validated(statements) == ""
    broken = [{**statements[0], "actor": {}}]
    assert validated(broken)


def test_a_lesson_that_is_not_passed_begins_again_and_without_a_score_it_is_completed(
    modules: Path, browser: Any
) -> None:
    one = lesson(NAME)
    rights = [section.key.right for section in one.sections]
    for mastery, verdict in ((1.0, "failed"), (None, None)):
        with platform(modules, PackageFormat.CMI5, "en", mastery) as lms, opened(browser, lms.address) as look:
            look.allowed = (404,)
            lms.launch = {"launchMode": "Normal", "contextTemplate": TEMPLATE, "moveOn": "CompletedOrPassed"}
            lms.launch |= {} if mastery is None else {"masteryScore": mastery}
            look.open(lms.launched("1"))
            take(look.page, one, 0, (rights[0] + 1) % len(one.sections[0].part.options))
            for part in range(1, len(rights)):
                take(look.page, one, part, rights[part])
            leave(look.page)
            told = [verb for verb in lms.verbs() if verb != "answered"]
            assert told == ["initialized", *filter(None, [verdict]), "completed", "terminated"]
            require_valid(lms.statements, modules)
            before = len(lms.statements)
            look.open(lms.launched("2"))
            if verdict:
                for part in range(len(rights)):
                    take(look.page, one, part, rights[part])
                leave(look.page)
                told = [verb for verb in lms.verbs()[before:] if verb != "answered"]
                assert told == ["initialized", "passed", "terminated"]


def test_a_review_sends_no_answer_and_a_platform_that_is_not_there_is_said(modules: Path, browser: Any) -> None:
    from playwright.sync_api import expect

    one = lesson(NAME)
    with platform(modules, PackageFormat.CMI5, "en") as lms, opened(browser, lms.address) as look:
        look.allowed, look.expected = (403, 404), "no token|403|launch parameters"
        lms.launch = {"launchMode": "Review", "contextTemplate": TEMPLATE, "moveOn": "NotApplicable"}
        look.open(lms.launched("1"))
        for part in range(len(one.sections)):
            take(look.page, one, part, 0)
        expect(look.page.locator("#leave")).to_have_text("Leave")
        leave(look.page)
        assert (lms.verbs(), lms.documents) == (["initialized", "terminated"], {})
        note = look.page.get_by_role("alert")
        expect(note).to_have_text("You can close this page.")
        for address in (lms.launched("1"), "/package/thresholds.html"):  # a token that was fetched before, and none
            look.open(address)
            expect(note).to_contain_text("open the lesson from the platform")
            assert look.page.locator("main > section:visible, button:visible").count() == 0
        lms.launch["launchMode"] = "Normal"
        look.open(lms.launched("2"))
        expect(look.page.get_by_role("radio").first).to_be_visible()
        lms.refuses = True
        look.page.get_by_role("radio").first.check()
        look.page.locator("form:visible button").click()
        expect(note).to_contain_text("Your last step is not saved")
        assert look.page.locator(".reason:visible").count() == 0
        lms.refuses = False
        look.page.locator("form:visible button").click()
        expect(note).to_be_hidden()
        assert lms.verbs()[-1] == "answered"
        lms.documents.clear()  # as if the last one had not arrived
        leave(look.page)
        expect(note).to_contain_text("Your answers are saved")
        assert list(lms.documents) == ["lesson"]
