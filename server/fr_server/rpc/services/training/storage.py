"""Keeps the galleries of courses and the key of certificates, and deletes cohorts that are due."""

import logging
import os
import secrets
from pathlib import Path

from fr_core.errors import StoreCorrupt, StoreFailed, UnknownGallery, message
from fr_core.gallery.values import GalleryUpdate
from fr_core.storage.durable import cause, sync
from fr_server.rpc.services.training.course_gallery import gallery_of_course
from fr_server.storage.calls import GalleryCalls
from fr_server.telemetry.logs import FIELDS
from fr_training.exports.signing import SigningKey, new_signing_key
from fr_training.store.training_store import TrainingStore

log = logging.getLogger("fr_server.training")

_SIGNING_KEY = "certificates.pem"


def keep_galleries(store: TrainingStore, galleries: GalleryCalls) -> None:
    """Let the gallery of each course stay, where its maker died before it said so; raises `Failure`."""
    before: tuple[int, str] | None = None
    while page := store.courses(before):
        for course in page:
            try:
                if course.gallery_id and (info := gallery_of_course(galleries, course.gallery_id)).expires is not None:
                    galleries.update(info, GalleryUpdate(expires=None))
            except UnknownGallery:
                log.warning("A course has lost its gallery: photos of trainees cannot be searched for in it")
        before = (page[-1].created_ms, page[-1].course_id)


def signing_key(folder: Path) -> SigningKey:
    """Return the key that certificates are signed with: a private file beside the store, made when it is first needed.

    The file has mode 0600 and is not encrypted: the key of the galleries does not protect it, and changing that key
    leaves it as it is. A reader of the file can sign in the name of this server, and learns nothing of what is stored.
    Raises `StoreFailed` if the file cannot be read or made, and `StoreCorrupt` if it holds no key.
    """
    path = folder / _SIGNING_KEY
    try:
        if not path.exists():
            _make_key(path, new_signing_key())
        return SigningKey.load(path.read_bytes())
    except ValueError as error:
        raise StoreCorrupt(message("error.rpc.key_certificates_damaged"), file=_SIGNING_KEY) from error
    except OSError as error:
        raise StoreFailed(message("error.rpc.key_certificates_cannot_read"), errno=cause(error)) from error


def _make_key(path: Path, pem: bytes) -> None:
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(partial)  # unless another process was quicker
        except FileExistsError:
            log.info("Another process has made the key of certificates")
    finally:
        partial.unlink()
    sync(path.parent)


def purge_training(store: TrainingStore, galleries: GalleryCalls) -> None:
    """Delete the cohorts whose time is over, and keep the galleries of courses; raises `Failure`."""
    if deleted := store.purge():
        log.info("Deleted %d cohorts, which were due", deleted, extra={FIELDS: {"cohorts": deleted}})
    keep_galleries(store, galleries)
