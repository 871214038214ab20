"""`fr evaluate verification` with the default pack on LFW's folds of the test data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from fr_bench.cli import evaluate

if TYPE_CHECKING:
    from fr_core.packs.cache import ModelCache

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize(("option", "accuracy"), [("--no-flip", 0.9960), ("--flip", 0.9970)])
def test_lfw_in_one_command(
    testdata: Path, pack_cache: ModelCache, tmp_path: Path, option: str, accuracy: float
) -> None:
    arguments = ["verification", "--dataset", "lfw", "--root", str(testdata / "lfw"), "--out", str(tmp_path), "--json"]
    result = CliRunner().invoke(evaluate, [*arguments, option])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    print(report["accuracy"]["mean"], report["fnmr_at_fmr"]["0.01"], report["across_people"])  # noqa: T201 - the figures
    assert report["accuracy"]["mean"] >= accuracy
    assert report["failures_to_acquire"] == 0
    assert report["fnmr_at_fmr"]["0.01"]["fnmr"]["high"] <= 0.01
    assert report["across_people"]["fnmr_at_fmr"]["0.001"]["fnmr"]["high"] <= 0.02
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == report
