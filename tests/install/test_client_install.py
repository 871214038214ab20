"""The client alone, installed as a user does it: `pip install .` in a fresh environment, then `fr`.

And what checks another's work: `pip install '.[verify]'`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from lock_file import read_lock

from fr_trust.audit.export import export
from support.audits import Audited
from support.cases import SIGNER, filed

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SERVER_ALONE = ("cv2", "faiss", "onnxruntime", "openvino", "apsw")
SERVER_PACKAGES = ("numpy", "PIL", "cryptography", *SERVER_ALONE)

pytestmark = [pytest.mark.network, pytest.mark.slow]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel that pip builds of the folder."""
    folder = tmp_path_factory.mktemp("wheel")
    command: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, REPOSITORY]
    subprocess.run(command, check=True, timeout=240)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The folder of programs of an environment that holds the client and nothing else."""
    return installed(tmp_path_factory.mktemp("client"), f"{wheel}")


@pytest.fixture(scope="module")
def verifying(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The same of an environment that can check bundles of evidence, and audits."""
    return installed(tmp_path_factory.mktemp("verify"), f"{wheel}[verify]")


def installed(folder: Path, what: str) -> Path:
    venv.create(folder)  # without a pip of its own, which takes longer to install than the client
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python"]
    # Without the hashes, which a folder to install does not have.
    pins = [f"{pin.name}=={pin.version}\n" for pin in read_lock(REPOSITORY / "requirements.lock") if pin.applies()]
    (folder / "constraints.txt").write_text("".join(pins))
    command = [*pip, "install", "--quiet", "--no-compile", "--constraint", folder / "constraints.txt", what]
    subprocess.run(command, check=True, timeout=240)
    return folder / "bin"


def fr(binaries: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
    command: list[str | Path] = [binaries / "fr", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def test_help_works_without_the_servers_packages(binaries: Path) -> None:
    done = fr(binaries, "--help")
    assert done.returncode == 0, done.stderr
    for command in ("detect", "compare", "enrol", "search", "gallery", "serve", "models"):
        assert command in done.stdout


def there(binaries: Path, *packages: str) -> str:
    """Those of some packages that an environment has."""
    script = "import importlib.util as u, sys; print(*(n for n in sys.argv[1:] if u.find_spec(n)))"
    command: list[str | Path] = [binaries / "python", "-c", script, *packages]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_none_of_the_servers_packages_came_along(binaries: Path) -> None:
    assert there(binaries, *SERVER_PACKAGES) == ""


def test_client_without_a_server_says_what_to_do(binaries: Path) -> None:
    done = fr(binaries, "--server", "127.0.0.1:9", "--timeout", "3", "info")
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("serve",), ("models", "list"), ("evaluate",)])
def test_command_of_the_server_says_what_to_install(binaries: Path, command: tuple[str, ...]) -> None:
    done = fr(binaries, *command)
    assert done.returncode in (1, 2)
    assert "[cpu]" in done.stderr
    assert "Traceback" not in done.stderr


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


def test_library_imports_on_the_client_alone(binaries: Path) -> None:
    code = "from fr_client import AsyncClient, Client, FrApiError"
    done = subprocess.run([binaries / "python", "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
