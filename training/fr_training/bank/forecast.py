"""Forecasts how hard each form will be: for people, for pixels or colours compared, and for the machine.

The share that people get right is a guess of wide bounds, made before anybody has answered:

* Unfamiliar faces that look alike: 82.9 % of pairs (SD 7.5 between people) in GFMT2-S, 73.9 % (9.6) in its hard
  version, about 81 % in the GFMT (sources in `fr_training.statistics.change`): d' = 2 z(share).
* LFW's own pairs, most of whose people do not look alike at all: 97.5 %, as news quote it (Science, "Face recognition
  algorithm finally beats humans", April 2014). That it was measured on cropped faces by Kumar, Berg, Belhumeur and
  Nayar (ICCV 2009) is from memory. Of another set of press photos, frontal: 96.2 % (Sengupta and others, "Frontal to
  profile face verification in the wild", WACV 2016, abstract).
* Between both it goes by how alike the machine finds the people of the pairs. Clues add to it, as far as people use
  them, of which nothing is known: from not at all to fully.
* Lists and triads follow from the same d' by signal detection with independent noise: a probe is compared with each
  candidate, and the best is taken if it passes a criterion that suits lists with the person and without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import NormalDist

import numpy as np

from fr_core.scoring.auc import auc
from fr_core.scoring.checks import F64
from fr_locales.messages import Message, Written, message
from fr_training.bank.clues import CLUES, COLOURS, PIXELS, areas, between
from fr_training.bank.pool import Looks
from fr_training.courses import Forecast, Form, Item, Share
from fr_training.keys import ListKey, PairKey, TriadKey
from fr_training.plan import PAIRS, BlockPlan, CoursePlan
from fr_training.prompts import ExerciseKind

FEWEST = 10
"""Pairs of each kind, from which areas under the curve of a form are told; of fewer, those of all forms together."""

FEWEST_LISTS = 14
"""Lists below which reports do not say of one trainee that none went wrong; see `fr_training.grading.certainty.FEW`."""

FAIR = 0.65  # area under the curve up to which pixels or colours tell little
CLEAR = 0.80  # area above which they tell so much that a block no longer tests the comparison of faces
EASY = 0.93
"""Expected share of right answers from which a block is called easy: at most one answer in 14 tells anything."""

_UNFORESEEN = (
    *(ExerciseKind.TRIAGE, ExerciseKind.OWN_PROBE, ExerciseKind.LAB, ExerciseKind.EVIDENCE),
    ExerciseKind.LESSON,
)
_Z = NormalDist()
_ALIKE = (2.0 * _Z.inv_cdf(0.80), 0.5)  # mean and SD over tests of d' for people who look alike
_UNLIKE = 2.0 * _Z.inv_cdf(0.975)
_CLEAREST = 0.99  # area that clues are taken for at most
_POORER = (
    0.5,
    1.0,
)  # share of d' that is left where photos are made poorer: about as GFMT2-H has against GFMT2-S, or all
_QUANTILES = (0.05, 0.5, 0.95)
_DRAWS = 2_001
_GRID = np.linspace(-5.0, 10.0, 301)


@dataclass(frozen=True, slots=True)
class Reference:
    """Similarities in the pool, in [-1, 1]: of people drawn at random, and of everybody to the most alike person."""

    strangers: float
    look_alikes: float


def forecasts(
    plan: CoursePlan,
    forms: Mapping[str, Form],
    looks: Mapping[int, Looks],
    enlarged: Mapping[int, float],
    near: Reference,
) -> tuple[Forecast, ...]:
    """Forecast each form of a course but those of triage, own probes, labs and evidence.

    `looks` are those of the pictures of pairs, by number, as they are shown; `enlarged` says how far each picture was
    enlarged.
    """
    everything = areas_of([item for form in forms.values() for item in form.items], looks)
    pairs = [item.key for form in forms.values() for item in form.items if isinstance(item.key, PairKey)]
    nonmated = [key.similarity for key in pairs if not key.mated]
    found = []
    for name, block in plan.forms().items():
        if block.exercise in _UNFORESEEN:
            continue
        items = forms[name].items
        most = max((enlarged[number] for item in items for number in item.photos), default=1.0)
        if block.exercise in PAIRS:
            found.append(_of_pairs(name, block, items, looks, everything, near, most))
        else:
            alike = float(np.mean(nonmated)) if nonmated else None
            found.append(_of_choices(name, block, items, near, alike, most))
    return tuple(found)


def _of_pairs(
    name: str,
    block: BlockPlan,
    items: Sequence[Item],
    looks: Mapping[int, Looks],
    everything: tuple[float, ...],
    near: Reference,
    enlarged: float,
) -> Forecast:
    keys = [item.key for item in items if isinstance(item.key, PairKey)]
    mated, nonmated = (np.array([key.similarity for key in keys if key.mated == truth]) for truth in (True, False))
    enough = min(len(mated), len(nonmated)) >= FEWEST
    told = areas_of(items, looks) if enough else everything
    pixels, colours = (max(told[PIXELS]), max(told[COLOURS])) if told else (None, None)
    clue = max((area for area in (pixels, colours) if area is not None), default=0.5)
    alike = float(nonmated.mean()) if len(nonmated) else None
    draws = _dprimes(alike, near, clue, poorer=bool(block.poorer.told))
    return Forecast(
        form=name,
        right=_share([_Z.cdf(d / 2.0) for d in draws.tolist()]),
        pixels=pixels,
        colours=colours,
        machine=auc(mated, nonmated) if len(mated) and len(nonmated) else None,
        of_all=bool(told) and not enough,
        similarity=alike,
        few=not enough and _measures(block),
        enlarged=round(enlarged, 1),
    )


def _measures(block: BlockPlan) -> bool:
    """True if answers are to say something, and not to be learned from."""
    return not block.feedback and not block.adaptive


def _of_choices(
    name: str, block: BlockPlan, items: Sequence[Item], near: Reference, pairs: float | None, enlarged: float
) -> Forecast:
    """Of triads and lists."""
    foils = [
        similarity
        for item in items
        if isinstance(item.key, ListKey)
        for place, similarity in enumerate(item.key.similarities)
        if place != item.key.mate
    ]
    alike = float(np.mean(foils)) if foils else None
    draws = _dprimes(
        alike if block.exercise == ExerciseKind.CANDIDATES else None, near, 0.5, poorer=bool(block.poorer.told)
    )
    right = [_triad(d) if block.exercise == ExerciseKind.TRIAD else _list(d, block) for d in draws.tolist()]
    wins = [item.key.odd == item.key.machine_odd for item in items if isinstance(item.key, TriadKey)]
    wins += [_first(item.key) for item in items if isinstance(item.key, ListKey) and item.key.mate is not None]
    return Forecast(
        form=name,
        right=_share(right),
        machine=float(np.mean(wins)) if wins else None,
        similarity=alike,
        of_pairs=pairs,
        few=len(items) < (FEWEST_LISTS if foils else FEWEST) and _measures(block),
        enlarged=round(enlarged, 1),
    )


def _first(key: ListKey) -> bool:
    """True if the person searched for is the most similar of the list."""
    return key.mate == 0


def areas_of(items: Sequence[Item], looks: Mapping[int, Looks]) -> tuple[float, ...]:
    """The area under the curve of each clue, as `areas` gives it, of the pairs among some items."""
    rows: dict[bool, list[tuple[float, ...]]] = {True: [], False: []}
    for item in items:
        if isinstance(item.key, PairKey):
            first, *others = (looks.get(number) for number in item.photos)  # of a track, the shot most like the photo
            clues = zip(*(between(first, other) for other in others), strict=True)
            rows[item.key.mated].append(tuple(map(max, clues)))
    same, different = (np.array(rows[truth], dtype=np.float64).reshape(-1, CLUES) for truth in (True, False))
    return areas(same, different)


def _dprimes(alike: float | None, near: Reference, clue: float, *, poorer: bool) -> F64:
    """f64[n] draws of d' of a group of people, from what is not known of it."""
    rng = np.random.default_rng(1)
    range_of = near.look_alikes - near.strangers
    hard = 1.0 if alike is None or range_of <= 0.0 else float(np.clip((alike - near.strangers) / range_of, 0.0, 1.0))
    faces = hard * rng.normal(*_ALIKE, _DRAWS) + (1.0 - hard) * rng.normal(_UNLIKE, _ALIKE[1], _DRAWS)
    faces *= rng.uniform(*_POORER, _DRAWS) if poorer else 1.0
    clues = rng.uniform(0.0, 1.0, _DRAWS) * np.sqrt(2.0) * _Z.inv_cdf(min(max(clue, 0.5), _CLEAREST))
    return np.asarray(np.hypot(np.maximum(faces, 0.1), clues), dtype=np.float64)


def _share(values: Sequence[float]) -> Share:
    low, middle, high = np.quantile(np.array(values), _QUANTILES)
    return Share(round(float(low), 3), round(float(middle), 3), round(float(high), 3))


_DENSITY = np.array([_Z.pdf(x) for x in _GRID])
_BELOW = np.array([_Z.cdf(x) for x in _GRID])
_STEP = float(_GRID[1] - _GRID[0])


def _density(d: float) -> F64:
    """Of the comparison of two photos of one person, on the grid; d' of this trial is of one interval."""
    return np.asarray(np.interp(_GRID - d, _GRID, _DENSITY, left=0.0, right=0.0), dtype=np.float64)


def _triad(d: float) -> float:
    """The share of triads in which the two photos of one person seem most alike."""
    return float((_density(d) * _BELOW**2).sum() * _STEP)


def _list(d: float, block: BlockPlan) -> float:
    """The share of right decisions, with the criterion that makes both kinds of lists right most often together."""
    with_person = (_density(d) * _BELOW ** (block.size - 1) * _STEP)[::-1].cumsum()[::-1]  # passing each criterion
    without = _BELOW**block.size
    best = int(np.argmax(with_person + without))
    return float((block.present * with_person[best] + block.absent * without[best]) / block.items)


def warnings_of(one: Forecast) -> tuple[Message, ...]:
    """Warn the trainer, before the course is made, of all that stands out; empty where nothing does."""
    found = []
    of_all = message("forecast.of_all") if one.of_all else ""
    if one.pixels is not None and one.pixels > CLEAR:
        found.append(message("forecast.pixels_tell", cases=round(100 * one.pixels), of_all=of_all))
    elif one.pixels is not None and one.pixels > FAIR:
        found.append(message("forecast.pixels_help", cases=round(100 * one.pixels), of_all=of_all))
    if one.colours is not None and one.colours > CLEAR:
        found.append(message("forecast.colours_tell", cases=round(100 * one.colours), of_all=of_all))
    elif one.colours is not None and one.colours > FAIR:
        found.append(message("forecast.colours_help", cases=round(100 * one.colours), of_all=of_all))
    if one.of_pairs is not None and one.similarity is not None and one.similarity < one.of_pairs:
        found.append(
            message(
                "forecast.lists_too_easy", foils=Written(f"{one.similarity:.2f}"), pairs=Written(f"{one.of_pairs:.2f}")
            )
        )
    if one.right.expected >= EASY:
        found.append(message("forecast.too_easy", right=round(100 * one.right.expected)))
    if one.few:
        found.append(message("forecast.few"))
    if one.enlarged > 1.0:
        found.append(message("forecast.enlarged", times=ceil(one.enlarged)))
    return tuple(found)


def sentence_of(one: Forecast) -> Message:
    """Say how many of a hundred answers people are expected to get right."""
    low, expected, high = (round(100 * share) for share in (one.right.low, one.right.expected, one.right.high))
    return message("forecast.right", low=low, expected=expected, high=high)
