"""Any history of calls leaves the galleries as a plain dict would be, closed and opened again in between."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fr_core.errors import DuplicateImage, GalleryExists, InvalidField, UnknownGallery, UnknownSubject, UnknownTemplate
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.values import (
    KEEP,
    Deleted,
    Enrolled,
    Enrolment,
    NewTemplate,
    SubjectName,
    SubjectUpdate,
    UpdatedSubject,
)
from fr_core.types import Embedding, ModelId
from support.counts import examples

MODEL = ModelId("null", "1", "0" * 64)
SIZE = 4

GALLERY_IDS = st.sampled_from(["a", "b"])
SUBJECT_IDS = st.sampled_from(["s", "S", "t 1", "ü", "😀"])
# Few photos, so that they come twice; few directions, so that similarities tie.
SHA256 = st.one_of(st.none(), st.sampled_from([digit * 64 for digit in "0123"]))
DIRECTIONS = st.tuples(*[st.sampled_from([-1.0, 0.0, 0.5, 1.0])] * SIZE).filter(any)


def embedding(direction: tuple[float, ...]) -> Embedding:
    vector = np.array(direction)
    return Embedding((vector / np.linalg.norm(vector)).astype(np.float32), MODEL)


@dataclass
class ModelTemplate:
    embedding: Embedding
    sha256: str | None


@dataclass
class ModelSubject:
    display_name: str
    metadata: dict[str, str]
    templates: dict[int, ModelTemplate] = field(default_factory=dict)


@dataclass
class ModelGallery:
    version: int = 1
    subjects: dict[str, ModelSubject] = field(default_factory=dict)

    def owner(self, template_id: int) -> ModelSubject | None:
        return next((subject for subject in self.subjects.values() if template_id in subject.templates), None)

    def ranking(self, probe: Embedding) -> list[tuple[float, int, str]]:
        return sorted(
            min(
                (-probe.similarity(template.embedding), number, subject_id)
                for number, template in subject.templates.items()
            )
            for subject_id, subject in self.subjects.items()
            if subject.templates
        )


class History(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.galleries = Galleries.open(self.folder, index="numpy")
        self.model: dict[str, ModelGallery] = {}
        self.last_template = 0

    def teardown(self) -> None:
        self.galleries.close()
        shutil.rmtree(self.folder)

    @initialize()
    def first_gallery(self) -> None:
        self.create("a")

    @rule(gallery_id=GALLERY_IDS)
    def create(self, gallery_id: str) -> None:
        if gallery_id in self.model:
            with pytest.raises(GalleryExists):
                self.galleries.create(gallery_id, "", MODEL, SIZE)
            return
        self.galleries.create(gallery_id, "", MODEL, SIZE)
        self.model[gallery_id] = ModelGallery()

    @rule(
        gallery_id=GALLERY_IDS,
        subject_id=SUBJECT_IDS,
        direction=DIRECTIONS,
        sha256=SHA256,
        name=st.sampled_from(["", "", "N", "M"]),
        metadata=st.sampled_from([{}, {}, {"k": "v"}, {"k": "w", "l": ""}]),
    )
    def enrol(
        self,
        gallery_id: str,
        subject_id: str,
        direction: tuple[float, ...],
        sha256: str | None,
        name: str,
        metadata: dict[str, str],
    ) -> None:
        enrolment = Enrolment(subject_id, NewTemplate(embedding(direction), sha256), name, metadata)
        gallery = self.model.get(gallery_id)
        if gallery is None:
            with pytest.raises(UnknownGallery):
                self.galleries.enrol(gallery_id, enrolment)
            return
        photos = {
            template.sha256: number
            for subject in gallery.subjects.values()
            for number, template in subject.templates.items()
        }
        if sha256 is not None and sha256 in photos:
            with pytest.raises(DuplicateImage) as refused:
                self.galleries.enrol(gallery_id, enrolment)
            assert refused.value.metadata == {"template_id": str(photos[sha256])}
            return
        created = subject_id not in gallery.subjects
        subject = gallery.subjects.setdefault(subject_id, ModelSubject("", {}))
        subject.display_name = name or subject.display_name
        subject.metadata = metadata or subject.metadata
        self.last_template += 1
        gallery.version += 1
        subject.templates[self.last_template] = ModelTemplate(enrolment.template.embedding, sha256)
        enrolled = self.galleries.enrol(gallery_id, enrolment)
        assert enrolled == Enrolled(subject_id, self.last_template, created, gallery.version)

    @rule(
        gallery_id=GALLERY_IDS,
        subject_id=SUBJECT_IDS,
        name=st.sampled_from([None, "", "N"]),
        metadata=st.sampled_from([None, {}, {"k": "v"}, {"l": "w"}]),
    )
    def update_subject(
        self, gallery_id: str, subject_id: str, name: str | None, metadata: dict[str, str] | None
    ) -> None:
        update = SubjectUpdate(KEEP if name is None else name, KEEP if metadata is None else metadata)
        gallery = self.model.get(gallery_id)
        refusal = UnknownGallery if gallery is None else UnknownSubject
        if gallery is None or subject_id not in gallery.subjects or update == SubjectUpdate():
            with pytest.raises(InvalidField if update == SubjectUpdate() else refusal):
                self.galleries.update_subject(gallery_id, subject_id, update)
            return
        subject = gallery.subjects[subject_id]
        subject.display_name = subject.display_name if name is None else name
        subject.metadata = subject.metadata if metadata is None else metadata
        gallery.version += 1
        updated = self.galleries.update_subject(gallery_id, subject_id, update)
        assert updated == UpdatedSubject(self.galleries.subject(gallery_id, subject_id), gallery.version)
        assert (updated.subject.display_name, dict(updated.subject.metadata)) == (
            subject.display_name,
            subject.metadata,
        )

    @rule(gallery_id=GALLERY_IDS, subject_id=SUBJECT_IDS)
    def delete_subject(self, gallery_id: str, subject_id: str) -> None:
        gallery = self.model.get(gallery_id)
        if gallery is None or subject_id not in gallery.subjects:
            with pytest.raises(UnknownGallery if gallery is None else UnknownSubject):
                self.galleries.delete_subject(gallery_id, subject_id)
            return
        subject = gallery.subjects.pop(subject_id)
        gallery.version += 1
        deleted = self.galleries.delete_subject(gallery_id, subject_id)
        assert deleted == Deleted(1, len(subject.templates), gallery.version)

    @rule(gallery_id=GALLERY_IDS, back=st.integers(0, 8))
    def delete_template(self, gallery_id: str, back: int) -> None:
        template_id = self.last_template - back
        gallery = self.model.get(gallery_id)
        owner = gallery.owner(template_id) if gallery else None
        if gallery is None or owner is None:
            with pytest.raises(UnknownGallery if gallery is None else UnknownTemplate):
                self.galleries.delete_template(gallery_id, template_id)
            return
        del owner.templates[template_id]
        gallery.version += 1
        assert self.galleries.delete_template(gallery_id, template_id) == Deleted(0, 1, gallery.version)

    @rule(gallery_id=GALLERY_IDS, sure=st.integers(0, 3))
    def delete(self, gallery_id: str, sure: int) -> None:
        gallery = self.model.get(gallery_id)
        if gallery is None:
            with pytest.raises(UnknownGallery):
                self.galleries.delete(gallery_id)
        elif sure == 0:  # not too often, or nothing grows
            del self.model[gallery_id]
            templates = sum(len(subject.templates) for subject in gallery.subjects.values())
            deleted = Deleted(len(gallery.subjects), templates, gallery.version + 1)
            assert self.galleries.delete(gallery_id) == deleted

    @rule(
        gallery_id=GALLERY_IDS,
        direction=DIRECTIONS,
        k=st.sampled_from([1, 2, 3, 1000]),
        threshold=st.sampled_from([-1.0, 0.0, 0.5, 1.0]),
        only=st.booleans(),
    )
    def search(self, gallery_id: str, direction: tuple[float, ...], k: int, threshold: float, only: bool) -> None:
        probe = embedding(direction)
        gallery = self.model.get(gallery_id)
        if gallery is None:
            with pytest.raises(UnknownGallery):
                self.galleries.search(gallery_id, probe, k, threshold, only)
            return
        found = self.galleries.search(gallery_id, probe, k, threshold, only)
        expected = [
            (subject_id, number, -negated, -negated >= threshold)
            for negated, number, subject_id in gallery.ranking(probe)[:k]
            if not only or -negated >= threshold
        ]
        candidates = found.identification.candidates
        assert [(c.subject_id, c.template_id, c.similarity, c.above_threshold) for c in candidates] == expected
        assert [c.rank for c in candidates] == list(range(1, len(expected) + 1))
        assert found.identification.gallery_version == gallery.version
        subjects = [self.galleries.subject(gallery_id, candidate.subject_id) for candidate in candidates]
        assert found.subjects == {s.subject_id: SubjectName(s.subject_id, s.display_name, s.metadata) for s in subjects}

    @rule(index=st.sampled_from(["numpy", "flat", "compact"]))
    def open_again(self, index: str) -> None:
        self.galleries.close()
        self.galleries = Galleries.open(self.folder, index=index)

    @rule(gallery_id=GALLERY_IDS, page_size=st.sampled_from([1, 2, 1000]))
    def list_subjects(self, gallery_id: str, page_size: int) -> None:
        if gallery_id not in self.model:
            return
        expected = self.model[gallery_id].subjects
        seen: list[str] = []
        token = ""
        while True:
            page = self.galleries.subjects(gallery_id, page_size, token)
            for subject in page.items:
                seen.append(subject.subject_id)
                model = expected[subject.subject_id]
                assert (subject.display_name, dict(subject.metadata)) == (model.display_name, model.metadata)
                assert [(t.template_id, t.image_sha256) for t in subject.templates] == [
                    (number, template.sha256) for number, template in model.templates.items()
                ]
            token = page.next_page_token
            if not token:
                break
        assert seen == sorted(expected)

    @invariant()
    def counts_and_versions_agree(self) -> None:
        seen = {
            info.gallery_id: (info.version, info.subject_count, info.template_count)
            for info in self.galleries.list().items
        }
        assert seen == {
            gallery_id: (
                gallery.version,
                len(gallery.subjects),
                sum(len(subject.templates) for subject in gallery.subjects.values()),
            )
            for gallery_id, gallery in self.model.items()
        }


TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=examples(60), stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]
)
