"""A store of an earlier version becomes one of today: whole or not at all, and no trace of what was not encrypted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import apsw
import pytest

from fr_core.errors import StoreCorrupt, WrongKey
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store import schema as schema_room
from fr_core.gallery.store.gallery_store import DATABASE_NAME, GalleryStore
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.values import Enrolment, GalleryCalibration, NewTemplate
from fr_core.storage.database import Database
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.log_copier import LogCopier
from fr_core.types import Embedding
from support.old_galleries import MODEL, PEOPLE, SIZE, fill, old_database, vector

KEY = KeyEncryptionKey(bytes(range(32)))
OTHER_KEY = KeyEncryptionKey(bytes(range(1, 33)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path)
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith(DATABASE_NAME)}


def version(folder: Path) -> object:
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        return connection.pragma("user_version")


@pytest.fixture
def galleries(folder: Path) -> Iterator[Galleries]:
    with Galleries.open(folder, key=KEY, index="flat") as opened:
        yield opened


def test_everything_of_version_1_is_there(galleries: Galleries) -> None:
    first, second = galleries.list().items
    assert [first.gallery_id, second.gallery_id] == ["g", "h"]
    assert (first.subject_count, second.subject_count) == (40, 20)
    assert (first.version, first.created) == (9, datetime(1970, 1, 1, 0, 0, 0, 5, UTC))
    assert (first.expires, first.retention, first.keeps_photos) == (None, None, False)
    for number in range(1, PEOPLE + 1):
        subject = galleries.subject("h" if number % 3 == 0 else "g", f"person-{number}")
        assert subject.display_name == f"Name {number}"
        assert dict(subject.metadata) == ({"team": "red"} if number % 2 else {})
        assert [template.template_id for template in subject.templates] == [
            2 * number + place for place in range(1 + number % 2)
        ]
        if number % 2:
            last = subject.templates[-1]
            assert (last.image_sha256, last.quality) == (f"{2 * number + 1:064x}", 0.75)
        found = galleries.search("h" if number % 3 == 0 else "g", Embedding(vector(2 * number), MODEL), 1, 0.999)
        (candidate,) = found.identification.candidates
        assert (candidate.subject_id, candidate.template_id) == (f"person-{number}", 2 * number)


def test_numbers_that_were_given_are_not_given_again(galleries: Galleries) -> None:
    enrolled = galleries.enrol("g", Enrolment("new", NewTemplate(Embedding(vector(7), MODEL))))
    assert enrolled.template_id == 1001
    galleries.create("new", "", MODEL, SIZE)
    with galleries._store.snapshot() as snapshot:
        row = snapshot.gallery("new")
    assert row is not None
    assert row.gallery_no == 5


def test_metadata_can_be_filtered_by(folder: Path) -> None:
    with closing(GalleryStore(folder, KEY)) as store, store.snapshot() as snapshot:
        assert snapshot.subjects_with(3, "team", "red").tolist() == [n for n in range(1, PEOPLE + 1) if n % 6 == 3]


def test_no_vector_is_left_in_any_file(folder: Path) -> None:
    vectors = [vector(2 * number + place).tobytes() for number in range(1, PEOPLE + 1) for place in range(number % 2)]
    assert vectors
    before = b"".join(files(folder).values())
    assert all(one in before for one in vectors)  # the control
    store = GalleryStore(folder, KEY)
    while_open = b"".join(files(folder).values())
    store.close()
    after = b"".join(files(folder).values())
    for content in (while_open, after):
        assert not any(one[place : place + 16] in content for one in vectors for place in range(0, len(one), 16))


def test_an_interrupted_migration_leaves_version_1(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(folder)
    left = 30

    def opened_so_often(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(schema_room, "unpack_vectors", opened_so_often)
        with pytest.raises(ZeroDivisionError):
            GalleryStore(folder, KEY)
    assert version(folder) == 1
    assert files(folder)[DATABASE_NAME] == before[DATABASE_NAME]
    with Galleries.open(folder, key=OTHER_KEY, index="flat") as galleries:  # nothing was bound to the first key
        assert galleries.get("g").subject_count == 40


def test_a_migration_that_dies_before_its_log_is_emptied_is_finished_at_the_next_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise ZeroDivisionError

    secret = vector(2).tobytes()[:32]
    with monkeypatch.context() as patched:
        patched.setattr(LogCopier, "scrub", die)
        with pytest.raises(ZeroDivisionError):
            GalleryStore(folder, KEY)
    assert secret in b"".join(files(folder).values())  # the control: the log has not been copied
    assert version(folder) == SCHEMA.version
    with closing(GalleryStore(folder, KEY)) as store:
        assert sum(len(block.template_ids) for block in store.vectors(100)) == 90
        assert secret not in b"".join(files(folder).values())


def test_the_store_is_under_the_key_that_it_was_migrated_with(folder: Path) -> None:
    GalleryStore(folder, KEY).close()
    with pytest.raises(WrongKey):
        GalleryStore(folder, OTHER_KEY)


@pytest.mark.parametrize(
    ("sql", "check"),
    [
        ("UPDATE templates SET vector_crc32 = 0 WHERE template_id = 8", "vector_checksum"),
        ("UPDATE templates SET vector = substr(vector, 5) WHERE template_id = 8", "vector_checksum"),
        ("UPDATE galleries SET embedding_size = 32", "vector_size"),
        ("UPDATE galleries SET template_count = 7", "template_count"),
        ("DELETE FROM templates WHERE template_id = 8", "template_count"),
        ("DELETE FROM subjects WHERE subject_no = 4", "template_subject"),
        ("UPDATE subjects SET metadata = '{' WHERE subject_no = 4", "metadata"),
    ],
)
def test_what_is_damaged_is_not_migrated(folder: Path, sql: str, check: str) -> None:
    with closing(old_database(folder)) as old:
        old.execute(f"PRAGMA foreign_keys = OFF; {sql}").fetchall()
    before = files(folder)
    with pytest.raises(StoreCorrupt) as refused:
        GalleryStore(folder, KEY)
    assert refused.value.metadata == {"check": check}
    assert version(folder) == 1
    assert files(folder)[DATABASE_NAME] == before[DATABASE_NAME]


@pytest.fixture
def folder_of_2(folder: Path) -> Path:
    """The same store, as version 2 of the schema has made it of version 1."""
    Database(folder, replace(SCHEMA, migrations=SCHEMA.migrations[:2]), KEY, 0).close()
    assert version(folder) == 2
    return folder


def test_everything_of_version_2_is_there(folder_of_2: Path) -> None:
    with Galleries.open(folder_of_2, key=KEY, index="flat") as galleries:
        assert [(one.gallery_id, one.subject_count, one.version) for one in galleries.list().items] == [
            ("g", 40, 9),
            ("h", 20, 9),
        ]
        assert galleries.search("g", Embedding(vector(2), MODEL), 1, 0.999).identification.candidates
        galleries.set_calibration("g", GalleryCalibration(str(MODEL), "a text"))
    assert version(folder_of_2) == SCHEMA.version
    with Galleries.open(folder_of_2, key=KEY, index="flat") as galleries:
        assert (galleries.calibration("g"), galleries.calibration("h")) == ("a text", None)
    with pytest.raises(WrongKey):
        GalleryStore(folder_of_2, OTHER_KEY)


def test_an_altered_gallery_of_version_2_is_not_authenticated(folder_of_2: Path) -> None:
    with closing(apsw.Connection(str(folder_of_2 / DATABASE_NAME))) as old:
        old.execute("UPDATE galleries SET display_name = 'Other' WHERE gallery_no = 3").fetchall()
    with pytest.raises(StoreCorrupt) as refused:
        GalleryStore(folder_of_2, KEY)
    assert refused.value.metadata == {"check": "galleries"}
    assert version(folder_of_2) == 2
