"""What a form is, as canonical JSON, and its hash: the same plan, people, model and seed give the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from fr_core.types import ModelId
from fr_training.bank.pictures import Shown
from fr_training.courses import Form, Item
from fr_training.keys import AnswerKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.prompts import ExerciseKind

FORMAT = 1
ITEM_ID_DIGITS = 16


def truth_of(key: AnswerKey | None) -> str:
    """What is right, in the words of `fr_training.results.Result`; "" for an own probe."""
    match key:
        case PairKey():
            return "same" if key.mated else "different"
        case TriadKey():
            return f"odd:{key.odd}"
        case ListKey():
            return "absent" if key.mate is None else f"mate:{key.mate}"
        case TriageKey():
            return str(key.usability)
    return ""


def item_id_of(key: AnswerKey, shown: Sequence[Shown]) -> str:
    """16 hexadecimal digits from what an item shows and what is right, in whatever order it shows it.

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
    return _sha256(canonical({"kind": kind, "pictures": pictures, "probe": probe, "right": right}))[:ITEM_ID_DIGITS]


def own_probe_id(form: str, number: int) -> str:
    """16 hexadecimal digits for a place that an own probe fills: nothing is known of it before."""
    return _sha256(canonical({"form": form, "kind": "OwnProbe", "number": number}))[:ITEM_ID_DIGITS]


def manifest_of(
    form: str,
    exercise: ExerciseKind,
    model: ModelId,
    seed: int,
    items: Sequence[Item],
    shown: Sequence[Sequence[Shown]],
) -> str:
    """The manifest of a form: canonical JSON with sorted keys and without blanks.

    Args:
        form: its name.
        exercise: of its block.
        model: behind difficulties and lists.
        seed: of the course.
        items: in their order.
        shown: what each item shows.
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


def form_sha256(manifest: str) -> str:
    """The hash of a manifest, 64 hexadecimal digits."""
    return _sha256(manifest)


def course_sha256(forms: Mapping[str, Form]) -> str:
    """The hash over the hashes of all forms, in the order of their names; 64 hexadecimal digits."""
    return _sha256(canonical([[name, forms[name].manifest_sha256] for name in sorted(forms)]))


def canonical(value: object) -> str:
    """JSON with sorted keys and without blanks; ValueError for a number that is not finite."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _advice(key: AnswerKey | None) -> str:
    if not isinstance(key, PairKey) or key.advice_same is None:
        return ""
    return "same" if key.advice_same else "different"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
