"""Chooses the item that a block shows next: every session has an order of its own, and no item comes twice."""

from __future__ import annotations

from fr_training.courses import Course, Form, Item
from fr_training.errors import UnknownSitting
from fr_training.exercises.register import exercise_of
from fr_training.plan import BlockPlan, SittingPlan
from fr_training.sessions import adaptive
from fr_training.sessions.ids import digest
from fr_training.trials import Session, Trial


def sitting_of(course: Course, name: str) -> SittingPlan:
    """The sitting of a name.

    Raises:
        UnknownSitting: the course has none of that name.
    """
    sitting = course.plan.sitting(name)
    if sitting is None:
        raise UnknownSitting("The course has no sitting of that name.")
    return sitting


def block_of(course: Course, session: Session, block_id: str) -> BlockPlan:
    """The block of a trial; one that the sitting has, as the trial was shown in it."""
    return next(block for block in sitting_of(course, session.sitting).blocks if block.block_id == block_id)


def trials_of(course: Course, block: BlockPlan, group: int) -> int:
    """Count the trials of a trainee in a block: as planned, but never more than its form has items."""
    return min(block.shown, len(course.form_of(block, group).items))


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
    form = course.form_of(block, session.group)
    trials = [trial for trial in session.trials if trial.block_id == block.block_id]
    shown = frozenset(trial.item_id for trial in trials)
    items = [item for item in form.items if item.item_id not in shown]
    if block.adaptive:
        same = sum(map(adaptive.is_mated, form.items))
        total = trials_of(course, block, session.group)
        classes = adaptive.class_order(session.secret, block.block_id, same, len(form.items) - same, total)
        answered = _answered(form, session, block, trials)
        items = adaptive.nearest(items, answered, classes[len(trials)], block.target)
    return min(items, key=lambda item: _place(session, block, item), default=None)


def _place(session: Session, block: BlockPlan, item: Item) -> bytes:
    return digest(session.secret, "item", block.block_id, item.item_id)


def _answered(form: Form, session: Session, block: BlockPlan, trials: list[Trial]) -> list[adaptive.Answered]:
    """The trials of an adaptive block that say something of the trainee: done, and of nobody whom the trainee knows."""
    exercise = exercise_of(block.exercise)
    items = {item.item_id: item for item in form.items}
    found = []
    for trial in trials:
        item = items[trial.item_id]
        if not trial.done or item.key is None or any(one.answer.known_to_me for one in trial.locked):
            continue
        graded = exercise.grade(item.key, trial.locked, trial.order, ())  # a rating names no picture
        found.append(adaptive.Answered(item, graded.correct is True))
    return found
