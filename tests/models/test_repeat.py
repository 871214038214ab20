"""`fr evaluate repeat` with the default pack on a few real photos."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from fr_bench.cli import evaluate

if TYPE_CHECKING:
    from fr_core.packs.cache import ModelCache

pytestmark = [pytest.mark.models, pytest.mark.timeout(300)]

PEOPLE = ("001", "002", "003", "004")


def test_a_report_is_repeated_and_an_edited_figure_is_named(
    testdata: Path, pack_cache: ModelCache, tmp_path: Path
) -> None:
    root, out = tmp_path / "people", tmp_path / "out"
    for name in PEOPLE:
        (root / name).mkdir(parents=True)
        for photo in sorted((testdata / "london" / name).iterdir())[:3]:
            shutil.copy(photo, root / name)
    run = CliRunner()
    told = ["identification", "--dataset", "people_folder", "--root", str(root), "--out", str(out), "--device", "cpu"]
    assert run.invoke(evaluate, told).exit_code == 0
    again = ["repeat", str(out), "--root", str(root), "--threads", "1"]
    result = run.invoke(evaluate, again)
    assert result.exit_code == 0, result.output
    assert "the same numbers: " in result.output
    path = out / "report.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    report["galleries"][0]["at_default_threshold"]["fnir"]["count"] += 1
    path.write_text(json.dumps(report), encoding="utf-8")
    result = run.invoke(evaluate, [*again, "--json"])
    assert result.exit_code == 1
    told_now = json.loads(result.stdout)
    assert not told_now["same"]
    assert [one["path"] for one in told_now["different"]] == ["galleries/0/at_default_threshold/fnir/count"]
