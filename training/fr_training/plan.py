"""The plan of a course: what a trainer writes as TOML, read into frozen values, every contradiction refused."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn, TypeVar, get_args

from fr_files.reading import TextRefused, read_toml
from fr_locales.messages import Message, message
from fr_training.answers import Poorer
from fr_training.errors import PlanInvalid, UnknownExercise
from fr_training.prompts import ExerciseKind, LabKind

T = TypeVar("T")

FORMAT = 1
MAX_TOML_BYTES = 64 * 1024  # the longest plan that comes with FR Core has 10 KiB
MAX_BLOCKS = 64
_MOST_MARKS = 4_000  # of `read_toml`: more than every key in each of `MAX_BLOCKS` blocks
MAX_TRIALS = 1_000
MAX_LIST = 50
MAX_MINUTES = 240
MAX_LAB_TRIALS = 4  # of a block: more questions about the same numbers would repeat each other
MAX_RETENTION_DAYS = 3_650
MAX_SEED = 2**32 - 1

Mask = Literal["head", "oval", "none"]
MASKS: tuple[Mask, ...] = get_args(Mask)
Occasion = Literal["", "pre", "post", "retention"]
FMRS = ("0.01", "0.001", "0.0001")
"""False match rates at which reports can show the machine."""

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

_DEGRADABLE = PAIRS - {ExerciseKind.BLIND} | {ExerciseKind.TRIAD, ExerciseKind.CANDIDATES}

# Which keys give the numbers of trials of an exercise, all of them needed.
_COUNTS: Mapping[ExerciseKind, tuple[str, ...]] = {
    **dict.fromkeys(PAIRS, ("same", "different")),
    ExerciseKind.BLIND: (),
    ExerciseKind.TRIAD: ("trials",),
    ExerciseKind.CANDIDATES: ("present", "absent", "size"),
    ExerciseKind.TRIAGE: ("usable", "limited", "reject"),
    ExerciseKind.OWN_PROBE: ("trials", "size"),
    ExerciseKind.LAB: ("trials",),
    ExerciseKind.EVIDENCE: ("trials",),
}
_POORER: Mapping[str, tuple[float, float]] = {
    "scale": (8.0, 128.0),
    "blur": (0.5, 16.0),
    "compression": (1.0, 95.0),
    "light": (0.1, 1.0),
}
"""Ranges of the keys that make the photos of a block poorer."""
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
    # Of a triad, own probe, lab or evidence exercise; of an adaptive block, how many of its items a trainee is shown.
    trials: int = 0
    size: int = 0  # candidates of a list
    present: int = 0  # lists with the person searched for
    absent: int = 0  # lists without
    usable: int = 0  # photos as they are, to triage; then those of limited use, and to be rejected
    limited: int = 0
    reject: int = 0
    wrong: int = 0  # of an aided exercise, trials whose advice is wrong
    about: str = ""  # of a lab, its question, a `LabKind`
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
    mask: Mask = "head"  # "head" shows ears, hairline and neck too, "oval" the face alone, "none" all around it
    colour: bool = True  # whether pictures are shown in colour; grey ones suit photos of several sources
    claims: bool = True  # whether blocks that measure must be able to show something
    machine_fmr: float = 0.001  # false match rate at which reports show the machine, beside the pack's threshold
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
        raise PlanInvalid(message("error.plan.too_long", kib=MAX_TOML_BYTES // 1024), limit=str(MAX_TOML_BYTES))
    try:
        raw = read_toml(toml, MAX_TOML_BYTES, _MOST_MARKS)
    except TextRefused as error:
        raise PlanInvalid(message("error.plan.no_toml", error=str(error))) from error
    return _plan(_Table(raw, message("error.plan.at_plan")), toml)


class _Table:
    """A table of the plan: each key is taken once, and what is left is unknown."""

    def __init__(self, raw: object, where: Message) -> None:
        if not isinstance(raw, dict):
            raise PlanInvalid(message("error.plan.no_table", where=where))
        self._raw: dict[str, Any] = raw
        self._left = set(raw)
        self._known: list[str] = []
        self.where = where

    def wrong(self, key: str, must: Message) -> NoReturn:
        raise PlanInvalid(message("error.plan.wrong_key", where=self.where, key=key, must=must), key=key)

    def _take(self, key: str, kind: type[T], must: Message) -> T | None:
        self._known.append(key)
        self._left.discard(key)
        if key not in self._raw:
            return None
        value = self._raw[key]
        if type(value) is not kind:
            self.wrong(key, must)
        return value

    def text(self, key: str, default: str | None = None, most: int = 4_000) -> str:
        """One without a default must be there and not be empty."""
        value = self._take(key, str, message("error.plan.must_be_text"))
        if value is None:
            if default is None:
                self.wrong(key, message("error.plan.key_missing"))
            return default
        if (default is None and not value.strip()) or len(value) > most or "\0" in value:
            self.wrong(key, message("error.plan.must_have_characters", most=most))
        return value

    def name(self, key: str, default: str | None = None) -> str:
        value = self.text(key, default)
        if value and not _ID.fullmatch(value):
            self.wrong(key, message("error.plan.must_be_name"))
        return value

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self._take(key, int, message("error.plan.must_be_whole"))
        if value is None:
            if default is None:
                self.wrong(key, message("error.plan.key_missing"))
            return default
        if not low <= value <= high:
            self.wrong(key, message("error.plan.must_be_in_range", low=low, high=high))
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._take(key, bool, message("error.plan.must_be_flag"))
        return default if value is None else value

    def share(self, key: str, default: float) -> float:
        """A number between .5 and 1, ends excluded."""
        value = self._take(key, float, message("error.plan.must_be_number"))
        if value is not None and not 0.5 < value < 1.0:
            self.wrong(key, message("error.plan.must_be_share"))
        return default if value is None else value

    def number(self, key: str, low: float, high: float) -> float:
        """A whole number or one with a point; 0 where it is not there."""
        whole = type(self._raw.get(key)) is int
        must = message("error.plan.must_be_number_from", low=f"{low:g}", high=f"{high:g}")
        value = self._take(key, int if whole else float, must)
        if value is not None and not low <= value <= high:
            self.wrong(key, must)
        return float(value or 0.0)

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        value = self.text(key, default)
        if value not in choices:
            self.wrong(key, message("error.plan.must_be_one_of", choices=", ".join(word for word in choices if word)))
        return value

    def tables(self, key: str, most: int, where: Callable[[int], Message]) -> list[_Table]:
        """A list of tables, at least one; `where` says of each number, from 1, which table it is."""
        value = self._take(key, list, message("error.plan.must_be_tables", key=key))
        if not value:
            self.wrong(key, message("error.plan.must_not_be_empty"))
        if len(value) > most:
            self.wrong(key, message("error.plan.too_many_entries", most=most))
        return [_Table(one, where(number)) for number, one in enumerate(value, start=1)]

    def end(self, table: Message) -> None:
        """Require that no key is left; `table` begins the sentence that refuses it."""
        if self._left:
            key, known = min(self._left), ", ".join(sorted(self._known))
            near = difflib.get_close_matches(key, self._known, n=1)
            key = key[:40]
            if near:
                raise PlanInvalid(message("error.plan.key_near", table=table, key=key, near=near[0]), key=key)
            raise PlanInvalid(message("error.plan.key_unknown", table=table, key=key, known=known), key=key)


def _plan(table: _Table, toml: str) -> CoursePlan:
    table.whole("format", FORMAT, FORMAT)
    mask = table.choice("mask", MASKS, "head")
    plan = CoursePlan(
        title=table.text("title", most=200),
        sittings=tuple(map(_sitting, table.tables("sittings", MAX_BLOCKS, _at_sitting))),
        seed=table.whole("seed", 0, MAX_SEED, 1),
        mask=next(one for one in MASKS if one == mask),
        colour=table.flag("colour", True),
        claims=table.flag("claims", True),
        machine_fmr=float(table.choice("machine_fmr", FMRS, "0.001")),
        retention_days=table.whole("retention_days", 1, MAX_RETENTION_DAYS, 90),
        notice=table.text("notice", ""),
        toml=toml,
    )
    table.end(message("error.plan.the_plan"))
    if len(plan.blocks) > MAX_BLOCKS:
        raise PlanInvalid(message("error.plan.too_many_blocks", most=MAX_BLOCKS), limit=str(MAX_BLOCKS))
    if name := _repeated(one.name for one in plan.sittings):
        raise PlanInvalid(message("error.plan.sittings_of_name", name=name))
    if name := _repeated(block.block_id for block in plan.blocks):
        raise PlanInvalid(message("error.plan.blocks_of_id", name=name))
    plan = _with_forms(plan)
    if sum(block.shown for block in plan.blocks) > MAX_TRIALS:
        raise PlanInvalid(message("error.plan.too_many_trials", most=MAX_TRIALS), limit=str(MAX_TRIALS))
    for block in plan.blocks if plan.claims else ():
        _require_able_to_show(block)
    return plan


FEWEST_TO_SHOW = 10
"""Items of a kind below which a block that measures can show nothing: reports then hide d' and c, and say of few pairs
of two people that these may just be harder."""


def _require_able_to_show(block: BlockPlan) -> None:
    """Raise `PlanInvalid` for a block that is there to measure, and could never support a claim."""
    keys: tuple[str, ...] = ("different",) if block.exercise == ExerciseKind.LOW_PREVALENCE else ()
    if block.equated:
        keys = tuple(key for key in _COUNTS[block.exercise] if key != "size")
    for key in keys:
        if getattr(block, key) < FEWEST_TO_SHOW:
            raise PlanInvalid(
                message("error.plan.shows_nothing", block_id=block.block_id, key=key, least=FEWEST_TO_SHOW), key=key
            )


def _at_sitting(number: int) -> Message:
    return message("error.plan.at_sitting_number", number=number)


def _sitting(table: _Table) -> SittingPlan:
    name = table.name("name")
    table.where = message("error.plan.at_sitting", name=name)

    def at_block(number: int) -> Message:
        return message("error.plan.at_block_number", name=name, number=number)

    sitting = SittingPlan(
        name=name,
        title=table.text("title", name, most=200),
        blocks=tuple(map(_block, table.tables("blocks", MAX_BLOCKS, at_block))),
    )
    table.end(message("error.plan.the_sitting", name=name))
    return sitting


def _block(table: _Table) -> BlockPlan:
    block_id = table.name("id")
    table.where = message("error.plan.at_block", name=block_id)
    word = table.text("exercise", most=40)
    try:
        exercise = ExerciseKind(word)
    except ValueError:
        near = difflib.get_close_matches(word, list(ExerciseKind), n=1)
        hint = message("error.plan.exercise_near", near=near[0]) if near else ""
        known = ", ".join(ExerciseKind)
        raise UnknownExercise(
            message("error.plan.exercise_unknown", where=table.where, known=known, hint=hint), block=block_id
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
        about=table.choice("about", tuple(LabKind), "") if exercise == ExerciseKind.LAB else "",
        equated=table.name("equated", "") if exercise != ExerciseKind.BLIND else "",
        occasion=next((one for one in OCCASIONS if one == occasion), ""),
        verifies=table.name("verifies") if exercise == ExerciseKind.BLIND else "",
    )
    for key, count in counts.items():
        block = replace(block, **{key: count})  # type: ignore[arg-type]  # each key is a field of numbers
    if exercise in _DEGRADABLE:
        for key, ends in _POORER.items():
            block = replace(block, **{key: table.number(key, *ends)})  # type: ignore[arg-type]  # as above
    if adaptive:
        block = replace(block, trials=table.whole("trials", 1, block.items))
    table.end(message("error.plan.the_block", name=block_id))
    _require_consistent(block, table)
    return block


def _require_consistent(block: BlockPlan, table: _Table) -> None:
    if block.exercise != ExerciseKind.BLIND and not block.items:
        keys = ", ".join(_COUNTS[block.exercise])
        raise PlanInvalid(message("error.plan.nothing_to_do", where=table.where, keys=keys))
    if block.wrong > block.items:
        table.wrong("wrong", message("error.plan.more_than_trials"))
    if block.exercise == ExerciseKind.LAB and block.trials > MAX_LAB_TRIALS:
        table.wrong("trials", message("error.plan.must_be_in_range", low=1, high=MAX_LAB_TRIALS))
    if bool(block.equated) != bool(block.occasion):
        table.wrong("equated", message("error.plan.equated_and_occasion", occasions=", ".join(OCCASIONS)))
    if block.equated and block.adaptive:
        table.wrong("equated", message("error.plan.equated_and_adaptive"))
    if block.occasion and block.feedback:
        table.wrong("feedback", message("error.plan.test_with_feedback"))
    if block.occasion and block.exercise == ExerciseKind.CANDIDATES and block.reveal_scores:
        table.wrong("reveal_scores", message("error.plan.test_with_feedback"))


def _repeated(names: Iterable[str]) -> str | None:
    return next((name for name, times in Counter(names).items() if times > 1), None)


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
        if name := _repeated(block.forms[group] for block in plan.blocks):
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
