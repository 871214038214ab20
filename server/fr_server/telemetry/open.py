"""Opens the configured telemetry, and imports only the parts that are on."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fr_core.errors import ConfigInvalid, message
from fr_core.runtime.devices import ActiveDevice
from fr_files.scratch import scratch_folder
from fr_server.config import TelemetryConfig
from fr_server.telemetry.listener import Chore, FrontendEnd, Listener, Together
from fr_server.telemetry.shared import Shared
from fr_server.telemetry.trust import Trust

if TYPE_CHECKING:
    from fr_server.telemetry.exposition import MetricsServer
    from fr_server.telemetry.metrics import PrometheusObserver
    from fr_server.telemetry.tracing import TracingObserver

# prometheus_client reads it once, when it is imported: so nothing here may import that.
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Make an empty folder, and name it to this process and those that it starts; remove it at the end."""
    with scratch_folder() as folder:
        os.environ[_FOLDER] = str(folder)
        try:
            yield
        finally:
            del os.environ[_FOLDER]


def forget(pid: int) -> None:
    """Take what a process that has ended told of its present state out of the sums."""
    if _FOLDER in os.environ:
        from fr_server.telemetry.metrics import forget_process

        forget_process(pid)


@dataclass(frozen=True, slots=True, eq=False)
class Telemetry:
    """The open parts of telemetry; none by default. `trust` receives events of the gateway, access and the audit.

    `shared` receives those of servers that share a database.
    """

    listener: Listener = field(default_factory=Listener)
    metrics: PrometheusObserver | None = None
    metrics_server: MetricsServer | None = None
    tracing: TracingObserver | None = None
    trust: Trust = field(default_factory=Trust)
    shared: Shared = field(default_factory=Shared)

    def start(self) -> None:
        """Serve the metrics, if there are any; raises `AddressUnavailable`: the address is not available."""
        if self.metrics_server is not None:
            self.metrics_server.start()

    def running_on(self, device: ActiveDevice, pack: str) -> None:
        """Record the device that runs the models."""
        if self.metrics is not None:
            self.metrics.running_on(device, pack)

    def serving(self, healthy: bool) -> None:
        """Record the health status."""
        if self.metrics is not None:
            self.metrics.serving(healthy)

    def chore_failed(self, chore: Chore) -> None:
        """Count a failed chore, which will run again later."""
        if self.metrics is not None:
            self.metrics.chore_failed(chore)

    def frontend_replaced(self, why: FrontendEnd) -> None:
        """Count a replaced front-end process."""
        if self.metrics is not None:
            self.metrics.frontend_replaced(why)

    def close(self) -> None:
        """Send the last spans and stop serving the metrics; may be called twice, and without `start`."""
        if self.tracing is not None:
            self.tracing.close()
        if self.metrics_server is not None:
            self.metrics_server.close()


def require_telemetry(config: TelemetryConfig) -> None:
    """Raise `ConfigInvalid` for an unusable host or endpoint, or without the packages for tracing; opens nothing."""
    if config.metrics_port and not config.metrics_host:  # the socket library would listen on every interface
        raise ConfigInvalid(message("error.server.telemetry_metrics_host_empty"), key="telemetry.metrics_host")
    if config.tracing:
        _check_endpoint(config.tracing)
        _require_tracing()


def open_telemetry(config: TelemetryConfig, services: Collection[str], shares: bool = False) -> Telemetry:
    """Build the configured telemetry; serves nothing before `Telemetry.start`. Raises as `require_telemetry`.

    `services` are full names of the services whose methods get their own series. `shares`: the stores lie in a
    database, which other servers may share.
    """
    require_telemetry(config)
    tracing = _open_tracing(config.tracing) if config.tracing else None  # from here on a thread runs
    metrics, metrics_server = None, None
    if config.metrics_port:
        from fr_server.telemetry.exposition import MetricsServer
        from fr_server.telemetry.metrics import PrometheusObserver, exposed, methods_of

        metrics = PrometheusObserver(methods_of(services))
        metrics_server = MetricsServer(exposed(metrics.registry), config.metrics_host, config.metrics_port)
    trust, shared = Trust() if metrics is None else metrics.trust, Shared()
    if metrics is not None and shares:
        from fr_server.telemetry.shared_metrics import PrometheusShared

        shared = PrometheusShared(metrics.registry)
    return Telemetry(together(metrics, tracing), metrics, metrics_server, tracing, trust, shared)


def together(*listeners: Listener | None) -> Listener:
    """Combine the listeners that are not None into one."""
    there = [listener for listener in listeners if listener is not None]
    if len(there) > 1:
        return Together(there)
    return there[0] if there else Listener()


def _open_tracing(endpoint: str) -> TracingObserver:
    from fr_server.telemetry.tracing import TracingObserver, exporting

    return TracingObserver(exporting(endpoint))


def _require_tracing() -> None:
    try:
        import fr_server.telemetry.tracing  # noqa: F401 - only to test the import
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise ConfigInvalid(message("error.server.no_opentelemetry"), key="telemetry.tracing") from error


def _check_endpoint(endpoint: str) -> None:
    """Refuse endpoints that the exporter would misread: it drops paths, and reads a bare word as a host."""
    try:
        url = urlsplit(endpoint)
        good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        good = False
    if not good or url.path not in ("", "/") or url.query or url.username:
        raise ConfigInvalid(message("error.server.telemetry_tracing_address_receiver"), key="telemetry.tracing")
