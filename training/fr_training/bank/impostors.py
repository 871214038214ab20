"""Finds the people whom the model most easily mistakes: nearest impostors, and pairs of them that share nobody.

Work is done in blocks of rows, so that no table of all people with all people is ever in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fr_training.bank.labels import Index, Traits
from fr_training.bank.pool import F32, cosine

NEIGHBOURS = 16  # impostors that are looked at for each person

_BLOCK_CELLS = 1 << 22  # of f32: 16 MiB for each table of a block
DOUBTFUL = 40.0  # lost by people who are most likely the same person: more than all of `Traits.unlike`


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Two photos of each of n people, f32[n, D] embeddings, the same photo twice where there is one, and their traits.

    Two people who are more similar than `ceiling` are most likely one person under two names: the last resort.
    """

    first: F32
    second: F32
    traits: Traits
    ceiling: float

    def similarity(self, a: int, b: int) -> float:
        """Of the first photo of `a` and the second of `b`, in [-1, 1]."""
        return cosine(self.first[a], self.second[b])


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The k nearest impostors of r people, best first, each f32[r, k] or i64[r, k].

    `score` is the similarity less what is lost for being unlike or doubtful; -inf where there is nobody.
    """

    people: Index
    score: F32
    similarity: F32


def nearest(faces: Faces, rows: Index, columns: Index, k: int = NEIGHBOURS, *, either: bool = False) -> Nearest:
    """The best impostors among i64[c] `columns`, at least 1, of each of i64[r] `rows`; nobody is one of themselves.

    Compares the first photo of the row with the second of the column; with `either`, takes the greater of that and of
    the similarity of the photos the other way round. At most `k` for each.
    """
    k = min(k, len(columns))
    found = [_block(faces, some, columns, k, either) for some in _blocks(rows, len(columns))]
    if not found:
        empty = np.empty((0, k), dtype=np.float32)
        return Nearest(np.empty((0, k), dtype=np.int64), empty, empty)
    people, score, similarity = zip(*found, strict=True)
    return Nearest(np.concatenate(people), np.concatenate(score), np.concatenate(similarity))


def _blocks(rows: Index, columns: int) -> Iterator[Index]:
    size = max(1, _BLOCK_CELLS // columns)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _block(faces: Faces, rows: Index, columns: Index, k: int, either: bool) -> tuple[Index, F32, F32]:
    similarity = faces.first[rows] @ faces.second[columns].T
    greater = np.maximum(similarity, faces.second[rows] @ faces.first[columns].T)
    if either:
        similarity = greater
    np.clip(similarity, -1.0, 1.0, out=similarity)
    score = similarity.copy()
    lost = faces.traits.unlike(rows, columns)
    if lost is not None:
        score -= lost
    score[greater >= faces.ceiling] -= np.float32(DOUBTFUL)  # whichever of their photos are compared
    score[rows[:, None] == columns[None, :]] = -np.inf
    if k < len(columns):
        best = np.argpartition(-score, k - 1, axis=1)[:, :k]
        best.sort(axis=1)  # so that ties go by the order of the columns
    else:
        best = np.broadcast_to(np.arange(k), score.shape)
    order = np.argsort(-np.take_along_axis(score, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    return columns[best], np.take_along_axis(score, best, axis=1), np.take_along_axis(similarity, best, axis=1)


@dataclass(frozen=True, slots=True)
class Impostors:
    """Two people, to be told apart: the first photo of `a` and the second of `b` are shown.

    `score` is as in `Nearest`; below -1 if they differ in data set, sex, ethnicity or age, or are perhaps one person.
    """

    a: int
    b: int
    score: float


def paired(faces: Faces, people: Index, count: int, known: Nearest, choice: int = 1) -> list[Impostors]:
    """Pairs of impostors among i64[n] `people` that share nobody, hardest first.

    At least `count`, and more for a choice: the harder half, or `choice` times `count`, of those in which one is a near
    impostor of the other, and neither unlike nor doubtful. Where these are too few, the best of those who are left.
    `known` holds the nearest impostors of everybody among everybody. ValueError where n < 2 * count.
    """
    if len(people) < 2 * count:
        raise ValueError(f"{count} pairs need {2 * count} people, not {len(people)}.")
    free = np.zeros(len(faces.first), dtype=np.bool_)
    free[people] = True
    pairs = _greedy(people, _only(known, people), free, free, len(people))
    while len(pairs) < count:  # near the end, those who are left are in nobody's list
        left = np.flatnonzero(free)
        pairs += _greedy(left, nearest(faces, left, left), free, free, count - len(pairs))
    pairs.sort(key=lambda pair: -pair.score)
    like = sum(pair.score >= -1.0 for pair in pairs)
    return pairs[: max(count, like // 2, min(choice * count, like))]


def assigned(faces: Faces, people: Index, others: Index) -> list[Impostors]:
    """An impostor among i64[o] `others` for each of i64[p] `people`, nobody twice, hardest first.

    ValueError where there are fewer others than people, or somebody is both.
    """
    if np.isin(people, others).any():
        raise ValueError("Nobody is their own impostor.")
    if len(others) < len(people):
        raise ValueError(f"{len(people)} people need as many impostors, not {len(others)}.")
    waiting = np.zeros(len(faces.first), dtype=np.bool_)
    free = waiting.copy()
    waiting[people] = True
    free[others] = True
    found: list[Impostors] = []
    while len(found) < len(people):
        rows, columns = np.flatnonzero(waiting), np.flatnonzero(free)
        found += _greedy(rows, nearest(faces, rows, columns, either=True), waiting, free, len(rows))
    return found


def _only(known: Nearest, rows: Index) -> Nearest:
    return Nearest(known.people[rows], known.score[rows], known.similarity[rows])


def _greedy(
    rows: Index,
    found: Nearest,
    waiting: np.ndarray[tuple[int], np.dtype[np.bool_]],
    free: np.ndarray[tuple[int], np.dtype[np.bool_]],
    most: int,
) -> list[Impostors]:
    """Take the hardest pairs first, of one person who waits and one who is free; neither is used again."""
    pairs: list[Impostors] = []
    flat = np.argsort(-found.score, axis=None, kind="stable")
    k = found.score.shape[1]
    scores, people = found.score.ravel(), found.people.ravel()
    for cell in flat.tolist():
        if len(pairs) == most or scores[cell] == -np.inf:
            break
        a, b = int(rows[cell // k]), int(people[cell])
        if waiting[a] and free[b]:
            waiting[a] = free[b] = False
            free[a] = waiting[b] = False
            pairs.append(Impostors(a, b, float(scores[cell])))
    return pairs
