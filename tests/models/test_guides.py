"""The commands and snippets of README.md and docs/server.md, run as they are written, with real models and photos."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from fr_core.packs.cache import ModelCache
from support.commands import blocks, page, serving, shell

DEFAULT_ADDRESS = "localhost:50061"
README = page("README.md")

pytestmark = pytest.mark.models


def lay_out(folder: Path, photos: dict[str, Path]) -> None:
    """Put the registry's photos where the guides have theirs."""
    enrolled = {"obama": "obama", "biden": "biden", "person_a": "person_a_1", "person_b": "person_b_1"}
    for subject, key in enrolled.items():
        (folder / "photos" / subject).mkdir(parents=True)
        shutil.copy(photos[key], folder / "photos" / subject)
    for name, key in {"probe.jpg": "obama2", "a.jpg": "person_a_1", "b.jpg": "person_a_2"}.items():
        shutil.copy(photos[key], folder / name)


def test_the_readme_and_the_server_guide(tmp_path: Path, pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    lay_out(tmp_path, photos)
    with serving(tmp_path, "--port", "0", "--data", tmp_path / "galleries") as server:
        fetches_and_lists_the_models(tmp_path)
        finds_the_right_person(tmp_path, server.address)
        prints_the_candidates(tmp_path, server.address)
        (command,) = re.findall(r"`(buf curl [^`]*)`", page("docs/server.md"))
        assert "SERVING" in shell(command.replace("127.0.0.1:50061", server.address), tmp_path)
    assert not server.ready.exists()
    assert [name for name in ("obama", "person_a", "probe.jpg") if name in server.log.read_text()] == []


def fetches_and_lists_the_models(folder: Path) -> None:
    setup = next(block for block in blocks(README, "sh") if "models fetch" in block)
    lines = [line for line in setup.splitlines() if line.startswith("fr models")]
    told = shell("\n".join(lines), folder)
    assert "buffalo_s" in told
    assert "sface" in told


def finds_the_right_person(folder: Path, address: str) -> None:
    run = partial(shell, folder=folder, FR_SERVER=address, COLUMNS="120")
    use = next(block for block in blocks(README, "sh") if "fr enrol" in block)
    told = run(use)
    assert "examiner" in told
    assert (folder / "faces.png").stat().st_size > 10_000
    assert (folder / "candidates.png").stat().st_size > 10_000
    found = json.loads(run("fr search people probe.jpg --json"))
    assert found["results"][0]["candidates"][0]["subject_id"] == "obama"
    assert found["results"][0]["candidates"][0]["above_threshold"] is True
    asked = run(next(block for block in blocks(README, "sh") if "--target-fmr" in block))
    assert "as measured on lfw" in " ".join(asked.split())


def prints_the_candidates(folder: Path, address: str) -> None:
    (snippet,) = blocks(README, "python")
    assert DEFAULT_ADDRESS in snippet
    script = snippet.replace(DEFAULT_ADDRESS, address)
    command: list[str | Path] = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 obama ")


REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.models
def test_the_training_demo_writes_everything(tmp_path: Path, pack_cache: ModelCache, photos: dict[str, Path]) -> None:
    command = [sys.executable, "examples/demo_training.py", "--out", str(tmp_path), "--trainees", "3"]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "FAILED" not in ran.stdout
    abilities = json.loads((tmp_path / "demo" / "abilities.json").read_text())
    written = {path.name for path in (tmp_path / "demo").iterdir()}
    assert written >= {f"{name}.{kind}" for name in (*abilities, "cohort") for kind in ("html", "json")}
    assert written >= {"results.csv", "xapi.json", "ags.json", "badges.json"}
    assert "Macron" not in (tmp_path / "demo" / "results.csv").read_text() + (tmp_path / "server.log").read_text()
