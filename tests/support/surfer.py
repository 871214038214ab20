"""A browser without pictures and scripts: keeps cookies, and fills in the forms of pages."""

import html
import re
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import quote, urlencode

from support.web import Answered, Web, form

FORM_TYPE = "application/x-www-form-urlencoded"


@dataclass
class Surfer:
    """`cookies` are sent with each request, and `token` is that of the page before."""

    site: Web
    cookies: dict[str, str] = field(default_factory=dict)
    token: str = ""
    file: str = "photo.png"  # the name of what it uploads

    @property
    def origin(self) -> str:
        scheme = "http" if self.site.context is None else "https"
        return f"{scheme}://{self.site.host}:{self.site.port}"

    def get(self, path: str, **headers: str) -> Answered:
        return self._kept(self.site.ask("GET", path, **{"Accept": "text/html", **self._cookie(), **headers}))

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Answered:
        """Send a form as a page of the site does; a header "" is left out."""
        body = urlencode({"token": self.token, **fields})
        sent = {"Content_Type": FORM_TYPE, **self._from_page(), **headers}
        return self._kept(self.site.ask("POST", path, body, **{name: value for name, value in sent.items() if value}))

    def upload(self, path: str, **parts: str | bytes) -> Answered:
        body, kind = form(token=self.token, **parts)
        body = body.replace(b'"photo.png"', b'"%s"' % self.file.replace('"', "%22").encode())
        return self._kept(self.site.ask("POST", path, body, **{**self._from_page(), "Content_Type": kind}))

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
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}

    def _kept(self, answer: Answered) -> Answered:
        for name, morsel in SimpleCookie(answer.headers.get("set-cookie", "")).items():
            self.cookies[name] = morsel.value
        found = re.search(r'name="token" value="(\w+)"', answer.body.decode("utf-8", "replace"))
        self.token = found[1] if found else self.token
        return answer


def words(answer: Answered) -> str:
    """The page as text: what a person could read, and the attributes."""
    return html.unescape(answer.body.decode())


def escaped(text: str) -> str:
    return quote(text, safe="")
