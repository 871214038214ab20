"""Lets the process of the HTTP interface use the shelf of a database, over a socket that this process gives it.

Each line is a JSON object. The first is the server's, with the secret of the shelf. Then each question, with a number,
has an answer with that number; bytes are in base64.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fr_core.errors import FrError
from fr_core.storage.shelf import Shelf

log = logging.getLogger("fr_server.web")

MOST_BYTES = 4 * 2**20  # of a line


class ShelfServer:
    """Answers on one end of a socket pair; `other` is the end to pass on. Use it within one event loop."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._own, self.other = socket.socketpair()
        self._turn = asyncio.Lock()  # there is one connection to the database
        self._answers: set[asyncio.Task[None]] = set()
        self._serving = asyncio.create_task(self._serve())

    def passed_on(self) -> None:
        """Close the end that was passed to another process."""
        self.other.close()

    async def close(self) -> None:
        """Stop answering."""
        self._serving.cancel()
        await asyncio.gather(self._serving, *self._answers, return_exceptions=True)
        self._own.close()
        self.other.close()

    async def _serve(self) -> None:
        reader, writer = await asyncio.open_connection(sock=self._own, limit=MOST_BYTES)
        writer.write(_line({"secret": _text(self._shelf.secret)}))
        try:
            while line := await reader.readline():
                answering = asyncio.create_task(self._answer(json.loads(line), writer))
                self._answers.add(answering)
                answering.add_done_callback(self._answers.discard)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, asked: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        try:
            async with self._turn:
                found = await asyncio.to_thread(self._done, asked)
        except FrError as error:
            log.warning("The HTTP interface could not be told what servers share: %s", error.what)
            found = {"failed": error.reason}
        writer.write(_line({"number": asked["number"], **found}))
        await writer.drain()

    def _done(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        name = b64decode(asked["name"])
        match asked["do"]:
            case "get":
                found = self._shelf.get(name, asked["lasts_s"])
                if found is None:
                    return {}
                return {"value": _text(found.value), "version": found.version, "age_s": found.age_s}
            case "put":
                value, lasts_s, longest_s = b64decode(asked["value"]), asked["lasts_s"], asked["longest_s"]
                return {"version": self._shelf.put(name, value, asked["version"], lasts_s, longest_s)}
            case "take":
                taken = self._shelf.take(name)
                return {} if taken is None else {"value": _text(taken)}
        raise ValueError(asked["do"])


def _line(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said).encode() + b"\n"


def _text(value: bytes) -> str:
    return b64encode(value).decode()
