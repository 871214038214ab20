"""Removes deleted rows from the tables of PostgreSQL; its log and all other upkeep are its own."""

import logging
import time
from contextlib import closing

from fr_core.errors import FrError
from fr_core.storage.driver_errors import driver_errors
from fr_core.storage.location import Postgres
from fr_core.storage.postgres.link import Link
from fr_core.storage.schema import Schema

_log = logging.getLogger(__name__)

_TOLD_EVERY_S = 60.0  # while the database is away, others ask each second
_TABLES = "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE schemaname = current_schema()"


class Upkeep:
    """The upkeep of one store.

    VACUUM takes deleted rows out of the tables. Unlike the upkeep of SQLite it does not overwrite them everywhere: the
    pages of the tables, the write-ahead log and backups of PostgreSQL keep older bytes. Of these, templates and photos
    are encrypted; ids, names and metadata are not.
    """

    copies_at_close = False

    def __init__(self, server: Postgres, name: str, schema: Schema) -> None:
        self._server = server
        self._schema_name = name
        self._name = schema.name
        self._told_s = float("-inf")  # when a failure was logged last, since it last went well

    @property
    def is_long(self) -> bool:
        """Return False: PostgreSQL copies its log by itself."""
        return False

    def tidy(self) -> None:
        """Do nothing, see `is_long`."""

    def scrub(self, longest_s: float | None = None) -> bool:
        """Take deleted rows out of the tables; returns False where the database fails, or with no time to wait."""
        if longest_s == 0.0:
            return False
        try:
            with driver_errors(), closing(Link(self._server, self._schema_name)) as link:
                ((tables,),) = link.run(_TABLES)
                # One that runs on a table already may have begun before the rows were deleted: this one waits for it.
                link.run(f"VACUUM (INDEX_CLEANUP ON, TRUNCATE ON) {tables}")
        except FrError as error:
            self._tell(error)
            return False
        self._told_s = float("-inf")
        return True

    def _tell(self, error: FrError) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= _TOLD_EVERY_S:
            self._told_s = now_s
            _log.warning("deleted rows of the %s are not removed yet: %s", self._name, error.what)
