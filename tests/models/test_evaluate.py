"""The bars: the default pack over the test data, in this process, once for each setting; over all of them at night."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fr_bench import evaluate as bars
from fr_bench.bench_commands.options import SetName
from fr_bench.evaluate import available_cpus, load_sets, run
from fr_bench.report import verdict
from fr_bench.values import Measure, Report
from fr_core.engine import EngineOptions
from fr_core.errors import DeviceUnavailable
from fr_core.packs.manifest import load_pack
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
