"""A small course, made without models: its items and pictures are of nobody. And a store of it, with its clock."""

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Location
from fr_core.types import ModelId
from fr_training.answers import Answer, Degraded, PairRating, Usability
from fr_training.courses import Course, Form, Item
from fr_training.keys import AnswerKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.plan import PAIRS, BlockPlan
from fr_training.plan_reading import read_plan
from fr_training.prompts import ExerciseKind, Step
from fr_training.store.training_store import TrainingStore
from fr_training.store.values import NewTrainee
from fr_training.trials import Locked, Session, Trial

KEY = KeyEncryptionKey(bytes(range(32)))
MODEL = ModelId("null", "1", "0" * 64)
NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
PICTURE_BYTES = 2_000
SITTING = "day-1"

PLAN = """
format = 1
title = "A small course"
claims = false
seed = 7

[[sittings]]
name = "day-1"
blocks = [
  {id = "pre", exercise = "verification", same = 4, different = 4, equated = "test", occasion = "pre", minutes = 10},
  {id = "triads", exercise = "triad", trials = 3, feedback = true},
  {id = "lists", exercise = "candidates", present = 2, absent = 2, size = 4},
  {id = "usable", exercise = "triage", usable = 2, limited = 1, reject = 1},
]

[[sittings]]
name = "day-2"
blocks = [
  {id = "own", exercise = "own_probe", trials = 2, size = 4},
  {id = "aided", exercise = "aided", same = 3, different = 3, wrong = 2, feedback = true},
  {id = "post", exercise = "verification", same = 4, different = 4, equated = "test", occasion = "post"},
]
"""


def small_course(toml: str = PLAN, course_id: str = "00000000000000c1", created_ms: int = NOW_MS) -> Course:
    """A course with every form of its plan, and made-up items whose people are in one form alone."""
    plan = read_plan(toml)
    forms: dict[str, Form] = {}
    numbers = iter(range(1_000_000))
    for name, block in plan.forms().items():
        items = tuple(_item(block, n, numbers_of) for n, numbers_of in _numbered(block, numbers))
        forms[name] = Form(name, items, f"{len(forms):064x}")
    return Course(
        course_id,
        plan,
        ("made-up",),
        ("free",),
        MODEL,
        plan.seed,
        forms,
        "made-up" if any(block.exercise == ExerciseKind.OWN_PROBE for block in plan.blocks) else "",
        created_ms,
        "f" * 64,
        {"NO_FACE": 3},
    )


def pictures_of(course: Course) -> tuple[bytes, ...]:
    last = max(number for form in course.forms.values() for item in form.items for number in item.photos)
    return tuple(random.Random(number).randbytes(PICTURE_BYTES) for number in range(last + 1))


def session_of(course: Course, trainee_id: str, group: int = 0, sitting: str = SITTING, seed: int = 1) -> Session:
    """A session that has just begun; its ids follow from the seed and the trainee."""
    drawn = random.Random(f"{seed} {trainee_id} {sitting}")
    return Session(drawn.randbytes(16).hex(), trainee_id, course.course_id, sitting, group, drawn.randbytes(32), NOW_MS)


def shown(course: Course, session: Session, now_ms: int = NOW_MS) -> Session:
    """The session with one more trial, of any item of the first form: for tests of what is kept, not of the order."""
    ordinal = len(session.trials)
    block = course.plan.blocks[0]
    form = course.forms[block.forms[session.group]]
    item = form.items[ordinal % len(form.items)]
    trial = Trial(f"{ordinal:032x}", ordinal, block.block_id, form.name, item.item_id, (1, 0), now_ms)
    return replace(session, trials=(*session.trials, trial))


def answered(session: Session, rating: int = 1, now_ms: int = NOW_MS) -> Session:
    *before, last = session.trials
    locked = Locked(Step.RATE, Answer(PairRating(rating), difficulty=2), now_ms, now_ms - last.shown_ms)
    return replace(session, trials=(*before, replace(last, locked=(*last.locked, locked), done=True)))


@dataclass(slots=True)
class Clock:
    now_ms: int = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


class Gate:
    """A job that holds up the thread that writes, so that those after it come in one group."""

    def __init__(self, submit: Callable[[Callable[..., Any]], Future[Any]]) -> None:
        self._begun, self._open = threading.Event(), threading.Event()
        self._future = submit(self._wait)
        assert self._begun.wait(10)

    def _wait(self, *given: Any) -> tuple[Any, None]:
        self._begun.set()
        assert self._open.wait(10)
        return given[-1], None

    def open(self) -> None:
        """Let the others go on."""
        self._open.set()
        self._future.result()


def open_store(location: Location, clock: Clock | None = None, vfs: str = "", reserve_bytes: int = 0) -> TrainingStore:
    return TrainingStore.open(location, KEY, clock or Clock(), reserve_bytes, vfs=vfs)


def add_course(store: TrainingStore, course: Course, probe_keys: Mapping[str, int | None] | None = None) -> None:
    """Add a course with its pictures, a gallery of its first people, and identities "person 0" to "person 9"."""
    store.add_course(
        course,
        pictures_of(course),
        {person: person + 1 for person in range(10)},
        probe_keys or {},
        {f"person {person}": person for person in range(10)},
    )


def begin(store: TrainingStore, course: Course, enrolled: Sequence[NewTrainee]) -> list[Session]:
    trainees = [store.trainee(new.trainee_id) for new in enrolled]
    return [
        store.start_session(
            trainee,
            SITTING,
            lambda trainee=trainee: session_of(course, trainee.trainee_id, trainee.group),  # type: ignore[misc]
        )
        for trainee in trainees
    ]


def _numbered(block: BlockPlan, numbers: Iterator[int]) -> list[tuple[int, list[int]]]:
    per_item = {ExerciseKind.TRIAD: 3, ExerciseKind.TRIAGE: 1, ExerciseKind.OWN_PROBE: 0}
    count = 1 + block.size if block.exercise == ExerciseKind.CANDIDATES else per_item.get(block.exercise, 2)
    return [(n, [next(numbers) for _ in range(count)]) for n in range(block.items)]


def _item(block: BlockPlan, n: int, photos: list[int]) -> Item:
    key = _key(block, n)
    one = isinstance(key, PairKey) and key.mated
    people = tuple(sorted({photos[0]} if one else set(photos)))
    b = None if block.exercise in (ExerciseKind.TRIAGE, ExerciseKind.OWN_PROBE) else (n % 5 - 2) / 2
    return Item(f"{n:08x}{sum(photos):08x}", tuple(photos), key, b, people, {"gender": "female"} if n % 2 else {})


def _key(block: BlockPlan, n: int) -> AnswerKey | None:
    if block.exercise in PAIRS:
        mated = n < block.same
        advice = (mated != (n % block.items < block.wrong)) if block.exercise == ExerciseKind.AIDED else None
        return PairKey(mated, 0.6 if mated else 0.1, 2.5 if mated else -1.5, advice)
    if block.exercise == ExerciseKind.TRIAD:
        return TriadKey(n % 3, (n + n % 2) % 3, 0.3)
    if block.exercise == ExerciseKind.CANDIDATES:
        similarities = tuple(0.5 - 0.1 * rank for rank in range(block.size))
        return ListKey(n % block.size if n < block.present else None, similarities)
    if block.exercise == ExerciseKind.TRIAGE:
        if n < block.usable:
            return TriageKey(Usability.USABLE, None, 0.0)
        return TriageKey(
            Usability.LIMITED if n < block.usable + block.limited else Usability.REJECT, Degraded.BLUR, 2.5
        )
    return None
