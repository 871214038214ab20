"""The wire between two processes of one server: whole messages, in order, from any thread."""

from __future__ import annotations

import io
import pickle
import threading
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import Any


class Wire:
    """One end. The other is held by a process that this one started, or that started it: nobody else can write.

    Args:
        connection: of a socket pair.
    """

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, message: object) -> None:
        """Send a message; blocks while the other end does not read.

        Raises:
            OSError: the other end is closed.
        """
        data = _dumped(message)
        with self._sending:
            self._connection.send_bytes(data)

    def receive(self) -> Any:
        """Wait for the next message, in one thread only.

        Raises:
            EOFError: the other end is closed; its process has ended.
        """
        try:
            return pickle.loads(self._connection.recv_bytes())
        except ConnectionError as error:  # it had not read everything when it ended
            raise EOFError from error

    def close(self) -> None:
        """Close this end, when no thread receives any more."""
        self._connection.close()


class _Pickler(pickle.Pickler):
    """Knows read-only mappings too, which galleries return."""

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, MappingProxyType):
            return _read_only, (dict(value),)
        return NotImplemented


def _read_only(values: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(values)


def _dumped(message: object) -> bytes:
    out = io.BytesIO()
    _Pickler(out, pickle.HIGHEST_PROTOCOL).dump(message)
    return out.getvalue()
