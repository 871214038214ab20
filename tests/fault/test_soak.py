"""The soak of `make soak`, for some seconds: nothing that a server opens stays open. And what notices it if it does."""

import math
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from fr_api.v1 import server_pb2, server_pb2_grpc
from soak import MOST_MIB_PER_HOUR, Plan, Sample, judge, prepare, sample, soak, targeted, words_of
from support.secured import made, secure_channel, started_secured
from support.servers import photo

PLAN = Plan(warm_up_s=0.5, ramp_s=0.6, measured_s=4.0, every_s=0.05)


def test_a_server_under_load_keeps_nothing_open_and_one_with_a_leak_is_noticed(tmp_path: Path) -> None:
    at = made(tmp_path / "srv")
    course_id = prepare(at)
    with started_secured(tmp_path, at, run_s=0.005) as server, ExitStack() as leak:
        target = targeted(server, at, [photo(blue) for blue in range(1, 20)], course_id)
        # On a busy machine, the first load may still be opening connections: a leak grows each time.
        assert any(soak(target, server.process.pid, PLAN, None).missed == () for _ in range(3))
        samples = []
        for number in range(12):  # the control: connections that nobody closes
            channel = leak.enter_context(secure_channel(target.address, target.ca, target.token))
            server_pb2_grpc.ServerServiceStub(channel).GetServerInfo(server_pb2.GetServerInfoRequest(), timeout=10)
            samples.append(sample(server.process.pid, -float(number)))
        assert judge(samples, None).missed == ("file descriptors",)


def test_threads_of_a_process_count_whose_files_nobody_may_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        (tmp_path / str(os.getpid()) / "task" / str(number)).mkdir(parents=True)
    monkeypatch.setattr("soak.PROC", tmp_path)
    found = sample(os.getpid(), 0.0)
    assert (found.files, found.threads) == (0, 3)


def samples_of(mib_per_hour: float, files: float = 0.0, threads: float = 0.0) -> list[Sample]:
    """Ten minutes of a server that keeps so much more each hour, and breathes."""
    hours = [number / 720 for number in range(120)]
    return [
        Sample(
            3600 * at,
            200 + mib_per_hour * at + 2 * math.sin(5_000 * at),
            40 + round(files * at) + number % 3,
            20 + round(threads * at),
        )
        for number, at in enumerate(hours)
    ]


@pytest.mark.parametrize(
    ("mib_per_hour", "files", "threads", "missed"),
    [
        (0.0, 0, 0, ()),
        (-30.0, 0, 0, ()),
        (MOST_MIB_PER_HOUR - 3, 0, 0, ()),
        (MOST_MIB_PER_HOUR + 18, 0, 0, ("memory",)),
        (0.0, 120, 0, ("file descriptors",)),
        (0.0, 0, 120, ("threads",)),
        (100.0, 120, 120, ("file descriptors", "threads", "memory")),
    ],
)
def test_what_grows_is_noticed(mib_per_hour: float, files: int, threads: int, missed: tuple[str, ...]) -> None:
    assert judge(samples_of(mib_per_hour, files, threads)).missed == missed


def test_a_time_too_short_to_tell_is_not_said_to_keep_to_the_bar() -> None:
    noisy = [Sample(5.0 * number, 500 + 30 * (number * 37 % 11 / 11), 40, 20) for number in range(60)]
    verdict = judge(noisy)
    assert (verdict.missed, verdict.untold) == ((), True)
    assert "cannot be told" in words_of(verdict)
    steady = judge([Sample(5.0 * number, 500, 40, 20) for number in range(60)])
    assert (steady.missed, steady.untold) == ((), False)
    assert words_of(steady) == "No bar is missed."
