"""The page to try calls works in a browser."""

import json
from pathlib import Path

import pytest

from support.browser import Page, browser, with_browser
from support.faults import until
from support.web import Web

pytestmark = [pytest.mark.nightly, with_browser]

SEND = "document.getElementById('form').requestSubmit()"


def text(page: Page, name: str) -> str:
    return str(page.value(f"document.getElementById('{name}').textContent"))


def choose(page: Page, call: str, request: str) -> None:
    page.value(f"document.getElementById('call').value = '/fr_api.v1.{call}'")
    page.value("document.getElementById('call').dispatchEvent(new Event('change'))")
    page.value(f"document.getElementById('request').value = {json.dumps(request)}")
    page.value(SEND)


def test_a_call_is_chosen_and_sent_and_its_answer_shown(site: Web, tmp_path: Path) -> None:
    with browser(tmp_path, f"http://{site.host}:{site.port}/") as page:
        until(lambda: bool(page.value("document.getElementById('call')?.options.length")), 30)
        page.value(f"document.getElementById('key').value = '{site.key}'")
        choose(page, "ServerService/GetServerInfo", "{}")
        until(lambda: text(page, "status").startswith("Answered in"), 30)
        assert '"version"' in text(page, "answer")
        choose(page, "GalleryService/Search", '{"gallery": "staff"}')
        until(lambda: text(page, "status").startswith("Refused: INVALID_FIELD."), 30)
        assert "Is galleryId meant?" in text(page, "status")
        choose(page, "GalleryService/Search", "{bad")
        until(lambda: text(page, "status").startswith("The request is not JSON"), 30)
        # A proxy that answers in its own words, and one that does not answer.
        page.value("fetch = async () => new Response('<p>Bad gateway', {status: 502})")
        choose(page, "ServerService/GetServerInfo", "{}")
        until(lambda: text(page, "status").startswith("The answer is not JSON (status 502)"), 30)
        assert text(page, "answer") == "<p>Bad gateway"
        page.value("fetch = async () => { throw new TypeError('gone') }")
        choose(page, "ServerService/GetServerInfo", "{}")
        until(lambda: text(page, "status").startswith("The server did not answer."), 30)
        page.value("document.getElementById('status').textContent = ''; begin()")
        until(lambda: text(page, "status").startswith("The list of calls, /openapi.json, cannot be read"), 30)
