"""Counts the people that a plan needs: nobody is shown in two items of a course."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fr_locales.messages import message
from fr_training.bank.pool import Taken, pairs_among
from fr_training.errors import TooFewPeople
from fr_training.plan import PAIRS, BlockPlan, CoursePlan
from fr_training.prompts import ExerciseKind

LEAST_IN_LABS = 20  # people with two photos, below which a lab has nothing to measure


@dataclass(frozen=True, slots=True)
class PlanNeeds:
    """The different people that a plan needs over all forms, and those of whom two photos, or two alike, are shown.

    Triads show two photos of one condition. `minutes` are the limits of all blocks together, 0 where none has one;
    `trials` are those of one trainee. `people_with_tracks` are others: blocks of footage show them, and no other block.
    """

    people: int
    people_with_two_photos: int
    minutes: int
    trials: int
    people_with_two_alike: int
    people_with_tracks: int = 0


@dataclass(frozen=True, slots=True)
class Available:
    """Counts the people with a photo, those with two, and those with two of one condition, such as an expression.

    Two photos of which the data set says nothing count as alike. `with_tracks` counts the people with a photo and a
    track, who are none of the others.
    """

    people: int
    with_two_photos: int
    with_two_alike: int
    with_tracks: int = 0

    def missing(self, wanted: PlanNeeds) -> int:
        """Number of missing people, of the kind with the largest gap."""
        return max(
            0,
            wanted.people - self.people,
            wanted.people_with_two_photos - self.with_two_photos,
            wanted.people_with_two_alike - self.with_two_alike,
            wanted.people_with_tracks - self.with_tracks,
        )


def needs(plan: CoursePlan) -> PlanNeeds:
    """Count the people of every form once, but for the foils of lists.

    A pair of one person takes 1 with two photos, a pair of two people 2, a triad 1 with two photos and 1 more, a photo
    to triage 1. A list takes 1, with two photos if the person is on it. Its foils, `size` or, with the person, `size` -
    1, differ within one form, and may be in other forms, unless one of them is an equated test. Own probes are searched
    in people who are in no form but those of lists; where these are fewer than `size`, the rest is added. A lab shows
    nobody, and needs `LEAST_IN_LABS` people with two photos to measure anything.
    """
    every = list(plan.forms().values())
    footage = [block for block in every if block.exercise == ExerciseKind.FOOTAGE]
    forms = [block for block in every if block not in footage]
    least = LEAST_IN_LABS if any(block.exercise == ExerciseKind.LAB for block in forms) else 0
    lists = [block for block in forms if block.exercise == ExerciseKind.CANDIDATES and not block.equated]
    tests = sum(_takes(block)[0] for block in forms if block.equated)
    others = sum(_takes(block)[0] for block in forms if not block.equated and block not in lists)
    foils = max(map(_foils, lists), default=0)
    if foils:  # people who are kept for triads are none, and beside tests those of pairs of one person need not be
        kept = {ExerciseKind.TRIAD} | (PAIRS if tests else set())
        foils += sum(_takes(block)[1] for block in forms if not block.equated and block.exercise in kept)
    searched = others + max(0, own_probe_size(plan) - sum(block.present for block in lists))
    return PlanNeeds(
        people=max(least, tests + sum(_takes(block)[0] for block in lists) + max(searched, foils)),
        people_with_two_photos=max(least, sum(_takes(block)[1] for block in forms)),
        minutes=plan.minutes,
        trials=sum(block.shown for block in plan.blocks),
        people_with_two_alike=sum(block.trials for block in forms if block.exercise == ExerciseKind.TRIAD),
        people_with_tracks=sum(_takes(block)[0] for block in footage),
    )


def own_probe_size(plan: CoursePlan) -> int:
    """The longest list of an own probe; 0 where there is none."""
    return max((block.size for block in plan.blocks if block.exercise == ExerciseKind.OWN_PROBE), default=0)


def available(people: Iterable[Sequence[tuple[str, str] | tuple[str, str, bool]]]) -> Available:
    """Count people by the condition and the session of each photo, as in `Taken`; photos of one session are no pair."""
    every = [[Taken(*photo) for photo in photos] for photos in people if photos]
    footage = [photos for photos in every if any(one.track for one in photos)]
    taken = [photos for photos in every if not any(one.track for one in photos)]
    pairs = [[(photos[a], photos[b]) for a, b in pairs_among(photos)] for photos in taken]
    return Available(
        people=len(pairs),
        with_two_photos=sum(map(bool, pairs)),
        with_two_alike=sum(any(a.condition == b.condition for a, b in own) for own in pairs),
        with_tracks=sum(bool(pairs_among(photos)) for photos in footage),
    )


def require_enough(plan: CoursePlan, there: Available, aside: int = 0, *, ordered: bool = False) -> None:
    """Raise `TooFewPeople` where fewer people are available, without those set aside, than `needs` counts.

    `aside` counts people with two photos that answers to earlier courses make suspect. `ordered` says that the order of
    people's photos counts as their condition, because it is visible in them.
    """
    wanted = needs(plan)
    missing = there.missing(wanted)
    if missing and missing == wanted.people_with_tracks - there.with_tracks:
        raise TooFewPeople(
            message("error.bank.people_with_tracks", people=wanted.people_with_tracks, held=there.with_tracks),
            people_with_tracks=str(wanted.people_with_tracks),
            missing=str(missing),
        )
    alike = wanted.people_with_two_alike
    if missing and missing == alike - there.with_two_alike:
        raise TooFewPeople(
            message(
                "error.bank.people_for_triads",
                alike=alike,
                held=there.with_two_alike,
                ordered=message("error.bank.order_is_condition") if ordered else "",
            ),
            missing=str(missing),
        )
    if missing:
        raise TooFewPeople(
            message(
                "error.bank.people_for_plan",
                people=wanted.people,
                with_two=wanted.people_with_two_photos,
                held=there.people,
                held_with_two=there.with_two_photos,
                missing=missing,
                not_counted=message("error.bank.people_set_aside", aside=aside) if aside else "",
            ),
            people=str(wanted.people),
            with_two_photos=str(wanted.people_with_two_photos),
            missing=str(missing),
        )


def _foils(block: BlockPlan) -> int:
    return block.items * block.size - block.present


def _takes(block: BlockPlan) -> tuple[int, int]:
    """The people whom one form of a block takes, and those of them with two photos."""
    if block.exercise in PAIRS:
        return block.same + 2 * block.different, block.same
    if block.exercise == ExerciseKind.TRIAD:
        return 2 * block.trials, block.trials
    if block.exercise == ExerciseKind.CANDIDATES:
        return block.items + (_foils(block) if block.equated else 0), block.present
    nobody = (ExerciseKind.OWN_PROBE, ExerciseKind.LAB, ExerciseKind.LESSON)
    return 0 if block.exercise in nobody else block.items, 0
