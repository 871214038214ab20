"""The commands and snippets of README.md and docs/server.md, run as they are written, with real models and photos."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fr_core.packs.cache import ModelCache

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
DEFAULT_ADDRESS = "localhost:50061"

pytestmark = pytest.mark.models


@dataclass(frozen=True)
class Desk:
    """A folder with photos, and a server to talk to."""

    folder: Path
    address: str
    server: subprocess.Popen[str]

    def run(self, script: str) -> str:
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "FR_SERVER": self.address, "COLUMNS": "120"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (REPOSITORY / page).read_text(), re.DOTALL)


def lay_out(folder: Path, photos: dict[str, Path]) -> None:
    """Put the registry's photos where the guides have theirs."""
    enrolled = {"obama": "obama", "biden": "biden", "person_a": "person_a_1", "person_b": "person_b_1"}
    for subject, key in enrolled.items():
        (folder / "photos" / subject).mkdir(parents=True)
        shutil.copy(photos[key], folder / "photos" / subject)
    for name, key in {"probe.jpg": "obama2", "a.jpg": "person_a_1", "b.jpg": "person_a_2"}.items():
        shutil.copy(photos[key], folder / name)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, pack_cache: ModelCache, photos: dict[str, Path]) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    lay_out(folder, photos)
    ready = folder / "ready"
    command: list[str | Path] = [
        BIN / "fr",
        "serve",
        "--port",
        "0",
        "--data",
        folder / "galleries",
        "--ready-file",
        ready,
    ]
    with subprocess.Popen(command, text=True, stderr=subprocess.PIPE) as server:
        try:
            give_up = time.monotonic() + 60
            while not ready.exists():
                assert server.poll() is None, server.stderr and server.stderr.read()
                assert time.monotonic() < give_up
                time.sleep(0.05)
            yield Desk(folder, ready.read_text().strip(), server)
        finally:
            server.send_signal(signal.SIGTERM)
            _, log = server.communicate(timeout=30)
        assert server.returncode == 0, log
        assert not ready.exists()
        for name in ("obama", "person_a", "probe.jpg"):
            assert name not in log


def test_readme_fetches_and_lists_the_models(desk: Desk) -> None:
    setup = next(block for block in blocks("README.md", "sh") if "models fetch" in block)
    commands = [line for line in setup.splitlines() if line.startswith("fr models")]
    told = desk.run("\n".join(commands))
    assert "buffalo_s" in told
    assert "sface" in told


def test_readme_commands_find_the_right_person(desk: Desk) -> None:
    use = next(block for block in blocks("README.md", "sh") if "fr enrol" in block)
    told = desk.run(use)
    assert "examiner" in told
    assert (desk.folder / "faces.png").stat().st_size > 10_000
    assert (desk.folder / "candidates.png").stat().st_size > 10_000
    found = json.loads(desk.run("fr search people probe.jpg --json"))
    assert found["results"][0]["candidates"][0]["subject_id"] == "obama"
    assert found["results"][0]["candidates"][0]["above_threshold"] is True
    asked = desk.run(next(block for block in blocks("README.md", "sh") if "--target-fmr" in block))
    assert "as measured on lfw" in " ".join(asked.split())


def test_readme_snippet_prints_the_candidates(desk: Desk) -> None:
    (snippet,) = blocks("README.md", "python")
    assert DEFAULT_ADDRESS in snippet
    script = snippet.replace(DEFAULT_ADDRESS, desk.address)
    command: list[str | Path] = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, cwd=desk.folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 obama ")


def test_health_check_of_the_server_guide(desk: Desk) -> None:
    (command,) = re.findall(r"`(buf curl [^`]*)`", (REPOSITORY / "docs" / "server.md").read_text())
    assert "SERVING" in desk.run(command.replace("127.0.0.1:50061", desk.address))
