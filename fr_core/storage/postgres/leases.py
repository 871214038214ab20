"""Gives leases in PostgreSQL: they expire by the database's clock, and for their holder by its own, not later.

If the clock of the database is set forward, a lease can be given while its holder still works: the numbers tell the
two apart, and the jobs tolerate that two servers do them at once.
"""

from __future__ import annotations

from collections.abc import Callable

from fr_core.storage import leases
from fr_core.storage.leases import Lease, own_clock_s
from fr_core.storage.postgres.registry import Registry

_TAKE = """
INSERT INTO leases AS held (name, number, holder, expires)
VALUES (?, 1, ?, clock_timestamp() + ? * interval '1 second')
ON CONFLICT (name) DO UPDATE
SET number = held.number + 1, holder = excluded.holder, expires = excluded.expires
WHERE held.expires <= clock_timestamp()
RETURNING number
"""
_RENEW = """
UPDATE leases SET expires = clock_timestamp() + ? * interval '1 second'
WHERE name = ? AND number = ? AND expires > '-infinity' RETURNING 1
"""
_RELEASE = "UPDATE leases SET expires = '-infinity', holder = '' WHERE name = ? AND number = ?"
_HOLDERS = "SELECT name, holder FROM leases WHERE expires > clock_timestamp() ORDER BY name"


class PostgresLeases:
    """The leases of all servers of a database; see `Leases`.

    Args:
        holder: the name of this server, which `holders` tells.
        clock_s: as `own_clock_s`.
    """

    def __init__(self, registry: Registry, holder: str, clock_s: Callable[[], float] = own_clock_s) -> None:
        self._registry = registry
        self._holder = holder
        self._clock_s = clock_s

    def take(self, name: str, lasts_s: float) -> Lease | None:
        """As `Leases.take`."""
        until_s = self._clock_s() + lasts_s  # before the database begins to count
        rows = self._registry.run(_TAKE, (name, self._holder, lasts_s))
        return Lease(name, int(rows[0][0]), until_s) if rows else None

    def renew(self, lease: Lease, lasts_s: float) -> Lease | None:
        """As `Leases.renew`."""
        until_s = self._clock_s() + lasts_s
        rows = self._registry.run(_RENEW, (lasts_s, lease.name, lease.number))
        return Lease(lease.name, lease.number, until_s) if rows else None

    def release(self, lease: Lease) -> None:
        """As `Leases.release`."""
        self._registry.run(_RELEASE, (lease.name, lease.number))

    def holders(self) -> dict[str, str]:
        """As `Leases.holders`."""
        return dict(self._registry.run(_HOLDERS))

    def close(self) -> None:
        """Close the connection to the database."""
        self._registry.close()


_IMPLEMENTS: type[leases.Leases] = PostgresLeases
