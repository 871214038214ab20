"""Backups: what they hold and do not hold, what an erasure leaves of them, and which files belong together."""

import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from fr_core.errors import (
    BackupMismatch,
    BackupUnusable,
    NoStore,
    StoreCorrupt,
    StoreFailed,
    StoreInUse,
    StoreNewer,
    TargetTaken,
    WrongKey,
)
from fr_core.gallery.backup.restore import Restored, restore
from fr_core.gallery.backup.saved import Extent, saved_store
from fr_core.gallery.backup.take import back_up
from fr_core.gallery.backup.verify import reading, verify
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import DATABASE_NAME, GalleryStore
from fr_core.gallery.store.integrity import Verified
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.values import Enrolment, NewTemplate, Subject
from fr_core.storage.data_folder import DataFolder
from fr_core.storage.keys import KeyEncryptionKey
from fr_core.storage.schema import Schema
from fr_core.storage.sqlite_log import require_no_lost_commits
from support.ledger import KEY, MODEL, OTHER_KEY, SIZE, embedding

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
PHOTO = b"\xff\xd8 a photo of somebody " + bytes(range(256)) * 20


class Place:
    """The folders of a test, and the way from one to another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data, self.keys = path / "data", path / "apart" / "fr.keys"

    def open(self, folder: Path | None = None) -> Galleries:
        return Galleries.open(folder or self.data, key=KEY, index="numpy", clock=lambda: NOW)

    def back_up(self, name: str, folder: Path | None = None, key: KeyEncryptionKey = KEY) -> Extent:
        return back_up(folder or self.data, key, self.path / name, self.keys, NOW)

    def restore(self, name: str, key: KeyEncryptionKey = KEY, to: str = "new") -> Restored:
        return restore(self.path / name, self.keys, key, self.path / to)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "apart").mkdir()
    return Place(tmp_path)


def enrol(galleries: Galleries, gallery: str, subject: str, seed: int, **more: Any) -> int:
    template = NewTemplate(embedding(seed), f"{seed:064x}", 0.1 * (seed % 7), PHOTO + bytes([seed % 256]))
    enrolment = Enrolment(subject, template, f"Name of {subject}", {"case": subject[-1], "étape": "1"})
    return galleries.enrol(gallery, replace(enrolment, **more)).template_id


def fill(place: Place) -> Galleries:
    galleries = place.open()
    galleries.create("g", "A gallery", MODEL, SIZE, keeps_photos=True, retention=timedelta(days=9))
    galleries.create("h", "", MODEL, SIZE, expires=NOW + timedelta(days=1))
    galleries.create("empty", "", MODEL, SIZE)
    for seed in range(1, 13):
        enrol(galleries, "g", f"subject-{seed % 4}", seed)
        enrol(galleries, "h", f"subject-{seed % 3}", seed, metadata={})
    return galleries


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Place:
    built = Place(tmp_path_factory.mktemp("filled"))
    fill(built).close()
    return built


@pytest.fixture
def closed(place: Place, filled: Place) -> None:
    shutil.copytree(filled.data, place.data)


@pytest.fixture
def galleries(place: Place, closed: None) -> Iterator[Galleries]:
    with place.open() as opened:
        yield opened


def execute(database: Path, sql: str) -> None:
    with closing(apsw.Connection(str(database))) as connection:
        connection.execute(sql).fetchall()


def contents(galleries: Galleries) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for info in galleries.list().items:
        subjects: Sequence[Subject] = galleries.subjects(info.gallery_id).items
        numbers = [template.template_id for subject in subjects for template in subject.templates]
        kept = [galleries.template(info.gallery_id, number) for number in numbers]
        texts = [(one.subject_id, one.info, one.embedding.vector.tobytes(), one.photo) for one in kept]
        found[info.gallery_id] = (info, [replace(one, metadata=dict(one.metadata)) for one in subjects], texts)
    return found


def test_everything_comes_back(place: Place, galleries: Galleries) -> None:
    before = contents(galleries)
    assert place.back_up("out") == Extent(3, 7, 24, 12)
    restored = place.restore("out")
    assert restored == Restored(NOW, Verified(3, 7, 24, 12, 1), 0)
    with place.open(place.path / "new") as again:
        assert contents(again) == before
        found = again.search("g", embedding(5), 1, 0.9)
        assert found.identification.candidates[0].subject_id == "subject-1"
        assert found.identification.candidates[0].similarity == pytest.approx(1.0, abs=1e-6)
        assert enrol(again, "g", "subject-9", 99) == 25


def left_by_a_dead_process(place: Place) -> tuple[Path, Path]:
    """A data folder, and its log."""
    left = place.path / "left"
    left.mkdir()
    with fill(place):
        for name in (DATABASE_NAME, f"{DATABASE_NAME}-wal"):
            (left / name).write_bytes((place.data / name).read_bytes())
    log = left / f"{DATABASE_NAME}-wal"
    assert log.stat().st_size > 0
    return left, log


def test_a_store_whose_process_died_is_backed_up_with_its_log(place: Place) -> None:
    left, log = left_by_a_dead_process(place)
    assert place.back_up("out", left) == Extent(3, 7, 24, 12)
    assert verify(left, KEY) == Verified(3, 7, 24, 12, 27)
    assert log.stat().st_size > 0


def test_files_are_for_their_owner_alone_and_nothing_lies_beside_them(place: Place, galleries: Galleries) -> None:
    place.back_up("out")
    place.restore("out")
    assert sorted(path.name for path in place.path.iterdir()) == ["apart", "data", "new", "out"]
    assert [path.name for path in place.keys.parent.iterdir()] == ["fr.keys"]
    assert sorted(path.name for path in (place.path / "new").iterdir()) == ["galleries.db", "galleries.lock"]
    for path in (place.path / "out", place.keys, place.path / "new" / DATABASE_NAME):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_erased_subjects_are_gone_from_older_backups(place: Place, galleries: Galleries) -> None:
    place.back_up("out")
    galleries.erase_subject("g", "subject-1")
    galleries.delete_subject("h", "subject-2")
    before = contents(galleries)
    place.back_up("out-2")
    restored = place.restore("out")
    assert (restored.held, restored.erased_since) == (Verified(3, 5, 17, 9, 1), 2)
    with place.open(place.path / "new") as again:
        after = contents(again)
        for name, (info, subjects, templates) in before.items():
            assert after[name][1:] == (subjects, templates)
            assert after[name][0].version > 0
            assert replace(after[name][0], version=info.version) == info
        assert enrol(again, "g", "subject-1", 200) == 25
    with closing(GalleryStore(place.path / "new", KEY)) as store, store.snapshot() as snapshot:
        assert snapshot.connection.execute("SELECT count(*) FROM erasures").fetchone() == (1,)


def test_a_backup_alone_holds_no_id_no_name_no_vector_and_no_key(place: Place, galleries: Galleries) -> None:
    place.back_up("out")
    with reading(place.data, KEY) as snapshot:
        wrapped = [key for (key,) in snapshot.connection.execute("SELECT wrapped_key FROM subjects")]
    secrets = [b"subject-1", b"Name of", b"tape", f"{5:064x}".encode(), embedding(5).vector.tobytes(), PHOTO[:200]]
    out, keys = (path.read_bytes() for path in (place.path / "out", place.keys))
    assert not [secret for secret in (*secrets, *wrapped) if secret in out]
    assert not [secret for secret in secrets if secret in keys]
    assert all(key in keys for key in wrapped)
    stored = (place.data / DATABASE_NAME).read_bytes() + (place.data / f"{DATABASE_NAME}-wal").read_bytes()
    assert secrets[0] in stored  # the control: what is searched for is there to be found
    assert b"A gallery" in out


def test_numbers_of_later_rows_are_not_given_again_after_a_restoration(place: Place, galleries: Galleries) -> None:
    place.back_up("out")
    last = enrol(galleries, "g", "later", 50)
    galleries.erase_subject("g", "later")
    place.back_up("out-2")
    place.restore("out")
    with place.open(place.path / "new") as again:
        assert enrol(again, "g", "another", 51) == last + 1


def test_a_newer_file_of_keys_under_a_rotated_key_opens_older_backups(place: Place, closed: None) -> None:
    place.back_up("out")
    with closing(GalleryStore(place.data, KEY)) as store:
        store.rotate(OTHER_KEY)
    place.back_up("out-2", key=OTHER_KEY)
    with pytest.raises(WrongKey):
        place.restore("out")
    assert not (place.path / "new").exists()
    assert place.restore("out", OTHER_KEY).held == Verified(3, 7, 24, 12, 1)
    assert verify(place.path / "new", OTHER_KEY) == Verified(3, 7, 24, 12, 1)


def test_keys_that_are_replaced_are_overwritten_and_links_to_them_stay(place: Place, galleries: Galleries) -> None:
    place.back_up("out")
    with place.keys.open("rb") as before:
        size = place.keys.stat().st_size
        place.back_up("out-2")
        assert before.read() == bytes(size)
    linked = place.path / "linked"
    linked.hardlink_to(place.keys)  # the control: a file that has another name is not theirs to overwrite
    whole = linked.read_bytes()
    place.back_up("out-3")
    assert linked.read_bytes() == whole != place.keys.read_bytes()
    link, before_link = place.path / "link", place.keys.read_bytes()
    link.symlink_to(place.keys)
    back_up(place.data, KEY, place.path / "out-4", link, NOW)
    assert (link.is_symlink(), place.keys.read_bytes() != before_link) == (True, True)
    assert place.restore("out-4").erased_since == 0


def test_files_that_exist_are_not_replaced(place: Place, galleries: Galleries) -> None:
    place.keys.write_bytes(b"something else of somebody")
    with pytest.raises(BackupUnusable):
        place.back_up("out")
    assert place.keys.read_bytes() == b"something else of somebody"
    assert not (place.path / "out").exists()
    place.keys.unlink()
    (place.path / "out").write_bytes(b"something")
    with pytest.raises(TargetTaken):
        place.back_up("out")
    assert (place.path / "out").read_bytes() == b"something"
    assert not place.keys.exists()
    with pytest.raises(TargetTaken):
        back_up(place.data, KEY, place.keys, place.keys, NOW)


@pytest.mark.parametrize("name", ["out.new", "apart/fr.keys.new"])
@pytest.mark.parametrize("text", [b"somebody's", b"SQLite format 3\0" + bytes(84)], ids=["text", "database"])
def test_files_of_others_under_new_names_stay(place: Place, galleries: Galleries, name: str, text: bytes) -> None:
    theirs = place.path / name
    theirs.write_bytes(text)
    theirs.chmod(0o640)
    with pytest.raises(TargetTaken, match="is there"):
        place.back_up("out")
    assert (theirs.read_bytes(), stat.S_IMODE(theirs.stat().st_mode)) == (text, 0o640)
    assert not (place.path / "out").exists()
    assert not place.keys.exists()
    theirs.unlink()  # the control
    place.back_up("out")


def test_keys_of_another_store_are_neither_replaced_nor_used(place: Place, galleries: Galleries) -> None:
    place.back_up("out")
    kept = place.keys.read_bytes()
    other = Place(place.path / "other")
    with fill(other) as filled:  # with greater numbers, so that it is not by these that they are told apart
        enrol(filled, "g", "one-more", 70)
    other.data.rename(place.path / "data-2")
    with pytest.raises(BackupMismatch):
        place.back_up("out-2", place.path / "data-2")
    assert place.keys.read_bytes() == kept
    place.keys.unlink()
    place.back_up("out-2", place.path / "data-2")
    with pytest.raises(BackupMismatch):
        place.restore("out")


def test_a_restored_copy_does_not_take_the_keys_of_its_source(place: Place, galleries: Galleries) -> None:
    place.back_up("out")
    place.restore("out", to="drill")
    enrol(galleries, "g", "live", 50)
    place.back_up("out-live")
    kept = place.keys.read_bytes()
    with place.open(place.path / "drill") as drill:
        for seed in range(60, 66):  # so that its numbers are the higher ones
            enrol(drill, "g", f"drill-{seed}", seed)
        with pytest.raises(BackupMismatch, match="restored copy"):
            place.back_up("out-drill", place.path / "drill")
        own = place.path / "apart" / "drill.keys"
        back_up(place.path / "drill", KEY, place.path / "out-drill", own, NOW)
        with pytest.raises(BackupMismatch):  # nor the other way round
            back_up(place.data, KEY, place.path / "out-3", own, NOW)
    assert place.keys.read_bytes() == kept
    assert place.restore("out-live").held.templates == 25
    place.back_up("out-4")
    assert restore(place.path / "out-drill", own, KEY, place.path / "new-2").held.templates == 30


def test_a_restored_copy_keeps_its_receipts_of_erasures(place: Place, galleries: Galleries) -> None:
    galleries.erase_subject("g", "subject-1")
    place.back_up("out")
    place.restore("out")
    assert verify(place.path / "new", KEY) == replace(verify(place.data, KEY), audit_records=1)
    columns = "SELECT receipt_id, gallery_no, templates, photos, erased_us FROM erasures"
    with reading(place.data, KEY) as before, reading(place.path / "new", KEY) as after:
        assert after.connection.execute(columns).fetchall() == before.connection.execute(columns).fetchall() != []


def test_keys_that_are_older_than_the_backup_are_refused(place: Place, galleries: Galleries) -> None:
    place.back_up("out")
    older = place.keys.read_bytes()
    enrol(galleries, "g", "later", 50)
    place.back_up("out-2")
    newer = place.keys.read_bytes()
    place.keys.write_bytes(older)
    with pytest.raises(BackupMismatch):
        place.restore("out-2")
    assert place.restore("out").erased_since == 0
    place.keys.write_bytes(newer)
    assert place.restore("out-2", to="new-2").held.templates == 25


def test_newer_keys_are_not_replaced_by_those_of_an_older_copy(place: Place, closed: None) -> None:
    (place.path / "copy").mkdir()
    (place.path / "copy" / DATABASE_NAME).write_bytes((place.data / DATABASE_NAME).read_bytes())
    with place.open() as galleries:
        galleries.erase_subject("g", "subject-1")
    place.back_up("out")
    with pytest.raises(BackupMismatch):
        place.back_up("out-2", place.path / "copy")


@pytest.mark.parametrize(
    ("name", "sql", "check"),
    [
        ("out", "UPDATE backup SET created_us = 1", "backup"),
        ("out", "UPDATE galleries SET keeps_photos = 0", "galleries"),
        ("out", "DELETE FROM galleries WHERE gallery_no = 3", "extent"),
        ("out", "DELETE FROM subjects WHERE subject_no = 7", "extent"),
        ("out", "UPDATE subjects SET gallery_no = 1 WHERE subject_no = 4", "subject_gallery"),
        ("out", "UPDATE subjects SET gallery_no = 9 WHERE subject_no = 4", "subject_gallery"),
        ("out", "UPDATE subjects SET sealed = (SELECT sealed FROM subjects WHERE subject_no = 3)", "subject"),
        ("out", "UPDATE templates SET template_id = 99 WHERE template_id = 2", "templates"),
        ("out", "UPDATE templates SET subject_no = 9 WHERE row_no = 20", "templates"),
        ("out", "INSERT INTO photos VALUES (999, x'00')", "extent"),
        ("out", "UPDATE photos SET template_id = 999 WHERE template_id = 3", "photo"),
        ("out", "CREATE TABLE another (a)", "schema"),
        ("apart/fr.keys", "UPDATE keys SET last_subject_no = 99", "keys"),
        ("apart/fr.keys", "DELETE FROM subject_keys WHERE subject_no = 2", "rows_of_keys"),
        ("apart/fr.keys", "UPDATE subject_keys SET wrapped_key = zeroblob(60) WHERE subject_no = 2", "rows_of_keys"),
        ("apart/fr.keys", "UPDATE subject_keys SET subject_no = 99 WHERE subject_no = 2", "rows_of_keys"),
        ("apart/fr.keys", "UPDATE keys SET store_id = zeroblob(16)", "keys"),
        ("apart/fr.keys", "DELETE FROM erasures", "rows_of_keys"),
    ],
)
def test_alterations_are_told_from_erasures(
    place: Place, galleries: Galleries, name: str, sql: str, check: str
) -> None:
    galleries.erase_subject("g", "subject-1")
    place.back_up("out")
    execute(place.path / name, sql)
    with pytest.raises(BackupUnusable) as raised:
        place.restore("out")
    assert raised.value.metadata["check"] == check
    assert not (place.path / "new").exists()


def test_a_backup_that_claims_to_have_a_log_gets_none(place: Place, galleries: Galleries) -> None:
    """Bytes 18 and 19 of a database say so; SQLite would make a log on the disk of the backup."""
    place.back_up("out")
    whole = (place.path / "out").read_bytes()
    (place.path / "out").write_bytes(whole[:18] + b"\2\2" + whole[20:])
    with saved_store(place.path / "out", place.keys, KEY) as saved:
        assert len(list(saved.subjects())) == 7
        assert sorted(path.name for path in place.path.iterdir()) == ["apart", "data", "out"]


@pytest.mark.parametrize("swapped", [True, False])
def test_files_given_the_wrong_way_round_or_not_there(place: Place, galleries: Galleries, swapped: bool) -> None:
    place.back_up("out")
    out, keys = (place.keys, place.path / "out") if swapped else (place.path / "none", place.keys)
    with pytest.raises(BackupUnusable):
        restore(out, keys, KEY, place.path / "new")
    assert not (place.path / "new").exists()


@pytest.mark.parametrize("name", ["out", "apart/fr.keys"])
def test_a_newer_format_is_refused(place: Place, galleries: Galleries, name: str) -> None:
    place.back_up("out")
    execute(place.path / name, "PRAGMA user_version = 99")
    with pytest.raises(StoreNewer):
        place.restore("out")


def test_only_a_folder_that_is_empty_or_of_a_dead_restoration_is_restored_into(
    place: Place, galleries: Galleries
) -> None:
    place.back_up("out")
    with closing(DataFolder(place.path / "new", SCHEMA)), pytest.raises(StoreInUse):
        place.restore("out")
    for folder in (place.data, place.keys.parent):
        names = sorted(folder.iterdir())
        with pytest.raises(TargetTaken):
            restore(place.path / "out", place.keys, KEY, folder)
        assert sorted(folder.iterdir()) == names
    assert place.restore("out").erased_since == 0
    dead = place.path / "dead"
    dead.mkdir()
    for name in ("galleries.lock", "galleries.db.new", "galleries.db.new-wal"):
        (dead / name).write_bytes(b"left")
    place.restore("out", to="dead")
    assert sorted(path.name for path in dead.iterdir()) == ["galleries.db", "galleries.lock"]


def test_a_file_of_the_last_moment_stays(place: Place, galleries: Galleries, monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken(DataFolder):
        def __init__(self, path: Path, schema: Schema) -> None:
            super().__init__(path, schema)
            (path / DATABASE_NAME).write_bytes(b"somebody's")

    monkeypatch.setattr("fr_core.gallery.backup.restore.DataFolder", Taken)
    place.back_up("out")
    with pytest.raises(TargetTaken):
        place.restore("out")
    assert (place.path / "new" / DATABASE_NAME).read_bytes() == b"somebody's"


def test_no_store_is_told(place: Place) -> None:
    for ask in (lambda: verify(place.data, KEY), lambda: place.back_up("out")):
        with pytest.raises(NoStore):
            ask()
    assert not place.data.exists()
    assert sorted(path.name for path in place.path.rglob("*")) == ["apart"]


def test_a_newer_store_and_a_wrong_key_are_told(place: Place, closed: None) -> None:
    for ask in (verify, lambda folder, key: place.back_up("out", folder, key)):
        with pytest.raises(WrongKey):
            ask(place.data, OTHER_KEY)
    execute(place.data / DATABASE_NAME, f"PRAGMA user_version = {SCHEMA.version + 1}")
    for ask in (verify, lambda folder, key: place.back_up("out", folder, key)):
        with pytest.raises(StoreNewer):
            ask(place.data, KEY)
    assert sorted(path.name for path in place.path.iterdir()) == ["apart", "data"]


def test_verification_and_a_backup_find_a_log_that_lost_commits(place: Place) -> None:
    left, log = left_by_a_dead_process(place)
    whole = log.read_bytes()
    assert verify(left, KEY) == Verified(3, 7, 24, 12, 27)  # the control
    (left / f"{DATABASE_NAME}-shm").unlink(missing_ok=True)
    middle = len(whole) // 2
    log.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    for ask in (lambda: verify(left, KEY), lambda: place.back_up("out", left)):
        with pytest.raises(StoreCorrupt) as raised:
            ask()
        assert raised.value.metadata["check"] == "log"


def test_a_log_that_cannot_be_read_is_a_failing_disk(tmp_path: Path) -> None:
    (tmp_path / f"{DATABASE_NAME}-wal").mkdir()
    with pytest.raises(StoreFailed):
        require_no_lost_commits(tmp_path / DATABASE_NAME, 0, 8_192)


def test_a_growing_log_is_not_taken_for_damaged(
    place: Place, galleries: Galleries, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        if grows:
            enrol(galleries, "g", "subject-1", 90)
        raise StoreCorrupt("", check="log")

    monkeypatch.setattr("fr_core.gallery.backup.verify.require_no_lost_commits", lost)
    grows = True
    assert verify(place.data, KEY) == Verified(3, 7, 24, 12, 27)
    grows = False  # the control
    with pytest.raises(StoreCorrupt):
        verify(place.data, KEY)


@pytest.mark.parametrize(
    ("sql", "check"),
    [
        ("UPDATE galleries SET display_name = 'Another' WHERE gallery_no = 1", "galleries"),
        ("UPDATE subjects SET display_name = 'Another' WHERE subject_no = 2", "subjects"),
        ("UPDATE templates SET quality = 0.5 WHERE template_id = 7", "template"),
        ("UPDATE photos SET sealed = zeroblob(50) WHERE template_id = 1", "photo"),
        ("DELETE FROM photos WHERE template_id = 1", "photo"),
        ("DELETE FROM templates WHERE template_id = 2", "template_count"),
        ("UPDATE templates SET gallery_no = 3 WHERE template_id = 2", "template_subject"),
        ("DELETE FROM subject_metadata WHERE subject_no = 1", "metadata"),
        ("DROP TABLE erasures", "schema"),
    ],
)
def test_verification_finds_what_was_altered(place: Place, sql: str, check: str, closed: None) -> None:
    database = place.data / DATABASE_NAME
    execute(database, sql)
    before = database.read_bytes()
    with pytest.raises(StoreCorrupt) as raised:
        verify(place.data, KEY)
    assert raised.value.metadata["check"] == check
    assert database.read_bytes() == before
    if check != "metadata":  # not backed up: a restoration makes it of the subjects
        with pytest.raises(StoreCorrupt):
            place.back_up("out")
        assert not (place.path / "out").exists()
        assert not place.keys.exists()
