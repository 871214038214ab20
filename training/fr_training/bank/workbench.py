"""Keeps the state of a course in the making: free people, forms that go together, and what earlier courses taught.

Who is paired with whom, and which items are chosen, goes by the machine's difficulty alone, so that what was learned of
an item can meet the item again: the same seed chooses the same items, but for those set aside, in whose place
`replacements` puts others. Forms are then made equally hard by the difficulties that the answers have moved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fr_locales.messages import Message, message
from fr_training.answers import AS_IT_IS, Poorer
from fr_training.bank.difficulty import updated
from fr_training.bank.labels import I32, Index, shared_labels
from fr_training.bank.manifest import PictureBook, Shown, canonical, item_id_of
from fr_training.bank.pool import Looks
from fr_training.bank.prepared import Bools, PreparedPool, subset
from fr_training.courses import Item, Learned
from fr_training.errors import TooFewPeople
from fr_training.keys import AnswerKey, PairKey
from fr_training.plan import BlockPlan, CoursePlan
from fr_training.prompts import ExerciseKind

_MATED, _NONMATED = PairKey(mated=True, similarity=0.0), PairKey(mated=False, similarity=0.0)  # an id has no similarity


Seen = Callable[[Sequence[Shown]], Sequence[Looks]]  # looks at photos as blocks show them, which takes long


@dataclass(frozen=True, slots=True)
class Judged:
    """An item that may be shown: its difficulty by the machine, by which it is chosen, and as answers have moved it.

    Forms are equated by the latter; an item that is suspect must not be shown.
    """

    machine: float
    b: float
    suspect: bool


def suspect_people(learned: Learned, prepared: PreparedPool, looks: Collection[Poorer] = (AS_IT_IS,)) -> Bools:
    """bool[n]: people whose two photos are a pair that is set aside: no exercise shows these as photos of one person.

    `looks` are what the blocks of the plan do to photos: a pair that is set aside in one of them is so in all.
    """
    found = np.zeros(len(prepared.people), dtype=np.bool_)
    if learned.suspects:
        for person in subset(prepared.two).tolist():
            pairs = ((prepared.first[person], prepared.second[person]), prepared.alike[person])
            ids = {
                item_id_of(_MATED, tuple(Shown(photo, poorer=look) for photo in pair))
                for pair in pairs
                if pair is not None
                for look in looks
            }
            found[person] = not learned.suspects.isdisjoint(ids)
    return found


def suspect_pair(
    learned: Learned, prepared: PreparedPool, a: int, b: int, looks: Collection[Poorer] = (AS_IT_IS,)
) -> bool:
    """True if a pair of these two people is set aside, with any of their photos; `looks` as in `suspect_people`."""
    return bool(learned.suspects) and any(
        item_id_of(_NONMATED, (Shown(prepared.first[one], poorer=look), Shown(prepared.second[other], poorer=look)))
        in learned.suspects
        for one, other in ((a, b), (b, a))
        for look in looks
    )


OVERSUPPLY = 3
"""For items of one photo, people with one photo are preferred if there are so many times more than are needed."""

OF_TESTS = 2
"""The same for tests, of people with two photos: there it counts most that the number of photos tells nothing."""


@dataclass(frozen=True, slots=True)
class FormSet:
    """Forms that are to be equally hard; most sets hold one.

    `name` is of the set of a plan, or of the block; `block`, one that shows one of the forms, says what each holds.
    """

    name: str
    forms: tuple[str, ...]
    block: BlockPlan

    @property
    def key(self) -> str:
        """Unique in the course, as a name is not: a block may be called as a set of others is."""
        return self.forms[0]


def form_sets(plan: CoursePlan) -> list[FormSet]:
    """The forms of a plan: equated sets first, as they need the best choice, then aided blocks, then the others.

    Of lists the longest come first, as they need the nearest look-alikes.
    """
    found: dict[str, FormSet] = {}
    for name, block in plan.forms().items():
        key = f"equated {block.equated}" if block.equated else f"block {block.block_id}"
        before = found.get(key)
        forms = (*before.forms, name) if before else (name,)
        found[key] = FormSet(block.equated or block.block_id, forms, block)
    return sorted(
        found.values(),
        key=lambda one: (not one.block.equated, one.block.exercise != ExerciseKind.AIDED, -one.block.size),
    )


def quota(wanted: int, mated: Sequence[int], people: Index, group: I32) -> Index:
    """Deal `wanted` items without a mate to the groups, i64[g] numbers, by largest remainders.

    The shares are those of `mated`, the people of the items with a mate, or of `people` if there are none; `group`
    holds everybody's group, i32[n], numbered from 0.
    """
    counted = group[list(mated)] if mated else group[people]
    shares = np.bincount(counted, minlength=int(group.max()) + 1) * wanted
    whole, rest = np.divmod(shares, max(1, len(counted)))
    whole[np.argsort(-rest, kind="stable")[: wanted - int(whole.sum())]] += 1
    return whole


def too_few_alike(missing: int, what: Message) -> TooFewPeople:
    """The error for an exercise, such as "the triads", that lacks at least so many people with the right conditions."""
    return TooFewPeople(message("error.bank.people_alike", what=what, count=missing), missing=str(missing))


@dataclass(slots=True)
class Workbench:
    """The state of a course while it is made; the seed decides what is drawn."""

    prepared: PreparedPool
    seed: int
    free: Bools  # bool[n], who is in no form yet
    aside: Bools  # bool[n], whose two photos must not be shown as those of one person
    learned: Learned = field(default_factory=Learned)  # from earlier courses
    looks: frozenset[Poorer] = frozenset({AS_IT_IS})  # what the blocks of the plan do to photos
    seen: Seen | None = None  # None where photos are looked at as they are
    book: PictureBook = field(default_factory=PictureBook)  # the pictures so far
    for_triads: Bools = field(init=False)  # bool[n], people reserved for triads, who need two photos of one condition
    barred: Bools = field(init=False)  # bool[n], people with conditions that too few people have for pairs and lists
    unsearched: Bools = field(init=False)  # bool[n], whose lists are set aside
    listed: Bools = field(init=False)  # bool[n], foils of lists, whom no equated test may show

    def __post_init__(self) -> None:
        self.for_triads = np.zeros(len(self.free), dtype=np.bool_)
        self.barred = self.for_triads.copy()
        self.unsearched = self.for_triads.copy()
        self.listed = self.for_triads.copy()

    def rng(self, *label: str) -> np.random.Generator:
        """Randomness for one purpose, which depends on the seed and the label alone."""
        digest = hashlib.sha256(canonical([self.seed, *label]).encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "big"))

    def take(self, people: Iterable[int]) -> None:
        """Keep these people from all others; ValueError where another shows one of them already."""
        for person in people:
            if not self.free[person]:
                raise ValueError("A person would be shown in two items.")
            self.free[person] = False

    def release(self, people: Iterable[int]) -> None:
        """They are shown nowhere after all."""
        for person in people:
            self.free[person] = True

    def with_two(self, count: int, among: Bools | None = None) -> Index:
        """i64[k]: free people with two photos; who is doubtful only where the others are fewer than `count`.

        Only people `among` bool[n]; None for everybody who is neither kept for triads nor barred.
        """
        prepared, free = self.prepared, self.free & (~self.for_triads & ~self.barred if among is None else among)
        found = subset(free & prepared.two & ~prepared.doubtful)
        if len(found) >= count:
            return found
        doubtful = subset(free & prepared.doubtful)
        best = doubtful[np.argsort(-prepared.mated_similarity[doubtful], kind="stable")]
        return np.concatenate([found, best[: count - len(found)]])

    def others(
        self, slots: int, among: Bools | None = None, *, single: bool = False, oversupply: int = OVERSUPPLY
    ) -> Index:
        """i64[k]: free people of whom one photo is needed, for `slots` of them; `among` is as in `with_two`.

        If a data set has plenty of people with two photos, `oversupply` times the slots, it returns those, otherwise
        all free people of the set: all pairs of one person show people with two photos, who are often better known. It
        decides this for each data set and condition, because these are balanced as well. `single` prefers people with
        one photo, if nobody is shown twice.
        """
        free, group = self.free & (~self.for_triads & ~self.barred if among is None else among), self.prepared.group
        liked = self.prepared.two != single
        chosen = np.zeros(len(free), dtype=np.bool_)
        for number in np.unique(group):
            own = free & (group == number)
            chosen |= own & liked if (own & liked).sum() >= oversupply * slots else own
        return subset(chosen)

    def others_so_shown(self, conditions: int, slots: int, what: Message) -> Index:
        """i64[k]: as `others`, of people whose photos have a pair of conditions, by its number in the prepared pool.

        Raises `TooFewPeople` where fewer than `slots` are free; `what` needs them, such as "the triads".
        """
        others = self.others(slots)
        found: Index = others[self.prepared.conditions[others] == conditions]
        if len(found) < slots:
            raise too_few_alike(slots - len(found), what)
        return found

    def judged(self, key: AnswerKey, shown: Sequence[Shown], machine: float) -> Judged:
        """An item that may be shown, with its difficulty by the machine, in the light of earlier courses.

        The key of a triad has the place of the odd one in `shown`.
        """
        learned = self.learned
        if not (learned.difficulties or learned.suspects):
            return Judged(machine, machine, suspect=False)
        item_id = item_id_of(key, shown)
        found = learned.difficulties.get(item_id)
        return Judged(machine, machine if found is None else updated(machine, *found), item_id in learned.suspects)

    def item(self, shown: tuple[Shown, ...], people: tuple[int, ...], key: AnswerKey, b: float | None) -> Item:
        """Make an item of what it shows and of whom, by index in the prepared pool, each once.

        It shows the shots of a track in its place.
        """
        persons = [self.prepared.people[person] for person in people]
        shots = [shot for one in shown for shot in one.photo.shots]
        pictures = tuple(replace(one, photo=photo) for one in shown for photo in one.photo.shots or (one.photo,))
        return Item(
            item_id=item_id_of(key, shown),
            photos=self.book.numbers(pictures),
            key=key,
            b=b,
            people=tuple(person.number for person in persons),
            groups=shared_labels(persons),
            times=tuple(shot.at_ms for shot in shots),
        )
