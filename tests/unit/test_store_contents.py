"""The store of galleries: what it keeps, promises the disk, refuses as damage, purges and finds room for."""

import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import apsw
import numpy as np
import pytest

from fr_core.errors import (
    GalleryExpired,
    StorageLow,
    StoreCorrupt,
    StoreFailed,
    StoreInUse,
    UnknownGallery,
    UnknownSubject,
)
from fr_core.gallery import changes
from fr_core.gallery.backup.verify import verify
from fr_core.gallery.store.gallery_store import DATABASE_NAME, GalleryStore
from fr_core.gallery.store.rows import unpacked_metadata
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.store.template_codec import pack_vector, unpack_vectors
from fr_core.gallery.store.transaction import Numbers
from fr_core.gallery.store.values import GalleryRow
from fr_core.gallery.values import (
    Enrolled,
    Enrolment,
    GalleryInfo,
    NewTemplate,
    Purged,
    Subject,
    SubjectName,
    SubjectUpdate,
)
from fr_core.storage import log_copier
from fr_core.storage.connection import PAGE_BYTES
from fr_core.storage.data_folder import DataFolder
from fr_core.storage.driver_errors import driver_errors
from fr_core.storage.location import Location
from fr_core.types import F32, Embedding
from support.ledger import KEY, MODEL, SIZE, embedding
from support.stores import SQLITE_ALONE, outside

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
HOUR = timedelta(hours=1)
PHOTO = b"\xff\xd8 a photo of somebody " + bytes(range(256)) * 200


def gallery(name: str, **more: Any) -> GalleryInfo:
    return replace(GalleryInfo(name, "", MODEL, SIZE, NOW, 0, 0, 1), **more)


@pytest.fixture
def store(location: Location) -> Iterator[GalleryStore]:
    opened = GalleryStore(location, KEY)
    assert list(opened.vectors(10)) == []
    yield opened
    opened.close()


def run(store: GalleryStore, change: Any) -> Any:
    with store.transaction() as transaction, transaction.item():
        done: changes.Done[Any] = change.run(transaction)
    return done.result


def enrol(
    store: GalleryStore,
    name: str,
    subject: str,
    number: int,
    *,
    photo: bytes | None = None,
    quality: float | None = None,
    metadata: Mapping[str, str] | None = None,
    now: datetime = NOW,
) -> Enrolled:
    template = NewTemplate(embedding(number), f"{number:064x}", quality, photo)
    enrolled: Enrolled = run(store, changes.Enrol(name, Enrolment(subject, template, "Name", metadata or {}), now))
    return enrolled


def row_of(store: GalleryStore, name: str) -> GalleryRow:
    with store.snapshot() as snapshot:
        row = snapshot.gallery(name)
    assert row is not None
    return row


def counts(store: GalleryStore, name: str) -> tuple[int, int]:
    info = row_of(store, name).info
    return info.subject_count, info.template_count


def spoil(location: Location, sql: str) -> None:
    outside(location, SCHEMA, sql)


def test_a_photo_is_kept_where_the_gallery_keeps_photos(store: GalleryStore, location: Location) -> None:
    for name, keeps in (("g", True), ("h", False)):
        run(store, changes.CreateGallery(gallery(name, keeps_photos=keeps)))
        for number, photo in ((1, PHOTO), (2, None), (3, b"")):
            template_id = enrol(store, name, "s", number, photo=photo, quality=0.25).template_id
            gallery_no = row_of(store, name).gallery_no
            with store.snapshot() as snapshot:
                kept = snapshot.template(gallery_no, template_id)
                assert snapshot.template(gallery_no + 7, template_id) is None
            assert kept is not None
            assert (kept.subject_id, kept.photo) == ("s", photo if keeps else None)
            assert kept.embedding.model == MODEL
            assert (kept.embedding.vector == embedding(number).vector).all()
            assert (kept.info.template_id, kept.info.quality, kept.info.created) == (template_id, 0.25, NOW)
    assert verify(location, KEY).photos == 2


def test_photos_go_with_their_templates(store: GalleryStore, location: Location) -> None:
    run(store, changes.CreateGallery(gallery("g", keeps_photos=True)))
    ids = [enrol(store, "g", f"s{number // 2}", number, photo=PHOTO).template_id for number in range(8)]
    run(store, changes.DeleteTemplate("g", ids[0]))
    assert verify(location, KEY).photos == 7
    run(store, changes.DeleteSubject("g", "s1"))
    assert verify(location, KEY).photos == 5
    erased = run(store, changes.EraseSubject("g", "s2", NOW))
    assert (erased.templates, erased.photos, erased.erased) == (2, 2, NOW)
    assert verify(location, KEY).photos == 3
    with store.transaction() as transaction:
        transaction.delete_gallery(row_of(store, "g").gallery_no)
    assert verify(location, KEY).photos == 0


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE photos SET sealed = (SELECT o.sealed FROM photos o WHERE o.template_id = 3 - photos.template_id)",
        "UPDATE photos SET sealed = substr(sealed, 2)",
        "DELETE FROM photos",
        "UPDATE templates SET sealed = (SELECT o.sealed FROM templates o WHERE o.template_id = 3 - "
        "templates.template_id)",
        "UPDATE templates SET has_photo = 0",
    ],
)
def test_a_photo_that_was_exchanged_or_taken_away_is_not_served(
    store: GalleryStore, location: Location, sql: str
) -> None:
    run(store, changes.CreateGallery(gallery("g", keeps_photos=True)))
    for number in (1, 2):
        enrol(store, "g", "s", number, photo=PHOTO)
    spoil(location, sql)
    with store.snapshot() as snapshot, pytest.raises(StoreCorrupt):
        snapshot.template(1, 1)
    with pytest.raises(StoreCorrupt):
        verify(location, KEY)


def test_a_quality_of_minus_zero_comes_back(store: GalleryStore) -> None:
    """SQLite keeps no sign of zero; a template bound to one could not be opened again."""
    run(store, changes.CreateGallery(gallery("g")))
    enrol(store, "g", "s", 1, quality=-0.0)
    assert sum(len(block.template_ids) for block in store.vectors(10)) == 1


def test_a_row_of_metadata_that_was_altered_is_not_filtered_by(store: GalleryStore, location: Location) -> None:
    run(store, changes.CreateGallery(gallery("g")))
    enrol(store, "g", "s", 1, metadata={"team": "red"})
    spoil(location, "UPDATE subject_metadata SET value = 'blue'")
    with store.snapshot() as snapshot:
        with pytest.raises(StoreCorrupt):
            snapshot.subjects_with(1, "team", "blue")
        with pytest.raises(StoreCorrupt):
            snapshot.has_metadata_key(1, "team")
    with pytest.raises(StoreCorrupt):  # that it is missing from the others is found when all is read
        list(store.vectors(10))


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("UPDATE subjects SET display_name = 'x'", lambda s: s.subject(1, "s")),
        ("UPDATE subjects SET display_name = 'x'", lambda s: s.subjects(1, "", 9)),
        ("UPDATE subjects SET display_name = 'x'", lambda s: s.subject_names(np.array([1]))),
        ("UPDATE subjects SET display_name = 'x'", lambda s: s.subject_no(1, "s")),
        ("UPDATE templates SET created_us = 0", lambda s: s.subject(1, "s")),
        ("UPDATE templates SET quality = 1", lambda s: s.template(1, 1)),
        ("UPDATE templates SET created_us = 0", lambda s: s.expired(NOW, 9)),
        ("UPDATE galleries SET retention_us = 1", lambda s: s.expired(NOW, 9)),
        ("UPDATE galleries SET version = 77", lambda s: s.gallery("g")),
        ("UPDATE galleries SET version = 77", lambda s: s.galleries("", 9)),
    ],
)
def test_no_altered_row_is_served(
    store: GalleryStore, location: Location, sql: str, read: Callable[[Any], object]
) -> None:
    run(store, changes.CreateGallery(gallery("g", retention=HOUR)))
    enrol(store, "g", "s", 1)
    with store.snapshot() as snapshot:
        read(snapshot)
    spoil(location, sql)
    with store.snapshot() as snapshot, pytest.raises(StoreCorrupt):
        read(snapshot)


def test_a_name_needs_no_template(store: GalleryStore, location: Location) -> None:
    run(store, changes.CreateGallery(gallery("g")))
    enrol(store, "g", "s", 1)
    spoil(location, "UPDATE templates SET sealed = x'00'")
    with store.snapshot() as snapshot:
        assert snapshot.subject_names(np.array([1]))[1].subject_id == "s"
        with pytest.raises(StoreCorrupt):  # the control: this one is decrypted
            snapshot.subject(1, "s")


def test_a_row_that_was_hidden_and_is_in_the_way_is_damage(store: GalleryStore, location: Location) -> None:
    run(store, changes.CreateGallery(gallery("g")))
    spoil(location, "INSERT INTO subjects VALUES (1, 1, 'hidden', '', '', 0, x'', x'')")
    with pytest.raises(StoreCorrupt):
        enrol(store, "g", "s", 1)
    assert counts(store, "g") == (0, 0)


def test_a_row_that_was_altered_is_not_written_again_as_if_it_were_sound(
    store: GalleryStore, location: Location
) -> None:
    run(store, changes.CreateGallery(gallery("g")))
    enrol(store, "g", "s", 1)
    spoil(location, "UPDATE subjects SET display_name = 'x'")
    with pytest.raises(StoreCorrupt):
        enrol(store, "g", "s", 2, metadata={"a": "b"})
    with pytest.raises(StoreCorrupt), store.transaction() as transaction:
        transaction.update_subject(1, SubjectUpdate("y"))
    spoil(location, "UPDATE galleries SET template_count = 7")
    with pytest.raises(StoreCorrupt), store.transaction() as transaction:
        transaction.changed(1, 0, 1)


def test_a_number_is_not_given_again_after_a_rollback_or_a_restart(store: GalleryStore, location: Location) -> None:
    def enrol_and_fail() -> None:
        with store.transaction() as transaction, transaction.item():
            changes.Enrol("g", Enrolment("t", NewTemplate(embedding(2))), NOW).run(transaction)
            raise ZeroDivisionError

    run(store, changes.CreateGallery(gallery("g")))
    assert enrol(store, "g", "s", 1).template_id == 1
    with pytest.raises(ZeroDivisionError):
        enrol_and_fail()
    assert enrol(store, "g", "u", 3).template_id == 3
    run(store, changes.DeleteSubject("g", "u"))
    store.close()
    with closing(GalleryStore(location, KEY)) as again:
        assert enrol(again, "g", "v", 4).template_id == 4
        with again.snapshot() as snapshot:
            assert snapshot.subject_no(1, "v") == 4
    numbers = Numbers({"subjects": 4})
    assert [numbers.next(table) for table in ("subjects", "galleries", "subjects")] == [5, 1, 6]


def test_counts_that_are_written_late_are_right_whatever_is_undone(store: GalleryStore, location: Location) -> None:
    def add(transaction: Any, number: int, fail: bool) -> None:
        with transaction.item():
            changes.Enrol("g", Enrolment(f"s{number}", NewTemplate(embedding(number))), NOW).run(transaction)
            if number % 2:
                transaction.galleries("", 9)  # which writes what was kept back
            if fail:
                raise ZeroDivisionError

    run(store, changes.CreateGallery(gallery("g")))
    with store.transaction() as transaction:
        for number in range(12):
            if number % 3 == 0:
                with pytest.raises(ZeroDivisionError):
                    add(transaction, number, True)
            else:
                add(transaction, number, False)
            row = transaction.gallery("g")
            assert row is not None
            assert transaction.galleries("", 9) == (row,)
    assert counts(store, "g") == (8, 8)
    assert row_of(store, "g").info.version == 9
    assert verify(location, KEY).templates == 8


def test_a_gallery_that_is_deleted_and_made_again_in_one_transaction(store: GalleryStore) -> None:
    run(store, changes.CreateGallery(gallery("g")))
    with store.transaction() as transaction:
        transaction.changed(1, 0, 0)
        transaction.delete_gallery(1)
        assert transaction.gallery("g") is None
        assert transaction.insert_gallery(gallery("g")) == 2
        transaction.changed(2, 0, 0)
    assert (row_of(store, "g").gallery_no, row_of(store, "g").info.version) == (2, 2)


def test_a_gallery_takes_nothing_more_from_its_end_on(store: GalleryStore) -> None:
    run(store, changes.CreateGallery(gallery("g", expires=NOW + HOUR)))
    before_end = NOW + HOUR - timedelta(microseconds=1)
    enrol(store, "g", "s", 1, now=before_end)
    with store.snapshot() as snapshot:
        assert changes.open_gallery(snapshot, "g", before_end).info.template_count == 1
        with pytest.raises(GalleryExpired):
            changes.open_gallery(snapshot, "g", NOW + HOUR)
        with pytest.raises(UnknownGallery):
            changes.open_gallery(snapshot, "h", NOW)
    with pytest.raises(GalleryExpired):
        enrol(store, "g", "s", 2, now=NOW + HOUR)
    run(store, changes.EraseSubject("g", "s", NOW + 2 * HOUR))  # who is in it can still be erased
    assert counts(store, "g") == (0, 0)


def test_what_has_been_kept_long_enough_is_purged_in_steps(store: GalleryStore, location: Location) -> None:
    for name, retention in (("day", 24 * HOUR), ("ever", None), ("hour", HOUR)):
        run(store, changes.CreateGallery(gallery(name, retention=retention, keeps_photos=True)))
        for number in range(5):
            enrol(store, name, f"s{number}", number, photo=PHOTO)
        enrol(store, name, "s4", 50, now=NOW + HOUR)  # s4 has one that is younger
        enrol(store, name, "s5", 51, now=NOW + HOUR)
    run(store, changes.DeleteTemplate("hour", 15))  # s0 has had none for long, and is not the purge's to delete
    assert run(store, changes.PurgeExpired(NOW + HOUR - timedelta(microseconds=1), 100)) == ()
    with store.snapshot() as snapshot:
        expired = snapshot.expired(NOW + HOUR, 100)
    assert [(one.gallery_id, one.template_id) for one in expired] == [("hour", no) for no in (16, 17, 18, 19)]
    assert run(store, changes.PurgeExpired(NOW + HOUR, 3)) == (Purged("hour", 3, 3),)
    assert run(store, changes.PurgeExpired(NOW + HOUR, 3)) == (Purged("hour", 1, 0),)
    assert run(store, changes.PurgeExpired(NOW + HOUR, 3)) == ()
    assert counts(store, "hour") == (3, 2)
    assert run(store, changes.PurgeExpired(NOW + 100 * HOUR, 100)) == (Purged("day", 7, 6), Purged("hour", 2, 2))
    assert [counts(store, name) for name in ("day", "ever", "hour")] == [(0, 0), (6, 7), (1, 0)]
    assert verify(location, KEY).photos == 5


def test_an_erasure_leaves_a_receipt_that_does_not_say_whose(store: GalleryStore, location: Location) -> None:
    run(store, changes.CreateGallery(gallery("g")))
    for number in (1, 2):
        enrol(store, "g", "s", number)
    erased = run(store, changes.EraseSubject("g", "s", NOW))
    assert len(erased.receipt_id) == 16
    assert (erased.templates, erased.photos, erased.gallery_version) == (2, 0, 4)
    ((receipt, gallery_no, templates, photos, _, _),) = outside(location, SCHEMA, "SELECT * FROM erasures")
    assert (receipt, gallery_no, templates, photos) == (erased.receipt_id, 1, 2, 0)
    for refused in (changes.EraseSubject("g", "s", NOW), changes.EraseSubject("g", "", NOW)):
        with pytest.raises(UnknownSubject):
            run(store, refused)
    spoil(location, "UPDATE erasures SET templates = 1")
    with pytest.raises(StoreCorrupt):
        verify(location, KEY)


def test_growth_is_refused_on_a_nearly_full_disk(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run(store, changes.CreateGallery(gallery("g", keeps_photos=True)))
    enrol(store, "g", "s", 1)
    spare, asked = [0], []

    def spare_bytes(_: object) -> int:
        asked.append(spare[0])
        return spare[0]

    monkeypatch.setattr(type(store.database), "spare_bytes", spare_bytes)
    with pytest.raises(StorageLow):
        enrol(store, "g", "s", 2)
    with pytest.raises(StorageLow):
        run(store, changes.CreateGallery(gallery("h")))
    spare[0] = 12_000
    asked.clear()
    with pytest.raises(StorageLow):
        enrol(store, "g", "s", 2, photo=PHOTO)
    with store.transaction() as transaction:
        # 1,024 bytes and a vector each.
        for number in range(9):
            changes.Enrol("g", Enrolment("t", NewTemplate(embedding(number))), NOW).run(transaction)
        one_more = changes.Enrol("g", Enrolment("t", NewTemplate(embedding(9))), NOW)
        with pytest.raises(StorageLow):
            one_more.run(transaction)
    assert len(asked) == 2  # once for each transaction
    run(store, changes.EraseSubject("g", "s", NOW))
    store.scrub()
    assert counts(store, "g") == (1, 9)


def test_the_reserve_is_at_most_an_eighth_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(DataFolder(tmp_path, SCHEMA)) as folder:
        assert folder.spare_bytes(0) > 0
        with monkeypatch.context() as patched:
            disk = SimpleNamespace(f_bavail=50, f_frsize=4096, f_blocks=800)
            patched.setattr(os, "statvfs", lambda _: disk)
            assert folder.spare_bytes(4096) == 49 * 4096
            assert folder.spare_bytes(2**62) == -50 * 4096
        tmp_path.rename(tmp_path.with_name("elsewhere"))
        with pytest.raises(StoreFailed):
            folder.spare_bytes(0)


INFO = GalleryInfo("g", "A gallery", MODEL, 4, NOW, 0, 0, 1)


def axis(number: int = 0) -> F32:
    vector = np.zeros(4, dtype=np.float32)
    vector[number] = 1.0
    return vector


@SQLITE_ALONE
def test_commits_are_durable_and_readers_cannot_write(store: GalleryStore) -> None:
    writer = cast(apsw.Connection, store.database.writer)
    full, memory = 2, 2
    expected = {"journal_mode": "wal", "synchronous": full, "secure_delete": 1, "foreign_keys": 1, "temp_store": memory}
    expected |= {"application_id": SCHEMA.application_id, "user_version": SCHEMA.version}
    assert {name: writer.pragma(name) for name in expected} == expected
    with store.snapshot() as snapshot:
        with pytest.raises(apsw.ReadOnlyError):
            snapshot.connection.execute("DELETE FROM galleries")
        with pytest.raises(StoreFailed), driver_errors():
            snapshot.connection.execute("DELETE FROM galleries")


def test_folders_are_for_their_owner_behind_links_too(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    GalleryStore(folder, KEY).close()
    (folder / DATABASE_NAME).chmod(0o644)
    with closing(GalleryStore(folder, KEY)) as store:
        assert list(store.vectors(10)) == []
        with store.transaction() as transaction:
            transaction.insert_gallery(INFO)
        files = sorted(folder.iterdir())
        assert [file.name for file in files] == [
            DATABASE_NAME,
            "galleries.db-shm",
            "galleries.db-wal",
            "galleries.lock",
        ]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    with closing(GalleryStore(tmp_path / "link" / "data", KEY)) as store:
        assert list(store.vectors(10)) == []
        with pytest.raises(StoreInUse):
            GalleryStore(tmp_path / "disk" / "data", KEY)


@pytest.mark.parametrize("name", ["data", DATABASE_NAME])
def test_a_name_that_is_taken_is_refused(tmp_path: Path, name: str) -> None:
    """A file where the folder should be; a folder where the database should be."""
    if name == "data":
        (tmp_path / name).touch()
    else:
        (tmp_path / "data" / name).mkdir(parents=True)
    with pytest.raises(StoreFailed):
        GalleryStore(tmp_path / "data", KEY)


def test_a_store_is_read_ahead_from_end_to_end_before_its_file_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    GalleryStore(tmp_path, KEY).close()
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, length, advice: asked.append((start, start + length)))
    GalleryStore(tmp_path, KEY).close()
    assert asked[0][0] == 0
    assert asked[-1][1] >= (tmp_path / DATABASE_NAME).stat().st_size
    assert all(end == start for (_, end), (start, _) in pairwise(asked))
    asked.clear()
    monkeypatch.setattr(os, "sysconf", lambda _: 1)  # a machine of next to no memory
    GalleryStore(tmp_path, KEY).close()
    assert not asked


def test_a_snapshot_does_not_see_what_comes_later(store: GalleryStore) -> None:
    with store.snapshot() as before:
        with store.transaction() as transaction:
            transaction.insert_gallery(INFO)
            with store.snapshot() as during:
                assert during.gallery("g") is None
        assert before.gallery("g") is None
    assert row_of(store, "g").info == INFO


def test_an_item_after_the_database_undid_everything_fails_the_transaction(store: GalleryStore) -> None:
    """SQLite may roll back by itself when the disk fails; the items before are gone then, too."""

    def undo_all() -> None:
        with store.transaction() as transaction, transaction.item():
            transaction.connection.execute("ROLLBACK")
            raise ZeroDivisionError

    with pytest.raises(StoreFailed):
        undo_all()
    with store.transaction() as transaction:
        transaction.insert_gallery(INFO)


def test_everything_of_a_subject_comes_back(store: GalleryStore) -> None:
    metadata = {"ü": "😀", "b": "", "quote": "\"'\\\n"}
    with store.transaction() as transaction:
        number = transaction.insert_gallery(INFO)
        no = transaction.insert_subject(number, Subject("s", "Nam'é", metadata, NOW, ()))
        new = NewTemplate(Embedding(axis(), MODEL), "ab" * 32, 0.25)
        first = transaction.insert_template(number, no, new, NOW + timedelta(microseconds=1))
        second = transaction.insert_template(number, no, NewTemplate(Embedding(axis(), MODEL)), NOW)
    with store.snapshot() as snapshot:
        found = snapshot.subject(number, "s")
        assert found is not None
        assert snapshot.subject_names(np.array([no])) == {no: SubjectName("s", "Nam'é", metadata)}
        assert snapshot.subject_ids(np.array([no])) == {no: "s"}
        for read in (snapshot.subject_names, snapshot.subject_ids):
            with pytest.raises(StoreCorrupt):
                read(np.array([no, no + 1]))
    assert (found.display_name, dict(found.metadata), found.created) == ("Nam'é", metadata, NOW)
    later = NOW + timedelta(microseconds=1)
    assert [(one.template_id, one.image_sha256, one.quality, one.created) for one in found.templates] == [
        (first, "ab" * 32, 0.25, later), (second, None, None, NOW)
    ]  # fmt: skip


def test_vectors_come_back_by_gallery_in_the_order_of_their_ids(store: GalleryStore) -> None:
    with store.transaction() as transaction:
        numbers = [
            transaction.insert_gallery(replace(INFO, gallery_id=name, subject_count=1, template_count=4))
            for name in "gh"
        ]
        subjects = [transaction.insert_subject(number, Subject("s", "", {}, NOW, ())) for number in numbers]
        for count in range(8):
            transaction.insert_template(
                numbers[count % 2], subjects[count % 2], NewTemplate(Embedding(axis(count // 2), MODEL)), NOW
            )
    for rows in (1, 3, 100):
        blocks = list(store.vectors(rows))
        for place, number in enumerate(numbers):
            mine = [block for block in blocks if block.gallery_no == number]
            assert np.concatenate([block.template_ids for block in mine]).tolist() == [n + place for n in (1, 3, 5, 7)]
            assert {int(no) for block in mine for no in block.subject_nos} == {subjects[place]}
            assert (np.concatenate([block.vectors for block in mine]) == np.eye(4, dtype=np.float32)).all()


@SQLITE_ALONE
def test_searches_that_overlap_for_ever_do_not_let_the_log_grow_for_ever(store: GalleryStore, location: Path) -> None:
    log = location / (DATABASE_NAME + "-wal")
    with store.transaction() as transaction:
        number = transaction.insert_gallery(INFO)
    done = threading.Event()

    def read(pause: float) -> None:
        while not done.is_set():
            with store.snapshot() as snapshot:
                snapshot.gallery("g")
                done.wait(pause)

    readers = [threading.Thread(target=read, args=(pause,)) for pause in (0.011, 0.013, 0.017)]
    for reader in readers:
        reader.start()
    try:
        largest = 0
        for count in range(300):
            with store.transaction() as transaction:
                for part in range(100):
                    name = f"{(count * 7919 + part * 104_729) % 1_000_003:06}{count}-{part}"
                    transaction.insert_subject(number, Subject(name, "", {"k": "v" * 200}, NOW, ()))
            store.database.log.tidy()
            largest = max(largest, log.stat().st_size)
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert largest < 2 * log_copier._CHECKPOINT_FRAMES * PAGE_BYTES


def test_packing_is_little_endian_float32() -> None:
    packed = pack_vector(np.array([0.6, -0.8], dtype=np.float32))
    assert packed == bytes.fromhex("9a99193f") + bytes.fromhex("cdcc4cbf")
    assert (unpack_vectors([packed, packed], 2) == np.array([[0.6, -0.8]] * 2, dtype=np.float32)).all()
    assert unpack_vectors([], 2).shape == (0, 2)


@pytest.mark.parametrize(
    ("values", "check"),
    [
        ([1, 0, 0], "vector_size"),
        ([], "vector_size"),
        *((values, "vector_length") for values in ([1, 1], [np.nan, 1], [np.inf, 0], [0, 0])),
    ],
)
def test_what_is_no_vector_is_not_unpacked(values: list[float], check: str) -> None:
    with pytest.raises(StoreCorrupt) as refused:
        unpack_vectors([pack_vector(axis()[:2]), pack_vector(np.array(values, dtype=np.float32))], 2)
    assert refused.value.metadata == {"check": check}


@pytest.mark.parametrize("text", ["{", "[]", '{"a":"b"}{}'])
def test_what_is_no_metadata_is_damage(text: str) -> None:
    assert dict(unpacked_metadata('{"a":"b"}')) == {"a": "b"}
    with pytest.raises(StoreCorrupt) as refused:
        unpacked_metadata(text)
    assert refused.value.metadata == {"check": "metadata"}
