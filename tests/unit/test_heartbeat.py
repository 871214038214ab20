"""Heartbeats detect silent processes, and late beats of a process say nothing about others."""

from __future__ import annotations

from fr_server.workers.heartbeat import BEAT_S, Heartbeat


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def beats_until_silent(heartbeat: Heartbeat, clock: Clock, every_s: float, most: int = 1_000) -> int | None:
    for beat in range(1, most + 1):
        clock.now += every_s
        if heartbeat.beat():
            return beat
    return None


def test_who_has_answered_once_is_silent_after_some_seconds_and_who_has_not_after_a_minute() -> None:
    clock = Clock()
    heartbeat = Heartbeat(clock)
    first = beats_until_silent(heartbeat, clock, BEAT_S)
    assert first is not None
    assert 30 < first * BEAT_S < 120
    heartbeat.heard()
    later = beats_until_silent(heartbeat, clock, BEAT_S)
    assert later is not None
    assert 2 < later * BEAT_S < 5


def test_who_answers_is_never_silent() -> None:
    clock = Clock()
    heartbeat = Heartbeat(clock)
    for _ in range(1_000):
        clock.now += BEAT_S
        assert not heartbeat.beat()
        heartbeat.heard()


def test_beats_that_come_late_say_nothing_of_the_other() -> None:
    clock = Clock()
    heartbeat = Heartbeat(clock)
    heartbeat.heard()
    assert beats_until_silent(heartbeat, clock, 3 * BEAT_S) is None
    clock.now += 86_400  # the machine was suspended, or all processes were stopped
    assert not heartbeat.beat()
    for _ in range(3):
        clock.now += BEAT_S
        assert not heartbeat.beat()


def test_who_is_busy_has_a_minute_to_answer_and_who_does_nothing_has_seconds() -> None:
    clock = Clock()
    heartbeat = Heartbeat(clock)
    heartbeat.heard()
    used_s = 0.0
    for _ in range(int(30 / BEAT_S)):
        clock.now += BEAT_S
        used_s += BEAT_S / 2
        assert not heartbeat.beat(used_s)
    seconds = 0.0
    while not heartbeat.beat(used_s):
        clock.now += BEAT_S
        seconds += BEAT_S
    assert 2 < seconds < 5


def test_who_is_busy_and_never_answers_is_silent_after_a_minute() -> None:
    clock = Clock()
    heartbeat = Heartbeat(clock)
    heartbeat.heard()
    used_s = seconds = 0.0
    while not heartbeat.beat(used_s):
        clock.now += BEAT_S
        used_s += BEAT_S
        seconds += BEAT_S
    assert 30 < seconds < 120
