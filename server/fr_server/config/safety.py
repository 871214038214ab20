"""Refuses unsafe starts: a server beyond this machine that is not encrypted, or that does not authenticate callers."""

from __future__ import annotations

import ipaddress

from fr_core.errors import ConfigInvalid, PlaintextRefused
from fr_server.config import Config


def is_loopback(host: str) -> bool:
    """Return whether a host, as in the configuration, is reached from this very machine alone."""
    name = host.strip("[]").partition("%")[0].lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False  # another name may stand for any address
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def require_safe(config: Config) -> None:
    """Return where a server may be started with a configuration.

    Raises:
        PlaintextRefused: it would listen beyond this machine without TLS, or without asking who calls.
        ConfigInvalid: the settings of TLS, or of tokens, lack one another.
    """
    tls, access = config.tls, config.access
    if bool(tls.certificate) != bool(tls.key):
        raise ConfigInvalid("`tls.certificate` and `tls.key` come together.", key="tls.key")
    if tls.client_certificates != "off" and not (tls.certificate and tls.client_ca):
        raise ConfigInvalid(
            "`tls.client_certificates` needs `tls.certificate` and `tls.client_ca`.", key="tls.client_ca"
        )
    if tls.client_certificates == "off" and (tls.client_ca or tls.revoked):
        told = "`tls.client_ca` and `tls.revoked` are of use with `tls.client_certificates` alone."
        raise ConfigInvalid(told, key="tls.client_certificates")
    oidc = (access.oidc_issuer, access.oidc_audience, access.oidc_jwks)
    if any(oidc) and not all(oidc):
        told = "`access.oidc_issuer`, `access.oidc_audience` and `access.oidc_jwks` come together."
        raise ConfigInvalid(told, key="access.oidc_issuer")
    if is_loopback(config.server.host):
        return
    if not tls.certificate:
        told = f"The server would listen on {config.server.host} without encryption."
        raise PlaintextRefused(told, key="tls.certificate")
    if access.mode == "open":
        told = f"The server would listen on {config.server.host} and ask nobody who calls."
        raise PlaintextRefused(told, key="access.mode")
