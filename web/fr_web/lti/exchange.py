"""Sends requests to platforms and caches their public keys, with limits on time and size; follows no redirects."""

from __future__ import annotations

import asyncio
import http.client
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlsplit

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from fr_files.reading import read_json
from fr_web.lti.registrations import ALGORITHM

MOST_BYTES, MOST_KEYS = 256 * 1024, 100
_SILENT_S, _WHOLE_S = 5.0, 10.0
MOST_AT_ONCE = 200  # requests to one host; a host that sends byte by byte holds some for longer than anyone waits
AGAIN_S = 60.0  # the shortest time between two readings of a key set, no matter which keys tokens name
FRESH_S = 3_600.0  # after this time a key set is read again, so that a removed key stops being accepted

Fetch = Callable[[str, bytes | None, Mapping[str, str]], bytes]


class Unanswered(Exception):
    """A platform gave no usable answer; `args` has the reason, and nothing that the platform sent."""


def fetch(url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
    """GET an address, or POST a body to it; returns at most `MOST_BYTES`. Raises `Unanswered`."""
    opener = urllib.request.OpenerDirector()  # `build_opener` would add a handler that follows redirects
    opener.add_handler(urllib.request.ProxyHandler())
    opener.add_handler(urllib.request.HTTPHandler())
    opener.add_handler(urllib.request.HTTPSHandler(context=ssl.create_default_context()))
    try:
        with opener.open(urllib.request.Request(url, body, dict(headers)), timeout=_SILENT_S) as answer:
            status, data = answer.status, answer.read(MOST_BYTES + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unanswered(type(error).__name__) from error
    if not 200 <= status < 300:
        raise Unanswered(f"status {status}")
    if len(data) > MOST_BYTES:
        raise Unanswered("too long")
    return bytes(data)


async def fetched(send: Fetch, url: str, body: bytes | None = None, **headers: str) -> bytes:
    """Fetch in a separate thread, so that a slow platform does not occupy a thread that others need.

    Raises `Unanswered`, also if too many requests to this host have not ended.
    """
    name = f"lti {urlsplit(url).netloc}"
    if sum(one.name == name for one in threading.enumerate()) >= MOST_AT_ONCE:
        raise Unanswered("too many at once")
    done: Future[bytes] = Future()
    done.set_running_or_notify_cancel()

    def work() -> None:
        try:
            done.set_result(send(url, body, {name.replace("_", "-"): value for name, value in headers.items()}))
        except Unanswered as error:
            done.set_exception(error)

    threading.Thread(target=work, name=name, daemon=True).start()
    try:
        return await asyncio.wait_for(asyncio.wrap_future(done), _WHOLE_S)
    except TimeoutError as error:
        raise Unanswered("too slow") from error


class PlatformKeys:
    """Public keys of the platforms, by the address of each key set. Use it in one event loop only."""

    def __init__(self, send: Fetch = fetch, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._send, self._monotonic_s = send, monotonic_s
        self._sets: dict[str, tuple[float, Mapping[str, PyJWK]]] = {}  # when it was read, and its keys
        self._tried_s: dict[str, float] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def key(self, url: str, key_id: str) -> PyJWK | None:
        """Return the key with an id, None if there is none; raises `Unanswered` if the set was needed but not read."""
        read_s, keys = self._sets.get(url, (float("-inf"), {}))
        if key_id in keys and self._monotonic_s() - read_s <= FRESH_S:
            return keys[key_id]  # without the lock: a stranger's token, which names no key, delays nobody
        async with self._locks.setdefault(url, asyncio.Lock()):
            read_s, keys = self._sets.get(url, (float("-inf"), {}))
            now_s = self._monotonic_s()
            if now_s - read_s > FRESH_S or key_id not in keys:
                if now_s - self._tried_s.get(url, float("-inf")) >= AGAIN_S:
                    self._tried_s[url] = now_s
                    keys = parse_keys(await fetched(self._send, url, accept="application/json"))
                    self._sets[url] = now_s, keys
                elif now_s - read_s > FRESH_S:
                    raise Unanswered("no keys")
            return keys.get(key_id)


def parse_keys(data: bytes) -> Mapping[str, PyJWK]:
    """Return, by id, the RSA keys of a key set that are meant for signatures; raises `Unanswered`."""
    try:
        listed = read_json(data, MOST_BYTES)["keys"]
    except (ValueError, TypeError, KeyError) as error:
        raise Unanswered("no key set") from error
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise Unanswered("no key set")
    found: dict[str, PyJWK] = {}
    for one in listed:
        if isinstance(one, dict) and _is_for_signatures(one):
            try:
                key = PyJWK(one, ALGORITHM)
            except PyJWTError:
                continue
            if found.setdefault(one["kid"], key) is not key:
                raise Unanswered("two keys of one id")
    return found


def _is_for_signatures(one: Mapping[str, Any]) -> bool:
    fits = one.get("kty") == "RSA" and one.get("alg", ALGORITHM) == ALGORITHM and one.get("use", "sig") == "sig"
    return fits and "d" not in one and isinstance(one.get("kid"), str)
