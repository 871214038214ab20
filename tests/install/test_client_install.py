"""The client alone, installed as a user does it: `pip install .` in a fresh environment, then `fr`."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from lock_file import read_lock

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SERVER_PACKAGES = ("numpy", "cv2", "PIL", "faiss", "onnxruntime", "openvino", "apsw")

pytestmark = [pytest.mark.network, pytest.mark.slow]


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that holds the client and nothing else."""
    folder = tmp_path_factory.mktemp("client")
    venv.create(folder)  # without a pip of its own, which takes longer to install than the client
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python"]
    # Without the hashes, which a folder to install does not have.
    pins = [f"{pin.name}=={pin.version}\n" for pin in read_lock(REPOSITORY / "requirements.lock") if pin.applies()]
    (folder / "constraints.txt").write_text("".join(pins))
    command = [*pip, "install", "--quiet", "--constraint", folder / "constraints.txt", REPOSITORY]
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


def test_none_of_the_servers_packages_came_along(binaries: Path) -> None:
    script = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    command: list[str | Path] = [binaries / "python", "-c", script, *SERVER_PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


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


def test_library_imports_on_the_client_alone(binaries: Path) -> None:
    code = "from fr_client import AsyncClient, Client, FrApiError"
    done = subprocess.run([binaries / "python", "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
