"""Puts an item before a class: its photos, how many trainees gave each answer, the machine's opinion, and the truth."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fr_locales.messages import Message, Written, message
from fr_training.answers import RATINGS, Usability
from fr_training.courses import Item, OperatingPoints
from fr_training.exercises import exercise_of
from fr_training.exercises.labs import lesson_of
from fr_training.exercises.photos import truth_of_track
from fr_training.exercises.questions import question
from fr_training.grading.values import judged
from fr_training.keys import CUSTODY_RECORDS, EvidenceKey, LabKey, LessonKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.plan import BlockPlan
from fr_training.prompts import ExerciseKind, Lab, LessonPart, Question
from fr_training.trials import Result

USABILITIES = {
    Usability.USABLE: message("item.usable"),
    Usability.LIMITED: message("item.limited"),
    Usability.REJECT: message("item.reject"),
}
SCALE = {
    -3: message("scale.surely_two"),
    -2: message("scale.probably_two"),
    -1: message("scale.rather_two"),
    0: message("scale.undecided"),
    1: message("scale.rather_one"),
    2: message("scale.probably_one"),
    3: message("scale.surely_one"),
}
_TRUTH = message("item.truth")
_TRIAGED = {
    Usability.USABLE: message("triage.usable"),
    Usability.LIMITED: message("triage.limited"),
    Usability.REJECT: message("triage.reject"),
}


@dataclass(frozen=True, slots=True)
class Bar:
    """An answer, and the trainees who gave it; `right` says whether it is the right one."""

    label: Message
    people: int
    right: bool


@dataclass(frozen=True, slots=True)
class ClassItem:
    """An item as a cohort answered it; photos and bars are numbered from 1 in an order that tells nothing."""

    item_id: str
    block: BlockPlan  # the first one that shows the item
    photos: tuple[int, ...]  # numbers of the course's pictures, of a list the probe first
    bars: tuple[Bar, ...]  # every possible answer
    people: int  # who gave a right or a wrong answer, or an undecided one, and know nobody shown
    right: int  # of these, who were right
    machine: Message | None  # its opinion at the threshold of a search; None where it has none, as of a photo's quality
    truth: Message
    question: Question | None = None  # of a lab, a lesson or an evidence exercise, as at its last step
    times: tuple[int, ...] = ()  # of a track, as `Item.times`

    @property
    def share(self) -> float:
        """The share of right answers, to order items by; 1 where there are none."""
        return self.right / self.people if self.people else 1.0


def class_item(
    form: str, item: Item, block: BlockPlan, results: Iterable[Result], machine: OperatingPoints
) -> ClassItem:
    """Put together an item of a form, of the results of a cohort and the operating points of its course.

    Raises ValueError for an own probe: each trainee sends another photo.
    """
    if item.key is None:
        raise ValueError("trainees do not see each other's own probes")
    answers = judged(one for one in results if (one.form, one.item_id) == (form, item.item_id))
    order = _order(item, 1 if block.exercise == ExerciseKind.CANDIDATES else len(item.photos) if item.times else 0)
    bars, truth, said = _parts(item, order, answers, machine)
    return ClassItem(
        item_id=item.item_id,
        block=block,
        photos=tuple(item.photos[index] for index in order),
        bars=bars,
        people=len(answers),
        right=sum(one.correct is True for one in answers),
        machine=said,
        truth=truth,
        question=None if item.asked is None else question(exercise_of(block.exercise).steps[-1], item.asked),
        times=item.times,
    )


def rating_words(rating: int) -> Message:
    """A rating from -3 to 3 of a pair, with its word."""
    return message("item.rating", words=SCALE[rating], rating=f"{rating:+d}" if rating else "0")


def _order(item: Item, probes: int) -> tuple[int, ...]:
    """Shuffle the photos after the probe: a list lies in the order of the machine, and a triad in that of its key."""

    def drawn(index: int) -> bytes:
        return hashlib.sha256(f"{item.item_id} {index}".encode()).digest()

    return (*range(probes), *sorted(range(probes, len(item.photos)), key=drawn))


_Parts = tuple[tuple[Bar, ...], Message, Message | None]


def _parts(item: Item, order: Sequence[int], answers: Sequence[Result], machine: OperatingPoints) -> _Parts:
    given = Counter(one.answer for one in answers)
    match item.key:
        case PairKey() as pair:
            truth = truth_of_track(pair, _TRUTH) if item.times else _pair_truth(pair)
            return _rated(answers, pair), truth, _pair_machine(pair, machine)
        case TriadKey() as triad:
            places = {index: place for place, index in enumerate(order, 1)}
            bars = [Bar(message("item.photo", number=p), given[f"odd:{i}"], i == triad.odd) for i, p in places.items()]
            said = message("item.machine_odd", number=places[triad.machine_odd])
            return tuple(bars), message("reveal.odd", opening=_TRUTH, number=places[triad.odd]), said
        case ListKey() as many:
            return _listed(order, given, many, machine)
        case TriageKey() as triage:
            bars = [Bar(text, given[word], word == triage.usability) for word, text in USABILITIES.items()]
            return tuple(bars), message("reveal.triage", opening=_TRUTH, usability=_TRIAGED[triage.usability]), None
        case LabKey() as lab:
            return _concluded(item, given, lab)
        case EvidenceKey() as evidence:
            records = {0: message("evidence.whole")}
            records |= {n: message("item.record", number=n) for n in range(1, CUSTODY_RECORDS + 1)}
            bars = [Bar(text, given[f"record:{n}"], n == evidence.broken) for n, text in records.items()]
            told = records[0] if not evidence.broken else message("evidence.record", record=evidence.broken)
            truth = message(
                "item.truth_evidence", opening=_TRUTH, record=told, original=evidence.original, crop=evidence.crop
            )
            return tuple(bars), truth, None
        case LessonKey() as key:
            return _chosen(item, given, key)
    raise AssertionError("an item that is answered has a key")


def _concluded(item: Item, given: Counter[str], key: LabKey) -> _Parts:
    """The rows of the table of a lab, and none of them."""
    rows = {0: message("lab.no_row")}
    if isinstance(item.asked, Lab):
        rows |= {n: message("lab.row", row=n) for n in range(1, len(item.asked.rows) + 1)}
    bars = tuple(Bar(text, given[f"row:{n}"], n == key.right) for n, text in rows.items())
    measured = Written(f"{key.measured:.3g}")
    truth = message("item.truth_lab", opening=_TRUTH, right=rows[key.right], measured=measured, lesson=lesson_of(key))
    return bars, truth, None


def _chosen(item: Item, given: Counter[str], key: LessonKey) -> _Parts:
    """The options of a question, by their numbers: the question lists them."""
    count = len(item.asked.options) if isinstance(item.asked, LessonPart) else len(key.reasons)
    bars = (Bar(message("item.option", number=n + 1), given[f"option:{n + 1}"], n == key.right) for n in range(count))
    right, reason = message("item.option", number=key.right + 1), key.reasons[key.right]
    return tuple(bars), message("item.truth_lesson", opening=_TRUTH, right=right, reason=reason), None


def _rated(answers: Sequence[Result], key: PairKey) -> tuple[Bar, ...]:
    """A bar for each rating, the last one of each trainee."""
    given = Counter(one.rating for one in answers)
    return tuple(Bar(rating_words(one), given[one], one != 0 and (one > 0) == key.mated) for one in RATINGS)


def _pair_truth(key: PairKey) -> Message:
    return message("reveal.one_person", opening=_TRUTH) if key.mated else message("reveal.two_people", opening=_TRUTH)


def _pair_machine(key: PairKey, machine: OperatingPoints) -> Message | None:
    if machine.search is None:
        return None
    same = key.similarity >= machine.search
    said = message("item.machine_same") if same else message("item.machine_different")
    return message(
        "item.machine_pair", said=said, similarity=key.similarity, point=_point(machine.search, machine.search_fmr)
    )


def _point(threshold: float, fmr: float | None) -> Message:
    if not fmr:
        return message("item.point", threshold=threshold)
    return message("item.point_fmr", threshold=threshold, one_in=round(1 / fmr))


def _listed(order: Sequence[int], given: Counter[str], key: ListKey, machine: OperatingPoints) -> _Parts:
    places = {index - 1: place for place, index in enumerate(order[1:], 1)}
    bars = [Bar(message("item.candidate", number=p), given[f"candidate:{i}"], i == key.mate) for i, p in places.items()]
    bars.append(Bar(message("item.none"), given["none"], key.mate is None))
    bars.append(Bar(message("item.inconclusive"), given["inconclusive"], False))
    truth = message("reveal.absent", opening=_TRUTH)
    if key.mate is not None:
        truth = message("reveal.mate", opening=_TRUTH, number=places[key.mate])
    if machine.search is None:
        return tuple(bars), truth, None
    above = [i for i, similarity in enumerate(key.similarities) if similarity >= machine.search]
    numbers = ", ".join(str(place) for place in sorted(places[i] for i in above))
    said = message("item.machine_above", numbers=numbers) if above else message("item.machine_nobody")
    best = max(places, key=lambda i: key.similarities[i])
    point = _point(machine.search, machine.search_fmr)
    return tuple(bars), truth, message("item.machine_list", said=said, point=point, best=places[best])


def block_of_item(blocks: Iterable[BlockPlan], form: str) -> BlockPlan:
    """The first block that shows a form."""
    return next(block for block in blocks if form in block.forms)
