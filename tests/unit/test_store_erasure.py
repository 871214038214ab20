"""What was erased is in no file of the data folder any more; nor is the key that a store was under before."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from fr_core.errors import ShuttingDown, StoreCorrupt, StoreFailed, WrongKey
from fr_core.gallery.backup.verify import verify
from fr_core.gallery.changes import CreateGallery, DeleteSubject, Enrol, EraseSubject
from fr_core.gallery.store.gallery_store import DATABASE_NAME, GalleryStore
from fr_core.gallery.values import Enrolment, GalleryInfo, NewTemplate
from fr_core.storage import log_copier
from fr_core.storage.clean_pages import clean_page
from fr_core.storage.vault import Vault
from support.ledger import KEY, MODEL, OTHER_KEY, SIZE, embedding

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PEOPLE = 400
GONE = 150


def subject_id(number: int) -> str:
    """An id that says nothing of the order in which people came, so that pages of the database are split."""
    return f"case-{random.Random(number).getrandbits(48):012x}"


def name(number: int) -> str:
    return f"Name-{random.Random(-1 - number).getrandbits(48):012x}"


def photo(number: int) -> bytes:
    """Some are larger than a page."""
    return random.Random(number).randbytes(2_000 if number % 10 else 20_000)


def enrol(store: GalleryStore, numbers: range) -> None:
    for first in range(numbers.start, numbers.stop, 20):
        with store.transaction() as transaction:
            for number in range(first, min(first + 20, numbers.stop)):
                template = NewTemplate(embedding(number), f"{number:064x}", 0.5, photo(number))
                metadata = {"who": name(number)}
                Enrol("g", Enrolment(subject_id(number), template, name(number), metadata), NOW).run(transaction)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    with closing(GalleryStore(folder, KEY)) as opened:
        assert list(opened.vectors(10)) == []
        with opened.transaction() as transaction:
            CreateGallery(GalleryInfo("g", "", MODEL, SIZE, NOW, 0, 0, 1, keeps_photos=True)).run(transaction)
        enrol(opened, range(PEOPLE))
    return folder


@pytest.fixture
def store(tmp_path: Path, filled: Path) -> Iterator[GalleryStore]:
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    opened = GalleryStore(tmp_path, KEY)
    assert sum(len(block.template_ids) for block in opened.vectors(64)) == PEOPLE
    yield opened
    opened.close()


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def marks(folder: Path, numbers: range) -> list[bytes]:
    """Of each person what would show that something of it is left: texts, stored blobs, and what these hold."""
    found: list[bytes] = []
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        for number in numbers:
            row: tuple[Any, ...] = connection.execute(
                "SELECT s.wrapped_key, s.mac, t.sealed, p.sealed FROM subjects s JOIN templates t USING (subject_no) "
                "JOIN photos p USING (template_id) WHERE s.subject_id = ?",
                (subject_id(number),),
            ).fetchall()[0]
            found += [subject_id(number).encode(), name(number).encode(), row[0], row[1], row[2][:40], row[3][-40:]]
    return found


def erase(store: GalleryStore, numbers: range) -> None:
    for first in range(numbers.start, numbers.stop, 10):
        with store.transaction() as transaction:
            for number in range(first, min(first + 10, numbers.stop)):
                EraseSubject("g", subject_id(number), NOW).run(transaction)


def left(folder: Path, erased: list[bytes]) -> int:
    content = files(folder)
    return sum(mark in content for mark in erased)


def test_nothing_of_who_was_erased_is_in_any_file(store: GalleryStore, tmp_path: Path) -> None:
    erased = marks(tmp_path, range(GONE))
    content = files(tmp_path)
    assert all(mark in content for mark in erased)  # the control
    plain = [embedding(number).vector.tobytes()[:16] for number in range(GONE)] + [photo(n)[:16] for n in range(GONE)]
    assert not any(mark in content for mark in plain)  # never in clear
    erase(store, range(GONE))
    store.scrub()
    assert left(tmp_path, erased) == 0
    enrol(store, range(PEOPLE, PEOPLE + 50))  # pages are used again
    store.scrub()
    assert left(tmp_path, erased) == 0
    assert verify(tmp_path, KEY).subjects == PEOPLE - GONE + 50
    store.close()
    assert left(tmp_path, erased) == 0
    with closing(GalleryStore(tmp_path, KEY)) as again:
        assert sum(len(block.template_ids) for block in again.vectors(64)) == PEOPLE - GONE + 50


def test_a_reader_that_outlives_the_store_does_not_copy_the_log(store: GalleryStore, tmp_path: Path) -> None:
    """It would copy pages as they are, with what SQLite has left in them."""
    erased = marks(tmp_path, range(GONE))
    store.scrub()
    with store.snapshot():
        erase(store, range(GONE))
        store.close()
    assert (tmp_path / f"{DATABASE_NAME}-wal").stat().st_size > 0
    with closing(GalleryStore(tmp_path, KEY)) as again:
        assert sum(len(block.template_ids) for block in again.vectors(64)) == PEOPLE - GONE
    assert left(tmp_path, erased) == 0


def test_deleting_leaves_nothing_either(store: GalleryStore, tmp_path: Path) -> None:
    deleted = marks(tmp_path, range(3))
    for number in range(3):
        with store.transaction() as transaction:
            DeleteSubject("g", subject_id(number)).run(transaction)
    store.scrub()
    assert left(tmp_path, deleted) == 0


def test_who_was_erased_before_a_crash_is_gone_after_the_next_start(store: GalleryStore, tmp_path: Path) -> None:
    store.scrub()
    erased = marks(tmp_path, range(20))
    erase(store, range(20))
    store.database.log.copies_at_close = False  # as a process that is killed
    store.close()
    assert left(tmp_path, erased) > 0  # the control
    with closing(GalleryStore(tmp_path, KEY)) as again:
        assert sum(len(block.template_ids) for block in again.vectors(64)) == PEOPLE - 20
        assert left(tmp_path, erased) == 0


def test_a_scrub_waits_for_who_reads(store: GalleryStore, tmp_path: Path) -> None:
    erased = marks(tmp_path, range(3))
    reading, done = threading.Event(), threading.Event()

    def read() -> None:
        with store.snapshot() as snapshot:
            assert snapshot.subject_no(1, subject_id(0)) is not None
            reading.set()
            done.wait(0.5)

    reader = threading.Thread(target=read)
    reader.start()
    assert reading.wait(5)
    erase(store, range(3))
    store.scrub()
    assert left(tmp_path, erased) == 0
    done.set()
    reader.join()


def test_a_scrub_that_waits_in_vain_says_so(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_copier, "_SCRUB_S", 0.2)
    with store.snapshot():
        erase(store, range(3))
        assert not store.scrub()
    assert store.scrub()


def test_writers_do_not_wait_while_a_scrub_waits_for_who_reads(store: GalleryStore) -> None:
    """Control: with `_CHECKPOINT_MS` of seconds the slowest takes as long."""
    scrubbing = threading.Thread(target=store.scrub)
    with store.snapshot():
        erase(store, range(5))
        scrubbing.start()
        took = []
        for number in range(PEOPLE, PEOPLE + 10):
            begun = time.monotonic()
            enrol(store, range(number, number + 1))
            took.append(time.monotonic() - begun)
        assert scrubbing.is_alive()
    scrubbing.join(10)
    assert not scrubbing.is_alive()
    assert max(took) < 3.0


def test_a_scrub_waits_for_a_transaction_of_another_thread(store: GalleryStore) -> None:
    scrubbed = threading.Event()

    def scrub() -> None:
        store.scrub()
        scrubbed.set()

    with store.transaction() as transaction:
        EraseSubject("g", subject_id(0), NOW).run(transaction)
        thread = threading.Thread(target=scrub)
        thread.start()
        assert not scrubbed.wait(0.1)
    assert scrubbed.wait(5)
    thread.join()


def test_who_waits_to_scrub_hears_that_the_store_was_closed(store: GalleryStore) -> None:
    heard: list[type[Exception]] = []

    def scrub() -> None:
        try:
            store.database.log.empty()
        except Exception as error:  # noqa: BLE001
            heard.append(type(error))

    scrubbing = threading.Thread(target=scrub)
    with store.snapshot():
        erase(store, range(3))
        scrubbing.start()
        time.sleep(0.05)
        begun = time.monotonic()
        store.close()
        scrubbing.join(20)
    assert heard == [ShuttingDown]
    assert time.monotonic() - begun < log_copier._SCRUB_S / 2


def test_a_log_that_cannot_be_copied_is_told_and_damage_as_an_error(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    enrol(store, range(PEOPLE, PEOPLE + 1))
    for error, level in ((StoreFailed("The disk refuses."), "WARNING"), (StoreCorrupt("It is damaged."), "ERROR")):
        caplog.clear()
        with monkeypatch.context() as patched:
            patched.setattr(log_copier, "_CHECKPOINT_FRAMES", 1)
            patched.setattr(store.database.log, "_copy", raiser(error))
            store.database.log.tidy()
        assert {record.levelname for record in caplog.records} == {level}
        assert ("damaged" in caplog.text) == isinstance(error, StoreCorrupt)


def raiser(error: Exception) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise error

    return refuse


@pytest.mark.parametrize("kind", [2, 5, 10, 13])
@pytest.mark.parametrize("header", [0, 100])
def test_the_gap_of_a_page_is_cleaned_and_nothing_else(kind: int, header: int) -> None:
    fixed = 12 if kind < 10 else 8
    page = bytearray(b"\xaa" * 512)
    page[header : header + 8] = bytes([kind, 0, 0, 0, 3]) + (400).to_bytes(2, "big") + b"\0"
    begin = header + fixed + 2 * 3
    cleaned = clean_page(bytes(page), header)
    assert cleaned == bytes(page[:begin]) + bytes(400 - begin) + bytes(page[400:])
    assert clean_page(cleaned, header) is cleaned
    page[header] = 0  # an overflow or a free page
    assert clean_page(bytes(page), header) == bytes(page)
    page[header : header + 7] = bytes([kind, 0, 0, 0xFF, 0xFF, 0, 9])  # nonsense
    assert clean_page(bytes(page), header) == bytes(page)


def key_bytes(folder: Path) -> list[bytes]:
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        rows = connection.execute("SELECT wrapped_key FROM subjects UNION ALL SELECT wrapped_key FROM store")
        return [row[0] for row in rows]


def sealed(folder: Path) -> list[bytes]:
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        return [row[0] for row in connection.execute("SELECT sealed FROM templates ORDER BY template_id")]


def test_after_a_rotation_the_former_key_opens_nothing(store: GalleryStore, tmp_path: Path) -> None:
    former, templates = key_bytes(tmp_path), sealed(tmp_path)
    assert len(former) == PEOPLE + 1
    store.rotate(OTHER_KEY)
    assert verify(tmp_path, OTHER_KEY).templates == PEOPLE
    assert sealed(tmp_path) == templates
    assert left(tmp_path, former) == 0
    enrol(store, range(PEOPLE, PEOPLE + 5))
    store.close()
    with pytest.raises(WrongKey):
        GalleryStore(tmp_path, KEY)
    with closing(GalleryStore(tmp_path, OTHER_KEY)) as again:
        assert verify(tmp_path, OTHER_KEY).photos == PEOPLE + 5
        with again.snapshot() as snapshot:
            row = snapshot.template(1, 1)
    assert row is not None
    assert row.photo == photo(0)


def test_a_rotation_beside_who_reads_is_one_and_the_next_start_overwrites_the_rest(
    store: GalleryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_copier, "_SCRUB_S", 0.0)
    former = key_bytes(tmp_path)
    with closing(apsw.Connection(str(tmp_path / DATABASE_NAME))) as reader:
        reader.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM galleries").fetchall()
        assert not store.rotate(OTHER_KEY)
        assert "not overwritten yet" in caplog.text
        enrol(store, range(PEOPLE, PEOPLE + 1))
        store.close()
    with pytest.raises(WrongKey):
        GalleryStore(tmp_path, KEY)
    assert left(tmp_path, former) > 0  # the control
    with closing(GalleryStore(tmp_path, OTHER_KEY)) as again:
        assert sum(len(block.template_ids) for block in again.vectors(64)) == PEOPLE + 1
        assert left(tmp_path, former) == 0


@pytest.mark.parametrize("error", [StoreFailed("The disk refuses."), StoreCorrupt("It is damaged.")])
def test_a_failed_scrub(store: GalleryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(store.database.log, "_copy", raiser(error))
        assert not store.rotate(OTHER_KEY)
    assert verify(tmp_path, OTHER_KEY).templates == PEOPLE
    assert store.rotate(KEY)


@pytest.mark.parametrize("wraps", [1, 100, PEOPLE, PEOPLE + 1])
def test_a_rotation_that_dies(store: GalleryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wraps: int) -> None:
    former = key_bytes(tmp_path)
    count = 0
    wrap = Vault._wrap

    def die_at_last(vault: Vault, secret: bytes, context: bytes) -> bytes:
        nonlocal count
        count += 1
        if count == wraps:
            raise ZeroDivisionError
        return wrap(vault, secret, context)

    with monkeypatch.context() as patched:
        patched.setattr(Vault, "_wrap", die_at_last)
        with pytest.raises(ZeroDivisionError):
            store.rotate(OTHER_KEY)
    assert key_bytes(tmp_path) == former
    assert verify(tmp_path, KEY).templates == PEOPLE
    store.close()
    with pytest.raises(WrongKey):
        GalleryStore(tmp_path, OTHER_KEY)
    GalleryStore(tmp_path, KEY).close()


def test_a_rotation_does_not_bless_a_row_that_was_altered(store: GalleryStore, tmp_path: Path) -> None:
    with closing(apsw.Connection(str(tmp_path / DATABASE_NAME))) as connection:
        connection.execute("UPDATE subjects SET display_name = 'x' WHERE subject_no = 300")
    former = key_bytes(tmp_path)
    with pytest.raises(StoreCorrupt):
        store.rotate(OTHER_KEY)
    assert key_bytes(tmp_path) == former


def test_the_wrong_key_changes_nothing(store: GalleryStore, tmp_path: Path) -> None:
    store.database.log.copies_at_close = False
    store.close()
    kept = [tmp_path / DATABASE_NAME, tmp_path / f"{DATABASE_NAME}-wal"]
    before = [path.read_bytes() for path in kept]
    with pytest.raises(WrongKey) as refused:
        GalleryStore(tmp_path, OTHER_KEY)
    assert refused.value.metadata == {"key_id": KEY.key_id, "given_key_id": OTHER_KEY.key_id}
    assert all(key.key_id in str(refused.value) for key in (KEY, OTHER_KEY))
    assert not any(key.secret.hex() in str(refused.value) for key in (KEY, OTHER_KEY))
    assert [path.read_bytes() for path in kept] == before
    with closing(GalleryStore(tmp_path, KEY)):
        assert verify(tmp_path, KEY).templates == PEOPLE
