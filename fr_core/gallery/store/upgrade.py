"""A SQLite store that is opened: which version it has, whether the key fits, and what brings it up to date."""

from __future__ import annotations

import zlib

import apsw

from fr_core.errors import StoreCorrupt, StoreNewer
from fr_core.gallery.store.auditing import audit_table
from fr_core.gallery.store.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION, V2_AFTER_MOVE
from fr_core.gallery.store.sqlite_check import require_no_contradictions
from fr_core.gallery.store.sqlite_rows import (
    GALLERIES,
    GALLERIES_V2,
    GALLERIES_V3,
    METADATA,
    STORE,
    SUBJECTS,
    TEMPLATES,
    Row,
    SubjectRow,
    as_newer,
    checked,
    contradiction,
    insertion,
    names,
    signed,
    unpacked_metadata,
)
from fr_core.gallery.store.vectors import unpack_vectors
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.vault import Binding, Vault
from fr_core.types import ModelId

_STORE_NO = 1
_BLOCK = 1_000


def known_version(connection: apsw.Connection) -> int:
    """Return the version of the schema of a database.

    Raises:
        StoreNewer: this version of FR Core does not know it.
        StoreCorrupt: it is no database of FR Core, or not of the version that it claims.
    """
    if int(connection.pragma("application_id")) != APPLICATION_ID:
        raise StoreCorrupt("The database is damaged, or no store of FR Core.", check="application_id")
    version = int(connection.pragma("user_version"))
    if version > SCHEMA_VERSION:
        raise StoreNewer(
            f"The store has schema {version}; this version knows {SCHEMA_VERSION}.",
            found=str(version),
            known=str(SCHEMA_VERSION),
        )
    has_keys = bool(connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'store'").fetchall())
    if version < 1 or has_keys != (version > 1):
        raise _wrong_version()
    return version


def unlocked(connection: apsw.Connection, key: KeyEncryptionKey) -> Vault:
    """Return the keys of a store; raises `WrongKey`, `StoreCorrupt`."""
    rows: list[Row] = connection.execute(f"SELECT {names(STORE)} FROM store").fetchall()
    if len(rows) != 1:
        raise StoreCorrupt("The store does not say under which key it is.", check="store")
    (row,) = rows
    _, schema_version, key_id, wrapped, _ = row
    vault = Vault.unlocked(key, key_id, wrapped)
    checked(vault, "store", row)
    if schema_version != int(connection.pragma("user_version")):
        raise _wrong_version()
    return vault


def last_numbers(connection: apsw.Connection) -> dict[str, int]:
    """Return the greatest number that a row of each table has ever had."""
    return {str(table): int(last) for table, last in connection.execute("SELECT name, seq FROM sqlite_sequence")}


def _wrong_version() -> StoreCorrupt:
    return StoreCorrupt("The database does not have the schema that it claims.", check="user_version")


def bring_up_to_date(connection: apsw.Connection, vault: Vault) -> bool:
    """Make the tables that lack, and move what older ones hold; returns whether the store held anything before.

    Args:
        connection: writes, with `secure_delete` on where there is something to move.
        vault: new, to be the store's from now on; of no use where nothing has to be done.

    Raises:
        StoreCorrupt: what is to be moved is damaged; the store is as it was.
    """
    moved = False
    for step in range(int(connection.pragma("user_version")), SCHEMA_VERSION):
        connection.execute("BEGIN IMMEDIATE").fetchall()
        try:
            connection.execute(MIGRATIONS[step]).fetchall()
            if step == 1:
                moved = _seal(connection, vault)
            elif step == 2:
                _sign_galleries(connection, vault, GALLERIES_V2, GALLERIES_V3)
            elif step == 3:
                _sign_galleries(connection, vault, GALLERIES_V3, GALLERIES)
            elif step == 4:
                audit_table(connection, vault).begin()
            if step > 0:
                write_store_row(connection, vault, step + 1)
            connection.execute(f"PRAGMA user_version = {step + 1}").fetchall()
            connection.execute("COMMIT").fetchall()
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK").fetchall()
            raise
    return moved


def write_store_row(connection: apsw.Connection, vault: Vault, version: int = SCHEMA_VERSION) -> None:
    """Write the row that says under which key the store is, and of which version of the schema."""
    connection.execute("DELETE FROM store").fetchall()
    row = signed(vault, "store", _STORE_NO, version, vault.key_id, vault.wrapped())
    connection.execute(insertion("store", STORE), row).fetchall()


def _seal(connection: apsw.Connection, vault: Vault) -> bool:
    """Move the rows of version 1, encrypted or authenticated, into the tables of version 2."""
    galleries = _move_galleries(connection, vault)
    keys = _move_subjects(connection, vault)
    _move_templates(connection, vault, galleries, keys)
    # The numbers of rows that were deleted are not given again.
    for table in ("galleries", "templates"):
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,)).fetchall()
        sql = "UPDATE sqlite_sequence SET name = ? WHERE name = ?"
        connection.execute(sql, (table, f"{table}_v1")).fetchall()
    connection.execute(V2_AFTER_MOVE).fetchall()
    require_no_contradictions(connection)
    return bool(galleries)


def _sign_galleries(connection: apsw.Connection, vault: Vault, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """Authenticate the rows of one version with the columns that the next has added."""
    rows: list[Row] = connection.execute(f"SELECT {names(before)} FROM galleries").fetchall()
    for row in rows:
        gallery_no, *_ = columns = as_newer(checked(vault, "galleries", row), before, after)
        *_, mac = signed(vault, "galleries", *columns[:-1])
        connection.execute("UPDATE galleries SET mac = ? WHERE gallery_no = ?", (mac, gallery_no)).fetchall()


def _move_galleries(connection: apsw.Connection, vault: Vault) -> dict[int, tuple[Binding, int]]:
    bindings: dict[int, tuple[Binding, int]] = {}
    insert = insertion("galleries", GALLERIES_V2)
    rows: list[Row] = connection.execute("SELECT * FROM galleries_v1").fetchall()
    for row in rows:
        connection.execute(insert, signed(vault, "galleries", *row, None, None, 0)).fetchall()
        gallery_no, _, _, *model, size, _, _, _, _ = row
        bindings[gallery_no] = (Binding("template", gallery_no, ModelId(*model)), size)
    return bindings


def _move_subjects(connection: apsw.Connection, vault: Vault) -> dict[int, tuple[int, bytes]]:
    keys: dict[int, tuple[int, bytes]] = {}
    insert, insert_metadata = insertion("subjects", SUBJECTS), insertion("subject_metadata", METADATA)
    for row in connection.execute("SELECT * FROM subjects_v1 ORDER BY subject_no"):
        subject_no, gallery_no, _, _, metadata, _ = row
        _, wrapped = vault.new_subject_key(gallery_no, subject_no)
        keys[subject_no] = (gallery_no, wrapped)
        connection.execute(insert, signed(vault, "subjects", *row, wrapped)).fetchall()
        for key, value in unpacked_metadata(metadata).items():
            pair = signed(vault, "subject_metadata", gallery_no, key, value, subject_no)
            connection.execute(insert_metadata, pair).fetchall()
    return keys


def _move_templates(
    connection: apsw.Connection,
    vault: Vault,
    galleries: dict[int, tuple[Binding, int]],
    keys: dict[int, tuple[int, bytes]],
) -> None:
    insert = insertion("templates", TEMPLATES)
    for row in connection.execute("SELECT * FROM templates_v1 ORDER BY template_id"):
        template_id, gallery_no, subject_no, image_sha256, quality, created_us, crc32, vector = row
        if gallery_no not in galleries or subject_no not in keys:
            raise contradiction("template_subject")
        if zlib.crc32(vector) != crc32:
            raise StoreCorrupt("The checksum of a stored vector differs.", check="vector_checksum")
        binding, size = galleries[gallery_no]
        unpack_vectors([vector], size)
        facts = (template_id, subject_no, image_sha256, quality, created_us, 0)
        of_gallery, wrapped = keys[subject_no]
        sealed = vault.subject_key(of_gallery, subject_no, wrapped).seal(vector, binding.of(*facts))
        connection.execute(insert, (*facts, gallery_no, sealed)).fetchall()


def rewrap(connection: apsw.Connection, before: Vault, after: Vault) -> None:
    """Wrap the key of every subject, and that of the store, anew; within a transaction.

    Raises:
        StoreCorrupt: a row was altered, and would be authenticated as if it had not been.
    """
    last = 0
    select = f"SELECT {names(SUBJECTS)} FROM subjects WHERE subject_no > ? ORDER BY subject_no LIMIT {_BLOCK}"
    while block := connection.execute(select, (last,)).fetchall():
        for row in map(SubjectRow._make, block):
            subject = checked(before, "subjects", row)
            last = subject.subject_no
            rewrapped = after.rewrapped(before, subject.gallery_no, last, subject.wrapped_key)
            *_, mac = signed(after, "subjects", *subject._replace(wrapped_key=rewrapped)[:-1])
            sql = "UPDATE subjects SET wrapped_key = ?, mac = ? WHERE subject_no = ?"
            connection.execute(sql, (rewrapped, mac, last)).fetchall()
    write_store_row(connection, after)
