"""Reads and writes the facts that a PostgreSQL schema states about its store, beside the store's tables."""

from fr_core.errors import StoreCorrupt, message
from fr_core.storage.postgres.link import Link
from fr_core.storage.schema import Schema

# `opened` counts the processes that have opened the store, `store_holders` has the last commit of each that holds it,
# and `last_numbers` is what SQLite calls `sqlite_sequence`.
_TABLES = """
CREATE TABLE store_header (
    header_no BIGINT PRIMARY KEY CHECK (header_no = 1),
    application_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    opened BIGINT NOT NULL
);
CREATE TABLE store_holders (
    holder BIGINT PRIMARY KEY,
    number BIGINT NOT NULL
);
CREATE VIEW last_numbers AS
SELECT t.relname::text AS name, s.last_value AS seq
FROM pg_sequences s
JOIN pg_class q ON q.relname = s.sequencename AND q.relnamespace = current_schema()::regnamespace
JOIN pg_depend d ON d.objid = q.oid AND d.deptype = 'i' AND d.classid = 'pg_class'::regclass
JOIN pg_class t ON t.oid = d.refobjid
WHERE s.schemaname = current_schema() AND s.last_value IS NOT NULL;
"""
_OWN = ("store_header", "store_holders")
# Rows of processes that were killed; a process that only lost its connection returns to its row.
_KEPT_HOLDERS = 10_000
_COLUMNS = """
SELECT c.relname::text, a.attname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.oid, a.attnum
"""
_TYPES = """
SELECT format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_SEQUENCE = """
SELECT pg_get_serial_sequence(attrelid::regclass::text, attname)
FROM pg_attribute WHERE attrelid = $1::regclass AND attidentity <> ''
"""
_HAS_TABLE = "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1"


class PostgresHeader:
    """The header of a store; every method raises `StatementFailed`."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._sequences: dict[str, str] = {}  # that number the rows of a table

    def create(self, schema: Schema, name: str) -> None:
        """Make the header of a new store in the PostgreSQL schema of this name, within a transaction."""
        if not self._link.run("SELECT 1 FROM pg_namespace WHERE nspname = $1", (name,)):
            self._link.run(f"CREATE SCHEMA {name}")
        self._link.run(_TABLES)
        self._link.run("INSERT INTO store_header VALUES (1, $1, 0, 0)", (schema.application_id,))

    def exists(self, schema: Schema) -> bool:
        """Return whether there is a store; raises `StoreCorrupt` where the schema holds the tables of others."""
        if self.has_table("store_header"):
            return True
        if self._link.run("SELECT 1 FROM pg_tables WHERE schemaname = current_schema() LIMIT 1"):
            raise StoreCorrupt(message("error.storage.database_damaged_no", schema=schema.name), check="application_id")
        return False

    def application_id(self) -> int:
        """Return the number of the kind of store."""
        return self._number("application_id")

    def version(self) -> int:
        """Return the version of the tables."""
        return self._number("version")

    def set_version(self, version: int) -> None:
        """Write the version of the tables."""
        self._link.run("UPDATE store_header SET version = $1", (version,))

    def key_id(self) -> str:
        """Return the id of the key that the store is under."""
        ((key_id,),) = self._link.run("SELECT key_id FROM store")
        return str(key_id)

    def count_opening(self) -> int:
        """Count one more process that holds the store, and return its number."""
        ((number,),) = self._link.run("UPDATE store_header SET opened = opened + 1 RETURNING opened")
        self._link.run("DELETE FROM store_holders WHERE holder <= $1", (number - _KEPT_HOLDERS,))
        self._link.run("INSERT INTO store_holders VALUES ($1, 0)", (number,))
        return int(number)

    def commit(self, holder: int, number: int) -> None:
        """Send the commit of a transaction of a process, by its number."""
        self._link.send("UPDATE store_holders SET number = $1 WHERE holder = $2", (number, holder))
        self._link.send("COMMIT", once=True)

    def committed(self, holder: int) -> int:
        """Return the number of the last transaction of a process that was kept; 0 for none."""
        rows = self._link.run("SELECT number FROM store_holders WHERE holder = $1", (holder,))
        return int(rows[0][0]) if rows else 0

    def forget(self, holder: int) -> None:
        """Take out a process that lets the store go."""
        self._link.run("DELETE FROM store_holders WHERE holder = $1", (holder,))

    def has_table(self, name: str) -> bool:
        """Return whether the store has a table."""
        return bool(self._link.run(_HAS_TABLE, (name,)))

    def columns(self) -> dict[str, tuple[str, ...]]:
        """Return the columns of each table of the store, in the order in which the tables were made."""
        found: dict[str, tuple[str, ...]] = {}
        for table, column in self._link.run(_COLUMNS):
            if table not in _OWN:
                found[table] = (*found.get(table, ()), column)
        return found

    def types(self, table: str) -> list[str]:
        """Return the types of the columns of a table."""
        return [kind for (kind,) in self._link.run(_TYPES, (table,))]

    def raise_number(self, table: str, number: int) -> None:
        """Raise the sequence of a table to a number."""
        if table not in self._sequences:
            ((self._sequences[table],),) = self._link.run(_SEQUENCE, (table,))
        self._link.send("SELECT setval($1::text::regclass, $2)", (self._sequences[table], number))

    def _number(self, column: str) -> int:
        rows = self._link.run(f"SELECT {column} FROM store_header")
        if len(rows) != 1:
            raise StoreCorrupt(message("error.storage.database_damaged"), check="store_header")
        return int(rows[0][0])
