"""A browser without pictures and scripts: keeps cookies, and fills in the forms of pages; and a trainee who has it."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote, urlencode

from fr_api.v1 import training_pb2
from support.courses import Stub, answer_until, start
from support.web import Answered, Web, form

pb: Any = training_pb2
FORM_TYPE = "application/x-www-form-urlencoded"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> {{ 7*7 }}"


@dataclass
class Surfer:
    """`cookies` are sent with each request, `token` is that of the page before, and `received` all that came."""

    site: Web
    cookies: dict[str, str] = field(default_factory=dict)
    token: str = ""
    file: str = "photo.png"  # the name of what it uploads
    received: list[Answered] = field(default_factory=list)

    @property
    def origin(self) -> str:
        scheme = "http" if self.site.context is None else "https"
        return f"{scheme}://{self.site.host}:{self.site.port}"

    @property
    def cookie(self) -> str:
        """The header that a browser sends."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def get(self, path: str, **headers: str) -> Answered:
        return self._kept(self.site.ask("GET", path, **{"Accept": "text/html", **self._cookie(), **headers}))

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Answered:
        """Send a form as a page of the site does; a header "" is left out."""
        body = urlencode({"token": self.token, **fields})
        sent = {"Content_Type": FORM_TYPE, **self._from_page(), **headers}
        return self._kept(self.site.ask("POST", path, body, **{name: value for name, value in sent.items() if value}))

    def upload(self, path: str, files: Sequence[tuple[str, bytes]] = (), /, **parts: str | bytes) -> Answered:
        """Send a form with files, as a browser does; the token comes first."""
        body, kind = form(files, token=self.token, **parts)
        return self.send(path, body.replace(b'"photo.png"', b'"%s"' % self.file.replace('"', "%22").encode()), kind)

    def send(self, path: str, body: bytes, kind: str, **headers: str) -> Answered:
        return self._kept(self.site.ask("POST", path, body, **{**self._from_page(), "Content_Type": kind, **headers}))

    def sign_in(self, key: str, code: str = "") -> Answered:
        self.get("/sign-in")
        more = {"code": code, "as_trainee": "1"} if code else {}
        answer = self.post("/sign-in", {"key": key, **more})
        if answer.status == 303:
            self.get("/")
        return answer

    def _from_page(self) -> dict[str, str]:
        return {"Accept": "text/html", "Origin": self.origin, "Sec_Fetch_Site": "same-origin", **self._cookie()}

    def _cookie(self) -> dict[str, str]:
        return {"Cookie": self.cookie} if self.cookies else {}

    def _kept(self, answer: Answered) -> Answered:
        self.received.append(answer)
        for name, morsel in SimpleCookie(answer.headers.get("set-cookie", "")).items():
            self.cookies[name] = morsel.value
        found = re.search(r'name="token" value="(\w+)"', answer.body.decode("utf-8", "replace"))
        self.token = found[1] if found else self.token
        return answer


def signed_in(site: Web, key: str, code: str = "") -> Surfer:
    made = Surfer(site)
    assert made.sign_in(key, code).status == 303
    return made


def words(answer: Answered) -> str:
    """The page as text: what a person could read, and the attributes."""
    return html.unescape(answer.body.decode())


def escaped(text: str) -> str:
    return quote(text, safe="")


_HASH = {"sha256": "AB" * 32 + "  original.jpg"}
_RATING = {"rating": "2", "p_same": "80,5", "difficulty": "3"}
_ANSWERS: dict[int, dict[str, str]] = {
    pb.TRIAL_STEP_RATE: _RATING,
    pb.TRIAL_STEP_RATE_AGAIN: _RATING,
    pb.TRIAL_STEP_NOTE: {"notes": f"A mark. {HOSTILE}"},
    pb.TRIAL_STEP_TRIAGE: {"usability": "2", "reasons.1": "1", "reasons.3": "3"},
    pb.TRIAL_STEP_PREDICT: {"percent": "12.5"},
    pb.TRIAL_STEP_CONCLUDE: {"row": "1"},
    pb.TRIAL_STEP_HASH: _HASH,
    pb.TRIAL_STEP_DERIVE: _HASH,
    pb.TRIAL_STEP_READ: {},
}


@dataclass
class Trainee:
    """Somebody who fills in forms as they stand on the page.

    `seen` are the pages before an answer was locked, and `reveals` those of right answers, with the page before.
    """

    surfer: Surfer
    stub: Stub
    code: str
    sitting: str = "all"
    seen: list[Answered] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    reveals: list[tuple[Answered | None, Answered]] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/course/sitting?name={quote(self.sitting)}"

    def begin(self) -> Answered:
        page = self.surfer.get("/course")
        assert "Check this screen" in words(page)
        assert self.surfer.post("/course", {"sitting": self.sitting, "consent": "1"}).status == 303
        return self.page()

    def page(self, more: str = "") -> Answered:
        found = self.surfer.get(self.path + more)
        assert found.status == 200, words(found)
        return found

    def until(self, step: str) -> Answered:
        """Answer trials, without pages, until one waits for a step; returns its page."""
        answer_until(self.stub, start(self.stub, self.code, self.sitting), pb.TrialStep.Value(f"TRIAL_STEP_{step}"))
        return self.page()

    def take(self) -> None:
        page = self.begin()
        for _ in range(400):
            if "The sitting is over" in words(page):
                return
            page = self.go_on(page)
        raise AssertionError("the sitting does not end")

    @staticmethod
    def step(page: Answered) -> int:
        found = re.search(r'name="step" value="(\d+)"', page.body.decode())
        return int(found[1]) if found else 0

    def go_on(self, page: Answered) -> Answered:
        """Do what a page asks for; returns the next page."""
        text = page.body.decode()
        if begins := re.search(r'name="block" value="([^"]+)"', text):
            return self.after({"block": begins[1]})
        self.seen.append(page)
        self.steps.append(self.step(page))
        return self.after(self.answer(page), at=_action(text))

    def after(self, fields: dict[str, str], at: str = "") -> Answered:
        answer = self.surfer.post(at or self.path, fields)
        while answer.status == 303:
            answer = self.surfer.get(answer.headers["location"])
        assert answer.status == 200, words(answer)
        if re.search(r'aria-keyshortcuts="Enter" href="/course/sitting\?name=\w+"', answer.body.decode()):
            self.reveals.append((self.seen[-1] if self.seen else None, answer))
            return self.page()
        return answer

    def answer(self, page: Answered) -> dict[str, str]:
        text, step = page.body.decode(), self.step(page)
        found = dict(
            re.findall(
                r'type="hidden" name="(trial|step|candidate|part|choice|confirm|ratings\.\w+)" value="([^"]*)"', text
            )
        )
        if step in _ANSWERS:
            return {**found, **_ANSWERS[step]}
        if step == pb.TRIAL_STEP_CHOOSE:
            return {**found, "odd": re.findall(r'name="odd" value="(\w+)"', text)[1]}
        if step == pb.TRIAL_STEP_ANSWER:
            return {**found, "option": re.findall(r'name="option" value="(\w+)"', text)[0]}
        if step == pb.TRIAL_STEP_OBSERVE:
            return {**found, "lock": "1"} if 'name="lock"' in text else {**found, "comparison": "1", "similarity": "7"}
        if "confirm" in found:
            return found
        if "candidate" in found:
            return {**found, "rating": "-1"}
        unrated = re.search(r'aria-keyshortcuts="Enter" href="([^"]+at=\d+)"', text)
        if unrated:
            return self.answer(self.surfer.get(unrated[1].replace("&amp;", "&")))
        return {**found, "choice": re.findall(r'name="choice" value="(\w+)"', text)[0], "difficulty": "5"}


def _action(text: str) -> str:
    """Where the answer goes: the form with the id of the trial."""
    forms = re.findall(r'<form method="post" action="([^"]+)"[^>]*data-again', text)
    return forms[-1].replace("&amp;", "&") if forms else ""
