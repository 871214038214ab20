"""Connects to PostgreSQL and runs statements: the one module that calls psycopg."""

from __future__ import annotations

import itertools
import select
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.types.numeric import Int8BinaryDumper

from fr_core.errors import ConfigInvalid, DatabaseUnreachable, StoreCorrupt, StoreFailed, message
from fr_core.storage.driver_errors import StatementFailed
from fr_core.storage.location import Postgres
from fr_core.storage.postgres.sql import is_query, translated
from fr_core.storage.protocol import Row
from fr_core.storage.vault import Value

# Rows that a query brings at a time where they are taken one by one.
_BATCH = 1_000
_SAFE_MODES = ("verify-ca", "verify-full")
# The stores know their statements: what PostgreSQL does not understand, or what a constraint refuses, is damage.
_DAMAGE = (
    errors.DataCorrupted,
    errors.IndexCorrupted,
    errors.IntegrityError,
    errors.DataError,
    errors.InvalidSchemaName,
    errors.SyntaxError,
    errors.UndefinedColumn,
    errors.UndefinedFunction,
    errors.UndefinedTable,
)
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
        first: whether a person waits for the start, and must learn why a server does not answer.
    """

    def __init__(self, server: Postgres, schema: str, *, reads: bool = False, first: bool = False) -> None:
        self.server = server
        self._schema = schema
        self._reads = reads
        self._pipeline = ExitStack()
        try:
            self.connect()
        except psycopg.OperationalError as error:
            if not first:
                raise StatementFailed(_unreached(error)) from None
            why = str(error).partition("\n")[0]
            raise DatabaseUnreachable(
                message("error.storage.postgres_unreachable", server=str(server), why=why)
            ) from None

    def connect(self) -> None:
        """Connect, anew where the connection is lost; raises `psycopg.OperationalError`."""
        server = self.server
        settings = {
            "search_path": self._schema,
            "statement_timeout": round(server.statement_timeout_s * 1000),
            "lock_timeout": round(server.lock_timeout_s * 1000),
        }
        # A server that is cut off in the midst of a transaction must not keep the others from writing.
        settings |= {"tcp_keepalives_idle": 5, "tcp_keepalives_interval": 2, "tcp_keepalives_count": 3}
        if self._reads:
            settings |= {"default_transaction_isolation": r"repeatable\ read", "default_transaction_read_only": "on"}
        parameters = parameters_of(server.url)
        own = " ".join(f"-c {name}={value}" for name, value in settings.items())
        parameters["options"] = f"{parameters.get('options', '')} {own}".strip()
        # A network that swallows what is sent, or the answer to it, ends the connection: no call waits for ever.
        longest_ms = round(server.connect_timeout_s * 1000)
        noticing = {"tcp_user_timeout": longest_ms, "keepalives_idle": 5, "keepalives_interval": 2}
        self._connection: psycopg.Connection[Row] = psycopg.connect(
            **(noticing | parameters),
            password=server.password,
            connect_timeout=max(1, round(server.connect_timeout_s)),
            application_name="fr-core",
            autocommit=True,
        )
        # One type of parameter, and so one plan for each statement.
        self._connection.adapters.register_dumper(int, Int8BinaryDumper)

    @property
    def in_transaction(self) -> bool:
        """Return whether a transaction has begun."""
        return self._connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    @property
    def is_broken(self) -> bool:
        """Return whether the connection is lost or closed."""
        return self._connection.closed

    def notice_end(self) -> None:
        """Note that the server has closed the connection, as when it restarts: `is_broken` then says so."""
        connection = self._connection
        if not connection.closed and select.select([connection], [], [], 0)[0]:
            with suppress(psycopg.Error):
                connection.pgconn.consume_input()

    @property
    def version(self) -> int:
        """The version of the server, such as 180006."""
        return self._connection.info.server_version

    @property
    def process_id(self) -> int:
        """The process of the server that serves this connection."""
        return self._connection.info.backend_pid

    def execute(self, statements: str, bindings: Sequence[Value] = (), /) -> Rows | _Query:
        """Run a statement, or several without values; return the rows."""
        if self._reads and is_query(statements) and self.in_transaction:
            return _Query(self, statements, bindings)
        return Rows(self.run(translated(statements), bindings))

    def run(self, statements: str, bindings: Sequence[Value] = ()) -> list[Row]:
        """Run statements of PostgreSQL; return the rows of the last one.

        A connection that reads and was lost between two transactions, as by a restart of the server, connects again.
        """
        between = self._reads and not self.in_transaction
        with driver_failures():
            try:
                return self._run(statements, bindings)
            except psycopg.OperationalError:
                if not (between and self._connection.closed):
                    raise
                self.connect()
                return self._run(statements, bindings)

    def _run(self, statements: str, bindings: Sequence[Value]) -> list[Row]:
        with self._connection.cursor(binary=bool(bindings)) as cursor:
            cursor.execute(statements.encode(), bindings or None)
            if self._in_pipeline:
                return cursor.fetchall()  # waits for the answer
            while cursor.nextset():  # of several statements, the last one
                pass
            return cursor.fetchall() if cursor.description else []

    @property
    def _in_pipeline(self) -> bool:
        return self._connection.pgconn.pipeline_status != PipelineStatus.OFF

    def send(self, statements: str, bindings: Sequence[Value] = ()) -> None:
        """Send a statement of which no rows are wanted; in a pipeline, the next `run` tells whether it failed."""
        with driver_failures():
            self._sent = self._connection.execute(statements.encode(), bindings or None)

    def begin_pipeline(self) -> None:
        """Send statements from now on without waiting for the answers to those before."""
        with driver_failures():
            self._pipeline.enter_context(self._connection.pipeline())

    def end_pipeline(self) -> None:
        """Wait for every answer; raises `StatementFailed` for the first statement that failed."""
        with driver_failures():
            self._pipeline.close()

    def sync(self) -> None:
        """Wait for every answer within the pipeline, where one has begun, as `end_pipeline`."""
        with driver_failures():
            if self._in_pipeline:
                with self._connection.pipeline() as pipeline:
                    pipeline.sync()

    def copy_in(self, table: str, columns: Sequence[str], types: Sequence[str], rows: Iterable[Row]) -> None:
        """Add rows to a table in one stream; `types` are those of PostgreSQL."""
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
        with driver_failures(), self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    def stream(self, statements: str, bindings: Sequence[Value]) -> Iterator[Row]:
        """Yield the rows of a query, some at a time, within a transaction."""
        with driver_failures(), self._connection.cursor(f"fr_{next(_numbers)}", binary=True) as cursor:
            cursor.itersize = _BATCH
            cursor.execute(statements.encode(), bindings or None)
            yield from cursor

    def changes(self) -> int:
        """Return how many rows the last statement without rows has changed."""
        with driver_failures():
            self.sync()
            return max(self._sent.rowcount, 0)

    def close(self) -> None:
        """Close it; harmless when done twice."""
        with suppress(psycopg.Error):
            self._connection.close()


class _Query:
    """A query of a connection that reads; runs when its rows are taken, one by one or all at once."""

    def __init__(self, link: Link, sql: str, bindings: Sequence[Value]) -> None:
        self._link = link
        self._sql = sql
        self._bindings = bindings

    def __iter__(self) -> Iterator[Row]:
        return self._link.stream(translated(self._sql), self._bindings)

    def fetchall(self) -> list[Row]:
        """Return all rows."""
        return self._link.run(translated(self._sql), self._bindings)

    def fetchone(self) -> Row | None:
        """Return the first row, or None."""
        return next(iter(self.fetchall()), None)


def parameters_of(url: str) -> dict[str, Any]:
    """Return the parameters of an address of PostgreSQL, which need TLS unless it is a socket of this machine.

    Raises `ConfigInvalid`: it is no such address, has a password, or asks for less than TLS with a checked certificate.
    """
    try:
        parameters: dict[str, Any] = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError as error:
        raise ConfigInvalid(message("error.storage.postgres_url_unreadable"), key="storage.url") from error
    if "password" in parameters:
        raise ConfigInvalid(message("error.storage.postgres_url_password"), key="storage.url")
    hosts = f"{parameters.get('host', '')},{parameters.get('hostaddr', '')}".split(",")
    if any(host and not host.startswith(("/", "@")) for host in hosts):
        if parameters.setdefault("sslmode", "verify-full") not in _SAFE_MODES:
            raise ConfigInvalid(message("error.storage.postgres_url_tls"), key="storage.url")
        parameters.setdefault("sslrootcert", "system")
    return parameters


@contextmanager
def driver_failures() -> Iterator[None]:
    """Turn the errors of psycopg into `StatementFailed`; their texts may quote a row, so that none is chained."""
    try:
        yield
    except _DAMAGE as error:
        cause = type(error).__name__
        raise StatementFailed(StoreCorrupt(message("error.storage.database_damaged"), check=cause)) from None
    except psycopg.Error as error:
        raise StatementFailed(_unreached(error)) from None


def _unreached(error: psycopg.Error) -> StoreFailed:
    """Return the error of a store whose database fails now."""
    return StoreFailed(message("error.storage.database_could_not_read"), cause=type(error).__name__)
