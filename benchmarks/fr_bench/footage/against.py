"""Searches photos with the templates of tracks: rank 1, misses and false alarms, by the template that was used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fr_bench.footage.follow import Probes
from fr_core.scoring.intervals import Rate, rate
from fr_core.types import Embedding

# Independent looks of the tracks of a row: a mean of more of them must not be more certain than it is.
LOOKS = ((1, 1), (2, 3), (4, None))


@dataclass(frozen=True, slots=True, eq=False)
class Enrolled:
    """A gallery of photos, one for each person; `people` are names, "" for a stranger, who is not in the footage."""

    people: tuple[str, ...]
    embeddings: tuple[Embedding, ...]


@dataclass(frozen=True, slots=True)
class Against:
    """Tracks against photos, at a threshold that is the same for all. Searches of one person are not independent."""

    probe: str
    rank1: Rate  # mated searches whose first candidate is the right person
    fnmr: Rate  # mated comparisons below the threshold
    fmr: Rate  # comparisons with each other person at or above it
    fpir: Rate  # searches of the gallery without the person, with a candidate at or above it


PROBES: tuple[tuple[str, Callable[[Probes], Embedding]], ...] = (
    ("a frame at random", lambda one: one.random),
    ("the best shot", lambda one: one.best),
    ("the mean of the track", lambda one: one.mean),
)


def against_photos(probes: Sequence[Probes], gallery: Enrolled, threshold: float) -> tuple[Against, ...]:
    """Return a row for each kind of probe, then rows of the mean for each number of looks.

    Each probe is of a person who is enrolled; there is at least one.
    """
    rows = [_row(name, [of(one) for one in probes], probes, gallery, threshold) for name, of in PROBES]
    for low, high in LOOKS:
        some = [one for one in probes if low <= one.looks <= (high or one.looks)]
        if some:
            looks = f"{low}" if low == high else f"{low} or more" if high is None else f"{low} to {high}"
            name = f"the mean, {looks} look{'' if high == 1 else 's'}"
            rows.append(_row(name, [one.mean for one in some], some, gallery, threshold))
    return tuple(rows)


def _row(
    name: str, templates: Sequence[Embedding], probes: Sequence[Probes], gallery: Enrolled, threshold: float
) -> Against:
    for template in templates:
        template.model.require_same(gallery.embeddings[0].model)
    enrolled = np.array([one.vector for one in gallery.embeddings], np.float64)
    similarities = np.array([one.vector for one in templates], np.float64) @ enrolled.T
    own = np.array([gallery.people.index(one.person) for one in probes])
    rows = np.arange(len(probes))
    mated = similarities[rows, own]
    others = similarities.copy()
    others[rows, own] = -np.inf
    highest = others.max(axis=1)
    return Against(
        name,
        rate(int((mated > highest).sum()), len(probes)),
        rate(int((mated < threshold).sum()), len(probes)),
        rate(int((others >= threshold).sum()), others.size - len(probes)),
        rate(int((highest >= threshold).sum()), len(probes)),
    )
