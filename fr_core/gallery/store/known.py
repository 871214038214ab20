"""Finds galleries, subjects and templates by the ids of callers, or refuses; asks the store only for possible ids."""

from fr_core.errors import GalleryReplaced, UnknownGallery, UnknownSubject, UnknownTemplate, message
from fr_core.gallery.checks import is_gallery_id, is_subject_id, is_template_id
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.transaction import GalleryTransaction
from fr_core.gallery.store.values import GalleryRow
from fr_core.gallery.values import GalleryRef, KeptTemplate, Subject


def known_gallery(snapshot: Snapshot, gallery: GalleryRef) -> GalleryRow:
    """Return a gallery; raises `UnknownGallery`, and `GalleryReplaced` if it is not the one that was checked."""
    gallery_id = gallery if isinstance(gallery, str) else gallery.gallery_id
    row = snapshot.gallery(gallery_id) if is_gallery_id(gallery_id) else None
    if row is None:
        raise UnknownGallery(message("error.gallery.no_gallery_id"))
    if not isinstance(gallery, str) and gallery.gallery_no != row.gallery_no:
        raise GalleryReplaced(message("error.gallery.gallery_deleted_during_call"))
    return row


def known_subject(snapshot: Snapshot, gallery_no: int, subject_id: str) -> Subject:
    """Return a subject of a gallery; raises `UnknownSubject`."""
    subject = snapshot.subject(gallery_no, subject_id) if is_subject_id(subject_id) else None
    if subject is None:
        raise _unknown_subject()
    return subject


def known_subject_no(snapshot: Snapshot, gallery_no: int, subject_id: str) -> int:
    """Return the number of a subject of a gallery; raises `UnknownSubject`."""
    subject_no = snapshot.subject_no(gallery_no, subject_id) if is_subject_id(subject_id) else None
    if subject_no is None:
        raise _unknown_subject()
    return subject_no


def known_template(snapshot: Snapshot, gallery_no: int, template_id: int) -> KeptTemplate:
    """Return a template of a gallery with all that is kept of it; raises `UnknownTemplate`."""
    kept = snapshot.template(gallery_no, template_id) if is_template_id(template_id) else None
    if kept is None:
        raise _unknown_template()
    return kept


def delete_known_template(transaction: GalleryTransaction, gallery_no: int, template_id: int) -> None:
    """Delete a template of a gallery; raises `UnknownTemplate`."""
    if not is_template_id(template_id) or not transaction.delete_template(gallery_no, template_id):
        raise _unknown_template()


def _unknown_subject() -> UnknownSubject:
    return UnknownSubject(message("error.gallery.gallery_holds_no_subject"))


def _unknown_template() -> UnknownTemplate:
    return UnknownTemplate(message("error.gallery.gallery_holds_no_template"))
