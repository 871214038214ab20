"""Checks the integrity of a copy of an access store that no server has open."""

from __future__ import annotations

from fr_core.storage.database import Database
from fr_trust.access.key_cache import Ring
from fr_trust.access.rows import Locks


def require_sound(database: Database) -> None:
    """Open every key and the head, and see that no key was taken out; raises `StoreCorrupt`, of its audit nothing."""
    with database.reading() as now:
        locks = Locks(now)
    Ring(database, locks).close()
