"""Refuses unsafe starts: a server beyond this machine that is not encrypted, or that does not authenticate callers."""

from __future__ import annotations

import ipaddress

from fr_core.errors import ConfigInvalid, PlaintextRefused
from fr_server.config import Config


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach a host from the configuration."""
    name = host.strip("[]").partition("%")[0].lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False  # another name may resolve to any address
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def require_safe(config: Config) -> None:
    """Require that a server may safely start with a configuration.

    Raises:
        PlaintextRefused: it would listen beyond this machine without TLS, or without authenticating callers.
        ConfigInvalid: the settings of TLS or of tokens are incomplete.
    """
    tls, access = config.tls, config.access
    if bool(tls.certificate) != bool(tls.key):
        raise ConfigInvalid("Set both `tls.certificate` and `tls.key`, or neither.", key="tls.key")
    if tls.client_certificates != "off" and not (tls.certificate and tls.client_ca):
        raise ConfigInvalid(
            "`tls.client_certificates` needs `tls.certificate` and `tls.client_ca`.", key="tls.client_ca"
        )
    if tls.client_certificates == "off" and (tls.client_ca or tls.revoked):
        told = "`tls.client_ca` and `tls.revoked` have no effect without `tls.client_certificates`."
        raise ConfigInvalid(told, key="tls.client_certificates")
    oidc = (access.oidc_issuer, access.oidc_audience, access.oidc_jwks)
    if any(oidc) and not all(oidc):
        told = "Set all of `access.oidc_issuer`, `access.oidc_audience` and `access.oidc_jwks`, or none."
        raise ConfigInvalid(told, key="access.oidc_issuer")
    if is_loopback(config.server.host):
        return
    if not tls.certificate:
        told = f"The server would listen on {config.server.host} without encryption."
        raise PlaintextRefused(told, key="tls.certificate")
    if access.mode == "open":
        told = f"The server would listen on {config.server.host} without authenticating callers."
        raise PlaintextRefused(told, key="access.mode")
