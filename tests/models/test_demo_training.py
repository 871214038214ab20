"""The demonstration of training, as `make demo-training` runs it, with fewer trainees."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fr_core.packs.cache import ModelCache

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.models
def test_simulated_trainees_take_a_course_and_everything_is_written(
    tmp_path: Path, pack_cache: ModelCache, photos: dict[str, Path]
) -> None:
    command = [sys.executable, "examples/demo_training.py", "--out", str(tmp_path), "--trainees", "3"]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "FAILED" not in ran.stdout
    abilities = json.loads((tmp_path / "demo" / "abilities.json").read_text())
    written = {path.name for path in (tmp_path / "demo").iterdir()}
    assert written >= {f"{name}.{kind}" for name in (*abilities, "cohort") for kind in ("html", "json")}
    assert written >= {"results.csv", "xapi.json", "ags.json", "badges.json"}
    assert "Macron" not in (tmp_path / "demo" / "results.csv").read_text() + (tmp_path / "server.log").read_text()
