"""Calibrations of galleries: kept as they were set, noticed when altered, and carried by backups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import apsw
import numpy as np
import pytest

from fr_core.errors import BackupUnusable, CalibrationInvalid, StorageLow, StoreCorrupt, UnknownGallery
from fr_core.gallery.backup import files
from fr_core.gallery.backup.restore import restore
from fr_core.gallery.backup.take import back_up
from fr_core.gallery.backup.verify import reading, verify
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import DATABASE_NAME, GalleryStore
from fr_core.gallery.store.rows import GALLERIES_V2, insertion, names, signed
from fr_core.gallery.values import MAX_CALIBRATION_BYTES, Enrolment, GalleryCalibration, NewTemplate
from fr_core.storage.database import Database
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.types import Embedding, ModelId
from support.histories import Clock
from support.ledger import KEY, MODEL, OTHER_KEY

NOW = Clock().now
TEXT = '{"what": "the gallery does not read it: é"}'


def of(text: str, model: ModelId = MODEL) -> GalleryCalibration:
    return GalleryCalibration(str(model), text)


def opened(folder: Path, key: KeyEncryptionKey = KEY) -> Galleries:
    return Galleries.open(folder, key=key, index="numpy", clock=lambda: NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def galleries(folder: Path) -> Iterator[Galleries]:
    """Two galleries; the first has a template and a calibration."""
    with opened(folder) as made:
        for gallery_id in ("g", "h"):
            made.create(gallery_id, "", MODEL, 4)
        made.enrol("g", Enrolment("s", NewTemplate(Embedding(np.eye(4, dtype=np.float32)[0], MODEL))))
        made.set_calibration("g", of(TEXT))
        yield made


def test_it_is_kept_as_it_was_set(galleries: Galleries, folder: Path) -> None:
    before = galleries.get("g")
    assert before.calibration_sha256 is not None
    assert (before.version, before.template_count) == (3, 1)
    assert galleries.calibration("g") == TEXT
    assert (galleries.calibration("h"), galleries.get("h").calibration_sha256) == (None, None)
    assert galleries.set_calibration("g", of(TEXT)) == before  # done twice is the same as once
    changed = galleries.set_calibration("g", of("another"))
    assert changed == galleries.get("g")
    assert (changed.version, changed.calibration_sha256 != before.calibration_sha256) == (4, True)
    galleries.enrol("g", Enrolment("s", NewTemplate(Embedding(np.eye(4, dtype=np.float32)[1], MODEL))))
    galleries.close()
    with opened(folder) as again:
        assert again.calibration("g") == "another"
        assert again.get("g").calibration_sha256 == changed.calibration_sha256
        without = again.set_calibration("g", None)
        assert (without.calibration_sha256, without.version) == (None, 6)
        assert again.set_calibration("g", None) == without
        assert again.calibration("g") is None
        again.set_calibration("g", of(TEXT))
        again.delete("g")
        again.create("g", "", MODEL, 4)
        assert again.calibration("g") is None  # it went with its gallery
    verify(folder, KEY)


def test_what_is_refused_changes_nothing(galleries: Galleries, monkeypatch: pytest.MonkeyPatch) -> None:
    before = galleries.get("g")
    long = "é" * (MAX_CALIBRATION_BYTES // 2)
    with pytest.raises(CalibrationInvalid) as refused:
        galleries.set_calibration("g", of(long + "x"))
    assert refused.value.metadata == {"limit": str(MAX_CALIBRATION_BYTES)}
    with pytest.raises(CalibrationInvalid) as refused:
        galleries.set_calibration("g", of(TEXT, ModelId("null", "2", "0" * 64)))
    assert refused.value.metadata == {"expected": str(MODEL)}
    for call in (lambda: galleries.set_calibration("none", of(TEXT)), lambda: galleries.calibration("none")):
        with pytest.raises(UnknownGallery):
            call()
    with monkeypatch.context() as full:
        full.setattr(Database, "spare_bytes", lambda _: len(TEXT))
        with pytest.raises(StorageLow):
            galleries.set_calibration("h", of(TEXT))
        assert galleries.get("h").version == 1
        assert galleries.set_calibration("g", of(TEXT)) == before  # needs no room, nor does what follows
        assert galleries.set_calibration("g", None).version == before.version + 1
    galleries.set_calibration("g", of(long))
    assert galleries.calibration("g") == long


ALTERED = [
    "UPDATE calibrations SET calibration = 'x'",
    "DELETE FROM calibrations",
    "INSERT INTO calibrations SELECT 2, calibration FROM calibrations",
    "UPDATE calibrations SET gallery_no = 2",
]


@pytest.mark.parametrize("sql", ALTERED)
def test_one_that_was_altered_is_noticed(galleries: Galleries, folder: Path, sql: str) -> None:
    galleries.close()
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        connection.execute(f"PRAGMA foreign_keys = OFF; {sql}").fetchall()
    with pytest.raises(StoreCorrupt) as refused:
        opened(folder)
    assert refused.value.metadata == {"check": "calibration"}
    with pytest.raises(StoreCorrupt):
        verify(folder, KEY)


@pytest.mark.parametrize("sql", ALTERED[:2])
def test_one_that_is_altered_meanwhile_is_not_returned(galleries: Galleries, folder: Path, sql: str) -> None:
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        connection.execute(sql).fetchall()
    with pytest.raises(StoreCorrupt) as refused:
        galleries.calibration("g")
    assert refused.value.metadata == {"check": "calibration"}


def test_it_stays_under_another_key_and_in_backups(galleries: Galleries, folder: Path, tmp_path: Path) -> None:
    back_up(folder, KEY, tmp_path / "out", tmp_path / "keys", NOW)
    restore(tmp_path / "out", tmp_path / "keys", KEY, tmp_path / "new")
    with opened(tmp_path / "new") as again:
        assert (again.calibration("g"), again.calibration("h")) == (TEXT, None)
        assert again.get("g") == galleries.get("g")
    galleries.close()
    with closing(GalleryStore(folder, KEY)) as store:
        store.rotate(OTHER_KEY)
    with opened(folder, OTHER_KEY) as again:
        assert again.calibration("g") == TEXT


@pytest.mark.parametrize("sql", ALTERED)
@pytest.mark.usefixtures("galleries")
def test_one_that_was_altered_in_a_backup_is_noticed(folder: Path, tmp_path: Path, sql: str) -> None:
    back_up(folder, KEY, tmp_path / "out", tmp_path / "keys", NOW)
    with closing(apsw.Connection(str(tmp_path / "out"))) as connection:
        connection.execute(sql).fetchall()
    with pytest.raises(BackupUnusable) as refused:
        restore(tmp_path / "out", tmp_path / "keys", KEY, tmp_path / "new")
    assert refused.value.metadata == {"check": "calibration"}
    assert not (tmp_path / "new").exists()


def test_a_backup_without_calibrations_comes_back(galleries: Galleries, folder: Path, tmp_path: Path) -> None:
    galleries.set_calibration("g", None)
    back_up(folder, KEY, tmp_path / "today", tmp_path / "keys", NOW)
    first = replace(files.BACKUP_FILE, formats=files.BACKUP_FILE.formats[:1])
    (tmp_path / "out").touch()
    with (
        files.writing(first, tmp_path / "out", "") as old,
        closing(apsw.Connection(str(tmp_path / "today"))) as today,
        reading(folder, KEY) as source,
    ):
        for row in today.execute(f"SELECT {names(GALLERIES_V2)} FROM galleries"):
            old.execute(insertion("galleries", GALLERIES_V2), signed(source.vault, "galleries", *row[:-1]))
        before_audits = files.BACKUP_V2[:-1]
        for row in today.execute(f"SELECT {names(before_audits)} FROM backup"):
            old.execute(insertion("backup", files.BACKUP_V2), signed(source.vault, "backup", *row))
        for table in ("subjects", "templates", "photos"):
            for row in today.execute(f"SELECT * FROM {table}"):
                old.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    with closing(apsw.Connection(str(tmp_path / "out"))) as connection:
        assert connection.pragma("user_version") == 1
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE sql LIKE '%calibration%'").get == 0
    restore(tmp_path / "out", tmp_path / "keys", KEY, tmp_path / "new")
    with opened(tmp_path / "new") as again:
        assert again.get("g") == galleries.get("g")
        again.set_calibration("g", of(TEXT))
        assert again.calibration("g") == TEXT
