"""Runs the subjects of a measurement in turn, and watches what else uses the processors meanwhile."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Protocol

from fr_bench.speed.child import BenchFailed
from fr_bench.speed.server_process import TICKS_PER_S, processor_s
from fr_bench.speed.values import Round
from fr_locales.messages import message

# Called after each round with its number from 1, and the number of rounds of each subject.
OnRound = Callable[[int, int, Round], None]

# Share of the processors' time that other processes may use in the median round of a subject; see ADR 63.
MOST_OTHER_LOAD = 0.05

# Fields of a line of /proc/stat after the name, proc_stat(5): user, nice, system, and steal, the time that other
# virtual machines took. Interrupts are left out: the system counts ours among them.
_BUSY_FIELDS = (0, 1, 2, 7)
_ALL_FIELDS = 8  # those after it are counted in user and nice already


class OtherLoad:
    """Measures the share of the processors' time that other processes use.

    The processors are those that this process may use. The measured processes are this one, those of `pids`, and all
    their descendants.
    """

    def __init__(self, pids: Iterable[int] = (), proc: Path = Path("/proc")) -> None:
        self._pids = (os.getpid(), *pids)
        self._proc = proc
        self._before = self._read()

    def share(self) -> float | None:
        """Return the share, in [0, 1], since the last call or the beginning; None where the system does not tell."""
        before, self._before = self._before, self._read()
        busy_s, all_s, own_s = (now - then for now, then in zip(self._before, before, strict=True))
        return min(1.0, max(0.0, (busy_s - own_s) / all_s)) if all_s > 0 else None

    def _read(self) -> tuple[float, float, float]:
        """Return seconds since the start of the machine: busy, all, and those of the measured processes."""
        try:
            lines = [line.split() for line in (self._proc / "stat").read_text().splitlines()]
        except FileNotFoundError:  # not Linux
            return 0.0, 0.0, 0.0
        names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        ticks = [[int(field) for field in fields] for name, *fields in lines if name in names]
        busy = sum(fields[place] for fields in ticks for place in _BUSY_FIELDS)
        total = sum(sum(fields[:_ALL_FIELDS]) for fields in ticks)
        return busy / TICKS_PER_S, total / TICKS_PER_S, processor_s(*self._pids, proc=self._proc)


class Subject(Protocol):
    """Something that can go over the photos."""

    @property
    def pid(self) -> int | None:
        """The process whose processor time, with that of its descendants, is the cost; None where it is unknown."""

    def run(self, turn: int) -> Round:
        """Run round `turn`, from 0."""


def alternate(
    subjects: Sequence[Subject], repeat: int, on_round: OnRound, pids: Iterable[int] = ()
) -> tuple[Round, ...]:
    """Run `repeat` rounds of each subject: one of each, then the next one of each.

    `pids` are measured processes that this one did not start.
    """
    rounds = []
    load = OtherLoad(pids)
    for turn in range(repeat):
        for subject in subjects:
            used = None if subject.pid is None else processor_s(subject.pid)
            load.share()
            done = subject.run(turn)
            other = load.share()
            cpu_s = None if subject.pid is None or used is None else processor_s(subject.pid) - used
            rounds.append(replace(done, cpu_s=cpu_s, other_load=other))
            on_round(turn + 1, repeat, rounds[-1])
    return tuple(rounds)


def other_loads(rounds: Iterable[Round]) -> list[tuple[str, float | None]]:
    """Return the subjects of rounds with the other load of each."""
    return [(item.subject, item.other_load) for item in rounds]


def require_quiet(shares: Iterable[tuple[str, float | None]], *, allow_busy: bool) -> None:
    """Raise `BenchFailed` where ratios would be worthless, unless it is allowed.

    `shares` are subjects with the other load of a round. Ratios compare medians, so the median round decides.
    """
    if allow_busy:
        return
    of: dict[str, list[float]] = {}
    for subject, share in shares:
        if share is None:
            raise BenchFailed(message("error.bench.other_load_unknown"))
        of.setdefault(subject, []).append(share)
    loads = {subject: median(found) for subject, found in of.items()}
    subject = max(loads, key=lambda one: loads[one])
    if loads[subject] > MOST_OTHER_LOAD:
        raise BenchFailed(
            message(
                "error.bench.other_load",
                subject=subject,
                percent=round(loads[subject] * 100),
                most=round(MOST_OTHER_LOAD * 100),
            )
        )
