"""A port for calls and for metrics: what a check of the configuration refuses is what the two could not listen at."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from fr_client.cli.main import build as build_command
from fr_core.errors import AddressUnavailable, ConfigInvalid
from fr_server.checks import require_usable
from fr_server.config import Config, config_from, load_config
from fr_server.gateway.gateway import Gateway
from fr_server.main import build
from fr_server.telemetry.exposition import MetricsServer

HOSTS = ("127.0.0.1", "127.0.0.2", "0.0.0.0", "localhost", "::1", "[::1]", "::")


def config_of(folder: Path, calls: tuple[str, int], metrics: tuple[str, int]) -> Config:
    return config_from(
        {
            "server": {"host": calls[0], "port": calls[1]},
            "telemetry": {"metrics_host": metrics[0], "metrics_port": metrics[1]},
            "gallery": {"folder": str(folder / "data")},
        }
    )


def refused(config: Config) -> bool:
    try:
        require_usable(config)
    except ConfigInvalid as error:
        return error.metadata["key"] == "telemetry.metrics_port"
    return False


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def clash(folder: Path, calls: str, metrics: str) -> tuple[int, bool]:
    """The port of a gateway, and whether metrics can not be served there too."""
    gateway = Gateway(calls, 0, False, folder / "grpc", None)
    gateway.start()
    server = MetricsServer(CollectorRegistry(), metrics, gateway.port)
    try:
        server.start()
    except AddressUnavailable:
        return gateway.port, True
    else:
        return gateway.port, False
    finally:
        server.close()
        gateway.stop(0.0)


@pytest.mark.parametrize("calls", [*HOSTS, ""])
@pytest.mark.parametrize("metrics", HOSTS)
def test_one_port_is_refused_where_the_two_could_not_listen(tmp_path: Path, calls: str, metrics: str) -> None:
    if (":" in calls + metrics or not calls) and not has_ipv6():
        pytest.skip("This machine has no IPv6.")
    port, clashes = clash(tmp_path, calls, metrics)
    if clashes:  # somebody else may have that port, but hardly twice
        port, clashes = clash(tmp_path, calls, metrics)
    assert refused(config_of(tmp_path, (calls, port), (metrics, port))) == clashes


def test_a_name_of_both_is_one_address_though_nobody_is_asked_for_it(tmp_path: Path) -> None:
    assert refused(config_of(tmp_path, ("faces.invalid", 9464), ("faces.invalid", 9464)))
    assert not refused(config_of(tmp_path, ("faces.invalid", 9464), ("127.0.0.1", 9464)))


@pytest.mark.parametrize("ports", [(0, 0), (9464, 0), (0, 9464), (9464, 9465)])
def test_other_ports_and_any_free_one_are_no_clash(tmp_path: Path, ports: tuple[int, int]) -> None:
    assert not refused(config_of(tmp_path, ("127.0.0.1", ports[0]), ("127.0.0.1", ports[1])))


def test_check_config_and_a_start_say_it_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text(
        f'[server]\nport = 9464\n[telemetry]\nmetrics_port = 9464\n[gallery]\nfolder = "{tmp_path / "data"}"\n'
    )
    with pytest.raises(ConfigInvalid, match="Give the metrics another port") as refusal:
        build(load_config(path))
    ended = CliRunner().invoke(build_command(), ["server", "check-config", "--config", str(path)])
    assert (ended.exit_code, ended.output) == (1, f"CONFIG_INVALID: {refusal.value.message}\n")
    assert list(tmp_path.iterdir()) == [path], "nothing was made"
