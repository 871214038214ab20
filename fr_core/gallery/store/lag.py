"""Reads from outside how far a server is behind the newest versions of the galleries."""

from collections.abc import Sequence
from dataclasses import dataclass

from fr_core.gallery.store.schema import SCHEMA
from fr_core.storage.dialect import NOW_MS
from fr_core.storage.location import Postgres
from fr_core.storage.outside import exists, reading

# Some versions of a gallery may have been made before it was deleted.
_LAGS = f"""
SELECT coalesce(g.gallery_id, ''), max(c.version) - min(c.since), {NOW_MS} - min(c.changed_ms)
FROM changes c LEFT JOIN galleries g ON g.gallery_no = c.gallery_no WHERE c.seq > ?
GROUP BY c.gallery_no, g.gallery_id ORDER BY 3 DESC
"""


@dataclass(frozen=True, slots=True)
class Lag:
    """The versions of one gallery that a server has still to apply."""

    gallery_id: str  # "" of a gallery that was deleted
    versions: int
    seconds: float  # since the first of them, by the clock of the database


def lags_of(server: Postgres, applied: Sequence[int]) -> list[tuple[Lag, ...]]:
    """Return what each of some servers lacks, the oldest first; nothing is authenticated, and no key is needed.

    `applied`: of each server the last change that it has noted, see `following.SCOPE`. Raises as `outside.reading`.
    """
    if not exists(server, SCHEMA):
        return [() for _ in applied]
    with reading(server, SCHEMA) as connection:
        return [
            tuple(
                Lag(gallery_id, int(versions), max(0.0, ms / 1000))
                for gallery_id, versions, ms in connection.execute(_LAGS, (after,))
            )
            for after in applied
        ]
