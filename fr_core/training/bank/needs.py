"""How many people a plan needs: nobody is shown in two items of a course."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fr_core.errors import TooFewPeople
from fr_core.training.plan import PAIRS, BlockPlan, CoursePlan
from fr_core.training.prompts import ExerciseKind


@dataclass(frozen=True, slots=True)
class PlanNeeds:
    """What a plan takes.

    Attributes:
        people: different people over all forms.
        people_with_two_photos: those of them of whom two photos are shown.
        minutes: limits of all blocks together; 0 where none has one.
        trials: of one trainee.
    """

    people: int
    people_with_two_photos: int
    minutes: int
    trials: int


def needs(plan: CoursePlan) -> PlanNeeds:
    """Count the people of every form once.

    A pair of one person takes 1 with two photos, a pair of two people 2, a triad 1 with two photos and 1 more. A list
    with the person searched for takes 1 with two photos and `size` - 1 more, a list without takes 1 and `size`, a photo
    to triage 1. Own probes are searched in the people who are enrolled for the lists; where these are fewer than
    `size`, the rest is added.
    """
    forms = list(plan.forms().values())
    people = sum(_people(block) for block in forms)
    return PlanNeeds(
        people=people + max(0, own_probe_size(plan) - listed(plan)),
        people_with_two_photos=sum(mated(block) for block in forms),
        minutes=plan.minutes,
        trials=sum(block.shown for block in plan.blocks),
    )


def mated(block: BlockPlan) -> int:
    """People with two photos whom one form of a block takes."""
    if block.exercise in PAIRS:
        return block.same
    if block.exercise == ExerciseKind.TRIAD:
        return block.trials
    return block.present if block.exercise == ExerciseKind.CANDIDATES else 0


def listed(plan: CoursePlan) -> int:
    """People on all lists of candidates of all forms, all of them enrolled."""
    lists = (block for block in plan.forms().values() if block.exercise == ExerciseKind.CANDIDATES)
    return sum(block.items * block.size for block in lists)


def own_probe_size(plan: CoursePlan) -> int:
    """The longest list of an own probe; 0 where there is none."""
    return max((block.size for block in plan.blocks if block.exercise == ExerciseKind.OWN_PROBE), default=0)


def available(photos: Sequence[int]) -> tuple[int, int]:
    """How many people have a photo, and how many have two.

    Args:
        photos: different photos of each person.
    """
    return sum(count >= 1 for count in photos), sum(count >= 2 for count in photos)


def require_enough(plan: CoursePlan, people: int, with_two: int, aside: int = 0) -> None:
    """Let a plan pass that can be made of so many people.

    Args:
        plan: what is wanted.
        people: who have a photo.
        with_two: who have two, without those set aside.
        aside: who have two that answers to earlier courses make suspect, so that they count as missing.

    Raises:
        TooFewPeople: there are fewer than `needs` counts.
    """
    wanted = needs(plan)
    missing = max(wanted.people - people, wanted.people_with_two_photos - with_two)
    if missing > 0:
        told = f" Not counted: {aside} whose two photos are set aside after earlier courses." if aside else ""
        raise TooFewPeople(
            f"The plan shows {wanted.people} people, of whom {wanted.people_with_two_photos} need two photos; the data "
            f"sets hold {people} and {with_two}: {missing} are missing.{told}",
            people=str(wanted.people),
            with_two_photos=str(wanted.people_with_two_photos),
            missing=str(missing),
        )


def _people(block: BlockPlan) -> int:
    if block.exercise in PAIRS:
        return block.same + 2 * block.different
    if block.exercise == ExerciseKind.TRIAD:
        return 2 * block.trials
    if block.exercise == ExerciseKind.CANDIDATES:
        return block.present * block.size + block.absent * (block.size + 1)
    return 0 if block.exercise == ExerciseKind.OWN_PROBE else block.items
