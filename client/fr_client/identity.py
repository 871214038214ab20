"""Opens channels with the caller's token and the certificates of TLS."""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from fr_files.reading import read_whole

_MAX_PEM_BYTES = 4 * 2**20  # the server's limit
_UNIX = ("unix:", "unix-abstract:")
# One address alone: gRPC takes several after "ipv4:", of which each could be of another machine.
_ADDRESS = re.compile(r"(?:ipv4:|ipv6:|dns:(?:///)?)?(\[[^\]]+\]|[^\[\]:/,]+)(?::([0-9]+))?")
_DEFAULT_PORT = 443  # gRPC Name Resolution, doc/naming.md
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True)
class TlsCredentials:
    """Credentials of a TLS channel, and their parts, which explain a failed handshake; gRPC shows neither."""

    channel: grpc.ChannelCredentials = field(repr=False)
    # The trusted authorities, PEM; None for those of the system.
    authorities: bytes | None = field(default=None, repr=False)
    # The name of these authorities for people, such as "the authority in ca.pem".
    trusted: str = "any authority that this system trusts"
    # File of the client's own certificate, PEM, if it has one; `key` is that of its private key.
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """The credentials that a client shows a server; its text shows no secret.

    `token` is an API key, "id.secret", or a token of the identity provider; "" for none. `tls` is that of the channel;
    None for no encryption. Raises `ValueError` if the token has characters that no token has.
    """

    token: str = field(default="", repr=False)
    tls: grpc.ChannelCredentials | TlsCredentials | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.token.isascii() or any(not c.isprintable() or c.isspace() for c in self.token):
            raise ValueError(
                "The key holds characters that no key has; it is one word, ID.SECRET. "
                "A connection file is for `Client.from_connection`, or `fr --connection`."
            )


def tls_credentials(
    ca: Path | bytes | None, certificate: Path | None = None, key: Path | None = None
) -> TlsCredentials:
    """Return the credentials of a TLS channel; if there is no connection, errors say what is wrong with them.

    `ca` has the trusted authorities, PEM, or is their file; None for those of the system. The client's own certificate
    and its private key, files in PEM, go together. Raises `OSError` if a file cannot be read, and `ValueError` if the
    authorities hold no certificate, or one of the two files is missing.
    """
    authorities = read_whole(ca, _MAX_PEM_BYTES) if isinstance(ca, Path) else ca
    if authorities is not None:
        certificates_of(authorities)
    if (certificate is None) != (key is None):
        raise ValueError("A client's certificate goes with its private key; give both or neither.")
    channel = grpc.ssl_channel_credentials(
        authorities,
        None if key is None else read_whole(key, _MAX_PEM_BYTES),
        None if certificate is None else read_whole(certificate, _MAX_PEM_BYTES),
    )
    if ca is None:
        return TlsCredentials(channel, certificate=certificate, key=key)
    trusted = f"the authority in {ca}" if isinstance(ca, Path) else "the authority that was given for this server"
    return TlsCredentials(channel, authorities, trusted, certificate, key)


def certificates_of(pem: bytes) -> list[str]:
    """Return the certificates of a text in PEM, without the text around them; raises `ValueError` for none."""
    found = _CERTIFICATE.findall(pem.replace(b"\r\n", b"\n"))
    if not found:
        raise ValueError("The given certificate is not in PEM.")
    return [one.decode("ascii") for one in found]


def host_and_port(target: str) -> tuple[str, int] | None:
    """Return the host, without brackets, and the port of an address, or gRPC's default port.

    None for a socket of this machine, and for several addresses.
    """
    found = None if target.startswith(_UNIX) else _ADDRESS.fullmatch(target)
    return None if found is None else (found[1].strip("[]"), int(found[2] or _DEFAULT_PORT))


def is_loopback(target: str) -> bool:
    """Return True if an address, or each of several after "ipv4:" or "ipv6:", is certainly this machine's own."""
    scheme, _, several = target.partition(":")
    if scheme in ("ipv4", "ipv6") and "," in several:
        return all(is_loopback(f"{scheme}:{one}") for one in several.split(","))
    if target.startswith(_UNIX):
        return True
    found = host_and_port(target)
    if found is None:
        return False
    host, _ = found
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host.lower() == "localhost"


def require_safe(target: str, identity: Identity) -> None:
    """Raise `ValueError` if a token would travel beyond this machine without encryption."""
    if identity.token and identity.tls is None and not is_loopback(target):
        raise ValueError("A key travels beyond this machine only over TLS; give the file of the server's authority.")


def open_channel(target: str, identity: Identity, options: Any) -> grpc.Channel:
    """Open a channel of the synchronous API; raises as `require_safe`."""
    require_safe(target, identity)
    credentials, token = _split(identity)
    if credentials is None:
        channel = grpc.insecure_channel(target, options)
    else:
        channel = grpc.secure_channel(target, credentials, options)
    return grpc.intercept_channel(channel, _Bearer(token)) if token else channel


def open_aio_channel(target: str, identity: Identity, options: Any) -> aio.Channel:
    """Open a channel of the asyncio API for calls with one answer; raises as `require_safe`."""
    require_safe(target, identity)
    credentials, token = _split(identity)
    bearers = [_AioBearer(token)] if token else []
    if credentials is None:
        return aio.insecure_channel(target, options, interceptors=bearers)
    return aio.secure_channel(target, credentials, options, interceptors=bearers)


def _split(identity: Identity) -> tuple[grpc.ChannelCredentials | None, str]:
    """Return the credentials of a channel, and the token that an interceptor adds to its calls.

    Call credentials add the token to credentials that the caller has made: gRPC does not send it over those that do not
    encrypt. They start a thread for each call, which takes a third of the time of a call of the client.
    """
    tls, token = identity.tls, identity.token
    if tls is None or isinstance(tls, TlsCredentials):
        return (None if tls is None else tls.channel), token
    return (grpc.composite_channel_credentials(tls, grpc.access_token_call_credentials(token)) if token else tls), ""


class _Bearer(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the token to each call of a channel."""

    def __init__(self, token: str) -> None:
        self._token = token

    def _send(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(details._replace(metadata=[*(details.metadata or ()), _header(self._token)]), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_unary = intercept_stream_stream = _send  # type: ignore[assignment]


class _AioBearer(aio.UnaryUnaryClientInterceptor):
    """As `_Bearer`, for the channel of asyncio, which has only calls with one answer."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        metadata = aio.Metadata(*(client_call_details.metadata or ()), _header(self._token))
        return await continuation(client_call_details._replace(metadata=metadata), request)


def _header(token: str) -> tuple[str, str]:
    return "authorization", f"Bearer {token}"
