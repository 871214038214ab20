"""What a server is not started with: a port that others reach without encryption, or one at which nobody is asked."""

from __future__ import annotations

import pytest

from fr_core.errors import ConfigInvalid, FrError, PlaintextRefused
from fr_server.config import config_from
from fr_server.config.loading import is_loopback, require_safe

TLS = {"certificate": "c.pem", "key": "k.pem"}
OIDC = {"oidc_issuer": "https://id.example", "oidc_audience": "fr", "oidc_jwks": "keys.json"}


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost", "LOCALHOST", "::ffff:127.0.0.1"]
)
def test_this_very_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "[::]", "192.168.1.5", "::ffff:10.0.0.1", "host", "", "127.0.0.1.evil.org"]
)
def test_what_others_reach_or_may_reach(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("server", "tls", "access"),
    [
        ({}, {}, {}),
        ({"host": "localhost"}, {}, {"mode": "open"}),
        ({"host": "0.0.0.0"}, TLS, {}),
        ({"host": "0.0.0.0"}, TLS, {"mode": "keys"}),
        ({}, {**TLS, "client_certificates": "required", "client_ca": "ca.pem"}, OIDC),
    ],
)
def test_what_is_safe(server: dict[str, str], tls: dict[str, str], access: dict[str, str]) -> None:
    require_safe(config_from({"server": server, "tls": tls, "access": access}))


@pytest.mark.parametrize(
    ("server", "tls", "access", "error", "key"),
    [
        ({"host": "0.0.0.0"}, {}, {}, PlaintextRefused, "tls.certificate"),
        ({"host": "example.org"}, {}, {"mode": "keys"}, PlaintextRefused, "tls.certificate"),
        ({"host": "0.0.0.0"}, TLS, {"mode": "open"}, PlaintextRefused, "access.mode"),
        ({}, {"certificate": "c.pem"}, {}, ConfigInvalid, "tls.key"),
        ({}, {"key": "k.pem"}, {}, ConfigInvalid, "tls.key"),
        ({}, {**TLS, "client_certificates": "required"}, {}, ConfigInvalid, "tls.client_ca"),
        ({}, {"client_certificates": "optional", "client_ca": "ca.pem"}, {}, ConfigInvalid, "tls.client_ca"),
        ({}, {**TLS, "client_ca": "ca.pem"}, {}, ConfigInvalid, "tls.client_certificates"),
        ({}, {**TLS, "revoked": "crl.pem"}, {}, ConfigInvalid, "tls.client_certificates"),
        ({}, {}, {"oidc_issuer": "https://id.example"}, ConfigInvalid, "access.oidc_issuer"),
        ({}, {}, {**OIDC, "oidc_audience": ""}, ConfigInvalid, "access.oidc_issuer"),
    ],
)
def test_what_is_not(
    server: dict[str, str], tls: dict[str, str], access: dict[str, str], error: type[FrError], key: str
) -> None:
    with pytest.raises(error) as refused:
        require_safe(config_from({"server": server, "tls": tls, "access": access}))
    assert refused.value.metadata["key"] == key
