"""Faults of a store: a file that cannot grow, a second process, a newer schema, damage. Each with its control.

Run as a script, this file does what a name of `PROGRAMS` says in a folder.
"""

import itertools
import json
import resource
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from fr_core.errors import StoreCorrupt, StoreFailed, StoreInUse
from fr_core.gallery.galleries import Galleries
from fr_core.gallery.store.gallery_store import DATABASE_NAME
from fr_core.gallery.store.schema import SCHEMA
from fr_core.gallery.values import Enrolment, NewTemplate
from support.commands import say, script
from support.ledger import KEY, MODEL, SIZE, embedding

NAME = "Anna Muster"
SUBJECT = "case-4711"
MOST_BYTES = 400_000


def enrol_for_ever(folder: Path) -> None:
    """Enrol from four threads, and say so of each."""
    galleries = Galleries.open(folder, key=KEY, index="flat")
    first = galleries.get("g").template_count

    def work(worker: int) -> None:
        for seed in itertools.count(worker * 1_000_000 + first):
            galleries.enrol("g", Enrolment(str(seed), NewTemplate(embedding(seed))))
            say(seed)

    for worker in range(4):
        threading.Thread(target=work, args=(worker,)).start()


def fill_the_disk(folder: Path) -> None:
    """Let no file grow beyond `MOST_BYTES`, enrol until that is refused, then look at what still works."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    galleries = Galleries.open(folder, key=KEY, index="flat")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, hard))
    stored, refused = list[int](), list[int]()

    def enrol(seed: int, name: str) -> None:
        galleries.enrol("g", Enrolment(str(seed), NewTemplate(embedding(seed), f"{seed:064x}"), name))
        stored.append(seed)

    def work(worker: int) -> None:
        for seed in range(worker * 1_000_000, worker * 1_000_000 + 100_000):
            try:
                enrol(seed, "n" * 256)
            except StoreFailed:
                refused.append(seed)
                return

    def check() -> None:
        info = galleries.get("g")
        count = len(stored)
        assert (info.subject_count, info.template_count, info.version) == (count, count, 1 + count), info
        for seed in (stored[0], stored[-1]):
            found = galleries.search("g", embedding(seed), 1000, 0.99).identification
            assert (found.candidates[0].subject_id, found.gallery_version) == (str(seed), info.version)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(refused) == 4
    check()
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    for seed in refused:
        enrol(seed, "")
    check()
    galleries.close()
    say(len(stored))


def hold_the_folder(folder: Path) -> None:
    with Galleries.open(folder, key=KEY, index="flat"):
        say("open")
        sys.stdin.read()


PROGRAMS = {one.__name__: one for one in (enrol_for_ever, fill_the_disk, hold_the_folder)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Galleries.open(tmp_path, key=KEY, index="flat") as galleries:
        galleries.create("g", "", MODEL, SIZE)
    return tmp_path


def test_an_enrolment_is_refused_whole_when_the_disk_is_full_and_the_service_goes_on(folder: Path) -> None:
    with script(__file__, "fill_the_disk", folder) as process:
        (said,) = json.loads(process.line())
        assert process.wait(60) == 0
    with Galleries.open(folder, key=KEY, index="flat") as galleries:
        assert galleries.get("g").template_count == said
        assert sum(len(subject.templates) for subject in galleries.subjects("g", 1000).items) == said


def test_a_second_process_is_refused(folder: Path) -> None:
    with script(__file__, "hold_the_folder", folder) as process:
        assert json.loads(process.line()) == ["open"]
        with pytest.raises(StoreInUse):
            Galleries.open(folder, key=KEY, index="flat")
    Galleries.open(folder, key=KEY, index="flat").close()  # the lock has died with its process


def content(folder: Path) -> dict[str, bytes]:
    kept = (folder / DATABASE_NAME, folder / f"{DATABASE_NAME}-wal")
    return {path.name: path.read_bytes() for path in kept if path.exists() and path.stat().st_size}


@pytest.fixture
def enrolled(folder: Path) -> Path:
    with Galleries.open(folder, key=KEY, index="flat") as galleries:
        for number in range(20):
            template = NewTemplate(embedding(number), f"{number:064x}")
            galleries.enrol("g", Enrolment(f"{SUBJECT}-{number}", template, NAME, {"k": NAME}))
    return folder


def change(folder: Path, sql: str) -> None:
    """Change the database behind the back of FR Core, with none of its safeguards; the change stays in the log."""
    connection = apsw.Connection(str(folder / DATABASE_NAME))
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.execute("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON")
    connection.execute(sql)
    connection.close()


def require_corrupt(folder: Path, check: str | None = None) -> None:
    before = content(folder)
    with pytest.raises(StoreCorrupt) as refused:
        Galleries.open(folder, key=KEY, index="flat")
    told = str(refused.value) + str(refused.value.metadata)
    assert NAME not in told
    assert SUBJECT not in told
    if check is not None:
        assert refused.value.metadata == {"check": check}
    assert content(folder) == before


def test_control_without_damage_everything_is_there(enrolled: Path) -> None:
    change(enrolled, "UPDATE templates SET sealed = sealed")
    with Galleries.open(enrolled, key=KEY, index="flat") as galleries:
        assert galleries.get("g").template_count == 20


@pytest.mark.parametrize(
    ("sql", "check"),
    [
        ("DELETE FROM templates WHERE template_id = 7", "template_count"),
        ("DELETE FROM subjects WHERE subject_no = 7; DELETE FROM templates WHERE subject_no = 7", "metadata"),
        ("DELETE FROM subjects WHERE subject_no = 20; DELETE FROM templates WHERE subject_no = 20", "metadata"),
        (
            "DELETE FROM subjects WHERE subject_no = 7; DELETE FROM templates WHERE subject_no = 7; "
            "DELETE FROM subject_metadata WHERE subject_no = 7",
            "subject_count",
        ),
        ("DELETE FROM subject_metadata WHERE subject_no = 7", "metadata"),
        ("UPDATE subject_metadata SET value = 'other' WHERE subject_no = 7", "subject_metadata"),
        ("UPDATE subject_metadata SET subject_no = 99 WHERE subject_no = 7", "metadata"),
        ("UPDATE templates SET gallery_no = 99 WHERE template_id = 7", "template_subject"),
        ("UPDATE templates SET subject_no = 8 WHERE template_id = 7", "template"),
        ("UPDATE templates SET quality = 0.5 WHERE template_id = 7", "template"),
        ("UPDATE templates SET created_us = created_us + 1 WHERE template_id = 7", "template"),
        ("UPDATE templates SET image_sha256 = upper(image_sha256) WHERE template_id = 12", "template"),
        ("UPDATE templates SET has_photo = 1 WHERE template_id = 7", "template"),
        ("UPDATE templates SET sealed = substr(sealed, 5) WHERE template_id = 7", "template"),
        (
            "UPDATE templates SET sealed = (SELECT o.sealed FROM templates o WHERE o.template_id = "
            "15 - templates.template_id) WHERE template_id IN (7, 8)",
            "template",
        ),
        ("UPDATE templates SET sealed = x'' WHERE template_id = 7", "template"),
        ("DELETE FROM galleries", "subject_gallery"),
        ("UPDATE galleries SET template_count = template_count + 1", "galleries"),
        ("UPDATE galleries SET embedding_size = 32", "galleries"),
        ("UPDATE galleries SET display_name = 'Other'", "galleries"),
        ("UPDATE galleries SET expires_us = 1", "galleries"),
        ("UPDATE subjects SET display_name = 'Other' WHERE subject_no = 7", "subjects"),
        ("UPDATE subjects SET subject_id = 'other' WHERE subject_no = 7", "subjects"),
        ("UPDATE subjects SET gallery_no = 99 WHERE subject_no = 7", "subjects"),
        ("UPDATE subjects SET mac = zeroblob(16) WHERE subject_no = 7", "subjects"),
        ("UPDATE store SET mac = zeroblob(16)", "store"),
        ("UPDATE store SET wrapped_key = zeroblob(60)", "store_key"),
        ("UPDATE store SET key_id = '0000000000000000'", "store"),
        ("DELETE FROM store", "store"),
        (f"UPDATE store SET schema_version = {SCHEMA.version + 1}", "store"),
        ("PRAGMA application_id = 7", "application_id"),
        ("PRAGMA user_version = 0", "user_version"),
        ("PRAGMA user_version = 1", "user_version"),
    ],
)
def test_a_store_that_contradicts_itself_is_refused(enrolled: Path, sql: str, check: str) -> None:
    change(enrolled, sql)
    require_corrupt(enrolled, check)


def overwrite(content: bytes) -> Callable[[bytes], bytes]:
    return lambda _: content


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[: -8192 - 1],  # the last page is empty: an empty log of changes
        lambda data: data[:100],
        lambda data: b"\0" * 100 + data[100:],
        lambda data: data[:8192] + b"\xff" * 8192 + data[16384:],
        lambda data: data[: 3 * 8192] + b"\0" * 8192 + data[4 * 8192 :],
        overwrite(b"no database at all, but long enough to be taken for one" * 100),
        overwrite(b"x"),
        overwrite(b""),
    ],
    ids=[
        "half",
        "a page and a byte short",
        "header only",
        "no header",
        "page of ones",
        "page of zeros",
        "text",
        "a byte",
        "empty",
    ],
)
def test_a_damaged_file_is_refused(enrolled: Path, damage: Callable[[bytes], bytes]) -> None:
    path = enrolled / DATABASE_NAME
    path.write_bytes(damage(path.read_bytes()))
    require_corrupt(enrolled)


def test_one_flipped_bit_of_any_template_is_noticed(enrolled: Path) -> None:
    path = enrolled / DATABASE_NAME
    with closing(apsw.Connection(str(path))) as connection:
        sealed = [row[0] for row in connection.execute("SELECT sealed FROM templates ORDER BY template_id")]
    sound = path.read_bytes()
    for number in (0, 9, 19):
        place = sound.index(sealed[number])
        for byte, bit in ((0, 1), (3, 128), (100, 4), (255, 64)):
            damaged = bytearray(sound)
            damaged[place + byte] ^= bit
            path.write_bytes(damaged)
            require_corrupt(enrolled, "template")
    path.write_bytes(sound)
    Galleries.open(enrolled, key=KEY, index="flat").close()


def test_a_log_without_its_database_is_refused(enrolled: Path) -> None:
    """A new database beside it would take in the pages of the old one."""
    with script(__file__, "enrol_for_ever", enrolled) as process:
        process.line()
    database = (enrolled / DATABASE_NAME).read_bytes()
    (enrolled / DATABASE_NAME).unlink()
    with pytest.raises(StoreCorrupt) as refused:
        Galleries.open(enrolled, key=KEY, index="flat")
    assert refused.value.metadata == {"check": "missing_database"}
    (enrolled / DATABASE_NAME).write_bytes(database)
    with Galleries.open(enrolled, key=KEY, index="flat") as galleries:
        assert galleries.get("g").template_count > 20


def test_what_a_process_that_died_at_the_very_first_start_left_is_cleared_away(tmp_path: Path) -> None:
    for name in ("galleries.db.new", "galleries.db.new-wal", "galleries.db.new-shm"):
        (tmp_path / name).write_bytes(b"half a database")
    Galleries.open(tmp_path, key=KEY, index="flat").close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["galleries.db", "galleries.lock"]


if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](Path(sys.argv[2]))
