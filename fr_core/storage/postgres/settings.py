"""Says which PostgreSQL servers are safe to use, and why another one is not."""

from contextlib import closing

from fr_core.errors import DatabaseUnusable, message
from fr_core.storage.driver_errors import driver_errors
from fr_core.storage.location import Postgres
from fr_core.storage.postgres.link import Link, parameters_of

LEAST_VERSION = 15
"""The oldest major version that still gets fixes: https://www.postgresql.org/support/versioning."""

# Without one of these, a power cut takes acknowledged changes, or tears pages.
_SETTINGS = ("fsync", "full_page_writes", "synchronous_commit")
_STATEMENT = "SELECT pg_is_in_recovery(), current_setting('server_encoding'), " + ", ".join(
    f"current_setting('{name}')" for name in _SETTINGS
)


def require_usable(server: Postgres, least_version: int = LEAST_VERSION) -> None:
    """Require that a server can be reached, is new enough, and keeps what it acknowledges.

    Raises:
        ConfigInvalid: its address cannot be read, or is not safe.
        DatabaseUnreachable: it does not answer, refuses the login, or does not speak TLS.
        DatabaseUnusable: it is too old, a standby, or set so that a power cut takes what it has acknowledged.
        StoreFailed: it fails meanwhile.
    """
    parameters_of(server.url)
    with driver_errors(), closing(Link(server, "public", reads=True, first=True)) as link:
        found = link.version // 10_000
        ((is_standby, encoding, *values),) = link.run(_STATEMENT)
    if found < least_version:
        raise DatabaseUnusable(message("error.storage.postgres_too_old", found=found, least=least_version))
    if is_standby:
        raise DatabaseUnusable(message("error.storage.postgres_standby"))
    for name, value in zip(_SETTINGS, values, strict=True):
        if value == "off":
            raise DatabaseUnusable(message("error.storage.postgres_setting_off", setting=name), setting=name)
    if encoding != "UTF8":
        raise DatabaseUnusable(message("error.storage.postgres_encoding", found=encoding))
