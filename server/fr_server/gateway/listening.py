"""Opens the port of a server: directly, or behind the gateway that encrypts."""

from __future__ import annotations

import logging
from contextlib import ExitStack

import grpc

from fr_core.errors import AddressUnavailable
from fr_core.scratch import scratch_folder
from fr_server.clock import wall_ms
from fr_server.config import Config
from fr_server.gateway.address import address_of
from fr_server.gateway.gateway import Gateway
from fr_server.gateway.pem import expires_ms, lapsing_list, revocations_expire_ms
from fr_server.gateway.tls import tls_files
from fr_server.telemetry.trust import Trust

log = logging.getLogger("fr_server")

_SOCKET = "s"


class Listening:
    """Listens for one gRPC server: `bind` before it starts, `open` after, `close` when it has stopped.

    With TLS, the server itself listens on a socket in a private folder, and the gateway listens in front of it.

    Args:
        reuse_port: True if other processes of the same server also listen on the port.
        listener: receives the gateway's events, if there is a gateway; None for no listener.
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

    def bind(self, server: grpc.aio.Server) -> None:
        """Let a server listen for connections from `open`; raises `AddressUnavailable`."""
        address = address_of(self._host, self.port) if self._gateway is None else f"unix:{self._gateway.backend}"
        try:
            bound = server.add_insecure_port(address)
        except RuntimeError as error:
            raise AddressUnavailable(f"The server cannot listen on {address}.", address=address) from error
        if self._gateway is None:
            self.port = bound

    def open(self) -> None:
        """Let clients connect; `port` is then the actual port.

        Raises:
            AddressUnavailable: the address is not available.
            TlsUnusable: a certificate or its key is unusable; the error names the file.
        """
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
