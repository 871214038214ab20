"""A server of our own for a measurement: `fr serve` in a process of its own, with a data folder that is thrown away."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fr_bench.speed.child import BenchFailed
from fr_bench.speed.connection import Access, open_channel
from fr_bench.speed.stats import latency
from fr_bench.speed.values import HealthCount, Memory
from fr_locales.messages import message

_PERIOD_S = 1.0
_HEALTH_DEADLINE_S = 5.0


class Watch:
    """Watches from a thread of its own for as long as the block lasts; memory is that of a server that is ours."""

    def __init__(self, address: str, server: ServerProcess | None) -> None:
        self._address = address
        self._server = server
        self._done = threading.Event()
        self._health: list[tuple[str, float]] = []
        self._memory: list[float] = []
        self._thread = threading.Thread(target=self._work, name="watch")

    def __enter__(self) -> Self:
        self._note_memory()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._note_memory()

    @property
    def health(self) -> tuple[HealthCount, ...]:
        """Every answer of the health service, by status."""
        statuses = dict.fromkeys(status for status, _ in self._health)
        return tuple(
            HealthCount(status, len(times), latency(times))
            for status, times in ((s, [took for told, took in self._health if told == s]) for s in statuses)
        )

    @property
    def memory(self) -> Memory | None:
        """The server's memory; None where it is not ours."""
        if not self._memory:
            return None
        return Memory(self._memory[0], self._memory[len(self._memory) // 2], self._memory[-1])

    def _note_memory(self) -> None:
        if self._server is not None:
            self._memory.append(resident_mib(self._server.pid))

    def _work(self) -> None:
        access = None if self._server is None else self._server.access
        with open_channel(self._address, access) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            while True:
                start = time.monotonic()
                try:
                    answer = check(health_pb2.HealthCheckRequest(), timeout=_HEALTH_DEADLINE_S)
                    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
                except grpc.RpcError as error:
                    status = error.code().name
                self._health.append((status, time.monotonic() - start))
                self._note_memory()
                if self._done.wait(max(0.0, start + _PERIOD_S - time.monotonic())):
                    return


# A server that loads its models, and compiles them for its device, is given so long.
_START_S = 300.0
_STOP_S = 60.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class ServerProcess:
    """A running `fr serve`: `address` is HOST:PORT, `pid` its first process, `access` None where it needs no key."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, log: Path) -> None:
        self.address = address
        self.access: Access | None = None
        self.pid = process.pid
        self._process = process
        self._log = log

    def require_running(self) -> None:
        """Raise `BenchFailed` where the server has ended."""
        if self._process.poll() is not None:
            raise BenchFailed(message("error.bench.server_ended_during_measurement", last_line=last_line(self._log)))


@contextmanager
def started_server(
    options: Sequence[str], environ: Mapping[str, str] = MappingProxyType({}), fr: str | None = None
) -> Iterator[ServerProcess]:
    """Start `fr serve` with these options beside a free port and a new data folder; stop it at the end.

    `environ` has variables beside those of this process, `fr` is the command, None = the one beside this Python. Raises
    `BenchFailed` if it does not start; the message ends with the last line of its log.
    """
    command = fr_command(fr)
    with tempfile.TemporaryDirectory(prefix="fr-bench-") as folder:
        ready, log = Path(folder) / "ready", Path(folder) / "log"
        fixed = ["serve", "--port", "0", "--data", f"{folder}/galleries", "--ready-file", str(ready)]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [command, *fixed, *options], env={**os.environ, **environ}, stdout=out, stderr=out
            )
        try:
            yield ServerProcess(process, _wait_ready(process, ready, log), log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def fr_command(given: str | None = None) -> str:
    """The command given, else the one beside this Python, else that of the path; raises `BenchFailed` without any."""
    command = given or shutil.which("fr", path=str(Path(sys.executable).parent)) or shutil.which("fr")
    if command is None:
        raise BenchFailed(message("error.bench.command_fr_not_beside"))
    return command


def free_port() -> int:
    """Return a TCP port that is free now. It lies below those that Linux gives to connections (32,768 and up)."""
    for port in random.sample(range(20_000, 32_768), 100):
        with socket.socket() as bound, suppress(OSError):
            bound.bind(("", port))
            return port
    raise OSError("No TCP port from 20,000 to 32,767 is free.")


def last_line(log: Path) -> str:
    """The last line of a log that is not empty; of a server that could not start, its sentence."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing."


def process_tree(*pids: int, proc: Path = Path("/proc")) -> tuple[int, ...]:
    """Processes and all their descendants that are alive, each once."""
    parents: dict[int, int] = {}
    for folder in proc.iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue  # it has just ended
            # "PID (NAME) STATE PARENT ...", and the name may hold anything.
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    found: list[int] = []
    waiting = list(pids)
    while waiting:
        one = waiting.pop()
        if one in found or one not in parents:
            continue
        found.append(one)
        waiting += [child for child, parent in parents.items() if parent == one]
    return tuple(found)


def resident_mib(pid: int, proc: Path = Path("/proc")) -> float:
    """Resident memory of a process and all its descendants, in MiB; 0 where it has ended."""
    lines = (line for status in _of_trees((pid,), "status", proc) for line in status.splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def processor_s(*pids: int, proc: Path = Path("/proc")) -> float:
    """Processor time of processes and all their descendants, in seconds, those included that ended and were reaped."""
    # After "PID (NAME) ": the state is field 3 of proc(5); fields 14 to 17 are user and system time, its own and that
    # of its reaped children.
    stats = [stat.rpartition(")")[2].split() for stat in _of_trees(pids, "stat", proc)]
    return sum(int(field) for fields in stats for field in fields[11:15]) / TICKS_PER_S


def _of_trees(pids: Sequence[int], name: str, proc: Path) -> Iterator[str]:
    """The text of a file in the folder of each process, and of all their descendants."""
    for one in process_tree(*pids, proc=proc):
        with suppress(OSError):  # it has just ended
            yield (proc / str(one) / name).read_text()


def _wait_ready(process: subprocess.Popen[bytes], ready: Path, log: Path) -> str:
    give_up = time.monotonic() + _START_S
    while not ready.exists():
        if process.poll() is not None:
            raise BenchFailed(message("error.bench.server_did_not_start", last_line=last_line(log)))
        if time.monotonic() > give_up:
            raise BenchFailed(
                message("error.bench.server_not_ready_within", start_s=_START_S, last_line=last_line(log))
            )
        time.sleep(0.05)
    return ready.read_text().strip()
