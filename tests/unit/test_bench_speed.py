"""The arithmetic of `fr bench`: statistics, schedules, what counts as good, and the shape of the report."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from fr_bench.speed.child import BenchFailed
from fr_bench.speed.conditions import conditions
from fr_bench.speed.generator import Call, Sent, read_details
from fr_bench.speed.life import LifeReport, life_page
from fr_bench.speed.peer import FoundFaces, Peer, agreement, matches, peer_rate
from fr_bench.speed.report import BenchReport, page_of
from fr_bench.speed.serve import batches_between, buckets, point_of, read_metrics
from fr_bench.speed.server_process import process_tree, resident_mib
from fr_bench.speed.stats import latency, percentile, poisson_arrivals, rates
from fr_bench.speed.values import (
    Batches,
    EngineSettings,
    Held,
    LoadPoint,
    LoadSettings,
    ServeDetail,
    Workload,
    round_of,
)
from fr_bench.values import Bar
from fr_core.packs.manifest import load_pack
from fr_core.runtime.devices import ActiveDevice
from fr_core.types import F32

LOAD = LoadSettings("embed", "open", 8, 10.0, 2.0, 1.0, 1, 2, 1, None, None, ())


# --- statistics ---------------------------------------------------------------------------------------------


def test_percentiles_are_samples_by_nearest_rank() -> None:
    samples = [float(n) for n in range(100, 0, -1)]
    assert [percentile(samples, share) for share in (0.01, 0.5, 0.95, 0.99, 1.0)] == [1, 50, 95, 99, 100]
    assert percentile([3.0, 1.0], 0.5) == 1.0
    assert percentile([3.0, 1.0], 0.51) == 3.0


def test_a_percentile_of_nothing_is_undefined() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.5)
    with pytest.raises(ValueError, match="share"):
        percentile([1.0], 0.0)
    assert latency([]) is None


def test_arrivals_are_a_seeded_poisson_process() -> None:
    times = poisson_arrivals(200.0, 50.0, seed=3)
    gaps = np.diff(times)
    assert (gaps > 0).all()
    assert times[0] >= 0
    assert times[-1] < 50
    assert abs(len(times) - 10_000) < 500  # five standard deviations
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # as of exponential gaps, and of no regular ones
    assert np.array_equal(times, poisson_arrivals(200.0, 50.0, seed=3))
    assert not np.array_equal(times[:100], poisson_arrivals(200.0, 50.0, seed=4)[:100])


def test_rates_are_medians_of_the_rounds_of_one_subject() -> None:
    rounds = [round_of("a", 10, 20, s) for s in (1.0, 2.0, 10.0)] + [round_of("peer (1 caller)", 10, 10, 5.0)]
    ours, peer = rates(rounds)
    assert (ours.photos_per_s, ours.faces_per_s, ours.lowest, ours.highest, ours.rounds) == (5.0, 10.0, 1.0, 10.0, 3)
    assert (peer.subject, peer.photos_per_s) == ("peer (1 caller)", 2.0)


def test_the_peers_figure_is_that_of_one_caller() -> None:
    one = [round_of("peer (1 caller)", 10, 10, seconds) for seconds in (1.0, 2.0, 2.0)]
    two = [round_of("peer (2 callers)", 10, 10, seconds) for seconds in (9.0, 1.5, 1.5)]
    peer = peer_rate([round_of("pipeline", 10, 10, 0.1), *one, *two])
    assert peer is not None
    assert (peer.subject, peer.photos_per_s) == ("peer (1 caller)", 5.0)
    assert peer_rate([round_of("pipeline", 1, 1, 1.0)]) is None


# --- loads --------------------------------------------------------------------------------------------------


def call(due: float, ended: float, outcome: str = "OK", *, retry: bool = False, place: int = 0) -> Call:
    return Call(place, due, due + 0.001, ended, outcome, retry)


def test_goodput_counts_answers_within_the_deadline_from_the_arrival() -> None:
    calls = (
        call(0.0, 0.2),
        call(0.1, 1.1, place=1),  # exactly at the deadline
        Call(0, 0.5, 0.9, 1.6, "OK", False),  # too late for its arrival, though the generator sent it late
        call(1.0, 1.01, "OVERLOADED", retry=True),
        call(1.1, 1.14, "OVERLOADED"),
        call(1.2, 2.2, "DEADLINE_EXCEEDED"),
    )
    point = point_of("open", 3.0, Sent(calls, 0.0, 2.2, 0.5), (1, 4), LOAD)
    assert (point.seconds, point.sent) == (2.0, 6)
    assert point.photos_per_s == pytest.approx(2 / 2.0)
    assert point.faces_per_s == pytest.approx((1 + 4) / 2.0)
    assert [(o.reason, o.calls, o.with_retry_info) for o in point.outcomes] == [
        ("OK", 3, 0),
        ("DEADLINE_EXCEEDED", 1, 0),
        ("OVERLOADED", 2, 1),
    ]
    assert point.latency is not None
    assert point.latency.max_ms == pytest.approx(1100.0)
    rejected = point.outcomes[2].latency
    assert rejected is not None
    assert rejected.p50_ms == pytest.approx(10.0)
    assert point.lateness_ms == pytest.approx(400.0)


def test_an_open_loop_lasts_to_its_last_good_answer_and_a_closed_one_has_no_schedule() -> None:
    point = point_of("open", 1.0, Sent((call(1.9, 2.5),), 0.0, 2.5, 0.1), (1,), LOAD)
    assert point.seconds == 2.5
    assert point.photos_per_s == pytest.approx(0.4)
    point = point_of("closed", 2.0, Sent((call(0.0, 3.0), call(0.0, 4.0)), 0.0, 4.0, 0.1), (1,), LOAD)
    assert (point.photos_per_s, point.lateness_ms) == (0.5, None)


def test_the_reason_and_the_advice_to_wait_are_read_from_the_status() -> None:
    def packed(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> any_pb2.Any:
        found = any_pb2.Any()
        found.Pack(message)
        return found

    info = packed(error_details_pb2.ErrorInfo(reason="OVERLOADED"))
    wait = packed(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1)))
    assert read_details(status_pb2.Status(details=[info, wait]).SerializeToString()) == ("OVERLOADED", 1.0)
    assert read_details(status_pb2.Status(details=[info]).SerializeToString()) == ("OVERLOADED", None)
    assert read_details(b"") == ("", None)


def test_batches_are_what_ran_between_two_readings() -> None:
    before = buckets('fr_batch_size_bucket{le="1.0",model="embedder"} 5.0\n')
    after = buckets(
        "# HELP fr_batch_size Items of a batch.\n"
        'fr_batch_size_bucket{le="1.0",model="embedder"} 8.0\n'
        'fr_batch_size_bucket{le="2.0",model="embedder"} 9.0\n'
        'fr_batch_size_bucket{le="+Inf",model="embedder"} 11.0\n'
        'fr_batch_size_sum{model="embedder"} 15.0\n'
        'fr_other_bucket{le="1.0",model="embedder"} 99.0\n'
    )
    # Of the eight batches of one, five were there before, and so they are in every bucket of before.
    before = {**before, ("embedder", 2.0): 5.0, ("embedder", float("inf")): 5.0}
    empty = buckets('fr_batch_size_bucket{le="+Inf",model="detector"} 0.0')
    assert batches_between({}, {**empty, ("detector", 1.0): 4.0, ("detector", float("inf")): 4.0}) == (
        Batches("detector", ((1.0, 4),)),
    )
    assert batches_between(before, after) == (Batches("embedder", ((1.0, 3), (2.0, 1), (None, 2))),)


def test_metrics_that_cannot_be_read_are_told() -> None:
    with pytest.raises(BenchFailed, match="No metrics"):
        read_metrics("http://127.0.0.1:9/metrics")
    with pytest.raises(BenchFailed, match="begins with http"):
        read_metrics("file:///etc/hostname")


# --- the peer -----------------------------------------------------------------------------------------------


def boxes(*places: float) -> F32:
    return np.array([[place, 0, place + 10, 10] for place in places], np.float32).reshape(-1, 4)


def test_faces_are_matched_by_their_greatest_overlap_once() -> None:
    assert sorted(matches(boxes(0, 100), boxes(101, 50, 1))) == [(0, 2), (1, 0)]
    assert matches(boxes(0, 2), boxes(1.5)) == [(1, 0)]  # the nearer one takes it
    assert matches(boxes(0), boxes(4)) == []  # an overlap of 6 of 14
    assert matches(boxes(), boxes(0)) == []


def test_agreement_is_over_the_faces_that_both_found() -> None:
    east, north, between = ([1.0, 0.0], [0.0, 1.0], [0.6, 0.8])
    ours = FoundFaces(boxes(0, 50), np.array([east, north], np.float32))
    theirs = FoundFaces(boxes(50, 0, 200), np.array([between, east, north], np.float32))
    found = agreement((ours,), (theirs,))
    assert (found.faces, found.peer_faces, found.matched) == (2, 3, 2)
    assert found.cosine_min == pytest.approx(0.8)
    assert found.cosine_median == pytest.approx(0.9)
    nothing = agreement((FoundFaces(boxes(), None),), (theirs,))
    assert (nothing.matched, nothing.cosine_min) == (0, None)


def test_the_peer_refuses_a_pack_that_it_cannot_run() -> None:
    if importlib.util.find_spec("insightface") is None:
        pytest.skip("InsightFace is not installed")
    with pytest.raises(BenchFailed, match="sface has others"):
        Peer(load_pack("sface"), ())


# --- processes ----------------------------------------------------------------------------------------------


def test_memory_is_that_of_a_process_and_all_below_it(tmp_path: Path) -> None:
    for pid, parent, kib in ((10, 1, 1024), (11, 10, 2048), (12, 11, 4096), (20, 1, 8192)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a) b) S {parent} 0 0")
        (tmp_path / str(pid) / "status").write_text(f"Name:\ta\nVmRSS:\t{kib} kB\n")
    (tmp_path / "self").mkdir()
    assert sorted(process_tree(10, tmp_path)) == [10, 11, 12]
    assert resident_mib(10, tmp_path) == 7.0
    assert resident_mib(99, tmp_path) == 0.0
    assert resident_mib(os.getpid()) > 1.0


# --- reports ------------------------------------------------------------------------------------------------


def served(points: tuple[LoadPoint, ...], batches: tuple[Batches, ...]) -> BenchReport:
    """A report of a server, with figures made up for the test of its form."""
    detail = ServeDetail(
        Workload("lfw", 2, 4, 0.1, 10.0), LOAD, latency([0.1]), points, None, None, None, None, None, None, batches
    )
    rounds = (round_of("server", 4, 8, 2.0),)
    return BenchReport(
        command="serve",
        photos_per_s=2.0,
        faces_per_s=4.0,
        peer_photos_per_s=None,
        ratio=None,
        conditions=conditions(),
        engine=EngineSettings(),
        device=ActiveDevice("auto", "cpu", "null 1"),
        rounds=rounds,
        rates=rates(rounds),
        held=(Held("photos_per_s", 2.0, Bar(2500, at_least=True), decides=True),),
        detail=detail,
    )


def test_the_json_begins_with_the_figures_and_a_missed_bar_decides_only_if_it_was_named() -> None:
    report = served((), ())
    page = page_of(report)
    content = json.loads(page.json)
    assert list(content)[:4] == ["photos_per_s", "faces_per_s", "peer_photos_per_s", "ratio"]
    assert [content[key] for key in list(content)[:4]] == [2.0, 4.0, None, None]
    assert {"machine", "versions", "pack", "device", "precision", "settings", "rounds", "rates"} <= set(content)
    assert content["bars"] == [{"name": "photos_per_s", "value": 2.0, "bar": ">= 2500", "met": False}]
    assert page.missed
    assert not page_of(replace(report, held=(Held("overhead_ratio", 2.0, Bar(1.25, at_least=False)),))).missed


def test_a_report_is_written_as_json_page_and_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    calls = (call(0.0, 0.1), call(0.0, 0.3))
    points = tuple(
        point_of("closed", load, Sent(calls, 0.0, 0.3, 0.1), (1,), replace(LOAD, mode="closed")) for load in (1.0, 2.0)
    )
    page = page_of(served(points, (Batches("embedder", ((1.0, 3), (None, 2))),)))
    paths = page.write(tmp_path / "new", "fr bench serve --photos lfw")
    ends = [path.name.removeprefix(page.stem) for path in paths]
    assert ends == [".json", ".md", "-latency.svg", "-batches.svg"]
    assert paths[0].read_text() == page.json
    told = paths[1].read_text()
    assert "\n    fr bench serve --photos lfw\n" in told
    assert "| server, photos/s | 2.0" in told
    assert "| photos_per_s | 2.000 | >= 2500 | no |" in told
    assert f"![{paths[2].name}]({paths[2].name})" in told
    first = paths[2].read_bytes()
    assert b"<svg" in first
    page.write(tmp_path / "new", "fr bench serve")
    assert paths[2].read_bytes() == first


def test_the_figures_of_a_gallery_stand_beside_their_bars(tmp_path: Path) -> None:
    report = LifeReport(6000.0, 10.0, 25.0, 31.0, 400, 2916.4, 2760.2, 1_000_000, 512, conditions())
    page = life_page(report, decides=True)
    assert [(one.name, one.met) for one in page.held] == [("enrol_per_s", True), ("start_s", True)]
    few = life_page(replace(report, n=10, start_s=None), decides=True)
    assert (few.held, few.missed) == ([], False)
    assert "too short to be seen" in few.markdown("fr bench gallery")
    for slow in (replace(report, enrol_per_s=4999.0), replace(report, start_s=30.5)):
        assert life_page(slow, decides=True).missed
        assert not life_page(slow).missed
    written = page.write(tmp_path / "results", "fr bench gallery --n 1000000")
    assert [path.name for path in written] == ["gallery-1000000.json", "gallery-1000000.md"]
    assert list(json.loads(written[0].read_text()))[:3] == ["enrol_per_s", "enrol_s", "start_s"]
    assert "| start: from NOT_SERVING to SERVING | 25.0 s |" in written[1].read_text()
