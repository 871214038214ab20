"""`fr bench training`: its load against a server without models, what it tells of lost decisions, and its report."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fr_api.v1 import common_pb2, training_pb2
from fr_bench.bench_cli import bench
from fr_bench.speed.child import BenchFailed, Child
from fr_bench.speed.conditions import conditions
from fr_bench.speed.server_process import processor_s
from fr_bench.speed.training import around, kept, walks_of
from fr_bench.speed.training_course import Cohorts, enrol, exported, make_course, pairs_for, plan_of
from fr_bench.speed.training_report import Decision, Kept, TrainingOrder, TrainingReport, Walked, training_page
from fr_bench.speed.training_trainees import Begin, Class, Load, moments, run_trainees
from fr_bench.speed.values import Latency, Memory
from fr_training.bank.needs import needs
from fr_training.plan import read_plan
from support.courses import link_people
from support.servers import Running, running

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


def test_too_few_people_are_told() -> None:
    with pytest.raises(BenchFailed, match="here are 3 and 1"):
        pairs_for(3, 1)


def test_walks_suffice_also_for_whoever_has_nearly_ended_one() -> None:
    order = TrainingOrder(500, 2.0, 60.0, 4, 1)
    # One decision ends the walk that is nearly done, 20 a second one, and 9 are of a third.
    assert walks_of(order, 20) == 3
    assert walks_of(replace(order, seconds=1.0), 20) == 2


def test_a_face_is_cut_out_within_its_photo() -> None:
    box = common_pb2.BoundingBox(left=100, top=100, right=200, bottom=180)
    assert around(box, (1000, 1000)) == (65, 55, 235, 225)
    assert around(box, (210, 190)) == (65, 55, 210, 190)


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
