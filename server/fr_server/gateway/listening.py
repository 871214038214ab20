"""Opens the port of a server, directly or behind the gateway that encrypts, with gRPC's own limits on connections."""

import logging
from contextlib import ExitStack

import grpc

from fr_files.scratch import scratch_folder
from fr_server.clock import wall_ms
from fr_server.config import Config
from fr_server.gateway.address import address_of, own_address_of, unavailable
from fr_server.gateway.gateway import Gateway
from fr_server.gateway.pem import expires_ms, lapsing_list, revocations_expire_ms
from fr_server.gateway.tls import tls_files
from fr_server.telemetry.trust import Trust

# Bit n stands for the algorithm of number n; that of 0 is none at all.
_NO_COMPRESSION = 1
_LARGEST = 2**31 - 1


def channel_limits(
    *,
    streams: int = 1024,
    metadata_bytes: int = 16_384,
    handshake_s: float = 5.0,
    idle_s: float = 0.0,
    age_s: float = 86_400.0,
) -> tuple[tuple[str, int], ...]:
    """Return options for `grpc.aio.server`, beside those of messages, pending calls and keepalive.

    The names are those of grpc's `include/grpc/impl/channel_arg_names.h`. gRPC says nothing of a name that it does not
    know and of a value that it does not take, so tests/fault/test_hostile_http2.py attacks a server with each of them,
    and without.

    Not limited here: the number of connections, which the gateway counts; and the size of a frame, which gRPC lets grow
    with the bandwidth that it measures, and refuses beyond that.

    Args:
        streams: calls of one connection in work or waiting, at least 1; a client holds back what is beyond, and is not
            told OVERLOADED for it.
        metadata_bytes: of all headers of a call, names included, at least 1; a call with more ends with
            RESOURCE_EXHAUSTED, of gRPC, which drops what is too much as it comes.
        handshake_s: seconds, above 0, for a new connection to say that it speaks HTTP/2.
        idle_s: seconds after which a connection without calls is closed; clients connect anew by themselves. 0 = never.
        age_s: seconds, give or take a tenth, after which a connection takes no new calls, so that a caller who keeps it
            for ever is asked for a certificate anew. Calls in work go on to their end. 0 = never.

    Raises `ValueError`: a value is none of these.
    """
    ends = {"grpc.max_connection_idle_ms": idle_s, "grpc.max_connection_age_ms": age_s}
    return (
        ("grpc.max_concurrent_streams", _within(streams)),
        # Both alike: between them gRPC would refuse calls at random.
        ("grpc.max_metadata_size", _within(metadata_bytes)),
        ("grpc.absolute_max_metadata_size", _within(metadata_bytes)),
        # What is compressed is refused unread, so that no small message becomes a large one.
        ("grpc.compression_enabled_algorithms_bitset", _NO_COMPRESSION),
        # No ping is one too many. gRPC would end the connection at the third, but still reads those behind it, and
        # makes its error longer with each: 100,000 of them, 1.7 MB, cost ten seconds of a processor (grpcio 1.85).
        # Answering them costs some hundredths, and a client that does not read the answers is not read any more.
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.server_handshake_timeout_ms", _within(handshake_s * 1000)),
        *((name, _within(after_s * 1000)) for name, after_s in ends.items() if after_s),
    )


def _within(value: float) -> int:
    whole = round(value)
    if not 1 <= whole <= _LARGEST:
        raise ValueError(f"A limit of gRPC is 1 to {_LARGEST}, not {whole}.")
    return whole


log = logging.getLogger("fr_server")

_SOCKET = "s"


class Listening:
    """Listens for one gRPC server: `bind` before it starts, `open` after, `close` when it has stopped.

    With TLS, the server itself listens on a socket in a private folder, and the gateway listens in front of it, and
    tells `listener` of its events. With `reuse_port`, other processes of the same server listen on the port too.
    """

    def __init__(self, config: Config, port: int, reuse_port: bool, listener: Trust | None = None) -> None:
        self.port = port
        self._host = config.server.host
        self._gateway: Gateway | None = None
        self._ends_ms: int | None = None
        self._revocations_end_ms: int | None = None
        self._files = files = tls_files(config.tls)
        with ExitStack() as made:
            if files is not None:
                backend = made.enter_context(scratch_folder()) / _SOCKET
                self._gateway = Gateway(self._host, port, reuse_port, backend, files, config.limits, listener)
            self._scratch = made.pop_all()

    @property
    def target(self) -> str:
        """Return where programs of this user on this machine reach the server without TLS, as gRPC names it."""
        return own_address_of(self._host, self.port) if self._gateway is None else f"unix:{self._gateway.backend}"

    def bind(self, server: grpc.aio.Server) -> None:
        """Let a server listen for connections from `open`; raises `AddressUnavailable`."""
        address = address_of(self._host, self.port) if self._gateway is None else f"unix:{self._gateway.backend}"
        try:
            bound = server.add_insecure_port(address)
        except RuntimeError as error:
            raise unavailable(address) from error
        if self._gateway is None:
            self.port = bound

    def open(self) -> None:
        """Let clients connect; `port` is then the actual port. Raises `AddressUnavailable`, `TlsUnusable`."""
        if self._gateway is not None:
            self._gateway.start()
            self.port = self._gateway.port
            self._learn_end()

    def reload(self) -> None:
        """Read the certificates and keys again; raises `TlsUnusable`, and new connections then use the old ones."""
        if self._gateway is not None:
            self._gateway.reload()
            self._learn_end()

    def tell(self, trust: Trust) -> None:
        """Report the expiry of the current certificate and of the list of revoked ones, if there are any."""
        if self._ends_ms is not None:
            trust.certificate_expires(self._ends_ms / 1000)
            trust.revocations_expire((self._revocations_end_ms or 0) / 1000)
        lapsing = lapsing_list(self._revocations_end_ms, wall_ms())
        if lapsing is not None:
            log.warning(lapsing)

    def _learn_end(self) -> None:
        if self._files is not None:
            self._ends_ms = expires_ms(self._files.certificate)
            revoked = self._files.revoked
            self._revocations_end_ms = None if revoked is None else revocations_expire_ms(revoked)

    def certificate_of(self, peer: str) -> str | None:
        """Return the sha256 of a connection's client certificate, by gRPC's name for the peer; None without one."""
        found = None if self._gateway is None else self._gateway.peer_of(peer)
        return None if found is None else found.certificate_sha256 or None

    def close(self, grace_s: float) -> None:
        """Close everything, connections after `grace_s` seconds; may be called twice."""
        if self._gateway is not None:
            self._gateway.stop(grace_s)
        self._scratch.close()
