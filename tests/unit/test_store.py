"""The SQLite store: how it is opened, what it promises the disk, and what a snapshot and a savepoint keep apart."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import numpy as np
import pytest

from fr_core.errors import ShuttingDown, StoreCorrupt, StoreFailed, StoreInUse
from fr_core.gallery.store.gallery_store import DATABASE_NAME, GalleryStore
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.store.template_codec import pack_vector, unpack_vectors
from fr_core.gallery.store.transaction import GalleryTransaction
from fr_core.gallery.values import GalleryInfo, NewTemplate, Subject, SubjectName
from fr_core.storage import log_copier
from fr_core.storage.connection import PAGE_BYTES
from fr_core.storage.sqlite_errors import sqlite_errors
from fr_core.types import F32, Embedding
from support.ledger import KEY, MODEL

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
INFO = GalleryInfo("g", "A gallery", MODEL, 4, NOW, 0, 0, 1)


def axis(number: int = 0) -> F32:
    vector = np.zeros(4, dtype=np.float32)
    vector[number] = 1.0
    return vector


def template(number: int = 0) -> NewTemplate:
    return NewTemplate(Embedding(axis(number), MODEL))


def subject(subject_id: str) -> Subject:
    return Subject(subject_id, "Name", {"k": "v"}, NOW, ())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    opened = GalleryStore(tmp_path / "data", KEY)
    assert list(opened.vectors(10)) == []
    yield opened
    opened.close()


def test_the_settings_that_make_a_commit_durable(store: GalleryStore) -> None:
    writer = store.database.writer
    full, memory = 2, 2
    expected = {"journal_mode": "wal", "synchronous": full, "secure_delete": 1, "foreign_keys": 1, "temp_store": memory}
    expected |= {"application_id": SCHEMA.application_id, "user_version": SCHEMA.version}
    assert {name: writer.pragma(name) for name in expected} == expected


def test_a_reader_cannot_write(store: GalleryStore) -> None:
    with store.snapshot() as snapshot:
        with pytest.raises(apsw.ReadOnlyError):
            snapshot.connection.execute("DELETE FROM galleries")
        with pytest.raises(StoreFailed), sqlite_errors():
            snapshot.connection.execute("DELETE FROM galleries")


def test_folder_and_files_are_for_their_owner_alone(store: GalleryStore, tmp_path: Path) -> None:
    with store.transaction() as transaction:
        transaction.insert_gallery(INFO)
    folder = tmp_path / "data"
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == ["galleries.db", "galleries.db-shm", "galleries.db-wal", "galleries.lock"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    GalleryStore(tmp_path, KEY).close()
    (tmp_path / DATABASE_NAME).chmod(0o644)
    GalleryStore(tmp_path, KEY).close()
    assert stat.S_IMODE((tmp_path / DATABASE_NAME).stat().st_mode) == 0o600


def test_a_log_with_the_rest_of_a_transaction_is_begun_anew(store: GalleryStore, tmp_path: Path) -> None:
    """A power cut has lost a sector of the last transaction: what is written next lies beside nothing of it."""
    log, left = tmp_path / "data" / f"{DATABASE_NAME}-wal", tmp_path / "left"
    with store.transaction() as transaction:
        transaction.insert_gallery(INFO)
    before = log.stat().st_size
    with store.transaction() as transaction:
        transaction.insert_gallery(replace(INFO, gallery_id="under-way"))
    left.mkdir(mode=0o700)
    for name in (DATABASE_NAME, log.name):
        (left / name).write_bytes((tmp_path / "data" / name).read_bytes())
    with (left / log.name).open("r+b") as file:
        file.seek(before + 512)
        file.write(b"\xff" * 512)
    with closing(GalleryStore(left, KEY)) as again:
        assert not (left / log.name).stat().st_size
        with again.snapshot() as snapshot:
            assert snapshot.connection.execute("SELECT count(*) FROM galleries").fetchall() == [(1,)]


def test_a_folder_is_opened_once_even_within_a_process(store: GalleryStore, tmp_path: Path) -> None:
    with pytest.raises(StoreInUse):
        GalleryStore(tmp_path / "data", KEY)
    store.close()
    GalleryStore(tmp_path / "data", KEY).close()


def test_a_folder_may_lie_behind_a_link(tmp_path: Path) -> None:
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


def test_a_snapshot_does_not_see_what_comes_later(store: GalleryStore) -> None:
    with store.snapshot() as before:
        with store.transaction() as transaction:
            transaction.insert_gallery(INFO)
            with store.snapshot() as during:
                assert during.gallery("g") is None
        assert before.gallery("g") is None
    with store.snapshot() as after:
        row = after.gallery("g")
    assert row is not None
    assert row.info == INFO


def test_an_item_after_the_database_undid_everything_fails_the_transaction(store: GalleryStore) -> None:
    """SQLite may roll back by itself when the disk fails; the items before are gone then, too."""

    def undo_all(transaction: GalleryTransaction) -> None:
        with transaction.item():
            transaction.connection.execute("ROLLBACK")
            raise ZeroDivisionError

    def run() -> None:
        with store.transaction() as transaction:
            undo_all(transaction)

    with pytest.raises(StoreFailed):
        run()
    with store.transaction() as transaction:
        transaction.insert_gallery(INFO)


def test_everything_of_a_subject_comes_back(store: GalleryStore) -> None:
    metadata = {"ü": "😀", "b": "", "quote": "\"'\\\n"}
    with store.transaction() as transaction:
        number = transaction.insert_gallery(INFO)
        no = transaction.insert_subject(number, Subject("s", "Nam'é", metadata, NOW, ()))
        new = NewTemplate(Embedding(axis(), MODEL), "ab" * 32, 0.25)
        first = transaction.insert_template(number, no, new, NOW + timedelta(microseconds=1))
        second = transaction.insert_template(number, no, template(), NOW)
    with store.snapshot() as snapshot:
        found = snapshot.subject(number, "s")
        assert found is not None
        assert snapshot.subject_names(np.array([no])) == {no: SubjectName("s", "Nam'é", metadata)}
        assert snapshot.subject_ids(np.array([no])) == {no: "s"}
        for read in (snapshot.subject_names, snapshot.subject_ids):
            with pytest.raises(StoreCorrupt):
                read(np.array([no, no + 1]))
    assert (found.display_name, dict(found.metadata), found.created) == ("Nam'é", metadata, NOW)
    one, other = found.templates
    assert (one.template_id, one.image_sha256, one.quality) == (first, "ab" * 32, 0.25)
    assert one.created == NOW + timedelta(microseconds=1)
    assert (other.template_id, other.image_sha256, other.quality) == (second, None, None)


def test_vectors_come_back_by_gallery_in_the_order_of_their_ids(store: GalleryStore) -> None:
    with store.transaction() as transaction:
        numbers = [transaction.insert_gallery(GalleryInfo(name, "", MODEL, 4, NOW, 1, 4, 1)) for name in "gh"]
        subjects = [transaction.insert_subject(number, subject("s")) for number in numbers]
        for count in range(8):
            transaction.insert_template(numbers[count % 2], subjects[count % 2], template(count // 2), NOW)
    for rows in (1, 3, 100):
        blocks = list(store.vectors(rows))
        for place, number in enumerate(numbers):
            mine = [block for block in blocks if block.gallery_no == number]
            assert np.concatenate([block.template_ids for block in mine]).tolist() == [
                1 + place,
                3 + place,
                5 + place,
                7 + place,
            ]
            assert {int(no) for block in mine for no in block.subject_nos} == {subjects[place]}
            assert (np.concatenate([block.vectors for block in mine]) == np.eye(4, dtype=np.float32)).all()


def test_the_log_is_copied_into_the_database_when_it_has_grown(store: GalleryStore, tmp_path: Path) -> None:
    log = tmp_path / "data" / (DATABASE_NAME + "-wal")
    with store.transaction() as transaction:
        number = transaction.insert_gallery(INFO)
    for count in range(1500):
        with store.transaction() as transaction:
            transaction.insert_subject(number, Subject(f"{count}", "n" * 256, {"k": "v" * 1024}, NOW, ()))
        store.database.log.tidy()
    assert log.stat().st_size < 2 * log_copier._CHECKPOINT_FRAMES * PAGE_BYTES
    assert (tmp_path / "data" / DATABASE_NAME).stat().st_size > 700 * 1024


def test_searches_that_overlap_for_ever_do_not_let_the_log_grow_for_ever(store: GalleryStore, tmp_path: Path) -> None:
    log = tmp_path / "data" / (DATABASE_NAME + "-wal")
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


def test_a_closed_store_gives_no_snapshot_and_closes_again(store: GalleryStore) -> None:
    with store.snapshot() as snapshot:
        store.close()
        assert snapshot.gallery("g") is None  # who reads may finish
    store.close()
    with pytest.raises(ShuttingDown), store.snapshot():
        pass


def test_packing_is_little_endian_float32() -> None:
    packed = pack_vector(np.array([0.6, -0.8], dtype=np.float32))
    assert packed == bytes.fromhex("9a99193f") + bytes.fromhex("cdcc4cbf")
    assert (unpack_vectors([packed, packed], 2) == np.array([[0.6, -0.8]] * 2, dtype=np.float32)).all()
    assert unpack_vectors([], 2).shape == (0, 2)


@pytest.mark.parametrize(
    ("packed", "check"),
    [
        (pack_vector(np.array([1, 0, 0], dtype=np.float32)), "vector_size"),
        (b"", "vector_size"),
        (pack_vector(np.array([1, 1], dtype=np.float32)), "vector_length"),
        (pack_vector(np.array([np.nan, 1], dtype=np.float32)), "vector_length"),
        (pack_vector(np.array([np.inf, 0], dtype=np.float32)), "vector_length"),
        (pack_vector(np.array([0, 0], dtype=np.float32)), "vector_length"),
    ],
)
def test_what_is_no_vector_is_not_unpacked(packed: bytes, check: str) -> None:
    with pytest.raises(StoreCorrupt) as refused:
        unpack_vectors([pack_vector(axis()[:2]), packed], 2)
    assert refused.value.metadata == {"check": check}
