"""Manifests and ids of items: what changes them, and what does not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fr_training.answers import Degraded, Usability
from fr_training.bank.manifest import (
    PictureBook,
    Shown,
    canonical,
    course_sha256,
    item_id_of,
    manifest_of,
    own_probe_id,
    sha256_of,
    truth_of,
)
from fr_training.courses import Form, Item
from fr_training.keys import AnswerKey, ListKey, PairKey, TriadKey, TriageKey
from fr_training.prompts import ExerciseKind
from support.people import MODEL, made_pool

A, B, C = (Shown(person.photos[0]) for person in made_pool(3, 0).people)


def test_truth_is_told_in_the_words_of_results() -> None:
    keys: list[AnswerKey | None] = [
        PairKey(True, 0.5),
        PairKey(False, 0.5),
        TriadKey(2, 0, 0.1),
        ListKey(3, (0.1,) * 4),
        ListKey(None, (0.1,)),
        TriageKey(Usability.LIMITED, Degraded.BLUR, 4.0),
        None,
    ]
    assert [truth_of(key) for key in keys] == ["same", "different", "odd:2", "mate:3", "absent", "limited", ""]


def test_an_id_does_not_depend_on_order_nor_on_what_the_machine_says() -> None:
    pair = PairKey(False, 0.5)
    assert item_id_of(pair, (A, B)) == item_id_of(replace(pair, similarity=0.1, advice_same=True), (B, A))
    assert item_id_of(TriadKey(0, 0, 0.1), (A, B, C)) == item_id_of(TriadKey(2, 1, 0.2), (C, B, A))
    assert item_id_of(ListKey(0, (0.2, 0.1)), (A, B, C)) == item_id_of(ListKey(1, (0.3, 0.2)), (A, C, B))


def test_an_id_depends_on_what_is_shown_and_what_is_right() -> None:
    ids = [
        item_id_of(PairKey(False, 0.5), (A, B)),
        item_id_of(PairKey(True, 0.5), (A, B)),
        item_id_of(PairKey(False, 0.5), (A, C)),
        item_id_of(TriadKey(0, 0, 0.1), (A, B, C)),
        item_id_of(TriadKey(1, 0, 0.1), (A, B, C)),
        item_id_of(ListKey(0, (0.2, 0.1)), (A, B, C)),
        item_id_of(ListKey(1, (0.2, 0.1)), (A, B, C)),
        item_id_of(ListKey(None, (0.2, 0.1)), (A, B, C)),
        item_id_of(ListKey(None, (0.2, 0.1)), (B, A, C)),
        item_id_of(TriageKey(Usability.LIMITED, None, 0.0), (A,)),
        item_id_of(TriageKey(Usability.REJECT, None, 0.0), (A,)),
        item_id_of(TriageKey(Usability.REJECT, None, 0.0), (replace(A, degraded=Degraded.BLUR, strength=4.0),)),
        own_probe_id("one", 0),
        own_probe_id("one", 1),
        own_probe_id("two", 0),
    ]
    assert len(set(ids)) == len(ids)
    assert all(len(one) == 16 and int(one, 16) >= 0 for one in ids)


def manifest(**changed: object) -> str:
    item = Item("0" * 16, (0, 1), PairKey(False, 0.5), 1.25, (0, 1))
    told: dict[str, object] = {
        "form": "one",
        "exercise": ExerciseKind.AIDED,
        "model": MODEL,
        "seed": 7,
        "items": [item],
        "shown": [[A, B]],
    }
    return manifest_of(**(told | changed))  # type: ignore[arg-type]


def test_a_manifest_is_canonical_and_says_what_it_must() -> None:
    text = manifest()
    told = json.loads(text)
    assert text == canonical(told)
    assert told == {
        "exercise": "aided",
        "form": "one",
        "format": 1,
        "items": [
            {
                "advice": "",
                "b": 1.25,
                "id": "0" * 16,
                "pictures": [A.photo.sha256, B.photo.sha256],
                "truth": "different",
            }
        ],
        "model": {"pack": "made-up", "sha256": "a" * 64, "version": "1"},
        "seed": 7,
    }
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))


def test_everything_that_a_form_is_changes_its_hash() -> None:
    item = Item("0" * 16, (0, 1), PairKey(False, 0.5), 1.25, (0, 1))
    texts = [
        manifest(),
        manifest(form="two"),
        manifest(exercise=ExerciseKind.VERIFICATION),
        manifest(model=replace(MODEL, version="2")),
        manifest(seed=8),
        manifest(items=[replace(item, b=1.251)]),
        manifest(items=[replace(item, key=PairKey(True, 0.5))]),
        manifest(items=[replace(item, key=PairKey(False, 0.5, advice_same=True))]),
        manifest(items=[replace(item, key=PairKey(False, 0.5, advice_same=False))]),
        manifest(shown=[[B, A]]),
        manifest(shown=[[A, replace(B, degraded=Degraded.BLUR, strength=4.0)]]),
    ]
    assert len(set(map(sha256_of, texts))) == len(texts)


def test_the_hash_of_a_course_is_over_its_forms_in_the_order_of_their_names() -> None:
    a, b = Form("a", (), "0" * 64), Form("b", (), "1" * 64)
    assert course_sha256({"a": a, "b": b}) == course_sha256({"b": b, "a": a})
    assert course_sha256({"a": a, "b": b}) != course_sha256({"a": replace(a, manifest_sha256="2" * 64), "b": b})
    assert course_sha256({"a": a}) != course_sha256({"b": replace(a, name="b")})


def test_a_picture_is_in_the_book_once() -> None:
    book = PictureBook()
    spoilt = replace(A, degraded=Degraded.NOISE, strength=35.0)
    assert book.numbers((A, B)) == (0, 1)
    assert book.numbers((B, spoilt, A)) == (1, 2, 0)
    assert book.pictures == [A, B, spoilt]
