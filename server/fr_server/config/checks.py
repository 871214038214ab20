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
    """Return where settings, and the files and folders that they name, can be used, as far as no model tells.

    Nothing is made or written, no command is run, and no other machine is asked.

    Raises:
        ConfigInvalid: a setting, a folder, or a file of the keys of an issuer, cannot be used, or two settings name one
            address to listen on.
        KeyUnavailable: the key of the galleries cannot be read; a command is read, and not run.
        TlsUnusable: a certificate or its key cannot be used.
    """
    engine_options(config)
    open_decoder(config).close()  # no process is started before the first photo
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
    """Require that calls and metrics are not listened for at one address; raises `ConfigInvalid`."""
    calls, metrics = config.server, config.telemetry
    if not calls.port or calls.port != metrics.metrics_port:
        return
    if calls.host == metrics.metrics_host or any(
        _is_one(one, other)
        for one in _addresses(calls.host)
        for other in _addresses(metrics.metrics_host)[:1]  # the server of the metrics takes the first
    ):
        raise ConfigInvalid(
            f"`telemetry.metrics_port` is {calls.port}, as `server.port`, and the two would listen on one address "
            f"({metrics.metrics_host} and {calls.host or 'every address'}). Give the metrics another port.",
            key="telemetry.metrics_port",
        )


def _is_one(calls: Address, metrics: Address) -> bool:
    """Return whether two sockets of one port cannot listen at these addresses."""
    if metrics.version == 6 and metrics.is_unspecified:
        return True  # it takes IPv4 too, which the door's does not
    any_address = calls.is_unspecified or metrics.is_unspecified
    return calls == metrics or (any_address and calls.version == metrics.version)


def _addresses(host: str) -> list[Address]:
    """Return the addresses that a host stands for, as a start does; none where another machine would have to tell."""
    name = host.strip("[]")
    numeric = 0 if name.lower() == "localhost" else socket.AI_NUMERICHOST
    try:
        found = socket.getaddrinfo(name or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | numeric)
    except (OSError, ValueError):
        return []
    return [ipaddress.ip_address(address[0]) for _, _, _, _, address in found]
