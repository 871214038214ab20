"""Checks the certificate and the key of the HTTP interface, and makes the context of TLS."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from fr_client.cli.state import Unusable


def serving_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the context for new connections: only TLS 1.3, as the server.

    Raises `Unusable` (TLS_UNUSABLE), which names the file, if one is missing or invalid, the certificate has expired or
    is not valid yet, or the key does not fit or is readable by others.
    """
    _require_current(certificate)
    try:
        mode = key.stat().st_mode & 0o777
    except OSError as error:
        raise _unusable(key, f"cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise _unusable(key, f"holds a key that others can read (mode {mode:04o}): run `chmod 600` on it")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    try:
        # An empty password, because OpenSSL would otherwise ask for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise _unusable(key, f"is no key without a password that fits {certificate}") from error
    return context


def _require_current(certificate: Path) -> None:
    try:
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    except OSError as error:
        raise _unusable(certificate, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _unusable(certificate, "holds no certificate in PEM") from error
    now = datetime.now(UTC)
    for one in chain:
        if now > one.not_valid_after_utc:
            raise _unusable(certificate, f"expired on {one.not_valid_after_utc:%Y-%m-%d}: renew it")
        if now < one.not_valid_before_utc:
            raise _unusable(certificate, "is not valid yet: check this machine's clock")


def _unusable(path: Path, why: str) -> Unusable:
    return Unusable("TLS_UNUSABLE", f"{path} {why}.")
