"""The load generator against a real server with null models, `fr bench training`, and what both refuse."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fr_api.v1 import gallery_pb2, training_pb2
from fr_bench.bench_cli import bench
from fr_bench.speed.child import Child
from fr_bench.speed.conditions import conditions
from fr_bench.speed.generator import Generators, Target
from fr_bench.speed.pipeline import PipelineSubject
from fr_bench.speed.requests import PATHS, Method, connected, first_answers, serialised, temporary_gallery
from fr_bench.speed.serve import ServerSubject
from fr_bench.speed.server_process import processor_s
from fr_bench.speed.training import kept, walks_of
from fr_bench.speed.training_course import Cohorts, enrol, exported, make_course, pairs_for, plan_of
from fr_bench.speed.training_report import Decision, Kept, TrainingOrder, TrainingReport, Walked, training_page
from fr_bench.speed.training_trainees import Begin, Class, Load, moments, run_trainees
from fr_bench.speed.values import Latency, LoadSettings, Memory
from fr_bench.speed.workload import read_photos
from fr_training.bank.needs import needs
from fr_training.plan import read_plan
from support.courses import link_people
from support.photos import engine
from support.servers import Running, photo, running

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
    listed = read_photos([str(tmp_path)], 5, None)
    assert (listed.workload.distinct, listed.order) == (2, (0, 1, 0, 1, 0))
    subject = PipelineSubject(engine().pipeline, listed, 2)
    assert [len(found.boxes) for found in subject.warm_up()] == [1, 2]
    done = subject.run(0)
    assert (done.photos, done.faces) == (5, 7)
    assert len(subject.latencies) == 5
    assert len(read_photos([str(tmp_path)], 0, None).order) == 20
    assert read_photos([str(tmp_path)], 1, None).workload.distinct == 1


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
    ],
)
def test_options_that_make_no_sense_are_refused(arguments: tuple[str, ...], told: str) -> None:
    assert told in refused(*arguments)


def test_results_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    told: Any = refused("search", "--n", "10", "--dimension", "4", *FEW, "--out", str(blocked))
    assert "cannot be written" in told


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


def walk(server: Running) -> tuple[Cohorts, Walked, Walked]:
    """Have trainees walk, as the measurement has."""
    course = make_course(server.channel, "people_folder")
    assert (course.people, course.trials) == (12, 8)
    cohorts = enrol(server.channel, course.course_id, [TRAINEES] * WALKS)
    places = tuple(tuple(walk * TRAINEES + number for walk in range(WALKS)) for number in range(TRAINEES))
    codes = tuple(tuple(cohorts.codes[place] for place in own) for own in places)
    of = Class(server.address, 2, codes, places, course.trials, seed=1)
    with Child("the trainees", run_trainees, of) as trainees:
        return cohorts, trainees.ask(Begin()), trainees.ask(Load(0.1, DECISIONS))


def test_trainees_decide_at_their_moments_and_each_decision_is_found_again(server: Running) -> None:
    cohorts, ahead, walked = walk(server)
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


def test_moments_are_fixed_in_advance_and_spread() -> None:
    planned = moments(100, 2.0, 5, seed=3)
    assert planned == moments(100, 2.0, 5, seed=3) != moments(100, 2.0, 5, seed=4)
    for own in planned:
        assert 0 <= own[0] < 2
        assert own == pytest.approx([own[0] + 2 * n for n in range(5)])
    assert len({int(own[0] * 5) for own in planned}) == 10  # each fifth of a second has some


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
    assert walks_of(order, 20) == 3
    assert walks_of(replace(order, seconds=1.0), 20) == 2


def test_processor_time_is_that_of_a_process_and_its_children(tmp_path: Path) -> None:
    def process(pid: int, parent: int, user: int, system: int) -> None:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a ) b) S {parent} {' 0' * 9} {user} {system} 7 7 0")

    process(10, 1, 150, 50)
    process(11, 10, 25, 25)
    process(12, 1, 900, 900)
    assert processor_s(10, tmp_path) == 2.5
    begun, spent = processor_s(os.getpid()), time.process_time()
    while time.process_time() < spent + 0.1:
        pass
    assert processor_s(os.getpid()) > begun


def test_figures_stand_beside_their_bars() -> None:
    page = training_page(REPORT, decides=True)
    told = page.markdown("fr bench training --bar")
    for said in (
        "# fr bench training: 500 trainees, each deciding every 2 s\n",
        "| decide_and_next_p99_ms | 149.000 | <= 150 | yes |",
        "| a decision | p50 11.0, p95 20.0, p99 90.0, max 200.0 ms |",
        "4 OVERLOADED",
        "249.9 of 250.0 due",
    ):
        assert said in told
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


def test_more_trainees_than_a_cohort_takes_are_refused() -> None:
    assert CliRunner().invoke(bench, ["training", "--trainees", "1001"]).exit_code == 2
