"""Reads rows that may be altered, and finds rows by ids without telling which ids exist."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

from fr_core.errors import FrError, StoreCorrupt

R = TypeVar("R")


def readable(name: str, read: Callable[[], R]) -> R:
    """Return the result of `read`, which reads a row of the store with this `Schema.name`.

    Raises:
        StoreCorrupt: the row holds values that no row can have, or `read` found it altered.
    """
    try:
        return read()
    except StoreCorrupt:
        raise
    # This version, or a later one, wrote the encrypted part of the row; a column beside it may have been altered. The
    # text of an error may quote the row, so that no error is chained.
    except (FrError, ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error, OverflowError):
        raise StoreCorrupt(f"A row of the {name} cannot be read.", check="row") from None


def next_of(table: str, column: str) -> str:
    """Return the SQL for the smallest value of a column that is at least a parameter, or else the smallest of all.

    A lookup of an id reads and decrypts the row of that value, then compares the id. So the time is the same for an id
    that exists and one that does not, and does not reveal ids of others. The column needs an index.
    """
    return f"coalesce((SELECT min({column}) FROM {table} WHERE {column} >= ?), (SELECT min({column}) FROM {table}))"
