"""Visits every page of the console that links and forms lead to: what people typed must not be a part of any."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from lxml import html

from fr_web.console.views import SCREENS
from fr_web.console.visit import Screen
from support.callers import BLUES
from support.servers import photo
from support.surfer import Surfer
from support.web import Answered

_MARK = re.compile(r"frxss(\d+)")
_OWN = re.compile(
    r"(/(?![/\\])|[?#]|$|http://127\.0\.0\.1:\d+/|data:,|data:image/(png|jpeg|webp|svg\+xml);base64,[A-Za-z0-9+/=]*$|"
    r"data:image/svg\+xml;charset=utf-8,[^<\"]*$)"
)
_LEADING = ("href", "src", "action", "formaction", "hx-get", "hx-post", "hx-sse:connect", "poster", "xlink:href")
_POLICY = ("default-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'")
# Forms that end something come last, in this order.
_LAST = ("close", "subject", "report", "delete", "retention", "rotate", "revoke")


def hostile(number: int) -> str:
    """A text that would leave its attribute, element or script, and would be evaluated in a template."""
    return f"frxss{number}=1 \"'></title></textarea></script><frxss{number}>{{{{7*7}}}}"


def screen_of(method: str, path: str) -> Screen | None:
    def fits(one: Screen) -> bool:
        return one.method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one.path), path) is not None

    return next((one for one in sorted(SCREENS, key=lambda one: one.path.count("{")) if fits(one)), None)


def faults_of(answer: Answered) -> list[str]:
    """Faults of an answer, for all roles: its policy, its headers, and texts that are not text."""
    policy = answer.headers.get("content-security-policy", "")
    is_file = "attachment" in answer.headers.get("content-disposition", "")
    found = [f"header {name}" for name, value in answer.headers.items() if not value.isascii() or _MARK.search(value)]
    found += [f"policy {policy}"] * bool(re.search(r"unsafe|\*", policy))
    if answer.headers.get("x-frame-options") != "DENY" or answer.headers.get("x-content-type-options") != "nosniff":
        found.append("frames or guessed types")
    kind = answer.headers.get("content-type", "")
    if not kind.startswith("text/html") or is_file:
        is_shut = re.match("default-src 'none'|sandbox", policy)
        found += ["no policy"] * (not is_shut)
    else:
        found += [f"no {part}" for part in _POLICY if part not in policy]
    if kind.startswith("text/html") and answer.body:  # a report is a page of its own, with a style
        wrong = _wrong_in(html.fromstring(answer.body), policy)
        found += [one for one in wrong if not is_file or _MARK.search(one)]
    return found


def _wrong_in(page: html.HtmlElement, policy: str) -> Iterator[str]:
    for one in page.iter():
        tag = str(one.tag).lower()
        if _MARK.search(tag) or tag in ("style", "iframe", "object", "embed", "base"):
            yield f"element {tag}"
        if tag == "script" and (f"'nonce-{one.get('nonce')}'" not in policy or (one.text or "").strip()):
            yield "script"
        for name, value in one.attrib.items():
            if _MARK.search(name) or name.startswith("on") or name in ("style", "srcdoc"):
                yield f"attribute {name} of {tag}"
            if name in _LEADING and not _OWN.match(value):
                yield f"address {value[:40]}"


def marks_of(answer: Answered) -> set[int]:
    """The numbers of the hostile texts that a page shows as they were typed, or in the value of a field."""
    if not answer.headers.get("content-type", "").startswith("text/html"):
        return set()
    page = html.fromstring(answer.body or b"<p>")
    texts = " ".join([*page.itertext(), *(value for one in page.iter() for value in one.attrib.values())])
    return {number for number in map(int, _MARK.findall(texts)) if hostile(number) in texts}


@dataclass
class Crawler:
    """Somebody who is signed in, and opens all that is linked; `faults` say what was wrong where."""

    surfer: Surfer
    avoided: tuple[str, ...] = ("/sign-out", "/sign-in")  # they would end its visit
    each: int = 3  # times that forms of one kind are sent, and that a page beside others is opened
    seen: dict[str, Answered] = field(default_factory=dict)  # by address
    asides: Counter[str] = field(default_factory=Counter)  # by path
    sent: Counter[tuple[str, ...]] = field(default_factory=Counter)
    faults: set[str] = field(default_factory=set)
    marks: set[int] = field(default_factory=set)
    screens: set[tuple[str, str]] = field(default_factory=set)  # method and path of those that it came to

    def look(self, *addresses: str) -> None:
        """Open pages, and all that they lead to."""
        waiting = list(addresses)
        while waiting:
            address = waiting.pop()
            path, aside, _ = address.partition("?next=")  # a page beside others, which leads back to the one before
            if address in self.seen or screen_of("GET", urlsplit(address).path) is None:
                continue
            if aside and self.asides[path] >= self.each:
                continue
            self.asides[path] += bool(aside)
            self.seen[address] = answer = self.surfer.get(address)
            waiting += self._links(address, answer)

    def send_all(self) -> None:
        """Send the forms of all pages twice, with hostile texts, and look at what comes of it; then those that end."""
        self._send_forms()
        self.seen.clear()
        self.look("/")
        for _, address, form in sorted(self._send_forms(), key=lambda one: one[0]):
            self._send(address, form)

    def _send_forms(self) -> list[tuple[int, str, html.FormElement]]:
        """Send the forms of all pages, and return those that end something, with their places."""
        pages, ends = list(self.seen.items()), []
        while pages:
            address, answer = pages.pop(0)
            for form in _forms(answer):
                path = urlsplit(urljoin(address, form.action or address)).path
                end = next((place for place, word in enumerate(_LAST) if path.endswith(word)), None)
                if end is None:
                    pages += self._send(address, form)
                else:
                    ends.append((end, address, form))
        return ends

    def _send(self, address: str, form: html.FormElement) -> list[tuple[str, Answered]]:
        """Send a form, unless forms of its kind were; return the pages that it leads to."""
        action = urljoin(address, form.action or address)
        screen = screen_of("POST", urlsplit(action).path)
        kind = (screen.path if screen else "", *sorted({str(one.name) for one in form.inputs if one.name}))
        if screen is None or screen.path in self.avoided or self.sent[kind] >= self.each:
            return []
        self.sent[kind] += 1
        fields = _filled(form, is_plain=self.sent[kind] % 2 == 0)
        if form.get("enctype") == "multipart/form-data":
            files = {one.name: photo(BLUES[0]) for one in form.inputs if one.get("type") == "file"}
            answer = self.surfer.upload(action, **fields, **files)
        else:
            answer = self.surfer.post(action, fields)
        links = self._links(action, answer, "POST")
        if "location" not in answer.headers:
            self.look(*links)
            return [(action, answer)]
        led = self.surfer.get(links[0])  # even if it was seen: it is another page now
        self.look(*self._links(links[0], led))
        return [(links[0], led)]

    def _links(self, address: str, answer: Answered, method: str = "GET") -> list[str]:
        """Note what is wrong with an answer, and return where it leads on this site."""
        where = screen_of(method, urlsplit(address).path)
        path = where.path if where else urlsplit(address).path
        self.screens.add((method, path))
        wrong = faults_of(answer) + [f"status {answer.status}"] * (answer.status >= 500)
        self.faults |= {f"{path}: {one}" for one in wrong}
        self.marks |= marks_of(answer)
        if "location" in answer.headers:
            return [urljoin(address, answer.headers["location"])]
        if not answer.headers.get("content-type", "").startswith("text/html") or not answer.body:
            return []
        page = html.fromstring(answer.body)
        found = [str(one) for one in page.xpath("//a/@href | //img/@src | //form[@method='get']/@action")]
        led = (urljoin(address, one) for one in found if not one.startswith(("data:", "#")))
        return [one.removeprefix(self.surfer.origin) for one in led]


def _forms(answer: Answered) -> list[html.FormElement]:
    is_page = answer.headers.get("content-type", "").startswith("text/html") and answer.body
    return list(html.fromstring(answer.body).forms) if is_page else []


def _filled(form: html.FormElement, is_plain: bool) -> dict[str, str]:
    """The fields of a form: what is hidden as it is, texts hostile or plain, and of each choice the first."""
    made: dict[str, str] = {}
    for one in form.xpath(".//input[@name] | .//textarea[@name] | .//select[@name] | .//button[@name]"):
        kind, name = one.get("type", "text") if one.tag == "input" else one.tag, one.get("name")
        if name == "token":
            continue  # the surfer keeps that of the last page
        if kind == "hidden":
            made[name] = one.get("value", "")
        elif kind in ("text", "search", "password", "textarea"):
            text = hostile(0) if not is_plain else "50" if one.get("inputmode") == "decimal" else "a" * 64
            made[name] = text[: int(one.get("maxlength", 4_000))]
        elif kind == "number":
            made[name] = one.get("value") or one.get("min") or "1"
        elif kind in ("checkbox", "radio", "button") and one.get("disabled") is None:
            made.setdefault(name, one.get("value", "1"))
        elif kind == "select":
            made[name] = next((str(value) for value in one.value_options if value), "")
    return made
