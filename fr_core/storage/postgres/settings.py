"""Says which PostgreSQL servers are safe to use, and why another one is not."""

import logging
from contextlib import closing

from fr_core.errors import DatabaseUnusable, message
from fr_core.storage.driver_errors import driver_errors
from fr_core.storage.location import Postgres
from fr_core.storage.postgres.address import parameters_of
from fr_core.storage.postgres.link import Link

_log = logging.getLogger(__name__)

LEAST_VERSION = 15
"""The oldest major version that still gets fixes: https://www.postgresql.org/support/versioning."""

# Without one of these, a power cut takes acknowledged changes, or tears pages.
_SETTINGS = ("fsync", "full_page_writes", "synchronous_commit")
# Connections that a role without privileges may have to this database; NULL stands for no limit.
_ROOM = """
SELECT least(
    current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
        - coalesce(current_setting('reserved_connections', true)::bigint, 0),
    nullif(rolconnlimit, -1), nullif(datconnlimit, -1)
) FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()
"""
# Of an open store, beside those that read: one writes, and another looks at keys or cleans up.
_BESIDE = 2
_STATEMENT = (
    "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only'), current_setting('server_encoding'), "
    + ", ".join(f"current_setting('{name}')" for name in _SETTINGS)
)


def require_usable(server: Postgres, least_version: int = LEAST_VERSION) -> None:
    """Require that a server can be reached, is new enough, and keeps what it acknowledges.

    Raises:
        ConfigInvalid: its address cannot be read, or is not safe.
        DatabaseUnreachable: it does not answer, refuses the login, or does not speak TLS.
        DatabaseUnusable: it is too old, a standby or read-only, or set so that a power cut takes what it has
            acknowledged.
        StoreFailed: it fails meanwhile.
    """
    parameters_of(server.url)
    with driver_errors(), closing(Link(server, "public", first=True)) as link:
        found = link.version // 10_000
        ((is_standby, read_only, encoding, *values),) = link.run(_STATEMENT)
    if found < least_version:
        raise DatabaseUnusable(message("error.storage.postgres_too_old", found=found, least=least_version))
    if is_standby:
        raise DatabaseUnusable(message("error.storage.postgres_standby"))
    if read_only == "on":
        raise DatabaseUnusable(message("error.storage.postgres_read_only"))
    for name, value in zip(_SETTINGS, values, strict=True):
        if value == "off":
            raise DatabaseUnusable(message("error.storage.postgres_setting_off", setting=name), setting=name)
    if encoding != "UTF8":
        raise DatabaseUnusable(message("error.storage.postgres_encoding", found=encoding))


def require_room(server: Postgres, stores: int, shared: int) -> None:
    """Require that PostgreSQL allows the connections which open stores need, and warn where it allows fewer than they
    may use.

    `stores`: how many are open, each counted once for each process. `shared`: connections beside those of stores, which
    are always open. Raises `DatabaseUnreachable`, `DatabaseUnusable`, `StoreFailed`.
    """
    with driver_errors(), closing(Link(server, "public", reads=True, first=True)) as link:
        ((room,),) = link.run(_ROOM)
    least, most = stores * (1 + _BESIDE) + shared, stores * (server.connections + _BESIDE) + shared
    if room < least:
        raise DatabaseUnusable(message("error.storage.postgres_connections", room=room, least=least))
    if room < most:
        _log.warning(
            "PostgreSQL allows %d connections, and this server may use %d: raise max_connections, or lower "
            "storage.connections",
            room,
            most,
        )
