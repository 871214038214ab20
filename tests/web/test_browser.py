"""The page to try calls works in a browser, Chromium without a window, which is told what to do over two pipes."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from support.faults import until
from support.web import Web

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

SEND = "document.getElementById('form').requestSubmit()"


@dataclass
class Page:
    """A page of a browser that takes commands of the DevTools protocol, each ended by a zero byte."""

    commands: IO[bytes]
    answers: IO[bytes]
    session: str = ""

    def do(self, method: str, **parameters: Any) -> Any:
        whole = {"id": 1, "method": method, "params": parameters}
        self.commands.write(json.dumps(whole | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        self.commands.flush()
        while True:
            told = b""
            while not told.endswith(b"\0"):
                told += self.answers.read(1) or pytest.fail("the browser has ended")
            if (found := json.loads(told[:-1])).get("id") == 1:
                return found["result"]

    def value(self, expression: str) -> Any:
        return self.do("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def text(self, name: str) -> str:
        return str(self.value(f"document.getElementById('{name}').textContent"))

    def choose(self, call: str, request: str) -> None:
        self.value(f"document.getElementById('call').value = '/fr_api.v1.{call}'")
        self.value("document.getElementById('call').dispatchEvent(new Event('change'))")
        self.value(f"document.getElementById('request').value = {json.dumps(request)}")
        self.value(SEND)


@contextmanager
def browser(folder: Path, address: str) -> Iterator[Page]:
    (commands_out, commands_in), (answers_out, answers_in) = os.pipe(), os.pipe()
    line = f'exec "$0" "$@" 3<&{commands_out} 4>&{answers_in}'
    options = ["--headless", "--no-sandbox", "--remote-debugging-pipe", f"--user-data-dir={folder}"]
    process = subprocess.Popen(
        ["bash", "-c", line, str(CHROMIUM), *options],
        pass_fds=(commands_out, answers_in),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands_out)
    os.close(answers_in)
    with os.fdopen(commands_in, "wb") as commands, os.fdopen(answers_out, "rb") as answers:
        page = Page(commands, answers)
        try:
            target = page.do("Target.createTarget", url=address)["targetId"]
            page.session = page.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            yield page
        finally:
            process.terminate()
            process.wait(30)


def test_a_call_is_chosen_and_sent_and_its_answer_shown(site: Web, tmp_path: Path) -> None:
    with browser(tmp_path, f"http://{site.host}:{site.port}/") as page:
        until(lambda: bool(page.value("document.getElementById('call')?.options.length")), 30)
        page.value(f"document.getElementById('key').value = '{site.key}'")
        page.choose("ServerService/GetServerInfo", "{}")
        until(lambda: page.text("status").startswith("Answered in"), 30)
        assert '"version"' in page.text("answer")
        page.choose("GalleryService/Search", '{"gallery": "staff"}')
        until(lambda: page.text("status").startswith("Refused: INVALID_FIELD."), 30)
        assert "Is galleryId meant?" in page.text("status")
        page.choose("GalleryService/Search", "{bad")
        until(lambda: page.text("status").startswith("The request is not JSON"), 30)
        # A proxy that answers in its own words, and one that does not answer.
        page.value("fetch = async () => new Response('<p>Bad gateway', {status: 502})")
        page.choose("ServerService/GetServerInfo", "{}")
        until(lambda: page.text("status").startswith("The answer is not JSON (status 502)"), 30)
        assert page.text("answer") == "<p>Bad gateway"
        page.value("fetch = async () => { throw new TypeError('gone') }")
        page.choose("ServerService/GetServerInfo", "{}")
        until(lambda: page.text("status").startswith("The server did not answer."), 30)
        page.value("document.getElementById('status').textContent = ''; begin()")
        until(lambda: page.text("status").startswith("The list of calls, /openapi.json, cannot be read"), 30)
