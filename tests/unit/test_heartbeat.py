"""Heartbeats detect silent processes, and late beats of a process say nothing about others."""

from fr_server.workers.heartbeat import BEAT_S, Heartbeat


class Clock:
    """A time of its own, and the heartbeat that goes by it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.heartbeat = Heartbeat(lambda: self.now)

    def beat(self, after_s: float = BEAT_S, used_s: float = 0.0) -> bool:
        self.now += after_s
        return self.heartbeat.beat(used_s)

    def seconds_until_silent(self, used_share: float = 0.0, used_s: float = 0.0) -> float:
        begun = self.now
        while not self.beat(used_s=used_s):
            used_s += BEAT_S * used_share
        return self.now - begun


def test_a_process_that_has_answered_is_silent_after_seconds_and_another_or_a_busy_one_after_a_minute() -> None:
    clock = Clock()
    assert 30 < clock.seconds_until_silent() < 120
    clock.heartbeat.heard()
    assert 2 < clock.seconds_until_silent() < 5
    busy = Clock()
    busy.heartbeat.heard()
    assert 30 < busy.seconds_until_silent(used_share=1.0) < 120


def test_a_busy_process_that_stops_working_is_silent_after_seconds() -> None:
    clock = Clock()
    clock.heartbeat.heard()
    used_s = [number * BEAT_S / 2 for number in range(1, int(30 / BEAT_S) + 1)]
    assert not any(clock.beat(used_s=used) for used in used_s)
    assert 2 < clock.seconds_until_silent(used_s=used_s[-1]) < 5


def test_a_process_that_answers_is_never_silent_and_late_beats_say_nothing_of_it() -> None:
    clock = Clock()
    for _ in range(1_000):
        assert not clock.beat()
        clock.heartbeat.heard()
    clock = Clock()
    clock.heartbeat.heard()
    assert not any(clock.beat(3 * BEAT_S) for _ in range(1_000))
    assert not clock.beat(86_400)  # the machine was suspended, or all processes were stopped
    assert not any(clock.beat() for _ in range(3))
