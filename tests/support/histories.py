"""Random histories of galleries by several threads, each beside a plain model that predicts the outcome.

The galleries are real, their templates are random unit vectors: nothing here needs a model.
"""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zlib import crc32

import numpy as np
import pytest

from fr_core.errors import DuplicateImage, GalleryExists, UnknownGallery, UnknownSubject, UnknownTemplate
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.index.protocol import exact_similarity
from fr_core.gallery.query import SubjectFilter
from fr_core.gallery.values import (
    KEEP,
    Deleted,
    Enrolment,
    GalleryUpdate,
    NewTemplate,
    Subject,
    SubjectName,
    SubjectUpdate,
)
from fr_core.types import Embedding
from support.ledger import MODEL, SIZE, embedding

SHARED = "shared"  # the gallery that everybody changes

FEW, MANY = 10, 60  # subjects of a model: around these numbers it only enrols, or mostly deletes


FORMS = ("new-", "New ", "ü", "～", "😀")
"""The beginnings of ids; their order is that of code points, not of UTF-16 units: U+FF5E comes before U+1F600."""


def face(seed: int) -> Embedding:
    """A third of all seeds share five vectors, so that similarities tie."""
    return embedding(seed if seed % 3 else seed % 5)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass(slots=True)
class PlainTemplate:
    seed: int
    created: datetime


@dataclass(slots=True)
class PlainSubject:
    name: str
    metadata: dict[str, str]
    templates: dict[int, PlainTemplate] = field(default_factory=dict)


class History:
    """One gallery of its own, its plain model, and subjects in a gallery that others change too."""

    def __init__(
        self, galleries: Galleries, gallery_id: str, retention: timedelta | None, clock: Clock, chance: random.Random
    ) -> None:
        self.galleries = galleries
        self._id = gallery_id
        self._retention = retention
        self._clock = clock
        self._chance = chance
        self._number = 0
        self._shared: list[tuple[str, int]] = []
        self.create()

    def create(self) -> None:
        self._subjects: dict[str, PlainSubject] = {}
        self._version = self.galleries.create(self._id, "", MODEL, SIZE, None, self._retention).version

    def step(self) -> None:
        few, many = len(self._subjects) < FEW, len(self._subjects) > MANY
        steps = [self.enrol] * (1 if many else 6) + [self.search] * 4 + [self.search_among, self.share]
        if not few:
            steps += [self.delete_template, self.delete_subject, self.erase, self.look, self.update, self.ask_in_vain]
        if self._chance.randrange(400) == 0:
            steps = [self.delete_gallery]
        self._chance.choice(steps)()

    def enrol(self) -> None:
        self._number += 1
        new = f"{self._chance.choice(FORMS)}{self._number}"
        subject_id = self._chance.choice([new, *list(self._subjects)[:3]])
        seed, metadata = self._seed(), self._chance.choice([{"parity": str(self._number % 2)}, {}])
        name = self._chance.choice(["", "N", "M"])
        template = NewTemplate(face(seed), f"{seed:064x}", 0.5)
        enrolled = self.galleries.enrol(self._id, Enrolment(subject_id, template, name, metadata))
        self._version += 1
        assert (enrolled.subject_created, enrolled.gallery_version) == (subject_id not in self._subjects, self._version)
        subject = self._subjects.setdefault(subject_id, PlainSubject(name, metadata))
        subject.name, subject.metadata = name or subject.name, metadata or subject.metadata
        subject.templates[enrolled.template_id] = PlainTemplate(seed, self._clock.now)

    def ask_in_vain(self) -> None:
        """An existing gallery cannot be created again, a photo enrolled twice, or a missing thing deleted."""
        with pytest.raises(GalleryExists):
            self.galleries.create(self._id, "", MODEL, SIZE)
        with pytest.raises(UnknownGallery):
            self.galleries.delete(f"not-{self._id}")
        with pytest.raises(UnknownSubject):
            self.galleries.delete_subject(self._id, "nobody")
        with pytest.raises(UnknownSubject):
            self.galleries.update_subject(self._id, "nobody", SubjectUpdate("N"))
        for template_id, kept in self._templates()[:1]:
            template = NewTemplate(face(kept.seed), f"{kept.seed:064x}", 0.5)
            with pytest.raises(DuplicateImage) as refused:
                self.galleries.enrol(self._id, Enrolment("another", template, "Name"))
            assert refused.value.metadata == {"template_id": str(template_id)}

    def update(self) -> None:
        subject_id, metadata = self._chance.choice(list(self._subjects)), {"parity": self._chance.choice("01")}
        self._version += 1
        if self._chance.random() < 0.2:
            name = self._chance.choice(["", "N"])
            info = self.galleries.update(self._id, GalleryUpdate(display_name=name))
            assert (info.display_name, info.version) == (name, self._version)
            return
        subject = self._subjects[subject_id]
        kept, name = self._chance.random() < 0.5, self._chance.choice(["", "N"])
        update = SubjectUpdate(KEEP if kept else name, metadata)
        updated = self.galleries.update_subject(self._id, subject_id, update)
        subject.name, subject.metadata = subject.name if kept else name, metadata
        assert (updated.subject, updated.gallery_version) == (
            self.galleries.subject(self._id, subject_id),
            self._version,
        )
        assert (updated.subject.display_name, dict(updated.subject.metadata)) == (subject.name, subject.metadata)

    def delete_template(self) -> None:
        subject_id = self._chance.choice(list(self._subjects))
        templates = self._subjects[subject_id].templates
        if not templates:
            return
        template_id = self._chance.choice(list(templates))
        del templates[template_id]
        self._version += 1
        assert self.galleries.delete_template(self._id, template_id) == Deleted(0, 1, self._version)
        with pytest.raises(UnknownTemplate):
            self.galleries.template(self._id, template_id)

    def delete_subject(self) -> None:
        subject_id = self._chance.choice(list(self._subjects))
        templates = self._subjects.pop(subject_id).templates
        self._version += 1
        assert self.galleries.delete_subject(self._id, subject_id) == Deleted(1, len(templates), self._version)

    def erase(self) -> None:
        subject_id = self._chance.choice(list(self._subjects))
        templates = self._subjects.pop(subject_id).templates
        self._version += 1
        erased = self.galleries.erase_subject(self._id, subject_id)
        assert (erased.templates, erased.photos, erased.gallery_version) == (len(templates), 0, self._version)
        with pytest.raises(UnknownSubject):
            self.galleries.subject(self._id, subject_id)

    def delete_gallery(self) -> None:
        deleted = Deleted(len(self._subjects), len(self._templates()), self._version + 1)
        assert self.galleries.delete(self._id) == deleted
        self.create()

    def search(self) -> None:
        self._search(None, set(self._subjects))

    def search_among(self) -> None:
        parity = self._chance.choice("01")
        subjects = {subject_id for subject_id, one in self._subjects.items() if one.metadata == {"parity": parity}}
        if subjects:
            self._search(SubjectFilter({"parity": parity}), subjects)

    def _search(self, among: SubjectFilter | None, subjects: set[str]) -> None:
        owners = [
            (template_id, subject_id, one.seed)
            for subject_id in subjects
            for template_id, one in self._subjects[subject_id].templates.items()
        ]
        near = self._chance.choice(owners)[2] if owners and self._chance.random() < 0.5 else 0
        probe, k = face(near), self._chance.choice([1, 5, 1000])
        threshold, only = self._chance.choice([-1.0, 0.0, 0.1, 1.0]), self._chance.random() < 0.5
        found = self.galleries.search(self._id, probe, k, threshold, only, among=among)
        best: dict[str, tuple[float, int]] = {}
        if owners:
            vectors = np.stack([face(seed).vector for _, _, seed in owners])
            for (template_id, subject_id, _), score in zip(
                owners, exact_similarity(vectors, probe.vector), strict=True
            ):
                best[subject_id] = min(best.get(subject_id, (2.0, 0)), (-float(score), template_id))
        ranked = sorted((score, template_id, subject_id) for subject_id, (score, template_id) in best.items())[:k]
        expected = [(*one, -one[0] >= threshold) for one in ranked if not only or -one[0] >= threshold]
        candidates = found.identification.candidates
        assert [
            (-one.similarity, one.template_id, one.subject_id, one.above_threshold) for one in candidates
        ] == expected
        assert [one.rank for one in candidates] == list(range(1, len(expected) + 1))
        plain = {one.subject_id: self._subjects[one.subject_id] for one in candidates}
        assert found.subjects == {key: SubjectName(key, one.name, one.metadata) for key, one in plain.items()}
        assert found.identification.gallery_version == self._version

    def share(self) -> None:
        if len(self._shared) > FEW and self._chance.random() < 0.5:
            self.galleries.delete_subject(SHARED, self._shared.pop(0)[0])
        elif self._shared and self._chance.random() < 0.5:
            subject_id, seed = self._chance.choice(self._shared)
            best = self.galleries.search(SHARED, embedding(seed), 1, 0.9).identification.candidates[0]
            assert (best.subject_id, best.above_threshold) == (subject_id, True)
        else:
            self._number += 1
            subject_id, seed = f"{self._id}-{self._number}", self._seed()
            self.galleries.enrol(SHARED, Enrolment(subject_id, NewTemplate(embedding(seed))))
            self._shared.append((subject_id, seed))

    def look(self) -> None:
        info = self.galleries.get(self._id)
        counts = (self._version, len(self._subjects), len(self._templates()))
        assert (info.version, info.subject_count, info.template_count) == counts
        size, token = self._chance.choice([3, 1000]), ""
        listed: dict[str, Subject] = {}
        while True:
            page = self.galleries.subjects(self._id, size, token)
            assert len(page.items) <= size
            assert listed.keys().isdisjoint(one.subject_id for one in page.items)
            listed |= {one.subject_id: one for one in page.items}
            if not (token := page.next_page_token):
                break
        assert list(listed) == sorted(self._subjects)
        for subject_id, plain in self._subjects.items():
            assert (listed[subject_id].display_name, dict(listed[subject_id].metadata)) == (plain.name, plain.metadata)
            assert [one.template_id for one in listed[subject_id].templates] == sorted(plain.templates)

    def purged(self) -> None:
        if self._retention is not None:
            last = self._clock.now - self._retention
            for subject_id, subject in list(self._subjects.items()):
                kept = {number: one for number, one in subject.templates.items() if one.created > last}
                if subject.templates and not kept:
                    del self._subjects[subject_id]
                subject.templates = kept
            self._version = self.galleries.get(self._id).version
        self.look()

    def _seed(self) -> int:
        """Of the next template; nobody has the same."""
        return crc32(self._id.encode()) << 32 | self._number

    def _templates(self) -> list[tuple[int, PlainTemplate]]:
        return [item for subject in self._subjects.values() for item in subject.templates.items()]
