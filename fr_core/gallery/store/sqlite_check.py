"""Reading all of a SQLite store: every row proved to be as it was written, and no two in contradiction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter

import apsw
import numpy as np

from fr_core.errors import StoreCorrupt
from fr_core.gallery.store.protocol import GalleryRow, StoredVectors
from fr_core.gallery.store.sqlite_rows import (
    ERASURES,
    GALLERIES,
    METADATA,
    SUBJECTS,
    TEMPLATE_FACTS,
    TEMPLATES,
    Row,
    checked,
    gallery_of,
    names,
    unpacked_metadata,
)
from fr_core.gallery.store.vault import Binding, Vault
from fr_core.gallery.store.vectors import unpack_vectors


@dataclass(frozen=True, slots=True)
class Verified:
    """How much a full check of a store has looked at."""

    galleries: int
    subjects: int
    templates: int
    photos: int


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
    "WHERE t.has_photo IS NOT 1 LIMIT 1",
}

_VECTORS = (
    f"SELECT {names(TEMPLATES, 't')}, s.gallery_no, s.wrapped_key FROM templates t "
    "LEFT JOIN subjects s ON s.subject_no = t.subject_no ORDER BY t.template_id"
)
_GALLERY_NO, _SEALED, _KEY = 6, 7, 9  # places in the rows of _VECTORS
_PHOTOS = (
    f"SELECT {names(TEMPLATES[:_SEALED], 't')}, p.sealed, s.gallery_no, s.wrapped_key FROM photos p "
    "JOIN templates t ON t.template_id = p.template_id JOIN subjects s ON s.subject_no = t.subject_no"
)
_NO_PAIRS: tuple[None, Iterator[Row]] = (None, iter(()))


def require_consistent(connection: apsw.Connection, vault: Vault) -> None:
    """Authenticate every row but templates and photos, and look for contradictions between the tables.

    Raises:
        StoreCorrupt: there is one, or a row was altered.
    """
    for table, columns in (("galleries", GALLERIES), ("erasures", ERASURES)):
        for row in connection.execute(f"SELECT {names(columns)} FROM {table}"):
            checked(vault, table, row)
    _require_subjects(connection, vault)
    require_no_contradictions(connection)


def require_no_contradictions(connection: apsw.Connection) -> None:
    """Raise `StoreCorrupt` where counts and tables do not agree."""
    for check, sql in _CONTRADICTIONS.items():
        if connection.execute(sql).fetchall():
            raise _contradiction(check)


def _require_subjects(connection: apsw.Connection, vault: Vault) -> None:
    """Authenticate the subjects, and compare the metadata of each with the rows that filters search."""
    sql = f"SELECT {names(METADATA)} FROM subject_metadata ORDER BY subject_no, gallery_no, key"
    pairs = groupby(connection.execute(sql), key=itemgetter(3))
    whose, rows = next(pairs, _NO_PAIRS)
    for subject in connection.execute(f"SELECT {names(SUBJECTS)} FROM subjects ORDER BY subject_no"):
        subject_no, gallery_no, _, _, metadata = checked(vault, "subjects", subject)[:5]
        found: list[Row] = []
        if whose == subject_no:
            found = [checked(vault, "subject_metadata", row)[:3] for row in rows]
            whose, rows = next(pairs, _NO_PAIRS)
        if not metadata and not found:
            continue
        if found != [(gallery_no, *pair) for pair in sorted(unpacked_metadata(metadata).items())]:
            raise _contradiction("metadata")
    if whose is not None:
        raise _contradiction("metadata")


def _contradiction(check: str) -> StoreCorrupt:
    return StoreCorrupt("What the store holds contradicts itself.", check=check)


def read_vectors(connection: apsw.Connection, vault: Vault, rows: int) -> Iterator[StoredVectors]:
    """Yield every vector, opened; see `Store.vectors`.

    Raises:
        StoreCorrupt: one of them cannot be opened, or a photo is missing.
    """
    galleries = _galleries(connection)
    with_photo = 0
    cursor = connection.execute(_VECTORS)
    while block := list(islice(cursor, rows)):
        block.sort(key=itemgetter(_GALLERY_NO, 0))
        for gallery_no, group in groupby(block, key=itemgetter(_GALLERY_NO)):
            if gallery_no not in galleries:
                raise _contradiction("template_subject")
            yield _opened(vault, galleries[gallery_no], list(group))
        with_photo += sum(row[5] for row in block)
    if connection.execute("SELECT count(*) FROM photos").get != with_photo:
        raise StoreCorrupt("A photo that the store should hold is not there.", check="photo")


def require_photos(connection: apsw.Connection, vault: Vault) -> int:
    """Open every photo and return how many there are; raises `StoreCorrupt` where one cannot be opened."""
    galleries = _galleries(connection)
    photos = 0
    for row in connection.execute(_PHOTOS):
        gallery = galleries[row[_GALLERY_NO]]
        bound_to = Binding("photo", gallery.gallery_no, gallery.info.model).of(*row[:TEMPLATE_FACTS])
        vault.subject_key(row[8], row[1], row[_KEY]).open(row[_SEALED], bound_to, "photo")
        photos += 1
    return photos


def require_sound(connection: apsw.Connection, vault: Vault, rows: int) -> Verified:
    """Check everything that is stored: the file, every row, every template, every photo.

    Args:
        connection: reads one snapshot.
        vault: the keys.
        rows: vectors that are held in memory at a time.

    Raises:
        StoreCorrupt: something is not as it was written.
    """
    require_whole_file(connection)
    require_consistent(connection, vault)
    templates = sum(len(stored.template_ids) for stored in read_vectors(connection, vault, rows))
    photos = require_photos(connection, vault)
    galleries, subjects = (connection.execute(f"SELECT count(*) FROM {t}").get for t in ("galleries", "subjects"))
    return Verified(galleries, subjects, templates, photos)


def require_whole_file(connection: apsw.Connection) -> None:
    """Raise `StoreCorrupt` unless SQLite finds its file sound, the indexes of its tables included."""
    # The text of its finding is left out: it may quote what is stored.
    if connection.execute("PRAGMA integrity_check(1)").get != "ok":
        raise StoreCorrupt("The database file is damaged.", check="integrity_check")


def _galleries(connection: apsw.Connection) -> dict[int, GalleryRow]:
    rows = connection.execute(f"SELECT {names(GALLERIES)} FROM galleries")
    return {row[0]: gallery_of(row) for row in rows}


def _opened(vault: Vault, gallery: GalleryRow, rows: list[Row]) -> StoredVectors:
    binding = Binding("template", gallery.gallery_no, gallery.info.model)
    bound_to, subject_key = binding.of, vault.subject_key
    vectors: list[bytes] = []
    last, key = None, None
    for row in rows:
        if key is None or row[1] != last:  # templates of one subject often lie together
            last, key = row[1], subject_key(row[8], row[1], row[_KEY])
        vectors.append(key.open(row[_SEALED], bound_to(*row[:TEMPLATE_FACTS]), "template"))
    return StoredVectors(
        gallery.gallery_no,
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        unpack_vectors(vectors, gallery.info.embedding_size),
    )
