"""The clock of a server: it follows small corrections, and no jump."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fr_server.clock import SteadyClock, boot_ms, wall_ms

DAY_MS = 86_400_000
START_MS = 1_800_000_000_000


class Machine:
    def __init__(self) -> None:
        self.wall, self.passed = START_MS, 5_000

    def go_on(self, ms: int) -> None:
        self.wall += ms
        self.passed += ms


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def clock(machine: Machine) -> SteadyClock:
    return SteadyClock(lambda: machine.wall, lambda: machine.passed)


def test_it_tells_the_time_of_the_machine(machine: Machine, clock: SteadyClock) -> None:
    machine.go_on(1234)
    assert clock() == START_MS + 1234
    assert clock.moment() == datetime.fromtimestamp((START_MS + 1234) / 1000, UTC)


@pytest.mark.parametrize("step", [-DAY_MS, DAY_MS, -3_600_000, 3_000, -3_000])
def test_a_jump_is_told_once(machine: Machine, clock: SteadyClock, step: int, caplog: pytest.LogCaptureFixture) -> None:
    machine.wall += step
    for passed in (0, 10_000, 20_000):
        machine.go_on(10_000)
        assert clock() == START_MS + passed + 10_000
    assert len(caplog.records) == 1
    machine.wall -= step
    assert clock() == START_MS + 30_000


@pytest.mark.parametrize("step", [-2_000, 2_000, 500])
def test_a_correction_is_followed(machine: Machine, clock: SteadyClock, step: int) -> None:
    machine.wall += step
    assert clock() == START_MS + step
    machine.wall += step
    assert clock() == START_MS + 2 * step


def test_the_clocks_of_this_machine_go_on() -> None:
    clock = SteadyClock()
    first = clock()
    assert abs(first - wall_ms()) < 1_000
    assert boot_ms() > 0
    assert clock() >= first
