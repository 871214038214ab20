"""fr-client and fr-core, built and installed: from a clone, from a folder of files, at the lowest versions."""

import csv
import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from email.policy import default
from pathlib import Path
from tempfile import mkdtemp

import pytest
from lock_file import read_lock
from packaging.requirements import Requirement

from fr_client import Connection
from fr_trust.access.principal import Role
from fr_trust.audit.export import export
from support.audits import Audited
from support.cases import SIGNER, filed
from support.commands import BIN, REPOSITORY
from support.secured import fill, made, started_secured
from support.servers import photo

CLIENT = REPOSITORY / "client"
SERVER_ALONE = ("cv2", "faiss", "onnxruntime", "openvino", "apsw")
SERVER_PACKAGES = ("numpy", "PIL", "cryptography", "pydantic", *SERVER_ALONE)
OURS = (
    *("fr_bench", "fr_core", "fr_datasets", "fr_evaluation", "fr_locales", "fr_server"),
    *("fr_training", "fr_trust", "fr_video", "fr_web"),
)
MOST_BYTES = 45_000_000

pytestmark = [pytest.mark.network, pytest.mark.slow]

# Imports every module of the client, then calls a server through both clients: one answer, streams, and a refusal.
TOUR = """
import asyncio, importlib, pkgutil, sys
from importlib.metadata import version
from pathlib import Path
import fr_api, fr_client, fr_command, fr_files
from fr_client import AsyncClient, Client, EnrolItem, FrApiError, SearchItem

from importlib.util import find_spec
extras = {name for name in ("numpy", "PIL", "typer", "rich") if find_spec(name) is None}
for package in (fr_api, fr_client, fr_command, fr_files):
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            assert error.name in extras, error
place, *photos = sys.argv[1:]
purpose = {"purpose": "testing", "case_reference": "first try"}
with Client.from_connection(place) as client:
    stored = dict(client.enrol_many("staff", [EnrolItem("s1", Path(one), one) for one in photos]))
    assert all(one.template_id for one in stored.values())
    (result,) = client.search("staff", Path(photos[0]), **purpose).results
    assert result.candidates[0].subject_id == "s1"
    assert [one.gallery_id for one in client.list_galleries()] == ["staff"]
    try:
        client.get_gallery("none")
    except FrApiError as error:
        assert error.reason == "UNKNOWN_GALLERY", error.reason

async def tour():
    async with AsyncClient.from_connection(place) as client:
        assert (await client.access.who_am_i()).principal_id
        probes = [SearchItem(Path(one), item_id=one, **purpose) for one in photos]
        found = [answer async for _, answer in client.search_many("staff", probes)]
        assert [one.results[0].candidates[0].subject_id for one in found] == ["s1", "s1"]

asyncio.run(tour())
print(version("grpcio"), version("protobuf"))
"""


def run(*command: str | Path, folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(folder: Path, source: Path) -> Path:
    """Return the wheel that pip builds of a folder or of a source distribution."""
    target = Path(mkdtemp(prefix="wheel-", dir=folder))
    command = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", target)
    run(*command, source)
    (wheel,) = target.iterdir()
    return wheel


def installed(folder: Path, *what: str | Path) -> Path:
    """Return the programs of a new environment, into which pip has installed something and the versions of the lock."""
    venv.create(folder)  # without a pip of its own, which takes longer to install than the client
    # Without the hashes, which a folder to install does not have.
    pins = [f"{pin.name}=={pin.version}\n" for pin in read_lock(REPOSITORY / "requirements.lock") if pin.applies()]
    (folder / "constraints.txt").write_text("".join(pins))
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet")
    run(*pip, "--constraint", folder / "constraints.txt", *what)
    return folder / "bin"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("wheel"), CLIENT)


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The folder of programs of an environment that holds the client and nothing else."""
    return installed(tmp_path_factory.mktemp("client"), wheel)


@pytest.fixture(scope="module")
def commanding(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The same of one that also holds what the command needs."""
    return installed(tmp_path_factory.mktemp("command"), f"{wheel}[cli]")


@pytest.fixture(scope="module")
def verifying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of one into which `pip install '.[verify]'` put what checks bundles of evidence, and audits."""
    return installed(tmp_path_factory.mktemp("verify"), f"{REPOSITORY}[verify]")


def packages_of(binaries: Path) -> Path:
    (found,) = binaries.parent.glob("lib/python*/site-packages")
    return found


def fr(binaries: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
    command: list[str | Path] = [binaries / "fr", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def there(binaries: Path, *packages: str) -> str:
    """Return the packages of a list that an environment has."""
    script = "import importlib.util as u, sys; print(*(n for n in sys.argv[1:] if u.find_spec(n)))"
    return run(binaries / "python", "-P", "-c", script, *packages).strip()


def test_the_client_alone_is_small_and_has_no_part_of_the_server(binaries: Path) -> None:
    assert there(binaries, *SERVER_PACKAGES, *OURS) == ""
    size = sum(path.stat().st_size for path in packages_of(binaries).rglob("*") if path.is_file())
    print(f"figure: fr-client and all it needs = {size / 1e6:.1f} MB, compiled modules included")  # noqa: T201
    assert size <= MOST_BYTES
    done = fr(binaries, "--help")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("in a clone of FR Core: pip install './client[cli]'.\n")
    assert done.stderr.count("\n") == 1


def test_the_command_needs_no_part_of_the_server(commanding: Path) -> None:
    assert there(commanding, *(name for name in SERVER_PACKAGES if name != "pydantic"), *OURS) == ""  # it is typer's
    done = fr(commanding, "--help")
    assert done.returncode == 0, done.stderr
    for command in ("detect", "compare", "enrol", "search", "gallery"):
        assert f" {command} " in done.stdout
    assert fr(commanding, "--version").stdout == "fr-client 0.1.0\n"
    done = fr(commanding, "--server", "127.0.0.1:9", "--timeout", "3", "info")
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["serve --port 0", "evidence verify x.zip"])
def test_command_of_the_server_says_what_to_install(commanding: Path, command: str) -> None:
    done = fr(commanding, *command.split())
    assert done.returncode == 1
    extra = "verify" if command.startswith("evidence") else "cpu"
    assert f"(fr-core is missing); in a clone of FR Core: pip install '.[{extra}]'." in done.stderr
    assert "Traceback" not in done.stderr
    assert "No such command" in fr(commanding, "serves").stderr


def files_of(binaries: Path, name: str) -> set[str]:
    """The files that a distribution of an environment owns."""
    (record,) = packages_of(binaries).glob(f"{name}-*.dist-info/RECORD")
    return {row[0] for row in csv.reader(record.read_text("utf-8").splitlines())}


@pytest.mark.nightly
def test_pip_install_of_the_clone_installs_both_and_each_owns_its_files(verifying: Path) -> None:
    client, core = files_of(verifying, "fr_client"), files_of(verifying, "fr_core")
    assert not client & core
    assert "../../../bin/fr" in client
    assert {path.split("/")[0] for path in client if path.startswith("fr_") and "info" not in path} == {
        *("fr_api", "fr_client", "fr_command", "fr_files")
    }
    assert {path.split("/")[0] for path in core if path.startswith("fr_") and "info" not in path} == set(OURS)
    assert fr(verifying, "--version").stdout == "fr-client 0.1.0\nfr-core 0.1.0\n"


@pytest.mark.nightly
def test_evidence_and_audits_are_checked_without_the_servers_packages(verifying: Path, tmp_path: Path) -> None:
    assert there(verifying, *SERVER_ALONE) == ""
    bundle, changed, key = tmp_path / "case.zip", tmp_path / "changed.zip", tmp_path / "evidence.pem"
    whole = filed(tmp_path / "cases").bundle()
    bundle.write_bytes(whole)
    changed.write_bytes(whole.replace(b"ear lobes alike", b"ear lobes alikE"))
    key.write_text(SIGNER.public_key)
    done = fr(verifying, "evidence", "verify", str(bundle), "--public-key", str(key))
    assert done.returncode == 0, done.stderr
    assert "The given key signed it" in done.stdout
    assert fr(verifying, "evidence", "verify", str(changed), "--public-key", str(key)).returncode == 1
    audited = Audited().created().fill(9)
    kept, chain_key = tmp_path / "audit.jsonl", tmp_path / "chain.pem"
    kept.write_bytes(b"".join(export(audited.table, 0)))
    chain_key.write_text(audited.table.public_pem())
    done = fr(verifying, "audit", "file", "verify", str(kept), "--public-key", str(chain_key))
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str | Path]]:
    """A connection file of a server that asks who calls, and two photos of one face."""
    folder = tmp_path_factory.mktemp("place")
    at = made(folder / "faces")
    fill(at)
    file, photos = folder / "desk.toml", [folder / "1.png", folder / "2.png"]
    with started_secured(folder, at) as started:
        file.touch(0o600)
        address = started.address.replace("0.0.0.0", "localhost")  # which the certificate names
        file.write_text(Connection(address, at.key(Role.OPERATOR), at.ca.decode()).text())
        yield [file, *photos]


def tour(python: Path, place: list[str | Path], width: int) -> list[str]:
    for number, one in enumerate(place[1:]):
        Path(one).write_bytes(photo(9, width=width + number))
    # At these versions, modules of others may warn; at the newest versions, none may.
    return run(python, "-c", TOUR, *place).split()


def test_both_clients_work_alone(binaries: Path, place: list[str | Path]) -> None:
    assert len(tour(binaries / "python", place, 400)) == 2


@pytest.mark.nightly
def test_the_client_works_with_the_lowest_versions_that_it_allows(tmp_path: Path, place: list[str | Path]) -> None:
    environment = tmp_path / "lowest"
    venv.create(environment)
    python = environment / "bin" / "python"
    run(BIN / "uv", "pip", "install", "--quiet", "--python", python, "--resolution", "lowest-direct", f"{CLIENT}[cli]")
    told = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    allowed = map(Requirement, told["dependencies"] + told["optional-dependencies"]["cli"])
    lowest = {one.name: str(one.specifier).removeprefix(">=") for one in allowed}
    assert len(lowest) == 6
    listed = run(BIN / "uv", "pip", "list", "--quiet", "--python", python, "--format", "freeze").split()
    found = dict(line.split("==") for line in listed if "==" in line)
    assert {name: found[name] for name in lowest} == lowest
    assert tour(python, place, 410) == [lowest["grpcio"], lowest["protobuf"]]
    for words in ("--help", "search --help", "gallery import --help", f"--connection {place[0]} info"):
        done = subprocess.run([python.with_name("fr"), *words.split()], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        told = Parser(policy=default).parsestr(archive.read(name).decode())
    return [str(one) for one in told.get_all("Requires-Dist", []) if "extra ==" not in str(one)]


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.nightly
def test_what_is_published_installs_from_a_folder_and_holds_each_file_once(tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    for folder in (CLIENT, REPOSITORY):
        run(BIN / "hatchling", "build", "--target", "sdist", "--directory", dist, folder=folder)
    client_source, core_source = sorted(dist.iterdir())
    with tarfile.open(client_source) as client, tarfile.open(core_source) as core:
        client_names, core_names = ({one.name.split("/", 1)[1] for one in each.getmembers()} for each in (client, core))
        assert not [one.name for one in client.getmembers() if not one.isfile()]
    assert {"LICENSE", "fr_api/v1/gallery_pb2.py", "fr_client/aio/client.py"} <= client_names
    assert {one.split("/")[0] for one in client_names if "/" in one} == {
        *("fr_api", "fr_client", "fr_command", "fr_files")
    }
    assert "hatch_build.py" in core_names
    assert not [one for one in core_names if one.startswith(("client/", "proto/"))]
    wheels = [built(tmp_path, one) for one in (client_source, core_source)]
    assert not set.intersection(*map(names, wheels))
    assert names(wheels[0]) == names(built(tmp_path, CLIENT))
    beside = built(tmp_path, REPOSITORY)
    assert names(wheels[1]) == names(beside)
    assert requirements(wheels[1]) == ["fr-client[cli]==0.1.0", "polib>=1.2"]
    assert requirements(beside) == [f"fr-client[cli] @ {CLIENT.as_uri()}", "polib>=1.2"]
    for wheel in wheels:
        wheel.rename(dist / wheel.name)
    for form in ("--only-binary", "--no-binary"):
        programs = installed(
            tmp_path / form.strip("-"), "--find-links", dist, form, "fr-client,fr-core", "fr-core[verify]"
        )
        assert fr(programs, "--version").stdout == "fr-client 0.1.0\nfr-core 0.1.0\n"
        assert there(programs, *OURS).split() == list(OURS)
