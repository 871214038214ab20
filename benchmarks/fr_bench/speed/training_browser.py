"""A trainee with a browser: takes a course on the pages of the console, over one connection that keeps its cookies."""

import asyncio
import html
import random
import re
import time
from collections.abc import Mapping
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from fr_api.v1 import training_pb2
from fr_bench.speed.child import BenchFailed
from fr_bench.speed.training_course import SITTING
from fr_bench.speed.training_trainees import PATIENCE_S, Trainee
from fr_locales.messages import message

_PAGE = f"/course/sitting?name={SITTING}"
_TOKEN = re.compile(r'name="token" value="(\w+)"')
_FIELD = re.compile(r'name="(trial|step|block)" value="([^"]+)"')
_PICTURE = re.compile(r'<img src="data:image/\w+;base64,([^"]+)"')
_COME_AGAIN, _PAUSE_S = ("429", "503"), 1.0


class Browser(Trainee):
    """Loads pages as a browser without scripts does; `pages_s` are the seconds of each request."""

    def __init__(
        self, address: str, codes: tuple[str, ...], places: tuple[int, ...], rng: random.Random, pages_s: list[float]
    ) -> None:
        super().__init__(codes, places, rng)
        self._address = address
        self._pages_s = pages_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._cookies: dict[str, str] = {}
        self._token = self._page = ""

    async def begin(self) -> None:
        """Sign in with the next code, agree, and begin the block: the page has the first trial then."""
        code = self.next_walk()
        begun = time.monotonic()
        self._cookies.clear()
        await self._load("/sign-in")
        await self._follow("/sign-in", {"code": code, "as_trainee": "1", "next": "/course"})
        await self._follow("/course", {"sitting": SITTING, "consent": "1"})
        await self._follow(_PAGE, {"block": dict(_FIELD.findall(self._page))["block"]})
        self._look()
        self.begun_s.append(time.monotonic() - begun)

    async def submit(self, trial: training_pb2.Trial, rating: int) -> None:
        """Send the form of a trial."""
        await self._send(_PAGE, {"trial": trial.trial_id, "step": str(trial.step), "rating": str(rating)})

    async def show(self) -> None:
        """Load the page of the next trial."""
        await self._load(_PAGE)
        self._look()

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()

    def _look(self) -> None:
        """Note the trial of the page, with its pictures."""
        found = dict(_FIELD.findall(self._page))
        pictures = _PICTURE.findall(self._page)
        self.pictures += len(pictures)
        self.picture_bytes += sum(len(one) * 3 // 4 for one in pictures)
        self.trial = None
        if "trial" in found:
            step = training_pb2.TrialStep.ValueType(int(found["step"]))
            self.trial = training_pb2.Trial(trial_id=found["trial"], step=step)

    async def _follow(self, path: str, fields: Mapping[str, str]) -> None:
        await self._load(await self._send(path, fields))

    async def _load(self, path: str) -> None:
        _, content = await self._ask("GET", path, "", b"")
        self._page = content.decode()
        found = _TOKEN.search(self._page)
        self._token = found[1] if found else self._token

    async def _send(self, path: str, fields: Mapping[str, str]) -> str:
        """Send a form, and return where it leads."""
        kind = f"Origin: http://{self._address}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        head, _ = await self._ask("POST", path, kind, urlencode({"token": self._token, **fields}).encode())
        return head["location"]

    async def _ask(self, method: str, path: str, more: str, body: bytes) -> tuple[Mapping[str, str], bytes]:
        """Make a request, and again where the answer says so; raises `BenchFailed` if it is refused."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            status, head, content = await self._asked(method, path, more, body)
            if status.startswith(("2", "3")):
                return head, content
            if status not in _COME_AGAIN or time.monotonic() > give_up:
                words = re.search(r'class="refusal".*?<p[^>]*>(.*?)</p>', content.decode(), re.DOTALL)
                reason = f"{status} {html.unescape(words[1])}" if words else status
                raise BenchFailed(message("error.bench.server_refuses_trainee", reason=reason))
            self.refusals[status] += 1
            await asyncio.sleep(_PAUSE_S)

    async def _asked(self, method: str, path: str, more: str, body: bytes) -> tuple[str, Mapping[str, str], bytes]:
        if self._streams is None:
            host, _, port = self._address.rpartition(":")
            self._streams = await asyncio.open_connection(host, int(port))
        reader, writer = self._streams
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        request = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._address}\r\nAccept: text/html\r\nAccept-Encoding: gzip\r\n"
            f"Cookie: {cookies}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        )
        begun = time.monotonic()
        writer.write(request.encode() + body)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        head = {name.lower(): value for name, value in pairs}
        content = await reader.readexactly(int(head["content-length"]))
        self._pages_s.append(time.monotonic() - begun)
        for value in (value for name, value in pairs if name.lower() == "set-cookie"):
            self._cookies |= {name: morsel.value for name, morsel in SimpleCookie(value).items()}
        return first.split()[1], head, content
