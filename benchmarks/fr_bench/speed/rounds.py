"""Rounds of several subjects in turn, so that whatever else the machine does falls on all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from fr_bench.speed.peer import FoundFaces, Peer
from fr_bench.speed.stats import rates
from fr_bench.speed.values import PEER, EngineSettings, Rate, Round
from fr_bench.speed.workload import PhotoList
from fr_core.packs.manifest import load_pack

# Called after each round with its number from 1, and the number of rounds of each subject.
OnRound = Callable[[int, int, Round], None]

# Callers at once that the peer is tried with. One is how its makers use it: its threads take every core then. Two keep
# the cores busier, since the peer does all but inference in the caller's thread.
PEER_CALLERS = (1, 2)


class Subject(Protocol):
    """Something that can go over the photos."""

    def run(self, turn: int) -> Round:
        """Run round `turn`, from 0."""
        ...


def alternate(subjects: Sequence[Subject], repeat: int, on_round: OnRound) -> tuple[Round, ...]:
    """Run `repeat` rounds of each subject: one of each, then the next one of each."""
    rounds = []
    for turn in range(repeat):
        for subject in subjects:
            rounds.append(subject.run(turn))
            on_round(turn + 1, repeat, rounds[-1])
    return tuple(rounds)


@dataclass(frozen=True, slots=True)
class PeerSubject:
    """The peer with some callers at once."""

    peer: Peer
    order: tuple[int, ...]
    callers: int

    def run(self, turn: int) -> Round:
        """As `Subject.run`."""
        return self.peer.round(self.order, self.callers)


@dataclass(frozen=True, slots=True, eq=False)
class OpenPeer:
    """The peer of a measurement: its subjects, and what it finds in each distinct photo."""

    subjects: tuple[PeerSubject, ...]
    faces: tuple[FoundFaces, ...]


@contextmanager
def opened_peer(name: str | None, settings: EngineSettings, listed: PhotoList) -> Iterator[OpenPeer | None]:
    """Run the peer's process for as long as the block lasts; None where no peer is asked for."""
    if name is None:
        yield None
        return
    with Peer(load_pack(settings.pack), listed.photos) as peer:
        faces = peer.faces()  # every distinct photo once: the warm-up too
        yield OpenPeer(tuple(PeerSubject(peer, listed.order, callers) for callers in PEER_CALLERS), faces)


def peer_rate(rounds: Sequence[Round]) -> Rate | None:
    """The peer's medians with one caller; None where no peer ran."""
    return next((rate for rate in rates(rounds) if rate.subject.startswith(PEER)), None)


def rate_of(rounds: Sequence[Round], subject: str) -> Rate:
    """The medians of one subject; KeyError where it did not run."""
    return {rate.subject: rate for rate in rates(rounds)}[subject]
