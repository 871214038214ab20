"""Taking a backup: one moment of a store copied into two files, which get their names when they are proved."""

import json
import os
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import apsw

from fr_core.errors import BackupMismatch, BackupUnusable, InvalidField, StoreCorrupt, TargetTaken, message
from fr_core.gallery.backup import files
from fr_core.gallery.backup.saved import Extent, require_not_older, saved_store
from fr_core.gallery.backup.staged import staged
from fr_core.gallery.backup.verify import reading
from fr_core.gallery.store.rows import (
    CALIBRATIONS,
    ERASURES,
    GALLERIES,
    SUBJECTS,
    TEMPLATES,
    checked,
    contradiction,
    insertion,
    names,
    signed,
    to_us,
)
from fr_core.gallery.store.snapshot import Snapshot
from fr_core.storage.audit.chain import Head
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.dialect import LAST_NUMBERS
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.protocol import Connection, Row
from fr_core.storage.vault import Vault

_BACKUP_ID_BYTES = 16
# By the index: sorting would hold every template in memory.
_TEMPLATES = (
    f"SELECT {names(TEMPLATES)} FROM templates INDEXED BY templates_by_subject "
    "ORDER BY subject_no, gallery_no, template_id"
)
_FACTS = TEMPLATES[:-1]  # all but what is encrypted
_INSERT_SUBJECT = insertion("subjects", files.SUBJECTS)
_INSERT_TEMPLATE = insertion("templates", files.TEMPLATES)
_INSERT_KEY = insertion("subject_keys", files.SUBJECT_KEYS)
_NO_ROWS: tuple[None, Iterator[Row]] = (None, iter(()))


def back_up(folder: Path, key: KeyEncryptionKey, backup: Path, keys: Path, now: datetime, *, vfs: str = "") -> Extent:
    """Write a backup of a data folder, on which a server may run, and prove it by opening all that it holds.

    Args:
        key: of its store; the backup is under it.
        backup: a file that does not exist, for everything but the keys of the subjects.
        keys: a file for these, which replaces an older one of the same store.
        now: the time, with a time zone.
        vfs: SQLite's layer to the disk for what is written, by name; "" = its own.

    Returns what the backup holds.

    Raises:
        InvalidField: the folder of the backup, or that of its keys, is not there or cannot be written to.
        TargetTaken: there is a file where the backup should go, or where one of both is written first, or both have the
            same name.
        BackupMismatch: the file of keys that is there is of another store, such as that from which this one was
            restored, or newer than this one.
        BackupUnusable: the file that is there holds no keys.
        NoStore, StoreNewer, WrongKey: as `verify` does.
        StoreCorrupt: something is not as it was written, in the store or after it was copied.
        StoreFailed: the disk refuses; nothing is left of the backup, and the older keys are as they were.
    """
    _require_folders(backup, keys.resolve())
    _require_free(backup, keys)
    keys = keys.resolve()  # a link to it is to stay one, and the file behind it to be replaced
    with staged(backup, files.is_backup) as new_backup, staged(keys, files.are_keys, secret=True) as new_keys:
        with (
            files.writing(files.BACKUP_FILE, new_backup.path, vfs) as data,
            files.writing(files.NEW_KEYS_FILE, new_keys.path, vfs) as wrapped,
        ):
            _write(folder, key, keys, data, wrapped, now)
        extent = _proved(new_backup.path, new_keys.path, key)
        _require_free(backup, keys)
        files.prove_keys(new_keys)
        # The newer keys serve the older backups; the newer backup is of no use with the older keys.
        new_keys.keep()
        new_backup.keep()
    return extent


def _require_folders(backup: Path, keys: Path) -> None:
    """Raise `InvalidField` for a folder that cannot be written to: the disk that backups go to may not be mounted."""
    if not os.access(backup.parent, os.W_OK | os.X_OK):
        raise InvalidField(message("error.gallery.no_folder_of_backup"), field="backup")
    if not os.access(keys.parent, os.W_OK | os.X_OK):
        raise InvalidField(message("error.gallery.no_folder_of_keys"), field="keys")


def _require_free(backup: Path, keys: Path) -> None:
    if os.path.lexists(backup):
        raise TargetTaken(message("error.gallery.file_already_where_backup"))
    if backup.absolute() == keys.absolute():
        raise TargetTaken(message("error.gallery.backup_keys_need_file"))


def _require_replaceable(keys: Path, store_id: bytes, numbers: dict[str, int]) -> None:
    """Raise unless a file holds older keys of the same store, or as new ones."""
    with files.reading(files.KEYS_FILE, keys) as connection:
        row = dict(zip(files.KEYS, files.only_row(connection, "keys", files.KEYS), strict=True))
    if row["store_id"] != store_id:
        raise BackupMismatch(message("error.gallery.file_keys_another_store"))
    require_not_older(numbers, row)


def _numbers(connection: Connection) -> dict[str, int]:
    last: dict[str, int] = dict(connection.execute(LAST_NUMBERS))
    tables = ("galleries", "subjects", "templates")
    counted = (*(last.get(table, 0) for table in tables), files.count(connection, "erasures"))
    return dict(zip(files.NUMBERS, counted, strict=True))


def _write(
    folder: Path, key: KeyEncryptionKey, keys: Path, data: apsw.Connection, wrapped: apsw.Connection, now: datetime
) -> None:
    with reading(folder, key) as source:
        vault, numbers = source.vault, _numbers(source)
        head = AuditTable(source, vault, lambda: 0).head()
        if os.path.lexists(keys):
            _require_replaceable(keys, files.store_id(vault), numbers)
        _take(source, data, wrapped)
    backup_id = os.urandom(_BACKUP_ID_BYTES)
    _seal(vault, data, wrapped, backup_id)
    _sign(vault, data, wrapped, backup_id, numbers, head, now)


def _take(source: Snapshot, data: apsw.Connection, wrapped: apsw.Connection) -> None:
    """Copy one moment of the source, and do nothing else: what waits for its readers waits so long."""
    for table, columns, target in (("galleries", GALLERIES, data), ("erasures", ERASURES, wrapped)):
        rows = source.connection.execute(f"SELECT {names(columns)} FROM {table}")
        target.executemany(insertion(table, columns), (checked(source.vault, table, row) for row in rows))
    calibrations = source.connection.execute(f"SELECT {names(CALIBRATIONS)} FROM calibrations")
    data.executemany(insertion("calibrations", CALIBRATIONS), calibrations)
    # Not encrypted, and so in memory alone.
    data.execute(f"CREATE TEMP TABLE taken_subjects ({names(SUBJECTS)})")
    data.execute(f"CREATE TEMP TABLE taken_facts ({names(_FACTS)})")
    subjects = source.connection.execute(f"SELECT {names(SUBJECTS)} FROM subjects ORDER BY subject_no")
    data.executemany(insertion("taken_subjects", SUBJECTS), subjects)
    insert_facts = insertion("taken_facts", _FACTS)
    for row in source.connection.execute(_TEMPLATES):
        *facts, sealed = row
        template_id, subject_no, *_ = facts
        data.execute(insert_facts, facts)
        data.execute(_INSERT_TEMPLATE, (subject_no, template_id, sealed))
    photos = source.connection.execute(f"SELECT {names(files.PHOTOS)} FROM photos")
    data.executemany(insertion("photos", files.PHOTOS), photos)


def _seal(vault: Vault, data: apsw.Connection, wrapped: apsw.Connection, backup_id: bytes) -> None:
    """Write the subjects that were taken, each under its own key together with the facts of its templates."""
    held = groupby(data.execute(f"SELECT {names(_FACTS)} FROM taken_facts ORDER BY rowid"), key=itemgetter(1))
    whose, rows = next(held, _NO_ROWS)
    for subject in data.execute(f"SELECT {names(SUBJECTS)} FROM taken_subjects ORDER BY rowid"):
        subject_no, gallery_no, *columns, wrapped_key, _ = checked(vault, "subjects", subject)
        facts: list[Row] = []
        if whose == subject_no:
            for template_id, _, *rest, of_gallery in rows:
                if of_gallery != gallery_no:
                    raise contradiction("template_subject")
                facts.append((template_id, *rest))
            whose, rows = next(held, _NO_ROWS)
        key = vault.key(gallery_no, subject_no, wrapped_key)
        context = files.subject_context(backup_id, gallery_no, subject_no)
        sealed = key.seal(json.dumps([*columns, facts], ensure_ascii=False).encode(), context)
        data.execute(_INSERT_SUBJECT, (subject_no, gallery_no, sealed))
        wrapped.execute(_INSERT_KEY, (subject_no, gallery_no, wrapped_key))
    if whose is not None:
        raise contradiction("template_subject")


def _sign(
    vault: Vault,
    data: apsw.Connection,
    wrapped: apsw.Connection,
    backup_id: bytes,
    numbers: dict[str, int],
    head: Head,
    now: datetime,
) -> None:
    common, created_us = files.store_id(vault), to_us(now)
    counts = (files.count(data, table) for table in ("galleries", "subjects", "templates", "photos"))
    audit = (head.chain_id, head.seq, head.hash)
    row = signed(vault, "backup", 1, common, backup_id, *counts, *numbers.values(), *audit, created_us)
    data.execute(insertion("backup", files.BACKUP), row)
    subjects = files.count(wrapped, "subject_keys")
    held = (vault.key_id, vault.wrapped(), subjects, files.digest(vault, wrapped))
    row = signed(vault, "keys", 1, common, *held, *numbers.values(), created_us)
    wrapped.execute(insertion("keys", files.KEYS), row)


def _proved(backup: Path, keys: Path, key: KeyEncryptionKey) -> Extent:
    """Read a new backup from end to end, and return what it holds; raises `StoreCorrupt` where something is amiss."""
    photos = 0
    try:
        with saved_store(backup, keys, key, new_keys=True) as saved:
            for subject in saved.subjects():
                if subject is None:
                    raise files.unusable("subject_keys")
                photos += sum(template.photo is not None for template in subject.templates)
            if photos != saved.extent.photos or sum(1 for _ in saved.erasures()) != saved.numbers["erasures"]:
                raise files.unusable("photo")
            return saved.extent
    except BackupUnusable as error:
        raise StoreCorrupt(message("error.gallery.what_copied_cannot_opened"), **error.metadata) from error
