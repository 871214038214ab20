"""What can be done to the galleries: each change checks its rules and writes, all within one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from fr_core.errors import DuplicateImage, GalleryExists, UnknownGallery, UnknownSubject, UnknownTemplate
from fr_core.gallery.checks import is_gallery_id, is_subject_id, unit_vector
from fr_core.gallery.store import GalleryRow, Snapshot, Transaction
from fr_core.gallery.values import Deleted, Enrolled, Enrolment, GalleryInfo, Subject
from fr_core.types import F32, Embedding

R_co = TypeVar("R_co", covariant=True)

_MAX_TEMPLATE_ID = 2**63 - 1


@dataclass(frozen=True, slots=True, eq=False)
class AddedVector:
    """A vector f32[D] that a change added."""

    template_id: int
    subject_no: int
    vector: F32


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """What a committed change means for the memory of a gallery.

    Attributes:
        gallery: as the change left it, or as it was before it was deleted.
        version: of the gallery after the change.
        added: vectors that are new.
        removed: ids of templates that are gone.
        deleted: whether the gallery itself is gone.
    """

    gallery: GalleryRow
    version: int
    added: Sequence[AddedVector] = ()
    removed: Sequence[int] = ()
    deleted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Done(Generic[R_co]):
    """What a change returns to its caller, and its effect once it is committed."""

    result: R_co
    effect: Effect


class Change(Protocol[R_co]):
    """Something that can be done to the galleries."""

    def run(self, transaction: Transaction) -> Done[R_co]:
        """Check and write; raises the refusals of the change, after which nothing it wrote is kept."""


def known_gallery(snapshot: Snapshot, gallery_id: str) -> GalleryRow:
    """Return a gallery; raises `UnknownGallery`."""
    row = snapshot.gallery(gallery_id) if is_gallery_id(gallery_id) else None
    if row is None:
        raise UnknownGallery("There is no gallery of that id.")
    return row


@dataclass(frozen=True, slots=True)
class CreateGallery:
    """Create an empty gallery."""

    info: GalleryInfo

    def run(self, transaction: Transaction) -> Done[GalleryInfo]:
        """Raises `GalleryExists`."""
        if transaction.gallery(self.info.gallery_id) is not None:
            raise GalleryExists("There is a gallery of that id already.")
        row = GalleryRow(transaction.insert_gallery(self.info), self.info)
        return Done(self.info, Effect(row, self.info.version))


@dataclass(frozen=True, slots=True)
class DeleteGallery:
    """Delete a gallery with everything in it."""

    gallery_id: str

    def run(self, transaction: Transaction) -> Done[Deleted]:
        """Raises `UnknownGallery`."""
        row = known_gallery(transaction, self.gallery_id)
        version = transaction.changed(row.gallery_no, 0, 0)
        transaction.delete_gallery(row.gallery_no)
        deleted = Deleted(row.info.subject_count, row.info.template_count, version)
        return Done(deleted, Effect(row, version, deleted=True))


@dataclass(frozen=True, slots=True, eq=False)
class Enrol:
    """Add a template to a subject, which is created where it is new."""

    gallery_id: str
    enrolment: Enrolment
    now: datetime

    def run(self, transaction: Transaction) -> Done[Enrolled]:
        """Raises UnknownGallery, DuplicateImage, and those of `checks.unit_vector`."""
        row = known_gallery(transaction, self.gallery_id)
        enrolment, template = self.enrolment, self.enrolment.template
        vector = unit_vector(template.embedding, row.info.model, row.info.embedding_size)
        if template.image_sha256 is not None:
            earlier = transaction.template_of_image(row.gallery_no, template.image_sha256)
            if earlier is not None:
                raise DuplicateImage("The gallery holds a template of this photo already.", template_id=str(earlier))
        subject_no = transaction.subject_no(row.gallery_no, enrolment.subject_id)
        created = subject_no is None
        if subject_no is None:
            subject = Subject(enrolment.subject_id, enrolment.display_name, enrolment.metadata, self.now, ())
            subject_no = transaction.insert_subject(row.gallery_no, subject)
        else:
            transaction.update_subject(subject_no, enrolment.display_name, enrolment.metadata)
        stored = replace(template, embedding=Embedding(vector, row.info.model))
        template_id = transaction.insert_template(row.gallery_no, subject_no, stored, self.now)
        version = transaction.changed(row.gallery_no, int(created), 1)
        effect = Effect(row, version, added=(AddedVector(template_id, subject_no, vector),))
        return Done(Enrolled(enrolment.subject_id, template_id, created, version), effect)


@dataclass(frozen=True, slots=True)
class DeleteSubject:
    """Delete a subject with its templates."""

    gallery_id: str
    subject_id: str

    def run(self, transaction: Transaction) -> Done[Deleted]:
        """Raises `UnknownGallery`, `UnknownSubject`."""
        row = known_gallery(transaction, self.gallery_id)
        known = is_subject_id(self.subject_id)
        subject_no = transaction.subject_no(row.gallery_no, self.subject_id) if known else None
        if subject_no is None:
            raise UnknownSubject("The gallery holds no subject of that id.")
        removed = transaction.delete_subject(subject_no)
        version = transaction.changed(row.gallery_no, -1, -len(removed))
        return Done(Deleted(1, len(removed), version), Effect(row, version, removed=removed))


@dataclass(frozen=True, slots=True)
class DeleteTemplate:
    """Delete one template; its subject stays."""

    gallery_id: str
    template_id: int

    def run(self, transaction: Transaction) -> Done[Deleted]:
        """Raises `UnknownGallery`, `UnknownTemplate`."""
        row = known_gallery(transaction, self.gallery_id)
        possible = 0 < self.template_id <= _MAX_TEMPLATE_ID
        if not possible or not transaction.delete_template(row.gallery_no, self.template_id):
            raise UnknownTemplate("The gallery holds no template of that id.")
        version = transaction.changed(row.gallery_no, 0, -1)
        return Done(Deleted(0, 1, version), Effect(row, version, removed=(self.template_id,)))
