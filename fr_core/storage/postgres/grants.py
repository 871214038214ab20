"""Grants shares of budgets from PostgreSQL.

An account is a token bucket and a daily number of uses. A process takes a block of tokens at a time and spends it by
itself, so that a call seldom asks the database. Blocks that are not spent yet would come on top of a full bucket, so
the bucket is smaller by what all processes can hold beyond the token that they ask for: `_MOST_HELD` of it at most.

Times and days (UTC) are those of the database. If its clock is set back, that takes and gives nothing; if it is set
forward, each bucket is filled once, and the next day begins.
"""

from __future__ import annotations

from fr_core.storage import grants
from fr_core.storage.grants import Block
from fr_core.storage.postgres.registry import Registry

_BLOCK_S = 0.1  # of the rate of an account, so that a busy process asks ten times a second
_MOST_HELD = 16  # processes, each with at most one part in so many of a bucket beyond the token that it asks for
_MOST_USES, _USES_PARTS = 16, 100  # a block of uses; at most one part in so many of those of a day

_TAKE = """
INSERT INTO buckets AS b (account, rate, burst, tokens, at, granted)
SELECT a.account, a.rate, a.burst, a.burst - a.block, clock_timestamp(), a.block
FROM (
    SELECT ?::bytea AS account, ?::float8 AS rate, ?::bigint AS block,
           greatest(?::bigint - (?::bigint - 1) * (SELECT coalesce(sum(processes), 1) FROM servers), ?) AS burst
) a
ON CONFLICT (account) DO UPDATE
SET rate = excluded.rate, burst = excluded.burst, at = excluded.at,
    granted = least(excluded.granted, floor({filled})::bigint),
    tokens = {filled} - least(excluded.granted, floor({filled}))
RETURNING granted, tokens
""".format(
    filled="least(excluded.burst, b.tokens"
    " + greatest(extract(epoch FROM excluded.at - b.at)::float8, 0) * excluded.rate + 1e-9)"
)
_USE = """
INSERT INTO uses AS u (account, day, used, granted)
VALUES (?, (clock_timestamp() AT TIME ZONE 'UTC')::date, least(?::bigint, ?::bigint), least(?::bigint, ?::bigint))
ON CONFLICT (account) DO UPDATE
SET day = greatest(u.day, excluded.day),
    granted = greatest(0, least(?::bigint, ?::bigint - CASE WHEN u.day >= excluded.day THEN u.used ELSE 0 END)),
    used = CASE WHEN u.day >= excluded.day THEN u.used ELSE 0 END
         + greatest(0, least(?::bigint, ?::bigint - CASE WHEN u.day >= excluded.day THEN u.used ELSE 0 END))
RETURNING granted, used,
    extract(epoch FROM ((day + 1)::timestamp AT TIME ZONE 'UTC') - clock_timestamp())::float8
"""
_USED = "SELECT used FROM uses WHERE account = ? AND day >= (clock_timestamp() AT TIME ZONE 'UTC')::date"
# The state of a new row.
_SWEEP = (
    "DELETE FROM buckets WHERE tokens + extract(epoch FROM clock_timestamp() - at)::float8 * rate >= burst",
    "DELETE FROM uses WHERE day < (clock_timestamp() AT TIME ZONE 'UTC')::date",
)


class PostgresGrants:
    """The accounts of a database; see `Grants`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def take(self, account: bytes, rate: float, burst: int) -> Block:
        """As `Grants.take`."""
        block = max(1, min(round(rate * _BLOCK_S), burst // (2 * _MOST_HELD)))
        ((granted, tokens),) = self._registry.run(_TAKE, (account, rate, block, burst, block, block))
        return Block(int(granted), 0.0 if granted else max(0.0, 1.0 - tokens) / rate)

    def use(self, account: bytes, most: int) -> Block:
        """As `Grants.use`."""
        block = max(1, min(_MOST_USES, most // _USES_PARTS))
        values = (account, block, most, block, most, block, most, block, most)
        ((granted, _, left_s),) = self._registry.run(_USE, values)
        return Block(int(granted), max(0.0, left_s))

    def used(self, account: bytes) -> int:
        """As `Grants.used`."""
        rows = self._registry.run(_USED, (account,))
        return int(rows[0][0]) if rows else 0

    def sweep(self) -> None:
        """As `Grants.sweep`."""
        for statement in _SWEEP:
            self._registry.run(statement)

    def close(self) -> None:
        """Close the connection to the database."""
        self._registry.close()


_IMPLEMENTS: type[grants.Grants] = PostgresGrants
