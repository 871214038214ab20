"""FR Core's side of LTI (the "tool"): launches, trainers' pending choices, and messages to platforms."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import jwt

from fr_files.reading import read_json
from fr_web.lti.exchange import MOST_BYTES, Fetch, PlatformKeys, Unanswered, fetch, fetched
from fr_web.lti.launches import CLAIM, DEEP_CLAIM, SCORE_SCOPE, Launch, Launches, Tickets
from fr_web.lti.registrations import ALGORITHM, Platform, Registrations
from fr_web.packing import Unreadable, packed, shared, unpacked
from fr_web.shelf import SharedShelf

log = logging.getLogger("fr_web.lti")

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SCORE_KIND = "application/vnd.ims.lis.v1.score+json"
_TOKEN_S, _EARLY_S = 300, 60
CHOICE_S, _MOST_CHOICES = 3_600.0, 1_000


@shared
@dataclass(frozen=True, slots=True)
class Score:
    """The score of a finished sitting: right answers, out of those that count.

    Before the release it tells the platform only that the sitting is finished.
    """

    released: bool
    right: int
    counted: int
    waits: bool  # until somebody records which person an own probe shows

    def message(self, subject: str, now: datetime) -> Mapping[str, Any]:
        """Return the message of Assignment and Grade Services 2.0; `subject` is the platform's id for the trainee."""
        is_final = self.released and self.counted > 0 and not self.waits
        points = {"scoreGiven": self.right, "scoreMaximum": self.counted} if is_final else {}
        waiting = "PendingManual" if self.counted else "NotReady"
        return {
            "userId": subject,
            **points,
            "activityProgress": "Completed",
            "gradingProgress": "FullyGraded" if is_final else waiting,
            "timestamp": now.isoformat(timespec="milliseconds"),
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """A sitting that a trainer can add to a course on a platform; `trials` is the highest possible score."""

    cohort_id: str
    sitting: str
    title: str
    trials: int


class Tool:
    """The tool and its connections to platforms. Use it in one event loop only."""

    def __init__(
        self,
        registrations: Registrations,
        send: Fetch = fetch,
        clock_s: Callable[[], float] = time.time,
        shelf: SharedShelf | None = None,
    ) -> None:
        self.registrations, self._send, self._clock_s = registrations, send, clock_s
        self.launches = Launches(registrations, PlatformKeys(send), clock_s, shelf)
        self._choosing = Tickets[Launch](CHOICE_S, _MOST_CHOICES, clock_s)  # those of deep linking
        self._shelf = shelf
        self._tokens: dict[Platform, tuple[float, str]] = {}
        self._sending: set[asyncio.Task[None]] = set()

    async def keep_choosing(self, launch: Launch) -> str:
        """Keep the launch of a trainer who has to choose; return the ticket of it."""
        if self._shelf is None:
            return self._choosing.keep(launch)
        ticket = secrets.token_urlsafe(32)
        await self._shelf.put(f"lti choice {ticket}", packed(launch), 0, CHOICE_S, CHOICE_S)
        return ticket

    async def find_choosing(self, ticket: str) -> Launch | None:
        """Return the launch of a ticket; None if there is none, or it has expired."""
        if self._shelf is None:
            return self._choosing.find(ticket)
        found = await self._shelf.get(f"lti choice {ticket}")
        return None if found is None else _launch_of(found.value)

    async def take_choosing(self, ticket: str) -> Launch | None:
        """Return what `find_choosing` does, and forget the ticket."""
        if self._shelf is None:
            return self._choosing.take(ticket)
        return _launch_of(await self._shelf.take(f"lti choice {ticket}"))

    def key_set(self) -> Mapping[str, Any]:
        """Return the public keys for platforms."""
        return {"keys": [one.jwk() for one in self.registrations.keys]}

    def chosen(self, launch: Launch, choice: Choice) -> str:
        """Return the signed token of a choice, which the browser posts to `launch.return_url`."""
        item: dict[str, Any] = {
            "type": "ltiResourceLink",
            "title": choice.title,
            "url": f"{self.registrations.address}/lti/launch",
            "custom": {"cohort": choice.cohort_id, "sitting": choice.sitting},
            "window": {"targetName": "_blank"},
        }
        if launch.takes_line_item:
            resource = f"{choice.cohort_id}/{choice.sitting}"
            item["lineItem"] = {"label": choice.title, "scoreMaximum": max(choice.trials, 1), "resourceId": resource}
        platform = launch.platform
        claims: dict[str, Any] = {
            "iss": platform.client_id,
            "aud": platform.issuer,
            "nonce": launch.nonce,  # that of our own request; some platforms check it
            f"{CLAIM}deployment_id": launch.deployment_id,
            f"{CLAIM}message_type": "LtiDeepLinkingResponse",
            f"{CLAIM}version": "1.3.0",
            f"{DEEP_CLAIM}content_items": [item],
        }
        if launch.data is not None:
            claims[f"{DEEP_CLAIM}data"] = launch.data
        return self._signed(claims)

    def send_score(self, launch: Launch, score: Score, failed: Callable[[], None]) -> None:
        """Send a score in the background; if the platform does not accept it, write to the log and call `failed`."""

        async def send() -> None:
            try:
                await self._post_score(launch, score)
            except Unanswered as error:
                self._tokens.pop(launch.platform, None)
                log.warning("A platform did not accept a score: %s", error.args[0])
                failed()

        task = asyncio.create_task(send())
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _post_score(self, launch: Launch, score: Score) -> None:
        token = await self._token(launch.platform)
        parts = urlsplit(launch.line_item)
        url = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/scores"))
        told = score.message(launch.subject, datetime.fromtimestamp(self._clock_s(), UTC))
        body = json.dumps(told).encode()
        await fetched(self._send, url, body, content_type=_SCORE_KIND, authorization=f"Bearer {token}")

    async def _token(self, platform: Platform) -> str:
        """Return an access token of the platform, RFC 7523 with the tool's key; raises `Unanswered`."""
        until_s, token = self._tokens.get(platform, (0.0, ""))
        if until_s > self._clock_s():
            return token
        assertion = {"iss": platform.client_id, "sub": platform.client_id, "aud": platform.token_url}
        asked = {
            "grant_type": "client_credentials",
            "client_assertion_type": _ASSERTION,
            "client_assertion": self._signed({**assertion, "jti": secrets.token_urlsafe(16)}),
            "scope": SCORE_SCOPE,
        }
        kind = "application/x-www-form-urlencoded"
        answer = await fetched(self._send, platform.token_url, urlencode(asked).encode(), content_type=kind)
        try:
            found = read_json(answer, MOST_BYTES)
            token, lasts_s = str(found["access_token"]), float(found.get("expires_in", _TOKEN_S))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise Unanswered("no access token") from error
        if not token.isascii() or not token.isprintable():
            raise Unanswered("no access token")
        self._tokens[platform] = self._clock_s() + lasts_s - _EARLY_S, token
        return token

    def _signed(self, claims: Mapping[str, Any]) -> str:
        key, now = self.registrations.keys[0], int(self._clock_s())
        times = {"iat": now, "exp": now + _TOKEN_S}
        return jwt.encode({**claims, **times}, key.key, ALGORITHM, {"kid": key.key_id})


def _launch_of(text: str | None) -> Launch | None:
    if text is None:
        return None
    try:
        found = unpacked(text)
    except Unreadable:
        return None
    return found if isinstance(found, Launch) else None
