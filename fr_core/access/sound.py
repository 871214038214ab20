"""Whether an access store is sound, for whoever looks at a copy of one that no server has open."""

from __future__ import annotations

from fr_core.access.ring import Ring
from fr_core.access.rows import Locks
from fr_core.keeping.database import Database


def require_sound(database: Database) -> None:
    """Open every key and the head, and see that no key was taken out; raises `StoreCorrupt`, of its audit nothing."""
    with database.reading() as now:
        locks = Locks(now)
    Ring(database, locks).close()
