"""Sends statements to PostgreSQL one after another, and takes the answers in their order: libpq's pipeline mode.

Each statement is prepared once for a connection. The cursors of psycopg would do the same, but take longer in Python
than PostgreSQL takes for a statement of a store.
"""

import itertools
import select
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import ConnectionTimeout, error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult

from fr_core.storage.protocol import Row
from fr_core.storage.vault import Value

# Answers that may be under way. They fit into the buffers of a socket, so that neither side waits for the other.
_MOST_ANSWERS = 512
# Statements that stay prepared; the stores have about a hundred.
_MOST_PREPARED = 1_000
_GOOD = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY)

_Key = tuple[str, tuple[int, ...]]  # a statement, and the types of its values


class Answer:
    """The answer to a statement that PostgreSQL has run."""

    def __init__(self, result: PGresult) -> None:
        self.result = result

    @property
    def changed(self) -> int:
        """The number of rows that the statement has changed."""
        return self.result.command_tuples or 0

    @property
    def command(self) -> bytes:
        """The command that was run, such as b"COMMIT"."""
        return (self.result.command_status or b"").split(b" ")[0]


class Pipeline:
    """The statements under way on a connection, for one thread at a time.

    Every method raises `psycopg.Error`; where an answer has not come in time, the connection is closed then.

    Args:
        longest_s: how long to wait for an answer; None: for ever.
    """

    def __init__(self, connection: psycopg.Connection[Any], longest_s: float | None) -> None:
        self.longest_s = longest_s
        self._connection = connection
        self._libpq = connection.pgconn
        self._values = Transformer(connection)
        self._readable = select.poll()
        self._readable.register(self._libpq.socket, select.POLLIN)
        self._either = select.poll()
        self._either.register(self._libpq.socket, select.POLLIN | select.POLLOUT)
        self._prepared: dict[_Key, bytes] = {}
        self._numbers = itertools.count()
        # The answers that are still to come: the key of a statement that is prepared, True where it is run, False
        # for the end of a group, beyond which PostgreSQL goes on after a statement that failed.
        self._awaited: deque[_Key | bool] = deque()
        self._libpq.enter_pipeline_mode()

    def send(self, statement: str, values: Sequence[Value] = (), *, once: bool = False) -> None:
        """Send a statement, with $1, $2, ... for its values. `once`: do not keep it prepared.

        It may stay in a buffer until `push` or an answer is waited for.
        """
        if len(self._awaited) >= _MOST_ANSWERS:
            self.wait()  # before, for the caller may ask for the answer to this one
        given = self._values.dump_sequence(values, [PyFormat.AUTO] * len(values))
        types, formats = self._values.types or (), self._values.formats
        if once:
            self._libpq.send_query_params(statement.encode(), given, types, formats, Format.BINARY)
        else:
            name = self._prepared.get((statement, types)) or self._prepare(statement, types)
            self._libpq.send_query_prepared(name, given, formats, Format.BINARY)
        self._awaited.append(True)

    def _prepare(self, statement: str, types: tuple[int, ...]) -> bytes:
        if len(self._prepared) >= _MOST_PREPARED:
            self.forget()
        name = b"fr_%d" % next(self._numbers)
        self._libpq.send_prepare(name, statement.encode(), types)
        self._prepared[statement, types] = name
        self._awaited.append((statement, types))
        return name

    def forget(self) -> None:
        """Forget the prepared statements, because their tables change."""
        self._prepared.clear()
        self.send("DEALLOCATE ALL", once=True)

    def push(self) -> None:
        """Send as much of the buffer as goes without waiting."""
        self._libpq.flush()

    def end_group(self) -> None:
        """Send the end of a group of statements: where one fails, PostgreSQL leaves out those before the end."""
        self._libpq.pipeline_sync()
        self._awaited.append(False)
        self.push()

    def rows(self) -> list[Row]:
        """Wait as `wait`, and return the rows of the last statement."""
        answer = self.wait()
        if answer is None:
            return []
        self._values.set_pgresult(answer.result, format=Format.BINARY)
        return self._values.load_rows(0, answer.result.ntuples, tuple)

    def wait(self) -> Answer | None:
        """Wait until all statements have run, and return the answer to the last one; raises if any has failed."""
        self.end_group()
        until = None if self.longest_s is None else time.monotonic() + self.longest_s
        failure: psycopg.Error | None = None
        answer = None
        try:
            self._push_all(until)
            while self._awaited:
                awaited = self._awaited[0]
                result = self._result(until)
                if awaited is not False:
                    self._result(until)  # None, the end of the answer
                self._awaited.popleft()
                if result is None or result.status == ExecStatus.PIPELINE_SYNC:
                    continue
                if result.status in _GOOD:
                    answer = Answer(result) if awaited is True else answer
                    continue
                if isinstance(awaited, tuple):
                    self._prepared.pop(awaited, None)
                if result.status != ExecStatus.PIPELINE_ABORTED:
                    failure = failure or error_from_result(result)
        except psycopg.OperationalError as error:
            self._connection.close()
            raise failure if isinstance(failure, psycopg.OperationalError) else error from None
        if failure is not None:
            raise failure
        return answer

    def _push_all(self, until: float | None) -> None:
        while self._libpq.flush():
            self._poll(self._either, until)
            self._libpq.consume_input()  # PostgreSQL may be waiting for that

    def _result(self, until: float | None) -> PGresult | None:
        while self._libpq.is_busy():
            self._poll(self._readable, until)
            self._libpq.consume_input()
        result = self._libpq.get_result()
        if self._libpq.status == ConnStatus.BAD and (result is None or result.status == ExecStatus.FATAL_ERROR):
            raise psycopg.OperationalError("the connection is lost")
        return result

    def _poll(self, ready: select.poll, until: float | None) -> None:
        left_ms = None if until is None else max(0.0, until - time.monotonic()) * 1_000
        if not ready.poll(left_ms):
            raise ConnectionTimeout("the server does not answer")

    @contextmanager
    def left(self) -> Iterator[psycopg.Connection[Any]]:
        """Leave pipeline mode within the block, for what the mode cannot do, and yield the connection."""
        self.wait()
        self._libpq.exit_pipeline_mode()
        try:
            yield self._connection
        finally:
            if not self._connection.closed:
                self._libpq.enter_pipeline_mode()
