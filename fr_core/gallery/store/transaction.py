"""Changes the gallery store: one method for each step of a change. Every row is encrypted or authenticated."""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from fr_core.gallery.store.change_log import LogEnd, end_of
from fr_core.gallery.store.rows import (
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
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.gallery.store.template_codec import pack_vector
from fr_core.gallery.store.values import GalleryRow, Recorded
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
from fr_core.id_forms import forms_of
from fr_core.storage.audit.attribution import Attribution
from fr_core.storage.audit.values import Entry, Pseudonyms
from fr_core.storage.dialect import LAST_NUMBERS, in_texts
from fr_core.storage.protocol import Database, Statements
from fr_core.storage.statements import Transaction
from fr_core.storage.vault import DataKey, Value

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
_IMAGE, _SUBJECT_ID = "image", "subject"
_EXPECTED = f"""
SELECT '{_IMAGE}', image_sha256 FROM templates
WHERE gallery_no = ? AND image_sha256 IS NOT NULL AND {in_texts("image_sha256")}
UNION ALL SELECT '{_SUBJECT_ID}', subject_id FROM subjects WHERE gallery_no = ? AND {in_texts("subject_id")}
"""
_RECEIPT_BYTES = 8


class Numbers:
    """The numbers of the rows to come. None is given twice, even if the transaction of its row is undone.

    `last`: of each table, the greatest number that any row of it has ever had.
    """

    def __init__(self, last: Mapping[str, int]) -> None:
        self.last = dict(last)
        self.seq = 0  # of the log, when they were read

    def follow(self, transaction: Statements) -> LogEnd:
        """Take note of the numbers that other servers have given; returns the end of the log of changes."""
        end = end_of(transaction)
        if end.seq != self.seq:
            for table, number in transaction.rows(LAST_NUMBERS):
                self.last[table] = max(number, self.last.get(table, 0))
            self.seq = end.seq
        return end

    def next(self, table: str) -> int:
        """Return the number of the next row of a table."""
        self.last[table] = self.last.get(table, 0) + 1
        return self.last[table]


class GalleryTransaction(Transaction, Snapshot):
    """Changes that become durable together, or not at all. `numbers`: of rows to come.

    `end`: of the log of changes, as the transaction found it; None where no other server can have the store open.
    """

    def __init__(self, database: Database, numbers: Numbers) -> None:
        super().__init__(database)
        self._numbers = numbers
        self.end = numbers.follow(self) if database.is_shared else None
        self._new_keys: dict[int, DataKey] = {}
        # Galleries as the changes have left them, by number, and those that are still to be written: many enrolments of
        # a group change the same counts.
        self._changed: dict[int, GalleryRow] = {}
        self._unwritten: set[int] = set()
        # Galleries that were read and not changed: a change asks for its own several times.
        self._read: dict[int, GalleryRow] = {}
        # Appended together by `finish`: the head of the chain is then read and written once.
        self._entries: list[Entry] = []
        self._pseudonyms: Pseudonyms | None = None
        # Images and ids of subjects that changes of a gallery will ask for, by its id; and those, with the number of
        # the gallery, that it does not hold.
        self._expected: dict[str, tuple[set[str], set[str]]] = {}
        self._absent: set[tuple[int, str, str]] = set()

    def _memory(self) -> Callable[[], None]:
        changed, unwritten, entries = dict(self._changed), set(self._unwritten), len(self._entries)
        read = dict(self._read)
        put_back_rest = super()._memory()

        def put_back() -> None:
            self._changed, self._unwritten, self._read = changed, unwritten, read
            del self._entries[entries:]
            put_back_rest()

        return put_back

    def finish(self) -> None:
        """Write what was kept back; called before the commit."""
        self._keep_numbers(self._numbers.last)
        self._write_galleries()
        if self._entries:
            self.audit.append(self._entries)
            self._entries.clear()

    def record(self, by: Attribution, records: Sequence[Recorded]) -> None:
        """Add audit records of a change, in this transaction."""
        if records:
            if self._pseudonyms is None:
                self._pseudonyms = self.audit.pseudonyms()
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
                for one in records
            ]

    def _write_galleries(self) -> None:
        for gallery_no in sorted(self._unwritten):
            info = self._changed[gallery_no].info
            row = dict(zip(GALLERIES, signed(self.vault, "galleries", *gallery_columns(gallery_no, info)), strict=True))
            self.rows(_UPDATE_GALLERY, *(row[column] for column in _CHANGING), gallery_no)
        self._unwritten.clear()

    def gallery(self, gallery_id: str) -> GalleryRow | None:
        """Return a gallery, or None where there is none."""
        for row in (*self._changed.values(), *self._read.values()):
            if row.info.gallery_id == gallery_id:
                return row
        found = super().gallery(gallery_id)
        if found is not None:
            self._read[found.gallery_no] = found
        return found

    def expect(self, gallery_id: str, images: Iterable[str], subject_ids: Iterable[str]) -> None:
        """Look up together, at the first need, which of these images (SHA-256) and subjects a gallery does not hold."""
        expected_images, expected_ids = self._expected.setdefault(gallery_id, (set(), set()))
        expected_images.update(images)
        expected_ids.update(form for subject_id in subject_ids for form in forms_of(subject_id))

    def _lacks(self, gallery_no: int, kind: str, *values: str) -> bool:
        """Return whether a gallery is known to hold none of these values."""
        expected = self._expected.pop(self._latest(gallery_no).gallery_id, None)
        if expected is not None:
            asked = [json.dumps(sorted(values)) for values in expected]
            found = set(self.rows(_EXPECTED, gallery_no, asked[0], gallery_no, asked[1]))
            for kind_, values_ in zip((_IMAGE, _SUBJECT_ID), expected, strict=True):
                self._absent.update((gallery_no, kind_, value) for value in values_ if (kind_, value) not in found)
        return all((gallery_no, kind, value) in self._absent for value in values)

    def subject_no(self, gallery_no: int, subject_id: str) -> int | None:
        """Return the number of such a subject, or None."""
        if self._lacks(gallery_no, _SUBJECT_ID, *forms_of(subject_id)):
            return None
        return super().subject_no(gallery_no, subject_id)

    def insert_gallery(self, info: GalleryInfo) -> int:
        """Add a gallery and return its number."""
        gallery_no = self._numbers.next("galleries")
        self.rows(_INSERT_GALLERY, *signed(self.vault, "galleries", *gallery_columns(gallery_no, info)))
        return gallery_no

    def update_gallery(self, gallery_no: int, update: GalleryUpdate) -> GalleryInfo:
        """Change a gallery, raise its version by one and return it."""
        info = update.of(self._latest(gallery_no))
        return self._keep_back(gallery_no, replace(info, version=info.version + 1))

    def set_calibration(self, gallery_no: int, text: str | None) -> GalleryInfo:
        """Give a gallery a calibration, or take it away, raise its version by one and return it."""
        self.rows("DELETE FROM calibrations WHERE gallery_no = ?", gallery_no)
        if text is not None:
            self.rows(_INSERT_CALIBRATION, gallery_no, text)
        info = self._latest(gallery_no)
        sha256 = None if text is None else calibration_id(text)
        return self._keep_back(gallery_no, replace(info, calibration_sha256=sha256, version=info.version + 1))

    def delete_gallery(self, gallery_no: int) -> None:
        """Delete a gallery with its subjects and templates."""
        self._changed.pop(gallery_no, None)
        self._read.pop(gallery_no, None)
        self._unwritten.discard(gallery_no)
        templates = "SELECT template_id FROM templates WHERE gallery_no = ?"
        self.rows(f"DELETE FROM photos WHERE template_id IN ({templates})", gallery_no)
        for table in ("templates", "subject_metadata", "subjects", "calibrations", "galleries"):
            self.rows(f"DELETE FROM {table} WHERE gallery_no = ?", gallery_no)

    def changed(self, gallery_no: int, subjects: int, templates: int) -> int:
        """Add to the counts of a gallery (negative for deletions), raise its version by one and return it."""
        info = self._latest(gallery_no)
        changed = replace(
            info,
            subject_count=info.subject_count + subjects,
            template_count=info.template_count + templates,
            version=info.version + 1,
        )
        return self._keep_back(gallery_no, changed).version

    def insert_subject(self, gallery_no: int, subject: Subject) -> int:
        """Add a subject, without templates, and return its number."""
        self._absent.discard((gallery_no, _SUBJECT_ID, subject.subject_id))
        subject_no = self._numbers.next("subjects")
        self._new_keys[subject_no], wrapped = self.vault.new_key(gallery_no, subject_no)
        columns = (
            subject_no,
            gallery_no,
            subject.subject_id,
            subject.display_name,
            packed_metadata(subject.metadata),
            to_us(subject.created),
            wrapped,
        )
        self.rows(_INSERT_SUBJECT, *signed(self.vault, "subjects", *columns))
        self._insert_metadata(gallery_no, subject_no, subject.metadata)
        return subject_no

    def update_subject(self, subject_no: int, update: SubjectUpdate) -> None:
        """Change a subject."""
        if update == SubjectUpdate():
            return
        (row,) = self._subjects("WHERE subject_no = ?", subject_no)
        row = row._replace(display_name=updated(update.display_name, row.display_name))
        if not isinstance(update.metadata, Keep):
            row = row._replace(metadata=packed_metadata(update.metadata))
            self.rows("DELETE FROM subject_metadata WHERE subject_no = ?", subject_no)
            self._insert_metadata(row.gallery_no, subject_no, update.metadata)
        *_, mac = signed(self.vault, "subjects", *row[:-1])
        sql = "UPDATE subjects SET display_name = ?, metadata = ?, mac = ? WHERE subject_no = ?"
        self.rows(sql, row.display_name, row.metadata, mac, subject_no)

    def delete_subject(self, subject_no: int) -> tuple[int, ...]:
        """Delete a subject with its templates, photos and key, and return the ids of the templates, ascending."""
        self.rows(f"DELETE FROM photos WHERE template_id IN ({_TEMPLATES_OF_SUBJECT})", subject_no)
        rows = self.rows("DELETE FROM templates WHERE subject_no = ? RETURNING template_id", subject_no)
        self.rows("DELETE FROM subject_metadata WHERE subject_no = ?", subject_no)
        self.rows("DELETE FROM subjects WHERE subject_no = ?", subject_no)
        return tuple(sorted(int(template_id) for (template_id,) in rows))

    def photo_count(self, subject_no: int) -> int:
        """Return how many photos of a subject are kept."""
        sql = f"SELECT count(*) FROM photos WHERE template_id IN ({_TEMPLATES_OF_SUBJECT})"
        ((count,),) = self.rows(sql, subject_no)
        return int(count)

    def insert_erasure(self, gallery_no: int, templates: int, photos: int, erased: datetime, version: int) -> Erased:
        """Keep a receipt of an erasure and return it; `version` is the gallery's, and is not kept."""
        receipt_id = secrets.token_hex(_RECEIPT_BYTES)
        columns = (receipt_id, gallery_no, templates, photos, to_us(erased))
        self.rows(_INSERT_ERASURE, *signed(self.vault, "erasures", *columns))
        return Erased(receipt_id, templates, photos, erased, version, gallery_no=gallery_no)

    def template_of_image(self, gallery_no: int, image_sha256: str) -> int | None:
        """Return the template of a photo in a gallery, or None where there is none."""
        if self._lacks(gallery_no, _IMAGE, image_sha256):
            return None
        found = tuple(self._templates("WHERE gallery_no = ? AND image_sha256 = ?", gallery_no, image_sha256))
        return found[0].row.template_id if found else None

    def insert_template(self, gallery_no: int, subject_no: int, template: NewTemplate, created: datetime) -> int:
        """Add a template, with its photo where it has one, and return its id, above every id given before."""
        template_id = self._numbers.next("templates")
        if template.image_sha256 is not None:
            self._absent.discard((gallery_no, _IMAGE, template.image_sha256))
        key = self._new_keys.get(subject_no) or self._key_of(subject_no)
        # SQLite keeps no sign of zero, so that -0.0 would come back as another number than was bound.
        quality = None if template.quality is None else template.quality + 0.0
        has_photo = int(template.photo is not None)
        facts = (template_id, subject_no, template.image_sha256, quality, to_us(created), has_photo)
        assert len(facts) == TEMPLATE_FACTS
        vector = pack_vector(template.embedding.vector)
        self.rows(
            _INSERT_TEMPLATE, *facts, gallery_no, key.seal(vector, self._binding("template", gallery_no).of(*facts))
        )
        if template.photo is not None:
            sealed = key.seal(template.photo, self._binding("photo", gallery_no).of(*facts))
            self.rows("INSERT INTO photos (template_id, sealed) VALUES (?, ?)", template_id, sealed)
        return template_id

    def delete_template(self, gallery_no: int, template_id: int) -> bool:
        """Delete a template of a gallery with its photo, and return whether there was one."""
        found = tuple(self._templates("WHERE template_id = ? AND gallery_no = ?", template_id, gallery_no))
        for table in ("photos", "templates") if found else ():
            self.rows(f"DELETE FROM {table} WHERE template_id = ?", template_id)
        return bool(found)

    def _galleries(self, clause: str, *values: Value) -> list[GalleryRow]:
        self._write_galleries()
        return super()._galleries(clause, *values)

    def _gallery_of_no(self, gallery_no: int) -> GalleryRow:
        known = self._changed.get(gallery_no) or self._read.get(gallery_no)
        return known or super()._gallery_of_no(gallery_no)

    def _latest(self, gallery_no: int) -> GalleryInfo:
        return self._gallery_of_no(gallery_no).info

    def _keep_back(self, gallery_no: int, info: GalleryInfo) -> GalleryInfo:
        self._read.pop(gallery_no, None)
        self._changed[gallery_no] = GalleryRow(gallery_no, info)
        self._unwritten.add(gallery_no)
        return info

    def _insert_metadata(self, gallery_no: int, subject_no: int, metadata: Mapping[str, str]) -> None:
        for key, value in metadata.items():
            row: tuple[Value, ...] = (gallery_no, key, value, subject_no)
            self.rows(_INSERT_METADATA, *signed(self.vault, "subject_metadata", *row))

    def _key_of(self, subject_no: int) -> DataKey:
        rows = self._subjects("WHERE subject_no = ?", subject_no)
        if not rows:
            raise contradiction("template_subject")
        return self.vault.key(rows[0].gallery_no, subject_no, rows[0].wrapped_key)


_TEMPLATES_OF_SUBJECT = "SELECT template_id FROM templates WHERE subject_no = ?"
