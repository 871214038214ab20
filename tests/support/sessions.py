"""A course of every exercise, of made-up items and the real exercises, and trainees who answer what they are shown."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from fr_core.types import ModelId
from fr_training.answers import (
    Answer,
    Compared,
    Conclusion,
    Degraded,
    FileHash,
    Given,
    ListChoice,
    ListDecision,
    Notes,
    Observation,
    Observations,
    OddOneOut,
    OptionChosen,
    PairRating,
    Prediction,
    ProbeSent,
    Read,
    Triage,
    Usability,
)
from fr_training.bank.labs import lesson_items
from fr_training.courses import Course, Form, Item
from fr_training.keys import AnswerKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.plan import BlockPlan
from fr_training.plan_reading import read_plan
from fr_training.prompts import ExerciseKind, Role, Step
from fr_training.sessions.flow import lock, new_session, show
from fr_training.sessions.probes import lock_probe
from fr_training.sessions.views import ShowBlock, ShowTrial
from fr_training.trials import OwnList, Session

T0 = 1_700_000_000_000  # when every session here begins, milliseconds since 1970, UTC

SECRET = bytes(range(32))
PHOTO = ProbeSent("ab" * 32)
OWN_GALLERY = range(900, 905)  # pictures that a search for an own probe finds

PLAN = """
format = 1
title = "Every exercise"
claims = false

[[sittings]]
name = "first"
blocks = [
  {id = "pre", exercise = "verification", same = 4, different = 4, minutes = 5, equated = "test", occasion = "pre"},
  {id = "odd", exercise = "triad", trials = 3, feedback = true},
  {id = "parts", exercise = "features", same = 1, different = 1},
  {id = "lists", exercise = "candidates", present = 2, absent = 1, size = 4, feedback = true, minutes = 2},
  {id = "quality", exercise = "triage", usable = 1, limited = 1, reject = 1, feedback = true},
  {id = "aid", exercise = "aided", same = 2, different = 2, wrong = 1, feedback = true},
  {id = "own", exercise = "own_probe", trials = 1, size = 5, feedback = true, reveal_scores = false},
]

[[sittings]]
name = "second"
blocks = [
  {id = "follow", exercise = "verification", same = 20, different = 10, adaptive = true, trials = 12, feedback = true},
  {id = "post", exercise = "verification", same = 4, different = 4, equated = "test", occasion = "post"},
]
"""


def course(toml: str = PLAN, spread: float = 2.0) -> Course:
    """A course of a plan; the difficulties of each class are spread evenly from -spread to spread."""
    plan = read_plan(toml)
    numbers = count()
    forms = {name: _form(name, block, numbers, spread) for name, block in plan.forms().items()}
    return Course(
        course_id="c" * 16,
        plan=plan,
        datasets=("made",),
        terms=("none",),
        model=ModelId("null", "1", "0" * 64),
        seed=1,
        forms=forms,
        gallery_id="g",
        created_ms=T0,
        manifest_sha256="0" * 64,
    )


def begun(made: Course, sitting: str = "first", group: int = 0, secret: bytes = SECRET) -> Session:
    return new_session(made, "trainee-1", group, sitting, "5" * 32, secret, T0)


def _form(name: str, block: BlockPlan, numbers: count[int], spread: float) -> Form:
    if block.exercise == ExerciseKind.LESSON:
        return Form(name, tuple(lesson_items(block.lesson)), "0" * 64)
    keys = _keys(block)
    items = tuple(_item(f"{name} {n}", key, b, numbers) for n, (key, b) in enumerate(_with_b(keys, spread)))
    return Form(name, items, "0" * 64)


def _item(name: str, key: AnswerKey | None, b: float | None, numbers: count[int]) -> Item:
    photos = tuple(next(numbers) for _ in range(_photos(key)))
    item_id = hashlib.sha256(name.encode()).hexdigest()[:16]
    return Item(item_id, photos, key, b, people=photos, groups={"gender": "female"} if photos else {})


def _photos(key: AnswerKey | None) -> int:
    if isinstance(key, ListKey):
        return 1 + len(key.similarities)
    return {PairKey: 2, TriadKey: 3, TriageKey: 1}.get(type(key), 0)


def _with_b(keys: Sequence[AnswerKey | None], spread: float) -> list[tuple[AnswerKey | None, float | None]]:
    """The keys with difficulties, evenly spread within each truth of a pair."""
    of_class = {mated: [k for k in keys if isinstance(k, PairKey) and k.mated == mated] for mated in (True, False)}
    levels = {mated: iter(np.linspace(-spread, spread, len(found))) for mated, found in of_class.items()}
    return [(key, float(next(levels[key.mated])) if isinstance(key, PairKey) else None) for key in keys]


def _keys(block: BlockPlan) -> list[AnswerKey | None]:
    match block.exercise:
        case ExerciseKind.TRIAD:
            return [TriadKey(odd=n % 3, machine_odd=0, margin=0.2) for n in range(block.trials)]
        case ExerciseKind.CANDIDATES:
            similarities = tuple(0.5 - 0.1 * n for n in range(block.size))
            mates = [n % block.size for n in range(1, block.present + 1)]
            return [ListKey(mate, similarities) for mate in (*mates, *[None] * block.absent)]
        case ExerciseKind.TRIAGE:
            return [
                *[TriageKey(Usability.USABLE, None, 0.0)] * block.usable,
                *[TriageKey(Usability.LIMITED, Degraded.BLUR, 2.0)] * block.limited,
                *[TriageKey(Usability.REJECT, Degraded.BLUR, 5.0)] * block.reject,
            ]
        case ExerciseKind.OWN_PROBE:
            return [None] * block.trials
        case _:
            aided = block.exercise == ExerciseKind.AIDED
            mated = [True] * block.same + [False] * block.different
            return [_pair(one, (one != (n < block.wrong)) if aided else None) for n, one in enumerate(mated)]


def _pair(mated: bool, advice_same: bool | None) -> PairKey:
    return PairKey(mated, 0.6 if mated else 0.2, 1.5 if mated else -1.5, advice_same)


def own_list(mate: int | None = 2, *, scored: bool = True) -> OwnList:
    return OwnList(tuple(OWN_GALLERY), ListKey(mate, (0.5, 0.4, 0.3, 0.2, 0.1), scored))


def answer_to(shown: ShowTrial, draw: random.Random) -> Answer:
    """Some answer to a trial at its step, from what a trainee sees."""
    return Answer(_given(shown, draw), draw.choice([None, 1, 2, 3, 4, 5]), known_to_me=False)


def _given(shown: ShowTrial, draw: random.Random) -> Given:
    prompt = shown.prompt
    ids = [picture.picture_id for picture in prompt.pictures if picture.role != Role.PROBE]
    match prompt.step:
        case Step.RATE | Step.RATE_AGAIN:
            return PairRating(draw.choice([-3, -2, -1, 0, 1, 2, 3]), draw.choice([None, 0.25, 0.75]))
        case Step.CHOOSE:
            return OddOneOut(draw.choice(ids))
        case Step.NOTE:
            return Notes(f"a long face, {draw.randrange(100)} lines")
        case Step.OBSERVE:
            return Observations(
                tuple(Observation(one.component_id, Compared.SIMILAR, draw.randrange(11)) for one in prompt.components)
            )
        case Step.DECIDE:
            choice = draw.choice(list(ListChoice))
            picked = draw.choice(ids) if choice == ListChoice.CANDIDATE else None
            return ListDecision(choice, picked, {picture: draw.randint(-3, 3) for picture in ids})
        case Step.TRIAGE:
            return Triage(Usability.LIMITED, frozenset({draw.choice(list(Degraded))}))
        case Step.SEND_PROBE:
            return PHOTO
        case Step.HASH | Step.DERIVE:
            return FileHash(f"{draw.getrandbits(256):064x}")
        case Step.PREDICT:
            return Prediction(draw.uniform(0.0, 100.0))
        case Step.CONCLUDE:
            return Conclusion(draw.randint(0, 3))
        case Step.READ:
            return Read()
        case Step.ANSWER:
            assert prompt.lesson is not None
            return OptionChosen(draw.choice(prompt.lesson.option_ids))


@dataclass
class Trainee:
    """A trainee who goes through a sitting, a second a call."""

    course: Course
    session: Session
    answer: Callable[[ShowTrial], Answer]
    now_ms: int = T0
    trials: list[ShowTrial] = field(default_factory=list)

    def look(self) -> ShowTrial | None:
        """The next trial, blocks begun on the way; None at the end."""
        self.now_ms += 1_000
        self.session, seen = show(self.course, self.session, "", self.now_ms)
        if isinstance(seen, ShowBlock):
            self.session, seen = show(self.course, self.session, seen.block.block_id, self.now_ms)
        return seen if isinstance(seen, ShowTrial) else None

    def reply(self, shown: ShowTrial) -> None:
        self.now_ms += 1_000
        trial_id, step = shown.trial.trial_id, shown.prompt.step
        if step == Step.SEND_PROBE:
            self.session, _ = lock_probe(self.course, self.session, trial_id, PHOTO, own_list(), self.now_ms)
        else:
            answer = self.answer(shown)
            self.session, _ = lock(self.course, self.session, trial_id, step, answer, self.now_ms)

    def run(self) -> Session:
        while (shown := self.look()) is not None:
            self.trials.append(shown)
            self.reply(shown)
        return self.session


def random_trainee(made: Course, sitting: str = "first", group: int = 0, seed: int = 0) -> Trainee:
    draw = random.Random(seed)
    return Trainee(made, begun(made, sitting, group), lambda shown: answer_to(shown, draw))


def items_by_id(made: Course) -> Mapping[str, Item]:
    return {item.item_id: item for form in made.forms.values() for item in form.items}
