"""Starts launches, and checks the claims of the token that a platform sends."""

from __future__ import annotations

import hmac
import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Generic, TypeGuard, TypeVar
from urllib.parse import urlencode

import grpc
from jwt import PyJWS
from jwt.exceptions import PyJWTError

from fr_client.errors import FrApiError
from fr_files.reading import read_json
from fr_locales.messages import Message, message
from fr_web.errors import refused
from fr_web.lti.exchange import PlatformKeys, Unanswered
from fr_web.lti.registrations import ALGORITHM, Platform, Registrations
from fr_web.packing import shared
from fr_web.shelf import SharedShelf

log = logging.getLogger("fr_web.lti")

T = TypeVar("T")

COOKIE = "__Host-fr-lti"
STATE_S = 600.0  # from the start of a launch to its end: enough to sign in to the platform
_MOST_ENDED = 10_000
_LEEWAY_S, _LONGEST_S = 60, 3_600  # allowed difference between clocks; maximum age of a token
_MOST_TOKEN, _MOST_WORD = 64 * 1024, 255

CLAIM, DEEP_CLAIM = "https://purl.imsglobal.org/spec/lti/claim/", "https://purl.imsglobal.org/spec/lti-dl/claim/"
_GRADES = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
SCORE_SCOPE = "https://purl.imsglobal.org/spec/lti-ags/scope/score"
RESOURCE, DEEP_LINKING = "LtiResourceLinkRequest", "LtiDeepLinkingRequest"
_TEACHING, _LEARNING = {"Instructor", "Administrator", "ContentDeveloper"}, {"Learner", "Student"}


class Refused(Exception):
    """A launch failed a check; `args` has the name of the check, and nothing that was sent."""


@shared
@dataclass(frozen=True, slots=True)
class Launch:
    """A launch that has passed every check. `subject` is the platform's id for the person; it is never stored."""

    platform: Platform
    deployment_id: str
    subject: str = field(repr=False)
    cohort_id: str = ""
    sitting: str = ""
    teaches: bool = False  # in the course of the platform, and does not learn there
    line_item: str = ""  # address of the gradebook's column; "" if scores are not wanted
    return_url: str = ""  # of deep linking; "" in a launch of an activity
    data: Any = None  # deep linking: returned to the platform unchanged
    nonce: str = field(default="", repr=False)
    browser: bytes = field(default=b"", repr=False)  # deep linking: hash of the cookie
    takes_line_item: bool = True

    def is_of(self, cookie: str) -> bool:
        """Return True if the browser with this cookie made the launch; for deep linking."""
        return hmac.compare_digest(self.browser, _hash(cookie))


@dataclass(frozen=True, slots=True)
class _Begun:
    platform: Platform
    nonce: str
    browser: bytes  # hash of the cookie


class Tickets(Generic[T]):
    """Values under secret tickets: each for `lasts_s`, and the newest `most`."""

    def __init__(self, lasts_s: float, most: int, clock_s: Callable[[], float]) -> None:
        self._lasts_s, self._most, self._clock_s = lasts_s, most, clock_s
        self._kept: dict[str, tuple[float, T]] = {}  # until when, and the value; the oldest first

    def keep(self, value: T, ticket: str = "") -> str:
        """Return the ticket of a value: a new one unless one is given."""
        now_s, ticket = self._clock_s(), ticket or secrets.token_urlsafe(32)
        for old in [one for one, (until_s, _) in self._kept.items() if until_s < now_s]:
            del self._kept[old]
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[ticket] = now_s + self._lasts_s, value
        return ticket

    def find(self, ticket: str) -> T | None:
        """Return the value of a ticket; None if there is none, or it has expired."""
        until_s, value = self._kept.get(ticket, (0.0, None))
        return value if until_s >= self._clock_s() else None

    def take(self, ticket: str) -> T | None:
        """Return what `find` does, and forget the ticket."""
        value = self.find(ticket)
        self._kept.pop(ticket, None)
        return value


class Launches:
    """Starts and ends launches. A state says all about its launch, under a code of the tool, and is valid once.

    With a `shelf`, another server with the same registrations may end a launch.

    So launches that strangers start take no memory, and push out nobody else's.
    """

    def __init__(
        self,
        registrations: Registrations,
        keys: PlatformKeys,
        clock_s: Callable[[], float] = time.time,
        shelf: SharedShelf | None = None,
    ) -> None:
        self._registrations, self._keys, self._clock_s, self._shelf = registrations, keys, clock_s, shelf
        self._secret = secrets.token_bytes(32) if shelf is None else shelf.secret
        self._ended = Tickets[bool](STATE_S, _MOST_ENDED, clock_s)  # states of launches that passed every check
        self._signed = PyJWS([ALGORITHM], {"enforce_minimum_key_length": True})

    def platform(self, asked: Mapping[str, str]) -> Platform:
        """Return the platform that starts a launch; raises `FrApiError` unless exactly one is registered."""
        if not asked.get("iss") or not asked.get("login_hint"):
            raise _denied(message("lti.no_launch"))
        found = self._registrations.matching(asked["iss"], asked.get("client_id", ""))
        if len(found) != 1:
            raise _denied(message("lti.several_clients") if found else message("lti.unknown_platform"))
        return found[0]

    def begin(self, platform: Platform, asked: Mapping[str, str], cookie: str) -> str:
        """Return the platform's address to redirect the browser to; `cookie` is this browser's secret."""
        until_s, number = int(self._clock_s() + STATE_S), self._registrations.platforms.index(platform)
        state = f"{secrets.token_urlsafe(32)}.{until_s}.{number}.{_hash(cookie).hex()}"
        state = f"{state}.{self._code('state', state)}"
        told = {
            "scope": "openid",
            "response_type": "id_token",
            "response_mode": "form_post",
            "prompt": "none",
            "client_id": platform.client_id,
            "redirect_uri": f"{self._registrations.address}/lti/launch",
            "login_hint": asked["login_hint"],
            "state": state,
            "nonce": self._code("nonce", state),
        }
        if asked.get("lti_message_hint"):
            told["lti_message_hint"] = asked["lti_message_hint"]
        return f"{platform.auth_login_url}{'&' if '?' in platform.auth_login_url else '?'}{urlencode(told)}"

    async def end(self, state: str, token: str, cookie: str) -> Launch:
        """Return the launch of a token; raises `FrApiError` with the name of the check that failed."""
        try:
            return await self._checked(state, token, cookie)
        except Refused as error:
            log.warning("A launch was refused: %s", error.args[0])
            raise _denied(message("lti.refused", check=str(error.args[0]))) from None
        except Unanswered as error:
            log.warning("The keys of a platform could not be read: %s", error.args[0])
            raise refused(grpc.StatusCode.UNAVAILABLE, "NOT_READY", message("lti.no_keys"), 60.0) from None

    async def _checked(self, state: str, token: str, cookie: str) -> Launch:
        begun = self._begun(state)
        _require(bool(cookie) and hmac.compare_digest(begun.browser, _hash(cookie)), "browser")
        _require(0 < len(token) <= _MOST_TOKEN and token.isascii(), "id_token")
        claims = await self._claims(begun.platform, token)
        self._require_standard(claims, begun)
        found = _launch(claims, begun)
        # It may have ended while the keys were read, or on another server.
        _require(self._ended.find(state) is None, "state")
        self._ended.keep(True, state)
        _require(self._shelf is None or await self._shelf.add(f"lti state {state}", STATE_S), "state")
        return found

    def _begun(self, state: str) -> _Begun:
        """Return what a state says; raises `Refused` unless this process made it, it is in time, and not used."""
        told, _, code = state.rpartition(".")
        is_own = hmac.compare_digest(code.encode(), self._code("state", told).encode())
        _require(is_own and self._ended.find(state) is None, "state")
        _, until_s, number, browser = told.split(".")
        _require(int(until_s) >= self._clock_s(), "state")
        platform = self._registrations.platforms[int(number)]
        return _Begun(platform, self._code("nonce", state), bytes.fromhex(browser))

    def _code(self, use: str, text: str) -> str:
        return hmac.new(self._secret, f"{use} {text}".encode(), sha256).hexdigest()

    async def _claims(self, platform: Platform, token: str) -> Mapping[str, Any]:
        try:
            header = self._signed.get_unverified_header(token)
        except PyJWTError:
            raise Refused("id_token") from None
        key_id = header.get("kid")
        _require(header.get("alg") == ALGORITHM, "alg")
        _require(isinstance(key_id, str) and len(key_id) <= _MOST_WORD, "kid")
        key = await self._keys.key(platform.jwks_url, str(key_id))
        if key is None:
            raise Refused("kid")
        try:
            claims = read_json(self._signed.decode(token, key, [ALGORITHM]), _MOST_TOKEN)
            json.dumps(claims, ensure_ascii=False).encode()  # fails for half a surrogate pair, which nothing can carry
        except PyJWTError:
            raise Refused("signature") from None
        except ValueError:
            raise Refused("id_token") from None
        _require(isinstance(claims, dict), "id_token")
        return dict(claims)

    def _require_standard(self, claims: Mapping[str, Any], begun: _Begun) -> None:
        """Check the claims: OpenID Connect Core 1.0, 3.1.3.7, then version, deployment and message type of LTI 1.3."""
        platform, now_s = begun.platform, self._clock_s()
        _require(claims.get("iss") == platform.issuer, "iss")
        audience = claims.get("aud")
        several = audience if isinstance(audience, list) else [audience]
        _require(platform.client_id in several, "aud")
        _require(claims.get("azp", platform.client_id) == platform.client_id, "azp")
        _require(len(several) == 1 or "azp" in claims, "azp")
        expires, issued = claims.get("exp"), claims.get("iat")
        _require(_is_time(expires) and expires > now_s - _LEEWAY_S, "exp")
        _require(_is_time(issued) and now_s - _LONGEST_S <= issued <= now_s + _LEEWAY_S, "iat")
        nonce = claims.get("nonce")
        _require(isinstance(nonce, str) and hmac.compare_digest(nonce.encode(), begun.nonce.encode()), "nonce")
        _require(claims.get(f"{CLAIM}version") == "1.3.0", "version")
        deployment_id = claims.get(f"{CLAIM}deployment_id")
        _require(isinstance(deployment_id, str) and deployment_id in platform.deployment_ids, "deployment_id")
        _require(claims.get(f"{CLAIM}message_type") in (RESOURCE, DEEP_LINKING), "message_type")


def _launch(claims: Mapping[str, Any], begun: _Begun) -> Launch:
    platform, deployment_id = begun.platform, str(claims[f"{CLAIM}deployment_id"])
    if claims[f"{CLAIM}message_type"] == DEEP_LINKING:
        settings = _object(claims, f"{DEEP_CLAIM}deep_linking_settings")
        return_url, data = settings.get("deep_link_return_url"), settings.get("data")
        _require(isinstance(return_url, str) and platform.owns(return_url), "deep_link_return_url")
        _require("ltiResourceLink" in _list(settings, "accept_types"), "accept_types")
        return Launch(
            platform,
            deployment_id,
            "",
            return_url=str(return_url),
            data=data,
            nonce=begun.nonce,
            browser=begun.browser,
            takes_line_item=settings.get("accept_lineitem") is not False,
        )
    subject, custom, grades = claims.get("sub"), _object(claims, f"{CLAIM}custom"), _object(claims, _GRADES)
    _require(isinstance(subject, str) and 1 <= len(subject) <= _MOST_WORD, "sub")
    line_item = grades.get("lineitem", "") if SCORE_SCOPE in _list(grades, "scope") else ""
    _require(line_item == "" or (isinstance(line_item, str) and platform.owns(line_item)), "lineitem")
    cohort_id, sitting = custom.get("cohort", ""), custom.get("sitting", "")
    _require(all(isinstance(one, str) and len(one) <= _MOST_WORD for one in (cohort_id, sitting)), "custom")
    teaches = _teaches(_list(claims, f"{CLAIM}roles"))
    return Launch(platform, deployment_id, str(subject), str(cohort_id), str(sitting), teaches, str(line_item))


def _teaches(roles: list[Any]) -> bool:
    """Return True for roles that teach and do not learn: LTI 1.3, A.2.

    Roles in the course (`.../membership#Learner`, `.../membership/Instructor#Grader`, or a simple name) count before
    those in the institution.
    """
    named = [one for one in roles if isinstance(one, str)]
    in_course = [one for one in named if "/membership" in one or "/" not in one]
    found = {name for one in in_course or named for name in re.split("[/#]", one)}
    return bool(found & _TEACHING) and not found & _LEARNING


def _object(claims: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = claims.get(name, {})
    _require(isinstance(found, dict), name.rpartition("/")[2])
    return dict(found)


def _list(claims: Mapping[str, Any], name: str) -> list[Any]:
    found = claims.get(name, [])
    _require(isinstance(found, list), name.rpartition("/")[2])
    return list(found)


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _require(is_so: bool, check: str) -> None:
    if not is_so:
        raise Refused(check)


def _hash(cookie: str) -> bytes:
    return sha256(cookie.encode("utf-8", "surrogatepass")).digest()


def cookie_of(sent: str = "") -> str:
    """Return the secret that a browser sent, or a new one if it has none."""
    return sent if len(sent) == 43 and sent.isascii() else secrets.token_urlsafe(32)


def _denied(words: Message) -> FrApiError:
    return refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", words)
