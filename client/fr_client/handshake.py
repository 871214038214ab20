"""Finds out why there is no connection to a server: another handshake, with Python's `ssl`, shows what gRPC hides."""

import math
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import grpc

from fr_client.identity import TlsCredentials, certificates_of, host_and_port

_LOOK_S = 4.0  # for a whole look, unless the call had less
_LEAST_S = 0.25  # a shorter look that found nothing does not count for the next call
_KEPT_S = 2.0  # how long other calls of a client use the result of a look
_ALERT_S = 1.0  # in TLS 1.3 a server refuses a client's certificate after the handshake
# The preface of an HTTP/2 client, with an empty SETTINGS frame (RFC 9113, 3.4), and the type of that frame.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
_SETTINGS = 4
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h, which `ssl` lacks

_SOMEBODY_BETWEEN = "Do not continue: an attacker on the way may have put it there."
# X509_V_ERR_* of OpenSSL's x509_vfy.h -> the reason, and the sentences about a server's certificate.
_BY_VERIFY_CODE: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        9: (
            "SERVER_CERTIFICATE_NOT_YET_VALID",
            "is not valid yet. Do not continue: check the clocks of both machines, then ask the people who run the "
            "server.",
        ),
        10: (
            "SERVER_CERTIFICATE_EXPIRED",
            "has ended. Do not continue: check the clock here, then ask the people who run the server for a new one "
            "(`fr server renew`).",
        ),
        **dict.fromkeys(
            (62, 64),
            (
                "SERVER_NAME_MISMATCH",
                "is for other names. Do not continue: use a name in its certificate, or ask the people who run "
                "the server for a certificate with this one (`fr server renew`, with a --name for each).",
            ),
        ),
        **dict.fromkeys(
            (2, 7, 18, 19, 20, 21),
            (
                "SERVER_NOT_TRUSTED",
                f"is not from TRUSTED. {_SOMEBODY_BETWEEN} Ask the people who run the server for its connection "
                "file or its authority (ca.pem), by another way than this address.",
            ),
        ),
    }
)
# The same, if it is not the server's certificate that is out of date, but one of its authorities.
_OF_AUTHORITY: Mapping[int, str] = MappingProxyType(
    {
        9: "is from an authority that is not valid yet. Do not continue: check the clocks of both machines, then ask "
        "the people who run the server.",
        10: "is from an authority that has ended. Do not continue: check the clock here, then ask the people who run "
        "the server for its new authority (ca.pem) or connection file, by another way than this address. `fr server "
        "init` in another folder makes one; `fr server renew` makes none.",
    }
)
# OpenSSL checks these before the signatures.
_BEFORE_SIGNATURES = frozenset({9, 10, 62, 64})
# Alerts about a client's certificate, by their names in Python; for an expired revocation list, the alert is that the
# certificate has expired.
_REFUSES_CERTIFICATE = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "TLSV1_ALERT_UNKNOWN_CA",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV1_ALERT_DECRYPT_ERROR",
    }
)
# OpenSSL's names of input that is not TLS.
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})


class _Looked:
    """The result of the last look at an endpoint; only one thread looks at a time."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.at_s = -math.inf
        self.found: TlsFailure | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The server to call: `address` is HOST:PORT, or another target of gRPC; `tls` is None for no encryption."""

    address: str
    tls: grpc.ChannelCredentials | TlsCredentials | None = field(default=None, repr=False)
    looked: _Looked = field(default_factory=_Looked, init=False, repr=False, compare=False)

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """Why there is no connection: a stable reason such as "SERVER_NOT_TRUSTED", and a sentence with a remedy."""

    reason: str
    message: str


class _Place:
    def __init__(self, host: str, port: int, until_s: float) -> None:
        self.host = host
        self._port = port
        self._until_s = until_s
        self._addresses: list[Any] = []

    def left_s(self) -> float:
        """Return the seconds left, above 0; raises `TimeoutError` if there are none."""
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s

    def connected(self) -> socket.socket:
        """Return a connection to the address that accepted one before, else to the first that does; raises `OSError`.

        Each address gets a share of the time left, and the use of the connection the rest.
        """
        self._addresses = self._addresses or _addresses(self.host, self._port, self.left_s())
        failure = OSError()
        for tried, one in enumerate(self._addresses):
            family, kind, protocol, _, address = one
            try:
                with ExitStack() as held:
                    raw = held.enter_context(socket.socket(family, kind, protocol))
                    raw.settimeout(self.left_s() / (len(self._addresses) - tried))
                    raw.connect(address)
                    raw.settimeout(self.left_s())
                    held.pop_all()
            except OSError as error:  # such as that this system has no IPv6
                failure = error
            else:
                self._addresses = [one]
                return raw
        raise failure


def _addresses(host: str, port: int, within_s: float) -> list[Any]:
    """Return the result of `socket.getaddrinfo`, or raise its errors; raises `OSError` after the time.

    Nothing can interrupt it: it runs in a thread that does not delay the end of the program.
    """
    found: Future[list[Any]] = Future()

    def look_up() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:
            found.set_exception(error)

    threading.Thread(target=look_up, name="fr-look-up", daemon=True).start()
    return found.result(within_s)


def tls_failure(endpoint: Endpoint, within_s: float | None = None) -> TlsFailure | None:
    """Return the fault in the encryption of a connection that gRPC could not make; None if there is no fault.

    It makes connections, and sends nothing of a call: no key, and no photo. Calls that fail together look once. For
    credentials from elsewhere than `tls_credentials`, it finds out only whether the server speaks TLS. `within_s` are
    the seconds that the call had; the whole look, with the look-up of the name, takes no more, and 4 at most.
    """
    looked = endpoint.looked
    look_s = _LOOK_S if within_s is None else min(_LOOK_S, max(0.0, within_s))
    until_s = time.monotonic() + look_s
    if not looked.turn.acquire(timeout=look_s):
        return None
    try:
        if time.monotonic() - looked.at_s > _KEPT_S:
            looked.found = _look_at(endpoint, until_s)
            # A look that was too short is no answer for other calls, which may have more time.
            if looked.found is not None or look_s >= _LEAST_S:
                looked.at_s = time.monotonic()
        return looked.found
    finally:
        looked.turn.release()


def _look_at(endpoint: Endpoint, until_s: float) -> TlsFailure | None:
    try:
        named = host_and_port(endpoint.address)
        if named is None:
            return None
        place = _Place(*named, until_s)
        if endpoint.tls is None:
            return _tls_required(endpoint) if _speaks_tls(place) else None
        if isinstance(endpoint.tls, TlsCredentials):
            return _failed_handshake(endpoint, endpoint.tls, place)
        return _tls_not_offered(endpoint) if _speaks_plain_http2(place) else None
    except (OSError, ValueError):
        # Nothing answers in time, or the connection breaks, or the address is wrong: the call's own error says so.
        return None


def _failed_handshake(endpoint: Endpoint, tls: TlsCredentials, place: _Place) -> TlsFailure | None:
    """Return why the handshake fails; None if it does not. Raises `OSError` if nothing answers."""
    try:
        context = _context(tls)
    except (ssl.SSLError, ValueError):
        return TlsFailure(
            "CLIENT_CERTIFICATE_UNUSABLE",
            f"The certificates for {endpoint} cannot be used: check that each file is PEM, and that the client's "
            "certificate and its private key, which has no password, belong together.",
        )
    shaken = False
    with place.connected() as raw:
        raw.settimeout(place.left_s() / 2)  # the rest is for the steps after it
        try:
            with context.wrap_socket(raw, server_hostname=place.host) as secured:
                shaken = True
                secured.settimeout(min(_ALERT_S, place.left_s()))
                secured.recv(1)
                return None
        except ssl.SSLCertVerificationError as error:
            return _distrusted(endpoint, tls, error, context, place)
        except (ssl.SSLEOFError, ssl.SSLSyscallError, TimeoutError, ConnectionError):
            if shaken:
                return None  # else it is not TLS
        except ssl.SSLError as error:
            return _refused(endpoint, tls, error.reason or "")
    return _tls_not_offered(endpoint) if _speaks_plain_http2(place) else None


def _context(tls: TlsCredentials) -> ssl.SSLContext:
    """Return the context for the handshake of gRPC's channel; raises `OSError` and `ValueError` for unusable files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # as gRPC does
    if tls.authorities is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata="\n".join(certificates_of(tls.authorities)))
    if tls.certificate is not None:
        # An empty password: otherwise OpenSSL asks the terminal for one.
        context.load_cert_chain(tls.certificate, tls.key, password="")
    return context


def _distrusted(
    endpoint: Endpoint, tls: TlsCredentials, error: ssl.SSLCertVerificationError, context: ssl.SSLContext, place: _Place
) -> TlsFailure:
    """Return the failure for a certificate that the handshake rejected; may make one more handshake."""
    not_accepted = ("SERVER_NOT_TRUSTED", f"is not accepted ({error.verify_message}). {_SOMEBODY_BETWEEN}")
    reason, words = _BY_VERIFY_CODE.get(error.verify_code, not_accepted)
    if error.verify_code in _BEFORE_SIGNATURES:
        try:
            certificate = _trusted_certificate(context, place)
        except ssl.SSLCertVerificationError as untrusted:
            return _distrusted(endpoint, tls, untrusted, context, place)
        except OSError:
            reason, words = not_accepted  # its owner is unknown: do not give advice that trusts it
        else:
            if error.verify_code in _OF_AUTHORITY and _fault_of_authority(context, certificate):
                words = _OF_AUTHORITY[error.verify_code]
    words = words.replace("TRUSTED", tls.trusted)
    return TlsFailure(reason, f"A server answers at {endpoint}, but its certificate {words}")


def _trusted_certificate(context: ssl.SSLContext, place: _Place) -> Mapping[str, Any]:
    """Return the server's certificate from `ssl`, if all signatures up to the authority are right.

    With this context, names and times are no longer checked. Raises `ssl.SSLCertVerificationError` if a signature is
    wrong, and `OSError` if the handshake does not end.
    """
    context.check_hostname = False
    context.verify_flags |= _NO_CHECK_TIME
    with place.connected() as raw, context.wrap_socket(raw, server_hostname=place.host) as secured:
        return secured.getpeercert() or {}


def _fault_of_authority(context: ssl.SSLContext, certificate: Mapping[str, Any]) -> bool:
    """True if an authority of an outdated chain is at fault, and not the certificate alone.

    That is so if the certificate is current, or if none of the authorities that may have signed it is.
    """
    signers = [one for one in context.get_ca_certs() if one["subject"] == certificate["issuer"]]
    return _is_current(certificate) or (bool(signers) and not any(map(_is_current, signers)))


def _is_current(certificate: Mapping[str, Any]) -> bool:
    begins_s, ends_s = (ssl.cert_time_to_seconds(certificate[name]) for name in ("notBefore", "notAfter"))
    return begins_s <= time.time() <= ends_s


def _refused(endpoint: Endpoint, tls: TlsCredentials, found: str) -> TlsFailure:
    if found == "TLSV13_ALERT_CERTIFICATE_REQUIRED":
        return TlsFailure(
            "CLIENT_CERTIFICATE_MISSING",
            f"The server at {endpoint} asks for a client certificate. Give one (`tls_credentials`); the people who run "
            "the server make it (`fr server certificate create`).",
        )
    if found in _REFUSES_CERTIFICATE and tls.certificate is not None:
        return TlsFailure(
            "CLIENT_CERTIFICATE_REFUSED",
            f"The server at {endpoint} refused this client's certificate: it is revoked, has ended, or is from another "
            "authority, or the server's own list of revoked certificates has expired. Ask the people who run the "
            "server: its log says which.",
        )
    if found in _NOT_TLS:
        return _tls_not_offered(endpoint)
    return TlsFailure(
        "TLS_FAILED",
        f"The handshake of TLS with {endpoint} failed ({found}). Ask the people who run the server: its log says why.",
    )


def _tls_not_offered(endpoint: Endpoint) -> TlsFailure:
    return TlsFailure(
        "TLS_NOT_OFFERED",
        f"The server at {endpoint} speaks no TLS, and you asked for it. Check the address. Do not call it without TLS, "
        "except on your own machine: an attacker on the way could have put it there, and read your key.",
    )


def _tls_required(endpoint: Endpoint) -> TlsFailure:
    return TlsFailure(
        "TLS_REQUIRED",
        f"The server at {endpoint} speaks TLS, and you asked without. Give its connection file "
        "(`Client.from_connection`), or its authority (`tls_credentials`).",
    )


def _speaks_tls(place: _Place) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # sends nothing: it only checks for TLS
    context.set_alpn_protocols(["h2"])
    with place.connected() as raw:
        try:
            context.wrap_socket(raw, server_hostname=place.host).close()
        except ssl.SSLError as error:
            return "ALERT" in (error.reason or "")
    return True


def _speaks_plain_http2(place: _Place) -> bool:
    with place.connected() as raw:
        raw.sendall(_PREFACE)
        head = raw.recv(9)
    return len(head) == 9 and head[3] == _SETTINGS
