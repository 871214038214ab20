"""`fr bench training`: hundreds of trainees who walk through a course on a server at once, and what became of it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from fr_bench.speed.child import Child
from fr_bench.speed.conditions import conditions
from fr_bench.speed.errors import BenchFailed
from fr_bench.speed.life import OnStep
from fr_bench.speed.requests import connected
from fr_bench.speed.server_process import ServerProcess, process_tree, started_server
from fr_bench.speed.stats import latency, percentile
from fr_bench.speed.training_course import Cohorts, MadeCourse, enrol, exported, make_course
from fr_bench.speed.training_kept import kept
from fr_bench.speed.training_people import cut_out_people
from fr_bench.speed.training_trainees import Begin, Class, Load, run_trainees
from fr_bench.speed.training_values import Kept, TrainingOrder, TrainingReport, Walked
from fr_bench.speed.values import Conditions, Latency, Memory
from fr_bench.speed.watch import Watch
from fr_core.packs.cache import cache_folder
from fr_datasets.links import Link, write_link

# Ticks of the processor times in /proc.
_TICKS_PER_S = 100
_DATASET = "people_folder"


def bench_training(order: TrainingOrder, on_step: OnStep) -> TrainingReport:
    """Make a course, have trainees walk through it, and look for every decision in what the server exports.

    `on_step` is told what has been done.

    Raises:
        BenchFailed: the server does not start, or refuses what it should not.
        FetchFailed: the photos of the registry could not be had.
    """
    before = conditions()
    with (
        tempfile.TemporaryDirectory(prefix="fr-bench-training-") as folder,
        _server(order, Path(folder)) as server,
        connected(server.address) as (channel, _),
    ):
        course = _course(channel, order, Path(folder))
        on_step(f"a course of {course.people} people, {course.trials} trials each")
        cohorts, of = _class(channel, server.address, order, course)
        with Child("the trainees", run_trainees, of) as trainees:
            ahead: Walked = trainees.ask(Begin())
            closed = len(ahead.decisions) / (ahead.end - ahead.start)
            on_step(f"{order.trainees} trainees have begun, {closed:.0f} decisions a second")
            cpu_s = processor_s(server.pid)
            with Watch(server.address, server) as watch:
                walked: Walked = trainees.ask(Load(order.every_s, _decisions(order)))
            cpu_s = processor_s(server.pid) - cpu_s
        on_step(f"{len(walked.decisions):,} decisions in {walked.end - walked.start:.1f} s")
        decisions = (*ahead.decisions, *walked.decisions)
        found = kept(decisions, cohorts.trainee_ids, exported(channel, cohorts.cohort_ids))
        server.require_running()
    return _report(order, course, before, closed, walked, found, cpu_s, watch.memory)


def processor_s(pid: int, proc: Path = Path("/proc")) -> float:
    """Processor time of a process and all its descendants that are alive, in seconds."""
    ticks = 0
    for one in process_tree(pid, proc):
        try:
            stat = (proc / str(one) / "stat").read_text()
        except OSError:
            continue  # it has just ended
        # After "PID (NAME) ": the state is field 3 of proc(5), user and system time are fields 14 and 15.
        fields = stat.rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_S


def walks_of(order: TrainingOrder, trials: int) -> int:
    """How many walks of so many trials a trainee may begin: one may be nearly done before the load."""
    return math.ceil(_decisions(order) / trials) + 1


@contextmanager
def _server(order: TrainingOrder, folder: Path) -> Iterator[ServerProcess]:
    """A server of our own; where the people are ours, with a home in which they are linked."""
    if order.dataset is not None:
        with started_server(order.settings) as server:
            yield server
        return
    (folder / "models").symlink_to(cache_folder().resolve(), target_is_directory=True)
    write_link(_DATASET, Link((folder / "people").resolve()), folder / "datasets")
    with started_server(order.settings, {"FR_HOME": str(folder)}) as server:
        yield server


def _course(channel: grpc.Channel, order: TrainingOrder, folder: Path) -> MadeCourse:
    if order.dataset is None:
        cut_out_people(channel, folder / "people")
    return make_course(channel, order.dataset or _DATASET)


def _class(channel: grpc.Channel, address: str, order: TrainingOrder, course: MadeCourse) -> tuple[Cohorts, Class]:
    """A cohort for each walk, so that every trainee has a place in each."""
    walks, size = walks_of(order, course.trials), order.trainees
    cohorts = enrol(channel, course.course_id, [size] * walks)
    places = tuple(tuple(walk * size + number for walk in range(walks)) for number in range(size))
    codes = tuple(tuple(cohorts.codes[place] for place in own) for own in places)
    return cohorts, Class(address, order.channels, codes, places, course.trials, order.seed)


def _decisions(order: TrainingOrder) -> int:
    return max(1, round(order.seconds / order.every_s))


def _report(
    order: TrainingOrder,
    course: MadeCourse,
    before: Conditions,
    closed_per_s: float,
    walked: Walked,
    found: Kept,
    cpu_s: float,
    memory: Memory | None,
) -> TrainingReport:
    decisions, seconds = walked.decisions, walked.end - walked.start
    return TrainingReport(
        decide=_required([one.locked - one.due for one in decisions]),
        decide_and_next=_required([one.shown - one.due for one in decisions]),
        begin=latency(walked.begun_s),
        kept=found,
        closed_per_s=closed_per_s,
        decisions_per_s=len(decisions) / seconds,
        asked_per_s=order.trainees / order.every_s,
        late_ms=percentile([one.sent - one.due for one in decisions], 0.99) * 1e3,
        refusals=walked.refusals,
        server_cores=cpu_s / seconds,
        generator_cores=walked.cpu_s / seconds,
        memory=memory,
        trainees=order.trainees,
        every_s=order.every_s,
        seconds=seconds,
        people=course.people,
        trials=course.trials,
        picture_kb=walked.picture_bytes / walked.pictures / 1e3,
        channels=order.channels,
        settings=order.settings,
        machine=before,
    )


def _required(seconds: list[float]) -> Latency:
    found = latency(seconds)
    if found is None:
        raise BenchFailed("No decision was acknowledged.")
    return found
