"""Numbers the pictures of a course, and writes a form as canonical JSON with its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fr_core.types import ModelId
from fr_training.answers import AS_IT_IS, Degraded, Poorer
from fr_training.bank.pool import PoolPhoto
from fr_training.courses import Form, Item
from fr_training.keys import AnswerKey, EvidenceKey, LabKey, LessonKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.prompts import ExerciseKind


@dataclass(frozen=True, slots=True)
class Shown:
    """A photo as it is shown; POSE is no fault that is made: a turned head cannot be rendered.

    `strength` is in the unit of `fr_training.bank.triage`, and 0 where nothing is done to the photo.
    """

    photo: PoolPhoto
    degraded: Degraded | None = None
    strength: float = 0.0
    poorer: Poorer = AS_IT_IS  # as the block wants it

    @property
    def told(self) -> str | dict[str, str | float]:
        """As a manifest tells it: the photo's hash, and what was done to it."""
        if self.poorer.told:
            return {"poorer": canonical(self.poorer.told), "sha256": self.photo.sha256}
        if self.degraded is None:
            return self.photo.sha256
        return {"degraded": str(self.degraded), "sha256": self.photo.sha256, "strength": self.strength}


@dataclass(slots=True)
class PictureBook:
    """The pictures of a course while it is made; each is in it once."""

    pictures: list[Shown] = field(default_factory=list)
    _numbers: dict[Shown, int] = field(default_factory=dict)

    def numbers(self, shown: Sequence[Shown]) -> tuple[int, ...]:
        """The numbers of pictures, from 0; new ones are taken up."""
        return tuple(map(self._number, shown))

    def _number(self, one: Shown) -> int:
        number = self._numbers.setdefault(one, len(self.pictures))
        if number == len(self.pictures):
            self.pictures.append(one)
        return number


FORMAT = 1
ITEM_ID_DIGITS = 16


def truth_of(key: AnswerKey | None) -> str:
    """The right answer in the words of `fr_training.trials.Result`; "" for an own probe."""
    match key:
        case PairKey():
            return "same" if key.mated else "different"
        case TriadKey():
            return f"odd:{key.odd}"
        case ListKey():
            return "absent" if key.mate is None else f"mate:{key.mate}"
        case TriageKey():
            return str(key.usability)
        case LabKey():
            return f"row:{key.right}"
        case EvidenceKey():
            return f"record:{key.broken}"
        case LessonKey():
            return f"option:{key.right + 1}"
    return ""


def item_id_of(key: AnswerKey, shown: Sequence[Shown]) -> str:
    """16 hexadecimal digits from what an item shows and what is right; the order of its photos does not matter.

    So the answers to an item can be put together over courses.
    """
    told = [one.told for one in shown]
    probe, right = "", truth_of(key)
    if isinstance(key, TriadKey):
        right = shown[key.odd].photo.sha256
    if isinstance(key, ListKey):
        probe, told = shown[0].photo.sha256, told[1:]
        right = "absent" if key.mate is None else shown[1 + key.mate].photo.sha256
    kind = type(key).__name__
    pictures = sorted(told, key=canonical)
    return sha256_of(canonical({"kind": kind, "pictures": pictures, "probe": probe, "right": right}))[:ITEM_ID_DIGITS]


def own_probe_id(form: str, number: int) -> str:
    """16 hexadecimal digits for a place that an own probe will fill."""
    return sha256_of(canonical({"form": form, "kind": "OwnProbe", "number": number}))[:ITEM_ID_DIGITS]


def manifest_of(
    form: str,
    exercise: ExerciseKind,
    model: ModelId,
    seed: int,
    items: Sequence[Item],
    shown: Sequence[Sequence[Shown]],
) -> str:
    """The manifest of a form of a course: canonical JSON with sorted keys and without blanks.

    `shown` holds what each item shows, in the order of `items`; `model` is behind difficulties and lists.
    """
    told = [
        {
            "advice": _advice(item.key),
            "b": item.b,
            "id": item.item_id,
            "pictures": [one.told for one in photos],
            "truth": truth_of(item.key),
        }
        for item, photos in zip(items, shown, strict=True)
    ]
    named = {"pack": model.pack, "sha256": model.sha256, "version": model.version}
    return canonical(
        {"exercise": str(exercise), "form": form, "format": FORMAT, "items": told, "model": named, "seed": seed}
    )


def course_sha256(forms: Mapping[str, Form]) -> str:
    """The hash over the hashes of all forms, in the order of their names; 64 hexadecimal digits."""
    return sha256_of(canonical([[name, forms[name].manifest_sha256] for name in sorted(forms)]))


def canonical(value: object) -> str:
    """JSON with sorted keys and without blanks; ValueError for a number that is not finite."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _advice(key: AnswerKey | None) -> str:
    if not isinstance(key, PairKey) or key.advice_same is None:
        return ""
    return "same" if key.advice_same else "different"


def sha256_of(text: str) -> str:
    """The hash of a manifest or another text, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
