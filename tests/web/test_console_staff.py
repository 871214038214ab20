"""Staff in a real browser: every flow with a pointer, with keys alone, and without JavaScript.

By day a pointer leads through a case, a video and many photos; the rest is for the night.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from typer.testing import CliRunner

from fr_client.cli.main import build
from fr_datasets.links import Link, write_link
from fr_trust.access.principal import Role
from support.browser import PROBE, Look, World, needs_browser, opened, wait_until
from support.photos import draw_lfw
from support.servers import photo
from support.video_calls import announced, reel

pytestmark = needs_browser


@dataclass
class Hand:
    """A person on pages of the console: with a pointer, or with keys alone."""

    look: Look
    world: World
    folder: Path
    keys: bool = False
    without_scripts: bool = False

    def press(self, what: str) -> None:
        """Press a button, follow a link, or tick a box."""
        if not self.keys:
            self.look.page.locator(what).first.click()
            return
        box = self.look.tab_to(what).evaluate("one => one.type === 'checkbox'")
        self.look.page.keyboard.press("Space" if box else "Enter")

    def go(self, what: str, heading: str) -> None:
        """Press something that leads to a page whose heading has these words."""
        self.press(what)
        self.look.heading(re.compile(re.escape(heading)))

    def write(self, what: str, text: str) -> None:
        if self.keys:
            self.look.tab_to(what)
            self.look.page.keyboard.type(text)
        else:
            self.look.page.locator(what).first.fill(text)

    def choose(self, what: str, value: str) -> None:
        """Choose an option of a list, or the radio button of a group that has a value."""
        page = self.look.page
        radio = page.locator(f"{what}[value='{value}']").first
        is_list = page.locator(what).first.evaluate("one => one.matches('select')")
        if not self.keys:
            page.locator(what).first.select_option(value) if is_list else radio.check()
            return
        at = self.look.tab_to(what)
        page.keyboard.press("Home" if is_list else "Space")
        for _ in range(20):
            if at.input_value() == value if is_list else radio.is_checked():
                return
            page.keyboard.press("ArrowDown")
        pytest.fail(f"no key chooses {value} of {what}")

    def give(self, what: str, *files: dict[str, Any] | Path) -> None:
        """Choose files; the dialog is the browser's, and not ours."""
        if self.keys:
            self.look.tab_to(what)
        self.look.page.locator(what).set_input_files(list(files))

    def saved(self, what: str) -> Path:
        """Save a file of the page, and return where it is."""
        with self.look.page.expect_download() as coming:
            self.press(what)
        path = self.folder / str(coming.value.suggested_filename)
        coming.value.save_as(path)
        return path

    def sign_in(self, who: str) -> None:
        """Become somebody; `who` is one of `World.keys` or a role."""
        if self.look.page.locator("form[action='/sign-out']").count():
            self.go("form[action='/sign-out'] button", "Sign in")
        else:
            self.look.open("/")
        self.write("#key", self.world.key(who))
        self.go("form:has(#key) button", "What you can do")

    def text(self) -> str:
        return str(self.look.page.inner_text("main"))


@pytest.fixture
def hand(browser: Any, console_world: World, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hand]:
    how = getattr(request, "param", "pointer")
    with opened(browser, console_world.address, java_script_enabled=how != "without scripts") as look:
        yield Hand(look, console_world, tmp_path, how == "keys", how == "without scripts")


def fr(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(build(), [str(one) for one in arguments])
    return done.exit_code, done.output


def unnamed(hand: Hand, name: str) -> str:
    """Return a name that no other test of this world has."""
    return f"{name}-{hand.folder.name[:40].lower().replace('_', '-')}"


# --- cases


def a_case(hand: Hand) -> None:
    """From the probe over candidates, two blind findings and a conclusion to evidence that verifies, and the end."""
    reference = unnamed(hand, "AZ")
    hand.world.keys |= {f"examiner {one}": hand.world.staff.examiner(one).token for one in (1, 2)}
    hand.sign_in("operator")
    hand.go("nav a[href='/cases']", "Cases")
    hand.write("#case_reference", reference)
    hand.choose("#purpose", "1")
    hand.go("form[action='/cases'] button", f"Case: {reference}")
    hand.go("main a.button", "Search in the case")
    hand.give("#photo", PROBE)
    hand.write("#notes", "sharp, frontal")
    hand.choose("#gallery", "cases")
    hand.write("#candidates", "2")
    hand.go("main form button", "Leads for a human examiner")
    lead = examined(hand, reference, "examiner 1")
    examined(hand, reference, "examiner 2", lead)
    hand.sign_in("operator")
    hand.go("nav a[href='/cases']", "Cases")
    hand.go(f"tr:has-text('{reference}') a", f"Case: {reference}")
    assert "potential candidate: one of them may be the person" in hand.text()
    evidence = hand.saved("section.ask a.button")
    hand.press("[name=sure]")
    hand.go("button.danger", f"Case: {reference}")
    hand.look.page.get_by_text("The case was closed.").wait_for()
    hand.sign_in("auditor")
    hand.go("nav a[href='/custody']", "Custody")
    hand.write("#reference", reference)
    hand.go("main form button", "Custody")
    hand.look.page.locator("th:has-text('case.close')").wait_for()
    hand.go("nav a[href='/audit']", "Audit")
    hand.go("main a[href='/audit/check']", "Check the audit")
    keys = [hand.saved(f"a[href='/audit/key?of={name}']") for name in ("evidence", "cases")]
    require_verified(evidence, *keys)


def examined(hand: Hand, reference: str, who: str, lead: str = "") -> str:
    """Find a candidate to be a lead, the first one if none is named, and the other one to be somebody else; return it.

    Each examiner has an order of their own.
    """
    hand.sign_in(who)
    hand.go("nav a[href='/examinations']", "Examinations")
    hand.go(f"tr:has-text('{reference}') a", "The probe first")
    hand.write("#probe_notes", "a scar beside the left eye")
    hand.press("main form button")
    for number in (1, 2):
        hand.look.heading(f"Candidate {number} of 2")
        shown = hand.look.page.locator("input[name=template]").input_value()
        lead = lead or shown
        hand.choose("#part-ears", "1")
        hand.write("#limits", "none")
        hand.choose("[name=opinion]", "2" if shown == lead else "-1")
        hand.press("form[data-again] button")
    hand.look.heading("Your finding")
    assert "similar: Ears" in hand.text()
    hand.choose("[name=kind]", "1")
    hand.choose("#template", lead)
    hand.press("[name=sure]")
    hand.go("form[data-again] button", "Examination")
    hand.look.page.locator("#findings-head").wait_for()
    return lead


def require_verified(evidence: Path, key: Path, audit_key: Path) -> None:
    """Fail unless the command for receivers takes a file, and refuses it once a byte is another."""
    keys = ("--public-key", key, "--audit-key", audit_key)
    code, told = fr("evidence", "verify", evidence, *keys, "--json")
    assert (code, json.loads(told)["examinations"]) == (0, 1), told
    content = bytearray(evidence.read_bytes())
    content[len(content) // 2] ^= 1
    evidence.write_bytes(content)
    assert fr("evidence", "verify", evidence, *keys)[0] == 1  # control


# --- galleries


def a_gallery(hand: Hand) -> None:
    """From a new gallery over its settings, photos, duplicates and an erasure to its end."""
    gallery, page = unnamed(hand, "g"), hand.look.page
    hand.sign_in("admin")
    hand.go("nav a[href='/galleries']", "Galleries")
    hand.go("main a[href='/galleries/new']", "New gallery")
    hand.write("#gallery_id", gallery)
    hand.choose("#use", "3")
    hand.press("[name=keeps_photos]")
    hand.go("main form button", f"Gallery {gallery}")
    hand.go("main a[href$='/settings']", "Settings")
    hand.write("#display_name", "Volunteers")
    hand.go("form[action$='/settings'] button", f"Gallery {gallery}")
    hand.sign_in("operator")
    hand.go("nav a[href='/galleries']", "Galleries")
    hand.go(f"main a[href='/galleries/{gallery}']", f"Gallery {gallery}")
    hand.go("main a[href$='/enrol']", "Enrol")
    bad = {"name": "bad.png", "mimeType": "image/png", "buffer": b"no photo"}
    hand.give("#photo", *({**PROBE, "name": f"{one}.png", "buffer": photo(one)} for one in (10, 160)), bad)
    hand.press("form[data-many] button")
    page.locator("tbody .refused").wait_for()
    page.locator("tbody tr").nth(2).wait_for()
    hand.look.open(f"/galleries/{gallery}/duplicates")
    hand.press("form[action$='/duplicates'] button")
    page.locator("#end").wait_for()
    hand.look.open(f"/galleries/{gallery}")
    hand.go("tbody a", "Subject 10")
    hand.look.load_pictures()
    hand.press("[name=sure]")
    hand.go("button.danger", "Receipt of an erasure")
    hand.go("main a", f"Gallery {gallery}")
    assert page.locator("tbody tr").count() == 1
    hand.sign_in("admin")
    hand.go("nav a[href='/galleries']", "Galleries")
    hand.go("main a[href='/retention']", "Templates past")
    hand.look.open(f"/galleries/{gallery}/settings")
    hand.write("#typed", gallery)
    hand.go("button.danger", f"The gallery {gallery} is deleted")


def photos(hand: Hand) -> None:
    """Search, compare two photos, and look at the faces of one."""
    hand.sign_in("operator")
    hand.go("nav a[href='/galleries']", "Galleries")
    hand.go("main a[href='/galleries/cases']", "Gallery cases")
    hand.choose("#purpose", "1")
    hand.write("#case_reference", "17/2026")
    hand.press("form[action='/purpose'] button")
    hand.look.page.locator("tbody a").first.wait_for()
    hand.go("nav a[href='/search']", "Search")
    hand.choose("#gallery", "people")
    hand.give("#photo", PROBE)
    hand.go("form[action='/search'] button", "Leads for a human examiner")
    hand.go("nav a[href='/compare']", "Compare")
    hand.give("#a", PROBE)
    hand.give("#b", PROBE)
    hand.go("form[action='/compare'] button", "a lead to examine")
    hand.go("nav a[href='/detect']", "Faces")
    hand.give("#photo", PROBE)
    hand.go("form[action='/detect'] button", "Faces found: 1")


def footage(hand: Hand) -> None:
    """Send a video, wait for its tracks, search for them, send a shot to a case, and delete the video."""
    page = hand.look.page
    hand.sign_in("operator")
    hand.go("nav a[href='/footage']", "Footage")
    film = {"name": "a.mp4", "mimeType": "video/mp4", "buffer": reel() + hand.folder.name.encode()}
    hand.give("#file", film)
    hand.go("form[data-footage] button", "Video ")
    shown = "main a.button[href*='/footage/']"
    while not page.locator(shown).count() and hand.without_scripts:
        hand.press("main p.fine a")
    page.locator(shown).first.wait_for()
    if not page.locator(".tracks").count():
        hand.press(shown)
        page.locator(".tracks").wait_for()
    video = page.url
    hand.go("main a[href$='/search']", "Search with tracks")
    hand.choose("#gallery", "people")
    hand.go("form[action*='/search'] button", "Leads for a human examiner")
    page.locator(".probe img").scroll_into_view_if_needed()
    wait_until(page, "document.querySelector('.probe img').naturalWidth > 20")
    page.goto(video)
    hand.go(".tracks a", "Track 1, shot 1")
    hand.choose("#case", page.locator("#case option").nth(1).get_attribute("value"))
    hand.go("form:has(#case) button", "Search in the case")
    hand.write("#notes", "sharp, frontal")
    hand.choose("#gallery", "cases")
    hand.go("main form button", "Leads for a human examiner")
    page.goto(video)
    hand.press("[name=sure]")
    hand.go("button.danger", "Footage")
    assert "The video and its tracks are deleted." in hand.text()


# --- keys, the audit, evaluations


def a_key(hand: Hand) -> None:
    """Make a key, renew it, end it, and look at the server."""
    label = unnamed(hand, "desk")
    hand.sign_in("admin")
    hand.go("nav a[href='/keys']", "Keys")
    hand.go("main a[href='/keys/new']", "New key")
    hand.write("#label", label)
    hand.press("[name='role.3']")
    hand.write("#galleries", "people")
    hand.press("main form button")
    hand.look.page.locator("#secret").wait_for()
    card = f".card:has(h3:has-text('{label}'))"
    for action in ("rotate", "revoke"):
        hand.go("nav a[href='/keys']", "Keys")
        hand.press(f"{card} summary")
        hand.press(f"{card} form[action$='/{action}'] [name=sure]")
        hand.press(f"{card} form[action$='/{action}'] button")
        hand.look.page.locator("#secret" if action == "rotate" else f"{card} .refused").wait_for()
    hand.go("nav a[href='/server']", "Server")
    hand.sign_in("auditor")
    hand.go("nav a[href='/keys']", "Keys")
    assert label in hand.text()


def the_audit(hand: Hand) -> None:
    """Look for records, and check all of them against checkpoints that were kept."""
    hand.sign_in("auditor")
    hand.go("nav a[href='/audit']", "Audit")
    hand.choose("#chain", "galleries")
    hand.press("form[action='/audit'] summary")
    hand.write("#gallery", "people")
    hand.press("form[action='/audit'] button")
    hand.press("td summary")
    assert "people" in hand.look.page.locator("td details[open]").inner_text()
    hand.go("main a[href='/audit/check']", "Check the audit")
    kept = hand.saved("a[href='/audit/checkpoints']")
    chain = hand.saved("a[href='/audit/export?chain=galleries']")
    key = hand.saved("a[href='/audit/key?of=galleries']")
    hand.give("#checkpoints", kept)
    hand.press("form[action='/audit/check'] button")
    hand.look.page.get_by_text("Every record is as it was written").wait_for()
    assert fr("audit", "file", "verify", chain, "--public-key", key)[0] == 0


def an_evaluation(hand: Hand) -> None:
    """Measure twice, compare the reports, save one, and delete it."""
    with patch.dict(os.environ, {"FR_HOME": str(hand.folder)}):
        write_link("lfw", Link(draw_lfw(hand.folder / "lfw")), hand.folder / "datasets")
        hand.sign_in("trainer")
        for _ in range(2):
            hand.go("nav a[href='/evaluation']", "Evaluation")
            hand.press("form[action='/evaluation/run'] button")
            hand.look.page.locator("#end").wait_for()
        hand.go("nav a[href='/evaluation']", "Evaluation")
        boxes = hand.look.page.locator("tbody [type=checkbox]")
        for at in range(2):
            hand.press(f"tbody [value='{boxes.nth(at).get_attribute('value')}']")
        hand.press("form[action='/evaluation/compare'] button")
        hand.look.page.locator("#report-2").wait_for()
        hand.press("#report-1 a")
        hand.look.page.locator(".plot").first.wait_for()
        assert json.loads(hand.saved("a[download='report.json']").read_bytes())
        hand.press("[name=sure]")
        hand.go("button.danger", "Evaluation")


FLOWS: tuple[Callable[[Hand], None], ...] = (a_case, a_gallery, photos, footage, a_key, the_audit, an_evaluation)
NIGHT = [
    pytest.param(how, flow, id=f"{flow.__name__}, {how}", marks=() if how == "pointer" else pytest.mark.nightly)
    for how in ("pointer", "keys", "without scripts")
    for flow in FLOWS
    if how != "pointer" or flow in (a_case, footage)
]


@pytest.mark.parametrize(("hand", "flow"), NIGHT, indirect=["hand"])
def test_staff_do_their_work(hand: Hand, flow: Callable[[Hand], None]) -> None:
    flow(hand)


# --- a video in a browser with scripts


@pytest.mark.nightly
def test_a_long_video_goes_on_after_a_lost_connection(hand: Hand) -> None:
    """Three chunks, whose hash the browser computes piece by piece; the second one breaks off."""
    page, rest = hand.look.page, 9 * 2**20 + 5
    data = reel() + rest.to_bytes(4, "big") + b"free" + bytes(rest - 8)
    (path := hand.folder / "long.mp4").write_bytes(data)
    hand.look.expected = "ERR_FAILED"
    chunks = []

    def breaks_off(route: Any) -> None:
        chunks.append(route.request.url)
        route.abort() if len(chunks) == 2 else route.continue_()

    hand.sign_in("operator")
    page.route(re.compile(r"/footage/\w+$"), lambda route: breaks_off(route) if is_post(route) else route.continue_())
    hand.go("nav a[href='/footage']", "Footage")
    hand.give("#file", path)
    hand.go("form[data-footage] button", "Video ")
    assert len(chunks) == 4
    assert hashlib.sha256(data).hexdigest() in hand.text()
    page.locator("[data-live] a.button, .tracks").first.wait_for()
    hand.press("[name=sure]")
    hand.go("button.danger", "Footage")


def is_post(route: Any) -> bool:
    return bool(route.request.method == "POST")


@pytest.mark.nightly
def test_a_video_beyond_the_limit_is_refused_in_words(hand: Hand) -> None:
    caller = hand.world.staff.caller(Role.OPERATOR, number=9)
    hand.world.keys["many videos"] = caller.token
    for one in range(8):
        announced(caller, bytes([one]))
    hand.look.allowed = (429,)
    hand.sign_in("many videos")
    hand.go("nav a[href='/footage']", "Footage")
    hand.give("#file", {"name": "a.mp4", "mimeType": "video/mp4", "buffer": reel()})
    hand.press("form[data-footage] button")
    told = hand.look.page.locator("[data-refused]")
    told.wait_for()
    assert "You have 8 videos on this server" in told.inner_text()


# --- many photos at once


def test_two_hundred_photos_are_dropped_each_refusal_is_shown_and_one_is_erased(hand: Hand) -> None:
    """The browser gets the events of a real drop of files, from outside of the page."""
    hand.world.staff.gallery("dropped", operational=False, people=0)
    (folder := hand.folder / "photos").mkdir()
    for one in range(200):
        (folder / f"Person {one:03}.png").write_bytes(b"no photo" if one < 3 else photo(one))
    hand.sign_in("operator")
    page = hand.look.open("/galleries/dropped/enrol").page
    dropped(page, "[data-drop]", sorted(folder.iterdir()))
    hand.press("form[data-many] button")
    page.locator("#many tbody tr").nth(199).wait_for(timeout=200 * 1_000)
    page.locator("form[data-many] button:enabled").wait_for()
    told = [page.locator(one).text_content() for one in ("[data-done]", "[data-enrolled]", "dd[data-refused]")]
    assert told == ["200", "197", "3"]
    refused = page.locator("#many tbody tr:has(.refused)").all_inner_texts()
    assert [re.findall(r"Person 00[012]\.png", one) != [] and len(one) > 60 for one in refused] == [True] * 3
    assert page.locator("#live").text_content()
    hand.look.open("/galleries/dropped")
    assert ("Person 003" in hand.text(), "Person 000" in hand.text()) == (True, False)
    hand.go("tbody a", "Person 003")
    hand.look.load_pictures()
    hand.press("[name=sure]")
    hand.go("button.danger", "Receipt of an erasure")
    hand.look.open("/galleries/dropped")
    assert "Person 003" not in hand.text()


def dropped(page: Any, where: str, files: list[Path]) -> None:
    """Drop files as a desktop does: https://chromedevtools.github.io/devtools-protocol/tot/Input/#method-dispatchDragEvent."""
    page.locator(where).scroll_into_view_if_needed()
    box = page.locator(where).bounding_box()
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(one) for one in files], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})
    wait_until(page, "most => document.querySelector('[data-drop] input').files.length === most", len(files))
