"""Which block's time ran out, and how many of its trials stay without an answer."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from fr_api.v1 import training_pb2
from fr_client.cli.train.dialog import Countdown
from fr_client.cli.train.session import Blocks

# Of 10, 4 and 6 trials; the second has no limit.
LIMITS = (10, None, 5)


def session(answered: int, trials: int = 20, limits: tuple[int | None, ...] = LIMITS) -> training_pb2.Session:
    blocks = [
        training_pb2.Block(
            block_id=f"b{number}",
            title=f"Title {number}",
            trials=count,
            limit=None if minutes is None else Duration(seconds=60 * minutes),
        )
        for number, (count, minutes) in enumerate(zip((10, 4, 6), limits, strict=True), start=1)
    ]
    sitting = training_pb2.Sitting(name="day-1", title="Day 1", blocks=blocks)
    return training_pb2.Session(session_id="s", sitting=sitting, answered=answered, trials=trials)


def at(block: int, number: int, of: int = 10) -> training_pb2.NextTrialResponse:
    return training_pb2.NextTrialResponse(trial=training_pb2.Trial(block_id=f"b{block}", number=number, of=of))


def begins(number: int) -> training_pb2.NextTrialResponse:
    block = training_pb2.Block(block_id=f"b{number}")
    return training_pb2.NextTrialResponse(block=training_pb2.BlockToBegin(block=block, number=number, of=3))


OVER = training_pb2.NextTrialResponse(over=training_pb2.SessionOver())


def told(
    answered: int,
    found: training_pb2.NextTrialResponse,
    *,
    trials: int = 20,
    limits: tuple[int | None, ...] = LIMITS,
    resumed: bool = True,
) -> list[str]:
    said: list[str] = []
    blocks = Blocks(session(answered, trials, limits), resumed, Countdown(lambda: 0.0), said.append)
    blocks.next_is(found)
    blocks.next_is(found)  # is told once
    return said


@pytest.mark.parametrize(
    ("answered", "found", "expected"),
    [
        (3, at(1, 4), []),
        (10, begins(2), []),
        (7, begins(2), ["The time of block 1 (Title 1) ran out; 3 trials stay without an answer."]),
        (9, at(2, 1), ["The time of block 1 (Title 1) ran out; 1 trial stays without an answer."]),
        (11, at(2, 3), ["The time of block 1 (Title 1) ran out; 1 trial stays without an answer."]),
        (14, begins(3), []),
        (12, OVER, ["The time of an earlier block ran out; 8 trials stay without an answer."]),
        (20, OVER, []),
    ],
)
def test_who_comes_back_is_told_what_stayed_without_an_answer(
    answered: int, found: training_pb2.NextTrialResponse, expected: list[str]
) -> None:
    assert told(answered, found) == expected


def test_what_cannot_be_known_is_not_told() -> None:
    assert told(7, begins(2), trials=18) == []  # a form has fewer items than the plan has trials
    assert told(7, begins(2), limits=(None, None, None)) == []
    assert told(0, begins(1), resumed=False) == []


def follow(*, late: bool = False, left_s: float | None = None) -> tuple[Blocks, list[str]]:
    said: list[str] = []
    countdown = Countdown(lambda: 0.0)
    countdown.begin(left_s)
    blocks = Blocks(session(0), False, countdown, said.append)
    blocks.next_is(begins(1))
    for number in (1, 2):
        blocks.next_is(at(1, number))
        blocks.shown(at(1, number).trial)
        blocks.shown(at(1, number).trial)  # its next step
        if number == 1:
            blocks.answered()
    if late:
        blocks.late()
    return blocks, said


def test_a_block_that_ends_before_its_last_trial_ran_out_of_time() -> None:
    blocks, said = follow()
    blocks.next_is(begins(2))
    assert said == ["The time of block 1 (Title 1) ran out; 9 trials stay without an answer."]
    blocks, said = follow()
    blocks.answered()
    blocks.next_is(begins(2))
    assert said == ["The time of block 1 (Title 1) ran out; 8 trials stay without an answer."]


def test_a_sitting_that_is_over_was_ended_elsewhere_or_ran_out_of_time() -> None:
    for found, expected in (
        (follow(), 0),
        (follow(left_s=60.0), 0),
        (follow(left_s=0.5), 1),
        (follow(left_s=60.0, late=True), 1),
    ):
        blocks, said = found
        blocks.next_is(OVER)
        assert len(said) == expected
