"""`fr bench training`: hundreds of trainees who walk through a course on a server at once, and what became of it."""

import io
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import PIL.Image
import PIL.ImageOps

from fr_api.v1 import common_pb2, recognition_pb2, recognition_pb2_grpc
from fr_bench.speed.child import BenchFailed, Child
from fr_bench.speed.conditions import conditions
from fr_bench.speed.life import OnStep
from fr_bench.speed.requests import connected
from fr_bench.speed.server_process import ServerProcess, Watch, free_port, processor_s, started_server
from fr_bench.speed.stats import latency, percentile
from fr_bench.speed.training_course import Cohorts, MadeCourse, enrol, exported, make_course
from fr_bench.speed.training_report import Decision, Kept, TrainingOrder, TrainingReport, Walked
from fr_bench.speed.training_trainees import Begin, Class, Load, run_trainees
from fr_bench.speed.values import Conditions, Latency, Memory
from fr_core.download import NullProgress
from fr_core.packs.cache import cache_folder
from fr_core.packs.photos import fetch_photos, photos_folder
from fr_datasets.links import Link, write_link
from fr_locales.messages import message

GROUPS = ("solvay", "t1")

# Room around a face, as a share of its box on each side: enough for the detector to find it again, and little enough
# that no neighbour fills more of the picture.
_MARGIN = 0.35


def cut_out_people(channel: grpc.Channel, root: Path) -> int:
    """Make a folder in `root` for each face that a server finds in the group photos; returns the number of people.

    Each holds the face cut out and its mirror image. To the model both are much alike. That makes the course an easy
    one, and changes nothing of what is measured. Raises `FetchFailed` if a photo cannot be had.
    """
    photos = fetch_photos(photos_folder(), NullProgress())
    detect = recognition_pb2_grpc.RecognitionServiceStub(channel).Detect
    number = 0
    for key in GROUPS:
        data = photos[key].read_bytes()
        with PIL.Image.open(io.BytesIO(data)) as opened:
            group = PIL.ImageOps.exif_transpose(opened).convert("RGB")
        for face in detect(recognition_pb2.DetectRequest(image=common_pb2.Image(data=data))).faces:
            _write(group.crop(around(face.box, group.size)), root / f"person-{number:03}")
            number += 1
    return number


def around(box: common_pb2.BoundingBox, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The square around a face: left, top, right, bottom in pixels, within a photo of that width and height."""
    half = max(box.right - box.left, box.bottom - box.top) * (0.5 + _MARGIN)
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    width, height = size
    return max(0, round(x - half)), max(0, round(y - half)), min(width, round(x + half)), min(height, round(y + half))


def _write(face: PIL.Image.Image, folder: Path) -> None:
    folder.mkdir(parents=True)
    face.save(folder / "face.png")
    PIL.ImageOps.mirror(face).save(folder / "mirrored.png")


def kept(decisions: Iterable[Decision], trainee_ids: Sequence[str], exported: Iterable[tuple[str, int, str]]) -> Kept:
    """Compare the sent decisions, and the acknowledged ones, with what is there.

    `trainee_ids` are pseudonyms by the places of their codes; `exported` has the trainee, ordinal and rating of each
    trial, the rating "" where it was not answered.
    """
    sent = {(trainee_ids[one.code], one.ordinal): str(one.rating) for one in decisions}
    rows = list(exported)
    there = {(trainee, ordinal): rating for trainee, ordinal, rating in rows if rating}
    times = Counter((trainee, ordinal) for trainee, ordinal, _ in rows)
    return Kept(
        acknowledged=len(sent),
        lost=sum(there.get(place) != rating for place, rating in sent.items()),
        doubled=sum(count > 1 for count in times.values()),
        unsent=len(there.keys() - sent.keys()),
    )


_DATASET = "people_folder"


def bench_training(order: TrainingOrder, on_step: OnStep) -> TrainingReport:
    """Make a course, have trainees walk through it, and look for every decision in what the server exports.

    Raises `BenchFailed` if the server does not start, or refuses what it should not, and `FetchFailed` if the photos of
    the registry could not be had.
    """
    before = conditions()
    with (
        tempfile.TemporaryDirectory(prefix="fr-bench-training-") as folder,
        _server(order, Path(folder), port := free_port() if order.pages else 0) as server,
        connected(server.address) as (channel, _),
    ):
        course = _course(channel, order, Path(folder))
        on_step(f"a course of {course.people} people, {course.trials} trials each")
        address = f"127.0.0.1:{port}" if order.pages else server.address
        cohorts, of = _class(channel, address, order, course)
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


def walks_of(order: TrainingOrder, trials: int) -> int:
    """Return how many walks of so many trials a trainee may begin: one may be nearly done before the load."""
    return math.ceil(_decisions(order) / trials) + 1


@contextmanager
def _server(order: TrainingOrder, folder: Path, web_port: int) -> Iterator[ServerProcess]:
    """A server of our own; where the people are ours, with a home in which they are linked."""
    options = (*order.settings, *(("--web", str(web_port)) if web_port else ()))
    if order.dataset is not None:
        with started_server(options) as server:
            yield server
        return
    (folder / "models").symlink_to(cache_folder().resolve(), target_is_directory=True)
    write_link(_DATASET, Link((folder / "people").resolve()), folder / "datasets")
    with started_server(options, {"FR_HOME": str(folder)}) as server:
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
    return cohorts, Class(address, order.channels, codes, places, course.trials, order.seed, order.pages)


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
        pages=latency(walked.pages_s),
    )


def _required(seconds: list[float]) -> Latency:
    found = latency(seconds)
    if found is None:
        raise BenchFailed(message("error.bench.no_decision_acknowledged"))
    return found
