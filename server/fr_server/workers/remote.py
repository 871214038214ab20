"""Models and galleries of another process, as the pipeline and the services of a front-end see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from fr_core.detect.protocol import TileFaces
from fr_core.errors import FrError
from fr_core.gallery.query import ScoreFusion, SubjectFilter
from fr_core.gallery.scan.blocks import Cursor
from fr_core.gallery.scan.clusters import Cluster, Neighbours, Part
from fr_core.gallery.scan.duplicates import Duplicates
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
from fr_core.runtime.ticket import current_ticket
from fr_core.storage.audit.checkpoints import Checkpoint
from fr_core.storage.audit.values import Pseudonym
from fr_core.storage.audit.verify import Broken, Verified
from fr_core.types import F32, U8, AlignedFace, Embedding, ModelId
from fr_server.rpc.services.audits import ExportPart
from fr_server.workers.link_client import Asker
from fr_trust.audit import search as audit_search
from fr_trust.audit.segment import Segment


class RemoteTileDetector:
    """A `TileDetector` whose tiles wait for their turn with those of all front-ends.

    Args:
        asker: asks the engine's process.
        tile_shapes: (height, width) of the tiles that the model takes, the smallest first.
    """

    def __init__(self, asker: Asker, tile_shapes: tuple[tuple[int, int], ...]) -> None:
        self.tile_shapes = tile_shapes
        self._asker = asker

    def detect_tiles(self, tiles: Sequence[U8]) -> list[TileFaces]:
        """As `TileDetector.detect_tiles`; raises what `Asker.pictures` raises."""
        parts = self._asker.pictures("detector", tiles, current_ticket())
        return [faces for part in parts for faces in part.unpacked()]


class RemoteRawEmbedder:
    """A `RawEmbedder` whose faces wait for their turn with those of all front-ends.

    Args:
        asker: asks the engine's process.
        size: number of values of a vector.
    """

    def __init__(self, asker: Asker, size: int) -> None:
        self.size = size
        self._asker = asker

    def vectors(self, faces: Sequence[AlignedFace]) -> F32:
        """As `RawEmbedder.vectors`; raises what `Asker.pictures` raises."""
        parts = self._asker.pictures("embedder", [face.pixels for face in faces], current_ticket())
        return np.concatenate(parts) if parts else np.empty((0, self.size), np.float32)


class RemoteGalleries:
    """The galleries of the engine's process, with their audit.

    Each method is that of `fr_core.gallery.galleries.Galleries`, or of `AuditCalls`. What is changed is put down to
    whom the call is put down to in this process.

    Args:
        asker: asks the engine's process.
    """

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

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
        """As `Galleries.create`."""
        info: GalleryInfo = self._asker.gallery(
            "create", gallery_id, display_name, model, embedding_size, expires, retention, keeps_photos, use
        )
        return info

    def get(self, gallery: GalleryRef) -> GalleryInfo:
        """As `Galleries.get`."""
        info: GalleryInfo = self._asker.gallery("get", gallery)
        return info

    def list(self, page_size: int, page_token: str) -> Page[GalleryInfo]:
        """As `Galleries.list`."""
        page: Page[GalleryInfo] = self._asker.gallery("list", page_size, page_token)
        return page

    def update(self, gallery: GalleryRef, update: GalleryUpdate) -> GalleryInfo:
        """As `Galleries.update`."""
        info: GalleryInfo = self._asker.gallery("update", gallery, update)
        return info

    def set_calibration(self, gallery: GalleryRef, calibration: GalleryCalibration | None) -> GalleryInfo:
        """As `Galleries.set_calibration`."""
        info: GalleryInfo = self._asker.gallery("set_calibration", gallery, calibration)
        return info

    def calibration(self, gallery: GalleryRef) -> str | None:
        """As `Galleries.calibration`."""
        text: str | None = self._asker.gallery("calibration", gallery)
        return text

    def delete(self, gallery: GalleryRef) -> Deleted:
        """As `Galleries.delete`."""
        deleted: Deleted = self._asker.gallery("delete", gallery)
        return deleted

    def enrol(self, gallery: GalleryRef, enrolment: Enrolment) -> Enrolled:
        """As `Galleries.enrol`."""
        enrolled: Enrolled = self._asker.gallery("enrol", gallery, enrolment)
        return enrolled

    def enrol_many(self, gallery: GalleryRef, enrolments: Sequence[Enrolment]) -> tuple[Enrolled | FrError, ...]:
        """As `Galleries.enrol_many`."""
        outcomes: tuple[Enrolled | FrError, ...] = self._asker.gallery("enrol_many", gallery, enrolments)
        return outcomes

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
        """As `Galleries.search`."""
        found: Found = self._asker.gallery("search", gallery, probe, k, threshold, only_above_threshold, fusion, among)
        return found

    def subject(self, gallery: GalleryRef, subject_id: str) -> Subject:
        """As `Galleries.subject`."""
        subject: Subject = self._asker.gallery("subject", gallery, subject_id)
        return subject

    def subjects(self, gallery: GalleryRef, page_size: int, page_token: str) -> Page[Subject]:
        """As `Galleries.subjects`."""
        page: Page[Subject] = self._asker.gallery("subjects", gallery, page_size, page_token)
        return page

    def template(self, gallery: GalleryRef, template_id: int) -> KeptTemplate:
        """As `Galleries.template`."""
        template: KeptTemplate = self._asker.gallery("template", gallery, template_id)
        return template

    def update_subject(self, gallery: GalleryRef, subject_id: str, update: SubjectUpdate) -> UpdatedSubject:
        """As `Galleries.update_subject`."""
        updated: UpdatedSubject = self._asker.gallery("update_subject", gallery, subject_id, update)
        return updated

    def delete_subject(self, gallery: GalleryRef, subject_id: str) -> Deleted:
        """As `Galleries.delete_subject`."""
        deleted: Deleted = self._asker.gallery("delete_subject", gallery, subject_id)
        return deleted

    def erase_subject(self, gallery: GalleryRef, subject_id: str) -> Erased:
        """As `Galleries.erase_subject`."""
        erased: Erased = self._asker.gallery("erase_subject", gallery, subject_id)
        return erased

    def delete_template(self, gallery: GalleryRef, template_id: int) -> Deleted:
        """As `Galleries.delete_template`."""
        deleted: Deleted = self._asker.gallery("delete_template", gallery, template_id)
        return deleted

    def purge(self, dry_run: bool) -> tuple[Purged, ...]:
        """As `Galleries.purge`."""
        purged: tuple[Purged, ...] = self._asker.gallery("purge", dry_run)
        return purged

    def duplicates_after(self, gallery: GalleryRef, threshold: float, cursor: Cursor | None) -> Duplicates:
        """As `Galleries.duplicates_after`."""
        found: Duplicates = self._asker.gallery("duplicates_after", gallery, threshold, cursor)
        return found

    def neighbours_after(self, gallery: GalleryRef, threshold: float, cursor: Cursor | None) -> Neighbours:
        """As `Galleries.neighbours_after`."""
        found: Neighbours = self._asker.gallery("neighbours_after", gallery, threshold, cursor)
        return found

    def clusters_of(self, gallery: GalleryRef, threshold: float, part: Part) -> tuple[Cluster, ...]:
        """As `Galleries.clusters_of`."""
        found: tuple[Cluster, ...] = self._asker.gallery("clusters_of", gallery, threshold, part)
        return found

    def audit_search(self, wanted: audit_search.Filter, after: int, limit: int) -> audit_search.Page:
        """As `AuditCalls.audit_search`."""
        page: audit_search.Page = self._asker.gallery("audit_search", wanted, after, limit)
        return page

    def audit_verify(self, checkpoints: Sequence[Checkpoint]) -> Verified | Broken:
        """As `AuditCalls.audit_verify`."""
        found: Verified | Broken = self._asker.gallery("audit_verify", checkpoints)
        return found

    def audit_disagreement(self, checkpoint: Checkpoint) -> Broken | None:
        """As `AuditCalls.audit_disagreement`."""
        found: Broken | None = self._asker.gallery("audit_disagreement", checkpoint)
        return found

    def audit_export(self, after: int, begun: bool) -> ExportPart:
        """As `AuditCalls.audit_export`."""
        part: ExportPart = self._asker.gallery("audit_export", after, begun)
        return part

    def audit_oldest(self, before_ms: int) -> Segment | None:
        """As `AuditCalls.audit_oldest`."""
        segment: Segment | None = self._asker.gallery("audit_oldest", before_ms)
        return segment

    def audit_prune(self, after: int, upto: int, last: bool) -> bool:
        """As `AuditCalls.audit_prune`."""
        pruned: bool = self._asker.gallery("audit_prune", after, upto, last)
        return pruned

    def audit_checkpoint(self) -> Checkpoint:
        """As `AuditCalls.audit_checkpoint`."""
        checkpoint: Checkpoint = self._asker.gallery("audit_checkpoint")
        return checkpoint

    def audit_public_key(self) -> str:
        """As `AuditCalls.audit_public_key`."""
        pem: str = self._asker.gallery("audit_public_key")
        return pem

    def audit_subject(self, gallery_id: str, subject_id: str) -> tuple[Pseudonym, ...]:
        """As `AuditCalls.audit_subject`."""
        pseudonyms: tuple[Pseudonym, ...] = self._asker.gallery("audit_subject", gallery_id, subject_id)
        return pseudonyms

    def audit_case(self, reference: str) -> tuple[Pseudonym, ...]:
        """As `AuditCalls.audit_case`."""
        pseudonyms: tuple[Pseudonym, ...] = self._asker.gallery("audit_case", reference)
        return pseudonyms

    def close(self) -> None:
        """Do nothing: the engine's process closes them."""
