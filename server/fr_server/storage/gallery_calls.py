"""Declares what the services ask of galleries, in this process or another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from fr_core.errors import FrError
from fr_core.gallery.query import ScoreFusion, SubjectFilter
from fr_core.gallery.scan.blocks import Cursor
from fr_core.gallery.scan.clusters import Cluster, Neighbours, Part
from fr_core.gallery.scan.duplicates import Duplicates
from fr_core.gallery.search.searching import Ask
from fr_core.gallery.values import (
    Deleted,
    Enrolled,
    Enrolment,
    Erased,
    Found,
    GalleryCalibration,
    GalleryInfo,
    GalleryRef,
    GalleryUpdate,
    GalleryUse,
    KeptTemplate,
    Page,
    Purged,
    Subject,
    SubjectUpdate,
    UpdatedSubject,
)
from fr_core.types import Embedding, ModelId


class GalleryCalls(Protocol):
    """What `GalleryService` asks of galleries: of `fr_core.gallery.galleries.Galleries`, in this process or another."""

    def create(
        self,
        gallery_id: str,
        display_name: str,
        model: ModelId,
        embedding_size: int,
        expires: datetime | None,
        retention: timedelta | None,
        keeps_photos: bool,
        use: GalleryUse,
    ) -> GalleryInfo:
        """Create an empty gallery that is bound to a model."""
        ...

    def get(self, gallery: GalleryRef) -> GalleryInfo:
        """Describe a gallery."""
        ...

    def list(self, page_size: int, page_token: str) -> Page[GalleryInfo]:
        """List the galleries in the order of their ids."""
        ...

    def update(self, gallery: GalleryRef, update: GalleryUpdate) -> GalleryInfo:
        """Change the name, the end or the retention of a gallery."""
        ...

    def set_calibration(self, gallery: GalleryRef, calibration: GalleryCalibration | None) -> GalleryInfo:
        """Say what similarities in a gallery mean."""
        ...

    def calibration(self, gallery: GalleryRef) -> str | None:
        """Read the calibration of a gallery, None where it has none."""
        ...

    def delete(self, gallery: GalleryRef) -> Deleted:
        """Delete a gallery with everything in it."""
        ...

    def enrol(self, gallery: GalleryRef, enrolment: Enrolment) -> Enrolled:
        """Add a template to a subject, which is created where it is new."""
        ...

    def enrol_many(self, gallery: GalleryRef, enrolments: Sequence[Enrolment]) -> tuple[Enrolled | FrError, ...]:
        """Add many templates in one change, each kept or refused by itself."""
        ...

    def search(
        self,
        gallery: GalleryRef,
        probe: Embedding,
        k: int,
        threshold: float,
        only_above_threshold: bool,
        fusion: ScoreFusion,
        among: SubjectFilter | None,
    ) -> Found:
        """Find the k subjects most similar to a probe."""
        ...

    def search_as(self, gallery: GalleryRef, ask: Ask) -> Found:
        """Search with a question that depends on the gallery."""
        ...

    def subject(self, gallery: GalleryRef, subject_id: str) -> Subject:
        """Describe a subject and its templates."""
        ...

    def subjects(self, gallery: GalleryRef, page_size: int, page_token: str) -> Page[Subject]:
        """List the subjects of a gallery in the order of their ids."""
        ...

    def template(self, gallery: GalleryRef, template_id: int) -> KeptTemplate:
        """Read a template with everything that is kept of it."""
        ...

    def update_subject(self, gallery: GalleryRef, subject_id: str, update: SubjectUpdate) -> UpdatedSubject:
        """Change the name or the metadata of a subject."""
        ...

    def delete_subject(self, gallery: GalleryRef, subject_id: str) -> Deleted:
        """Delete a subject with its templates."""
        ...

    def erase_subject(self, gallery: GalleryRef, subject_id: str) -> Erased:
        """Delete a subject, and wait until no byte of it is left."""
        ...

    def delete_template(self, gallery: GalleryRef, template_id: int) -> Deleted:
        """Delete one template."""
        ...

    def purge(self, dry_run: bool) -> tuple[Purged, ...]:
        """Delete the templates whose time has passed, with the subjects that have none left."""
        ...

    def duplicates_after(self, gallery: GalleryRef, threshold: float, cursor: Cursor | None) -> Duplicates:
        """Find the duplicates of the next block of templates."""
        ...

    def neighbours_after(self, gallery: GalleryRef, threshold: float, cursor: Cursor | None) -> Neighbours:
        """Find the neighbours of the next block of templates."""
        ...

    def clusters_of(self, gallery: GalleryRef, threshold: float, part: Part) -> tuple[Cluster, ...]:
        """Group some of the templates."""
        ...

    def close(self) -> None:
        """Finish the changes that wait."""
        ...
