"""Checks a configuration before a start opens or makes anything; `fr server check-config` runs the same checks."""

from __future__ import annotations

import ipaddress
import socket

from fr_core.errors import ConfigInvalid
from fr_server.authz.opening import require_issuer
from fr_server.clock import wall_ms
from fr_server.config import Config
from fr_server.config.folders import require_folders, require_key
from fr_server.engine import engine_options, open_decoder
from fr_server.gateway.tls import check_tls, tls_files
from fr_server.jobs.checkpoints import require_audit_folders
from fr_server.telemetry.open import require_telemetry

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def require_usable(config: Config) -> None:
    """Require usable settings, files and folders, as far as this can be checked without a model.

    It makes and writes nothing, runs no command and contacts no other machine.

    Raises:
        ConfigInvalid: a setting, a folder, or an issuer's key file is unusable, or two settings name the same address
            to listen on.
        KeyUnavailable: the gallery key is unreadable; a command is parsed, but not run.
        TlsUnusable: a certificate or its key is unusable.
    """
    engine_options(config)
    open_decoder(config).close()  # this starts no process: the first photo does
    require_telemetry(config.telemetry)
    _require_apart(config)
    require_folders(config)
    require_audit_folders(config)
    require_issuer(config.access)
    files = tls_files(config.tls)
    if files is not None:
        check_tls(files, wall_ms())
    require_key(config)


def _require_apart(config: Config) -> None:
    """Require different addresses for calls and metrics; raises `ConfigInvalid`."""
    calls, metrics = config.server, config.telemetry
    if not calls.port or calls.port != metrics.metrics_port:
        return
    if calls.host == metrics.metrics_host or any(
        _is_one(one, other)
        for one in _addresses(calls.host)
        for other in _addresses(metrics.metrics_host)[:1]  # the metrics server uses only the first
    ):
        raise ConfigInvalid(
            f"`telemetry.metrics_port` and `server.port` are both {calls.port}, and would use the same address "
            f"({metrics.metrics_host} and {calls.host or 'every address'}). Give the metrics another port.",
            key="telemetry.metrics_port",
        )


def _is_one(calls: Address, metrics: Address) -> bool:
    """Return True if two sockets with the same port cannot both listen on these addresses."""
    if metrics.version == 6 and metrics.is_unspecified:
        return True  # it also takes IPv4, unlike the gateway's socket
    any_address = calls.is_unspecified or metrics.is_unspecified
    return calls == metrics or (any_address and calls.version == metrics.version)


def _addresses(host: str) -> list[Address]:
    """Resolve a host as a start does; returns nothing if that needs another machine."""
    name = host.strip("[]")
    numeric = 0 if name.lower() == "localhost" else socket.AI_NUMERICHOST
    try:
        found = socket.getaddrinfo(name or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | numeric)
    except (OSError, ValueError):
        return []
    return [ipaddress.ip_address(address[0]) for _, _, _, _, address in found]
