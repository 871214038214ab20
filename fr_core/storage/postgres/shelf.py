"""Keeps the shelf in PostgreSQL; times are by the clock of the database."""

from __future__ import annotations

from fr_core.errors import WrongKey
from fr_core.storage import shelf
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.postgres.registry import Registry
from fr_core.storage.shelf import Shelved
from fr_core.storage.vault import Vault

_TOUCHED_EVERY_S = 60.0  # a value that is read often is written so seldom
_KEEP_SECRET = "INSERT INTO secret VALUES (1, ?, ?) ON CONFLICT (secret_no) DO NOTHING"
_SECRET = "SELECT key_id, wrapped FROM secret"
_GET = """
SELECT value, version, extract(epoch FROM clock_timestamp() - made)::float8,
       expires < least(ends, clock_timestamp() + ? * interval '1 second')
FROM shelf WHERE name = ? AND expires > clock_timestamp()
"""
_TOUCH = "UPDATE shelf SET expires = least(ends, clock_timestamp() + ? * interval '1 second') WHERE name = ?"
_SWEEP = "DELETE FROM shelf WHERE expires <= clock_timestamp()"
_ADD = """
INSERT INTO shelf (name, value, version, made, expires, ends)
VALUES (?, ?, 1, clock_timestamp(), clock_timestamp() + ? * interval '1 second',
        clock_timestamp() + ? * interval '1 second')
ON CONFLICT (name) DO NOTHING RETURNING version
"""
_CHANGE = """
UPDATE shelf SET value = ?, version = version + 1
WHERE name = ? AND version = ? AND expires > clock_timestamp() RETURNING version
"""
_TAKE = "DELETE FROM shelf WHERE name = ? RETURNING value, expires > clock_timestamp()"


class PostgresValues:
    """The values that the servers of a database share; see `Values`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def get(self, name: bytes, lasts_s: float = 0.0) -> Shelved | None:
        """As `Values.get`."""
        rows = self._registry.run(_GET, (lasts_s - _TOUCHED_EVERY_S, name))
        if not rows:
            return None
        ((value, version, age_s, is_stale),) = rows
        if is_stale and lasts_s > 0:
            self._registry.run(_TOUCH, (lasts_s, name))
        return Shelved(bytes(value), int(version), float(age_s))

    def put(self, name: bytes, value: bytes, version: int, lasts_s: float, longest_s: float) -> int:
        """As `Values.put`."""
        if version:
            rows = self._registry.run(_CHANGE, (value, name, version))
        else:
            self._registry.run(_SWEEP)
            rows = self._registry.run(_ADD, (name, value, min(lasts_s, longest_s), longest_s))
        return int(rows[0][0]) if rows else 0

    def take(self, name: bytes) -> bytes | None:
        """As `Values.take`."""
        rows = self._registry.run(_TAKE, (name,))
        return bytes(rows[0][0]) if rows and rows[0][1] else None

    def close(self) -> None:
        """Close the connection to the database."""
        self._registry.close()


class PostgresShelf(PostgresValues):
    """The shelf of a database; see `Shelf`. `key` wraps its secret, of which another key makes a new one."""

    def __init__(self, registry: Registry, key: KeyEncryptionKey) -> None:
        super().__init__(registry)
        self._vault = self._unlocked(key)

    @property
    def secret(self) -> bytes:
        """As `Shelf.secret`."""
        return self._vault.derived("shelf")

    def _unlocked(self, key: KeyEncryptionKey) -> Vault:
        made = Vault.new(key)
        self._registry.run(_KEEP_SECRET, (made.key_id, made.wrapped()))
        rows = self._registry.run(_SECRET)
        if not rows:  # another server has deleted the former one just now
            return self._unlocked(key)
        ((key_id, wrapped),) = rows
        try:
            return Vault.unlocked(key, key_id, wrapped)
        except WrongKey:  # the stores are under another key now
            self._registry.run("DELETE FROM secret WHERE key_id = ?", (key_id,))
            return self._unlocked(key)


_IMPLEMENTS: type[shelf.Shelf] = PostgresShelf
