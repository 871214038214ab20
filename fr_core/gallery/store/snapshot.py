"""Reads the gallery store: one method for each question. An altered row is never returned."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from fr_core.errors import StoreCorrupt, message
from fr_core.gallery.store.integrity import VECTORS, opened_vectors
from fr_core.gallery.store.rows import (
    GALLERIES,
    METADATA,
    SUBJECTS,
    TEMPLATES,
    PairRow,
    SubjectRow,
    TemplateRow,
    altered_calibration,
    checked,
    contradiction,
    facts_of,
    from_us,
    gallery_of,
    names,
    require_calibration,
    to_duration_us,
    to_us,
    unpacked_metadata,
)
from fr_core.gallery.store.template_codec import Binding, unpack_vectors
from fr_core.gallery.store.values import ExpiredTemplate, GalleryRow, StoredVectors
from fr_core.gallery.values import KeptTemplate, Subject, SubjectName, TemplateInfo
from fr_core.id_forms import forms_of
from fr_core.storage.dialect import array_of, in_array, in_texts, object_of
from fr_core.storage.protocol import DriverConnection
from fr_core.storage.statements import Reading
from fr_core.storage.vault import DataKey, Value, Vault
from fr_core.types import I64, Embedding

_GALLERY = f"SELECT {names(GALLERIES)} FROM galleries"
_SUBJECT = f"SELECT {names(SUBJECTS)} FROM subjects"
_METADATA = f"SELECT {names(METADATA)} FROM subject_metadata"
_TEMPLATE = f"SELECT {names(TEMPLATES)} FROM templates"


class Snapshot(Reading):
    """The gallery store as it was at one moment; later commits do not show.

    Every method raises the errors of the database's driver, which `Database.reading_as` turns into those of the store,
    and `StoreCorrupt` where a row was altered.
    """

    def __init__(self, connection: DriverConnection, vault: Vault) -> None:
        super().__init__(connection, vault)
        self._bindings: dict[tuple[str, int], Binding] = {}

    def gallery(self, gallery_id: str) -> GalleryRow | None:
        """Return a gallery, or None where there is none."""
        rows = self._galleries("WHERE gallery_id = ?", gallery_id)
        return rows[0] if rows else None

    def gallery_of_no(self, gallery_no: int) -> GalleryRow:
        """Return the gallery of a number that is there."""
        return self._gallery_of_no(gallery_no)

    def galleries(self, after: str, limit: int) -> tuple[GalleryRow, ...]:
        """Return up to `limit` galleries with ids beyond `after`, in the order of their ids."""
        return tuple(self._galleries("WHERE gallery_id > ? ORDER BY gallery_id LIMIT ?", after, limit))

    def calibration(self, gallery_no: int) -> str | None:
        """Return the calibration of a gallery, or None where it has none."""
        sha256 = self._gallery_of_no(gallery_no).info.calibration_sha256
        if sha256 is None:
            return None
        rows = self.rows("SELECT calibration FROM calibrations WHERE gallery_no = ?", gallery_no)
        if not rows:
            raise altered_calibration()
        return require_calibration(rows[0][0], sha256)

    def subject_no(self, gallery_no: int, subject_id: str) -> int | None:
        """Return the number of such a subject, or None."""
        row = self._subject_row(gallery_no, subject_id)
        return None if row is None else row.subject_no

    def subject(self, gallery_no: int, subject_id: str) -> Subject | None:
        """Return the subject whose id is one of its `forms_of`, or None."""
        row = self._subject_row(gallery_no, subject_id)
        return None if row is None else self._subject(row)

    def subjects(self, gallery_no: int, after: str, limit: int) -> tuple[Subject, ...]:
        """Return up to `limit` subjects with ids beyond `after`, in the order of their ids."""
        clause = "WHERE gallery_no = ? AND subject_id > ? ORDER BY subject_id LIMIT ?"
        return tuple(self._subject(row) for row in self._subjects(clause, gallery_no, after, limit))

    def subject_names(self, subject_nos: I64) -> Mapping[int, SubjectName]:
        """Return ids, names and metadata of the subjects of numbers i64[n]; a subject that is missing is damage."""
        return {
            row.subject_no: SubjectName(row.subject_id, row.display_name, unpacked_metadata(row.metadata))
            for row in self._subjects_of(subject_nos)
        }

    def subject_ids(self, subject_nos: I64) -> Mapping[int, str]:
        """Return the ids of the subjects of numbers i64[n] that differ; one that is not there is damage."""
        return {row.subject_no: row.subject_id for row in self._subjects_of(subject_nos)}

    def subject_nos(self, gallery_no: int, subject_ids: Collection[str]) -> I64 | None:
        """Return the numbers of the subjects with these ids, i64[n], ascending; None if one does not exist."""
        forms = {one: forms_of(one) for one in subject_ids}
        # As in `template_ids_of`: the index by id has every column of the query, and is faster in its order.
        sql = (
            f"SELECT {object_of('subject_id', 'subject_no')} FROM subjects "
            f"WHERE gallery_no = ? AND {in_texts('subject_id')}"
        )
        asked = json.dumps(sorted({form for own in forms.values() for form in own}))
        ((said,),) = self.rows(sql, gallery_no, asked)
        found: dict[str, int] = json.loads(said)
        nos = {next((found[form] for form in own if form in found), None) for own in forms.values()}
        return None if None in nos else np.sort(np.array(list(nos), dtype=np.int64))

    def subjects_with(self, gallery_no: int, key: str, value: str) -> I64:
        """Return the numbers of the subjects whose metadata hold a pair, i64[n], ascending."""
        clause = "WHERE gallery_no = ? AND key = ? AND value = ? ORDER BY subject_no"
        return np.array([pair.subject_no for pair in self._pairs(clause, gallery_no, key, value)], dtype=np.int64)

    def has_metadata_key(self, gallery_no: int, key: str) -> bool:
        """Return whether any subject of a gallery has metadata of a key."""
        return bool(self._pairs("WHERE gallery_no = ? AND key = ? LIMIT 1", gallery_no, key))

    def template_ids_of(self, gallery_no: int, subject_nos: I64) -> I64:
        """Return the ids of the templates of subjects i64[n] of a gallery, i64[m], ascending."""
        # The rows are not opened: the index by subject has every column of the query, and was checked at the start.
        sql = f"SELECT {array_of('template_id')} FROM templates WHERE {in_array('subject_no')} AND gallery_no = ?"
        return self._array(sql, json.dumps(subject_nos.tolist()), gallery_no)

    def template(self, gallery_no: int, template_id: int) -> KeptTemplate | None:
        """Return a template of a gallery with all that is kept of it, or None where there is none."""
        for found in self._templates("WHERE template_id = ? AND gallery_no = ?", template_id, gallery_no):
            gallery = self._gallery_of_no(gallery_no)
            vector = unpack_vectors([found.vector], gallery.info.embedding_size)[0]
            embedding = Embedding(vector, gallery.info.model)
            return KeptTemplate(found.subject_id, _info(found.row), embedding, self._photo(found))
        return None

    def vectors(self, gallery_no: int, template_ids: I64) -> StoredVectors:
        """Return the vectors of those of templates i64[n] that a gallery has, by ascending ids, each opened."""
        sql = f"{VECTORS} WHERE {in_array('t.template_id')} AND t.gallery_no = ? ORDER BY t.template_id"
        rows = self.rows(sql, json.dumps(template_ids.tolist()), gallery_no)
        return opened_vectors(self.vault, self._gallery_of_no(gallery_no), rows)

    def expired(self, now: datetime, limit: int) -> tuple[ExpiredTemplate, ...]:
        """Return up to `limit` templates whose retention has passed, of all galleries; those of a gallery together."""
        expired: list[ExpiredTemplate] = []
        for gallery in self._galleries("WHERE retention_us IS NOT NULL ORDER BY gallery_no"):
            last_us = to_us(now) - to_duration_us(gallery.info.retention or timedelta())
            clause = "WHERE gallery_no = ? AND created_us <= ? ORDER BY created_us, template_id LIMIT ?"
            for found in self._templates(clause, gallery.gallery_no, last_us, limit - len(expired)):
                template = found.row
                expired.append(
                    ExpiredTemplate(
                        gallery.gallery_no, gallery.info.gallery_id, template.subject_no, template.template_id
                    )
                )
        return tuple(expired)

    def _galleries(self, clause: str, *values: Value) -> list[GalleryRow]:
        return [gallery_of(checked(self.vault, "galleries", row)) for row in self.rows(f"{_GALLERY} {clause}", *values)]

    def _gallery_of_no(self, gallery_no: int) -> GalleryRow:
        rows = self._galleries("WHERE gallery_no = ?", gallery_no)
        if not rows:
            raise contradiction("subject_gallery")
        return rows[0]

    def _subjects(self, clause: str, *values: Value) -> list[SubjectRow]:
        rows = self.rows(f"{_SUBJECT} {clause}", *values)
        return [checked(self.vault, "subjects", SubjectRow._make(row)) for row in rows]

    def _subjects_of(self, subject_nos: I64) -> list[SubjectRow]:
        """Return the rows of subjects whose numbers differ; raise `StoreCorrupt` if one is missing."""
        clause = f"WHERE {in_array('subject_no')}"
        rows = self._subjects(clause, json.dumps(subject_nos.tolist()))
        if len(rows) != len(subject_nos):
            raise contradiction("template_subject")
        return rows

    def _subject_row(self, gallery_no: int, subject_id: str) -> SubjectRow | None:
        """Return the row of a subject under the first form of its id that exists; None if none does."""
        for form in forms_of(subject_id):
            if rows := self._subjects("WHERE gallery_no = ? AND subject_id = ?", gallery_no, form):
                return rows[0]
        return None

    def _pairs(self, clause: str, *values: Value) -> list[PairRow]:
        rows = self.rows(f"{_METADATA} {clause}", *values)
        return [checked(self.vault, "subject_metadata", PairRow._make(row)) for row in rows]

    def _subject(self, row: SubjectRow) -> Subject:
        templates = self._template_rows("WHERE subject_no = ? ORDER BY template_id", row.subject_no)
        if templates:
            key = self.vault.key(row.gallery_no, row.subject_no, row.wrapped_key)
            for template in templates:  # opening a template proves that it was not altered
                self._vector(template, key)
        infos = tuple(_info(template) for template in templates)
        return Subject(
            row.subject_id, row.display_name, unpacked_metadata(row.metadata), from_us(row.created_us), infos
        )

    def _template_rows(self, clause: str, *values: Value) -> list[TemplateRow]:
        return [TemplateRow._make(row) for row in self.rows(f"{_TEMPLATE} {clause}", *values)]

    def _templates(self, clause: str, *values: Value) -> Iterator[_Opened]:
        """Yield templates, each proved to be as it was written by opening it."""
        for row in self._template_rows(clause, *values):
            subjects = self._subjects("WHERE subject_no = ?", row.subject_no)
            if not subjects:
                raise contradiction("template_subject")
            subject = subjects[0]
            key = self.vault.key(subject.gallery_no, subject.subject_no, subject.wrapped_key)
            yield _Opened(row, subject.subject_id, key, self._vector(row, key))

    def _vector(self, row: TemplateRow, key: DataKey) -> bytes:
        bound_to = self._binding("template", row.gallery_no).of(*facts_of(row))
        return key.open(row.sealed, bound_to, "template")

    def _photo(self, template: _Opened) -> bytes | None:
        row = template.row
        if not row.has_photo:
            return None
        photos = self.rows("SELECT sealed FROM photos WHERE template_id = ?", row.template_id)
        if not photos:
            raise StoreCorrupt(message("error.gallery.photo_store_should_hold"), check="photo")
        ((sealed,),) = photos
        return template.key.open(sealed, self._binding("photo", row.gallery_no).of(*facts_of(row)), "photo")

    def _binding(self, purpose: str, gallery_no: int) -> Binding:
        binding = self._bindings.get((purpose, gallery_no))
        if binding is None:  # a gallery's model never changes, and its number is never used again
            model = self._gallery_of_no(gallery_no).info.model
            binding = self._bindings[purpose, gallery_no] = Binding(purpose, gallery_no, model)
        return binding

    def _array(self, sql: str, *values: Value) -> I64:
        """Return the numbers of one row's array, ascending.

        One row instead of one for each number: between rows the interpreter's lock changes hands, and this thread
        would wait each time for one that holds it long.
        """
        ((array,),) = self.rows(sql, *values)
        return np.sort(np.array(json.loads(array), dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """A row of TEMPLATES, the id and the key of its subject, and the bytes of its vector."""

    row: TemplateRow
    subject_id: str
    key: DataKey
    vector: bytes


def _info(row: TemplateRow) -> TemplateInfo:
    return TemplateInfo(row.template_id, row.image_sha256, from_us(row.created_us), row.quality)
