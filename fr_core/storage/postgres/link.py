"""Connects to PostgreSQL and runs statements: with `pipeline`, the one code that calls psycopg."""

from __future__ import annotations

import itertools
import secrets
import select
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg import errors
from psycopg.types.numeric import Int8BinaryDumper

from fr_core.errors import DatabaseUnreachable, StoreCorrupt, StoreFailed, message
from fr_core.storage.driver_errors import StatementFailed
from fr_core.storage.location import Postgres
from fr_core.storage.postgres.address import kept_alive, parameters_of, unreadable
from fr_core.storage.postgres.pipeline import Answer, Pipeline
from fr_core.storage.postgres.sql import is_script, translated
from fr_core.storage.protocol import Row
from fr_core.storage.vault import Value

# Rows that a query brings at a time where they are taken one by one.
_BATCH = 1_000
# The stores know their statements: what PostgreSQL does not understand, or what a constraint refuses, is damage.
_DAMAGE = (
    errors.DataCorrupted,
    errors.IndexCorrupted,
    errors.IntegrityError,
    errors.DataError,
    errors.SyntaxError,
    errors.UndefinedColumn,
    errors.UndefinedFunction,
)
# So PostgreSQL also answers a role that may not use the schema.
_MISSING = (errors.InvalidSchemaName, errors.UndefinedTable)
_NO_CHANGES = (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)
# The end of a connection follows its reason, which is nearly all that a server says unasked.
_END_MS = 1_000.0
_numbers = itertools.count()


class Rows:
    """The rows of a statement that has run."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = iter(rows)

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def fetchall(self) -> list[Row]:
        """Return the rows that are left."""
        return list(self._rows)

    def fetchone(self) -> Row | None:
        """Return the next row, or None."""
        return next(self._rows, None)


class Link:
    """A connection, for one thread at a time; see `DriverConnection`. Every method raises `StatementFailed`.

    Args:
        schema: the name of the PostgreSQL schema that holds the store.
        reads: whether its transactions only read, all as of one moment.
        first: whether a person waits for the start, and must see the reason if a server does not answer.

    Attributes:
        name: tells this connection, and those that replace it, from all others; PostgreSQL shows it to administrators.
        in_transaction: whether a transaction has begun.
    """

    def __init__(self, server: Postgres, schema: str, *, reads: bool = False, first: bool = False) -> None:
        self.server = server
        self.name = f"fr-core {schema} {secrets.token_hex(8)}"
        self.in_transaction = False
        self._schema = schema
        self._reads = reads
        self._begins = False  # whether a transaction that reads begins with the next statement
        try:
            self.connect()
        except psycopg.OperationalError as error:
            if not first:
                raise StatementFailed(_unreached(error)) from None
            why = f"{str(error).partition(chr(10))[0].rstrip('.')}."
            raise DatabaseUnreachable(
                message("error.storage.postgres_unreachable", server=str(server), why=why)
            ) from None

    def connect(self) -> None:
        """Connect, anew where the connection is lost; raises `psycopg.OperationalError`, and as `parameters_of`."""
        server = self.server
        settings = {
            "search_path": self._schema,
            "statement_timeout": round(server.statement_timeout_s * 1000),
            "lock_timeout": round(server.lock_timeout_s * 1000),
        }
        # A server that is cut off in the midst of a transaction must not keep the others from writing.
        settings |= {"tcp_keepalives_idle": 5, "tcp_keepalives_interval": 2, "tcp_keepalives_count": 3}
        # Writers take turns by a lock, and each must see what the one before has committed.
        settings |= {"default_transaction_isolation": r"read\ committed"}
        if self._reads:
            settings |= {"default_transaction_isolation": r"repeatable\ read", "default_transaction_read_only": "on"}
        parameters = kept_alive(server.connect_timeout_s) | parameters_of(server.url)
        own = " ".join(f"-c {name}={value}" for name, value in settings.items())
        parameters["options"] = f"{parameters.get('options', '')} {own}".strip()
        parameters |= {"application_name": self.name, "password": server.password}
        try:
            self._connection: psycopg.Connection[Row] = psycopg.connect(**parameters, autocommit=True)
        except (psycopg.ProgrammingError, UnicodeError):  # such as a timeout that is no number, or a label too long
            raise unreadable() from None
        # One type of parameter, and so one plan for each statement.
        self._connection.adapters.register_dumper(int, Int8BinaryDumper)
        # PostgreSQL itself ends a statement that takes too long: one that still does not answer then has stopped.
        self._pipeline = Pipeline(self._connection, server.statement_timeout_s + server.connect_timeout_s)

    @property
    def is_broken(self) -> bool:
        """Return whether the connection is lost or closed."""
        return self._connection.closed

    def notice_end(self) -> None:
        """Note that the server has closed the connection, as when it restarts: `is_broken` then says so."""
        connection, wait_ms = self._connection, 0.0
        with suppress(psycopg.Error):
            readable = select.poll()  # unlike `select.select`, for descriptors of any number
            readable.register(connection.fileno(), select.POLLIN)
            while not connection.closed and readable.poll(wait_ms):
                connection.pgconn.consume_input()
                wait_ms = _END_MS

    @property
    def version(self) -> int:
        """The version of the server, such as 180006."""
        return self._connection.info.server_version

    def execute(self, statements: str, bindings: Sequence[Value] = (), /) -> Rows | _Query:
        """Run a statement, or several without values; return the rows."""
        if not self._reads:
            return Rows(self.run(translated(statements), bindings))
        if statements == "BEGIN":
            self.begin_reading()
        elif statements == "ROLLBACK":
            self.end_reading()
        else:
            return _Query(self, statements, bindings)
        return Rows([])

    def begin_reading(self) -> None:
        """Begin a transaction that reads, together with its first statement."""
        self.in_transaction = self._begins = True

    def end_reading(self) -> None:
        """End a transaction that reads, without waiting for the answer."""
        self.in_transaction = False
        if not self._begins and not self.is_broken:
            with driver_failures():
                self._pipeline.send("ROLLBACK")
                self._pipeline.end_group()

    def run(self, statements: str, bindings: Sequence[Value] = (), *, once: bool = False) -> list[Row]:
        """Run a statement of PostgreSQL, or several without values; return the rows of one. `once`: as `send`.

        A connection that reads connects again where it was lost before its transaction had read anything, as by a
        restart of the server.
        """
        with driver_failures():
            begins = self._begins
            fresh = self._reads and (begins or not self.in_transaction)
            try:
                return self._run(statements, bindings, once)
            except psycopg.OperationalError:
                if not (fresh and self.is_broken):
                    raise
                self.connect()
                self._begins = begins
                return self._run(statements, bindings, once)

    def _run(self, statements: str, bindings: Sequence[Value], once: bool) -> list[Row]:
        if not bindings and is_script(statements):
            with self._pipeline.left() as connection:
                connection.execute(statements.encode())
            self._pipeline.forget()  # what the script may have changed the tables of
            return []
        if self._begins:
            self._begins = False  # also if the statement fails: what has begun must be ended
            self._pipeline.send("BEGIN")
        self._pipeline.send(statements, bindings, once=once)
        return self._pipeline.rows()

    def send(self, statement: str, bindings: Sequence[Value] = (), *, once: bool = False) -> None:
        """Send a statement of which no rows are wanted; the next `run` or `wait` tells whether it failed.

        `once`: it is not kept prepared.
        """
        with driver_failures():
            self._pipeline.send(statement, bindings, once=once)

    def push(self) -> None:
        """Send what `send` still holds back."""
        with driver_failures():
            self._pipeline.push()

    def wait(self) -> Answer | None:
        """Wait for every answer, and return the last; raises `StatementFailed` for the first statement that failed."""
        with driver_failures():
            return self._pipeline.wait()

    def changes(self) -> int:
        """Return how many rows the last statement has changed."""
        answer = self.wait()
        return 0 if answer is None else answer.changed

    def copy_in(self, table: str, columns: Sequence[str], types: Sequence[str], rows: Iterable[Row]) -> None:
        """Add rows to a table in one stream; `types` are those of PostgreSQL."""
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)".encode()
        with (
            driver_failures(),
            self._pipeline.left() as connection,
            connection.cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    def stream(self, statement: str, bindings: Sequence[Value]) -> Iterator[Row]:
        """Yield the rows of a query, some at a time, within a transaction."""
        name = f"fr_{next(_numbers)}"
        self.run(f"DECLARE {name} NO SCROLL CURSOR FOR {statement}", bindings, once=True)
        rows: list[Row] = []
        while not rows or len(rows) == _BATCH:
            rows = self.run(f"FETCH {_BATCH} FROM {name}", once=True)
            yield from rows
            if not rows:
                return

    def wait_for_ever(self) -> None:
        """Remove the limit on the time that statements and locks take."""
        self._pipeline.longest_s = None
        self.run("SET lock_timeout = 0; SET statement_timeout = 0")

    def disconnect(self) -> None:
        """Close the connection, so that it `is_broken`.

        A connection keeps for good what its database or role made the default when it began, such as that it may only
        read: the next one may do more.
        """
        with suppress(psycopg.Error):
            self._connection.close()

    def close(self) -> None:
        """Close it; harmless when done twice."""
        self.disconnect()


class _Query:
    """A query of a connection that reads; runs when its rows are taken, one by one or all at once."""

    def __init__(self, link: Link, sql: str, bindings: Sequence[Value]) -> None:
        self._link = link
        self._sql = sql
        self._bindings = bindings

    def __iter__(self) -> Iterator[Row]:
        if self._link.in_transaction:
            return self._link.stream(translated(self._sql), self._bindings)
        return iter(self.fetchall())

    def fetchall(self) -> list[Row]:
        """Return all rows."""
        return self._link.run(translated(self._sql), self._bindings)

    def fetchone(self) -> Row | None:
        """Return the first row, or None."""
        return next(iter(self.fetchall()), None)


@contextmanager
def driver_failures() -> Iterator[None]:
    """Turn the errors of psycopg into `StatementFailed`; their texts may quote a row, so that none is chained."""
    try:
        yield
    except _DAMAGE as error:
        cause = type(error).__name__
        raise StatementFailed(StoreCorrupt(message("error.storage.database_damaged"), check=cause)) from None
    except _MISSING as error:
        cause = type(error).__name__
        raise StatementFailed(StoreCorrupt(message("error.storage.postgres_tables_missing"), check=cause)) from None
    except _NO_CHANGES as error:
        told = message("error.storage.postgres_no_changes")
        raise StatementFailed(StoreFailed(told, cause=type(error).__name__)) from None
    except psycopg.Error as error:
        raise StatementFailed(_unreached(error)) from None


def _unreached(error: psycopg.Error) -> StoreFailed:
    """Return the error of a store whose database fails now."""
    return StoreFailed(message("error.storage.database_could_not_read"), cause=type(error).__name__)
