"""The course that is measured, the cohorts that walk it, and what the server exports of them."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import grpc

from fr_api.v1 import training_pb2, training_pb2_grpc
from fr_bench.speed.child import BenchFailed
from fr_locales.messages import message

SITTING = "load"
BLOCK = "pairs"

Stub = training_pb2_grpc.TrainingServiceStub

_PLAN = """format = 1
title = "A course under load"
[[sittings]]
name = "{sitting}"
[[sittings.blocks]]
id = "{block}"
exercise = "verification"
same = {pairs}
different = {pairs}
"""
# Pairs of each kind at most: what is measured does not change with more.
_MOST_PAIRS = 100
# People whose photos may turn out to be of no use.
_SPARE = 0.1


@dataclass(frozen=True, slots=True)
class MadeCourse:
    """A course on the server: how many people it shows, and the trials of one walk."""

    course_id: str
    people: int
    trials: int


@dataclass(frozen=True, slots=True)
class Cohorts:
    """All who walk: pseudonyms and codes of all cohorts, in their order."""

    cohort_ids: tuple[str, ...]
    trainee_ids: tuple[str, ...]
    codes: tuple[str, ...]


def plan_of(pairs: int) -> str:
    """The plan with so many pairs of one person, and as many of two; it takes three people for both."""
    return _PLAN.format(sitting=SITTING, block=BLOCK, pairs=pairs)


def pairs_for(people: int, with_two_photos: int) -> int:
    """Return how many pairs of each kind so many people are enough for; raises `BenchFailed` where that is none."""
    pairs = min(int(with_two_photos * (1 - _SPARE)), int(people * (1 - _SPARE)) // 3, _MOST_PAIRS)
    if pairs < 1:
        raise BenchFailed(
            message("error.bench.course_takes_people_whom", people=people, with_two_photos=with_two_photos)
        )
    return pairs


def make_course(channel: grpc.Channel, dataset: str) -> MadeCourse:
    """Have the server make a course of a linked data set, as large as allowed; raises `BenchFailed` if refused."""
    stub = Stub(channel)
    try:
        smallest = training_pb2.PlanSource(toml=plan_of(1))
        found = stub.CheckPlan(training_pb2.CheckPlanRequest(plan=smallest, datasets=[dataset]))
        pairs = pairs_for(found.people, found.people_with_two_photos)
        request = training_pb2.CreateCourseRequest(
            plan=training_pb2.PlanSource(toml=plan_of(pairs)), datasets=[dataset]
        )
        *_, last = stub.CreateCourse(request)
    except grpc.RpcError as error:
        raise BenchFailed(message("error.bench.server_makes_no_course", error=str(error.details()))) from error
    return MadeCourse(last.course.course_id, 3 * pairs, 2 * pairs)


def enrol(channel: grpc.Channel, course_id: str, sizes: Sequence[int]) -> Cohorts:
    """Make cohorts of these sizes; raises `BenchFailed` where the server refuses."""
    stub = Stub(channel)
    try:
        made = [
            stub.CreateCohort(training_pb2.CreateCohortRequest(course_id=course_id, display_name="Load", trainees=size))
            for size in sizes
        ]
    except grpc.RpcError as error:
        raise BenchFailed(message("error.bench.server_makes_no_cohort", error=str(error.details()))) from error
    enrolled = [one for cohort in made for one in cohort.enrolled]
    return Cohorts(
        tuple(cohort.cohort.cohort_id for cohort in made),
        tuple(one.trainee_id for one in enrolled),
        tuple(one.code for one in enrolled),
    )


def exported(channel: grpc.Channel, cohort_ids: Sequence[str]) -> Iterator[tuple[str, int, str]]:
    """Every exported trial: the trainee, its place in the session, the rating or ""; raises `BenchFailed`."""
    stub = Stub(channel)
    for cohort_id in cohort_ids:
        request = training_pb2.ExportResultsRequest(cohort_id=cohort_id, format=training_pb2.EXPORT_FORMAT_CSV)
        try:
            text = b"".join(piece.content for piece in stub.ExportResults(request)).decode()
        except grpc.RpcError as error:
            raise BenchFailed(message("error.bench.server_exports_nothing", error=str(error.details()))) from error
        for row in csv.DictReader(io.StringIO(text)):
            yield row["trainee_id"], int(row["ordinal"]), row["rating"] if row["answer"] else ""
