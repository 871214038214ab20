"""`fr bench` beside other work: the load of other processes, and the ratios that are refused then."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fr_bench.bench_cli import bench
from fr_bench.speed.child import BenchFailed
from fr_bench.speed.rounds import MOST_OTHER_LOAD, OtherLoad, alternate, other_loads, require_quiet
from fr_bench.speed.server_process import TICKS_PER_S, processor_s
from fr_bench.speed.stats import rates
from fr_bench.speed.values import Round, round_of

CPUS = sorted(os.sched_getaffinity(0))
# Each ends by itself, should the test be killed.
BUSY = "import time; end = time.time() + 60\nwhile time.time() < end: pass"


@pytest.fixture
def busy() -> Iterator[list[int]]:
    """A busy process for every four processors; none descends from this one, since a shell starts them and ends."""
    script = f"{sys.executable} -c '{BUSY}' >&2 & echo $!\n" * -(-len(CPUS) // 4)
    told = subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    pids = [int(pid) for pid in told.stdout.split()]
    try:
        yield pids
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def work(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def proc(folder: Path, busy: int, idle: int, steal: int, **own: int) -> Path:
    """Write what Linux tells: ticks of each processor, and of processes p1, p2 and so on, of which 1 started 2."""
    fields = [busy, 0, 0, idle, 0, 99, 99, steal, busy, 0]  # guests are counted in the first already
    lines = [f"cpu{number} {' '.join(map(str, fields))}" for number in CPUS]
    (folder / "stat").write_text("\n".join(["cpu 9 9 9 9 9 9 9 9 9 9", *lines, "cpu4095 9 0 0 0 0 0 0 0", "intr 1"]))
    for name, used in own.items():
        pid, parent = int(name[1:]), 1 if name == "p2" else 0
        (folder / str(pid)).mkdir(exist_ok=True)
        told = f"{pid} (a) b) S {parent} {'0 ' * 9}{used} 0 {used} 0 0"
        (folder / str(pid) / "stat").write_text(told)
    return folder


def test_the_other_load_is_what_the_measured_processes_did_not_use(tmp_path: Path) -> None:
    load = OtherLoad([1], proc(tmp_path, 1000, 1000, 0, p1=10, p2=10, p3=10))
    assert load.share() is None  # no time has passed
    proc(tmp_path, 1300, 1100, 100, p1=10 + 50 * len(CPUS), p2=10 + 100 * len(CPUS), p3=500)
    # Of each processor 500 + 0 interrupts: 300 busy and 100 stolen, 2 * 150 of them ours.
    assert load.share() == pytest.approx(100 / 500)
    proc(tmp_path, 1400, 1100, 100, p1=10 + 100 * len(CPUS), p2=10 + 100 * len(CPUS), p3=900)
    assert load.share() == 0.0
    (tmp_path / "stat").unlink()
    assert OtherLoad([1], tmp_path).share() is None  # not Linux


def test_busy_processes_beside_are_seen_and_are_no_load_where_they_are_measured(busy: list[int]) -> None:
    loads = OtherLoad(), OtherLoad(busy)
    begun, used = time.monotonic(), processor_s(*busy)
    work(0.5)
    used, took = processor_s(*busy) - used, time.monotonic() - begun
    other, measured = (load.share() for load in loads)
    assert other is not None
    assert measured is not None
    assert used > 0.05
    # Other tests may run beside: they are in both shares.
    assert other - measured == pytest.approx(used / (took * len(CPUS)), abs=0.05)


class Worker:
    """Works for a while; its processes are this one."""

    pid = os.getpid()

    def run(self, turn: int) -> Round:
        work(0.2)
        return round_of("worker", 4, 4, 0.2)


class Unknown(Worker):
    pid = None  # type: ignore[assignment]


def test_a_ratio_is_refused_beside_busy_processes(busy: list[int]) -> None:
    rounds = alternate([Worker()], 3, lambda turn, repeat, done: None)
    with pytest.raises(BenchFailed) as caught:
        require_quiet(other_loads(rounds), allow_busy=False)
    assert "while worker was measured" in str(caught.value)
    require_quiet(other_loads(rounds), allow_busy=True)
    # The processor time of a photo is the same beside others.
    (rate,) = rates(rounds)
    assert rate.cpu_ms_per_photo == pytest.approx(50, abs=3e3 / TICKS_PER_S / 4)
    (unknown,) = alternate([Unknown()], 1, lambda turn, repeat, done: None)
    assert unknown.cpu_s is None
    assert rates([unknown])[0].cpu_ms_per_photo is None


def test_the_median_round_decides() -> None:
    little, much = MOST_OTHER_LOAD, MOST_OTHER_LOAD + 0.01
    require_quiet([("a", little), ("a", much), ("a", little), ("b", 0.0)], allow_busy=False)
    with pytest.raises(BenchFailed):
        require_quiet([("a", 0.0), ("a", 0.0), ("b", much), ("b", 0.0), ("b", much)], allow_busy=False)
    with pytest.raises(BenchFailed, match="unknown"):
        require_quiet([("a", 0.0), ("b", None)], allow_busy=False)


def test_the_command_prints_no_ratio_beside_busy_processes(busy: list[int], tmp_path: Path) -> None:
    size = ["--n", "10000", "--dimension", "128", "--probes", "60", "--repeat", "3", "--index", "numpy"]
    refused, told = (
        CliRunner().invoke(bench, ["search", *size, "--json", "--out", str(tmp_path / name), *more])
        for name, more in (("refused", []), ("told", ["--allow-busy"]))
    )
    assert refused.exit_code == 2, refused.output
    assert "--allow-busy" in refused.stderr
    assert (refused.stdout, list(tmp_path.iterdir())) == ("", [tmp_path / "told"])
    assert told.exit_code == 0, told.output
    assert '"shared_ratio"' in told.stdout
