"""Writes, in SQLite's form, the few expressions that differ between the databases.

`postgres.sql` translates them, and the STRICT, AUTOINCREMENT and WITHOUT ROWID of the tables. PostgreSQL has
`= ANY (...)`, `position`, `json_agg`, `json_object_agg` and sequences in their place, and needs no `NOT INDEXED`.
"""

ALL_ROWS = "NOT INDEXED"
"""After the name of a table: read its rows themselves, not an index, which may have been altered."""

LAST_NUMBERS = "SELECT name, seq FROM sqlite_sequence"
"""Of each table with numbers that are never given twice, the greatest number that any row of it has ever had."""

NOW_MS = "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
"""The time by the clock of the database, milliseconds since 1970, UTC."""


def contains(column: str) -> str:
    """Return the condition that a column of bytes holds those of a parameter."""
    return f"instr({column}, ?) > 0"


def in_array(column: str) -> str:
    """Return the condition that a column of whole numbers has one of those of a parameter, a JSON array."""
    return f"{column} IN (SELECT value FROM json_each(?))"


def in_texts(column: str) -> str:
    """Return the condition that a column of texts has one of those of a parameter, a JSON array."""
    return f"{column} IN (SELECT atom FROM json_each(?))"


def array_of(column: str) -> str:
    """Return the expression that gathers a column of all rows in one JSON array."""
    return f"json_group_array({column})"


def object_of(key: str, value: str) -> str:
    """Return the expression that gathers two columns of all rows in one JSON object."""
    return f"json_group_object({key}, {value})"
