"""The bars: the default pack over the test data, in this process, once for each setting; over all of them at night."""

from __future__ import annotations

import csv
import json
import shutil
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from fr_bench import evaluate as bars
from fr_bench.bench_commands.options import SetName
from fr_bench.cli import evaluate
from fr_bench.evaluate import available_cpus, load_sets, run
from fr_bench.report import verdict
from fr_bench.values import Measure, Report
from fr_core.engine import EngineOptions
from fr_core.errors import DeviceUnavailable
from fr_core.packs.manifest import load_pack
from fr_core.scoring.calibration_json import from_json
from support.counts import NIGHTLY

if TYPE_CHECKING:
    from fr_core.packs.cache import ModelCache
    from support.engines import Memory

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(900)]


SETS = tuple(SetName) if NIGHTLY else (SetName.DEEPFACE, SetName.NONFACE, SetName.GROUPS, SetName.ODD_FORMATS)
SETTINGS = [("f32", "thorough"), ("bf16", "fast")] if NIGHTLY else [("f32", "thorough")]
BARS = [(part, key) for part, key in bars.BARS if part.partition("/")[0] in SETS]


@pytest.fixture(scope="module", params=SETTINGS, ids=" ".join)
def report(testdata: Path, pack_cache: ModelCache, memory: Memory, request: pytest.FixtureRequest) -> Report:
    """With the server's defaults, and with the fast setting."""
    precision, detection = request.param
    try:
        opened = memory.open(load_pack(bars.PACK), pack_cache, EngineOptions(precision=precision, detection=detection))
    except DeviceUnavailable as error:
        pytest.skip(error.what)
    return run(opened, load_sets(testdata, SETS), available_cpus(), lambda name, done, total: None)


def measures(report: Report) -> dict[tuple[str, str], Measure]:
    outcomes = [outcome for part in report.sets for outcome in part.outcomes]
    return {(outcome.name, measure.key): measure for outcome in outcomes for measure in outcome.measures}


@pytest.mark.parametrize(("part", "key"), BARS, ids=[" ".join(bar) for bar in BARS])
def test_the_bar_is_reached(report: Report, part: str, key: str) -> None:
    measure = measures(report)[part, key]
    assert measure.bar == bars.BARS[part, key]
    notes = [
        note for held in report.sets for outcome in held.outcomes if outcome.name == part for note in outcome.notes
    ]
    assert measure.met, f"{measure.value} misses {measure.bar}; {notes}"


def test_the_report_says_that_all_bars_are_reached(report: Report) -> None:
    assert report.missed == ()
    assert verdict(report) == f"{len(BARS)} of {len(BARS)} bars are reached."


def test_the_whole_sets_were_measured(report: Report) -> None:
    totals = {name: measure.rate.total for name, measure in measures(report).items() if measure.rate is not None}
    assert totals["deepface", "best_threshold_accuracy"] == 300
    assert totals["nonface/easy", "photos_with_detections"] == 74
    assert totals["nonface/hard", "photos_with_detections"] == 26
    assert totals["groups", "photos_counted_right"] == 9
    assert totals["odd_formats", "files_not_as_expected"] == 47
    if NIGHTLY:
        assert totals["lfw", "best_threshold_accuracy"] == 1200
        assert totals["lfw", "fold_accuracy"] == 1200
        assert totals["celeba_wild", "best_threshold_accuracy"] == 600
        assert totals["lfw", "across_people_fmr"] == 1156 * 1155 // 2


@pytest.mark.nightly
def test_the_packs_threshold_keeps_the_false_match_rate_that_it_claims(report: Report) -> None:
    measured = measures(report)["lfw", "across_people_fmr"].rate
    assert measured is not None
    claimed = report.pack.thresholds.fmr
    if claimed is None:
        pytest.skip("the pack claims no false match rate at its threshold")
    assert measured.interval.low <= claimed


if TYPE_CHECKING:
    from fr_core.packs.cache import ModelCache

PEOPLE = ("001", "002", "003", "004")


def test_a_repeated_report_names_an_edited_figure(testdata: Path, pack_cache: ModelCache, tmp_path: Path) -> None:
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


if TYPE_CHECKING:
    from support.engines import Memory


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
