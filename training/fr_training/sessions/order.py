"""Chooses the item that a block shows next: every session has an order of its own, and no item comes twice.

Ids and orders are HMAC-SHA256 (RFC 2104) of the session's secret, a label and numbers: the same on every machine, ids
tell nothing, and nobody can foresee an order or learn about one id from another.

In an adaptive block the next pair is as hard as it must be for the trainee to be right as often as the plan wants. All
ratings of the session that nothing but the photos moved say how able somebody is, those of a test before the block as
well (`fr_training.statistics.graded`). The pair is taken whose chance of a right answer is nearest to the wanted one.

No answer decides whether the next pair shows one person or two: that is drawn before the block begins, so that it tells
nothing. Only the difficulty within that class follows the trainee.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

import numpy as np

from fr_locales.messages import message
from fr_training.answers import PairRating
from fr_training.courses import Course, Item
from fr_training.errors import UnknownSitting
from fr_training.exercises.exercise import given_at
from fr_training.keys import PairKey
from fr_training.plan import BlockPlan, SittingPlan
from fr_training.prompts import ExerciseKind, Step
from fr_training.statistics.graded import right_at
from fr_training.statistics.ordered_probit import Rated
from fr_training.trials import Session, Trial


def digest(secret: bytes, label: str, *parts: int | str) -> bytes:
    """HMAC-SHA256 of a label, one for each use, and of numbers and ids without NUL characters: 32 bytes."""
    return hmac.digest(secret, "\0".join((label, *map(str, parts))).encode(), "sha256")


def trial_id(secret: bytes, ordinal: int) -> str:
    """Id of the trial of a number in the session, from 0: 32 hexadecimal digits."""
    return digest(secret, "trial", ordinal).hex()[:32]


def picture_ids(secret: bytes, ordinal: int, pictures: int) -> tuple[str, ...]:
    """Ids of the pictures of a trial by shown position: 16 hexadecimal digits each.

    They depend on the trial and on the position alone, so the same photo has another id wherever it is shown again.
    """
    return tuple(digest(secret, "picture", ordinal, n).hex()[:16] for n in range(pictures))


def rng_of(secret: bytes, label: str, number: int) -> np.random.Generator:
    """A generator for one use; the same secret, label and number give the same draws with one version of NumPy.

    NumPy may change its streams between versions, so what is drawn here is kept in the session, never drawn again.
    """
    return np.random.default_rng(int.from_bytes(digest(secret, label, number), "big"))


def class_order(secret: bytes, block_id: str, same: int, different: int, trials: int) -> tuple[bool, ...]:
    """Draw for each trial of a block whether it shows one person: as large a share as in the form.

    Where that leaves a fraction of a trial, it is drawn as well. `same` and `different` count the form's pairs of one
    person and of two; `trials` is `same + different` at most.
    """
    share = trials * same / (same + different)
    whole = int(share)
    draw = int.from_bytes(digest(secret, "class-share", block_id)[:8], "big") / 2**64
    mated = whole + (draw < share - whole)
    # Eight bytes for each place, four places in a digest.
    keys = b"".join(digest(secret, "class", block_id, n) for n in range(-(-trials // 4)))
    places = sorted(range(trials), key=lambda n: keys[8 * n : 8 * n + 8])
    chosen = frozenset(places[:mated])
    return tuple(n in chosen for n in range(trials))


MOVED_BY_PHOTOS = frozenset({ExerciseKind.VERIFICATION, ExerciseKind.FEATURES, ExerciseKind.BLIND, ExerciseKind.AIDED})
"""Exercises whose first ratings say how able somebody is; where two people are rare, the criterion moves."""


def _nearest(unused: Sequence[Item], mated: bool, target: float, answered: Sequence[Rated]) -> list[Item]:
    """The items of a class that may be shown next: several where they are equally near to what is wanted.

    Of the other class where that one is used up; none where all are.
    """
    of_class = [item for item in unused if is_mated(item) == mated] or list(unused)
    if not of_class:
        return []
    b = np.unique(np.array([_difficulty(item) for item in of_class], np.float64))
    best = float(b[np.abs(right_at(answered, b) - target).argmin()])
    return [item for item in of_class if _difficulty(item) == best]


def is_mated(item: Item) -> bool:
    """True if an item is a pair of one person."""
    return isinstance(item.key, PairKey) and item.key.mated


def _difficulty(item: Item) -> float:
    """The difficulty of an item; one without has the mean of its kind, which is 0 by definition."""
    return 0.0 if item.b is None else item.b


def sitting_of(course: Course, name: str) -> SittingPlan:
    """The sitting of a name; raises `UnknownSitting` where the course has none of that name."""
    sitting = next((one for one in course.plan.sittings if one.name == name), None)
    if sitting is None:
        raise UnknownSitting(message("error.session.no_sitting"))
    return sitting


def block_of(course: Course, session: Session, block_id: str) -> BlockPlan:
    """The block of a trial; one that the sitting has, as the trial was shown in it."""
    return next(block for block in sitting_of(course, session.sitting).blocks if block.block_id == block_id)


def trials_of(course: Course, block: BlockPlan, group: int) -> int:
    """Count the trials of a trainee in a block: as planned, but never more than its form has items."""
    return min(block.shown, len(course.forms[block.forms[group]].items))


def trials_of_sitting(course: Course, sitting: SittingPlan, group: int) -> int:
    """Count the trials of a trainee in a sitting."""
    return sum(trials_of(course, block, group) for block in sitting.blocks)


def item_of(course: Course, trial: Trial) -> Item:
    """The item that a trial shows."""
    return next(item for item in course.forms[trial.form].items if item.item_id == trial.item_id)


def is_used_up(course: Course, session: Session, block: BlockPlan) -> bool:
    """True if a block has shown all its trials."""
    shown = sum(trial.block_id == block.block_id for trial in session.trials)
    return shown >= trials_of(course, block, session.group)


def next_item(course: Course, session: Session, block: BlockPlan) -> Item | None:
    """The item that a block shows next, one that it has not shown; None where it has shown all.

    The order follows from the secret of the session and from the ids of the items, so that it is another in every
    session and tells nothing. An adaptive block chooses by difficulty instead, and a lesson keeps its own order.
    """
    form = course.forms[block.forms[session.group]]
    trials = [trial for trial in session.trials if trial.block_id == block.block_id]
    shown = frozenset(trial.item_id for trial in trials)
    items = [item for item in form.items if item.item_id not in shown]
    if block.exercise == ExerciseKind.LESSON:
        return next(iter(items), None)
    if block.adaptive:
        same = sum(map(is_mated, form.items))
        total = trials_of(course, block, session.group)
        classes = class_order(session.secret, block.block_id, same, len(form.items) - same, total)
        items = _nearest(items, classes[len(trials)], block.target, _answered(course, session))
    return min(items, key=lambda item: digest(session.secret, "item", block.block_id, item.item_id), default=None)


def _answered(course: Course, session: Session) -> list[Rated]:
    """The first rating of each pair that says something of the trainee: done, and of unknown people."""
    kinds = {block.block_id: block.exercise for block in sitting_of(course, session.sitting).blocks}
    shown = {trial.form for trial in session.trials}
    items = {name: {item.item_id: item for item in course.forms[name].items} for name in shown}
    found = []
    for trial in session.trials:
        key, given = items[trial.form][trial.item_id].key, given_at(trial.locked, Step.RATE)
        known = any(one.answer.known_to_me for one in trial.locked)
        if not trial.done or known or kinds[trial.block_id] not in MOVED_BY_PHOTOS:
            continue
        if isinstance(key, PairKey) and isinstance(given, PairRating):
            found.append(Rated(key.mated, _difficulty(items[trial.form][trial.item_id]), given.rating))
    return found
