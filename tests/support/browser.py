"""A browser for tests, Chromium without a window, which takes commands of the DevTools protocol over two pipes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import pytest

from support.faults import until

CHROMIUM = shutil.which("chromium")
with_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@dataclass
class Page:
    """A page of a browser that takes commands of the DevTools protocol, each ended by a zero byte."""

    commands: IO[bytes]
    answers: BufferedReader
    session: str = ""

    def do(self, method: str, **parameters: Any) -> Any:
        whole = {"id": 1, "method": method, "params": parameters}
        self.commands.write(json.dumps(whole | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        self.commands.flush()
        while True:
            told = bytearray()
            while not told.endswith(b"\0"):
                there = self.answers.peek() or pytest.fail("the browser has ended")
                told += self.answers.read(there.find(b"\0") + 1 or len(there))
            if (found := json.loads(told[:-1])).get("id") == 1:
                return found["result"]

    def value(self, expression: str) -> Any:
        return self.do("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open(self, address: str) -> None:
        self.do("Page.navigate", url=address)
        until(lambda: bool(self.value(f"location.href == '{address}' && document.readyState == 'complete'")), 30)

    def look(self, width: int, height: int, scheme: str = "light") -> None:
        """Show the page on a screen of this many pixels, to eyes that like it light or dark."""
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self) -> bytes:
        """The whole page as a PNG."""
        return b64decode(self.do("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def printed(self) -> list[tuple[float, float]]:
        """Width and height of each sheet that the page fills when it is printed on A4, in points."""
        pdf = self.do("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True)["data"]
        boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", b64decode(pdf))
        return [(float(width), float(height)) for width, height in boxes]


def require_one_screen(page: Page) -> None:
    """Fail unless all above the first fold is seen without scrolling on a small laptop, in light and in dark."""
    for scheme in ("light", "dark"):
        page.look(*SCREEN, scheme)
        ends = page.value("document.querySelector('details').getBoundingClientRect().top")
        assert 0 < ends <= SCREEN[1], f"{scheme}: it ends at {ends} of {SCREEN[1]} pixels"
        require_readable(page)


def require_readable(page: Page) -> None:
    """Fail where text is too pale for WCAG 2.2 AA, or a page is wider than the screen."""
    assert page.value(_PALE) == []
    assert page.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def require_sheets(page: Page, sheets: Sequence[tuple[float, float]]) -> None:
    """Fail unless the page prints on exactly these sheets."""
    assert [(round(width), round(height)) for width, height in page.printed()] == list(sheets)


SCREEN = (1280, 800)
PORTRAIT, LANDSCAPE = (595, 842), (842, 595)
"""Sheets of A4, in points."""

# Text whose contrast to what is behind it is under 4.5 (WCAG 2.2, 1.4.3).
_PALE = """(() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = parts(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('body *:not(svg *)')]
    .filter(node => [...node.childNodes].some(one => one.nodeType == 3 && one.data.trim()))
    .filter(node => {
      const both = [light(parts(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
      return (both[0] + .05) / (both[1] + .05) < 4.5;
    }).map(node => node.outerHTML.slice(0, 80));
})()"""


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
