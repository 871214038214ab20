"""Defines the changes of the galleries: each checks its rules, writes, and returns its records for the audit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import groupby
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from fr_core.errors import (
    CalibrationInvalid,
    DuplicateImage,
    FrError,
    GalleryExists,
    GalleryExpired,
    InputRefused,
    StorageLow,
)
from fr_core.gallery import checks
from fr_core.gallery.effects import AddedVector, Effect
from fr_core.gallery.store import change_log
from fr_core.gallery.store.known import delete_known_template, known_gallery, known_subject_no
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.transaction import GalleryTransaction
from fr_core.gallery.store.values import ExpiredTemplate, GalleryRow, Recorded
from fr_core.gallery.values import (
    KEEP,
    NO_METADATA,
    Deleted,
    Enrolled,
    Enrolment,
    Erased,
    GalleryCalibration,
    GalleryInfo,
    GalleryRef,
    GalleryUpdate,
    Keep,
    NewTemplate,
    Purged,
    Subject,
    SubjectUpdate,
    UpdatedSubject,
    calibration_id,
    updated,
)
from fr_core.id_forms import composed
from fr_core.storage.audit.values import MAX_SUBJECTS
from fr_core.types import F32, Embedding
from fr_locales.messages import message

R_co = TypeVar("R_co", covariant=True)

# At least what the rows of a change add to the tables and their indexes beside vectors, photos and metadata.
_ROWS_BYTES = 1024
# Metadata are kept in the subject's row, and once more where filters look.
_METADATA_COPIES = 2


@dataclass(frozen=True, slots=True, eq=False)
class Done(Generic[R_co]):
    """The outcome of a change."""

    result: R_co
    effects: tuple[Effect, ...] = ()  # once it is committed, one for each gallery
    # For the audit, kept in the same transaction; none of a change that changed nothing.
    records: tuple[Recorded, ...] = ()


class Change(Protocol[R_co]):
    """A change of the galleries."""

    def run(self, transaction: GalleryTransaction) -> Done[R_co]:
        """Check and write; raises the refusals of the change, after which nothing it wrote is kept."""


def open_gallery(snapshot: Snapshot, gallery: GalleryRef, now: datetime) -> GalleryRow:
    """Return a gallery that has not expired; raises what `known_gallery` raises, and `GalleryExpired`."""
    row = known_gallery(snapshot, gallery)
    require_open(row, now)
    return row


def require_open(row: GalleryRow, now: datetime) -> None:
    """Raise `GalleryExpired` if the time of a gallery has passed."""
    if row.info.expires is not None and now >= row.info.expires:
        raise GalleryExpired(message("error.gallery.gallery_expired"))


@dataclass(frozen=True, slots=True)
class CreateGallery:
    """Create an empty gallery."""

    info: GalleryInfo

    def run(self, transaction: GalleryTransaction) -> Done[GalleryInfo]:
        """Raises `GalleryExists`, `StorageLow`."""
        transaction.require_room(_ROWS_BYTES)
        if transaction.gallery(self.info.gallery_id) is not None:
            raise GalleryExists(message("error.gallery.gallery_id_already"))
        gallery_no = transaction.insert_gallery(self.info)
        row = GalleryRow(gallery_no, replace(self.info, gallery_no=gallery_no))
        detail = {"use": str(self.info.use), "keeps_photos": str(self.info.keeps_photos).lower()}
        record = Recorded(
            "gallery.create", self.info.gallery_id, self.info.version, model=self.info.model, detail=detail
        )
        return Done(row.info, (Effect(row, self.info.version),), (record,))


@dataclass(frozen=True, slots=True)
class UpdateGallery:
    """Change a gallery, also one that has expired: a later end opens it again."""

    gallery: GalleryRef
    update: GalleryUpdate
    now: datetime

    def run(self, transaction: GalleryTransaction) -> Done[GalleryInfo]:
        """Raises `UnknownGallery`, and `InvalidField` for an end that has passed."""
        # No room is asked for: where the disk is nearly full, a shorter retention is what helps.
        row = known_gallery(transaction, self.gallery)
        expires = updated(self.update.expires, row.info.expires)
        if expires != row.info.expires:  # so that a call that is made again is answered as it was at first
            checks.require_end(expires, self.now)
        info = transaction.update_gallery(row.gallery_no, self.update)
        detail = _fields_of(self.update)
        if info.expires is not None:
            detail["expires"] = info.expires.strftime("%Y-%m-%dT%H:%M:%SZ")
        if info.retention is not None:
            detail["retention_s"] = str(int(info.retention.total_seconds()))
        record = Recorded("gallery.update", row.info.gallery_id, info.version, detail=detail)
        return Done(info, (Effect(row, info.version),), (record,))


@dataclass(frozen=True, slots=True)
class SetCalibration:
    """Give a gallery a calibration of its model, or take it away; also one that has expired.

    One that it has already, or has no more, changes nothing.
    """

    gallery: GalleryRef
    calibration: GalleryCalibration | None

    def run(self, transaction: GalleryTransaction) -> Done[GalleryInfo]:
        """Raises `UnknownGallery`, `CalibrationInvalid`, `StorageLow`."""
        row = known_gallery(transaction, self.gallery)
        text: str | None = None
        if self.calibration is not None:
            text, model = self.calibration.text, str(row.info.model)
            if self.calibration.model_id != model:
                raise CalibrationInvalid(
                    message("error.gallery.calibration_gallery", model_id=self.calibration.model_id, model=model),
                    expected=model,
                )
        if row.info.calibration_sha256 == (None if text is None else calibration_id(text)):
            return Done(row.info)
        if text is not None:
            transaction.require_room(_ROWS_BYTES + len(text.encode()))
        info = transaction.set_calibration(row.gallery_no, text)
        detail = {"calibration": info.calibration_sha256 or "none"}
        record = Recorded("gallery.set_calibration", row.info.gallery_id, info.version, detail=detail)
        return Done(info, (Effect(row, info.version),), (record,))


@dataclass(frozen=True, slots=True)
class DeleteGallery:
    """Delete a gallery with everything in it."""

    gallery: GalleryRef

    def run(self, transaction: GalleryTransaction) -> Done[Deleted]:
        """Raises `UnknownGallery`."""
        row = known_gallery(transaction, self.gallery)
        version = transaction.changed(row.gallery_no, 0, 0)
        transaction.delete_gallery(row.gallery_no)
        deleted = Deleted(row.info.subject_count, row.info.template_count, version, row.gallery_no)
        record = Recorded("gallery.delete", row.info.gallery_id, version, counts=_counts_of(deleted))
        return Done(deleted, (Effect(row, version, deleted=True),), (record,))


def foresee(transaction: GalleryTransaction, changes: Iterable[Change[Any]]) -> None:
    """Let a transaction look up together what the enrolments among coming changes will ask for, one by one."""
    for change in changes:
        if isinstance(change, Enrol | EnrolMany):
            gallery = change.gallery if isinstance(change.gallery, str) else change.gallery.gallery_id
            images = [one.template.image_sha256 for one in change.enrolments]
            subject_ids = [one.subject_id for one in change.enrolments]
            transaction.expect(
                gallery,
                [image for image in images if image is not None and checks.is_sha256(image)],
                [subject_id for subject_id in subject_ids if checks.is_subject_id(subject_id)],
            )


def require_sound(enrolment: Enrolment) -> None:
    """Raise `InvalidIdentifier` or `InvalidField` for what no gallery can hold; it checks the embedding itself."""
    checks.require_subject_id(enrolment.subject_id)
    checks.require_display_name(enrolment.display_name)
    checks.require_metadata(enrolment.metadata)
    checks.require_template(enrolment.template)


@dataclass(frozen=True, slots=True, eq=False)
class Enrol:
    """Add a template to a subject, which is created where it is new."""

    gallery: GalleryRef
    enrolment: Enrolment
    now: datetime

    @property
    def enrolments(self) -> Sequence[Enrolment]:
        """The enrolment, as `EnrolMany` has them."""
        return (self.enrolment,)

    def run(self, transaction: GalleryTransaction) -> Done[Enrolled]:
        """Raises UnknownGallery, GalleryExpired, StorageLow, DuplicateImage, and those of `checks.unit_vector`."""
        row = open_gallery(transaction, self.gallery, self.now)
        vector = _checked(transaction, row, self.enrolment)
        added, created, subject_id = _enrol(transaction, row, self.enrolment, vector, self.now)
        version = transaction.changed(row.gallery_no, int(created), 1)
        enrolled = Enrolled(subject_id, added.template_id, created, version, row.gallery_no)
        record = Recorded(
            "gallery.enrol",
            row.info.gallery_id,
            version,
            (subject_id,),
            row.info.model,
            {"templates": 1, "subjects": int(created)},
            {"template_id": str(added.template_id)},
        )
        return Done(enrolled, (Effect(row, version, added=(added,)),), (record,))


@dataclass(frozen=True, slots=True, eq=False)
class EnrolMany:
    """Add templates to subjects of one gallery, in one step of its version; a refused one leaves the others."""

    gallery: GalleryRef
    enrolments: Sequence[Enrolment]
    now: datetime

    def run(self, transaction: GalleryTransaction) -> Done[tuple[Enrolled | FrError, ...]]:
        """Return what became of each; raises UnknownGallery, GalleryExpired, which are of all."""
        row = open_gallery(transaction, self.gallery, self.now)
        outcomes: list[Enrolled | FrError] = []
        added: list[AddedVector] = []
        new_subjects = 0
        for enrolment in self.enrolments:
            try:
                require_sound(enrolment)
                vector = _checked(transaction, row, enrolment)
            except (InputRefused, StorageLow) as refusal:  # any other error is the store's, or a defect: it is of all
                outcomes.append(refusal)
                continue
            # Outside, for nothing of it is written where it is refused; an error from here on is of all.
            vector_added, created, subject_id = _enrol(transaction, row, enrolment, vector, self.now)
            added.append(vector_added)
            new_subjects += created
            version = row.info.version + 1
            outcomes.append(Enrolled(subject_id, vector_added.template_id, created, version, row.gallery_no))
        if not added:
            return Done(tuple(outcomes))
        version = transaction.changed(row.gallery_no, new_subjects, len(added))
        return Done(
            tuple(outcomes), (Effect(row, version, added=added),), tuple(_records_of_many(row, version, outcomes))
        )


def _records_of_many(row: GalleryRow, version: int, outcomes: Sequence[Enrolled | FrError]) -> Iterator[Recorded]:
    """Yield the records of many enrolments, as many as have room for their subjects."""
    kept = [outcome for outcome in outcomes if isinstance(outcome, Enrolled)]
    refused = len(outcomes) - len(kept)
    for begin in range(0, len(kept), MAX_SUBJECTS):
        part = kept[begin : begin + MAX_SUBJECTS]
        subject_ids = tuple(dict.fromkeys(enrolled.subject_id for enrolled in part))
        counts = {"kept": len(part), "refused": refused if begin == 0 else 0}
        yield Recorded("gallery.enrol_many", row.info.gallery_id, version, subject_ids, row.info.model, counts)


def _room_for(metadata: Mapping[str, str]) -> int:
    return _ROWS_BYTES + _METADATA_COPIES * sum(
        len(key.encode()) + len(value.encode()) for key, value in metadata.items()
    )


def _checked(transaction: GalleryTransaction, row: GalleryRow, enrolment: Enrolment) -> F32:
    """Return the vector of an enrolment that `_enrol` may write; raises what it is refused for."""
    template = enrolment.template
    vector = checks.unit_vector(template.embedding, row.info.model, row.info.embedding_size)
    if template.image_sha256 is not None:
        earlier = transaction.template_of_image(row.gallery_no, template.image_sha256)
        if earlier is not None:
            raise DuplicateImage(message("error.gallery.gallery_holds_template_photo"), template_id=str(earlier))
    photo_bytes = len(_kept_photo(row, template) or b"")
    transaction.require_room(_room_for(enrolment.metadata) + vector.nbytes + photo_bytes)
    return vector


def _enrol(
    transaction: GalleryTransaction, row: GalleryRow, enrolment: Enrolment, vector: F32, now: datetime
) -> tuple[AddedVector, bool, str]:
    """Write an enrolment; the caller updates the counts.

    Returns its vector, whether its subject is new, and the subject's id as stored.
    """
    subject_id = composed(enrolment.subject_id)
    subject_no = transaction.subject_no(row.gallery_no, enrolment.subject_id)
    created = subject_no is None
    if subject_no is None:
        subject = Subject(subject_id, enrolment.display_name, enrolment.metadata, now, ())
        subject_no = transaction.insert_subject(row.gallery_no, subject)
    else:
        if not subject_id.isascii():
            subject_id = _kept_id(transaction, subject_no)
        update = SubjectUpdate(enrolment.display_name or KEEP, enrolment.metadata or KEEP)
        transaction.update_subject(subject_no, update)
    template, photo = enrolment.template, _kept_photo(row, enrolment.template)
    stored = replace(template, embedding=Embedding(vector, row.info.model), photo=photo)
    template_id = transaction.insert_template(row.gallery_no, subject_no, stored, now)
    return AddedVector(template_id, subject_no, vector), created, subject_id


def _kept_id(transaction: GalleryTransaction, subject_no: int) -> str:
    return transaction.subject_ids(np.array([subject_no], dtype=np.int64))[subject_no]


def _kept_photo(row: GalleryRow, template: NewTemplate) -> bytes | None:
    return template.photo if row.info.keeps_photos else None


@dataclass(frozen=True, slots=True)
class UpdateSubject:
    """Change a subject, also one of a gallery that has expired."""

    gallery: GalleryRef
    subject_id: str
    update: SubjectUpdate

    def run(self, transaction: GalleryTransaction) -> Done[UpdatedSubject]:
        """Raises `UnknownGallery`, `UnknownSubject`, `StorageLow`."""
        row = known_gallery(transaction, self.gallery)
        subject_no = known_subject_no(transaction, row.gallery_no, self.subject_id)
        transaction.require_room(_room_for(updated(self.update.metadata, NO_METADATA)))
        transaction.update_subject(subject_no, self.update)
        version = transaction.changed(row.gallery_no, 0, 0)
        subject = transaction.subject(row.gallery_no, self.subject_id)
        assert subject is not None
        record = Recorded(
            "gallery.update_subject",
            row.info.gallery_id,
            version,
            (subject.subject_id,),
            detail=_fields_of(self.update),
        )
        return Done(UpdatedSubject(subject, version, row.gallery_no), (Effect(row, version),), (record,))


@dataclass(frozen=True, slots=True)
class DeleteSubject:
    """Delete a subject with its templates and their photos."""

    gallery: GalleryRef
    subject_id: str

    def run(self, transaction: GalleryTransaction) -> Done[Deleted]:
        """Raises `UnknownGallery`, `UnknownSubject`."""
        row = known_gallery(transaction, self.gallery)
        subject_no = known_subject_no(transaction, row.gallery_no, self.subject_id)
        subject_id = _kept_id(transaction, subject_no)
        removed = transaction.delete_subject(subject_no)
        version = transaction.changed(row.gallery_no, -1, -len(removed))
        counts = {"templates": len(removed)}
        record = Recorded("gallery.delete_subject", row.info.gallery_id, version, (subject_id,), counts=counts)
        deleted = Deleted(1, len(removed), version, row.gallery_no)
        return Done(deleted, (Effect(row, version, removed=removed),), (record,))


@dataclass(frozen=True, slots=True)
class EraseSubject:
    """Delete a subject with all that is kept of it, and keep a receipt that does not say whose."""

    gallery: GalleryRef
    subject_id: str
    now: datetime

    def run(self, transaction: GalleryTransaction) -> Done[Erased]:
        """Raises `UnknownGallery`, `UnknownSubject`."""
        row = known_gallery(transaction, self.gallery)
        subject_no = known_subject_no(transaction, row.gallery_no, self.subject_id)
        subject_id = _kept_id(transaction, subject_no)
        photos = transaction.photo_count(subject_no)
        removed = transaction.delete_subject(subject_no)
        version = transaction.changed(row.gallery_no, -1, -len(removed))
        erased = transaction.insert_erasure(row.gallery_no, len(removed), photos, self.now, version)
        counts = {"receipts": 1, "templates": erased.templates, "photos": erased.photos}
        # The pseudonym stays, here and in the records of the enrolments: it is keyed, so that it tells nobody who it
        # was, but a search for the records of this very id shows the erasure. The id of the receipt is left out:
        # receipts identify nobody.
        record = Recorded("gallery.erase_subject", row.info.gallery_id, version, (subject_id,), counts=counts)
        return Done(erased, (Effect(row, version, removed=removed),), (record,))


@dataclass(frozen=True, slots=True)
class DeleteTemplate:
    """Delete one template; its subject stays."""

    gallery: GalleryRef
    template_id: int

    def run(self, transaction: GalleryTransaction) -> Done[Deleted]:
        """Raises `UnknownGallery`, `UnknownTemplate`."""
        row = known_gallery(transaction, self.gallery)
        delete_known_template(transaction, row.gallery_no, self.template_id)
        version = transaction.changed(row.gallery_no, 0, -1)
        detail = {"template_id": str(self.template_id)}
        record = Recorded(
            "gallery.delete_template", row.info.gallery_id, version, counts={"templates": 1}, detail=detail
        )
        deleted = Deleted(0, 1, version, row.gallery_no)
        return Done(deleted, (Effect(row, version, removed=(self.template_id,)),), (record,))


@dataclass(frozen=True, slots=True)
class PurgeExpired:
    """Delete templates whose retention has passed, and the subjects that have none left because of it.

    `limit`: of templates that one run deletes; run it again until it deletes none.
    """

    now: datetime
    limit: int

    def run(self, transaction: GalleryTransaction) -> Done[tuple[Purged, ...]]:
        """Return what was deleted, by gallery; raises nothing but the errors of the store."""
        expired = transaction.expired(self.now, self.limit)
        purged: list[Purged] = []
        effects: list[Effect] = []
        records: list[Recorded] = []
        for gallery_id, group in groupby(expired, key=lambda template: template.gallery_id):
            row = known_gallery(transaction, gallery_id)
            templates = list(group)
            subjects = _purge(transaction, row.gallery_no, templates)
            version = transaction.changed(row.gallery_no, -subjects, -len(templates))
            purged.append(Purged(gallery_id, len(templates), subjects))
            removed = tuple(sorted(template.template_id for template in templates))
            effects.append(Effect(row, version, removed=removed))
            counts = {"templates": len(templates), "subjects": subjects}
            records.append(Recorded("gallery.purge", gallery_id, version, counts=counts))
        return Done(tuple(purged), tuple(effects), tuple(records))


@dataclass(frozen=True, slots=True)
class PruneAudit:
    """Delete the oldest records of the audit."""

    after: int  # number of the last record that was deleted earlier
    upto: int  # number of the last record to delete

    def run(self, transaction: GalleryTransaction) -> Done[bool]:
        """Return whether it deleted them, see `AuditTable.prune`."""
        return Done(transaction.audit.prune(self.after, self.upto))


@dataclass(frozen=True, slots=True)
class PruneLog:
    """Delete what every server has applied from the log of changes."""

    upto: int  # number of the last row to delete

    def run(self, transaction: GalleryTransaction) -> Done[None]:
        """Raises nothing but the errors of the store."""
        change_log.prune(transaction, self.upto)
        return Done(None)


def _counts_of(deleted: Deleted) -> dict[str, int]:
    return {"subjects": deleted.subjects, "templates": deleted.templates}


def _fields_of(update: GalleryUpdate | SubjectUpdate) -> dict[str, str]:
    """Return the names of the fields that an update changes; the audit never has their values."""
    changed = [one.name for one in fields(update) if not isinstance(getattr(update, one.name), Keep)]
    return {"fields": ",".join(sorted(changed))}


def _purge(transaction: GalleryTransaction, gallery_no: int, templates: Sequence[ExpiredTemplate]) -> int:
    """Delete templates of a gallery, and return how many subjects went with their last one."""
    for template in templates:
        transaction.delete_template(gallery_no, template.template_id)
    subjects = 0
    for subject_no in sorted({template.subject_no for template in templates}):
        if not len(transaction.template_ids_of(gallery_no, np.array([subject_no], dtype=np.int64))):
            transaction.delete_subject(subject_no)
            subjects += 1
    return subjects
