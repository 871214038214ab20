"""Chooses the item that a block shows next: every session has an order of its own, and no item comes twice.

Ids and orders are HMAC-SHA256 (RFC 2104) of the session's secret, a label and numbers: the same on every machine, ids
tell nothing, and nobody can foresee an order or learn about one id from another.

In an adaptive block the next pair is as hard as it must be for the trainee to be right as often as the plan wants. The
model is the three-parameter logistic with a guess rate of one half, P = g + (1 - g) s(theta - b), g = 1/2 (A. Birnbaum,
in F. M. Lord and M. R. Novick, "Statistical Theories of Mental Test Scores", 1968); the ability theta is estimated as
the mean of its posterior after every answer (R. D. Bock and R. J. Mislevy, Applied Psychological Measurement 6, 1982,
431-444), and the item is taken whose difficulty b is nearest to theta less the offset of the wanted P.

No answer decides whether the next pair shows one person or two: that is drawn before the block begins, so that it tells
nothing. Only the difficulty within that class follows the trainee.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

import numpy as np

from fr_locales.messages import message
from fr_training.courses import Course, Form, Item
from fr_training.errors import UnknownSitting
from fr_training.exercises import exercise_of
from fr_training.keys import PairKey
from fr_training.plan import BlockPlan, SittingPlan
from fr_training.statistics.item_response import closest, eap, offset_for
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


GUESS_RATE = 0.5
"""Of a pair: one of two answers."""

PRIOR_SD = 2.0
"""Of ability, about the mean difficulty of the items. Nobody knows beforehand how far trainees are spread on the scale
that the items are standardised on; twice the spread of the items lets an ability of 2 be reached within some 20 trials,
where a prior of 1 is still drawn to the middle after 40 (simulated, `tests/property/test_sessions_machine.py`)."""


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


def _nearest(unused: Sequence[Item], mated: bool, target: float, answered: Sequence[tuple[float, bool]]) -> list[Item]:
    """The items of a class that may be shown next: several where they are equally near to what is wanted.

    Of the other class where that one is used up; none where all are. `answered` holds the difficulty of each pair that
    counts, and whether its answer was right; an undecided rating counts as wrong, as it says that the trainee does not
    know, and the model takes no half answers.
    """
    of_class = [item for item in unused if is_mated(item) == mated] or list(unused)
    if not of_class:
        return []
    given, right = np.array([b for b, _ in answered], np.float64), np.array([one for _, one in answered], np.bool_)
    ability = eap(given, right, GUESS_RATE, sd=PRIOR_SD).theta  # 0, the prior's mean, where there are no answers
    b = np.array([_difficulty(item) for item in of_class], np.float64)
    best = b[closest(b, ability - offset_for(target, GUESS_RATE))]
    return [item for item, hard in zip(of_class, b, strict=True) if hard == best]


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
    session and tells nothing. An adaptive block chooses by difficulty instead.
    """
    form = course.forms[block.forms[session.group]]
    trials = [trial for trial in session.trials if trial.block_id == block.block_id]
    shown = frozenset(trial.item_id for trial in trials)
    items = [item for item in form.items if item.item_id not in shown]
    if block.adaptive:
        same = sum(map(is_mated, form.items))
        total = trials_of(course, block, session.group)
        classes = class_order(session.secret, block.block_id, same, len(form.items) - same, total)
        items = _nearest(items, classes[len(trials)], block.target, _answered(form, block, trials))
    return min(items, key=lambda item: digest(session.secret, "item", block.block_id, item.item_id), default=None)


def _answered(form: Form, block: BlockPlan, trials: list[Trial]) -> list[tuple[float, bool]]:
    """Difficulty and success of the trials that say something of the trainee: done, and of unknown people."""
    exercise = exercise_of(block.exercise)
    items = {item.item_id: item for item in form.items}
    found = []
    for trial in trials:
        item = items[trial.item_id]
        if not trial.done or item.key is None or any(one.answer.known_to_me for one in trial.locked):
            continue
        graded = exercise.grade(item.key, trial, ())  # a rating names no picture
        found.append((_difficulty(item), graded.correct is True))
    return found
