"""In Chromium: many photos by drag and drop, with keys alone and without JavaScript; reports with their pictures."""

import os
import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from fr_datasets.links import Link, write_link
from support.browser import LEFT_TO_RIGHT, RIGHT_TO_LEFT, Look, Visitors, World, chromium, needs_browser
from support.photos import draw_lfw
from support.servers import photo

pytestmark = needs_browser

DROP = """([names, contents]) => {
  const data = new DataTransfer();
  names.forEach((name, at) => {
    const bytes = Uint8Array.from(atob(contents[at]), (one) => one.charCodeAt(0));
    data.items.add(new File([bytes], name, { type: "image/png" }));
  });
  const zone = document.querySelector("[data-drop]");
  zone.dispatchEvent(new DragEvent("dragover", { bubbles: true, cancelable: true, dataTransfer: data }));
  zone.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: data }));
}"""


@pytest.fixture(scope="module")
def visitors(console_world: World) -> Iterator[Visitors]:
    with chromium() as browser:
        yield Visitors(browser, console_world)


def files(number: int, bad: int) -> list[dict[str, Any]]:
    """So many photos, of which some are none."""
    return [
        {
            "name": f"Person {one:03}.png",
            "mimeType": "image/png",
            "buffer": b"no photo" if one < bad else photo(one),
        }
        for one in range(number)
    ]


def test_two_hundred_photos_are_dropped_and_each_refusal_is_shown(visitors: Visitors, console_world: World) -> None:
    console_world.staff.gallery("dropped", operational=False, people=0)
    look = visitors.of("operator").open("/galleries/dropped/enrol")
    sent = files(200, 3)
    contents = [b64encode(one["buffer"]).decode() for one in sent]
    look.page.evaluate(DROP, [[one["name"] for one in sent], contents])
    look.page.locator("form[data-many] button").click()
    look.page.locator("#many tbody tr").nth(199).wait_for()
    look.page.locator("form[data-many] button:enabled").wait_for()
    assert look.page.locator("[data-done]").text_content() == "200"
    assert look.page.locator("[data-enrolled]").text_content() == "197"
    assert look.page.locator("dd[data-refused]").text_content() == "3"
    first = look.page.locator("#many tbody tr").first.inner_text()
    assert re.search(r"Person 00[012]\.png", first)
    assert len(first) > 60
    assert look.page.locator("#live").text_content()
    look.require_sound()
    look.open("/galleries/dropped")
    assert "Person 003" in look.page.inner_text("main")
    assert "Person 000" not in look.page.inner_text("main")


def test_many_photos_are_enrolled_without_javascript(visitors: Visitors, console_world: World) -> None:
    console_world.staff.gallery("plain", operational=False, people=0)
    look = visitors.of("operator", script=False).open("/galleries/plain/enrol")
    look.page.locator("#photo").set_input_files(files(5, 2))
    look.page.locator("form[data-many] button").click()
    look.page.locator("tbody tr").nth(4).wait_for()
    assert look.page.locator(".tag.refused").count() == 2
    look.require_sound()


def test_photos_are_enrolled_with_keys_alone(visitors: Visitors, console_world: World) -> None:
    console_world.staff.gallery("keyed", operational=False, people=0)
    look = visitors.of("operator").open("/galleries/keyed/enrol")
    look.page.locator("#photo").set_input_files(files(1, 0))  # the dialog of the browser is not ours
    for _ in range(30):
        look.page.keyboard.press("Tab")
        if look.page.evaluate("document.activeElement.matches('form[data-many] button')"):
            break
    look.page.keyboard.press("Enter")
    look.page.locator("#many tbody tr").first.wait_for()
    look.require_sound()


def test_duplicates_come_without_javascript(visitors: Visitors, console_world: World) -> None:
    look = visitors.of("operator", script=False).open("/galleries/people/duplicates")
    look.page.locator("form[action$='/duplicates'] button").click()
    look.page.locator("#end").wait_for()
    look.require_sound()


def test_a_report_has_its_pictures_in_both_directions(
    visitors: Visitors, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    with patch.dict(os.environ, {"FR_HOME": str(home)}):
        write_link("lfw", Link(draw_lfw(home / "lfw")), home / "datasets")
        for language in (LEFT_TO_RIGHT, RIGHT_TO_LEFT):
            look = visitors.of("trainer", language).open("/evaluation")
            look.require_open_to_all()
            look.page.locator("form[action='/evaluation/run'] button").first.click()
            look.page.locator("#end a").click()
            look.page.locator(".plot").first.wait_for()
            assert shown(look)
            look.require_open_to_all()
        look.open("/evaluation")
        for at in (0, 1):
            look.page.locator("tbody [type=checkbox]").nth(at).check()
        look.page.locator("form[action='/evaluation/compare'] button").click()
        look.page.locator(".columns .card").nth(1).wait_for()
        look.require_open_to_all()


def shown(look: Look) -> bool:
    """Return whether the browser could draw every picture."""
    pictures = "[...document.querySelectorAll('.plot img')]"
    found = look.page.evaluate(f"Promise.all({pictures}.map((one) => one.decode().then(() => one.naturalWidth > 99)))")
    return len(found) >= 3 and all(found)
