"""Pages that are files, such as reports, as a browser shows them and prints them."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from support.browser import chromium


class Page:
    """A page of a browser, at first an empty one."""

    def __init__(self, page: Any) -> None:
        self._page = page

    def value(self, expression: str) -> Any:
        return self._page.evaluate(expression)

    def open(self, address: str) -> None:
        self._page.goto(address, wait_until="load")

    def look(self, width: int, height: int, scheme: str = "light") -> None:
        """Show the page on a screen of this many pixels, to eyes that like it light or dark."""
        self._page.set_viewport_size({"width": width, "height": height})
        self._page.emulate_media(color_scheme=scheme)

    def printed(self) -> list[tuple[float, float]]:
        """Width and height of each sheet that the page fills when it is printed on A4, in points."""
        pdf = self._page.pdf(width="8.27in", height="11.69in", prefer_css_page_size=True)
        boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
        return [(float(width), float(height)) for width, height in boxes]


@contextmanager
def paper() -> Iterator[Page]:
    """Run a browser with an empty page."""
    with chromium() as started:
        yield Page(started.new_page())


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
