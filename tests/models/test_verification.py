"""`fr evaluate verification` with the default pack on LFW's folds of the test data."""

from __future__ import annotations

import csv
import json
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from fr_bench.cli import evaluate
from fr_core.scoring.calibration_json import from_json

if TYPE_CHECKING:
    from support.engines import Memory

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.nightly]


@pytest.mark.usefixtures("pack_cache")
@pytest.mark.parametrize(("option", "accuracy"), [("--no-flip", 0.9960), ("--flip", 0.9970)])
def test_lfw_in_one_command(
    testdata: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: str, accuracy: float
) -> None:
    monkeypatch.setattr("fr_core.engine.open_engine", memory.open)
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
    require_calibrated(report, tmp_path)


def require_calibrated(report: dict[str, Any], folder: Path) -> None:
    """A calibration of one fold holds on the people of the other, and states no more than its comparisons support."""
    print(report["held_out"])  # noqa: T201 - the figures
    assert [one["fold"] for one in report["held_out"]] == [1, 2]
    for one in report["held_out"]:
        stated, observed, limits = one["stated"], one["observed"], one["log10_lr"]
        assert one["people_disjoint"]
        assert stated["by_people"]
        assert observed["by_people"]
        assert min(stated["total"], observed["total"]) > 80_000  # every two people of a fold
        assert stated["low"] <= observed["value"] <= stated["high"]
        assert one["agrees"]
        assert one["inside"]
        assert one["cllr"] <= 0.1
        assert one["expected_calibration_error"] <= 0.02
        assert -log10(301) <= limits["weakest"] < 0 < limits["strongest"] <= log10(stated["total"] + 1)
    calibration = from_json((folder / "calibration.json").read_text(encoding="utf-8"))
    assert calibration.provenance.model_id == report["settings"]["model"]
    assert calibration.provenance.list_sha256 == report["dataset"]["list_sha256"]
    part = "folds 1, 2; 1,200 of 6,000 pairs"
    assert (calibration.provenance.part, calibration.provenance.people) == (part, 844)
    assert calibration.rates.nonmated == 355_746
    for target in (0.1, 0.01, 1e-3, 1e-4, 1e-5):
        threshold = calibration.threshold_at_fmr(target)
        limits, by_people = calibration.fmr_interval_at(threshold)
        independent = calibration.fmr_at(threshold).interval
        assert by_people
        assert limits.low < independent.low
        assert independent.high < limits.high
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as rows:
        stated = [calibration.log10_lr(float(row["similarity"])).log10_lr for row in csv.DictReader(rows)]
    assert -log10(601) <= min(stated) <= max(stated) <= log10(355_747)
