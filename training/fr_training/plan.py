"""The plan of a course: what a trainer writes as TOML, read into frozen values, every contradiction refused."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn, TypeVar, get_args

from fr_core.reading import TextRefused, read_toml
from fr_training.errors import PlanInvalid, UnknownExercise
from fr_training.prompts import ExerciseKind

T = TypeVar("T")

FORMAT = 1
MAX_TOML_BYTES = 64 * 1024  # the longest plan that comes with FR Core has 10 KiB
MAX_BLOCKS = 64
MAX_TRIALS = 1_000
MAX_LIST = 50
MAX_MINUTES = 240
MAX_RETENTION_DAYS = 3_650
MAX_SEED = 2**32 - 1

Mask = Literal["oval", "none"]
Occasion = Literal["", "pre", "post", "retention"]
OCCASIONS: tuple[Occasion, ...] = ("pre", "post", "retention")

PAIRS = frozenset(
    {
        ExerciseKind.VERIFICATION,
        ExerciseKind.FEATURES,
        ExerciseKind.AIDED,
        ExerciseKind.LOW_PREVALENCE,
        ExerciseKind.BLIND,
    }
)
"""Exercises whose items are pairs of photos."""

# Which keys give the numbers of trials of an exercise, all of them needed.
_COUNTS: Mapping[ExerciseKind, tuple[str, ...]] = {
    **dict.fromkeys(PAIRS, ("same", "different")),
    ExerciseKind.BLIND: (),
    ExerciseKind.TRIAD: ("trials",),
    ExerciseKind.CANDIDATES: ("present", "absent", "size"),
    ExerciseKind.TRIAGE: ("usable", "limited", "reject"),
    ExerciseKind.OWN_PROBE: ("trials", "size"),
}
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """A block, as it was planned; numbers are of one form."""

    block_id: str  # unique in the course
    exercise: ExerciseKind
    title: str
    instructions: str = ""  # what a trainee reads before it begins; "" for those of the exercise
    minutes: int | None = None  # time limit; None where there is none
    feedback: bool = False  # whether each answer is followed by what was right
    reveal_scores: bool = True  # of lists: whether the machine's similarities are told after each decision
    same: int = 0  # pairs of one person
    different: int = 0  # pairs of two people
    trials: int = 0  # of a triad or own probe; of an adaptive block, how many of its items a trainee is shown
    size: int = 0  # candidates of a list
    present: int = 0  # lists with the person searched for
    absent: int = 0  # lists without
    usable: int = 0  # photos as they are, to triage; then those of limited use, and to be rejected
    limited: int = 0
    reject: int = 0
    wrong: int = 0  # of an aided exercise, trials whose advice is wrong
    adaptive: bool = False  # whether items are chosen by how the trainee does
    target: float = 0.8  # share of right answers that an adaptive block aims at, in (.5, 1)
    equated: str = ""  # name of the set of equated forms that this block shows one of; "" for a form of its own
    occasion: Occasion = ""  # which of the set; "" where there is no set
    verifies: str = ""  # of a blind verification, the block whose trials are verified; "" elsewhere
    forms: tuple[str, str] = ("", "")  # names of the forms that trainees of group 0 and 1 are shown

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
class SittingPlan:
    """Blocks, at least one, that are done in one go; the name is unique in the course, the title for people."""

    name: str
    title: str
    blocks: tuple[BlockPlan, ...]

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
    mask: Mask = "oval"  # "oval" shows the face alone, "none" also what is around it
    colour: bool = True  # whether pictures are shown in colour; grey ones suit photos of several sources
    retention_days: int = 90  # after which the results of a cohort are deleted
    notice: str = ""  # what a trainee agrees to; "" for the server's own words
    toml: str = ""  # the text that was read

    @property
    def blocks(self) -> tuple[BlockPlan, ...]:
        """Every block, in the order of the sittings."""
        return tuple(block for sitting in self.sittings for block in sitting.blocks)

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


def read_plan(toml: str) -> CoursePlan:
    """Read a plan.

    Raises `UnknownExercise`, and `PlanInvalid` where it is too long, no TOML, has an unknown key, lacks one, has a
    value out of range, or contradicts itself.
    """
    if len(toml.encode()) > MAX_TOML_BYTES:
        raise PlanInvalid(f"The plan is longer than {MAX_TOML_BYTES // 1024} KiB.", limit=str(MAX_TOML_BYTES))
    try:
        raw = read_toml(toml, MAX_TOML_BYTES)
    except TextRefused as error:
        raise PlanInvalid(f"The plan cannot be read as TOML: {error}.") from error
    return _plan(_Table(raw, "the plan"), toml)


class _Table:
    """A table of the plan: each key is taken once, and what is left is unknown."""

    def __init__(self, raw: object, where: str) -> None:
        if not isinstance(raw, dict):
            raise PlanInvalid(f"In the plan, {where} is a table.")
        self._raw: dict[str, Any] = raw
        self._left = set(raw)
        self._known: list[str] = []
        self.where = where

    def wrong(self, key: str, must: str) -> NoReturn:
        raise PlanInvalid(f"In {self.where}, `{key}` {must}.", key=key)

    def _take(self, key: str, kind: type[T], must: str) -> T | None:
        self._known.append(key)
        self._left.discard(key)
        if key not in self._raw:
            return None
        value = self._raw[key]
        if type(value) is not kind:
            self.wrong(key, f"is {must}")
        return value

    def text(self, key: str, default: str | None = None, most: int = 4_000) -> str:
        """One without a default must be there and not be empty."""
        value = self._take(key, str, "a string")
        if value is None:
            if default is None:
                self.wrong(key, "is missing")
            return default
        if (default is None and not value.strip()) or len(value) > most or "\0" in value:
            self.wrong(key, f"has 1 to {most} characters")
        return value

    def name(self, key: str, default: str | None = None) -> str:
        value = self.text(key, default)
        if value and not _ID.fullmatch(value):
            self.wrong(key, "has 1 to 40 characters of a-z, 0-9 and -, and begins with a letter or a digit")
        return value

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self._take(key, int, "a whole number")
        if value is None:
            if default is None:
                self.wrong(key, "is missing")
            return default
        if not low <= value <= high:
            self.wrong(key, f"is a whole number from {low} to {high}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._take(key, bool, "true or false")
        return default if value is None else value

    def share(self, key: str, default: float) -> float:
        """A number between .5 and 1, ends excluded."""
        value = self._take(key, float, "a number such as 0.8")
        if value is not None and not 0.5 < value < 1.0:
            self.wrong(key, "is a number between 0.5 and 1")
        return default if value is None else value

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        value = self.text(key, default)
        if value not in choices:
            self.wrong(key, f"is one of {', '.join(word for word in choices if word)}")
        return value

    def tables(self, key: str, what: str, most: int) -> list[_Table]:
        """A list of tables, at least one."""
        value = self._take(key, list, f"a list of tables, [[{key}]]")
        if not value:
            self.wrong(key, "is missing or empty")
        if len(value) > most:
            self.wrong(key, f"has more than {most} entries")
        return [_Table(one, f"{what} {number}") for number, one in enumerate(value, start=1)]

    def end(self) -> None:
        if self._left:
            key = min(self._left)
            near = difflib.get_close_matches(key, self._known, n=1)
            hint = f"; did you mean `{near[0]}`?" if near else f". It knows: {', '.join(sorted(self._known))}."
            raise PlanInvalid(f"{self.where[0].upper()}{self.where[1:]} has no key `{key[:40]}`{hint}", key=key[:40])


def _plan(table: _Table, toml: str) -> CoursePlan:
    table.whole("format", FORMAT, FORMAT)
    plan = CoursePlan(
        title=table.text("title", most=200),
        sittings=tuple(map(_sitting, table.tables("sittings", "sitting", MAX_BLOCKS))),
        seed=table.whole("seed", 0, MAX_SEED, 1),
        mask="oval" if table.choice("mask", get_args(Mask), "oval") == "oval" else "none",
        colour=table.flag("colour", True),
        retention_days=table.whole("retention_days", 1, MAX_RETENTION_DAYS, 90),
        notice=table.text("notice", ""),
        toml=toml,
    )
    table.end()
    if len(plan.blocks) > MAX_BLOCKS:
        raise PlanInvalid(f"The plan has more than {MAX_BLOCKS} blocks.", limit=str(MAX_BLOCKS))
    _require_unique([one.name for one in plan.sittings], "sittings of the name")
    _require_unique([block.block_id for block in plan.blocks], "blocks of the id")
    plan = _with_forms(plan)
    if sum(block.shown for block in plan.blocks) > MAX_TRIALS:
        raise PlanInvalid(f"The plan has more than {MAX_TRIALS} trials of one trainee.", limit=str(MAX_TRIALS))
    return plan


def _sitting(table: _Table) -> SittingPlan:
    name = table.name("name")
    table.where = f"the sitting `{name}`"
    sitting = SittingPlan(
        name=name,
        title=table.text("title", name, most=200),
        blocks=tuple(map(_block, table.tables("blocks", f"the sitting `{name}`, block", MAX_BLOCKS))),
    )
    table.end()
    return sitting


def _block(table: _Table) -> BlockPlan:
    block_id = table.name("id")
    table.where = f"the block `{block_id}`"
    word = table.text("exercise", most=40)
    try:
        exercise = ExerciseKind(word)
    except ValueError:
        near = difflib.get_close_matches(word, list(ExerciseKind), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UnknownExercise(
            f"In {table.where}, `exercise` is none of {', '.join(ExerciseKind)}.{hint}", block=block_id
        ) from None
    adaptive = exercise == ExerciseKind.VERIFICATION and table.flag("adaptive", False)
    counts = {
        key: table.whole(key, 1, MAX_LIST) if key == "size" else table.whole(key, 0, MAX_TRIALS)
        for key in _COUNTS[exercise]
    }
    occasion = table.choice("occasion", get_args(Occasion), "")
    block = BlockPlan(
        block_id=block_id,
        exercise=exercise,
        title=table.text("title", block_id, most=200),
        instructions=table.text("instructions", ""),
        minutes=table.whole("minutes", 1, MAX_MINUTES, 0) or None,
        feedback=table.flag("feedback", False),
        reveal_scores=table.flag("reveal_scores", True) if "size" in counts else True,
        adaptive=adaptive,
        target=table.share("target", 0.8) if adaptive else 0.8,
        wrong=table.whole("wrong", 0, MAX_TRIALS) if exercise == ExerciseKind.AIDED else 0,
        equated=table.name("equated", "") if exercise != ExerciseKind.BLIND else "",
        occasion=next((one for one in OCCASIONS if one == occasion), ""),
        verifies=table.name("verifies") if exercise == ExerciseKind.BLIND else "",
    )
    for key, count in counts.items():
        block = replace(block, **{key: count})  # type: ignore[arg-type]  # each key is a field of numbers
    if adaptive:
        block = replace(block, trials=table.whole("trials", 1, block.items))
    table.end()
    _require_consistent(block, table)
    return block


def _require_consistent(block: BlockPlan, table: _Table) -> None:
    if block.exercise != ExerciseKind.BLIND and not block.items:
        raise PlanInvalid(f"In {table.where} there is nothing to do: {', '.join(_COUNTS[block.exercise])} are 0.")
    if block.wrong > block.items:
        table.wrong("wrong", "is more than there are trials")
    if bool(block.equated) != bool(block.occasion):
        table.wrong("equated", f"and `occasion` ({', '.join(OCCASIONS)}) come together")
    if block.equated and block.adaptive:
        table.wrong("equated", "cannot be: an adaptive block chooses its items, so that its forms differ anyway")
    if block.occasion and block.feedback:
        table.wrong("feedback", "must be false: a test that tells what was right teaches, and measures no more")


def _require_unique(names: list[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise PlanInvalid(f"The plan has several {what} `{name}`.")


def _with_forms(plan: CoursePlan) -> CoursePlan:
    """Name the forms of each block, and give a blind verification what it verifies."""
    by_id = {block.block_id: block for block in plan.blocks}
    verified = {block.verifies for block in plan.blocks if block.verifies}
    sets = _equated_sets(plan)
    position = {block_id: number for number, block_id in enumerate(by_id)}

    def named(block: BlockPlan) -> BlockPlan:
        if block.verifies:
            first = by_id.get(block.verifies)
            if first is None or first.exercise != ExerciseKind.VERIFICATION or first.adaptive or first.equated:
                raise PlanInvalid(
                    f"In the block `{block.block_id}`, `verifies` names no plain verification, neither adaptive nor "
                    "equated."
                )
            if position[block.block_id] < position[block.verifies]:
                raise PlanInvalid(f"The block `{block.block_id}` comes before the one that it verifies.")
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
        _require_unique([block.forms[group] for block in plan.blocks], "blocks that show the form")
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
            raise PlanInvalid(f"The equated set `{name}` has two blocks of one occasion.")
        if len({(b.exercise, b.same, b.different, b.trials, b.size, b.present, b.absent) for b in blocks}) > 1:
            raise PlanInvalid(f"The blocks of the equated set `{name}` differ in their exercise or their numbers.")
        if blocks[0].exercise not in (ExerciseKind.VERIFICATION, ExerciseKind.TRIAD):
            raise PlanInvalid(f"The equated set `{name}` is of an exercise other than verification and triad.")
    return {name: [one for one in OCCASIONS if one in {b.occasion for b in blocks}] for name, blocks in sets.items()}
