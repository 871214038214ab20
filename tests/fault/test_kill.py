"""Sudden death in the midst of changes: what was acknowledged is there, what was erased stays away.

Run as a script with a folder, this file makes a child for each line `SEED HOW`. HOW is `open` (open the store, and no
more), `enrol` (change it from several threads, and tell of each change when it has returned) or `promise` (the control:
tell of it before).
"""

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from fr_core.gallery.galleries import Galleries
from fr_core.storage.location import Location
from support.commands import Script, have_children, say, script
from support.counts import count
from support.ledger import GALLERY, HANDS, KEY, MODEL, SIZE, Act, Hand, Kind, Ledger, Verdict, judge
from support.stores import as_argument, located, mortal_members

KILLS = count("GALLERY_KILLS")

# The last process lives until it has acknowledged up to so many changes, and up to so long after that.
MOST_CHANGES = 60
LONGEST_S = 0.005
# Of so many, one is killed while it opens the store that the one before has left.
OPENING = 4
LONGEST_OPENING_S = 0.04


class Teller:
    """A `Book` for the reader at the other end of the pipe."""

    def begin(self, hand: int, act: Act) -> None:
        say("begin", hand, act.kind, act.subject_id, act.seed)

    def done(self, hand: int) -> None:
        say("done", hand)


class Promiser(Teller):
    def begin(self, hand: int, act: Act) -> None:
        super().begin(hand, act)
        super().done(hand)

    def done(self, hand: int) -> None:
        pass


def change_for_ever(folder: Location, line: str, _: int) -> None:
    seed, how = line.split()
    say("pid", os.getpid())
    galleries = Galleries.open(folder, key=KEY, index="numpy", members=mortal_members(folder))
    book = Promiser() if how == "promise" else Teller()
    hands = [Hand(galleries, hand, int(seed), book) for hand in range(HANDS if how != "open" else 0)]

    def work(hand: Hand) -> None:
        while True:
            hand.change()

    for one in hands:
        threading.Thread(target=work, args=(one,), daemon=True).start()
    time.sleep(600)


def life(parent: Script, seed: int, how: str, ledger: Ledger) -> Iterator[int]:
    """Begin a child and write what it says into a ledger.

    Yields its process id at once, then again after each change that it acknowledges, until it is dead.
    """
    parent.tell(f"{seed} {how}")
    pid = 0
    for line in parent.lines():
        word, *rest = json.loads(line)
        if word == "pid":
            (pid,) = rest
            yield pid
        elif word == "begin":
            hand, kind, subject_id, number = rest
            ledger.begin(hand, Act(Kind(kind), subject_id, number))
        elif word == "done":
            ledger.done(*rest)
            yield pid
        elif word == "dead":
            assert rest == [-signal.SIGKILL]
            return
    raise AssertionError("the process that makes the children has ended")


@dataclass(frozen=True, slots=True)
class Killed:
    """Totals of many lives: acknowledged changes, deaths with a change under way, and losses."""

    acknowledged: int
    in_the_midst: int
    lost: int
    risen: int


@pytest.fixture
def folder(location: Location) -> Location:
    with Galleries.open(location, key=KEY, index="numpy") as galleries:
        galleries.create(GALLERY, "", MODEL, SIZE)
    return location


def live_and_die(child: Iterator[int], how: str, at: random.Random) -> int:
    pid = next(child)
    changes = 0 if how == "open" else at.randrange(MOST_CHANGES)
    for _ in range(changes):
        next(child)
    time.sleep(at.uniform(0, LONGEST_OPENING_S if how == "open" else LONGEST_S))
    os.kill(pid, signal.SIGKILL)
    return changes + len(list(child))


def open_again(folder: Location, ledger: Ledger) -> Verdict:
    with Galleries.open(folder, key=KEY, index="numpy") as galleries:
        return judge(galleries, ledger)


def kill_many(folder: Location, kills: int, how: str, seed: int) -> Killed:
    at = random.Random(seed)
    ledger = Ledger()
    acknowledged = in_the_midst = lost = risen = 0
    with script(__file__, as_argument(folder), OPENBLAS_NUM_THREADS="1") as process:
        begin = partial(life, process)
        for kill in range(kills):
            acknowledged += live_and_die(begin(kill, how, ledger), how, at)
            in_the_midst += bool(ledger.begun)
            if kill % OPENING == 0:
                live_and_die(begin(kill, "open", ledger), "open", at)
            verdict = open_again(folder, ledger)
            lost, risen = lost + verdict.lost, risen + verdict.risen
            if lost or risen:
                break  # the ledger and the store will not agree any more
    return Killed(acknowledged, in_the_midst, lost, risen)


def test_what_was_acknowledged_survives_kill_9(folder: Location) -> None:
    killed = kill_many(folder, KILLS, "enrol", seed=1)
    print(f"{KILLS} processes killed: {killed}")  # noqa: T201 - the figures of the long run
    assert (killed.lost, killed.risen) == (0, 0)
    assert killed.acknowledged > 10 * KILLS
    assert killed.in_the_midst > KILLS / 2


@pytest.mark.nightly
def test_control_what_was_promised_too_early_does_not(folder: Location) -> None:
    killed = kill_many(folder, 20, "promise", seed=2)
    assert killed.lost + killed.risen > 0


if __name__ == "__main__":
    have_children(partial(change_for_ever, located(sys.argv[1])))
