"""The audit of galleries: a record for each change, which names nobody; calibrations, kept and noticed when altered."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import apsw
import numpy as np
import pytest

from fr_core import errors
from fr_core.gallery.backup import files
from fr_core.gallery.backup.restore import restore
from fr_core.gallery.backup.take import back_up
from fr_core.gallery.backup.verify import reading
from fr_core.gallery.backup.verify import verify as verify_folder
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import DATABASE_NAME, GalleryStore
from fr_core.gallery.store.rows import GALLERIES_V2, insertion, names, signed
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.store.transaction import GalleryTransaction
from fr_core.gallery.values import (
    MAX_CALIBRATION_BYTES,
    Enrolment,
    GalleryCalibration,
    GalleryUpdate,
    GalleryUse,
    NewTemplate,
    SubjectUpdate,
    calibration_id,
)
from fr_core.storage.audit.attribution import Attribution, attributed
from fr_core.storage.audit.table import AuditTable
from fr_core.storage.audit.values import Record
from fr_core.storage.audit.verify import Verified, verify
from fr_core.storage.database import Database
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.location import Location
from fr_core.storage.postgres.database import PostgresDatabase
from fr_core.types import Embedding, ModelId
from support.audits import checkpoint_of, pseudonyms_of
from support.histories import Clock
from support.ledger import KEY, MODEL, OTHER_KEY, SIZE, embedding
from support.stores import SQLITE_ALONE, content, outside

NOW = Clock().now
NOW_MS = int(NOW.timestamp() * 1000)
WHO = Attribution("key:k3", ("operator", "admin"), "r-1", "investigation", "Case 7/2026")


def enrolment(subject_id: str, seed: int, photo: bytes | None = None) -> Enrolment:
    return Enrolment(subject_id, NewTemplate(embedding(seed), f"{seed:064x}", photo=photo), "A Name", {"k": "v"})


@pytest.fixture
def folder(location: Location) -> Location:
    return location


def opened(folder: Location, key: KeyEncryptionKey = KEY) -> Galleries:
    return Galleries.open(folder, key=key, index="numpy", clock=Clock())


@pytest.fixture
def galleries(folder: Location) -> Iterator[Galleries]:
    """A gallery of Ann with two templates, one with a photo, and Bob with one."""
    with opened(folder) as found:
        found.create("g", "A gallery", MODEL, SIZE, keeps_photos=True)
        found.enrol("g", enrolment("Ann", 1, b"a photo"))
        found.enrol("g", enrolment("Ann", 2))
        found.enrol("g", enrolment("Bob", 3))
        yield found


def records(galleries: Galleries, after: int = 0) -> list[Record]:
    with galleries.auditing() as audit:
        assert isinstance(verify(audit), Verified)
        return [kept.record for kept in audit.every(after)]


def seq(galleries: Galleries) -> int:
    with galleries.auditing() as audit:
        return audit.head().seq


def purge_late(galleries: Galleries) -> object:
    galleries.update("g", GalleryUpdate(retention=timedelta(seconds=1)))
    clock = galleries._clock
    assert isinstance(clock, Clock)
    clock.now += timedelta(days=1)
    return galleries.purge()


ONE = {"subjects": 1, "templates": 1}
NAMED = "null@1:000000000000"
# What is done, and what its record says beside the gallery "g" at version 5.
CHANGES: dict[str, tuple[Callable[[Galleries], object], dict[str, object]]] = {
    "gallery.create": (
        lambda g: g.create("h", "Another", MODEL, SIZE, use=GalleryUse.OPERATIONAL),
        {"gallery": "h", "version": 1, "model": NAMED, "detail": {"use": "operational", "keeps_photos": "false"}},
    ),
    "gallery.update": (
        lambda g: g.update("g", GalleryUpdate("Other", NOW + timedelta(days=1), timedelta(days=2))),
        {
            "detail": {
                "fields": "display_name,expires,retention",
                "expires": "2026-01-03T00:00:00Z",
                "retention_s": "172800",
            }
        },
    ),
    "gallery.set_calibration": (
        lambda g: g.set_calibration("g", GalleryCalibration(str(MODEL), "text")),
        {"detail": {"calibration": calibration_id("text")}},
    ),
    "gallery.delete": (lambda g: g.delete("g"), {"counts": {"subjects": 2, "templates": 3}}),
    "gallery.enrol": (
        lambda g: g.enrol("g", enrolment("Eve", 9)),
        {"subjects": ("Eve",), "model": NAMED, "counts": ONE, "detail": {"template_id": "4"}},
    ),
    "gallery.enrol_many": (
        lambda g: g.enrol_many("g", [enrolment("Eve", 9), enrolment("Ann", 1), enrolment("Eve", 10)]),
        {"subjects": ("Eve",), "model": NAMED, "counts": {"kept": 2, "refused": 1}},
    ),
    "gallery.update_subject": (
        lambda g: g.update_subject("g", "Ann", SubjectUpdate(metadata={})),
        {"subjects": ("Ann",), "detail": {"fields": "metadata"}},
    ),
    "gallery.delete_subject": (
        lambda g: g.delete_subject("g", "Ann"),
        {"subjects": ("Ann",), "counts": {"templates": 2}},
    ),
    "gallery.erase_subject": (
        lambda g: g.erase_subject("g", "Ann"),
        {"subjects": ("Ann",), "counts": {"receipts": 1, "templates": 2, "photos": 1}},
    ),
    "gallery.delete_template": (
        lambda g: g.delete_template("g", 2),
        {"counts": {"templates": 1}, "detail": {"template_id": "2"}},
    ),
    "gallery.purge": (purge_late, {"version": 6, "counts": {"templates": 3, "subjects": 2}}),
}


@pytest.mark.parametrize("action", CHANGES)
def test_a_change_is_told_with_who_asked_for_it(galleries: Galleries, action: str) -> None:
    change, expected = CHANGES[action]
    before = seq(galleries)
    with attributed(WHO):
        change(galleries)
    *_, record = records(galleries, before)
    pseudonyms = pseudonyms_of(galleries)
    who = (record.actor, record.roles, record.request_id, record.purpose, record.case)
    assert who == ("key:k3", ("admin", "operator"), "r-1", "investigation", pseudonyms.case("Case 7/2026"))
    assert (record.action, record.outcome) == (action, "OK")
    where = (record.gallery, record.gallery_version)
    assert where == (expected.get("gallery", "g"), expected.get("version", 5))
    subjects = expected.get("subjects", ())
    assert isinstance(subjects, tuple)
    assert record.subjects == tuple(pseudonyms.subject("g", one) for one in subjects)
    assert (record.model, record.threshold) == (expected.get("model"), None)
    assert dict(record.counts) == expected.get("counts", {})
    assert dict(record.detail) == expected.get("detail", {})
    assert len(records(galleries, before)) == (2 if action == "gallery.purge" else 1)


def test_outside_of_calls_it_is_the_system(galleries: Galleries) -> None:
    first, *_ = records(galleries)
    assert (first.actor, first.roles, first.request_id, first.case, first.at_ms) == ("system", (), None, None, NOW_MS)


def test_more_subjects_than_a_record_holds_are_told_in_several(galleries: Galleries) -> None:
    before = seq(galleries)
    many = [enrolment(f"Subject {number}", 100 + number) for number in range(1_002)]
    galleries.enrol_many("g", [enrolment("Ann", 1), *many])
    told = records(galleries, before)
    assert [dict(record.counts) for record in told] == [{"kept": 1_000, "refused": 1}, {"kept": 2, "refused": 0}]
    assert len({subject for record in told for subject in record.subjects}) == 1_002
    assert {record.gallery_version for record in told} == {5}


def test_what_changes_nothing_and_what_is_refused_is_not_told(galleries: Galleries) -> None:
    calibration = GalleryCalibration(str(MODEL), "text")
    galleries.set_calibration("g", calibration)
    before = seq(galleries)
    galleries.set_calibration("g", calibration)
    galleries.purge()
    galleries.purge(dry_run=True)
    galleries.enrol_many("g", [enrolment("Ann", 1)])
    with pytest.raises(errors.DuplicateImage):
        galleries.enrol("g", enrolment("Ann", 1))
    with pytest.raises(errors.UnknownSubject):
        galleries.erase_subject("g", "Nobody")
    assert seq(galleries) == before
    galleries.enrol("g", enrolment("Ann", 50))  # the control
    assert [record.action for record in records(galleries, before)] == ["gallery.enrol"]


def test_a_failed_transaction_leaves_no_record(galleries: Galleries, monkeypatch: pytest.MonkeyPatch) -> None:
    before = seq(galleries)
    append = AuditTable.append

    def and_fail(*arguments: object) -> int:
        append(*arguments)  # type: ignore[arg-type]
        raise errors.StoreFailed("The disk is gone.")

    with monkeypatch.context() as patched:
        patched.setattr(AuditTable, "append", and_fail)
        with pytest.raises(errors.StoreFailed):
            galleries.delete_subject("g", "Ann")
    assert (seq(galleries), galleries.get("g").version) == (before, 4)
    assert galleries.subject("g", "Ann").subject_id == "Ann"
    galleries.delete_subject("g", "Ann")  # the chain goes on
    assert [record.gallery_version for record in records(galleries)] == [1, 2, 3, 4, 5]


def test_a_change_without_its_record_is_not_made(galleries: Galleries, monkeypatch: pytest.MonkeyPatch) -> None:
    before = seq(galleries)
    record = GalleryTransaction.record

    def and_fail(*arguments: object) -> None:
        record(*arguments)  # type: ignore[arg-type]
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(GalleryTransaction, "record", and_fail)
        with pytest.raises(ZeroDivisionError):
            galleries.delete_template("g", 1)
    galleries.delete_template("g", 2)
    (told,) = records(galleries, before)
    assert (told.gallery_version, dict(told.detail)) == (5, {"template_id": "2"})
    assert galleries.template("g", 1).photo == b"a photo"


def test_an_altered_head_stops_every_change(galleries: Galleries, folder: Location) -> None:
    damage(folder, "UPDATE audit_head SET seq = 3")
    with pytest.raises(errors.StoreCorrupt) as refused:
        galleries.delete_template("g", 1)
    assert refused.value.metadata["check"] == "audit_head"
    assert galleries.get("g").template_count == 3


def damage(folder: Location, sql: str) -> None:
    outside(folder, SCHEMA, sql)


DAMAGES = {
    "UPDATE audit SET body = (SELECT body FROM audit WHERE seq = 3) WHERE seq = 2": "edited",
    "UPDATE audit SET hash = zeroblob(32) WHERE seq = 4": "edited",
    "UPDATE audit SET mac = zeroblob(16) WHERE seq = 3": "edited",
    "DELETE FROM audit WHERE seq = 2": "missing",
    "DELETE FROM audit WHERE seq = 4": "truncated",
    "DELETE FROM audit": "truncated",
    "UPDATE audit SET seq = seq + 10 WHERE seq = 3": "missing",
    "INSERT INTO audit SELECT 5, body, hash, mac FROM audit WHERE seq = 4": "edited",
    "UPDATE audit_head SET seq = 3": "head_altered",
    "UPDATE audit_head SET chain_id = substr(chain_id, 2) || 'x'": "head_altered",
    "DELETE FROM audit_head": "head_altered",
}


@pytest.mark.parametrize("sql", DAMAGES)
def test_a_store_with_an_altered_audit_does_not_open(galleries: Galleries, folder: Location, sql: str) -> None:
    galleries.close()
    damage(folder, sql)
    before = content(folder, SCHEMA)
    with pytest.raises(errors.StoreCorrupt) as refused:
        opened(folder)
    assert refused.value.metadata["check"] in ("audit", "audit_head")
    assert content(folder, SCHEMA) == before
    with pytest.raises(errors.StoreCorrupt) as refused:
        verify_folder(folder, KEY)
    why = refused.value.metadata["why"]
    assert (refused.value.metadata["check"], why in (DAMAGES[sql], "inserted", "out_of_order")) == ("audit", True)


def test_the_start_looks_at_the_newest_records_and_verification_at_all(
    galleries: Galleries, folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fr_core.storage.audit.verify._RECENT", 2)
    galleries.close()
    damage(folder, "UPDATE audit SET mac = zeroblob(16) WHERE seq = 1")
    opened(folder).close()
    with pytest.raises(errors.StoreCorrupt) as refused:
        verify_folder(folder, KEY)
    assert refused.value.metadata == {"check": "audit", "seq": "1", "why": "edited"}
    damage(folder, "UPDATE audit SET mac = zeroblob(16) WHERE seq = 3")
    with pytest.raises(errors.StoreCorrupt):
        opened(folder)


def test_the_chain_goes_on_after_a_start_and_under_another_key(galleries: Galleries, folder: Location) -> None:
    before, name = checkpoint_of(galleries), pseudonyms_of(galleries).subject("g", "Ann")
    galleries.close()
    with closing(GalleryStore(folder, KEY)) as store:
        assert checkpoint_of(store).hash == before.hash
        assert pseudonyms_of(store).subject("g", "Ann") == name
        store.rotate(OTHER_KEY)
    with Galleries.open(folder, key=OTHER_KEY, index="numpy") as again:
        again.enrol("g", enrolment("Eve", 9))
        assert pseudonyms_of(again).subject("g", "Ann") == name
        with again.auditing() as audit:
            assert verify(audit, [before]) == Verified(before.chain_id, 5, 5, 1)


@SQLITE_ALONE
@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_store_of_before_the_audit_begins_a_chain(folder: Path, version: int) -> None:
    Database(folder, replace(SCHEMA, migrations=SCHEMA.migrations[:version]), KEY, 0).close()
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        assert connection.pragma("user_version") == version
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'audit%'").get == 0
    with opened(folder) as galleries:
        assert records(galleries) == []
        galleries.create("g", "", MODEL, SIZE)
        assert [record.action for record in records(galleries)] == ["gallery.create"]
        assert checkpoint_of(galleries).seq == 1
    assert verify_folder(folder, KEY).audit_records == 1


@SQLITE_ALONE
def test_a_restored_store_says_from_which_chain_it_comes(galleries: Galleries, folder: Path, tmp_path: Path) -> None:
    back_up(folder, KEY, tmp_path / "out", tmp_path / "keys", NOW)
    before = checkpoint_of(galleries)
    galleries.erase_subject("g", "Bob")
    back_up(folder, KEY, tmp_path / "out-2", tmp_path / "keys", NOW)
    with attributed(WHO):
        restore(tmp_path / "out", tmp_path / "keys", KEY, tmp_path / "new", clock_ms=lambda: NOW_MS + 5)
    with opened(tmp_path / "new") as again:
        (told,) = records(again)
        assert (told.action, told.actor, told.at_ms) == ("gallery.restore", "key:k3", NOW_MS + 5)
        chain = {"chain_id": before.chain_id, "seq": "4", "hash": before.hash}
        assert dict(told.detail) == {"backup_created": "2026-01-02T00:00:00Z", **chain}
        assert dict(told.counts) == {"galleries": 1, "subjects": 1, "left_out": 1}
        assert checkpoint_of(again).chain_id != before.chain_id
        assert pseudonyms_of(again).subject("g", "Ann") != pseudonyms_of(galleries).subject("g", "Ann")


TEXT = '{"what": "the gallery does not read it: é"}'


def of(text: str, model: ModelId = MODEL) -> GalleryCalibration:
    return GalleryCalibration(str(model), text)


@pytest.fixture
def calibrated(folder: Location) -> Iterator[Galleries]:
    """Two galleries; the first has a template and a calibration."""
    with opened(folder) as made:
        for gallery_id in ("g", "h"):
            made.create(gallery_id, "", MODEL, 4)
        made.enrol("g", Enrolment("s", NewTemplate(Embedding(np.eye(4, dtype=np.float32)[0], MODEL))))
        made.set_calibration("g", of(TEXT))
        yield made


def test_it_is_kept_as_it_was_set(calibrated: Galleries, folder: Location) -> None:
    before = calibrated.get("g")
    assert before.calibration_sha256 is not None
    assert (before.version, before.template_count) == (3, 1)
    assert calibrated.calibration("g") == TEXT
    assert (calibrated.calibration("h"), calibrated.get("h").calibration_sha256) == (None, None)
    assert calibrated.set_calibration("g", of(TEXT)) == before  # done twice is the same as once
    changed = calibrated.set_calibration("g", of("another"))
    assert changed == calibrated.get("g")
    assert (changed.version, changed.calibration_sha256 != before.calibration_sha256) == (4, True)
    calibrated.enrol("g", Enrolment("s", NewTemplate(Embedding(np.eye(4, dtype=np.float32)[1], MODEL))))
    calibrated.close()
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
    verify_folder(folder, KEY)


def test_what_is_refused_changes_nothing(
    calibrated: Galleries, monkeypatch: pytest.MonkeyPatch, folder: Location
) -> None:
    before = calibrated.get("g")
    long = "é" * (MAX_CALIBRATION_BYTES // 2)
    with pytest.raises(errors.CalibrationInvalid) as refused:
        calibrated.set_calibration("g", of(long + "x"))
    assert refused.value.metadata == {"limit": str(MAX_CALIBRATION_BYTES)}
    with pytest.raises(errors.CalibrationInvalid) as refused:
        calibrated.set_calibration("g", of(TEXT, ModelId("null", "2", "0" * 64)))
    assert refused.value.metadata == {"expected": str(MODEL)}
    for call in (lambda: calibrated.set_calibration("none", of(TEXT)), lambda: calibrated.calibration("none")):
        with pytest.raises(errors.UnknownGallery):
            call()
    database = Database if isinstance(folder, Path) else PostgresDatabase
    with monkeypatch.context() as full:
        full.setattr(database, "spare_bytes", lambda _: len(TEXT))
        with pytest.raises(errors.StorageLow):
            calibrated.set_calibration("h", of(TEXT))
        assert calibrated.get("h").version == 1
        assert calibrated.set_calibration("g", of(TEXT)) == before  # needs no room, nor does what follows
        assert calibrated.set_calibration("g", None).version == before.version + 1
    calibrated.set_calibration("g", of(long))
    assert calibrated.calibration("g") == long


ALTERED = [
    "UPDATE calibrations SET calibration = 'x'",
    "DELETE FROM calibrations",
    "INSERT INTO calibrations SELECT 2, calibration FROM calibrations",
    "UPDATE calibrations SET gallery_no = 2",
]


@SQLITE_ALONE
@pytest.mark.parametrize("sql", ALTERED)
def test_an_altered_one_is_noticed_in_store_and_backup(
    calibrated: Galleries, folder: Path, tmp_path: Path, sql: str
) -> None:
    back_up(folder, KEY, tmp_path / "out", tmp_path / "keys", NOW)
    with closing(apsw.Connection(str(tmp_path / "out"))) as connection:
        connection.execute(sql).fetchall()
    with pytest.raises(errors.BackupUnusable) as unusable:
        restore(tmp_path / "out", tmp_path / "keys", KEY, tmp_path / "new")
    assert (unusable.value.metadata, (tmp_path / "new").exists()) == ({"check": "calibration"}, False)
    if sql in ALTERED[:2]:  # noticed meanwhile as well
        damage(folder, sql)
        with pytest.raises(errors.StoreCorrupt) as refused:
            calibrated.calibration("g")
        assert refused.value.metadata == {"check": "calibration"}
    calibrated.close()
    damage(folder, f"PRAGMA foreign_keys = OFF; {sql}")
    with pytest.raises(errors.StoreCorrupt) as refused:
        opened(folder)
    assert refused.value.metadata == {"check": "calibration"}
    with pytest.raises(errors.StoreCorrupt):
        verify_folder(folder, KEY)


@SQLITE_ALONE
def test_it_stays_under_another_key_and_in_backups(calibrated: Galleries, folder: Path, tmp_path: Path) -> None:
    back_up(folder, KEY, tmp_path / "out", tmp_path / "keys", NOW)
    restore(tmp_path / "out", tmp_path / "keys", KEY, tmp_path / "new")
    with opened(tmp_path / "new") as again:
        assert (again.calibration("g"), again.calibration("h")) == (TEXT, None)
        assert again.get("g") == calibrated.get("g")
    calibrated.close()
    with closing(GalleryStore(folder, KEY)) as store:
        store.rotate(OTHER_KEY)
    with opened(folder, OTHER_KEY) as again:
        assert again.calibration("g") == TEXT


@SQLITE_ALONE
def test_a_backup_without_calibrations_comes_back(calibrated: Galleries, folder: Path, tmp_path: Path) -> None:
    calibrated.set_calibration("g", None)
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
        assert again.get("g") == calibrated.get("g")
        again.set_calibration("g", of(TEXT))
        assert again.calibration("g") == TEXT
