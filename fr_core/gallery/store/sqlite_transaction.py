"""Changing a SQLite store: one method for each step of a change; what it writes is encrypted or authenticated."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

import apsw

from fr_core.errors import StorageLow, StoreFailed
from fr_core.gallery.store.protocol import GalleryRow, Told
from fr_core.gallery.store.sqlite_rows import (
    CALIBRATIONS,
    ERASURES,
    GALLERIES,
    METADATA,
    SUBJECTS,
    TEMPLATE_FACTS,
    TEMPLATES,
    contradiction,
    gallery_columns,
    insertion,
    packed_metadata,
    signed,
    to_us,
)
from fr_core.gallery.store.sqlite_snapshot import SqliteSnapshot
from fr_core.gallery.store.vectors import pack_vector
from fr_core.gallery.values import (
    Erased,
    GalleryInfo,
    GalleryUpdate,
    Keep,
    NewTemplate,
    Subject,
    SubjectUpdate,
    calibration_id,
    updated,
)
from fr_core.storage.audit.attribution import Attribution
from fr_core.storage.audit.pseudonyms import Pseudonyms
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.values import Entry
from fr_core.storage.sqlite_errors import sqlite_errors
from fr_core.storage.vault import SubjectKey, Value, Vault

_INSERT_GALLERY = insertion("galleries", GALLERIES)
_INSERT_CALIBRATION = insertion("calibrations", CALIBRATIONS)
_INSERT_SUBJECT = insertion("subjects", SUBJECTS)
_INSERT_METADATA = insertion("subject_metadata", METADATA)
_INSERT_TEMPLATE = insertion("templates", TEMPLATES)
_INSERT_ERASURE = insertion("erasures", ERASURES)
# What can change of a gallery.
_CHANGING = (
    "display_name",
    "subject_count",
    "template_count",
    "version",
    "expires_us",
    "retention_us",
    "calibration_sha256",
    "mac",
)
_UPDATE_GALLERY = f"UPDATE galleries SET {' = ?, '.join(_CHANGING)} = ? WHERE gallery_no = ?"
_RECEIPT_BYTES = 8


class Numbers:
    """The numbers of the rows to come. None is given twice, whether or not the first row of it is kept.

    Args:
        last: of each table, the greatest number that any row of it has ever had.
    """

    def __init__(self, last: Mapping[str, int]) -> None:
        self._last = dict(last)

    def next(self, table: str) -> int:
        """Return the number of the next row of a table."""
        self._last[table] = self._last.get(table, 0) + 1
        return self._last[table]


class SqliteTransaction(SqliteSnapshot):
    """A `Transaction` over the connection that writes.

    Args:
        connection: the connection.
        vault: the keys of the store.
        numbers: of rows to come.
        spare: tells how many bytes the disk has beyond the reserve; asked once at most.
        audit: takes records, over the same connection.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        vault: Vault,
        numbers: Numbers,
        spare: Callable[[], int],
        audit: AuditTable,
    ) -> None:
        super().__init__(connection, vault)
        self._numbers = numbers
        self._ask_spare = spare
        self._spare: int | None = None
        self._new_keys: dict[int, SubjectKey] = {}
        # Galleries as the changes have left them, by number, and which of them are still to be written: many enrolments
        # of a group change the same counts.
        self._changed: dict[int, GalleryRow] = {}
        self._unwritten: set[int] = set()
        self._audit = audit
        # Appended together by `finish`: the head of the chain is then read and written once.
        self._entries: list[Entry] = []
        self._pseudonyms: Pseudonyms | None = None

    @contextmanager
    def item(self) -> Iterator[None]:
        """See `Transaction`."""
        self._rows("SAVEPOINT item")
        before, entries = (dict(self._changed), set(self._unwritten)), len(self._entries)
        try:
            yield
        except BaseException as error:
            self._changed, self._unwritten = before
            del self._entries[entries:]
            if not self.connection.in_transaction:  # SQLite undid everything, the other items with this one
                raise StoreFailed("The database undid the transaction.", cause=type(error).__name__) from error
            self._rows("ROLLBACK TO item")
            self._rows("RELEASE item")
            raise
        self._rows("RELEASE item")

    def require_room(self, grows_by: int) -> None:
        """See `Transaction`."""
        if self._spare is None:
            self._spare = self._ask_spare()
        if self._spare < grows_by:
            raise StorageLow("The disk of the data folder is nearly full.")
        self._spare -= grows_by

    def finish(self) -> None:
        """Write what was kept back; called before the commit."""
        self._write_galleries()
        if self._entries:
            self._audit.append(self._entries)
            self._entries.clear()

    def record(self, by: Attribution, told: Sequence[Told]) -> None:
        """See `Transaction`."""
        if told:
            if self._pseudonyms is None:
                self._pseudonyms = self._audit.pseudonyms()
            self._entries += [
                by.entry(
                    self._pseudonyms,
                    one.action,
                    gallery_id=one.gallery_id,
                    subject_ids=one.subject_ids,
                    model=one.model,
                    gallery_version=one.gallery_version,
                    counts=one.counts,
                    detail=one.detail,
                )
                for one in told
            ]

    def prune_audit(self, after: int, upto: int) -> bool:
        """See `Transaction`."""
        with sqlite_errors():
            return self._audit.prune(after, upto)

    def _write_galleries(self) -> None:
        for gallery_no in sorted(self._unwritten):
            info = self._changed[gallery_no].info
            row = dict(zip(GALLERIES, signed(self.vault, "galleries", *gallery_columns(gallery_no, info)), strict=True))
            self._rows(_UPDATE_GALLERY, *(row[column] for column in _CHANGING), gallery_no)
        self._unwritten.clear()

    def gallery(self, gallery_id: str) -> GalleryRow | None:
        """See `Snapshot`."""
        for row in self._changed.values():
            if row.info.gallery_id == gallery_id:
                return row
        return super().gallery(gallery_id)

    def insert_gallery(self, info: GalleryInfo) -> int:
        """See `Transaction`."""
        gallery_no = self._numbers.next("galleries")
        self._rows(_INSERT_GALLERY, *signed(self.vault, "galleries", *gallery_columns(gallery_no, info)))
        return gallery_no

    def update_gallery(self, gallery_no: int, update: GalleryUpdate) -> GalleryInfo:
        """See `Transaction`."""
        info = update.of(self._latest(gallery_no))
        return self._keep_back(gallery_no, replace(info, version=info.version + 1))

    def set_calibration(self, gallery_no: int, text: str | None) -> GalleryInfo:
        """See `Transaction`."""
        self._rows("DELETE FROM calibrations WHERE gallery_no = ?", gallery_no)
        if text is not None:
            self._rows(_INSERT_CALIBRATION, gallery_no, text)
        info = self._latest(gallery_no)
        sha256 = None if text is None else calibration_id(text)
        return self._keep_back(gallery_no, replace(info, calibration_sha256=sha256, version=info.version + 1))

    def delete_gallery(self, gallery_no: int) -> None:
        """See `Transaction`."""
        self._changed.pop(gallery_no, None)
        self._unwritten.discard(gallery_no)
        templates = "SELECT template_id FROM templates WHERE gallery_no = ?"
        self._rows(f"DELETE FROM photos WHERE template_id IN ({templates})", gallery_no)
        for table in ("templates", "subject_metadata", "subjects", "calibrations", "galleries"):
            self._rows(f"DELETE FROM {table} WHERE gallery_no = ?", gallery_no)

    def changed(self, gallery_no: int, subjects: int, templates: int) -> int:
        """See `Transaction`."""
        info = self._latest(gallery_no)
        changed = replace(
            info,
            subject_count=info.subject_count + subjects,
            template_count=info.template_count + templates,
            version=info.version + 1,
        )
        return self._keep_back(gallery_no, changed).version

    def insert_subject(self, gallery_no: int, subject: Subject) -> int:
        """See `Transaction`."""
        subject_no = self._numbers.next("subjects")
        self._new_keys[subject_no], wrapped = self.vault.new_subject_key(gallery_no, subject_no)
        columns = (
            subject_no,
            gallery_no,
            subject.subject_id,
            subject.display_name,
            packed_metadata(subject.metadata),
            to_us(subject.created),
            wrapped,
        )
        self._rows(_INSERT_SUBJECT, *signed(self.vault, "subjects", *columns))
        self._insert_metadata(gallery_no, subject_no, subject.metadata)
        return subject_no

    def update_subject(self, subject_no: int, update: SubjectUpdate) -> None:
        """See `Transaction`."""
        if update == SubjectUpdate():
            return
        (row,) = self._subjects("WHERE subject_no = ?", subject_no)
        row = row._replace(display_name=updated(update.display_name, row.display_name))
        if not isinstance(update.metadata, Keep):
            row = row._replace(metadata=packed_metadata(update.metadata))
            self._rows("DELETE FROM subject_metadata WHERE subject_no = ?", subject_no)
            self._insert_metadata(row.gallery_no, subject_no, update.metadata)
        *_, mac = signed(self.vault, "subjects", *row[:-1])
        sql = "UPDATE subjects SET display_name = ?, metadata = ?, mac = ? WHERE subject_no = ?"
        self._rows(sql, row.display_name, row.metadata, mac, subject_no)

    def delete_subject(self, subject_no: int) -> tuple[int, ...]:
        """See `Transaction`."""
        self._rows(f"DELETE FROM photos WHERE template_id IN ({_TEMPLATES_OF_SUBJECT})", subject_no)
        rows = self._rows("DELETE FROM templates WHERE subject_no = ? RETURNING template_id", subject_no)
        self._rows("DELETE FROM subject_metadata WHERE subject_no = ?", subject_no)
        self._rows("DELETE FROM subjects WHERE subject_no = ?", subject_no)
        return tuple(sorted(int(template_id) for (template_id,) in rows))

    def photo_count(self, subject_no: int) -> int:
        """See `Transaction`."""
        sql = f"SELECT count(*) FROM photos WHERE template_id IN ({_TEMPLATES_OF_SUBJECT})"
        ((count,),) = self._rows(sql, subject_no)
        return int(count)

    def insert_erasure(self, gallery_no: int, templates: int, photos: int, erased: datetime, version: int) -> Erased:
        """See `Transaction`."""
        receipt_id = secrets.token_hex(_RECEIPT_BYTES)
        columns = (receipt_id, gallery_no, templates, photos, to_us(erased))
        self._rows(_INSERT_ERASURE, *signed(self.vault, "erasures", *columns))
        return Erased(receipt_id, templates, photos, erased, version)

    def template_of_image(self, gallery_no: int, image_sha256: str) -> int | None:
        """See `Transaction`."""
        found = tuple(self._templates("WHERE gallery_no = ? AND image_sha256 = ?", gallery_no, image_sha256))
        return found[0].row.template_id if found else None

    def insert_template(self, gallery_no: int, subject_no: int, template: NewTemplate, created: datetime) -> int:
        """See `Transaction`."""
        template_id = self._numbers.next("templates")
        key = self._new_keys.get(subject_no) or self._key_of(subject_no)
        # SQLite keeps no sign of zero, so that -0.0 would come back as another number than was bound.
        quality = None if template.quality is None else template.quality + 0.0
        has_photo = int(template.photo is not None)
        facts = (template_id, subject_no, template.image_sha256, quality, to_us(created), has_photo)
        assert len(facts) == TEMPLATE_FACTS
        vector = pack_vector(template.embedding.vector)
        self._rows(
            _INSERT_TEMPLATE, *facts, gallery_no, key.seal(vector, self._binding("template", gallery_no).of(*facts))
        )
        if template.photo is not None:
            sealed = key.seal(template.photo, self._binding("photo", gallery_no).of(*facts))
            self._rows("INSERT INTO photos (template_id, sealed) VALUES (?, ?)", template_id, sealed)
        return template_id

    def delete_template(self, gallery_no: int, template_id: int) -> bool:
        """See `Transaction`."""
        found = tuple(self._templates("WHERE template_id = ? AND gallery_no = ?", template_id, gallery_no))
        for table in ("photos", "templates") if found else ():
            self._rows(f"DELETE FROM {table} WHERE template_id = ?", template_id)
        return bool(found)

    def _galleries(self, clause: str, *values: Value) -> list[GalleryRow]:
        self._write_galleries()
        return super()._galleries(clause, *values)

    def _latest(self, gallery_no: int) -> GalleryInfo:
        """Return a gallery as the changes have left it."""
        return (self._changed.get(gallery_no) or self._gallery_of_no(gallery_no)).info

    def _keep_back(self, gallery_no: int, info: GalleryInfo) -> GalleryInfo:
        """Have a gallery written by `finish`, and return it."""
        self._changed[gallery_no] = GalleryRow(gallery_no, info)
        self._unwritten.add(gallery_no)
        return info

    def _insert_metadata(self, gallery_no: int, subject_no: int, metadata: Mapping[str, str]) -> None:
        for key, value in metadata.items():
            row: tuple[Value, ...] = (gallery_no, key, value, subject_no)
            self._rows(_INSERT_METADATA, *signed(self.vault, "subject_metadata", *row))

    def _key_of(self, subject_no: int) -> SubjectKey:
        rows = self._subjects("WHERE subject_no = ?", subject_no)
        if not rows:
            raise contradiction("template_subject")
        return self.vault.subject_key(rows[0].gallery_no, subject_no, rows[0].wrapped_key)


_TEMPLATES_OF_SUBJECT = "SELECT template_id FROM templates WHERE subject_no = ?"
