"""The connection that writes a store: it holds the lock of the store, and finds out whether a commit in doubt was kept.

If the connection is lost during a commit, only the server knows whether it was kept. So each transaction leaves its
number in the row of its process, and the next connection looks for it before anything else is written.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from fr_core.errors import StoreFailed, message
from fr_core.storage.driver_errors import StatementFailed
from fr_core.storage.location import Postgres
from fr_core.storage.postgres.header import PostgresHeader
from fr_core.storage.postgres.link import Link, Rows, driver_failures
from fr_core.storage.postgres.locks import Lock, Locks
from fr_core.storage.postgres.sql import returns_rows, translated
from fr_core.storage.schema import Schema
from fr_core.storage.vault import Value

_AGAIN_S = 0.2
_IDLE_S = 0.2
_TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND usename = current_user"


class WritingLink(Link):
    """A connection that writes, for one thread at a time.

    Attributes:
        locks: of the store, over this connection.
        key_id: of the key that the store is under, as this process knows it.
        is_lost: whether the store was put under another key while this process had no connection.
    """

    def __init__(self, server: Postgres, schema: str, kind: Schema) -> None:
        super().__init__(server, schema)
        self.locks = Locks(self, kind)
        self.key_id = ""
        self.is_lost = False
        self._kind = kind
        self._header = PostgresHeader(self)
        self._holder = 0
        self._number = 0  # of the last transaction
        self._used = 0.0  # when the last transaction began
        self._numbers: dict[str, int] = {}

    def begin_holding(self, key_id: str) -> None:
        """Note the state in which this process takes up the store."""
        self.key_id = key_id
        self._holder = self._header.count_opening()

    def begin(self) -> None:
        """Begin a transaction, over a new connection where the one before was lost.

        The link sends writes without waiting for answers: where one fails, a later statement or the commit reports it.
        This is safe, because the whole transaction fails with any statement of it.

        Raises `StatementFailed`; `StoreFailed` where `is_lost`.
        """
        self._look_alive()
        if self.is_broken:
            self._hold_again()
        if self.is_lost:
            raise StoreFailed(message("error.storage.postgres_lost", schema=self._kind.name))
        self._number += 1
        self.begin_pipeline()
        self.locks.begin_writing()

    def _look_alive(self) -> None:
        """Find out whether the connection still serves, where it has been idle: PostgreSQL may have restarted."""
        self.notice_end()
        if not self.is_broken and time.monotonic() - self._used > _IDLE_S:
            with suppress(StatementFailed):
                self.run("SELECT 1")
        self._used = time.monotonic()

    @property
    def in_transaction(self) -> bool:
        """Return whether a transaction has begun, as far as the server has answered."""
        if not self.is_broken:
            with suppress(StatementFailed):
                self.sync()
        return super().in_transaction

    def execute(self, statements: str, bindings: Sequence[Value] = (), /) -> Rows:
        """Run a statement and return its rows; one that returns none is only sent, see `begin`."""
        if returns_rows(statements):
            return Rows(self.run(translated(statements), bindings))
        self.send(translated(statements), bindings)
        return Rows([])

    def commit(self) -> None:
        """Commit. Where the connection is lost meanwhile, find out whether the transaction was kept.

        Raises `StatementFailed` if nothing of it was kept, and `StoreFailed` if that could not be found out yet.
        """
        try:
            self._header.commit(self._holder, self._number)
            self.end_pipeline()
        except StatementFailed:
            if not self.is_broken:
                raise
            if not self._learnt_to_be_kept():
                raise

    def roll_back(self) -> None:
        """Undo the transaction, where there is one."""
        with suppress(StatementFailed):  # which its caller knows already
            self.end_pipeline()
        if self.in_transaction:
            self.run("ROLLBACK")

    def keep_numbers(self, last: Mapping[str, int]) -> None:
        """Raise the sequences of tables to the greatest numbers given; they stay raised if all else is undone."""
        for table, number in last.items():
            if self._numbers.get(table, 0) < number:
                self._header.raise_number(table, number)
                self._numbers[table] = number

    def close(self) -> None:
        """Let the store go, and close; harmless when done twice."""
        if self._holder and not self.is_broken:
            with suppress(StatementFailed):  # the next to have the store alone does it
                self._header.forget(self._holder)
                self.locks.release_all()
        super().close()

    def _learnt_to_be_kept(self) -> bool:
        until = time.monotonic() + self.server.connect_timeout_s
        while True:
            try:
                if self.is_broken:
                    self._hold_again()
                return self._was_kept()
            except StatementFailed:
                if time.monotonic() > until:
                    raise StoreFailed(message("error.storage.postgres_commit_in_doubt")) from None
            time.sleep(_AGAIN_S)

    def _was_kept(self) -> bool:
        """Return whether the last transaction was kept, when it is surely over."""
        self.locks.begin_writing()
        try:
            return self._header.committed(self._holder) == self._number
        finally:
            self.roll_back()

    def _hold_again(self) -> None:
        """Connect anew, and hold the store as before; sets `is_lost` where it is under another key now."""
        before = self.process_id
        with driver_failures():
            self.connect()
        try:
            self.run(_TERMINATE, (before,))  # which may not have noticed yet that nobody listens
            self.locks.share(Lock.HELD)
            self.is_lost = self._header.key_id() != self.key_id
        except BaseException:
            super().close()
            raise
