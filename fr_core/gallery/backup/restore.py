"""Restores a backup: builds the store anew under another name, checks it, and then gives it its own name."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import apsw

from fr_core.errors import StoreFailed, TargetTaken, message
from fr_core.gallery.backup.files import NUMBERS
from fr_core.gallery.backup.saved import SavedStore, SavedSubject, saved_store
from fr_core.gallery.store import rows
from fr_core.gallery.store.integrity import Verified, require_sound
from fr_core.gallery.store.schema import DATABASE_NAME, SCHEMA
from fr_core.storage.audit.attribution import current_attribution
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.checkpoint_vfs import CheckpointVfs
from fr_core.storage.connection import SqliteHeader, open_finished, open_new_store, use_log
from fr_core.storage.data_folder import DataFolder
from fr_core.storage.database import now_ms
from fr_core.storage.driver_errors import driver_errors
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.migrations import make, unlocked
from fr_core.storage.vault import Vault

# The trees of a million subjects' ids, numbers and metadata: what does not fit is written again and again.
_CACHE_KIB = 262_144
_INSERT_SUBJECT = rows.insertion("subjects", rows.SUBJECTS)
_INSERT_METADATA = rows.insertion("subject_metadata", rows.METADATA)
_INSERT_TEMPLATE = rows.insertion("templates", rows.TEMPLATES)
# A restoration that died may have left these in the folder.
_LEFT = (SCHEMA.lock_name, f"{DATABASE_NAME}.new*")


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restoration."""

    created: datetime  # when the backup was made, UTC
    held: Verified  # what the new store holds, all of it checked
    # Subjects of the backup that were left out, because they were erased or deleted after it was made.
    erased_since: int


def restore(
    backup: Path,
    keys: Path,
    key: KeyEncryptionKey,
    folder: Path,
    *,
    vfs: str = "",
    clock_ms: Callable[[], int] = now_ms,
) -> Restored:
    """Make a data folder of a backup, and check all of it.

    The new store gets a key of its own, and with it another id: from now on it and the store of the backup give the
    same numbers to different rows, so that neither may replace the other's file of keys. Its audit is a new chain,
    whose first record says from which one it comes, and how far that was when the backup was made.

    Args:
        keys: the newest file of keys of the same store.
        key: under which these are; the new store is under it too.
        folder: an empty folder, or one that is made.
        vfs: SQLite's layer to the disk for what is written, by name; "" = its own.
        clock_ms: gives the audit its time, milliseconds since 1970, UTC.

    Raises:
        TargetTaken: the folder is not empty.
        BackupUnusable, BackupMismatch, StoreNewer, WrongKey: as `saved_store` does.
        StoreInUse: another process works in the folder.
        StoreFailed: the disk refuses.
        StoreCorrupt: what was written cannot be read again.

        Nothing is left of the folder, or in it, after any of them.
    """
    _require_empty(folder)
    with saved_store(backup, keys, key) as saved, _emptied_on_failure(folder) as data:
        with data.whole_file(DATABASE_NAME) as path:
            erased_since = _write(path, saved, Vault.new(key), vfs, clock_ms)
            held = _proved(path, key)
        return Restored(saved.created, held, erased_since)


def _require_empty(folder: Path) -> None:
    try:
        left = {path.name for path in folder.iterdir()} if folder.exists() else set()
        for pattern in _LEFT:
            left -= {path.name for path in folder.glob(pattern)}
    except OSError as error:
        raise StoreFailed(message("error.gallery.folder_cannot_read")) from error
    if left:
        raise TargetTaken(message("error.gallery.folder_not_empty"))


@contextmanager
def _emptied_on_failure(folder: Path) -> Iterator[DataFolder]:
    """Hold a folder; where the block fails, remove its files, and each folder that had to be made for it."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    data = DataFolder(folder, SCHEMA)
    try:
        _require_empty(folder)  # now that nobody else can come
        try:
            yield data
        except BaseException:
            with suppress(OSError):
                for pattern in (*_LEFT, DATABASE_NAME):
                    for path in folder.glob(pattern):
                        path.unlink()
                for path in made:
                    path.rmdir()
            raise
    finally:
        data.close()


def _write(path: Path, saved: SavedStore, vault: Vault, vfs: str, clock_ms: Callable[[], int]) -> int:
    pages = CheckpointVfs(vfs)
    with driver_errors():
        connection = open_new_store(path, pages.vfs_name, SCHEMA.application_id, cache_kib=_CACHE_KIB)
        try:
            make(connection, SCHEMA, vault)
            connection.execute("BEGIN")
            left_out = _fill(connection, saved, vault)
            _record(AuditTable(connection, vault, clock_ms), saved, left_out)
            connection.execute("COMMIT")
            use_log(connection)
        finally:
            connection.close()
    return left_out


def _fill(connection: apsw.Connection, saved: SavedStore, vault: Vault) -> int:
    left_out, subjects, templates = 0, Counter[int](), Counter[int]()
    for subject in saved.subjects():
        if subject is None:
            left_out += 1
            continue
        subjects[subject.gallery_no] += 1
        templates[subject.gallery_no] += len(subject.templates)
        _insert_subject(connection, vault, subject)
    for number, row in saved.galleries.items():
        info = replace(row.info, subject_count=subjects[number], template_count=templates[number])
        info = replace(info, version=info.version + (info != row.info))
        columns = rows.signed(vault, "galleries", *rows.gallery_columns(number, info))
        connection.execute(rows.insertion("galleries", rows.GALLERIES), columns)
    connection.executemany(rows.insertion("calibrations", rows.CALIBRATIONS), saved.calibrations.items())
    erasures = (rows.signed(vault, "erasures", *columns) for *columns, _ in saved.erasures())
    connection.executemany(rows.insertion("erasures", rows.ERASURES), erasures)
    _set_numbers(connection, saved)
    return left_out


def _record(audit: AuditTable, saved: SavedStore, left_out: int) -> None:
    detail = {"backup_created": saved.created.strftime("%Y-%m-%dT%H:%M:%SZ")}
    if saved.audit is not None:
        detail |= {"chain_id": saved.audit.chain_id, "seq": str(saved.audit.seq), "hash": saved.audit.hash.hex()}
    counts = {"galleries": len(saved.galleries), "subjects": saved.extent.subjects - left_out, "left_out": left_out}
    audit.append([current_attribution().entry(audit.pseudonyms(), "gallery.restore", counts=counts, detail=detail)])


def _insert_subject(connection: apsw.Connection, vault: Vault, subject: SavedSubject) -> None:
    number, gallery_no = subject.subject_no, subject.gallery_no
    columns = (subject.subject_id, subject.display_name, subject.metadata, subject.created_us, subject.wrapped_key)
    connection.execute(_INSERT_SUBJECT, rows.signed(vault, "subjects", number, gallery_no, *columns))
    for key, value in rows.unpacked_metadata(subject.metadata).items():
        connection.execute(_INSERT_METADATA, rows.signed(vault, "subject_metadata", gallery_no, key, value, number))
    for template in subject.templates:
        connection.execute(_INSERT_TEMPLATE, (*template.facts, gallery_no, template.sealed))
        if template.photo is not None:
            sql = "INSERT INTO photos (template_id, sealed) VALUES (?, ?)"
            template_id, *_ = template.facts
            connection.execute(sql, (template_id, template.photo))


def _set_numbers(connection: apsw.Connection, saved: SavedStore) -> None:
    """No number that the store has given, up to its newest file of keys, is given to another row."""
    connection.execute("DELETE FROM sqlite_sequence")
    for table, name in zip(("galleries", "subjects", "templates"), NUMBERS, strict=False):
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, saved.numbers[name]))


def _proved(path: Path, key: KeyEncryptionKey) -> Verified:
    with driver_errors():
        connection = open_finished(path)
        try:
            return require_sound(connection, unlocked(connection, SqliteHeader(connection), SCHEMA, key))
        finally:
            connection.close()
