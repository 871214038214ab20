"""A launch from a learning platform: each check, the key sets, and the file of registrations."""

import asyncio
import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest

from fr_client.cli.state import Unusable
from fr_client.errors import FrApiError
from fr_core.storage.opening import open_shelf
from fr_server.web_shelf import ShelfServer
from fr_web.lti.exchange import AGAIN_S, FRESH_S, MOST_AT_ONCE, PlatformKeys, Unanswered, fetched, parse_keys
from fr_web.lti.launches import SCORE_SCOPE, STATE_S, Launch, Launches, Tickets, cookie_of
from fr_web.lti.registrations import Platform, Registrations, read_registrations
from fr_web.lti.tool import Score, Tool
from fr_web.shelf import SharedShelf
from support.cli import fr, reason_of
from support.commands import START_S, page, rows
from support.faults import until
from support.ledger import KEY
from support.lti import CLIENT, DEPLOYMENT, TOOL, key_of, pem_of
from support.postgres import Cluster

ISSUER = "https://lms.example.org"
CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
GRADES = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
DEEP = "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings"
NOW_S = 1_800_000_000.0
PLATFORM = Platform(
    ISSUER,
    CLIENT,
    f"{ISSUER}/auth?tenant=1",
    f"{ISSUER}/token",
    f"{ISSUER}/jwks",
    frozenset({DEPLOYMENT}),
    frozenset({ISSUER}),
)
ASKED = {"iss": ISSUER, "client_id": CLIENT, "login_hint": "someone", "target_link_uri": "https://evil.example"}


@dataclass
class Clock:
    now_s: float = NOW_S

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Launching:
    """A launch that has begun, whose platform answers with claims that a test alters."""

    launches: Launches
    clock: Clock
    cookie: str
    asked: Mapping[str, str]

    def claims(self) -> dict[str, Any]:
        return {
            "iss": ISSUER,
            "aud": CLIENT,
            "sub": "someone",
            "iat": int(NOW_S),
            "exp": int(NOW_S) + 300,
            "nonce": self.asked["nonce"],
            f"{CLAIM}version": "1.3.0",
            f"{CLAIM}deployment_id": DEPLOYMENT,
            f"{CLAIM}message_type": "LtiResourceLinkRequest",
            f"{CLAIM}custom": {"cohort": "c1", "sitting": "day-1"},
            GRADES: {"scope": [SCORE_SCOPE], "lineitem": f"{ISSUER}/items/1"},
        }

    def token(self, claims: Mapping[str, Any], signer: str = "platform", **header: Any) -> str:
        return jwt.encode(dict(claims), key_of(signer).key, "RS256", {"kid": key_of("platform").key_id, **header})

    def end(self, token: str, state: str = "", cookie: str | None = None) -> Launch:
        told = state or self.asked["state"]
        return asyncio.run(self.launches.end(told, token, self.cookie if cookie is None else cookie))


@pytest.fixture
def launching() -> Launching:
    key_set = json.dumps({"keys": [key_of("platform").jwk()]}).encode()
    clock, cookie = Clock(), cookie_of()
    registrations = Registrations(TOOL, (PLATFORM,), (key_of("tool"),), "", "")
    launches = Launches(registrations, PlatformKeys(lambda *_: key_set), clock)
    url = launches.begin(launches.platform(ASKED), ASKED, cookie)
    return Launching(launches, clock, cookie, dict(parse_qsl(urlsplit(url).query)))


def test_a_launch_begins_at_the_registered_address_alone(launching: Launching) -> None:
    assert launching.asked["redirect_uri"] == f"{TOOL}/lti/launch"
    assert launching.asked["tenant"] == "1"
    assert {"response_mode", "response_type", "scope", "prompt"} <= launching.asked.keys()
    assert "evil" not in str(launching.asked)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"iss": "https://evil.example"}, "not registered"),
        ({"client_id": "other"}, "not registered"),
        ({"client_id": ""}, "more than once"),
        ({"login_hint": ""}, "only from a learning platform"),
        ({"iss": ""}, "only from a learning platform"),
    ],
)
def test_a_launch_that_cannot_begin_says_why(wrong: Mapping[str, str], why: str) -> None:
    other = replace(PLATFORM, client_id="client-2")
    launches = Launches(Registrations(TOOL, (PLATFORM, other), (key_of("tool"),), "", ""), PlatformKeys())
    assert launches.platform(ASKED) == PLATFORM
    with pytest.raises(FrApiError, match=why):
        launches.platform({**ASKED, **wrong})


def test_a_launch_that_passes_every_check(launching: Launching) -> None:
    found = launching.end(launching.token(launching.claims()))
    assert (found.subject, found.cohort_id, found.sitting) == ("someone", "c1", "day-1")
    assert found.line_item == f"{ISSUER}/items/1"
    assert "someone" not in repr(found)


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda claims: claims.pop(name)


REFUSED: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("iss", lambda claims: claims.update(iss="https://evil.example")),
    ("iss", without("iss")),
    ("aud", lambda claims: claims.update(aud="other")),
    ("aud", without("aud")),
    ("azp", lambda claims: claims.update(azp="other")),
    ("azp", lambda claims: claims.update(aud=[CLIENT, "other"])),
    ("exp", lambda claims: claims.update(exp=int(NOW_S) - 61)),
    ("exp", without("exp")),
    ("exp", lambda claims: claims.update(exp="tomorrow")),
    ("exp", lambda claims: claims.update(exp=float("nan"))),
    ("iat", lambda claims: claims.update(iat=int(NOW_S) + 61)),
    ("iat", lambda claims: claims.update(iat=int(NOW_S) - 3601)),
    ("iat", without("iat")),
    ("nonce", lambda claims: claims.update(nonce="another")),
    ("nonce", without("nonce")),
    ("version", without(f"{CLAIM}version")),
    ("deployment_id", lambda claims: claims.update({f"{CLAIM}deployment_id": "other"})),
    ("deployment_id", without(f"{CLAIM}deployment_id")),
    ("deployment_id", lambda claims: claims.update({f"{CLAIM}deployment_id": [DEPLOYMENT]})),
    ("message_type", lambda claims: claims.update({f"{CLAIM}message_type": "LtiSubmissionReviewRequest"})),
    ("sub", without("sub")),
    ("sub", lambda claims: claims.update(sub="x" * 256)),
    ("lineitem", lambda claims: claims[GRADES].update(lineitem="https://evil.example/items/1")),
    ("lineitem", lambda claims: claims[GRADES].update(lineitem="http://169.254.169.254/")),
    ("custom", lambda claims: claims.update({f"{CLAIM}custom": []})),
    ("custom", lambda claims: claims[f"{CLAIM}custom"].update(cohort=["c1"])),
    ("id_token", lambda claims: claims[f"{CLAIM}custom"].update(cohort="\ud800")),
    ("id_token", lambda claims: claims.update(nonce="\ud800")),
    ("roles", lambda claims: claims.update({f"{CLAIM}roles": "Learner"})),
    ("endpoint", lambda claims: claims.update({GRADES: []})),
    ("scope", lambda claims: claims[GRADES].update(scope=SCORE_SCOPE)),
]
WRONG_DEEP: list[tuple[str, Any]] = [
    ("deep_link_return_url", {"deep_link_return_url": "https://evil.example/", "accept_types": ["ltiResourceLink"]}),
    ("accept_types", {"deep_link_return_url": f"{ISSUER}/", "accept_types": ["file"]}),
    ("deep_linking_settings", []),
]
UNSIGNED: list[tuple[str, Callable[["Launching"], str]]] = [
    ("signature", lambda one: one.token(one.claims(), "tool")),
    ("kid", lambda one: one.token(one.claims(), kid="other")),
    ("alg", lambda one: jwt.encode(one.claims(), "x" * 32, "HS256", {"kid": key_of("platform").key_id})),
    ("alg", lambda one: jwt.encode(one.claims(), "", "none", {"kid": key_of("platform").key_id})),
    ("id_token", lambda one: "no token"),
    ("id_token", lambda one: ""),
]


@pytest.mark.parametrize(("check", "alter"), REFUSED)
def test_a_claim_that_is_wrong_refuses_the_launch(
    launching: Launching, check: str, alter: Callable[[dict[str, Any]], Any]
) -> None:
    claims = launching.claims()
    alter(claims)
    with pytest.raises(FrApiError, match=rf"\(check: {check}\)"):
        launching.end(launching.token(claims))


@pytest.mark.parametrize(("check", "token"), UNSIGNED)
def test_a_token_that_the_platform_did_not_sign_is_refused(
    launching: Launching, check: str, token: Callable[[Launching], str]
) -> None:
    with pytest.raises(FrApiError, match=rf"\(check: {check}\)"):
        launching.end(token(launching))


def test_a_state_is_of_one_browser_and_works_once_and_in_time(launching: Launching) -> None:
    token = launching.token(launching.claims())
    with pytest.raises(FrApiError, match=r"\(check: state\)"):
        launching.end(token, state="another")
    launching.end(token)
    with pytest.raises(FrApiError, match=r"\(check: state\)"):
        launching.end(token)


def test_a_state_that_comes_twice_at_once_works_once(launching: Launching) -> None:
    token, state = launching.token(launching.claims()), launching.asked["state"]

    async def ends() -> list[Launch | BaseException]:
        both = (launching.launches.end(state, token, launching.cookie) for _ in range(2))
        return await asyncio.gather(*both, return_exceptions=True)

    first, second = asyncio.run(ends())
    assert isinstance(first, Launch)
    assert "(check: state)" in str(second)


def test_launches_that_strangers_start_push_nobody_out(launching: Launching) -> None:
    for _ in range(10_001):
        launching.launches.begin(PLATFORM, ASKED, "another")
    assert launching.end(launching.token(launching.claims())).subject == "someone"


def test_a_state_that_is_altered_is_refused(launching: Launching) -> None:
    token = launching.token(launching.claims())
    random, until_s, number, browser, code = launching.asked["state"].split(".")
    later = f"{int(until_s) + 600}"
    for state in (
        f"{random}.{later}.{number}.{browser}.{code}",
        f"{random}.{until_s}.1.{browser}.{code}",
        f"{random}.{until_s}.{number}.{'0' * 64}.{code}",
        f"{random}.{until_s}.{number}.{browser}.{code[:-1]}",
        f"{random}.{until_s}.{number}.{browser}.{launching.asked['nonce']}",
        code,
        "é",
    ):
        with pytest.raises(FrApiError, match=r"\(check: state\)"):
            launching.end(token, state=state)
    launching.end(token)  # control


def test_a_state_of_another_browser_is_refused(launching: Launching) -> None:
    with pytest.raises(FrApiError, match=r"\(check: browser\)"):
        launching.end(launching.token(launching.claims()), cookie=cookie_of())


def test_a_state_ends_after_ten_minutes(launching: Launching) -> None:
    launching.clock.now_s += STATE_S + 1
    with pytest.raises(FrApiError, match=r"\(check: state\)"):
        launching.end(launching.token(launching.claims()))


def test_a_ticket_ends_in_time_and_gives_way_to_newer_ones() -> None:
    clock = Clock(0.0)
    tickets = Tickets[str](10.0, 2, clock)
    first, second, third = map(tickets.keep, "abc")
    assert [tickets.find(one) for one in (first, second, third)] == [None, "b", "c"]
    assert (tickets.take(third), tickets.take(third)) == ("c", None)
    clock.now_s = 10.1
    assert tickets.find(second) is None


@pytest.mark.parametrize(("check", "settings"), WRONG_DEEP)
def test_deep_linking_returns_a_link_to_the_platform_alone(launching: Launching, check: str, settings: Any) -> None:
    claims = launching.claims() | {f"{CLAIM}message_type": "LtiDeepLinkingRequest"}
    with pytest.raises(FrApiError, match=rf"\(check: {check}\)"):
        launching.end(launching.token({**claims, DEEP: settings}))


def test_the_page_lists_every_check() -> None:
    listed = [name for row in rows(page("docs/lti.md"), "check") for name in re.findall(r"`(\w+)`", row[0])]
    tried = {check for check, _ in (*REFUSED, *WRONG_DEEP, *UNSIGNED)} | {"state", "browser"}
    assert sorted(listed) == sorted(tried)


LIS = "http://purl.imsglobal.org/vocab/lis/v2"


@pytest.mark.parametrize(
    ("roles", "teaches"),
    [
        ([f"{LIS}/membership#Learner"], False),
        ([f"{LIS}/membership#Instructor"], True),
        ([f"{LIS}/membership/Instructor#TeachingAssistant"], True),
        ([f"{LIS}/membership#Administrator", f"{LIS}/system/person#User"], True),
        ([f"{LIS}/membership#ContentDeveloper"], True),
        (["Instructor"], True),
        ([f"{LIS}/membership#Instructor", f"{LIS}/membership#Learner"], False),
        ([f"{LIS}/institution/person#Administrator"], True),
        ([f"{LIS}/institution/person#Administrator", f"{LIS}/membership#Learner"], False),
        ([f"{LIS}/institution/person#Student", f"{LIS}/membership#Instructor"], True),
        ([f"{LIS}/membership#Mentor", 7], False),
        ([], False),
    ],
)
def test_a_teacher_is_told_by_the_roles_in_the_course(launching: Launching, roles: list[Any], teaches: bool) -> None:
    found = launching.end(launching.token({**launching.claims(), f"{CLAIM}roles": roles}))
    assert found.teaches is teaches


# --- key sets


def test_a_key_set_is_read_once_a_minute_and_again_after_an_hour() -> None:
    asked: list[str] = []
    clock, key = Clock(0.0), key_of("platform")

    def send(url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        asked.append(url)
        return json.dumps({"keys": [key.jwk()]}).encode()

    async def ask() -> None:
        keys = PlatformKeys(send, clock)
        assert await keys.key("u", key.key_id) is not None
        for _ in range(5):
            assert await keys.key("u", "unknown") is None
        assert len(asked) == 1
        clock.now_s += AGAIN_S
        assert await keys.key("u", "unknown") is None
        assert len(asked) == 2
        clock.now_s += FRESH_S + 1
        assert await keys.key("u", key.key_id) is not None
        assert len(asked) == 3

    asyncio.run(ask())


def test_a_token_with_an_unknown_key_delays_no_other_launch() -> None:
    ends = threading.Event()
    asked: list[str] = []
    clock, key = Clock(0.0), key_of("platform")

    def send(url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        asked.append(url)
        if len(asked) == 2:
            ends.wait(START_S)
        return json.dumps({"keys": [key.jwk()]}).encode()

    async def ask() -> None:
        keys = PlatformKeys(send, clock)
        assert await keys.key("u", key.key_id) is not None
        clock.now_s += AGAIN_S
        slow = asyncio.create_task(keys.key("u", "unknown"))
        await asyncio.to_thread(until, lambda: len(asked) == 2)
        try:
            async with asyncio.timeout(1):
                assert await keys.key("u", key.key_id) is not None
            assert not slow.done()
        finally:
            ends.set()
        assert await slow is None

    asyncio.run(ask())


def test_a_key_set_that_is_none_is_refused() -> None:
    jwk = key_of("platform").jwk()
    for wrong in (b"", b"[]", b'{"keys": {}}', json.dumps({"keys": [jwk, {**jwk, "use": "sig"}]}).encode()):
        with pytest.raises(Unanswered):
            parse_keys(wrong)
    assert not parse_keys(json.dumps({"keys": [{**jwk, "use": "enc"}, {**jwk, "d": "AQAB"}, 7]}).encode())


def test_a_platform_that_never_ends_an_answer_holds_a_limited_number_of_threads() -> None:
    ends = threading.Event()

    def send(url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        ends.wait(START_S)
        return b""

    async def ask() -> None:
        held = [asyncio.create_task(fetched(send, f"{ISSUER}/{number}")) for number in range(MOST_AT_ONCE)]
        await asyncio.sleep(0)
        with pytest.raises(Unanswered, match="too many at once"):
            await fetched(send, ISSUER)
        ends.set()
        await asyncio.gather(*held, fetched(send, "https://other.example.org"))
        await asyncio.to_thread(until, lambda: not any(one.name.startswith("lti ") for one in threading.enumerate()))
        assert await fetched(send, ISSUER) == b"", "there is room again"

    asyncio.run(ask())


@pytest.mark.parametrize("lasts", [300, int("9" * 400)], ids=["usual", "endless"])
def test_an_access_token_of_any_duration_ends_in_an_answer(lasts: int) -> None:
    sent: list[str] = []
    failures: list[str] = []

    def send(url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        sent.append(url)
        return json.dumps({"access_token": "t", "expires_in": lasts}).encode()

    async def score() -> None:
        tool = Tool(Registrations(TOOL, (PLATFORM,), (key_of("tool"),), "", ""), send)
        launch = Launch(PLATFORM, DEPLOYMENT, "someone", line_item=f"{ISSUER}/items/1")
        tool.send_score(launch, Score(True, 1, 1, False), lambda: failures.append("failed"))
        await asyncio.to_thread(until, lambda: len(sent) == 2 or bool(failures))

    asyncio.run(score())
    assert (len(sent), failures) == ((2, []) if lasts == 300 else (1, ["failed"]))


# --- the file


FILE = f"""
address = "{TOOL}"
private_keys = ["new.pem", "old.pem"]
[[platforms]]
issuer = "{ISSUER}"
client_id = "{CLIENT}"
auth_login_url = "{ISSUER}/auth"
token_url = "https://login.example.org/token"
jwks_url = "{ISSUER}/jwks"
deployment_ids = ["1"]
origins = ["https://school.example.org"]
"""


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("", "", ""),  # control
        ('address = "https', 'address = "ftp', "In the file, `address` must be an address such as https"),
        ("https://login.example.org/token", "http://login.example.org/token", "In platform 1, `token_url` must"),
        ('deployment_ids = ["1"]', "deployment_ids = []", "In platform 1, `deployment_ids` must have"),
        ('client_id = "client-1"', "", "In platform 1, `client_id` must be a text"),
        ('client_id = "client-1"', "client_id = 5", "In platform 1, `client_id` must be a text"),
        ("https://school.example.org", "https://school.example.org/x", "`origins` must have addresses"),
        ("[[platforms]]", "more = 1\n[[platforms]]", "`more` is unknown; the keys are: address, class_key_file"),
        ('["new.pem", "old.pem"]', '"old.pem"', "`private_keys` must be a list"),
        ('"old.pem"', '"none.pem"', "none.pem cannot be read: No such file"),
        ('"old.pem"', '"lti.toml"', "lti.toml is not an RSA key"),
        ("[[platforms]]", "[platforms]", "begins with ..platforms"),
        ("address", "address = [", "lti.toml is not TOML"),
    ],
)
def test_the_file_of_registrations_is_checked_line_by_line(tmp_path: Path, old: str, new: str, what: str) -> None:
    for name, whose in (("new.pem", "tool"), ("old.pem", "platform")):
        (tmp_path / name).write_bytes(pem_of(whose))
    path = tmp_path / "lti.toml"
    path.write_text(FILE.replace(old, new) if old else FILE)
    if what:
        with pytest.raises(Unusable, match=what):
            read_registrations(path)
        return
    found = read_registrations(path)
    assert len(Tool(found).key_set()["keys"]) == 2, "the old key is published as long as the file has it"
    assert found.platforms[0].owns("https://school.example.org/return")
    assert not found.platforms[0].owns("https://school.example.org.evil.example/")
    assert not found.platforms[0].owns("https://school.example.org@evil.example/")
    assert not replace(PLATFORM, origins=frozenset()).owns(ISSUER)


def test_the_commands_make_a_key_for_its_owner_and_show_the_addresses(tmp_path: Path) -> None:
    (tmp_path / "old.pem").write_bytes(pem_of("tool"))
    assert fr("lti", "key", tmp_path / "new.pem")[0] == 0
    assert (tmp_path / "new.pem").stat().st_mode & 0o777 == 0o600
    assert reason_of(fr("lti", "key", tmp_path / "new.pem")) == "FILE_EXISTS", "a key is not written over"
    for text, platform in ((FILE, f"{ISSUER}, client {CLIENT}"), (FILE.partition("[[")[0], "none yet;")):
        (tmp_path / "lti.toml").write_text(text)
        status, told, _ = fr("lti", "show", tmp_path / "lti.toml")
        assert status == 0
        assert {f"{TOOL}/lti/{place}" for place in ("launch", "login", "keys")} <= set(told.split())
        assert platform in told


@pytest.mark.parametrize(
    ("score", "grading", "given"),
    [
        (Score(True, 7, 10, False), "FullyGraded", 7),
        (Score(False, 0, 10, False), "PendingManual", None),
        (Score(True, 7, 10, True), "PendingManual", None),
        (Score(True, 0, 0, False), "NotReady", None),
    ],
)
def test_a_score_is_given_only_when_it_is_final(score: Score, grading: str, given: int | None) -> None:
    told = score.message("someone", datetime(2026, 1, 2, tzinfo=UTC))
    assert (told["gradingProgress"], told.get("scoreGiven")) == (grading, given)
    assert ("scoreMaximum" in told) is (given is not None)


def test_another_server_ends_a_launch_and_none_ends_it_again(postgres: Cluster) -> None:
    registrations = Registrations(TOOL, (PLATFORM,), (key_of("tool"),), "", "")
    key_set, cookie = json.dumps({"keys": [key_of("platform").jwk()]}).encode(), cookie_of()
    database = postgres.database()

    async def run() -> None:
        async with AsyncExitStack() as stack:
            tools = []
            for _ in range(2):
                shelf = open_shelf(database, KEY)
                stack.callback(shelf.close)
                server = ShelfServer(shelf)
                stack.push_async_callback(server.close)
                shared = await SharedShelf.open(os.dup(server.other.fileno()))
                server.passed_on()
                stack.push_async_callback(shared.close)
                tools.append(Tool(registrations, lambda *_: key_set, Clock(), shared))
            one, two = tools
            url = one.launches.begin(one.launches.platform(ASKED), ASKED, cookie)
            begun = Launching(one.launches, Clock(), cookie, dict(parse_qsl(urlsplit(url).query)))
            state, token = begun.asked["state"], begun.token(begun.claims())
            launch = await two.launches.end(state, token, cookie)
            assert (launch.platform, launch.cohort_id) == (PLATFORM, "c1")
            for again in (one, two):
                with pytest.raises(FrApiError, match="state"):
                    await again.launches.end(state, token, cookie)
            alone = Launches(registrations, PlatformKeys(lambda *_: key_set), Clock())
            with pytest.raises(FrApiError, match="state"):  # control: a tool that shares nothing
                await alone.end(state, token, cookie)
            ticket = await one.keep_choosing(launch)
            assert await two.find_choosing(ticket) == launch
            assert [await two.take_choosing(ticket), await one.take_choosing(ticket)] == [launch, None]
            assert await one.find_choosing(ticket) is None

    asyncio.run(run())
