"""Declares what services, jobs and front-ends ask of galleries and of audits, in this process or another."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

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
from fr_core.storage.audit.checkpoints import Checkpoint
from fr_core.storage.audit.values import Pseudonym
from fr_core.storage.audit.verify import Broken, Verified
from fr_core.storage.terms import Term
from fr_core.types import Embedding, ModelId
from fr_trust.audit.export import Segment
from fr_trust.audit.search import Filter
from fr_trust.audit.search import Page as AuditPage


class GalleryCalls(Protocol):
    """The calls on galleries; `fr_core.gallery.galleries.Galleries` documents each method."""

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
    ) -> GalleryInfo: ...
    def get(self, gallery: GalleryRef) -> GalleryInfo: ...
    def require_version(self, gallery_id: str, at_least: str) -> None: ...
    def list(self, page_size: int, page_token: str) -> Page[GalleryInfo]: ...
    def update(self, gallery: GalleryRef, update: GalleryUpdate) -> GalleryInfo: ...
    def set_calibration(self, gallery: GalleryRef, calibration: GalleryCalibration | None) -> GalleryInfo: ...
    def calibration(self, gallery: GalleryRef) -> str | None: ...
    def delete(self, gallery: GalleryRef) -> Deleted: ...
    def enrol(self, gallery: GalleryRef, enrolment: Enrolment) -> Enrolled: ...
    def enrol_many(self, gallery: GalleryRef, enrolments: Sequence[Enrolment]) -> tuple[Enrolled | FrError, ...]: ...
    def search(
        self,
        gallery: GalleryRef,
        probe: Embedding,
        k: int,
        threshold: float,
        only_above_threshold: bool,
        fusion: ScoreFusion,
        among: SubjectFilter | None,
    ) -> Found: ...
    def search_as(self, gallery: GalleryRef, ask: Ask) -> Found: ...
    def require_term(self) -> Term: ...
    def subject(self, gallery: GalleryRef, subject_id: str) -> Subject: ...
    def subjects(self, gallery: GalleryRef, page_size: int, page_token: str) -> Page[Subject]: ...
    def template(self, gallery: GalleryRef, template_id: int) -> KeptTemplate: ...
    def update_subject(self, gallery: GalleryRef, subject_id: str, update: SubjectUpdate) -> UpdatedSubject: ...
    def delete_subject(self, gallery: GalleryRef, subject_id: str) -> Deleted: ...
    def erase_subject(self, gallery: GalleryRef, subject_id: str) -> Erased: ...
    def delete_template(self, gallery: GalleryRef, template_id: int) -> Deleted: ...
    def purge(self, dry_run: bool) -> tuple[Purged, ...]: ...
    def duplicates_after(self, gallery: GalleryRef, threshold: float, cursor: Cursor | None) -> Duplicates: ...
    def neighbours_after(self, gallery: GalleryRef, threshold: float, cursor: Cursor | None) -> Neighbours: ...
    def clusters_of(self, gallery: GalleryRef, threshold: float, part: Part) -> tuple[Cluster, ...]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ExportPart:
    """Some lines of an export."""

    data: bytes  # whole lines, each with its line break
    # Number of the last record of them, with which the next step goes on; None where the export has ended, with its
    # checkpoint.
    after: int | None


@runtime_checkable
class AuditCalls(Protocol):
    """The calls on one chain; `LocalAudit` documents each method. Each call sees the chain at one moment.

    Raises of every method:
        StoreCorrupt: what it reads was altered; `audit_verify` returns that.
        StoreFailed, ShuttingDown: the store cannot be read.
    """

    def audit_search(self, wanted: Filter, after: int, limit: int) -> AuditPage: ...
    def audit_verify(self, checkpoints: Sequence[Checkpoint]) -> Verified | Broken: ...
    def audit_disagreement(self, checkpoint: Checkpoint) -> Broken | None: ...
    def audit_export(self, after: int, begun: bool) -> ExportPart: ...
    def audit_oldest(self, before_ms: int) -> Segment | None: ...
    def audit_prune(self, after: int, upto: int, last: bool) -> bool: ...
    def audit_checkpoint(self) -> Checkpoint: ...
    def audit_public_key(self) -> str: ...
    def audit_subject(self, gallery_id: str, subject_id: str) -> tuple[Pseudonym, ...]: ...
    def audit_case(self, reference: str) -> tuple[Pseudonym, ...]: ...
