"""Records the changes of a gallery until a fault, and compares them with the store that is opened again.

The galleries are real, their templates are random unit vectors: nothing here needs a model.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Protocol
from zlib import crc32

import numpy as np

from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import Enrolment, NewTemplate, Subject
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.types import Embedding, ModelId

MODEL = ModelId("null", "1", "0" * 64)
SIZE = 64
KEY = KeyEncryptionKey(bytes(range(32)))
OTHER_KEY = KeyEncryptionKey(bytes(range(1, 33)))
GALLERY = "g"
HANDS = 4  # threads that change a gallery at once, each its own subjects

_FEW, _MANY = 8, 24  # subjects of one hand: around these numbers it only enrols, or only deletes


@lru_cache(maxsize=4096)
def embedding(seed: int, size: int = SIZE) -> Embedding:
    """A random unit vector, f32[size], always the same of the same seed."""
    vector = np.random.default_rng(seed).standard_normal(size)
    return Embedding((vector / np.linalg.norm(vector)).astype(np.float32), MODEL)


class Kind(StrEnum):
    ENROL = "enrol"
    DELETE_TEMPLATE = "delete-template"
    DELETE_SUBJECT = "delete-subject"
    ERASE = "erase"


@dataclass(frozen=True, slots=True)
class Act:
    """One change of a subject; the seed of a template also stands in for the sha256 of its photo."""

    kind: Kind
    subject_id: str
    seed: int = 0


class Book(Protocol):
    """The place where a thread writes its changes."""

    def begin(self, hand: int, act: Act) -> None:
        """Called before a change is asked for."""

    def done(self, hand: int) -> None:
        """Called when it has returned: it is acknowledged, and must never be lost."""


@dataclass(slots=True)
class Ledger:
    """A `Book` in memory: acknowledged seeds of each subject, those enrolled since `judge`, and changes under way."""

    seeds: dict[str, set[int]] = field(default_factory=dict)
    begun: dict[int, Act] = field(default_factory=dict)
    fresh: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, hand: int, act: Act) -> None:
        with self._lock:
            self.begun[hand] = act

    def done(self, hand: int) -> None:
        with self._lock:
            self._apply(self.begun.pop(hand))

    def refused(self, hand: int, galleries: Galleries) -> None:
        """Called when it has failed and was not kept, unless all that failed was what comes after an erasure."""
        there = {subject.subject_id for subject in all_subjects(galleries)}
        with self._lock:
            act = self.begun.pop(hand)
            if act.kind is Kind.ERASE and act.subject_id not in there:
                self._apply(act)

    def copied(self) -> Ledger:
        with self._lock:
            return Ledger(deepcopy(self.seeds), dict(self.begun), set(self.fresh))

    def settle(self, there: Mapping[str, Mapping[int, int]]) -> None:
        """Decide of each change that was not acknowledged whether it was kept, by what is there."""
        for act in self.begun.values():
            seeds = there.get(act.subject_id)
            if act.kind is Kind.ENROL:
                kept = seeds is not None and act.seed in seeds
            elif act.kind is Kind.DELETE_TEMPLATE:
                kept = seeds is not None and act.seed not in seeds
            else:
                kept = seeds is None
            if kept:
                self._apply(act)
        self.begun.clear()

    def _apply(self, act: Act) -> None:
        if act.kind is Kind.ENROL:
            self.seeds.setdefault(act.subject_id, set()).add(act.seed)
            self.fresh.add(act.seed)
        elif act.kind is Kind.DELETE_TEMPLATE:
            self.seeds[act.subject_id].discard(act.seed)
        else:
            del self.seeds[act.subject_id]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Templates and subjects that were acknowledged and are lost, or that are there though they should not be."""

    lost: int
    risen: int


def all_subjects(galleries: Galleries) -> Iterator[Subject]:
    token = ""
    while True:
        page = galleries.subjects(GALLERY, 1000, token)
        yield from page.items
        token = page.next_page_token
        if not token:
            return


def judge(galleries: Galleries, ledger: Ledger) -> Verdict:
    """Compare a store that was opened again with a ledger, which is settled by it; fail where it contradicts itself."""
    there = {
        subject.subject_id: {
            int(template.image_sha256 or "", 16): template.template_id for template in subject.templates
        }
        for subject in all_subjects(galleries)
    }
    ids = {seed: number for templates in there.values() for seed, number in templates.items()}
    info = galleries.get(GALLERY)
    assert (info.subject_count, info.template_count) == (len(there), len(ids))
    require_audit(galleries, info.version)
    require_index(galleries, ids)
    ledger.settle(there)
    for seed in ledger.fresh & ids.keys():
        found = galleries.search(GALLERY, embedding(seed), 1, 0.0).identification.candidates[0]
        assert found.template_id == ids[seed]
        assert found.similarity == embedding(seed).similarity(embedding(seed))
        assert abs(found.similarity - 1) < 1e-6
    ledger.fresh.clear()
    lost = sum(len(seeds - there.get(subject_id, {}).keys()) for subject_id, seeds in ledger.seeds.items())
    risen = sum(len(templates.keys() - ledger.seeds.get(subject_id, set())) for subject_id, templates in there.items())
    return Verdict(lost + len(ledger.seeds.keys() - there.keys()), risen + len(there.keys() - ledger.seeds.keys()))


def require_audit(galleries: Galleries, version: int) -> None:
    """Fail unless each change of the gallery, of the last 300, has the one record that tells of it."""
    with galleries.auditing() as audit:
        last = audit.head().seq
        told = [kept.record.gallery_version for kept in audit.records(max(0, last - 300), 300)]
    assert last == version  # the only gallery: each change is one step of its version
    assert told == list(range(version - len(told) + 1, version + 1))


def require_index(galleries: Galleries, ids: Mapping[int, int]) -> None:
    """Fail unless the index holds the templates of these seeds under these ids, to the last bit, and no others."""
    ((memory),) = tuple(galleries._memories)
    assert memory.index.size == len(ids)
    vectors = memory.index.vectors(np.array(list(ids.values()), dtype=np.int64))
    for seed, vector in zip(ids, vectors, strict=True):
        assert np.array_equal(vector, embedding(seed).vector)


class Hand:
    """Changes subjects of its own at random, one change after the other; the crc32 of an id says whose it is."""

    def __init__(self, galleries: Galleries, hand: int, seed: int, book: Book) -> None:
        self._galleries = galleries
        self._hand = hand
        self._random = random.Random(f"{seed}-{hand}")
        self._book = book
        self._mine = {
            subject.subject_id: {
                int(template.image_sha256 or "", 16): template.template_id for template in subject.templates
            }
            for subject in all_subjects(galleries)
            if crc32(subject.subject_id.encode()) % HANDS == hand
        }

    def change(self) -> None:
        few, many = len(self._mine) < _FEW, len(self._mine) > _MANY
        if few or (not many and self._random.random() < 0.5):
            self._enrol(self._new_subject())
            return
        subject_id = self._random.choice(sorted(self._mine))
        kind = self._random.choice(list(Kind))
        if kind is Kind.ENROL:
            self._enrol(subject_id)
        elif kind is Kind.DELETE_TEMPLATE and self._mine[subject_id]:
            self._delete_template(subject_id)
        else:
            self._delete_subject(subject_id, kind)

    def _new_subject(self) -> str:
        while True:
            subject_id = f"case-{self._random.getrandbits(48):012x}"
            if crc32(subject_id.encode()) % HANDS == self._hand:
                return subject_id

    def _enrol(self, subject_id: str) -> None:
        seed = self._random.getrandbits(48)
        template = NewTemplate(embedding(seed), f"{seed:064x}", 0.5)
        self._book.begin(self._hand, Act(Kind.ENROL, subject_id, seed))
        enrolled = self._galleries.enrol(GALLERY, Enrolment(subject_id, template, "", {"hand": str(self._hand)}))
        self._book.done(self._hand)
        self._mine.setdefault(subject_id, {})[seed] = enrolled.template_id

    def _delete_template(self, subject_id: str) -> None:
        seed = self._random.choice(sorted(self._mine[subject_id]))
        self._book.begin(self._hand, Act(Kind.DELETE_TEMPLATE, subject_id, seed))
        self._galleries.delete_template(GALLERY, self._mine[subject_id].pop(seed))
        self._book.done(self._hand)

    def _delete_subject(self, subject_id: str, kind: Kind) -> None:
        del self._mine[subject_id]
        self._book.begin(self._hand, Act(Kind.DELETE_SUBJECT if kind is not Kind.ERASE else kind, subject_id))
        if kind is Kind.ERASE:
            self._galleries.erase_subject(GALLERY, subject_id)
        else:
            self._galleries.delete_subject(GALLERY, subject_id)
        self._book.done(self._hand)
