"""The console over HTTP: who gets in, and what they do there."""

import re
from hashlib import sha256
from html import unescape
from importlib import resources
from pathlib import Path

import polib
import pytest

from fr_api.v1 import access_pb2
from fr_client.errors import FrApiError
from fr_locales.rendering import best_language, direction_of
from fr_trust.access.principal import Role
from fr_web.console import forms, sessions
from fr_web.console.views.keyboard import KEYBOARD_COOKIE, KEYS
from fr_web.console.visit import IN_PLACE
from support.callers import BLUES, Staffed
from support.servers import photo, running
from support.surfer import Surfer, escaped, signed_in
from support.surfer import words as words_of
from support.web import web

VENDORED = {
    "htmx.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "hx-csp.min.js": "a7e1e6711ae6c3e50ad300fba7936cbe8d07599cdae313414a179ddd6b26e143",
    "hx-sse.min.js": "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103",
    "LICENSE-htmx": "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
}
"""Of htmx.org 4.0.1 from npm (0BSD): dist/, dist/ext/ and LICENSE."""


def test_the_vendored_scripts_are_those_of_the_registry() -> None:
    folder = resources.files("fr_web.console") / "static" / "vendor"
    found = {one.name: sha256(one.read_bytes()).hexdigest() for one in folder.iterdir()}
    assert found == VENDORED


def test_a_key_opens_what_its_role_may_do(at: Staffed, surfer: Surfer) -> None:
    assert surfer.get("/galleries").status == 401
    wrong = surfer.sign_in("wrong")
    assert (wrong.status, surfer.get("/galleries").status) == (401, 401)
    assert surfer.sign_in(at.auditor.token).status == 303
    home = words_of(surfer.get("/"))
    assert 'href="/galleries"' in home
    assert 'href="/search"' not in home
    assert surfer.get("/search").status == 403
    refused = surfer.upload("/search", gallery="g", photo=photo(10))
    assert (refused.status, "NOT_PERMITTED" in words_of(refused)) == (403, False)
    assert surfer.sign_in(at.operator.token).status == 303
    assert 'href="/search"' in words_of(surfer.get("/"))


def test_a_refusal_says_what_to_do_on_a_page(surfer: Surfer) -> None:
    surfer.get("/sign-in")
    page, in_place = surfer.post("/sign-in", {}), surfer.post("/sign-in", {}, **{IN_PLACE.replace("-", "_"): "1"})
    told = re.search(r'<section class="refusal".*?</section>', words_of(page), re.DOTALL)
    assert told is not None
    for sentence in (told[0], words_of(in_place)):
        assert "This server asks for a key." in sentence
        assert "uthorization" not in sentence


def test_a_page_says_why_it_asks_somebody_to_sign_in_again(at: Staffed, operator: Surfer) -> None:
    lost = Surfer(operator.site, dict.fromkeys(operator.cookies, "of-a-server-that-has-started-again"))
    stranger = Surfer(operator.site)
    assert "a session ends after a while" in words_of(lost.get("/galleries"))
    assert "a session ends after a while" not in words_of(stranger.get("/galleries"))


def test_a_wrong_code_is_compared_with_the_slip(at: Staffed, surfer: Surfer) -> None:
    refused = surfer.sign_in(at.caller(Role.TRAINEE).token, "00000-00000-00000-00000-000000")
    told = re.search(r'<section class="refusal".*?</section>', words_of(refused), re.DOTALL)
    assert told is not None
    assert "Compare it with the code on your slip" in told[0]
    assert re.search(r'id="code"[^>]*aria-invalid', words_of(refused))


def test_a_wrong_key_of_a_class_is_compared_with_the_slip(at: Staffed, surfer: Surfer) -> None:
    key, code = at.caller(Role.TRAINEE).token, "00000-00000-00000-00000-000000"
    for one, other in (("mistyped", code), (code, key)):
        refused = surfer.sign_in(one, other)
        told = re.search(r'<section class="refusal".*?</section>', words_of(refused), re.DOTALL)
        assert told is not None
        assert "not the right key of the class" in told[0]
        assert re.search(r'id="class"[^>]*aria-invalid', words_of(refused))
        assert key not in words_of(refused)
    assert key not in words_of(surfer.sign_in(key, key))
    assert code in words_of(surfer.sign_in(key, code))
    staff = surfer.sign_in("mistyped")
    assert "not the right key of the class" not in words_of(staff)


def test_no_key_is_in_any_page_or_cookie(at: Staffed, operator: Surfer) -> None:
    told = [operator.get(path) for path in ("/", "/galleries", "/galleries/g", "/search")]
    for answer in told:
        assert at.operator.token not in str(answer.headers) + words_of(answer)
    assert not any(at.operator.token in value for value in operator.cookies.values())


def test_signing_out_ends_the_session_for_whoever_kept_its_cookie(operator: Surfer) -> None:
    kept = Surfer(operator.site, dict(operator.cookies))
    assert kept.get("/galleries").status == 200
    assert operator.post("/sign-out", {}).status == 303
    assert operator.get("/galleries").status == 401
    assert kept.get("/galleries").status == 401


def test_an_allowed_site_may_call_and_still_not_use_the_pages(at: Staffed) -> None:
    site = "https://tools.example"
    with web(at.server.address, origins=(site,)) as started:
        surfer = signed_in(started, at.operator.token)
        headers = {"Origin": site, "Sec_Fetch_Site": "cross-site"}
        assert surfer.post("/sign-out", {}, **headers).status == 403
        assert surfer.get("/galleries").status == 200


def test_a_search_shows_leads_and_keeps_nothing(at: Staffed, operator: Surfer) -> None:
    page = words_of(operator.upload("/search", gallery="g", photo=photo(BLUES[0]), candidates="3"))
    assert "Leads for a human examiner" in page
    assert page.count('loading="lazy"') == 3
    assert "g 10" in page
    assert "No error rates are known for this search." in page
    shown = re.search(r'src="(/galleries/g/photo\?template=\d+)"', page)
    assert shown is not None
    sent = operator.get(shown[1])
    assert (sent.body, sent.headers["content-type"]) == (photo(BLUES[0]), "image/png")
    assert "sandbox" in sent.headers["content-security-policy"]
    assert Surfer(operator.site).get(shown[1]).status == 401


def test_a_subject_is_erased_only_by_somebody_who_means_it(at: Staffed, operator: Surfer) -> None:
    at.enrol("g", "to / erase", 77)
    path = f"/galleries/g/subject?id={escaped('to / erase')}"
    assert "Subject to / erase" in words_of(operator.get(path))
    assert operator.post(path, {}).status == 400
    receipt = operator.post(path, {"sure": "1"})
    assert receipt.status == 200
    assert re.search(r"<code[^>]*>[0-9a-f]{16}</code>", receipt.body.decode())
    assert operator.get(path).status == 404


def test_an_operational_gallery_asks_for_a_purpose_once(at: Staffed, operator: Surfer) -> None:
    at.gallery("official")
    page = words_of(operator.get("/galleries/official"))
    assert '<time dir="auto" datetime="' in page  # apart from the text around it, where that runs from right to left
    assert "State your purpose" in page
    assert "official 10" not in page
    answer = operator.post("/purpose", {"purpose": "1", "case_reference": "17/26", "next": "/galleries/official"})
    assert answer.headers["location"] == "/galleries/official"
    assert "official 10" in words_of(operator.get("/galleries/official"))
    assert operator.upload("/search", gallery="official", photo=photo(BLUES[0])).status == 200
    page = words_of(operator.get("/galleries/official/subject?id=official%2010"))
    assert "under the reference <bdi>17/26</bdi>" in page
    led = unescape(re.findall(r'href="(/purpose\?[^"]*)"', page)[0])
    asked = words_of(operator.get(led))
    onward, *_ = re.findall('name="next" value="([^"]*official[^"]*)"', asked)
    again = {"purpose": "2", "case_reference": "18/26", "next": unescape(onward)}
    back = operator.post("/purpose", again).headers["location"]
    assert "under the reference <bdi>18/26</bdi>" in words_of(operator.get(back))
    assert back == "/galleries/official/subject?id=official%2010"


def test_an_admin_makes_a_gallery_and_reads_why_not(admin: Surfer) -> None:
    fields = {"gallery_id": "made", "display_name": "Made here", "use": "3", "retention_days": "30"}
    assert admin.post("/galleries", fields).headers["location"] == "/galleries/made"
    assert "Made here" in words_of(admin.get("/galleries/made"))
    again = admin.post("/galleries", fields)
    assert again.status == 409
    assert "already" in words_of(again)
    assert 'value="Made here"' in words_of(again)  # nothing typed is lost
    assert admin.post("/galleries", {**fields, "use": "99"}).status == 400


def test_subjects_come_page_by_page(at: Staffed, operator: Surfer) -> None:
    at.gallery("many", operational=False, people=0)
    for number in range(52):
        at.enrol("many", f"s{number:02}", number + 1)
    first = words_of(operator.get("/galleries/many"))
    following = re.search(r'href="(/galleries/many\?page=[^"]+)"', first)
    assert following is not None
    second = words_of(operator.get(following[1]))
    shown = [re.findall(r">(s\d\d)<", page) for page in (first, second)]  # the addresses of pages are random letters
    assert shown[0] + shown[1] == [f"s{number:02}" for number in range(52)]
    assert shown[1]


def test_a_server_without_keys_lets_its_own_machine_in(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server, web(server.address) as site:
        surfer = Surfer(site)
        assert surfer.sign_in("").status == 303
        assert surfer.get("/galleries").status == 200
        proxied = surfer.get("/galleries", X_Forwarded_For="203.0.113.9")
        assert proxied.status == 403


class SteppedClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def person(number: int = 0) -> sessions.Session:
    return sessions.Session("key", "", f"key:{number}", frozenset({access_pb2.ROLE_OPERATOR}))


def test_a_session_ends_when_it_rests_and_when_it_is_old() -> None:
    clock = SteppedClock()
    kept = sessions.Sessions(clock)
    session_id = kept.begin(person())
    clock.now_s = sessions.IDLE_S
    assert kept.find(session_id) is not None
    clock.now_s += sessions.IDLE_S + 1
    assert kept.find(session_id) is None
    session_id = kept.begin(person())
    for _ in range(int(sessions.LONGEST_S / sessions.IDLE_S)):
        clock.now_s += sessions.IDLE_S
        assert kept.find(session_id) is not None
    clock.now_s += 1
    assert kept.find(session_id) is None


def test_sessions_are_bounded_in_all_and_of_one_person() -> None:
    kept = sessions.Sessions(SteppedClock(), most=9, most_of_one=5)
    other = kept.begin(person(1))
    own = [kept.begin(person()) for _ in range(7)]
    assert [kept.find(one) is not None for one in own] == [False] * 2 + [True] * 5
    assert kept.find(other) is not None
    for number in range(2, 11):
        kept.begin(person(number))
    assert kept.find(other) is None


def test_drafts_are_forgotten_after_the_longest_session() -> None:
    clock = SteppedClock()
    kept = sessions.Sessions(clock)

    def again() -> sessions.Session:
        kept.begin(one := person())
        return one

    again().drafts["x"] = "notes"
    clock.now_s = sessions.LONGEST_S
    assert again().drafts == {"x": "notes"}
    clock.now_s += sessions.LONGEST_S + 1
    assert again().drafts == {}


def test_languages_follow_the_cookie_then_the_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in ("ar-XB", "fr"):
        (tmp_path / one / "LC_MESSAGES").mkdir(parents=True)
        (tmp_path / one / "LC_MESSAGES" / "fr.po").write_text('msgid ""\nmsgstr ""\n')
    monkeypatch.setenv("FR_CATALOGUES", str(tmp_path))
    asked = (
        ("en", "fr"),
        ("de, fr-CA;q=0.8, en;q=0.9", "xx"),
        ("fr-CA, en;q=0.5", ""),
        ("ar-xb", ""),
        ("de;q=x,,", ""),
    )
    assert [best_language(*one) for one in asked] == ["fr", "en", "fr", "ar-XB", "en"]
    assert [direction_of(one) for one in ("ar", "ar-XB", "en", "he", "fr")] == ["rtl", "rtl", "ltr", "rtl", "ltr"]


def test_the_page_speaks_the_language_that_was_chosen(surfer: Surfer) -> None:
    surfer.get("/sign-in")
    answer = surfer.post("/language", {"language": "xx", "next": "/sign-in"})
    assert "fr-language" not in answer.headers.get("set-cookie", "")
    answer = surfer.post("/language", {"language": "en", "next": "/sign-in"})
    assert "fr-language=en" in answer.headers["set-cookie"]


def test_pages_and_refusals_speak_a_language_and_say_who_has_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        "console.languages.title": "حول",
        "console.languages.not_reviewed": "لم يراجعها أحد بعد.",
        "console.languages.reviewed": "راجعها {reviewer}.",
        "web.no_page": "لا توجد هذه الصفحة.",
        "remedy.UNKNOWN_GALLERY": "اختر معرضا آخر.",
    }
    for language, reviewer in (("ar", ""), ("fr", "Zoé Martin")):
        made = polib.POFile()
        made.metadata = {"Content-Type": "text/plain; charset=UTF-8", "X-Reviewed-By": reviewer}
        made.extend(polib.POEntry(msgid=one, msgstr=text) for one, text in texts.items())
        (tmp_path / language / "LC_MESSAGES").mkdir(parents=True)
        made.save(str(tmp_path / language / "LC_MESSAGES" / "fr.po"))
    monkeypatch.setenv("FR_CATALOGUES", str(tmp_path))
    with running(tmp_path / "data") as server, web(server.address) as site:
        surfer = Surfer(site)
        english, asked = surfer.get("/about"), words_of(surfer.get("/about", Accept_Language="ar"))
        assert '<html lang="en" dir="ltr">' in words_of(english)
        assert '<html lang="ar" dir="rtl">' in asked
        assert re.search('<option selected value="ar" lang="ar" dir="rtl">العربية</option>', asked)
        assert re.search('<option value="fr" lang="fr" dir="ltr">Français</option>', asked)
        for told in (texts["console.languages.not_reviewed"], "No native speaker has read", "راجعها Zoé Martin."):
            assert told in words_of(english)
        surfer.post("/language", {"language": "ar", "next": "/"})
        assert texts["web.no_page"] in words_of(surfer.get("/nonsense"))

        def refusal(**headers: str) -> str:
            path, sent = "/fr_api.v1.GalleryService/GetGallery", {"Content_Type": "application/json", **headers}
            return words_of(site.ask("POST", path, b'{"galleryId": "x"}', **sent))

        assert texts["remedy.UNKNOWN_GALLERY"] in refusal(Accept_Language="fr-CA, ar;q=0.5")
        assert texts["remedy.UNKNOWN_GALLERY"] in refusal(Cookie="fr-language=ar")
        assert "اختر" not in refusal(Accept_Language="en, ar;q=0.5")


def test_everybody_who_is_signed_in_has_the_manual_to_print(surfer: Surfer, operator: Surfer) -> None:
    assert surfer.get("/manual").status == 401
    assert '<a href="/manual">' in words_of(operator.get("/search?gallery=g"))
    page = words_of(operator.get("/manual"))
    assert "data-print" in page
    assert {"records", "fitness", "card"} <= set(re.findall(r' id="([a-z-]+)"', page))
    style = operator.get("/manual/style")
    assert style.headers["content-type"].startswith("text/css")
    assert 'content: "FR Core' in words_of(style)
    assert "</style>" not in words_of(style)


FIELDS = {usual: f"key.{number}" for number, usual in enumerate(KEYS)}


def test_a_browser_has_its_own_keys_and_no_two_of_them_are_one(operator: Surfer) -> None:
    for typed, told in (({"k": "N"}, "Two actions have the key n"), ({"k": "ab"}, "A key is one character")):
        refused = operator.post("/keyboard", {FIELDS[usual]: own for usual, own in typed.items()})
        assert (refused.status, told in words_of(refused)) == (400, True)
        assert KEYBOARD_COOKIE not in operator.cookies
    (led,) = re.findall('href="(/keyboard.*?)"', words_of(operator.get("/search?gallery=g")))
    (onward,) = re.findall('name="next" value="(/search.*?)"', words_of(operator.get(led)))
    fields = {FIELDS["k"]: "q", FIELDS["n"]: "k", FIELDS["?"]: "!", "next": onward}
    assert operator.post("/keyboard", fields).headers["location"] == "/search?gallery=g"

    def shown() -> dict[str, str]:
        return dict(re.findall(r'name="(key\.\d+)"[^>]* value="(.*?)"', words_of(operator.get("/keyboard"))))

    usual = {FIELDS[one]: one for one in KEYS}
    assert shown() == {**usual, FIELDS["k"]: "q", FIELDS["n"]: "k", FIELDS["?"]: "!"}
    for cookie in ("", "x", "%ff", "!".join("a" * len(KEYS)), "!".join(["%00", *list(KEYS)[1:]])):
        operator.cookies[KEYBOARD_COOKIE] = cookie
        assert shown() == usual, cookie


def test_no_page_has_a_key_that_cannot_be_changed() -> None:
    folder = resources.files("fr_web.console") / "templates"
    told = [one for page in folder.iterdir() for one in re.findall(r'aria-keyshortcuts="(.*?)"', page.read_text())]
    named = {key for one in told for key in re.findall(r"shortcut\('(.*?)'\)", one)}
    assert len(named) > 10
    assert named <= {*KEYS}
    assert {re.sub(r"\{\{ shortcut\(.*?\) \}\}", "", one).strip() for one in told} == {"", "PageUp", "PageDown"}


def test_a_form_says_which_field_does_not_fit() -> None:
    from fr_web.console.views.galleries import NewGallery

    def refused(fields: dict[str, list[bytes]]) -> str:
        with pytest.raises(FrApiError) as caught:
            forms.read(NewGallery, fields)
        return caught.value.metadata["field"]

    assert forms.read(NewGallery, {"gallery_id": [b" a "], "keeps_photos": [b"1"]}).gallery_id == "a"
    assert refused({"gallery_id": [b"\xff"]}) == "gallery_id"
    assert refused({"gallery_id": [b"a\x00"]}) == "gallery_id"
    assert refused({"retention_days": [b"1e3"]}) == "retention_days"
