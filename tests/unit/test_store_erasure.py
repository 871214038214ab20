"""Erased data and former keys are in no file any more; altered or exchanged rows do not open."""

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

from fr_core.errors import ShuttingDown, StoreCorrupt, StoreFailed, WrongKey
from fr_core.gallery.backup.verify import verify
from fr_core.gallery.changes import CreateGallery, DeleteSubject, Enrol, EraseSubject
from fr_core.gallery.store.gallery_store import DATABASE_NAME, GalleryStore
from fr_core.gallery.store.template_codec import Binding
from fr_core.gallery.values import Enrolment, GalleryInfo, NewTemplate
from fr_core.storage import log_copier
from fr_core.storage.clean_pages import clean_page
from fr_core.storage.log_copier import LogCopier
from fr_core.storage.vault import MAC_BYTES, Vault, encode
from fr_core.types import ModelId
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
            cast(LogCopier, store.database.log).empty()
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


def test_copying_fails(store: GalleryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
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


PACK = ModelId("pack", "1", "0" * 64)
FACTS: dict[str, Any] = {
    "template_id": 7,
    "subject_no": 3,
    "image_sha256": "ab" * 32,
    "quality": 0.5,
    "created_us": 1_000_000,
    "has_photo": 1,
}


@pytest.fixture
def vault() -> Vault:
    return Vault.new(KEY)


def require_corrupt(check: str, opening: Callable[[], object]) -> None:
    with pytest.raises(StoreCorrupt) as refused:
        opening()
    assert refused.value.metadata == {"check": check}


def test_every_byte_of_what_is_sealed_counts_and_shows_nothing(vault: Vault) -> None:
    key, wrapped = vault.new_key(1, 3)
    data = b"a vector of some length"
    sealed = key.seal(data, b"row")
    assert data not in sealed
    assert len(sealed) == 12 + len(data) + 16
    assert len(wrapped) == 12 + 32 + 16
    assert vault.key(1, 3, wrapped).open(sealed, b"row", "template") == data
    assert key.seal(b"same", b"row") != key.seal(b"same", b"row")
    assert vault.new_key(1, 3)[1] != wrapped
    assert vault.wrapped() != vault.wrapped()
    assert Vault.new(KEY).mac("t", (1,)) != vault.mac("t", (1,))
    sealed = key.seal(b"1234", b"row")
    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1
        require_corrupt("template", partial(key.open, bytes(altered), b"row", "template"))
    for cut in range(len(sealed)):
        require_corrupt("template", partial(key.open, sealed[:cut], b"row", "template"))


def test_a_key_of_a_subject_is_of_no_use_to_another(vault: Vault) -> None:
    key, wrapped = vault.new_key(1, 3)
    sealed = key.seal(b"data", b"row")
    for gallery_no, subject_no in ((1, 4), (2, 3), (3, 1)):
        require_corrupt("subject_key", partial(vault.key, gallery_no, subject_no, wrapped))
    other, _ = vault.new_key(1, 4)
    require_corrupt("template", lambda: other.open(sealed, b"row", "template"))
    require_corrupt("store_key", lambda: Vault.unlocked(KEY, KEY.key_id, wrapped))
    require_corrupt("subject_key", lambda: vault.key(1, 3, vault.wrapped()))


def bindings(**facts: Any) -> bytes:
    return Binding("template", 1, PACK).of(**(FACTS | facts))


def test_whatever_is_said_of_a_template_is_bound() -> None:
    others = [
        bindings(),
        *(bindings(**{name: FACTS[name] + 1}) for name in ("template_id", "subject_no", "created_us", "has_photo")),
        bindings(image_sha256="ab" * 31 + "AB"),
        bindings(image_sha256=None),
        bindings(image_sha256=""),
        bindings(quality=0.25),
        bindings(quality=None),
        bindings(quality=0.0),
        bindings(template_id=3, subject_no=7),
        Binding("photo", 1, PACK).of(**FACTS),
        Binding("template", 2, PACK).of(**FACTS),
        *(
            Binding("template", 1, model).of(**FACTS)
            for model in (
                ModelId("other", "1", "0" * 64),
                ModelId("pack", "2", "0" * 64),
                ModelId("pack", "1", "1" * 64),
                ModelId("pack1", "", "0" * 64),
                ModelId("pac", "k1", "0" * 64),
            )
        ),
    ]
    assert len(set(others)) == len(others)
    wrong: list[dict[str, Any]] = [{"template_id": "7"}, {"quality": "x"}, {"image_sha256": b"x"}, {"has_photo": None}]
    for facts in (*wrong, {"image_sha256": 7}):
        require_corrupt("template", partial(bindings, **facts))


def test_encodings_of_different_values_differ() -> None:
    values: list[tuple[Any, ...]] = [
        (), (None,), (None, None), ("",), (b"",), ("", ""), ("n",), (b"n",), (1,), ("1",), (b"1",), (1.0,), (-1,),
        (12,), (1, 2), ("ab", "c"), ("a", "bc"), ("abc",), ("ab", b"c"), (0.0,), (-0.0,),
    ]  # fmt: skip
    encoded = [encode(*one) for one in values]
    assert len(set(encoded)) == len(encoded)
    for one, other in combinations(encoded, 2):
        assert not one.startswith(other) or not other


def test_a_row_is_authenticated_with_its_table_and_every_column(vault: Vault) -> None:
    row = (1, "id", "name", None, 0.5, b"key")
    mac = vault.mac("subjects", row)
    assert len(mac) == MAC_BYTES
    vault.require_mac("subjects", row, mac)
    altered: list[tuple[str, tuple[Any, ...], Any]] = [
        ("subjects", (*row, None), mac),
        ("subjects", row[:-1], mac),
        ("galleries", row, mac),
        ("subjects", row, mac[:-1]),
        ("subjects", row, bytes(16)),
        ("subjects", row, None),
        ("subjects", row, "text"),
    ]
    altered += [("subjects", (*row[:n], "other", *row[n + 1 :]), mac) for n in range(len(row))]
    for table, columns, claimed in altered:
        require_corrupt(table, partial(vault.require_mac, table, columns, claimed))
    require_corrupt("subjects", lambda: Vault.new(KEY).require_mac("subjects", row, mac))


def test_only_its_own_key_unlocks_a_store(vault: Vault) -> None:
    wrapped = vault.wrapped()
    again = Vault.unlocked(KEY, KEY.key_id, wrapped)
    assert again.mac("t", (1,)) == vault.mac("t", (1,))
    with pytest.raises(WrongKey) as refused:
        Vault.unlocked(OTHER_KEY, KEY.key_id, wrapped)
    assert refused.value.metadata == {"key_id": KEY.key_id, "given_key_id": OTHER_KEY.key_id}
    damaged: list[Any] = ["a text of somebody's", KEY.key_id[:15], KEY.key_id + "\n", b"bytes", None, 7]
    for no_id in damaged:
        require_corrupt("store_key", partial(Vault.unlocked, OTHER_KEY, no_id, wrapped))
    require_corrupt("store_key", lambda: Vault.unlocked(KEY, KEY.key_id, wrapped[:-1] + bytes([wrapped[-1] ^ 1])))


def test_under_another_key_everything_opens_and_the_former_key_opens_nothing(vault: Vault) -> None:
    key, wrapped = vault.new_key(1, 3)
    sealed = key.seal(b"data", b"row")
    moved = vault.under(OTHER_KEY)
    rewrapped = moved.rewrapped(vault, 1, 3, wrapped)
    assert moved.key(1, 3, rewrapped).open(sealed, b"row", "template") == b"data"
    assert moved.key_id == OTHER_KEY.key_id
    assert moved.mac("t", (1,)) == vault.mac("t", (1,))
    require_corrupt("subject_key", lambda: vault.key(1, 3, rewrapped))
    require_corrupt("subject_key", lambda: moved.rewrapped(vault, 1, 4, wrapped))
    with pytest.raises(WrongKey):
        Vault.unlocked(KEY, moved.key_id, moved.wrapped())
