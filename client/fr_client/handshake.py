"""Why no connection to a server came about: one more handshake, by Python's `ssl`, tells what gRPC does not."""

from __future__ import annotations

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

# Reasons that this client gives itself for a connection that TLS, or its absence, keeps from being made.
SERVER_NOT_TRUSTED = "SERVER_NOT_TRUSTED"
SERVER_CERTIFICATE_EXPIRED = "SERVER_CERTIFICATE_EXPIRED"
SERVER_CERTIFICATE_NOT_YET_VALID = "SERVER_CERTIFICATE_NOT_YET_VALID"
SERVER_NAME_MISMATCH = "SERVER_NAME_MISMATCH"
CLIENT_CERTIFICATE_MISSING = "CLIENT_CERTIFICATE_MISSING"
CLIENT_CERTIFICATE_REFUSED = "CLIENT_CERTIFICATE_REFUSED"
CLIENT_CERTIFICATE_UNUSABLE = "CLIENT_CERTIFICATE_UNUSABLE"
TLS_FAILED = "TLS_FAILED"
TLS_NOT_OFFERED = "TLS_NOT_OFFERED"
TLS_REQUIRED = "TLS_REQUIRED"
TLS_REASONS = frozenset(
    {
        SERVER_NOT_TRUSTED,
        SERVER_CERTIFICATE_EXPIRED,
        SERVER_CERTIFICATE_NOT_YET_VALID,
        SERVER_NAME_MISMATCH,
        CLIENT_CERTIFICATE_MISSING,
        CLIENT_CERTIFICATE_REFUSED,
        CLIENT_CERTIFICATE_UNUSABLE,
        TLS_FAILED,
        TLS_NOT_OFFERED,
        TLS_REQUIRED,
    }
)

_LOOK_S = 4.0  # for all of a look, where the call itself had no less
_LEAST_S = 0.25  # a look that had less, and found nothing, is made again for the next
_KEPT_S = 2.0  # in which other calls of a client take what one has found
_ALERT_S = 1.0  # in TLS 1.3 a server that refuses a client's certificate says so after the handshake
# What an HTTP/2 client sends first, with a SETTINGS frame that sets nothing (RFC 9113, 3.4), and the type of the frame.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
_SETTINGS = 4
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h, which `ssl` lacks

_SOMEBODY_BETWEEN = "Do not go on: somebody between may have put it there."
# X509_V_ERR_* of OpenSSL's x509_vfy.h -> the reason, and the sentences for a server's certificate.
_BY_VERIFY_CODE: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        9: (
            SERVER_CERTIFICATE_NOT_YET_VALID,
            "is not valid yet. Do not go on: look at the clocks of both machines, then ask whoever runs it.",
        ),
        10: (
            SERVER_CERTIFICATE_EXPIRED,
            "has ended. Do not go on: look at the clock here, then ask whoever runs it for a new one "
            "(`fr server renew`).",
        ),
        **dict.fromkeys(
            (62, 64),
            (
                SERVER_NAME_MISMATCH,
                "is for other names. Do not go on: call it by a name that its certificate holds, or ask whoever runs "
                "it for a certificate with this one (`fr server renew`, with a --name for each).",
            ),
        ),
        **dict.fromkeys(
            (2, 7, 18, 19, 20, 21),
            (
                SERVER_NOT_TRUSTED,
                f"is not of TRUSTED. {_SOMEBODY_BETWEEN} Ask whoever runs the server for its connection file or "
                "its authority (ca.pem), by another way than this address.",
            ),
        ),
    }
)
# The same, where it is no certificate of the server that is out of its time, but one of those that vouch for it.
_OF_AUTHORITY: Mapping[int, str] = MappingProxyType(
    {
        9: "is of an authority that is not valid yet. Do not go on: look at the clocks of both machines, then ask "
        "whoever runs it.",
        10: "is of an authority that has ended. Do not go on: look at the clock here, then ask whoever runs the server "
        "for its new authority (ca.pem) or connection file, by another way than this address. `fr server init` in "
        "another folder makes one; `fr server renew` makes none.",
    }
)
# Names are looked at before the signatures of the chain, and the times of an authority before what it has signed.
_BEFORE_SIGNATURES = frozenset({9, 10, 62, 64})
# Alerts of a server that looked at a client's certificate, as Python names them; of a lapsed list of revocations it
# says that the certificate has expired.
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
# How OpenSSL calls what is no record of TLS.
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})


class _Looked:
    """What the last look at an endpoint has found; one looks at a time."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.at_s = -math.inf
        self.found: TlsFailure | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where calls go; its text is the address.

    Attributes:
        address: HOST:PORT, or another target of gRPC.
        tls: of the channel; None = no encryption.
        looked: what `tls_failure` remembers.
    """

    address: str
    tls: grpc.ChannelCredentials | TlsCredentials | None = field(default=None, repr=False)
    looked: _Looked = field(default_factory=_Looked, init=False, repr=False, compare=False)

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """What keeps a connection from being made.

    Attributes:
        reason: stable, for programs, such as "SERVER_NOT_TRUSTED".
        message: what was found and what to do, for people.
    """

    reason: str
    message: str


class _Place:
    """Where one look connects to, and until when: all that it does ends then."""

    def __init__(self, host: str, port: int, until_s: float) -> None:
        self.host = host
        self._port = port
        self._until_s = until_s
        self._addresses: list[Any] = []

    def left_s(self) -> float:
        """Return the seconds that are left, above 0; raises `TimeoutError` where there are none."""
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s

    def connected(self) -> socket.socket:
        """Return a connection to the address that took one before, else to the first that does; raises `OSError`.

        Each address has its part of the time that is left, and what is done with the connection has the rest.
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
    """Return what `socket.getaddrinfo` does; raises `OSError` also where it takes longer, and `ValueError`.

    Nothing can interrupt it: it is left to a thread that holds up no end of the program.
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
    """Return what is wrong with the encryption of a connection that gRPC could not make; None where nothing is.

    It makes connections, and sends nothing of a call: no key, and no photo. Calls that fail together look once. Of
    credentials that `tls_credentials` did not make it knows only whether the server speaks TLS at all.

    Args:
        endpoint: what was called.
        within_s: the seconds that the call had; the whole look takes no more, the look-up of the name included, and 4
            at most.
    """
    looked = endpoint.looked
    look_s = _LOOK_S if within_s is None else min(_LOOK_S, max(0.0, within_s))
    until_s = time.monotonic() + look_s
    if not looked.turn.acquire(timeout=look_s):
        return None
    try:
        if time.monotonic() - looked.at_s > _KEPT_S:
            looked.found = _look_at(endpoint, until_s)
            # What was not found for want of time is no answer for others, who may have more.
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
        # Nothing answers in time, or it breaks off, or the address is none: the words for that are those of the call.
        return None


def _failed_handshake(endpoint: Endpoint, tls: TlsCredentials, place: _Place) -> TlsFailure | None:
    """Return why the handshake fails; None where it does not. Raises `OSError` where nothing answers."""
    try:
        context = _context(tls)
    except (ssl.SSLError, ValueError):
        return TlsFailure(
            CLIENT_CERTIFICATE_UNUSABLE,
            f"The certificates for {endpoint} cannot be used: look whether each file is PEM, and whether the client's "
            "certificate and its private key, which has no password, belong together.",
        )
    with place.connected() as raw:
        raw.settimeout(place.left_s() / 2)  # the rest is for what may come after it
        try:
            with context.wrap_socket(raw, server_hostname=place.host) as secured:
                secured.settimeout(min(_ALERT_S, place.left_s()))
                return _refused_afterwards(endpoint, tls, secured)
        except ssl.SSLCertVerificationError as error:
            return _distrusted(endpoint, tls, error, context, place)
        except (ssl.SSLEOFError, ssl.SSLSyscallError, TimeoutError, ConnectionError):
            pass  # not a word of TLS
        except ssl.SSLError as error:
            return _refused(endpoint, tls, error.reason or "")
    return _tls_not_offered(endpoint) if _speaks_plain_http2(place) else None


def _refused_afterwards(endpoint: Endpoint, tls: TlsCredentials, secured: ssl.SSLSocket) -> TlsFailure | None:
    try:
        secured.recv(1)
    except (ssl.SSLEOFError, ssl.SSLSyscallError, TimeoutError, ConnectionError):
        return None
    except ssl.SSLError as error:
        return _refused(endpoint, tls, error.reason or "")
    return None


def _context(tls: TlsCredentials) -> ssl.SSLContext:
    """Return what makes the handshake of gRPC's channel; raises `OSError` and `ValueError` where it cannot."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # as gRPC does
    if tls.authorities is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata="\n".join(certificates_of(tls.authorities)))
    if tls.certificate is not None:
        # An empty password, for OpenSSL would ask the terminal for one.
        context.load_cert_chain(tls.certificate, tls.key, password="")
    return context


def _distrusted(
    endpoint: Endpoint,
    tls: TlsCredentials,
    error: ssl.SSLCertVerificationError,
    context: ssl.SSLContext,
    place: _Place,
) -> TlsFailure:
    """Return the failure for a certificate that the handshake did not accept; may shake hands once more."""
    not_accepted = (SERVER_NOT_TRUSTED, f"is not accepted ({error.verify_message}). {_SOMEBODY_BETWEEN}")
    reason, words = _BY_VERIFY_CODE.get(error.verify_code, not_accepted)
    if error.verify_code in _BEFORE_SIGNATURES:
        try:
            certificate = _trusted_certificate(context, place)
        except ssl.SSLCertVerificationError as untrusted:
            return _distrusted(endpoint, tls, untrusted, context, place)
        except OSError:
            reason, words = not_accepted  # whose it is was not found out: nobody is to be led on
        else:
            if error.verify_code in _OF_AUTHORITY and _fault_of_authority(context, certificate):
                words = _OF_AUTHORITY[error.verify_code]
    words = words.replace("TRUSTED", tls.trusted)
    return TlsFailure(reason, f"A server answers at {endpoint}, but its certificate {words}")


def _trusted_certificate(context: ssl.SSLContext, place: _Place) -> Mapping[str, Any]:
    """Return the server's certificate as `ssl` tells it, where all signatures up to the authority are right.

    Names and times are not looked at, then or later, with this context.

    Raises:
        ssl.SSLCertVerificationError: they are not.
        OSError: the handshake was not ended.
    """
    context.check_hostname = False
    context.verify_flags |= _NO_CHECK_TIME
    with place.connected() as raw, context.wrap_socket(raw, server_hostname=place.host) as secured:
        return secured.getpeercert() or {}


def _fault_of_authority(context: ssl.SSLContext, certificate: Mapping[str, Any]) -> bool:
    """Whether, of a chain that is out of its time, the fault is with an authority, and not with the certificate alone.

    That is so where the certificate is current, or none of the authorities that may have signed it is.
    """
    signers = [one for one in context.get_ca_certs() if one["subject"] == certificate["issuer"]]
    return _is_current(certificate) or (bool(signers) and not any(map(_is_current, signers)))


def _is_current(certificate: Mapping[str, Any]) -> bool:
    begins_s, ends_s = (ssl.cert_time_to_seconds(certificate[name]) for name in ("notBefore", "notAfter"))
    return begins_s <= time.time() <= ends_s


def _refused(endpoint: Endpoint, tls: TlsCredentials, found: str) -> TlsFailure:
    """Return the failure for an error of TLS that is no fault of the server's certificate, by OpenSSL's name of it."""
    if found == "TLSV13_ALERT_CERTIFICATE_REQUIRED":
        return TlsFailure(
            CLIENT_CERTIFICATE_MISSING,
            f"The server at {endpoint} asks for a client certificate. Give one with `fr --certificate FILE "
            "--certificate-key FILE`, or `tls_credentials`; whoever runs the server makes it "
            "(`fr server client-certificate`).",
        )
    if found in _REFUSES_CERTIFICATE and tls.certificate is not None:
        return TlsFailure(
            CLIENT_CERTIFICATE_REFUSED,
            f"The server at {endpoint} refused this client's certificate: it is revoked, has ended, or is of another "
            "authority, or the server's own list of revoked certificates has lapsed. Ask whoever runs the server, "
            "whose log says which.",
        )
    if found in _NOT_TLS:
        return _tls_not_offered(endpoint)
    return TlsFailure(
        TLS_FAILED,
        f"The handshake of TLS with {endpoint} failed ({found}). Ask whoever runs the server, whose log says why.",
    )


def _tls_not_offered(endpoint: Endpoint) -> TlsFailure:
    return TlsFailure(
        TLS_NOT_OFFERED,
        f"What answers at {endpoint} speaks no TLS, and you asked for it. Look for a slip in the address. Do not call "
        "it without TLS, except on your own machine: somebody between could have put it there, and read your key.",
    )


def _tls_required(endpoint: Endpoint) -> TlsFailure:
    return TlsFailure(
        TLS_REQUIRED,
        f"The server at {endpoint} speaks TLS, and you asked without. Give its connection file "
        "(`fr --connection FILE`), or its authority (`fr --ca FILE`, or `tls_credentials`).",
    )


def _speaks_tls(place: _Place) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent: only whether there is TLS is asked
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
