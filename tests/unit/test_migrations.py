"""Stores under a key: where it comes from and that it shows nowhere, marks, and stores of earlier versions."""

import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import apsw
import pytest

from fr_core.embed.null import NULL_MODEL
from fr_core.errors import KeyUnavailable, StoreCorrupt, WrongKey
from fr_core.gallery.backup.verify import verify
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store import schema as schema_room
from fr_core.gallery.store.gallery_store import DATABASE_NAME, GalleryStore, is_under_key
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.values import Enrolment, GalleryCalibration, NewTemplate
from fr_core.storage import keys
from fr_core.storage.database import Database
from fr_core.storage.keys import KeyEncryptionKey, key_beside, load_key, new_key_file
from fr_core.storage.log_copier import LogCopier
from fr_core.storage.marks import is_marked, mark_of, set_mark
from fr_core.types import Embedding
from fr_trust.access.schema import SCHEMA as ACCESS
from support.ledger import embedding
from support.old_galleries import MODEL, PEOPLE, SIZE, fill, old_database, vector
from support.results import defined

KEY = KeyEncryptionKey(bytes(range(32)))
OTHER_KEY = KeyEncryptionKey(bytes(range(1, 33)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path)
    return tmp_path


def version(folder: Path) -> object:
    with closing(apsw.Connection(str(folder / DATABASE_NAME))) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        return connection.pragma("user_version")


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith(DATABASE_NAME)}


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


def test_numbers_are_not_given_again_and_metadata_can_be_filtered_by(galleries: Galleries) -> None:
    enrolled = galleries.enrol("g", Enrolment("new", NewTemplate(Embedding(vector(7), MODEL))))
    assert enrolled.template_id == 1001
    galleries.create("new", "", MODEL, SIZE)
    with galleries._store.snapshot() as snapshot:
        assert defined(snapshot.gallery("new")).gallery_no == 5
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
    times = iter(range(30))

    def opened_so_often(*_: object) -> None:
        if next(times) == 29:
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


SECRET = bytes(range(32))
DIGITS = SECRET.hex()


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_new_keys_are_random_private_whole_and_never_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = new_key_file(tmp_path / "one"), new_key_file(tmp_path / "other")
    assert one != other
    assert load_key(f"file:{tmp_path / 'one'}") == one
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o600
    assert (tmp_path / "one").read_text() == one.secret.hex() + "\n"
    path = written(tmp_path / "key", "precious")
    with pytest.raises(KeyUnavailable):
        new_key_file(path)
    assert path.read_text() == "precious"

    def fail(_: Path) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(keys, "sync", fail)
    with pytest.raises(KeyUnavailable):
        new_key_file(tmp_path / "third")
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize("text", [DIGITS, DIGITS + "\n", DIGITS.upper()])
def test_every_source_gives_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = written(tmp_path / "the key", text)
    monkeypatch.setenv("FR_TEST_KEY", text)
    for source in (f"file:{path}", "env:FR_TEST_KEY", f"command:{sys.executable} -c 'print(\"{text.strip()}\")'"):
        assert load_key(source).secret == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path / "key", DIGITS, mode)
    with pytest.raises(KeyUnavailable, match="0600"):
        load_key(f"file:{path}")
    path.chmod(0o400)
    assert load_key(f"file:{path}").secret == SECRET


@pytest.mark.parametrize(
    "text", ["", "\n", DIGITS[:-1], DIGITS + "0", DIGITS[:-1] + "g", DIGITS + "\n\n", " " + DIGITS, DIGITS[:63] + "é"]
)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = written(tmp_path / "key", text)
    monkeypatch.setenv("FR_TEST_KEY", text)
    for source in (f"file:{path}", "env:FR_TEST_KEY", f"command:cat '{path}'"):
        with pytest.raises(KeyUnavailable) as refused:
            load_key(source)
        assert DIGITS[:16] not in str(refused.value) + str(refused.value.metadata)


@pytest.mark.parametrize(
    "source",
    ["", "file:", "env:", "command:", "command: ", "command:'", DIGITS, f"key:{DIGITS}", "FILE:/x", "file:/no/such"],
)
def test_other_sources_are_refused_and_not_shown(source: str) -> None:
    with pytest.raises(KeyUnavailable) as refused:
        load_key(source)
    assert DIGITS[:16] not in str(refused.value) + str(refused.value.metadata)
    assert "file:PATH" in str(refused.value)


def test_a_command_that_fails_is_refused_and_what_it_says_is_not_shown(tmp_path: Path) -> None:
    for ending in ("sys.exit(3)", "print('no key')"):
        program = f"import sys; sys.stderr.write('hunter2'); {ending}"
        with pytest.raises(KeyUnavailable) as refused:
            load_key(f'command:{sys.executable} -c "{program}"')
        assert "hunter2" not in str(refused.value) + str(refused.value.metadata)
    with pytest.raises(KeyUnavailable, match="cannot be run"):
        load_key("command:/no/such/program")
    with pytest.raises(KeyUnavailable, match="not set"):
        load_key("env:FR_TEST_KEY_THAT_NOBODY_SETS")
    with pytest.raises(KeyUnavailable):  # no shell runs it
        load_key(f"command:echo {DIGITS}; touch {tmp_path / 'shell'}")
    assert not (tmp_path / "shell").exists()


def test_a_command_that_hangs_is_ended_and_one_without_an_end_is_read_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keys, "_COMMAND_S", 60.0)
    begun = time.monotonic()
    with pytest.raises(KeyUnavailable):
        load_key("command:cat /dev/zero")
    assert time.monotonic() - begun < 30
    monkeypatch.setattr(keys, "_COMMAND_S", 0.2)
    with pytest.raises(KeyUnavailable, match="took more than"):
        load_key("command:sleep 60")


def test_a_command_outlives_the_signal_to_reload_that_all_processes_of_a_server_get() -> None:
    for name, ends in (("HUP", False), ("TERM", True)):  # the latter is the control
        line = f"command:sh -c 'kill -{name} $$; echo {DIGITS}'"
        if ends:
            with pytest.raises(KeyUnavailable) as refused:
                load_key(line)
            assert refused.value.metadata["status"] == str(-signal.SIGTERM)
        else:
            assert load_key(line).secret == SECRET
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_the_id_tells_keys_apart_and_neither_it_nor_the_text_of_a_key_is_the_key() -> None:
    key = KeyEncryptionKey(SECRET)
    # By sha256sum, of the prefix and the 32 bytes.
    assert key.key_id == "4652306ace763948"
    assert key.key_id != KeyEncryptionKey(SECRET[::-1]).key_id
    assert DIGITS[:8] not in repr(key)
    assert str(SECRET) not in repr(key)


def test_the_key_beside_a_folder_is_made_once_and_missed_later(tmp_path: Path) -> None:
    folder, key = tmp_path / "deep" / "data", tmp_path / "deep" / "data.key"
    made = key_beside(folder, new=True)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key_beside(folder, new=True) == key_beside(folder, new=False) == made
    Galleries.open(folder, index="numpy").close()
    key.rename(tmp_path / "elsewhere")
    for look in (lambda: key_beside(folder, new=False), lambda: Galleries.open(folder, index="numpy")):
        with pytest.raises(KeyUnavailable):
            look()
        assert not key.exists()
    (tmp_path / "elsewhere").rename(key)
    Galleries.open(folder, index="numpy").close()
    # What is no readable database is taken for a store under a key.
    (tmp_path / "odd" / DATABASE_NAME).mkdir(parents=True)
    assert is_under_key(tmp_path / "odd")
    assert not is_under_key(tmp_path / "other")
    with pytest.raises(KeyUnavailable):
        Galleries.open(tmp_path / "odd", index="numpy")
    assert not (tmp_path / "odd.key").exists()


TIMES = 25
# Sets one mark after the other in another process; the last one stays.
MARKING = f"""
import sys
from pathlib import Path
from fr_core.storage.keys import load_key
from fr_core.storage.marks import set_mark
for number in range(1, {TIMES} + 1):
    set_mark(Path(sys.argv[1]), load_key(sys.argv[2]), bytes([number]) * 32)
"""


def test_a_mark_is_set_while_another_process_enrols(tmp_path: Path) -> None:
    key, source = new_key_file(tmp_path / "key"), f"file:{tmp_path / 'key'}"
    database = tmp_path / "data" / DATABASE_NAME
    with Galleries.open(tmp_path / "data", key=key, index="numpy") as galleries:
        galleries.create("g", "", NULL_MODEL, 64)
        with subprocess.Popen((sys.executable, "-c", MARKING, str(database), source)) as marking:
            enrolled = 0
            while marking.poll() is None:
                galleries.enrol("g", Enrolment(f"s{enrolled}", NewTemplate(embedding(enrolled))))
                enrolled += 1
        assert marking.returncode == 0
        galleries.enrol("g", Enrolment("last", NewTemplate(embedding(enrolled))))
    assert enrolled
    assert mark_of(database, key) == bytes([TIMES]) * 32
    assert verify(tmp_path / "data", key).templates == enrolled + 1
    with Galleries.open(tmp_path / "data", key=key, index="numpy") as galleries:
        assert galleries.get("g").template_count == enrolled + 1


def test_a_mark_is_in_the_database_itself_and_not_in_its_log_alone(tmp_path: Path) -> None:
    key = new_key_file(tmp_path / "key")
    database = Database(tmp_path / "data", ACCESS, key, 0)
    path = tmp_path / "data" / ACCESS.database_name
    assert (is_marked(path), mark_of(path, key)) == (False, b"")
    set_mark(path, key, b"m" * 32)
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(path.read_bytes())
    database.close()
    assert (is_marked(copy), mark_of(copy, key)) == (True, b"m" * 32)
    set_mark(path, key, b"")
    assert not is_marked(path)
    new_key_file(tmp_path / "other")
    with pytest.raises(WrongKey):
        mark_of(path, load_key(f"file:{tmp_path / 'other'}"))
