"""A course of a plan without photos: items of known truth and difficulty, spread as the bank spreads them."""

from __future__ import annotations

import hashlib
from itertools import count
from statistics import NormalDist

import numpy as np

from fr_core.types import ModelId
from fr_training.answers import Usability
from fr_training.bank.manifest import ITEM_ID_DIGITS, course_sha256
from fr_training.bank.triage import DEGRADATIONS
from fr_training.courses import Course, Form, Item
from fr_training.keys import AnswerKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.plan import PAIRS, BlockPlan, CoursePlan
from fr_training.prompts import ExerciseKind
from fr_training.trials import OwnList

MODEL = ModelId("simulated", "1", "0" * 64)

Keyed = tuple[AnswerKey | None, float | None]
"""The key of an item, and its difficulty."""


def made_course(plan: CoursePlan, seed: int, now_ms: int) -> Course:
    """A course of a plan, the same for the same seed; no photo of it exists.

    The difficulties of each truth of a form are the quantiles of a normal distribution, brought to mean 0 and SD 1, as
    those of a large bank are after `fr_training.bank.difficulty.spread`; the forms of an equated set are equally hard.

    Args:
        plan: what is wanted.
        seed: shuffles, and draws where advice is wrong; at least 0.
        now_ms: milliseconds since 1970, UTC.
    """
    numbers = count()
    forms = {
        name: _form(name, block, numbers, np.random.default_rng([seed, place]))
        for place, (name, block) in enumerate(plan.forms().items())
    }
    searched = any(block.exercise == ExerciseKind.OWN_PROBE for block in plan.blocks)
    return Course(
        course_id=_digits(f"course {seed} {plan.title}"),
        plan=plan,
        datasets=("simulated",),
        terms=("no photo and no person: numbers alone",),
        model=MODEL,
        seed=seed,
        forms=forms,
        gallery_id="simulated" if searched else "",
        created_ms=now_ms,
        manifest_sha256=course_sha256(forms),
    )


def difficulties(items: int) -> list[float]:
    """Quantiles of a normal distribution, brought to mean 0 and SD 1 (n below the line); of one item, 0.

    Args:
        items: at least 0.
    """
    normal = NormalDist()
    values = np.array([normal.inv_cdf((n + 0.5) / items) for n in range(items)], dtype=np.float64)
    return [] if not items else [0.0] if items == 1 else [float(one) for one in values / values.std()]


def made_own_list(block: BlockPlan, rng: np.random.Generator) -> OwnList:
    """Draw what a search for an own probe finds: half of the time the person searched for, at any place."""
    mate = int(rng.integers(block.size)) if rng.random() < 0.5 else None
    return OwnList(tuple(range(block.size)), ListKey(mate, _falling(block.size)))


def _form(name: str, block: BlockPlan, numbers: count[int], rng: np.random.Generator) -> Form:
    keyed = _keyed(block, rng)
    items = [_item(f"{name} {n}", key, b, numbers) for n, (key, b) in enumerate(keyed)]
    told = [f"{item.item_id} {item.key} {item.b}" for item in items]
    sha256 = hashlib.sha256("\n".join(told).encode()).hexdigest()
    return Form(name, tuple(items[place] for place in rng.permutation(len(items)).tolist()), sha256)


def _item(name: str, key: AnswerKey | None, b: float | None, numbers: count[int]) -> Item:
    photos = tuple(next(numbers) for _ in range(_photos(key)))
    people = photos[:1] if isinstance(key, PairKey) and key.mated else photos
    return Item(_digits(name), photos, key, b, people)


def _photos(key: AnswerKey | None) -> int:
    match key:
        case PairKey():
            return 2
        case TriadKey():
            return 3
        case ListKey():
            return 1 + len(key.similarities)
        case TriageKey():
            return 1
    return 0


def _keyed(block: BlockPlan, rng: np.random.Generator) -> list[Keyed]:
    if block.exercise in PAIRS:
        return _pairs(block, rng)
    match block.exercise:
        case ExerciseKind.TRIAD:
            odd = rng.integers(3, size=(block.trials, 2)).tolist()
            levels = difficulties(block.trials)
            return [(TriadKey(pair[0], pair[1], 0.2 - 0.1 * b), b) for pair, b in zip(odd, levels, strict=True)]
        case ExerciseKind.CANDIDATES:
            mates = [int(one) for one in rng.integers(block.size, size=block.present)]
            present: list[Keyed] = [
                (ListKey(mate, _falling(block.size)), b)
                for mate, b in zip(mates, difficulties(block.present), strict=True)
            ]
            return present + [(ListKey(None, _falling(block.size)), b) for b in difficulties(block.absent)]
        case ExerciseKind.TRIAGE:
            counts = (block.usable, block.limited, block.reject)
            return [key for one, number in zip(Usability, counts, strict=True) for key in _triage(one, number)]
    return [(None, None)] * block.trials


def _pairs(block: BlockPlan, rng: np.random.Generator) -> list[Keyed]:
    aided = block.exercise == ExerciseKind.AIDED
    half = block.wrong // 2
    wrong_same = min(max(half, block.wrong - block.different), block.same)
    keyed: list[Keyed] = []
    for mated, items, wrong in ((True, block.same, wrong_same), (False, block.different, block.wrong - wrong_same)):
        misled = frozenset(rng.permutation(items)[:wrong].tolist())
        for n, b in enumerate(difficulties(items)):
            similarity = (0.5 if mated else 0.25) + (-0.1 if mated else 0.1) * b
            advice = (mated != (n in misled)) if aided else None
            keyed.append((PairKey(mated, similarity, 10.0 * (similarity - 0.375), advice), b))
    return keyed


def _triage(usability: Usability, number: int) -> list[Keyed]:
    if usability == Usability.USABLE:
        return [(TriageKey(usability, None, 0.0), None)] * number
    made = [(kind, strength) for kind, one in DEGRADATIONS.items() for strength in one.strengths(usability)]
    return [(TriageKey(usability, *made[n % len(made)]), None) for n in range(number)]


def _falling(size: int) -> tuple[float, ...]:
    """Similarities of a list, the best first."""
    return tuple(0.6 - 0.4 * place / size for place in range(size))


def _digits(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:ITEM_ID_DIGITS]
