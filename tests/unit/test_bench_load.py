"""`fr bench`: the arithmetic and reports, and the load generator against a real server with null models."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fr_api.v1 import gallery_pb2, training_pb2
from fr_bench.bench_cli import bench
from fr_bench.speed.child import Child
from fr_bench.speed.conditions import conditions
from fr_bench.speed.generator import Call, Generators, Sent, Target
from fr_bench.speed.pipeline import PipelineSubject
from fr_bench.speed.report import BenchReport, page_of
from fr_bench.speed.requests import PATHS, Method, connected, first_answers, serialised, temporary_gallery
from fr_bench.speed.serve import ServerSubject, point_of
from fr_bench.speed.stats import latency, percentile, rates
from fr_bench.speed.training import kept
from fr_bench.speed.training_course import Cohorts, enrol, exported, make_course
from fr_bench.speed.training_report import Decision, Kept, Walked
from fr_bench.speed.training_trainees import Begin, Class, Load, run_trainees
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
from fr_bench.speed.workload import read_photos
from fr_bench.values import Bar
from fr_core.runtime.devices import ActiveDevice
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
            subject = ServerSubject(generators, server.address, None, None, LOAD, (0, 1, 1), (1, 2))
            done = subject.run(0)
    assert (done.subject, done.photos, done.faces) == ("server", 3, 5)
    (point,) = subject.points
    assert (point.sent, [o.reason for o in point.outcomes]) == (3, ["OK"])
    assert point.health[0].status == "SERVING"
    assert point.memory is None


def test_streams_share_the_photos_and_each_answer_or_refusal_is_noted(tmp_path: Path) -> None:
    photos = (*PHOTOS, b"no photo")
    order = (0, 1, 2, 1, 0, 2, 1)
    with running(tmp_path) as server:
        requests = serialised(Method.STREAM, photos, "")
        with Generators(Target(server.address, PATHS[Method.STREAM], requests, 2, streams=True), 1) as generators:
            sent = generators.closed(order, 3, 60.0)
            server.stop().result()
            after = generators.closed(order, 3, 60.0)
    ended = sorted((call.place, call.outcome) for call in sent.calls)
    assert ended == sorted((place, "UNDECODABLE" if place == 2 else "OK") for place in order)
    assert all(call.ended > call.sent == call.due for call in sent.calls)
    assert {call.outcome for call in after.calls} == {"UNAVAILABLE"}


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
    taken = ("search", "--n", "10", "--dimension", "4", *FEW, "--allow-busy", "--out", str(tmp_path / "a.png"))
    assert "cannot be written" in refused(*taken)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pipeline", "--repeat", "0"), "repeat"),
        (("serve", "--repeat", "0"), "repeat"),
        (("serve", "--mode", "open"), "--rate"),
        (("serve", "--rate", "5"), "--rate"),
        (("serve", "--method", "stream", "--mode", "open", "--rate", "5"), "--method"),
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
