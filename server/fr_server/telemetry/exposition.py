"""Where Prometheus scrapes: a small HTTP server on a port of its own, apart from the API's."""

from __future__ import annotations

import threading
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from fr_core.errors import AddressUnavailable


class MetricsServer:
    """Serves the metrics of a registry as text, at every path; it has no encryption and no login.

    Args:
        registry: what is served.
        host: address to listen on.
        port: to listen on; 0 for any free one.
    """

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self.port = port
        self._registry = registry
        self._host = host
        self._running: tuple[WSGIServer, threading.Thread] | None = None

    def start(self) -> None:
        """Listen; `port` is then the port that is listened on.

        Raises:
            AddressUnavailable: the address cannot be listened on.
        """
        try:
            self._running = start_http_server(self.port, self._host.strip("[]"), self._registry)
        except (OSError, OverflowError) as error:
            raise AddressUnavailable(
                f"Metrics cannot be served on {self._host} port {self.port}"
                f" (`telemetry.metrics_host`, `telemetry.metrics_port`).",
                address=f"{self._host}:{self.port}",
            ) from error
        self.port = self._running[0].server_port

    def close(self) -> None:
        """Stop listening; the port is free when this returns."""
        if self._running is not None:
            server, thread = self._running
            self._running = None
            server.shutdown()
            server.server_close()
            thread.join()
