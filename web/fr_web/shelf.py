"""Shares what pages need with the other servers of a database: values on a shelf that the server keeps.

Each value is encrypted under a key that is made of its name and of a secret of the servers. Only the browser has the
name of its session, so sessions in the database can be neither read nor forged.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import grpc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fr_locales.messages import message
from fr_web.errors import refused
from fr_web.packing import Unreadable, packed, unpacked

_MOST_BYTES = 4 * 2**20  # of a line
_ANSWER_S = 10.0
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Shelved:
    """A value: JSON, the version, and how many seconds ago it was first put there."""

    value: Any
    version: int
    age_s: float


class SharedShelf:
    """The shelf, for one event loop; `secret` is the same for all servers. Methods raise `FrApiError` if it fails."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secret: bytes) -> None:
        self.secret = secret
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, descriptor: int) -> SharedShelf:
        """Return the shelf behind a socket that the server has passed on."""
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=descriptor), limit=_MOST_BYTES)
        return cls(reader, writer, b64decode(json.loads(await reader.readline())["secret"]))

    async def get(self, name: str, lasts_s: float = 0.0) -> Shelved | None:
        """Return a value, None if there is none; above 0, `lasts_s` lengthens its time."""
        found = await self._ask("get", name, lasts_s=lasts_s)
        if "value" not in found:
            return None
        return Shelved(self._opened(name, found["value"]), found["version"], found["age_s"])

    async def put(self, name: str, value: object, version: int, lasts_s: float, longest_s: float) -> int:
        """Store a value over a version, 0 for none; return the new version, or 0 if that one is not the present."""
        sealed = self._sealed(name, value)
        put = await self._ask("put", name, value=sealed, version=version, lasts_s=lasts_s, longest_s=longest_s)
        return int(put["version"])

    async def add(self, name: str, lasts_s: float) -> bool:
        """Add a name, and return True if it was not there; it lasts `lasts_s`."""
        return bool(await self.put(name, True, 0, lasts_s, lasts_s))

    async def take(self, name: str) -> Any:
        """Remove a value and return it, or None if there is none. If several callers do so, one gets it."""
        found = await self._ask("take", name)
        return self._opened(name, found["value"]) if "value" in found else None

    async def close(self) -> None:
        """Close the connection; no call may follow."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _ask(self, do: str, name: str, **more: Any) -> Mapping[str, Any]:
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            asked = {"number": number, "do": do, "name": b64encode(sha256(f"name {name}".encode()).digest()).decode()}
            self._writer.write(json.dumps({**asked, **more}).encode() + b"\n")
            async with asyncio.timeout(_ANSWER_S):
                found: Mapping[str, Any] = await answer
        except (TimeoutError, ConnectionError) as error:
            raise _failed() from error
        finally:
            del self._waiting[number]
        if "failed" in found:
            raise _failed()
        return found

    def _cipher(self, name: str) -> AESGCM:
        return AESGCM(sha256(b"key " + self.secret + name.encode()).digest())

    def _sealed(self, name: str, value: object) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        return b64encode(nonce + self._cipher(name).encrypt(nonce, json.dumps(value).encode(), None)).decode()

    def _opened(self, name: str, sealed: str) -> Any:
        data = b64decode(sealed)
        try:
            return json.loads(self._cipher(name).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None))
        except InvalidTag as error:
            raise _failed() from error

    async def _read(self) -> None:
        """Deliver answers to the calls that wait, until the server ends; then every call fails."""
        while line := await self._reader.readline():
            found = json.loads(line)
            waiting = self._waiting.get(found["number"])
            if waiting is not None and not waiting.done():
                waiting.set_result(found)


def _failed() -> Exception:
    return refused(grpc.StatusCode.UNAVAILABLE, "STORE_FAILED", message("web.no_shelf"), 1.0)


def told_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as texts for the shelf, each under its name."""
    return {one: packed(value) for one, value in values.items()}


def read_of(said: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that this version of FR Core can read."""
    found = {}
    for one, text in said.items():
        with suppress(Unreadable):
            found[one] = unpacked(text)
    return found


@dataclass(slots=True)
class Copy:
    """The texts of `told_of` that lie on the shelf under a name, as far as this process knows."""

    name: str
    version: int = 0  # 0 for nothing
    said: dict[str, str] = field(default_factory=dict, repr=False)

    async def write(
        self, shelf: SharedShelf, values: Mapping[str, Any], lasts_s: float, longest_s: float, *, is_new: bool
    ) -> dict[str, Any]:
        """Write what has changed since it was read, and return what other processes have changed meanwhile.

        `is_new`: if nothing is there any more, it is stored anew. Raises `FrApiError`.
        """
        said, theirs = told_of(values), dict[str, Any]()
        changed = {one for one in said.keys() | self.said.keys() if said.get(one) != self.said.get(one)}
        if not changed:
            return theirs
        while not (version := await shelf.put(self.name, said, self.version, lasts_s, longest_s)):
            found = await shelf.get(self.name)
            if found is None and not is_new:  # it has ended
                return theirs
            there: dict[str, str] = {} if found is None else found.value
            theirs = {one: value for one, value in read_of(there).items() if one not in changed}
            own = {one: text for one, text in said.items() if one in changed}
            said = {one: text for one, text in there.items() if one not in changed} | own
            self.version = 0 if found is None else found.version
        self.version, self.said = version, {**said, **told_of(theirs)}
        return theirs
