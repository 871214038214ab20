"""Checks the integrity of a copy of a case store that no server has open."""

from __future__ import annotations

from fr_core.storage.database import Database
from fr_trust.casework.store_reading import Look
from fr_trust.casework.store_roll import Roll
from fr_trust.casework.store_rows import Locks

# A case whose time is over is looked at like the others.
_BEFORE_ALL_MS = -(2**63)


def require_sound(database: Database) -> None:
    """Open every case, examination, finding and photo, and see that none was taken out, put in or put back.

    Raises:
        StoreCorrupt: one was; of its audit nothing is looked at.
    """
    with database.reading() as now:
        locks = Locks(now)
    with database.reading() as now:  # the roll is the first to read in it
        Look(now, locks, Roll(locks), _BEFORE_ALL_MS).require_all()
