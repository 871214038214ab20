"""All that deploy/ and its page name is real: commands, settings, files, users, libraries, and the unit of systemd."""

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from lock_file import read_lock

from fr_core import __version__
from fr_core.errors import KeyUnavailable
from fr_core.storage.keys import load_key, new_key_file
from fr_core.storage.postgres.address import parameters_of
from fr_server.config import KEYS, Config, load_config
from fr_server.config.indexes import milvus_of
from fr_server.health_check import health
from support.commands import BIN, REPOSITORY, blocks, page, require_understood

DEPLOY = REPOSITORY / "deploy"
CONTAINERS = page("docs/containers.md")
UNIT = (DEPLOY / "systemd/fr-core.service").read_text("utf-8")
USER, GROUP = 10001, 10001  # of the images, which no account of this machine has


def lines_of(text: str) -> list[str]:
    """The commands of a page, with continued lines joined."""
    return [line for block in blocks(text, "sh") for line in block.replace("\\\n", " ").splitlines() if line]


def test_what_runs_in_a_container_is_a_command_of_fr() -> None:
    before = re.compile(r"(?:run --rm server|run --rm .* fr-core\S*|/opt/fr-core/bin/fr|exec server fr) (.*)")
    inside = [found[1] for line in lines_of(CONTAINERS) if (found := before.search(line))]
    assert len(inside) == 9
    for words in inside:
        require_understood(f"fr {words}")
    started = [line for line in UNIT.splitlines() if line.startswith("ExecStart=")]
    require_understood(started[0].replace("ExecStart=/opt/fr-core/bin/", ""))


def test_files_and_settings_that_are_named_are_there() -> None:
    links = re.findall(r"\]\((\.\./deploy/[^)#]+)\)", CONTAINERS)
    paths = re.findall(r"(?:^| )(deploy/[\w./-]+)", CONTAINERS, re.MULTILINE)
    assert len(links) + len(paths) > 5
    assert all((REPOSITORY / path.removeprefix("../")).exists() for path in links + paths)
    table = page("deploy/README.md").split("\n## ")[0]
    named = {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    }
    assert len(named) == 12
    for name in named:
        assert (DEPLOY / name).exists() or (DEPLOY / "systemd" / name).exists(), name
    composed = re.findall(r"compose[a-z.]*\.yaml", CONTAINERS)
    assert {path.name for path in (DEPLOY / "compose").glob("*.yaml")} == set(composed)
    everything = [path.read_text("utf-8") for path in DEPLOY.rglob("*") if path.is_file()]
    variables = {name for text in [CONTAINERS, *everything] for name in re.findall(r"FR__[A-Z]+__[A-Z_]+", text)}
    settings = {name.removeprefix("FR__").lower().replace("__", ".") for name in variables} - {"section.key"}
    assert "gallery.key" in settings
    optional = {"web.host", "web.port"}  # of the HTTP interface, which the chart leaves off
    assert settings - optional <= KEYS.keys()


def test_the_group_that_may_read_the_key_is_that_of_the_image() -> None:
    assert f"chown root:{GROUP} data.key" in CONTAINERS
    for image in ("Dockerfile", "Dockerfile.gpu"):
        text = page(image)
        assert f"groupadd --gid {GROUP} fr " in text
        assert f"useradd --uid {USER} --gid fr " in text
        assert f"\nUSER {USER}\n" in text


def test_every_image_has_the_tag_of_its_version() -> None:
    """So that the image of the version before is still there to go back to; a chart's tag is its appVersion."""
    images = [
        re.findall(r"image: (\S+)", (DEPLOY / "compose" / name).read_text("utf-8"))
        for name in ("compose.yaml", "compose.gpu.yaml")
    ]
    assert images == [[f"fr-core:{__version__}"], [f"fr-core-gpu:{__version__}"]]
    named = re.findall(r"fr-core(?:-gpu)?:(\d\S*)", CONTAINERS + page("docs/gpu.md"))
    assert len(named) == 7
    assert set(named) == {__version__}
    chart = (DEPLOY / "helm/fr-core/Chart.yaml").read_text("utf-8")
    assert re.findall(r'(?m)^(?:v|appV)ersion: "?([^"\n]+)', chart) == [__version__] * 2
    bases = [re.findall(r"(?m)^ARG BASE=(.+)$", page(image)) for image in ("Dockerfile", "Dockerfile.gpu")]
    assert [base.partition(":")[2] for (base,) in bases] == ["trixie-slim", "24.04"]


def test_a_probe_that_runs_out_of_time_says_so_before_it_is_killed() -> None:
    limit_s = signature(health).parameters["limit_s"].default
    statefulset = (DEPLOY / "helm/fr-core/templates/statefulset.yaml").read_text("utf-8")
    given = re.findall(r"timeoutSeconds: (\d+)", statefulset)
    given += [re.findall(r"--timeout=(\d+)s", page(image))[0] for image in ("Dockerfile", "Dockerfile.gpu")]
    assert len(given) == 5
    assert min(map(float, given)) > limit_s


def test_three_servers_fit_their_balancer_and_their_database() -> None:
    read = yaml.safe_load((DEPLOY / "compose/compose.servers.yaml").read_text("utf-8"))
    services: dict[str, Any] = read["services"]
    servers = {name: one for name, one in services.items() if name.startswith("server-")}
    assert len(servers) == 3
    assert [one["environment"]["FR__SERVER__NAME"] for one in servers.values()] == [*servers]
    balanced = re.findall(r"(?m)^    server (\S+) (\S+):(\d+)$", (DEPLOY / "compose/haproxy.cfg").read_text("utf-8"))
    (of_web,) = {one["environment"]["FR__WEB__PORT"] for one in servers.values()}
    ports = ("50061", of_web)
    assert balanced == [(name, name, port) for port in ports for name in servers]
    assert services["balancer"]["ports"] == [f"{port}:{port}" for port in ports]
    given = {name: one["environment"]["FR__STORAGE__URL"] for name, one in servers.items()}
    assert parameters_of(given["server-1"])["host"] == "/run/postgresql"
    assert len(set(given.values())) == 1
    most = int(re.findall(r"max_connections=(\d+)", str(services["postgres"]["command"]))[0])
    assert most > len(servers) * 4 * (Config().storage.connections + 2) + 3
    assert int(read["x-server"]["stop_grace_period"].removesuffix("s")) > 2 * Config().server.drain_s


def test_milvus_is_for_one_server_on_its_own_loopback() -> None:
    read = yaml.safe_load((DEPLOY / "compose/compose.milvus.yaml").read_text("utf-8"))
    assert read["services"]["milvus"]["network_mode"] == "service:server"
    told = read["services"]["server"]["environment"]
    config = load_config(None, environ=told)
    found = milvus_of(config)
    assert found is not None
    assert found.uri == told["FR__MILVUS__URI"]
    assert milvus_of(load_config(None, environ={**told, "FR__STORAGE__URL": "postgresql:///faces"})) == found
    (version,) = re.findall(r"pymilvus==(\S+)", read["services"]["server"]["build"]["dockerfile_inline"])
    (locked,) = (pin.version for pin in read_lock(REPOSITORY / "requirements.lock") if pin.name == "pymilvus")
    assert version == locked


def test_milvus_of_several_servers_is_reached_with_tls() -> None:
    read = yaml.safe_load((DEPLOY / "compose/compose.servers.milvus.yaml").read_text("utf-8"))
    servers = yaml.safe_load((DEPLOY / "compose/compose.servers.yaml").read_text("utf-8"))["services"]
    alone = yaml.safe_load((DEPLOY / "compose/compose.milvus.yaml").read_text("utf-8"))
    assert {name for name in servers if name.startswith("server-")} == read["services"].keys() - {"milvus"}
    for name in read["services"].keys() - {"milvus"}:
        told = load_config(None, environ=read["services"][name]["environment"])
        assert (told.gallery.index, told.milvus.uri) == ("milvus", "https://milvus:19530")
        assert read["services"][name]["build"] == alone["services"]["server"]["build"]
        (certificate,) = read["services"][name]["configs"]
        assert certificate["target"] == told.milvus.ca
    milvus = read["services"]["milvus"]
    assert milvus["image"] == alone["services"]["milvus"]["image"]
    assert milvus["environment"]["TLS_SERVERPEMPATH"] == milvus["configs"][0]["target"]
    assert milvus["environment"]["TLS_SERVERKEYPATH"] == f"/run/secrets/{milvus['secrets'][0]}"
    # Else: "proxy server(http) and external grpc server share the same port, tls mode must be 0", listener_manager.go.
    assert milvus["environment"]["COMMON_SECURITY_TLSMODE"] == "1"
    assert milvus["environment"]["PROXY_HTTP_ENABLED"] == "false"


@pytest.mark.parametrize("name", ["compose.milvus.yaml", "compose.servers.milvus.yaml"])
def test_milvus_is_given_settings_that_it_has(name: str) -> None:
    read = yaml.safe_load((DEPLOY / "compose" / name).read_text("utf-8"))
    milvus, etcd = read["services"]["milvus"], yaml.safe_load(read["configs"]["milvus_etcd"]["content"])
    # Milvus takes the keys of its milvus.yaml in capitals, with _ for each dot; DEPLOY_MODE is no key.
    keys: tuple[str, ...] = (
        "etcd.use.embed",
        "etcd.data.dir",
        "etcd.config.path",
        "common.storageType",
        "common.security.tlsMode",
    )
    keys += ("tls.serverPemPath", "tls.serverKeyPath", "proxy.http.enabled")
    known = {key.replace(".", "_").upper() for key in keys} | {"DEPLOY_MODE"}
    assert milvus["environment"].keys() <= known
    assert all(isinstance(value, str) for value in milvus["environment"].values())  # YAML makes a bool of true
    given = {one["source"]: one["target"] for one in milvus["configs"]}
    assert given["milvus_etcd"] == milvus["environment"]["ETCD_CONFIG_PATH"]
    (volume,) = milvus["volumes"]
    assert milvus["environment"]["ETCD_DATA_DIR"].startswith(volume.partition(":")[2] + "/")
    # As scripts/standalone_embed.sh of Milvus has it, for this container alone.
    assert {key for key in etcd if "auto-compaction" in key} == {"auto-compaction-mode", "auto-compaction-retention"}
    assert etcd["listen-client-urls"] == etcd["advertise-client-urls"] == "http://127.0.0.1:2379"
    for source in given:
        assert source in read["configs"]


def test_running_calls_may_end_before_anybody_kills_the_server() -> None:
    ends_s = 2 * Config().server.drain_s  # of calls over HTTP, then of all
    grace = {
        "compose/compose.yaml": r"stop_grace_period: (\d+)s",
        "compose/compose.servers.yaml": r"x-server: .*\n(?:.*\n)*?  stop_grace_period: (\d+)s",
        "helm/fr-core/values.yaml": r"terminationGracePeriodSeconds: (\d+)",
        "systemd/fr-core.service": r"TimeoutStopSec=(\d+)s",
    }
    for name, pattern in grace.items():
        (found,) = re.findall(pattern, (DEPLOY / name).read_text("utf-8"))
        assert float(found) > ends_s, name
    runs = [line for line in lines_of(CONTAINERS + page("docs/gpu.md")) if "--publish 50061" in line]
    assert len(runs) == 2
    for line in runs:
        assert int(re.findall(r"--stop-timeout (\d+)", line)[0]) > ends_s
        assert {"--read-only", "--cap-drop ALL", "--security-opt no-new-privileges"} <= set(
            re.findall(r"--[a-z-]+(?: (?:ALL|no-\S+))?", line)
        )


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")


def analyze(tmp_path: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    unit = tmp_path / "fr-core.service"
    unit.write_text(text.replace("/opt/fr-core/bin/fr", str(BIN / "fr")), "utf-8")
    command = ["systemd-analyze", *words, str(unit)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    verified = analyze(tmp_path, UNIT, "verify")
    assert (verified.returncode, verified.stderr) == (0, "")
    assert "Unknown key" in analyze(tmp_path, UNIT.replace("NoNewPrivileges=", "NoNewPrivilege="), "verify").stderr


@needs_systemd
def test_the_unit_is_hardened(tmp_path: Path) -> None:
    most = ("security", "--offline=true", "--no-pager", "--threshold=15")  # 1.5 of 10; a unit without sandbox has 9.6
    assert analyze(tmp_path, UNIT, *most).returncode == 0
    assert (
        analyze(tmp_path, re.sub(r"(?m)^(Protect|Restrict|Private|System|Capab).*\n", "", UNIT), *most).returncode == 1
    )
    # The processes that decode photos give up capabilities and system calls (fr_core/imaging/confine.py).
    allowed = re.findall(r"^SystemCallFilter=(.*)$", UNIT, re.MULTILINE)
    assert "@sandbox" in allowed[0]
    assert allowed[-1] == "capset"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can enter; those of pytest are closed to them."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def as_user(user: int, group: int) -> Iterator[None]:
    os.setegid(group)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of root and be another user")
def test_secrets_that_root_hands_out_may_be_open_to_the_group(open_folder: Path) -> None:
    """As of systemd (an ACL, which shows as the group's right) and of Kubernetes (`fsGroup`)."""
    path = open_folder / "data.key"
    made = new_key_file(path)
    os.chown(path, 0, GROUP)
    for mode, accepted in {0o440: True, 0o640: True, 0o444: False, 0o460: False}.items():
        path.chmod(mode)
        with as_user(USER, GROUP):
            if accepted:
                assert load_key(f"file:{path}") == made
            else:
                with pytest.raises(KeyUnavailable):
                    load_key(f"file:{path}")
    path.chmod(0o440)
    with pytest.raises(KeyUnavailable):  # root's own process: the group is others
        load_key(f"file:{path}")
    os.chown(path, USER, GROUP)
    with as_user(USER, GROUP), pytest.raises(KeyUnavailable):  # the owner's own
        load_key(f"file:{path}")


# Of debian:trixie-slim with Python, beside the dynamic loader; no part of X11, OpenGL or a desktop.
BASE_LIBRARIES = {
    *(
        "libc.so.6",
        "libdl.so.2",
        "libgcc_s.so.1",
        "libm.so.6",
        "libmvec.so.1",
        "libpthread.so.0",
        "libresolv.so.2",
        "librt.so.1",
        "libstdc++.so.6",
    ),
    *("libutil.so.1", "libz.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"),
}


def shared_objects(lock: str) -> list[Path]:
    """Those of each installed distribution of a lock."""
    names = {pin.name for pin in read_lock(REPOSITORY / lock) if pin.applies()}
    found = [Path(str(file.locate())) for name in names for file in distribution(name).files or ()]
    return [path for path in found if ".so" in path.suffixes and path.is_file()]


Links = dict[Path, tuple[set[str], set[str]]]


def links_of(objects: list[Path]) -> Links:
    """The names that each of them has, and those of the libraries that it needs."""
    told = subprocess.run(["readelf", "-dW", *objects], capture_output=True, text=True, timeout=60, check=False).stdout
    found: Links = {path: ({path.name}, set()) for path in objects}
    path = objects[0]
    for line in told.splitlines():
        if line.startswith("File: "):
            path = Path(line.removeprefix("File: "))
        elif linked := re.search(r"\((NEEDED|SONAME)\).*\[(.+)\]", line):
            found[path][linked[1] == "NEEDED"].add(linked[2])
    return found


def missing(links: Links) -> set[str]:
    """The libraries that neither the base image nor these objects have."""
    own = {name for names, _ in links.values() for name in names}
    needed = {library for _, libraries in links.values() for library in libraries}
    assert len(needed) > 20
    return needed - own - BASE_LIBRARIES


def left_out() -> list[str]:
    """Return patterns of the files that the image for processors does without, below its site-packages."""
    text = (REPOSITORY / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    (found,) = re.findall(r"rm -r (onnx/.*)", text)
    return str(found).split()


def left_out_here(pattern: str) -> list[Path]:
    found = list(Path(sysconfig.get_path("platlib")).glob(pattern))
    assert found, pattern
    return found


@pytest.mark.skipif(shutil.which("readelf") is None, reason="there is no readelf")
def test_no_library_of_the_image_needs_a_desktop() -> None:
    links = links_of(shared_objects("requirements-cpu.lock"))
    assert {"cv2", "openvino", "faiss", "onnxruntime"} <= {path.relative_to(BIN.parent).parts[3] for path in links}
    # What the image leaves out is there, so that its build does not stop, and nothing of the rest is linked to it.
    removed = {path for pattern in left_out() for path in left_out_here(pattern)}
    kept = {path: names for path, names in links.items() if removed.isdisjoint([path, *path.parents])}
    assert len(links) - len(kept) == 13
    assert missing(kept) == set()
    assert missing(links) == {"libOpenCL.so.1"}  # of the plugin for Intel's GPUs, which is left out
    assert missing({path: names for path, names in kept.items() if "openblas" not in path.name}) != set()
