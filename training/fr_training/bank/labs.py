"""Makes the questions of labs from the errors of the course's own model on the course's own photos, and of lessons.

Nothing here is made up: thresholds, galleries and groups are those of the embeddings from which the course is made, and
photos are made poorer and analysed anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations, pairwise

import numpy as np

from fr_locales.messages import message
from fr_training.answers import MAX_ROWS, Degraded, Usability
from fr_training.bank.lab_errors import Faces, faces_of, rate_of_people, row_of, strict_threshold, thresholds
from fr_training.bank.labels import age_of, ethnicity_of, sex_of
from fr_training.bank.manifest import ITEM_ID_DIGITS, canonical, sha256_of
from fr_training.bank.pool import F32, PoolPhoto
from fr_training.bank.prepared import Bools
from fr_training.bank.triage import DEGRADATIONS
from fr_training.bank.workbench import FormSet, Workbench
from fr_training.courses import Item
from fr_training.errors import TooFewPeople
from fr_training.keys import LabKey
from fr_training.lessons import lesson
from fr_training.plan import CoursePlan
from fr_training.prompts import Lab, LabKind, LabRow

Spoil = Callable[[Sequence[PoolPhoto], Degraded | None, float], Sequence[F32 | None]]
"""Renders photos poorer, by a kind and a strength of `bank.triage`, None for none, and analyses them anew.

Returns embeddings, f32[D] of length 1; None where no face is found any more.
"""

LEAST_IN_GROUP = 10  # people of a group, below which nothing is said of it

_MOST_SPOILT = 100  # whose photos are made poorer, as each is analysed several times
_SIZES = (5, 10, 20, 50, 100, 200, 500, 1_000)  # of galleries
_ONE_IN = (2, 10, 100)  # people who are searched for, of whom one is enrolled
_FAULTS = (Degraded.RESOLUTION, Degraded.BLUR, Degraded.COMPRESSION, Degraded.NOISE)
_NEAR = 5.0  # percentage points
_NEAR_RATIO = 1.5  # of small rates, where five points say nothing

GroupsOf = Callable[[Mapping[str, str]], str]
_GROUPS: Mapping[str, GroupsOf] = {
    "sex": sex_of,
    "ethnicity": ethnicity_of,
    "age": lambda labels: "" if (age := age_of(labels)) is None else f"{int(age) // 10 * 10}-{int(age) // 10 * 10 + 9}",
}


def require_groups(plan: CoursePlan, labels: Sequence[Mapping[str, str]]) -> None:
    """Raise `TooFewPeople` where a lab is about groups, and the labels of the people name too few large ones."""
    if any(block.about == LabKind.GROUPS for block in plan.blocks) and not any(map(_sizes(labels).get, _GROUPS)):
        raise TooFewPeople(message("error.bank.no_groups", least=LEAST_IN_GROUP), missing=str(LEAST_IN_GROUP))


def _sizes(labels: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """The groups that are large enough, by kind of label, in the order of the alphabet; none where there is but one.

    Of more than `MAX_ROWS` the largest.
    """
    found = {}
    for kind, group_of in _GROUPS.items():
        counts = Counter(word for one in labels if (word := group_of(one)))
        large = sorted(word for word, count in counts.most_common(MAX_ROWS) if count >= LEAST_IN_GROUP)
        found[kind] = large if len(large) > 1 else []
    return found


def lab_items(bench: Workbench, one: FormSet, spoil: Spoil | None, asked: Collection[str]) -> dict[str, list[Item]]:
    """Make the forms of a set: questions that differ, as many as the block has trials if there are so many.

    Those that other forms have `asked` already, by id, come last. Raises `TooFewPeople` where the photos allow none.
    """
    faces = faces_of(bench)
    items: dict[str, list[Item]] = {}
    for name in one.forms:
        rng = bench.rng("lab", name)
        found = _labs(LabKind(one.block.about), faces, rng, spoil)
        left = ([lab for lab in labs if _item(lab).item_id not in bench.learned.suspects] for labs in found)
        labs = _chosen(left, one.block.trials, rng, asked)
        if not labs:
            raise TooFewPeople(message("error.bank.no_lab", about=one.block.about), missing="1")
        items[name] = [_item(lab) for lab in labs]
    return items


def _item(lab: Lab) -> Item:
    key = _key(lab)
    told = {"kind": "Lab", "lab": asdict(lab), "right": key.right}
    return Item(sha256_of(canonical(told))[:ITEM_ID_DIGITS], (), key, None, (), asked=lab)


def lesson_items(name: str) -> list[Item]:
    """The parts of a lesson, in their order; what is asked and what is right make their ids, and not the text."""
    items = []
    for one in lesson(name).sections:
        part, key = one.part, one.key
        asked = {"section": part.section, "question": part.question, "options": part.options, "right": key.right}
        told = {"kind": "Lesson", "lesson": name, **asked}
        items.append(Item(sha256_of(canonical(told))[:ITEM_ID_DIGITS], (), key, None, (), asked=part))
    return items


def _key(lab: Lab) -> LabKey:
    row = lab.rows[lab.asked]
    of_false = lab.kind in (LabKind.GALLERY, LabKind.GROUPS)
    one = row.false if of_false else row.missed
    low, high = 100.0 * one.low, 100.0 * one.high
    if lab.kind == LabKind.GROUPS:
        low, high = min(low, one.percent / _NEAR_RATIO), max(high, one.percent * _NEAR_RATIO)
    else:
        low, high = min(low, one.percent - _NEAR), max(high, one.percent + _NEAR)
    return LabKey(lab.kind, right_row(lab), one.percent, max(0.0, low), min(100.0, high))


def right_row(lab: Lab) -> int:
    """The row that answers a lab, from 1, or 0 for none: a trainee can find it from the table alone.

    Of thresholds and photos the last row that misses at most `limit` percent. Of galleries the last in which at least
    half of the searches with a lead are for somebody who is enrolled and found, where one of `limit` people searched
    for is enrolled. Of groups the one whose interval of false matches lies above those of all others.
    """
    match lab.kind:
        case LabKind.THRESHOLD | LabKind.QUALITY:
            fits = [row.missed.percent <= lab.limit for row in lab.rows]
        case LabKind.GALLERY:
            fits = [
                1.0 - row.missed.count / row.missed.total >= (lab.limit - 1.0) * row.false.count / row.false.total
                for row in lab.rows
            ]
        case LabKind.GROUPS:
            fits = [all(row.false.low > other.false.high for other in lab.rows if other is not row) for row in lab.rows]
    return max((n for n, fit in enumerate(fits, start=1) if fit), default=0)


def _labs(kind: LabKind, faces: Faces, rng: np.random.Generator, spoil: Spoil | None) -> Iterator[list[Lab]]:
    """Yield questions that go together: of each list, one comes before another of the same."""
    match kind:
        case LabKind.THRESHOLD:
            yield _threshold_labs(faces)
        case LabKind.GALLERY:
            yield _gallery_labs(faces)
        case LabKind.QUALITY:
            if spoil is None:
                raise ValueError("A lab on quality needs photos that are made poorer.")
            for number in rng.permutation(len(_FAULTS)).tolist():
                yield _quality_labs(faces, _FAULTS[number], spoil)
        case LabKind.GROUPS:
            for fault, groups in _sizes([one.labels for one in faces.people]).items():
                yield _group_labs(faces, fault, groups)


def _chosen(found: Iterator[list[Lab]], trials: int, rng: np.random.Generator, asked: Collection[str]) -> list[Lab]:
    """Draw from each list in turn, where there is but one, all from it; those that were `asked` come last."""
    left: list[list[Lab]] = []
    chosen: list[Lab] = []
    for labs in found:
        if labs and len(chosen) < trials:
            drawn = (labs[n] for n in rng.permutation(len(labs)).tolist())
            shuffled = sorted(drawn, key=lambda lab: _item(lab).item_id in asked)
            chosen.append(shuffled[0])
            left.append(shuffled[1:])
        if len(chosen) == trials:  # before photos are made poorer for nothing
            break
    while len(chosen) < trials and any(left):
        for labs in left:
            if labs and len(chosen) < trials:
                chosen.append(labs.pop(0))
    return chosen


def _threshold_labs(faces: Faces) -> list[Lab]:
    others = faces.others()
    steps = [threshold for _, threshold in thresholds(others)]
    rows = [row_of(f"{one:.3f}", others, len(faces.people), faces.own, one) for one in steps]
    return [
        Lab(LabKind.THRESHOLD, tuple(rows), given, asked, limit, steps[asked])
        for given, asked in combinations(range(len(rows)), 2)
        for limit in _limits(rows)
    ]


def _limits(rows: Sequence[LabRow]) -> list[float]:
    """Percentages that lie between two rows, with one decimal; where all rows miss as many, one above."""
    shares = sorted({row.missed.percent for row in rows})
    between = [round((low + high) / 2.0, 1) for low, high in pairwise(shares)]
    limits = [limit for limit, (low, high) in zip(between, pairwise(shares), strict=True) if low <= limit < high]
    return limits or ([round(shares[-1] + 1.0, 1)] if shares and shares[-1] < 99.0 else [])


def _gallery_labs(faces: Faces) -> list[Lab]:
    """Everybody with two photos is enrolled, up to half of the people; the others are searched for and not there."""
    threshold = strict_threshold(faces.others())
    most = min(faces.mated, len(faces.people) // 2)
    if threshold is None:
        return []
    best = faces.first[most:] @ faces.second[:most].T
    rows = [
        LabRow(
            str(size),
            rate_of_people(int((best[:, :size].max(axis=1) >= threshold).sum()), len(best)),
            rate_of_people(int((faces.own[:size] < threshold).sum()), size),
        )
        for size in _SIZES
        if size <= most
    ]
    return [
        Lab(LabKind.GALLERY, tuple(rows), given, asked, float(one_in), threshold)
        for given, asked in combinations(range(len(rows)), 2)
        for one_in in _ONE_IN
    ]


def _quality_labs(faces: Faces, fault: Degraded, spoil: Spoil) -> list[Lab]:
    """One of the two photos of a person is made poorer; a face that is not found any more is missed."""
    threshold = strict_threshold(faces.others())
    count = min(faces.mated, _MOST_SPOILT)
    if threshold is None:
        return []
    photos = tuple(one.photos[0] for one in faces.people[:count])
    kind = DEGRADATIONS[fault]
    rows = []
    for strength in (0.0, *kind.strengths(Usability.LIMITED), *kind.strengths(Usability.REJECT)):
        vectors = spoil(photos, fault if strength else None, strength)
        found = np.array([one is not None for one in vectors])
        stacked = np.stack([np.zeros_like(faces.first[0]) if one is None else one for one in vectors])
        poorer = replace(faces, people=faces.people[:count], first=stacked, second=faces.second[:count], mated=count)
        others, own = poorer.others(), np.where(found, poorer.own, -1.0)
        rows.append(row_of(f"{strength:g}", np.where(_first_of(found), others, -1.0), count, own, threshold))
    return [
        Lab(LabKind.QUALITY, tuple(rows), 0, asked, limit, threshold, str(fault))
        for asked in range(1, len(rows))
        for limit in _limits(rows)
    ]


def _first_of(found: Bools) -> Bools:
    """Of every two people, as in `Faces.others`, whether the face in the first one's photo was found."""
    return np.asarray(found[np.triu_indices(len(found), 1)[0]], dtype=np.bool_)


def _group_labs(faces: Faces, label: str, groups: Sequence[str]) -> list[Lab]:
    """Everybody of a group is compared with everybody else of it, at one threshold for all."""
    others = faces.others()
    found = [threshold for target, threshold in thresholds(others) if target >= 0.01]
    if not found:
        return []
    rows = []
    for group in groups:
        among = [n for n, one in enumerate(faces.people) if _GROUPS[label](one.labels) == group]
        own = faces.own[[n for n in among if n < faces.mated]]
        if len(own):
            rows.append(row_of(group, faces.others(among), len(among), own, found[-1]))
    return [
        Lab(LabKind.GROUPS, tuple(rows), given, asked, 0.0, found[-1], label)
        for given in range(len(rows))
        for asked in range(len(rows))
        if given != asked
    ]
