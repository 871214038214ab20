"""Serves metrics to Prometheus: a small HTTP server on its own port."""

import io
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from fr_core.errors import AddressUnavailable, message

log = logging.getLogger("fr_server.metrics")

# Time without traffic after which a connection is closed.
_IDLE_S = 5.0


class MetricsServer:
    """Serves the metrics of a registry as text, at every path, without encryption or login; port 0 is any free one.

    Anyone can send requests. For a request that fails, the log contains only the type of the error, at level DEBUG.
    """

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self.port = port
        self._registry = registry
        self._host = host
        self._running: tuple[WSGIServer, threading.Thread] | None = None

    def start(self) -> None:
        """Listen; `port` is then the actual port. Raises `AddressUnavailable`."""
        try:
            server = _Server(self._host.strip("[]"), self.port)
        except (OSError, OverflowError) as error:
            raise AddressUnavailable(
                message("error.server.metrics_cannot_served_port", host=self._host, port=self.port),
                address=f"{self._host}:{self.port}",
            ) from error
        server.set_app(_unbreakable(make_wsgi_app(self._registry)))
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        self._running = (server, thread)
        self.port = server.server_port

    def also(self, collector: Collector) -> None:
        """Also serve the metrics of a collector."""
        self._registry.register(collector)

    def close(self) -> None:
        """Stop listening; the port is free afterwards."""
        if self._running is not None:
            server, thread = self._running
            self._running = None
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(WSGIRequestHandler):
    timeout = _IDLE_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base
        """Log no request."""

    def get_stderr(self) -> io.StringIO:
        """Return a buffer for wsgiref's traces."""
        return io.StringIO()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """Uses one thread for each connection; none of them delays the shutdown."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind, without asking DNS for the name of the host."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log a connection that ended in an error."""
        log.debug("A connection for metrics ended in an error")


def _unbreakable(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return app(environ, start_response)
        except Exception as error:  # noqa: BLE001 - strange headers break the library; the caller gets no details
            log.debug("A request for metrics failed: %s", type(error).__name__)
            start_response("400 Bad Request", [("Content-Type", "text/plain")])
            return [b"The request cannot be answered.\n"]

    return answer
