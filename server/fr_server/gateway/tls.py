"""Checks the gateway's TLS files, makes the TLS context, and explains failed handshakes."""

import ssl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cryptography import x509

from fr_core.errors import TlsUnusable, message
from fr_server.config import TlsConfig
from fr_server.gateway import pem
from fr_server.telemetry.trust import HandshakeFailure

ALPN = "h2"
# Record types of TLS begin with 20 to 23; the first record of a handshake has type 22 (RFC 8446, section 5.1).
HANDSHAKE_RECORD = 22


class ClientCertificates(StrEnum):
    """The policy for client certificates. If a client sends one, it must be valid, even if none is required."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of TLS, in PEM."""

    certificate: Path  # the server's certificate, then any intermediate certificates
    key: Path  # the key of the certificate, not encrypted, readable only by its owner
    client_certificates: ClientCertificates = ClientCertificates.OFF  # the policy for client certificates
    # Certificates of the authorities that sign client certificates; required unless these are off.
    client_ca: Path | None = None
    # Lists of revoked client certificates, one for each authority that signs them; None if none is revoked.
    revoked: Path | None = None


def tls_files(config: TlsConfig) -> TlsFiles | None:
    """Return the TLS files that a configuration names; None if connections are not encrypted."""
    if not config.certificate:
        return None
    ca, revoked = (Path(name).expanduser() if name else None for name in (config.client_ca, config.revoked))
    certificate, key = Path(config.certificate).expanduser(), Path(config.key).expanduser()
    return TlsFiles(certificate, key, ClientCertificates(config.client_certificates), ca, revoked)


def check_tls(files: TlsFiles, now_ms: int) -> None:
    """Require that a server can start with these files.

    Raises `TlsUnusable`, which names the file, if one is missing or invalid, a certificate has expired or is not valid
    yet, the key does not fit or is readable by others, the only client authority has expired, or a list of revoked
    certificates has expired or comes from no client authority.
    """
    chain = pem.read_certificates(files.certificate)
    for certificate in chain:
        pem.require_current(files.certificate, certificate, now_ms)
    pem.require_private(files.key)
    pem.require_fits(files.key, chain[0])
    if files.client_certificates is ClientCertificates.OFF:
        return
    if files.client_ca is None:
        raise TlsUnusable(message("error.server.client_certificates_required_but"), file="client_ca")
    authorities = pem.read_certificates(files.client_ca)
    if len(authorities) == 1:
        pem.require_current(files.client_ca, authorities[0], now_ms)
    revocations(files, now_ms)


def revocations(files: TlsFiles, now_ms: int) -> list[x509.CertificateRevocationList]:
    """Return the lists of revoked client certificates; raises `TlsUnusable` as `check_tls`."""
    if files.client_certificates is ClientCertificates.OFF or files.client_ca is None or files.revoked is None:
        return []
    return pem.read_revocations(files.revoked, pem.read_certificates(files.client_ca), now_ms)


def server_context(files: TlsFiles, now_ms: int) -> ssl.SSLContext:
    """Return the context for new connections: only TLS 1.3, only HTTP/2, and no resumed sessions.

    A client that resumes a session sends no certificate again, so a revoked certificate would continue to work. Raises
    `TlsUnusable` as `check_tls`, or if OpenSSL refuses a file.
    """
    check_tls(files, now_ms)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([ALPN])
    context.num_tickets = 0
    path = files.certificate
    try:
        # An empty password, because OpenSSL would otherwise ask for one on the terminal.
        context.load_cert_chain(files.certificate, files.key, password="")
        if files.client_certificates is not ClientCertificates.OFF and files.client_ca is not None:
            required = files.client_certificates is ClientCertificates.REQUIRED
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
            path = files.client_ca
            context.load_verify_locations(cafile=path)
            if files.revoked is not None:
                path = files.revoked
                context.load_verify_locations(cafile=path)
                context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise pem.unusable(path, message("error.server.cannot_loaded")) from error
    return context


# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_BY_VERIFY_CODE = {
    2: HandshakeFailure.UNKNOWN_AUTHORITY,  # unable to get issuer certificate
    3: HandshakeFailure.REVOCATION_UNKNOWN,  # unable to get CRL
    7: HandshakeFailure.UNKNOWN_AUTHORITY,  # the signature is not the authority's: one of the same name and another key
    9: HandshakeFailure.CERTIFICATE_NOT_YET_VALID,
    10: HandshakeFailure.CERTIFICATE_EXPIRED,
    11: HandshakeFailure.REVOCATION_UNKNOWN,  # CRL is not yet valid
    12: HandshakeFailure.REVOCATION_UNKNOWN,  # CRL has expired
    18: HandshakeFailure.UNKNOWN_AUTHORITY,  # self-signed
    19: HandshakeFailure.UNKNOWN_AUTHORITY,  # self-signed in chain
    20: HandshakeFailure.UNKNOWN_AUTHORITY,  # unable to get local issuer certificate
    21: HandshakeFailure.UNKNOWN_AUTHORITY,  # unable to verify the first certificate
    23: HandshakeFailure.CERTIFICATE_REVOKED,
}
# Names of OpenSSL's sslerr.h, as Python gives them.
_BY_REASON = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": HandshakeFailure.NO_CERTIFICATE,
    "UNSUPPORTED_PROTOCOL": HandshakeFailure.OLD_TLS,
    "VERSION_TOO_LOW": HandshakeFailure.OLD_TLS,
    "WRONG_VERSION_NUMBER": HandshakeFailure.NOT_TLS,
    "HTTP_REQUEST": HandshakeFailure.NOT_TLS,
    "TLSV1_ALERT_UNKNOWN_CA": HandshakeFailure.SERVER_NOT_TRUSTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": HandshakeFailure.SERVER_NOT_TRUSTED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": HandshakeFailure.SERVER_NOT_TRUSTED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": HandshakeFailure.SERVER_NOT_TRUSTED,
    "UNEXPECTED_EOF_WHILE_READING": HandshakeFailure.WENT_AWAY,
}


def explain(error: OSError) -> HandshakeFailure:
    """Return the reason for a failed handshake, from the server's `ssl` error."""
    if isinstance(error, TimeoutError):
        return HandshakeFailure.TIMED_OUT
    if isinstance(error, ssl.SSLCertVerificationError):
        return _BY_VERIFY_CODE.get(error.verify_code, HandshakeFailure.OTHER)
    if isinstance(error, ssl.SSLEOFError) or not isinstance(error, ssl.SSLError):
        return HandshakeFailure.WENT_AWAY
    return _BY_REASON.get(error.reason or "", HandshakeFailure.OTHER)
