"""Makes courses without photos, and lets simulated trainees take them through the real sessions, on a simulated clock.

A trainee of a real server takes a course through the API as anybody does; `StoreOracle` tells it what is right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from statistics import NormalDist

import numpy as np

from fr_core.types import ModelId
from fr_locales.messages import message
from fr_training.answers import Answer, ProbeSent, Usability
from fr_training.bank.labs import lesson_items
from fr_training.bank.manifest import ITEM_ID_DIGITS, course_sha256
from fr_training.bank.triage import DEGRADATIONS
from fr_training.courses import Course, Form, Item, OperatingPoints
from fr_training.errors import UnknownTrial
from fr_training.keys import CUSTODY_RECORDS, AnswerKey, EvidenceKey, LabKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.plan import PAIRS, BlockPlan, CoursePlan
from fr_training.prompts import ExerciseKind, LabKind, Step
from fr_training.sessions.flow import find_trial, lock, new_session, show
from fr_training.sessions.order import item_of
from fr_training.sessions.probes import lock_probe
from fr_training.sessions.views import ShowBlock, ShowTrial, key_of, show_trial
from fr_training.simulation.trainee import SimulatedTrainee
from fr_training.store.training_store import TrainingStore
from fr_training.trials import OwnList, Session

MODEL = ModelId("simulated", "1", "0" * 64)

Keyed = tuple[AnswerKey | None, float | None]  # the key of an item, and its difficulty


def made_course(plan: CoursePlan, seed: int, now_ms: int) -> Course:
    """A course of a plan, the same for the same seed; no photo of it exists.

    The difficulties of each truth of a form are the quantiles of a normal distribution, brought to mean 0 and SD 1, as
    those of a large bank are after `fr_training.bank.difficulty.spread`; the forms of an equated set are equally hard.
    The seed shuffles, and draws where advice is wrong.
    """
    numbers = count()
    forms = {
        name: _form(name, block, numbers, seed, np.random.default_rng([seed, place]))
        for place, (name, block) in enumerate(plan.forms().items())
    }
    searched = any(block.exercise == ExerciseKind.OWN_PROBE for block in plan.blocks)
    return Course(
        course_id=_digits(f"course {seed} {plan.title}"),
        plan=plan,
        datasets=("simulated",),
        terms=("no photo and no person: numbers alone",),
        model=MODEL,
        seed=seed,
        forms=forms,
        gallery_id="simulated" if searched else "",
        created_ms=now_ms,
        manifest_sha256=course_sha256(forms),
        machine=OperatingPoints(0.375, 0.45),
    )


def difficulties(items: int) -> list[float]:
    """Quantiles of a normal distribution, brought to mean 0 and SD 1 (n below the line); of one item, 0."""
    normal = NormalDist()
    values = np.array([normal.inv_cdf((n + 0.5) / items) for n in range(items)], dtype=np.float64)
    return [] if not items else [0.0] if items == 1 else [float(one) for one in values / values.std()]


def made_own_list(block: BlockPlan, rng: np.random.Generator) -> OwnList:
    """Draw what a search for an own probe finds: half of the time the person searched for, at any place."""
    mate = int(rng.integers(block.size)) if rng.random() < 0.5 else None
    return OwnList(tuple(range(block.size)), ListKey(mate, _falling(block.size)))


def _form(name: str, block: BlockPlan, numbers: count[int], seed: int, rng: np.random.Generator) -> Form:
    if block.exercise == ExerciseKind.LESSON:
        items = lesson_items(block.lesson)
        return Form(name, tuple(items), hashlib.sha256("".join(one.item_id for one in items).encode()).hexdigest())
    keyed = _keyed(block, rng)
    items = [_item(f"{seed} {name} {n}", key, b, numbers) for n, (key, b) in enumerate(keyed)]
    told = [f"{item.item_id} {item.key} {item.b}" for item in items]
    sha256 = hashlib.sha256("\n".join(told).encode()).hexdigest()
    return Form(name, tuple(items[place] for place in rng.permutation(len(items)).tolist()), sha256)


def _item(name: str, key: AnswerKey | None, b: float | None, numbers: count[int]) -> Item:
    photos = tuple(next(numbers) for _ in range(_photos(key)))
    people = photos[:1] if isinstance(key, PairKey) and key.mated else photos
    return Item(_digits(name), photos, key, b, people)


def _photos(key: AnswerKey | None) -> int:
    match key:
        case PairKey():
            return 2
        case TriadKey():
            return 3
        case ListKey():
            return 1 + len(key.similarities)
        case TriageKey() | EvidenceKey():
            return 1
    return 0


def _keyed(block: BlockPlan, rng: np.random.Generator) -> list[Keyed]:
    if block.exercise in PAIRS:
        return _pairs(block, rng)
    match block.exercise:
        case ExerciseKind.TRIAD:
            odd = rng.integers(3, size=(block.trials, 2)).tolist()
            levels = difficulties(block.trials)
            return [(TriadKey(pair[0], pair[1], 0.2 - 0.1 * b), b) for pair, b in zip(odd, levels, strict=True)]
        case ExerciseKind.CANDIDATES:
            mates = [int(one) for one in rng.integers(block.size, size=block.present)]
            present: list[Keyed] = [
                (ListKey(mate, _falling(block.size)), b)
                for mate, b in zip(mates, difficulties(block.present), strict=True)
            ]
            return present + [(ListKey(None, _falling(block.size)), b) for b in difficulties(block.absent)]
        case ExerciseKind.TRIAGE:
            counts = (block.usable, block.limited, block.reject)
            return [key for one, number in zip(Usability, counts, strict=True) for key in _triage(one, number)]
        case ExerciseKind.EVIDENCE:
            records = rng.integers(CUSTODY_RECORDS + 1, size=block.trials).tolist()
            return [(EvidenceKey(f"{n:064x}", f"{n + 1:064x}", one), None) for n, one in enumerate(records)]
        case ExerciseKind.LAB:
            # A row of three; the trainee sees no table, as nothing was measured.
            measured = rng.uniform(1.0, 60.0, size=block.trials).tolist()
            kind = LabKind(block.about)
            return [
                (LabKey(kind, 1 + n % 3, one, max(0.0, one - 5.0), one + 5.0), None) for n, one in enumerate(measured)
            ]
    return [(None, None)] * block.trials


def _pairs(block: BlockPlan, rng: np.random.Generator) -> list[Keyed]:
    aided = block.exercise == ExerciseKind.AIDED
    half = block.wrong // 2
    wrong_same = min(max(half, block.wrong - block.different), block.same)
    keyed: list[Keyed] = []
    for mated, items, wrong in ((True, block.same, wrong_same), (False, block.different, block.wrong - wrong_same)):
        misled = frozenset(rng.permutation(items)[:wrong].tolist())
        for n, b in enumerate(difficulties(items)):
            similarity = (0.5 if mated else 0.25) + (-0.1 if mated else 0.1) * b
            advice = (mated != (n in misled)) if aided else None
            keyed.append((PairKey(mated, similarity, 10.0 * (similarity - 0.375), advice), b))
    return keyed


def _triage(usability: Usability, number: int) -> list[Keyed]:
    if usability == Usability.USABLE:
        return [(TriageKey(usability, None, 0.0), None)] * number
    made = [(kind, strength) for kind, one in DEGRADATIONS.items() for strength in one.strengths(usability)]
    return [(TriageKey(usability, *made[n % len(made)]), None) for n in range(number)]


def _falling(size: int) -> tuple[float, ...]:
    """Similarities of a list, the best first."""
    return tuple(0.6 - 0.4 * place / size for place in range(size))


def _digits(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:ITEM_ID_DIGITS]


BETWEEN_MS = 500  # from an answer to the next trial
Items = Mapping[tuple[str, str], Item]  # items by the name of their form and their id


@dataclass(frozen=True, slots=True)
class Seat:
    """Somebody who takes a course."""

    trainee_id: str  # pseudonym
    group: int  # 0 or 1
    trainee: SimulatedTrainee  # who it is


def items_of(course: Course) -> Items:
    """All items of a course."""
    return {(form.name, item.item_id): item for form in course.forms.values() for item in form.items}


def run_sitting(
    course: Course, items: Items, seat: Seat, sitting: str, rng: np.random.Generator, start_ms: int
) -> Session:
    """Take a sitting from its first block to its end, and return the session that is over.

    A trainee who is slower than a block allows is cut off, as anybody would be. `rng` draws the secret of the session,
    the answers and the times.

    Raises:
        UnknownSitting: the course has none of that name.
    """
    session = new_session(course, seat.trainee_id, seat.group, sitting, rng.bytes(16).hex(), rng.bytes(32), start_ms)
    now_ms, begin = start_ms, ""
    while session.finished_ms is None:
        session, shown = show(course, session, begin, now_ms)
        if isinstance(shown, ShowBlock):
            begin = shown.block.block_id
        elif isinstance(shown, ShowTrial):
            session, now_ms = _done(course, items, seat.trainee, session, shown, rng)
    return session


def _done(
    course: Course,
    items: Items,
    trainee: SimulatedTrainee,
    session: Session,
    shown: ShowTrial,
    rng: np.random.Generator,
) -> tuple[Session, int]:
    """Answer a trial at all its steps, as far as its time goes; also what the clock shows then."""
    now_ms, item = shown.trial.shown_ms, items[shown.trial.form, shown.trial.item_id]
    following: ShowTrial | None = shown
    while following is not None:
        took_ms = trainee.took_ms(following, rng)
        now_ms += took_ms
        if following.left_ms is not None and took_ms >= following.left_ms:
            return session, now_ms  # too late; the next look closes the block
        trial = following.trial
        key = item.key if trial.own is None else key_of(course, trial)
        answer = trainee.answer(following, key, item.b, rng)
        if following.prompt.step == Step.SEND_PROBE and isinstance(answer.given, ProbeSent):
            own = made_own_list(following.block, rng)
            session, following = lock_probe(course, session, trial.trial_id, answer.given, own, now_ms)
        else:
            session, locked = lock(course, session, trial.trial_id, following.prompt.step, answer, now_ms)
            following = locked.trial
    return session, now_ms + BETWEEN_MS


@dataclass(frozen=True, slots=True)
class Told:
    """A trial, and what is right."""

    # The trial at the step that it waits for, with the ids under which its pictures are shown, and `order` from shown
    # position to the photos of the item.
    show: ShowTrial
    key: AnswerKey | None  # what is right; None for an own probe that was not sent yet
    b: float | None  # difficulty of the item; None where it has none


class StoreOracle:
    """Looks into a store of training that a server of the same machine may have open too.

    Args:
        store: with the courses and sessions that are asked for.
    """

    def __init__(self, store: TrainingStore) -> None:
        self._store = store

    def look(self, session_id: str, trial_id: str) -> Told:
        """Read what a trial of a session shows, and what is right; nothing is written.

        Raises:
            UnknownSession: the store has no session of that id.
            UnknownTrial: the session has shown no trial of that id, or it waits for no answer any more.
        """
        session = self._store.session(session_id)
        course = self._store.course(session.course_id)
        trial = find_trial(session, trial_id)
        if trial.done:
            raise UnknownTrial(message("error.session.no_answer_needed"))
        show = show_trial(course, session, trial, trial.shown_ms)
        return Told(show, key_of(course, trial), item_of(course, trial).b)

    def answer(self, trainee: SimulatedTrainee, session_id: str, trial_id: str, rng: np.random.Generator) -> Answer:
        """Answer as a simulated trainee at the step that a trial waits for, in the picture ids of that trial.

        The answer of SEND_PROBE is the hash of a photo that nobody has: through the API a photo is sent. Errors are
        those of `look`.
        """
        told = self.look(session_id, trial_id)
        return trainee.answer(told.show, told.key, told.b, rng)
