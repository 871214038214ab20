"""Opens the telemetry that the configuration asks for; parts that are off are not imported."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fr_core.errors import ConfigInvalid
from fr_core.runtime.devices import ActiveDevice
from fr_server.config import TelemetryConfig
from fr_server.jobs.periodic import Chore
from fr_server.telemetry.listener import FrontendEnd, Listener, NullListener, Together
from fr_server.telemetry.trust import NullTrust, Trust

if TYPE_CHECKING:
    from fr_server.telemetry.exposition import MetricsServer
    from fr_server.telemetry.metrics import PrometheusObserver
    from fr_server.telemetry.storage import KeptStore, Lists
    from fr_server.telemetry.tracing import TracingObserver


@dataclass(frozen=True, slots=True, eq=False)
class Telemetry:
    """The open parts of telemetry; none by default.

    Attributes:
        listener: hears the engine and the calls.
        metrics: or None.
        metrics_server: or None.
        tracing: or None.
        trust: hears the door, access and the audit.
    """

    listener: Listener = field(default_factory=NullListener)
    metrics: PrometheusObserver | None = None
    metrics_server: MetricsServer | None = None
    tracing: TracingObserver | None = None
    trust: Trust = field(default_factory=NullTrust)

    def start(self) -> None:
        """Serve the metrics, where there are any.

        Raises:
            AddressUnavailable: the address cannot be listened on.
        """
        if self.metrics_server is not None:
            self.metrics_server.start()

    def running_on(self, device: ActiveDevice, pack: str) -> None:
        """Tell where the models run."""
        if self.metrics is not None:
            self.metrics.running_on(device, pack)

    def serving(self, healthy: bool) -> None:
        """Tell what health answers."""
        if self.metrics is not None:
            self.metrics.serving(healthy)

    def chore_failed(self, chore: Chore) -> None:
        """Tell that a chore failed, and is tried again later."""
        if self.metrics is not None:
            self.metrics.chore_failed(chore)

    def frontend_replaced(self, why: FrontendEnd) -> None:
        """Count a replaced front-end process."""
        if self.metrics is not None:
            self.metrics.frontend_replaced(why)

    def watch(self, stores: Mapping[str, KeptStore], galleries: Lists | None) -> None:
        """Have stores looked at whenever the metrics are scraped; once.

        Args:
            stores: by name, such as `galleries`, `training`, `access`, `cases`.
            galleries: are counted; None = they are not.
        """
        if self.metrics_server is not None:
            from fr_server.telemetry.storage import KeptCollector

            self.metrics_server.also(KeptCollector(stores, galleries))

    def close(self) -> None:
        """Send the last spans and stop serving the metrics; may be called twice, and without `start`."""
        if self.tracing is not None:
            self.tracing.close()
        if self.metrics_server is not None:
            self.metrics_server.close()


def require_telemetry(config: TelemetryConfig) -> None:
    """Require that a configuration can be told by; nothing is opened.

    Raises:
        ConfigInvalid: a host or an endpoint is none, or the packages that tracing needs are not installed.
    """
    if config.metrics_port and not config.metrics_host:  # the socket library would take it for every interface
        raise ConfigInvalid("`telemetry.metrics_host` is empty.", key="telemetry.metrics_host")
    if config.tracing:
        _check_endpoint(config.tracing)
        _require_tracing()


def open_telemetry(config: TelemetryConfig, services: Collection[str]) -> Telemetry:
    """Build what a configuration asks for; nothing is served before `Telemetry.start`.

    Args:
        config: the section `telemetry`.
        services: full names of the services whose methods are told apart.

    Raises:
        ConfigInvalid: as `require_telemetry`.
    """
    require_telemetry(config)
    tracing = _open_tracing(config.tracing) if config.tracing else None  # from here on a thread runs
    metrics, metrics_server = None, None
    if config.metrics_port:
        from fr_server.telemetry.exposition import MetricsServer
        from fr_server.telemetry.metrics import PrometheusObserver, exposed, methods_of

        metrics = PrometheusObserver(methods_of(services))
        metrics_server = MetricsServer(exposed(metrics.registry), config.metrics_host, config.metrics_port)
    trust = NullTrust() if metrics is None else metrics.trust
    return Telemetry(together(metrics, tracing), metrics, metrics_server, tracing, trust)


def together(*listeners: Listener | None) -> Listener:
    """Return one listener for those that there are."""
    there = [listener for listener in listeners if listener is not None]
    if len(there) > 1:
        return Together(there)
    return there[0] if there else NullListener()


def _open_tracing(endpoint: str) -> TracingObserver:
    from fr_server.telemetry.tracing import TracingObserver, exporting

    return TracingObserver(exporting(endpoint))


def _require_tracing() -> None:
    try:
        import fr_server.telemetry.tracing  # noqa: F401 - whether it can be
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise ConfigInvalid(
            "`telemetry.tracing` needs OpenTelemetry, which is not installed; in a clone of FR Core: "
            "pip install '.[tracing]'.",
            key="telemetry.tracing",
        ) from error


def _check_endpoint(endpoint: str) -> None:
    """Refuse what the exporter would read as something else: it drops paths, and takes a bare word as a host."""
    try:
        url = urlsplit(endpoint)
        good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        good = False
    if not good or url.path not in ("", "/") or url.query or url.username:
        raise ConfigInvalid(
            "`telemetry.tracing` is the address of a receiver of OTLP over gRPC, such as http://127.0.0.1:4317.",
            key="telemetry.tracing",
        )
