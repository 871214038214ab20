"""The page to try calls works in a browser."""

import json
from typing import Any

import pytest

from support.browser import Look, chromium, needs_browser
from support.web import Web

pytestmark = [pytest.mark.nightly, needs_browser]

CALL = "(call) => { document.getElementById('call').value = '/fr_api.v1.' + call; }"


def choose(page: Any, call: str, request: str) -> None:
    page.evaluate(CALL, call)
    page.locator("#call").dispatch_event("change")
    page.locator("#request").fill(request)
    page.locator("#form").evaluate("form => form.requestSubmit()")


def test_a_call_is_chosen_and_sent_and_its_answer_shown(site: Web) -> None:
    from playwright.sync_api import expect

    with chromium() as browser:
        look = Look(browser.new_page(), f"http://{site.host}:{site.port}")
        look.allowed = (400,)
        page = look.open("/try").page
        status = page.locator("#status")
        page.locator("#call option").first.wait_for(state="attached")
        page.locator("#key").fill(site.key)
        choose(page, "ServerService/GetServerInfo", "{}")
        expect(status).to_contain_text("Answered in")
        assert '"version"' in page.locator("#answer").inner_text()
        choose(page, "GalleryService/Search", json.dumps({"gallery": "staff"}))
        expect(status).to_contain_text("Refused: INVALID_FIELD.")
        expect(status).to_contain_text("Is galleryId meant?")
        choose(page, "GalleryService/Search", "{bad")
        expect(status).to_contain_text("The request is not JSON")
        # A proxy that answers in its own words, and one that does not answer.
        page.evaluate("() => { fetch = async () => new Response('<p>Bad gateway', {status: 502}); }")
        choose(page, "ServerService/GetServerInfo", "{}")
        expect(status).to_contain_text("The answer is not JSON (status 502)")
        assert page.locator("#answer").inner_text() == "<p>Bad gateway"
        page.evaluate("() => { fetch = async () => { throw new TypeError('gone'); }; }")
        choose(page, "ServerService/GetServerInfo", "{}")
        expect(status).to_contain_text("The server did not answer.")
        page.evaluate("() => { document.getElementById('status').textContent = ''; begin(); }")
        expect(status).to_contain_text("The list of calls, /openapi.json, cannot be read")
        look.require_sound()
