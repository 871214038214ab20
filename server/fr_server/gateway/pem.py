"""Reads and checks PEM files of certificates, keys and lists of revoked certificates.

Every function that takes a path raises `TlsUnusable`, which names the file and says what is wrong with it.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fr_core.errors import TlsUnusable, message
from fr_core.storage.durable import cause
from fr_files.reading import open_to_others, read_at_most
from fr_locales.messages import Message

# A bundle of all public authorities has about 250 kB. The limit prevents reading a large file named by mistake.
_MAX_BYTES = 4 * 2**20
# Base64 has no hyphen, so a list without an end is not scanned again from the next one.
_LIST = re.compile(rb"-----BEGIN X509 CRL-----[^-]*+-----END X509 CRL-----")
_SIGNERS = (RSAPublicKey, EllipticCurvePublicKey, Ed25519PublicKey, Ed448PublicKey)

Read = TypeVar("Read")


def unusable(path: Path, what: Message) -> TlsUnusable:
    """Return the error about an unusable file."""
    return TlsUnusable(message("error.tls.file", path=path, what=what), file=str(path))


def moment(at_ms: int) -> datetime:
    """Return milliseconds since 1970 as a time of UTC, in whole seconds, which is what certificates hold."""
    return datetime.fromtimestamp(at_ms // 1000, UTC)


def milliseconds(at: datetime) -> int:
    """Return a time as milliseconds since 1970."""
    return int(at.timestamp()) * 1000


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Return the certificates in a file, in order; at least one."""
    return _parsed(path, x509.load_pem_x509_certificates, message("error.tls.no_certificate"))


def read_key(path: Path) -> PrivateKeyTypes:
    """Return the private key of a file."""
    return _parsed(path, lambda pem: load_pem_private_key(pem, None), message("error.tls.no_private_key"))


def read_revocations(
    path: Path, authorities: Sequence[x509.Certificate], now_ms: int | None = None
) -> list[x509.CertificateRevocationList]:
    """Return the lists of revoked certificates in a file, at least one, each signed by one of the authorities.

    `now_ms` is in milliseconds since 1970, UTC; None to accept expired lists.
    """
    found = _lists(path)
    for one in found:
        if not any(_signed(one, authority) for authority in authorities):
            raise unusable(path, message("error.server.holds_list_revoked_certificates"))
        if now_ms is not None and one.next_update_utc is not None and one.next_update_utc <= moment(now_ms):
            since = f"{one.next_update_utc:%Y-%m-%d %H:%M} UTC"
            raise unusable(path, message("error.server.holds_list_revoked_certificates_expired", since=since))
    return found


def expires_ms(path: Path) -> int:
    """Return the expiry of the first certificate in a PEM file, in milliseconds since 1970, UTC."""
    return milliseconds(read_certificates(path)[0].not_valid_after_utc)


def revocations_expire_ms(path: Path) -> int | None:
    """Return the earliest expiry of the lists of revoked certificates in a file, in milliseconds since 1970, UTC.

    From then on, all certificates of the list's authority are refused. None if no list expires.
    """
    ends = [one.next_update_utc for one in _lists(path)]
    return min((milliseconds(end) for end in ends if end is not None), default=None)


def names_of(path: Path) -> list[str]:
    """Return the DNS names and IP addresses of a server's certificate, in its order."""
    try:
        extension = read_certificates(path)[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(one.value) for one in extension.value if isinstance(one, x509.DNSName | x509.IPAddress)]


def require_current(path: Path, certificate: x509.Certificate, now_ms: int) -> None:
    """Require that a certificate is valid now."""
    now = moment(now_ms)
    if now > certificate.not_valid_after_utc:
        raise unusable(path, message("error.server.holds_certificate_expired"))
    if now < certificate.not_valid_before_utc:
        raise unusable(path, message("error.server.holds_certificate_not_valid"))


def require_private(path: Path) -> None:
    """Require that only its owner may read a file; as `open_to_others`."""
    try:
        found = path.stat()
    except OSError as error:
        raise unusable(path, message("error.server.cannot_read", cause=cause(error))) from error
    if open_to_others(found):
        raise unusable(path, message("error.server.holds_key_open_others", mode=found.st_mode & 0o777))
    if found.st_nlink > 1:
        raise unusable(path, message("error.server.holds_key_second_name"))


def require_fits(path: Path, certificate: x509.Certificate) -> None:
    """Require that a key file holds the key of a certificate."""
    key = read_key(path)
    if key.public_key() != certificate.public_key():
        raise unusable(path, message("error.server.holds_key_not_certificate"))


def _lists(path: Path) -> list[x509.CertificateRevocationList]:
    found = _parsed(
        path, lambda pem: [x509.load_pem_x509_crl(one) for one in _LIST.findall(pem)], message("error.tls.no_list")
    )
    if not found:
        raise unusable(path, message("error.server.holds_no_list_revoked"))
    return found


def _parsed(path: Path, parse: Callable[[bytes], Read], otherwise: Message) -> Read:
    try:
        pem = read_at_most(path, _MAX_BYTES)
    except OSError as error:
        raise unusable(path, message("error.server.cannot_read", cause=cause(error))) from error
    if len(pem) > _MAX_BYTES:
        raise unusable(path, message("error.server.more_bytes", most=_MAX_BYTES))
    try:
        return parse(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: a key that is encrypted
        raise unusable(path, otherwise) from error


def _signed(one: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    public = authority.public_key()
    return one.issuer == authority.subject and isinstance(public, _SIGNERS) and one.is_signature_valid(public)


_DAY_MS = 86_400_000


# A list is valid for 30 days: a week leaves time to renew it, without warning most of the time.
_NEAR_MS = 7 * _DAY_MS


def lapsing_list(expires_ms: int | None, now_ms: int) -> str | None:
    """Return a warning if a list of revoked certificates expires within 7 days; None = it never expires."""
    if expires_ms is None or expires_ms - now_ms >= _NEAR_MS:
        return None
    end = datetime.fromtimestamp(expires_ms / 1000, UTC)
    return (
        f"The list of revoked certificates expires on {end:%Y-%m-%d %H:%M} UTC; then the server refuses all client "
        "certificates. Renew it with `fr server certificate revoke --renew`, and send the server SIGHUP."
    )
