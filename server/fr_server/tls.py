"""From the configuration to the files of TLS, and the limits of connections."""

from __future__ import annotations

from pathlib import Path

from fr_server.config import Config
from fr_server.door.limits import DoorLimits
from fr_server.door.tls import ClientCertificates, TlsFiles


def tls_files(config: Config) -> TlsFiles | None:
    """Return the files of TLS that a configuration names; None where connections are not encrypted."""
    tls = config.tls
    if not tls.certificate:
        return None

    def path(text: str) -> Path:
        return Path(text).expanduser()

    return TlsFiles(
        path(tls.certificate),
        path(tls.key),
        ClientCertificates(tls.client_certificates),
        path(tls.client_ca) if tls.client_ca else None,
        path(tls.revoked) if tls.revoked else None,
    )


def door_limits(config: Config) -> DoorLimits:
    """Return the limits of connections."""
    limits = config.limits
    return DoorLimits(
        handshake_s=limits.handshake_s,
        idle_s=limits.idle_s,
        stall_s=limits.stall_s,
        connections=limits.connections,
        half_open=limits.connections,
        connections_per_address=limits.connections_per_address,
    )
