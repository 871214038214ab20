"""Checks all of a gallery store: that every row is as it was written, and that no two contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter, itemgetter

import numpy as np

from fr_core.errors import StoreCorrupt, message
from fr_core.gallery.store.rows import (
    CALIBRATIONS,
    CHANGES,
    ERASURES,
    GALLERIES,
    METADATA,
    SUBJECTS,
    TEMPLATE_FACTS,
    TEMPLATES,
    PairRow,
    SubjectRow,
    altered_calibration,
    checked,
    contradiction,
    facts_of,
    gallery_of,
    names,
    unpacked_metadata,
)
from fr_core.gallery.store.template_codec import Binding, unpack_vectors
from fr_core.gallery.store.values import GalleryRow, StoredVectors
from fr_core.gallery.values import calibration_id
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.verify import require_unbroken
from fr_core.storage.connection import require_whole_file
from fr_core.storage.protocol import Connection, Row
from fr_core.storage.vault import Vault

# Vectors that are held in memory at a time.
_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class Verified:
    """The extent of a full check of a store; `audit_records` are those of the audit."""

    galleries: int
    subjects: int
    templates: int
    photos: int
    audit_records: int


# Each finds a contradiction between the counts of a gallery and what it holds, or between tables.
_CONTRADICTIONS = {
    "subject_count": "SELECT 1 FROM galleries g WHERE subject_count <> "
    "(SELECT count(*) FROM subjects s WHERE s.gallery_no = g.gallery_no) LIMIT 1",
    "template_count": "SELECT 1 FROM galleries g WHERE template_count <> (SELECT count(*) FROM subjects s "
    "JOIN templates t ON t.subject_no = s.subject_no WHERE s.gallery_no = g.gallery_no) LIMIT 1",
    "template_subject": "SELECT 1 FROM templates t LEFT JOIN subjects s ON s.subject_no = t.subject_no "
    "WHERE s.gallery_no IS NULL OR s.gallery_no <> t.gallery_no LIMIT 1",
    "subject_gallery": "SELECT 1 FROM subjects s LEFT JOIN galleries g ON g.gallery_no = s.gallery_no "
    "WHERE g.gallery_no IS NULL LIMIT 1",
    "photo": "SELECT 1 FROM photos p LEFT JOIN templates t ON t.template_id = p.template_id "
    "WHERE t.has_photo IS DISTINCT FROM 1 LIMIT 1",
}

VECTORS = (
    f"SELECT {names(TEMPLATES, 't')}, s.gallery_no, s.wrapped_key FROM templates t "
    "LEFT JOIN subjects s ON s.subject_no = t.subject_no"
)
_VECTORS_OF = f"{VECTORS} WHERE t.gallery_no = ? AND t.template_id >= ? ORDER BY t.template_id"
_PHOTOS = (
    f"SELECT {names(TEMPLATES[:-1], 't')}, p.sealed, s.gallery_no, s.wrapped_key FROM photos p "
    "JOIN templates t ON t.template_id = p.template_id JOIN subjects s ON s.subject_no = t.subject_no"
)


# Places in a row of VECTORS or _PHOTOS. Of a million rows, objects with names would take as long as their decryption.
_TEMPLATE_ID, _SUBJECT_NO, _HAS_PHOTO, _GALLERY_NO, _SEALED, _OF_GALLERY, _WRAPPED_KEY = 0, 1, 5, 6, 7, 8, 9
assert TEMPLATES[_GALLERY_NO : _SEALED + 1] == ("gallery_no", "sealed")

_NO_PAIRS: tuple[None, Iterator[PairRow]] = (None, iter(()))


def require_consistent(connection: Connection, vault: Vault) -> None:
    """Authenticate every row but templates and photos, and look for contradictions between the tables.

    Raises `StoreCorrupt`: there is one, or a row was altered.
    """
    for table, columns in (("galleries", GALLERIES), ("erasures", ERASURES), ("changes", CHANGES)):
        for row in connection.execute(f"SELECT {names(columns)} FROM {table}"):
            checked(vault, table, row)
    _require_calibrations(connection)
    _require_subjects(connection, vault)
    require_no_contradictions(connection)


def require_no_contradictions(connection: Connection) -> None:
    """Raise `StoreCorrupt` where counts and tables do not agree."""
    for check, sql in _CONTRADICTIONS.items():
        if list(connection.execute(sql)):
            raise contradiction(check)


def _require_calibrations(connection: Connection) -> None:
    galleries = connection.execute("SELECT gallery_no, calibration_sha256 FROM galleries")
    rows = connection.execute(f"SELECT {names(CALIBRATIONS)} FROM calibrations")
    named = {gallery_no: sha256 for gallery_no, sha256 in galleries if sha256 is not None}
    if {gallery_no: calibration_id(text) for gallery_no, text in rows} != named:
        raise altered_calibration()


def _require_subjects(connection: Connection, vault: Vault) -> None:
    sql = f"SELECT {names(METADATA)} FROM subject_metadata ORDER BY subject_no, gallery_no, key"
    all_pairs = map(PairRow._make, connection.execute(sql))
    groups = groupby(all_pairs, key=attrgetter("subject_no"))
    whose, pairs = next(groups, _NO_PAIRS)
    for row in connection.execute(f"SELECT {names(SUBJECTS)} FROM subjects ORDER BY subject_no"):
        subject = checked(vault, "subjects", SubjectRow._make(row))
        found: list[Row] = []
        if whose == subject.subject_no:
            own = (checked(vault, "subject_metadata", pair) for pair in pairs)
            found = [(pair.gallery_no, pair.key, pair.value) for pair in own]
            whose, pairs = next(groups, _NO_PAIRS)
        if not subject.metadata and not found:
            continue
        if found != [(subject.gallery_no, *pair) for pair in sorted(unpacked_metadata(subject.metadata).items())]:
            raise contradiction("metadata")
    if whose is not None:
        raise contradiction("metadata")


def read_vectors(connection: Connection, vault: Vault, rows: int) -> Iterator[StoredVectors]:
    """Yield every vector, opened; see `Store.vectors`.

    Raises `StoreCorrupt`: one of them cannot be opened, or a photo is missing.
    """
    galleries = _galleries(connection)
    with_photo = 0
    cursor = iter(connection.execute(f"{VECTORS} ORDER BY t.template_id"))
    while block := list(islice(cursor, rows)):
        block.sort(key=itemgetter(_GALLERY_NO, _TEMPLATE_ID))
        for gallery_no, group in groupby(block, key=itemgetter(_GALLERY_NO)):
            if gallery_no not in galleries:
                raise contradiction("template_subject")
            yield opened_vectors(vault, galleries[gallery_no], list(group))
        with_photo += sum(row[_HAS_PHOTO] for row in block)
    if _count(connection, "photos") != with_photo:
        raise StoreCorrupt(message("error.gallery.photo_store_should_hold"), check="photo")


def vectors_of(
    connection: Connection, vault: Vault, gallery: GalleryRow, first_template: int, rows: int
) -> Iterator[StoredVectors]:
    """Yield the vectors of one gallery from a template on, at most `rows` at a time, by ascending ids.

    Raises `StoreCorrupt`: one of them cannot be opened.
    """
    cursor = iter(connection.execute(_VECTORS_OF, (gallery.gallery_no, first_template)))
    while block := list(islice(cursor, rows)):
        yield opened_vectors(vault, gallery, block)


def require_photos(connection: Connection, vault: Vault) -> int:
    """Open every photo and return how many there are; raises `StoreCorrupt` where one cannot be opened."""
    galleries = _galleries(connection)
    photos = 0
    for row in connection.execute(_PHOTOS):
        gallery = galleries[row[_GALLERY_NO]]
        bound_to = Binding("photo", gallery.gallery_no, gallery.info.model).of(*facts_of(row))
        vault.key(row[_OF_GALLERY], row[_SUBJECT_NO], row[_WRAPPED_KEY]).open(row[_SEALED], bound_to, "photo")
        photos += 1
    return photos


def require_sound(connection: Connection, vault: Vault) -> Verified:
    """Check everything in a store: the file, every row, template and photo, and every record of the audit.

    Raises `StoreCorrupt`: something is not as it was written.
    """
    require_whole_file(connection)
    counts = require_sound_rows(connection, vault)
    return Verified(*counts, require_unbroken(AuditTable(connection, vault, lambda: 0)))


def require_sound_rows(connection: Connection, vault: Vault) -> tuple[int, int, int, int]:
    """Check as `require_sound`, without file and audit; returns the galleries, subjects, templates and photos."""
    require_consistent(connection, vault)
    templates = sum(len(stored.template_ids) for stored in read_vectors(connection, vault, _ROWS))
    photos = require_photos(connection, vault)
    return _count(connection, "galleries"), _count(connection, "subjects"), templates, photos


def _count(connection: Connection, table: str) -> int:
    ((count,),) = connection.execute(f"SELECT count(*) FROM {table}")
    return int(count)


def _galleries(connection: Connection) -> dict[int, GalleryRow]:
    rows = map(gallery_of, connection.execute(f"SELECT {names(GALLERIES)} FROM galleries"))
    return {row.gallery_no: row for row in rows}


def opened_vectors(vault: Vault, gallery: GalleryRow, rows: Sequence[Row]) -> StoredVectors:
    """Open the vectors of rows of `VECTORS`, all of one gallery; raises `StoreCorrupt` where one was altered."""
    bound_to = Binding("template", gallery.gallery_no, gallery.info.model).of
    sealed = (
        (row[_OF_GALLERY], row[_SUBJECT_NO], row[_WRAPPED_KEY], row[_SEALED], bound_to(*row[:TEMPLATE_FACTS]))
        for row in rows
    )
    return StoredVectors(
        gallery.gallery_no,
        np.array([row[_TEMPLATE_ID] for row in rows], dtype=np.int64),
        np.array([row[_SUBJECT_NO] for row in rows], dtype=np.int64),
        unpack_vectors(vault.open_each(sealed, "template"), gallery.info.embedding_size),
    )
