"""Reads the address of a PostgreSQL server, and refuses one that is not safe."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from fr_core.errors import ConfigInvalid, message

_SCHEMES = ("postgresql://", "postgres://")
_SECRETS = {"password", "sslpassword", "oauth_client_secret"}
_SAFE_MODES = ("verify-ca", "verify-full")


def parameters_of(url: str) -> dict[str, Any]:
    """Return the parameters of an address of PostgreSQL, which need TLS unless it is a socket of this machine.

    Variables such as PGHOST count, too: libpq takes from them what the address leaves out.

    Raises `ConfigInvalid`: it is no such address, has a secret, names a service, or asks for less than TLS with a
    checked certificate.
    """
    try:
        parameters: dict[str, Any] = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except (psycopg.ProgrammingError, UnicodeEncodeError):  # which quote the address, and a password in it
        raise unreadable() from None
    if not url.startswith(_SCHEMES):
        raise unreadable()
    if parameters.keys() & _SECRETS:
        raise ConfigInvalid(message("error.storage.postgres_url_password"), key="storage.url")
    if "service" in parameters:
        raise ConfigInvalid(message("error.storage.postgres_url_service"), key="storage.url")
    found = _defaults() | parameters
    hosts = f"{found.get('host', '')},{found.get('hostaddr', '')}".split(",")
    if any(host and not host.startswith(("/", "@")) for host in hosts):
        if parameters.setdefault("sslmode", "verify-full") not in _SAFE_MODES:
            raise ConfigInvalid(message("error.storage.postgres_url_tls"), key="storage.url")
        parameters.setdefault("sslrootcert", "system")
    return parameters


def unreadable() -> ConfigInvalid:
    """Return the error of a text that is no address of PostgreSQL; it does not repeat the text."""
    return ConfigInvalid(message("error.storage.postgres_url_unreadable"), key="storage.url")


def _defaults() -> dict[str, str]:
    """Return what libpq takes from the environment, and from the service that this names, where nothing is given."""
    found = Conninfo.get_defaults()
    return {option.keyword.decode(): option.val.decode() for option in found if option.val is not None}


def kept_alive(timeout_s: float) -> dict[str, Any]:
    """Return the parameters of libpq that detect a dead network within about this time."""
    probe_s = max(1, round(timeout_s / 4))
    return {
        "connect_timeout": max(1, round(timeout_s)),
        "keepalives_idle": 2 * probe_s,
        "keepalives_interval": probe_s,
        "keepalives_count": 2,
        "tcp_user_timeout": round(timeout_s * 1000),
    }
