"""Settings that cannot be: the start fails with a sentence that names the setting, before anybody listens."""

import re
import socket
from contextlib import closing
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from fr_client.cli.main import build as build_command
from fr_core.errors import AddressUnavailable, ConfigInvalid, FrError, StoreInUse
from fr_core.gallery.galleries import Galleries
from fr_core.packs.cache import ModelCache
from fr_server.checks import require_usable
from fr_server.config import Config, config_from, load_config
from fr_server.gateway.gateway import Gateway
from fr_server.main import build
from fr_server.storage.seal import unsealed
from fr_server.telemetry.exposition import MetricsServer
from support.commands import fr_ends
from support.counts import NIGHTLY
from support.secured import made


def line_of_the_command(folder: Path, setting: str) -> str:
    words = ("serve", "--port", 0, "--data", folder, "--set", "model.device=cpu", "--set", setting)
    *_, line = fr_ends(*words).splitlines()
    return line


def refusal(folder: Path, setting: str) -> str:
    with pytest.raises(FrError) as refused:
        build(load_config(None, ["model.device=cpu", setting], {"server.port": 0, "gallery.folder": str(folder)}))
    assert not folder.exists()
    return f"{refused.value.reason}: {refused.value.message}"


@pytest.mark.parametrize(
    "setting",
    [
        "model.detection=quick",
        "model.precision=int8",
        "model.lanes=-1",
        "model.threads=-1",
        "model.workers=-1",
        "batching.max_queued=0",
        'batching.detector_sizes=""',
        "batching.detector_sizes=2,4",
        "batching.embedder_sizes=0,1",
        "batching.embedder_sizes=-1",
    ],
)
def test_a_setting_out_of_range_is_named(tmp_path: Path, setting: str) -> None:
    told = refusal(tmp_path / "data", setting)
    assert told.startswith("CONFIG_INVALID: ")
    assert f"`{setting.partition('=')[0]}`" in told


@pytest.mark.models
@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("model.device=nope", "CONFIG_INVALID: 'nope' is not a device; the devices are auto, "),
        ("model.device=cuda:0,0", "CONFIG_INVALID: The device 'cuda:0,0' names a number twice."),
        ("model.precision=fp16", "CONFIG_INVALID: The device cpu has no fp16 (`model.precision`); it has f32."),
        ("model.pack=nope", "UNKNOWN_PACK: "),
    ],
)
def test_an_unusable_device_or_pack_is_named(
    tmp_path: Path, pack_cache: ModelCache, setting: str, sentence: str
) -> None:
    assert refusal(tmp_path / "data", setting).startswith(sentence)


@pytest.mark.models
def test_the_command_ends_with_that_sentence_and_status_1(tmp_path: Path, pack_cache: ModelCache) -> None:
    setting = "model.device=nope"
    assert line_of_the_command(tmp_path / "data", setting) == refusal(tmp_path / "data", setting)
    assert list(tmp_path.iterdir()) == []


def server_of(folder: Path, section: str, setting: str) -> Path:
    path = folder / "server.toml"
    port = 9464 if setting == "metrics_port = 9464" else 0
    named = {"server": f"port = {port}", "gallery": f'folder = "{folder / "data"}"'}
    named[section] = f"{named.get(section, '')}\n{setting}"
    path.write_text("\n".join(f"[{name}]\n{keys}\n" for name, keys in named.items()), "utf-8")
    return path


def checked(path: Path) -> tuple[int, str]:
    ended = CliRunner().invoke(build_command(), ["server", "config", "check", "--config", str(path)])
    return ended.exit_code, ended.output.removesuffix("\n")


@pytest.mark.parametrize(
    ("section", "setting", "reason"),
    [
        ("model", 'device = "gpu"', "CONFIG_INVALID"),
        ("model", 'device = "cpu"\nprecision = "fp16"', "CONFIG_INVALID"),
        ("batching", 'detector_sizes = "2,4"', "CONFIG_INVALID"),
        ("isolation", 'decoding = "process"\nmemory_mib = 64', "CONFIG_INVALID"),
        ("telemetry", 'tracing = "localhost:4317"', "CONFIG_INVALID"),
        ("telemetry", 'metrics_host = ""\nmetrics_port = 9464', "CONFIG_INVALID"),
        ("telemetry", "metrics_port = 9464", "CONFIG_INVALID"),  # which is the port of calls
        ("audit", 'checkpoint_folder = "/nonexistent/kept"', "CONFIG_INVALID"),
        ("access", 'oidc_issuer = "https://a.b"\noidc_audience = "c"\noidc_jwks = "/none/k"', "CONFIG_INVALID"),
        ("tls", 'certificate = "/nonexistent/c"\nkey = "/nonexistent/k"', "TLS_UNUSABLE"),
        ("gallery", 'key = "env:NOPE_KEY"', "KEY_UNAVAILABLE"),
        ("gallery", 'key = "file:/nonexistent/k"', "KEY_UNAVAILABLE"),
        ("gallery", 'key = "nowhere"', "KEY_UNAVAILABLE"),
        ("gallery", 'key = "command:sh -c \'x"', "KEY_UNAVAILABLE"),
        ("access", 'folder = "{file}"', "CONFIG_INVALID"),
        ("training", 'folder = "{file}/within"', "CONFIG_INVALID"),
        ("cases", 'folder = "{file}"', "CONFIG_INVALID"),
        ("cases", 'folder = "/proc/kept"', "CONFIG_INVALID"),
        ("evaluation", 'folder = "{file}"', "CONFIG_INVALID"),
        ("access", f'folder = "/{"k" * 5000}"', "CONFIG_INVALID"),
        ("audit", f'checkpoint_folder = "/{"k" * 5000}"', "CONFIG_INVALID"),
    ],
)
def test_check_config_and_a_start_say_the_same_and_make_nothing(
    tmp_path: Path, section: str, setting: str, reason: str
) -> None:
    path = server_of(tmp_path, section, setting.replace("{file}", str(tmp_path / "server.toml")))
    with pytest.raises(FrError) as refused:
        build(load_config(path))
    assert checked(path) == (1, f"{refused.value.reason}: {refused.value.message}")
    assert refused.value.reason == reason
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("section", ["server", "web"])
def test_a_taken_port_is_named_before_anything_is_loaded_or_made(tmp_path: Path, section: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {"server.port": 0, f"{section}.port": port, "gallery.folder": str(tmp_path / "data")}
        with pytest.raises(AddressUnavailable, match=rf":{port} \(`{section}\.host`, `{section}\.port`\)"):
            build(load_config(None, ["model.device=cpu"], settings))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_named_before_models_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FR_HOME", str(tmp_path / "home"))  # without a model pack
    settings = {"server.port": 0, "gallery.folder": str(tmp_path / "data")}
    with closing(Galleries.open(tmp_path / "data", index="numpy")), pytest.raises(StoreInUse) as refused:
        build(load_config(None, ["model.device=cpu"], settings))
    assert str(tmp_path / "data") in refused.value.message


@pytest.mark.parametrize("folder", ["/proc/kept", f"/{'k' * 5000}", "{link}"])
def test_a_folder_of_galleries_that_cannot_be_is_named(tmp_path: Path, folder: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FrError, match=r"`gallery\.folder` is not a writable folder: ") as refused:
        build(load_config(None, [], {"gallery.folder": folder.replace("{link}", str(link)), "server.port": 0}))
    assert refused.value.reason == "CONFIG_INVALID"


def test_a_key_beside_the_folder_is_looked_at_where_there_is_one(tmp_path: Path) -> None:
    path = server_of(tmp_path, "gallery", "")
    key = tmp_path / "data.key"
    key.write_text("no key\n")
    key.chmod(0o600)
    status, told = checked(path)
    assert (status, told.partition(": ")[0], str(key) in told) == (1, "KEY_UNAVAILABLE", True)


@pytest.mark.models
@pytest.mark.parametrize("setting", ["", 'key = "command:touch ran"'])
def test_check_config_passes_what_can_be_and_runs_no_command(
    tmp_path: Path, pack_cache: ModelCache, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = server_of(tmp_path, "gallery", setting)
    assert checked(path) == (0, f"Warning: {unsealed(path)}\nThe configuration is usable.")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.models
def test_check_config_warns_of_what_can_be_and_is_not_meant(tmp_path: Path, pack_cache: ModelCache) -> None:
    at = made(tmp_path / "srv")
    status, told = checked(at.path)
    assert status == 0
    assert re.fullmatch(
        rf"Warning: The authority's key is on this machine, at {at.folder}/ca\.key\. .*\n"
        r"The configuration is usable and its seal is intact\.",
        told,
    )


def test_an_opencv_that_cannot_be_loaded_is_told_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / ("cv2" + EXTENSION_SUFFIXES[0])
    broken.write_bytes(b"needs a library that is not there")
    (line,) = fr_ends("serve", "--print-config", PYTHONPATH=str(tmp_path)).splitlines()
    assert line.startswith(f"OpenCV cannot be loaded ({broken}: ")
    assert "pip install --force-reinstall --no-deps opencv-python-headless" in line


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
@pytest.mark.parametrize("metrics", HOSTS if NIGHTLY else HOSTS[::3])
def test_one_port_is_refused_where_the_two_could_not_listen(tmp_path: Path, calls: str, metrics: str) -> None:
    if (":" in calls + metrics or not calls) and not has_ipv6():
        pytest.skip("This machine has no IPv6.")
    port, clashes = clash(tmp_path, calls, metrics)
    if clashes:  # somebody else may have that port, but hardly twice
        port, clashes = clash(tmp_path, calls, metrics)
    assert refused(config_of(tmp_path, (calls, port), (metrics, port))) == clashes


@pytest.mark.parametrize(
    ("calls", "metrics", "clashes"),
    [
        (("faces.invalid", 9464), ("faces.invalid", 9464), True),  # nobody is asked for the name
        (("faces.invalid", 9464), ("127.0.0.1", 9464), False),
        (("127.0.0.1", 0), ("127.0.0.1", 0), False),
        (("127.0.0.1", 9464), ("127.0.0.1", 0), False),
        (("127.0.0.1", 0), ("127.0.0.1", 9464), False),
        (("127.0.0.1", 9464), ("127.0.0.1", 9465), False),
    ],
)
def test_one_address_clashes_and_any_free_port_does_not(
    tmp_path: Path, calls: tuple[str, int], metrics: tuple[str, int], clashes: bool
) -> None:
    assert refused(config_of(tmp_path, calls, metrics)) == clashes
