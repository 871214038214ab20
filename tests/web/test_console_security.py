"""Every screen of the console against other sites, planted sessions, bombs, and addresses and headers that are none.

The rows are `SCREENS`: a new screen is among them.
"""

import re
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import resources

import pytest

from fr_api.v1 import access_pb2
from fr_trust.access.principal import Role
from fr_web.console import sessions
from fr_web.console.views import SCREENS
from fr_web.console.visit import IN_PLACE, Screen
from support.callers import Staffed
from support.counts import NIGHTLY
from support.crawler import faults_of
from support.faults import until
from support.servers import photo
from support.surfer import Surfer, signed_in, words
from support.web import Answered, Web, form, web, whole_answer

POSTS = [one for one in SCREENS if one.method == "POST"]
GETS = [one for one in SCREENS if one.method == "GET"]
WITH_FILES = [one for one in POSTS if one.takes_file or one.streams]
ROLE_OF = {
    Role.OPERATOR: access_pb2.ROLE_OPERATOR,
    Role.EXAMINER: access_pb2.ROLE_EXAMINER,
    Role.TRAINER: access_pb2.ROLE_TRAINER,
    Role.ADMIN: access_pb2.ROLE_ADMIN,
    Role.AUDITOR: access_pb2.ROLE_AUDITOR,
}
FOREIGN = "The form did not come from a page of this site"
REFUSED = b'id="refusal-head"'
MOST_S = 20.0


def sources(ending: str, pattern: str) -> list[str]:
    """Matches of a pattern in the templates or views of the console, whatever screens there are."""
    folder = resources.files("fr_web.console") / ("templates" if ending == ".html" else "views")
    texts = [one.read_text() for one in folder.iterdir() if one.name.endswith(ending)]
    return sorted({found for text in texts for found in re.findall(pattern, text)})


QUERIES = sources(".py", r'\.query\("(\w+)"\)')
FILES = sources(".html", r'(?:type="file"[^>]* name="|drop\(")(\w+)"')


def place(screen: Screen, value: str = "x1", query: str = "") -> str:
    return re.sub(r"\{\w+\}", value, screen.path) + query


@pytest.fixture
def surfer(site: Web, everybody: str) -> Surfer:
    return signed_in(site, everybody)


# --- forms of other sites

Send = Callable[[Surfer, Screen, str], Answered]


def sent(token: str | None = None, **headers: str) -> Send:
    """Send a form: with the token of the page unless another is given, and with headers of the browser."""

    def send(surfer: Surfer, screen: Screen, other: str) -> Answered:
        kept, surfer.token = surfer.token, surfer.token if token is None else other if token == "another's" else token
        is_long = screen.streams and not headers
        answer = surfer.upload(place(screen)) if is_long else surfer.post(place(screen), {"next": "/"}, **headers)
        surfer.token = kept
        return answer

    return send


def behind_a_file(surfer: Surfer, screen: Screen, other: str) -> Answered:
    """Send the token where a screen that reads photos one by one has begun its work."""
    kept, surfer.token = surfer.token, ""
    answer = surfer.upload(place(screen), photo=photo(10), token2=kept)
    surfer.token = kept
    return answer


FORGED: dict[str, Send] = {
    "no token": sent(""),
    "a token of another": sent("another's"),
    "a token that was made up": sent("0" * 64),
    "another site": sent(Origin="https://evil.example", Sec_Fetch_Site="cross-site"),
    "a frame without an origin": sent(Origin="null", Sec_Fetch_Site="cross-site"),
    "another name of the same site": sent(Origin="", Sec_Fetch_Site="same-site"),
    "another port": sent(Origin="http://127.0.0.1:1", Sec_Fetch_Site=""),
    "an address that was typed": sent(Origin="", Sec_Fetch_Site="none"),
    "a browser that says nothing": sent(Origin="", Sec_Fetch_Site=""),
    "a token behind a file": behind_a_file,
}


@pytest.mark.parametrize("how", FORGED)
def test_no_screen_takes_a_form_of_another_site(surfer: Surfer, everybody: str, how: str) -> None:
    other = signed_in(surfer.site, everybody)
    told = {screen.path: FORGED[how](surfer, screen, other.token).status for screen in POSTS}
    assert {path for path, status in told.items() if status != 403} == set()
    assert surfer.get("/server").status == 200, "signing out is a form, too"


def test_every_screen_takes_the_form_of_its_page(site: Web, everybody: str) -> None:
    """The control of the test before."""
    surfer = signed_in(site, everybody)
    for screen in POSTS:
        if surfer.get("/server").status == 401:
            surfer = signed_in(site, everybody)
        assert FOREIGN not in words(sent()(surfer, screen, "")), screen.path


def test_a_form_is_a_form(surfer: Surfer) -> None:
    """Pages of other sites can send text and JSON, too, and some browsers do not say from where."""
    for screen in POSTS:
        for kind in ("text/plain", "application/json", ""):
            answer = surfer.post(place(screen), {}, Content_Type=kind)
            assert answer.status == 400, (screen.path, kind)


def test_nothing_is_done_by_opening_an_address(surfer: Surfer) -> None:
    paths = {one.path for one in GETS}
    for screen in POSTS:
        if screen.path not in paths:  # a browser that loads the page again gets the one above
            answer = surfer.get(place(screen, query="?path=x1"))
            above, _, query = answer.headers["location"].partition("?")
            assert (answer.status, query) == (303, "path=x1"), screen.path
            assert place(screen).startswith(above), screen.path
            assert above in {place(one) for one in GETS}, screen.path
    assert surfer.get("/server").status == 200, "signing out is a form, too"


@pytest.mark.parametrize("role", list(ROLE_OF) if NIGHTLY else [Role.EXAMINER])
def test_a_screen_is_for_its_roles(at: Staffed, site: Web, role: Role) -> None:
    visitor = signed_in(site, at.caller(role).token)
    told = {}
    for screen in SCREENS:
        path = place(screen)
        answer = visitor.get(path) if screen.method == "GET" else visitor.upload(path, photo=photo(10))
        told[screen.method, screen.path] = answer.status == 403 and "people with another role" in words(answer)
        if screen.path in ("/sign-out", "/sign-in"):
            visitor = signed_in(site, at.caller(role).token)
    assert told == {(one.method, one.path): bool(one.roles) and ROLE_OF[role] not in one.roles for one in SCREENS}


# --- sessions


def test_a_session_that_ends_while_its_form_comes_stays_ended(site: Web, everybody: str) -> None:
    for signs_out in (True, False):
        surfer = signed_in(site, everybody)
        body, _ = form(token=surfer.token, language="en")
        with closing(begun(surfer, next(one for one in POSTS if one.path == "/language"), len(body))) as one:
            one.sendall(body[:-9])
            assert surfer.get("/server").status == 200
            other_tab = Surfer(site, dict(surfer.cookies), surfer.token)
            if signs_out:
                assert other_tab.post("/sign-out", {}).status == 303
            one.sendall(body[-9:])
            head = whole_answer(one)
        assert b" 303 " in head[:20]
        assert not re.search(rb"set-cookie: fr-\d", head)
        assert surfer.get("/server").status == (401 if signs_out else 200)


def test_a_wrong_key_leaves_somebody_signed_in(surfer: Surfer, everybody: str) -> None:
    assert surfer.post("/sign-in", {"key": "wrong"}).status == 401
    assert surfer.get("/server").status == 200
    assert surfer.post("/sign-in", {"key": "wrong"}).status == 401
    assert surfer.post("/sign-in", {"key": everybody}).status == 303, "the form on the page of the refusal"


@pytest.mark.parametrize("headers", [{}, {IN_PLACE.replace("-", "_"): "1"}], ids=["a page", "in place"])
def test_an_id_that_somebody_else_chose_is_never_signed_in(
    at: Staffed, site: Web, everybody: str, headers: dict[str, str]
) -> None:
    victim = Surfer(site)
    victim.get("/sign-in")
    for planted in (dict(victim.cookies), dict.fromkeys(victim.cookies, "a" * 43)):
        victim = Surfer(site, dict(planted))
        victim.get("/sign-in")
        assert victim.post("/sign-in", {"key": everybody}, **headers).status in (204, 303)
        first = dict(victim.cookies)
        assert first.keys() == planted.keys()
        assert not set(first.values()) & set(planted.values())
        assert Surfer(site, planted).get("/server").status == 401
        assert victim.get("/server").status == 200  # control: the new id is
        victim.get("/server")
        victim.post("/sign-in", {"key": at.admin.token}, **headers)
        assert Surfer(site, first).get("/server").status == 401, "somebody else has signed in"


def test_the_cookie_is_for_this_host_and_no_script(site: Web, everybody: str) -> None:
    told = Surfer(site).get("/sign-in").headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/"} <= set(re.split(r";\s*", told))
    assert "domain" not in told
    with_name = Surfer(site).get("/sign-in", Host="console.example")
    assert with_name.status == 403, "a name that nobody has told it"


def test_wrong_keys_come_to_an_end_and_right_ones_do_not(at: Staffed, everybody: str) -> None:
    of_class = at.caller(Role.TRAINEE).token
    with web(at.server.address) as site:
        guest = Surfer(site)
        guest.get("/sign-in")
        for number in range(60):
            fields = {"key": of_class, "code": f"code {number}", "as_trainee": "1"} if number % 2 else {"key": "wrong"}
            assert guest.post("/sign-in", fields).status in (401, 403, 404), number
        # On a busy machine, some have come back by now.
        assert any(guest.post("/sign-in", {"key": "wrong"}).status == 429 for _ in range(60))
        refused = guest.post("/sign-in", {"key": everybody})
        assert (refused.status, "Too many wrong keys or codes" in words(refused)) == (429, True)
        for told in (refused, guest.post("/sign-in", {"key": everybody}, **{IN_PLACE.replace("-", "_"): "1"})):
            assert (told.status, told.headers["cache-control"]) == (429, "no-store")
            assert told.headers["retry-after"] in ("1", "2"), "less of it is left on a busy machine"
        assert guest.get("/server").status == 401
    with web(at.server.address) as site:  # control
        surfer = signed_in(site, everybody)
        for _ in range(60):
            surfer.get("/sign-in")
            assert surfer.post("/sign-in", {"key": everybody}).status == 303


def test_attempts_come_back_with_time_and_are_of_one_network() -> None:
    now = [0.0]
    attempts = sessions.Attempts(lambda: now[0])
    assert [attempts.take("a") for _ in range(60)] == [0.0] * 60
    assert attempts.take("a") == attempts.take("a") == 2.0
    assert attempts.take("b") == 0.0
    attempts.give_back("a")
    assert (attempts.take("a"), attempts.take("a")) == (0.0, 2.0)
    now[0] = 1.5
    assert attempts.take("a") == 0.5
    now[0] = 200.0
    assert [attempts.take("a") for _ in range(61)] == [0.0] * 60 + [2.0]
    for number in range(10_001):
        attempts.take(str(number))
    assert attempts.take("a") == 0.0, "of ten thousand networks the one that came longest ago is forgotten"


# --- policies, addresses and headers


@pytest.mark.parametrize("who", ["somebody", "a stranger"])
def test_every_page_forbids_what_it_does_not_need(site: Web, surfer: Surfer, who: str) -> None:
    visitor = surfer if who == "somebody" else Surfer(site)
    assert {(one.path, fault) for one in GETS for fault in faults_of(visitor.get(place(one)))} == set()
    nonces = {visitor.get("/").headers["content-security-policy"] for _ in range(3)}
    assert len(nonces) == 3, "a nonce is used once"


def test_a_broken_policy_is_found(surfer: Surfer) -> None:
    """The control of all that ask `faults_of`."""
    page = surfer.get("/")
    assert faults_of(page) == []

    def broken(body: bytes = page.body, **headers: str) -> list[str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return faults_of(Answered(200, {**page.headers, **named}, body))

    policy = page.headers["content-security-policy"]
    assert broken(content_security_policy=policy + "; script-src 'unsafe-inline'")
    assert broken(content_security_policy=policy.replace("frame-ancestors 'none'", ""))
    assert broken(x_frame_options="SAMEORIGIN")
    assert broken(location="/frxss7")
    foreign = b"<frxss1>|<p frxss1=1>|<a href=javascript:x>|<a href=//evil.example>|<script>x</script>"
    for part in (*foreign.split(b"|"), b"<img src=x onerror=x>", b"<p style=x>"):
        assert broken(page.body.replace(b"</main>", part + b"</main>")), part


INJECTED = "%0d%0aset-cookie:%20frxss1=b%0d%0a%0d%0a<frxss1>"
NASTY = ("..%2f..%2f..%2fetc%2fpasswd", INJECTED, "%00", "%ff%fe", "x" * 1_000)
BY_DAY = NASTY[:2]


@pytest.mark.parametrize("value", NASTY if NIGHTLY else BY_DAY)
def test_an_address_leads_nowhere_else_and_makes_no_header(surfer: Surfer, value: str) -> None:
    query = "?" + "&".join(f"{name}={value}" for name in QUERIES)
    wrong = {}
    for screen in GETS:
        answer = surfer.get(place(screen, value, query))
        if answer.status >= 500 or faults_of(answer) or b"root:" in answer.body or "b" in answer.headers:
            wrong[screen.path] = answer.status, faults_of(answer)
        assert "frxss" not in answer.headers.get("set-cookie", "")
    assert wrong == {}


ELSEWHERE = (
    "//evil.example",
    "https://evil.example/",
    "/\\evil.example",
    "javascript:alert(1)",
    "/a\r\nset-cookie: b=1",
)


@pytest.mark.parametrize("elsewhere", ELSEWHERE if NIGHTLY else ELSEWHERE[:2])
def test_the_way_after_a_form_stays_on_this_site(site: Web, everybody: str, elsewhere: str) -> None:
    surfer = signed_in(site, everybody)
    fields = {"key": everybody, "language": "en", "purpose": "1", "case_reference": "1", "next": elsewhere}
    led = 0
    for screen in POSTS:
        surfer.get("/sign-in")
        answer = surfer.post(place(screen), fields, Referer=f"{surfer.origin}{elsewhere.partition(chr(13))[0]}")
        if "location" in answer.headers:
            led += 1
            assert re.fullmatch(r"/(?![/\\])[!-~]*", answer.headers["location"]), screen.path
        assert "b=1" not in answer.headers.get("set-cookie", "")
        if screen.path == "/sign-out":
            surfer = signed_in(site, everybody)
    assert led >= 3, "signing in, the language and the purpose lead back"


# --- photos and forms that are too much


def bomb() -> bytes:
    """A PNG of 900 million pixels in some kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(3_751) * 300)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def small(at: Staffed) -> Iterator[Web]:
    """The pages, with little room for photos and little time."""
    with web(at.server.address, max_message_bytes=64 * 1024, body_s=0.5) as started:
        yield started


@pytest.mark.parametrize("screen", WITH_FILES, ids=lambda one: one.path)
def test_a_bomb_of_pixels_is_refused(surfer: Surfer, screen: Screen) -> None:
    begun = time.monotonic()
    answer = surfer.upload(place(screen), **dict.fromkeys(FILES, bomb()))
    assert answer.status < 500
    assert time.monotonic() - begun < MOST_S
    if screen.path in ("/detect", "/compare"):  # the others need more before they look at a photo
        control = surfer.upload(place(screen), **dict.fromkeys(FILES, photo(10)))
        assert [REFUSED in one.body for one in (answer, control)] == [True, False]


@pytest.mark.parametrize("screen", WITH_FILES, ids=lambda one: one.path)
def test_too_many_bytes_and_parts_are_refused(small: Web, everybody: str, screen: Screen) -> None:
    surfer = signed_in(small, everybody)
    large = surfer.upload(place(screen), **dict.fromkeys(FILES, photo(10) + bytes(400_000)))
    many = surfer.upload(place(screen), **{f"part{number}": "" for number in range(20_000)})
    refusals = (200, 400, 404) if screen.streams else (400,)  # a screen that streams tells of each photo
    assert {large.status, many.status} <= {*refusals}
    assert screen.path == "/audit/check" or REFUSED in large.body or b"Send a smaller photo" in large.body
    assert surfer.get("/server").status == 200


def test_forms_that_do_not_come_are_given_up(small: Web, everybody: str) -> None:
    surfer = signed_in(small, everybody)
    open_ones = [begun(surfer, screen, 1_000) for screen in POSTS]
    statuses = {whole_answer(one).split()[1] for one in open_ones}
    assert statuses == {b"504"}
    for one in open_ones:
        one.close()
    assert surfer.get("/server").status == 200


def test_large_forms_that_wait_leave_room_for_small_ones(site: Web, everybody: str) -> None:
    stranger, surfer = Surfer(site), signed_in(site, everybody)
    stranger.get("/sign-in")
    waiting = [begun(stranger, next(one for one in POSTS if one.path == "/sign-in"), 260_000) for _ in range(3)]
    for one in waiting:
        one.sendall(bytes(174_000))
    until(lambda: surfer.get("/server").status == 200)
    assert surfer.post("/language", {"language": "en", "more": "x" * 4_000}).status == 303
    for one in waiting:
        one.close()


def test_checkpoints_are_small(surfer: Surfer) -> None:
    """Reading a large JSON stops all other visitors."""
    for extra, status in ((b"[]," * 800_000, 400), (b"[]," * 8, 200)):
        answer = surfer.upload("/audit/check", checkpoints=b'{"checkpoints": [], "more": [' + extra + b"0]}")
        assert (answer.status, "larger than 2,097,152 bytes" in words(answer)) == (status, status == 400)


def test_of_strangers_no_body_is_read(site: Web) -> None:
    surfer = Surfer(site)
    surfer.get("/sign-in")
    for screen in POSTS:
        if not screen.is_open:
            with closing(begun(surfer, screen, 30_000_000)) as one:
                assert b" 401 " in whole_answer(one)[:20], screen.path
    assert surfer.post("/sign-in", {"key": "k" * 300_000}).status == 400


def begun(surfer: Surfer, screen: Screen, length: int) -> socket.socket:
    """A connection on which the head of a form has come, and nothing else of it."""
    cookie = "; ".join(f"{name}={value}" for name, value in surfer.cookies.items())
    head = (
        f"POST {place(screen)} HTTP/1.1\r\nHost: {surfer.site.host}:{surfer.site.port}\r\nAccept: text/html\r\n"
        f"Origin: {surfer.origin}\r\nSec-Fetch-Site: same-origin\r\nCookie: {cookie}\r\n"
        f"Content-Type: {form()[1]}\r\nContent-Length: {length}\r\n\r\n"
    )
    made = surfer.site.raw()
    made.sendall(head.encode())
    return made
