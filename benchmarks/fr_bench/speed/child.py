"""A helper process that answers requests one after another, in an interpreter of its own."""

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Self

from fr_core.errors import FrError
from fr_locales.messages import message


class BenchFailed(FrError):
    """The measurement could not be made; the message says what was found and what to do."""


_GIVE_UP_S = 10.0


class Child:
    """Starts `main(connection, *args)`, of a module and with picklable arguments, in a new interpreter.

    `main` answers each object that it receives with one object, and ends when it receives None; `name` is for messages,
    such as "the peer".
    """

    def __init__(self, name: str, main: Callable[..., None], *args: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._name = name
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=main, args=(theirs, *args), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._process.pid is not None  # it was started
        return self._process.pid

    def send(self, request: object) -> None:
        """Send a request; `receive` gives its answer."""
        try:
            self._connection.send(request)
        except OSError as error:
            raise self._ended() from error

    def receive(self) -> Any:
        """Wait for an answer; raises `BenchFailed` where the process has ended."""
        try:
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error

    def ask(self, request: object) -> Any:
        """Send a request and wait for its answer."""
        self.send(request)
        return self.receive()

    def close(self) -> None:
        """End the process; harmless when done twice."""
        if self._process.is_alive():
            with suppress(OSError):  # it may have ended by itself just now
                self._connection.send(None)
            self._process.join(_GIVE_UP_S)
            self._process.kill()
        self._process.join()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ended(self) -> BenchFailed:
        self._process.join(_GIVE_UP_S)
        return BenchFailed(
            message("error.bench.process_ended_status_what", name=self._name, exitcode=str(self._process.exitcode))
        )


def answer_requests(connection: Connection, answer: Callable[[Any], object]) -> None:
    """Answer until None arrives, or the other side is gone; what `answer` raises ends the process."""
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        if request is None:
            return
        connection.send(answer(request))
