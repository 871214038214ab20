"""Reading and changing the tables of a SQLite store: one method for each statement or two."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import apsw

from fr_core.errors import StoreCorrupt, StoreFailed
from fr_core.gallery.packing import pack_vector
from fr_core.gallery.store import GalleryRow
from fr_core.gallery.values import NO_METADATA, GalleryInfo, NewTemplate, Subject, TemplateInfo
from fr_core.types import ModelId

Row = tuple[Any, ...]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_GALLERY = (
    "gallery_no, gallery_id, display_name, model_pack, model_version, model_sha256, embedding_size, created_us, "
    "subject_count, template_count, version"
)
_SUBJECT = "subject_no, subject_id, display_name, metadata, created_us"


@contextmanager
def sqlite_errors() -> Iterator[None]:
    """Turn SQLite's errors into those of a store; neither carries data of a person.

    Raises:
        StoreCorrupt: SQLite found the file damaged, or a row holds what no row can.
        StoreFailed: the disk is full, failing or forbidden, or another program holds the database.
    """
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError) as error:
        raise StoreCorrupt("The database file is damaged.", check=type(error).__name__) from error
    except (
        apsw.FullError,
        apsw.IOError,
        apsw.CantOpenError,
        apsw.PermissionsError,
        apsw.ReadOnlyError,
        apsw.BusyError,
        apsw.LockedError,
        apsw.NoMemError,
        apsw.NoLFSError,
        apsw.ProtocolError,
    ) as error:
        raise StoreFailed("The database could not be read or written.", cause=type(error).__name__) from error


def to_us(moment: datetime) -> int:
    """Microseconds since 1970, UTC; ValueError for a time without a time zone."""
    if moment.tzinfo is None:
        raise ValueError("the time has no time zone")
    return (moment - _EPOCH) // _MICROSECOND


class SqliteSnapshot:
    """A `Snapshot` over a connection with an open transaction."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection

    def gallery(self, gallery_id: str) -> GalleryRow | None:
        """See `Snapshot`."""
        rows = self._rows(f"SELECT {_GALLERY} FROM galleries WHERE gallery_id = ?", gallery_id)
        return _gallery(rows[0]) if rows else None

    def galleries(self, after: str, limit: int) -> tuple[GalleryRow, ...]:
        """See `Snapshot`."""
        sql = f"SELECT {_GALLERY} FROM galleries WHERE gallery_id > ? ORDER BY gallery_id LIMIT ?"
        return tuple(_gallery(row) for row in self._rows(sql, after, limit))

    def subject(self, gallery_no: int, subject_id: str) -> Subject | None:
        """See `Snapshot`."""
        sql = f"SELECT {_SUBJECT} FROM subjects WHERE gallery_no = ? AND subject_id = ?"
        rows = self._rows(sql, gallery_no, subject_id)
        return self._subject(rows[0]) if rows else None

    def subjects(self, gallery_no: int, after: str, limit: int) -> tuple[Subject, ...]:
        """See `Snapshot`."""
        sql = f"SELECT {_SUBJECT} FROM subjects WHERE gallery_no = ? AND subject_id > ? ORDER BY subject_id LIMIT ?"
        return tuple(self._subject(row) for row in self._rows(sql, gallery_no, after, limit))

    def subjects_by_no(self, subject_nos: Sequence[int]) -> Mapping[int, Subject]:
        """See `Snapshot`."""
        sql = f"SELECT {_SUBJECT} FROM subjects WHERE subject_no = ?"
        return {no: self._subject(row) for no in subject_nos for row in self._rows(sql, no)}

    def _subject(self, row: Row) -> Subject:
        subject_no, subject_id, display_name, metadata, created_us = row
        templates = self._rows(
            "SELECT template_id, image_sha256, created_us, quality FROM templates WHERE subject_no = ? "
            "ORDER BY template_id",
            subject_no,
        )
        return Subject(
            subject_id,
            display_name,
            _unpacked_metadata(metadata),
            _from_us(created_us),
            tuple(TemplateInfo(no, sha256, _from_us(us), quality) for no, sha256, us, quality in templates),
        )

    def _rows(self, sql: str, *values: int | float | str | bytes | None) -> list[Row]:
        with sqlite_errors():
            return self.connection.execute(sql, values).fetchall()


class SqliteTransaction(SqliteSnapshot):
    """A `Transaction` over the connection that writes."""

    @contextmanager
    def item(self) -> Iterator[None]:
        """See `Transaction`."""
        self._rows("SAVEPOINT item")
        try:
            yield
        except BaseException as error:
            if not self.connection.in_transaction:  # SQLite undid everything, the other items with this one
                raise StoreFailed("The database undid the transaction.", cause=type(error).__name__) from error
            self._rows("ROLLBACK TO item")
            self._rows("RELEASE item")
            raise
        self._rows("RELEASE item")

    def insert_gallery(self, info: GalleryInfo) -> int:
        """See `Transaction`."""
        return self._number(
            "INSERT INTO galleries (gallery_id, display_name, model_pack, model_version, model_sha256, embedding_size, "
            "created_us, subject_count, template_count, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "RETURNING gallery_no",
            info.gallery_id,
            info.display_name,
            info.model.pack,
            info.model.version,
            info.model.sha256,
            info.embedding_size,
            to_us(info.created),
            info.subject_count,
            info.template_count,
            info.version,
        )

    def delete_gallery(self, gallery_no: int) -> None:
        """See `Transaction`."""
        subjects = "SELECT subject_no FROM subjects WHERE gallery_no = ?"
        self._rows(f"DELETE FROM templates WHERE subject_no IN ({subjects})", gallery_no)
        self._rows("DELETE FROM subjects WHERE gallery_no = ?", gallery_no)
        self._rows("DELETE FROM galleries WHERE gallery_no = ?", gallery_no)

    def changed(self, gallery_no: int, subjects: int, templates: int) -> int:
        """See `Transaction`."""
        return self._number(
            "UPDATE galleries SET subject_count = subject_count + ?, template_count = template_count + ?, "
            "version = version + 1 WHERE gallery_no = ? RETURNING version",
            subjects,
            templates,
            gallery_no,
        )

    def subject_no(self, gallery_no: int, subject_id: str) -> int | None:
        """See `Transaction`."""
        sql = "SELECT subject_no FROM subjects WHERE gallery_no = ? AND subject_id = ?"
        rows = self._rows(sql, gallery_no, subject_id)
        return int(rows[0][0]) if rows else None

    def insert_subject(self, gallery_no: int, subject: Subject) -> int:
        """See `Transaction`."""
        return self._number(
            "INSERT INTO subjects (gallery_no, subject_id, display_name, metadata, created_us) VALUES (?, ?, ?, ?, ?) "
            "RETURNING subject_no",
            gallery_no,
            subject.subject_id,
            subject.display_name,
            _packed_metadata(subject.metadata),
            to_us(subject.created),
        )

    def update_subject(self, subject_no: int, display_name: str, metadata: Mapping[str, str]) -> None:
        """See `Transaction`."""
        if display_name:
            self._rows("UPDATE subjects SET display_name = ? WHERE subject_no = ?", display_name, subject_no)
        if metadata:
            packed = _packed_metadata(metadata)
            self._rows("UPDATE subjects SET metadata = ? WHERE subject_no = ?", packed, subject_no)

    def delete_subject(self, subject_no: int) -> tuple[int, ...]:
        """See `Transaction`."""
        rows = self._rows("DELETE FROM templates WHERE subject_no = ? RETURNING template_id", subject_no)
        self._rows("DELETE FROM subjects WHERE subject_no = ?", subject_no)
        return tuple(sorted(int(row[0]) for row in rows))

    def template_of_image(self, gallery_no: int, image_sha256: str) -> int | None:
        """See `Transaction`."""
        sql = "SELECT template_id FROM templates WHERE gallery_no = ? AND image_sha256 = ?"
        rows = self._rows(sql, gallery_no, image_sha256)
        return int(rows[0][0]) if rows else None

    def insert_template(self, gallery_no: int, subject_no: int, template: NewTemplate, created: datetime) -> int:
        """See `Transaction`."""
        packed = pack_vector(template.embedding.vector)
        return self._number(
            "INSERT INTO templates (gallery_no, subject_no, image_sha256, quality, created_us, vector_crc32, vector) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING template_id",
            gallery_no,
            subject_no,
            template.image_sha256,
            template.quality,
            to_us(created),
            packed.crc32,
            packed.data,
        )

    def delete_template(self, gallery_no: int, template_id: int) -> bool:
        """See `Transaction`."""
        sql = "DELETE FROM templates WHERE template_id = ? AND gallery_no = ? RETURNING template_id"
        return bool(self._rows(sql, template_id, gallery_no))

    def _number(self, sql: str, *values: int | float | str | bytes | None) -> int:
        return int(self._rows(sql, *values)[0][0])


def _gallery(row: Row) -> GalleryRow:
    gallery_no, gallery_id, display_name, pack, version, sha256, size, created_us, subjects, templates, changes = row
    model = ModelId(pack, version, sha256)
    created = _from_us(created_us)
    return GalleryRow(
        gallery_no, GalleryInfo(gallery_id, display_name, model, size, created, subjects, templates, changes)
    )


def _from_us(microseconds: int) -> datetime:
    try:
        return _EPOCH + microseconds * _MICROSECOND
    except OverflowError as error:
        raise StoreCorrupt("A stored time is out of range.", check="time") from error


def _packed_metadata(metadata: Mapping[str, str]) -> str:
    return json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True, separators=(",", ":")) if metadata else ""


def _unpacked_metadata(text: str) -> Mapping[str, str]:
    if not text:
        return NO_METADATA
    try:
        metadata = json.loads(text)
    except ValueError:
        raise StoreCorrupt("Stored metadata cannot be read.", check="metadata") from None
    if not isinstance(metadata, dict):
        raise StoreCorrupt("Stored metadata are no pairs.", check="metadata")
    return MappingProxyType(metadata)
