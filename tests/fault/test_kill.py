"""Sudden death in the midst of changes: what was acknowledged is there, what was erased stays away."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from fr_core.gallery.galleries import Galleries
from support.counts import count
from support.kills import Doomed, doomed
from support.ledger import GALLERY, KEY, MODEL, SIZE, Ledger, Verdict, judge

KILLS = count("GALLERY_KILLS")

# The last process lives until it has acknowledged up to so many changes, and up to so long after that.
MOST_CHANGES = 60
LONGEST_S = 0.005
# Of so many, one is killed while it opens the store that the one before has left.
OPENING = 4
LONGEST_OPENING_S = 0.04


@dataclass(frozen=True, slots=True)
class Killed:
    """What became of many lives: changes that were acknowledged, deaths with a change under way, and the losses."""

    acknowledged: int
    in_the_midst: int
    lost: int
    risen: int


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Galleries.open(tmp_path / "data", key=KEY, index="numpy") as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE)
    return tmp_path / "data"


def live_and_die(children: Doomed, how: str, at: random.Random, seed: int, ledger: Ledger) -> int:
    """Kill one process at a random moment; returns how many changes it has acknowledged."""
    life = children.life(seed, how, ledger)
    pid = next(life)
    changes = 0 if how == "open" else at.randrange(MOST_CHANGES)
    for _ in range(changes):
        next(life)
    time.sleep(at.uniform(0, LONGEST_OPENING_S if how == "open" else LONGEST_S))
    os.kill(pid, signal.SIGKILL)
    return changes + len(list(life))


def open_again(folder: Path, ledger: Ledger) -> Verdict:
    with Galleries.open(folder, key=KEY, index="numpy") as galleries:
        return judge(galleries, ledger)


def kill_many(folder: Path, kills: int, how: str, seed: int) -> Killed:
    at = random.Random(seed)
    ledger = Ledger()
    acknowledged = in_the_midst = lost = risen = 0
    with doomed(folder) as children:
        for kill in range(kills):
            acknowledged += live_and_die(children, how, at, kill, ledger)
            in_the_midst += bool(ledger.begun)
            if kill % OPENING == 0:
                live_and_die(children, "open", at, kill, ledger)
            verdict = open_again(folder, ledger)
            lost, risen = lost + verdict.lost, risen + verdict.risen
            if lost or risen:
                break  # the ledger and the store will not agree any more
    return Killed(acknowledged, in_the_midst, lost, risen)


def test_what_was_acknowledged_survives_kill_9(folder: Path) -> None:
    killed = kill_many(folder, KILLS, "enrol", seed=1)
    print(f"{KILLS} processes killed: {killed}")  # noqa: T201 - the figures of the long run
    assert (killed.lost, killed.risen) == (0, 0)
    assert killed.acknowledged > 10 * KILLS
    assert killed.in_the_midst > KILLS / 2


def test_control_what_was_promised_too_early_does_not(folder: Path) -> None:
    killed = kill_many(folder, 20, "promise", seed=2)
    assert killed.lost + killed.risen > 0
