"""Soak a real server: `PYTHONPATH=tests python tools/soak.py --minutes 10`; ends with status 1 where a bar is missed.

The server is as `fr server init` sets one up, with TLS and keys, and has the models of a pack on the processor. It is
warmed up for a quarter of an hour with all that it can take, in which its caches fill, those of the databases last;
then loaded with 70 % of that. Its memory, file descriptors and threads, and those of its processes, are taken every few
seconds. The memory may grow by so much an hour, by least squares; the others must not. Where the time is too short to
tell the memory's growth from its noise, that is said. The C library is told to give back at once what is free: what it
keeps for later comes and goes by 100 MiB, and hides what grows.
"""

import argparse
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fr_api.v1 import gallery_pb2, gallery_pb2_grpc
from fr_bench.speed.server_process import process_tree, resident_mib
from fr_core.download import NullProgress
from fr_core.packs.photos import fetch_photos, photos_folder
from fr_server.clock import wall_ms
from fr_server.storage.opening import open_stores
from fr_trust.access.principal import Role
from soak_load import GALLERY, Pace, Target, Told, loading, saturating_per_s
from support.faults import Started, started
from support.secured import HOST, Made, figure, made, started_secured
from support.servers import photo
from support.training_stores import add_course, small_course

MOST_MIB_PER_HOUR = 6.0
# More than comes and goes with clients and readers of a database; a leak of one in a thousand calls is more.
FLAT_BY = 4.0
LOAD = 0.7
# With everything answered, before a sample.
REST_S = 0.3
HANDS = 8
FEWEST = 6  # samples that a slope needs
PARTS = 20  # of the time, of each of which the median of the memory is taken
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""For the GNU C library, mallopt(3): these are where its thresholds begin, and they do not grow with what is freed."""
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Plan:
    """The seconds of a soak: the warm-up, each step of the ramp, the measurement, and between two samples."""

    warm_up_s: float
    ramp_s: float
    measured_s: float
    every_s: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The use of a server at one moment: seconds since the load began, MiB, file descriptors, threads."""

    at_s: float
    memory_mib: float
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The findings of the samples."""

    mib_per_hour: float  # growth of the memory, with its standard `error`
    error: float
    files: float  # file descriptors more at the end; `threads` likewise
    threads: float
    missed: tuple[str, ...]  # the missed bars
    untold: bool  # whether the error is too large to say that the memory keeps to its bar


def sample(pid: int, begun_s: float) -> Sample:
    """Look at a process and all its descendants."""
    files = threads = 0
    for one in process_tree(pid):
        files += counted(PROC / str(one) / "fd")
        threads += counted(PROC / str(one) / "task")
    return Sample(time.monotonic() - begun_s, resident_mib(pid), files, threads)


def counted(folder: Path) -> int:
    """Return the number of entries of a folder of a process; 0 if it cannot be read.

    A process that has just ended has none. Those that decode photos let nobody read their file descriptors.
    """
    try:
        return len(list(folder.iterdir()))
    except OSError:
        return 0


def judge(samples: Sequence[Sample], most_mib_per_hour: float | None = MOST_MIB_PER_HOUR) -> Verdict:
    """Say whether a server stays as it is, from `FEWEST` samples or more; None for no bar of the memory."""
    if len(samples) < FEWEST:
        raise ValueError(f"a slope of {len(samples)} samples says nothing")
    slope, error = growth([one.at_s / 3600 for one in samples], [one.memory_mib for one in samples])
    third = len(samples) // 3

    def more(values: Sequence[int]) -> float:
        return float(np.median(values[-third:]) - np.median(values[:third]))

    files, threads = more([one.files for one in samples]), more([one.threads for one in samples])
    missed = [name for name, by in (("file descriptors", files), ("threads", threads)) if by > FLAT_BY]
    if most_mib_per_hour is not None and slope - 2 * error > most_mib_per_hour:
        missed.append("memory")
    untold = most_mib_per_hour is not None and abs(slope - most_mib_per_hour) <= 2 * error
    return Verdict(slope, error, files, threads, tuple(missed), untold)


def words_of(verdict: Verdict) -> str:
    """Return what a soak has shown, in a sentence."""
    said = f"missed: {', '.join(verdict.missed)}" if verdict.missed else "No bar is missed."
    if verdict.untold:
        said += " Whether the memory keeps to its bar cannot be told from so short a time; make it longer."
    return said


def growth(hours: Sequence[float], mib: Sequence[float]) -> tuple[float, float]:
    """Return the slope of the medians of some memory in `PARTS` of its time, and its standard error, in MiB/h."""
    parts = np.array_split(np.array([hours, mib]), min(PARTS, len(mib)), axis=1)
    x, y = np.array([np.median(part, axis=1) for part in parts]).T
    slope, base = np.polyfit(x, y, 1)
    left = y - (slope * x + base)
    spread = math.sqrt(float(np.sum(left**2)) / max(1, len(y) - 2) / float(np.sum((x - x.mean()) ** 2)))
    return float(slope), spread


def prepare(at: Made) -> str:
    """Make the course that trainees take; return its id."""
    stores = open_stores(at.config(), wall_ms)
    course = small_course(created_ms=wall_ms())
    add_course(stores.training, course)
    stores.close()
    return course.course_id


def soak(target: Target, pid: int, plan: Plan, most_mib_per_hour: float | None) -> Verdict:
    """Load a server for the time of a plan, print the figures, and say whether it stays as it is.

    Raises `RuntimeError` if calls failed, so that the load was another one.
    """
    with loading(target, HANDS, Pace()) as told:
        time.sleep(plan.warm_up_s)
    _require_none_failed(told)
    figure("minutes of the warm-up, and calls answered", f"{plan.warm_up_s / 60:.1f}, {told.answered.total()}")
    most = saturating_per_s(target, plan.ramp_s)
    pace = Pace(LOAD * most)
    samples: list[Sample] = []
    with loading(target, HANDS, pace) as told:
        begun_s = time.monotonic()
        time.sleep(plan.ramp_s)  # until all have connected
        # On a busy machine a sample may take longer than the time is meant to last.
        while len(samples) < FEWEST or time.monotonic() - begun_s < plan.ramp_s + plan.measured_s:
            with pace.resting():  # photos in work take room that comes and goes: what stays is what grows
                time.sleep(REST_S)
                samples.append(sample(pid, begun_s))
            time.sleep(plan.every_s)
        took_s, answered = time.monotonic() - begun_s, told.answered.total()
    figure("calls a second that saturate the server, and those of the soak", f"{most:.1f}, {answered / took_s:.1f}")
    figure("kinds of calls", ", ".join(f"{name} {count}" for name, count in sorted(told.answered.items())))
    _require_none_failed(told)
    verdict = judge(samples, most_mib_per_hour)
    figure("minutes, and calls answered", f"{took_s / 60:.1f}, {answered}")
    figure("memory at the end", f"{samples[-1].memory_mib:.0f} MiB")
    if most_mib_per_hour is not None:
        figure("growth of the memory", f"{verdict.mib_per_hour:+.1f} +- {2 * verdict.error:.1f} MiB/h")
    tenths = [f"{one.memory_mib:.0f}" for one in samples[:: max(1, len(samples) // 10)]]
    figure("memory in MiB, at equal intervals", " ".join(tenths))
    figure("file descriptors, threads: more at the end", f"{verdict.files:+.0f}, {verdict.threads:+.0f}")
    return verdict


def _require_none_failed(told: Told) -> None:
    if told.failed:
        raise RuntimeError(f"calls failed: {dict(told.failed)}")


def targeted(server: Started, at: Made, photos: Sequence[bytes], course_id: str) -> Target:
    """Make the gallery that is searched; return how the server is asked."""
    address = server.address.replace("0.0.0.0", HOST)
    token = at.key(*Role)
    with at.channel(address, token) as channel:
        request = gallery_pb2.CreateGalleryRequest(gallery_id=GALLERY, use=gallery_pb2.GALLERY_USE_TEST)
        gallery_pb2_grpc.GalleryServiceStub(channel).CreateGallery(request, timeout=30)
    return Target(address, at.ca, token, photos, course_id)


def main() -> int:
    """Soak a server, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="after the warm-up")
    parser.add_argument("--warm-up-minutes", type=float, default=15.0)
    parser.add_argument("--every-s", type=float, default=5.0, help="seconds between two samples")
    parser.add_argument("--ramp-s", type=float, default=8.0, help="seconds of each step of the ramp")
    parser.add_argument("--pack", default="buffalo_s", help="model pack; null for a model that only waits")
    options = parser.parse_args()
    plan = Plan(60 * options.warm_up_minutes, options.ramp_s, 60 * options.minutes, options.every_s)
    folder = Path(tempfile.mkdtemp(prefix="fr-soak-"))
    os.environ.update(GIVES_BACK)  # which the server inherits
    try:
        with ExitStack() as stack:
            at = made(folder / "srv")
            course_id = prepare(at)
            if options.pack == "null":
                photos = [photo(blue) for blue in range(1, 40)]
                server = stack.enter_context(started_secured(folder, at, run_s=0.005))
            else:
                found = fetch_photos(photos_folder(), NullProgress())
                photos = [path.read_bytes() for path in found.values()]
                command = [str(Path(sys.executable).with_name("fr")), "serve", "--config", str(at.path), "--port", "0"]
                command += ["--pack", options.pack, "--device", "cpu"]
                server = stack.enter_context(started(folder, *command))
            target = targeted(server, at, photos, course_id)
            verdict = soak(target, server.process.pid, plan, MOST_MIB_PER_HOUR)
    finally:
        shutil.rmtree(folder)
    print(words_of(verdict))
    return 1 if verdict.missed else 0


if __name__ == "__main__":
    sys.exit(main())
