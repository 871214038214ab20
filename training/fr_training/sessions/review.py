"""Lets trainees look again: chooses the items of a release, and shows a trainee's own trials with the right answer.

No item is shown again to a trainee who may still meet it, or a person in it: whatever a block ahead of the trainee
shows stays closed, and so does every item with somebody of such a block, whatever was released.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from fr_core.errors import InvalidField, message
from fr_training.courses import Course
from fr_training.errors import NotReleased, UnknownTrial
from fr_training.exercises import exercise_of
from fr_training.plan import BlockPlan
from fr_training.prompts import Reveal
from fr_training.sessions.order import block_of, item_of, picture_ids
from fr_training.sessions.results import results
from fr_training.sessions.views import ShowTrial, asked_of, key_of, photos_of, show_trial
from fr_training.trials import Result, Session, Trial

ItemKey = tuple[str, str]  # name of a form, and id of an item in it


def items_named(course: Course, block_ids: Sequence[str], item_ids: Sequence[str]) -> frozenset[ItemKey]:
    """All items of blocks, and items by their ids, each in every form that has it.

    Raises `InvalidField` for a name that the course does not have.
    """
    blocks = {block.block_id: block for block in course.plan.blocks}
    if not blocks.keys() >= set(block_ids):
        raise InvalidField(message("error.session.no_block", blocks=", ".join(blocks)), field="block_ids")
    names = {name for block_id in block_ids for name in blocks[block_id].forms}
    wanted = frozenset(item_ids).union(item.item_id for name in names for item in course.forms[name].items)
    found = frozenset(
        (form.name, item.item_id) for form in course.forms.values() for item in form.items if item.item_id in wanted
    )
    if wanted - {item_id for _, item_id in found}:
        raise InvalidField(message("error.session.no_item"), field="item_ids")
    return found


def forms_of_tests(course: Course) -> frozenset[str]:
    """The names of the forms that measure trainees before, after or long after the teaching."""
    return frozenset(name for block in course.plan.blocks if block.occasion for name in block.forms)


def forms_ahead(course: Course, group: int, sessions: Iterable[Session]) -> frozenset[str]:
    """The forms of blocks that a trainee of a group, 0 or 1, has not finished; `sessions` are all of the trainee."""
    begun = {session.sitting: session for session in sessions}
    names: set[str] = set()
    for sitting in course.plan.sittings:
        session = begun.get(sitting.name)
        left = sitting.blocks
        if session is not None:
            left = () if session.finished_ms is not None else sitting.blocks[session.block :]
        names.update(block.forms[group] for block in left)
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class Reviewable:
    """A trial that a trainee answered, in a session that is finished, of an item that is open to the trainee."""

    session: Session
    trial: Trial
    block: BlockPlan
    number: int  # of the trial in its block, from 1
    result: Result


@dataclass(frozen=True, slots=True)
class Reviews:
    """The trials that a trainee may look at again, in their order, and how many answered ones are not open."""

    open: tuple[Reviewable, ...]
    closed: int


def reviews(course: Course, group: int, sessions: Sequence[Session], released: Collection[ItemKey]) -> Reviews:
    """The trials of a trainee of a group, 0 or 1; `sessions` are all of the trainee."""
    ahead = forms_ahead(course, group, sessions)
    items = [item for name in ahead for item in course.forms[name].items]
    people = frozenset(chain.from_iterable(item.people for item in items))
    photos = frozenset(chain.from_iterable(item.photos for item in items))
    ids = frozenset(item.item_id for item in items)
    answered = [one for session in sessions for one in _answered(course, session)]
    found = tuple(
        one
        for one in answered
        if one.session.finished_ms is not None
        and (one.trial.form, one.trial.item_id) in released
        and one.trial.item_id not in ids
        and people.isdisjoint(item_of(course, one.trial).people)
        and photos.isdisjoint(photos_of(course, one.trial))  # of an own probe, who was found
    )
    return Reviews(found, len(answered) - len(found))


def _answered(course: Course, session: Session) -> Iterator[Reviewable]:
    shown: dict[str, int] = {}
    for trial, result in zip(session.trials, results(course, session), strict=True):
        shown[trial.block_id] = shown.get(trial.block_id, 0) + 1
        if trial.done:
            yield Reviewable(session, trial, block_of(course, session, trial.block_id), shown[trial.block_id], result)


def find_review(found: Reviews, sessions: Iterable[Session], trial_id: str) -> Reviewable:
    """The open trial of an id.

    Raises:
        NotReleased: the trainee has seen the trial, and it is not open, or has no answer.
        UnknownTrial: the trainee has seen none of that id.
    """
    for one in found.open:
        if one.trial.trial_id == trial_id:
            return one
    if any(trial.trial_id == trial_id for session in sessions for trial in session.trials):
        raise NotReleased(message("error.session.not_released"))
    raise UnknownTrial(message("error.session.no_trial_of_yours"))


def shown_again(course: Course, one: Reviewable) -> tuple[ShowTrial, Reveal]:
    """A trial as it was at its last step, and what was right; it has no time."""
    trial, session = one.trial, one.session
    before = replace(trial, locked=trial.locked[:-1], done=False)
    shown = replace(show_trial(course, session, before, 0), trial=trial, left_ms=None)
    key = key_of(course, trial)
    assert key is not None  # every step is answered
    ids = picture_ids(session.secret, trial.ordinal, len(trial.order))
    return shown, exercise_of(one.block.exercise).reveal(key, trial, ids, asked_of(course, trial))
