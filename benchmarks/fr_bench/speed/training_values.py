"""Frozen values of `fr bench training`: its settings, the decisions, and the figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fr_bench.speed.values import Conditions, Latency, Memory


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """The settings of a measurement of training.

    Attributes:
        trainees: at once.
        every_s: seconds between two decisions of one trainee.
        seconds: of the load.
        channels: connections of the process that sends.
        seed: of the moments and of the answers.
        dataset: linked set of people that the course is made of; None for faces of the photos of the registry.
        settings: options of `fr serve`.
    """

    trainees: int
    every_s: float
    seconds: float
    channels: int
    seed: int
    dataset: str | None = None
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision; times are those of `time.monotonic`.

    Attributes:
        code: place of the trainee's code among all codes; a code is good for one walk through the course.
        ordinal: of the trial in its session, from 0.
        rating: that was sent, -3 to 3.
        due: when it was to be sent.
        sent: when it was sent first.
        locked: when it was acknowledged.
        shown: when the next trial was there, or the end of the walk was told.
    """

    code: int
    ordinal: int
    rating: int
    due: float
    sent: float
    locked: float
    shown: float


@dataclass(frozen=True, slots=True)
class Walked:
    """The decisions of a load.

    Attributes:
        decisions: in no order.
        begun_s: seconds that each beginning of a further walk took.
        refusals: answers that told to come again, by their reasons.
        start: of the load, on `time.monotonic`.
        end: of its last answer.
        cpu_s: processor time of the process that sends, between both.
        picture_bytes: of all pictures that were received.
        pictures: how many.
    """

    decisions: tuple[Decision, ...]
    begun_s: tuple[float, ...]
    refusals: Mapping[str, int]
    start: float
    end: float
    cpu_s: float
    picture_bytes: int
    pictures: int


@dataclass(frozen=True, slots=True)
class Kept:
    """The decisions that the server's export has, and those that it lacks.

    Attributes:
        acknowledged: decisions whose call returned.
        lost: of those, absent from the export, or there with another rating.
        doubled: trials that the export has more than once.
        unsent: answers of the export that nobody has sent.
    """

    acknowledged: int
    lost: int
    doubled: int
    unsent: int


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """The figures of a measurement of training.

    Attributes:
        decide: from the moment at which a decision was due until it was acknowledged, and durable.
        decide_and_next: from the same moment until the next trial was there with its pictures.
        begin: of a further walk: the session and its first trial; None where there was none.
        kept: what became of the decisions, those before the load included.
        closed_per_s: decisions a second with their next trials, as fast as they go; before the load.
        decisions_per_s: acknowledged under the load.
        asked_per_s: due.
        late_ms: 99th percentile of how late decisions were sent; their trainee waited for the trial before.
        refusals: answers under the load that told to come again, by their reasons.
        server_cores: processor time of the server under the load / wall time.
        generator_cores: of the process that sends; near 1 it limits what is measured.
        memory: of the server.
        trainees: at once.
        every_s: seconds between two decisions of each.
        seconds: of the load.
        people: whom the course shows.
        trials: of one walk through the course.
        picture_kb: mean size of a picture, 1,000 bytes.
        channels: connections.
        settings: of the server.
        machine: where and with what.
        command: "training".
    """

    decide: Latency
    decide_and_next: Latency
    begin: Latency | None
    kept: Kept
    closed_per_s: float
    decisions_per_s: float
    asked_per_s: float
    late_ms: float
    refusals: Mapping[str, int]
    server_cores: float
    generator_cores: float
    memory: Memory | None
    trainees: int
    every_s: float
    seconds: float
    people: int
    trials: int
    picture_kb: float
    channels: int
    settings: tuple[str, ...]
    machine: Conditions
    command: str = "training"
