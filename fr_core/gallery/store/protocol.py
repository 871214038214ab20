"""What a store of galleries can do, whichever database it keeps them in.

Numbers (`gallery_no`, `subject_no`) are the store's own; ids are the callers'. A store decides no rules of the domain:
it keeps what `changes` tells it to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from fr_core.gallery.values import (
    Erased,
    GalleryInfo,
    GalleryUpdate,
    KeptTemplate,
    NewTemplate,
    Subject,
    SubjectName,
    SubjectUpdate,
)
from fr_core.storage.audit.attribution import Attribution
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.values import NO_COUNTS, NO_DETAIL
from fr_core.types import F32, I64, ModelId


@dataclass(frozen=True, slots=True)
class GalleryRow:
    """A gallery with the store's number of it, which no later gallery gets, not even one of the same id."""

    gallery_no: int
    info: GalleryInfo


@dataclass(frozen=True, slots=True, eq=False)
class StoredVectors:
    """Vectors of one gallery.

    Attributes:
        gallery_no: of the gallery.
        template_ids: i64[n], ascending.
        subject_nos: i64[n].
        vectors: f32[n, D].
    """

    gallery_no: int
    template_ids: I64
    subject_nos: I64
    vectors: F32


@dataclass(frozen=True, slots=True)
class ExpiredTemplate:
    """A template that has been kept for as long as its gallery keeps templates."""

    gallery_no: int
    gallery_id: str
    subject_no: int
    template_id: int


@dataclass(frozen=True, slots=True)
class Told:
    """What the audit is told of a change; who asked for it is known elsewhere.

    Attributes:
        action: such as "gallery.enrol".
        gallery_id: of the gallery.
        gallery_version: of the gallery after the change.
        subject_ids: whom it was about, by the callers' own ids, which become pseudonyms.
        model: of the gallery, where a template came.
        counts: as `fr_core.storage.audit.values.Entry`.
        detail: likewise.
    """

    action: str
    gallery_id: str
    gallery_version: int
    subject_ids: tuple[str, ...] = ()
    model: ModelId | None = None
    counts: Mapping[str, int] = field(default_factory=lambda: NO_COUNTS)
    detail: Mapping[str, str] = field(default_factory=lambda: NO_DETAIL)


class Snapshot(Protocol):
    """The store as it was at one moment; later commits do not show."""

    def gallery(self, gallery_id: str) -> GalleryRow | None:
        """Return a gallery, or None where there is none."""

    def galleries(self, after: str, limit: int) -> tuple[GalleryRow, ...]:
        """Return up to `limit` galleries with ids beyond `after`, in the order of their ids."""

    def calibration(self, gallery_no: int) -> str | None:
        """Return the calibration of a gallery, or None where it has none."""

    def subject(self, gallery_no: int, subject_id: str) -> Subject | None:
        """Return the subject whose id is one of its `forms_of`, or None."""

    def subjects(self, gallery_no: int, after: str, limit: int) -> tuple[Subject, ...]:
        """Return up to `limit` subjects with ids beyond `after`, in the order of their ids."""

    def subject_names(self, subject_nos: I64) -> Mapping[int, SubjectName]:
        """Return the names of the subjects of numbers i64[n] that differ; one that is not there is damage."""

    def subject_no(self, gallery_no: int, subject_id: str) -> int | None:
        """Return the number of such a subject, or None."""

    def subject_ids(self, subject_nos: I64) -> Mapping[int, str]:
        """Return the ids of the same subjects."""

    def subject_nos(self, gallery_no: int, subject_ids: Collection[str]) -> I64 | None:
        """Return the numbers of the subjects with these ids, i64[n], ascending; None if one does not exist."""

    def subjects_with(self, gallery_no: int, key: str, value: str) -> I64:
        """Return the numbers of the subjects whose metadata hold a pair, i64[n], ascending."""

    def has_metadata_key(self, gallery_no: int, key: str) -> bool:
        """Return whether any subject of a gallery has metadata of a key."""

    def template_ids_of(self, gallery_no: int, subject_nos: I64) -> I64:
        """Return the ids of the templates of subjects i64[n] of a gallery, i64[m], ascending."""

    def template(self, gallery_no: int, template_id: int) -> KeptTemplate | None:
        """Return a template of a gallery with all that is kept of it, or None where there is none."""

    def expired(self, now: datetime, limit: int) -> tuple[ExpiredTemplate, ...]:
        """Return up to `limit` templates whose retention has passed, of all galleries; those of a gallery together."""


class Transaction(Snapshot, Protocol):
    """Changes that become durable together, or not at all."""

    def item(self) -> AbstractContextManager[None]:
        """Undo what was changed within, and nothing else, where an exception leaves the block."""

    def require_room(self, grows_by: int) -> None:
        """Refuse what would make the store grow where the disk is nearly full.

        Args:
            grows_by: bytes that are about to be added, beside rows.

        Raises:
            StorageLow: the disk has less room than the store keeps in reserve.
        """

    def insert_gallery(self, info: GalleryInfo) -> int:
        """Add a gallery and return its number."""

    def update_gallery(self, gallery_no: int, update: GalleryUpdate) -> GalleryInfo:
        """Change a gallery, raise its version by one and return it."""

    def set_calibration(self, gallery_no: int, text: str | None) -> GalleryInfo:
        """Give a gallery a calibration, or take it away, raise its version by one and return it."""

    def delete_gallery(self, gallery_no: int) -> None:
        """Delete a gallery with its subjects and templates."""

    def changed(self, gallery_no: int, subjects: int, templates: int) -> int:
        """Add to the counts of a gallery (negative for deletions), raise its version by one and return it."""

    def insert_subject(self, gallery_no: int, subject: Subject) -> int:
        """Add a subject, without templates, and return its number."""

    def update_subject(self, subject_no: int, update: SubjectUpdate) -> None:
        """Change a subject."""

    def delete_subject(self, subject_no: int) -> tuple[int, ...]:
        """Delete a subject with its templates, photos and key, and return the ids of the templates, ascending."""

    def photo_count(self, subject_no: int) -> int:
        """Return how many photos of a subject are kept."""

    def insert_erasure(self, gallery_no: int, templates: int, photos: int, erased: datetime, version: int) -> Erased:
        """Keep a receipt of an erasure and return it; `version` is the gallery's, and is not kept."""

    def template_of_image(self, gallery_no: int, image_sha256: str) -> int | None:
        """Return the template of a photo in a gallery, or None where there is none."""

    def insert_template(self, gallery_no: int, subject_no: int, template: NewTemplate, created: datetime) -> int:
        """Add a template, with its photo where it has one, and return its id, above every id given before."""

    def delete_template(self, gallery_no: int, template_id: int) -> bool:
        """Delete a template of a gallery with its photo, and return whether there was one."""

    def record(self, by: Attribution, told: Sequence[Told]) -> None:
        """Have the audit told of a change, in this transaction.

        Args:
            by: who asked for it.
            told: what it was.
        """

    def prune_audit(self, after: int, upto: int) -> bool:
        """See `AuditTable.prune`."""


class Store(Protocol):
    """The durable truth.

    Every method, and every method of a snapshot or a transaction, raises `StoreFailed` where the disk refuses and
    `StoreCorrupt` where it finds damage. Snapshots may be taken by any thread at any time and wait for no transaction;
    only one thread at a time may hold a transaction.
    """

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Read within the block.

        Raises:
            ShuttingDown: the store is closed.
        """

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Change within the block; durable when the block has ended, undone where an exception leaves it."""

    def auditing(self) -> AbstractContextManager[AuditTable]:
        """Read the audit as of one moment, within the block; nothing can be appended."""

    def vectors(self, rows: int) -> Iterator[StoredVectors]:
        """Yield every vector, at most `rows` at a time, each checked; those of a gallery by ascending ids."""

    def scrub(self) -> None:
        """Leave nothing on the disk of what committed changes have deleted; called between transactions.

        Raises:
            StoreFailed: snapshots that were taken before were not given back within some seconds; what was deleted can
                still lie in the write-ahead log. A later call makes up for it, and so does the next start.
        """

    def tidy(self) -> None:
        """Do upkeep that can wait; called by the thread that writes, between transactions."""

    def close(self) -> None:
        """Close; harmless when done twice."""
