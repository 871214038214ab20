"""Bounds what the bodies of all requests take together, and how slowly one may come."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from fr_client.errors import FrApiError
from fr_locales.messages import Message, message
from fr_web.errors import refused

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_LEAST_BYTES_PER_S = 32 * 1024  # of a body after that: slower than a bad mobile connection
_RETRY_S = 1.0
# A photo does not shrink, and vectors as JSON shrink to about two fifths.
_MOST_GROWTH, _GROWS_FREELY_BYTES = 20, 256 * 1024
LANGUAGE_COOKIE = "fr-language"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
FROM_PLATFORMS = ("/lti/login", "/lti/launch", "/lti/keys")  # learning platforms call these addresses, from other sites


def network_of(address: str) -> str:
    """Return the unit that a limit applies to: the IPv4 address itself, or the 64-bit network of an IPv6 address."""
    plain = address.partition("%")[0]
    return str(ipaddress.ip_network(f"{plain}/64", strict=False)) if ":" in plain else plain


def is_loopback_host(host: str) -> bool:
    """Return whether a Host header names the machine itself."""
    return name_of(host) in LOOPBACK


def name_of(host: str) -> str:
    """Return the name in a Host header, without a port."""
    return (host.rpartition(":")[0] if re.search(r":\d*$", host) else host).lower()


class ClientGone(Exception):
    """The caller has closed the connection: there is nobody to answer."""


@dataclass(slots=True)
class Room:
    """Counts the bytes of bodies: at most `most_bytes` in one, `at_once` times that in all, half of one address."""

    most_bytes: int
    first_s: float  # seconds for the first bytes of a body
    at_once: int = 4
    _held: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def share(self, address: str) -> Iterator[Share]:
        """Let the block hold bodies; what they take is free again after it."""
        share = Share(self, address)
        try:
            yield share
        finally:
            self._held[address] -= share.held
            if not self._held[address]:
                del self._held[address]

    def take(self, share: Share, size: int) -> None:
        """Count bytes more; raises `FrApiError` (IMAGE_TOO_MANY_BYTES for one body over the limit, else OVERLOADED)."""
        if share.held + size > self.most_bytes:
            raise too_large(self.most_bytes)
        most = self.at_once * self.most_bytes
        if self._held.total() + size > most or self._held[share.address] + size > most // 2:
            raise refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", message("web.too_many"), _RETRY_S)
        share.held += size
        self._held[share.address] += size

    def free(self, share: Share, size: int) -> None:
        """Take back the bytes of a piece that the reader of a body is done with."""
        share.held -= size
        self._held[share.address] -= size


@dataclass(slots=True)
class Share:
    """The bytes that one request holds."""

    room: Room
    address: str
    held: int = 0  # bytes

    async def read(self, receive: Receive, declared: str | None, most_s: float) -> bytes:
        """Read the body; raises `FrApiError` if it is too large or too slow, `ClientGone` if it does not come whole."""
        if declared is not None and declared.isdecimal() and int(declared[:20]) > self.room.most_bytes:
            raise too_large(self.room.most_bytes)
        body = bytearray()
        begun, more = time.monotonic(), True
        while more:
            allowed = min(self.room.first_s + self.held / _LEAST_BYTES_PER_S, most_s)
            try:
                async with asyncio.timeout(begun + allowed - time.monotonic()):
                    event = await receive()
            except TimeoutError as error:
                raise _too_slow() from error
            if event["type"] == "http.disconnect":
                raise ClientGone
            piece, more = event.get("body", b""), event.get("more_body", False)
            self.room.take(self, len(piece))
            body += piece
        return bytes(body)

    async def pieces(self, receive: Receive) -> AsyncIterator[bytes]:
        """Yield a body as it comes, and count each piece until it is freed; raises as `read`.

        Only the time that the sender takes counts, and not what is done with a piece.
        """
        came, waited_s, more = 0, 0.0, True
        while more:
            begun_s = time.monotonic()
            try:
                async with asyncio.timeout(self.room.first_s + came / _LEAST_BYTES_PER_S - waited_s):
                    event = await receive()
            except TimeoutError as error:
                raise _too_slow() from error
            waited_s += time.monotonic() - begun_s
            if event["type"] == "http.disconnect":
                raise ClientGone
            piece, more = event.get("body", b""), event.get("more_body", False)
            self.room.take(self, len(piece))
            came += len(piece)
            yield piece

    def decompressed(self, body: bytes) -> bytes:
        """Return what a gzip body holds, counted like one; raises `FrApiError` if it is damaged or grows too much."""
        most = min(self.room.most_bytes, max(_GROWS_FREELY_BYTES, _MOST_GROWTH * len(body)))
        reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            found = reader.decompress(body, most + 1)
        except zlib.error as error:
            raise invalid("The body is not gzip, as Content-Encoding says.") from error
        if len(found) > most:
            raise too_large(most)
        if not reader.eof or reader.unused_data:
            raise invalid("The gzip body is cut off, or something follows it.")
        self.room.take(self, len(found))
        return found


def _too_slow() -> FrApiError:
    return refused(grpc.StatusCode.DEADLINE_EXCEEDED, "CALL_ENDED", message("web.too_slow"))


def too_large(limit: int) -> FrApiError:
    """Return the refusal of a body over a limit in bytes."""
    words = message("web.too_large", limit=limit)
    return refused(grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_TOO_MANY_BYTES", words, limit=str(limit))


def invalid(words: Message | str, field: str = "") -> FrApiError:
    """Return the refusal of a request that cannot be read; `field` is a path of the API's own names."""
    return refused(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", words, None, **({"field": field} if field else {})
    )
