"""The plan of a course, as frozen values; `fr_training.plan_reading` reads it from TOML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import accumulate
from typing import Literal, get_args

from fr_locales.messages import message
from fr_training.answers import Poorer
from fr_training.errors import PlanInvalid
from fr_training.lessons import title_in
from fr_training.prompts import ExerciseKind

MAX_SEED = 2**32 - 1

Mask = Literal["head", "oval", "none"]
MASKS: tuple[Mask, ...] = get_args(Mask)
Occasion = Literal["", "pre", "post", "retention"]
FMRS = ("0.01", "0.001", "0.0001")  # False match rates at which reports can show the machine

OCCASIONS: tuple[Occasion, ...] = ("pre", "post", "retention")


class SlotKind(StrEnum):
    """The use of a slot of a timetable; the machine takes no part in it."""

    WELCOME = "welcome"
    TALK = "talk"
    BREAK = "break"
    LUNCH = "lunch"
    DEBRIEF = "debrief"


PAIRS = frozenset(
    {
        ExerciseKind.VERIFICATION,
        ExerciseKind.FEATURES,
        ExerciseKind.AIDED,
        ExerciseKind.LOW_PREVALENCE,
        ExerciseKind.BLIND,
        ExerciseKind.FOOTAGE,
    }
)
"""Exercises whose items are pairs of photos, or of a photo and a track."""

COUNTS: Mapping[ExerciseKind, tuple[str, ...]] = {
    **dict.fromkeys(PAIRS, ("same", "different")),
    ExerciseKind.BLIND: (),
    ExerciseKind.TRIAD: ("trials",),
    ExerciseKind.CANDIDATES: ("present", "absent", "size"),
    ExerciseKind.TRIAGE: ("usable", "limited", "reject"),
    ExerciseKind.OWN_PROBE: ("trials", "size"),
    ExerciseKind.LAB: ("trials",),
    ExerciseKind.EVIDENCE: ("trials",),
    ExerciseKind.LESSON: (),
}
"""The keys that give the numbers of trials of an exercise, all of them needed."""

FEWEST_TO_SHOW = 10
"""Items of a kind below which a block that measures can show nothing: reports then hide d' and c, and say of few pairs
of two people that these may just be harder."""


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """A block, as it was planned; numbers are of one form."""

    block_id: str  # unique in the course
    exercise: ExerciseKind
    title: str
    instructions: str = ""  # what a trainee reads before it begins; "" for those of the exercise
    minutes: int | None = None  # time limit; None where there is none
    feedback: bool = False  # whether each answer is followed by what was right
    reveal_scores: bool = True  # of lists and footage: whether the machine's similarities follow each decision
    same: int = 0  # pairs of one person
    different: int = 0  # pairs of two people
    # Of a triad, own probe, lab or evidence exercise; parts of a lesson; of an adaptive block, how many of its items a
    # trainee is shown.
    trials: int = 0
    size: int = 0  # candidates of a list
    present: int = 0  # lists with the person searched for
    absent: int = 0  # lists without
    usable: int = 0  # photos as they are, to triage; then those of limited use, and to be rejected
    limited: int = 0
    reject: int = 0
    wrong: int = 0  # of an aided exercise, trials whose advice is wrong
    about: str = ""  # of a lab, its question, a `LabKind`
    lesson: str = ""  # of a lesson, its name
    adaptive: bool = False  # whether items are chosen by how the trainee does
    target: float = 0.8  # share of right answers that an adaptive block aims at, in (.5, 1)
    scale: float = 0.0  # as in `Poorer`, for all photos of pairs and triads, and for the probes of lists
    blur: float = 0.0
    compression: float = 0.0
    light: float = 0.0
    equated: str = ""  # name of the set of equated forms that this block shows one of; "" for a form of its own
    occasion: Occasion = ""  # which of the set; "" where there is no set
    verifies: str = ""  # of a blind verification, the block whose trials are verified; "" elsewhere
    forms: tuple[str, str] = ("", "")  # names of the forms that trainees of group 0 and 1 are shown

    @property
    def poorer(self) -> Poorer:
        """The degradation of its photos."""
        return Poorer(self.scale, self.blur, self.compression, self.light)

    @property
    def items(self) -> int:
        """Of one form."""
        if self.exercise in PAIRS:
            return self.same + self.different
        if self.exercise == ExerciseKind.CANDIDATES:
            return self.present + self.absent
        if self.exercise == ExerciseKind.TRIAGE:
            return self.usable + self.limited + self.reject
        return self.trials

    @property
    def shown(self) -> int:
        """Trials of one trainee."""
        return self.trials if self.adaptive else self.items


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """Time of a class without an exercise; `after` is the id of a block, "" before the first one."""

    kind: SlotKind
    minutes: int
    after: str = ""
    title: str = ""  # of a talk, what it is about


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a timetable; `at` counts minutes from midnight, or from the beginning of a sitting without a time."""

    at: int
    minutes: int
    what: SlotPlan | BlockPlan


@dataclass(frozen=True, slots=True)
class SittingPlan:
    """Blocks, at least one, that are done in one go; the name is unique in the course, the title for people."""

    name: str
    title: str
    blocks: tuple[BlockPlan, ...]
    starts: int = 0  # minutes from midnight; 0 where the plan has no time
    slots: tuple[SlotPlan, ...] = ()  # those after one block in their order

    @property
    def timetable(self) -> tuple[Entry, ...]:
        """Slots and blocks in their order, each where the one before ends; empty where a block has no limit."""
        if not all(block.minutes for block in self.blocks):
            return ()
        rows: list[SlotPlan | BlockPlan] = [one for one in self.slots if not one.after]
        for block in self.blocks:
            rows += [block, *(one for one in self.slots if one.after == block.block_id)]
        lengths = [one.minutes or 0 for one in rows]
        starts = accumulate(lengths, initial=self.starts)
        return tuple(map(Entry, starts, lengths, rows))

    @property
    def trials(self) -> int:
        """Trials of one trainee."""
        return sum(block.shown for block in self.blocks)


@dataclass(frozen=True, slots=True)
class CoursePlan:
    """A plan."""

    title: str
    sittings: tuple[SittingPlan, ...]  # in their order, at least one
    seed: int = 1  # decides who is shown where, from 0 to MAX_SEED
    mask: Mask = "head"  # "head" shows ears, hairline and neck too, "oval" the face alone, "none" all around it
    colour: bool = True  # whether pictures are shown in colour; grey ones suit photos of several sources
    claims: bool = True  # whether blocks that measure must be able to show something
    machine_fmr: float = 0.001  # false match rate at which reports show the machine, beside the pack's threshold
    retention_days: int = 90  # after which the results of a cohort are deleted
    notice: str = ""  # what a trainee agrees to; "" for the server's own words
    toml: str = ""  # the text that was read
    # Language, such as "fr", to the plan's own text, to its translation.
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)

    @property
    def blocks(self) -> tuple[BlockPlan, ...]:
        """Every block, in the order of the sittings."""
        return tuple(block for sitting in self.sittings for block in sitting.blocks)

    @property
    def titles(self) -> frozenset[str]:
        """All titles, including the plan's own."""
        found = {self.title, *(block.title for block in self.blocks)}
        for one in self.sittings:
            found |= {one.title, *(slot.title for slot in one.slots)}
        return frozenset(found - {""})

    @property
    def words(self) -> frozenset[str]:
        """All its texts for people: titles, instructions and the notice."""
        return self.titles | {one for one in (self.notice, *(block.instructions for block in self.blocks)) if one}

    def in_language(self, language: str) -> CoursePlan:
        """The plan, as far as it is translated; for pages only, as exports and the audit use the plan's own texts."""
        sittings = tuple(
            replace(
                one,
                title=self._said(one.title, language),
                blocks=tuple(self.block_in(block, language) for block in one.blocks),
                slots=tuple(replace(slot, title=self._said(slot.title, language)) for slot in one.slots),
            )
            for one in self.sittings
        )
        title, notice = self._said(self.title, language), self._said(self.notice, language)
        return replace(self, title=title, notice=notice, sittings=sittings)

    def block_in(self, block: BlockPlan, language: str) -> BlockPlan:
        """A block, translated as in `in_language`; a title that is its lesson's is that of the translated lesson."""
        title = self._said(block.title, language)
        if title == block.title and block.lesson:
            title = title_in(block.lesson, title, language)
        return replace(block, title=title, instructions=self._said(block.instructions, language))

    def _said(self, words: str, language: str) -> str:
        return self.translations.get(language, {}).get(words, words)

    def only(self, *, footage: bool) -> CoursePlan:
        """The plan with its blocks of footage alone, or with all others."""
        sittings = (
            replace(one, blocks=tuple(b for b in one.blocks if (b.exercise == ExerciseKind.FOOTAGE) == footage))
            for one in self.sittings
        )
        return replace(self, sittings=tuple(sittings))

    def forms(self) -> dict[str, BlockPlan]:
        """Each form that must be made, by name, with a block that shows it; blocks of one form ask for the same."""
        found: dict[str, BlockPlan] = {}
        for block in self.blocks:
            for name in block.forms:
                found.setdefault(name, block)
        return found

    @property
    def minutes(self) -> int:
        """Limits of all blocks together."""
        return sum(block.minutes or 0 for block in self.blocks)


def repeated(names: Iterable[str]) -> str | None:
    """The first name that is there twice."""
    return next((name for name, times in Counter(names).items() if times > 1), None)


def with_forms(plan: CoursePlan) -> CoursePlan:
    """Name the forms of each block, and give a blind verification what it verifies.

    Raises `PlanInvalid` where a set of equated blocks or a verification contradicts itself.
    """
    by_id = {block.block_id: block for block in plan.blocks}
    verified = {block.verifies for block in plan.blocks if block.verifies}
    sets = _equated_sets(plan)
    position = {block_id: number for number, block_id in enumerate(by_id)}

    def named(block: BlockPlan) -> BlockPlan:
        if block.verifies:
            first = by_id.get(block.verifies)
            if first is None or first.exercise != ExerciseKind.VERIFICATION or first.adaptive or first.equated:
                raise PlanInvalid(message("error.plan.verifies_unfit", block_id=block.block_id))
            if position[block.block_id] < position[block.verifies]:
                raise PlanInvalid(message("error.plan.verifies_later", block_id=block.block_id))
            forms = (f"{block.verifies}-1", f"{block.verifies}-0")  # each half verifies what the other has judged
            return replace(block, same=first.same, different=first.different, forms=forms)
        if block.block_id in verified:
            return replace(block, forms=(f"{block.block_id}-0", f"{block.block_id}-1"))
        if block.equated:
            own = sets[block.equated]
            number = own.index(block.occasion)
            # Half of the trainees take the first two the other way round.
            other = 1 - number if number < 2 <= len(own) else number
            a, b = (f"{block.equated}-{'abc'[n]}" for n in (number, other))
            return replace(block, forms=(a, b))
        return replace(block, forms=(block.block_id, block.block_id))

    sittings = tuple(
        replace(sitting, blocks=tuple(named(block) for block in sitting.blocks)) for sitting in plan.sittings
    )
    plan = replace(plan, sittings=sittings)
    for group in (0, 1):  # but for a verification and what it verifies, so that no face comes twice
        if name := repeated(block.forms[group] for block in plan.blocks):
            raise PlanInvalid(message("error.plan.blocks_of_form", name=name))
    return plan


def _equated_sets(plan: CoursePlan) -> dict[str, list[Occasion]]:
    """The occasions of each set of equated forms, in the order of OCCASIONS."""
    sets: dict[str, list[BlockPlan]] = {}
    for block in plan.blocks:
        if block.equated:
            sets.setdefault(block.equated, []).append(block)
    for name, blocks in sets.items():
        occasions = [block.occasion for block in blocks]
        if len(set(occasions)) != len(occasions):
            raise PlanInvalid(message("error.plan.equated_twice", name=name))
        if (
            len({(b.exercise, b.same, b.different, b.trials, b.size, b.present, b.absent, b.poorer) for b in blocks})
            > 1
        ):
            raise PlanInvalid(message("error.plan.equated_unlike", name=name))
        if blocks[0].exercise not in (ExerciseKind.VERIFICATION, ExerciseKind.TRIAD, ExerciseKind.CANDIDATES):
            raise PlanInvalid(message("error.plan.equated_exercise", name=name))
    return {name: [one for one in OCCASIONS if one in {b.occasion for b in blocks}] for name, blocks in sets.items()}
