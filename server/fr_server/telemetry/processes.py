"""Measures the processes of a server: the scraped one, its front-ends and its photo decoders."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fr_server.telemetry.spec import Spec, seen, specs_in

PROCESSES = Spec("fr_processes", "gauge", "Processes of the server: the first one, front-ends and photo decoders.")
RESIDENT = Spec(
    "fr_resident_bytes", "gauge", "Resident memory of all processes. Shared pages count once for each process."
)
THREADS = Spec("fr_threads", "gauge", "Threads in all processes.")
OPEN_FDS = Spec("fr_open_fds", "gauge", "Open file descriptors in all processes.")
FDS_RATIO = Spec(
    "fr_open_fds_ratio",
    "gauge",
    "Highest share of available file descriptors (`ulimit -n`) that any one process uses, 0 to 1.",
)

PROCESS_SPECS = specs_in(globals())


@dataclass(frozen=True, slots=True)
class _Seen:
    resident_bytes: int
    threads: int
    open_fds: int
    fds_ratio: float


class ProcessesCollector(Collector):
    """Measures a process and its descendants at each scrape, in the folder /proc; yields nothing without it."""

    def __init__(self, pid: int | None = None, proc: Path = Path("/proc")) -> None:
        self._pid = pid or os.getpid()
        self._proc = proc

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics without values, so that registering the collector measures nothing."""
        for spec in PROCESS_SPECS:
            yield seen(spec)

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics."""
        found = [one for pid in self._descendants(self._pid) if (one := self._look(pid)) is not None]
        if not found:
            return
        values = (
            len(found),
            sum(one.resident_bytes for one in found),
            sum(one.threads for one in found),
            sum(one.open_fds for one in found),
            max(one.fds_ratio for one in found),
        )
        for spec, value in zip(PROCESS_SPECS, values, strict=True):
            family = seen(spec)
            family.add_metric([], value)
            yield family

    def _descendants(self, pid: int) -> Iterator[int]:
        yield pid
        for task in (self._proc / str(pid) / "task").glob("*"):
            try:
                children = (task / "children").read_text().split()
            except OSError:  # the thread has just ended, or this kernel does not list children
                continue
            for child in children:
                yield from self._descendants(int(child))

    def _look(self, pid: int) -> _Seen | None:
        folder = self._proc / str(pid)
        try:
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            resident_bytes = int(status.get("VmRSS", "0 kB").split()[0]) * 1024  # an ended process has no VmRSS
            threads = int(status["Threads"])
        except OSError:
            return None
        try:
            open_fds = sum(1 for _ in (folder / "fd").iterdir())
            limits = (folder / "limits").read_text().splitlines()
        except OSError:  # a photo decoder hides its files
            return _Seen(resident_bytes, threads, 0, 0.0)
        most = next(line.split()[3] for line in limits if line.startswith("Max open files"))
        return _Seen(resident_bytes, threads, open_fds, 0.0 if most == "unlimited" else open_fds / int(most))
