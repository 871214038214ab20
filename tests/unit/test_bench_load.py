"""`fr bench`: the arithmetic and reports, and the load generator against a real server with null models."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fr_api.v1 import gallery_pb2, training_pb2
from fr_bench.bench_cli import bench
from fr_bench.speed.child import BenchFailed, Child
from fr_bench.speed.conditions import conditions
from fr_bench.speed.generator import Call, Generators, Sent, Target
from fr_bench.speed.life import LifeReport, life_page
from fr_bench.speed.peer import FoundFaces, Peer, agreement, matches, peer_rate
from fr_bench.speed.pipeline import PipelineSubject
from fr_bench.speed.report import BenchReport, page_of
from fr_bench.speed.requests import PATHS, Method, connected, first_answers, serialised, temporary_gallery
from fr_bench.speed.serve import ServerSubject, batches_between, buckets, point_of, read_metrics
from fr_bench.speed.server_process import process_tree, processor_s, resident_mib
from fr_bench.speed.stats import latency, percentile, poisson_arrivals, rates
from fr_bench.speed.training import kept, walks_of
from fr_bench.speed.training_course import Cohorts, enrol, exported, make_course, pairs_for, plan_of
from fr_bench.speed.training_report import Decision, Kept, TrainingOrder, TrainingReport, Walked, training_page
from fr_bench.speed.training_trainees import Begin, Class, Load, run_trainees
from fr_bench.speed.values import (
    Batches,
    EngineSettings,
    Held,
    Latency,
    LoadPoint,
    LoadSettings,
    Memory,
    ServeDetail,
    Workload,
    round_of,
)
from fr_bench.speed.workload import read_photos
from fr_bench.values import Bar
from fr_core.packs.manifest import load_pack
from fr_core.runtime.devices import ActiveDevice
from fr_core.types import F32
from fr_training.bank.needs import needs
from fr_training.plan_reading import read_plan
from support.courses import link_people
from support.photos import engine
from support.servers import Running, photo, running
from support.web import web

PHOTOS = (photo(10), photo(10, 200))
LOAD = LoadSettings("embed", "closed", 4, None, 0.5, 5.0, 2, 1, 1, None, None, ())


def test_a_closed_loop_answers_every_photo_of_the_round(tmp_path: Path) -> None:
    with running(tmp_path) as server, connected(server.address) as (channel, _):
        requests = serialised(Method.EMBED, PHOTOS, "")
        answers = first_answers(channel, Method.EMBED, requests)
        assert [answer.faces for answer in answers] == [1, 2]
        assert answers[1].found is not None
        assert answers[1].found.embeddings is not None
        assert answers[1].found.boxes.shape == (2, 4)
        with Generators(Target(server.address, PATHS[Method.EMBED], requests, 1), 2) as generators:
            subject = ServerSubject(generators, server.address, None, LOAD, (0, 1, 1), (1, 2))
            done = subject.run(0)
    assert (done.subject, done.photos, done.faces) == ("server", 3, 5)
    (point,) = subject.points
    assert (point.sent, [o.reason for o in point.outcomes]) == (3, ["OK"])
    assert point.health[0].status == "SERVING"
    assert point.memory is None


def test_an_open_loop_sends_on_schedule_and_tells_refusals(tmp_path: Path) -> None:
    # One call at a time is admitted: of many that arrive at once, most are refused, and told when to come again.
    with running(tmp_path, server={"max_in_flight": 1}) as server:
        requests = serialised(Method.DETECT, PHOTOS, "")
        with Generators(Target(server.address, PATHS[Method.DETECT], requests, 2), 1) as generators:
            sent = generators.open((0, 1) * 20, [0.0] * 39 + [0.3], 60.0)
    outcomes = {call.outcome for call in sent.calls}
    assert outcomes == {"OK", "OVERLOADED"}
    assert len(sent.calls) == 40
    assert all(call.retry_info == (call.outcome == "OVERLOADED") for call in sent.calls)
    assert all(call.ended > call.sent >= call.due for call in sent.calls)
    last = max(sent.calls, key=lambda call: call.due)
    assert last.due == pytest.approx(sent.start + 0.3)


def test_searches_have_a_gallery_that_is_deleted_again(tmp_path: Path) -> None:
    with running(tmp_path) as server, connected(server.address) as (channel, info):
        with temporary_gallery(channel, info, 25, seed=1) as gallery_id:
            requests = serialised(Method.SEARCH, PHOTOS, gallery_id)
            assert [answer.faces for answer in first_answers(channel, Method.SEARCH, requests)] == [1, 1]
            (made,) = server.gallery.ListGalleries(gallery_pb2.ListGalleriesRequest()).galleries
            assert (made.gallery_id, made.template_count) == (gallery_id, 25)
        assert not server.gallery.ListGalleries(gallery_pb2.ListGalleriesRequest()).galleries


def test_the_pipeline_goes_over_the_photos_of_a_round(tmp_path: Path) -> None:
    for i, data in enumerate(PHOTOS):
        (tmp_path / f"{i}.png").write_bytes(data)
    listed, whole, one = (read_photos([str(tmp_path)], number, None) for number in (5, 0, 1))
    assert (listed.workload.distinct, listed.order) == (2, (0, 1, 0, 1, 0))
    assert (len(whole.order), one.workload.distinct) == (20, 1)
    subject = PipelineSubject(engine().pipeline, listed, 2)
    assert [len(found.boxes) for found in subject.warm_up()] == [1, 2]
    done = subject.run(0)
    assert (done.photos, done.faces, len(subject.latencies)) == (5, 7, 5)


FEW = ("--probes", "1", "--repeat", "1", "--k", "1")


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(bench, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    return done.output


def test_what_cannot_be_measured_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is not there" in refused("pipeline", "--photos", "nowhere")
    assert "holds no photo" in refused("pipeline", "--photos", ".")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    assert "is refused (UNDECODABLE)" in refused("serve", "--photos", ".")
    (tmp_path / "broken.jpg").unlink()
    (tmp_path / "a.png").write_bytes(PHOTOS[0])
    assert "No server of FR Core answers at 127.0.0.1:9" in refused("serve", "--photos", ".", "--server", "127.0.0.1:9")
    assert "UNKNOWN_PACK" in refused("pipeline", "--photos", ".", "--pack", "nothing")
    assert "The server did not start: UNKNOWN_PACK" in refused("serve", "--photos", ".", "--pack", "nothing")
    assert "There is no index named" in refused("search", "--index", "nothing", "--n", "10", *FEW)
    taken = ("search", "--n", "10", "--dimension", "4", *FEW, "--out", str(tmp_path / "a.png"))
    assert "cannot be written" in refused(*taken)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pipeline", "--repeat", "0"), "repeat"),
        (("serve", "--repeat", "0"), "repeat"),
        (("serve", "--mode", "open"), "--rate"),
        (("serve", "--rate", "5"), "--rate"),
        (("serve", "--mode", "open", "--rate", "5", "--overload", "5"), "--overload"),
        (("serve", "--sweep", "1,many"), "not a list of loads"),
        (("serve", "--sweep", "1,0"), "above 0"),
        (("serve", "--server", "h:1", "--batches"), "--server"),
        (("serve", "--metrics-url", "http://h:1"), "--server"),
        (("pipeline", "--peer", "nobody"), "peer"),
        (("training", "--trainees", "1001"), "--trainees"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments: tuple[str, ...], told: str) -> None:
    assert told in refused(*arguments)


TRAINEES, WALKS, PEOPLE = 6, 2, 14
DECISIONS = 8

REPORT = TrainingReport(
    decide=Latency(15_000, 11.0, 20.0, 90.0, 200.0),
    decide_and_next=Latency(15_000, 22.0, 40.0, 149.0, 300.0),
    begin=Latency(500, 23.0, 40.0, 100.0, 200.0),
    kept=Kept(15_000, 0, 0, 0),
    closed_per_s=370.0,
    decisions_per_s=249.9,
    asked_per_s=250.0,
    late_ms=3.0,
    refusals={"OVERLOADED": 4},
    server_cores=0.55,
    generator_cores=0.17,
    memory=Memory(700.0, 710.0, 720.0),
    trainees=500,
    every_s=2.0,
    seconds=60.0,
    people=30,
    trials=20,
    picture_kb=9.4,
    channels=4,
    settings=(),
    machine=conditions(),
)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("FR_HOME", str(tmp_path))
    link_people(tmp_path / "people", PEOPLE)
    with running(tmp_path / "data") as server:
        yield server


def walk(server: Running, address: str, in_browsers: bool) -> tuple[Cohorts, Walked, Walked]:
    course = make_course(server.channel, "people_folder")
    assert (course.people, course.trials) == (12, 8)
    cohorts = enrol(server.channel, course.course_id, [TRAINEES] * WALKS)
    places = tuple(tuple(walk * TRAINEES + number for walk in range(WALKS)) for number in range(TRAINEES))
    codes = tuple(tuple(cohorts.codes[place] for place in own) for own in places)
    of = Class(address, 2, codes, places, course.trials, 1, in_browsers)
    with Child("the trainees", run_trainees, of) as trainees:
        return cohorts, trainees.ask(Begin()), trainees.ask(Load(0.1, DECISIONS))


@pytest.mark.parametrize("in_browsers", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_trainees_decide_at_their_moments_and_each_decision_is_found_again(server: Running, in_browsers: bool) -> None:
    with web(server.address) as site:
        address = f"127.0.0.1:{site.port}" if in_browsers else server.address
        cohorts, ahead, walked = walk(server, address, in_browsers)
    # Each decision is a form and a page, and each beginning seven requests.
    assert len(walked.pages_s) == in_browsers * (2 * len(walked.decisions) + 7 * len(walked.begun_s))
    assert len(ahead.decisions) == sum(range(TRAINEES))
    assert len(ahead.begun_s) == TRAINEES
    assert len(walked.decisions) == TRAINEES * DECISIONS
    assert len(walked.begun_s) == TRAINEES  # the ends of the walks that they had begun
    assert all(one.due <= one.sent < one.locked < one.shown for one in walked.decisions)
    assert walked.picture_bytes > walked.pictures > TRAINEES * DECISIONS
    firsts = sorted(min(one.due for one in walked.decisions if one.code % TRAINEES == n) for n in range(TRAINEES))
    assert firsts[0] < firsts[-1] < firsts[0] + 0.1
    decisions = (*ahead.decisions, *walked.decisions)
    there = list(exported(server.channel, cohorts.cohort_ids))
    assert kept(decisions, cohorts.trainee_ids, there) == Kept(len(decisions), 0, 0, 0)
    gone = cohorts.trainee_ids[0]
    server.training.DeleteTrainee(training_pb2.DeleteTraineeRequest(trainee_id=gone))
    left = exported(server.channel, cohorts.cohort_ids)
    lost = sum(one.code == 0 for one in decisions)
    assert kept(decisions, cohorts.trainee_ids, left) == Kept(len(decisions), lost, 0, 0)


def test_decisions_that_are_lost_changed_doubled_or_invented_are_counted() -> None:
    sent = [Decision(code, ordinal, 2, 0.0, 0.0, 0.1, 0.2) for code in (0, 1) for ordinal in (0, 1)]
    there = [("a", 0, "2"), ("a", 1, "2"), ("b", 0, "2"), ("b", 1, "2")]
    shown = ("a", 2, "")
    assert kept(sent, ["a", "b"], [*there, shown]) == Kept(4, 0, 0, 0)
    assert kept(sent, ["a", "b"], there[1:]) == Kept(4, 1, 0, 0)
    assert kept(sent, ["a", "b"], [("a", 0, ""), *there[1:]]) == Kept(4, 1, 0, 0)
    assert kept(sent, ["a", "b"], [("a", 0, "-2"), *there[1:]]) == Kept(4, 1, 0, 0)
    assert kept(sent, ["a", "b"], [*there, there[0], shown, shown]) == Kept(4, 0, 2, 0)
    assert kept(sent, ["a", "b"], [*there, ("c", 0, "1")]) == Kept(4, 0, 0, 1)


@pytest.mark.parametrize(("people", "with_two", "pairs"), [(35, 35, 10), (35, 5, 4), (4, 4, 1), (9000, 4000, 100)])
def test_a_course_is_as_large_as_its_people_allow(people: int, with_two: int, pairs: int) -> None:
    assert pairs_for(people, with_two) == pairs
    wanted = needs(read_plan(plan_of(pairs)))
    assert (wanted.people, wanted.people_with_two_photos) == (3 * pairs, pairs)
    assert wanted.people <= people
    assert wanted.people_with_two_photos <= with_two


def test_walks_suffice_also_for_whoever_has_nearly_ended_one() -> None:
    order = TrainingOrder(500, 2.0, 60.0, 4, 1)
    # One decision ends the walk that is nearly done, 20 a second one, and 9 are of a third.
    assert [walks_of(one, 20) for one in (order, replace(order, seconds=1.0))] == [3, 2]


def test_memory_and_processor_time_are_those_of_a_process_and_all_below_it(tmp_path: Path) -> None:
    for pid, parent, kib, ticks in (
        (10, 1, 1024, (150, 50)),
        (11, 10, 2048, (25, 25)),
        (12, 11, 4096, (0, 0)),
        (20, 1, 8192, (900, 900)),
    ):
        (tmp_path / str(pid)).mkdir()
        stat = f"{pid} (a ) b) S {parent} {' 0' * 9} {ticks[0]} {ticks[1]} 7 7 0"
        (tmp_path / str(pid) / "stat").write_text(stat)
        (tmp_path / str(pid) / "status").write_text(f"Name:\ta\nVmRSS:\t{kib} kB\n")
    (tmp_path / "self").mkdir()
    assert sorted(process_tree(10, tmp_path)) == [10, 11, 12]
    assert [resident_mib(pid, tmp_path) for pid in (10, 99)] == [7.0, 0.0]
    assert resident_mib(os.getpid()) > 1.0
    assert processor_s(10, tmp_path) == 2.5
    begun, spent = processor_s(os.getpid()), time.process_time()
    while time.process_time() < spent + 0.1:
        pass
    assert processor_s(os.getpid()) > begun


def test_figures_stand_beside_their_bars() -> None:
    page = training_page(REPORT, decides=True)
    assert "| decide_and_next_p99_ms | 149.000 | <= 150 | yes |" in page.markdown("fr bench training --bar")
    assert not page.missed
    assert "nobody" in training_page(replace(REPORT, refusals={}, begin=None, memory=None)).markdown("")
    late = Latency(9, 1.0, 2.0, 150.5, 200.0)
    worse = (
        replace(REPORT, decide=late),
        replace(REPORT, decide_and_next=late),
        *(replace(REPORT, kept=Kept(15_000, *wrong)) for wrong in ((1, 0, 0), (0, 1, 0), (0, 0, 1))),
    )
    for report in worse:
        assert sum(not one.met for one in training_page(report).held) == 1
        assert training_page(report, decides=True).missed


OPEN = LoadSettings("embed", "open", 8, 10.0, 2.0, 1.0, 1, 2, 1, None, None, ())


def test_percentiles_are_samples_by_nearest_rank() -> None:
    samples = [float(n) for n in range(100, 0, -1)]
    assert [percentile(samples, share) for share in (0.01, 0.5, 0.95, 0.99, 1.0)] == [1, 50, 95, 99, 100]
    assert [percentile([3.0, 1.0], share) for share in (0.5, 0.51)] == [1.0, 3.0]
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


def test_rates_are_medians_of_the_rounds_and_the_peers_is_that_of_one_caller() -> None:
    ours = [round_of("a", 10, 20, seconds) for seconds in (1.0, 2.0, 10.0)]
    one = [round_of("peer (1 caller)", 10, 10, seconds) for seconds in (1.0, 2.0, 2.0)]
    two = [round_of("peer (2 callers)", 10, 10, seconds) for seconds in (9.0, 1.5, 1.5)]
    own, *_ = rates([*ours, *one])
    assert (own.photos_per_s, own.faces_per_s, own.lowest, own.highest, own.rounds) == (5.0, 10.0, 1.0, 10.0, 3)
    peer = peer_rate([*ours, *one, *two])
    assert peer is not None
    assert (peer.subject, peer.photos_per_s) == ("peer (1 caller)", 5.0)
    assert peer_rate(ours) is None


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
    point = point_of("open", 3.0, Sent(calls, 0.0, 2.2, 0.5), (1, 4), OPEN)
    assert (point.seconds, point.sent) == (2.0, 6)
    assert (point.photos_per_s, point.faces_per_s) == pytest.approx((2 / 2.0, (1 + 4) / 2.0))
    told = [(o.reason, o.calls, o.with_retry_info) for o in point.outcomes]
    assert told == [("OK", 3, 0), ("DEADLINE_EXCEEDED", 1, 0), ("OVERLOADED", 2, 1)]
    rejected = point.outcomes[2].latency
    assert point.latency is not None
    assert rejected is not None
    assert (point.latency.max_ms, rejected.p50_ms, point.lateness_ms) == pytest.approx((1100.0, 10.0, 400.0))
    # An open loop lasts to its last good answer, and a closed one has no schedule.
    point = point_of("open", 1.0, Sent((call(1.9, 2.5),), 0.0, 2.5, 0.1), (1,), OPEN)
    assert (point.seconds, point.photos_per_s) == pytest.approx((2.5, 0.4))
    point = point_of("closed", 2.0, Sent((call(0.0, 3.0), call(0.0, 4.0)), 0.0, 4.0, 0.1), (1,), OPEN)
    assert (point.photos_per_s, point.lateness_ms) == (0.5, None)


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


def boxes(*places: float) -> F32:
    return np.array([[place, 0, place + 10, 10] for place in places], np.float32).reshape(-1, 4)


def test_faces_are_matched_by_their_greatest_overlap_once() -> None:
    assert sorted(matches(boxes(0, 100), boxes(101, 50, 1))) == [(0, 2), (1, 0)]
    assert matches(boxes(0, 2), boxes(1.5)) == [(1, 0)]  # the nearer one takes it
    assert matches(boxes(0), boxes(4)) == matches(boxes(), boxes(0)) == []  # an overlap of 6 of 14, and none
    east, north, between = ([1.0, 0.0], [0.0, 1.0], [0.6, 0.8])
    ours = FoundFaces(boxes(0, 50), np.array([east, north], np.float32))
    theirs = FoundFaces(boxes(50, 0, 200), np.array([between, east, north], np.float32))
    found = agreement((ours,), (theirs,))
    assert (found.faces, found.peer_faces, found.matched) == (2, 3, 2)
    assert (found.cosine_min, found.cosine_median) == pytest.approx((0.8, 0.9))
    nothing = agreement((FoundFaces(boxes(), None),), (theirs,))
    assert (nothing.matched, nothing.cosine_min) == (0, None)


def test_the_peer_refuses_a_pack_that_it_cannot_run() -> None:
    pytest.importorskip("insightface")
    with pytest.raises(BenchFailed, match="sface has others"):
        Peer(load_pack("sface"), ())


def served(points: tuple[LoadPoint, ...], batches: tuple[Batches, ...]) -> BenchReport:
    detail = ServeDetail(
        Workload("lfw", 2, 4, 0.1, 10.0), OPEN, latency([0.1]), points, None, None, None, None, None, None, batches
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


def test_a_report_is_written_as_json_page_and_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    calls = (call(0.0, 0.1), call(0.0, 0.3))
    points = tuple(
        point_of("closed", load, Sent(calls, 0.0, 0.3, 0.1), (1,), replace(OPEN, mode="closed")) for load in (1.0, 2.0)
    )
    page = page_of(served(points, (Batches("embedder", ((1.0, 3), (None, 2))),)))
    paths = page.write(tmp_path / "new", "fr bench serve --photos lfw")
    assert page.missed
    report = replace(served((), ()), held=(Held("overhead_ratio", 2.0, Bar(1.25, at_least=False)),))
    assert not page_of(report).missed  # it was not named
    ends = [path.name.removeprefix(page.stem) for path in paths]
    assert ends == [".json", ".md", "-latency.svg", "-batches.svg"]
    assert paths[0].read_text() == page.json
    bar = {"name": "photos_per_s", "value": 2.0, "bar": ">= 2500", "met": False}
    assert json.loads(page.json).items() >= {"photos_per_s": 2.0, "ratio": None, "bars": [bar]}.items()
    told = paths[1].read_text()
    for said in (
        "\n    fr bench serve --photos lfw\n",
        "| photos_per_s | 2.000 | >= 2500 | no |",
        f"({paths[2].name})",
    ):
        assert said in told
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
