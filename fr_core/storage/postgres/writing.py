"""The connection that writes a store: it holds the lock of the store, and finds out whether a commit in doubt was kept.

If the connection is lost during a commit, only the server knows whether it was kept. So each transaction leaves its
number in the row of its process, and the next connection looks for it before anything else is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from fr_core.errors import StoreFailed, message
from fr_core.storage.driver_errors import StatementFailed
from fr_core.storage.location import Postgres
from fr_core.storage.postgres.header import PostgresHeader
from fr_core.storage.postgres.link import Link, Rows, driver_failures
from fr_core.storage.postgres.locks import Lock, Locks
from fr_core.storage.postgres.sql import is_script, returns_rows, translated
from fr_core.storage.schema import Schema
from fr_core.storage.vault import Value

_AGAIN_S = 0.2
_IDLE_S = 0.2
_SAVEPOINT, _RELEASE = "SAVEPOINT item", "RELEASE item"
_ITEM_STEPS = (_SAVEPOINT, "ROLLBACK TO item", _RELEASE)
# Writes of an item that are held back at most; each of them may have a photo.
_MOST_HELD = 16
# Plans for small tables may read all rows of tables that have grown since. PostgreSQL gathers its statistics once in a
# minute, and too late for a store that is filled. So this process gathers them, too: after as many transactions, and
# whenever there were as many again.
_FIRST_GATHERED = 8
_SMALL_BYTES = 16 * 2**20
_SMALL_TABLES = """
SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND pg_relation_size(oid) < $1
"""
# By name, not by the number of its process: after a restart, PostgreSQL gives the numbers to others.
_TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = $1 AND pid <> pg_backend_pid() AND usename = current_user
"""


class WritingLink(Link):
    """A connection that writes, for one thread at a time.

    Attributes:
        locks: of the store, over this connection.
        is_lost: whether the store was put under another key while this process had no connection.
    """

    def __init__(self, server: Postgres, schema: str, kind: Schema, key_id: Callable[[], str]) -> None:
        super().__init__(server, schema)
        self.locks = Locks(self, kind)
        self.is_lost = False
        self._kind = kind
        self._key_id = key_id
        self._header = PostgresHeader(self)
        self._holder = 0
        self._number = 0  # of the last transaction
        self._gathers = _FIRST_GATHERED
        self._used = 0.0  # when the last transaction began
        self._numbers: dict[str, int] = {}
        self._item: list[tuple[str, Sequence[Value]]] | None = None

    def begin_holding(self) -> None:
        """Note the state in which this process takes up the store."""
        self._holder = self._header.count_opening()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Write within the block while the store is opened, as others may at the same time."""
        self._begin_writing()
        try:
            yield
        except BaseException:
            self.roll_back()
            raise
        self.run("COMMIT")
        self.in_transaction = False

    def begin(self) -> None:
        """Begin a transaction, over a new connection where the one before was lost.

        The link sends writes without waiting for answers: where one fails, a later statement or the commit reports it.
        This is safe, because the whole transaction fails with any statement of it.

        Raises `StatementFailed`; `StoreFailed` where `is_lost`.
        """
        self.notice_end()
        self._hold_fast()
        self._number += 1
        self._begin_writing()
        idle_s, self._used = time.monotonic() - self._used, time.monotonic()
        # A connection that was idle may be dead without a sign; nothing of this transaction is written yet.
        if idle_s > _IDLE_S and not self._answers():
            self._hold_fast()
            self._begin_writing()

    def _hold_fast(self) -> None:
        """Hold the store over a new connection if the former one was lost; raises `StoreFailed` where `is_lost`."""
        if self.is_broken:
            self._hold_again()
        if self.is_lost:
            raise StoreFailed(message("error.storage.postgres_lost", schema=self._kind.name))

    def _begin_writing(self) -> None:
        self._item = None
        self.in_transaction = True
        self.locks.begin_writing()

    def _answers(self) -> bool:
        """Return whether the connection still serves; raises `StatementFailed` where it does and a statement failed."""
        try:
            self.wait()
        except StatementFailed:
            if not self.is_broken:
                raise
            return False
        return True

    def execute(self, statements: str, bindings: Sequence[Value] = (), /) -> Rows:
        """Run a statement and return its rows; one that returns none is only sent, see `begin`.

        What an item of a transaction writes is held back until the item reads or ends. So one that is undone before
        has written nothing, and needs no savepoint.
        """
        if statements == "ROLLBACK":
            self.roll_back()
        elif statements in _ITEM_STEPS:
            self._take_step(statements)
        elif returns_rows(statements) or is_script(statements):
            self._write_held()
            return Rows(self.run(translated(statements), bindings))
        elif self._item is not None and len(self._item) < _MOST_HELD:
            self._item.append((statements, bindings))
        else:
            self._write_held()
            self.send(translated(statements), bindings)
        return Rows([])

    def _take_step(self, step: str) -> None:
        """Begin or end an item: `_item` is what it has written and not sent, None where nothing is held back."""
        held, self._item = self._item, None
        if step == _SAVEPOINT:
            self._item = []
        elif held is None:
            self.send(step)
        elif step == _RELEASE:
            self._send_all(held)
        else:
            self._item = []  # undone, until its release

    def _write_held(self) -> None:
        """Send what an item has written, with a savepoint before it, to which it may have to go back."""
        if self._item:
            held, self._item = self._item, None
            self.send(_SAVEPOINT)
            self._send_all(held)

    def _send_all(self, held: Sequence[tuple[str, Sequence[Value]]]) -> None:
        for statements, bindings in held:
            self.send(translated(statements), bindings)
        self.push()

    def changes(self) -> int:
        """Return how many rows the last statement has changed."""
        self._write_held()
        return super().changes()

    def commit(self) -> None:
        """Commit. Where the connection is lost meanwhile, find out whether the transaction was kept.

        Raises `StatementFailed` if nothing of it was kept, and `StoreFailed` if that could not be found out yet.
        """
        try:
            self._header.commit(self._holder, self._number)
            answer = self.wait()
        except StatementFailed:
            if not self.is_broken:
                raise
            if not self._learnt_to_be_kept():
                raise
        else:
            if answer is None or answer.command != b"COMMIT":  # PostgreSQL had undone it
                raise StoreFailed(message("error.storage.undone"))
        self.in_transaction = False
        if self._number >= self._gathers:
            self._gather_statistics()

    def _gather_statistics(self) -> None:
        self._gathers *= 2
        with suppress(StatementFailed):  # the change is kept, and the next one finds out what is wrong
            ((tables,),) = self.run(_SMALL_TABLES, (_SMALL_BYTES,))
            if tables is not None:
                self.run(f"ANALYZE (SKIP_LOCKED) {tables}", once=True)

    def roll_back(self) -> None:
        """Undo the transaction, where there is one."""
        in_transaction, self.in_transaction, self._item = self.in_transaction, False, None
        if not in_transaction or self.is_broken:
            return
        with suppress(StatementFailed):  # which its caller knows already
            self.wait()
        if not self.is_broken:
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
        self._begin_writing()
        try:
            return self._header.committed(self._holder) == self._number
        finally:
            self.roll_back()

    def _hold_again(self) -> None:
        """Connect anew, and hold the store as before; sets `is_lost` where it is under another key now."""
        with driver_failures():
            self.connect()
        try:
            self.run(_TERMINATE, (self.name,))  # PostgreSQL may not have noticed yet that this end is closed
            self.locks.share(Lock.HELD)
            self.is_lost = self._header.key_id() != self._key_id()
        except BaseException:
            super().close()
            raise
