"""Reading a backup with its file of keys: everything opened and counted, and nothing returned that was altered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import apsw

from fr_core.errors import BackupMismatch, message
from fr_core.gallery.backup import files
from fr_core.gallery.store.rows import (
    CALIBRATIONS,
    GALLERIES,
    GALLERIES_V2,
    GALLERIES_V3,
    as_newer,
    checked,
    from_us,
    gallery_of,
    names,
)
from fr_core.gallery.store.template_codec import Binding
from fr_core.gallery.store.values import GalleryRow
from fr_core.gallery.values import calibration_id
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.protocol import Row
from fr_core.storage.vault import DataKey, Vault

_SUBJECTS = f"SELECT {names(files.SUBJECTS)} FROM subjects ORDER BY subject_no"
_TEMPLATES = f"SELECT {names(files.TEMPLATES)} FROM templates ORDER BY row_no"
_NO_ROWS: tuple[None, Iterator[Row]] = (None, iter(()))
_NO_KEY: Row = (None, None, None)


@dataclass(frozen=True, slots=True)
class SavedTemplate:
    """A template of a backup, which was opened to prove it."""

    facts: Row  # its columns up to `TEMPLATE_FACTS`, in the order of TEMPLATES
    sealed: bytes  # the vector, encrypted
    photo: bytes | None  # the photo, encrypted; None where none is kept


@dataclass(frozen=True, slots=True)
class SavedSubject:
    """A subject of a backup.

    Attributes:
        subject_no, gallery_no, subject_id, display_name, metadata, created_us: its columns, the metadata as packed.
        wrapped_key: as the file of keys has it.
        templates: in the order of their ids.
    """

    subject_no: int
    gallery_no: int
    subject_id: str
    display_name: str
    metadata: str
    created_us: int
    wrapped_key: bytes
    templates: tuple[SavedTemplate, ...]


@dataclass(frozen=True, slots=True)
class Extent:
    """The numbers of rows in a backup."""

    galleries: int
    subjects: int
    templates: int
    photos: int


@dataclass(frozen=True, slots=True)
class SavedAudit:
    """The end of the audit of a store when its backup was made."""

    chain_id: str  # of its chain
    seq: int  # number of the last record; 0 for none
    hash: bytes  # of that record, 32 bytes


class SavedStore:
    """A backup and a file of keys that fit each other; see `saved_store`.

    Attributes:
        vault: the keys of the store, under the key-encryption key that the file of keys was opened with.
        extent: what the backup holds, as it says itself.
        audit: how far the audit of the store was; None in backups of stores that had none.
        galleries: by number.
        calibrations: of the galleries that have one, by number.
        numbers: by the names of NUMBERS, as the file of keys has them.
    """

    def __init__(self, backup: apsw.Connection, keys: apsw.Connection, key: KeyEncryptionKey) -> None:
        self._backup = backup
        self._keys = keys
        of_keys = dict(zip(files.KEYS, files.only_row(keys, "keys", files.KEYS), strict=True))
        self.vault = Vault.unlocked(key, of_keys["key_id"], of_keys["wrapped_key"])
        checked(self.vault, "keys", tuple(of_keys.values()))
        # A subject without a key counts as erased: so the file is whole, or nothing is read with it.
        if files.digest(self.vault, keys) != of_keys["digest"]:
            raise files.unusable("rows_of_keys")
        if files.count(keys, "subject_keys") != of_keys["subjects"]:
            raise files.unusable("subject_keys")
        columns = files.BACKUP if files.format_of(backup) >= files.FORMAT_WITH_AUDIT else files.BACKUP_V2
        row = dict(zip(columns, files.only_row(backup, "backup", columns), strict=True))
        if row["store_id"] != of_keys["store_id"]:
            raise BackupMismatch(message("error.gallery.keys_another_store_backup"))
        checked(self.vault, "backup", tuple(row.values()))
        require_not_older(of_keys, row)
        self._backup_id: bytes = row["backup_id"]
        self.extent = Extent(*(row[name] for name in ("galleries", "subjects", "templates", "photos")))
        self.created: datetime = from_us(row["created_us"])
        self.audit = SavedAudit(*(row[name] for name in files.AUDIT)) if files.AUDIT[0] in row else None
        self.numbers = {name: int(of_keys[name]) for name in files.NUMBERS}
        self.galleries = {gallery.gallery_no: gallery for gallery in self._read_galleries()}
        self.calibrations = self._read_calibrations()
        self._bindings = {no: _Bindings(row) for no, row in self.galleries.items()}
        self._require_extent()

    def erasures(self) -> Iterator[Row]:
        """Yield the receipts of erasures, as rows of ERASURES."""
        found = 0
        for row in self._keys.execute(files.ALL_ERASURES):
            yield checked(self.vault, "erasures", row)
            found += 1
        if found != self.numbers["erasures"]:
            raise files.unusable("erasures")

    def subjects(self) -> Iterator[SavedSubject | None]:
        """Yield every subject in the order of the numbers, with all templates and photos opened.

        None stands for a subject that the file of keys has no key of: it was erased or deleted since.

        Raises `BackupUnusable`: something was altered, or does not agree with what the galleries say; `StoreCorrupt`:
        something encrypted was altered.
        """
        subjects, templates = Counter[int](), Counter[int]()
        held = groupby(self._backup.execute(_TEMPLATES), key=itemgetter(0))
        whose, rows = next(held, _NO_ROWS)
        for subject_no, gallery_no, sealed, wrapped in self._with_keys():
            if gallery_no not in self.galleries:
                raise files.unusable("subject_gallery")
            own: list[Row] = []
            if whose == subject_no:
                own = list(rows)
                whose, rows = next(held, _NO_ROWS)
            subjects[gallery_no] += 1
            templates[gallery_no] += len(own)
            yield None if wrapped is None else self._subject(subject_no, gallery_no, sealed, wrapped, own)
        if whose is not None:
            raise files.unusable("template_subject")
        for no, row in self.galleries.items():
            if (subjects[no], templates[no]) != (row.info.subject_count, row.info.template_count):
                raise files.unusable("counts")

    def _with_keys(self) -> Iterator[tuple[int, int, bytes, bytes | None]]:
        """Yield the subjects as they are saved, and the wrapped key of each; None where there is none any more.

        Both files are read one row after the other, since a damaged tree can hide a row from who looks for it.
        """
        keys, last = self._keys.execute(files.ALL_SUBJECT_KEYS), 0
        of_subject, of_gallery, wrapped = next(keys, _NO_KEY)
        for subject_no, gallery_no, sealed in self._backup.execute(_SUBJECTS):
            if subject_no <= last:
                raise files.unusable("subjects")
            last = subject_no
            while of_subject is not None and of_subject < subject_no:
                of_subject, of_gallery, wrapped = next(keys, _NO_KEY)
            found = of_subject == subject_no
            if found and of_gallery != gallery_no:
                raise files.unusable("subject_gallery")
            yield subject_no, gallery_no, sealed, wrapped if found else None

    def _subject(self, subject_no: int, gallery_no: int, sealed: bytes, wrapped: bytes, own: list[Row]) -> SavedSubject:
        key = self.vault.key(gallery_no, subject_no, wrapped)
        context = files.subject_context(self._backup_id, gallery_no, subject_no)
        subject_id, name, metadata, created_us, facts = json.loads(key.open(sealed, context, "subject"))
        if [template_id for template_id, *_ in facts] != [template_id for _, template_id, _ in own]:
            raise files.unusable("templates")
        bindings = self._bindings[gallery_no]
        templates = tuple(
            self._template(key, bindings, (template_id, subject_no, *rest), vector)
            for (template_id, *rest), (_, _, vector) in zip(facts, own, strict=True)
        )
        return SavedSubject(subject_no, gallery_no, subject_id, name, metadata, created_us, wrapped, templates)

    def _template(self, key: DataKey, bindings: _Bindings, facts: Row, sealed: bytes) -> SavedTemplate:
        key.open(sealed, bindings.template.of(*facts), "template")
        template_id, *_, has_photo = facts
        photo: bytes | None = None
        if has_photo:
            sql = "SELECT sealed FROM photos WHERE template_id = ?"
            photos: list[Row] = self._backup.execute(sql, (template_id,)).fetchall()
            if len(photos) != 1:
                raise files.unusable("photo")
            ((photo,),) = photos
            key.open(photo, bindings.photo.of(*facts), "photo")
        return SavedTemplate(facts, sealed, photo)

    def _read_galleries(self) -> Iterator[GalleryRow]:
        columns = (GALLERIES_V2, GALLERIES_V3, GALLERIES)[files.format_of(self._backup) - 1]
        for row in self._backup.execute(f"SELECT {names(columns)} FROM galleries ORDER BY gallery_no"):
            yield gallery_of(as_newer(checked(self.vault, "galleries", row), columns))

    def _read_calibrations(self) -> dict[int, str]:
        if files.format_of(self._backup) < files.FORMAT_WITH_CALIBRATIONS:
            return {}
        rows: list[Row] = self._backup.execute(f"SELECT {names(CALIBRATIONS)} FROM calibrations").fetchall()
        texts: dict[int, str] = dict(rows)
        named = {no: row.info.calibration_sha256 for no, row in self.galleries.items() if row.info.calibration_sha256}
        if {no: calibration_id(text) for no, text in texts.items()} != named:
            raise files.unusable("calibration")
        return texts

    def _require_extent(self) -> None:
        tables = ("galleries", "subjects", "templates", "photos")
        if Extent(*(files.count(self._backup, table) for table in tables)) != self.extent:
            raise files.unusable("extent")


class _Bindings:
    def __init__(self, row: GalleryRow) -> None:
        self.template = Binding("template", row.gallery_no, row.info.model)
        self.photo = Binding("photo", row.gallery_no, row.info.model)


@contextmanager
def saved_store(backup: Path, keys: Path, key: KeyEncryptionKey, *, new_keys: bool = False) -> Iterator[SavedStore]:
    """Yield what a backup and a file of keys hold.

    `new_keys`: whether they are still to be proved.

    Raises:
        BackupUnusable: one of them is damaged, not there, or no such file.
        BackupMismatch: the keys are of another store, or older than the backup.
        StoreNewer: a later version wrote one of them.
        WrongKey: the keys are under another key.
        StoreFailed: the disk refuses.
    """
    layout = files.NEW_KEYS_FILE if new_keys else files.KEYS_FILE
    with files.reading(files.BACKUP_FILE, backup) as data, files.reading(layout, keys) as wrapped:
        yield SavedStore(data, wrapped, key)


def require_not_older(keys: dict[str, int], other: dict[str, int]) -> None:
    """Raise `BackupMismatch` where keys are older than something else of their store; both by the names of NUMBERS."""
    if any(keys[name] < other[name] for name in files.NUMBERS):
        raise BackupMismatch(message("error.gallery.keys_older_what_they"))
