"""Reads the plan of a course from TOML, as a trainer writes it, and refuses every contradiction."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn, TypeVar, get_args

from fr_files.reading import TextRefused, read_toml
from fr_locales.messages import Message, message
from fr_locales.rendering import languages
from fr_training.errors import PlanInvalid, UnknownExercise
from fr_training.lessons import Lesson, lesson, lesson_names
from fr_training.plan import (
    COUNTS,
    FEWEST_TO_SHOW,
    FMRS,
    MASKS,
    MAX_SEED,
    OCCASIONS,
    PAIRS,
    BlockPlan,
    CoursePlan,
    Occasion,
    SittingPlan,
    SlotKind,
    SlotPlan,
    repeated,
    with_forms,
)
from fr_training.prompts import ExerciseKind, LabKind

T = TypeVar("T")

FORMAT = 1
MAX_TOML_BYTES = 64 * 1024  # the longest plan of FR Core is 14 KiB, with its translations
MAX_BLOCKS = 64
_MOST_MARKS = 4_000  # of `read_toml`: more than every key in each of `MAX_BLOCKS` blocks
MAX_TRIALS = 1_000
MAX_LIST = 50
MAX_MINUTES = 240
_DAY = 24 * 60
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
MAX_LAB_TRIALS = 4  # of a block: more questions about the same numbers would repeat each other
MAX_RETENTION_DAYS = 3_650

_SCORED = frozenset({ExerciseKind.CANDIDATES, ExerciseKind.OWN_PROBE, ExerciseKind.FOOTAGE})
_DEGRADABLE = PAIRS - {ExerciseKind.BLIND} | {ExerciseKind.TRIAD, ExerciseKind.CANDIDATES}

_POORER: Mapping[str, tuple[float, float]] = {
    "scale": (8.0, 128.0),
    "blur": (0.5, 16.0),
    "compression": (1.0, 95.0),
    "light": (0.1, 1.0),
}
"""Ranges of the keys that make the photos of a block poorer."""
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


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
        key = key[:40]
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

    def choice(self, key: str, choices: tuple[str, ...], default: str | None) -> str:
        value = self.text(key, default)
        if value not in choices:
            self.wrong(key, message("error.plan.must_be_one_of", choices=", ".join(word for word in choices if word)))
        return value

    def clock(self, key: str) -> int:
        """A time of day as minutes from midnight; 0 where it is not there."""
        value = self.text(key, "")
        found = _CLOCK.fullmatch(value)
        if value and found is None:
            self.wrong(key, message("error.plan.must_be_clock"))
        return 0 if found is None else 60 * int(found[1]) + int(found[2])

    def tables(self, key: str, most: int, where: Callable[[int], Message], least: int = 1) -> list[_Table]:
        """A list of tables; `where` says of each number, from 1, which table it is."""
        value = self._take(key, list, message("error.plan.must_be_tables", key=key)) or []
        if len(value) < least:
            self.wrong(key, message("error.plan.must_not_be_empty"))
        if len(value) > most:
            self.wrong(key, message("error.plan.too_many_entries", most=most))
        return [_Table(one, where(number)) for number, one in enumerate(value, start=1)]

    def inner(self, key: str, where: Message) -> _Table:
        """The table under `key`; empty if there is none."""
        return _Table(self._take(key, dict, message("error.plan.must_be_table")) or {}, where)

    def words_of(self, plan: CoursePlan, language: str) -> dict[str, str]:
        """The translations in this table, by the plan's own texts.

        Raises `PlanInvalid` for a key that is not in the plan, and for a translation that is empty or too long.
        """
        titles, every = plan.titles, plan.words
        if unknown := self._raw.keys() - every:
            key = min(unknown)
            words, near = key[:40], difflib.get_close_matches(key[:200], titles, n=1)
            if near:
                raise PlanInvalid(
                    message("error.plan.words_near", language=language, words=words, near=near[0]), key=words
                )
            raise PlanInvalid(message("error.plan.words_unknown", language=language, words=words), key=words)
        return {key: self.text(key, most=200 if key in titles else 4_000) for key in self._raw}

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
    plan = replace(plan, translations=_translations(table, plan))
    table.end(message("error.plan.the_plan"))
    if len(plan.blocks) > MAX_BLOCKS:
        raise PlanInvalid(message("error.plan.too_many_blocks", most=MAX_BLOCKS), limit=str(MAX_BLOCKS))
    if name := repeated(one.name for one in plan.sittings):
        raise PlanInvalid(message("error.plan.sittings_of_name", name=name))
    if name := repeated(block.block_id for block in plan.blocks):
        raise PlanInvalid(message("error.plan.blocks_of_id", name=name))
    plan = with_forms(plan)
    if sum(block.shown for block in plan.blocks) > MAX_TRIALS:
        raise PlanInvalid(message("error.plan.too_many_trials", most=MAX_TRIALS), limit=str(MAX_TRIALS))
    for block in plan.blocks if plan.claims else ():
        _require_able_to_show(block)
    return plan


def _translations(table: _Table, plan: CoursePlan) -> dict[str, dict[str, str]]:
    """The plan's translations by language; every key must be a text of the plan."""
    by_language = table.inner("translations", message("error.plan.at_translations"))
    found = {}
    for language in languages():
        part = by_language.inner(language, message("error.plan.at_language", language=language))
        found[language] = part.words_of(plan, language)
    by_language.end(message("error.plan.the_translations"))
    return {language: words for language, words in found.items() if words}


def _require_able_to_show(block: BlockPlan) -> None:
    """Raise `PlanInvalid` for a block that is there to measure, and could never support a claim."""
    keys: tuple[str, ...] = ("different",) if block.exercise == ExerciseKind.LOW_PREVALENCE else ()
    if block.equated:
        keys = tuple(key for key in COUNTS[block.exercise] if key != "size")
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

    def at_slot(number: int) -> Message:
        return message("error.plan.at_slot_number", name=name, number=number)

    sitting = SittingPlan(
        name=name,
        title=table.text("title", name, most=200),
        blocks=tuple(map(_block, table.tables("blocks", MAX_BLOCKS, at_block))),
        starts=table.clock("starts"),
        slots=tuple(map(_slot, table.tables("slots", MAX_BLOCKS, at_slot, least=0))),
    )
    table.end(message("error.plan.the_sitting", name=name))
    _require_timetable(sitting, table)
    return sitting


def _slot(table: _Table) -> SlotPlan:
    slot = SlotPlan(
        kind=SlotKind(table.choice("kind", tuple(SlotKind), None)),
        minutes=table.whole("minutes", 1, MAX_MINUTES),
        after=table.name("after", ""),
        title=table.text("title", "", most=200),
    )
    table.end(message("error.plan.the_slot"))
    return slot


def _require_timetable(sitting: SittingPlan, table: _Table) -> None:
    """Require of a sitting with a time or slots that its timetable can be told, and ends on its day."""
    if not (sitting.starts or sitting.slots):
        return
    if not sitting.timetable:
        table.wrong("slots", message("error.plan.timetable_needs_minutes"))
    ids = {"", *(block.block_id for block in sitting.blocks)}
    if any(one.after not in ids for one in sitting.slots):
        table.wrong("slots", message("error.plan.slot_after_nothing"))
    last = sitting.timetable[-1]
    if last.at + last.minutes > _DAY:
        table.wrong("starts", message("error.plan.timetable_past_midnight"))


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
    taught = _lesson(table) if exercise == ExerciseKind.LESSON else None
    counts = {
        key: table.whole(key, 1, MAX_LIST) if key == "size" else table.whole(key, 0, MAX_TRIALS)
        for key in COUNTS[exercise]
    }
    occasion = table.choice("occasion", get_args(Occasion), "")
    feedback = table.flag("feedback", taught is not None)
    # The similarity of a single pair nearly says the answer.
    reveals = feedback if exercise == ExerciseKind.FOOTAGE else True
    block = BlockPlan(
        block_id=block_id,
        exercise=exercise,
        title=table.text("title", block_id if taught is None else taught.title, most=200),
        instructions=table.text("instructions", ""),
        minutes=table.whole("minutes", 1, MAX_MINUTES, 0) or None,
        feedback=feedback,
        reveal_scores=table.flag("reveal_scores", reveals) if exercise in _SCORED else True,
        adaptive=adaptive,
        target=table.share("target", 0.8) if adaptive else 0.8,
        wrong=table.whole("wrong", 0, MAX_TRIALS) if exercise == ExerciseKind.AIDED else 0,
        about=table.choice("about", tuple(LabKind), "") if exercise == ExerciseKind.LAB else "",
        lesson="" if taught is None else taught.name,
        trials=0 if taught is None else len(taught.sections),
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


def _lesson(table: _Table) -> Lesson:
    name = table.name("lesson")
    if name not in lesson_names():
        table.wrong("lesson", message("error.plan.must_be_one_of", choices=", ".join(lesson_names())))
    return lesson(name)


def _require_consistent(block: BlockPlan, table: _Table) -> None:
    if block.exercise != ExerciseKind.BLIND and not block.items:
        keys = ", ".join(COUNTS[block.exercise])
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
